//! A virtual world: hosts with attempt records that survive the engine, people who answer, and an event heap that is
//! the clock. Knows nothing of why the engine asks for what it asks.
//!
//! Determinism: events at the same instant happen in the order in which they were caused. Nothing is drawn here; a
//! [`Script`] decides what each attempt does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::engine::effect::Effect;
use crate::engine::fact::{Actor, Channel};
use crate::engine::input::{Ask, Input, Operator};
use crate::graph::Graph;
use crate::graph::ids::{ActionId, AttemptId, Direction};
use crate::graph::outcome::{Evidence, Outcome};
use crate::graph::parts;

/// What one attempt does when it is executed.
#[derive(Debug, Clone, PartialEq)]
pub struct Fate {
    pub takes: SignedDuration,
    pub outcome: Outcome,
    /// What it leaves on its host.
    pub leaves: Leaves,
    /// It never ends by itself.
    pub hangs: bool,
    /// The host cannot be reached from the start of the attempt for this long.
    pub unreachable_for: Option<SignedDuration>,
    /// What it writes to `$RUNBOOK_OUTPUT`.
    pub outputs: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaves {
    Nothing,
    Half,
    All,
}

impl Fate {
    /// Succeeds after this long.
    #[must_use]
    pub fn succeeds_after(takes: SignedDuration) -> Self {
        Self {
            takes,
            outcome: Outcome::Succeeded,
            leaves: Leaves::All,
            hangs: false,
            unreachable_for: None,
            outputs: BTreeMap::new(),
        }
    }

    /// Ends with exit code 1 after this long, leaving this much behind.
    #[must_use]
    pub fn fails_after(takes: SignedDuration, leaves: Leaves) -> Self {
        Self { outcome: Outcome::Failed { exit: 1 }, leaves, ..Self::succeeds_after(takes) }
    }
}

/// Decides what happens in the world.
pub trait Script {
    /// What this attempt does.
    fn attempt(&mut self, graph: &Graph, attempt: &AttemptId) -> Fate;

    /// How long people think about a gate, and what they say. `None`: nobody answers.
    fn gate(&mut self, graph: &Graph, gate: &ActionId) -> Option<(SignedDuration, Operator)>;
}

/// What a host remembers of an attempt.
#[derive(Debug, Clone)]
struct Record {
    /// When it ends, or ended, by itself; `None` while it hangs.
    ends: Option<Timestamp>,
    fate: Fate,
    /// Ended from outside.
    ended_by_us: Option<(Timestamp, Outcome)>,
}

/// One line of the effects log: what really happened on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectLine {
    pub at: Timestamp,
    pub attempt: AttemptId,
}

#[derive(Debug, Clone, PartialEq)]
enum Happening {
    /// The attempt comes to its own end on its host, whoever watches.
    End(AttemptId),
    Input(Box<Input>),
    Wake,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct World {
    graph: Arc<Graph>,
    events: BTreeMap<(Timestamp, u64), Happening>,
    caused: u64,
    wake: Option<(Timestamp, u64)>,
    records: BTreeMap<AttemptId, Record>,
    /// Attempts that a tombstone made impossible.
    tombstones: BTreeSet<AttemptId>,
    followed: BTreeSet<AttemptId>,
    left_behind: BTreeMap<ActionId, Leaves>,
    log: Vec<EffectLine>,
    asked: BTreeSet<ActionId>,
    /// Hosts that cannot be reached, and until when.
    away: BTreeMap<String, Timestamp>,
}

/// How long the virtual controller waits before it says that a host cannot be reached.
const UNREACHABLE_AFTER: SignedDuration = SignedDuration::from_secs(1);

impl World {
    #[must_use]
    pub fn new(graph: Arc<Graph>) -> Self {
        Self {
            graph,
            events: BTreeMap::new(),
            caused: 0,
            wake: None,
            records: BTreeMap::new(),
            tombstones: BTreeSet::new(),
            followed: BTreeSet::new(),
            left_behind: BTreeMap::new(),
            log: Vec::new(),
            asked: BTreeSet::new(),
            away: BTreeMap::new(),
        }
    }

    /// What actions have left on their hosts and no undo has taken away.
    #[must_use]
    pub fn left_behind(&self) -> &BTreeMap<ActionId, Leaves> {
        &self.left_behind
    }

