//! What the world tells the engine. Knows nothing of where it comes from.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::fact::{Actor, Amendment, Fact, HoldAnswer, Mark, RunStarted};
use crate::graph::ids::AttemptId;
use crate::graph::outcome::{Evidence, Outcome};

/// A wall clock that is set forward by more at once is not believed at first, and asked about.
pub const DOUBTED: SignedDuration = SignedDuration::from_secs(60);
/// People who were called for a step are called again when their time moves by more.
pub const CALL_MOVED: SignedDuration = SignedDuration::from_mins(15);

/// Inputs may arrive twice, late, or for attempts that have ended: the engine ignores what it knows already.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The first input of a run.
    Start(Box<RunStarted>),
    /// The first input after the facts were replayed by a new controller.
    Resumed {
        by: Actor,
        epoch: u64,
    },
    /// The time asked for by [`super::effect::Effect::WakeAt`] has come. Harmless at any other time.
    Tick,
    AttemptLaunched {
        attempt: AttemptId,
    },
    AttemptEnded {
        attempt: AttemptId,
        outcome: Outcome,
        evidence: Evidence,
    },
    LinkLost {
        attempt: AttemptId,
        why: String,
    },
    LinkRestored {
        attempt: AttemptId,
    },
    /// A probe or kill could not reach the host.
    Unreachable {
        attempt: AttemptId,
        why: String,
    },
    /// A person acted.
    Operator(Operator),
    /// Hosts were asked whether the wall clock is right that was set far forward. `off`: how far the median of their clocks
    /// is from it, where any could be asked. Only when they agreed does it count from now on.
    ClockJudged {
        off: Option<jiff::SignedDuration>,
        agreed: bool,
    },
    /// The shell noticed that the wall clock jumped.
    ClockJumped {
        by: jiff::SignedDuration,
    },
}

/// What a person asks for, from whatever terminal. Serialized: it crosses the control socket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Operator {
    pub by: Actor,
    pub ask: Ask,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// `gate` is the step's name; may be left out when only one gate is open.
    Approve {
        gate: Option<String>,
        defects: Vec<String>,
        note: Option<String>,
    },
    Reject {
        gate: Option<String>,
        note: Option<String>,
    },
    /// Answers the open hold.
    Hold {
        answer: HoldAnswer,
        note: Option<String>,
    },
    Retry {
        step: String,
        hosts: Vec<String>,
    },
    Skip {
        step: String,
        reason: Option<String>,
    },
    Pause,
    Continue,
    Rollback {
        reason: Option<String>,
    },
    Extend {
        closes: Timestamp,
        granted_by: Option<String>,
        reason: Option<String>,
    },
    Mark {
        step: String,
        host: Option<String>,
        mark: Mark,
        reason: Option<String>,
    },
    /// People are needed at this gate soon. Said by whoever forecasts; heard once, and again when it moved.
    CallAhead {
        gate: String,
        expected: Timestamp,
        planned: Option<Timestamp>,
    },
    /// Go on by this plan.
    Amend(Box<Amendment>),
    Note {
        text: String,
    },
}

/// The engine's answer to a person: what was recorded, or why nothing was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    Accepted {
        facts: Vec<Fact>,
    },
    /// Nothing changed. `why` is a sentence that says what is true instead.
    Refused {
        why: String,
    },
}
