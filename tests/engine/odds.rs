//! What is said of the end of a night, held against nights that the engine itself plays: they are drawn from a known
//! distribution, here, by other code than the odds'.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use runbook::engine::fact::{Fact, HoldAnswer, HoldReason, RunEnd, RunOptions};
use runbook::engine::input::{Ask, Input, Operator};
use runbook::graph::Graph;
use runbook::graph::ids::{ActionId, AttemptId, Direction};
use runbook::plan::model::{OnDeadline, Opening, Place, Plan, Step, Undo, Verb, Window};
use runbook::plan::units::{Estimate, Size};
use runbook::schedule::{Evening, Network, Pace, Past, Situation, best_order};
use runbook::sim::world::{Fate, Script, person};
use runbook::sim::{Simulation, dry_run, started, window_instants};
use runbook::view::RunView;

use super::plans::{Dice, minutes, opens, random_plan, work_alone};
use crate::screens::night;

/// Nights of which each is as long as its seed says, in the distribution that the documentation states.
struct Drawn {
    seed: u64,
}

impl Drawn {
    fn normal(&self, of: &str) -> f64 {
        let mixed = of.bytes().fold(self.seed, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        let mut dice = Dice(mixed);
        let mut unit = || (dice.roll(1 << 40) as f64 + 0.5) / (1u64 << 40) as f64;
        (-2.0 * unit().ln()).sqrt() * (std::f64::consts::TAU * unit()).cos()
    }

    fn takes(&self, graph: &Graph, step: &Step, action: &ActionId) -> SignedDuration {
        let Estimate { expected, worst } = step.estimate_or_zero();
        let ix = graph.find_step(&step.id).unwrap();
        let own = self.normal(&action.to_string());
        let shared = self.normal(&format!("step {}", step.id));
        let alone = graph.actions_of(ix).len() == 1 || step.gate.is_some();
        let deviations = if alone { own } else { (shared + own) * 0.5f64.sqrt() };
        let deviation = (worst.as_secs_f64() / expected.as_secs_f64()).ln() / 1.645;
        SignedDuration::try_from_secs_f64(expected.as_secs_f64() * (deviation * deviations).exp()).unwrap()
    }
}

impl Script for Drawn {
    fn attempt(&mut self, graph: &Graph, attempt: &AttemptId) -> Fate {
        match graph.plan().steps.get(attempt.action.step()) {
            Some(step) if attempt.direction == Direction::Do && step.gate.is_none() => {
                Fate::succeeds_after(self.takes(graph, step, &attempt.action))
            }
            _ => Fate::succeeds_after(SignedDuration::ZERO),
        }
    }

    fn gate(&mut self, graph: &Graph, gate: &ActionId) -> Option<(SignedDuration, Operator)> {
        let takes = self.takes(graph, &graph.plan().steps[gate.step()], gate);
        Some((takes, person("Sarah", Ask::Approve { gate: Some(gate.step().into()), defects: vec![], note: None })))
    }
}

const NIGHTS: u64 = 1_000;
const TOLERANCE: f64 = 0.03;

fn graph(plan: Plan) -> Arc<Graph> {
    Arc::new(Graph::build(Arc::new(plan)))
}

/// The night of 2 December; without its own window, so that nothing ends it.
fn unhurried() -> Plan {
    let mut plan = night::plan();
    plan.window = None;
    plan
}

fn within(plan: Plan, lasts: SignedDuration, on_deadline: OnDeadline) -> Plan {
    let opening = Opening::WhenStarted { lasts };
    Plan { window: Some(Window { opening, reserve: minutes(15), max_extension: None, on_deadline }), ..plan }
}

/// Plays one night; ends it at `until`, if it has not ended before.
fn played<'a>(graph: &Arc<Graph>, script: &'a mut Drawn, until: Option<Timestamp>) -> (Simulation<'a>, Option<RunEnd>) {
    let window = window_instants(graph.plan(), opens());
    let first = started(graph, window, RunOptions { no_input: true, ..RunOptions::default() });
    let mut sim = Simulation::start(graph.clone(), first, opens(), script);
    while sim.engine.state().end().is_none() && until.is_none_or(|t| sim.now < t) && sim.step() {}
    let end = sim.engine.state().end().cloned();
    (sim, end)
}

