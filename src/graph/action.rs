//! The nodes of the compiled plan and how they are numbered. Knows nothing of edges.

use serde::{Deserialize, Serialize};

use super::ids::ActionId;
use super::job::Site;

/// Number of an action, dense from 0, in the plan's order: all actions of a step stand together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ActionIx(pub u32);

/// Number of a step, dense from 0, in the plan's order. `after_rollback` is not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StepIx(pub u32);

impl ActionIx {
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl StepIx {
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// One step on one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    pub id: ActionId,
    pub step: StepIx,
    /// `None` for an action that runs nowhere: a gate, or a wait for a time.
    pub site: Option<Site>,
}
