//! A run whose journal is gone, rebuilt from what its hosts remember: the engine is told once more what happened, in the
//! order in which it happened, and its facts are the journal again. Knows nothing of hosts, clocks and stores.
//!
//! What hosts cannot know is concluded: a gate was approved when something behind it was started; a step that left no
//! record anywhere was done when something behind it was started; a rollback was decided when something was undone. Every such
//! conclusion is handed back in words. What fits nowhere is handed back too, and then the rebuilt run must not be used.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use crate::engine::Engine;
use crate::engine::effect::Effect;
use crate::engine::fact::{Actor, FactRecord, HoldAnswer, HoldReason, RunStarted};
use crate::engine::input::{Ask, Input, Operator, Reply};
use crate::graph::ids::{ActionId, AttemptId};
use crate::graph::job::Site;
use crate::graph::outcome::{Evidence, Outcome};
use crate::graph::{Graph, Reach, StepIx};
use crate::plan::model::Verb;

/// What a host remembers of one attempt.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Remembered {
    /// When its command was started, by the host's clock.
    pub started: Option<Timestamp>,
    /// How it ended, and when; `None` while it runs, or where nobody can tell now.
    pub end: Option<(Option<Timestamp>, Outcome, Evidence)>,
}

impl Remembered {
    fn begun(&self) -> Option<Timestamp> {
        self.started.or_else(|| self.end.as_ref()?.0)
    }
}

/// What all hosts remember.
pub type Ledger = BTreeMap<AttemptId, Remembered>;

/// A run as far as its hosts remember it.
#[derive(Debug)]
pub struct Rebuilt {
    pub facts: Vec<FactRecord>,
    pub engine: Engine,
    /// What was concluded without a record, in sentences.
    pub concluded: Vec<String>,
    /// Records that do not fit this plan.
    pub unexplained: Vec<AttemptId>,
}

/// Tells the engine of `graph` what `ledger` remembers. `by` answers for the conclusions; nothing happens after `now`.
/// `lost_controller`: what the controller itself executed left no records here, so its outcome is in doubt.
#[must_use]
pub fn rebuild(
    graph: &Arc<Graph>,
    started: RunStarted,
    ledger: Ledger,
    by: &Actor,
    lost_controller: bool,
    now: Timestamp,
) -> Rebuilt {
    let first = ledger.values().filter_map(Remembered::begun).min().unwrap_or(now);
    let mut work = Rebuilder {
        engine: Engine::new(graph.clone()),
        graph: graph.clone(),
        reach: Reach::new(graph),
        at: first.min(now),
        until: now,
        facts: Vec::new(),
        wake: None,
        passed: None,
        ledger,
        told: BTreeSet::new(),
        ended: BTreeSet::new(),
        by: by.clone(),
        lost_controller,
        concluded: Vec::new(),
    };
    work.tell(Input::Start(Box::new(started)));
    // Every event explains a record, answers a question or lets a timer pass; more can only be a circle.
    let most = 100 + 8 * (work.ledger.len() + graph.actions().len());
    for _ in 0..most {
        if !work.step() {
            break;
        }
    }
    work.doubt_the_controller();
    let unexplained = work.unexplained();
    Rebuilt { facts: work.facts, engine: work.engine, concluded: work.concluded, unexplained }
}

/// What somebody must have said.
#[derive(Debug)]
enum Said {
    /// To a hold; without one, a rollback.
    Hold(HoldAnswer),
    /// To a gate.
    Yes(ActionId),
}

struct Rebuilder {
    engine: Engine,
    graph: Arc<Graph>,
    reach: Reach,
    at: Timestamp,
    until: Timestamp,
    facts: Vec<FactRecord>,
    wake: Option<Timestamp>,
    /// The timer that passed last: one that a hold keeps open does not pass again and again.
    passed: Option<Timestamp>,
    ledger: Ledger,
    /// Attempts that the engine knows to be launched.
    told: BTreeSet<AttemptId>,
    ended: BTreeSet<AttemptId>,
    by: Actor,
    lost_controller: bool,
    concluded: Vec<String>,
}