#[test]
fn nights_are_played_by_the_rules_of_the_engine() {
    for seed in 0..400 {
        let mut dice = Dice(seed);
        // Parts that take no time would end at one instant.
        let mut plan = work_alone(random_plan(&mut dice));
        plan.window = None;
        let same_host = dice.one_in(3);
        for (i, step) in plan.steps.values_mut().enumerate() {
            // Nothing ends at the same instant: ties are nobody's rule.
            let takes = step.estimate_or_zero().expected + SignedDuration::from_millis(1 << i);
            step.estimate = Some(Estimate::exactly(takes));
            step.needs.iter_mut().take(1).for_each(|need| need.same_host = same_host);
        }
        let graph = graph(plan);
        let order = best_order(&graph, 2_000, 1);
        let engine = dry_run(&graph, opens(), order.as_ref());
        let evening = Evening::new(&graph, order.as_ref(), &Past::default());
        let odds = evening.nights(&graph, &Evening::before(&graph, opens(), None), 1, 1);
        let apart = odds.middle.duration_since(engine.finish).abs();
        assert!(apart < SignedDuration::from_millis(5), "seed {seed}: {} and {}", odds.middle, engine.finish);
    }
}

/// Steps one after the other on twelve hosts of two groups and some of none, some of which must stay in service.
fn fleet(dice: &mut Dice) -> Plan {
    let hosts: Vec<String> = (1..=12).map(|i| format!("h{i}")).collect();
    let steps = (0..2 + dice.roll(3)).map(|i| {
        let before = i.checked_sub(1).map(|before| format!("s{before}"));
        let needs: Vec<&str> = before.as_deref().into_iter().collect();
        let takes = Estimate::exactly(minutes(1 + dice.roll(20)) + SignedDuration::from_millis(1 << i));
        let place = Place::Hosts(hosts.clone());
        let mut step =
            super::plans::step(&format!("s{i}"), &needs, place, Verb::Run("x".into()), Undo::ReadOnly, takes);
        step.fleet.canary = dice.one_in(3);
        step.fleet.keep_up = (!dice.one_in(3)).then(|| match dice.roll(2) {
            0 => Size::Count(dice.roll(4) as u32),
            _ => Size::Percent(25 * dice.roll(4) as u8),
        });
        step.fleet.at_once = dice.one_in(3).then(|| Size::Count(1 + dice.roll(12) as u32));
        step
    });
    let mut plan = super::plans::plan(steps.collect(), None, &hosts);
    plan.groups.insert("front".into(), hosts[..4].to_vec());
    plan.groups.insert("back".into(), hosts[4..8].to_vec());
    plan
}

/// What a person sees at that time of a night in which everything takes as long as expected.
fn seen(graph: &Arc<Graph>, at: Timestamp) -> RunView {
    let mut script = Drawn { seed: 0 };
    let (sim, _) = played(graph, &mut script, Some(at));
    let mut view = RunView::new(graph.clone());
    // The event that went past that time has not happened yet at that time.
    sim.journal.iter().filter(|r| r.at <= at).for_each(|r| view.apply(r));
    view
}

