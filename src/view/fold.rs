//! Facts -> view and events: the only code that changes a [`RunView`]. Tolerates facts it does not understand.

use std::sync::Arc;

use jiff::Timestamp;

use super::action_view::{ActionState, ActionView};
use super::event::{Event, What};
use super::run_view::{OpenGate, OpenHold, RunView};
use crate::engine::fact::{Fact, FactRecord, GateAnswer, HoldAnswer, Mark as PersonsMark, RunStarted, SkipReason};
use crate::graph::Graph;
use crate::graph::ids::ActionId;
use crate::graph::outcome::Outcome;
use crate::plan::model::{Plan, Step};
use crate::schedule::Batches;

impl RunView {
    /// Folds one fact. Facts come in the order of their `seq`; one that was applied already is ignored.
    pub fn apply(&mut self, record: &FactRecord) {
        if record.seq <= self.seq {
            return;
        }
        self.seq = record.seq;
        self.last_at = Some(record.at);
        let at = record.at;
        match &record.fact {
            Fact::RunStarted(header) => self.run_started(header, at),
            Fact::WindowOpened => {
                self.opened = Some(at);
                self.tell(What::WindowOpened);
            }
            Fact::ActionSkipped { action, why } => self.skipped(action, why, at),
            Fact::AttemptArmed { attempt } => self.armed(attempt, at),
            Fact::AttemptLaunched { .. } | Fact::Unknown => {}
            Fact::LinkLost { attempt, why } => {
                self.link(&attempt.action, Some(at));
                // Whoever restarts is expected to go away, and to come back.
                if !attempt.direction.restarts_its_host() {
                    self.tell(What::LinkLost { action: attempt.action.clone(), why: why.clone() });
                }
            }
            Fact::LinkRestored { attempt } => {
                self.link(&attempt.action, None);
                if !attempt.direction.restarts_its_host() {
                    self.tell(What::LinkRestored { action: attempt.action.clone() });
                }
            }
            Fact::AttemptEnded { attempt, outcome, evidence } => self.ended(attempt, outcome, evidence, at),
            Fact::ActionFailed { action, then } => self.failed(action, *then, at),
            Fact::KillRequested { attempt, why } => self.tell(What::Killing { attempt: attempt.clone(), why: *why }),
            Fact::RetryScheduled { attempt, at: next } => self.retry_scheduled(attempt, *next, at),
            Fact::WaitStarted { action, until } => self.wait_started(action, *until, at),
            Fact::WaitEnded { action } => self.wait_ended(action, at),
            Fact::ActionLate { action } => self.late(action),
            Fact::GateOpened { action, answer_by } => self.gate_opened(action, *answer_by, at),
            Fact::GateAnswered { action, answer, by, defects, note } => {
                let took = self.gate_answered(action, *answer, defects, at);
                let (defects, note) = (defects.clone(), note.clone());
                let step = action.step().to_owned();
                self.tell(What::GateAnswered { step, answer: *answer, by: by.clone(), defects, note, took });
            }
            Fact::AdmissionRefused { action, numbers } => {
                self.tell(What::AdmissionRefused { action: action.clone(), numbers: *numbers });
            }
            Fact::HoldOpened { reason, limit, default } => {
                self.hold = Some(OpenHold { reason: reason.clone(), since: at, limit: *limit, default: *default });
                self.tell(What::HoldOpened { reason: reason.clone(), limit: *limit, default: *default });
            }
            Fact::HoldAnswered { answer, by, note } => {
                self.hold_answered(*answer, at);
                self.tell(What::HoldAnswered { answer: *answer, by: by.clone(), note: note.clone() });
            }
            Fact::RollBackByMoved { at: by, rollback_now } => {
                self.roll_back_by = by.or(self.roll_back_by);
                self.rollback_now = *rollback_now;
            }
            Fact::CallDue { action, expected, planned } => {
                let step = action.step().to_owned();
                let said = self.events().iter().rev().find_map(|event| match &event.what {
                    What::CallDue { step: other, expected, .. } if *other == step => Some(*expected),
                    _ => None,
                });
                self.tell(What::CallDue { step, expected: *expected, planned: *planned, said });
            }
            Fact::RoomWarning { room } => self.tell(What::RoomWarning { room: *room }),
            Fact::ReversibleEnded { why } => {
                self.reversible = false;
                self.tell(What::ReversibleEnded { why: why.clone() });
            }
            Fact::HorizonCrossed { action, opens, expired } => {
                self.crossed.insert(opens.clone());
                self.forget_the_deadline();
                let (step, opens, expired) = (action.step().to_owned(), opens.clone(), expired.clone());
                self.tell(What::HorizonCrossed { step, opens, expired });
            }
            Fact::HorizonKept { opens } => {
                self.crossed.remove(opens);
                self.tell(What::HorizonKept { opens: opens.clone() });
            }
            Fact::RollbackDecided { cause } => {
                self.rollback = Some((at, cause.clone()));
                self.hold = None;
                self.gates.clear();
                self.end = None;
                self.tell(What::RollbackDecided { cause: cause.clone() });
            }
            Fact::UndoParked { action, why } => {
                if let Some(i) = self.index_of(action) {
                    self.actions[i].why = Some(why.clone());
                    self.set(i, ActionState::Parked);
                }
                self.tell(What::UndoParked { action: action.clone(), why: why.clone() });
            }
            Fact::ActionMarked { action, mark, by, reason } => {
                self.marked(action, *mark, at);
                let (action, by, reason) = (action.clone(), by.clone(), reason.clone());
                self.tell(What::Marked { action, mark: *mark, by, reason });
            }
            Fact::WindowExtended { closes, by, granted_by, reason } => {
                self.closes = Some(*closes);
                let (by, granted_by, reason) = (by.clone(), granted_by.clone(), reason.clone());
                self.tell(What::WindowExtended { closes: *closes, by, granted_by, reason });
            }
            Fact::PlanAmended { amendment, by } => {
                self.forget_other_tests(&amendment.plan);
                self.graph = Arc::new(Graph::build(Arc::new(amendment.plan.clone())));
                self.batches = Batches::of(&self.graph);
                let (changes, reason) = (amendment.changes.clone(), amendment.reason.clone());
                self.tell(What::PlanAmended { by: by.clone(), changes, reason });
            }
            Fact::Noted { text, by } => {
                self.notes.push((at, by.clone(), text.clone()));
                self.tell(What::Noted { text: text.clone(), by: by.clone() });
            }
            Fact::Resumed { by, .. } => self.tell(What::Resumed { by: by.clone() }),
            Fact::ClockJumped { by } => self.tell(What::ClockJumped { by: *by }),
            Fact::ClockJudged { off, agreed } => self.tell(What::ClockJudged { off: *off, agreed: *agreed }),
            Fact::RunEnded { end } => {
                self.hold = None;
                self.gates.clear();
                self.end = Some((at, end.clone()));
                self.tell(What::RunEnded { end: end.clone() });
            }
        }
    }

