//! The one way to change a run's state: [`State::apply`]. Decides nothing.
//!
//! Live turns and replay call the same function, so recovery is a fold. What can be derived from facts is derived
//! here, next to what it is derived from: readiness of actions, the timers, the cost of a rollback.

use jiff::{SignedDuration, Timestamp};

use super::fact::{Actor, Fact, FactRecord, GateAnswer, Gates, HoldAnswer, HoldReason, RunStarted};
use super::state::{Doing, Hold, IllegalFact, Phase, State, Timer};
use crate::graph::ActionIx;
use crate::graph::ids::{ActionId, AttemptId, Direction};
use crate::graph::outcome::Outcome;
use crate::graph::parts;
use crate::plan::model::{OnFailure, Verb};

/// How much longer than its own limit a host may be silent before its attempt is looked at from here.
pub(super) const SILENCE: SignedDuration = SignedDuration::from_secs(60);

/// Whoever ends exactly at the worst estimate is on time.
const LATE: SignedDuration = SignedDuration::from_secs(1);

impl State {
    /// Applies the next fact.
    ///
    /// # Errors
    /// When the fact cannot follow what is true: a journal of another plan, or damage that its checks did not see. The
    /// state is unusable afterwards.
    pub fn apply(&mut self, record: &FactRecord) -> Result<(), IllegalFact> {
        if record.seq != self.seq + 1 {
            return Err(self.illegal(&record.fact, format!("expected number {}, found {}", self.seq + 1, record.seq)));
        }
        self.change(record.at, &record.fact).map_err(|why| self.illegal(&record.fact, why))?;
        self.seq = record.seq;
        Ok(())
    }

    pub(super) fn illegal(&self, fact: &Fact, why: String) -> IllegalFact {
        let mut what = format!("{fact:?}");
        what.truncate(what.find([' ', '(', '{']).unwrap_or(what.len()));
        IllegalFact { seq: self.seq + 1, what, why }
    }

