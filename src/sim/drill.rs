//! The drill: every action fails in every way, one at a time, on the real engine and a virtual clock. Knows no host.
//!
//! What works takes as long as expected, what is undone takes its worst, and nobody answers a hold: what ends well here
//! ends well without help. Rollback commands are rendered as they would be in the night, so that one which needs what a
//! failed step never wrote is found.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::drive::{Simulation, Stopped, started, window_instants};
use super::world::{Fate, Leaves, Script, person};
use crate::engine::fact::{Fact, FactRecord, RunEnd, RunOptions};
use crate::engine::input::{Ask, Operator};
use crate::engine::invariants::violations;
use crate::graph::ids::{ActionId, AttemptId, Direction};
use crate::graph::job::Site;
use crate::graph::outcome;
use crate::graph::{Graph, StepIx};
use crate::plan::model::{Step, Undo};

/// A way to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// It fails at once and has done nothing.
    Before,
    /// It fails with half of its work done.
    Half,
    /// It fails although all of its work is done.
    After,
    /// It never ends by itself.
    Hangs,
    /// Its host is gone for the rest of the night.
    HostLost,
    /// The controller dies while it runs, and another one resumes.
    ControllerKilled,
    /// It fails, and so does its rollback, each time.
    RollbackFails,
    /// A gate: the answer is no.
    Rejected,
    /// A gate: nobody answers.
    Unanswered,
    /// A test that was red before the night fails in it, too, and nobody answers the hold.
    RedBefore,
}

impl Fault {
    pub const ALL: [Self; 10] = [
        Self::Before,
        Self::Half,
        Self::After,
        Self::Hangs,
        Self::HostLost,
        Self::ControllerKilled,
        Self::RollbackFails,
        Self::Rejected,
        Self::Unanswered,
        Self::RedBefore,
    ];

    /// As `--json` names it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Before => "fails_before",
            Self::Half => "fails_half",
            Self::After => "fails_after",
            Self::Hangs => "hangs",
            Self::HostLost => "host_lost",
            Self::ControllerKilled => "controller_killed",
            Self::RollbackFails => "rollback_fails",
            Self::Rejected => "rejected",
            Self::Unanswered => "unanswered",
            Self::RedBefore => "red_before",
        }
    }

    /// Whether this can happen to an action of the step. What changes nothing can only fail as a whole.
    fn can_happen(self, step: &Step, site: Option<&Site>) -> bool {
        let executes = site.is_some();
        match self {
            Self::Before | Self::Hangs | Self::ControllerKilled => executes,
            // The controller's own machine is lost together with it.
            Self::HostLost => matches!(site, Some(Site::Host(_))),
            Self::Half | Self::After => executes && step.changes_something(),
            Self::RollbackFails => executes && step.rollback().is_some(),
            Self::Rejected | Self::Unanswered => step.gate.is_some(),
            Self::RedBefore => executes && step.baseline,
        }
    }
}

/// How the night ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// Every step is done.
    Done,
    RolledBack,
    /// Nothing had been changed yet.
    Rejected,
    /// A person has to finish the rollback; these actions are left.
    Stuck(BTreeMap<ActionId, String>),
    /// There is no way back any more, and a person has to decide how to go on.
    Held,
    /// The engine broke one of its promises.
    Broken(Vec<String>),
}

/// What a case means for the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It ended well by itself, in time.
    Clean,
    /// It needs a person, as this fault does by its nature; everything that is left is listed.
    Contained,
    /// The plan can do better: it ended too late, or needs a person where none should be needed.
    Bad,
}

/// One night with one fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    pub action: ActionId,
    pub fault: Fault,
    pub ended: Ended,
    /// When the night was over.
    pub at: Timestamp,
    /// After the window had closed.
    pub late: bool,
    /// Hosts on which something of this night is left that was not meant to stay.
    pub touched: BTreeSet<String>,
}

impl Case {
    #[must_use]
    pub const fn verdict(&self) -> Verdict {
        match (&self.ended, self.fault) {
            (Ended::Broken(_), _) => Verdict::Bad,
            (Ended::Stuck(_), Fault::HostLost | Fault::RollbackFails) | (Ended::Held, _) => Verdict::Contained,
            (Ended::Stuck(_), _) => Verdict::Bad,
            (Ended::Done | Ended::RolledBack | Ended::Rejected, _) if self.late => Verdict::Bad,
            (Ended::Done | Ended::RolledBack | Ended::Rejected, _) => Verdict::Clean,
        }
    }
}

