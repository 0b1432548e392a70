//! What signals and keys of a real terminal do to a run: nothing is killed, one Ctrl-C holds and asks, two leave, a lost
//! terminal is noted. Each of six, while the run goes forward, at a gate and in a rollback.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::exec::{Bed, eventually, is_engine, signal};
use runbook::engine::fact::{Actor, Fact, HoldAnswer, HoldReason, RunEnd};
use runbook::graph::ids::Direction;

/// A step, a gate, another step; each waits while its file is there, and so does the undo of the first.
const PLAN: &str = "runbook: 1
name: A night at a terminal
window: {lasts: 1h}
steps:
  one:
    hosts: local
    run: |
      while [ -e DIR/held ]; do sleep 0.02; done
      echo one >> DIR/effects
    estimate: 1m
    rollback: |
      while [ -e DIR/stay ]; do sleep 0.02; done
      echo undo-one >> DIR/effects
  ask:
    gate: Is all well?
    estimate: 1m
  two:
    hosts: local
    run: echo two >> DIR/effects
    estimate: 1m
    read_only: true
";

/// Where the run is when something happens to the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Forward,
    Gate,
    Rollback,
}

/// A command at a terminal of its own.
pub struct Terminal {
    ours: Option<fs::File>,
    attach: Child,
    heard: String,
}

impl Terminal {
    fn open(bed: &Bed) -> Self {
        Self::of(bed, &["attach"])
    }

    pub fn of(bed: &Bed, args: &[&str]) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap();
        let theirs = || Stdio::from(open_terminal(name.to_str().unwrap()));
        let attach = bed.command(args);
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(attach.get_program()).args(attach.get_args());
        for (key, value) in attach.get_envs() {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
        command.env("TERM", "xterm").env_remove("CI").env_remove("NO_COLOR").current_dir(bed.dir.path());
        let attach = command.stdin(theirs()).stdout(theirs()).stderr(theirs()).spawn().unwrap();
        let flags = fcntl_getfl(&ours).unwrap();
        fcntl_setfl(&ours, flags | OFlags::NONBLOCK).unwrap();
        Self { ours: Some(fs::File::from(ours)), attach, heard: String::new() }
    }

    fn listen(&mut self) {
        let mut buffer = [0; 4096];
        while let Some(ours) = &mut self.ours {
            match ours.read(&mut buffer) {
                Ok(n) if n > 0 => self.heard += &String::from_utf8_lossy(&buffer[..n]),
                _ => return,
            }
        }
    }

    /// Waits until the terminal shows this, and forgets what came before it.
    pub fn shows(&mut self, words: &str) {
        eventually(&format!("the terminal shows {words:?}"), || {
            self.listen();
            self.heard.contains(words)
        });
        let end = self.heard.find(words).unwrap() + words.len();
        self.heard.drain(..end);
    }

    pub fn pid(&self) -> u32 {
        self.attach.id()
    }

