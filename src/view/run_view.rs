//! Everything known of one run, and the questions people ask of it. Folded by `fold`; knows no clock.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::action_view::{ActionState, ActionView};
use super::event::Event;
use super::forecast::StepTimes;
use crate::engine::fact::{Actor, HoldAnswer, HoldReason, RollbackCause, RunEnd, RunStarted};
use crate::graph::horizon::until;
use crate::graph::ids::ActionId;
use crate::graph::outcome::Verdict;
use crate::graph::render::Outputs;
use crate::graph::{Graph, StepIx};
use crate::plan::model::Step;
use crate::schedule::Batches;

/// Where the run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Armed; the window is not open yet.
    Waiting,
    Running,
    /// Nothing new starts; a person is asked.
    Holding,
    RollingBack,
    Ended,
}

#[derive(Debug, Clone, PartialEq)]
pub struct OpenGate {
    pub action: ActionId,
    pub since: Timestamp,
    pub answer_by: Option<Timestamp>,
    /// Approvals so far, where more than one is needed.
    pub approvals: u32,
}

#[derive(Debug, Clone, PartialEq)]
pub struct OpenHold {
    pub reason: HoldReason,
    pub since: Timestamp,
    /// `default` applies then; `None` waits until a person decides.
    pub limit: Option<Timestamp>,
    pub default: HoldAnswer,
}

/// When a step ran, over all its hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct StepSpan {
    pub started: Option<Timestamp>,
    pub ended: Option<Timestamp>,
    pub undo_started: Option<Timestamp>,
    pub undo_ended: Option<Timestamp>,
    /// Its end was told already.
    pub told_done: bool,
    pub told_late: bool,
    pub told_undone: bool,
}

pub(super) type Counts = [u32; ActionState::COUNT];

#[derive(Debug, Clone)]
pub struct RunView {
    pub(super) graph: Arc<Graph>,
    pub(super) batches: Batches,
    pub(super) header: Option<RunStarted>,
    pub(super) began: Option<Timestamp>,
    pub(super) seq: u64,
    pub(super) last_at: Option<Timestamp>,
    pub(super) opened: Option<Timestamp>,
    pub(super) closes: Option<Timestamp>,
    pub(super) roll_back_by: Option<Timestamp>,
    pub(super) rollback_now: SignedDuration,
    pub(super) reversible: bool,
    /// What was opened, so that undos have expired.
    pub(super) crossed: BTreeSet<String>,
    /// The graph's actions in its order, then those of `after_rollback`.
    pub(super) actions: Vec<ActionView>,
    /// Per step, then one more for `after_rollback`.
    pub(super) counts: Vec<Counts>,
    pub(super) spans: Vec<StepSpan>,
    pub(super) gates: Vec<OpenGate>,
    pub(super) hold: Option<OpenHold>,
    pub(super) rollback: Option<(Timestamp, RollbackCause)>,
    pub(super) defects: Vec<String>,
    pub(super) notes: Vec<(Timestamp, Actor, String)>,
    pub(super) events: Vec<Event>,
    pub(super) end: Option<(Timestamp, RunEnd)>,
    pub(super) baseline: Vec<StepTimes>,
    /// What the actions wrote for later ones to read.
    pub(super) outputs: Outputs,
}

impl RunView {
    #[must_use]
    pub fn new(graph: Arc<Graph>) -> Self {
        let forward = graph.actions().iter().map(|a| ActionView::new(a.id.clone(), Some(a.step)));
        let proof = graph.after_rollback().iter().map(|a| ActionView::new(a.id.clone(), None));
        let actions: Vec<ActionView> = forward.chain(proof).collect();
        let rows = graph.step_count() + 1;
        let mut counts = vec![Counts::default(); rows];
        for action in &actions {
            counts[action.step.map_or(rows - 1, StepIx::index)][ActionState::Waiting as usize] += 1;
        }
        Self {
            header: None,
            began: None,
            seq: 0,
            last_at: None,
            opened: None,
            closes: None,
            roll_back_by: None,
            rollback_now: SignedDuration::ZERO,
            reversible: true,
            crossed: BTreeSet::new(),
            actions,
            counts,
            spans: vec![StepSpan::default(); rows],
            gates: Vec::new(),
            hold: None,
            rollback: None,
            defects: Vec::new(),
            notes: Vec::new(),
            events: Vec::new(),
            end: None,
            baseline: Vec::new(),
            outputs: Outputs::new(),
            batches: Batches::of(&graph),
            graph,
        }
    }

