//! When what is left would end: a forward pass over the steps with expected estimates, from now. Unaware of resources and
//! of what else runs beside a step; the dry run's scheduler is the exact answer, this one is cheap enough for every redraw.

use jiff::{SignedDuration, Timestamp};

use super::action_view::ActionState;
use super::run_view::RunView;
use crate::graph::{ActionIx, StepIx};
use crate::plan::model::{Place, Step, Verb, Wait};

/// Start and end of one step, over all its hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepTimes {
    pub start: Timestamp,
    pub end: Timestamp,
}

/// Expected times from here on.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    /// The end of the last step. What already took place is as it was.
    pub finish: Timestamp,
    /// How much earlier than planned; negative when behind.
    pub ahead: SignedDuration,
    /// How far the last decision may slip until a rollback after it would not fit any more.
    pub slack: Option<SignedDuration>,
    /// By `StepIx`.
    pub steps: Vec<StepTimes>,
}

impl RunView {
    /// The times of the dry run, by `StepIx`; replaces the simple plan made from estimates alone.
    pub fn set_baseline(&mut self, steps: Vec<StepTimes>) {
        if steps.len() == self.graph.step_count() {
            self.baseline = steps;
        }
    }

    /// What the plan said of this step when the run started.
    #[must_use]
    pub fn planned(&self, step: StepIx) -> Option<StepTimes> {
        self.baseline.get(step.index()).copied()
    }

    /// When the plan would have ended.
    #[must_use]
    pub fn planned_finish(&self) -> Option<Timestamp> {
        self.baseline.iter().map(|t| t.end).max()
    }

    #[must_use]
    pub fn forecast(&self, now: Timestamp) -> Forecast {
        let steps = self.pass(now, |ix, ready| self.expected_times(ix, ready, now));
        let finish = steps.iter().map(|t| t.end).max().unwrap_or(now);
        let ahead = self.planned_finish().map_or(SignedDuration::ZERO, |plan| plan.duration_since(finish));
        Forecast { finish, ahead, slack: self.slack(&steps), steps }
    }

    /// When the old version would be up again: of the rollback that runs, else of one that would start now.
    #[must_use]
    pub fn up_again(&self, now: Timestamp) -> Timestamp {
        if self.rollback.is_none() {
            return after(now, self.rollback_now);
        }
        let undone = self.undo_pass(now, |row| self.undo_left(row, now));
        after(undone, self.proof_left(now))
    }

    /// Expected length of the rollback, as it looked when it was decided.
    #[must_use]
    pub fn rollback_estimate(&self) -> Option<SignedDuration> {
        self.rollback.as_ref().map(|_| self.rollback_now)
    }

    pub(super) fn plan_times(&self, opens: Timestamp) -> Vec<StepTimes> {
        self.pass(opens, |ix, ready| {
            let start = ready.max(opens);
            StepTimes { start, end: self.end_of(ix, start) }
        })
    }

    /// Visits steps after all they need; `times` gets the end of the last of these (`from` where there are none).
    fn pass(&self, from: Timestamp, times: impl Fn(StepIx, Timestamp) -> StepTimes) -> Vec<StepTimes> {
        let mut all = vec![StepTimes { start: from, end: from }; self.graph.step_count()];
        for ix in self.graph.topological() {
            let ready = self.graph.all_needs(ix).map(|n| all[n.index()].end).max();
            all[ix.index()] = times(ix, ready.unwrap_or(Timestamp::MIN));
        }
        all
    }

    fn expected_times(&self, ix: StepIx, ready: Timestamp, now: Timestamp) -> StepTimes {
        let span = self.spans[ix.index()];
        let opens = self.opens().unwrap_or(now);
        let Some(start) = span.started else {
            if self.row_over(ix.index()) {
                let at = span.ended.unwrap_or(now);
                return StepTimes { start: at, end: at };
            }
            let start = ready.max(now).max(opens);
            return StepTimes { start, end: self.end_of(ix, start) };
        };
        if self.row_over(ix.index()) {
            return StepTimes { start, end: span.ended.unwrap_or(now) };
        }
        let whole = self.end_of(ix, start);
        let awaits_canary = self.count(ix.index(), ActionState::Done) == 0;
        let left = after(now, self.length(ix, self.rounds(ix, awaits_canary, |i| self.is_left(i))));
        let again = self.members(ix.index()).any(|i| self.actions[i].state == ActionState::Failed);
        StepTimes { start, end: if again { left } else { whole.min(left).max(now) } }
    }

    /// Whether an action has not ended, or nobody has answered its failure yet: it would be tried again.
    fn is_left(&self, ix: ActionIx) -> bool {
        let action = &self.actions[ix.index()];
        match action.state {
            ActionState::Done | ActionState::Skipped => false,
            ActionState::Failed => !action.tolerated,
            _ => true,
        }
    }