/// All nights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drill {
    /// In the order of the plan's steps, hosts and faults.
    pub cases: Vec<Case>,
    /// Actions that change something and are not irreversible, and how many of them were undone at least once.
    pub undoable: usize,
    pub undone: usize,
}

/// Plays all of them, each from `opens` on.
#[must_use]
pub fn drill(graph: &Arc<Graph>, opens: Timestamp) -> Drill {
    let mut cases = Vec::new();
    let mut undone = BTreeSet::new();
    for action in graph.actions() {
        let step = graph.step(action.step);
        for fault in Fault::ALL.into_iter().filter(|f| f.can_happen(step, action.site.as_ref())) {
            let (case, journal) = play(graph, opens, &action.id, fault);
            undone.extend(successful_undos(&journal));
            cases.push(case);
        }
    }
    let to_undo = |s: StepIx| graph.step(s).changes_something() && !matches!(graph.step(s).undo, Undo::Irreversible(_));
    let undoable = graph.actions().iter().filter(|a| to_undo(a.step)).count();
    Drill { cases, undoable, undone: undone.len() }
}

fn play(graph: &Arc<Graph>, opens: Timestamp, target: &ActionId, fault: Fault) -> (Case, Vec<FactRecord>) {
    let mut script = OneFault { target, fault };
    let window = window_instants(graph.plan(), opens);
    // Only where somebody could be asked, what was red before asks.
    let no_input = fault != Fault::RedBefore;
    let mut first = started(graph, window, RunOptions { no_input, ..RunOptions::default() });
    if fault == Fault::RedBefore {
        first.baseline.insert(target.clone(), outcome::Verdict::Fail);
    }
    let mut sim = Simulation::start(graph.clone(), first, opens, &mut script).rendering();
    if fault == Fault::ControllerKilled {
        let runs = |r: &FactRecord| matches!(&r.fact, Fact::AttemptLaunched { attempt } if attempt.action == *target);
        while !sim.journal.iter().any(runs) && sim.step() {}
        sim.crash_and_resume(sim.journal.len());
    }
    let end = sim.run(100 * (graph.actions().len() as u64 + 10));
    let ended = ended(graph, &sim, end, target, fault);
    let late = window.is_some_and(|w| sim.now > w.closes);
    let touched = touched(graph, &sim, &ended);
    (Case { action: target.clone(), fault, ended, at: sim.now, late, touched }, sim.journal)
}

fn ended(graph: &Graph, sim: &Simulation<'_>, end: Result<RunEnd, Stopped>, target: &ActionId, fault: Fault) -> Ended {
    let mut broken = violations(graph, &sim.journal);
    broken.extend(wrong_action(sim, target, fault));
    if !was_reached(sim, target, fault) {
        broken.push(format!("the night was over before {target} could fail"));
    }
    if !broken.is_empty() {
        return Ended::Broken(broken);
    }
    match end {
        Ok(RunEnd::Succeeded { .. }) => Ended::Done,
        Ok(RunEnd::RolledBack { .. }) => Ended::RolledBack,
        Ok(RunEnd::Rejected) => Ended::Rejected,
        Ok(RunEnd::Stuck { .. }) if past_a_horizon(&sim.journal) => Ended::Held,
        Ok(RunEnd::Stuck { actions }) => Ended::Stuck(actions),
        Err(_) if sim.engine.state().hold().is_some() => Ended::Held,
        Err(stopped) => Ended::Broken(vec![stopped.to_string()]),
    }
}

/// Whether undos had expired when it ended, so that nothing was rolled back.
fn past_a_horizon(journal: &[FactRecord]) -> bool {
    let crossed = journal.iter().rev().find_map(|r| match &r.fact {
        Fact::RollbackDecided { .. } | Fact::HorizonKept { .. } => Some(false),
        Fact::HorizonCrossed { .. } => Some(true),
        _ => None,
    });
    crossed == Some(true)
}

/// The action that failed must be the one that was made to fail; a lost host takes what else runs there with it.
fn wrong_action(sim: &Simulation<'_>, target: &ActionId, fault: Fault) -> Option<String> {
    let same = |a: &ActionId| a == target || (fault == Fault::HostLost && a.host() == target.host());
    let other = sim.journal.iter().find_map(|r| match &r.fact {
        Fact::ActionFailed { action, .. } if !same(action) => Some(action),
        _ => None,
    })?;
    Some(format!("{other} failed, and {target} was made to"))
}

