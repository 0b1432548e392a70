//! What becomes of the attempts of a rehearsal: each takes as long as it is expected to, and succeeds unless it was chosen
//! to fail. Knows no clock.

use std::sync::Arc;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::graph::Graph;
use crate::graph::ids::{ActionId, AttemptId, Direction};
use crate::graph::outcome::{Evidence, Outcome};
use crate::plan::model::Step;

/// A step that fails in a rehearsal, on all of its hosts or on one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failing {
    pub step: String,
    pub host: Option<String>,
}

impl Failing {
    /// `STEP[@HOST]`
    #[must_use]
    pub fn of(text: &str) -> Self {
        let (step, host) = text.split_once('@').map_or((text, None), |(step, host)| (step, Some(host)));
        Self { step: step.to_owned(), host: host.map(str::to_owned) }
    }

    fn hits(&self, action: &ActionId) -> bool {
        self.step == action.step() && self.host.as_deref().is_none_or(|host| action.host() == Some(host))
    }
}

/// See the module's documentation.
#[derive(Debug, Clone)]
pub struct Model {
    graph: Arc<Graph>,
    failing: Vec<Failing>,
}

impl Model {
    #[must_use]
    pub const fn new(graph: Arc<Graph>, failing: Vec<Failing>) -> Self {
        Self { graph, failing }
    }

    fn step(&self, attempt: &AttemptId) -> Option<&Step> {
        let plan = self.graph.plan();
        let proof = plan.after_rollback.as_ref().filter(|step| step.id == attempt.action.step());
        plan.steps.get(attempt.action.step()).or(proof)
    }

    /// The estimate of a step covers its drain, its restart and its proof, and that of a gate is the person's.
    #[must_use]
    pub fn takes(&self, attempt: &AttemptId) -> SignedDuration {
        let step = self.step(attempt);
        let expected = match attempt.direction {
            Direction::Do => step.filter(|s| s.gate.is_none()).map(|s| s.estimate_or_zero().expected),
            Direction::Undo => step.and_then(Step::rollback).map(|rollback| rollback.estimate.expected),
            _ => None,
        };
        expected.unwrap_or(SignedDuration::ZERO)
    }

    /// How it ends when it is left alone.
    #[must_use]
    pub fn comes_to(&self, attempt: &AttemptId) -> Outcome {
        let fails = attempt.direction == Direction::Do && self.failing.iter().any(|f| f.hits(&attempt.action));
        if fails { Outcome::Failed { exit: 1 } } else { Outcome::Succeeded }
    }

    /// What a step hands on has no value here but its own name.
    #[must_use]
    pub fn evidence(&self, attempt: &AttemptId, outcome: &Outcome) -> Evidence {
        let named = |step: &Step| step.outputs.iter().map(|name| (name.clone(), name.clone())).collect();
        let outputs = self.step(attempt).filter(|_| outcome.is_success() && attempt.direction == Direction::Do);
        let took = Some(self.takes(attempt)).filter(|_| *outcome != Outcome::Cancelled);
        Evidence { took, outputs: outputs.map(named).unwrap_or_default(), ..Evidence::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::sample;

    #[test]
    fn only_work_that_succeeded_hands_on_outputs_and_only_what_was_not_ended_took_its_time() {
        let step = Step { outputs: vec!["build".into()], ..sample::run("deploy", &[], &["h1"], "d").takes(20, 30) };
        let model = Model::new(Arc::new(sample::graph(sample::plan(vec![step]))), Vec::new());
        let of = |direction, outcome| {
            let attempt = AttemptId { action: ActionId::new("deploy", Some("h1")), direction, number: 1 };
            let evidence = model.evidence(&attempt, &outcome);
            (evidence.outputs.contains_key("build"), evidence.took.map(|took| took.as_mins()))
        };
        assert_eq!(of(Direction::Do, Outcome::Succeeded), (true, Some(20)));
        assert_eq!(of(Direction::Do, Outcome::Failed { exit: 1 }), (false, Some(20)));
        assert_eq!(of(Direction::Do, Outcome::Cancelled), (false, None));
        assert_eq!(of(Direction::Check, Outcome::Succeeded), (false, Some(0)));
    }
}
