//! One decision each: what a failure, an answer, a deadline or a person's word leads to.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use runbook::engine::fact::{
    Actor, Channel, Fact, GateAnswer, HoldAnswer, HoldReason, Mark, RollbackCause, RunEnd, RunOptions, RunStarted,
};
use runbook::engine::input::{Ask, Input, Operator, Reply};
use runbook::engine::state::Phase;
use runbook::engine::{Engine, effect::Effect};
use runbook::graph::Graph;
use runbook::graph::ids::{ActionId, AttemptId, Direction};
use runbook::graph::outcome::{Evidence, Outcome, Verdict};
use runbook::plan::model::*;
use runbook::plan::units::{Estimate, Size};
use runbook::schedule::best_order;
use runbook::sim::{started, window_instants};

use super::plans::{minutes, opens, plan, step, undone_by};

/// An engine with nobody else in the room: the test plays hosts, people and clock.
pub struct Night {
    pub engine: Engine,
    pub now: Timestamp,
    pub facts: Vec<Fact>,
    pub launched: Vec<AttemptId>,
    pub killed: Vec<AttemptId>,
    pub wake: Option<Timestamp>,
}

impl Night {
    pub fn of(steps: Vec<Step>, lasts: u64, change: impl FnOnce(&mut Plan), options: RunOptions) -> Self {
        Self::after(steps, lasts, change, options, BTreeMap::new())
    }

    /// The same, when this was seen before it.
    pub fn after(
        steps: Vec<Step>,
        lasts: u64,
        change: impl FnOnce(&mut Plan),
        options: RunOptions,
        baseline: BTreeMap<ActionId, Verdict>,
    ) -> Self {
        Self::armed(steps, lasts, change, options, |_, first| RunStarted { baseline, ..first })
    }

    /// As a person arms it.
    pub fn armed(
        steps: Vec<Step>,
        lasts: u64,
        change: impl FnOnce(&mut Plan),
        options: RunOptions,
        arm: impl FnOnce(&Graph, RunStarted) -> RunStarted,
    ) -> Self {
        let hosts = ["h1".to_string(), "h2".to_string()];
        let mut plan = plan(steps, Some(minutes(lasts)), &hosts);
        change(&mut plan);
        let graph = Arc::new(Graph::build(Arc::new(plan)));
        let first = started(&graph, window_instants(graph.plan(), opens()), options);
        let first = arm(&graph, first);
        let mut night = Self {
            engine: Engine::new(graph),
            now: opens(),
            facts: vec![],
            launched: vec![],
            killed: vec![],
            wake: None,
        };
        night.tell(Input::Start(Box::new(first)));
        night
    }

    pub fn simple(steps: Vec<Step>) -> Self {
        Self::of(steps, 300, |_| {}, RunOptions::default())
    }

    pub fn tell(&mut self, input: Input) -> Option<Reply> {
        let turn = self.engine.handle(self.now, input);
        self.facts.extend(turn.facts);
        for effect in turn.effects {
            match effect {
                Effect::Launch(attempt) => self.launched.push(attempt),
                Effect::Kill(attempt) => self.killed.push(attempt),
                Effect::WakeAt(at) => self.wake = Some(at),
                Effect::Probe(_) | Effect::Finish => {}
            }
        }
        turn.reply
    }

    pub fn wait(&mut self, n: u64) {
        let until = self.now + minutes(n);
        while self.wake.is_some_and(|at| at <= until) {
            self.now = self.now.max(self.wake.take().expect("just looked"));
            self.tell(Input::Tick);
        }
        self.now = until;
        self.tell(Input::Tick);
    }

    pub fn end(&mut self, attempt: &str, outcome: Outcome) {
        let attempt = self.launched.iter().find(|a| a.to_string() == attempt).cloned();
        let attempt = attempt.unwrap_or_else(|| panic!("not launched; launched: {:?}", self.launched));
        self.tell(Input::AttemptEnded { attempt, outcome, evidence: Evidence::default() });
    }

    pub fn ask(&mut self, ask: Ask) -> Reply {
        let by = Actor { name: "Sarah".into(), channel: Channel::Cli };
        self.tell(Input::Operator(Operator { by, ask })).expect("people get an answer")
    }

    pub fn refused(&mut self, ask: Ask) -> String {
        match self.ask(ask) {
            Reply::Refused { why } => why,
            Reply::Accepted { facts } => panic!("accepted: {facts:?}"),
        }
    }

    pub fn is_launched(&self, attempt: &str) -> bool {
        self.launched.iter().any(|a| a.to_string() == attempt)
    }