    pub(super) fn change(&mut self, at: Timestamp, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::RunStarted(run) => self.start(run),
            Fact::WindowOpened => self.open_window(),
            Fact::ActionSkipped { action, why } => {
                let ix = self.ix(action)?;
                self.leave_out(ix, why);
                self.skip(ix, at)
            }
            Fact::AttemptArmed { attempt } => self.arm(attempt, at),
            Fact::AttemptLaunched { attempt } => {
                if let Some(ix) = self.graph.find(&attempt.action) {
                    self.actions[ix.index()].launched = true;
                }
                Ok(())
            }
            Fact::Noted { .. } | Fact::ClockJumped { .. } | Fact::ClockJudged { .. } | Fact::Unknown => Ok(()),
            Fact::LinkLost { attempt, .. } => self.link(attempt, true, at),
            Fact::LinkRestored { attempt } => self.link(attempt, false, at),
            Fact::AttemptEnded { attempt, outcome, evidence } => {
                self.end_attempt(attempt, outcome, evidence.took, at)?;
                if !evidence.outputs.is_empty() {
                    self.outputs.insert(attempt.action.clone(), evidence.outputs.clone());
                }
                Ok(())
            }
            Fact::ActionFailed { action, then } => self.fail(self.ix(action)?, *then, at),
            Fact::KillRequested { attempt, .. } => self.ask_kill(attempt, at),
            Fact::RetryScheduled { attempt, at: next } => self.schedule_retry(attempt, *next),
            Fact::WaitStarted { action, until } => self.pause(self.ix(action)?, *until, at),
            Fact::WaitEnded { action } => self.finish(self.ix(action)?, at),
            Fact::ActionLate { action } => {
                let ix = self.ix(action)?;
                self.actions[ix.index()].late = true;
                self.set_timer(ix, Timer::Late, None);
                Ok(())
            }
            Fact::GateOpened { action, answer_by } => self.open_gate(self.ix(action)?, *answer_by, at),
            Fact::GateAnswered { action, answer, by, .. } => self.answer_gate(self.ix(action)?, *answer, by, at),
            Fact::AdmissionRefused { .. } => Ok(()),
            Fact::HoldOpened { reason, limit, default } => {
                for action in reason.failed().unwrap_or_default() {
                    let ix = self.ix(action)?;
                    self.asking.remove(&ix);
                }
                self.deadline_asked |= matches!(reason, HoldReason::Deadline);
                if let HoldReason::Unlikely { done, rollback_fits, .. } = reason {
                    self.unlikely_asked = Some(*done.min(rollback_fits));
                }
                self.hold = Some(Hold { reason: reason.clone(), since: at, limit: *limit, default: *default });
                Ok(())
            }
            Fact::HoldAnswered { answer, .. } => self.answer_hold(*answer, at),
            Fact::RollBackByMoved { at, .. } => {
                self.roll_back_by_shown = *at;
                Ok(())
            }
            Fact::CallDue { action, expected, .. } => {
                let step = self.graph.action(self.ix(action)?).step;
                self.called.insert(step, *expected);
                Ok(())
            }
            Fact::RoomWarning { room } => {
                self.room_warned = Some(*room);
                Ok(())
            }
            Fact::ReversibleEnded { .. } => self.end_reversible(),
            Fact::HorizonCrossed { opens, .. } => {
                self.horizons.said.insert(opens.clone());
                Ok(())
            }
            Fact::HorizonKept { opens } => {
                self.horizons.said.remove(opens);
                Ok(())
            }
            Fact::RollbackDecided { cause } => self.begin_rollback(cause, at),
            Fact::UndoParked { action, why } => self.park(self.ix(action)?, why, at),
            Fact::ActionMarked { action, mark, .. } => self.mark(self.ix(action)?, *mark, at),
            Fact::WindowExtended { closes, .. } => {
                let window = self.window.as_mut().ok_or("there is no window")?;
                window.closes = *closes;
                self.room_warned = None;
                self.deadline_asked = false;
                self.unlikely_asked = None;
                Ok(())
            }
            Fact::PlanAmended { amendment, .. } => self.take_over_plan(amendment),
            Fact::Resumed { epoch, .. } => {
                self.epoch = *epoch;
                Ok(())
            }
            Fact::RunEnded { end } => {
                self.phase = Phase::Ended(end.clone());
                self.hold = None;
                self.timers.clear();
                Ok(())
            }
        }
    }

    pub(super) fn ix(&self, action: &ActionId) -> Result<ActionIx, String> {
        self.graph.find(action).ok_or_else(|| format!("the plan has no action {action}"))
    }

    pub(super) fn start(&mut self, run: &RunStarted) -> Result<(), String> {
        if self.phase != Phase::New {
            return Err("the run has started already".into());
        }
        if let Some(order) = &run.order {
            self.keep_order(order)?;
        }
        self.window = run.window;
        self.run = Some(Box::new(run.clone()));
        self.phase = Phase::Waiting;
        Ok(())
    }

    pub(super) fn open_window(&mut self) -> Result<(), String> {
        if self.phase != Phase::Waiting {
            return Err("the run is not waiting for its window".into());
        }
        self.phase = Phase::Forward { reversible: true };
        for step in self.graph.step_ixs() {
            if self.steps[step.index()].needs_left == 0 {
                self.make_ready(step);
            }
        }
        self.close_empty_steps();
        Ok(())
    }

    pub(super) fn skip(&mut self, ix: ActionIx, at: Timestamp) -> Result<(), String> {
        match self.actions[ix.index()].doing {
            Doing::Waiting => {
                self.unready(ix);
                self.set_doing(ix, Doing::Skipped);
            }
            Doing::Failed => {
                self.actions[ix.index()].tolerated = true;
                self.asking.remove(&ix);
                self.set_doing(ix, Doing::Done);
            }
            _ => return Err("only what waits or has failed can be skipped".into()),
        }
        self.actions[ix.index()].ended = Some(at);
        self.satisfy(ix);
        Ok(())
    }

    pub(super) fn arm(&mut self, attempt: &AttemptId, at: Timestamp) -> Result<(), String> {
        self.attempts_armed += 1;
        let Some(ix) = self.graph.find(&attempt.action) else { return self.arm_after(attempt, at) };
        let (direction, id) = (attempt.direction, attempt.clone());
        self.unready(ix);
        let step = self.graph.step_of(ix);
        let changes = step.changes_something();
        let estimate = step.estimate_or_zero();
        let timeout = parts::limit(step, direction);
        let first = direction == parts::first(step);
        let a = &mut self.actions[ix.index()];
        a.tries[direction as usize] = attempt.number;
        a.kill_asked = None;
        a.lost = false;
        let begins = first && a.started.is_none();
        a.started.get_or_insert(at);
        if direction == Direction::Do {
            a.attempt = Some(id.clone());
            a.forward = None;
            if matches!(self.graph.step_of(ix).verb, Verb::Copy(_) | Verb::Template { .. }) {
                a.puts.insert(0, id.clone());
            }
        }
        if direction == Direction::Do {
            self.opens(ix);
        }
        if direction.is_back() {
            self.unqueue_undo(ix);
            self.set_doing(ix, Doing::Undoing { attempt: id, since: at });
        } else {
            self.set_doing(ix, Doing::Running { attempt: id, since: at });
        }
        if direction == Direction::Drain || (direction == Direction::Do && changes) {
            self.touch(ix);
        }
        if begins && estimate.worst > SignedDuration::ZERO {
            self.set_timer(ix, Timer::Late, at.checked_add(estimate.worst + LATE).ok());
        }
        self.set_timer(ix, Timer::Limit, timeout.and_then(|t| at.checked_add(t + SILENCE).ok()));
        Ok(())
    }

    pub(super) fn arm_after(&mut self, attempt: &AttemptId, at: Timestamp) -> Result<(), String> {
        let a =
            self.after.get_mut(&attempt.action).ok_or_else(|| format!("the plan has no action {}", attempt.action))?;
        a.tries[Direction::Do as usize] = attempt.number;
        a.started.get_or_insert(at);
        a.doing = Doing::Running { attempt: attempt.clone(), since: at };
        a.attempt = Some(attempt.clone());
        a.forward = None;
        Ok(())
    }

    pub(super) fn touch(&mut self, ix: ActionIx) {
        if !self.actions[ix.index()].touched {
            self.actions[ix.index()].touched = true;
            let graph = self.graph.clone();
            self.cost.touch(&graph, graph.action(ix).step);
        }
    }

    pub(super) fn untouch(&mut self, ix: ActionIx) {
        if self.actions[ix.index()].touched {
            self.actions[ix.index()].touched = false;
            let graph = self.graph.clone();
            self.cost.untouch(&graph, graph.action(ix).step);
        }
    }

    pub(super) fn link(&mut self, attempt: &AttemptId, lost: bool, at: Timestamp) -> Result<(), String> {
        let Some(ix) = self.graph.find(&attempt.action) else {
            self.after.get_mut(&attempt.action).ok_or("no such action")?.lost = lost;
            return Ok(());
        };
        self.actions[ix.index()].lost = lost;
        // A host that was silent for too long, and still is, gets as much time again.
        if lost && self.actions[ix.index()].timers[Timer::Limit as usize].is_some_and(|limit| limit <= at) {
            self.set_timer(ix, Timer::Limit, at.checked_add(SILENCE).ok());
        }
        Ok(())
    }

    pub(super) fn ask_kill(&mut self, attempt: &AttemptId, at: Timestamp) -> Result<(), String> {
        let Some(ix) = self.graph.find(&attempt.action) else { return Ok(()) };
        self.actions[ix.index()].kill_asked = Some(at);
        self.set_timer(ix, Timer::Limit, at.checked_add(SILENCE).ok());
        Ok(())
    }

    pub(super) fn end_attempt(
        &mut self,
        attempt: &AttemptId,
        outcome: &Outcome,
        took: Option<SignedDuration>,
        at: Timestamp,
    ) -> Result<(), String> {
        let Some(ix) = self.graph.find(&attempt.action) else { return self.end_after(attempt, outcome, at) };
        let a = &self.actions[ix.index()];
        let open = a.open_attempt() == Some(attempt);
        if !open && a.doubt.as_ref() != Some(attempt) {
            return Err(format!("attempt {attempt} is not open"));
        }
        self.learn(ix, attempt, outcome, open);
        if attempt.direction == Direction::Do && outcome.is_success() {
            let a = &mut self.actions[ix.index()];
            a.took = took.or_else(|| a.started.map(|s| at.duration_since(s)));
        }
        if !open {
            self.clear_timers(ix, false);
            self.check_settled(ix);
            return Ok(());
        }
        self.actions[ix.index()].lost = false;
        if outcome.is_success() {
            return self.go_on_after(ix, attempt.direction, at);
        }
        let (direction, outcome) = (attempt.direction, outcome.clone());
        if direction.is_back() {
            self.set_doing(ix, Doing::UndoJudge { direction, outcome });
        } else if self.is_rolling_back() {
            self.settle_forward(ix, Doing::Failed, at);
        } else {
            self.set_doing(ix, Doing::Judge { direction, outcome });
        }
        Ok(())
    }

    /// What the end of an attempt says of what it may have left behind, and of what may still be alive.
    fn learn(&mut self, ix: ActionIx, attempt: &AttemptId, outcome: &Outcome, open: bool) {
        let step = self.graph.step_of(ix);
        let (atomic, changes) = (step.atomic, step.changes_something());
        let direction = attempt.direction;
        let ran = outcome.may_have_run();
        let a = &mut self.actions[ix.index()];
        a.unstarted[direction as usize] += u32::from(open && !ran);
        if direction.is_back() || direction.only_looks() {
            return;
        }
        if direction == Direction::Do {
            a.forward = Some(outcome.clone());
        }
        if matches!(outcome, Outcome::InDoubt { .. }) {
            a.kill_asked = None;
            a.doubt = Some(attempt.clone());
            a.drained |= direction == Direction::Drain;
            self.in_doubt.insert(ix);
            return;
        }
        a.doubt = None;
        self.in_doubt.remove(&ix);
        match direction {
            Direction::Drain => a.drained |= ran,
            Direction::Do => {
                a.left_something |= changes && ran && !(atomic && matches!(outcome, Outcome::Failed { .. }));
            }
            _ => {}
        }
        let (nothing, drained) = (!a.left_something, a.drained);
        if nothing {
            self.opens_nothing(ix);
        }
        if nothing && !drained {
            self.untouch(ix);
        }
    }

    /// A part of the action has succeeded: the next one follows, or it is done.
    fn go_on_after(&mut self, ix: ActionIx, direction: Direction, at: Timestamp) -> Result<(), String> {
        let step = self.graph.step_of(ix);
        let (next, gate) = (parts::after(step, direction), step.gate.is_some());
        let worked = !matches!(direction, Direction::Drain | Direction::Drained);
        match next {
            Some(next) if direction.is_back() => self.set_doing(ix, Doing::UndoNext(next)),
            None if direction.is_back() => self.undone(ix, at),
            // No part of an action begins once everything goes back.
            _ if self.is_rolling_back() => {
                self.settle_forward(ix, if worked { Doing::Done } else { Doing::Failed }, at);
            }
            Some(next) => self.set_doing(ix, Doing::Next(next)),
            None if gate => self.set_doing(ix, Doing::Ask),
            None => {
                self.back_in_service(ix);
                self.finish(ix, at)?;
            }
        }
        Ok(())
    }

    /// Its host was drained for it, and serves again.
    fn back_in_service(&mut self, ix: ActionIx) {
        if self.graph.step_of(ix).fleet.undrain.is_some() {
            self.actions[ix.index()].drained = false;
            if !self.actions[ix.index()].left_something {
                self.untouch(ix);
            }
        }
    }

    /// The forward process ended while everything is being rolled back.
    pub(super) fn settle_forward(&mut self, ix: ActionIx, doing: Doing, at: Timestamp) {
        self.actions[ix.index()].ended = Some(at);
        self.set_doing(ix, doing);
        self.check_settled(ix);
    }

    pub(super) fn end_after(&mut self, attempt: &AttemptId, outcome: &Outcome, at: Timestamp) -> Result<(), String> {
        let a =
            self.after.get_mut(&attempt.action).ok_or_else(|| format!("the plan has no action {}", attempt.action))?;
        if a.open_attempt() != Some(attempt) {
            return Err(format!("attempt {attempt} is not open"));
        }
        a.unstarted[attempt.direction as usize] += u32::from(!outcome.may_have_run());
        a.forward = Some(outcome.clone());
        a.ended = Some(at);
        a.doing = if outcome.is_success() {
            Doing::Done
        } else {
            Doing::Judge { direction: Direction::Do, outcome: outcome.clone() }
        };
        Ok(())
    }

    pub(super) fn finish(&mut self, ix: ActionIx, at: Timestamp) -> Result<(), String> {
        if self.actions[ix.index()].is_satisfied() {
            return Err("the action is done already".into());
        }
        self.actions[ix.index()].ended = Some(at);
        self.set_doing(ix, Doing::Done);
        self.satisfy(ix);
        Ok(())
    }

    pub(super) fn fail(&mut self, ix: ActionIx, then: OnFailure, at: Timestamp) -> Result<(), String> {
        if !matches!(self.actions[ix.index()].doing, Doing::Judge { .. }) {
            return Err("only an action whose attempt ended without success can fail".into());
        }
        self.actions[ix.index()].ended = Some(at);
        if then == OnFailure::Continue {
            self.actions[ix.index()].tolerated = true;
            if self.graph.step_of(ix).fleet.allow_failed.is_some() {
                self.drop_host(ix);
            }
            return self.finish(ix, at);
        }
        self.set_doing(ix, Doing::Failed);
        self.tried_again.remove(&ix);
        self.asking.insert(ix, then);
        Ok(())
    }

    pub(super) fn schedule_retry(&mut self, next: &AttemptId, at: Timestamp) -> Result<(), String> {
        let Some(ix) = self.graph.find(&next.action) else {
            let a = self.after.get_mut(&next.action).ok_or("no such action")?;
            a.doing = Doing::Retrying { at, next: next.clone() };
            return Ok(());
        };
        let doing = match next.direction.is_back() {
            false => Doing::Retrying { at, next: next.clone() },
            true => Doing::UndoRetrying { at, next: next.clone() },
        };
        self.set_doing(ix, doing);
        self.set_timer(ix, Timer::Retry, Some(at));
        Ok(())
    }

    pub(super) fn pause(&mut self, ix: ActionIx, until: Timestamp, at: Timestamp) -> Result<(), String> {
        self.unready(ix);
        self.actions[ix.index()].started.get_or_insert(at);
        self.set_doing(ix, Doing::Pausing { until });
        self.set_timer(ix, Timer::Wait, Some(until));
        Ok(())
    }

    pub(super) fn open_gate(
        &mut self,
        ix: ActionIx,
        answer_by: Option<Timestamp>,
        at: Timestamp,
    ) -> Result<(), String> {
        self.unready(ix);
        self.actions[ix.index()].started.get_or_insert(at);
        self.set_doing(ix, Doing::Asking { since: at, answer_by });
        // *Roll back by* moves, and has its own policy; only the plan's own limit is a limit of the gate.
        let declared = self.graph.step_of(ix).gate.as_ref().and_then(|g| g.answer_by);
        self.set_timer(ix, Timer::AnswerBy, declared);
        let estimate = self.graph.step_of(ix).estimate_or_zero();
        if estimate.worst > SignedDuration::ZERO {
            self.set_timer(ix, Timer::Late, at.checked_add(estimate.worst + LATE).ok());
        }
        let stand_in = self.run.as_ref().is_some_and(|run| run.options.gates() == Gates::ApproveInTime);
        self.set_timer(ix, Timer::StandIn, at.checked_add(estimate.expected).ok().filter(|_| stand_in));
        Ok(())
    }

    pub(super) fn answer_gate(
        &mut self,
        ix: ActionIx,
        answer: GateAnswer,
        by: &Actor,
        at: Timestamp,
    ) -> Result<(), String> {
        if !matches!(self.actions[ix.index()].doing, Doing::Asking { .. }) {
            return Err("the gate is not open".into());
        }
        match answer {
            GateAnswer::Approved | GateAnswer::ApprovedWithDefects => {
                let quorum = self.graph.step_of(ix).gate.as_ref().map_or(1, |g| g.quorum.max(1));
                self.actions[ix.index()].approvals.insert(by.name.clone());
                if self.actions[ix.index()].approvals.len() >= quorum as usize {
                    self.asked_together(ix).into_iter().try_for_each(|ix| self.finish(ix, at))?;
                }
            }
            GateAnswer::Rejected | GateAnswer::TimedOut => {
                self.actions[ix.index()].rejected_by = Some(by.clone());
                for ix in self.asked_together(ix) {
                    self.actions[ix.index()].ended = Some(at);
                    self.set_doing(ix, Doing::Failed);
                    self.asking.insert(ix, OnFailure::Rollback);
                }
            }
        }
        Ok(())
    }

    /// The actions that one answer speaks for: all hosts of the gate's step.
    fn asked_together(&self, ix: ActionIx) -> Vec<ActionIx> {
        let waits = |ix: &ActionIx| matches!(self.actions[ix.index()].doing, Doing::Ask | Doing::Asking { .. });
        self.graph.actions_of(self.graph.action(ix).step).filter(waits).collect()
    }

    pub(super) fn answer_hold(&mut self, answer: HoldAnswer, at: Timestamp) -> Result<(), String> {
        let hold = self.hold.take().ok_or("no hold is open")?;
        self.stopping |= answer == HoldAnswer::Stop;
        for action in hold.reason.failed().unwrap_or_default() {
            let ix = self.ix(action)?;
            if let HoldReason::FleetStopped { why, .. } = &hold.reason {
                self.answer_for_host(ix, answer, why, at)?;
                continue;
            }
            if self.actions[ix.index()].doing != Doing::Failed {
                continue;
            }
            match answer {
                HoldAnswer::Retry => {
                    self.again(ix);
                    self.tried_again.insert(ix);
                }
                HoldAnswer::Skip => self.skip(ix, at)?,
                HoldAnswer::Rollback | HoldAnswer::Continue | HoldAnswer::Stay | HoldAnswer::Stop => {}
            }
        }
        Ok(())
    }

    pub(super) fn again(&mut self, ix: ActionIx) {
        self.asking.remove(&ix);
        let a = &mut self.actions[ix.index()];
        a.forget_tries();
        a.approvals.clear();
        self.set_doing(ix, Doing::Waiting);
        let step = self.graph.action(ix).step;
        self.ready.entry((self.steps[step.index()].rank, step)).or_default().insert(ix);
    }
}
