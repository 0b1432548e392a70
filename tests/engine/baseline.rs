//! What a test said before the night, and what its failure leads to in the night.

use std::collections::BTreeMap;
use std::sync::Arc;

use runbook::engine::fact::{Amendment, Fact, HoldAnswer, HoldReason, RollbackCause, RunOptions, RunStarted};
use runbook::engine::input::{Ask, Reply};
use runbook::engine::invariants::violations;
use runbook::graph::Graph;
use runbook::graph::ids::ActionId;
use runbook::graph::outcome::{Outcome, Verdict};
use runbook::plan::model::*;
use runbook::plan::units::Estimate;
use runbook::sim::{Simulation, Stopped, started, window_instants};

use super::decisions::Night;
use super::plans::{Dice, RandomWorld, minutes, opens, plan, random_plan, step, undone_by};

fn sanity() -> ActionId {
    ActionId::new("sanity", Some("h1"))
}

fn steps() -> Vec<Step> {
    let on = || Place::Hosts(vec!["h1".into()]);
    let five = Estimate::exactly(minutes(5));
    let deploy = step("deploy", &[], on(), Verb::Run("deploy".into()), undone_by(minutes(10)), five);
    let test = step("sanity", &["deploy"], on(), Verb::Test("test".into()), Undo::Nothing, five);
    vec![deploy, Step { baseline: true, ..test }]
}

/// The night up to the failing test.
fn night(before: Verdict, options: RunOptions) -> Night {
    let mut night = Night::after(steps(), 300, |_| {}, options, BTreeMap::from([(sanity(), before)]));
    night.end("deploy/h1/do/1", Outcome::Succeeded);
    night
}

fn fails(night: &mut Night) {
    night.end("sanity/h1/do/1", Outcome::Failed { exit: 1 });
}

#[test]
fn a_test_that_was_red_before_asks_instead_of_rolling_back() {
    let mut night = night(Verdict::Fail, RunOptions::default());
    fails(&mut night);
    assert_eq!(night.held(), Some(&HoldReason::Failed { actions: vec![sanity()] }));
    assert_eq!(night.cause(), None);
    night.ask(Ask::Hold { answer: HoldAnswer::Skip, note: None });
    assert!(night.ended().is_some_and(|end| matches!(end, runbook::engine::fact::RunEnd::Succeeded { .. })));
}

#[test]
fn nothing_but_a_failure_before_takes_the_rollback_away() {
    for before in [Verdict::Pass, Verdict::Inconclusive] {
        let mut night = night(before, RunOptions::default());
        fails(&mut night);
        assert_eq!(night.cause(), Some(&RollbackCause::Failed { action: sanity() }), "{before:?}");
    }
}

#[test]
fn with_nobody_to_ask_it_rolls_back_all_the_same() {
    let mut night = night(Verdict::Fail, RunOptions { no_input: true, ..RunOptions::default() });
    fails(&mut night);
    assert_eq!(night.cause(), Some(&RollbackCause::Failed { action: sanity() }));
}

#[test]
fn an_unanswered_hold_still_ends_at_roll_back_by() {
    let mut night = night(Verdict::Fail, RunOptions::default());
    fails(&mut night);
    night.wait(300);
    assert_eq!(night.cause(), Some(&RollbackCause::Deadline));
}

#[test]
fn another_test_in_its_place_was_never_red() {
    let mut night = night(Verdict::Fail, RunOptions::default());
    fails(&mut night);
    let mut amended = Plan::clone(night.engine.state().graph().plan());
    amended.steps.get_mut("sanity").unwrap().verb = Verb::Test("another".into());
    let (digest, changes) = ("new".into(), vec!["~ sanity".into()]);
    let amend = Ask::Amend(Box::new(Amendment { plan: amended, digest, changes, reason: None }));
    assert!(matches!(night.ask(amend), Reply::Accepted { .. }));
    night.ask(Ask::Hold { answer: HoldAnswer::Retry, note: None });
    night.end("sanity/h1/do/2", Outcome::Failed { exit: 1 });
    assert_eq!(night.cause(), Some(&RollbackCause::Failed { action: sanity() }));
}

#[test]
fn a_journal_from_before_there_was_a_baseline_opens() {
    let hosts = ["h1".to_string()];
    let graph = Graph::build(Arc::new(plan(steps(), Some(minutes(300)), &hosts)));
    let first = started(&graph, window_instants(graph.plan(), opens()), RunOptions::default());
    let old = serde_json::to_value(&first).unwrap();
    assert_eq!(old.get("baseline"), None, "a run without any says nothing of it");
    assert_eq!(serde_json::from_value::<RunStarted>(old).unwrap(), first);
    let mut step = serde_json::to_value(&graph.plan().steps["sanity"]).unwrap();
    assert_eq!(step.as_object_mut().unwrap().remove("baseline"), Some(true.into()));
    assert!(!serde_json::from_value::<Step>(step).unwrap().baseline);
}

/// Whatever happens around it: a red test never starts a rollback where people can be asked, and the run is as sound as
/// ever. Where nobody answers a hold it ends at *roll back by*, or holds for good after the way back.
#[test]
fn in_random_nights_no_red_test_rolls_anything_back() {
    let mut asked = 0;
    for seed in 0..3_000 {
        let graph = Arc::new(Graph::build(Arc::new(random_plan(&mut Dice(seed)))));
        let mut dice = Dice(seed ^ 0xba5e);
        let judges = |id: &ActionId| matches!(graph.step_of(graph.find(id).unwrap()).verb, Verb::Test(_));
        let tests = graph.actions().iter().map(|a| a.id.clone()).filter(judges);
        let verdicts = [Verdict::Pass, Verdict::Fail, Verdict::Fail, Verdict::Inconclusive];
        let baseline: BTreeMap<_, _> = tests.map(|id| (id, verdicts[dice.roll(4) as usize])).collect();
        let options = RunOptions { no_input: dice.one_in(4), ..RunOptions::default() };
        let first = started(&graph, window_instants(graph.plan(), opens()), options);
        let first = RunStarted { baseline, ..first };
        let mut world = RandomWorld { seed, faults: 3, undo_faults: false, overruns: false };
        let mut sim = Simulation::start(graph.clone(), first.clone(), opens(), &mut world);
        let end = sim.run(20_000);
        let held = sim.engine.state().hold().is_some();
        assert!(end.is_ok() || (end == Err(Stopped::Hangs) && held), "seed {seed}: {end:?}");
        assert_eq!(violations(&graph, &sim.journal), Vec::<String>::new(), "seed {seed}");
        let red = |r: &runbook::engine::fact::FactRecord| match &r.fact {
            Fact::HoldOpened { reason: HoldReason::Failed { actions }, .. } => {
                actions.iter().any(|a| first.red_before(a))
            }
            _ => false,
        };
        asked += u32::from(sim.journal.iter().any(red));
    }
    assert!(asked > 200, "only {asked} nights asked about a red test: this tests little");
}