    pub fn cause(&self) -> Option<&RollbackCause> {
        self.facts.iter().find_map(|f| match f {
            Fact::RollbackDecided { cause } => Some(cause),
            _ => None,
        })
    }

    pub fn held(&self) -> Option<&HoldReason> {
        self.engine.state().hold().map(|h| &h.reason)
    }

    pub fn ended(&self) -> Option<&RunEnd> {
        self.engine.state().end()
    }
}

fn on(host: &str) -> Place {
    Place::Hosts(vec![host.into()])
}

fn five() -> Estimate {
    Estimate::exactly(minutes(5))
}

fn deploy(id: &str, needs: &[&str]) -> Step {
    step(id, needs, on("h1"), Verb::Run("deploy".into()), undone_by(minutes(10)), five())
}

fn test(id: &str, needs: &[&str]) -> Step {
    step(id, needs, on("h1"), Verb::Test("test".into()), Undo::Nothing, five())
}

fn gate(id: &str, needs: &[&str]) -> Step {
    step(id, needs, Place::Nowhere, Verb::Gate, Undo::Nothing, five())
}

fn approve(gate: &str) -> Ask {
    Ask::Approve { gate: Some(gate.into()), defects: vec![], note: None }
}

fn failed_exit() -> Outcome {
    Outcome::Failed { exit: 1 }
}

/// P13: all outcomes but success under all policies, as one table. `-` is a hold, `R` a rollback, `>` goes on, `+`
/// another try because nothing was started.
#[test]
fn every_outcome_reaches_its_policy() {
    let doubt = || Outcome::InDoubt { why: "away".into() };
    let never = || Outcome::NeverStarted { why: "refused".into() };
    let outcomes = [
        failed_exit(),
        Outcome::Killed { signal: 9 },
        Outcome::TimedOut,
        Outcome::Cancelled,
        Outcome::Interrupted,
        doubt(),
        never(),
    ];
    let cases: [(OnFailure, bool, bool, &str); 6] = [
        (OnFailure::Rollback, false, false, "RRRRRR+"),
        (OnFailure::Ask, false, false, "------+"),
        (OnFailure::Ask, false, true, "RRRRRR+"),
        (OnFailure::Continue, false, false, ">>>>>>+"),
        // A test that could not judge asks, unless nobody can be asked.
        (OnFailure::Rollback, true, false, "R-----+"),
        (OnFailure::Rollback, true, true, "RRRRRR+"),
    ];
    for (policy, judges, no_input, expected) in cases {
        let found: String = outcomes.iter().map(|outcome| reaction(policy, judges, no_input, outcome)).collect();
        assert_eq!(found, expected, "{policy:?}, test: {judges}, nobody to ask: {no_input}");
    }
}

fn reaction(policy: OnFailure, judges: bool, no_input: bool, outcome: &Outcome) -> char {
    let mut it = if judges { test("it", &["first"]) } else { deploy("it", &["first"]) };
    it.on_failure = policy;
    let options = RunOptions { no_input, ..RunOptions::default() };
    let mut night = Night::of(vec![deploy("first", &[]), it, deploy("next", &["it"])], 300, |_| {}, options);
    night.end("first/h1/do/1", Outcome::Succeeded);
    night.end("it/h1/do/1", outcome.clone());
    if night.cause().is_some() {
        'R'
    } else if night.held().is_some() {
        '-'
    } else if night.is_launched("next/h1/do/1") {
        '>'
    } else {
        let again = night.facts.iter().any(|f| matches!(f, Fact::RetryScheduled { .. }));
        assert!(again, "{policy:?} {outcome}: {:?}", night.facts);
        '+'
    }
}

#[test]
fn what_is_not_idempotent_is_never_tried_again_by_itself() {
    let mut it = deploy("it", &[]);
    it.retry = Retry { times: 3, wait: SignedDuration::from_secs(1), backoff: Backoff::Fixed };
    let mut harmless = it.clone();
    harmless.idempotent = true;
    for (step, tried_again) in [(it, false), (harmless, true)] {
        let mut night = Night::simple(vec![step]);
        night.end("it/h1/do/1", failed_exit());
        night.wait(1);
        assert_eq!(night.is_launched("it/h1/do/2"), tried_again);
    }
}

