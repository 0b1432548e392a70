//! Two runs side by side: what each step took, what only one of them has, where the time went, who decided what. Made of
//! two write-ups; knows nothing of journals.

mod data;
mod html;
mod text;

use std::cmp::Reverse;

use jiff::{SignedDuration, Timestamp};

use super::write_up::{StepLine, WriteUp};
use crate::view::ActionState;

/// What two runs have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kinship {
    /// Exactly the same plan.
    Same,
    /// Two versions of one plan: what is different, one line each.
    Versions(Vec<String>),
    /// Of different plans: only the names of steps can be compared.
    Strangers,
}

impl Kinship {
    const fn word(&self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Versions(_) => "versions",
            Self::Strangers => "different",
        }
    }
}

/// A step of one run or of both.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    pub step: String,
    pub a: Option<StepLine>,
    pub b: Option<StepLine>,
}

impl Pair {
    /// How much longer it took in the second run; `None` where it was not done in both.
    #[must_use]
    pub fn difference(&self) -> Option<SignedDuration> {
        let took = |line: &Option<StepLine>| line.as_ref().filter(|l| l.state.was_done()).and_then(StepLine::actual);
        Some(took(&self.b)? - took(&self.a)?)
    }
}

const fn is_final(state: ActionState) -> bool {
    state.was_done() || matches!(state, ActionState::Skipped | ActionState::Failed | ActionState::Parked)
}

/// Everything the comparison says. `a` is what `b` is held against.
#[derive(Debug, Clone)]
pub struct Comparison {
    pub a: WriteUp,
    pub b: WriteUp,
    pub kinship: Kinship,
    pub steps: Vec<Pair>,
    /// As of when a run that is not over is told.
    now: Timestamp,
}

impl Comparison {
    /// `changes`: what is different about the second run's plan, one line each.
    #[must_use]
    pub fn of(a: WriteUp, b: WriteUp, changes: Vec<String>, now: Timestamp) -> Self {
        let kinship = match () {
            () if a.digest == b.digest => Kinship::Same,
            () if a.plan == b.plan || a.title == b.title => Kinship::Versions(changes),
            () => Kinship::Strangers,
        };
        let steps = pairs(&a.steps, &b.steps);
        Self { a, b, kinship, steps, now }
    }

    /// Both, with what they are called here.
    fn both(&self) -> [(&'static str, &WriteUp); 2] {
        [("A", &self.a), ("B", &self.b)]
    }

    /// From the opening to the end; so far, of a run that is not over.
    fn length(&self, run: &WriteUp) -> SignedDuration {
        run.ended.unwrap_or(self.now).duration_since(run.began)
    }

    /// How much longer the second run took; `None` where they did not both do everything.
    fn longer(&self) -> Option<SignedDuration> {
        (self.a.succeeded() && self.b.succeeded()).then(|| self.length(&self.b) - self.length(&self.a))
    }

    /// Steps that took longer in the second run, or less long; the most first. Less than a second is nothing.
    fn apart(&self, slower: bool) -> Vec<(&str, SignedDuration)> {
        let all = self.steps.iter().filter_map(|p| Some((p.step.as_str(), p.difference()?)));
        let mut found: Vec<_> = all.filter(|(_, d)| d.as_secs() != 0 && d.is_positive() == slower).collect();
        found.sort_by_key(|(_, d)| Reverse(d.abs()));
        found
    }

    /// Steps that both have and left otherwise, with how: in the order in which the first way comes up. What goes on is not
    /// left yet.
    fn ended_otherwise(&self) -> Vec<((ActionState, ActionState), Vec<&str>)> {
        let left = |run: &WriteUp, state: ActionState| run.ended.is_some() || is_final(state);
        let mut found: Vec<((ActionState, ActionState), Vec<&str>)> = Vec::new();
        for pair in &self.steps {
            let (Some(a), Some(b)) = (&pair.a, &pair.b) else { continue };
            if a.state == b.state || !left(&self.a, a.state) || !left(&self.b, b.state) {
                continue;
            }
            let how = (a.state, b.state);
            match found.iter_mut().find(|(known, _)| *known == how) {
                Some((_, steps)) => steps.push(&pair.step),
                None => found.push((how, vec![&pair.step])),
            }
        }
        found
    }

    /// The names of the steps that only one run has.
    fn only(&self, in_a: bool) -> Vec<&str> {
        let lonely = |p: &&Pair| if in_a { p.b.is_none() } else { p.a.is_none() };
        self.steps.iter().filter(lonely).map(|p| p.step.as_str()).collect()
    }
}

/// In the order of the first run; what only the second has comes behind the step that it follows there.
fn pairs(a: &[StepLine], b: &[StepLine]) -> Vec<Pair> {
    let in_b = |step: &str| b.iter().find(|l| l.step == step).cloned();
    let mut all: Vec<Pair> =
        a.iter().map(|l| Pair { step: l.step.clone(), a: Some(l.clone()), b: in_b(&l.step) }).collect();
    let mut at = 0;
    for line in b {
        match all.iter().position(|p| p.step == line.step) {
            Some(found) => at = found + 1,
            None => {
                all.insert(at, Pair { step: line.step.clone(), a: None, b: Some(line.clone()) });
                at += 1;
            }
        }
    }
    all
}
