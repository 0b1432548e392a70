//! The rollback: what is ended, proven dead, undone, parked and tested, in which order. Knows no clock.
//!
//! Everything that may have run is undone, against the direction of the needs. An undo starts only when the forward
//! process of its action is proven dead and the undos of all its dependants have ended. What fails is retried, then
//! parked; what does not depend on it goes on.

use std::collections::BTreeMap;

use super::deadline::time_left_for_undo;
use super::decide::Decision;
use super::fact::{Channel, Fact, HoldAnswer, HoldReason, KillReason, RollbackCause, RunEnd};
use super::retry;
use super::state::{Doing, Phase};
use crate::engine::effect::Effect;
use crate::graph::ids::{ActionId, AttemptId, Direction};
use crate::graph::outcome::{Evidence, Outcome};
use crate::graph::{ActionIx, parts};
use crate::plan::model::{OnFailure, OnStop, Undo};

impl Decision<'_> {
    /// What actions that failed for good lead to.
    pub fn decide_failures(&mut self) {
        if !self.state.is_forward() || self.state.asking.is_empty() {
            return;
        }
        if !self.state.reversible() {
            return self.hold_forward_only();
        }
        let stops = self.state.asking.iter().find(|(_, then)| **then == OnFailure::Rollback).map(|(ix, _)| *ix);
        match stops {
            Some(ix) => self.stop_for(ix),
            // What fails while the run is being stopped is only listed.
            None if self.state.stopping || self.ask_about_fleets() => {}
            None => self.ask_about_failures(),
        }
    }

    fn stop_for(&mut self, ix: ActionIx) {
        let action = self.id(ix);
        match self.state.action(ix).rejected_by.clone() {
            Some(by) if by.channel != Channel::Engine => return self.stop(RollbackCause::Rejected { action, by }),
            Some(_) if self.state.roll_back_by().is_some_and(|at| at <= self.now) => {
                return self.stop(RollbackCause::Deadline);
            }
            Some(_) => return self.stop(RollbackCause::Unanswered),
            None => {}
        }
        let grace = self.state.run().is_some_and(|r| r.options.rollback_grace.is_positive());
        let cause = RollbackCause::Failed { action };
        match self.state.hold().map(|h| &h.reason) {
            _ if !grace => self.stop(cause),
            None => self.hold(HoldReason::RollbackGrace { cause }, HoldAnswer::Rollback),
            Some(_) => {}
        }
    }

    fn ask_about_failures(&mut self) {
        let mut actions = match self.state.hold().map(|h| h.reason.clone()) {
            None => Vec::new(),
            Some(HoldReason::Failed { actions }) => actions,
            Some(_) => return,
        };
        actions.extend(self.state.asking.keys().map(|ix| self.state.graph().action(*ix).id.clone()));
        self.hold(HoldReason::Failed { actions }, HoldAnswer::Rollback);
    }

    fn hold_forward_only(&mut self) {
        let failed: Vec<ActionId> = self.state.asking.keys().map(|ix| self.id(*ix)).collect();
        if !self.state.no_input() {
            if self.state.hold().is_none() {
                self.hold(HoldReason::ForwardOnly { actions: failed }, HoldAnswer::Stay);
            }
        } else if self.only_people_are_waited_for() {
            let why = "failed after the last moment to roll back";
            self.end(RunEnd::Stuck { actions: failed.into_iter().map(|a| (a, why.to_string())).collect() });
        }
    }

    /// Whether nothing goes on but questions: no answer to them could mend what has failed.
    fn only_people_are_waited_for(&self) -> bool {
        let asks = |ix: &ActionIx| matches!(self.state.action(*ix).doing, Doing::Ask | Doing::Asking { .. });
        self.state.open.iter().all(asks)
    }

    pub fn roll_back(&mut self) {
        self.end_running();
        self.settle_undos();
        for ix in self.state.in_doubt.clone() {
            if self.state.action(ix).kill_asked.is_none() {
                self.prove_dead(ix);
            }
        }
        if !self.state.rollback_is_paused() {
            self.start_undos();
            self.test_old_version();
        }
        self.finish_rollback();
    }

    /// Ends running steps as their `on_stop` says.
    fn end_running(&mut self) {
        let over = self.state.kill_by.is_some_and(|by| by <= self.now);
        for ix in self.state.going_forward.clone() {
            let a = self.state.action(ix);
            let Doing::Running { attempt, .. } = &a.doing else { continue };
            let kill = match self.state.graph().step_of(ix).on_stop {
                OnStop::Kill => true,
                OnStop::Finish => over,
                OnStop::Protect => false,
            };
            if kill && a.kill_asked.is_none() {
                let attempt = attempt.clone();
                self.kill(attempt, KillReason::Stop);
            }
        }
    }

    /// Makes sure that a forward attempt whose outcome is in doubt is dead, or parks its undo.
    pub fn prove_dead(&mut self, ix: ActionIx) {
        let a = self.state.action(ix);
        let (Some(attempt), false) = (a.doubt.clone(), matches!(a.doing, Doing::Parked { .. })) else { return };
        if time_left_for_undo(self.state, self.now) {
            self.kill(attempt, KillReason::BeforeUndo);
        } else {
            let why = "nobody knows whether it still runs: its host cannot be reached".into();
            self.record(Fact::UndoParked { action: self.id(ix), why });
        }
    }

    fn settle_undos(&mut self) {
        for ix in self.state.undecided() {
            match self.state.action(ix).doing.clone() {
                Doing::UndoNext(part) => self.launch(self.next_attempt(ix, part)),
                Doing::UndoJudge { direction, outcome } => self.judge_undo(ix, direction, &outcome),
                _ => {}
            }
        }
    }

    fn judge_undo(&mut self, ix: ActionIx, direction: Direction, outcome: &Outcome) {
        let graph = self.state.graph().clone();
        let a = self.state.action(ix);
        // A proof that could not be asked for says nothing of the undo: it is asked for again.
        let could_not_verify = direction == Direction::UndoCheck && !outcome.may_have_run();
        let (next, again) = match could_not_verify.then(|| retry::after_silence(a.tried(direction))).flatten() {
            Some(wait) => (direction, Some(wait)),
            None => {
                let patience = time_left_for_undo(self.state, self.now);
                let rollback = graph.step_of(ix).rollback();
                // What a failed proof says of the undo: that it is not done. Any other part is repeated by itself.
                let redo = if direction == Direction::UndoCheck { Direction::Undo } else { direction };
                (redo, retry::after_undo_failure(rollback, outcome, a.tried(redo), patience))
            }
        };
        let doubt = matches!(outcome, Outcome::InDoubt { .. });
        match again.filter(|_| !doubt).and_then(|wait| self.now.checked_add(wait).ok()) {
            Some(at) => self.record(Fact::RetryScheduled { attempt: self.next_attempt(ix, next), at }),
            None => {
                let why = format!("its rollback did not succeed: {outcome}");
                self.record(Fact::UndoParked { action: self.id(ix), why });
            }
        }
    }

    fn start_undos(&mut self) {
        for step in self.state.undoable() {
            let mut last = None;
            while self.state.places_in(step) < self.state.cost.at_once(step)
                && let Some(ix) = self.state.next_undo(step, last)
            {
                self.start_undo(ix);
                last = Some(ix);
            }
        }
    }

    fn start_undo(&mut self, ix: ActionIx) {
        let a = self.state.action(ix);
        if a.may_be_alive() || !a.touched || a.doing.is_open() || matches!(a.doing, Doing::Parked { .. }) {
            return;
        }
        let graph = self.state.graph().clone();
        let step = graph.step_of(ix);
        if a.drained && !a.left_something {
            return self.bring_back(ix, parts::back_to_service(step));
        }
        if let Some(name) = self.state.expired(graph.action(ix).step) {
            let why = format!("its rollback has expired with {name}: it would lose what has come in since");
            return self.record(Fact::UndoParked { action: self.id(ix), why });
        }
        match &step.undo {
            Undo::Command(_) | Undo::BuiltIn(_) => self.launch(self.next_attempt(ix, Direction::Undo)),
            Undo::Manual(text) => self.ask_for_hands(ix, text),
            Undo::Irreversible(reason) => {
                self.record(Fact::UndoParked { action: self.id(ix), why: format!("it cannot be undone: {reason}") });
            }
            Undo::Nothing | Undo::ReadOnly => unreachable!("a step that changes nothing is never touched"),
        }
    }

    /// Of an action whose host was drained, and to which nothing else was done.
    fn bring_back(&mut self, ix: ActionIx, part: Option<Direction>) {
        match part {
            Some(part) => self.launch(self.next_attempt(ix, part)),
            None => {
                let why = "its host was taken out of service, and the plan has no `undrain`".into();
                self.record(Fact::UndoParked { action: self.id(ix), why });
            }
        }
    }

    fn ask_for_hands(&mut self, ix: ActionIx, text: &str) {
        let action = self.id(ix);
        if self.state.no_input() {
            self.record(Fact::UndoParked { action, why: format!("undo it by hand: {text}") });
        } else if self.state.hold().is_none() {
            let reason = HoldReason::ManualUndo { action, text: text.into() };
            self.record(Fact::HoldOpened { reason, limit: None, default: HoldAnswer::Stay });
        }
    }

    /// When nothing is left to undo: does the old version answer?
    fn test_old_version(&mut self) {
        if self.state.left_to_undo() > 0 || !self.state.open.is_empty() || !self.anything_undone() {
            return;
        }
        let retry = self.state.graph().plan().after_rollback.clone();
        for (id, a) in self.state.after().clone() {
            let tries = a.tries[Direction::Do as usize];
            let next = AttemptId { action: id.clone(), direction: Direction::Do, number: tries + 1 };
            match &a.doing {
                Doing::Waiting => self.launch(next),
                Doing::Judge { outcome, .. } => {
                    let wait =
                        retry.as_ref().and_then(|step| retry::after_failure(step, outcome, a.tried(Direction::Do)));
                    if let Some(at) = wait.and_then(|wait| self.now.checked_add(wait).ok()) {
                        self.record(Fact::RetryScheduled { attempt: next, at });
                    }
                }
                Doing::Retrying { at, next } if *at <= self.now => self.launch(next.clone()),
                Doing::Running { attempt, since } if *since + self.patience_with_test() <= self.now => {
                    let outcome = Outcome::InDoubt { why: "its host stays silent".into() };
                    let attempt = attempt.clone();
                    self.record(Fact::AttemptEnded { attempt, outcome, evidence: Evidence::default() });
                }
                _ => {}
            }
        }
    }

    fn anything_undone(&self) -> bool {
        self.state.graph().action_ixs().any(|ix| self.state.action(ix).doing == Doing::Undone)
    }

    fn finish_rollback(&mut self) {
        if !self.state.is_rolling_back() || !self.state.open.is_empty() || self.state.hold().is_some() {
            return;
        }
        if self.state.left_to_undo() > 0 {
            let proving =
                self.state.in_doubt.iter().any(|ix| !matches!(self.state.action(*ix).doing, Doing::Parked { .. }));
            if !proving {
                self.end(RunEnd::Stuck { actions: self.stuck() });
            }
            return;
        }
        let late = self.state.window().is_some_and(|w| self.now > w.closes);
        if !self.anything_undone() || self.state.after().is_empty() {
            return self.end(RunEnd::RolledBack { verified: None, late });
        }
        let open = |a: &super::state::ActionState| {
            matches!(a.doing, Doing::Running { .. } | Doing::Retrying { .. } | Doing::Waiting)
        };
        if self.state.after().values().any(open) {
            return;
        }
        let failed: BTreeMap<ActionId, String> = self
            .state
            .after()
            .iter()
            .filter_map(|(id, a)| match &a.doing {
                Doing::Judge { outcome, .. } => Some((id.clone(), format!("the test of the old version: {outcome}"))),
                _ => None,
            })
            .collect();
        match failed.is_empty() {
            true => self.end(RunEnd::RolledBack { verified: Some(true), late }),
            false => self.end(RunEnd::Stuck { actions: failed }),
        }
    }

    fn stuck(&self) -> BTreeMap<ActionId, String> {
        let why = |ix| match &self.state.action(ix).doing {
            Doing::Parked { why } => why.clone(),
            _ => "waits for the rollback of a step that depends on it".into(),
        };
        self.state.not_undone().map(|ix| (self.id(ix), why(ix))).collect()
    }

    /// Reopens a finished run for a rollback by hand.
    pub fn roll_back_finished(&mut self, cause: RollbackCause) {
        debug_assert!(matches!(self.state.phase(), Phase::Ended(_)));
        self.record(Fact::RollbackDecided { cause });
        self.turn.effects.retain(|e| *e != Effect::Finish);
    }
}
