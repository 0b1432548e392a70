//! The decision core: facts in, decisions out. Knows no clock, disk, network or task.
//!
//! # One turn
//!
//! [`Engine::handle`] takes one input and the time. It records what the input says as facts, then looks at what is true
//! and does everything that is due (`decide::Decision::advance`): lets overdue timers fire, opens the window, settles
//! what has just ended, watches *roll back by*, starts what is ready, or rolls back. Every decision is itself a fact, and
//! every fact goes through [`State::apply`](state::State::apply), live and in replay alike. So a fact that was lost with
//! its turn is decided again after a replay, and an input that arrives twice decides nothing.
//!
//! # Where an action may go
//!
//! ```text
//!                  when is false, narrowed, skipped
//!   Waiting ------------------------------------------------> Skipped
//!      |  \_ gate ------------> Asking --- approved -----------> Done
//!      |   \_ wait: {for, at} -> Pausing -- over --------------> Done
//!      v armed                                                   ^
//!   Running --- succeeded --> [Next -> Running] -> [Ask -> Asking]
//!      |  not succeeded                                          |
//!      v                                                         |
//!    Judge ---> Retrying ---> Running        tolerated, skipped -+
//!      |                                                         |
//!      +------> Failed (asks: retry, skip, rollback) ------------+
//!
//!   rollback decided: everything that holds a place ends or is ended; then, for all that may have run,
//!
//!   Done, Failed --> Undoing --> [UndoNext -> Undoing] --> Undone
//!                       |  not succeeded
//!                       v
//!                   UndoJudge --> UndoRetrying --> Undoing
//!                       +-------> Parked (a person is needed)
//! ```
//!
//! The parts that follow each other (drain, work, reboot, proof, undrain) are in [`crate::graph::parts`].
//!
//! # What the engine owns, and what the shell owns
//!
//! | the engine | the shell (driver, transport, journal) |
//! |---|---|
//! | when anything starts, is tried again, is ended, is undone | starting, following and ending one attempt |
//! | what an outcome means | what became of an attempt, from the record on its host |
//! | *roll back by*, admission, holds, gates | one timer, one clock that never goes backwards |
//! | what is true of the run | making facts durable before their effects are performed |
//!
//! # What is always true
//!
//! [`invariants`] has the list as code: at most one start per attempt; nothing starts after the stop decision; an undo
//! starts only when its forward process is proven dead and the undos of all its dependants have ended; what may have run
//! is undone or listed as stuck; the stop decision comes no later than *roll back by*.

mod amend;
mod apply;
mod apply_undo;
mod deadline;
mod decide;
pub mod effect;
pub mod fact;
mod fleet;
mod horizon;
pub mod input;
pub mod invariants;
mod life;
mod likely;
mod operator;
mod readiness;
mod retry;
mod rollback;
mod stage;
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
pub use state::{IllegalFact, State};

/// One run's decisions. Survives duplicate, late and unknown inputs; does not survive two writers of one journal.
#[derive(Debug, Clone)]
pub struct Engine {
    state: State,
    likely: likely::Likely,
}

impl Engine {
    /// Before the first fact: [`Input::Start`] comes first.
    #[must_use]
    pub fn new(graph: Arc<Graph>) -> Self {
        Self { state: State::new(graph), likely: None }
    }

    /// The engine after these facts: a prefix of any journal of this plan. [`Input::Resumed`] comes next.
    ///
    /// # Errors
    /// When a fact cannot follow the ones before it.
    pub fn replay(graph: Arc<Graph>, records: &[FactRecord]) -> Result<Self, IllegalFact> {
        let mut state = State::new(graph);
        records.iter().try_for_each(|r| state.apply(r))?;
        Ok(Self { state, likely: None })
    }

    /// Decides what follows from an input at this instant. The facts of the turn are already applied to this engine;
    /// the caller makes them durable, in order, before it performs the effects. `now` never goes backwards.
    pub fn handle(&mut self, now: Timestamp, input: Input) -> Turn {
        let mut decision = Decision { state: &mut self.state, likely: &mut self.likely, now, turn: Turn::default() };
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
