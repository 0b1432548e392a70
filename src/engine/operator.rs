//! What people ask for: each request is recorded as facts, or refused with a sentence that says what is true instead.

use jiff::Timestamp;

use super::decide::Decision;
use super::fact::{
    Actor, Fact, FleetStop, GateAnswer, HoldAnswer, HoldReason, Mark, RollbackCause, RunEnd, SkipReason,
};
use super::input::{Ask, CALL_MOVED, Operator, Reply};
use super::state::{Doing, Phase};
use crate::graph::ActionIx;
use crate::graph::ids::ActionId;

impl Decision<'_> {
    pub fn operator(&mut self, request: Operator) {
        let before = self.turn.facts.len();
        let done = self.answer(request);
        self.turn.reply = Some(match done {
            Ok(()) => Reply::Accepted { facts: self.turn.facts[before..].to_vec() },
            Err(why) => Reply::Refused { why },
        });
    }

    fn answer(&mut self, Operator { by, ask }: Operator) -> Result<(), String> {
        if let Ask::Note { text } = ask {
            self.record(Fact::Noted { text, by });
            return Ok(());
        }
        if let (Phase::Ended(_), Ask::Rollback { reason }) = (self.state.phase(), &ask) {
            self.roll_back_finished(RollbackCause::Person { by, reason: reason.clone() });
            return Ok(());
        }
        if let (Phase::Ended(RunEnd::Stuck { .. }), Ask::Mark { step, host, mark: Mark::Undone, reason }) =
            (self.state.phase(), &ask)
        {
            let (step, host, reason) = (step.clone(), host.clone(), reason.clone());
            return self.mark_stuck(&step, host.as_deref(), &by, reason.as_deref());
        }
        if matches!(self.state.phase(), Phase::Ended(_)) {
            return Err("the run has ended".into());
        }
        match ask {
            Ask::Approve { gate, defects, note } => self.approve(gate.as_deref(), by, defects, note),
            Ask::Reject { gate, note } => self.reject(gate.as_deref(), by, note),
            Ask::Hold { answer, note } => self.answer_hold(answer, by, note),
            Ask::Retry { step, hosts } => self.retry_step(&step, &hosts, by),
            Ask::Skip { step, reason } => self.skip_step(&step, &by, reason.as_deref()),
            Ask::Pause => self.pause(by),
            Ask::Continue => self.answer_hold(HoldAnswer::Continue, by, None),
            Ask::Rollback { reason } => self.person_rolls_back(by, reason),
            Ask::Extend { closes, granted_by, reason } => self.extend(closes, by, granted_by, reason),
            Ask::Mark { step, host, mark, reason } => self.mark(&step, host.as_deref(), mark, &by, reason.as_deref()),
            Ask::CallAhead { gate, expected, planned } => self.call_ahead(&gate, expected, planned),
            Ask::Amend(amendment) => self.amend(*amendment, by),
            Ask::Note { .. } => Ok(()),
        }
    }

    fn approve(
        &mut self,
        gate: Option<&str>,
        by: Actor,
        defects: Vec<String>,
        note: Option<String>,
    ) -> Result<(), String> {
        let ix = self.open_gate_named(gate)?;
        let not_author = self.state.graph().step_of(ix).gate.as_ref().is_some_and(|g| g.not_author);
        if not_author && self.state.run().is_some_and(|r| r.by.name == by.name) {
            return Err(format!("{} started this run, and this gate must be approved by somebody else", by.name));
        }
        let answer = if defects.is_empty() { GateAnswer::Approved } else { GateAnswer::ApprovedWithDefects };
        self.answer_gate(ix, answer, by, defects, note);
        Ok(())
    }

    fn reject(&mut self, gate: Option<&str>, by: Actor, note: Option<String>) -> Result<(), String> {
        let ix = self.open_gate_named(gate)?;
        self.answer_gate(ix, GateAnswer::Rejected, by, Vec::new(), note);
        Ok(())
    }

    fn open_gates(&self) -> Vec<ActionIx> {
        let asking = |ix: &&ActionIx| matches!(self.state.action(**ix).doing, Doing::Asking { .. });
        self.state.open.iter().filter(asking).copied().collect()
    }

    fn open_gate_named(&self, gate: Option<&str>) -> Result<ActionIx, String> {
        let open = self.open_gates();
        let names = || open.iter().map(|ix| self.id(*ix).step().to_string()).collect::<Vec<_>>().join(", ");
        match gate {
            None => match open.as_slice() {
                [one] => Ok(*one),
                [] => Err("no gate is open".into()),
                _ => Err(format!("several gates are open, name one: {}", names())),
            },
            Some(name) => open
                .iter()
                .copied()
                .find(|ix| self.id(*ix).step() == name)
                .ok_or_else(|| self.why_not_open(name, &names())),
        }
    }

    fn why_not_open(&self, gate: &str, open: &str) -> String {
        let graph = self.state.graph();
        let open = if open.is_empty() { "no gate is open".to_string() } else { format!("open now: {open}") };
        let Some(step) = graph.find_step(gate) else { return format!("the plan has no gate `{gate}`; {open}") };
        if graph.step(step).gate.is_none() {
            return format!("`{gate}` is not a gate; {open}");
        }
        let answered = graph.actions_of(step).all(|ix| self.state.action(ix).is_satisfied());
        if answered {
            let by: Vec<_> = graph.actions_of(step).flat_map(|ix| self.state.action(ix).approvals.clone()).collect();
            return format!("`{gate}` is already approved, by {}", by.join(", "));
        }
        let waits: Vec<_> = graph
            .all_needs(step)
            .filter(|s| !graph.actions_of(*s).all(|ix| self.state.action(ix).is_satisfied()))
            .map(|s| graph.step(s).id.clone())
            .collect();
        match waits.is_empty() {
            true => format!("`{gate}` is not open; {open}"),
            false => format!("`{gate}` is not reached yet, it waits for {}; {open}", waits.join(", ")),
        }
    }

    fn answer_hold(&mut self, answer: HoldAnswer, by: Actor, note: Option<String>) -> Result<(), String> {
        let Some(hold) = self.state.hold().cloned() else { return Err("no hold is open".into()) };
        let allowed = allowed_answers(&hold.reason);
        if !allowed.contains(&answer) {
            let words: Vec<_> = allowed.iter().map(|a| a.word()).collect();
            return Err(format!("this hold takes {}", words.join(", ")));
        }
        if let HoldReason::ManualUndo { action, .. } = hold.reason {
            self.record(Fact::ActionMarked { action, mark: Mark::Undone, by, reason: note });
            return Ok(());
        }
        if let (HoldReason::FleetStopped { actions, .. }, HoldAnswer::Retry) = (&hold.reason, answer) {
            self.leave_doubtful_hosts(actions);
        }
        self.record(Fact::HoldAnswered { answer, by: by.clone(), note: note.clone() });
        match (&hold.reason, answer) {
            (_, HoldAnswer::Rollback) => self.stop(RollbackCause::Person { by, reason: note }),
            (HoldReason::RollbackGrace { cause: RollbackCause::Failed { action } }, HoldAnswer::Stay) => {
                self.hold(HoldReason::Failed { actions: vec![action.clone()] }, HoldAnswer::Rollback);
            }
            _ => {}
        }
        Ok(())
    }

    fn retry_step(&mut self, step: &str, hosts: &[String], by: Actor) -> Result<(), String> {
        let Some(hold) = self.state.hold().cloned() else {
            return Err("nothing has failed and waits for an answer".into());
        };
        let about = hold.reason.failed().filter(|_| allowed_answers(&hold.reason).contains(&HoldAnswer::Retry));
        let Some(actions) = about else { return Err("the open hold is not about a failed step".into()) };
        let wanted = |a: &ActionId| {
            a.step() == step && (hosts.is_empty() || a.host().is_some_and(|h| hosts.iter().any(|x| x == h)))
        };
        let (again, rest): (Vec<_>, Vec<_>) = actions.iter().cloned().partition(wanted);
        if again.is_empty() {
            return Err(format!("`{step}` is not among what failed: {}", list(actions)));
        }
        if let Some(doubtful) =
            again.iter().find(|a| self.state.find(a).is_some_and(super::state::ActionState::may_be_alive))
        {
            return Err(format!(
                "{doubtful} may still be running: its host cannot be reached, so it cannot be run again"
            ));
        }
        if let (HoldReason::FleetStopped { step, .. }, false) = (&hold.reason, rest.is_empty()) {
            return Err(format!(
                "a step that has stopped is tried again on all hosts that failed: runbook retry {step}"
            ));
        }
        if !rest.is_empty() {
            let reason = HoldReason::Failed { actions: again };
            self.record(Fact::HoldOpened { reason, limit: hold.limit, default: hold.default });
        }
        self.record(Fact::HoldAnswered { answer: HoldAnswer::Retry, by, note: None });
        if !rest.is_empty() {
            let reason = HoldReason::Failed { actions: rest };
            self.record(Fact::HoldOpened { reason, limit: hold.limit, default: hold.default });
        }
        Ok(())
    }

    fn skip_step(&mut self, step: &str, by: &Actor, reason: Option<&str>) -> Result<(), String> {
        let graph = self.state.graph().clone();
        let step = graph.find_step(step).ok_or_else(|| format!("the plan has no step `{step}`"))?;
        if !self.state.is_forward() && *self.state.phase() != Phase::Waiting {
            return Err("the run is being rolled back".into());
        }
        let open = |ix: &ActionIx| matches!(self.state.action(*ix).doing, Doing::Waiting | Doing::Failed);
        let actions: Vec<_> = graph.actions_of(step).filter(open).collect();
        if actions.is_empty() {
            return Err(format!("`{}` neither waits nor has failed", graph.step(step).id));
        }
        for ix in actions {
            let why = SkipReason::Person { by: by.clone(), reason: reason.map(Into::into) };
            self.record(Fact::ActionSkipped { action: self.id(ix), why });
        }
        self.lift_settled_hold(by);
        Ok(())
    }

    /// A hold about failures is over when all of them count as done by now.
    fn lift_settled_hold(&mut self, by: &Actor) {
        let settled = |a: &ActionId| self.state.find(a).is_some_and(super::state::ActionState::is_satisfied);
        if self.state.hold().and_then(|h| h.reason.failed()).is_some_and(|about| about.iter().all(settled)) {
            self.record(Fact::HoldAnswered { answer: HoldAnswer::Continue, by: by.clone(), note: None });
        }
    }

    fn pause(&mut self, by: Actor) -> Result<(), String> {
        if self.state.hold().is_some() {
            return Err("the run is held already".into());
        }
        if self.state.is_rolling_back() {
            // There is no way to end a rollback half-way, only to let it stand for a while.
            self.hold(HoldReason::RollbackPaused { by }, HoldAnswer::Stay);
            return Ok(());
        }
        if !self.state.is_forward() {
            return Err("the run is not going forward".into());
        }
        self.hold(HoldReason::Paused { by }, HoldAnswer::Rollback);
        Ok(())
    }

    fn person_rolls_back(&mut self, by: Actor, reason: Option<String>) -> Result<(), String> {
        if self.state.is_rolling_back() {
            return Err("the run is being rolled back already".into());
        }
        self.stop(RollbackCause::Person { by, reason });
        Ok(())
    }

    /// Once for each gate; again when those who were called would come much too early or too late.
    fn call_ahead(&mut self, gate: &str, expected: Timestamp, planned: Option<Timestamp>) -> Result<(), String> {
        let graph = self.state.graph().clone();
        let step = graph.find_step(gate).filter(|step| graph.step(*step).gate.is_some());
        let step = step.ok_or_else(|| format!("the plan has no gate `{gate}`"))?;
        let ahead = graph.actions_of(step).find(|ix| self.state.action(*ix).doing == Doing::Waiting);
        let Some(ix) = ahead.filter(|_| self.state.is_forward()) else {
            return Err(format!("`{gate}` is not ahead"));
        };
        if self.state.called.get(&step).is_some_and(|said| said.duration_since(expected).abs() <= CALL_MOVED) {
            return Err(format!("the people of `{gate}` are called already"));
        }
        self.record(Fact::CallDue { action: self.id(ix), expected, planned });
        Ok(())
    }

    fn extend(
        &mut self,
        closes: Timestamp,
        by: Actor,
        granted_by: Option<String>,
        reason: Option<String>,
    ) -> Result<(), String> {
        let window = *self.state.window().ok_or("the plan has no window")?;
        if self.state.is_rolling_back() {
            return Err("a rollback is decided; its clock is not the window's".into());
        }
        if closes <= self.now {
            return Err("the window would end in the past".into());
        }
        let agreed = self.state.run().and_then(|r| r.window).map_or(window.closes, |w| w.closes);
        let latest = window.max_extension.and_then(|max| agreed.checked_add(max).ok()).unwrap_or(agreed);
        if closes > latest {
            return Err(format!("the plan's max_extension allows an end by {latest}, not {closes}"));
        }
        self.record(Fact::WindowExtended { closes, by, granted_by, reason });
        Ok(())
    }

    fn mark(
        &mut self,
        step: &str,
        host: Option<&str>,
        mark: Mark,
        by: &Actor,
        reason: Option<&str>,
    ) -> Result<(), String> {
        let graph = self.state.graph().clone();
        let found = graph.find_step(step).ok_or_else(|| format!("the plan has no step `{step}`"))?;
        let meant = |ix: &ActionIx| host.is_none() || self.id(*ix).host() == host;
        let actions: Vec<_> = graph.actions_of(found).filter(meant).filter(|ix| self.may_mark(*ix, mark)).collect();
        if actions.is_empty() {
            return Err(format!("nothing of `{step}` can be marked so now"));
        }
        for ix in actions {
            let action = self.id(ix);
            self.record(Fact::ActionMarked { action, mark, by: by.clone(), reason: reason.map(Into::into) });
        }
        self.lift_settled_hold(by);
        Ok(())
    }

    /// A person has undone by hand what got stuck: the rollback is opened again, and goes on with the rest.
    fn mark_stuck(&mut self, step: &str, host: Option<&str>, by: &Actor, reason: Option<&str>) -> Result<(), String> {
        let graph = self.state.graph().clone();
        let found = graph.find_step(step).ok_or_else(|| format!("the plan has no step `{step}`"))?;
        let left = |ix: ActionIx| self.state.action(ix).touched && (host.is_none() || self.id(ix).host() == host);
        if !graph.actions_of(found).any(left) {
            return Err(format!("nothing of `{step}` is left to undo"));
        }
        self.roll_back_finished(RollbackCause::Person { by: by.clone(), reason: reason.map(Into::into) });
        self.mark(step, host, Mark::Undone, by, reason)
    }

    fn may_mark(&self, ix: ActionIx, mark: Mark) -> bool {
        let a = self.state.action(ix);
        let idle = matches!(a.doing, Doing::Waiting | Doing::Failed);
        match mark {
            Mark::Done | Mark::Failed => idle && !self.state.is_rolling_back(),
            Mark::Undone => {
                self.state.is_rolling_back()
                    && a.touched
                    && !matches!(a.doing, Doing::Undoing { .. } | Doing::Running { .. })
            }
        }
    }
}

/// What a hold of this kind can be answered with.
#[must_use]
pub const fn allowed_answers(reason: &HoldReason) -> &'static [HoldAnswer] {
    use HoldAnswer::{Continue, Retry, Rollback, Skip, Stay, Stop};
    match reason {
        HoldReason::Failed { .. } => &[Retry, Skip, Rollback],
        HoldReason::ForwardOnly { .. } => &[Retry, Skip],
        HoldReason::FleetStopped { why: FleetStop::KeepUp { .. }, .. } => &[Continue, Stop, Rollback],
        HoldReason::FleetStopped { .. } => &[Retry, Continue, Stop, Rollback],
        HoldReason::RollbackGrace { .. } => &[Stay, Rollback],
        HoldReason::Quick { .. }
        | HoldReason::Deadline
        | HoldReason::Unlikely { .. }
        | HoldReason::Paused { .. }
        | HoldReason::Clock => &[Continue, Rollback],
        // The person says that it is done.
        HoldReason::ManualUndo { .. } | HoldReason::RollbackPaused { .. } => &[Continue],
    }
}

fn list(actions: &[ActionId]) -> String {
    actions.iter().map(ActionId::as_str).collect::<Vec<_>>().join(", ")
}
