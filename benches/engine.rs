//! Speed and memory of the pure core: what one fact costs, and how the cost grows with the plan.
//!
//! `cargo bench --bench engine`. Times are CPU time of this process, because the machine may be busy with other things.
//! Prints figures; asserts nothing about time.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used, reason = "a bench talks, and may panic")]
#![allow(dead_code, missing_debug_implementations, reason = "plans and kit are shared")]

use std::hint::black_box;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use runbook::engine::fact::{RunEnd, RunOptions};
use runbook::graph::Graph;
use runbook::graph::ids::{ActionId, AttemptId, Direction};
use runbook::plan::model::Plan;
use runbook::sim::world::{Fate, Leaves, Script, person};
use runbook::sim::{Simulation, dry_run, started, window_instants};

mod kit;
#[path = "../tests/engine/plans.rs"]
#[allow(dead_code, clippy::unwrap_used, reason = "shared with the tests, which use the rest")]
mod plans;

/// A shape of plan and run.
#[derive(Clone, Copy)]
struct Shape {
    steps: usize,
    hosts: usize,
    /// Each step needs the one before.
    chain: bool,
    /// The plan's own limit.
    at_once: Option<u32>,
    /// The very last action fails, and everything is undone.
    fails: bool,
}

fn wide(shape: Shape) -> Plan {
    let Shape { steps, hosts, chain, at_once, .. } = shape;
    let names: Vec<String> = (0..hosts).map(|h| format!("h{h:05}")).collect();
    let estimate = runbook::plan::units::Estimate::exactly(SignedDuration::from_mins(1));
    let steps = (0..steps).map(|i| {
        let before = i.checked_sub(1).filter(|_| chain).map(|p| format!("s{p}"));
        let needs: Vec<&str> = before.iter().map(String::as_str).collect();
        let place = runbook::plan::model::Place::Hosts(names.clone());
        let verb = runbook::plan::model::Verb::Run("true".into());
        plans::step(&format!("s{i}"), &needs, place, verb, plans::undone_by(SignedDuration::from_mins(1)), estimate)
    });
    let mut plan = plans::plan(steps.collect(), Some(SignedDuration::from_hours(40_000)), &names);
    plan.at_once = at_once.map(runbook::plan::units::Size::Count);
    plan
}

struct Quick {
    fails: Option<ActionId>,
}

impl Script for Quick {
    fn attempt(&mut self, _: &Graph, attempt: &AttemptId) -> Fate {
        let takes = SignedDuration::from_secs(30);
        if attempt.direction == Direction::Do && self.fails.as_ref() == Some(&attempt.action) {
            return Fate::fails_after(takes, Leaves::Half);
        }
        Fate::succeeds_after(takes)
    }

    fn gate(&mut self, _: &Graph, gate: &ActionId) -> Option<(SignedDuration, runbook::engine::input::Operator)> {
        let ask = runbook::engine::input::Ask::Approve { gate: Some(gate.step().into()), defects: vec![], note: None };
        Some((SignedDuration::ZERO, person("bench", ask)))
    }
}

fn rss_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

/// CPU seconds of this process, to a hundredth.
fn cpu<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let before = kit::cpu_seconds(std::process::id()).0;
    let done = work();
    (done, kit::cpu_seconds(std::process::id()).0 - before)
}

fn main() {
    println!(
        "{:>34} {:>8} {:>10} {:>8} {:>9} {:>8} {:>8}",
        "steps x hosts", "build s", "dry run s", "run s", "facts", "us/fact", "RSS MiB"
    );
    let forward = |steps, hosts| Shape { steps, hosts, chain: true, at_once: None, fails: false };
    let shapes = [
        forward(10, 100),
        forward(10, 1_000),
        forward(10, 10_000),
        forward(1_000, 100),
        Shape { chain: false, at_once: Some(8), ..forward(5_000, 1) },
        Shape { chain: false, at_once: Some(8), ..forward(50_000, 1) },
        Shape { at_once: Some(64), ..forward(1_000, 100) },
        Shape { fails: true, ..forward(10, 10_000) },
        Shape { fails: true, ..forward(1_000, 100) },
    ];
    for shape in shapes {
        row(shape);
    }
}

fn row(shape: Shape) {
    let plan = Arc::new(wide(shape));
    let (graph, built) = cpu(|| Arc::new(Graph::build(plan)));
    let opens = plans::opens();
    let dry = cpu(|| black_box(dry_run(&graph, opens, None))).1;
    let ((end, facts), took) = cpu(|| simulate(&graph, opens, shape.fails));
    let expected = matches!((&end, shape.fails), (RunEnd::Succeeded { .. }, false) | (RunEnd::RolledBack { .. }, true));
    assert!(expected, "{end:?}");
    let mut name = format!("{} x {}", shape.steps, shape.hosts);
    name += if shape.chain { "" } else { ", independent" };
    name += &shape.at_once.map_or(String::new(), |n| format!(", {n} at once"));
    name += if shape.fails { ", rolled back" } else { "" };
    println!(
        "{name:>34} {built:>8.2} {dry:>10.2} {took:>8.2} {facts:>9} {:>8.2} {:>8.0}",
        took * 1e6 / facts as f64,
        rss_mib()
    );
}

fn simulate(graph: &Arc<Graph>, opens: Timestamp, fails: bool) -> (RunEnd, u64) {
    let last = graph.actions().last().filter(|_| fails).map(|action| action.id.clone());
    let mut script = Quick { fails: last };
    let first =
        started(graph, window_instants(graph.plan(), opens), RunOptions { no_input: true, ..RunOptions::default() });
    let mut sim = Simulation::start(graph.clone(), first, opens, &mut script).without_journal();
    let end = sim.run(10_000_000).unwrap();
    (end, sim.facts())
}
