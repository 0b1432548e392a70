//! A maintenance week, wave by wave, in the virtual world: 236 hosts, every one exactly once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use runbook::cli::load::load;
use runbook::engine::fact::{Fact, RunEnd, RunOptions};
use runbook::engine::input::{Ask, Operator};
use runbook::engine::invariants::violations;
use runbook::graph::Graph;
use runbook::graph::ids::{ActionId, AttemptId, Direction};
use runbook::graph::outcome::Outcome;
use runbook::plan::model::Plan;
use runbook::plan::waves::OpenWave;
use runbook::sim::world::{Fate, Leaves, Script, person};
use runbook::sim::{Simulation, started, window_instants};
use runbook::view::{RunView, Week, WeekSoFar};

/// Everything takes as long as expected; these hosts fail their update, always.
struct Evening<'a> {
    broken: &'a [&'a str],
}

impl Script for Evening<'_> {
    fn attempt(&mut self, graph: &Graph, attempt: &AttemptId) -> Fate {
        let step = &graph.plan().steps[attempt.action.step()];
        let takes = match attempt.direction {
            Direction::Do if step.gate.is_none() => step.estimate_or_zero().expected,
            Direction::Undo => step.rollback().map_or(SignedDuration::ZERO, |back| back.estimate.expected),
            _ => SignedDuration::ZERO,
        };
        let broken = attempt.action.host().is_some_and(|host| self.broken.contains(&host));
        match broken && attempt.direction == Direction::Do {
            true => Fate { outcome: Outcome::Failed { exit: 1 }, ..Fate::fails_after(takes, Leaves::Half) },
            false => Fate::succeeds_after(takes),
        }
    }

    fn gate(&mut self, _: &Graph, gate: &ActionId) -> Option<(SignedDuration, Operator)> {
        let ask = Ask::Approve { gate: Some(gate.step().to_owned()), defects: vec![], note: None };
        Some((SignedDuration::from_mins(1), person("Christian", ask)))
    }
}

struct Story {
    plan: Plan,
    so_far: WeekSoFar,
    /// How often each host was updated.
    updates: BTreeMap<String, usize>,
    runs: usize,
}

impl Story {
    fn begins() -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans/2013-03-os-update.yaml");
        let plan = load(&file, &[]).expect("a plan without errors").plan;
        Self { plan, so_far: WeekSoFar::default(), updates: BTreeMap::new(), runs: 0 }
    }

    fn week(&self) -> Week<'_> {
        Week::new(&self.plan, self.so_far.clone())
    }

    /// Executes the next wave.
    fn evening(&mut self, broken: &[&str]) -> (OpenWave, RunEnd) {
        let week = self.week();
        let wave = week.open(week.next().expect("a wave that is not done"));
        let graph = Arc::new(Graph::build(Arc::new(wave.of_plan(&self.plan).expect("the plan of the wave"))));
        let window = window_instants(graph.plan(), Timestamp::UNIX_EPOCH);
        let opens = window.expect("a window").opens;
        let options = RunOptions { no_input: true, wave: Some(wave.clone()), ..RunOptions::default() };
        self.runs += 1;
        let first =
            runbook::engine::fact::RunStarted { run: format!("w-{}", self.runs), ..started(&graph, window, options) };
        let mut script = Evening { broken };
        let mut sim = Simulation::start(graph.clone(), first, opens, &mut script);
        let end = sim.run(1_000_000).expect("the wave ends");
        assert_eq!(violations(&graph, &sim.journal), Vec::<String>::new());
        let mut view = RunView::new(graph);
        for record in &sim.journal {
            view.apply(record);
            if let Fact::AttemptEnded { attempt, outcome: Outcome::Succeeded, .. } = &record.fact
                && (attempt.action.step(), attempt.direction) == ("update", Direction::Do)
            {
                *self.updates.entry(attempt.action.host().expect("a host").to_owned()).or_default() += 1;
            }
        }
        self.so_far.add(&view);
        (wave, end)
    }
}

#[test]
fn every_host_of_the_week_is_updated_exactly_once() {
    let mut story = Story::begins();
    let mut waves = Vec::new();
    while story.week().next().is_some() {
        let (wave, end) = story.evening(&[]);
        assert!(matches!(end, RunEnd::Succeeded { .. }), "{}: {end:?}", wave.name);
        waves.push((wave.name.clone(), wave.hosts.len()));
    }
    let expected = [6, 2, 14, 35, 46, 103, 29, 1];
    assert_eq!(waves.iter().map(|(_, hosts)| *hosts).collect::<Vec<_>>(), expected);
    assert_eq!(waves[..3].iter().map(|(_, hosts)| hosts).sum::<usize>(), 22, "on Monday");
    assert_eq!(story.updates.len(), 236);
    assert!(story.updates.values().all(|times| *times == 1), "{:?}", story.updates);
}

#[test]
fn a_wave_that_rolls_back_is_repeated_and_hosts_that_failed_within_what_is_allowed_do_not_open_theirs_again() {
    let mut story = Story::begins();
    let (wave, end) = story.evening(&["monitoring1"]);
    assert!(wave.name == "mon-base" && matches!(end, RunEnd::RolledBack { .. }), "{end:?}");
    story.updates.clear();
    let mut broken = 0;
    while story.week().next().is_some() {
        // Two of Thursday's 103 may fail.
        let (wave, end) = story.evening(&["prod099", "prod144"]);
        broken += usize::from(wave.name == "thu-many");
        assert!(matches!(end, RunEnd::Succeeded { .. }), "{}: {end:?}", wave.name);
    }
    assert_eq!((broken, story.runs), (1, 9));
    assert_eq!((story.so_far.hosts_done(), story.updates.len()), (234, 234));
    assert!(story.updates.values().all(|times| *times == 1), "{:?}", story.updates);
}
