//! What is said of the end of a night, held against nights that the engine itself plays: they are drawn from a known
//! distribution, here, by other code than the odds'.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use runbook::engine::fact::{RunEnd, RunOptions};
use runbook::engine::input::{Ask, Operator};
use runbook::graph::Graph;
use runbook::graph::ids::{ActionId, AttemptId, Direction};
use runbook::plan::model::{OnDeadline, Opening, Plan, Step, Window};
use runbook::plan::units::{Estimate, Size};
use runbook::schedule::{Evening, Past, Situation, best_order};
use runbook::sim::world::{Fate, Script, person};
use runbook::sim::{Simulation, dry_run, started, window_instants};
use runbook::view::RunView;

use super::plans::{Dice, minutes, opens, random_plan};
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
        let mut plan = random_plan(&mut dice);
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