/// Who stays in service, and the canary: to the odds, to the network of steps, to the live view and to the engine they
/// are the same. (Hosts
/// of several steps that end at one instant are taken by the odds in the order of the plan, by the engine as they began.)
#[test]
fn fleets_are_taken_by_the_rules_of_the_engine() {
    let mut same = 0;
    for seed in 0..400 {
        let mut plan = fleet(&mut Dice(seed));
        let network = |graph: &Graph| {
            let ends = Network::new(graph, Pace::Expected).earliest().into_iter().map(|t| t.end);
            opens() + ends.max().unwrap()
        };
        for same_host in [false, true] {
            plan.steps.values_mut().flat_map(|s| &mut s.needs).for_each(|need| need.same_host = same_host);
            let graph = graph(plan.clone());
            let engine = dry_run(&graph, opens(), None).finish;
            let evening = Evening::new(&graph, None, &Past::default());
            let odds = evening.nights(&graph, &Evening::before(&graph, opens(), None), 1, 1).middle;
            let near = |t: Timestamp| t.duration_since(engine).abs() < SignedDuration::from_millis(50);
            assert!(same_host || near(odds), "seed {seed}: odds {odds}, engine {engine}");
            same += u32::from(near(odds));
            assert!(same_host || near(network(&graph)), "seed {seed}: network {}, engine {engine}", network(&graph));
            let half = engine.duration_since(opens()) / 2;
            for at in [opens(), opens() + half] {
                let live = seen(&graph, at).forecast(at).finish;
                assert!(same_host || near(live), "seed {seed} at {at}: live {live}, engine {engine}");
            }
        }
    }
    assert!(same >= 790, "{same} of 800 agree");
}

/// Of all nights, a tenth ends before the first decile of what was predicted, two tenths before the second, ...
#[test]
fn nights_end_as_often_as_predicted_in_each_decile() {
    let graph = graph(unhurried());
    let mut ends: Vec<Timestamp> = (0..NIGHTS)
        .map(|seed| {
            let mut script = Drawn { seed };
            let (sim, end) = played(&graph, &mut script, None);
            assert!(matches!(end, Some(RunEnd::Succeeded { .. })), "{end:?}");
            sim.now
        })
        .collect();
    ends.sort_unstable();
    let evening = Evening::new(&graph, None, &Past::default());
    for decile in 1..10 {
        let by = ends[(NIGHTS * decile / 10) as usize];
        // Of the predicted nights, those that would be done by then.
        let predicted = finishing(&evening, &graph, &Evening::before(&graph, opens(), None), by, 4_000);
        let observed = decile as f64 / 10.0;
        assert!((predicted - observed).abs() < TOLERANCE, "{by}: predicted {predicted}, observed {observed}");
    }
}

/// How likely it is that everything is done by then, without a deadline that could stop it.
fn finishing(evening: &Evening, graph: &Graph, situation: &Situation, by: Timestamp, nights: u32) -> f64 {
    let situation = Situation { closes: Some(by), reversible: false, ..situation.clone() };
    evening.nights(graph, &situation, nights, 7).done.unwrap()
}

/// In the middle of a night, too: what is done, and for how long the rest has run, is taken into account exactly. Of all
/// predictions that the real end has a chance of so many percent to lie where it lies, as many come out so.
#[test]
fn predictions_in_the_middle_of_a_night_hold_in_each_decile() {
    let graph = graph(unhurried());
    let evening = Evening::new(&graph, None, &Past::default());
    let mut deciles = [0u32; 10];
    let mut asked = 0;
    for seed in 0..NIGHTS {
        let at = opens() + minutes(1 + Dice(seed).roll(200));
        let mut script = Drawn { seed };
        let (mut sim, ended) = played(&graph, &mut script, Some(at));
        if ended.is_some() {
            continue;
        }
        // The event that went past that time has not happened yet at that time.
        let mut view = RunView::new(graph.clone());
        sim.journal.iter().filter(|r| r.at <= at).for_each(|r| view.apply(r));
        while sim.engine.state().end().is_none() && sim.step() {}
        let predicted = finishing(&evening, &graph, &view.situation(at).unwrap(), sim.now, 200);
        deciles[((predicted * 10.0) as usize).min(9)] += 1;
        asked += 1;
    }
    assert!(asked > 900, "{asked}");
    for (decile, count) in deciles.iter().enumerate() {
        let observed = f64::from(*count) / f64::from(asked);
        assert!((observed - 0.1).abs() < TOLERANCE, "decile {decile}: {observed}, all: {deciles:?}");
    }
}