    pub fn press(&mut self, keys: &str) {
        self.ours.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    pub fn ends(&mut self) -> ExitStatus {
        eventually("the terminal's process ends", || {
            self.listen();
            matches!(self.attach.try_wait(), Ok(Some(_)))
        });
        self.listen();
        self.attach.wait().unwrap()
    }

    fn left(&mut self) {
        assert_eq!(self.ends().code(), Some(30), "{}", self.heard);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.attach.kill();
        let _ = self.attach.wait();
    }
}

fn open_terminal(name: &str) -> OwnedFd {
    let file = fs::OpenOptions::new().read(true).write(true).open(name);
    file.map(OwnedFd::from).map_err(|e: io::Error| format!("{name}: {e}")).unwrap()
}

/// A run that is there, with nobody attached.
fn night(at: At) -> Bed {
    let bed = Bed::new(PLAN);
    if at == At::Forward {
        fs::write(bed.path("held"), "").unwrap();
    }
    assert_eq!(bed.exec(&["--detach"]).code, 30);
    let launched = |f: &Fact| matches!(f, Fact::AttemptLaunched { attempt } if attempt.action.step() == "one");
    eventually("it has begun", || bed.facts("night-a").iter().any(launched));
    if at != At::Forward {
        let open = |f: &Fact| matches!(f, Fact::GateOpened { .. });
        eventually("the gate is open", || bed.facts("night-a").iter().any(open));
    }
    if at == At::Rollback {
        fs::write(bed.path("stay"), "").unwrap();
        assert_eq!(bed.run(&["reject", "ask"]).code, 0);
        let undoing = |f: &Fact| matches!(f, Fact::AttemptLaunched { attempt } if attempt.direction == Direction::Undo);
        eventually("it is being undone", || bed.facts("night-a").iter().any(undoing));
    }
    bed
}

/// Lets the run go to its end, which must be what it would have been without the terminal.
fn goes_on(bed: &Bed, at: At) {
    let pid = bed.store().run("night-a").unwrap().lease.unwrap().pid;
    assert!(is_engine(pid), "the engine lives");
    let held = bed.facts("night-a").iter().fold(false, |held, fact| match fact {
        Fact::HoldOpened { .. } => true,
        Fact::HoldAnswered { .. } => false,
        _ => held,
    });
    assert!(!held, "nothing holds it");
    for file in ["held", "stay"] {
        let _ = fs::remove_file(bed.path(file));
    }
    if at == At::Rollback {
        assert_eq!(bed.ended("night-a"), RunEnd::RolledBack { verified: None, late: false });
        assert_eq!(bed.effects(), ["one", "undo-one"]);
        return;
    }
    let open = |f: &Fact| matches!(f, Fact::GateOpened { .. });
    eventually("the gate is open", || bed.facts("night-a").iter().any(open));
    let said = bed.run(&["approve", "ask"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(bed.ended("night-a"), RunEnd::Succeeded { late: false });
    assert_eq!(bed.effects(), ["one", "two"]);
}

/// How often the run was held by a person, and how often it went on.
fn pauses(bed: &Bed) -> (usize, usize) {
    let facts = bed.facts("night-a");
    let paused = |f: &&Fact| matches!(f, Fact::HoldOpened { reason: HoldReason::Paused { .. }, .. });
    let went_on = |f: &&Fact| matches!(f, Fact::HoldAnswered { answer: HoldAnswer::Continue, .. });
    (facts.iter().filter(paused).count(), facts.iter().filter(went_on).count())
}

fn lost(bed: &Bed) -> bool {
    let lost = |f: &Fact| matches!(f, Fact::Noted { text, by: Actor { name, .. } } if text.contains("lost") && name == "Sarah");
    bed.facts("night-a").iter().any(lost)
}

/// Ready for keys: what can be typed is shown.
fn attached(bed: &Bed) -> Terminal {
    let mut terminal = Terminal::open(bed);
    terminal.shows("> ");
    terminal
}

fn each(check: fn(At)) {
    [At::Forward, At::Gate, At::Rollback].into_iter().for_each(check);
}

#[test]
fn one_ctrl_c_holds_and_asks() {
    each(|at| {
        let bed = night(at);
        let mut terminal = attached(&bed);
        terminal.press("\x03");
        if at == At::Rollback {
            terminal.shows("Ctrl-C stops nothing: the rollback goes on.");
            assert_eq!(pauses(&bed), (0, 0));
            terminal.press("d\n");
        } else {
            terminal.shows("HOLDING: nothing new starts");
            terminal.shows("[r]oll back  undo everything done so far");
            terminal.shows("rolls back by itself");
            assert_eq!(pauses(&bed), (1, 0), "{at:?}");
            terminal.press("c\n");
            eventually("it goes on", || pauses(&bed) == (1, 1));
            terminal.shows("> ");
            terminal.press("q\n");
        }
        terminal.left();
        goes_on(&bed, at);
    });
}

#[test]
fn a_second_ctrl_c_leaves_and_lets_the_run_go() {
    each(|at| {
        let bed = night(at);
        let mut terminal = attached(&bed);
        terminal.press("\x03");
        terminal.shows("[d]etach");
        terminal.press("\x03");
        terminal.shows("look again:");
        terminal.left();
        let expected = if at == At::Rollback { (0, 0) } else { (1, 1) };
        assert_eq!(pauses(&bed), expected, "{at:?}");
        goes_on(&bed, at);
    });
}

#[test]
fn a_request_to_end_leaves() {
    each(|at| {
        let bed = night(at);
        let mut terminal = attached(&bed);
        signal(terminal.attach.id(), Signal::TERM);
        terminal.shows("look again:");
        terminal.left();
        assert_eq!(pauses(&bed), (0, 0));
        goes_on(&bed, at);
    });
}

#[test]
fn a_lost_terminal_is_noted_and_stops_nothing() {
    each(|at| {
        let bed = night(at);
        let mut terminal = attached(&bed);
        terminal.ours = None;
        terminal.left();
        assert!(lost(&bed), "{at:?}");
        assert_eq!(pauses(&bed), (0, 0));
        goes_on(&bed, at);
    });
}

#[test]
fn a_terminal_is_not_stopped() {
    each(|at| {
        let bed = night(at);
        let mut terminal = attached(&bed);
        terminal.press("\x1a");
        terminal.shows("Ctrl-Z is refused");
        terminal.press("q");
        terminal.left();
        assert_eq!(pauses(&bed), (0, 0));
        goes_on(&bed, at);
    });
}

#[test]
fn a_killed_terminal_stops_nothing() {
    each(|at| {
        let bed = night(at);
        let mut terminal = attached(&bed);
        signal(terminal.attach.id(), Signal::KILL);
        assert_eq!(terminal.ends().code(), None);
        assert_eq!(pauses(&bed), (0, 0));
        goes_on(&bed, at);
    });
}
