//! Tests that are asked before the night, through the binary: what the preflight says of them, and what their failure leads
//! to afterwards, at a terminal, without one, and in the lab.

use std::fs;
use std::path::Path;

use runbook::engine::fact::{Fact, HoldReason, RunEnd};
use runbook::graph::ids::ActionId;
use runbook::graph::outcome::Verdict;

use super::exec::{Bed, eventually};
use super::terminal::Terminal;

const NIGHT: &str = "runbook: 1
name: A night with a red test
window: {lasts: 1h}
steps:
  one:
    hosts: local
    run: echo one >> DIR/effects
    estimate: 1s
    rollback: echo undo-one >> DIR/effects
  check:
    hosts: local
    test: test ! -e DIR/bad || { echo the printer is on fire; exit 3; }
    baseline: true
    hold: 1s
    estimate: 5s
";

fn check() -> ActionId {
    ActionId::new("check", Some("local"))
}

fn before(bed: &Bed) -> Option<Verdict> {
    match &bed.facts("night-a")[0] {
        Fact::RunStarted(started) => started.baseline.get(&check()).copied(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_green_test_is_said_and_leaves_nothing_on_its_host() {
    let bed = Bed::new(NIGHT);
    let said = bed.exec(&[]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.stderr.contains("ok    tests asked before the night: 1 of 1 green"), "{}", said.stderr);
    assert_eq!(before(&bed), Some(Verdict::Pass));
    let runs = fs::read_dir(bed.path(".runbook/runs")).unwrap();
    let names: Vec<String> = runs.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.len() == 1 && names[0].starts_with("night-a."), "{names:?}");
}

#[test]
fn with_nobody_to_ask_a_red_test_is_announced_and_rolls_back() {
    let bed = Bed::new(NIGHT);
    fs::write(bed.path("bad"), "").unwrap();
    let said = bed.exec(&[]);
    said.refused(
        10,
        &[
            "warn  tests asked before the night: 0 of 1 green",
            "warn  red before: check@local (exit 3: the printer is on fire)",
            "nobody can be asked here: what was red before still rolls back",
        ],
    );
    assert_eq!(bed.effects(), ["one", "undo-one"]);
}

#[test]
fn a_person_at_the_terminal_is_asked_about_a_red_test() {
    let bed = Bed::new(NIGHT);
    fs::write(bed.path("bad"), "").unwrap();
    let mut terminal = Terminal::of(&bed, &["exec", "night.yaml"]);
    terminal.shows("red before: check@local");
    terminal.shows("asks you when it fails");
    terminal.shows("anything else leaves");
    assert_eq!((bed.effects().len(), bed.runs()), (0, 0), "nothing was started, and nothing is recorded");
    terminal.press("night\n");
    terminal.shows("red before the night");
    let held = |f: &Fact| matches!(f, Fact::HoldOpened { reason: HoldReason::Failed { actions }, .. } if *actions == [check()]);
    eventually("the run is held", || bed.runs() == 1 && bed.facts("night-a").iter().any(held));
    let status = bed.run(&["status", "night-a"]);
    assert!(status.stdout.contains("red before the night"), "{status:?}");
    assert_eq!(bed.run(&["skip", "check", "-m", "the printer burns every night"]).code, 0);
    assert_eq!(bed.ended("night-a"), RunEnd::Succeeded { late: false });
    assert_eq!(bed.effects(), ["one"]);
    let report = bed.run(&["report", "night-a"]).stdout;
    assert!(report.contains("failed as it had before the night"), "{report}");
    terminal.ends();
}

/// `--fail` breaks the night and not what was before it.
#[test]
fn in_the_lab_a_test_that_is_made_to_fail_was_green_before() {
    if !["/usr/sbin/sshd", "/usr/bin/sshd"].iter().any(|sshd| Path::new(sshd).exists()) {
        eprintln!("SKIPPED: sshd is not installed, so no night was spent in the lab");
        return;
    }
    let plan = "runbook: 1
name: A night in the lab
hosts: {web: [web1, web2]}
steps:
  deploy: {hosts: web, run: touch new, estimate: 1s, rollback: rm -f new}
  sanity: {hosts: web, test: 'test $HOST = web1 || test -e \"$HOME/red\" || true', baseline: true, estimate: 1s}
  always: {hosts: web, test: 'test $HOST = web1', baseline: true, estimate: 1s}
";
    let bed = Bed::new(plan);
    let said = bed.run(&["exec", "night.yaml", "--lab", "--fail", "sanity@web1"]);
    said.refused(10, &["tests asked before the night: 3 of 4 green", "red before: always@web2 (exit 1)"]);
    assert!(!said.stderr.contains("red before: sanity"), "{}", said.stderr);
}