    /// From here on only the limits that the plan gives its gates are limits.
    fn forget_the_deadline(&mut self) {
        let graph = self.graph.clone();
        let declared = |id: &ActionId| graph.step_of(graph.find(id)?).gate.as_ref()?.answer_by;
        self.gates.iter_mut().for_each(|gate| gate.answer_by = declared(&gate.action));
    }

    /// Of a test that is another one in the amended plan, nothing was seen before the night.
    fn forget_other_tests(&mut self, amended: &Plan) {
        let old = self.graph.plan();
        let same =
            |id: &ActionId| amended.steps.get(id.step()).map(|s| &s.verb) == old.steps.get(id.step()).map(|s| &s.verb);
        if let Some(header) = &mut self.header {
            header.baseline.retain(|id, _| same(id));
        }
    }

    pub(super) fn tell(&mut self, what: What) {
        if let Some(at) = self.last_at {
            self.events.push(Event { seq: self.seq, at, what });
        }
    }

    /// Events of the same instant, newest first: what came of one turn of the engine.
    pub(super) fn same_turn(&mut self) -> impl Iterator<Item = &mut What> {
        let at = self.last_at;
        self.events.iter_mut().rev().take_while(move |e| Some(e.at) == at).map(|e| &mut e.what)
    }

    fn run_started(&mut self, header: &RunStarted, at: Timestamp) {
        self.began = Some(at);
        self.closes = header.window.map(|w| w.closes);
        self.roll_back_by = header.window.map(|w| w.closes.saturating_sub(w.reserve).unwrap_or(w.closes));
        self.header = Some(header.clone());
        self.baseline = self.plan_times(self.opens().unwrap_or(at));
        self.tell(What::RunStarted);
    }

