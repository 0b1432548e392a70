//! Plan -> graph: one action per step and host, one barrier per step, and the edges between them. Knows nothing of time.
//!
//! A barrier stands for "this step is done on all its hosts", so that edges grow with steps + actions and never with
//! hosts x hosts. Only `same_host` needs connect actions directly.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::action::{Action, ActionIx, StepIx};
use super::ids::{ActionId, AttemptId, Direction};
use super::job::Site;
use super::parts;
use crate::plan::model::{Order, Place, Plan, Step};

/// The compiled plan. Immutable; the same plan always gives the same graph.
#[derive(Debug, Clone)]
pub struct Graph {
    plan: Arc<Plan>,
    actions: Vec<Action>,
    steps: Vec<StepNode>,
    /// `after_rollback` expanded: not part of the forward graph.
    after_rollback: Vec<Action>,
    by_id: HashMap<ActionId, ActionIx>,
    by_step: HashMap<String, StepIx>,
}

#[derive(Debug, Clone)]
struct StepNode {
    actions: Range<u32>,
    /// Barriers this step's actions wait for, and the steps that wait for this step's barrier.
    needs: Vec<StepIx>,
    dependants: Vec<StepIx>,
    /// Steps needed on the same host only, and the reverse.
    same_host_needs: Vec<StepIx>,
    same_host_dependants: Vec<StepIx>,
}

impl Graph {
    /// Compiles a valid plan (`needs` name existing steps and have no cycle).
    #[must_use]
    pub fn build(plan: Arc<Plan>) -> Self {
        let mut actions = Vec::new();
        let mut steps = Vec::with_capacity(plan.steps.len());
        let by_step: HashMap<String, StepIx> =
            plan.steps.keys().enumerate().map(|(i, id)| (id.clone(), StepIx(i as u32))).collect();
        for (i, step) in plan.steps.values().enumerate() {
            let first = actions.len() as u32;
            actions.extend(expand(&plan, step, StepIx(i as u32)));
            let needed = |same_host: bool| -> Vec<StepIx> {
                let on = step.needs.iter().filter(|n| n.same_host == same_host);
                on.filter_map(|n| by_step.get(&n.step).copied()).collect()
            };
            steps.push(StepNode {
                actions: first..actions.len() as u32,
                needs: needed(false),
                dependants: Vec::new(),
                same_host_needs: needed(true),
                same_host_dependants: Vec::new(),
            });
        }
        for i in 0..steps.len() {
            for need in steps[i].needs.clone() {
                steps[need.index()].dependants.push(StepIx(i as u32));
            }
            for need in steps[i].same_host_needs.clone() {
                steps[need.index()].same_host_dependants.push(StepIx(i as u32));
            }
        }
        let by_id = actions.iter().enumerate().map(|(i, a)| (a.id.clone(), ActionIx(i as u32))).collect();
        let after_rollback =
            plan.after_rollback.iter().flat_map(|step| expand(&plan, step, StepIx(u32::MAX))).collect();
        Self { plan, actions, steps, after_rollback, by_id, by_step }
    }

    #[must_use]
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    #[must_use]
    pub fn actions(&self) -> &[Action] {
        &self.actions
    }

    #[must_use]
    pub fn action(&self, ix: ActionIx) -> &Action {
        &self.actions[ix.index()]
    }

    #[must_use]
    pub fn find(&self, id: &ActionId) -> Option<ActionIx> {
        self.by_id.get(id).copied()
    }

    pub fn action_ixs(&self) -> impl Iterator<Item = ActionIx> + use<> {
        (0..self.actions.len() as u32).map(ActionIx)
    }

    pub fn step_ixs(&self) -> impl DoubleEndedIterator<Item = StepIx> + use<> {
        (0..self.steps.len() as u32).map(StepIx)
    }

    #[must_use]
    pub fn step_count(&self) -> usize {
        self.steps.len()
    }

    #[must_use]
    pub fn find_step(&self, id: &str) -> Option<StepIx> {
        self.by_step.get(id).copied()
    }

    /// The author's step.
    #[must_use]
    pub fn step(&self, ix: StepIx) -> &Step {
        &self.plan.steps[ix.index()]
    }

    /// The author's step of an action.
    #[must_use]
    pub fn step_of(&self, ix: ActionIx) -> &Step {
        self.step(self.action(ix).step)
    }

    /// The actions of a step, in the order in which they should start.
    pub fn actions_of(&self, step: StepIx) -> impl DoubleEndedIterator<Item = ActionIx> + ExactSizeIterator + use<> {
        self.steps[step.index()].actions.clone().map(ActionIx)
    }

    /// Steps whose barrier this step waits for, `same_host` needs not included.
    #[must_use]
    pub fn needs(&self, step: StepIx) -> &[StepIx] {
        &self.steps[step.index()].needs
    }