#[test]
fn a_hold_is_answered_with_retry_skip_or_rollback() {
    for (answer, expected) in
        [(HoldAnswer::Retry, "it/h1/do/2"), (HoldAnswer::Skip, "next/h1/do/1"), (HoldAnswer::Rollback, "it/h1/undo/1")]
    {
        let mut night = Night::simple(vec![deploy("it", &[]), deploy("next", &["it"])]);
        night.end("it/h1/do/1", failed_exit());
        assert!(matches!(night.held(), Some(HoldReason::Failed { .. })));
        assert!(!night.is_launched(expected));
        let _ = night.ask(Ask::Hold { answer, note: None });
        assert!(night.is_launched(expected), "{answer:?} launched {:?}", night.launched);
        assert_eq!(night.held(), None);
    }
}

#[test]
fn nothing_starts_during_a_hold_and_running_steps_go_on() {
    let mut other = deploy("other", &[]);
    other.place = on("h2");
    let mut after = deploy("after", &["other"]);
    after.place = on("h2");
    let mut night = Night::simple(vec![deploy("it", &[]), other, after]);
    night.end("it/h1/do/1", failed_exit());
    night.end("other/h2/do/1", Outcome::Succeeded);
    assert!(!night.is_launched("after/h2/do/1"));
    let _ = night.ask(Ask::Hold { answer: HoldAnswer::Skip, note: None });
    assert!(night.is_launched("after/h2/do/1"));
}

#[test]
fn a_hold_that_nobody_answers_ends_at_roll_back_by() {
    let mut night = Night::simple(vec![deploy("it", &[])]);
    night.end("it/h1/do/1", failed_exit());
    night.wait(289);
    assert_eq!(night.cause(), None);
    night.wait(1);
    assert_eq!(night.cause(), Some(&RollbackCause::Deadline));
}

#[test]
fn a_person_may_hold_an_automatic_rollback_while_its_grace_lasts() {
    let grace = || RunOptions { rollback_grace: SignedDuration::from_secs(60), ..RunOptions::default() };
    let failing = || {
        let mut night = Night::of(vec![deploy("it", &[]), test("check", &["it"])], 300, |_| {}, grace());
        night.end("it/h1/do/1", Outcome::Succeeded);
        night.end("check/h1/do/1", failed_exit());
        night
    };
    let mut left_alone = failing();
    assert_eq!(left_alone.cause(), None);
    left_alone.wait(1);
    assert!(matches!(left_alone.cause(), Some(RollbackCause::Failed { .. })));

    let mut held = failing();
    let _ = held.ask(Ask::Hold { answer: HoldAnswer::Stay, note: None });
    held.wait(5);
    assert_eq!(held.cause(), None);
    assert!(matches!(held.held(), Some(HoldReason::Failed { .. })));
}

/// P9: whatever arrives in the same instant, a gate has one outcome, and whoever is late is told.
#[test]
fn a_gate_is_answered_once() {
    let reject = || Ask::Reject { gate: Some("ok".into()), note: None };
    let asks: [fn() -> Ask; 3] =
        [|| approve("ok"), || Ask::Reject { gate: Some("ok".into()), note: None }, || Ask::Rollback { reason: None }];
    for first in asks {
        for second in [approve("ok"), reject()] {
            let mut night = Night::simple(vec![deploy("it", &[]), gate("ok", &["it"]), deploy("next", &["ok"])]);
            night.end("it/h1/do/1", Outcome::Succeeded);
            let _ = night.ask(first());
            let why = night.refused(second);
            assert!(!why.is_empty());
            let answers = night.facts.iter().filter(|f| matches!(f, Fact::GateAnswered { .. })).count();
            assert!(answers <= 1);
        }
    }
}

#[test]
fn an_unanswered_gate_is_attributed_to_nobody_and_rolls_back() {
    let mut night = Night::simple(vec![deploy("it", &[]), gate("ok", &["it"])]);
    night.end("it/h1/do/1", Outcome::Succeeded);
    night.wait(290);
    let answer = night.facts.iter().find_map(|f| match f {
        Fact::GateAnswered { answer, by, .. } => Some((*answer, by.channel)),
        _ => None,
    });
    assert_eq!(answer, Some((GateAnswer::TimedOut, Channel::Engine)));
    assert!(night.is_launched("it/h1/undo/1"));
    assert!(night.refused(approve("ok")).contains("no gate is open"));
}

#[test]
fn a_quorum_needs_different_people() {
    let mut both = gate("ok", &[]);
    both.gate.as_mut().unwrap().quorum = 2;
    let mut night = Night::simple(vec![both, deploy("next", &["ok"])]);
    let _ = night.ask(approve("ok"));
    let _ = night.ask(approve("ok"));
    assert!(!night.is_launched("next/h1/do/1"));
    let by = Actor { name: "Dev".into(), channel: Channel::Cli };
    night.tell(Input::Operator(Operator { by, ask: approve("ok") }));
    assert!(night.is_launched("next/h1/do/1"));
}

