//! What is recorded and true ever after. Knows nothing of how it is stored.
//!
//! Facts are the journal, the event stream and the only way to change [`super::state::State`]. A variant's fields may
//! grow (`#[serde(default)]`), never change meaning; readers of newer journals meet [`Fact::Unknown`].

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

pub use super::stage::{Pace, Stage};
use crate::graph::ids::{ActionId, AttemptId};
use crate::graph::outcome::{Evidence, Outcome, Verdict};
use crate::plan::model::{OnDeadline, OnFailure, Plan, StepId};
use crate::plan::waves::OpenWave;
use crate::schedule::{Order, Past};

/// Version of the facts' format, written in the first fact of each run.
pub const FORMAT: u32 = 1;

/// A fact with its place in the run. `seq` starts at 1 and has no gaps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FactRecord {
    pub seq: u64,
    pub at: Timestamp,
    #[serde(flatten)]
    pub fact: Fact,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Fact {
    /// Always the first.
    RunStarted(Box<RunStarted>),
    WindowOpened,
    /// Counts as done.
    ActionSkipped {
        action: ActionId,
        why: SkipReason,
    },
    /// Durable before anything is sent to the host.
    AttemptArmed {
        attempt: AttemptId,
    },
    /// The host confirmed the claim.
    AttemptLaunched {
        attempt: AttemptId,
    },
    /// The connection is gone; the attempt itself is untouched.
    LinkLost {
        attempt: AttemptId,
        why: String,
    },
    LinkRestored {
        attempt: AttemptId,
    },
    AttemptEnded {
        attempt: AttemptId,
        outcome: Outcome,
        #[serde(flatten)]
        evidence: Evidence,
    },
    /// No further try will be made; this is what the failure leads to.
    ActionFailed {
        action: ActionId,
        then: OnFailure,
    },
    /// We asked the host to end the attempt's process tree.
    KillRequested {
        attempt: AttemptId,
        why: KillReason,
    },
    /// The next attempt of this action starts at `at`, unless a stop comes first.
    RetryScheduled {
        attempt: AttemptId,
        at: Timestamp,
    },
    /// A pure wait (`wait: {for}` or `{at}`, or the soak of a test) runs until then.
    WaitStarted {
        action: ActionId,
        until: Timestamp,
    },
    WaitEnded {
        action: ActionId,
    },
    /// Passed its worst estimate.
    ActionLate {
        action: ActionId,
    },
    GateOpened {
        action: ActionId,
        answer_by: Option<Timestamp>,
    },
    GateAnswered {
        action: ActionId,
        answer: GateAnswer,
        by: Actor,
        defects: Vec<String>,
        note: Option<String>,
    },
    /// The action may not start any more: it, or the rollback after it, would end too late.
    AdmissionRefused {
        action: ActionId,
        numbers: Admission,
    },
    /// Nothing new starts; a person is asked until `limit`, then `default` applies.
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
    /// *Roll back by* stands at this instant from here on. Recorded when the displayed minute changes.
    RollBackByMoved {
        at: Option<Timestamp>,
        rollback_now: SignedDuration,
    },
    RoomWarning {
        room: SignedDuration,
    },
    /// It is time to call the people of this gate, or to tell them another time than before.
    CallDue {
        action: ActionId,
        expected: Timestamp,
        planned: Option<Timestamp>,
    },
    /// From here only forward: failures hold, the deadline is off.
    ReversibleEnded {
        why: String,
    },
    /// A step that opens something has begun: from here on the undos of these steps would lose what flows in. Nothing is
    /// rolled back automatically any more, and failures hold.
    HorizonCrossed {
        action: ActionId,
        opens: String,
        expired: Vec<StepId>,
    },
    /// It was not crossed after all: what should have opened it is proven to have done nothing, or nothing is left to undo.
    HorizonKept {
        opens: String,
    },
    /// The stop decision. Never taken back.
    RollbackDecided {
        cause: RollbackCause,
    },
    /// This undo needs a person; what does not depend on it goes on.
    UndoParked {
        action: ActionId,
        why: String,
    },
    /// A person says what is true of an action (`mark`).
    ActionMarked {
        action: ActionId,
        mark: Mark,
        by: Actor,
        reason: Option<String>,
    },
    /// A person changed the window's end.
    WindowExtended {
        closes: Timestamp,
        by: Actor,
        granted_by: Option<String>,
        reason: Option<String>,
    },
    /// From here on the run goes by another plan of the same shape.
    PlanAmended {
        #[serde(flatten)]
        amendment: Box<Amendment>,
        by: Actor,
    },
    Noted {
        text: String,
        by: Actor,
    },
    /// Another controller owns the run from here on.
    Resumed {
        by: Actor,
        epoch: u64,
    },
    /// The wall clock and the time since boot disagree.
    ClockJumped {
        by: SignedDuration,
    },
    /// What the hosts' clocks say of a wall clock that was set far forward; where they disagree, or none could be asked, the
    /// time since boot counts.
    ClockJudged {
        off: Option<SignedDuration>,
        agreed: bool,
    },
    /// Always the last, except for notes and a rollback by hand.
    RunEnded {
        end: RunEnd,
    },
    /// A fact of a newer version, kept but not understood.
    #[serde(other)]
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunStarted {
    pub format: u32,
    pub run: String,
    /// The plan's stem and title.
    pub plan: String,
    pub title: String,
    /// The plan's file, as the command line named it; empty where there was none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub file: String,
    pub digest: String,
    pub by: Actor,
    /// Name of the controller machine.
    pub controller: String,
    pub timezone: Option<String>,
    pub window: Option<WindowInstants>,
    pub options: RunOptions,
    /// Seeds the jitter of back-offs, and tells this run from another store's run of the same name.
    pub seed: u64,
    pub actions: u32,
    pub steps: u32,
    /// The order in which steps share what is short; the longest remaining path goes first where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// What steps took in earlier runs, as it was known at the start: the forecast of this run goes by it.
    #[serde(default, skip_serializing_if = "Past::is_empty")]
    pub past: Past,
    /// What the tests with `baseline` said before the night.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub baseline: BTreeMap<ActionId, Verdict>,
}

impl RunStarted {
    /// The name of this run's records and locks on hosts. Names of runs are unique in one store only: without the seed,
    /// what another controller did under the same name would count as done by this run.
    #[must_use]
    pub fn name_on_hosts(&self) -> String {
        format!("{}.{:016x}", self.run, self.seed)
    }

    /// Whether this test failed before the night already.
    #[must_use]
    pub fn red_before(&self, action: &ActionId) -> bool {
        self.baseline.get(action) == Some(&Verdict::Fail)
    }
}

/// A plan that takes the place of the run's own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Amendment {
    pub plan: Plan,
    pub digest: String,
    /// What is different, one line each.
    pub changes: Vec<String>,
    pub reason: Option<String>,
}