    /// Steps that wait for this step's barrier, `same_host` ones not included.
    #[must_use]
    pub fn dependants(&self, step: StepIx) -> &[StepIx] {
        &self.steps[step.index()].dependants
    }

    #[must_use]
    pub fn same_host_needs(&self, step: StepIx) -> &[StepIx] {
        &self.steps[step.index()].same_host_needs
    }

    #[must_use]
    pub fn same_host_dependants(&self, step: StepIx) -> &[StepIx] {
        &self.steps[step.index()].same_host_dependants
    }

    /// All steps that wait for this one in either way.
    pub fn all_dependants(&self, step: StepIx) -> impl Iterator<Item = StepIx> + '_ {
        let node = &self.steps[step.index()];
        node.dependants.iter().chain(&node.same_host_dependants).copied()
    }

    /// All steps that this one waits for in either way.
    pub fn all_needs(&self, step: StepIx) -> impl Iterator<Item = StepIx> + '_ {
        let node = &self.steps[step.index()];
        node.needs.iter().chain(&node.same_host_needs).copied()
    }

    /// The action of `step` on the same host as `like`, for `same_host` needs. A step that runs somewhere else
    /// altogether has none; then the whole step is waited for.
    #[must_use]
    pub fn on_same_host(&self, step: StepIx, like: ActionIx) -> Option<ActionIx> {
        let host = self.action(like).id.host();
        self.find(&ActionId::new(&self.step(step).id, host))
    }

    /// The test that proves that the old version is back, on each of its hosts.
    #[must_use]
    pub fn after_rollback(&self) -> &[Action] {
        &self.after_rollback
    }

    /// Where an attempt runs: an undo, a drain and an undrain at the place that the plan names for it, everything else at
    /// the action's own. Each runs in one place: at home where home is among the hosts named, else on the first of them.
    /// `None` for an attempt that the plan does not know, or that runs nowhere.
    #[must_use]
    pub fn site_of(&self, attempt: &AttemptId) -> Option<Site> {
        let Some(ix) = self.find(&attempt.action) else {
            return self.after_rollback.iter().find(|a| a.id == attempt.action)?.site.clone();
        };
        let own = self.action(ix).site.clone();
        let step = self.step_of(ix);
        let place = match attempt.direction {
            Direction::Undo | Direction::UndoCheck => step.rollback().and_then(|r| r.place.as_ref()),
            Direction::Drain | Direction::Undrain | Direction::UndoUndrain => {
                parts::drain_of(step, attempt.direction).and_then(|d| d.hosts.as_ref())
            }
            _ => None,
        };
        match place {
            Some(Place::Controller) => Some(Site::Controller),
            Some(Place::Hosts(hosts)) => match own {
                Some(Site::Host(home)) if hosts.contains(&home) => Some(Site::Host(home)),
                _ => hosts.first().cloned().map(Site::Host),
            },
            Some(Place::Nowhere | Place::Wave) | None => own,
        }
    }

    /// Steps in an order in which every step comes after all it needs; ties in the plan's order.
    #[must_use]
    pub fn topological(&self) -> Vec<StepIx> {
        let mut missing: Vec<usize> = self.step_ixs().map(|s| self.all_needs(s).count()).collect();
        let mut ready: std::collections::BTreeSet<StepIx> =
            self.step_ixs().filter(|s| missing[s.index()] == 0).collect();
        let mut order = Vec::with_capacity(self.steps.len());
        while let Some(step) = ready.pop_first() {
            order.push(step);
            for next in self.all_dependants(step) {
                missing[next.index()] -= 1;
                if missing[next.index()] == 0 {
                    ready.insert(next);
                }
            }
        }
        order
    }
}

fn expand(plan: &Plan, step: &Step, ix: StepIx) -> Vec<Action> {
    let on = |host: &str, site: Site| Action { id: ActionId::new(&step.id, Some(host)), step: ix, site: Some(site) };
    match &step.place {
        Place::Nowhere => vec![Action { id: ActionId::new(&step.id, None), step: ix, site: None }],
        Place::Controller => vec![on("local", Site::Controller)],
        Place::Hosts(hosts) => {
            ordered(hosts.clone(), step.fleet.order).iter().map(|h| on(h, Site::Host(h.clone()))).collect()
        }
        Place::Wave => {
            let hosts = plan.hosts.keys().cloned().collect();
            ordered(hosts, step.fleet.order).iter().map(|h| on(h, Site::Host(h.clone()))).collect()
        }
    }
}

fn ordered(mut hosts: Vec<String>, order: Order) -> Vec<String> {
    match order {
        Order::Inventory => {}
        Order::Reverse => hosts.reverse(),
        Order::Sorted => hosts.sort(),
    }
    hosts
}