/// With the deadline: the engine refuses what would start too late and turns back at *roll back by*.
#[test]
fn the_deadline_stops_as_many_nights_as_predicted() {
    for (lasts, fleet) in [(300, false), (330, false), (360, false), (330, true)] {
        let mut plan = within(unhurried(), minutes(lasts), OnDeadline::Rollback);
        if fleet {
            plan.at_once = Some(Size::Count(2));
        }
        let graph = graph(plan);
        let closes = opens() + minutes(lasts);
        let done = (0..NIGHTS).filter(|seed| {
            let mut script = Drawn { seed: *seed };
            matches!(played(&graph, &mut script, None).1, Some(RunEnd::Succeeded { late: false }))
        });
        let observed = done.count() as f64 / NIGHTS as f64;
        let evening = Evening::new(&graph, None, &Past::default());
        let odds = evening.odds(&graph, &Evening::before(&graph, opens(), Some(closes))).unwrap();
        let predicted = odds.done.unwrap();
        assert!((predicted - observed).abs() < TOLERANCE, "{lasts} min: predicted {predicted}, observed {observed}");
        assert!(odds.rollback_fits.unwrap() >= predicted);
    }
}

/// Without any spread there is one night: it ends in time, or the deadline stops it, as the engine decides. (What a
/// rollback costs is known to the odds by the expected order of the steps, to the engine by the real one.)
#[test]
fn the_deadline_is_that_of_the_engine() {
    let (mut same, mut stopped) = (0, 0);
    for seed in 0..600 {
        let mut plan = random_plan(&mut Dice(seed));
        for (i, step) in plan.steps.values_mut().enumerate() {
            step.estimate =
                Some(Estimate::exactly(step.estimate_or_zero().expected + SignedDuration::from_millis(1 << i)));
        }
        let graph = graph(plan);
        let mut script = Drawn { seed: 0 };
        let done = matches!(played(&graph, &mut script, None).1, Some(RunEnd::Succeeded { late: false }));
        let closes = window_instants(graph.plan(), opens()).unwrap().closes;
        let evening = Evening::new(&graph, None, &Past::default());
        let odds = evening.nights(&graph, &Evening::before(&graph, opens(), Some(closes)), 1, 1);
        same += u32::from(odds.done == Some(f64::from(u8::from(done))));
        stopped += u32::from(!done);
    }
    assert!((50..550).contains(&stopped), "{stopped} of 600 stopped");
    assert!(same >= 590, "{same} of 600 agree");
}

/// Everything takes what it is told to, in minutes; gates too.
struct Told(&'static [(&'static str, u64)]);

impl Told {
    fn takes(&self, step: &str) -> SignedDuration {
        minutes(self.0.iter().find(|(id, _)| *id == step).map_or(1, |(_, m)| *m))
    }
}

impl Script for Told {
    fn attempt(&mut self, _: &Graph, attempt: &AttemptId) -> Fate {
        Fate::succeeds_after(self.takes(attempt.action.step()))
    }

    fn gate(&mut self, _: &Graph, gate: &ActionId) -> Option<(SignedDuration, Operator)> {
        let ask = Ask::Approve { gate: Some(gate.step().into()), defects: vec![], note: None };
        Some((self.takes(gate.step()), person("Sarah", ask)))
    }
}

/// `a`, a gate, `b`, `c`, one after the other, in an hour.
fn asking(plans: Option<u8>, gates: Option<u8>) -> Arc<Graph> {
    let estimate = |expected, worst| Estimate { expected: minutes(expected), worst: minutes(worst) };
    let host = || Place::Hosts(vec!["h".into()]);
    let work = || Verb::Run("x".into());
    let undo = || super::plans::undone_by(minutes(5));
    let mut steps = vec![
        super::plans::step("a", &[], host(), work(), undo(), estimate(10, 20)),
        super::plans::step("ask", &["a"], Place::Nowhere, Verb::Gate, Undo::Nothing, estimate(1, 2)),
        super::plans::step("b", &["ask"], host(), work(), undo(), estimate(10, 12)),
        super::plans::step("c", &["b"], host(), Verb::Test("x".into()), Undo::Nothing, estimate(5, 10)),
    ];
    steps[1].gate.as_mut().unwrap().ask_below = gates;
    let mut plan = within(super::plans::plan(steps, None, &["h".into()]), minutes(60), OnDeadline::Rollback);
    plan.ask_below = plans;
    graph(plan)
}