#[test]
fn rejecting_before_anything_ran_changes_nothing() {
    let mut night = Night::simple(vec![gate("ready", &[]), deploy("it", &["ready"])]);
    let _ = night.ask(Ask::Reject { gate: None, note: None });
    assert_eq!(night.ended(), Some(&RunEnd::Rejected));
}

#[test]
fn forward_admission_refuses_what_would_end_too_late() {
    // Twelve minutes: five of work and ten of rollback do not fit.
    let mut night = Night::of(
        vec![test("first", &[]), deploy("it", &["first"])],
        12,
        |_| {},
        RunOptions { no_input: true, ..RunOptions::default() },
    );
    night.end("first/h1/do/1", Outcome::Succeeded);
    assert!(!night.is_launched("it/h1/do/1"));
    assert!(matches!(night.cause(), Some(RollbackCause::Admission { .. })));
    let numbers = night.facts.iter().find_map(|f| match f {
        Fact::AdmissionRefused { numbers, .. } => Some(*numbers),
        _ => None,
    });
    let numbers = numbers.expect("the reason names the numbers");
    assert_eq!(
        (numbers.ends, numbers.roll_back_by, numbers.rollback),
        (opens() + minutes(5), opens() + minutes(2), minutes(10))
    );
}

#[test]
fn an_irreversible_step_starts_only_when_the_rest_fits_the_window() {
    let send = |id: &str, needs: &[&str]| {
        step(id, needs, on("h1"), Verb::Run("send".into()), Undo::Irreversible("sent".into()), five())
    };
    // Five minutes have passed, and ten more are needed.
    for (lasts, starts) in [(15, true), (14, false)] {
        let quick = step("it", &[], on("h1"), Verb::Run("r".into()), undone_by(minutes(1)), five());
        let steps = vec![quick, send("one", &["it"]), send("two", &["one"])];
        let options = RunOptions { no_input: true, ..RunOptions::default() };
        let mut night = Night::of(steps, lasts, |_| {}, options);
        night.wait(5);
        night.end("it/h1/do/1", Outcome::Succeeded);
        assert_eq!(night.is_launched("one/h1/do/1"), starts, "{lasts} minutes");
        assert_eq!(matches!(night.cause(), Some(RollbackCause::Admission { .. })), !starts);
    }
}

/// One of two hosts at a time: ten minutes after the five of the step itself, not five.
#[test]
fn the_rest_of_the_way_forward_counts_who_stays_in_service() {
    for (lasts, starts) in [(15, true), (14, false)] {
        let sent = step("sent", &[], on("h1"), Verb::Run("send".into()), Undo::Irreversible("sent".into()), five());
        let hosts = Place::Hosts(["h1", "h2"].map(str::to_owned).into());
        let mut then = step("then", &["sent"], hosts, Verb::Run("r".into()), undone_by(minutes(1)), five());
        then.fleet.keep_up = Some(Size::Count(1));
        let options = RunOptions { no_input: true, ..RunOptions::default() };
        let night = Night::of(vec![sent, then], lasts, |_| {}, options);
        assert_eq!(night.is_launched("sent/h1/do/1"), starts, "{lasts} minutes");
    }
}

/// The two that follow share what there is one of.
#[test]
fn the_rest_of_the_way_forward_counts_who_waits_for_what_is_short() {
    for (lasts, starts) in [(15, true), (14, false)] {
        let sent = step("sent", &[], on("h1"), Verb::Run("send".into()), Undo::Irreversible("sent".into()), five());
        let then = |id, host| {
            let mut step = step(id, &["sent"], on(host), Verb::Run("r".into()), undone_by(minutes(1)), five());
            step.uses.insert("dba".into(), 1);
            step
        };
        let options = RunOptions { no_input: true, ..RunOptions::default() };
        let steps = vec![sent, then("one", "h1"), then("two", "h2")];
        let ordered = |graph: &Graph, first| RunStarted { order: best_order(graph, 1_000, 1), ..first };
        let night = Night::armed(steps, lasts, |_| {}, options, ordered);
        assert_eq!(night.is_launched("sent/h1/do/1"), starts, "{lasts} minutes");
    }
}

