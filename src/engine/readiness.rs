//! The part of [`State::apply`] that keeps what is derived: which actions may start, what holds a place, the timers.
//! Decides nothing.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::state::{Doing, State, Timer};
use crate::graph::{ActionIx, Graph, StepIx};
use crate::schedule::{Order, longest_remaining};

impl State {
    /// From now on steps that share something take it in this order.
    pub(super) fn keep_order(&mut self, order: &Order) -> Result<(), String> {
        let n = self.steps.len();
        if !order.fits(n) {
            return Err("its order is of another plan".into());
        }
        self.let_go = vec![Vec::new(); n];
        for (step, after) in self.graph.clone().step_ixs().zip(&order.after) {
            let tally = &mut self.steps[step.index()];
            tally.rank = order.rank[step.index()];
            tally.needs_left += after.len() as u32;
            after.iter().for_each(|before| self.let_go[*before as usize].push(step));
        }
        let rank = &order.rank;
        self.without_place.sort_by_key(|step| rank[step.index()]);
        Ok(())
    }

    /// A step without any host is done at once.
    pub(super) fn close_empty_steps(&mut self) {
        for step in self.graph.clone().step_ixs() {
            if self.graph.actions_of(step).len() == 0 && self.steps[step.index()].needs_left == 0 {
                self.close_barrier(step);
            }
        }
    }

    pub(super) fn make_ready(&mut self, step: StepIx) {
        let waiting: BTreeSet<ActionIx> = self
            .graph
            .actions_of(step)
            .filter(|a| self.actions[a.index()].doing == Doing::Waiting && self.same_host_needs_met(*a))
            .collect();
        if !waiting.is_empty() {
            self.ready.insert((self.steps[step.index()].rank, step), waiting);
        }
    }

    pub(super) fn same_host_needs_met(&self, ix: ActionIx) -> bool {
        let step = self.graph.action(ix).step;
        self.graph.same_host_needs(step).iter().all(|need| match self.graph.on_same_host(*need, ix) {
            Some(other) => self.actions[other.index()].is_satisfied(),
            None => self.is_step_satisfied(*need),
        })
    }

    pub(super) fn is_step_satisfied(&self, step: StepIx) -> bool {
        self.steps[step.index()].satisfied as usize == self.graph.actions_of(step).len()
    }

    pub(super) fn unready(&mut self, ix: ActionIx) {
        let step = self.graph.action(ix).step;
        let key = (self.steps[step.index()].rank, step);
        if let Some(set) = self.ready.get_mut(&key) {
            set.remove(&ix);
            if set.is_empty() {
                self.ready.remove(&key);
            }
        }
    }

    pub(super) fn set_doing(&mut self, ix: ActionIx, doing: Doing) {
        let before = self.actions[ix.index()].doing.takes_a_place();
        let after = doing.takes_a_place();
        if doing.is_open() {
            self.open.insert(ix);
        } else {
            self.open.remove(&ix);
        }
        if doing.asks_for_a_decision() {
            self.undecided.insert(ix);
        } else {
            self.undecided.remove(&ix);
        }
        if matches!(doing, Doing::Running { .. }) {
            self.going_forward.insert(ix);
        } else {
            self.going_forward.remove(&ix);
        }
        self.clear_timers(ix, doing.is_open());
        self.actions[ix.index()].doing = doing;
        self.actions[ix.index()].launched = false;
        if before != after {
            self.count_place(ix, after);
        }
        self.count_host(ix);
    }

    /// Takes or leaves a place under the `at_once` of the step and of the plan, and the step's resources.
    fn count_place(&mut self, ix: ActionIx, takes: bool) {
        let step = self.graph.action(ix).step;
        let change = |n: u32, by: u32| if takes { n + by } else { n.saturating_sub(by) };
        self.places = change(self.places, 1);
        self.steps[step.index()].places = change(self.steps[step.index()].places, 1);
        let graph = self.graph.clone();
        for (name, units) in &graph.step(step).uses {
            let used = self.resources_used.entry(name.clone()).or_insert(0);
            *used = change(*used, *units);
        }
    }

    pub(super) fn satisfy(&mut self, ix: ActionIx) {
        let step = self.graph.action(ix).step;
        self.satisfied += 1;
        self.steps[step.index()].satisfied += 1;
        for next in self.graph.clone().same_host_dependants(step) {
            self.offer_same_host(*next, ix);
        }
        if self.is_step_satisfied(step) {
            self.close_barrier(step);
        }
    }

    /// A dependant on the same host may be ready now, although the barrier is still closed for the others.
    pub(super) fn offer_same_host(&mut self, step: StepIx, done: ActionIx) {
        let graph = self.graph.clone();
        let barriers = graph.needs(step).iter().filter(|n| !self.is_step_satisfied(**n)).count();
        let Some(ix) = graph.on_same_host(step, done) else { return };
        let waiting = self.actions[ix.index()].doing == Doing::Waiting;
        if barriers == 0 && waiting && self.is_forward() && self.same_host_needs_met(ix) {
            self.ready.entry((self.steps[step.index()].rank, step)).or_default().insert(ix);
        }
    }

    pub(super) fn close_barrier(&mut self, step: StepIx) {
        let graph = self.graph.clone();
        let waits = self.let_go.get(step.index()).cloned().unwrap_or_default();
        for next in graph.all_dependants(step).chain(waits) {
            let tally = &mut self.steps[next.index()];
            tally.needs_left -= 1;
            if tally.needs_left == 0 && self.is_forward() {
                if graph.actions_of(next).len() == 0 {
                    self.close_barrier(next);
                } else {
                    self.make_ready(next);
                }
            }
        }
    }

    /// Sets, moves or (with `None`) clears one timer of an action.
    pub(super) fn set_timer(&mut self, ix: ActionIx, timer: Timer, at: Option<Timestamp>) {
        let slot = &mut self.actions[ix.index()].timers[timer as usize];
        if let Some(old) = std::mem::replace(slot, at) {
            self.timers.remove(&(old, ix, timer));
        }
        if let Some(at) = at {
            self.timers.insert((at, ix, timer));
        }
    }

    /// Whoever is late stays late through retries: that timer ends only with the action.
    pub(super) fn clear_timers(&mut self, ix: ActionIx, keep_late: bool) {
        for timer in [Timer::Retry, Timer::Wait, Timer::StandIn, Timer::AnswerBy, Timer::Limit] {
            self.set_timer(ix, timer, None);
        }
        if !keep_late {
            self.set_timer(ix, Timer::Late, None);
        }
    }
}

/// Steps that need no place among those that run, or may be skipped; by rank.
pub(super) fn without_place(graph: &Graph, rank: &[u32]) -> Vec<StepIx> {
    let free = |s: &StepIx| graph.step(*s).needs_no_place() || graph.step(*s).when.is_some();
    let mut steps: Vec<StepIx> = graph.step_ixs().filter(free).collect();
    steps.sort_by_key(|s| rank[s.index()]);
    steps
}

/// By step, its place in the order under limits: the longest remaining path first, ties in the plan's order.
pub(super) fn ranks(graph: &Graph) -> Vec<u32> {
    let remaining = longest_remaining(graph);
    let mut order: Vec<StepIx> = graph.step_ixs().collect();
    order.sort_by_key(|s| (std::cmp::Reverse(remaining[s.index()]), *s));
    let mut rank = vec![0; order.len()];
    for (i, step) in order.into_iter().enumerate() {
        rank[step.index()] = i as u32;
    }
    rank
}
