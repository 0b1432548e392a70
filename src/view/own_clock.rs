//! What the clock of a run shows to whoever watches it: that of a rehearsal is its own. Asks no clock.

use jiff::{SignedDuration, Timestamp};

use super::action_view::{ActionState, ActionView};
use super::run_view::RunView;
use crate::engine::fact::Pace;
use crate::graph::ids::Direction;
use crate::plan::model::OnDeadline;

/// How far whoever watches a rehearsal is behind it.
const BEHIND: SignedDuration = SignedDuration::from_millis(200);

impl RunView {
    /// What the clock of the run shows at this instant, where an engine drives it. That of a rehearsal stands still at what
    /// is due next until it is recorded: the evening is not late because this machine is slow, or because what happened is
    /// only on its way here.
    #[must_use]
    pub fn on_its_clock(&self, now: Timestamp) -> Timestamp {
        let shown = self.on_its_own(now);
        let next = self.pace().and_then(|_| self.due_next());
        next.map_or(shown, |next| shown.min(self.last_at.map_or(next, |last| last.max(next))))
    }

    /// The same where nobody drives it: the evening goes on all the same.
    #[must_use]
    pub fn on_its_own(&self, now: Timestamp) -> Timestamp {
        let Some(pace) = self.pace() else { return now };
        if let Some((over, _)) = self.end() {
            return *over;
        }
        let seen = pace.at(now.saturating_sub(BEHIND).unwrap_or(now));
        self.last_at.map_or(seen, |last| last.max(seen))
    }

    fn pace(&self) -> Option<Pace> {
        self.header().and_then(|run| run.options.rehearsal)
    }

    /// The first instant at which something will have to be recorded, as far as the facts tell.
    fn due_next(&self) -> Option<Timestamp> {
        let ends = self.actions.iter().filter_map(|action| self.due(action));
        ends.chain(self.rolls_back_by_itself_at()).min()
    }

    /// When what an action does now is over: in a rehearsal everything takes as long as it is expected to.
    fn due(&self, action: &ActionView) -> Option<Timestamp> {
        if matches!(action.state, ActionState::Soaking | ActionState::BackingOff) {
            return action.until;
        }
        let plan = self.graph.plan();
        let step = action.step.map(|step| self.graph.step(step)).or(plan.after_rollback.as_ref())?;
        let expected = match action.part()? {
            Direction::Do => step.estimate_or_zero().expected,
            Direction::Undo => step.rollback().map(|rollback| rollback.estimate.expected).unwrap_or_default(),
            // They are within the estimate of the work.
            _ => SignedDuration::ZERO,
        };
        action.attempt_started?.checked_add(expected).ok()
    }

    fn rolls_back_by_itself_at(&self) -> Option<Timestamp> {
        let by_itself = self.header()?.window?.on_deadline != OnDeadline::Warn;
        self.roll_back_by().filter(|_| by_itself && self.rollback().is_none())
    }
}
