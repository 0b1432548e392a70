//! The dry run: the real engine against a world in which everything takes as long as estimated. Touches nothing.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::drive::{Simulation, started};
use super::world::{Fate, Script, person};
use crate::engine::fact::RunOptions;
use crate::engine::input::{Ask, Operator};
use crate::engine::state::Doing;
use crate::graph::ids::{ActionId, AttemptId, Direction};
use crate::graph::{Graph, StepIx};
use crate::plan::model::{Plan, Step, Undo};
use crate::plan::units::Estimate;
use crate::schedule::{Order, RollbackCost};
use crate::template;

/// When a step begins and ends. Both `None` for a step that is skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StepTimes {
    pub start: Option<Timestamp>,
    pub end: Option<Timestamp>,
}

/// The evening as the estimates tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DryRun {
    /// By step number, with expected durations.
    pub steps: Vec<StepTimes>,
    /// The same with worst durations.
    pub worst: Vec<StepTimes>,
    pub finish: Timestamp,
    pub worst_finish: Timestamp,
    /// For a full rollback: closes - reserve - `rollback_now`. `None` without a window.
    pub roll_back_by: Option<Timestamp>,
    /// Undoing everything that can be undone, at worst.
    pub rollback_now: SignedDuration,
}

/// Plays the plan from `opens` on, in the order that its run would keep. The window's end does not stop it: that is for
/// the reader to see.
#[must_use]
pub fn dry_run(graph: &Graph, opens: Timestamp, order: Option<&Order>) -> DryRun {
    let graph = Arc::new(Graph::build(Arc::new(without_unknowns(graph.plan()))));
    let (steps, finish, skipped) = play(&graph, opens, order, |e| e.expected);
    let (worst, worst_finish, _) = play(&graph, opens, order, |e| e.worst);
    let rollback_now = full_rollback(&graph, &skipped);
    let roll_back_by = super::drive::window_instants(graph.plan(), opens)
        .and_then(|w| w.closes.checked_sub(w.reserve + rollback_now).ok());
    DryRun { steps, worst, finish, worst_finish, roll_back_by, rollback_now }
}

/// Conditions on outputs cannot be decided before the night: those steps are taken to run.
#[must_use]
pub fn without_unknowns(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    let outputs: Vec<String> = plan.steps.values().flat_map(|s| s.outputs.clone()).collect();
    for step in plan.steps.values_mut() {
        let unknown = |when: &String| template::undeclared_in_expression(when).iter().any(|n| outputs.contains(n));
        if step.when.as_ref().is_some_and(unknown) {
            step.when = None;
        }
    }
    plan
}

fn play(
    graph: &Arc<Graph>,
    opens: Timestamp,
    order: Option<&Order>,
    takes: fn(&Estimate) -> SignedDuration,
) -> (Vec<StepTimes>, Timestamp, Vec<bool>) {
    let mut script = AsEstimated { takes };
    let mut first = started(graph, None, RunOptions { no_input: true, ..RunOptions::default() });
    first.order = order.cloned();
    let mut sim = Simulation::start(graph.clone(), first, opens, &mut script).without_journal();
    let most = 20 * (graph.actions().len() as u64 + 10);
    // A plan that is valid always ends here: nothing fails and everybody answers.
    let _ = sim.run(most);
    let state = sim.engine.state();
    let times = |step: StepIx| StepTimes {
        start: graph.actions_of(step).filter_map(|a| state.action(a).started).min(),
        end: graph
            .actions_of(step)
            .filter(|a| state.action(*a).started.is_some())
            .filter_map(|a| state.action(a).ended)
            .max(),
    };
    let skipped = graph.action_ixs().map(|a| state.action(a).doing == Doing::Skipped).collect();
    (graph.step_ixs().map(times).collect(), sim.now, skipped)
}

fn full_rollback(graph: &Graph, skipped: &[bool]) -> SignedDuration {
    let mut cost = RollbackCost::new(graph);
    for ix in graph.action_ixs() {
        let step = graph.step_of(ix);
        if step.changes_something() && !matches!(step.undo, Undo::Irreversible(_)) && !skipped[ix.index()] {
            cost.touch(graph, graph.action(ix).step);
        }
    }
    cost.now()
}

struct AsEstimated {
    takes: fn(&Estimate) -> SignedDuration,
}

impl AsEstimated {
    fn of(&self, step: Option<&Step>) -> SignedDuration {
        step.map_or(SignedDuration::ZERO, |s| (self.takes)(&s.estimate_or_zero()))
    }
}

impl Script for AsEstimated {
    fn attempt(&mut self, graph: &Graph, attempt: &AttemptId) -> Fate {
        let step = graph.plan().steps.get(attempt.action.step());
        // The estimate of a step covers its verify, and the machine's half of a gate takes none of the person's time.
        let takes = match attempt.direction {
            Direction::Do if step.is_some_and(|s| s.gate.is_none()) => self.of(step),
            _ => SignedDuration::ZERO,
        };
        Fate::succeeds_after(takes)
    }

    fn gate(&mut self, graph: &Graph, gate: &ActionId) -> Option<(SignedDuration, Operator)> {
        let takes = self.of(graph.plan().steps.get(gate.step()));
        let ask = Ask::Approve { gate: Some(gate.step().into()), defects: Vec::new(), note: None };
        Some((takes, person("expected", ask)))
    }
}
