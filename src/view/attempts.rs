//! The attempts among the facts: what arming and ending one does to its action and its step, and what is told of it.
//! Knows nothing of gates, holds or the window.

use jiff::Timestamp;

use super::action_view::ActionState;
use super::event::{Mark, What};
use super::fold::add_once;
use super::run_view::RunView;
use crate::graph::ids::{ActionId, AttemptId, Direction};
use crate::graph::outcome::{Evidence, Outcome};
use crate::graph::parts;
use crate::plan::model::{OnFailure, Step, Undo, Verb};

impl RunView {
    pub(super) fn armed(&mut self, attempt: &AttemptId, at: Timestamp) {
        let Some(i) = self.index_of(&attempt.action) else { return };
        let action = &mut self.actions[i];
        action.attempt = Some(attempt.clone());
        action.attempt_started = Some(at);
        action.until = None;
        action.lost_since = None;
        if attempt.direction.is_back() {
            self.undo_armed(i, at);
        } else {
            self.forward_armed(i, attempt.direction, at);
        }
    }

    pub(super) fn forward_armed(&mut self, i: usize, direction: Direction, at: Timestamp) {
        let action = &mut self.actions[i];
        action.started.get_or_insert(at);
        action.ended = None;
        action.may_have_run |= matches!(direction, Direction::Drain | Direction::Do);
        self.set(i, ActionState::Running);
        self.row_started(i, at);
    }

    /// A step's first hosts make one event; what starts later is silent.
    pub(super) fn row_started(&mut self, i: usize, at: Timestamp) {
        let row = self.row_of(i);
        let (name, host) = self.name_and_host(i);
        self.spans[row].ended = None;
        self.spans[row].told_done = false;
        if self.spans[row].started.is_none() {
            self.spans[row].started = Some(at);
            self.tell(What::StepStarted { step: name, hosts: host.into_iter().collect() });
            return;
        }
        let same = self.same_turn().find_map(|w| match w {
            What::StepStarted { step, hosts } if *step == name => Some(hosts),
            _ => None,
        });
        add_once(same, host);
    }

    pub(super) fn undo_armed(&mut self, i: usize, at: Timestamp) {
        let row = self.row_of(i);
        let (name, host) = self.name_and_host(i);
        self.actions[i].undo_started.get_or_insert(at);
        self.set(i, ActionState::Undoing);
        if self.spans[row].undo_started.is_none() {
            self.spans[row].undo_started = Some(at);
            self.tell(What::UndoStarted { step: name, hosts: host.into_iter().collect() });
            return;
        }
        let same = self.same_turn().find_map(|w| match w {
            What::UndoStarted { step, hosts } if *step == name => Some(hosts),
            _ => None,
        });
        add_once(same, host);
    }

    pub(super) fn name_and_host(&self, i: usize) -> (String, Option<String>) {
        let id = &self.actions[i].id;
        (id.step().to_owned(), id.host().map(str::to_owned))
    }

    pub(super) fn ended(&mut self, attempt: &AttemptId, outcome: &Outcome, evidence: &Evidence, at: Timestamp) {
        let Some(i) = self.index_of(&attempt.action) else { return };
        let row = self.row_of(i);
        let step = self.step_at(row);
        let atomic = step.is_some_and(|s| s.atomic);
        let first = step.is_none_or(|s| attempt.direction == parts::first(s)) && attempt.number == 1;
        let next = step.and_then(|s| parts::after(s, attempt.direction));
        let action = &mut self.actions[i];
        let from = action.attempt_started.unwrap_or(at);
        action.evidence = evidence.clone();
        action.evidence_at = Some(at);
        action.lost_since = None;
        let forward = !attempt.direction.is_back();
        if forward {
            action.outcome = Some(outcome.clone());
        }
        if !evidence.outputs.is_empty() {
            self.outputs.insert(attempt.action.clone(), evidence.outputs.clone());
        }
        let action = &mut self.actions[i];
        if first {
            let harmless = !outcome.may_have_run() || (atomic && matches!(outcome, Outcome::Failed { .. }));
            action.may_have_run = !harmless;
        }
        if outcome.is_success() {
            match next {
                Some(_) => {}
                None if forward => self.machine_done(i, at),
                None => self.undone(i, at),
            }
            return;
        }
        if forward {
            self.actions[i].ended = Some(at);
            self.set(i, ActionState::Failed);
        }
        self.tell(What::TryFailed {
            attempt: attempt.clone(),
            outcome: outcome.clone(),
            evidence: Box::new(evidence.clone()),
            took: evidence.took.unwrap_or_else(|| at.duration_since(from)),
            tries: self.tries_allowed(row, attempt.direction),
            again: None,
            then: None,
        });
    }

    /// No further try is made.
    pub(super) fn failed(&mut self, action: &ActionId, then: OnFailure, at: Timestamp) {
        let Some(i) = self.index_of(action) else { return };
        self.actions[i].ended.get_or_insert(at);
        self.actions[i].tolerated = then == OnFailure::Continue;
        self.set(i, ActionState::Failed);
        let last = self.same_turn().find_map(|w| match w {
            What::TryFailed { attempt, then, .. } if attempt.action == *action => Some(then),
            _ => None,
        });
        if let Some(said) = last {
            *said = Some(then);
        }
        self.settle(self.row_of(i), at);
    }

