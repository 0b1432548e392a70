//! Where the time of a night went: every instant counted once. Knows nothing of how it is shown.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::StepLine;
use crate::plan::model::{Step, Verb};

/// What a step's time is spent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Work,
    Tests,
    People,
    Waiting,
}

impl Kind {
    #[must_use]
    pub const fn of(step: &Step) -> Self {
        match step.verb {
            Verb::Gate => Self::People,
            Verb::Test(_) | Verb::Http(_) => Self::Tests,
            Verb::Wait(_) => Self::Waiting,
            _ => Self::Work,
        }
    }
}

/// Sums of disjoint times. While several things went on, the first of rollback, work, tests, people counts; where none
/// did, it was waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    pub people: SignedDuration,
    pub tests: SignedDuration,
    pub work: SignedDuration,
    pub rollback: SignedDuration,
    pub waiting: SignedDuration,
}

impl Spent {
    pub(super) fn of(steps: &[StepLine], began: Timestamp, ended: Timestamp) -> Self {
        let mut edges = BTreeSet::from([began, ended]);
        for step in steps {
            let undo = step.undo.map(|(from, to)| [Some(from), to]).into_iter().flatten();
            edges.extend([step.started, step.ended].into_iter().chain(undo).flatten());
        }
        let edges: Vec<Timestamp> = edges.range(began..=ended).copied().collect();
        let mut spent = Self::default();
        for pair in edges.windows(2) {
            *spent.slot(steps, pair[0], ended) += pair[1].duration_since(pair[0]);
        }
        spent
    }

    fn slot(&mut self, steps: &[StepLine], at: Timestamp, now: Timestamp) -> &mut SignedDuration {
        let covers = |from: Timestamp, to: Option<Timestamp>| from <= at && at < to.unwrap_or(now);
        if steps.iter().any(|s| s.undo.is_some_and(|(from, to)| covers(from, to))) {
            return &mut self.rollback;
        }
        let running = steps.iter().filter(|s| s.started.is_some_and(|from| covers(from, s.ended)));
        match running.map(|s| s.kind).min() {
            Some(Kind::Work) => &mut self.work,
            Some(Kind::Tests) => &mut self.tests,
            Some(Kind::People) => &mut self.people,
            Some(Kind::Waiting) | None => &mut self.waiting,
        }
    }

    /// The parts that people compare, largest first as the screens list them.
    #[must_use]
    pub fn parts(&self) -> [(&'static str, SignedDuration); 5] {
        [
            ("people", self.people),
            ("tests", self.tests),
            ("work", self.work),
            ("rollback", self.rollback),
            ("waiting", self.waiting),
        ]
    }

    #[must_use]
    pub fn all(&self) -> SignedDuration {
        self.parts().into_iter().map(|(_, d)| d).sum()
    }
}