impl Rebuilder {
    fn tell(&mut self, input: Input) -> Option<Reply> {
        let turn = self.engine.handle(self.at, input);
        let next = self.facts.len() as u64 + 1;
        self.facts.extend((next..).zip(turn.facts).map(|(seq, fact)| FactRecord { seq, at: self.at, fact }));
        for effect in turn.effects {
            match effect {
                Effect::WakeAt(at) => self.wake = Some(at),
                Effect::Launch(_) | Effect::Probe(_) | Effect::Kill(_) | Effect::Finish => {}
            }
        }
        turn.reply
    }

    fn ask(&mut self, ask: Ask) -> bool {
        let by = self.by.clone();
        matches!(self.tell(Input::Operator(Operator { by, ask })), Some(Reply::Accepted { .. }))
    }

    /// One event. False when nothing more follows from what is remembered.
    fn step(&mut self) -> bool {
        let (event, decision) = (self.next_event(), self.next_decision());
        let next = event.iter().map(|(at, _)| *at).chain(decision.iter().map(|(at, _)| *at)).min();
        if self.wake.is_some_and(|wake| next.is_some_and(|next| wake <= next)) && self.pass_time() {
            return true;
        }
        let first = |at: Timestamp, said: &Said| match &event {
            None => true,
            // Whatever was started had been allowed; whatever was undone was mostly undone because something had ended.
            Some((other, _)) => at < *other || (at == *other && !matches!(said, Said::Hold(HoldAnswer::Rollback))),
        };
        if let Some((at, said)) = decision.filter(|(at, said)| first(*at, said)) {
            self.at = self.at.max(at.min(self.until));
            return self.say(said);
        }
        if let Some((at, attempt)) = event {
            self.at = self.at.max(at.min(self.until));
            self.tell_of(attempt);
            return true;
        }
        !self.unexplained().is_empty() && (self.conclude() || self.pass_time())
    }

    /// The earliest thing remembered of an attempt that the engine has armed.
    fn next_event(&self) -> Option<(Timestamp, AttemptId)> {
        let open = self.engine.state().open_attempts();
        let events = open.filter(|attempt| !self.ended.contains(attempt)).filter_map(|attempt| {
            let record = self.ledger.get(attempt)?;
            let at = if self.told.contains(attempt) { record.end.as_ref()?.0 } else { record.begun() };
            Some((at.unwrap_or(self.at), attempt.clone()))
        });
        events.min()
    }