#[test]
fn deadline_policies_differ() {
    let night = |policy: OnDeadline| {
        let steps = vec![deploy("it", &[]), gate("ok", &["it"])];
        let mut night =
            Night::of(steps, 300, |p| p.window.as_mut().unwrap().on_deadline = policy, RunOptions::default());
        night.end("it/h1/do/1", Outcome::Succeeded);
        night.wait(281);
        night
    };
    let mut rollback = night(OnDeadline::Rollback);
    assert_eq!(rollback.held(), None);
    rollback.wait(9);
    assert_eq!(rollback.cause(), Some(&RollbackCause::Deadline));

    let mut ask = night(OnDeadline::Ask);
    assert_eq!(ask.held(), Some(&HoldReason::Deadline));
    let _ = ask.ask(Ask::Continue);
    ask.wait(9);
    assert_eq!(ask.cause(), Some(&RollbackCause::Deadline));

    let mut warn = night(OnDeadline::Warn);
    warn.wait(100);
    assert_eq!((warn.cause(), warn.held()), (None, None));
}

#[test]
fn an_extension_is_bounded_and_moves_the_deadline() {
    let steps = vec![deploy("it", &[]), gate("ok", &["it"])];
    let mut night =
        Night::of(steps, 300, |p| p.window.as_mut().unwrap().max_extension = Some(minutes(60)), RunOptions::default());
    night.end("it/h1/do/1", Outcome::Succeeded);
    let extend = |closes| Ask::Extend { closes, granted_by: Some("Ms. Hu".into()), reason: None };
    assert!(night.refused(extend(opens() + minutes(361))).contains("max_extension"));
    assert!(night.refused(extend(opens() - minutes(1))).contains("in the past"));
    let _ = night.ask(extend(opens() + minutes(360)));
    assert_eq!(night.engine.state().roll_back_by(), Some(opens() + minutes(350)));
    night.wait(349);
    assert_eq!(night.cause(), None);
    night.wait(1);
    assert_eq!(night.cause(), Some(&RollbackCause::Deadline));
    assert!(night.refused(extend(opens() + minutes(360))).contains("a rollback is decided"));
}

#[test]
fn an_irreversible_step_ends_the_way_back() {
    let mut mail =
        step("mail", &["ok"], Place::Controller, Verb::Run("mail".into()), Undo::Irreversible("sent".into()), five());
    mail.on_failure = OnFailure::Rollback;
    let mut night = Night::simple(vec![deploy("it", &[]), gate("ok", &["it"]), mail, test("last", &["mail"])]);
    night.end("it/h1/do/1", Outcome::Succeeded);
    let _ = night.ask(approve("ok"));
    assert_eq!(night.engine.state().phase(), &Phase::Forward { reversible: false });
    night.end("mail/local/do/1", failed_exit());
    assert_eq!(night.cause(), None);
    assert!(matches!(night.held(), Some(HoldReason::ForwardOnly { .. })));
    night.wait(400);
    assert_eq!(night.cause(), None, "the deadline is off");
    let _ = night.ask(Ask::Hold { answer: HoldAnswer::Skip, note: None });
    night.end("last/h1/do/1", Outcome::Succeeded);
    assert_eq!(night.ended(), Some(&RunEnd::Succeeded { late: true }));
}

#[test]
fn on_stop_says_what_a_rollback_does_with_a_running_step() {
    for (on_stop, at_once, at_deadline) in
        [(OnStop::Kill, true, true), (OnStop::Finish, false, true), (OnStop::Protect, false, false)]
    {
        let mut running = deploy("running", &[]);
        running.on_stop = on_stop;
        running.timeout = None;
        running.place = on("h2");
        let mut night = Night::simple(vec![deploy("it", &[]), running]);
        night.end("it/h1/do/1", Outcome::Succeeded);
        let _ = night.ask(Ask::Rollback { reason: None });
        let killed = |night: &Night| night.killed.iter().any(|a| a.to_string() == "running/h2/do/1");
        assert_eq!(killed(&night), at_once, "{on_stop:?}");
        night.wait(290);
        assert_eq!(killed(&night), at_deadline, "{on_stop:?}");
        assert!(!night.is_launched("running/h2/undo/1"), "not before it is proven dead");
        night.end("running/h2/do/1", Outcome::Cancelled);
        assert!(night.is_launched("running/h2/undo/1"));
    }
}

/// P21: a stop ends back-offs at once.
#[test]
fn a_scheduled_retry_never_starts_after_the_stop() {
    let mut flaky = test("flaky", &[]);
    flaky.retry = Retry { times: 5, wait: minutes(10), backoff: Backoff::Exponential };
    let mut night = Night::simple(vec![deploy("it", &[]), flaky]);
    night.end("it/h1/do/1", Outcome::Succeeded);
    night.end("flaky/h1/do/1", failed_exit());
    let _ = night.ask(Ask::Rollback { reason: None });
    night.wait(60);
    assert!(!night.is_launched("flaky/h1/do/2"));
}