/// Whether the fault really took place. What is skipped cannot fail.
fn was_reached(sim: &Simulation<'_>, target: &ActionId, fault: Fault) -> bool {
    sim.journal.iter().any(|r| match &r.fact {
        Fact::ActionSkipped { action, .. } => action == target,
        Fact::GateOpened { action, .. } => {
            matches!(fault, Fault::Rejected | Fault::Unanswered) && action.step() == target.step()
        }
        Fact::AttemptLaunched { attempt } => fault == Fault::ControllerKilled && attempt.action == *target,
        Fact::AttemptEnded { attempt, outcome, .. } => attempt.action == *target && !outcome.is_success(),
        _ => false,
    })
}

/// Where something is left: after success what was made is meant to stay.
fn touched(graph: &Graph, sim: &Simulation<'_>, ended: &Ended) -> BTreeSet<String> {
    if matches!(ended, Ended::Done | Ended::Held) {
        return BTreeSet::new();
    }
    let left = sim.world.left_behind().keys();
    let left = left.filter(|id| graph.find(id).is_some_and(|ix| graph.step_of(ix).changes_something()));
    left.map(|id| id.host().unwrap_or("this machine").to_owned()).collect()
}

fn successful_undos(journal: &[FactRecord]) -> impl Iterator<Item = ActionId> + '_ {
    journal.iter().filter_map(|r| match &r.fact {
        Fact::AttemptEnded { attempt, outcome, .. } if attempt.direction == Direction::Undo && outcome.is_success() => {
            Some(attempt.action.clone())
        }
        _ => None,
    })
}

/// Everything goes well, except for one action.
struct OneFault<'a> {
    target: &'a ActionId,
    fault: Fault,
}

impl OneFault<'_> {
    fn fine(graph: &Graph, attempt: &AttemptId) -> Fate {
        let plan = graph.plan();
        let Some(step) = plan.steps.get(attempt.action.step()).or(plan.after_rollback.as_ref()) else {
            return Fate::succeeds_after(SignedDuration::ZERO);
        };
        let mut fate = Fate::succeeds_after(match attempt.direction {
            Direction::Do if step.gate.is_none() => step.estimate_or_zero().expected,
            Direction::Undo => step.rollback().map_or(SignedDuration::ZERO, |r| r.estimate.worst),
            _ => SignedDuration::ZERO,
        });
        fate.outputs = step.outputs.iter().map(|name| (name.clone(), name.clone())).collect();
        fate
    }
}

impl Script for OneFault<'_> {
    fn attempt(&mut self, graph: &Graph, attempt: &AttemptId) -> Fate {
        let fine = Self::fine(graph, attempt);
        if attempt.action != *self.target {
            return fine;
        }
        let night = SignedDuration::from_hours(24 * 30);
        match (self.fault, attempt.direction) {
            (Fault::Before | Fault::RedBefore, Direction::Do) => {
                Fate::fails_after(SignedDuration::ZERO, Leaves::Nothing)
            }
            (Fault::Half, Direction::Do) => Fate::fails_after(fine.takes, Leaves::Half),
            (Fault::After | Fault::RollbackFails, Direction::Do) => Fate::fails_after(fine.takes, Leaves::All),
            (Fault::Hangs, Direction::Do) => Fate { hangs: true, ..fine },
            (Fault::HostLost, Direction::Do) => Fate { unreachable_for: Some(night), ..fine },
            (Fault::RollbackFails, Direction::Undo) => Fate::fails_after(fine.takes, Leaves::All),
            _ => fine,
        }
    }

    fn gate(&mut self, graph: &Graph, gate: &ActionId) -> Option<(SignedDuration, Operator)> {
        let takes = graph.plan().steps.get(gate.step()).map_or(SignedDuration::ZERO, |s| s.estimate_or_zero().expected);
        let name = Some(gate.step().to_owned());
        let ask = match self.fault {
            Fault::Unanswered if gate.step() == self.target.step() => return None,
            Fault::Rejected if gate.step() == self.target.step() => Ask::Reject { gate: name, note: None },
            _ => Ask::Approve { gate: name, defects: Vec::new(), note: None },
        };
        Some((takes, person("the drill", ask)))
    }
}
