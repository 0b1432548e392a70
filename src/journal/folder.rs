//! The folder that holds runs: made private, and refused when somebody else could reach into it. Knows nothing of SQL.

use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::JournalError;

/// Bytes set aside so that a rollback can still be recorded when the disk is full.
const RESERVE: usize = 4 * 1024 * 1024;

/// Makes `dir` and its parents where they are missing, readable by nobody else, and checks it: ours, no link, not
/// writable by others.
///
/// # Errors
/// When it cannot be made, is no folder of ours, or is open to others.
pub fn prepare(dir: &Path) -> Result<(), JournalError> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|e| refuse(dir, &e.to_string()))?;
    check(dir)
}

/// # Errors
/// When `dir` is no folder of ours, or is open to others.
pub fn check(dir: &Path) -> Result<(), JournalError> {
    let meta = dir.symlink_metadata().map_err(|e| refuse(dir, &e.to_string()))?;
    if !meta.is_dir() {
        return Err(refuse(dir, "it is not a folder"));
    }
    owned(dir, &meta)?;
    // Others may look at names; every file in it is ours alone.
    if meta.mode() & 0o022 != 0 {
        let why = format!("others can write into it (mode {:04o})", meta.mode() & 0o7777);
        return Err(refuse_with(dir, &why, format!("chmod 700 {}", dir.display())));
    }
    Ok(())
}

/// Makes the file `name` in a checked folder, readable by us alone; an existing one is checked.
///
/// # Errors
/// When it cannot be made, is no plain file of ours, or is open to others.
pub fn private_file(dir: &Path, name: &str) -> Result<PathBuf, JournalError> {
    let path = dir.join(name);
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
        Ok(_) => return Ok(path),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
        Err(e) => return Err(refuse(dir, &format!("cannot make {name}: {e}"))),
    }
    check_file(&path)?;
    Ok(path)
}

/// # Errors
/// When `path` is no plain file of ours, or is open to others.
pub fn check_file(path: &Path) -> Result<(), JournalError> {
    let meta = path.symlink_metadata().map_err(|e| refuse(path, &e.to_string()))?;
    if !meta.is_file() {
        return Err(refuse(path, "it is not a plain file"));
    }
    owned(path, &meta)?;
    if meta.mode() & 0o077 != 0 {
        let why = format!("others can open it (mode {:04o})", meta.mode() & 0o7777);
        return Err(refuse_with(path, &why, format!("chmod 600 {}", path.display())));
    }
    Ok(())
}

/// Sets space aside in `dir`, with real blocks behind it. Best effort: a disk too full for it is met later.
/// Says whether it is there.
pub fn reserve(dir: &Path) -> bool {
    let path = dir.join("reserve");
    if path.symlink_metadata().is_ok_and(|m| m.len() >= RESERVE as u64) {
        return true;
    }
    let fill = |mut file: File| file.write_all(&vec![0; RESERVE]).and_then(|()| file.sync_all());
    let made = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path).and_then(fill);
    if made.is_err() {
        let _ = std::fs::remove_file(&path);
    }
    made.is_ok()
}

/// Gives the space set aside back to the disk. Says whether there was any.
pub fn release(dir: &Path) -> bool {
    std::fs::remove_file(dir.join("reserve")).is_ok()
}

fn owned(path: &Path, meta: &Metadata) -> Result<(), JournalError> {
    let us = rustix::process::geteuid().as_raw();
    if meta.uid() == us {
        return Ok(());
    }
    Err(refuse(path, &format!("it belongs to user {}, we are user {us}", meta.uid())))
}

fn refuse(path: &Path, why: &str) -> JournalError {
    JournalError::Folder { path: path.display().to_string(), why: why.to_owned(), help: None }
}

fn refuse_with(path: &Path, why: &str, help: String) -> JournalError {
    JournalError::Folder { path: path.display().to_string(), why: why.to_owned(), help: Some(help) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    fn why(result: Result<(), JournalError>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn a_missing_folder_is_made_private() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().join("a/b");
        prepare(&dir).unwrap();
        assert_eq!(dir.metadata().unwrap().mode() & 0o777, 0o700);
        let file = private_file(&dir, "journal.db").unwrap();
        assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn folders_open_to_others_are_refused() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().join("d");
        prepare(&dir).unwrap();
        set_permissions(&dir, Permissions::from_mode(0o770)).unwrap();
        assert!(why(check(&dir)).contains("mode 0770"));
    }

    #[test]
    fn planted_links_and_pipes_are_refused() {
        let tmp = tempfile::tempdir().unwrap();
        let real = tmp.path().join("real");
        prepare(&real).unwrap();
        let link = tmp.path().join("link");
        symlink(&real, &link).unwrap();
        assert!(why(prepare(&link)).contains("not a folder"));
        symlink("/etc/passwd", real.join("journal.db")).unwrap();
        assert!(why(private_file(&real, "journal.db").map(|_| ())).contains("not a plain file"));
        let pipe = real.join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        assert!(why(private_file(&real, "pipe").map(|_| ())).contains("not a plain file"));
    }

    #[test]
    fn the_reserve_is_given_back_once() {
        let tmp = tempfile::tempdir().unwrap();
        reserve(tmp.path());
        assert_eq!(tmp.path().join("reserve").metadata().unwrap().len(), RESERVE as u64);
        assert!(release(tmp.path()));
        assert!(!release(tmp.path()));
    }
}
