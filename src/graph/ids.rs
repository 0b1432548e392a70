//! Names of actions and attempts, as they stand in facts, on hosts and on screens. Knows nothing of the graph.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// `step@host`, or just `step` for an action that runs nowhere (a gate). Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ActionId(Arc<str>);

impl ActionId {
    #[must_use]
    pub fn new(step: &str, host: Option<&str>) -> Self {
        match host {
            Some(host) => Self(format!("{step}@{host}").into()),
            None => Self(step.into()),
        }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    #[must_use]
    pub fn step(&self) -> &str {
        self.0.split_once('@').map_or(&*self.0, |(step, _)| step)
    }

    /// The host's name; `local` for the controller, `None` for an action that runs nowhere.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.0.split_once('@').map(|(_, host)| host)
    }
}

impl fmt::Display for ActionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an attempt is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// The work itself.
    Do,
    /// `verify` of the work.
    Check,
    /// The rollback of the work.
    Undo,
    /// `verify` of the rollback.
    UndoCheck,
}

impl Direction {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Do => "do",
            Self::Check => "check",
            Self::Undo => "undo",
            Self::UndoCheck => "undo-check",
        }
    }
}

/// One try. Together with the run it is unique: `run/step/host/direction/number`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptId {
    pub action: ActionId,
    pub direction: Direction,
    /// 1, 2, ... per action and direction.
    pub number: u32,
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.action.host().unwrap_or("-");
        write!(f, "{}/{host}/{}/{}", self.action.step(), self.direction.as_str(), self.number)
    }
}
