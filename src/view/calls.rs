//! Whom it is time to call: people whose gate is expected within the time that its plan says they must be called before.
//! Knows nothing of who was called already.

use jiff::Timestamp;

use super::action_view::ActionState;
use super::run_view::RunView;
use crate::graph::ids::ActionId;

/// Somebody is needed soon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub gate: ActionId,
    /// When the question is expected.
    pub expected: Timestamp,
    /// When the plan had it.
    pub planned: Option<Timestamp>,
}

impl RunView {
    /// The gates with a `call_ahead` that are expected within it, in the plan's order. None once the run goes back.
    #[must_use]
    pub fn calls_due(&self, now: Timestamp) -> Vec<Call> {
        if self.end().is_some() || self.rollback().is_some() || self.opens().is_none_or(|opens| opens > now) {
            return Vec::new();
        }
        let steps = self.forecast(now).steps;
        let rows = self.rows().filter(|row| row.state == ActionState::Waiting);
        let due = rows.filter_map(|row| {
            let ahead = row.step.gate.as_ref()?.call_ahead?;
            let expected = steps[row.ix.index()].start;
            let gate = self.actions_of(row.ix).next()?.id.clone();
            let planned = self.planned(row.ix).map(|times| times.start);
            (expected.duration_since(now) <= ahead).then_some(Call { gate, expected, planned })
        });
        due.collect()
    }
}
