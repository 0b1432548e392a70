//! The decision core: facts in, decisions out. Knows no clock, disk, network or task.

mod apply;
mod apply_undo;
mod deadline;
mod decide;
pub mod effect;
pub mod fact;
pub mod input;
pub mod invariants;
mod operator;
mod retry;
mod rollback;
pub mod state;

use std::sync::Arc;

use jiff::Timestamp;

use crate::graph::Graph;
use crate::graph::ids::AttemptId;
use crate::graph::job::{Job, Site};
use crate::graph::render::{self, Known, RenderError};
use decide::Decision;
use effect::Turn;
use fact::FactRecord;
use input::Input;
pub use operator::{allowed_answers, answer_word};
pub use state::{IllegalFact, State};

/// One run's decisions. Survives duplicate, late and unknown inputs; does not survive two writers of one journal.
#[derive(Debug, Clone)]
pub struct Engine {
    state: State,
}

impl Engine {
    /// Before the first fact: [`Input::Start`] comes first.
    #[must_use]
    pub fn new(graph: Arc<Graph>) -> Self {
        Self { state: State::new(graph) }
    }

    /// The engine after these facts: a prefix of any journal of this plan. [`Input::Resumed`] comes next.
    ///
    /// # Errors
    /// When a fact cannot follow the ones before it.
    pub fn replay(graph: Arc<Graph>, records: &[FactRecord]) -> Result<Self, IllegalFact> {
        let mut state = State::new(graph);
        records.iter().try_for_each(|r| state.apply(r))?;
        Ok(Self { state })
    }

    /// Decides what follows from an input at this instant. The facts of the turn are already applied to this engine;
    /// the caller makes them durable, in order, before it performs the effects. `now` never goes backwards.
    pub fn handle(&mut self, now: Timestamp, input: Input) -> Turn {
        let mut decision = Decision { state: &mut self.state, now, turn: Turn::default() };
        decision.input(input);
        decision.turn
    }

    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// The work of an attempt, rendered from the plan and from what is known by now.
    ///
    /// # Errors
    /// When a template cannot be rendered; the caller reports the attempt as never started.
    pub fn job(&self, attempt: &AttemptId) -> Result<Job, RenderError> {
        let forward = self.state.find(&attempt.action);
        let known = Known {
            run: self.state.run().map_or("", |r| r.run.as_str()),
            outputs: &self.state.outputs,
            roll_back_by: self.state.roll_back_by(),
            forward_outcome: forward.and_then(|a| a.forward.as_ref()),
            replaced_by: forward.map(|a| a.puts.clone()).unwrap_or_default(),
        };
        render::job(self.state.graph(), attempt, &known)
    }

    /// Where an attempt runs; `None` for one that the plan does not know.
    #[must_use]
    pub fn site(&self, attempt: &AttemptId) -> Option<Site> {
        self.state.graph().site_of(attempt)
    }
}