#[test]
fn success_after_the_stop_decision_is_recorded_and_undone() {
    let mut slow = deploy("slow", &[]);
    slow.place = on("h2");
    let mut night = Night::simple(vec![deploy("it", &[]), slow, deploy("after", &["slow"])]);
    let _ = night.ask(Ask::Rollback { reason: None });
    night.end("it/h1/do/1", Outcome::Succeeded);
    night.end("slow/h2/do/1", Outcome::Succeeded);
    assert!(night.is_launched("slow/h2/undo/1"));
    assert!(!night.is_launched("after/h1/do/1"));
}

#[test]
fn what_certainly_did_not_start_or_was_atomic_is_not_undone() {
    let mut clean = deploy("clean", &["it"]);
    clean.atomic = true;
    clean.on_failure = OnFailure::Rollback;
    let mut night = Night::simple(vec![deploy("it", &[]), clean]);
    night.end("it/h1/do/1", Outcome::Succeeded);
    night.end("clean/h1/do/1", failed_exit());
    assert!(!night.is_launched("clean/h1/undo/1"));
    assert!(night.is_launched("it/h1/undo/1"));
}

#[test]
fn a_parked_undo_can_be_marked_or_tried_again_by_hand() {
    let failing = || {
        let mut it = deploy("it", &[]);
        if let Undo::Command(r) = &mut it.undo {
            r.retry = Retry::default();
        }
        let mut night = Night::of(vec![it], 300, |_| {}, RunOptions { no_input: true, ..RunOptions::default() });
        night.end("it/h1/do/1", Outcome::Succeeded);
        let _ = night.ask(Ask::Rollback { reason: None });
        night.end("it/h1/undo/1", failed_exit());
        night
    };
    let mut night = failing();
    let Some(RunEnd::Stuck { actions }) = night.ended() else { panic!("{:?}", night.ended()) };
    assert_eq!(actions.keys().map(ActionId::as_str).collect::<Vec<_>>(), ["it@h1"]);
    let _ = night.ask(Ask::Rollback { reason: None });
    night.end("it/h1/undo/2", Outcome::Succeeded);
    assert_eq!(night.ended(), Some(&RunEnd::RolledBack { verified: None, late: false }));
}

/// An engine that died just then leaves a proof that was never asked for; that says nothing of the undo.
#[test]
fn a_proof_of_an_undo_that_never_started_is_asked_for_again_and_the_undo_is_not_repeated() {
    let mut it = deploy("it", &[]);
    if let Undo::Command(r) = &mut it.undo {
        r.verify = Some("gone".into());
    }
    let mut night = Night::simple(vec![it]);
    night.end("it/h1/do/1", Outcome::Succeeded);
    let _ = night.ask(Ask::Rollback { reason: None });
    night.end("it/h1/undo/1", Outcome::Succeeded);
    night.end("it/h1/undo-check/1", Outcome::NeverStarted { why: "the engine died".into() });
    night.wait(1);
    assert!(night.is_launched("it/h1/undo-check/2") && !night.is_launched("it/h1/undo/2"));
    night.end("it/h1/undo-check/2", Outcome::Succeeded);
    assert_eq!(night.ended(), Some(&RunEnd::RolledBack { verified: None, late: false }));
}

/// Whoever takes a run over makes sure that what was about to start never does; the plan's own tries are still there.
#[test]
fn a_try_that_never_started_takes_nothing_from_the_plans_retries() {
    let mut it = deploy("it", &[]);
    (it.idempotent, it.retry.times) = (true, 2);
    let mut night = Night::simple(vec![it]);
    let died = || Outcome::NeverStarted { why: "the engine died".into() };
    for (number, outcome) in [(1, failed_exit()), (2, died()), (3, failed_exit()), (4, died()), (5, failed_exit())] {
        assert!(night.is_launched(&format!("it/h1/do/{number}")), "{number}");
        night.end(&format!("it/h1/do/{number}"), outcome);
        night.wait(1);
    }
    assert!(!night.is_launched("it/h1/do/6"));
    assert!(matches!(night.held(), Some(HoldReason::Failed { .. })));
}

#[test]
fn a_rollback_by_hand_is_asked_for_and_marked() {
    let mut by_hand = deploy("by-hand", &["it"]);
    by_hand.undo = Undo::Manual("call the vendor".into());
    let mut night = Night::simple(vec![deploy("it", &[]), by_hand]);
    night.end("it/h1/do/1", Outcome::Succeeded);
    night.end("by-hand/h1/do/1", Outcome::Succeeded);
    assert!(matches!(night.ended(), Some(RunEnd::Succeeded { .. })));
    let _ = night.ask(Ask::Rollback { reason: None });
    assert!(matches!(night.held(), Some(HoldReason::ManualUndo { .. })));
    assert!(!night.is_launched("it/h1/undo/1"));
    let _ = night.ask(Ask::Continue);
    assert!(night.is_launched("it/h1/undo/1"));
}