    /// What a person or the engine must have decided next, and when at the latest: what was started because of it tells.
    fn next_decision(&self) -> Option<(Timestamp, Said)> {
        let (forward, back) = self.rest();
        let first = |of: &dyn Fn(&AttemptId) -> bool, from: &[AttemptId]| {
            from.iter().filter(|a| of(a)).filter_map(|a| self.ledger.get(a)?.begun()).min()
        };
        let all = |_: &AttemptId| true;
        let behind = |actions: &[ActionId]| {
            first(&|a| actions.iter().any(|action| self.is_before_any(action, std::slice::from_ref(a))), &forward)
        };
        let hold = |answer: HoldAnswer, at: Option<Timestamp>| at.map(|at| (at, Said::Hold(answer)));
        let undone = hold(HoldAnswer::Rollback, first(&all, &back));
        let state = self.engine.state();
        let decisions: Vec<Option<(Timestamp, Said)>> = match state.hold().map(|hold| &hold.reason) {
            Some(HoldReason::FleetStopped { actions, .. }) => {
                let next =
                    |a: &AttemptId| state.find(&a.action).is_some_and(|s| a.number > s.tries[a.direction as usize]);
                let again = first(&|a| actions.contains(&a.action) && next(a), &forward);
                vec![hold(HoldAnswer::Retry, again), hold(HoldAnswer::Continue, first(&all, &forward)), undone]
            }
            Some(HoldReason::Failed { actions } | HoldReason::ForwardOnly { actions }) => {
                let next =
                    |a: &AttemptId| state.find(&a.action).is_some_and(|s| a.number > s.tries[a.direction as usize]);
                let again = first(&|a| actions.contains(&a.action) && next(a), &forward);
                vec![hold(HoldAnswer::Retry, again), hold(HoldAnswer::Skip, behind(actions)), undone]
            }
            Some(HoldReason::RollbackGrace { .. }) => vec![hold(HoldAnswer::Stay, first(&all, &forward)), undone],
            Some(HoldReason::ManualUndo { .. } | HoldReason::RollbackPaused { .. }) => {
                vec![hold(HoldAnswer::Continue, first(&all, &back))]
            }
            Some(_) => vec![hold(HoldAnswer::Continue, first(&all, &forward)), undone],
            None if state.is_forward() => {
                let approved = self.asking().map(|gate| Some((behind(std::slice::from_ref(&gate))?, Said::Yes(gate))));
                approved.chain([undone]).collect()
            }
            // By hand, after the end.
            None if state.end().is_some() => vec![undone],
            None => Vec::new(),
        };
        decisions.into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    fn say(&mut self, said: Said) -> bool {
        match said {
            Said::Yes(gate) => self.approve(&gate),
            Said::Hold(answer) if self.engine.state().hold().is_some() => self.ask(Ask::Hold { answer, note: None }),
            Said::Hold(_) => {
                self.concluded.push("a rollback was decided".to_owned());
                self.ask(Ask::Rollback { reason: Some("something was undone on the hosts".to_owned()) })
            }
        }
    }

    fn tell_of(&mut self, attempt: AttemptId) {
        let end = self.ledger.get(&attempt).and_then(|record| record.end.clone());
        let never = end.as_ref().is_some_and(|(_, outcome, _)| !outcome.may_have_run());
        if !never && self.told.insert(attempt.clone()) {
            self.tell(Input::AttemptLaunched { attempt });
            return;
        }
        let Some((_, outcome, evidence)) = end else { return };
        self.told.insert(attempt.clone());
        self.ended.insert(attempt.clone());
        self.tell(Input::AttemptEnded { attempt, outcome, evidence });
    }

    /// Records of what was started that the engine has not come to yet.
    fn unexplained(&self) -> Vec<AttemptId> {
        let started = |record: &Remembered| record.end.as_ref().is_none_or(|(_, outcome, _)| outcome.may_have_run());
        let rest = self.ledger.iter().filter(|(attempt, record)| started(record) && !self.told.contains(attempt));
        rest.map(|(attempt, _)| attempt.clone()).collect()
    }

    /// Those of them that go forward, and those that go back; the proof of a rollback goes back.
    fn rest(&self) -> (Vec<AttemptId>, Vec<AttemptId>) {
        let proof = |id: &ActionId| self.graph.after_rollback().iter().any(|action| action.id == *id);
        let forward = |attempt: &AttemptId| !attempt.direction.is_back() && !proof(&attempt.action);
        self.unexplained().into_iter().partition(forward)
    }

    fn step_of(&self, action: &ActionId) -> Option<StepIx> {
        self.graph.find(action).map(|ix| self.graph.action(ix).step)
    }

    /// Whether one of these was started behind the action.
    fn is_before_any(&self, action: &ActionId, rest: &[AttemptId]) -> bool {
        let Some(first) = self.step_of(action) else { return false };
        rest.iter().filter_map(|attempt| self.step_of(&attempt.action)).any(|then| self.reach.before(first, then))
    }

    fn approve(&mut self, gate: &ActionId) -> bool {
        let step = gate.step().to_owned();
        let quorum = self.step_of(gate).and_then(|step| self.graph.step(step).gate.as_ref()).map_or(1, |g| g.quorum);
        self.concluded.push(format!("{step} was approved: what waits for it was started"));
        let name = self.by.name.clone();
        let mut heard = false;
        for n in 0..quorum.max(1) {
            // A quorum is of different people; who they were, no host knows.
            self.by.name = if n == 0 { name.clone() } else { format!("{name} ({})", n + 1) };
            heard |= self.ask(Ask::Approve { gate: Some(step.clone()), defects: Vec::new(), note: None });
        }
        self.by.name = name;
        heard
    }

    /// Gates that wait for an answer.
    fn asking(&self) -> impl Iterator<Item = ActionId> + '_ {
        let state = self.engine.state();
        let open = self.graph.action_ixs().filter(|ix| state.is_asking(*ix));
        open.map(|ix| self.graph.action(ix).id.clone())
    }

