//! Rollback horizons: whose undo expires with which step. Knows nothing of what has run.
//!
//! A step that `opens` something lets new data in. From the moment it has begun, an undo that may be executed only `until`
//! then would lose that data, so it has expired: the run goes forward only, unless people decide otherwise.

use super::action::StepIx;
use super::build::Graph;
use super::render::never_wanted;
use crate::plan::model::{Step, Undo};

impl Graph {
    /// The steps whose undo expires as soon as this one has begun. Not those of which it is certain that they never run.
    #[must_use]
    pub fn expires_with(&self, step: StepIx) -> Vec<StepIx> {
        let Some(name) = &self.step(step).opens else { return Vec::new() };
        let named = |s: &StepIx| until(self.step(*s)) == Some(name) && !never_wanted(self, *s);
        self.step_ixs().filter(named).collect()
    }

    /// The steps with which undos expire, in the plan's order.
    #[must_use]
    pub fn horizons(&self) -> Vec<StepIx> {
        self.step_ixs().filter(|s| !self.expires_with(*s).is_empty()).collect()
    }

    /// Whether everything goes forward only once this step has begun.
    #[must_use]
    pub fn ends_the_way_back(&self, step: StepIx) -> bool {
        matches!(self.step(step).undo, Undo::Irreversible(_)) || !self.expires_with(step).is_empty()
    }

    /// The horizons that an approval of this gate leads to, with no other question in between.
    #[must_use]
    pub fn horizons_after(&self, gate: StepIx) -> Vec<StepIx> {
        let horizons = self.horizons();
        let (mut found, mut seen, mut open) = (Vec::new(), vec![gate], vec![gate]);
        while let Some(step) = open.pop() {
            for next in self.all_dependants(step) {
                if self.step(next).gate.is_none() && !seen.contains(&next) {
                    seen.push(next);
                    open.push(next);
                    found.extend(horizons.contains(&next).then_some(next));
                }
            }
        }
        found.sort_unstable();
        found
    }

    /// Whether some question comes before this step.
    #[must_use]
    pub fn is_asked_before(&self, step: StepIx) -> bool {
        let (mut seen, mut open) = (vec![step], vec![step]);
        while let Some(step) = open.pop() {
            for need in self.all_needs(step) {
                if self.step(need).gate.is_some() {
                    return true;
                }
                if !seen.contains(&need) {
                    seen.push(need);
                    open.push(need);
                }
            }
        }
        false
    }
}

/// What expires the undo of a step, where something does.
#[must_use]
pub fn until(step: &Step) -> Option<&String> {
    step.rollback()?.until.as_ref()
}