#[test]
fn verify_decides_what_the_host_cannot_tell() {
    let verified = |verdict: Outcome| {
        let mut it = deploy("it", &[]);
        it.verify = Some("check".into());
        let mut night = Night::simple(vec![it, deploy("next", &["it"])]);
        night.end("it/h1/do/1", Outcome::Interrupted);
        night.end("it/h1/check/1", verdict);
        night
    };
    assert!(verified(Outcome::Succeeded).is_launched("next/h1/do/1"));
    assert!(matches!(verified(failed_exit()).held(), Some(HoldReason::Failed { .. })));
}

#[test]
fn capacity_is_respected_and_the_longest_path_goes_first() {
    let long = Estimate::exactly(minutes(50));
    let steps = vec![
        deploy("short", &[]),
        step("long", &[], on("h2"), Verb::Run("r".into()), Undo::ReadOnly, long),
        deploy("short-2", &[]),
    ];
    let mut night = Night::of(steps, 300, |p| p.at_once = Some(Size::Count(1)), RunOptions::default());
    assert_eq!(night.launched.iter().map(|a| a.action.step()).collect::<Vec<_>>(), ["long"]);
    night.end("long/h2/do/1", Outcome::Succeeded);
    assert_eq!(night.launched.len(), 2);
}

#[test]
fn a_suspiciously_quick_step_holds_before_its_dependants() {
    let mut backup = step("backup", &[], on("h1"), Verb::Run("r".into()), Undo::ReadOnly, five());
    backup.expect = Some(Expect { min: Some(minutes(2)), max: None, hold_when_quick: true });
    let mut night = Night::simple(vec![backup, deploy("next", &["backup"])]);
    night.wait(1);
    night.end("backup/h1/do/1", Outcome::Succeeded);
    assert!(matches!(night.held(), Some(HoldReason::Quick { .. })));
    assert!(!night.is_launched("next/h1/do/1"));
    let _ = night.ask(Ask::Continue);
    assert!(night.is_launched("next/h1/do/1"));
}

#[test]
fn duplicate_and_late_inputs_decide_nothing() {
    let mut night = Night::simple(vec![deploy("it", &[])]);
    let attempt = AttemptId { action: ActionId::new("it", Some("h1")), direction: Direction::Do, number: 1 };
    let ended = || Input::AttemptEnded {
        attempt: attempt.clone(),
        outcome: Outcome::Succeeded,
        evidence: Evidence { outputs: BTreeMap::new(), ..Evidence::default() },
    };
    night.tell(ended());
    let facts = night.facts.len();
    night.tell(ended());
    night.tell(Input::LinkLost { attempt: attempt.clone(), why: "late".into() });
    night.tell(Input::AttemptLaunched { attempt: attempt.clone() });
    assert_eq!(night.facts.len(), facts);
}

#[test]
fn skipped_steps_count_as_done() {
    let mut off = deploy("off", &[]);
    off.when = Some("false".into());
    let night = Night::simple(vec![off, deploy("next", &["off"])]);
    assert!(night.is_launched("next/h1/do/1") && !night.is_launched("off/h1/do/1"));
}

#[test]
fn people_are_called_once_and_again_when_their_time_moves() {
    let gate = step("ask", &["one"], Place::Nowhere, Verb::Gate, Undo::Nothing, Estimate::exactly(minutes(5)));
    let one = step(
        "one",
        &[],
        Place::Controller,
        Verb::Run("r".into()),
        undone_by(minutes(1)),
        Estimate::exactly(minutes(30)),
    );
    let mut night = Night::simple(vec![one, gate]);
    let call = |night: &mut Night, n: u64| {
        let ask =
            Ask::CallAhead { gate: "ask".into(), expected: opens() + minutes(n), planned: Some(opens() + minutes(30)) };
        matches!(night.ask(ask), Reply::Accepted { .. })
    };
    let said = [30, 20, 45, 46, 20].map(|n| call(&mut night, n));
    assert_eq!(said, [true, false, false, true, true], "a quarter of an hour is no news");
    night.end("one/local/do/1", Outcome::Succeeded);
    assert!(!call(&mut night, 200), "they are asked already");
}

