//! Everything that is true of a run, and the one way to change it: [`State::apply`]. Decides nothing.
//!
//! Live turns and replay call the same function, so recovery is a fold. What can be derived from facts is derived
//! here, next to what it is derived from: readiness of actions, the timers, the cost of a rollback.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::fact::{
    Actor, Fact, FactRecord, GateAnswer, HoldAnswer, HoldReason, Mark, RollbackCause, RunEnd, RunStarted,
    WindowInstants,
};
use crate::graph::ids::{ActionId, AttemptId, Direction};
use crate::graph::outcome::Outcome;
use crate::graph::render::Outputs;
use crate::graph::{ActionIx, Graph, StepIx};
use crate::plan::model::{OnFailure, Verb};
use crate::schedule::{RollbackCost, longest_remaining};

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

/// What an action is doing. Each variant says what may come next; [`State::apply`] refuses the rest.
#[derive(Debug, Clone, PartialEq)]
pub enum Doing {
    /// Waits for its needs, for capacity, or for the window. Next: any of the following but `Undoing`.
    Waiting,
    /// Counts as done, was not executed. Final, never undone.
    Skipped,
    /// An attempt is open. Next: `Verify`, `Ask`, `Done`, `Judge`.
    Running {
        attempt: AttemptId,
        since: Timestamp,
    },
    /// The work succeeded and `verify` must prove it. Next: `Running` (direction check).
    Verify,
    /// A pure wait. Next: `Done`.
    Pausing {
        until: Timestamp,
    },
    /// The machine's half is passed; the gate is about to open. Next: `Asking`.
    Ask,
    /// A person is asked. Next: `Done`, or a rollback.
    Asking {
        since: Timestamp,
        answer_by: Option<Timestamp>,
    },
    /// An attempt ended without success and nothing is decided yet. Next: `Retrying`, `Running` (check), `Failed`, `Done`.
    Judge {
        direction: Direction,
        outcome: Outcome,
    },
    /// Another attempt starts then. Next: `Running`.
    Retrying {
        at: Timestamp,
        next: AttemptId,
    },
    /// No further try by itself. Next: `Waiting` (a person retries), `Done` (skips), `Undoing`.
    Failed,
    /// Done, or counted as done. Next: `Undoing`.
    Done,
    /// The rollback is open. Next: `UndoVerify`, `Undone`, `UndoJudge`.
    Undoing {
        attempt: AttemptId,
        since: Timestamp,
    },
    UndoVerify,
    UndoJudge {
        outcome: Outcome,
    },
    UndoRetrying {
        at: Timestamp,
        next: AttemptId,
    },
    /// Nothing of it is left. Final.
    Undone,
    /// Its rollback needs a person. Next: `Undone` (marked), `Undoing` (retried by a person).
    Parked {
        why: String,
    },
}

impl Doing {
    /// Begun and not over: it holds its place under `at_once` and its resources.
    #[must_use]
    pub const fn takes_a_place(&self) -> bool {
        !matches!(self, Self::Waiting | Self::Skipped | Self::Failed | Self::Done | Self::Undone | Self::Parked { .. })
    }

    const fn asks_for_a_decision(&self) -> bool {
        matches!(self, Self::Verify | Self::Ask | Self::Judge { .. } | Self::UndoVerify | Self::UndoJudge { .. })
    }
}

/// One action's life.
#[derive(Debug, Clone, PartialEq)]
pub struct ActionState {
    pub doing: Doing,
    /// How the work ended, once it did; of the latest attempt.
    pub forward: Option<Outcome>,
    /// The latest attempt of the work.
    pub attempt: Option<AttemptId>,
    /// Whether this run may have left effects of it behind that a rollback must undo.
    pub touched: bool,
    /// Attempts armed so far, by direction.
    pub tries: [u32; 4],
    /// The same when a person last said retry: those tries do not count against the plan's limit.
    pub tries_before: [u32; 4],
    /// When the first attempt was armed, the wait or the question began.
    pub started: Option<Timestamp>,
    pub ended: Option<Timestamp>,
    /// Connection to its host is lost.
    pub lost: bool,
    /// We asked for its end.
    pub kill_asked: Option<Timestamp>,
    pub late: bool,
    /// How long the last successful attempt of the work took.
    pub took: Option<SignedDuration>,
    /// Failed, but its plan or a person said to go on.
    pub tolerated: bool,
    /// Attempts that replaced a file, newest first.
    pub puts: Vec<AttemptId>,
    /// Who approved so far.
    pub approvals: BTreeSet<String>,
    /// Who rejected.
    pub rejected_by: Option<Actor>,
    /// The open attempt was confirmed by its host.
    pub launched: bool,
    /// Whether an ended attempt of the work may have left something behind.
    pub left_something: bool,
    /// Counted among what its step still has to undo.
    to_undo: bool,
    timers: [Option<Timestamp>; 5],
}

impl ActionState {
    fn new() -> Self {
        Self {
            doing: Doing::Waiting,
            forward: None,
            attempt: None,
            touched: false,
            tries: [0; 4],
            tries_before: [0; 4],
            started: None,
            ended: None,
            lost: false,
            kill_asked: None,
            late: false,
            took: None,
            tolerated: false,
            puts: Vec::new(),
            approvals: BTreeSet::new(),
            rejected_by: None,
            launched: false,
            left_something: false,
            to_undo: false,
            timers: [None; 5],
        }
    }