    /// In how many rounds these actions of a step are taken, before or after its canary, where it has one.
    fn rounds(&self, ix: StepIx, awaits_canary: bool, which: impl Fn(ActionIx) -> bool) -> usize {
        let graph = &self.graph;
        let canary = awaits_canary && graph.step(ix).fleet.canary;
        self.batches.taken_of(graph, ix, graph.actions_of(ix).filter(|a| which(*a)), canary, usize::MAX).rounds
    }

    fn end_of(&self, ix: StepIx, start: Timestamp) -> Timestamp {
        let step = self.graph.step(ix);
        if let Verb::Wait(Wait::At(at)) = step.verb {
            return at.max(start);
        }
        after(start, self.length(ix, self.rounds(ix, true, |_| true)))
    }

    /// Expected time for so many rounds of a step.
    fn length(&self, ix: StepIx, rounds: usize) -> SignedDuration {
        let step = self.graph.step(ix);
        let one = match step.verb {
            Verb::Wait(Wait::For(d)) => d,
            _ => step.estimate_or_zero().expected,
        };
        one.saturating_mul(i32::try_from(rounds).unwrap_or(i32::MAX))
    }

    fn slack(&self, steps: &[StepTimes]) -> Option<SignedDuration> {
        let closes = self.closes.filter(|_| self.reversible())?;
        let last = self.graph.step_ixs().filter(|ix| decides(self.graph.step(*ix))).map(|ix| steps[ix.index()].end);
        let full = self.full_rollback();
        let by = before(before(closes, self.reserve()), full);
        last.max().map(|last| by.duration_since(last))
    }

    /// Worst-case time to undo every step that can be undone, proof included.
    #[must_use]
    pub fn full_rollback(&self) -> SignedDuration {
        let zero = Timestamp::UNIX_EPOCH;
        let all = self.undo_pass(zero, |row| self.undo_length(row, true));
        let proof = self.graph.plan().after_rollback.as_ref();
        all.duration_since(zero) + proof.map_or(SignedDuration::ZERO, |s| s.estimate_or_zero().worst)
    }

    /// Visits steps before all they need and adds up what undoing takes. A step without an undo passes its time on.
    fn undo_pass(&self, from: Timestamp, left: impl Fn(usize) -> SignedDuration) -> Timestamp {
        let mut ends = vec![from; self.graph.step_count()];
        let mut last = from;
        for ix in self.graph.topological().into_iter().rev() {
            let ready = self.graph.all_dependants(ix).map(|d| ends[d.index()]).max().unwrap_or(from);
            let end = after(ready, left(ix.index()));
            ends[ix.index()] = end;
            last = last.max(end);
        }
        last
    }

    fn undo_length(&self, row: usize, worst: bool) -> SignedDuration {
        let step = self.graph.step(StepIx(row as u32));
        let hosts = self.members(row).len();
        let one = step
            .rollback()
            .map_or(SignedDuration::ZERO, |r| if worst { r.estimate.worst } else { r.estimate.expected });
        one * undo_batches(step, hosts)
    }

    fn undo_left(&self, row: usize, now: Timestamp) -> SignedDuration {
        if !self.members(row).any(|i| self.needs_undo(i)) {
            return SignedDuration::ZERO;
        }
        let whole = self.undo_length(row, false);
        let gone = self.spans[row].undo_started.map_or(SignedDuration::ZERO, |from| now.duration_since(from));
        (whole - gone).max(SignedDuration::ZERO)
    }

    fn proof_left(&self, now: Timestamp) -> SignedDuration {
        let Some(proof) = &self.graph.plan().after_rollback else { return SignedDuration::ZERO };
        let span = self.spans[self.counts.len() - 1];
        if span.told_done {
            return SignedDuration::ZERO;
        }
        let gone = span.started.map_or(SignedDuration::ZERO, |from| now.duration_since(from));
        (proof.estimate_or_zero().expected - gone).max(SignedDuration::ZERO)
    }
}

/// Whether a step can decide against the release: a test, a request or a person.
fn decides(step: &Step) -> bool {
    step.gate.is_some() || step.judges()
}

/// A rollback goes by `at_once` alone.
fn undo_batches(step: &Step, hosts: usize) -> i32 {
    if matches!(step.place, Place::Nowhere | Place::Controller) {
        return 1;
    }
    let at_once = step.fleet.at_once.map_or(hosts, |s| s.at_least_one_of(hosts)).max(1);
    i32::try_from(hosts.div_ceil(at_once)).unwrap_or(i32::MAX)
}

/// `t + d`, held inside the range of instants.
pub(super) fn after(t: Timestamp, d: SignedDuration) -> Timestamp {
    t.checked_add(d).unwrap_or(if d.is_negative() { Timestamp::MIN } else { Timestamp::MAX })
}

fn before(t: Timestamp, d: SignedDuration) -> Timestamp {
    after(t, -d)
}
