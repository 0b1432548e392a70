//! Some of what has failed is tried again by hand, while the rest waits for an answer.

use runbook::engine::fact::{HoldReason, RunOptions};
use runbook::engine::input::Ask;
use runbook::graph::outcome::Outcome;
use runbook::plan::model::{OnDeadline, Place, Plan, Step, Verb};
use runbook::plan::units::{Estimate, Size};

use super::decisions::Night;
use super::plans::{minutes, step, undone_by};

const FAILED: Outcome = Outcome::Failed { exit: 1 };

fn work(id: &str) -> Step {
    let hosts = Place::Hosts(vec!["h1".into(), "h2".into()]);
    step(id, &[], hosts, Verb::Run("r".into()), undone_by(minutes(1)), Estimate::exactly(minutes(9)))
}

/// `work` has failed on both hosts, one after the other, before anything of `other` has begun.
fn night() -> Night {
    let steps = vec![work("work"), work("other")];
    let mut night = Night::of(steps, 300, |plan| plan.at_once = Some(Size::Count(2)), RunOptions::default());
    for host in ["h1", "h2"] {
        night.end(&format!("work/{host}/do/1"), FAILED);
    }
    night
}

/// The same, five minutes before *roll back by*.
fn late(on_deadline: OnDeadline) -> Night {
    let steps = vec![work("work"), work("other")];
    let change = |plan: &mut Plan| {
        plan.at_once = Some(Size::Count(2));
        plan.window.as_mut().expect("a window").on_deadline = on_deadline;
    };
    let mut night = Night::of(steps, 300, change, RunOptions::default());
    for host in ["h1", "h2"] {
        night.end(&format!("work/{host}/do/1"), FAILED);
    }
    let left = night.engine.state().roll_back_by().expect("a deadline").duration_since(night.now);
    night.wait(u64::try_from(left.as_mins() - 5).expect("ahead"));
    night
}

fn retry(night: &mut Night, host: &str) {
    let _ = night.ask(Ask::Retry { step: "work".into(), hosts: vec![host.into()] });
}

/// The hosts about which an answer is waited for.
fn held_about(night: &Night) -> Vec<&str> {
    match night.held() {
        Some(HoldReason::Failed { actions }) => actions.iter().filter_map(|a| a.host()).collect(),
        None => Vec::new(),
        Some(other) => panic!("{other:?}"),
    }
}

fn begun_of_other(night: &Night) -> bool {
    night.launched.iter().any(|attempt| attempt.action.step() == "other")
}

#[test]
fn it_begins_at_once_and_alone() {
    let mut night = night();
    assert_eq!(held_about(&night), ["h1", "h2"]);
    retry(&mut night, "h1");
    assert!(night.is_launched("work/h1/do/2") && !night.is_launched("work/h2/do/2"), "{:?}", night.launched);
    assert_eq!(held_about(&night), ["h2"]);
    night.end("work/h1/do/2", Outcome::Succeeded);
    assert!(!begun_of_other(&night), "nothing else starts");
    retry(&mut night, "h2");
    assert!(night.is_launched("work/h2/do/2") && begun_of_other(&night), "nothing is left to be answered");
}

#[test]
fn what_fails_again_is_asked_about_with_the_rest() {
    let mut night = night();
    retry(&mut night, "h1");
    night.end("work/h1/do/2", FAILED);
    assert_eq!(held_about(&night), ["h2", "h1"]);
    assert!(!night.is_launched("work/h1/do/3"), "not by itself");
    retry(&mut night, "h1");
    assert!(night.is_launched("work/h1/do/3"));
}

#[test]
fn its_further_tries_do_not_wait_for_the_answer_about_the_rest() {
    let mut night = night();
    retry(&mut night, "h1");
    night.end("work/h1/do/2", Outcome::NeverStarted { why: "no connection".into() });
    night.wait(5);
    assert!(night.is_launched("work/h1/do/3") && held_about(&night) == ["h2"], "{:?}", night.launched);
}

/// It would take nine minutes. Nothing is put over the open question, nothing begins, and the rollback is on time.
#[test]
fn what_does_not_fit_any_more_does_not_begin() {
    for on_deadline in [OnDeadline::Rollback, OnDeadline::Ask] {
        let mut night = late(on_deadline);
        retry(&mut night, "h1");
        assert!(!night.is_launched("work/h1/do/2"), "{on_deadline:?}: {:?}", night.launched);
        assert_eq!((held_about(&night), night.cause()), (vec!["h2"], None), "{on_deadline:?}");
        night.wait(6);
        assert!(night.cause().is_some(), "{on_deadline:?}");
    }
    let mut night = late(OnDeadline::Warn);
    retry(&mut night, "h1");
    assert!(night.is_launched("work/h1/do/2"), "{:?}", night.launched);
}
