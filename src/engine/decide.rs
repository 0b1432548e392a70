//! Inputs to facts and effects: the forward half of the decisions. Knows no clock: `now` comes in.
//!
//! Every turn ends with [`Decision::advance`], which looks at what is true and does everything that is due. Inputs only
//! record what they say; so a fact that was lost with its turn is decided again after a replay, and a duplicate input
//! decides nothing.

use jiff::{SignedDuration, Timestamp};

use super::effect::{Effect, Turn};
use super::fact::{Actor, Fact, FactRecord, GateAnswer, Gates, HoldAnswer, HoldReason, KillReason, RunEnd, SkipReason};
use super::input::{DOUBTED, Input};
use super::likely::Likely;
use super::state::{Doing, Phase, State, Timer};
use super::{deadline, retry};
use crate::graph::ids::{AttemptId, Direction};
use crate::graph::outcome::{Evidence, Outcome, Verdict};
use crate::graph::{ActionIx, StepIx, parts, render};
use crate::plan::model::{OnFailure, Undo, Verb, Wait};

/// One turn in the making.
pub(super) struct Decision<'a> {
    pub state: &'a mut State,
    pub likely: &'a mut Likely,
    pub now: Timestamp,
    pub turn: Turn,
}

impl Decision<'_> {
    /// Records a fact and makes it true.
    pub fn record(&mut self, fact: Fact) {
        let record = FactRecord { seq: self.state.seq() + 1, at: self.now, fact };
        self.state.apply(&record).expect("the engine records only facts that fit what is true");
        self.turn.facts.push(record.fact);
    }

    pub fn effect(&mut self, effect: Effect) {
        self.turn.effects.push(effect);
    }

    pub fn input(&mut self, input: Input) {
        match input {
            Input::Start(run) => self.record(Fact::RunStarted(run)),
            Input::Resumed { by, epoch } => {
                self.resume(by, epoch);
                // What became of the open attempts comes first: a failure among them may forbid what else is ready.
                if self.state.open_attempts().next().is_some() {
                    return self.ask_to_be_woken();
                }
            }
            Input::Tick | Input::ClockJumped { .. } | Input::ClockJudged { .. }
                if *self.state.phase() == Phase::New => {}
            Input::Tick => {}
            Input::ClockJumped { by } => self.clock_jumped(by),
            Input::ClockJudged { off, agreed } => {
                self.record(Fact::ClockJudged { off, agreed });
                self.lift_clock_hold();
            }
            Input::AttemptLaunched { attempt } => self.launched(attempt),
            Input::AttemptEnded { attempt, outcome, evidence } => self.ended(attempt, outcome, evidence),
            Input::LinkLost { attempt, why } | Input::Unreachable { attempt, why } => self.link_lost(attempt, why),
            Input::LinkRestored { attempt } => self.link_restored(attempt),
            Input::Operator(operator) => self.operator(operator),
        }
        self.advance();
    }

    /// Until the hosts have said whether it is right, nothing starts by a clock that was set far.
    fn clock_jumped(&mut self, by: SignedDuration) {
        self.record(Fact::ClockJumped { by });
        if by > DOUBTED && self.state.is_forward() && self.state.hold().is_none() {
            self.hold(HoldReason::Clock, HoldAnswer::Rollback);
        }
    }

    fn lift_clock_hold(&mut self) {
        if self.state.hold().is_some_and(|hold| hold.reason == HoldReason::Clock) {
            self.record(Fact::HoldAnswered { answer: HoldAnswer::Continue, by: Actor::engine(), note: None });
        }
    }

    fn resume(&mut self, by: Actor, epoch: u64) {
        self.record(Fact::Resumed { by, epoch });
        // The clock that was doubted was another machine's, or another process's.
        self.lift_clock_hold();
        let open: Vec<AttemptId> = self.state.open_attempts().cloned().collect();
        for attempt in open {
            self.effect(Effect::Probe(attempt));
        }
    }

    fn launched(&mut self, attempt: AttemptId) {
        let fresh = self.state.find(&attempt.action).is_some_and(|a| a.open_attempt() == Some(&attempt) && !a.launched);
        if fresh {
            self.record(Fact::AttemptLaunched { attempt });
        }
    }

    fn ended(&mut self, attempt: AttemptId, outcome: Outcome, evidence: Evidence) {
        let Some(a) = self.state.find(&attempt.action) else { return };
        let open = a.open_attempt() == Some(&attempt);
        let doubted = a.doubt.as_ref() == Some(&attempt);
        let news = open || (doubted && !matches!(outcome, Outcome::InDoubt { .. }));
        if news {
            self.record(Fact::AttemptEnded { attempt, outcome, evidence });
        }
    }

    fn link_lost(&mut self, attempt: AttemptId, why: String) {
        if self.state.find(&attempt.action).is_some_and(|a| !a.lost && a.may_be_alive()) {
            self.record(Fact::LinkLost { attempt, why });
        }
    }

    fn link_restored(&mut self, attempt: AttemptId) {
        if self.state.find(&attempt.action).is_some_and(|a| a.lost) {
            self.record(Fact::LinkRestored { attempt });
        }
    }

    /// Does everything that is due and possible now.
    pub fn advance(&mut self) {
        self.overdue();
        self.open_window();
        if self.state.is_forward() {
            self.settle();
            self.decide_failures();
            self.watch_deadline();
            self.ask_if_unlikely();
            self.start_ready();
            self.tell_horizons();
            self.ask_about_service();
            self.end_stopped();
            self.finish_forward();
        }
        if self.state.is_rolling_back() {
            self.roll_back();
        }
        self.show_roll_back_by();
        self.ask_to_be_woken();
    }

    fn overdue(&mut self) {
        for (ix, timer) in self.state.due(self.now) {
            match timer {
                Timer::Retry => self.retry_due(ix),
                Timer::Wait => self.record(Fact::WaitEnded { action: self.id(ix) }),
                Timer::StandIn => self.stand_in(ix),
                Timer::AnswerBy => self.time_gate_out(ix),
                Timer::Late => self.record(Fact::ActionLate { action: self.id(ix) }),
                Timer::Limit => self.silent_host(ix),
            }
        }
    }

    fn retry_due(&mut self, ix: ActionIx) {
        let next = match &self.state.action(ix).doing {
            _ if self.state.holds_retry_of(ix) => return,
            Doing::Retrying { next, .. } | Doing::UndoRetrying { next, .. } => next.clone(),
            _ => return,
        };
        self.launch(next);
    }

    pub fn time_gate_out(&mut self, ix: ActionIx) {
        if !self.is_asking(ix) {
            // Answered at the last instant.
            return;
        }
        let (action, by) = (self.id(ix), Actor::engine());
        self.record(Fact::GateAnswered { action, answer: GateAnswer::TimedOut, by, defects: Vec::new(), note: None });
    }

    /// The host has said nothing for longer than its own time limit.
    fn silent_host(&mut self, ix: ActionIx) {
        let a = self.state.action(ix);
        if a.open_attempt().is_none() {
            self.prove_dead(ix);
            return;
        }
        let attempt = a.open_attempt().expect("just looked").clone();
        let (lost, asked) = (a.lost, a.kill_asked.is_some());
        if lost && attempt.direction.is_back() && deadline::time_left_for_undo(self.state, self.now) {
            self.record(Fact::LinkLost { attempt, why: "still no answer".into() });
        } else if lost || asked {
            let why = if lost { "the host cannot be reached" } else { "the host did not end it" };
            let outcome = Outcome::InDoubt { why: why.into() };
            self.record(Fact::AttemptEnded { attempt, outcome, evidence: Evidence::default() });
        } else {
            self.kill(attempt, KillReason::Timeout);
        }
    }

    pub fn kill(&mut self, attempt: AttemptId, why: KillReason) {
        self.record(Fact::KillRequested { attempt: attempt.clone(), why });
        self.effect(Effect::Kill(attempt));
    }

    fn open_window(&mut self) {
        if *self.state.phase() != Phase::Waiting || self.state.window().is_some_and(|w| w.opens > self.now) {
            return;
        }
        self.record(Fact::WindowOpened);
        let narrowed = self.state.run().map(|r| r.options.narrowed.clone()).unwrap_or_default();
        let left_out = self.state.run().map(|r| r.options.hosts_left_out.clone()).unwrap_or_default();
        for ix in self.state.graph().clone().action_ixs() {
            let id = self.id(ix);
            let host_out = id.host().is_some_and(|h| left_out.iter().any(|x| x == h));
            if host_out || narrowed.iter().any(|s| s == id.step()) {
                self.record(Fact::ActionSkipped { action: id, why: SkipReason::Narrowed });
            }
        }
    }

    // ---- what has just ended

    fn settle(&mut self) {
        for ix in self.state.undecided() {
            match self.state.action(ix).doing.clone() {
                Doing::Next(part) => self.launch(self.next_attempt(ix, part)),
                Doing::Ask => self.ask_once(ix),
                Doing::Judge { direction, outcome } => self.judge(ix, direction, &outcome),
                _ => {}
            }
        }
        self.hold_what_was_quick();
    }

    fn judge(&mut self, ix: ActionIx, direction: Direction, outcome: &Outcome) {
        let graph = self.state.graph().clone();
        let step = graph.step_of(ix);
        let unclear = matches!(outcome, Outcome::Interrupted | Outcome::InDoubt { .. });
        // Whether a restart is still to come, a proof of the work does not tell.
        if direction == Direction::Do && unclear && parts::after(step, Direction::Do) == Some(Direction::Check) {
            let check = self.next_attempt(ix, Direction::Check);
            return self.launch(check);
        }
        match self.next_try(ix, direction, outcome) {
            Some((attempt, at)) if self.state.roll_back_by().is_none_or(|by| at < by) => {
                self.record(Fact::RetryScheduled { attempt, at });
            }
            _ => {
                let then = self.policy(ix, outcome);
                self.record(Fact::ActionFailed { action: self.id(ix), then });
            }
        }
    }

    /// The next attempt after one that ended so, and when it starts; `None` when there is none.
    fn next_try(&self, ix: ActionIx, direction: Direction, outcome: &Outcome) -> Option<(AttemptId, Timestamp)> {
        let step = self.state.graph().step_of(ix);
        let a = self.state.action(ix);
        let started = outcome.may_have_run();
        let work = a.tried(Direction::Do);
        let (next, wait) = match direction {
            Direction::Check if !started && a.forward == Some(Outcome::Succeeded) => {
                (direction, retry::after_silence(a.tried(direction)))
            }
            // What a failed verification says of the work: that it ran, and is not done.
            Direction::Check => (Direction::Do, retry::after_failure(step, &Outcome::Failed { exit: 1 }, work)),
            Direction::Do => (direction, retry::after_failure(step, outcome, work)),
            Direction::Reboot => (direction, retry::after_silence(a.tried(direction)).filter(|_| !started)),
            _ => (direction, retry::after_failed_drain(step, outcome, a.tried(direction))),
        };
        let wait = wait.filter(|_| a.doubt.is_none())?;
        Some((self.next_attempt(ix, next), self.now.checked_add(wait).ok()?))
    }

    /// What the failure of an action leads to, once no further try is left.
    fn policy(&self, ix: ActionIx, outcome: &Outcome) -> OnFailure {
        let step = self.state.graph().step_of(ix);
        // A rollback cannot mend what was broken before it, nor what nobody knows to be broken.
        let says_little = outcome.verdict(step) == Verdict::Inconclusive || self.state.was_red(ix);
        if self.state.may_fail(ix) {
            return OnFailure::Continue;
        }
        match self.state.stated_policy(ix) {
            OnFailure::Continue => OnFailure::Continue,
            _ if !self.state.reversible() => OnFailure::Ask,
            OnFailure::Rollback if step.judges() && says_little && !self.state.no_input() => OnFailure::Ask,
            OnFailure::Ask if self.state.no_input() => OnFailure::Rollback,
            other => other,
        }
    }

    fn hold_what_was_quick(&mut self) {
        if self.state.hold().is_some() || self.state.no_input() {
            return;
        }
        let Some(ix) = self.quick_action() else { return };
        let reason = HoldReason::Quick { action: self.id(ix) };
        self.hold(reason, HoldAnswer::Rollback);
    }

    /// An action that ended in this very turn, in less than its plan finds credible.
    fn quick_action(&self) -> Option<ActionIx> {
        let ended = self.turn.facts.iter().filter_map(|f| match f {
            Fact::AttemptEnded { attempt, .. } => self.state.graph().find(&attempt.action),
            _ => None,
        });
        ended.into_iter().find(|ix| {
            let expect = self.state.graph().step_of(*ix).expect.unwrap_or_default();
            let a = self.state.action(*ix);
            let quick = expect.min.zip(a.took).is_some_and(|(min, took)| took < min);
            a.doing == Doing::Done && expect.hold_when_quick && quick
        })
    }

    pub fn hold(&mut self, reason: HoldReason, default: HoldAnswer) {
        let limit = match &reason {
            HoldReason::RollbackGrace { .. } => {
                let grace = self.state.run().map_or(SignedDuration::ZERO, |r| r.options.rollback_grace);
                self.now.checked_add(grace).ok()
            }
            HoldReason::RollbackPaused { .. } => None,
            _ => self.state.roll_back_by(),
        };
        let default = if limit.is_none() { HoldAnswer::Stay } else { default };
        self.record(Fact::HoldOpened { reason, limit, default });
    }

    // ---- starting

    fn start_ready(&mut self) {
        self.try_again();
        while self.may_start() {
            let before = self.turn.facts.len();
            let mut last = None;
            while !self.is_full()
                && let Some(step) = self.state.next_ready(last)
            {
                self.start_step(step);
                last = Some(step);
            }
            if self.is_full() {
                // However many wait: only these can do anything before a place is free.
                self.state.ready_without_place().into_iter().for_each(|step| self.start_step(step));
            }
            if self.turn.facts.len() == before {
                return;
            }
        }
    }

    /// What people said to try again, while other failures wait for an answer.
    fn try_again(&mut self) {
        for ix in self.state.to_try_again() {
            let step = self.state.graph().action(ix).step;
            let has_room = !self.is_full() && self.has_room(step) && self.state.fleet_has_room(ix);
            // What the one before led to may forbid it; and one that does not fit must not put its question over the open one.
            if self.state.may_try_again(ix) && has_room && self.fits(ix) {
                self.start(ix);
            }
        }
    }

    /// While failures wait for an answer, nothing else starts.
    fn may_start(&self) -> bool {
        let s = &self.state;
        s.is_forward() && s.hold().is_none() && s.asking.is_empty() && !s.stopping
    }

    fn start_step(&mut self, step: StepIx) {
        let mut passed = None;
        while self.may_start() {
            let Some(ix) = self.state.ready_after(step, passed) else { return };
            match self.skip_reason(ix) {
                Ok(Some(why)) => self.record(Fact::ActionSkipped { action: self.id(ix), why }),
                Ok(None) if !self.has_room(step) => return,
                // Its group has none to spare; a host of another group may.
                Ok(None) if !self.state.fleet_has_room(ix) => passed = Some(ix),
                Ok(None) => self.start(ix),
                Err(why) => self.fail_unrendered(ix, why),
            }
        }
    }

    fn skip_reason(&self, ix: ActionIx) -> Result<Option<SkipReason>, String> {
        if let Some(why) = self.dropped_out(ix) {
            return Ok(Some(why));
        }
        let graph = self.state.graph();
        let Some(expression) = &graph.step_of(ix).when else { return Ok(None) };
        let holds = render::wanted(graph, &graph.action(ix).id, &self.known()).map_err(|e| e.to_string())?;
        Ok((!holds).then(|| SkipReason::When { expression: expression.clone() }))
    }

    /// A condition that cannot be evaluated is a failure of the step, not a reason to skip it.
    fn fail_unrendered(&mut self, ix: ActionIx, why: String) {
        let attempt = self.next_attempt(ix, Direction::Do);
        self.record(Fact::AttemptArmed { attempt: attempt.clone() });
        let outcome = Outcome::NeverStarted { why };
        self.record(Fact::AttemptEnded { attempt, outcome, evidence: Evidence::default() });
        self.record(Fact::ActionFailed { action: self.id(ix), then: self.policy(ix, &Outcome::Failed { exit: 1 }) });
        self.decide_failures();
    }

    /// Whether as many actions run as the plan's own `at_once` allows.
    fn is_full(&self) -> bool {
        let graph = self.state.graph();
        graph.plan().at_once.is_some_and(|n| self.state.places as usize >= n.at_least_one_of(graph.actions().len()))
    }

    /// `at_once` of the step and of the plan, and the resources.
    fn has_room(&self, step: StepIx) -> bool {
        let graph = self.state.graph();
        let (plan, s) = (graph.plan(), graph.step(step));
        if s.needs_no_place() {
            return true;
        }
        let hosts = graph.actions_of(step).len();
        let in_step = s.fleet.at_once.is_none_or(|n| self.state.places_in(step) < n.at_least_one_of(hosts));
        let free = |name: &String, units: u32| {
            plan.resources.get(name).is_none_or(|capacity| self.state.resource_used(name) + units <= *capacity)
        };
        !self.is_full() && in_step && s.uses.iter().all(|(name, units)| free(name, *units))
    }

    fn start(&mut self, ix: ActionIx) {
        let graph = self.state.graph().clone();
        let step = graph.step_of(ix);
        let wait = |until: Timestamp| Fact::WaitStarted { action: graph.action(ix).id.clone(), until };
        match &step.verb {
            Verb::Gate => self.open_gate(ix),
            Verb::Wait(Wait::For(d)) => self.record(wait(self.now.checked_add(*d).unwrap_or(Timestamp::MAX))),
            Verb::Wait(Wait::At(at)) => self.record(wait((*at).max(self.now))),
            _ => {
                if self.admit(ix) {
                    if matches!(step.undo, Undo::Irreversible(_)) && self.state.reversible() {
                        self.record(Fact::ReversibleEnded { why: format!("{} cannot be undone", step.id) });
                    }
                    self.launch(self.next_attempt(ix, parts::first(step)));
                }
            }
        }
    }

    /// A step's question is asked once, when the machine's half is passed on all its hosts.
    fn ask_once(&mut self, ix: ActionIx) {
        let graph = self.state.graph();
        let mut others = graph.actions_of(graph.action(ix).step);
        let passed = |a: &Doing| matches!(a, Doing::Ask | Doing::Done | Doing::Skipped);
        if others.all(|other| passed(&self.state.action(other).doing)) {
            self.open_gate(ix);
        }
    }

    fn open_gate(&mut self, ix: ActionIx) {
        let gate = self.state.graph().step_of(ix).gate.as_ref();
        let declared = gate.and_then(|g| g.answer_by);
        let answer_by = match (declared, self.state.roll_back_by()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let action = self.id(ix);
        self.record(Fact::GateOpened { action, answer_by });
        if self.state.run().is_some_and(|r| r.options.gates() == Gates::ApproveAtOnce) {
            self.stand_in(ix);
        }
    }

    fn is_asking(&self, ix: ActionIx) -> bool {
        matches!(self.state.action(ix).doing, Doing::Asking { .. })
    }

    /// Approves in the place of as many people as the gate still asks for.
    fn stand_in(&mut self, ix: ActionIx) {
        let quorum = self.state.graph().step_of(ix).gate.as_ref().map_or(1, |gate| gate.quorum.max(1));
        let name = |n| if n == 1 { Actor::engine().name } else { format!("runbook {n}") };
        for name in (1..=quorum).map(name) {
            if self.is_asking(ix) {
                let by = Actor { name, ..Actor::engine() };
                self.answer_gate(ix, GateAnswer::Approved, by, Vec::new(), None);
            }
        }
    }

    pub fn answer_gate(
        &mut self,
        ix: ActionIx,
        answer: GateAnswer,
        by: Actor,
        defects: Vec<String>,
        note: Option<String>,
    ) {
        self.record(Fact::GateAnswered { action: self.id(ix), answer, by, defects, note });
        let approved = self.state.action(ix).doing == Doing::Done;
        if approved && self.state.reversible() && self.is_last_gate(ix) {
            let why = format!("{} is approved", self.id(ix).step());
            self.record(Fact::ReversibleEnded { why });
        }
    }

    /// Whether nothing is left that changes something reversible, judges or asks: after this gate there is only what
    /// announces, waits or cannot be undone, so nothing could call for a rollback any more.
    fn is_last_gate(&self, ix: ActionIx) -> bool {
        let graph = self.state.graph();
        let gate = graph.action(ix).step;
        graph.step_ixs().filter(|s| *s != gate).all(|s| {
            let step = graph.step(s);
            let done = graph.actions_of(s).all(|a| self.state.action(a).is_satisfied());
            done || !step.keeps_the_way_back()
        })
    }

    // ---- ends

    fn finish_forward(&mut self) {
        if !self.state.is_forward() {
            return;
        }
        let late = self.state.window().is_some_and(|w| self.now > w.closes);
        if self.state.all_satisfied() && self.state.hold().is_none() {
            self.end(RunEnd::Succeeded { late });
        }
    }

    pub fn end(&mut self, end: RunEnd) {
        self.record(Fact::RunEnded { end });
        self.effect(Effect::Finish);
    }

    // ---- small words

    fn known(&self) -> render::Known<'_> {
        render::Known {
            run: self.state.run().map_or("", |r| r.run.as_str()),
            outputs: &self.state.outputs,
            roll_back_by: self.state.roll_back_by(),
            forward_outcome: None,
            replaced_by: Vec::new(),
        }
    }

    pub fn id(&self, ix: ActionIx) -> crate::graph::ids::ActionId {
        self.state.graph().action(ix).id.clone()
    }

    pub fn next_attempt(&self, ix: ActionIx, direction: Direction) -> AttemptId {
        let number = self.state.action(ix).tries[direction as usize] + 1;
        AttemptId { action: self.id(ix), direction, number }
    }

    pub fn launch(&mut self, attempt: AttemptId) {
        self.record(Fact::AttemptArmed { attempt: attempt.clone() });
        self.effect(Effect::Launch(attempt));
    }
}
