//! What stands around the work on a host: drain, reboot, proof, undrain, and the same on the way back.

use runbook::engine::fact::{Fact, HoldAnswer, RunEnd};
use runbook::engine::input::{Ask, Input};
use runbook::graph::outcome::{Evidence, Outcome};
use runbook::plan::model::*;
use runbook::plan::units::Estimate;

use super::decisions::Night;
use super::plans::{minutes, step, undone_by};

const FAILED: Outcome = Outcome::Failed { exit: 1 };

fn around(run: &str, until: &str) -> Option<Drain> {
    Some(Drain { run: run.into(), hosts: None, until: Some(until.into()), timeout: Some(minutes(5)) })
}

/// One host, everything around its work.
fn update(change: impl FnOnce(&mut Step)) -> Night {
    let place = Place::Hosts(vec!["h1".into()]);
    let run = Verb::Run("update".into());
    let mut step = step("update", &[], place, run, undone_by(minutes(5)), Estimate::exactly(minutes(10)));
    step.verify = Some("check".into());
    step.fleet.drain = around("lb out", "idle");
    step.fleet.reboot = Some(minutes(10));
    step.fleet.undrain = around("lb in", "busy");
    if let Undo::Command(rollback) = &mut step.undo {
        rollback.reboot = Some(minutes(10));
    }
    change(&mut step);
    Night::simple(vec![step])
}

fn succeed(night: &mut Night, parts: &[&str]) {
    for part in parts {
        night.end(&format!("update/h1/{part}/1"), Outcome::Succeeded);
    }
}

fn launched(night: &Night) -> Vec<String> {
    night.launched.iter().map(|a| format!("{}.{}", a.direction.as_str(), a.number)).collect()
}

fn roll_back(night: &mut Night) {
    let _ = night.ask(Ask::Rollback { reason: None });
}

#[test]
fn the_parts_follow_each_other() {
    let mut night = update(|_| {});
    succeed(&mut night, &["drain", "drained", "do", "reboot", "check", "undrain", "undrained"]);
    assert_eq!(launched(&night), ["drain.1", "drained.1", "do.1", "reboot.1", "check.1", "undrain.1", "undrained.1"]);
    assert_eq!(night.ended(), Some(&RunEnd::Succeeded { late: false }));
}

#[test]
fn an_undone_host_is_restarted_and_serves_again() {
    let mut night = update(|_| {});
    succeed(&mut night, &["drain", "drained", "do"]);
    night.end("update/h1/reboot/1", Outcome::TimedOut);
    let _ = night.ask(Ask::Hold { answer: HoldAnswer::Rollback, note: None });
    succeed(&mut night, &["undo", "undo-reboot", "undo-undrain", "undo-undrained"]);
    assert_eq!(launched(&night)[4..], ["undo.1", "undo-reboot.1", "undo-undrain.1", "undo-undrained.1"]);
    assert!(matches!(night.ended(), Some(RunEnd::RolledBack { .. })));
}

#[test]
fn a_host_that_was_only_drained_is_brought_back_and_not_undone() {
    let mut night = update(|_| {});
    succeed(&mut night, &["drain"]);
    roll_back(&mut night);
    assert!(!night.is_launched("update/h1/undo-undrain/1"), "its drain is still waited for");
    night.end("update/h1/drained/1", Outcome::Succeeded);
    assert!(!night.is_launched("update/h1/do/1"), "nothing begins any more");
    succeed(&mut night, &["undo-undrain", "undo-undrained"]);
    assert_eq!(launched(&night), ["drain.1", "drained.1", "undo-undrain.1", "undo-undrained.1"]);
    assert!(matches!(night.ended(), Some(RunEnd::RolledBack { .. })));
}

#[test]
fn a_drain_that_never_started_leaves_nothing_to_bring_back() {
    let mut night = update(|_| {});
    night.end("update/h1/drain/1", Outcome::NeverStarted { why: "refused".into() });
    roll_back(&mut night);
    assert_eq!(launched(&night), ["drain.1"]);
    assert_eq!(night.ended(), Some(&RunEnd::RolledBack { verified: None, late: false }));
}

/// A drain that comes late would take the host out of service after it was brought back.
#[test]
fn a_drain_in_doubt_is_proven_dead_before_its_host_is_brought_back() {
    let mut night = update(|_| {});
    night.end("update/h1/drain/1", Outcome::InDoubt { why: "silence".into() });
    let _ = night.ask(Ask::Hold { answer: HoldAnswer::Rollback, note: None });
    assert!(night.killed.iter().any(|a| a.to_string() == "update/h1/drain/1"));
    assert!(!night.is_launched("update/h1/undo-undrain/1"));
    let attempt = night.launched[0].clone();
    night.tell(Input::AttemptEnded { attempt, outcome: Outcome::Cancelled, evidence: Evidence::default() });
    assert!(night.is_launched("update/h1/undo-undrain/1"));
}

#[test]
fn a_host_whose_proof_fails_stays_out_of_service() {
    let mut night = update(|step| step.on_failure = OnFailure::Ask);
    succeed(&mut night, &["drain", "drained", "do", "reboot"]);
    night.end("update/h1/check/1", FAILED);
    assert!(night.held().is_some());
    assert!(!night.is_launched("update/h1/undrain/1"));
}

#[test]
fn whoever_tries_again_drains_again() {
    let mut night = update(|_| {});
    succeed(&mut night, &["drain", "drained"]);
    night.end("update/h1/do/1", FAILED);
    let _ = night.ask(Ask::Hold { answer: HoldAnswer::Retry, note: None });
    assert_eq!(launched(&night).last().map(String::as_str), Some("drain.2"));
}

#[test]
fn a_drain_is_repeated_as_often_as_the_plan_says_though_the_work_is_not() {
    let retry = Retry { times: 1, wait: minutes(1), backoff: Backoff::Fixed };
    let mut night = update(|step| step.retry = retry);
    night.end("update/h1/drain/1", FAILED);
    night.wait(1);
    succeed(&mut night, &[]);
    night.end("update/h1/drain/2", Outcome::Succeeded);
    succeed(&mut night, &["drained"]);
    night.end("update/h1/do/1", FAILED);
    night.wait(1);
    assert!(!night.is_launched("update/h1/do/2"));
    assert!(night.facts.iter().any(|f| matches!(f, Fact::ActionFailed { .. })));
}

#[test]
fn a_step_without_undrain_needs_a_person_when_nothing_but_its_drain_ran() {
    let mut night = update(|step| step.fleet.undrain = None);
    succeed(&mut night, &["drain"]);
    roll_back(&mut night);
    night.end("update/h1/drained/1", FAILED);
    let Some(RunEnd::Stuck { actions }) = night.ended() else { panic!("{:?}", night.ended()) };
    assert_eq!(
        actions.values().next().map(String::as_str),
        Some("its host was taken out of service, and the plan has no `undrain`")
    );
}

#[test]
fn a_read_only_step_that_drained_is_brought_back_once() {
    let mut night = update(|step| step.undo = Undo::ReadOnly);
    succeed(&mut night, &["drain", "drained"]);
    night.end("update/h1/do/1", FAILED);
    let _ = night.ask(Ask::Hold { answer: HoldAnswer::Rollback, note: None });
    succeed(&mut night, &["undo-undrain", "undo-undrained"]);
    assert_eq!(night.ended(), Some(&RunEnd::RolledBack { verified: None, late: false }));
}
