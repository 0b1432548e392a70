//! Everything that is true of a run, and the questions that can be asked of it. Decides nothing; `apply` changes it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::fact::{HoldAnswer, HoldReason, RollbackCause, RunEnd, RunStarted, WindowInstants};
use super::fleet::Service;
use super::horizon::Horizons;
pub use super::life::{ActionState, Doing};
use super::readiness::{ranks, without_place};
use crate::graph::ids::{ActionId, AttemptId};
use crate::graph::render::Outputs;
use crate::graph::{ActionIx, Graph, StepIx};
use crate::plan::model::{OnFailure, OnStop};
use crate::schedule::RollbackCost;

/// Where a run stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    /// No fact yet. Next: `Waiting`.
    New,
    /// Armed; the window has not opened. Next: `Forward`, `RollingBack` (by a person), `Ended`.
    Waiting,
    /// Doing. `reversible` ends with the last gate's approval or an irreversible step. Next: `RollingBack`, `Ended`.
    Forward { reversible: bool },
    /// Undoing. Never goes back to `Forward`. Next: `Ended`.
    RollingBack { cause: RollbackCause, since: Timestamp },
    /// Terminal, but for a rollback by hand.
    Ended(RunEnd),
}

/// Nothing new starts while a hold is open.
#[derive(Debug, Clone, PartialEq)]
pub struct Hold {
    pub reason: HoldReason,
    pub since: Timestamp,
    pub limit: Option<Timestamp>,
    pub default: HoldAnswer,
}

impl Hold {
    /// Whether it waits for somebody to undo this very action by hand.
    pub(super) fn concerns(&self, id: &ActionId) -> bool {
        matches!(&self.reason, HoldReason::ManualUndo { action, .. } if action == id)
    }
}

/// When something must be looked at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    Retry,
    Wait,
    /// In a rehearsal with nobody to ask, a gate answers itself.
    StandIn,
    AnswerBy,
    Late,
    /// The controller's own limit for an attempt whose host stays silent.
    Limit,
}

#[derive(Debug, Clone)]
pub(super) struct StepTally {
    /// Steps whose barrier is still closed: needs, and those that the order puts before.
    pub(super) needs_left: u32,
    pub(super) satisfied: u32,
    pub(super) places: u32,
    /// Hosts that have failed, and how many of them people have said to go on with beyond what is allowed.
    pub(super) failed: u32,
    pub(super) forgiven: u32,
    /// Place in the order under limits: longest remaining path first, ties in the plan's order.
    pub(super) rank: u32,
    /// Actions that must be proven dead and undone before this step lets go of what it needs.
    pub(super) undo_left: u32,
    /// Dependants (and later users of a shared resource) that are not settled yet.
    pub(super) undo_blockers: u32,
}

/// A fact that does not fit the facts before it: the journal is not of this plan, or not of this program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("fact {seq} ({what}) does not fit the facts before it: {why}")]
pub struct IllegalFact {
    pub seq: u64,
    pub what: String,
    pub why: String,
}

