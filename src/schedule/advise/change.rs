//! One change to a plan: a step is faster, waits for one step less, is moved out of the downtime, is undone faster. Knows
//! nothing of what that is worth.

use jiff::SignedDuration;

use crate::plan::model::{Downtime, Need, Plan, Step, StepId, Undo};
use crate::plan::units::Estimate;

/// What could be otherwise. Steps by their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is expected to take no longer than this.
    Faster { step: StepId, from: SignedDuration, to: SignedDuration, best_seen: bool },
    /// It runs beside what it needs: it waits for whatever that waits for, and what waits for it waits for both.
    Beside { step: StepId, need: StepId },
    /// It is over before the service goes down.
    BeforeDowntime { step: StepId },
    /// It starts when the service is up again.
    AfterDowntime { step: StepId },
    /// Undoing it takes no longer than this, at worst.
    FasterUndo { step: StepId, from: SignedDuration, to: SignedDuration },
}

impl Change {
    #[must_use]
    pub fn step(&self) -> &str {
        match self {
            Self::Faster { step, .. }
            | Self::Beside { step, .. }
            | Self::BeforeDowntime { step }
            | Self::AfterDowntime { step }
            | Self::FasterUndo { step, .. } => step,
        }
    }

    /// Whether the steps that wait for each other are no longer the same.
    #[must_use]
    pub const fn moves(&self) -> bool {
        matches!(self, Self::BeforeDowntime { .. } | Self::AfterDowntime { .. })
    }

    /// The plan with this change.
    #[must_use]
    pub fn applied(&self, plan: &Plan) -> Plan {
        let mut plan = plan.clone();
        match self {
            Self::Faster { step, to, .. } => faster(&mut plan, step, *to),
            Self::Beside { step, need } => beside(&mut plan, step, need),
            Self::BeforeDowntime { step } => before_downtime(&mut plan, step),
            Self::AfterDowntime { step } => after_downtime(&mut plan, step),
            Self::FasterUndo { step, to, .. } => faster_undo(&mut plan, step, *to),
        }
        plan
    }
}

fn faster(plan: &mut Plan, step: &str, to: SignedDuration) {
    if let Some(step) = plan.steps.get_mut(step) {
        let worst = step.estimate.map_or(to, |e| e.worst).max(to);
        step.estimate = Some(Estimate { expected: to, worst });
    }
}

fn faster_undo(plan: &mut Plan, step: &str, to: SignedDuration) {
    if let Some(Undo::Command(undo) | Undo::BuiltIn(undo)) = plan.steps.get_mut(step).map(|s| &mut s.undo) {
        undo.estimate = Estimate { expected: undo.estimate.expected.min(to), worst: to };
    }
}

fn beside(plan: &mut Plan, step: &str, need: &str) {
    let edge = plan.steps.get(step).and_then(|s| s.needs.iter().find(|n| n.step == need)).cloned();
    let before = plan.steps.get(need).map(|s| s.needs.clone());
    let (Some(edge), Some(before)) = (edge, before) else { return };
    if let Some(step) = plan.steps.get_mut(step) {
        step.needs.retain(|n| n.step != need);
        inherit(step, &before, edge.same_host);
    }
    hand_on(plan, step, &[edge], |_| true);
}

/// What waits for `step` waits for these itself, too.
fn hand_on(plan: &mut Plan, step: &str, needs: &[Need], whom: impl Fn(&str) -> bool) {
    for (id, dependant) in plan.steps.iter_mut().filter(|(id, _)| whom(id)) {
        let through = dependant.needs.iter().find(|n| n.step == step).map(|n| n.same_host);
        if let Some(same_host) = through {
            let others: Vec<Need> = needs.iter().filter(|n| n.step != *id).cloned().collect();
            inherit(dependant, &others, same_host);
        }
    }
}

