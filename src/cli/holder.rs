//! Who holds a run, and whether that engine still lives. Knows nothing of what it does.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;

use jiff::Timestamp;

use crate::journal::{Lease, RunRow};

/// What is known of the engine of an open run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// There never was one.
    Nobody,
    /// Its lease lives, and so may it.
    Live(Lease),
    /// Its lease has run out, or its process on this machine is dead.
    Gone(Lease),
}

impl Holder {
    #[must_use]
    pub fn of(run: &RunRow, now: Timestamp) -> Self {
        match &run.lease {
            None => Self::Nobody,
            Some(lease) if lease.live(now) && !is_dead(lease) => Self::Live(lease.clone()),
            Some(lease) => Self::Gone(lease.clone()),
        }
    }

    #[must_use]
    pub const fn is_live(&self) -> bool {
        matches!(self, Self::Live(_))
    }
}

/// Whether the engine's process is certainly gone, though its lease has not run out: it was one of this machine, nobody
/// listens at its socket, and no such process is there.
fn is_dead(lease: &Lease) -> bool {
    lease.host == this_machine() && lease.socket.as_deref().is_none_or(nobody_listens) && !is_engine(lease)
}

fn nobody_listens(socket: &str) -> bool {
    let refused = |e: &io::Error| matches!(e.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound);
    UnixStream::connect(Path::new(socket)).as_ref().is_err_and(refused)
}

/// Whether the process is the run's engine, by its command line: that of an engine names the run, that of a scout which
/// became one names the plan. A process that has ended and was not waited for has none.
fn is_engine(lease: &Lease) -> bool {
    let line = std::fs::read(format!("/proc/{}/cmdline", lease.pid)).unwrap_or_default();
    let words: Vec<&[u8]> = line.split(|b| *b == 0).collect();
    let plan = lease.run.rsplit_once('-').map_or("", |(plan, _)| plan);
    let names = |command: &str, name: &str| {
        words.iter().skip_while(|word| **word != command.as_bytes()).any(|word| *word == name.as_bytes())
    };
    names("engine", &lease.run) || names("scout", plan)
}

/// Ends an engine of this machine that is stopped (`kill -STOP`, a debugger) and whose run somebody else takes. Frozen in
/// the middle of a write it would keep the journal locked for everybody. Says whether there was one.
pub fn end_if_frozen(lease: &Lease) -> bool {
    let frozen = lease.host == this_machine() && is_engine(lease) && is_stopped(lease.pid);
    let pid = i32::try_from(lease.pid).ok().and_then(rustix::process::Pid::from_raw);
    frozen && pid.is_some_and(|pid| rustix::process::kill_process(pid, rustix::process::Signal::KILL).is_ok())
}

fn is_stopped(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['T', 't']))
}

/// The name of this machine.
#[must_use]
pub fn this_machine() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "this machine".to_owned() } else { name.to_owned() }
}