#[derive(Debug, Clone)]
pub struct State {
    pub(super) graph: Arc<Graph>,
    pub(super) seq: u64,
    pub(super) run: Option<Box<RunStarted>>,
    pub(super) phase: Phase,
    pub(super) window: Option<WindowInstants>,
    pub(super) actions: Vec<ActionState>,
    /// The `after_rollback` test, per host.
    pub(super) after: BTreeMap<ActionId, ActionState>,
    pub(super) steps: Vec<StepTally>,
    pub(super) satisfied: usize,
    pub(super) outputs: Outputs,
    pub(super) hold: Option<Hold>,
    pub(super) cost: RollbackCost,
    /// Waiting actions of steps whose needs are met, by rank.
    pub(super) ready: BTreeMap<(u32, StepIx), BTreeSet<ActionIx>>,
    /// By step: the steps that wait for it because they take over what it holds. Empty where the run has no order.
    pub(super) let_go: Vec<Vec<StepIx>>,
    /// Steps that need no place among those that run (gates, waits), or may be skipped; by rank.
    pub(super) without_place: Vec<StepIx>,
    /// Actions whose state asks for a decision.
    pub(super) undecided: BTreeSet<ActionIx>,
    /// Failed for good and nothing was decided about it yet.
    pub(super) asking: BTreeMap<ActionIx, OnFailure>,
    /// Failed, and a person said to try them again: they need not wait for the answer about what else has failed.
    pub(super) tried_again: BTreeSet<ActionIx>,
    /// Begun and not over.
    pub(super) open: BTreeSet<ActionIx>,
    /// Those of them with an open attempt of the work.
    pub(super) going_forward: BTreeSet<ActionIx>,
    /// How many of the open ones execute something.
    pub(super) places: u32,
    pub(super) timers: BTreeSet<(Timestamp, ActionIx, Timer)>,
    pub(super) resources_used: BTreeMap<String, u32>,
    pub(super) service: Service,
    pub(super) horizons: Horizons,
    /// A person said stop: what runs ends, and then the run.
    pub(super) stopping: bool,
    /// Steps whose undos may start, as long as some have not.
    pub(super) undoable: BTreeSet<StepIx>,
    /// Per step, the actions whose undo has not begun.
    pub(super) undo_queue: BTreeMap<StepIx, BTreeSet<ActionIx>>,
    /// Actions that must still be undone, or proven dead.
    pub(super) undo_left: usize,
    /// Actions whose latest attempt is in doubt.
    pub(super) in_doubt: BTreeSet<ActionIx>,
    /// Running steps are ended then, so that their rollback still fits.
    pub(super) kill_by: Option<Timestamp>,
    /// `on_deadline: ask` has asked.
    pub(super) deadline_asked: bool,
    /// How likely it was, in percent, when `ask_below` asked last.
    pub(super) unlikely_asked: Option<u8>,
    pub(super) roll_back_by_shown: Option<Timestamp>,
    pub(super) room_warned: Option<SignedDuration>,
    /// Gates whose people were called, and for when.
    pub(super) called: BTreeMap<StepIx, Timestamp>,
    pub(super) epoch: u64,
    /// Whether any step of the plan must never be killed.
    pub(super) protects: bool,
    pub(super) attempts_armed: u64,
}

impl State {
    /// Before the first fact.
    #[must_use]
    pub fn new(graph: Arc<Graph>) -> Self {
        let cost = RollbackCost::new(&graph);
        let rank = ranks(&graph);
        let steps = graph.step_ixs().map(|s| StepTally {
            needs_left: graph.all_needs(s).count() as u32,
            satisfied: 0,
            places: 0,
            failed: 0,
            forgiven: 0,
            rank: rank[s.index()],
            undo_left: 0,
            undo_blockers: 0,
        });
        let after = graph.after_rollback().iter().map(|a| (a.id.clone(), ActionState::new()));
        Self {
            seq: 0,
            run: None,
            phase: Phase::New,
            window: None,
            actions: vec![ActionState::new(); graph.actions().len()],
            after: after.collect(),
            steps: steps.collect(),
            satisfied: 0,
            outputs: Outputs::default(),
            hold: None,
            cost,
            ready: BTreeMap::new(),
            undecided: BTreeSet::new(),
            asking: BTreeMap::new(),
            tried_again: BTreeSet::new(),
            let_go: Vec::new(),
            without_place: without_place(&graph, &rank),
            open: BTreeSet::new(),
            going_forward: BTreeSet::new(),
            places: 0,
            timers: BTreeSet::new(),
            resources_used: BTreeMap::new(),
            service: Service::new(&graph),
            horizons: Horizons::new(&graph),
            stopping: false,
            undoable: BTreeSet::new(),
            undo_queue: BTreeMap::new(),
            undo_left: 0,
            in_doubt: BTreeSet::new(),
            kill_by: None,
            deadline_asked: false,
            unlikely_asked: None,
            roll_back_by_shown: None,
            room_warned: None,
            called: BTreeMap::new(),
            epoch: 0,
            protects: graph.plan().steps.values().any(|s| s.on_stop == OnStop::Protect),
            attempts_armed: 0,
            graph,
        }
    }

