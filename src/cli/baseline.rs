//! What the tests with `baseline` say before the night: executed on their hosts by the engine, loop and runner of the
//! night itself, as a run of their own whose journal is forgotten. Changes nothing; knows nothing of how it is used.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use super::error::CommandError;
use super::narrow::LeftOut;
use super::preflight::{self, Finding, Verdict as Line};
use super::reach;
use super::setup::Setup;
use crate::driver::clock::SystemClock;
use crate::driver::{RunLoop, hang_up};
use crate::engine::Engine;
use crate::engine::fact::{Fact, FactRecord, RunOptions, RunStarted};
use crate::engine::input::Input;
use crate::graph::Graph;
use crate::graph::ids::ActionId;
use crate::graph::job::Site;
use crate::graph::outcome::{Evidence, Outcome, Verdict};
use crate::journal::memory::MemoryJournal;
use crate::lab::Lab;
use crate::plan::model::{Fleet, OnFailure, Place, Plan, Step};

/// What each test said last.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Baseline {
    said: BTreeMap<ActionId, Said>,
}

#[derive(Debug, Clone, PartialEq)]
struct Said {
    verdict: Verdict,
    outcome: Outcome,
    evidence: Evidence,
}

/// The tests of a plan, alone. `None` where none is asked before the night.
#[must_use]
pub fn tests(plan: &Plan, left_out: &LeftOut, lab: Option<&Lab>) -> Option<Graph> {
    let mut alone = left_out.narrowed(plan);
    alone.steps.retain(|_, step| step.baseline);
    for step in alone.steps.values_mut() {
        stand_alone(step, lab);
    }
    (alone.window, alone.after_rollback, alone.waves) = (None, None, Vec::new());
    let graph = Graph::build(Arc::new(alone));
    (!graph.actions().is_empty()).then_some(graph)
}