    /// Whether it is a test that failed before the night already.
    #[must_use]
    pub fn red_before(&self, action: &ActionId) -> bool {
        self.header.as_ref().is_some_and(|h| h.red_before(action))
    }

    /// Whether it is a test that has ended without saying how things are.
    #[must_use]
    pub fn says_nothing(&self, action: &ActionId) -> bool {
        let step = self.row_by_name(action.step()).map(|row| row.step).filter(|step| step.judges());
        let outcome = self.index_of(action).and_then(|i| self.actions[i].outcome.as_ref());
        step.zip(outcome).is_some_and(|(step, outcome)| outcome.verdict(step) == Verdict::Inconclusive)
    }

    #[must_use]
    pub fn graph(&self) -> &Arc<Graph> {
        &self.graph
    }

    /// The first fact of the run; `None` before it.
    #[must_use]
    pub fn header(&self) -> Option<&RunStarted> {
        self.header.as_ref()
    }

    /// The run's id; empty before its first fact.
    #[must_use]
    pub fn run(&self) -> &str {
        self.header.as_ref().map_or("", |h| &h.run)
    }

    /// The sequence number of the last fact applied.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// When the last fact was recorded.
    #[must_use]
    pub const fn last_at(&self) -> Option<Timestamp> {
        self.last_at
    }

    #[must_use]
    pub const fn began(&self) -> Option<Timestamp> {
        self.began
    }

    #[must_use]
    pub fn phase(&self) -> Phase {
        if self.end.is_some() {
            Phase::Ended
        } else if self.rollback.is_some() {
            Phase::RollingBack
        } else if self.hold.is_some() {
            Phase::Holding
        } else if self.opened.is_none() && self.spans.iter().all(|s| s.started.is_none()) {
            Phase::Waiting
        } else {
            Phase::Running
        }
    }

    /// When the window opens; the run's start where the plan has no window.
    #[must_use]
    pub fn opens(&self) -> Option<Timestamp> {
        let window = self.header.as_ref().and_then(|h| h.window).map(|w| w.opens);
        match (window, self.began) {
            (Some(opens), Some(began)) => Some(opens.max(began)),
            (opens, began) => opens.or(began),
        }
    }

    /// The window's end, extensions included; `None` without a window.
    #[must_use]
    pub const fn closes(&self) -> Option<Timestamp> {
        self.closes
    }

    #[must_use]
    pub fn reserve(&self) -> SignedDuration {
        self.header.as_ref().and_then(|h| h.window).map_or(SignedDuration::ZERO, |w| w.reserve)
    }

    /// The last instant at which a rollback may start; `None` without a window and after the reversible part.
    #[must_use]
    pub fn roll_back_by(&self) -> Option<Timestamp> {
        if self.reversible() { self.roll_back_by } else { None }
    }

    /// The last *roll back by* that was true, also after the reversible part.
    #[must_use]
    pub const fn last_roll_back_by(&self) -> Option<Timestamp> {
        self.roll_back_by
    }

    /// Time left until *roll back by*; negative once it passed.
    #[must_use]
    pub fn room(&self, now: Timestamp) -> Option<SignedDuration> {
        self.roll_back_by().map(|by| by.duration_since(now))
    }

    /// Worst-case time to undo everything that may have run.
    #[must_use]
    pub const fn rollback_now(&self) -> SignedDuration {
        self.rollback_now
    }

    /// Whether a rollback by itself is still possible.
    #[must_use]
    pub fn reversible(&self) -> bool {
        self.reversible && self.crossed.is_empty()
    }

