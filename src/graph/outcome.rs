//! How an attempt ended: a closed set, with what was seen. Knows nothing of policies.

use std::collections::BTreeMap;
use std::fmt;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::plan::model::Step;

/// The result of one attempt. Comes from the attempt record on the host, never from an ssh exit status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Succeeded,
    /// Ended by itself with this exit code, 1 to 255.
    Failed {
        exit: u8,
    },
    /// Ended by a signal that we did not send.
    Killed {
        signal: u8,
    },
    /// Ended by us at its time limit; its process tree is verified empty.
    TimedOut,
    /// Ended by us for another reason; verified empty.
    Cancelled,
    /// Was started, is dead, left no exit code: the host was rebooted, or the runner itself was killed.
    Interrupted,
    /// Proven: the claim is a tombstone, nothing was executed.
    NeverStarted {
        why: String,
    },
    /// Cannot be known now.
    InDoubt {
        why: String,
    },
}

impl Outcome {
    #[must_use]
    pub const fn is_success(&self) -> bool {
        matches!(self, Self::Succeeded)
    }

    /// Whether the attempt may have left effects behind: everything but a proven non-start.
    #[must_use]
    pub const fn may_have_run(&self) -> bool {
        !matches!(self, Self::NeverStarted { .. })
    }

    /// The word given to a rollback command as `RUNBOOK_OUTCOME`.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed { .. } => "failed",
            Self::Killed { .. } => "killed",
            Self::TimedOut => "timed-out",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
            Self::NeverStarted { .. } => "never-started",
            Self::InDoubt { .. } => "in-doubt",
        }
    }
}

impl Outcome {
    /// What a test or a request that ended so says. Only one that came to its end by itself says anything.
    #[must_use]
    pub fn verdict(&self, step: &Step) -> Verdict {
        match self {
            Self::Succeeded => Verdict::Pass,
            Self::Failed { exit } if !step.leaves_open(*exit) => Verdict::Fail,
            _ => Verdict::Inconclusive,
        }
    }
}

/// What a test says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Pass,
    Fail,
    /// It could not be executed to its end: its host was away, its time was over, its command is not there, it was killed,
    /// nobody answered; or it says itself that it cannot judge.
    Inconclusive,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { exit } => write!(f, "exit {exit}"),
            Self::Killed { signal } => write!(f, "killed by signal {signal}"),
            Self::NeverStarted { why } => write!(f, "never started: {why}"),
            Self::InDoubt { why } => write!(f, "in doubt: {why}"),
            Self::Succeeded | Self::TimedOut | Self::Cancelled | Self::Interrupted => {
                f.write_str(&self.word().replace('-', " "))
            }
        }
    }
}

/// What came back with an outcome.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Evidence {
    /// Duration on the host's own clock, where it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took: Option<SignedDuration>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
    /// The last lines of stderr (of stdout where stderr is empty), masked; escaped only when shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tail: Vec<String>,
    /// Lines of output in all, dropped ones included.
    #[serde(default)]
    pub lines: u64,
    /// What else a person should know, such as the names of surviving processes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}
