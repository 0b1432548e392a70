//! What must be true of the hosts of a step that work at the same time. Counts by itself, from the facts and the plan.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::fact::{Fact, FactRecord, FleetStop, HoldAnswer, HoldReason, Mark};
use crate::graph::ids::{ActionId, AttemptId};
use crate::graph::{ActionIx, Graph, StepIx, parts};

/// What is known of the hosts of all steps at one point of the way forward.
#[derive(Default)]
struct Hosts {
    /// Begun and not settled.
    working: BTreeMap<StepIx, BTreeSet<ActionId>>,
    failed: BTreeMap<StepIx, BTreeSet<ActionId>>,
    done: BTreeMap<StepIx, BTreeSet<ActionId>>,
    /// Failed, and not counted against `keep_up` any more.
    disregarded: BTreeSet<ActionId>,
    hold: Option<HoldReason>,
}

impl Hosts {
    fn read(&mut self, graph: &Graph, fact: &Fact) {
        match fact {
            Fact::AttemptArmed { attempt } if is_first(graph, attempt) => {
                self.settle(graph, &attempt.action);
                if let Some(step) = step_of(graph, &attempt.action) {
                    self.working.entry(step).or_default().insert(attempt.action.clone());
                }
            }
            Fact::AttemptEnded { attempt, outcome, .. } if outcome.is_success() => {
                let Some(ix) = graph.find(&attempt.action) else { return };
                let (part, step) = (attempt.direction, graph.step_of(ix));
                if !part.is_back() && parts::after(step, part).is_none() {
                    self.settle(graph, &attempt.action);
                    self.done.entry(graph.action(ix).step).or_default().insert(attempt.action.clone());
                }
            }
            Fact::ActionFailed { action, .. } | Fact::ActionMarked { action, mark: Mark::Failed, .. } => {
                self.settle(graph, action);
                if let Some(step) = step_of(graph, action) {
                    self.failed.entry(step).or_default().insert(action.clone());
                }
            }
            Fact::ActionMarked { action, mark: Mark::Done, .. } => {
                self.settle(graph, action);
                if let Some(step) = step_of(graph, action) {
                    self.done.entry(step).or_default().insert(action.clone());
                }
            }
            Fact::HoldOpened { reason, .. } => self.hold = Some(reason.clone()),
            Fact::HoldAnswered { answer: HoldAnswer::Continue, .. } => {
                if let Some(HoldReason::FleetStopped { actions, why: FleetStop::KeepUp { .. }, .. }) = self.hold.take()
                {
                    self.disregarded.extend(actions);
                }
            }
            _ => {}
        }
    }

    fn settle(&mut self, graph: &Graph, action: &ActionId) {
        let Some(step) = step_of(graph, action) else { return };
        for set in [&mut self.working, &mut self.failed, &mut self.done] {
            set.entry(step).or_default().remove(action);
        }
    }

    fn working_in(&self, step: StepIx) -> usize {
        self.working.get(&step).map_or(0, BTreeSet::len)
    }

    /// Hosts of the same group as this one that are out of service, itself not counted.
    fn others_out(&self, graph: &Graph, ix: ActionIx) -> (usize, usize) {
        let plan = graph.plan();
        let groups = plan.groups_by_host();
        let group = |host: &str| groups.get(host).copied();
        let own = graph.action(ix).id.host().unwrap_or_default();
        // A group counts as a whole, also where a wave touches a part of it only.
        let whole = match group(own) {
            Some(own) => groups.values().filter(|name| **name == own).count(),
            None => plan.hosts.keys().filter(|h| group(h).is_none()).count(),
        };
        let takes_out = |step: &StepIx| {
            let fleet = &graph.step(*step).fleet;
            fleet.keep_up.is_some() || fleet.drain.is_some() || fleet.reboot.is_some()
        };
        let all = self.working.iter().chain(&self.failed).filter(|(step, _)| takes_out(step)).flat_map(|(_, a)| a);
        let out: BTreeSet<&str> = all.filter(|a| !self.disregarded.contains(*a)).filter_map(ActionId::host).collect();
        (out.iter().filter(|h| **h != own && group(h) == group(own)).count(), whole)
    }
}

