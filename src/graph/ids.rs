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

/// What an attempt is for: one part of an action's way forward, or back. [`super::parts`] says what follows what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Takes the host out of service.
    Drain,
    /// Waits until nothing uses the host any more.
    Drained,
    /// The work itself.
    Do,
    /// Restarts the host after the work.
    Reboot,
    /// `verify` of the work.
    Check,
    /// Brings the host back into service.
    Undrain,
    /// Waits until the host is back in service.
    Undrained,
    /// The rollback of the work.
    Undo,
    /// Restarts the host after the rollback.
    UndoReboot,
    /// `verify` of the rollback.
    UndoCheck,
    /// Brings the host back into service after the rollback.
    UndoUndrain,
    /// Waits until the host is back in service after the rollback.
    UndoUndrained,
}

impl Direction {
    /// In the order in which they follow each other, the way forward first.
    pub const ALL: [Self; 12] = [
        Self::Drain,
        Self::Drained,
        Self::Do,
        Self::Reboot,
        Self::Check,
        Self::Undrain,
        Self::Undrained,
        Self::Undo,
        Self::UndoReboot,
        Self::UndoCheck,
        Self::UndoUndrain,
        Self::UndoUndrained,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Drained => "drained",
            Self::Do => "do",
            Self::Reboot => "reboot",
            Self::Check => "check",
            Self::Undrain => "undrain",
            Self::Undrained => "undrained",
            Self::Undo => "undo",
            Self::UndoReboot => "undo-reboot",
            Self::UndoCheck => "undo-check",
            Self::UndoUndrain => "undo-undrain",
            Self::UndoUndrained => "undo-undrained",
        }
    }

    /// Whether it belongs to the way back.
    #[must_use]
    pub const fn is_back(self) -> bool {
        match self {
            Self::Drain | Self::Drained | Self::Do | Self::Reboot | Self::Check | Self::Undrain | Self::Undrained => {
                false
            }
            Self::Undo | Self::UndoReboot | Self::UndoCheck | Self::UndoUndrain | Self::UndoUndrained => true,
        }
    }

    /// Whether it only looks at what is, and changes nothing.
    #[must_use]
    pub const fn only_looks(self) -> bool {
        matches!(self, Self::Drained | Self::Check | Self::Undrained | Self::UndoCheck | Self::UndoUndrained)
    }

    /// Whether its host goes away and comes back while it lasts.
    #[must_use]
    pub const fn restarts_its_host(self) -> bool {
        matches!(self, Self::Reboot | Self::UndoReboot)
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
