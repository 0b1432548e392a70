//! Finds and ends the processes of a lab by their environment, their `sshd`, and their parents. Knows nothing of plans.
//!
//! A lab's processes carry `LAB_DIR=<its folder>` in their environment, which survives `setsid` and a dead parent.
//! `sshd` clears its own, so it is found by the configuration file it was started with, and its sessions by descent.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long killed processes may take to disappear.
const PATIENCE: Duration = Duration::from_secs(5);

/// One line of `/proc/PID/stat`, as far as it matters here.
struct Stat {
    parent: i32,
    name: String,
    zombie: bool,
    started: u64,
}

/// When the process started, in the kernel's ticks since boot; `None` when it is dead.
pub(super) fn start_time(pid: i32) -> Option<u64> {
    stat(pid).filter(|s| !s.zombie).map(|s| s.started)
}

/// Kills every process of the lab until none is left; gives those that are still there when patience ends.
pub(super) fn end_all(dir: &Path) -> Vec<i32> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = of_lab(dir);
        if found.is_empty() || Instant::now() >= deadline {
            return found.into_iter().collect();
        }
        for pid in found.into_iter().filter_map(Pid::from_raw) {
            // A process may end between looking and killing.
            let _ = kill_process(pid, Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The lab's living processes: those that carry its mark, its `sshd`s, and all their descendants.
fn of_lab(dir: &Path) -> BTreeSet<i32> {
    let all = everything();
    let mut lab: BTreeSet<i32> = all.keys().copied().filter(|&pid| carries_mark(pid, dir)).collect();
    let listeners = all.iter().filter(|(pid, s)| s.name.starts_with("sshd") && serves(**pid, dir)).map(|(pid, _)| *pid);
    lab.extend(listeners);
    lab.extend(sessions_above(&lab, &all));
    loop {
        let more: Vec<i32> =
            all.iter().filter(|(pid, s)| lab.contains(&s.parent) && !lab.contains(*pid)).map(|(pid, _)| *pid).collect();
        if more.is_empty() {
            break;
        }
        lab.extend(more);
    }
    for pid in ourselves(&all) {
        lab.remove(&pid);
    }
    lab
}

/// The `sshd` processes above marked ones: sessions whose listener is dead already.
fn sessions_above(marked: &BTreeSet<i32>, all: &BTreeMap<i32, Stat>) -> Vec<i32> {
    let mut sessions = Vec::new();
    for pid in marked {
        let mut at = all.get(pid).map(|s| s.parent);
        while let Some(parent) = at.filter(|p| all.get(p).is_some_and(|s| s.name.starts_with("sshd-session"))) {
            sessions.push(parent);
            at = all.get(&parent).map(|s| s.parent);
        }
    }
    sessions
}

/// This process and its ancestors: never ended, whatever they carry.
fn ourselves(all: &BTreeMap<i32, Stat>) -> Vec<i32> {
    let mut line = Vec::new();
    let mut at = std::process::id().cast_signed();
    while at > 0 && !line.contains(&at) {
        line.push(at);
        at = all.get(&at).map_or(0, |s| s.parent);
    }
    line
}

fn everything() -> BTreeMap<i32, Stat> {
    let Ok(entries) = fs::read_dir("/proc") else { return BTreeMap::new() };
    let pids = entries.flatten().filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| Some((pid, stat(pid)?))).filter(|(_, s)| !s.zombie).collect()
}

fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let text = String::from_utf8_lossy(&text);
    // The name stands in parentheses and may itself hold anything.
    let (before, after) = text.rsplit_once(')')?;
    let (_, name) = before.split_once('(')?;
    let fields: Vec<&str> = after.split_ascii_whitespace().collect();
    Some(Stat {
        name: name.to_owned(),
        zombie: matches!(*fields.first()?, "Z" | "X"),
        parent: fields.get(1)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}

fn carries_mark(pid: i32, dir: &Path) -> bool {
    let mark = [b"LAB_DIR=", dir.as_os_str().as_encoded_bytes()].concat();
    fs::read(format!("/proc/{pid}/environ")).is_ok_and(|env| env.split(|b| *b == 0).any(|entry| entry == mark))
}

/// Whether a listening `sshd` was started with a configuration of this lab; its title keeps its arguments.
fn serves(pid: i32, dir: &Path) -> bool {
    let mut config = dir.as_os_str().as_encoded_bytes().to_vec();
    config.push(b'/');
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.windows(config.len()).any(|w| w == config))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};

    #[test]
    fn a_marked_process_is_found_after_setsid_and_an_unmarked_one_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let sleeper = |mark: &Path| {
            let mut c = Command::new("sleep");
            c.arg("600").env("LAB_DIR", mark).stdin(Stdio::null()).process_group(0);
            c.spawn().unwrap()
        };
        let mut ours = sleeper(dir.path());
        let mut other = sleeper(Path::new("/somewhere/else"));
        assert_eq!(end_all(dir.path()), Vec::<i32>::new());
        assert!(!ours.wait().unwrap().success());
        assert!(start_time(other.id().cast_signed()).is_some(), "a stranger was killed");
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn a_zombie_counts_as_dead() {
        let mut child = Command::new("true").spawn().unwrap();
        let pid = child.id().cast_signed();
        let deadline = Instant::now() + PATIENCE;
        while start_time(pid).is_some() {
            assert!(Instant::now() < deadline);
            std::thread::yield_now();
        }
        child.wait().unwrap();
    }
}
