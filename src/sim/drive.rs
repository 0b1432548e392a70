//! The drive loop of the simulator: the engine on one side, the virtual world on the other. Knows no real time.
//!
//! The same order as the real driver: append the facts, then perform the effects.

use std::sync::Arc;

use jiff::Timestamp;

use super::world::{Script, World};
use crate::engine::Engine;
use crate::engine::effect::Effect;
use crate::engine::fact::{Actor, Channel, FORMAT, Fact, FactRecord, RunEnd, RunOptions, RunStarted, WindowInstants};
use crate::engine::input::Input;
use crate::graph::Graph;
use crate::graph::ids::AttemptId;
use crate::graph::outcome::{Evidence, Outcome};
use crate::plan::model::{Opening, Plan};
use crate::schedule::Past;

/// A simulated run.
pub struct Simulation<'a> {
    pub engine: Engine,
    pub world: World,
    pub journal: Vec<FactRecord>,
    pub now: Timestamp,
    graph: Arc<Graph>,
    script: &'a mut dyn Script,
    keep_journal: bool,
    renders: bool,
    facts: u64,
}

impl std::fmt::Debug for Simulation<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulation").field("now", &self.now).field("facts", &self.facts).finish_non_exhaustive()
    }
}

/// Why a simulation stopped before its run had ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stopped {
    #[error("nothing is left that could happen, and the run has not ended")]
    Hangs,
    #[error("the run did not end within {0} events")]
    TooLong(u64),
}

impl<'a> Simulation<'a> {
    /// Arms a run at `now`.
    pub fn start(graph: Arc<Graph>, started: RunStarted, now: Timestamp, script: &'a mut dyn Script) -> Self {
        let mut sim = Self {
            engine: Engine::new(graph.clone()),
            world: World::new(graph.clone()),
            journal: Vec::new(),
            now,
            graph,
            script,
            keep_journal: true,
            renders: false,
            facts: 0,
        };
        sim.turn(Input::Start(Box::new(started)));
        sim
    }

    /// Large plans need no journal to be drawn.
    #[must_use]
    pub fn without_journal(mut self) -> Self {
        self.keep_journal = false;
        self.journal.clear();
        self
    }

    /// Renders what is started, as the night would: what cannot be rendered never starts.
    #[must_use]
    pub const fn rendering(mut self) -> Self {
        self.renders = true;
        self
    }

    /// Goes on until the run ends.
    ///
    /// # Errors
    /// When nothing can happen any more, or after `most` events.
    pub fn run(&mut self, most: u64) -> Result<RunEnd, Stopped> {
        for _ in 0..most {
            if let Some(end) = self.engine.state().end() {
                return Ok(end.clone());
            }
            if !self.step() {
                return Err(Stopped::Hangs);
            }
        }
        Err(Stopped::TooLong(most))
    }

    /// One event. False when nothing is left that could happen.
    pub fn step(&mut self) -> bool {
        let Some((at, input)) = self.world.next_input() else { return false };
        self.now = self.now.max(at);
        self.turn(input);
        true
    }

    /// Tells the engine something now.
    pub fn turn(&mut self, input: Input) {
        let turn = self.engine.handle(self.now, input);
        for fact in &turn.facts {
            self.facts += 1;
            if let Fact::GateOpened { action, .. } = fact {
                self.world.gate_opened(self.now, action, self.script);
            }
            if self.keep_journal {
                self.journal.push(FactRecord { seq: self.facts, at: self.now, fact: fact.clone() });
            }
        }
        for effect in &turn.effects {
            match effect {
                Effect::Launch(attempt) if self.renders => self.launch(attempt),
                _ => self.world.perform(self.now, effect, self.script),
            }
        }
    }

    fn launch(&mut self, attempt: &AttemptId) {
        match self.engine.job(attempt) {
            Ok(_) => self.world.perform(self.now, &Effect::Launch(attempt.clone()), self.script),
            Err(why) => {
                let outcome = Outcome::NeverStarted { why: why.to_string() };
                let (attempt, evidence) = (attempt.clone(), Evidence::default());
                self.world.at(self.now, Input::AttemptEnded { attempt, outcome, evidence });
            }
        }
    }

    /// Kills the controller with only the first `kept` facts durable, and lets another one resume.
    ///
    /// # Panics
    /// When the kept facts are no legal journal: a defect of the engine.
    pub fn crash_and_resume(&mut self, kept: usize) {
        self.journal.truncate(kept);
        self.facts = kept as u64;
        let armed = self.journal.iter().filter_map(|record| match &record.fact {
            Fact::AttemptArmed { attempt } => Some(attempt),
            _ => None,
        });
        self.world.controller_died(&armed.collect());
        self.engine = Engine::replay(self.graph.clone(), &self.journal).expect("a prefix of a journal is a journal");
        let by = Actor { name: "the next controller".into(), channel: Channel::Cli };
        self.turn(Input::Resumed { by, epoch: 2 });
    }

    /// Number of facts so far.
    #[must_use]
    pub const fn facts(&self) -> u64 {
        self.facts
    }
}

/// The first fact of a simulated run of this plan, opening at `opens`.
#[must_use]
pub fn started(graph: &Graph, window: Option<WindowInstants>, options: RunOptions) -> RunStarted {
    let plan = graph.plan();
    RunStarted {
        format: FORMAT,
        run: format!("{}-sim", plan.stem),
        plan: plan.stem.clone(),
        title: plan.name.clone(),
        file: String::new(),
        digest: String::new(),
        by: Actor::engine(),
        controller: "simulator".into(),
        timezone: plan.timezone.clone(),
        window,
        options,
        seed: 0,
        actions: graph.actions().len() as u32,
        steps: graph.step_count() as u32,
        order: None,
        past: Past::default(),
        baseline: Default::default(),
    }
}

/// The plan's window as instants; one that opens when it is started opens at `now`.
#[must_use]
pub fn window_instants(plan: &Plan, now: Timestamp) -> Option<WindowInstants> {
    let w = plan.window.as_ref()?;
    let (opens, closes) = match w.opening {
        Opening::At { opens, closes } => (opens, closes),
        Opening::WhenStarted { lasts } => (now, now.checked_add(lasts).unwrap_or(Timestamp::MAX)),
    };
    Some(WindowInstants {
        opens,
        closes,
        reserve: w.reserve,
        max_extension: w.max_extension,
        on_deadline: w.on_deadline,
    })
}
