//! The lab's folder: made private, owned by living processes, removed with everything in it. Knows nothing of hosts.

use std::fmt::Write as _;
use std::hash::{BuildHasher, Hasher};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{fs, io::Write as _};

use super::{LabError, io, processes};

const PREFIX: &str = "runbook-lab-";
const OWNERS: &str = "owners";

/// Written when somebody first finds that all owners are dead.
const ABANDONED: &str = "abandoned";

/// Whoever takes over a run in a lab whose owner was killed needs its hosts: so long they are left alone.
const GRACE: Duration = Duration::from_secs(15 * 60);

/// Paths of control sockets inside must stay under about 100 bytes.
const LONGEST_PARENT: usize = 48;

/// Makes a private folder owned by this process, after removing labs whose owners are dead.
pub(super) fn create(parent: Option<&Path>) -> Result<PathBuf, LabError> {
    let parents = match parent {
        Some(p) => vec![p.to_owned()],
        None => candidates(),
    };
    let mut refusals = Vec::new();
    for parent in &parents {
        remove_stale(parent);
        match create_in(parent) {
            Ok(dir) => return Ok(dir),
            Err(why) => refusals.push(format!("{}: {why}", parent.display())),
        }
    }
    Err(LabError::NoFolder { why: refusals.join("; ") })
}

/// Short temporary folders, the user's own choice first.
fn candidates() -> Vec<PathBuf> {
    let mut all = vec![std::env::temp_dir()];
    all.extend(std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from));
    all.extend([PathBuf::from("/tmp"), PathBuf::from("/var/tmp")]);
    all
}

fn create_in(parent: &Path) -> Result<PathBuf, String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-+".contains(&b);
    let bytes = parent.as_os_str().as_encoded_bytes();
    if !parent.is_absolute() || !bytes.iter().copied().all(plain) {
        return Err("the path would need quoting in ssh's configuration".to_owned());
    }
    if bytes.len() > LONGEST_PARENT {
        return Err(format!("the path is longer than {LONGEST_PARENT} bytes"));
    }
    for _ in 0..20 {
        let name = random() & 0xff_ffff;
        // The folder gets its name when its owner is written down, so that nobody can take it for a stale one.
        let unnamed = parent.join(format!(".{PREFIX}{name:06x}"));
        let dir = parent.join(format!("{PREFIX}{name:06x}"));
        match fs::DirBuilder::new().mode(0o700).create(&unnamed) {
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => continue,
            other => other.map_err(|e| e.to_string())?,
        }
        let made = add_owner(&unnamed, std::process::id())
            .map_err(|e| e.to_string())
            .and_then(|()| can_execute_in(&unnamed))
            .and_then(|()| fs::rename(&unnamed, &dir).map_err(|e| e.to_string()));
        return match made {
            Ok(()) => Ok(dir),
            Err(why) => {
                let _ = fs::remove_dir_all(&unnamed);
                Err(why)
            }
        };
    }
    Err("every name is taken".to_owned())
}

/// Temporary folders are sometimes mounted `noexec`; the hosts' commands live in this one.
fn can_execute_in(dir: &Path) -> Result<(), String> {
    let probe = dir.join("probe");
    write_script(&probe, "#!/bin/sh\nexit 0\n").map_err(|e| e.to_string())?;
    let status = Command::new(&probe).stdin(Stdio::null()).status();
    let _ = fs::remove_file(&probe);
    match status {
        Ok(s) if s.success() => Ok(()),
        Ok(s) => Err(format!("a script there ends with {s}")),
        Err(e) => Err(format!("programs cannot be executed there: {e}")),
    }
}

/// Writes an executable file that only its owner may read.
pub(super) fn write_script(path: &Path, text: &str) -> Result<(), std::io::Error> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

/// An unpredictable number: a name need only be free, the folder's mode is what protects it.
pub(super) fn random() -> u64 {
    std::hash::RandomState::new().build_hasher().finish()
}

/// Writes the process down as an owner of the lab.
pub(super) fn add_owner(dir: &Path, pid: u32) -> Result<(), LabError> {
    let path = dir.join(OWNERS);
    let mut line = String::new();
    let _ = writeln!(line, "{pid} {}", processes::start_time(pid.cast_signed()).unwrap_or(0));
    let mut file =
        fs::OpenOptions::new().create(true).append(true).mode(0o600).open(&path).map_err(io("write", &path))?;
    file.write_all(line.as_bytes()).map_err(io("write", &path))
}

/// Whether an owner is alive: the same process, not another one with its number.
fn has_living_owner(dir: &Path) -> bool {
    let text = fs::read_to_string(dir.join(OWNERS)).unwrap_or_default();
    text.lines().any(|line| {
        let mut words = line.split(' ');
        let pid: Option<i32> = words.next().and_then(|w| w.parse().ok());
        let started: Option<u64> = words.next().and_then(|w| w.parse().ok());
        pid.is_some_and(|pid| started.is_some() && processes::start_time(pid) == started)
    })
}

/// Whether nobody has come back to it since it was found abandoned.
fn is_stale(dir: &Path) -> bool {
    let mark = dir.join(ABANDONED);
    if has_living_owner(dir) {
        let _ = fs::remove_file(&mark);
        return false;
    }
    match fs::metadata(&mark).and_then(|found| found.modified()) {
        Ok(since) => since.elapsed().is_ok_and(|age| age >= GRACE),
        Err(_) => {
            let _ = fs::write(&mark, "");
            false
        }
    }
}

/// Removes this user's labs in `parent` that no living process has owned for a while.
fn remove_stale(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    let me = rustix::process::geteuid().as_raw();
    for entry in entries.flatten() {
        let dir = entry.path();
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX)
            && fs::symlink_metadata(&dir).is_ok_and(|m| m.is_dir() && m.uid() == me);
        if ours && dir.join(OWNERS).is_file() && is_stale(&dir) {
            // A lab that resists is tried again next time.
            let _ = remove(&dir, false);
        }
    }
}

/// Ends the lab's processes; then removes the folder, or only forgets its owners when it is kept.
pub(super) fn remove(dir: &Path, keep: bool) -> Result<(), LabError> {
    let survivors = processes::end_all(dir);
    if !survivors.is_empty() {
        return Err(LabError::Survivors { pids: survivors });
    }
    let gone = if keep { fs::remove_file(dir.join(OWNERS)) } else { fs::remove_dir_all(dir) };
    match gone {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(io("remove", dir)(e)),
        _ => Ok(()),
    }
}
