//! Starts a shell as the leader of a session of its own, stopped at a gate: it reads nothing of its script until it is
//! let through. Knows nothing of records.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawnp};
use nix::sys::signal::{SigSet, Signal};
use rustix::pipe::{PipeFlags, pipe_with};

use super::call::Call;

/// glibc and musl have it since 2017; the crate does not name it. One process is started per attempt, because neither
/// `setsid` the program nor a fork of our own is needed.
const POSIX_SPAWN_SETSID: i32 = 0x80;
/// What the shell executes: the wait, then the script in the same shell. An end of file instead of the line means that
/// the keeper is dead and the start was not recorded. `$0` is the script, and `$1` the directory.
const GATE: &CStr = c"IFS= read -r RUNBOOK_GATE || exit 0
unset RUNBOOK_GATE
exec </dev/null
cd -- \"$1\" || exit 126
shift
. \"$0\"";

/// A started shell and our ends of its pipes.
pub(super) struct Waiting {
    pub pid: rustix::process::Pid,
    pub out: File,
    pub err: File,
    gate: File,
}

impl Waiting {
    /// Lets the shell read its script.
    pub(super) fn open(mut self) -> io::Result<(File, File)> {
        self.gate.write_all(b"\n")?;
        Ok((self.out, self.err))
    }
}

/// # Errors
/// The shell does not exist or cannot be started: then nothing was.
pub(super) fn spawn(call: &Call, record: &Path) -> io::Result<Waiting> {
    let (gate_in, gate) = pipe_with(PipeFlags::CLOEXEC)?;
    let (out, out_in) = pipe_with(PipeFlags::CLOEXEC)?;
    let (err, err_in) = pipe_with(PipeFlags::CLOEXEC)?;
    let mut actions = PosixSpawnFileActions::init()?;
    for (fd, to) in [(&gate_in, 0), (&out_in, 1), (&err_in, 2)] {
        actions.add_dup2(fd.as_raw_fd(), to)?;
    }
    let arguments = arguments(call, record)?;
    let environment = environment(call, record)?;
    let program = arguments.first().ok_or(io::ErrorKind::InvalidInput)?;
    let pid = posix_spawnp(program, &actions, attributes()?, &arguments, &environment)?;
    let file = |fd: OwnedFd| File::from(fd);
    let pid = rustix::process::Pid::from_raw(pid.as_raw()).ok_or(io::ErrorKind::Other)?;
    Ok(Waiting { pid, out: file(out), err: file(err), gate: file(gate) })
}

/// A session of its own, no signal blocked or ignored: the keeper ignores some, as its starter told it.
fn attributes() -> io::Result<&'static PosixSpawnAttr> {
    static ATTRIBUTES: OnceLock<Result<PosixSpawnAttr, Errno>> = OnceLock::new();
    let made = ATTRIBUTES.get_or_init(|| {
        let mut attributes = PosixSpawnAttr::init()?;
        attributes.set_flags(
            PosixSpawnFlags::from_bits_retain(POSIX_SPAWN_SETSID)
                | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF
                | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK,
        )?;
        let mut defaults = SigSet::all();
        defaults.remove(Signal::SIGKILL);
        defaults.remove(Signal::SIGSTOP);
        attributes.set_sigdefault(&defaults)?;
        attributes.set_sigmask(&SigSet::empty())?;
        Ok(attributes)
    });
    made.as_ref().map_err(|e| io::Error::from(*e))
}

fn arguments(call: &Call, record: &Path) -> io::Result<Vec<CString>> {
    let mut all = Vec::with_capacity(call.shell.len() + 4);
    for word in &call.shell {
        all.push(CString::new(word.as_str())?);
    }
    all.push(c"-c".to_owned());
    all.push(GATE.to_owned());
    all.push(CString::new(record.join("cmd").as_os_str().as_bytes())?);
    all.push(CString::new(call.dir.as_str())?);
    Ok(all)
}

fn environment(call: &Call, record: &Path) -> io::Result<Vec<CString>> {
    static OURS: OnceLock<Vec<(Vec<u8>, CString)>> = OnceLock::new();
    let ours = OURS.get_or_init(|| {
        let one = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            let line = [name.as_bytes(), b"=", value.as_bytes()].concat();
            Some((name.as_bytes().to_vec(), CString::new(line).ok()?))
        };
        std::env::vars_os().filter_map(one).collect()
    });
    let given = [("RUNBOOK_OUTPUT", record.join("output").into_os_string()), ("RUNBOOK_COOKIE", (&call.cookie).into())];
    let mut all = Vec::with_capacity(ours.len() + call.environment.len() + given.len());
    for (name, line) in ours {
        let is_name = |other: &str| other.as_bytes() == name.as_slice();
        if !given.iter().any(|(n, _)| is_name(n)) && !call.environment.iter().any(|(n, _)| is_name(n)) {
            all.push(line.clone());
        }
    }
    for (name, value) in &given {
        if !call.environment.iter().any(|(n, _)| n == name) {
            all.push(CString::new([name.as_bytes(), b"=", value.as_bytes()].concat())?);
        }
    }
    for (name, value) in &call.environment {
        all.push(CString::new(format!("{name}={value}"))?);
    }
    Ok(all)
}
