//! The part of [`State::apply`] that concerns rollbacks: what blocks whose undo, and what lets go. Decides nothing.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::fact::{Mark, RollbackCause};
use super::state::{Doing, Phase, State};
use crate::graph::{ActionIx, StepIx};
use crate::plan::model::OnFailure;

impl State {
    pub(super) fn end_reversible(&mut self) -> Result<(), String> {
        match self.phase {
            Phase::Forward { .. } => self.phase = Phase::Forward { reversible: false },
            _ => return Err("the run is not going forward".into()),
        }
        Ok(())
    }

    pub(super) fn begin_rollback(&mut self, cause: &RollbackCause, at: Timestamp) -> Result<(), String> {
        if self.is_rolling_back() || self.phase == Phase::New {
            return Err("there is nothing to roll back, or it is being rolled back already".into());
        }
        self.kill_by = self.start_of(self.cost.now());
        self.phase = Phase::RollingBack { cause: cause.clone(), since: at };
        self.hold = None;
        self.ready.clear();
        self.asking.clear();
        for ix in self.open.clone() {
            let stays = matches!(self.actions[ix.index()].doing, Doing::Running { .. });
            if !stays {
                let failed = self.actions[ix.index()].started.is_some();
                self.actions[ix.index()].ended = Some(at);
                self.set_doing(ix, if failed { Doing::Failed } else { Doing::Waiting });
            }
        }
        for ix in self.graph.action_ixs() {
            let a = &mut self.actions[ix.index()];
            if matches!(a.doing, Doing::Parked { .. }) {
                a.doing = Doing::Failed;
                a.forget_tries();
            }
        }
        self.count_undos();
        Ok(())
    }

    /// From the sinks up: how much has to be undone in each step, and what it waits for.
    pub(super) fn count_undos(&mut self) {
        let graph = self.graph.clone();
        self.undoable.clear();
        self.undo_queue.clear();
        self.undo_left = 0;
        for step in graph.step_ixs() {
            let left: BTreeSet<ActionIx> =
                graph.actions_of(step).filter(|a| self.actions[a.index()].blocks_undo()).collect();
            for ix in &left {
                self.actions[ix.index()].to_undo = true;
            }
            let blockers = graph.all_dependants(step).count() + self.cost.undone_before(step).len();
            let tally = &mut self.steps[step.index()];
            tally.undo_left = left.len() as u32;
            tally.undo_blockers = blockers as u32;
            self.undo_left += left.len();
            if !left.is_empty() {
                self.undo_queue.insert(step, left);
            }
        }
        for step in graph.step_ixs() {
            if self.steps[step.index()].undo_blockers == 0 {
                self.unblock(step);
            }
        }
    }

    /// All that had to be undone before this step is; its own undos may start, or it lets go at once.
    pub(super) fn unblock(&mut self, step: StepIx) {
        if self.steps[step.index()].undo_left > 0 {
            self.undoable.insert(step);
        } else {
            self.let_go(step);
        }
    }

    pub(super) fn let_go(&mut self, step: StepIx) {
        self.undoable.remove(&step);
        let graph = self.graph.clone();
        let earlier: Vec<StepIx> = graph.all_needs(step).chain(self.cost.undone_after(step).iter().copied()).collect();
        for need in earlier {
            let tally = &mut self.steps[need.index()];
            tally.undo_blockers -= 1;
            if tally.undo_blockers == 0 {
                self.unblock(need);
            }
        }
    }

    /// Called whenever an action may have stopped blocking the undo of what it needs.
    pub(super) fn check_settled(&mut self, ix: ActionIx) {
        if !self.is_rolling_back() || !self.actions[ix.index()].to_undo || self.actions[ix.index()].blocks_undo() {
            return;
        }
        self.actions[ix.index()].to_undo = false;
        self.undo_left -= 1;
        self.unqueue_undo(ix);
        let step = self.graph.action(ix).step;
        let tally = &mut self.steps[step.index()];
        tally.undo_left -= 1;
        if tally.undo_left == 0 && tally.undo_blockers == 0 {
            self.let_go(step);
        }
    }

    pub(super) fn unqueue_undo(&mut self, ix: ActionIx) {
        let step = self.graph.action(ix).step;
        let Some(queue) = self.undo_queue.get_mut(&step) else { return };
        queue.remove(&ix);
        if queue.is_empty() {
            self.undo_queue.remove(&step);
            self.undoable.remove(&step);
        }
    }

    pub(super) fn undone(&mut self, ix: ActionIx, at: Timestamp) {
        self.actions[ix.index()].ended = Some(at);
        self.actions[ix.index()].drained = false;
        self.set_doing(ix, Doing::Undone);
        self.untouch(ix);
        self.check_settled(ix);
    }

    pub(super) fn park(&mut self, ix: ActionIx, why: &str, at: Timestamp) -> Result<(), String> {
        self.actions[ix.index()].ended = Some(at);
        self.unqueue_undo(ix);
        self.set_doing(ix, Doing::Parked { why: why.into() });
        Ok(())
    }

    pub(super) fn mark(&mut self, ix: ActionIx, mark: Mark, at: Timestamp) -> Result<(), String> {
        if self.hold.as_ref().is_some_and(|h| h.concerns(&self.graph.action(ix).id)) {
            self.hold = None;
        }
        match (mark, self.is_rolling_back()) {
            (Mark::Undone, _) => self.undone(ix, at),
            (Mark::Done, false) if !self.actions[ix.index()].is_satisfied() => {
                self.unready(ix);
                self.asking.remove(&ix);
                self.opens(ix);
                self.finish(ix, at)?;
            }
            (Mark::Failed, false) if self.actions[ix.index()].is_satisfied() => {
                return Err("what is done cannot be marked as failed any more: dependants may have started".into());
            }
            (Mark::Failed, false) => {
                self.set_doing(ix, Doing::Failed);
                self.asking.insert(ix, OnFailure::Ask);
            }
            (Mark::Done | Mark::Failed, _) => return Err("the run is being rolled back: mark it undone".into()),
        }
        Ok(())
    }
}
