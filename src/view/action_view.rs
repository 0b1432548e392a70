//! One action as a person sees it: its state, its times, its last outcome. Unaware of other actions.

use jiff::{SignedDuration, Timestamp};

use crate::graph::StepIx;
use crate::graph::ids::{ActionId, AttemptId, Direction};
use crate::graph::outcome::{Evidence, Outcome};

/// Where an action stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ActionState {
    /// Nothing was tried. Next: running, asking, soaking or skipped.
    Waiting,
    /// An attempt (of the work or of its `verify`) is armed or launched.
    Running,
    /// A pure wait or the soak of a test.
    Soaking,
    /// A person is asked.
    Asking,
    /// The last attempt failed; the next one is scheduled.
    BackingOff,
    /// Counts as done. Next: undoing.
    Done,
    /// Counts as done; nothing was tried, or a person said so.
    Skipped,
    /// The last attempt failed and no further one is scheduled.
    Failed,
    Undoing,
    Undone,
    /// Its undo needs a person.
    Parked,
}

impl ActionState {
    /// How many states there are; they number themselves from 0.
    pub const COUNT: usize = Self::Parked as usize + 1;

    /// All of them, by their numbers.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Waiting,
        Self::Running,
        Self::Soaking,
        Self::Asking,
        Self::BackingOff,
        Self::Done,
        Self::Skipped,
        Self::Failed,
        Self::Undoing,
        Self::Undone,
        Self::Parked,
    ];

    /// Something goes on: time passes for this action.
    #[must_use]
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Running | Self::Soaking | Self::Asking | Self::BackingOff | Self::Undoing)
    }

    /// It was done, also where it has been undone since.
    #[must_use]
    pub const fn was_done(self) -> bool {
        matches!(self, Self::Done | Self::Undoing | Self::Undone)
    }

    #[must_use]
    pub const fn counts_as_done(self) -> bool {
        matches!(self, Self::Done | Self::Skipped)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct ActionView {
    pub id: ActionId,
    /// `None` for the actions of `after_rollback`.
    pub step: Option<StepIx>,
    pub state: ActionState,
    /// Of the forward work: its first attempt, gate or wait, and its last end.
    pub started: Option<Timestamp>,
    pub ended: Option<Timestamp>,
    pub undo_started: Option<Timestamp>,
    pub undo_ended: Option<Timestamp>,
    /// The attempt in flight, or the last one.
    pub attempt: Option<AttemptId>,
    /// When that attempt was armed.
    pub attempt_started: Option<Timestamp>,
    /// Of the last forward attempt that ended.
    pub outcome: Option<Outcome>,
    /// Of the last attempt that ended, in whatever direction.
    pub evidence: Evidence,
    /// When that was.
    pub evidence_at: Option<Timestamp>,
    /// The connection is gone since then; the attempt itself goes on.
    pub lost_since: Option<Timestamp>,
    /// Passed its worst estimate.
    pub late: bool,
    /// It failed, and what waits for it goes on all the same.
    pub tolerated: bool,
    /// End of a wait, or start of the next try.
    pub until: Option<Timestamp>,
    /// Some attempt of it may have left something behind.
    pub may_have_run: bool,
    /// Why it is parked.
    pub why: Option<String>,
}

impl ActionView {
    /// Whether contact to its host is lost, and nobody expected that.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.lost_since.is_some() && !self.part().is_some_and(Direction::restarts_its_host)
    }

    /// The part of the action that is being executed; `None` while nothing is.
    #[must_use]
    pub fn part(&self) -> Option<Direction> {
        let executes = matches!(self.state, ActionState::Running | ActionState::Undoing);
        self.attempt.as_ref().filter(|_| executes).map(|a| a.direction)
    }

    pub(super) fn new(id: ActionId, step: Option<StepIx>) -> Self {
        Self {
            id,
            step,
            state: ActionState::Waiting,
            started: None,
            ended: None,
            undo_started: None,
            undo_ended: None,
            attempt: None,
            attempt_started: None,
            outcome: None,
            evidence: Evidence::default(),
            evidence_at: None,
            lost_since: None,
            late: false,
            tolerated: false,
            until: None,
            may_have_run: false,
            why: None,
        }
    }

    /// The host's name, `local` for the controller, the empty text for an action that runs nowhere.
    #[must_use]
    pub fn host(&self) -> &str {
        self.id.host().unwrap_or("")
    }

    /// How long the forward work took, or has taken by `now`.
    #[must_use]
    pub fn elapsed(&self, now: Timestamp) -> Option<SignedDuration> {
        self.started.map(|from| self.ended.unwrap_or(now).duration_since(from))
    }
}
