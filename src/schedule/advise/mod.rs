//! What would shorten a night, in time saved: the plan is scheduled again with one change at a time. Knows no clock, and
//! nothing of how the answer is shown.
//!
//! What steps really took takes the place of their estimates where it is known. The order in which steps share what is
//! short stays as it was, so that a wait less never makes the night longer (no list-scheduling anomaly, see
//! `rollback_cost`).

mod change;
#[cfg(test)]
mod tests;
mod ties;

use std::cmp::Reverse;
use std::sync::Arc;

use jiff::SignedDuration;

use super::critical_path::{Network, Pace, Times};
use super::fit::roll_back_by;
use super::search::Order;
use crate::graph::render::never_wanted;
use crate::graph::{Graph, StepIx};
use crate::plan::model::{Downtime, Plan, Undo, Verb, Wait};
use crate::plan::units::Estimate;

pub use change::{Change, down};
pub use ties::Tie;

/// What is known of a step beyond its estimate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Known {
    /// What it took: in the run that is looked at, or mostly.
    pub took: Option<SignedDuration>,
    /// The shortest that it ever took.
    pub best: Option<SignedDuration>,
}

/// A schedule at a glance, from the opening of the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Length {
    pub finish: SignedDuration,
    /// `None` where the plan does not say where the downtime begins and ends.
    pub downtime: Option<SignedDuration>,
    /// `None` without a window.
    pub roll_back_by: Option<SignedDuration>,
}

/// A change and what it would buy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saving {
    pub change: Change,
    /// How much sooner the whole ends; never negative but for a step that is moved.
    pub finish: SignedDuration,
    /// How much shorter the downtime is.
    pub downtime: SignedDuration,
    /// How much later a rollback may start.
    pub roll_back_by: SignedDuration,
    /// The night with this change.
    pub then: Length,
    /// Of two steps side by side: what they share. Nothing: they may wait out of habit.
    pub ties: Vec<Tie>,
}

impl Saving {
    /// What it is ranked by.
    #[must_use]
    pub fn most(&self) -> SignedDuration {
        self.finish.max(self.downtime).max(self.roll_back_by)
    }
}

/// What would shorten a night.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// By step, by the estimates of the plan, and the chain of steps that decides its end.
    pub planned: Vec<Times>,
    pub planned_path: Vec<StepIx>,
    /// The same with what is known of how long steps really take: what the changes are held against.
    pub times: Vec<Times>,
    pub path: Vec<StepIx>,
    pub length: Length,
    /// Those that save something, most first.
    pub savings: Vec<Saving>,
    /// How many changes were tried.
    pub tried: usize,
}

/// Tries every change to the steps that decide the end, to those in the downtime and to the undos. `known` is by step;
/// it may be empty.
#[must_use]
pub fn advise(graph: &Graph, order: Option<&Order>, known: &[Known]) -> Advice {
    let planned = network(graph, order);
    let planned_times = planned.earliest();
    let planned_path = chain(graph, &planned, &planned_times);
    let plan = as_known(graph, known);
    let base = Base::new(plan, order);
    let changes = changes(&base, known);
    let tried = changes.len();
    let mut savings: Vec<Saving> = changes.into_iter().map(|change| base.saving(change)).collect();
    savings.retain(|s| s.most().is_positive());
    savings.sort_by_key(|s| Reverse(s.most()));
    Advice {
        planned: planned_times,
        planned_path,
        times: base.times,
        path: base.path,
        length: base.length,
        savings,
        tried,
    }
}

/// The chain of steps that decided the end of a run: each started when the one before it, the last of those that it
/// waited for, was over. Empty where nothing has ended.
#[must_use]
pub fn ran_path(graph: &Graph, order: Option<&Order>, ran: &[Option<Times>]) -> Vec<StepIx> {
    let end = |s: StepIx| ran.get(s.index()).copied().flatten().map(|t| t.end);
    let turns = |s: StepIx| order.and_then(|o| o.after.get(s.index())).into_iter().flatten().map(|b| StepIx(*b));
    let last = |steps: &mut dyn Iterator<Item = StepIx>| {
        steps.filter_map(|s| Some((end(s)?, Reverse(s)))).max().map(|(_, Reverse(s))| s)
    };
    let mut path = Vec::new();
    let mut at = last(&mut graph.step_ixs());
    while let Some(step) = at.filter(|s| !path.contains(s)) {
        path.push(step);
        at = last(&mut graph.all_needs(step).chain(turns(step)));
    }
    path.reverse();
    path
}

/// The chain of steps that decides when the last one ends.
fn chain(graph: &Graph, network: &Network, times: &[Times]) -> Vec<StepIx> {
    let last = graph.step_ixs().max_by_key(|s| (times[s.index()].end, Reverse(*s)));
    last.map(|end| network.chain_to(end, times)).unwrap_or_default()
}

fn network(graph: &Graph, order: Option<&Order>) -> Network {
    Network::new(graph, Pace::Expected).keeping(order)
}

/// The plan with what is known in place of what was expected. Conditions are decided and files left out, so that it can
/// be scheduled many times.
fn as_known(graph: &Graph, known: &[Known]) -> Plan {
    let mut plan = (**graph.plan()).clone();
    plan.files.clear();
    for ix in graph.step_ixs() {
        let Some(step) = plan.steps.get_mut(&graph.step(ix).id) else { continue };
        step.when = None;
        if never_wanted(graph, ix) {
            step.estimate = Some(Estimate::ZERO);
            step.undo = Undo::ReadOnly;
        } else if let Some(took) = known.get(ix.index()).and_then(|k| k.took) {
            let worst = step.estimate.map_or(took, |e| e.worst.max(took));
            step.estimate = Some(Estimate { expected: took, worst });
        }
    }
    plan
}