    pub(super) fn set(&mut self, i: usize, to: ActionState) {
        let row = self.row_of(i);
        let from = self.actions[i].state;
        self.counts[row][from as usize] -= 1;
        self.counts[row][to as usize] += 1;
        self.actions[i].state = to;
    }

    pub(super) fn step_at(&self, row: usize) -> Option<&Step> {
        let plan = self.graph.plan();
        plan.steps.get_index(row).map(|(_, step)| step).or(plan.after_rollback.as_ref())
    }

    pub(super) fn hosts_of_row(&self, row: usize, which: impl Fn(&ActionView) -> bool) -> Vec<String> {
        let members = &self.actions[self.members(row)];
        members.iter().filter(|a| which(a)).filter_map(|a| a.id.host().map(str::to_owned)).collect()
    }

    fn link(&mut self, action: &ActionId, lost: Option<Timestamp>) {
        if let Some(i) = self.index_of(action) {
            self.actions[i].lost_since = lost;
        }
    }

    fn wait_started(&mut self, action: &ActionId, until: Timestamp, at: Timestamp) {
        let Some(i) = self.index_of(action) else { return };
        self.actions[i].started.get_or_insert(at);
        self.actions[i].until = Some(until);
        self.set(i, ActionState::Soaking);
        let row = self.row_of(i);
        self.spans[row].started.get_or_insert(at);
        let step = action.step().to_owned();
        let told = self.same_turn().any(|w| matches!(w, What::WaitStarted { step: s, .. } if *s == step));
        if !told {
            self.tell(What::WaitStarted { step, until });
        }
    }

    fn wait_ended(&mut self, action: &ActionId, at: Timestamp) {
        if let Some(i) = self.index_of(action) {
            self.actions[i].until = None;
            self.machine_done(i, at);
        }
    }

    fn late(&mut self, action: &ActionId) {
        let Some(i) = self.index_of(action) else { return };
        self.actions[i].late = true;
        let row = self.row_of(i);
        if !self.spans[row].told_late {
            self.spans[row].told_late = true;
            let (step, host) = self.name_and_host(i);
            self.tell(What::StepLate { step, host: host.unwrap_or_default() });
        }
    }

    fn gate_opened(&mut self, action: &ActionId, answer_by: Option<Timestamp>, at: Timestamp) {
        let step = action.step();
        for i in self.row_named(step) {
            if self.actions[i].state == ActionState::Waiting {
                self.actions[i].started = Some(at);
                self.set(i, ActionState::Asking);
                let row = self.row_of(i);
                self.spans[row].started.get_or_insert(at);
            }
        }
        if !self.gates.iter().any(|g| g.action.step() == step) {
            self.gates.push(OpenGate { action: action.clone(), since: at, answer_by, approvals: 0 });
            self.tell(What::GateOpened { step: step.to_owned(), answer_by });
        }
    }

    fn row_named(&self, step: &str) -> std::ops::Range<usize> {
        self.graph.find_step(step).map_or(0..0, |s| self.members(s.index()))
    }

