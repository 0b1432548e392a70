//! A disk that is full or broken under the journal: what the engine still does, what it says, and how the run goes on.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::FileExt as _;

use rustix::process::Signal;

use super::exec::{Bed, NIGHT, Said, eventually, is_engine, signal};
use super::sweep::night::{Moment, Point};
use runbook::engine::fact::{Fact, RunEnd};

/// The night in which the first step ends only when it is told to, so that its start and its end are commits of their own.
fn unhurried() -> String {
    NIGHT.replace("run: echo one", "run: mkfifo DIR/told && read -r word <DIR/told; echo one")
}

impl Bed {
    /// A run that waits in its step `two`; the disk under its journal fails from its next commit on.
    fn failing(&self, moment: Moment) -> u32 {
        fs::write(self.path("held"), "").unwrap();
        let mut command = self.command(&["exec", "night.yaml", "--confirm", "night", "--detach"]);
        // The lease; the first step armed, launched, ended and the second armed, launched.
        Point { commit: 6, moment }.plant(&mut command, &self.path("failed"));
        assert_eq!(Said::of(command.output().unwrap()).code, 30);
        let running = |step: &str| {
            let is = |f: &Fact| matches!(f, Fact::AttemptLaunched { attempt } if attempt.action.step() == step);
            self.facts("night-a").iter().any(is)
        };
        eventually("step one runs", || running("one") && self.path("told").exists());
        fs::write(self.path("told"), "go on\n").unwrap();
        eventually("step two runs", || running("two"));
        self.store().run("night-a").unwrap().lease.unwrap().pid
    }
}

#[test]
fn a_full_disk_holds_the_run_and_leaves_the_way_back_open() {
    let bed = Bed::new(&unhurried());
    bed.failing(Moment::Full);
    bed.let_go();
    eventually("it holds", || bed.facts("night-a").iter().any(|f| matches!(f, Fact::HoldOpened { .. })));
    assert!(bed.path("failed").exists());
    assert!(!bed.path("store/reserve").exists(), "what was set aside is in use");
    assert_eq!(bed.effects(), ["one", "two"]);
    let said = bed.run(&["rollback", "--confirm", "night"]);
    assert!(said.code == 0 || said.code == 10, "{said:?}");
    assert!(matches!(bed.ended("night-a"), RunEnd::RolledBack { .. }));
    assert_eq!(bed.effects(), ["one", "two", "undo-two", "undo-one"]);
    let judged = |f: &Fact| matches!(f, Fact::AttemptLaunched { attempt } if attempt.action.step() == "check");
    assert!(!bed.facts("night-a").iter().any(judged), "nothing new was started");
}

#[test]
fn a_broken_disk_ends_the_engine_which_lists_what_goes_on_and_the_run_is_taken_over() {
    let bed = Bed::new(&unhurried());
    let pid = bed.failing(Moment::Eio);
    let attach = bed.spawn(&["attach"]);
    bed.let_go();
    eventually("the engine is gone", || !is_engine(pid));
    let said = Said::of(attach.wait_with_output().unwrap());
    said.refused(20, &["NO ENGINE", "nothing can be recorded any more", "two/local/do/1", "runbook resume night-a"]);
    assert_eq!(bed.run(&["resume", "--confirm", "night", "--detach"]).code, 30);
    assert_eq!(bed.ended("night-a"), RunEnd::Succeeded { late: false });
    assert_eq!(bed.effects(), ["one", "two"]);
}

#[test]
fn a_damaged_journal_is_refused_with_its_place_and_left_as_it_is() {
    let bed = Bed::new(NIGHT);
    assert_eq!(bed.exec(&[]).code, 0);
    let journal = bed.path("store/journal.db");
    let file = fs::OpenOptions::new().read(true).write(true).open(&journal).unwrap();
    let whole = fs::read(&journal).unwrap();
    let at = whole.windows(12).position(|w| w == b"run_started\"").expect("the first fact");
    file.write_all_at(b"x", at as u64).unwrap();
    for args in [&["status", "night-a"][..], &["attach", "night-a"]] {
        let said = bed.run(args);
        said.refused(1, &["journal.db", "is damaged at fact 1 of run night-a", "is left as it is"]);
    }
    file.write_all_at(&[0x5a; 4096], 0).unwrap();
    let damaged = fs::read(&journal).unwrap();
    for args in [&["status"][..], &["resume"], &["exec", "night.yaml", "--confirm", "night"]] {
        let said = bed.run(args);
        said.refused(1, &["journal.db", "is left as it is", "mv "]);
    }
    assert_eq!(fs::read(&journal).unwrap(), damaged, "never a fresh start");
    assert_eq!(bed.effects(), ["one", "two"]);
}

/// Frozen in a write that never ends, the engine can say nothing itself: whoever watches says it.
#[test]
fn a_disk_that_hangs_is_said_by_whoever_watches() {
    let bed = Bed::new(&unhurried());
    let pid = bed.failing(Moment::Hang);
    let mut attach = bed.spawn(&["attach"]);
    let said = BufReader::new(attach.stderr.take().unwrap()).lines().map_while(Result::ok);
    bed.let_go();
    let mut said = said.skip_while(|line| !line.contains("no sign of life from the engine"));
    assert!(said.next().is_some_and(|line| line.contains("its disk hangs, or it sleeps")));
    assert!(said.any(|line| line.contains("runbook resume night-a --steal -m REASON")));
    eventually("what was started goes on", || bed.effects() == ["one", "two"]);
    signal(pid, Signal::KILL);
    let said = Said::of(attach.wait_with_output().unwrap());
    assert_ne!(said.code, 0, "{said:?}");
    eventually("the engine is gone", || !is_engine(pid));
    let resumed = || bed.run(&["resume", "--confirm", "night"]).code == 0;
    eventually("somebody goes on", resumed);
    assert_eq!(bed.effects(), ["one", "two"]);
}
