//! Where programs of this machine are. Executes none.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// In `PATH`, or where servers live, which is in no user's `PATH`.
#[must_use]
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin", "/usr/lib"].map(PathBuf::from));
    folders.map(|dir| dir.join(name)).find(|file| is_executable(file))
}

#[must_use]
pub fn is_executable(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}
