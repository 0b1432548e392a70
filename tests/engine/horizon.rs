//! Rollback horizons: from when on nothing is rolled back by itself, what people may still do, and what is never undone.

use std::sync::Arc;

use runbook::engine::fact::{Fact, HoldReason, Mark, RollbackCause, RunEnd, RunOptions};
use runbook::engine::input::{Ask, Input};
use runbook::engine::invariants::violations;
use runbook::graph::Graph;
use runbook::graph::outcome::Outcome;
use runbook::plan::model::*;
use runbook::plan::units::Estimate;
use runbook::sim::world::person;
use runbook::sim::{Simulation, Stopped, started, window_instants};

use super::decisions::Night;
use super::plans::{Dice, RandomWorld, minutes, opens, random_plan, step, undone_by};

fn on() -> Place {
    Place::Hosts(vec!["h1".into()])
}

fn work(id: &str, needs: &[&str]) -> Step {
    step(id, needs, on(), Verb::Run(id.into()), undone_by(minutes(10)), Estimate::exactly(minutes(5)))
}

/// `migrate`, whose rollback expires with `open`; then `sanity`.
fn steps() -> Vec<Step> {
    let mut migrate = work("migrate", &[]);
    if let Undo::Command(rollback) = &mut migrate.undo {
        rollback.until = Some("writes".into());
    }
    let open = Step { opens: Some("writes".into()), ..work("open", &["migrate"]) };
    let sanity = step("sanity", &["open"], on(), Verb::Test("t".into()), Undo::Nothing, Estimate::exactly(minutes(5)));
    vec![migrate, open, sanity]
}

fn night(options: RunOptions, change: impl FnOnce(&mut Plan)) -> Night {
    let mut night = Night::of(steps(), 300, change, options);
    night.end("migrate/h1/do/1", Outcome::Succeeded);
    night
}

fn failed() -> Outcome {
    Outcome::Failed { exit: 1 }
}

fn never() -> Outcome {
    Outcome::NeverStarted { why: "no route".into() }
}

fn crossed(night: &Night) -> bool {
    night.engine.state().roll_back_by().is_none()
}

/// Behind it the deadline is off, so before it everything that follows must fit.
#[test]
fn a_horizon_is_crossed_only_where_all_that_follows_still_fits() {
    for (minutes_of_sanity, refused) in [(50, false), (51, true)] {
        let mut steps = steps();
        steps[2].estimate = Some(Estimate::exactly(minutes(minutes_of_sanity)));
        let mut night = Night::of(steps, 60, |_| {}, RunOptions::default());
        night.wait(0);
        night.now += minutes(5);
        night.end("migrate/h1/do/1", Outcome::Succeeded);
        let admission =
            night.facts.iter().any(|f| matches!(f, Fact::AdmissionRefused { action, .. } if action.step() == "open"));
        assert_eq!(
            (admission, night.is_launched("open/h1/do/1")),
            (refused, !refused),
            "{minutes_of_sanity}m: {:?}",
            night.facts
        );
    }
}

#[test]
fn the_start_of_what_opens_is_the_horizon() {
    let mut night = Night::simple(steps());
    assert!(!crossed(&night), "nothing has begun");
    night.end("migrate/h1/do/1", Outcome::Succeeded);
    let told = Fact::HorizonCrossed {
        action: runbook::graph::ids::ActionId::new("open", Some("h1")),
        opens: "writes".into(),
        expired: vec!["migrate".into()],
    };
    assert!(crossed(&night), "new data may flow from now on");
    assert_eq!(night.facts.iter().filter(|f| **f == told).count(), 1);
    night.end("open/h1/do/1", Outcome::Succeeded);
    assert_eq!(night.facts.iter().filter(|f| matches!(f, Fact::HorizonCrossed { .. })).count(), 1);
}

#[test]
fn past_it_failures_and_the_deadline_roll_nothing_back() {
    let mut night = night(RunOptions::default(), |_| {});
    night.end("open/h1/do/1", Outcome::Succeeded);
    night.end("sanity/h1/do/1", failed());
    assert!(matches!(night.held(), Some(HoldReason::ForwardOnly { .. })));
    night.wait(600);
    assert_eq!((night.cause(), night.ended()), (None, None), "the deadline is off, and a person is needed");
}

#[test]
fn with_nobody_to_ask_the_run_stops_half_way_and_says_so() {
    let mut night = night(RunOptions { no_input: true, ..RunOptions::default() }, |_| {});
    night.end("open/h1/do/1", failed());
    assert!(matches!(night.ended(), Some(RunEnd::Stuck { .. })), "{:?}", night.ended());
    assert_eq!(night.cause(), None);
}

/// The machine's half of a gate has passed on one host and failed on the other, so its question is never asked.
#[test]
fn with_nobody_to_ask_a_question_that_cannot_be_asked_any_more_does_not_keep_the_run_open() {
    let options = RunOptions { no_input: true, ..RunOptions::default() };
    let mut night = night(options, |plan| {
        let sanity = &mut plan.steps["sanity"];
        sanity.place = Place::Hosts(vec!["h1".into(), "h2".into()]);
        sanity.gate = step("ask", &[], Place::Nowhere, Verb::Gate, Undo::Nothing, Estimate::ZERO).gate;
    });
    night.end("open/h1/do/1", Outcome::Succeeded);
    night.end("sanity/h1/do/1", Outcome::Succeeded);
    night.end("sanity/h2/do/1", failed());
    assert!(matches!(night.ended(), Some(RunEnd::Stuck { .. })), "{:?}", night.facts);
}

