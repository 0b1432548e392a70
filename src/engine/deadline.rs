//! *Roll back by*, forward admission, the stop decision in time, and when to be woken. Knows no clock.

use jiff::{SignedDuration, Timestamp};

use super::apply::SILENCE;
use super::decide::Decision;
use super::effect::Effect;
use super::fact::{Actor, Admission, Fact, HoldAnswer, HoldReason, RollbackCause, RunEnd};
use super::state::{ActionState, Doing, Phase, State};
use crate::graph::ActionIx;
use crate::plan::model::{OnDeadline, OnStop, Undo};
use crate::schedule::{Network, Pace};

/// Warnings come at these rooms.
const WARN_AT: [SignedDuration; 4] = [
    SignedDuration::from_mins(5),
    SignedDuration::from_mins(15),
    SignedDuration::from_mins(30),
    SignedDuration::from_mins(60),
];
/// `on_deadline: ask` asks this long before *roll back by*.
const ASK_BEFORE: SignedDuration = SignedDuration::from_mins(10);
/// Without a window, an unreachable host is waited for this long during a rollback.
const UNDO_PATIENCE: SignedDuration = SignedDuration::from_mins(10);

/// Whether a rollback that cannot reach a host should go on trying.
pub fn time_left_for_undo(state: &State, now: Timestamp) -> bool {
    let Phase::RollingBack { since, .. } = state.phase() else { return false };
    let patience = since.checked_add(UNDO_PATIENCE).unwrap_or(Timestamp::MAX);
    now < state.window().map_or(patience, |w| w.closes.max(patience))
}