    /// The open attempt, if any.
    #[must_use]
    pub const fn open_attempt(&self) -> Option<&AttemptId> {
        match &self.doing {
            Doing::Running { attempt, .. } | Doing::Undoing { attempt, .. } => Some(attempt),
            _ => None,
        }
    }

    /// Whether dependants may start.
    #[must_use]
    pub const fn is_satisfied(&self) -> bool {
        matches!(self.doing, Doing::Done | Doing::Skipped)
    }

    /// Whether a forward process of it may be alive, as far as we know.
    #[must_use]
    pub fn may_be_alive(&self) -> bool {
        matches!(self.doing, Doing::Running { .. }) || matches!(self.forward, Some(Outcome::InDoubt { .. }))
    }

    /// Whether an undo of it still has to end before what it needs may be undone.
    #[must_use]
    pub fn blocks_undo(&self) -> bool {
        if matches!(self.doing, Doing::Undone) { false } else { self.touched || self.may_be_alive() }
    }
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
    fn concerns(&self, id: &ActionId) -> bool {
        matches!(&self.reason, HoldReason::ManualUndo { action, .. } if action == id)
    }
}

/// When something must be looked at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    Retry,
    Wait,
    AnswerBy,
    Late,
    /// The controller's own limit for an attempt whose host stays silent.
    Limit,
}

#[derive(Debug, Clone)]
struct StepTally {
    /// Steps whose barrier is still closed.
    needs_left: u32,
    satisfied: u32,
    running: u32,
    /// Place in the order under limits: longest remaining path first, ties in the plan's order.
    rank: u32,
    /// Actions that must be proven dead and undone before this step lets go of what it needs.
    undo_left: u32,
    /// Dependants (and later users of a shared resource) that are not settled yet.
    undo_blockers: u32,
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
    seq: u64,
    run: Option<Box<RunStarted>>,
    pub(super) phase: Phase,
    window: Option<WindowInstants>,
    actions: Vec<ActionState>,
    /// The `after_rollback` test, per host.
    after: BTreeMap<ActionId, ActionState>,
    steps: Vec<StepTally>,
    satisfied: usize,
    pub(super) outputs: Outputs,
    pub(super) hold: Option<Hold>,
    pub(super) cost: RollbackCost,
    /// Waiting actions of steps whose needs are met, by rank.
    ready: BTreeMap<(u32, StepIx), BTreeSet<ActionIx>>,
    /// Actions whose state asks for a decision.
    undecided: BTreeSet<ActionIx>,
    /// Failed for good and nothing was decided about it yet.
    pub(super) asking: BTreeMap<ActionIx, OnFailure>,
    pub(super) running: BTreeSet<ActionIx>,
    timers: BTreeSet<(Timestamp, ActionIx, Timer)>,
    resources_used: BTreeMap<String, u32>,
    /// Steps whose undos may start.
    undoable: BTreeSet<StepIx>,
    /// Per step, the actions whose undo has not begun.
    undo_queue: BTreeMap<StepIx, BTreeSet<ActionIx>>,
    /// Actions that must still be undone, or proven dead.
    undo_left: usize,
    /// Actions whose latest attempt is in doubt.
    pub(super) in_doubt: BTreeSet<ActionIx>,
    /// Running steps are ended then, so that their rollback still fits.
    pub(super) kill_by: Option<Timestamp>,
    /// `on_deadline: ask` has asked.
    pub(super) deadline_asked: bool,
    pub(super) roll_back_by_shown: Option<Timestamp>,
    pub(super) room_warned: Option<SignedDuration>,
    epoch: u64,
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
            running: 0,
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
            running: BTreeSet::new(),
            timers: BTreeSet::new(),
            resources_used: BTreeMap::new(),
            undoable: BTreeSet::new(),
            undo_queue: BTreeMap::new(),
            undo_left: 0,
            in_doubt: BTreeSet::new(),
            kill_by: None,
            deadline_asked: false,
            roll_back_by_shown: None,
            room_warned: None,
            epoch: 0,
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
            Phase::Waiting | Phase::Forward { reversible: true } => self.start_of(self.cost.now()),
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

    pub(super) fn first_timer(&self) -> Option<(Timestamp, ActionIx, Timer)> {
        self.timers.first().copied()
    }

    pub(super) fn due(&self, now: Timestamp) -> Vec<(ActionIx, Timer)> {
        self.timers.iter().take_while(|(at, ..)| *at <= now).map(|(_, ix, t)| (*ix, *t)).collect()
    }

    pub(super) fn ready_steps(&self) -> Vec<StepIx> {
        self.ready.keys().map(|(_, step)| *step).collect()
    }

    pub(super) fn first_ready(&self, step: StepIx) -> Option<ActionIx> {
        self.ready.get(&(self.steps[step.index()].rank, step))?.first().copied()
    }

    pub(super) fn undoable(&self) -> Vec<StepIx> {
        self.undoable.iter().copied().collect()
    }