    fn gate_answered(
        &mut self,
        action: &ActionId,
        answer: GateAnswer,
        defects: &[String],
        at: Timestamp,
    ) -> jiff::SignedDuration {
        self.defects.extend(defects.iter().cloned());
        let step = action.step();
        let quorum = self.graph.find_step(step).and_then(|s| self.graph.step(s).gate.as_ref()).map_or(1, |g| g.quorum);
        let approved = matches!(answer, GateAnswer::Approved | GateAnswer::ApprovedWithDefects);
        let Some(gate) = self.gates.iter_mut().find(|g| g.action.step() == step) else {
            return jiff::SignedDuration::ZERO;
        };
        let took = at.duration_since(gate.since);
        gate.approvals += u32::from(approved);
        if approved && gate.approvals < quorum {
            return took;
        }
        self.gates.retain(|g| g.action.step() != step);
        for i in self.row_named(step) {
            if self.actions[i].state == ActionState::Asking {
                self.actions[i].ended = Some(at);
                self.set(i, if approved { ActionState::Done } else { ActionState::Failed });
            }
        }
        if let Some(row) = self.graph.find_step(step) {
            // The answer is the line; a second one that says "done" would be noise.
            let row = row.index();
            self.spans[row].ended = Some(at);
            self.spans[row].told_done = true;
        }
        took
    }

    fn hold_answered(&mut self, answer: HoldAnswer, at: Timestamp) {
        if answer == HoldAnswer::Stay {
            if let Some(hold) = &mut self.hold {
                hold.limit = None;
            }
            return;
        }
        let Some(hold) = self.hold.take() else { return };
        let failed = hold.reason.failed().unwrap_or_default();
        for i in failed.iter().filter_map(|id| self.index_of(id)).collect::<Vec<_>>() {
            if self.actions[i].state != ActionState::Failed {
                continue;
            }
            match answer {
                HoldAnswer::Skip => {
                    self.actions[i].ended = Some(at);
                    self.set(i, ActionState::Skipped);
                }
                HoldAnswer::Continue => {
                    self.actions[i].tolerated = true;
                    self.settle(self.row_of(i), at);
                }
                // Whoever may still be running is not run again.
                HoldAnswer::Retry if !matches!(self.actions[i].outcome, Some(Outcome::InDoubt { .. })) => {
                    self.actions[i].tolerated = false;
                }
                HoldAnswer::Retry => {}
                HoldAnswer::Rollback | HoldAnswer::Stay | HoldAnswer::Stop => {}
            }
        }
    }

    fn skipped(&mut self, action: &ActionId, why: &SkipReason, at: Timestamp) {
        let Some(i) = self.index_of(action) else { return };
        if self.actions[i].state == ActionState::Failed && matches!(why, SkipReason::HostFailed { .. }) {
            self.actions[i].tolerated = true;
            return self.settle(self.row_of(i), at);
        }
        self.actions[i].ended = Some(at);
        self.set(i, ActionState::Skipped);
        let row = self.row_of(i);
        if self.count(row, ActionState::Skipped) as usize == self.members(row).len() {
            self.spans[row].ended = Some(at);
            let step = action.step().to_owned();
            let hosts = self.hosts_of_row(row, |_| true);
            self.tell(What::StepSkipped { step, hosts, why: skip_words(why) });
        } else {
            self.settle(row, at);
        }
    }

    fn marked(&mut self, action: &ActionId, mark: PersonsMark, at: Timestamp) {
        let Some(i) = self.index_of(action) else { return };
        match mark {
            PersonsMark::Done => self.done(i, at),
            PersonsMark::Failed => {
                self.actions[i].ended = Some(at);
                self.set(i, ActionState::Failed);
            }
            PersonsMark::Undone => self.undone(i, at),
        }
    }
}

pub(super) fn add_once(hosts: Option<&mut Vec<String>>, host: Option<String>) {
    if let (Some(hosts), Some(host)) = (hosts, host)
        && !hosts.contains(&host)
    {
        hosts.push(host);
    }
}

fn skip_words(why: &SkipReason) -> String {
    match why {
        SkipReason::When { expression } => format!("`when: {expression}` is false"),
        SkipReason::HostFailed { step } => format!("its host failed in {step}"),
        SkipReason::Narrowed => "left out of this run".into(),
        SkipReason::Person { by, reason: Some(reason) } => format!("by {}: {reason}", by.name),
        SkipReason::Person { by, reason: None } => format!("by {}", by.name),
    }
}