    // ---- questions

    #[must_use]
    pub fn graph(&self) -> &Arc<Graph> {
        &self.graph
    }

    /// Number of facts applied.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    #[must_use]
    pub const fn phase(&self) -> &Phase {
        &self.phase
    }

    #[must_use]
    pub fn end(&self) -> Option<&RunEnd> {
        match &self.phase {
            Phase::Ended(end) => Some(end),
            _ => None,
        }
    }

    /// What the first fact said. `None` only before it.
    #[must_use]
    pub fn run(&self) -> Option<&RunStarted> {
        self.run.as_deref()
    }

    /// The window as it stands now, extensions included.
    #[must_use]
    pub const fn window(&self) -> Option<&WindowInstants> {
        self.window.as_ref()
    }

    #[must_use]
    pub const fn hold(&self) -> Option<&Hold> {
        self.hold.as_ref()
    }

    #[must_use]
    pub fn action(&self, ix: ActionIx) -> &ActionState {
        &self.actions[ix.index()]
    }

    /// The `after_rollback` actions.
    #[must_use]
    pub const fn after(&self) -> &BTreeMap<ActionId, ActionState> {
        &self.after
    }

    /// *Rollback now*.
    #[must_use]
    pub fn rollback_now(&self) -> SignedDuration {
        self.cost.now()
    }

    /// *Roll back by*: closes - reserve - rollback now. `None` without a window, and where there is no way back.
    #[must_use]
    pub fn roll_back_by(&self) -> Option<Timestamp> {
        match self.phase {
            Phase::Waiting | Phase::Forward { reversible: true } if !self.is_crossed() => {
                self.start_of(self.cost.now())
            }
            _ => None,
        }
    }

    /// When a rollback of this length must start to end inside the window.
    pub(super) fn start_of(&self, rollback: SignedDuration) -> Option<Timestamp> {
        let w = self.window.as_ref()?;
        w.closes.checked_sub(w.reserve).and_then(|t| t.checked_sub(rollback)).ok()
    }

    #[must_use]
    pub(super) fn all_satisfied(&self) -> bool {
        self.satisfied == self.actions.len()
    }

    pub(super) fn undecided(&self) -> impl Iterator<Item = ActionIx> + use<> {
        self.undecided.clone().into_iter()
    }

    /// The next timer that can lead to anything: while the run is held, no further try starts, however long it is due.
    pub(super) fn first_timer(&self) -> Option<(Timestamp, ActionIx, Timer)> {
        self.timers.iter().find(|(_, ix, timer)| *timer != Timer::Retry || !self.holds_retry_of(*ix)).copied()
    }

    /// Whether an open hold keeps the next try of an action from starting. In a rollback only a pause does.
    pub(super) fn holds_retry_of(&self, ix: ActionIx) -> bool {
        if self.is_rolling_back() {
            return self.rollback_is_paused();
        }
        self.hold.is_some() && !(self.tried_again.contains(&ix) && self.is_held_by_failures())
    }

    fn is_held_by_failures(&self) -> bool {
        self.hold.as_ref().is_some_and(|hold| matches!(hold.reason, HoldReason::Failed { .. }))
    }

    /// What people said to try again, and has not begun, while other failures wait for an answer.
    pub(super) fn to_try_again(&self) -> Vec<ActionIx> {
        self.tried_again.iter().copied().filter(|ix| self.may_try_again(*ix)).collect()
    }

    pub(super) fn may_try_again(&self, ix: ActionIx) -> bool {
        let open = self.is_forward() && !self.stopping && self.is_held_by_failures();
        open && self.action(ix).doing == Doing::Waiting
    }

    pub(super) fn rollback_is_paused(&self) -> bool {
        self.hold.as_ref().is_some_and(|hold| matches!(hold.reason, HoldReason::RollbackPaused { .. }))
    }

