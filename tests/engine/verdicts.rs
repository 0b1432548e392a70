//! What a test says by the way it ended, and what follows from that: only a verdict rolls anything back.

use runbook::engine::fact::{Fact, HoldReason, RollbackCause, RunOptions};
use runbook::graph::ids::ActionId;
use runbook::graph::outcome::Outcome;
use runbook::plan::model::*;
use runbook::plan::units::Estimate;

use super::decisions::Night;
use super::plans::{minutes, step, undone_by};

fn http() -> Verb {
    Verb::Http(HttpCheck {
        url: "http://shop/health".into(),
        method: "GET".into(),
        expect: Vec::new(),
        body_contains: None,
        body_matches: None,
        headers: Default::default(),
        body: None,
    })
}

/// A deployment and what judges it, whose own exit code for "cannot tell" is 3.
fn night(judge: Verb, retry: Retry, options: RunOptions) -> Night {
    let on = || Place::Hosts(vec!["h1".into()]);
    let five = Estimate::exactly(minutes(5));
    let deploy = step("deploy", &[], on(), Verb::Run("deploy".into()), undone_by(minutes(10)), five);
    let judge = step("judge", &["deploy"], on(), judge, Undo::Nothing, five);
    let mut night = Night::of(vec![deploy, Step { inconclusive: vec![3], retry, ..judge }], 300, |_| {}, options);
    night.end("deploy/h1/do/1", Outcome::Succeeded);
    night
}

fn test() -> Verb {
    Verb::Test("test".into())
}

const fn exit(exit: u8) -> Outcome {
    Outcome::Failed { exit }
}

#[test]
fn what_each_end_of_a_test_leads_to() {
    let doubt = || Outcome::InDoubt { why: "the link is down".into() };
    let table = [
        (test(), exit(1), "rollback"),
        (test(), exit(2), "rollback"),
        (test(), exit(125), "rollback"),
        (test(), exit(128), "rollback"),
        (test(), exit(193), "rollback"),
        (test(), exit(255), "rollback"),
        (test(), exit(3), "hold"),
        (test(), exit(126), "hold"),
        (test(), exit(127), "hold"),
        (test(), exit(129), "hold"),
        (test(), exit(192), "hold"),
        (test(), Outcome::Killed { signal: 9 }, "hold"),
        (test(), Outcome::TimedOut, "hold"),
        (test(), Outcome::Interrupted, "hold"),
        (test(), doubt(), "hold"),
        // A request has no exit code: its answer was wrong.
        (http(), exit(1), "rollback"),
        (http(), exit(3), "rollback"),
        (http(), exit(127), "rollback"),
        (http(), Outcome::TimedOut, "hold"),
        (http(), Outcome::Interrupted, "hold"),
    ];
    for (judge, outcome, leads_to) in table {
        let mut night = night(judge.clone(), Retry::default(), RunOptions::default());
        night.end("judge/h1/do/1", outcome.clone());
        let judge_failed = ActionId::new("judge", Some("h1"));
        let asked = HoldReason::Failed { actions: vec![judge_failed.clone()] };
        let (held, cause) = match leads_to {
            "hold" => (Some(&asked), None),
            _ => (None, Some(&RollbackCause::Failed { action: judge_failed })),
        };
        assert_eq!((night.held(), night.cause()), (held, cause), "{judge:?} ended with {outcome:?}");
    }
}

#[test]
fn with_nobody_to_ask_every_end_but_success_rolls_back() {
    for outcome in [exit(1), exit(3), exit(127), Outcome::Killed { signal: 9 }, Outcome::TimedOut] {
        let mut night = night(test(), Retry::default(), RunOptions { no_input: true, ..RunOptions::default() });
        night.end("judge/h1/do/1", outcome.clone());
        assert!(matches!(night.cause(), Some(RollbackCause::Failed { .. })), "{outcome:?}: {:?}", night.cause());
    }
}

#[test]
fn the_last_try_is_what_counts() {
    let twice = || night(test(), Retry { times: 1, wait: minutes(1), ..Retry::default() }, RunOptions::default());
    let mut unclear_first = twice();
    unclear_first.end("judge/h1/do/1", exit(127));
    assert_eq!((unclear_first.held(), unclear_first.cause()), (None, None), "it is tried again first");
    unclear_first.wait(1);
    unclear_first.end("judge/h1/do/2", exit(1));
    assert!(unclear_first.cause().is_some());
    let mut unclear_last = twice();
    unclear_last.end("judge/h1/do/1", exit(1));
    unclear_last.wait(1);
    unclear_last.end("judge/h1/do/2", exit(127));
    assert!(unclear_last.held().is_some() && unclear_last.cause().is_none());
}

#[test]
fn an_unanswered_hold_about_it_still_ends_at_roll_back_by() {
    let mut night = night(test(), Retry::default(), RunOptions::default());
    night.end("judge/h1/do/1", exit(127));
    night.wait(300);
    assert_eq!(night.cause(), Some(&RollbackCause::Deadline));
}

#[test]
fn what_works_has_failed_whatever_its_exit_code() {
    let on = || Place::Hosts(vec!["h1".into()]);
    let five = Estimate::exactly(minutes(5));
    let deploy = step("deploy", &[], on(), Verb::Run("deploy".into()), undone_by(minutes(10)), five);
    let deploy = Step { on_failure: OnFailure::Rollback, ..deploy };
    let mut night = Night::of(vec![deploy], 300, |_| {}, RunOptions::default());
    night.end("deploy/h1/do/1", exit(127));
    assert!(night.facts.iter().any(|f| matches!(f, Fact::RollbackDecided { .. })), "{:?}", night.facts);
}