#[test]
fn what_never_started_has_opened_nothing() {
    let mut night = night(RunOptions { no_input: true, ..RunOptions::default() }, |_| {});
    for number in 1..=2 {
        night.end(&format!("open/h1/do/{number}"), never());
        assert!(!crossed(&night), "after try {number}");
        assert!(night.facts.contains(&Fact::HorizonKept { opens: "writes".into() }));
        night.wait(1);
    }
    night.end("open/h1/do/3", never());
    assert!(matches!(night.cause(), Some(RollbackCause::Failed { .. })), "{:?}", night.facts);
    night.end("migrate/h1/undo/1", Outcome::Succeeded);
    assert!(matches!(night.ended(), Some(RunEnd::RolledBack { .. })));
}

#[test]
fn where_nothing_expires_nothing_is_crossed() {
    let mut night =
        Night::of(steps(), 300, |plan| plan.steps["migrate"].when = Some("false".into()), RunOptions::default());
    assert!(night.is_launched("open/h1/do/1") && !crossed(&night));
    night.end("open/h1/do/1", Outcome::Succeeded);
    night.end("sanity/h1/do/1", failed());
    assert!(matches!(night.cause(), Some(RollbackCause::Failed { .. })));
}

#[test]
fn people_may_still_roll_back_and_what_has_expired_is_left_to_them() {
    let mut night = night(RunOptions::default(), |_| {});
    night.end("open/h1/do/1", Outcome::Succeeded);
    night.ask(Ask::Rollback { reason: Some("the mayor".into()) });
    night.end("sanity/h1/do/1", Outcome::Cancelled);
    night.end("open/h1/undo/1", Outcome::Succeeded);
    assert!(!night.is_launched("migrate/h1/undo/1"));
    let Some(RunEnd::Stuck { actions }) = night.ended() else { panic!("{:?}", night.ended()) };
    let why: Vec<(&str, &str)> = actions.iter().map(|(id, why)| (id.as_str(), why.as_str())).collect();
    assert!(why.len() == 1 && why[0].0 == "migrate@h1" && why[0].1.contains("expired with writes"), "{why:?}");
    // Closing what was open brings nothing back: what came in is there.
    night.ask(Ask::Rollback { reason: None });
    assert!(!night.is_launched("migrate/h1/undo/1"));
    night.ask(Ask::Mark { step: "migrate".into(), host: None, mark: Mark::Undone, reason: None });
    assert!(matches!(night.ended(), Some(RunEnd::RolledBack { .. })), "{:?}", night.ended());
}

#[test]
fn what_a_person_has_opened_is_open() {
    let mut night = night(RunOptions::default(), |_| {});
    for number in 1..=3 {
        night.end(&format!("open/h1/do/{number}"), never());
        night.wait(1);
    }
    assert!(night.held().is_some() && !crossed(&night));
    night.ask(Ask::Mark { step: "open".into(), host: None, mark: Mark::Done, reason: None });
    assert!(crossed(&night));
}

#[test]
fn the_horizon_is_crossed_only_when_the_rest_fits_the_window() {
    let mut night = Night::of(steps(), 25, |_| {}, RunOptions::default());
    night.wait(16);
    night.end("migrate/h1/do/1", Outcome::Succeeded);
    assert!(!night.is_launched("open/h1/do/1"), "ten more minutes do not fit, and from there it only goes forward");
    assert!(night.cause().is_some());
}

/// Whatever fails, and whenever a person rolls back by hand: what has expired is never undone, nothing but a person rolls
/// back past a horizon, and nothing is forgotten.
#[test]
fn in_random_nights_nothing_is_lost_past_a_horizon() {
    let (mut past, mut by_hand) = (0, 0);
    for seed in 0..6_000 {
        let graph = Arc::new(Graph::build(Arc::new(random_plan(&mut Dice(seed)))));
        if graph.horizons().is_empty() {
            continue;
        }
        let mut dice = Dice(seed ^ 0x9a11);
        let options = RunOptions { no_input: dice.one_in(2), ..RunOptions::default() };
        let first = started(&graph, window_instants(graph.plan(), opens()), options);
        let faults = if dice.one_in(2) { 0 } else { 4 };
        let mut world = RandomWorld { seed, faults, undo_faults: false, overruns: seed % 3 == 0 };
        let mut sim = Simulation::start(graph.clone(), first, opens(), &mut world);
        let reason = Some("enough".to_owned());
        let at = opens() + minutes(dice.roll(120));
        sim.world.at(at, Input::Operator(person("Sarah", Ask::Rollback { reason })));
        let end = sim.run(20_000);
        let held = sim.engine.state().hold().is_some();
        assert!(end.is_ok() || (end == Err(Stopped::Hangs) && held), "seed {seed}: {end:?}");
        assert_eq!(violations(&graph, &sim.journal), Vec::<String>::new(), "seed {seed}");
        let crossed = sim.journal.iter().position(|r| matches!(r.fact, Fact::HorizonCrossed { .. }));
        let rolled_back = sim.journal.iter().position(|r| matches!(r.fact, Fact::RollbackDecided { .. }));
        past += u32::from(crossed.is_some());
        by_hand += u32::from(crossed.zip(rolled_back).is_some_and(|(crossed, back)| crossed < back));
    }
    assert!(past > 200 && by_hand > 50, "{past} nights crossed a horizon, {by_hand} were rolled back past it");
}