    /// Every effect, in the order in which it happened.
    #[must_use]
    pub fn effects_log(&self) -> &[EffectLine] {
        &self.log
    }

    /// An input from outside at this instant.
    pub fn at(&mut self, at: Timestamp, input: Input) {
        self.cause(at, Happening::Input(Box::new(input)));
    }

    /// The next thing that the engine is told, and when. `None`: nothing will ever happen again.
    pub fn next_input(&mut self) -> Option<(Timestamp, Input)> {
        loop {
            let ((at, number), happening) = self.events.pop_first()?;
            match happening {
                Happening::Input(input) => return Some((at, *input)),
                Happening::Wake if self.wake == Some((at, number)) => {
                    self.wake = None;
                    return Some((at, Input::Tick));
                }
                Happening::Wake => {}
                Happening::End(attempt) => {
                    if let Some(input) = self.end(&attempt, at) {
                        return Some((at, input));
                    }
                }
            }
        }
    }

    /// Does what the engine asks for.
    pub fn perform(&mut self, now: Timestamp, effect: &Effect, script: &mut dyn Script) {
        match effect {
            Effect::Launch(attempt) => self.launch(now, attempt, script),
            Effect::Probe(attempt) => self.probe(now, attempt),
            Effect::Kill(attempt) => self.kill(now, attempt),
            Effect::WakeAt(at) => {
                self.caused += 1;
                self.wake = Some((*at, self.caused));
                self.events.insert((*at, self.caused), Happening::Wake);
            }
            Effect::Finish => {}
        }
    }

    /// The engine opened a gate: somebody may answer.
    pub fn gate_opened(&mut self, now: Timestamp, gate: &ActionId, script: &mut dyn Script) {
        if !self.asked.insert(gate.clone()) {
            return;
        }
        if let Some((after, operator)) = script.gate(&self.graph, gate) {
            self.at(now + after, Input::Operator(operator));
        }
    }

    /// The controller died: nobody follows anything any more, and what was on its way to the engine is lost. Facts come
    /// before their effects, so what none of the durable ones armed has never been heard of.
    pub fn controller_died(&mut self, armed: &BTreeSet<&AttemptId>) {
        self.records.retain(|attempt, _| armed.contains(attempt));
        self.log.retain(|line| armed.contains(&line.attempt));
        let worked = |a: &&&AttemptId| a.direction == Direction::Do;
        let worked: BTreeSet<&ActionId> = armed.iter().filter(worked).map(|a| &a.action).collect();
        self.left_behind.retain(|action, _| worked.contains(action));
        self.followed.clear();
        self.wake = None;
        let lost = |h: &Happening| match h {
            Happening::Input(input) => !matches!(**input, Input::Operator(_)),
            Happening::Wake => true,
            Happening::End(attempt) => !armed.contains(attempt),
        };
        self.events.retain(|_, h| !lost(h));
    }

    fn cause(&mut self, at: Timestamp, happening: Happening) {
        self.caused += 1;
        self.events.insert((at, self.caused), happening);
    }

    fn launch(&mut self, now: Timestamp, attempt: &AttemptId, script: &mut dyn Script) {
        self.followed.insert(attempt.clone());
        if self.tombstones.contains(attempt) || self.records.contains_key(attempt) {
            return self.probe(now, attempt);
        }
        if self.unreachable_until(attempt, now).is_some() {
            let why = "the virtual host is away".to_string();
            return self.report_end(now + UNREACHABLE_AFTER, attempt, Outcome::NeverStarted { why });
        }
        let fate = script.attempt(&self.graph, attempt);
        if !fate.outcome.may_have_run() {
            return self.report_end(now + fate.takes, attempt, fate.outcome);
        }
        let limit = self.limit(attempt).filter(|limit| fate.hangs || fate.takes > *limit);
        let ends = match limit {
            Some(limit) => Some(now + limit),
            None => (!fate.hangs).then(|| now + fate.takes),
        };
        if fate.leaves != Leaves::Nothing && attempt.direction == Direction::Do {
            self.left_behind.insert(attempt.action.clone(), fate.leaves);
        }
        self.log.push(EffectLine { at: now, attempt: attempt.clone() });
        if let Some(lost) = fate.unreachable_for {
            let until = self.away.entry(attempt.action.host().unwrap_or_default().into()).or_insert(now);
            *until = (*until).max(now + lost);
            let why = "the virtual host is away".to_string();
            self.at(now + UNREACHABLE_AFTER, Input::LinkLost { attempt: attempt.clone(), why });
            self.at(now + lost, Input::LinkRestored { attempt: attempt.clone() });
        } else {
            self.at(now, Input::AttemptLaunched { attempt: attempt.clone() });
        }
        if let Some(ends) = ends {
            self.cause(ends, Happening::End(attempt.clone()));
        }
        let timed_out = limit.and(ends).map(|at| (at, Outcome::TimedOut));
        self.records.insert(attempt.clone(), Record { ends, fate, ended_by_us: timed_out });
    }