    /// What the engine would have started next left no record. On a host that means that it was not started, so a person
    /// must have skipped it, or the run had gone back; a request or a step of the lost controller was done, when something
    /// behind it was started.
    fn conclude(&mut self) -> bool {
        let (forward, _) = self.rest();
        let open = self.engine.state().open_attempts();
        let silent: Vec<AttemptId> = open.filter(|attempt| !self.ledger.contains_key(attempt)).cloned().collect();
        let done = |attempt: &&AttemptId| {
            !attempt.direction.is_back()
                && self.leaves_no_record(attempt)
                && self.is_before_any(&attempt.action, &forward)
        };
        if let Some(attempt) = silent.iter().find(done).cloned() {
            self.concluded.push(format!("{} was done: what waits for it was started", attempt.action));
            self.end_without_record(attempt, Outcome::Succeeded);
            return true;
        }
        let Some(attempt) = silent.into_iter().find(|attempt| !self.leaves_no_record(attempt)) else { return false };
        self.end_without_record(attempt, Outcome::NeverStarted { why: "no host remembers it".to_owned() });
        true
    }

    fn end_without_record(&mut self, attempt: AttemptId, outcome: Outcome) {
        let note = Some("no record of it is left".to_owned());
        self.tell(Input::AttemptEnded { attempt, outcome, evidence: Evidence { note, ..Evidence::default() } });
    }

    /// Lets the next timer of the engine pass: a pause before a retry, a wait. Where that would make a rollback due
    /// although more was started, the window must have been extended.
    fn pass_time(&mut self) -> bool {
        let Some(at) = self.wake.filter(|at| *at <= self.until && self.passed != Some(*at)) else { return false };
        self.passed = Some(at);
        let (forward, _) = self.rest();
        let due = self.engine.state().roll_back_by().is_some_and(|by| by <= at);
        if due && !forward.is_empty() && self.extend() {
            return true;
        }
        self.at = self.at.max(at);
        self.tell(Input::Tick);
        true
    }

    fn extend(&mut self) -> bool {
        let Some(window) = self.engine.state().window().copied() else { return false };
        let agreed = self.engine.state().run().and_then(|run| run.window).map_or(window.closes, |w| w.closes);
        let latest = window.max_extension.and_then(|max| agreed.checked_add(max).ok());
        let Some(closes) = latest.filter(|latest| *latest > window.closes) else { return false };
        self.concluded.push("the window was extended as far as the plan allows".to_owned());
        self.ask(Ask::Extend { closes, granted_by: None, reason: Some("more was started than fits".to_owned()) })
    }

    /// Nobody can tell what became of what the lost controller executed itself.
    fn doubt_the_controller(&mut self) {
        let open = self.engine.state().open_attempts();
        let silent = open.filter(|attempt| !self.ledger.contains_key(attempt));
        let here: Vec<AttemptId> = silent.filter(|attempt| self.only_the_controller_knew(attempt)).cloned().collect();
        for attempt in here {
            let why = "it was to run on the lost controller, which alone would know".to_owned();
            self.concluded.push(format!("{} may have run on the lost controller", attempt.action));
            self.end_without_record(attempt, Outcome::InDoubt { why });
        }
    }

    /// A request by the controller only judges, and is simply made again.
    fn only_the_controller_knew(&self, attempt: &AttemptId) -> bool {
        self.lost_controller && self.engine.site(attempt) == Some(Site::Controller) && !self.is_request(attempt)
    }

    fn is_request(&self, attempt: &AttemptId) -> bool {
        let step = self.step_of(&attempt.action).map(|step| self.graph.step(step));
        step.is_some_and(|step| matches!(step.verb, Verb::Http(_)))
    }

    fn leaves_no_record(&self, attempt: &AttemptId) -> bool {
        self.is_request(attempt) || self.only_the_controller_knew(attempt)
    }
}
