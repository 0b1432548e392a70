//! The runs of one plan, one after the other: does it get longer, and does it leave less room? Made of write-ups; knows
//! nothing of journals.

mod data;
mod html;
mod spark;
mod text;

use jiff::{SignedDuration, Timestamp};

use super::clock::Clock;
use super::write_up::{StepLine, WriteUp};
use crate::engine::fact::RunEnd;
use crate::schedule::middle;

pub use spark::Ink;

/// One run at a glance.
#[derive(Debug, Clone)]
pub struct Night {
    pub run: String,
    /// Of a plan in waves: the one that it was.
    pub wave: Option<String>,
    pub began: Timestamp,
    /// `None` while it is not over.
    pub ended: Option<Timestamp>,
    /// From the opening to the end; so far, of a run that is not over.
    pub length: SignedDuration,
    pub planned: Option<SignedDuration>,
    /// What was left until the close; negative where it was passed. `None` without a window, and while it is not over.
    pub left: Option<SignedDuration>,
    /// What took longest.
    pub longest: Option<(String, SignedDuration)>,
    /// What each step took, of those that were done.
    pub steps: Vec<(String, SignedDuration)>,
    /// `None` while it is not over.
    pub end: Option<RunEnd>,
    pub verdict: String,
    pub defects: usize,
    clock: Clock,
}

impl Night {
    /// As of `now`, which only counts for a run that is not over.
    #[must_use]
    pub fn of(run: WriteUp, now: Timestamp) -> Self {
        let took = |line: &StepLine| line.state.was_done().then(|| Some((line.step.clone(), line.actual()?))).flatten();
        let steps: Vec<(String, SignedDuration)> = run.steps.iter().filter_map(took).collect();
        let closes = run.window.map(|(_, closes)| closes);
        Self {
            began: run.began,
            ended: run.ended,
            length: run.ended.unwrap_or(now).duration_since(run.began),
            planned: run.planned_end.map(|end| end.duration_since(run.began)),
            left: closes.zip(run.ended).map(|(closes, ended)| closes.duration_since(ended)),
            longest: steps.iter().max_by_key(|(_, took)| *took).cloned(),
            steps,
            defects: run.defects.len(),
            run: run.run,
            wave: run.wave_name,
            end: run.end,
            verdict: run.verdict,
            clock: run.clock,
        }
    }

    /// In one or two words.
    const fn outcome(&self) -> &'static str {
        match &self.end {
            Some(RunEnd::Succeeded { late: false }) => "done",
            Some(RunEnd::Succeeded { late: true }) => "done late",
            Some(RunEnd::RolledBack { .. }) => "rolled back",
            Some(RunEnd::Stuck { .. }) => "HALF-WAY",
            Some(RunEnd::Rejected) => "rejected",
            None => "not over",
        }
    }

    const fn succeeded(&self) -> bool {
        matches!(self.end, Some(RunEnd::Succeeded { .. }))
    }
}

/// What one step took, run by run.
#[derive(Debug, Clone, PartialEq)]
pub struct Course<'a> {
    pub step: &'a str,
    /// `None` where it was not done.
    pub took: Vec<Option<SignedDuration>>,
}

impl Course<'_> {
    fn known(&self) -> Vec<SignedDuration> {
        self.took.iter().flatten().copied().collect()
    }

    fn middle(&self) -> SignedDuration {
        middle(&self.known()).unwrap_or_default()
    }

    /// How much longer it took the last time than mostly.
    fn last_against_the_middle(&self) -> Option<SignedDuration> {
        let known = self.known();
        (known.len() > 1).then(|| Some(*known.last()? - self.middle())).flatten()
    }
}

/// Everything the page says.
#[derive(Debug, Clone)]
pub struct Trend {
    pub title: String,
    /// The plan's file without its ending.
    pub plan: String,
    /// Oldest first.
    pub nights: Vec<Night>,
    /// What is left out, in sentences.
    pub left_out: Vec<String>,
}

impl Trend {
    /// Each step of any run, those that mostly take longest first.
    fn courses(&self) -> Vec<Course<'_>> {
        let mut names: Vec<&str> = Vec::new();
        for (step, _) in self.nights.iter().flat_map(|n| &n.steps) {
            if !names.contains(&step.as_str()) {
                names.push(step);
            }
        }
        let took = |night: &Night, step: &str| night.steps.iter().find(|(s, _)| s == step).map(|(_, took)| *took);
        let course = |step| Course { step, took: self.nights.iter().map(|n| took(n, step)).collect() };
        let mut all: Vec<Course<'_>> = names.into_iter().map(course).collect();
        all.sort_by_key(|c| std::cmp::Reverse(c.middle()));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_run_is_no_trend() {
        let last = |minutes: &[Option<i64>]| {
            let took = minutes.iter().map(|m| m.map(SignedDuration::from_mins)).collect();
            Course { step: "deploy", took }.last_against_the_middle().map(|d| d.as_mins())
        };
        assert_eq!(last(&[Some(5)]), None);
        assert_eq!(last(&[Some(5), None]), None, "only one was done");
        assert_eq!(last(&[Some(5), Some(6), None, Some(9)]), Some(3));
    }
}