    pub(super) fn next_undo(&self, step: StepIx) -> Vec<ActionIx> {
        self.undo_queue.get(&step).into_iter().flatten().copied().collect()
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

    pub(super) fn running_in(&self, step: StepIx) -> usize {
        self.steps[step.index()].running as usize
    }

    pub(super) fn resource_used(&self, name: &str) -> u32 {
        self.resources_used.get(name).copied().unwrap_or(0)
    }

    /// Attempts without an outcome, and attempts whose outcome is in doubt.
    pub fn open_attempts(&self) -> impl Iterator<Item = &AttemptId> {
        let all = self.actions.iter().chain(self.after.values());
        all.filter_map(|a| match (&a.forward, a.open_attempt()) {
            (_, Some(open)) => Some(open),
            (Some(Outcome::InDoubt { .. }), None) => a.attempt.as_ref(),
            _ => None,
        })
    }

    pub(super) fn no_input(&self) -> bool {
        self.run.as_ref().is_some_and(|r| r.options.no_input)
    }

    pub(super) fn reversible(&self) -> bool {
        matches!(self.phase, Phase::Forward { reversible: true } | Phase::Waiting)
    }

    pub(super) fn is_forward(&self) -> bool {
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

    // ---- the one way to change it

    /// Applies the next fact.
    ///
    /// # Errors
    /// When the fact cannot follow what is true: a journal of another plan, or damage that its checks did not see. The
    /// state is unusable afterwards.
    pub fn apply(&mut self, record: &FactRecord) -> Result<(), IllegalFact> {
        if record.seq != self.seq + 1 {
            return Err(self.illegal(&record.fact, format!("expected number {}, found {}", self.seq + 1, record.seq)));
        }
        self.change(record.at, &record.fact).map_err(|why| self.illegal(&record.fact, why))?;
        self.seq = record.seq;
        Ok(())
    }

    fn illegal(&self, fact: &Fact, why: String) -> IllegalFact {
        let mut what = format!("{fact:?}");
        what.truncate(what.find([' ', '(', '{']).unwrap_or(what.len()));
        IllegalFact { seq: self.seq + 1, what, why }
    }

    fn change(&mut self, at: Timestamp, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::RunStarted(run) => self.start(run),
            Fact::WindowOpened => self.open_window(),
            Fact::ActionSkipped { action, .. } => self.skip(self.ix(action)?, at),
            Fact::AttemptArmed { attempt } => self.arm(attempt, at),
            Fact::AttemptLaunched { attempt } => {
                if let Some(ix) = self.graph.find(&attempt.action) {
                    self.actions[ix.index()].launched = true;
                }
                Ok(())
            }
            Fact::Noted { .. } | Fact::ClockJumped { .. } | Fact::Unknown => Ok(()),
            Fact::LinkLost { attempt, .. } => self.link(attempt, true, at),
            Fact::LinkRestored { attempt } => self.link(attempt, false, at),
            Fact::AttemptEnded { attempt, outcome, evidence } => {
                self.end_attempt(attempt, outcome, evidence.took, at)?;
                if !evidence.outputs.is_empty() {
                    self.outputs.insert(attempt.action.clone(), evidence.outputs.clone());
                }
                Ok(())
            }
            Fact::ActionFailed { action, then } => self.fail(self.ix(action)?, *then, at),
            Fact::KillRequested { attempt, .. } => self.ask_kill(attempt, at),
            Fact::RetryScheduled { attempt, at: next } => self.schedule_retry(attempt, *next),
            Fact::WaitStarted { action, until } => self.pause(self.ix(action)?, *until, at),
            Fact::WaitEnded { action } => self.finish(self.ix(action)?, at),
            Fact::ActionLate { action } => {
                let ix = self.ix(action)?;
                self.actions[ix.index()].late = true;
                self.set_timer(ix, Timer::Late, None);
                Ok(())
            }
            Fact::GateOpened { action, answer_by } => self.open_gate(self.ix(action)?, *answer_by, at),
            Fact::GateAnswered { action, answer, by, .. } => self.answer_gate(self.ix(action)?, *answer, by, at),
            Fact::AdmissionRefused { .. } => Ok(()),
            Fact::HoldOpened { reason, limit, default } => {
                if let HoldReason::Failed { actions } | HoldReason::ForwardOnly { actions } = reason {
                    for action in actions {
                        let ix = self.ix(action)?;
                        self.asking.remove(&ix);
                    }
                }
                self.deadline_asked |= matches!(reason, HoldReason::Deadline);
                self.hold = Some(Hold { reason: reason.clone(), since: at, limit: *limit, default: *default });
                Ok(())
            }
            Fact::HoldAnswered { answer, .. } => self.answer_hold(*answer, at),
            Fact::RollBackByMoved { at, .. } => {
                self.roll_back_by_shown = *at;
                Ok(())
            }
            Fact::RoomWarning { room } => {
                self.room_warned = Some(*room);
                Ok(())
            }
            Fact::ReversibleEnded { .. } => self.end_reversible(),
            Fact::RollbackDecided { cause } => self.begin_rollback(cause, at),
            Fact::UndoParked { action, why } => self.park(self.ix(action)?, why, at),
            Fact::ActionMarked { action, mark, .. } => self.mark(self.ix(action)?, *mark, at),
            Fact::WindowExtended { closes, .. } => {
                let window = self.window.as_mut().ok_or("there is no window")?;
                window.closes = *closes;
                self.room_warned = None;
                self.deadline_asked = false;
                Ok(())
            }
            Fact::Resumed { epoch, .. } => {
                self.epoch = *epoch;
                Ok(())
            }
            Fact::RunEnded { end } => {
                self.phase = Phase::Ended(end.clone());
                self.hold = None;
                self.timers.clear();
                Ok(())
            }
        }
    }

    fn ix(&self, action: &ActionId) -> Result<ActionIx, String> {
        self.graph.find(action).ok_or_else(|| format!("the plan has no action {action}"))
    }

    fn start(&mut self, run: &RunStarted) -> Result<(), String> {
        if self.phase != Phase::New {
            return Err("the run has started already".into());
        }
        self.window = run.window;
        self.run = Some(Box::new(run.clone()));
        self.phase = Phase::Waiting;
        Ok(())
    }

    fn open_window(&mut self) -> Result<(), String> {
        if self.phase != Phase::Waiting {
            return Err("the run is not waiting for its window".into());
        }
        self.phase = Phase::Forward { reversible: true };
        for step in self.graph.step_ixs() {
            if self.steps[step.index()].needs_left == 0 {
                self.make_ready(step);
            }
        }
        self.close_empty_steps();
        Ok(())
    }

    /// A step without any host is done at once.
    fn close_empty_steps(&mut self) {
        for step in self.graph.clone().step_ixs() {
            if self.graph.actions_of(step).len() == 0 && self.steps[step.index()].needs_left == 0 {
                self.close_barrier(step);
            }
        }
    }

    fn make_ready(&mut self, step: StepIx) {
        let waiting: BTreeSet<ActionIx> = self
            .graph
            .actions_of(step)
            .filter(|a| self.actions[a.index()].doing == Doing::Waiting && self.same_host_needs_met(*a))
            .collect();
        if !waiting.is_empty() {
            self.ready.insert((self.steps[step.index()].rank, step), waiting);
        }
    }

    fn same_host_needs_met(&self, ix: ActionIx) -> bool {
        let step = self.graph.action(ix).step;
        self.graph.same_host_needs(step).iter().all(|need| match self.graph.on_same_host(*need, ix) {
            Some(other) => self.actions[other.index()].is_satisfied(),
            None => self.is_step_satisfied(*need),
        })
    }

    fn is_step_satisfied(&self, step: StepIx) -> bool {
        self.steps[step.index()].satisfied as usize == self.graph.actions_of(step).len()
    }

    fn unready(&mut self, ix: ActionIx) {
        let step = self.graph.action(ix).step;
        let key = (self.steps[step.index()].rank, step);
        if let Some(set) = self.ready.get_mut(&key) {
            set.remove(&ix);
            if set.is_empty() {
                self.ready.remove(&key);
            }
        }
    }

    fn set_doing(&mut self, ix: ActionIx, doing: Doing) {
        let was_running = self.running.contains(&ix);
        let runs = doing.takes_a_place();
        if doing.asks_for_a_decision() {
            self.undecided.insert(ix);
        } else {
            self.undecided.remove(&ix);
        }
        self.clear_timers(ix, runs);
        self.actions[ix.index()].doing = doing;
        self.actions[ix.index()].launched = false;
        if was_running != runs {
            self.count_running(ix, runs);
        }
    }

    fn count_running(&mut self, ix: ActionIx, starts: bool) {
        let step = self.graph.action(ix).step;
        let uses: Vec<(String, u32)> = self.graph.step(step).uses.iter().map(|(k, v)| (k.clone(), *v)).collect();
        let tally = &mut self.steps[step.index()];
        if starts {
            self.running.insert(ix);
            tally.running += 1;
        } else {
            self.running.remove(&ix);
            tally.running -= 1;
        }
        for (name, units) in uses {
            let used = self.resources_used.entry(name).or_insert(0);
            *used = if starts { *used + units } else { used.saturating_sub(units) };
        }
    }

    fn skip(&mut self, ix: ActionIx, at: Timestamp) -> Result<(), String> {
        match self.actions[ix.index()].doing {
            Doing::Waiting => {
                self.unready(ix);
                self.set_doing(ix, Doing::Skipped);
            }
            Doing::Failed => {
                self.actions[ix.index()].tolerated = true;
                self.asking.remove(&ix);
                self.set_doing(ix, Doing::Done);
            }
            _ => return Err("only what waits or has failed can be skipped".into()),
        }
        self.actions[ix.index()].ended = Some(at);
        self.satisfy(ix);
        Ok(())
    }

    fn satisfy(&mut self, ix: ActionIx) {
        let step = self.graph.action(ix).step;
        self.satisfied += 1;
        self.steps[step.index()].satisfied += 1;
        for next in self.graph.clone().same_host_dependants(step) {
            self.offer_same_host(*next, ix);
        }
        if self.is_step_satisfied(step) {
            self.close_barrier(step);
        }
    }

    /// A dependant on the same host may be ready now, although the barrier is still closed for the others.
    fn offer_same_host(&mut self, step: StepIx, done: ActionIx) {
        let graph = self.graph.clone();
        let barriers = graph.needs(step).iter().filter(|n| !self.is_step_satisfied(**n)).count();
        let Some(ix) = graph.on_same_host(step, done) else { return };
        let waiting = self.actions[ix.index()].doing == Doing::Waiting;
        if barriers == 0 && waiting && self.is_forward() && self.same_host_needs_met(ix) {
            self.ready.entry((self.steps[step.index()].rank, step)).or_default().insert(ix);
        }
    }

    fn close_barrier(&mut self, step: StepIx) {
        let graph = self.graph.clone();
        for next in graph.all_dependants(step) {
            let tally = &mut self.steps[next.index()];
            tally.needs_left -= 1;
            if tally.needs_left == 0 && self.is_forward() {
                if graph.actions_of(next).len() == 0 {
                    self.close_barrier(next);
                } else {
                    self.make_ready(next);
                }
            }
        }
    }

    fn arm(&mut self, attempt: &AttemptId, at: Timestamp) -> Result<(), String> {
        self.attempts_armed += 1;
        let Some(ix) = self.graph.find(&attempt.action) else { return self.arm_after(attempt, at) };
        let (direction, id) = (attempt.direction, attempt.clone());
        self.unready(ix);
        let step = self.graph.step_of(ix);
        let changes = step.changes_something();
        let estimate = step.estimate_or_zero();
        let timeout = match direction {
            Direction::Do | Direction::Check => step.timeout,
            Direction::Undo | Direction::UndoCheck => step.rollback().and_then(|r| r.timeout),
        };
        let a = &mut self.actions[ix.index()];
        a.tries[direction as usize] = attempt.number;
        a.kill_asked = None;
        a.lost = false;
        let first = a.started.is_none();
        a.started.get_or_insert(at);
        match direction {
            Direction::Do => {
                a.attempt = Some(id.clone());
                a.forward = None;
                self.set_doing(ix, Doing::Running { attempt: id.clone(), since: at });
                if matches!(self.graph.step_of(ix).verb, Verb::Copy(_) | Verb::Template { .. }) {
                    self.actions[ix.index()].puts.insert(0, id);
                }
                if changes {
                    self.touch(ix);
                }
                if first && estimate.worst > SignedDuration::ZERO {
                    self.set_timer(ix, Timer::Late, at.checked_add(estimate.worst).ok());
                }
            }
            Direction::Check => self.set_doing(ix, Doing::Running { attempt: id, since: at }),
            Direction::Undo | Direction::UndoCheck => {
                self.unqueue_undo(ix);
                self.set_doing(ix, Doing::Undoing { attempt: id, since: at });
            }
        }
        self.set_timer(ix, Timer::Limit, timeout.and_then(|t| at.checked_add(t + SILENCE).ok()));
        Ok(())
    }

    fn arm_after(&mut self, attempt: &AttemptId, at: Timestamp) -> Result<(), String> {
        let a =
            self.after.get_mut(&attempt.action).ok_or_else(|| format!("the plan has no action {}", attempt.action))?;
        a.tries[Direction::Do as usize] = attempt.number;
        a.started.get_or_insert(at);
        a.doing = Doing::Running { attempt: attempt.clone(), since: at };
        a.attempt = Some(attempt.clone());
        a.forward = None;
        Ok(())
    }

    /// Sets, moves or (with `None`) clears one timer of an action.
    fn set_timer(&mut self, ix: ActionIx, timer: Timer, at: Option<Timestamp>) {
        let slot = &mut self.actions[ix.index()].timers[timer as usize];
        if let Some(old) = std::mem::replace(slot, at) {
            self.timers.remove(&(old, ix, timer));
        }
        if let Some(at) = at {
            self.timers.insert((at, ix, timer));
        }
    }

    /// Whoever is late stays late through retries: that timer ends only with the action.
    fn clear_timers(&mut self, ix: ActionIx, keep_late: bool) {
        for timer in [Timer::Retry, Timer::Wait, Timer::AnswerBy, Timer::Limit] {
            self.set_timer(ix, timer, None);
        }
        if !keep_late {
            self.set_timer(ix, Timer::Late, None);
        }
    }

    fn touch(&mut self, ix: ActionIx) {
        if !self.actions[ix.index()].touched {
            self.actions[ix.index()].touched = true;
            let graph = self.graph.clone();
            self.cost.touch(&graph, graph.action(ix).step);
        }
    }

    fn untouch(&mut self, ix: ActionIx) {
        if self.actions[ix.index()].touched {
            self.actions[ix.index()].touched = false;
            let graph = self.graph.clone();
            self.cost.untouch(&graph, graph.action(ix).step);
        }
    }

    fn link(&mut self, attempt: &AttemptId, lost: bool, at: Timestamp) -> Result<(), String> {
        let Some(ix) = self.graph.find(&attempt.action) else {
            self.after.get_mut(&attempt.action).ok_or("no such action")?.lost = lost;
            return Ok(());
        };
        self.actions[ix.index()].lost = lost;
        // A host that was silent for too long, and still is, gets as much time again.
        if lost && self.actions[ix.index()].timers[Timer::Limit as usize].is_some_and(|limit| limit <= at) {
            self.set_timer(ix, Timer::Limit, at.checked_add(SILENCE).ok());
        }
        Ok(())
    }

    fn ask_kill(&mut self, attempt: &AttemptId, at: Timestamp) -> Result<(), String> {
        let Some(ix) = self.graph.find(&attempt.action) else { return Ok(()) };
        self.actions[ix.index()].kill_asked = Some(at);
        self.set_timer(ix, Timer::Limit, at.checked_add(SILENCE).ok());
        Ok(())
    }

    fn end_attempt(
        &mut self,
        attempt: &AttemptId,
        outcome: &Outcome,
        took: Option<SignedDuration>,
        at: Timestamp,
    ) -> Result<(), String> {
        let Some(ix) = self.graph.find(&attempt.action) else { return self.end_after(attempt, outcome, at) };
        let step = self.graph.step_of(ix);
        let (verify, gate, atomic) = (step.verify.is_some(), step.gate.is_some(), step.atomic);
        let undo_verify = step.rollback().is_some_and(|r| r.verify.is_some());
        let a = &mut self.actions[ix.index()];
        let open = a.open_attempt() == Some(attempt);
        let refined = a.attempt.as_ref() == Some(attempt) && matches!(a.forward, Some(Outcome::InDoubt { .. }));
        if !open && !refined {
            return Err(format!("attempt {attempt} is not open"));
        }
        let harmless = !outcome.may_have_run() || (atomic && matches!(outcome, Outcome::Failed { .. }));
        if attempt.direction == Direction::Do {
            a.forward = Some(outcome.clone());
            a.left_something |= !harmless;
            if matches!(outcome, Outcome::InDoubt { .. }) {
                self.in_doubt.insert(ix);
            } else {
                self.in_doubt.remove(&ix);
            }
            if outcome.is_success() {
                a.took = took.or_else(|| a.started.map(|s| at.duration_since(s)));
            }
        }
        if !open {
            self.refine(ix, outcome);
            return Ok(());
        }
        a.lost = false;
        match (attempt.direction, outcome.is_success()) {
            (Direction::Do, true) if self.is_rolling_back() => self.settle_forward(ix, Doing::Done, at),
            (Direction::Do, true) if verify => self.set_doing(ix, Doing::Verify),
            (Direction::Do | Direction::Check, true) if gate => self.set_doing(ix, Doing::Ask),
            (Direction::Do | Direction::Check, true) => self.finish(ix, at)?,
            (Direction::Do | Direction::Check, false) => {
                if attempt.direction == Direction::Do && !self.actions[ix.index()].left_something {
                    self.untouch(ix);
                }
                if self.is_rolling_back() {
                    self.settle_forward(ix, Doing::Failed, at);
                } else {
                    self.set_doing(ix, Doing::Judge { direction: attempt.direction, outcome: outcome.clone() });
                }
            }
            (Direction::Undo, true) if undo_verify => self.set_doing(ix, Doing::UndoVerify),
            (Direction::Undo | Direction::UndoCheck, true) => self.undone(ix, at),
            (Direction::Undo | Direction::UndoCheck, false) => {
                self.set_doing(ix, Doing::UndoJudge { outcome: outcome.clone() });
            }
        }
        Ok(())
    }

    /// An outcome that was in doubt is known now.
    fn refine(&mut self, ix: ActionIx, outcome: &Outcome) {
        self.clear_timers(ix, false);
        if !outcome.may_have_run() && self.actions[ix.index()].tries[Direction::Do as usize] == 1 {
            self.actions[ix.index()].left_something = false;
            self.untouch(ix);
        }
        if self.is_rolling_back() && !matches!(outcome, Outcome::InDoubt { .. }) {
            self.check_settled(ix);
        }
    }

    /// The forward process ended while everything is being rolled back.
    fn settle_forward(&mut self, ix: ActionIx, doing: Doing, at: Timestamp) {
        self.actions[ix.index()].ended = Some(at);
        self.set_doing(ix, doing);
        self.check_settled(ix);
    }

    fn end_after(&mut self, attempt: &AttemptId, outcome: &Outcome, at: Timestamp) -> Result<(), String> {
        let a =
            self.after.get_mut(&attempt.action).ok_or_else(|| format!("the plan has no action {}", attempt.action))?;
        if a.open_attempt() != Some(attempt) {
            return Err(format!("attempt {attempt} is not open"));
        }
        a.forward = Some(outcome.clone());
        a.ended = Some(at);
        a.doing = if outcome.is_success() {
            Doing::Done
        } else {
            Doing::Judge { direction: Direction::Do, outcome: outcome.clone() }
        };
        Ok(())
    }

    fn finish(&mut self, ix: ActionIx, at: Timestamp) -> Result<(), String> {
        if self.actions[ix.index()].is_satisfied() {
            return Err("the action is done already".into());
        }
        self.actions[ix.index()].ended = Some(at);
        self.set_doing(ix, Doing::Done);
        self.satisfy(ix);
        Ok(())
    }

    fn fail(&mut self, ix: ActionIx, then: OnFailure, at: Timestamp) -> Result<(), String> {
        if !matches!(self.actions[ix.index()].doing, Doing::Judge { .. }) {
            return Err("only an action whose attempt ended without success can fail".into());
        }
        self.actions[ix.index()].ended = Some(at);
        if then == OnFailure::Continue {
            self.actions[ix.index()].tolerated = true;
            return self.finish(ix, at);
        }
        self.set_doing(ix, Doing::Failed);
        self.asking.insert(ix, then);
        Ok(())
    }

    fn schedule_retry(&mut self, next: &AttemptId, at: Timestamp) -> Result<(), String> {
        let Some(ix) = self.graph.find(&next.action) else {
            let a = self.after.get_mut(&next.action).ok_or("no such action")?;
            a.doing = Doing::Retrying { at, next: next.clone() };
            return Ok(());
        };
        let doing = match next.direction {
            Direction::Do | Direction::Check => Doing::Retrying { at, next: next.clone() },
            Direction::Undo | Direction::UndoCheck => Doing::UndoRetrying { at, next: next.clone() },
        };
        self.set_doing(ix, doing);
        self.set_timer(ix, Timer::Retry, Some(at));
        Ok(())
    }

    fn pause(&mut self, ix: ActionIx, until: Timestamp, at: Timestamp) -> Result<(), String> {
        self.unready(ix);
        self.actions[ix.index()].started.get_or_insert(at);
        self.set_doing(ix, Doing::Pausing { until });
        self.set_timer(ix, Timer::Wait, Some(until));
        Ok(())
    }

    fn open_gate(&mut self, ix: ActionIx, answer_by: Option<Timestamp>, at: Timestamp) -> Result<(), String> {
        self.unready(ix);
        self.actions[ix.index()].started.get_or_insert(at);
        self.set_doing(ix, Doing::Asking { since: at, answer_by });
        self.set_timer(ix, Timer::AnswerBy, answer_by);
        let worst = self.graph.step_of(ix).estimate_or_zero().worst;
        if worst > SignedDuration::ZERO {
            self.set_timer(ix, Timer::Late, at.checked_add(worst).ok());
        }
        Ok(())
    }

    fn answer_gate(&mut self, ix: ActionIx, answer: GateAnswer, by: &Actor, at: Timestamp) -> Result<(), String> {
        if !matches!(self.actions[ix.index()].doing, Doing::Asking { .. }) {
            return Err("the gate is not open".into());
        }
        match answer {
            GateAnswer::Approved | GateAnswer::ApprovedWithDefects => {
                let quorum = self.graph.step_of(ix).gate.as_ref().map_or(1, |g| g.quorum.max(1));
                self.actions[ix.index()].approvals.insert(by.name.clone());
                if self.actions[ix.index()].approvals.len() >= quorum as usize {
                    self.finish(ix, at)?;
                }
            }
            GateAnswer::Rejected | GateAnswer::TimedOut => {
                self.actions[ix.index()].ended = Some(at);
                self.actions[ix.index()].rejected_by = Some(by.clone());
                self.set_doing(ix, Doing::Failed);
                self.asking.insert(ix, OnFailure::Rollback);
            }
        }
        Ok(())
    }

    fn answer_hold(&mut self, answer: HoldAnswer, at: Timestamp) -> Result<(), String> {
        let hold = self.hold.take().ok_or("no hold is open")?;
        let (HoldReason::Failed { actions } | HoldReason::ForwardOnly { actions }) = &hold.reason else {
            return Ok(());
        };
        for action in actions {
            let ix = self.ix(action)?;
            if self.actions[ix.index()].doing != Doing::Failed {
                continue;
            }
            match answer {
                HoldAnswer::Retry => self.again(ix),
                HoldAnswer::Skip => self.skip(ix, at)?,
                HoldAnswer::Rollback | HoldAnswer::Continue | HoldAnswer::Stay => {}
            }
        }
        Ok(())
    }

    fn again(&mut self, ix: ActionIx) {
        self.asking.remove(&ix);
        let a = &mut self.actions[ix.index()];
        a.tries_before = a.tries;
        a.approvals.clear();
        self.set_doing(ix, Doing::Waiting);
        let step = self.graph.action(ix).step;
        self.ready.entry((self.steps[step.index()].rank, step)).or_default().insert(ix);
    }

    fn end_reversible(&mut self) -> Result<(), String> {
        match self.phase {
            Phase::Forward { .. } => self.phase = Phase::Forward { reversible: false },
            _ => return Err("the run is not going forward".into()),
        }
        Ok(())
    }

    fn begin_rollback(&mut self, cause: &RollbackCause, at: Timestamp) -> Result<(), String> {
        if self.is_rolling_back() || self.phase == Phase::New {
            return Err("there is nothing to roll back, or it is being rolled back already".into());
        }
        self.kill_by = self.start_of(self.cost.now());
        self.phase = Phase::RollingBack { cause: cause.clone(), since: at };
        self.hold = None;
        self.ready.clear();
        self.asking.clear();
        for ix in self.running.clone() {
            let stays = matches!(self.actions[ix.index()].doing, Doing::Running { .. });
            if !stays {
                let failed = self.actions[ix.index()].started.is_some();
                self.actions[ix.index()].ended = Some(at);
                self.set_doing(ix, if failed { Doing::Failed } else { Doing::Waiting });
            }
        }
        for ix in self.graph.action_ixs() {
            let a = &mut self.actions[ix.index()];
            if matches!(a.doing, Doing::Parked { .. }) {
                a.doing = Doing::Failed;
                a.tries_before = a.tries;
            }
        }
        self.count_undos();
        Ok(())
    }

    /// From the sinks up: how much has to be undone in each step, and what it waits for.
    fn count_undos(&mut self) {
        let graph = self.graph.clone();
        self.undoable.clear();
        self.undo_queue.clear();
        self.undo_left = 0;
        for step in graph.step_ixs() {
            let left: BTreeSet<ActionIx> =
                graph.actions_of(step).filter(|a| self.actions[a.index()].blocks_undo()).collect();
            for ix in &left {
                self.actions[ix.index()].to_undo = true;
            }
            let blockers = graph.all_dependants(step).count() + self.cost.undone_before(step).len();
            let tally = &mut self.steps[step.index()];
            tally.undo_left = left.len() as u32;
            tally.undo_blockers = blockers as u32;
            self.undo_left += left.len();
            if !left.is_empty() {
                self.undo_queue.insert(step, left);
            }
        }
        for step in graph.step_ixs() {
            if self.steps[step.index()].undo_blockers == 0 {
                self.unblock(step);
            }
        }
    }

    /// All that had to be undone before this step is; its own undos may start, or it lets go at once.
    fn unblock(&mut self, step: StepIx) {
        if self.steps[step.index()].undo_left > 0 {
            self.undoable.insert(step);
        } else {
            self.let_go(step);
        }
    }

    fn let_go(&mut self, step: StepIx) {
        self.undoable.remove(&step);
        let graph = self.graph.clone();
        let earlier: Vec<StepIx> = graph.all_needs(step).chain(self.cost.undone_after(step).iter().copied()).collect();
        for need in earlier {
            let tally = &mut self.steps[need.index()];
            tally.undo_blockers -= 1;
            if tally.undo_blockers == 0 {
                self.unblock(need);
            }
        }
    }

    /// Called whenever an action may have stopped blocking the undo of what it needs.
    fn check_settled(&mut self, ix: ActionIx) {
        if !self.is_rolling_back() || !self.actions[ix.index()].to_undo || self.actions[ix.index()].blocks_undo() {
            return;
        }
        self.actions[ix.index()].to_undo = false;
        self.undo_left -= 1;
        self.unqueue_undo(ix);
        let step = self.graph.action(ix).step;
        let tally = &mut self.steps[step.index()];
        tally.undo_left -= 1;
        if tally.undo_left == 0 && tally.undo_blockers == 0 {
            self.let_go(step);
        }
    }

    fn unqueue_undo(&mut self, ix: ActionIx) {
        let step = self.graph.action(ix).step;
        if let Some(queue) = self.undo_queue.get_mut(&step) {
            queue.remove(&ix);
        }
    }

    fn undone(&mut self, ix: ActionIx, at: Timestamp) {
        self.actions[ix.index()].ended = Some(at);
        self.set_doing(ix, Doing::Undone);
        self.untouch(ix);
        self.check_settled(ix);
    }

    fn park(&mut self, ix: ActionIx, why: &str, at: Timestamp) -> Result<(), String> {
        self.actions[ix.index()].ended = Some(at);
        self.unqueue_undo(ix);
        self.set_doing(ix, Doing::Parked { why: why.into() });
        Ok(())
    }

    fn mark(&mut self, ix: ActionIx, mark: Mark, at: Timestamp) -> Result<(), String> {
        if self.hold.as_ref().is_some_and(|h| h.concerns(&self.graph.action(ix).id)) {
            self.hold = None;
        }
        match (mark, self.is_rolling_back()) {
            (Mark::Undone, _) => self.undone(ix, at),
            (Mark::Done, false) if !self.actions[ix.index()].is_satisfied() => {
                self.unready(ix);
                self.asking.remove(&ix);
                self.finish(ix, at)?;
            }
            (Mark::Failed, false) if self.actions[ix.index()].is_satisfied() => {
                return Err("what is done cannot be marked as failed any more: dependants may have started".into());
            }
            (Mark::Failed, false) => {
                self.set_doing(ix, Doing::Failed);
                self.asking.insert(ix, OnFailure::Ask);
            }
            (Mark::Done | Mark::Failed, _) => return Err("the run is being rolled back: mark it undone".into()),
        }
        Ok(())
    }
}

/// How much longer than its own limit a host may be silent before its attempt is looked at from here.
const SILENCE: SignedDuration = SignedDuration::from_secs(60);

fn ranks(graph: &Graph) -> Vec<u32> {
    let remaining = longest_remaining(graph);
    let mut order: Vec<StepIx> = graph.step_ixs().collect();
    order.sort_by_key(|s| (std::cmp::Reverse(remaining[s.index()]), *s));
    let mut rank = vec![0; order.len()];
    for (i, step) in order.into_iter().enumerate() {
        rank[step.index()] = i as u32;
    }
    rank
}