/// Whether the action begins with this attempt, or begins anew.
fn is_first(graph: &Graph, attempt: &AttemptId) -> bool {
    graph.find(&attempt.action).is_some_and(|ix| attempt.direction == parts::first(graph.step_of(ix)))
}

fn step_of(graph: &Graph, action: &ActionId) -> Option<StepIx> {
    graph.find(action).map(|ix| graph.action(ix).step)
}

/// The facts up to the stop decision, with what was true before each.
fn forward(
    graph: &Graph,
    journal: &[FactRecord],
    mut look: impl FnMut(&Hosts, &Fact) -> Option<String>,
) -> Option<String> {
    let mut hosts = Hosts::default();
    for r in journal {
        if matches!(r.fact, Fact::RollbackDecided { .. }) {
            return None;
        }
        if let Some(found) = look(&hosts, &r.fact) {
            return Some(found);
        }
        hosts.read(graph, &r.fact);
    }
    None
}

pub(super) fn invariant_limits(graph: &Graph, journal: &[FactRecord]) -> Option<String> {
    let limited = |s: &StepIx| {
        let fleet = &graph.step(*s).fleet;
        fleet.at_once.is_some() || fleet.keep_up.is_some() || fleet.canary
    };
    if !graph.step_ixs().any(|s| limited(&s)) {
        return None;
    }
    forward(graph, journal, |hosts, fact| {
        let Fact::AttemptArmed { attempt } = fact else { return None };
        let ix = graph.find(&attempt.action).filter(|_| is_first(graph, attempt))?;
        let step = graph.action(ix).step;
        let (fleet, all) = (&graph.step(step).fleet, graph.actions_of(step).len());
        let others = hosts.working_in(step)
            - usize::from(hosts.working.get(&step).is_some_and(|set| set.contains(&attempt.action)));
        if let Some(most) = fleet.at_once.map(|n| n.at_least_one_of(all)).filter(|most| others >= *most) {
            return Some(format!("{attempt} began beside {others} others, and at_once is {most}"));
        }
        let passed = hosts.done.get(&step).is_some_and(|set| !set.is_empty());
        if fleet.canary && !passed && others > 0 {
            return Some(format!("{attempt} began before the canary was done"));
        }
        let (out, whole) = hosts.others_out(graph, ix);
        let keep = fleet.keep_up.map(|keep| keep.of(whole))?;
        let own = attempt.number > 1;
        (!own && out + 1 + keep > whole)
            .then(|| format!("{attempt} began with {out} of {whole} out of service, and {keep} must stay"))
    })
}

pub(super) fn invariant_no_start_after_too_many_failed(graph: &Graph, journal: &[FactRecord]) -> Option<String> {
    let mut stopped = false;
    let mut forgiven: BTreeMap<StepIx, usize> = BTreeMap::new();
    forward(graph, journal, |hosts, fact| {
        if let Fact::HoldAnswered { .. } = fact {
            stopped = false;
            forgiven = hosts.failed.iter().map(|(step, failed)| (*step, failed.len())).collect();
        }
        if let Fact::ActionFailed { action, .. } = fact {
            let step = step_of(graph, action)?;
            let allowed = graph.step(step).fleet.allow_failed?.of(graph.actions_of(step).len());
            let failed = hosts.failed.get(&step).map_or(0, BTreeSet::len) + 1;
            stopped |= failed - forgiven.get(&step).copied().unwrap_or(0).min(failed) > allowed;
        }
        let Fact::AttemptArmed { attempt } = fact else { return None };
        let first = is_first(graph, attempt) && attempt.number == 1;
        (stopped && first).then(|| format!("{attempt} began after more had failed than are allowed"))
    })
}