    pub(super) fn due(&self, now: Timestamp) -> Vec<(ActionIx, Timer)> {
        self.timers.iter().take_while(|(at, ..)| *at <= now).map(|(_, ix, t)| (*ix, *t)).collect()
    }

    /// The ready step that follows `after` in the order of the start; the first one when there is no `after`.
    pub(super) fn next_ready(&self, after: Option<StepIx>) -> Option<StepIx> {
        let from = after.map_or(Bound::Unbounded, |step| Bound::Excluded((self.steps[step.index()].rank, step)));
        self.ready.range((from, Bound::Unbounded)).next().map(|((_, step), _)| *step)
    }

    /// Ready steps that need no place among those that run, or may turn out to be skipped.
    pub(super) fn ready_without_place(&self) -> Vec<StepIx> {
        let ready = |step: &&StepIx| self.ready.contains_key(&(self.steps[step.index()].rank, **step));
        self.without_place.iter().filter(ready).copied().collect()
    }

    /// The ready action of a step after this one; the first one when there is no `after`.
    pub(super) fn ready_after(&self, step: StepIx, after: Option<ActionIx>) -> Option<ActionIx> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.ready.get(&(self.steps[step.index()].rank, step))?.range((from, Bound::Unbounded)).next().copied()
    }

    pub(super) fn undoable(&self) -> Vec<StepIx> {
        self.undoable.iter().copied().collect()
    }

    /// The action after `after` whose undo has not begun; the first one when there is no `after`.
    pub(super) fn next_undo(&self, step: StepIx, after: Option<ActionIx>) -> Option<ActionIx> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.undo_queue.get(&step)?.range((from, Bound::Unbounded)).next().copied()
    }

    /// How many actions must still be undone, or proven dead.
    #[must_use]
    pub const fn left_to_undo(&self) -> usize {
        self.undo_left
    }

    /// What is neither undone nor certainly untouched.
    pub fn not_undone(&self) -> impl Iterator<Item = ActionIx> + '_ {
        self.graph.action_ixs().filter(|ix| self.actions[ix.index()].to_undo)
    }

    pub(super) fn places_in(&self, step: StepIx) -> usize {
        self.steps[step.index()].places as usize
    }

    pub(super) fn resource_used(&self, name: &str) -> u32 {
        self.resources_used.get(name).copied().unwrap_or(0)
    }

    /// Attempts without an outcome, and attempts whose outcome is in doubt.
    pub fn open_attempts(&self) -> impl Iterator<Item = &AttemptId> {
        let all = self.actions.iter().chain(self.after.values());
        all.filter_map(|a| a.open_attempt().or(a.doubt.as_ref()))
    }

    /// Whether it is a test that failed before the night already.
    pub(super) fn was_red(&self, ix: ActionIx) -> bool {
        self.run.as_ref().is_some_and(|r| r.red_before(&self.graph.action(ix).id))
    }

    pub(super) fn no_input(&self) -> bool {
        self.run.as_ref().is_some_and(|r| r.options.no_input)
    }

    pub(super) fn reversible(&self) -> bool {
        matches!(self.phase, Phase::Forward { reversible: true } | Phase::Waiting) && !self.is_crossed()
    }

    /// Whether the action is a gate that waits for an answer.
    #[must_use]
    pub fn is_asking(&self, ix: ActionIx) -> bool {
        matches!(self.action(ix).doing, Doing::Asking { .. })
    }

    /// Whether the run is open and not going back.
    #[must_use]
    pub const fn is_forward(&self) -> bool {
        matches!(self.phase, Phase::Forward { .. })
    }

    pub(super) fn is_rolling_back(&self) -> bool {
        matches!(self.phase, Phase::RollingBack { .. })
    }

    /// The state of any action, `after_rollback` included.
    #[must_use]
    pub fn find(&self, id: &ActionId) -> Option<&ActionState> {
        match self.graph.find(id) {
            Some(ix) => Some(&self.actions[ix.index()]),
            None => self.after.get(id),
        }
    }
}
