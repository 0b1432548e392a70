//! Runs that outlive their engine: killed at any moment, taken over by somebody else, stopped and continued too late.

use std::time::Instant;

use super::exec::{Bed, NIGHT, Said, eventually, is_engine, signal};
use runbook::engine::fact::{Fact, RunEnd};
use runbook::journal::RunRow;
use rustix::process::Signal;

impl Bed {
    /// A run whose step `two` goes on by itself, because its engine was killed.
    fn orphaned(&self) -> RunRow {
        let run = self.held();
        signal(run.lease.as_ref().unwrap().pid, Signal::KILL);
        self.engine_is_gone(&run);
        run
    }

    fn engine_is_gone(&self, run: &RunRow) {
        let pid = run.lease.as_ref().unwrap().pid;
        eventually("the engine is gone", || !is_engine(pid));
    }

    fn resume(&self, more: &[&str]) -> Said {
        self.run(&[&["resume", "--confirm", "night"], more].concat())
    }

    fn as_marie(&self, args: &[&str]) -> Said {
        Said::of(self.command(args).env("RUNBOOK_USER", "Marie").output().unwrap())
    }
}

#[test]
fn a_dead_run_is_taken_over_and_what_ran_on_is_followed() {
    let bed = Bed::new(NIGHT);
    bed.orphaned();
    let status = bed.run(&["status"]).stdout;
    assert!(status.contains("NO ENGINE") && status.contains("runbook resume night-a"), "{status}");
    bed.exec(&[]).refused(3, &["run night-a of this plan", "NO ENGINE", "runbook resume night-a"]);
    let took_over =
        || bed.facts("night-a").iter().any(|f| matches!(f, Fact::Resumed { by, epoch: 2 } if by.name == "Marie"));
    let began = Instant::now();
    let said = bed.as_marie(&["resume", "--confirm", "night", "--detach"]);
    assert_eq!(said.code, 30, "{said:?}");
    eventually("Marie has it", took_over);
    assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
    for words in ["held by   Sarah on", "its process is gone", "asking the hosts what happened to two", "-> FOLLOWED"] {
        assert!(said.stderr.contains(words), "{words}: {}", said.stderr);
    }
    bed.let_go();
    assert_eq!(bed.ended("night-a"), RunEnd::Succeeded { late: false });
    assert_eq!(bed.effects(), ["one", "two"]);
    bed.resume(&["night-a"]).refused(3, &["run night-a is over: done"]);
}
