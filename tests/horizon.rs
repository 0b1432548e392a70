//! A rollback horizon, through the binary: what is said before it is crossed, and what may still be undone past it.

use std::fs;
use std::path::Path;

use runbook::engine::fact::{Fact, HoldReason, RunEnd};

use super::exec::{Bed, eventually};
use super::terminal::Terminal;

const NIGHT: &str = "runbook: 1
name: A night with a horizon
window: {lasts: 2h}
steps:
  migrate:
    hosts: local
    run: echo migrate >> DIR/effects
    estimate: 1s
    rollback: {run: echo undo-migrate >> DIR/effects, estimate: 1s, until: writes}
  ready:
    gate: May customers come back?
    estimate: 1m
  open:
    hosts: local
    run: echo open >> DIR/effects
    estimate: 1s
    opens: writes
    rollback: {run: echo close >> DIR/effects, estimate: 1s}
  sanity:
    hosts: local
    test: test ! -e DIR/bad
    estimate: 1s
";

#[test]
fn it_is_said_before_it_is_crossed_and_nothing_is_undone_silently_after_it() {
    let bed = Bed::new(NIGHT);
    fs::write(bed.path("bad"), "").unwrap();
    let plan = bed.run(&["plan", "night.yaml"]).stdout;
    assert!(plan.contains("opens writes: the undo of migrate expires"), "{plan}");
    let mut terminal = Terminal::of(&bed, &["exec", "night.yaml"]);
    terminal.shows("Not any more once open opens writes: then the undo of migrate expires.");
    terminal.press("night\n");
    terminal.shows("then the undo of migrate expires");
    let asked = |f: &Fact| matches!(f, Fact::GateOpened { .. });
    eventually("the gate is open", || bed.runs() == 1 && bed.facts("night-a").iter().any(asked));
    let status = bed.run(&["status", "night-a"]).stdout;
    assert!(status.contains("open opens writes: then the undo of migrate expires"), "{status}");
    assert_eq!(bed.run(&["approve", "ready"]).code, 0);
    let held = |f: &Fact| matches!(f, Fact::HoldOpened { reason: HoldReason::ForwardOnly { .. }, .. });
    eventually("the failed test holds", || bed.facts("night-a").iter().any(held));
    assert_eq!(bed.effects(), ["migrate", "open"]);
    let mut asked = Terminal::of(&bed, &["rollback"]);
    asked.shows("But the undo of migrate has expired and is left to you");
    asked.press("no\n");
    assert_eq!(asked.ends().code(), Some(3));
    let told = bed.run(&["rollback", "--confirm", "night", "-m", "better closed"]);
    assert_eq!(told.code, 0, "{told:?}");
    assert!(matches!(bed.ended("night-a"), RunEnd::Stuck { .. }));
    assert_eq!(bed.effects(), ["migrate", "open", "close"]);
    terminal.shows("its rollback has expired with writes");
    assert_eq!(terminal.ends().code(), Some(20));
}

/// The same on hosts of the lab, over real ssh, with nobody to ask.
#[test]
fn past_the_horizon_the_lab_stops_half_way() {
    if !["/usr/sbin/sshd", "/usr/bin/sshd"].iter().any(|sshd| Path::new(sshd).exists()) {
        eprintln!("SKIPPED: sshd is not installed, so no night was spent in the lab");
        return;
    }
    let night = NIGHT.replace("hosts: local", "hosts: web").replace("steps:", "hosts: {web: [web1, web2]}\nsteps:");
    let bed = Bed::new(&night);
    let said = bed.run(&["exec", "night.yaml", "--lab", "--fail", "sanity@web2"]);
    said.refused(20, &["opens writes: the undo of migrate has expired", "NEEDS A HUMAN NOW"]);
    assert!(bed.effects().iter().all(|line| !line.starts_with("undo") && line != "close"), "{:?}", bed.effects());
    let early = bed.run(&["exec", "night.yaml", "--lab", "--fail", "migrate@web2"]);
    early.refused(10, &["ROLLED BACK"]);
}