/// What changes are held against.
struct Base<'a> {
    plan: Plan,
    graph: Graph,
    order: Option<&'a Order>,
    times: Vec<Times>,
    path: Vec<StepIx>,
    length: Length,
}

impl<'a> Base<'a> {
    fn new(plan: Plan, order: Option<&'a Order>) -> Self {
        let graph = Graph::build(Arc::new(plan.clone()));
        let network = network(&graph, order);
        let times = network.earliest();
        let path = chain(&graph, &network, &times);
        let length = length(&graph, &times, None);
        Self { plan, graph, order, times, path, length }
    }

    /// Schedules the plan again with this change.
    fn saving(&self, change: Change) -> Saving {
        let then = self.with(&change);
        let ties = match &change {
            Change::Beside { step, need } => ties::ties(&self.plan, &self.plan.steps[need], &self.plan.steps[step]),
            _ => Vec::new(),
        };
        let less =
            |more: Option<SignedDuration>, less| more.zip(less).map(|(more, less)| more - less).unwrap_or_default();
        Saving {
            finish: self.length.finish - then.finish,
            downtime: less(self.length.downtime, then.downtime),
            roll_back_by: less(then.roll_back_by, self.length.roll_back_by),
            change,
            then,
            ties,
        }
    }

    /// Only where steps wait for others is there another graph.
    fn with(&self, change: &Change) -> Length {
        let step = self.graph.find_step(change.step());
        match (change, step) {
            (Change::Faster { to, .. }, Some(step)) => {
                let network = Network::with_one_taking(&self.graph, step, *to).keeping(self.order);
                length(&self.graph, &network.earliest(), None)
            }
            (Change::FasterUndo { to, .. }, Some(step)) => length(&self.graph, &self.times, Some((step, *to))),
            _ => {
                let graph = Graph::build(Arc::new(change.applied(&self.plan)));
                let order = self.order.map(|order| without_turns(order, step.filter(|_| change.moves())));
                length(&graph, &network(&graph, order.as_ref()).earliest(), None)
            }
        }
    }
}

/// A step that is moved has its turn somewhere else.
fn without_turns(order: &Order, step: Option<StepIx>) -> Order {
    let mut order = order.clone();
    if let Some(step) = step {
        order.after[step.index()].clear();
        order.after.iter_mut().for_each(|after| after.retain(|s| *s != step.0));
    }
    order
}

/// `undone_in`: a step whose undo takes another time.
fn length(graph: &Graph, times: &[Times], undone_in: Option<(StepIx, SignedDuration)>) -> Length {
    let marked = |mark| graph.step_ixs().filter(move |s| graph.step(*s).downtime == Some(mark));
    let begins = marked(Downtime::Begin).map(|s| times[s.index()].start).min();
    let ends = marked(Downtime::End).map(|s| times[s.index()].end).max();
    Length {
        finish: times.iter().map(|t| t.end).max().unwrap_or_default(),
        downtime: begins.zip(ends).map(|(begins, ends)| (ends - begins).max(SignedDuration::ZERO)),
        roll_back_by: roll_back_by(graph, times, undone_in),
    }
}

/// Every change worth a try, in the plan's order.
fn changes(base: &Base<'_>, known: &[Known]) -> Vec<Change> {
    let down = down(&base.plan);
    let mut changes = Vec::new();
    for ix in base.graph.step_ixs() {
        let step = base.graph.step(ix);
        let decides = base.path.contains(&ix);
        if decides || down.contains(&step.id) || step.downtime.is_some() {
            let best = known.get(ix.index()).and_then(|k| k.best);
            changes.extend(faster(&step.id, estimate(&step.verb, step.estimate), best));
        }
        let before = base.path.iter().position(|s| *s == ix).and_then(|at| base.path[..at].last());
        let edge = before.filter(|_| decides).map(|b| &base.graph.step(*b).id);
        let edge = edge.filter(|id| step.needs.iter().any(|n| n.step == **id));
        changes.extend(edge.map(|need| Change::Beside { step: step.id.clone(), need: need.clone() }));
        if down.contains(&step.id) {
            changes.push(change::out_of_downtime(step));
        }
        let undo = step.rollback().map(|r| r.estimate.worst).filter(SignedDuration::is_positive);
        changes.extend(undo.map(|from| Change::FasterUndo { step: step.id.clone(), from, to: from * 3 / 4 }));
    }
    changes
}

fn estimate(verb: &Verb, estimate: Option<Estimate>) -> SignedDuration {
    match (estimate, verb) {
        (_, Verb::Wait(Wait::At(_))) => SignedDuration::ZERO,
        (Some(estimate), _) => estimate.expected,
        (None, Verb::Wait(Wait::For(d))) => *d,
        (None, _) => SignedDuration::ZERO,
    }
}

/// To the best that was ever seen; without one, by a quarter.
fn faster(step: &str, from: SignedDuration, best: Option<SignedDuration>) -> Option<Change> {
    let best = best.filter(|b| *b < from);
    let to = best.unwrap_or(from * 3 / 4);
    let step = step.to_owned();
    from.is_positive().then_some(Change::Faster { step, from, to, best_seen: best.is_some() })
}