    pub(super) fn tries_allowed(&self, row: usize, direction: Direction) -> u32 {
        let Some(step) = self.step_at(row) else { return 1 };
        let retry = if direction.is_back() { step.rollback().map(|r| r.retry) } else { Some(step.retry) };
        1 + retry.map_or(0, |r| r.times)
    }

    /// The machine's half is over; a test that soaks has done so within its attempt.
    pub(super) fn machine_done(&mut self, i: usize, at: Timestamp) {
        let asks = self.step_at(self.row_of(i)).is_some_and(|s| s.gate.is_some());
        if asks {
            self.set(i, ActionState::Asking);
        } else {
            self.done(i, at);
        }
    }

    pub(super) fn done(&mut self, i: usize, at: Timestamp) {
        self.actions[i].ended = Some(at);
        self.set(i, ActionState::Done);
        self.settle(self.row_of(i), at);
    }

    /// Tells once that a step is over on all its hosts.
    pub(super) fn settle(&mut self, row: usize, at: Timestamp) {
        let Some(step) = self.step_at(row) else { return };
        let total = self.members(row).len();
        let done = self.count(row, ActionState::Done) as usize;
        let skipped = self.count(row, ActionState::Skipped) as usize;
        let failed = self.count(row, ActionState::Failed) as usize;
        if done + skipped + failed < total || done + failed == 0 || self.spans[row].told_done {
            return;
        }
        let members = &self.actions[self.members(row)];
        if members.iter().any(|a| a.state == ActionState::Failed && !a.tolerated) {
            return;
        }
        let (name, verified) = (step.id.clone(), step.verify.is_some());
        let mark = if row == self.counts.len() - 1 { None } else { self.mark(row, step) };
        self.spans[row].ended = Some(at);
        self.spans[row].told_done = true;
        let took = self.spans[row].started.map_or(jiff::SignedDuration::ZERO, |from| at.duration_since(from));
        let hosts = self.hosts_of_row(row, |a| a.state == ActionState::Done);
        let failed = self.hosts_of_row(row, |a| a.state == ActionState::Failed);
        self.tell(What::StepDone { step: name, hosts, failed, took, mark, verified });
    }

    /// People are never too quick or too slow; machines are. An explicit `expect` holds for each host; the estimate's
    /// two fifths must be undercut by all of them, because hosts differ.
    pub(super) fn mark(&self, row: usize, step: &Step) -> Option<Mark> {
        let played = self.header().is_some_and(|run| !run.options.stage().is_real());
        if played || step.gate.is_some() || matches!(step.verb, Verb::Wait(_)) {
            return None;
        }
        let expect = step.expect.unwrap_or_default();
        let members = &self.actions[self.members(row)];
        let took: Vec<_> = members.iter().filter_map(|a| Some(a.ended?.duration_since(a.started?))).collect();
        let (quickest, slowest) = (*took.iter().min()?, *took.iter().max()?);
        let worst = expect.max.or_else(|| step.estimate.map(|e| e.worst));
        let suspicious = step.estimate.map(|e| e.expected * 2 / 5);
        let quick = expect.min.map_or(suspicious.is_some_and(|t| slowest < t), |min| quickest < min);
        match worst {
            Some(worst) if slowest > worst => Some(Mark::Late),
            _ => quick.then_some(Mark::Fast),
        }
    }

    pub(super) fn undone(&mut self, i: usize, at: Timestamp) {
        self.actions[i].undo_ended = Some(at);
        self.actions[i].why = None;
        self.set(i, ActionState::Undone);
        let row = self.row_of(i);
        if self.spans[row].told_undone || self.members(row).any(|m| self.needs_undo(m)) {
            return;
        }
        self.spans[row].told_undone = true;
        self.spans[row].undo_ended = Some(at);
        let took = self.spans[row].undo_started.map_or(jiff::SignedDuration::ZERO, |from| at.duration_since(from));
        let hosts = self.hosts_of_row(row, |a| a.state == ActionState::Undone);
        let step = self.name_and_host(i).0;
        self.tell(What::StepUndone { step, hosts, took });
    }

    /// Whether a rollback still has to undo this action.
    pub(super) fn needs_undo(&self, i: usize) -> bool {
        let action = &self.actions[i];
        let Some(step) = action.step.map(|s| self.graph.step(s)) else { return false };
        let undoable = match &step.undo {
            Undo::Command(_) | Undo::BuiltIn(_) | Undo::Manual(_) => true,
            Undo::Nothing | Undo::ReadOnly | Undo::Irreversible(_) => false,
        };
        undoable && action.may_have_run && action.state != ActionState::Undone
    }

    pub(super) fn retry_scheduled(&mut self, attempt: &AttemptId, next: Timestamp, _at: Timestamp) {
        if let Some(i) = self.index_of(&attempt.action) {
            self.actions[i].until = Some(next);
            if !attempt.direction.is_back() {
                self.actions[i].ended = None;
                self.set(i, ActionState::BackingOff);
            }
        }
        let action = &attempt.action;
        let last = self.same_turn().find_map(|w| match w {
            What::TryFailed { attempt, again, .. } if attempt.action == *action => Some(again),
            _ => None,
        });
        if let Some(again) = last {
            *again = Some(next);
        }
    }
}
