//! The lock of a plan as a host describes it. Knows nothing of how the host was asked.

use super::NoAnswer;

/// What became of taking a lock on one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taking {
    Taken,
    /// Another run has it, or the host cannot keep one; in words.
    Refused(String),
    /// The host could not be asked, so it may even have been taken.
    NotAsked(NoAnswer),
}

/// A lock that is taken when its host is first needed, because the host was away when all others were locked.
#[derive(Debug, Clone)]
pub(super) struct LateLock {
    /// The plan's.
    pub stem: String,
    pub holder: String,
}

/// A lock on one host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostLock {
    /// The run's name on hosts.
    pub run: String,
    /// Who took it, in words that its controller chose.
    pub holder: String,
    /// Attempts of that run which are at work there, each with its pid.
    pub busy: Vec<String>,
    /// Attempts of that run without a recorded end, the busy ones included.
    pub open: Vec<String>,
}

impl HostLock {
    /// From the lines of the runner; `None` where there is no lock.
    pub(super) fn read(lines: &[String]) -> Option<Self> {
        let words = |name: &str| {
            let prefix = format!("{name} ");
            lines.iter().filter_map(|line| line.strip_prefix(&prefix).map(str::to_owned)).collect::<Vec<_>>()
        };
        let held = words("held").into_iter().next()?;
        let (run, holder) = held.split_once(' ').unwrap_or((&held, ""));
        Some(Self { run: run.to_owned(), holder: holder.to_owned(), busy: words("busy"), open: words("open") })
    }
}