/// The window as this run uses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowInstants {
    pub opens: Timestamp,
    pub closes: Timestamp,
    pub reserve: SignedDuration,
    pub max_extension: Option<SignedDuration>,
    pub on_deadline: OnDeadline,
}

/// How people asked for this run to be executed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RunOptions {
    /// Nobody can be asked at the engine's terminal: `ask` means `rollback`.
    #[serde(default)]
    pub no_input: bool,
    /// Gates approve themselves (the lab without a terminal); recorded as such.
    #[serde(default)]
    pub approve_gates: bool,
    /// How long a person may hold before an automatic rollback starts.
    #[serde(default)]
    pub rollback_grace: SignedDuration,
    /// Started outside the window, and why.
    #[serde(default)]
    pub outside_window: Option<String>,
    /// Steps that this run does not execute because it was narrowed.
    #[serde(default)]
    pub narrowed: Vec<String>,
    /// Hosts that this run leaves out because it was narrowed.
    #[serde(default)]
    pub hosts_left_out: Vec<String>,
    /// Hosts that did not answer when the run began, and may fail. They are locked when they are first reached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub away: Vec<String>,
    /// The wave of a plan in waves that this run is; what was frozen with it is the plan of this wave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wave: Option<OpenWave>,
    /// Played in the lab: real commands, but durations that say nothing about the plan's estimates.
    #[serde(default)]
    pub lab: bool,
    /// A rehearsal: no host, and a clock of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rehearsal: Option<Pace>,
}

/// Who answers the gates of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gates {
    People,
    ApproveAtOnce,
    /// When the time is over that people are expected to take.
    ApproveInTime,
}

impl RunOptions {
    #[must_use]
    pub const fn gates(&self) -> Gates {
        match (self.approve_gates, self.rehearsal) {
            (false, _) => Gates::People,
            (true, None) => Gates::ApproveAtOnce,
            (true, Some(_)) => Gates::ApproveInTime,
        }
    }

    #[must_use]
    pub const fn stage(&self) -> Stage {
        match (self.rehearsal, self.lab) {
            (Some(_), _) => Stage::Rehearsal,
            (None, true) => Stage::Lab,
            (None, false) => Stage::Real,
        }
    }

    /// What the clock of the run shows at this instant.
    #[must_use]
    pub fn clock(&self, now: Timestamp) -> Timestamp {
        self.rehearsal.map_or(now, |pace| pace.at(now))
    }
}