impl Decision<'_> {
    /// Whether the action may still start: it, and the rollback after it, would end in time.
    ///
    /// Steps that change nothing are always admitted: they add nothing to the rollback, and *roll back by* ends them.
    pub fn admit(&mut self, ix: ActionIx) -> bool {
        let policy = self.on_deadline();
        let Some(numbers) = self.refusal(ix).filter(|_| policy != OnDeadline::Warn) else { return true };
        let action = self.id(ix);
        self.record(Fact::AdmissionRefused { action: action.clone(), numbers });
        if policy == OnDeadline::Ask && !self.state.no_input() {
            self.hold(HoldReason::Deadline, HoldAnswer::Rollback);
        } else {
            self.stop(RollbackCause::Admission { action });
        }
        false
    }

    /// Whether it would be admitted now.
    pub fn fits(&self, ix: ActionIx) -> bool {
        self.on_deadline() == OnDeadline::Warn || self.refusal(ix).is_none()
    }

    fn on_deadline(&self) -> OnDeadline {
        self.state.window().map_or(OnDeadline::Warn, |w| w.on_deadline)
    }

    fn refusal(&self, ix: ActionIx) -> Option<Admission> {
        let graph = self.state.graph();
        let step = graph.step_of(ix);
        if !self.state.reversible() || !step.changes_something() || self.state.deadline_asked {
            return None;
        }
        let irreversible = matches!(step.undo, Undo::Irreversible(_));
        // What should open a horizon may turn out to have done nothing: until then the way back must be free as well.
        let back = if irreversible { None } else { self.no_way_back_after(ix) };
        let forward_only = irreversible || self.state.would_cross(ix);
        back.or_else(|| if forward_only { self.no_way_on_after(ix) } else { None })
    }

    /// The rollback of everything, this action included, would not fit.
    fn no_way_back_after(&self, ix: ActionIx) -> Option<Admission> {
        let graph = self.state.graph();
        let rollback = self.state.cost.with_one_more(graph, graph.action(ix).step);
        let roll_back_by = self.state.start_of(rollback)?;
        let ends = self.worst_end(ix, self.now).max(self.protected_end());
        (ends > roll_back_by).then_some(Admission { ends, rollback, roll_back_by })
    }

    /// From there it is only forward, and all that follows would not fit.
    fn no_way_on_after(&self, ix: ActionIx) -> Option<Admission> {
        let graph = self.state.graph();
        let closes = self.state.window()?.closes;
        let order = self.state.run().and_then(|run| run.order.as_ref());
        let remaining = Network::new(graph, Pace::Worst).keeping(order).remaining();
        let ends = self.now + remaining[graph.action(ix).step.index()];
        let rollback = SignedDuration::ZERO;
        (ends > closes).then_some(Admission { ends, rollback, roll_back_by: closes })
    }

    fn worst_end(&self, ix: ActionIx, since: Timestamp) -> Timestamp {
        let step = self.state.graph().step_of(ix);
        let worst = match step.on_stop {
            OnStop::Protect => step.timeout.unwrap_or(step.estimate_or_zero().worst),
            OnStop::Finish | OnStop::Kill => step.estimate_or_zero().worst,
        };
        since.checked_add(worst).unwrap_or(Timestamp::MAX)
    }

    /// When the last running step that may not be killed ends at worst.
    fn protected_end(&self) -> Timestamp {
        if !self.state.protects {
            return Timestamp::MIN;
        }
        let ends = self.state.open.iter().filter_map(|ix| match &self.state.action(*ix).doing {
            Doing::Running { since, .. } if self.state.graph().step_of(*ix).on_stop == OnStop::Protect => {
                Some(self.worst_end(*ix, *since))
            }
            _ => None,
        });
        ends.max().unwrap_or(Timestamp::MIN)
    }

    pub fn watch_deadline(&mut self) {
        self.answer_overdue_hold();
        let (Some(by), true) = (self.state.roll_back_by(), self.state.is_forward()) else { return };
        if self.state.all_satisfied() && self.state.hold().is_none() {
            return;
        }
        let policy = self.state.window().map_or(OnDeadline::Warn, |w| w.on_deadline);
        self.warn_of_little_room(by);
        match policy {
            OnDeadline::Warn => {}
            OnDeadline::Rollback | OnDeadline::Ask if self.now >= by => self.deadline_passed(),
            OnDeadline::Rollback => {}
            OnDeadline::Ask => {
                let soon = by.checked_sub(ASK_BEFORE).unwrap_or(by);
                let may_ask = !self.state.deadline_asked && !self.state.no_input() && self.state.hold().is_none();
                if self.now >= soon && may_ask {
                    self.hold(HoldReason::Deadline, HoldAnswer::Rollback);
                }
            }
        }
    }

    fn deadline_passed(&mut self) {
        let open: Vec<ActionIx> = self.state.open.iter().copied().collect();
        for ix in open {
            if matches!(self.state.action(ix).doing, Doing::Asking { .. }) {
                self.time_gate_out(ix);
            }
        }
        self.stop(RollbackCause::Deadline);
    }

    /// Only the time in which a person may hold an automatic rollback ends by itself; all other holds end with the
    /// deadline.
    fn answer_overdue_hold(&mut self) {
        let Some(hold) = self.state.hold() else { return };
        let HoldReason::RollbackGrace { cause } = &hold.reason else { return };
        if hold.limit.is_some_and(|limit| limit <= self.now) {
            let cause = cause.clone();
            self.record(Fact::HoldAnswered { answer: HoldAnswer::Rollback, by: Actor::engine(), note: None });
            self.stop(cause);
        }
    }

    fn warn_of_little_room(&mut self, by: Timestamp) {
        let room = by.duration_since(self.now);
        let Some(level) = WARN_AT.into_iter().find(|level| room <= *level) else { return };
        if room.is_positive() && self.state.room_warned.is_none_or(|warned| level < warned) {
            self.record(Fact::RoomWarning { room: level });
        }
    }

    /// The stop decision. With nothing armed there is nothing to undo, and the run was refused rather than stopped.
    pub fn stop(&mut self, cause: RollbackCause) {
        if self.state.attempts_armed == 0 {
            return self.end(RunEnd::Rejected);
        }
        self.record(Fact::RollbackDecided { cause });
    }

    /// Records *roll back by* whenever the minute that people see changes.
    pub fn show_roll_back_by(&mut self) {
        if !matches!(self.state.phase(), Phase::Waiting | Phase::Forward { .. }) || self.state.window().is_none() {
            return;
        }
        let minute = |t: Option<Timestamp>| t.map(|t| t.as_second().div_euclid(60));
        let at = self.state.roll_back_by();
        if minute(at) != minute(self.state.roll_back_by_shown) {
            let rollback_now = self.state.rollback_now();
            self.record(Fact::RollBackByMoved { at, rollback_now });
        }
    }

    pub fn ask_to_be_woken(&mut self) {
        if let Some(at) = self.next_wake() {
            self.effect(Effect::WakeAt(at));
        }
    }

    fn next_wake(&self) -> Option<Timestamp> {
        let state = &*self.state;
        let opens = state.window().map(|w| w.opens).filter(|_| *state.phase() == Phase::Waiting);
        let grace = state.hold().filter(|h| matches!(h.reason, HoldReason::RollbackGrace { .. })).and_then(|h| h.limit);
        let kills = state.kill_by.filter(|at| state.is_rolling_back() && *at > self.now);
        let timer = state.first_timer().map(|(at, ..)| at.max(self.now));
        let room = state.roll_back_by().filter(|_| state.is_forward()).and_then(|by| self.next_room_event(by));
        let after = state.after().values().filter_map(|a| self.wake_for_test(a)).min();
        [opens, grace, kills, timer, room, after].into_iter().flatten().min()
    }

    /// The test of the old version keeps its own time: its next try, or the end of our patience with its host.
    fn wake_for_test(&self, a: &ActionState) -> Option<Timestamp> {
        match &a.doing {
            Doing::Retrying { at, .. } => Some(*at),
            Doing::Running { since, .. } => since.checked_add(self.patience_with_test()).ok(),
            _ => None,
        }
    }

    /// How long the test of the old version may be silent.
    pub fn patience_with_test(&self) -> SignedDuration {
        let step = self.state.graph().plan().after_rollback.as_ref();
        step.and_then(|s| s.timeout).unwrap_or(UNDO_PATIENCE) + SILENCE
    }

    /// *Roll back by* itself, or the next warning before it.
    fn next_room_event(&self, by: Timestamp) -> Option<Timestamp> {
        let before = WARN_AT.into_iter().chain([ASK_BEFORE, SignedDuration::ZERO]);
        before.filter_map(|d| by.checked_sub(d).ok()).filter(|at| *at > self.now).min()
    }
}
