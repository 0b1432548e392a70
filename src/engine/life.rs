//! One action's life: what it is doing, and what is known of it. Decides nothing; [`super::state::State::apply`] changes it.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::fact::Actor;
use super::fleet::Standing;
use super::retry::Tried;
use crate::graph::ids::{AttemptId, Direction};
use crate::graph::outcome::Outcome;

/// What an action is doing. Each variant says what may come next; `State::apply` refuses the rest.
#[derive(Debug, Clone, PartialEq)]
pub enum Doing {
    /// Waits for its needs, for capacity, or for the window. Next: any of the following but `Undoing`.
    Waiting,
    /// Counts as done, was not executed. Final, never undone.
    Skipped,
    /// An attempt is open. Next: `Next`, `Ask`, `Done`, `Judge`.
    Running {
        attempt: AttemptId,
        since: Timestamp,
    },
    /// A part of the way forward succeeded, and this one follows. Next: `Running`.
    Next(Direction),
    /// A pure wait. Next: `Done`.
    Pausing {
        until: Timestamp,
    },
    /// The machine's half is passed; the gate is about to open. Next: `Asking`.
    Ask,
    /// A person is asked. Next: `Done`, or a rollback.
    Asking {
        since: Timestamp,
        answer_by: Option<Timestamp>,
    },
    /// An attempt ended without success and nothing is decided yet. Next: `Retrying`, `Running` (check), `Failed`, `Done`.
    Judge {
        direction: Direction,
        outcome: Outcome,
    },
    /// Another attempt starts then. Next: `Running`.
    Retrying {
        at: Timestamp,
        next: AttemptId,
    },
    /// No further try by itself. Next: `Waiting` (a person retries), `Done` (skips), `Undoing`.
    Failed,
    /// Done, or counted as done. Next: `Undoing`.
    Done,
    /// The rollback is open. Next: `UndoNext`, `Undone`, `UndoJudge`.
    Undoing {
        attempt: AttemptId,
        since: Timestamp,
    },
    /// A part of the way back succeeded, and this one follows. Next: `Undoing`.
    UndoNext(Direction),
    UndoJudge {
        direction: Direction,
        outcome: Outcome,
    },
    UndoRetrying {
        at: Timestamp,
        next: AttemptId,
    },
    /// Nothing of it is left. Final.
    Undone,
    /// Its rollback needs a person. Next: `Undone` (marked), `Undoing` (retried by a person).
    Parked {
        why: String,
    },
}

impl Doing {
    /// Begun and not over.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        !matches!(self, Self::Waiting | Self::Skipped | Self::Failed | Self::Done | Self::Undone | Self::Parked { .. })
    }

    /// Counts under `at_once` and resources. What only waits for a time or for a person does not.
    #[must_use]
    pub const fn takes_a_place(&self) -> bool {
        self.is_open() && !matches!(self, Self::Pausing { .. } | Self::Ask | Self::Asking { .. })
    }

    pub(super) const fn asks_for_a_decision(&self) -> bool {
        matches!(self, Self::Next(_) | Self::Ask | Self::Judge { .. } | Self::UndoNext(_) | Self::UndoJudge { .. })
    }
}

/// A number for each direction.
pub type Tries = [u32; Direction::ALL.len()];

/// One action's life.
#[derive(Debug, Clone, PartialEq)]
pub struct ActionState {
    pub doing: Doing,
    /// How the work ended, once it did; of the latest attempt.
    pub forward: Option<Outcome>,
    /// The latest attempt of the work.
    pub attempt: Option<AttemptId>,
    /// Whether this run may have left effects of it behind that a rollback must undo.
    pub touched: bool,
    /// Attempts armed so far, by direction.
    pub tries: Tries,
    /// The same when a person last said retry: those tries do not count against the plan's limit.
    pub tries_before: Tries,
    /// Of those since, the ones that certainly did not run: a host that was away, an engine that died.
    pub unstarted: Tries,
    /// When the first attempt was armed, the wait or the question began.
    pub started: Option<Timestamp>,
    pub ended: Option<Timestamp>,
    /// Connection to its host is lost.
    pub lost: bool,
    /// We asked for its end.
    pub kill_asked: Option<Timestamp>,
    pub late: bool,
    /// How long the last successful attempt of the work took.
    pub took: Option<SignedDuration>,
    /// Failed, but its plan or a person said to go on.
    pub tolerated: bool,
    /// Attempts that replaced a file, newest first.
    pub puts: Vec<AttemptId>,
    /// Who approved so far.
    pub approvals: BTreeSet<String>,
    /// Who rejected.
    pub rejected_by: Option<Actor>,
    /// The open attempt was confirmed by its host.
    pub launched: bool,
    /// Whether an ended attempt of the work may have left something behind.
    pub left_something: bool,
    /// Whether its host may be out of service because this action drained it.
    pub drained: bool,
    /// The attempt that may still be alive, though nobody can see it: its outcome is in doubt.
    pub doubt: Option<AttemptId>,
    /// Counted among what its step still has to undo.
    pub(super) to_undo: bool,
    pub(super) standing: Standing,
    pub(super) timers: [Option<Timestamp>; 6],
}

impl ActionState {
    /// What counts against the limits of tries in this direction.
    pub fn tried(&self, direction: Direction) -> Tried {
        let d = direction as usize;
        let unstarted = self.unstarted[d];
        Tried { ran: self.tries[d].saturating_sub(self.tries_before[d] + unstarted), unstarted }
    }

    /// What was tried so far does not count any more.
    pub(super) const fn forget_tries(&mut self) {
        self.tries_before = self.tries;
        self.unstarted = [0; Direction::ALL.len()];
    }

    pub(super) fn new() -> Self {
        Self {
            doing: Doing::Waiting,
            forward: None,
            attempt: None,
            touched: false,
            tries: [0; Direction::ALL.len()],
            tries_before: [0; Direction::ALL.len()],
            unstarted: [0; Direction::ALL.len()],
            started: None,
            ended: None,
            lost: false,
            kill_asked: None,
            late: false,
            took: None,
            tolerated: false,
            puts: Vec::new(),
            approvals: BTreeSet::new(),
            rejected_by: None,
            launched: false,
            left_something: false,
            drained: false,
            doubt: None,
            to_undo: false,
            standing: Standing::default(),
            timers: [None; 6],
        }
    }

    /// The open attempt, if any.
    #[must_use]
    pub const fn open_attempt(&self) -> Option<&AttemptId> {
        match &self.doing {
            Doing::Running { attempt, .. } | Doing::Undoing { attempt, .. } => Some(attempt),
            _ => None,
        }
    }

    /// Whether dependants may start.
    #[must_use]
    pub const fn is_satisfied(&self) -> bool {
        matches!(self.doing, Doing::Done | Doing::Skipped)
    }

    /// Whether a forward process of it may be alive, as far as we know.
    #[must_use]
    pub fn may_be_alive(&self) -> bool {
        matches!(self.doing, Doing::Running { .. }) || self.doubt.is_some()
    }

    /// Whether an undo of it still has to end before what it needs may be undone.
    #[must_use]
    pub fn blocks_undo(&self) -> bool {
        if matches!(self.doing, Doing::Undone) { false } else { self.touched || self.may_be_alive() }
    }
}