/// Waiting for the same host over a step that is waited for on all hosts is waiting for all hosts.
fn inherit(step: &mut Step, needs: &[Need], same_host: bool) {
    for need in needs {
        let need = Need { step: need.step.clone(), same_host: need.same_host && same_host };
        if !step.needs.contains(&need) {
            step.needs.push(need);
        }
    }
}

fn before_downtime(plan: &mut Plan, step: &str) {
    let begins = marked(plan, Downtime::Begin);
    let down = down(plan);
    let moved = |n: &Need| begins.contains(&n.step) || down.contains(&n.step);
    let Some(needs) = plan.steps.get(step).map(|s| s.needs.clone()) else { return };
    let (left, kept): (Vec<Need>, Vec<Need>) = needs.into_iter().partition(moved);
    let before: Vec<Need> = begins.iter().filter_map(|b| plan.steps.get(b)).flat_map(|s| s.needs.clone()).collect();
    let before: Vec<Need> = before.into_iter().filter(|n| !moved(n) && n.step != step).collect();
    hand_on(plan, step, &left, |_| true);
    if let Some(step) = plan.steps.get_mut(step) {
        step.needs = kept;
        inherit(step, &before, false);
    }
    let own = [Need { step: step.to_owned(), same_host: false }];
    for begin in &begins {
        if let Some(begin) = plan.steps.get_mut(begin) {
            inherit(begin, &own, false);
        }
    }
}

fn after_downtime(plan: &mut Plan, step: &str) {
    let ends = marked(plan, Downtime::End);
    let down = down(plan);
    let stays = |id: &str| ends.iter().any(|e| e == id) || down.iter().any(|d| d == id);
    let Some(needs) = plan.steps.get(step).map(|s| s.needs.clone()) else { return };
    hand_on(plan, step, &needs, stays);
    for (_, other) in plan.steps.iter_mut().filter(|(id, _)| stays(id)) {
        other.needs.retain(|n| n.step != step);
    }
    let after: Vec<Need> = ends.iter().map(|e| Need { step: e.clone(), same_host: false }).collect();
    if let Some(step) = plan.steps.get_mut(step) {
        inherit(step, &after, false);
    }
}

/// The steps with this mark.
#[must_use]
pub fn marked(plan: &Plan, mark: Downtime) -> Vec<StepId> {
    plan.steps.values().filter(|s| s.downtime == Some(mark)).map(|s| s.id.clone()).collect()
}

/// The steps, without a mark themselves, that come after one that begins the downtime and before one that ends it.
#[must_use]
pub fn down(plan: &Plan) -> Vec<StepId> {
    let later = reached(plan, marked(plan, Downtime::Begin), |plan, id| {
        plan.steps.values().filter(|s| s.needs.iter().any(|n| n.step == id)).map(|s| s.id.clone()).collect()
    });
    let sooner = reached(plan, marked(plan, Downtime::End), |plan, id| {
        plan.steps.get(id).map(|s| s.needs.iter().map(|n| n.step.clone()).collect()).unwrap_or_default()
    });
    let between = |s: &&Step| s.downtime.is_none() && later.contains(&s.id) && sooner.contains(&s.id);
    plan.steps.values().filter(between).map(|s| s.id.clone()).collect()
}

fn reached(plan: &Plan, from: Vec<StepId>, next: impl Fn(&Plan, &str) -> Vec<StepId>) -> Vec<StepId> {
    let mut open = from;
    let mut found: std::collections::BTreeSet<StepId> = std::collections::BTreeSet::new();
    while let Some(step) = open.pop() {
        open.extend(next(plan, &step).into_iter().filter(|s| found.insert(s.clone())));
    }
    found.into_iter().collect()
}

/// What a step would be moved by: what judges can only judge what was done before it, work can be done earlier.
#[must_use]
pub fn out_of_downtime(step: &Step) -> Change {
    let id = step.id.clone();
    let judges = step.gate.is_some() || step.judges();
    if judges { Change::AfterDowntime { step: id } } else { Change::BeforeDowntime { step: id } }
}
