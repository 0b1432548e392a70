//! The run by steps: one row each, over all its hosts, and the counts that headlines need. Asks no clock.

use jiff::{SignedDuration, Timestamp};

use super::action_view::ActionState;
use super::run_view::RunView;
use crate::graph::StepIx;
use crate::plan::model::Step;

/// One step over all its hosts.
#[derive(Debug, Clone)]
pub struct StepRow<'a> {
    pub ix: StepIx,
    pub step: &'a Step,
    /// That of its action which deserves attention most.
    pub state: ActionState,
    /// How many of its actions there are, and how many are in each state (by `ActionState as usize`).
    pub total: u32,
    pub counts: [u32; ActionState::COUNT],
    pub started: Option<Timestamp>,
    /// When it was over on all its hosts.
    pub ended: Option<Timestamp>,
    pub undo_started: Option<Timestamp>,
    pub undo_ended: Option<Timestamp>,
    /// Some host of it passed its worst estimate and still runs.
    pub late: bool,
}

impl StepRow<'_> {
    #[must_use]
    pub const fn count(&self, state: ActionState) -> u32 {
        self.counts[state as usize]
    }

    /// Actions that count as done.
    #[must_use]
    pub const fn done(&self) -> u32 {
        self.count(ActionState::Done) + self.count(ActionState::Skipped)
    }

    /// How long it ran, or runs by `now`; of the undo when it is being undone.
    #[must_use]
    pub fn elapsed(&self, now: Timestamp) -> SignedDuration {
        let (from, to) = match self.state {
            ActionState::Undoing | ActionState::Parked => (self.undo_started, self.undo_ended),
            _ => (self.started, self.ended),
        };
        from.map_or(SignedDuration::ZERO, |from| to.unwrap_or(now).duration_since(from))
    }
}

/// How far a rollback is, in steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RollbackProgress {
    pub undone: u32,
    pub to_undo: u32,
}

impl RunView {
    #[must_use]
    pub fn row(&self, ix: StepIx) -> StepRow<'_> {
        let (row, span) = (ix.index(), self.spans[ix.index()]);
        let state = self.row_state(row);
        // A failure that nobody has answered did not end the step, but its time does not run on.
        let failed = || self.actions[self.members(row)].iter().filter_map(|a| a.ended).max();
        StepRow {
            ix,
            step: self.graph.step(ix),
            state,
            total: self.members(row).len() as u32,
            counts: self.counts[row],
            started: span.started,
            ended: if state == ActionState::Failed { span.ended.or_else(failed) } else { span.ended },
            undo_started: span.undo_started,
            undo_ended: span.undo_ended,
            late: self.actions[self.members(row)].iter().any(|a| a.late && a.state == ActionState::Running),
        }
    }

    /// All steps, in the plan's order.
    pub fn rows(&self) -> impl Iterator<Item = StepRow<'_>> {
        self.graph.step_ixs().map(|ix| self.row(ix))
    }

    /// The step of this name.
    #[must_use]
    pub fn row_by_name(&self, step: &str) -> Option<StepRow<'_>> {
        self.graph.find_step(step).map(|ix| self.row(ix))
    }

    /// What goes on now, longest-running first.
    #[must_use]
    pub fn active(&self) -> Vec<StepRow<'_>> {
        let mut rows: Vec<_> = self.rows().filter(|r| r.state.is_active()).collect();
        rows.sort_by_key(|r| (if r.state == ActionState::Undoing { r.undo_started } else { r.started }, r.ix));
        rows
    }

    /// Whether the proof that the old version is back is under way.
    #[must_use]
    pub fn proving(&self) -> bool {
        let row = self.counts.len() - 1;
        self.row_state(row).is_active()
    }

    /// Steps that count as done.
    #[must_use]
    pub fn steps_done(&self) -> usize {
        (0..self.graph.step_count()).filter(|row| self.row_over(*row)).count()
    }

    #[must_use]
    pub fn steps_total(&self) -> usize {
        self.graph.step_count()
    }

    /// Actions in a state, over all steps.
    #[must_use]
    pub fn actions_in(&self, state: ActionState) -> u32 {
        self.counts[..self.graph.step_count()].iter().map(|c| c[state as usize]).sum()
    }

    /// How far the rollback is; `None` while there is none.
    #[must_use]
    pub fn rollback_progress(&self) -> Option<RollbackProgress> {
        self.rollback.as_ref()?;
        let rows = 0..self.graph.step_count();
        let undone = rows.clone().filter(|r| self.row_undone(*r)).count() as u32;
        let left = rows.filter(|r| self.members(*r).any(|i| self.needs_undo(i))).count() as u32;
        Some(RollbackProgress { undone, to_undo: undone + left })
    }

    /// Whether a rollback still has to undo some host of this step.
    #[must_use]
    pub fn row_needs_undo(&self, ix: StepIx) -> bool {
        self.members(ix.index()).any(|i| self.needs_undo(i))
    }

    fn row_undone(&self, row: usize) -> bool {
        self.count(row, ActionState::Undone) > 0 && !self.members(row).any(|i| self.needs_undo(i))
    }

    /// Over for those that wait for it: done, skipped, or failed within what is tolerated.
    pub(super) fn row_over(&self, row: usize) -> bool {
        let done = self.count(row, ActionState::Done) + self.count(row, ActionState::Skipped);
        let total = self.members(row).len() as u32;
        total > 0 && (done == total || (self.spans[row].told_done && done > 0 && !self.row_state(row).is_active()))
    }

    fn row_state(&self, row: usize) -> ActionState {
        use ActionState::{
            Asking, BackingOff, Done, Failed, Parked, Running, Skipped, Soaking, Undoing, Undone, Waiting,
        };
        let any = |state| self.count(row, state) > 0;
        let urgent = [Undoing, Parked, Running, Asking, Soaking, BackingOff].into_iter().find(|s| any(*s));
        if let Some(state) = urgent {
            return state;
        }
        if any(Undone) && !self.members(row).any(|i| self.needs_undo(i)) {
            return Undone;
        }
        match () {
            () if any(Failed) && !self.spans[row].told_done => Failed,
            () if any(Failed) && !any(Done) => Failed,
            () if any(Waiting) && (any(Done) || any(Undone)) && self.rollback.is_none() => Running,
            () if any(Done) => Done,
            () if any(Waiting) => Waiting,
            () if any(Undone) => Undone,
            () => Skipped,
        }
    }
}