/// Nothing comes before it, nothing soaks, nobody is asked, and its failure stops nothing.
fn stand_alone(step: &mut Step, lab: Option<&Lab>) {
    step.needs.clear();
    (step.gate, step.hold, step.on_failure) = (None, None, OnFailure::Continue);
    step.fleet = Fleet { at_once: step.fleet.at_once, order: step.fleet.order, ..Fleet::default() };
    if let (Place::Controller, Some(lab)) = (&step.place, lab) {
        // An engine in the lab has this environment from its start.
        for (name, value) in lab.local.env.iter().filter(|(name, _)| !name.starts_with("RUNBOOK_")) {
            step.shell.env.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
}

/// Asks all of them, each as often as its `retry` says, under the limits of the night. `first` is a run of a name that
/// nobody else has.
///
/// # Errors
/// When nothing can be asked at all; what single tests say is in the answer.
pub fn ask(graph: Graph, setup: &Setup, lab: Option<&Lab>, first: RunStarted) -> Result<Baseline, CommandError> {
    let first = RunStarted {
        window: None,
        order: None,
        options: RunOptions { no_input: true, ..RunOptions::default() },
        actions: graph.actions().len() as u32,
        steps: graph.step_count() as u32,
        ..first
    };
    let output = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let heard = Arc::new(Mutex::new(Baseline::default()));
    let graph = Arc::new(graph);
    runtime.block_on(async {
        let hosts = reach::transport(graph.plan(), setup, &first.name_on_hosts(), 1, output.path(), lab, None)?;
        let (engine, journal) = (Engine::new(graph.clone()), MemoryJournal::default());
        let clock = Arc::new(SystemClock::start());
        let mut night = RunLoop::new(Box::new(engine), Box::new(journal), hosts.clone(), clock, &[]);
        let (listener, tests) = (heard.clone(), graph.clone());
        night.publish =
            Box::new(move |facts| listener.lock().unwrap_or_else(PoisonError::into_inner).hear(&tests, facts));
        let (_nobody, asked) = mpsc::channel(1);
        night.drive(Input::Start(Box::new(first)), asked, std::future::pending()).await;
        // What cannot be removed is a few small files of a run that nobody asks for.
        let _ = hosts.forget(sites(&graph), None).await;
        hang_up(&*hosts).await;
        Ok::<(), CommandError>(())
    })?;
    let heard = heard.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok(heard)
}

fn sites(graph: &Graph) -> Vec<Site> {
    preflight::hosts(graph, &[]).into_iter().chain([Site::Controller]).collect()
}

impl Baseline {
    fn hear(&mut self, tests: &Graph, facts: &[FactRecord]) {
        for record in facts {
            if let Fact::AttemptEnded { attempt, outcome, evidence } = &record.fact
                && let Some(ix) = tests.find(&attempt.action)
            {
                let verdict = outcome.verdict(tests.step_of(ix));
                let said = Said { verdict, outcome: outcome.clone(), evidence: evidence.clone() };
                self.said.insert(attempt.action.clone(), said);
            }
        }
    }

    /// What the engine of the night is told.
    #[must_use]
    pub fn verdicts(&self) -> BTreeMap<ActionId, Verdict> {
        self.said.iter().map(|(id, said)| (id.clone(), said.verdict)).collect()
    }

    /// The lines of the preflight. `nobody` can be asked in the night.
    #[must_use]
    pub fn in_words(&self, nobody: bool) -> Vec<Finding> {
        let with = |verdict| self.said.iter().filter(move |(_, said)| said.verdict == verdict);
        let all = self.said.len();
        let passed = with(Verdict::Pass).count();
        let green = format!("tests asked before the night: {passed} of {all} green");
        let head = (if passed == all { Line::Ok } else { Line::Warn }, green);
        let line = |word: &str, (id, said): (&ActionId, &Said)| {
            let last = said.evidence.tail.last().map_or(String::new(), |line| format!(": {}", line.trim()));
            (Line::Warn, format!("{word}: {id} ({}{last})", said.outcome))
        };
        let red = with(Verdict::Fail).map(|said| line("red before", said));
        let unknown = with(Verdict::Inconclusive).map(|said| line("not known before", said));
        let means = match nobody {
            true => "nobody can be asked here: what was red before still rolls back when it fails",
            false => "what was red before asks you when it fails, instead of rolling back",
        };
        let means = with(Verdict::Fail).next().map(|_| (Line::Warn, means.to_owned()));
        let lines = std::iter::once(head).chain(red).chain(unknown).chain(means);
        lines.map(|(verdict, text)| Finding { verdict, text }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::sample;
    use crate::plan::model::OnFailure;
    use jiff::SignedDuration;

    /// Asked alone, each test says what it says; none waits for the night or for another one that is red.
    #[test]
    fn tests_stand_alone_before_the_night() {
        let ask = sample::test("ask", &["deploy", "first"], &["h1"], "t").asking("Is all well?", &[]);
        let hold = Some(SignedDuration::from_mins(30));
        let ask = Step { baseline: true, hold, on_failure: OnFailure::Rollback, ..ask };
        let first = Step { baseline: true, ..sample::test("first", &[], &["h1"], "t") };
        let plan = sample::plan(vec![sample::run("deploy", &[], &["h1"], "d"), first, ask]);
        let graph = tests(&plan, &LeftOut::default(), None).expect("two tests");
        let steps = &graph.plan().steps;
        assert_eq!(steps.keys().collect::<Vec<_>>(), ["first", "ask"]);
        for step in steps.values() {
            assert!(step.needs.is_empty() && step.gate.is_none() && step.hold.is_none(), "{step:?}");
            assert_eq!(step.on_failure, OnFailure::Continue);
        }
        let without = LeftOut { steps: vec!["first".into(), "ask".into()], ..LeftOut::default() };
        assert!(tests(&plan, &without, None).is_none(), "what is left out of the run is not asked");
    }
}