/// Until the hosts have said whether it is right, nothing starts by a clock that was set far forward.
#[test]
fn a_doubtful_clock_holds_the_run_until_it_is_judged() {
    let place = Place::Hosts(vec!["h1".into()]);
    let work = |id: &str, needs: &[&str]| {
        step(id, needs, place.clone(), Verb::Run("r".into()), undone_by(minutes(1)), Estimate::exactly(minutes(1)))
    };
    for agreed in [true, false] {
        let mut night = Night::simple(vec![work("one", &[]), work("two", &["one"])]);
        night.tell(Input::ClockJumped { by: SignedDuration::from_secs(-7200) });
        night.tell(Input::ClockJumped { by: SignedDuration::from_secs(59) });
        assert_eq!(night.held(), None, "a clock that was set back, or a little forward, is no question");
        night.tell(Input::ClockJumped { by: minutes(90) });
        night.end("one/h1/do/1", Outcome::Succeeded);
        assert_eq!(night.held(), Some(&HoldReason::Clock));
        assert!(!night.is_launched("two/h1/do/1"));
        night.tell(Input::ClockJudged { off: None, agreed });
        assert!(night.is_launched("two/h1/do/1"));
    }
}

/// A further try that is due while the run is held waits for the answer, and wakes nobody until then.
#[test]
fn a_try_that_is_due_in_a_hold_starts_when_the_hold_ends() {
    let place = || Place::Hosts(vec!["h1".into()]);
    let work =
        |id: &str| step(id, &[], place(), Verb::Run("r".into()), undone_by(minutes(1)), Estimate::exactly(minutes(9)));
    let mut again = work("again");
    again.idempotent = true;
    again.retry = Retry { times: 1, wait: SignedDuration::from_secs(30), backoff: Backoff::Fixed };
    let mut night = Night::simple(vec![work("asks"), again]);
    night.end("asks/h1/do/1", Outcome::Failed { exit: 1 });
    night.end("again/h1/do/1", Outcome::Failed { exit: 1 });
    night.wait(2);
    assert!(!night.is_launched("again/h1/do/2"));
    assert!(night.wake.is_none_or(|at| at > night.now), "it must not spin");
    night.ask(Ask::Skip { step: "asks".into(), reason: None });
    assert!(night.is_launched("again/h1/do/2"));
}

/// A rollback can stand for a while: what is being undone ends, nothing more is undone, and nobody is told that it is over.
#[test]
fn a_rollback_is_paused_and_goes_on() {
    let place = || Place::Hosts(vec!["h1".into()]);
    let work = |id: &str, needs: &[&str]| {
        step(id, needs, place(), Verb::Run("r".into()), undone_by(minutes(5)), Estimate::exactly(minutes(1)))
    };
    let mut night = Night::simple(vec![work("one", &[]), work("two", &["one"])]);
    night.end("one/h1/do/1", Outcome::Succeeded);
    night.end("two/h1/do/1", Outcome::Succeeded);
    assert!(night.engine.state().end().is_some());
    night.ask(Ask::Rollback { reason: None });
    assert!(night.is_launched("two/h1/undo/1"));
    assert!(matches!(night.ask(Ask::Pause), Reply::Accepted { .. }));
    assert_eq!(night.refused(Ask::Pause), "the run is held already");
    night.end("two/h1/undo/1", Outcome::Failed { exit: 1 });
    night.wait(90);
    assert!(!night.is_launched("two/h1/undo/2") && !night.is_launched("one/h1/undo/1"), "{:?}", night.launched);
    night.ask(Ask::Continue);
    night.end("two/h1/undo/2", Outcome::Succeeded);
    night.end("one/h1/undo/1", Outcome::Succeeded);
    assert!(matches!(night.engine.state().end(), Some(RunEnd::RolledBack { .. })));
}

/// Whoever looked at the host says what is true of what is in doubt, and the run goes on without another answer.
#[test]
fn what_is_in_doubt_is_marked_by_whoever_looked() {
    let place = Place::Hosts(vec!["h1".into()]);
    let work = |id: &str, needs: &[&str]| {
        step(id, needs, place.clone(), Verb::Run("r".into()), undone_by(minutes(1)), Estimate::exactly(minutes(1)))
    };
    let mut night = Night::simple(vec![work("one", &[]), work("two", &["one"])]);
    night.end("one/h1/do/1", Outcome::Interrupted);
    assert!(matches!(night.held(), Some(HoldReason::Failed { .. })));
    night.ask(Ask::Mark { step: "one".into(), host: Some("h1".into()), mark: Mark::Done, reason: None });
    assert_eq!(night.held(), None);
    assert!(night.is_launched("two/h1/do/1"));
}