/// Who did it, and through what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    pub name: String,
    pub channel: Channel,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    Cli,
    Web,
    Link,
    /// The engine itself, by a rule of the plan.
    Engine,
}

impl Actor {
    /// The engine's own decisions.
    #[must_use]
    pub fn engine() -> Self {
        Self { name: "runbook".into(), channel: Channel::Engine }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// Its `when` is false.
    When { expression: String },
    /// Left out by `--only`, `--from` or `--hosts`.
    Narrowed,
    /// Its host failed in this step, which goes on without it.
    HostFailed { step: StepId },
    /// A person skipped it.
    Person { by: Actor, reason: Option<String> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KillReason {
    /// `on_stop: kill`, or *roll back by* passed with the step still running.
    Stop,
    /// The controller enforces a limit that the host could not.
    Timeout,
    /// Proving that a forward attempt is dead before its undo.
    BeforeUndo,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateAnswer {
    Approved,
    ApprovedWithDefects,
    Rejected,
    /// Nobody answered; the actor is the engine.
    TimedOut,
}

/// The numbers behind an admission that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admission {
    /// When the action would end at worst.
    pub ends: Timestamp,
    /// The rollback of everything that would then have run.
    pub rollback: SignedDuration,
    /// The last instant at which that rollback may start.
    pub roll_back_by: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldReason {
    /// These actions failed and their policy is `ask`.
    Failed { actions: Vec<ActionId> },
    /// A rollback begins at the limit unless a person holds it.
    RollbackGrace { cause: RollbackCause },
    /// Suspiciously quick.
    Quick { action: ActionId },
    /// Admission refused and the deadline policy is `ask`, or it is ten minutes before *roll back by*.
    Deadline,
    /// The run is less likely than its plan wants to end in time: percentages.
    Unlikely {
        /// Everything is done by the close.
        done: u8,
        /// A rollback fits until the last decision.
        rollback_fits: u8,
        below: u8,
    },
    /// A person paused.
    Paused { by: Actor },
    /// No further host of this step starts: these have failed. The numbers are those of the moment.
    FleetStopped { step: StepId, actions: Vec<ActionId>, why: FleetStop, done: u32, not_started: u32 },
    /// A failure after the reversible part.
    ForwardOnly { actions: Vec<ActionId> },
    /// A person must undo this by hand, then say so.
    ManualUndo { action: ActionId, text: String },
    /// A person paused the rollback: undos that run end, nothing more is undone.
    RollbackPaused { by: Actor },
    /// Clocks disagree by more than a minute.
    Clock,
}

impl HoldReason {
    /// The actions that have failed and wait for an answer; `None` for a hold that is about something else.
    #[must_use]
    pub fn failed(&self) -> Option<&[ActionId]> {
        match self {
            Self::Failed { actions } | Self::ForwardOnly { actions } | Self::FleetStopped { actions, .. } => {
                Some(actions)
            }
            _ => None,
        }
    }
}

/// Why a step goes on with no further host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FleetStop {
    /// More have failed than `allow_failed` allows, of so many.
    TooManyFailed { allowed: u32, of: u32 },
    /// Its first host has failed.
    Canary,
    /// One host less, and fewer than `keep` of this group would be in service; `up` are now.
    KeepUp { group: String, up: u32, keep: u32 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldAnswer {
    /// Run what failed again.
    Retry,
    /// Count what failed as done.
    Skip,
    Rollback,
    /// Go on as if nothing had been asked.
    Continue,
    /// Stay held until a person decides.
    Stay,
    /// Start nothing more, and leave everything as it is.
    Stop,
}

impl HoldAnswer {
    /// The word that people type for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Skip => "skip",
            Self::Rollback => "rollback",
            Self::Continue => "continue",
            Self::Stay => "hold",
            Self::Stop => "stop",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RollbackCause {
    /// This action failed and its policy is `rollback` (or nobody could be asked).
    Failed {
        action: ActionId,
    },
    Rejected {
        action: ActionId,
        by: Actor,
    },
    /// *Roll back by* passed.
    Deadline,
    /// Nothing could be admitted any more.
    Admission {
        action: ActionId,
    },
    /// A person decided.
    Person {
        by: Actor,
        reason: Option<String>,
    },
    /// A hold ended without an answer.
    Unanswered,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    Done,
    Failed,
    Undone,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunEnd {
    Succeeded {
        late: bool,
    },
    /// `verified`: the `after_rollback` test passed (or the plan has none: `None`).
    RolledBack {
        verified: Option<bool>,
        late: bool,
    },
    /// A person is needed: these actions are neither done nor undone.
    Stuck {
        actions: BTreeMap<ActionId, String>,
    },
    /// Nothing was started.
    Rejected,
}
