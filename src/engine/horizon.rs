//! Rollback horizons: what has been opened, and whose undo has expired. Decides nothing; [`State::apply`] changes it.
//!
//! What is open follows from the attempts: a step that opens something counts from the moment it is armed, until it is
//! proven that it did nothing. What has been open stays so, also when the step that opened it is undone: what has flowed
//! in is there.

use std::collections::{BTreeMap, BTreeSet};

use super::decide::Decision;
use super::fact::Fact;
use super::state::State;
use crate::graph::horizon::until;
use crate::graph::{ActionIx, Graph, StepIx};

#[derive(Debug, Clone, Default)]
pub(super) struct Horizons {
    /// By name: the steps whose undo expires.
    expiring: BTreeMap<String, Vec<StepIx>>,
    /// By name: the actions that have opened it, or may have.
    opened_by: BTreeMap<String, BTreeSet<ActionIx>>,
    /// What was said of it last: crossed.
    pub(super) said: BTreeSet<String>,
}

impl Horizons {
    pub fn new(graph: &Graph) -> Self {
        let mut expiring: BTreeMap<String, Vec<StepIx>> = BTreeMap::new();
        for step in graph.step_ixs() {
            if let Some(name) = until(graph.step(step)) {
                expiring.entry(name.clone()).or_default().push(step);
            }
        }
        Self { expiring, ..Self::default() }
    }

    fn is_open(&self, name: &str) -> bool {
        self.opened_by.get(name).is_some_and(|by| !by.is_empty())
    }
}

impl State {
    /// The action is about to run, or a person says that it is done.
    pub(super) fn opens(&mut self, ix: ActionIx) {
        if let Some(name) = self.graph.step_of(ix).opens.clone() {
            self.horizons.opened_by.entry(name).or_default().insert(ix);
        }
    }

    /// It is proven that the action did nothing.
    pub(super) fn opens_nothing(&mut self, ix: ActionIx) {
        let name = self.graph.step_of(ix).opens.as_ref();
        if let Some(by) = name.and_then(|name| self.horizons.opened_by.get_mut(name)) {
            by.remove(&ix);
        }
    }

    /// What has been opened and makes the undo of this step lose something.
    #[must_use]
    pub fn expired(&self, step: StepIx) -> Option<&str> {
        let name = until(self.graph.step(step))?;
        self.horizons.is_open(name).then_some(name.as_str())
    }

    /// Whether something that has run can no longer be undone without losing what has flowed in.
    pub(super) fn is_crossed(&self) -> bool {
        self.horizons.opened_by.keys().any(|name| self.has_crossed(name))
    }

    fn has_crossed(&self, name: &str) -> bool {
        self.horizons.is_open(name) && self.would_expire(name).next().is_some()
    }

    /// The steps that have run and whose undo expires when this is opened.
    fn would_expire(&self, name: &str) -> impl Iterator<Item = StepIx> + '_ {
        let steps = self.horizons.expiring.get(name).into_iter().flatten().copied();
        steps.filter(|step| self.cost.is_touched(*step))
    }

    /// Whether everything goes forward only once this action has begun.
    pub(super) fn would_cross(&self, ix: ActionIx) -> bool {
        let name = self.graph.step_of(ix).opens.as_deref();
        name.is_some_and(|name| self.would_expire(name).next().is_some())
    }
}

impl Decision<'_> {
    /// Says which horizons were crossed in this turn, and which were not after all.
    pub fn tell_horizons(&mut self) {
        let names: Vec<String> = self.state.horizons.opened_by.keys().cloned().collect();
        for name in names {
            let (crossed, said) = (self.state.has_crossed(&name), self.state.horizons.said.contains(&name));
            if crossed && !said {
                let id = |step: StepIx| self.state.graph().step(step).id.clone();
                let expired = self.state.would_expire(&name).map(id).collect();
                let by = self.state.horizons.opened_by[&name].first().map(|ix| self.id(*ix));
                let Some(action) = by else { continue };
                self.record(Fact::HorizonCrossed { action, opens: name, expired });
            } else if said && !crossed {
                self.record(Fact::HorizonKept { opens: name });
            }
        }
    }
}