    fn limit(&self, attempt: &AttemptId) -> Option<SignedDuration> {
        let plan = self.graph.plan();
        let step = plan.steps.get(attempt.action.step()).or(plan.after_rollback.as_ref())?;
        parts::limit(step, attempt.direction)
    }

    /// The attempt's own end: its effects become final, and whoever follows it is told.
    fn end(&mut self, attempt: &AttemptId, at: Timestamp) -> Option<Input> {
        let record = self.records.get(attempt)?;
        let (outcome, _) = self.outcome_at(record, at)?;
        if attempt.direction == Direction::Undo && outcome.is_success() {
            self.left_behind.remove(&attempt.action);
        }
        if let Some(back) = self.unreachable_until(attempt, at) {
            self.cause(back, Happening::End(attempt.clone()));
            return None;
        }
        self.followed.remove(attempt).then(|| self.ended(attempt, outcome))
    }

    fn ended(&self, attempt: &AttemptId, outcome: Outcome) -> Input {
        let outputs = match (outcome.is_success(), self.records.get(attempt)) {
            (true, Some(r)) => r.fate.outputs.clone(),
            _ => BTreeMap::new(),
        };
        Input::AttemptEnded { attempt: attempt.clone(), outcome, evidence: Evidence { outputs, ..Evidence::default() } }
    }

    fn outcome_at(&self, record: &Record, at: Timestamp) -> Option<(Outcome, Timestamp)> {
        match (&record.ended_by_us, record.ends) {
            (Some((when, outcome)), _) if *when <= at => Some((outcome.clone(), *when)),
            (None, Some(ends)) if ends <= at => Some((record.fate.outcome.clone(), ends)),
            _ => None,
        }
    }

    fn unreachable_until(&self, attempt: &AttemptId, now: Timestamp) -> Option<Timestamp> {
        self.away.get(attempt.action.host()?).copied().filter(|until| *until > now)
    }

    fn probe(&mut self, now: Timestamp, attempt: &AttemptId) {
        if self.unreachable_until(attempt, now).is_some() {
            return self.report_unreachable(now, attempt);
        }
        let Some(record) = self.records.get(attempt) else {
            self.tombstones.insert(attempt.clone());
            return self.report_end(now, attempt, Outcome::NeverStarted { why: "nothing had reached the host".into() });
        };
        match self.outcome_at(record, now) {
            Some((outcome, _)) => self.report_end(now, attempt, outcome),
            None => {
                self.followed.insert(attempt.clone());
                self.at(now, Input::AttemptLaunched { attempt: attempt.clone() });
            }
        }
    }

    fn kill(&mut self, now: Timestamp, attempt: &AttemptId) {
        if self.unreachable_until(attempt, now).is_some() {
            return self.report_unreachable(now, attempt);
        }
        let running = self.records.get(attempt).is_some_and(|r| self.outcome_at(r, now).is_none());
        if running && let Some(record) = self.records.get_mut(attempt) {
            record.ended_by_us = Some((now, Outcome::Cancelled));
        }
        self.probe(now, attempt);
    }

    fn report_unreachable(&mut self, now: Timestamp, attempt: &AttemptId) {
        let why = "the virtual host is away".to_string();
        self.at(now + UNREACHABLE_AFTER, Input::Unreachable { attempt: attempt.clone(), why });
    }

    fn report_end(&mut self, at: Timestamp, attempt: &AttemptId, outcome: Outcome) {
        self.followed.remove(attempt);
        let input = self.ended(attempt, outcome);
        self.at(at, input);
    }
}

/// A person at a terminal.
#[must_use]
pub fn person(name: &str, ask: Ask) -> Operator {
    Operator { by: Actor { name: name.into(), channel: Channel::Cli }, ask }
}