fn playing<'a>(graph: &Arc<Graph>, script: &'a mut Told, no_input: bool) -> Simulation<'a> {
    let first =
        started(graph, window_instants(graph.plan(), opens()), RunOptions { no_input, ..RunOptions::default() });
    Simulation::start(graph.clone(), first, opens(), script)
}

fn until_held(sim: &mut Simulation<'_>) -> Option<HoldReason> {
    while sim.engine.state().end().is_none() {
        if let Some(hold) = sim.engine.state().hold() {
            return Some(hold.reason.clone());
        }
        assert!(sim.step());
    }
    None
}

fn begun(sim: &Simulation<'_>, step: &str) -> bool {
    let armed = |f: &Fact| matches!(f, Fact::AttemptArmed { attempt } if attempt.action.step() == step);
    sim.journal.iter().any(|r| armed(&r.fact))
}

/// `a` was slow, so the rest hardly fits: nothing goes on before a person has said so, and then that is said.
#[test]
fn a_run_that_becomes_unlikely_to_end_in_time_asks_before_it_goes_on() {
    let graph = asking(Some(80), None);
    let mut script = Told(&[("a", 19), ("b", 10), ("c", 5)]);
    let mut sim = playing(&graph, &mut script, false);
    let Some(HoldReason::Unlikely { done, rollback_fits, below: 80 }) = until_held(&mut sim) else {
        panic!("not held: {:?}", sim.journal)
    };
    assert!(done.min(rollback_fits) < 80 && begun(&sim, "a") && !begun(&sim, "b"), "{done} {rollback_fits}");
    let records = sim.journal.clone();
    let replayed = runbook::engine::Engine::replay(graph.clone(), &records).unwrap();
    assert_eq!(replayed.state().hold(), sim.engine.state().hold(), "what was found is in the fact");
    sim.turn(Input::Operator(person("Sarah", Ask::Hold { answer: HoldAnswer::Continue, note: None })));
    assert_eq!(until_held(&mut sim), None, "whoever went on is not asked the same again");
    assert!(matches!(sim.engine.state().end(), Some(RunEnd::Succeeded { late: false })));
}

#[test]
fn who_is_likely_enough_is_not_asked_and_nobody_is_where_nobody_can_answer() {
    let quick = || Told(&[("a", 8), ("b", 10), ("c", 5)]);
    let slow = || Told(&[("a", 19), ("b", 10), ("c", 5)]);
    assert_eq!(until_held(&mut playing(&asking(Some(80), None), &mut quick(), false)), None);
    assert_eq!(until_held(&mut playing(&asking(None, None), &mut slow(), false)), None);
    assert_eq!(until_held(&mut playing(&asking(Some(80), None), &mut slow(), true)), None);
}

/// A gate's own number counts once it is approved, and instead of the plan's.
#[test]
fn a_gate_has_a_number_of_its_own() {
    let slow = || Told(&[("a", 19), ("b", 10), ("c", 5)]);
    let (graph, mut script) = (asking(None, Some(80)), slow());
    let mut sim = playing(&graph, &mut script, false);
    assert!(matches!(until_held(&mut sim), Some(HoldReason::Unlikely { below: 80, .. })));
    let approved = |f: &Fact| matches!(f, Fact::GateAnswered { .. });
    assert!(sim.journal.iter().any(|r| approved(&r.fact)) && !begun(&sim, "b"));
    assert_eq!(until_held(&mut playing(&asking(None, Some(1)), &mut slow(), false)), None);
}
