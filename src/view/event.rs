//! The run as lines of a story: what a person would write down. Derived from facts; unaware of how it is shown.

use jiff::{SignedDuration, Timestamp};

use crate::engine::fact::{Actor, Admission, GateAnswer, HoldAnswer, HoldReason, KillReason, RollbackCause, RunEnd};
use crate::graph::ids::{ActionId, AttemptId};
use crate::graph::outcome::{Evidence, Outcome};
use crate::plan::model::OnFailure;

/// Something worth a line. `seq` is that of the fact which caused it; several events may share one.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub seq: u64,
    pub at: Timestamp,
    pub what: What,
}

/// Suspicious durations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Under two fifths of the lower estimate, or under `expect.min`.
    Fast,
    /// Over the upper estimate, or over `expect.max`.
    Late,
}

#[derive(Debug, Clone, PartialEq)]
pub enum What {
    RunStarted,
    WindowOpened,
    /// The first hosts of a step start. Later batches of the same step are silent.
    StepStarted {
        step: String,
        hosts: Vec<String>,
    },
    /// Done on all its hosts, tolerated failures included.
    StepDone {
        step: String,
        hosts: Vec<String>,
        failed: Vec<String>,
        took: SignedDuration,
        mark: Option<Mark>,
        /// `verify` of the work passed.
        verified: bool,
    },
    StepSkipped {
        step: String,
        hosts: Vec<String>,
        why: String,
    },
    /// A step passed its worst estimate and still runs.
    StepLate {
        step: String,
        host: String,
    },
    /// An attempt ended without success, in whatever direction.
    TryFailed {
        attempt: AttemptId,
        outcome: Outcome,
        evidence: Box<Evidence>,
        took: SignedDuration,
        /// Tries in all that the plan allows in this direction.
        tries: u32,
        /// When the next try starts; `None` is the end of trying.
        again: Option<Timestamp>,
        /// What the end of trying leads to.
        then: Option<OnFailure>,
    },
    LinkLost {
        action: ActionId,
        why: String,
    },
    LinkRestored {
        action: ActionId,
    },
    Killing {
        attempt: AttemptId,
        why: KillReason,
    },
    WaitStarted {
        step: String,
        until: Timestamp,
    },
    GateOpened {
        step: String,
        answer_by: Option<Timestamp>,
    },
    GateAnswered {
        step: String,
        answer: GateAnswer,
        by: Actor,
        defects: Vec<String>,
        note: Option<String>,
        took: SignedDuration,
    },
    AdmissionRefused {
        action: ActionId,
        numbers: Admission,
    },
    HoldOpened {
        reason: HoldReason,
        limit: Option<Timestamp>,
        default: HoldAnswer,
    },
    HoldAnswered {
        answer: HoldAnswer,
        by: Actor,
        note: Option<String>,
    },
    CallDue {
        step: String,
        expected: Timestamp,
        planned: Option<Timestamp>,
        /// When they were called before, and for when.
        said: Option<Timestamp>,
    },
    RoomWarning {
        room: SignedDuration,
    },
    ReversibleEnded {
        why: String,
    },
    /// What this step opens makes the undos of the others expire.
    HorizonCrossed {
        step: String,
        opens: String,
        expired: Vec<String>,
    },
    HorizonKept {
        opens: String,
    },
    RollbackDecided {
        cause: RollbackCause,
    },
    UndoStarted {
        step: String,
        hosts: Vec<String>,
    },
    StepUndone {
        step: String,
        hosts: Vec<String>,
        took: SignedDuration,
    },
    UndoParked {
        action: ActionId,
        why: String,
    },
    Marked {
        action: ActionId,
        mark: crate::engine::fact::Mark,
        by: Actor,
        reason: Option<String>,
    },
    WindowExtended {
        closes: Timestamp,
        by: Actor,
        granted_by: Option<String>,
        reason: Option<String>,
    },
    PlanAmended {
        by: Actor,
        changes: Vec<String>,
        reason: Option<String>,
    },
    Noted {
        text: String,
        by: Actor,
    },
    Resumed {
        by: Actor,
    },
    ClockJumped {
        by: SignedDuration,
    },
    ClockJudged {
        off: Option<SignedDuration>,
        agreed: bool,
    },
    RunEnded {
        end: RunEnd,
    },
}

impl What {
    /// The step it is about.
    #[must_use]
    pub fn step(&self) -> Option<&str> {
        match self {
            Self::StepStarted { step, .. }
            | Self::StepDone { step, .. }
            | Self::StepSkipped { step, .. }
            | Self::StepLate { step, .. }
            | Self::WaitStarted { step, .. }
            | Self::CallDue { step, .. }
            | Self::GateOpened { step, .. }
            | Self::GateAnswered { step, .. }
            | Self::HorizonCrossed { step, .. }
            | Self::UndoStarted { step, .. }
            | Self::StepUndone { step, .. } => Some(step),
            Self::TryFailed { attempt, .. } | Self::Killing { attempt, .. } => Some(attempt.action.step()),
            Self::LinkLost { action, .. }
            | Self::LinkRestored { action }
            | Self::AdmissionRefused { action, .. }
            | Self::UndoParked { action, .. }
            | Self::Marked { action, .. } => Some(action.step()),
            Self::RunStarted
            | Self::WindowOpened
            | Self::HoldOpened { .. }
            | Self::HoldAnswered { .. }
            | Self::RoomWarning { .. }
            | Self::ReversibleEnded { .. }
            | Self::HorizonKept { .. }
            | Self::RollbackDecided { .. }
            | Self::WindowExtended { .. }
            | Self::PlanAmended { .. }
            | Self::Noted { .. }
            | Self::Resumed { .. }
            | Self::ClockJumped { .. }
            | Self::ClockJudged { .. }
            | Self::RunEnded { .. } => None,
        }
    }
}