    /// What has been opened and makes the undo of this step lose something.
    #[must_use]
    pub fn expired<'a>(&self, step: &'a Step) -> Option<&'a str> {
        let name = until(step)?;
        self.crossed.contains(name).then_some(name.as_str())
    }

    /// The steps that a rollback leaves to people, because their undo has expired.
    #[must_use]
    pub fn left_to_people(&self) -> Vec<&str> {
        let expired = |step: &StepIx| self.expired(self.graph.step(*step)).is_some() && self.row_needs_undo(*step);
        self.graph.step_ixs().filter(expired).map(|step| self.graph.step(step).id.as_str()).collect()
    }

    /// The horizons that are still ahead: the steps with which undos will expire, while nothing of them has begun.
    #[must_use]
    pub fn horizons_ahead(&self) -> Vec<StepIx> {
        if self.rollback.is_some() || self.end.is_some() {
            return Vec::new();
        }
        let ahead = |step: &StepIx| {
            let opened = self.graph.step(*step).opens.as_ref().is_some_and(|name| self.crossed.contains(name));
            !opened && self.actions_of(*step).any(|a| a.state == ActionState::Waiting)
        };
        self.graph.horizons().into_iter().filter(ahead).collect()
    }

    #[must_use]
    pub fn gates(&self) -> &[OpenGate] {
        &self.gates
    }

    #[must_use]
    pub const fn hold(&self) -> Option<&OpenHold> {
        self.hold.as_ref()
    }

    /// Whether a person has stopped the rollback on its way.
    #[must_use]
    pub fn rollback_is_paused(&self) -> bool {
        matches!(self.hold.as_ref().map(|hold| &hold.reason), Some(HoldReason::RollbackPaused { .. }))
    }

    /// When and why the rollback was decided.
    #[must_use]
    pub const fn rollback(&self) -> Option<&(Timestamp, RollbackCause)> {
        self.rollback.as_ref()
    }

    /// Known defects with which gates were approved.
    #[must_use]
    pub fn defects(&self) -> &[String] {
        &self.defects
    }

    #[must_use]
    pub fn notes(&self) -> &[(Timestamp, Actor, String)] {
        &self.notes
    }

    /// The run as a story, in order. A reporter keeps the index up to which it has told it.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    #[must_use]
    pub const fn end(&self) -> Option<&(Timestamp, RunEnd)> {
        self.end.as_ref()
    }

    /// Actions of the graph, by `ActionIx`.
    #[must_use]
    pub fn actions(&self) -> &[ActionView] {
        &self.actions[..self.graph.actions().len()]
    }

    /// The actions of `after_rollback`.
    #[must_use]
    pub fn proof(&self) -> &[ActionView] {
        &self.actions[self.graph.actions().len()..]
    }

    pub fn actions_of(&self, step: StepIx) -> impl ExactSizeIterator<Item = &ActionView> {
        self.graph.actions_of(step).map(|ix| &self.actions[ix.index()])
    }

    #[must_use]
    pub fn action(&self, id: &ActionId) -> Option<&ActionView> {
        self.index_of(id).map(|i| &self.actions[i])
    }

    pub(super) fn index_of(&self, id: &ActionId) -> Option<usize> {
        self.graph.find(id).map(crate::graph::ActionIx::index).or_else(|| {
            let after = self.graph.after_rollback();
            after.iter().position(|a| a.id == *id).map(|i| self.graph.actions().len() + i)
        })
    }

    /// The row of a step, or of `after_rollback`, in `counts` and `spans`.
    pub(super) fn row_of(&self, index: usize) -> usize {
        self.actions[index].step.map_or(self.counts.len() - 1, StepIx::index)
    }

    /// Indexes into `actions` of one row.
    pub(super) fn members(&self, row: usize) -> std::ops::Range<usize> {
        let forward = self.graph.actions().len();
        if row == self.counts.len() - 1 {
            return forward..self.actions.len();
        }
        let mut of = self.graph.actions_of(StepIx(row as u32));
        let len = of.len();
        let first = of.next().map_or(0, crate::graph::ActionIx::index);
        first..first + len
    }

    pub(super) fn count(&self, row: usize, state: ActionState) -> u32 {
        self.counts[row][state as usize]
    }
}
