//! What of a plan may still change while its run is open, and that the run goes by it.

use jiff::SignedDuration;
use runbook::engine::Engine;
use runbook::engine::fact::{Amendment, Fact, FactRecord, RunOptions};
use runbook::engine::input::{Ask, Reply};
use runbook::graph::job::Work;
use runbook::graph::outcome::Outcome;
use runbook::plan::model::*;
use runbook::plan::units::Estimate;

use super::decisions::Night;
use super::plans::{minutes, step, undone_by};

/// `one` is done, `two` has failed and asks, `three` waits.
fn night() -> Night {
    let at = |id: &str, needs: &[&str], undo: u64| {
        let (place, run) = (Place::Hosts(vec!["h1".into()]), Verb::Run(format!("{id} old")));
        step(id, needs, place, run, undone_by(minutes(undo)), Estimate::exactly(minutes(5)))
    };
    let mut night = Night::simple(vec![at("one", &[], 10), at("two", &["one"], 10), at("three", &["two"], 10)]);
    night.end("one/h1/do/1", Outcome::Succeeded);
    night.end("two/h1/do/1", Outcome::Failed { exit: 1 });
    assert!(night.held().is_some());
    night
}

fn amended(night: &Night, change: impl FnOnce(&mut Plan)) -> Ask {
    let mut plan = Plan::clone(night.engine.state().graph().plan());
    change(&mut plan);
    let changes = vec!["~ step".to_owned()];
    Ask::Amend(Box::new(Amendment { plan, digest: "new".into(), changes, reason: Some("a comma".into()) }))
}

fn rewrite(plan: &mut Plan, step: &str) {
    plan.steps.get_mut(step).unwrap().verb = Verb::Run(format!("{step} new"));
}

fn work(night: &Night, attempt: &str) -> String {
    let attempt = night.launched.iter().find(|a| a.to_string() == attempt).expect("it was launched");
    match night.engine.job(attempt).unwrap().work {
        Work::Shell(text) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_not_done_goes_by_the_new_plan() {
    let mut night = night();
    let ask = amended(&night, |plan| ["two", "three"].into_iter().for_each(|step| rewrite(plan, step)));
    assert!(matches!(night.ask(ask), Reply::Accepted { .. }));
    night.ask(Ask::Retry { step: "two".into(), hosts: vec![] });
    assert!(work(&night, "two/h1/do/2").contains("two new"));
    night.end("two/h1/do/2", Outcome::Succeeded);
    assert!(work(&night, "three/h1/do/1").contains("three new"));
}

#[test]
fn what_is_done_or_under_way_stays() {
    let mut night = night();
    let ask = amended(&night, |plan| rewrite(plan, "one"));
    assert_eq!(night.refused(ask), "`one` is done or under way: its work cannot change any more");
    night.ask(Ask::Retry { step: "two".into(), hosts: vec![] });
    let ask = amended(&night, |plan| ["one", "two", "three"].into_iter().for_each(|step| rewrite(plan, step)));
    let why = night.refused(ask);
    assert!(
        why.contains("`one` is done") && why.contains("`two` is done or under way") && !why.contains("three"),
        "{why}"
    );
    night.end("two/h1/do/2", Outcome::Succeeded);
    assert!(work(&night, "three/h1/do/1").contains("three old"), "a refused amendment changes nothing");
}

#[test]
fn the_shape_of_a_run_stays() {
    let mut night = night();
    let changes: [fn(&mut Plan); 6] = [
        |plan| drop(plan.steps.shift_remove("three")),
        |plan| plan.steps["three"].needs.clear(),
        |plan| plan.steps["three"].place = Place::Hosts(vec!["h2".into()]),
        |plan| plan.steps["three"].undo = Undo::ReadOnly,
        |plan| drop(plan.vars.insert("NEW".into(), Value::Bool(true))),
        |plan| plan.window.as_mut().unwrap().reserve = minutes(1),
    ];
    for (n, change) in changes.into_iter().enumerate() {
        let ask = amended(&night, change);
        assert!(night.refused(ask).contains("stay as they are"), "{n}");
    }
}

/// The last moment to turn back moves with the new estimate, and an undo that has begun cannot change.
#[test]
fn an_undo_may_change_until_it_has_begun() {
    let mut night = night();
    let before = night.engine.state().rollback_now();
    assert_eq!(before, minutes(20));
    let ask = amended(&night, |plan| plan.steps["one"].undo = undone_by(minutes(30)));
    night.ask(ask);
    assert_eq!(night.engine.state().rollback_now(), minutes(40));
    let moved = |f: &Fact| matches!(f, Fact::RollBackByMoved { rollback_now, .. } if *rollback_now == minutes(40));
    assert!(night.facts.iter().any(moved), "people see it");
    night.ask(Ask::Rollback { reason: None });
    let ask = amended(&night, |plan| {
        ["one", "two"].into_iter().for_each(|step| plan.steps[step].undo = undone_by(SignedDuration::ZERO));
    });
    assert_eq!(night.refused(ask), "`two` is undone or being undone: that cannot change any more");
}

/// A run that was amended is replayed to the same state.
#[test]
fn an_amended_run_is_resumed_by_its_new_plan() {
    let mut night = night();
    let graph = night.engine.state().graph().clone();
    let ask = amended(&night, |plan| rewrite(plan, "two"));
    night.ask(ask);
    night.ask(Ask::Retry { step: "two".into(), hosts: vec![] });
    let facts = night.facts.iter().cloned();
    let records: Vec<FactRecord> =
        (1..).zip(facts).map(|(seq, fact)| FactRecord { seq, at: night.now, fact }).collect();
    let again = Engine::replay(graph, &records).unwrap();
    assert_eq!(again.state().graph().plan(), night.engine.state().graph().plan());
    assert_eq!(again.state().rollback_now(), night.engine.state().rollback_now());
}

#[test]
fn approvals_of_an_open_gate_behind_a_change_do_not_count() {
    let place = || Place::Hosts(vec!["h1".into()]);
    let work = step("one", &[], place(), Verb::Run("one".into()), undone_by(minutes(1)), Estimate::exactly(minutes(1)));
    let mut gate = step("ask", &["one"], Place::Nowhere, Verb::Gate, Undo::Nothing, Estimate::exactly(minutes(1)));
    gate.gate.as_mut().unwrap().quorum = 2;
    let mut night = Night::of(vec![work, gate], 300, |_| {}, RunOptions::default());
    night.end("one/h1/do/1", Outcome::Succeeded);
    let approve = |night: &mut Night, name: &str| {
        let by = runbook::engine::fact::Actor { name: name.into(), channel: runbook::engine::fact::Channel::Cli };
        let ask = Ask::Approve { gate: None, defects: vec![], note: None };
        night.tell(runbook::engine::input::Input::Operator(runbook::engine::input::Operator { by, ask }));
    };
    approve(&mut night, "Sarah");
    let ask = amended(&night, |plan| plan.steps["one"].undo = undone_by(minutes(2)));
    night.ask(ask);
    approve(&mut night, "Dev");
    assert!(night.engine.state().end().is_none(), "Sarah approved another plan");
    approve(&mut night, "Sarah");
    assert!(night.engine.state().end().is_some());
}
