//! Speed and memory of the pure core: what one fact costs, and how the cost grows with the plan.
//!
//! Prints figures and ratios; asserts nothing, because a busy machine must not fail a build.
#![allow(clippy::print_stdout, reason = "a bench prints its table")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use runbook::engine::fact::RunOptions;
use runbook::graph::Graph;
use runbook::graph::ids::{ActionId, AttemptId};
use runbook::plan::model::Plan;
use runbook::sim::world::{Fate, Script, person};
use runbook::sim::{Simulation, dry_run, started, window_instants};

#[path = "../tests/engine/plans.rs"]
#[allow(dead_code, clippy::unwrap_used, reason = "shared with the tests, which use the rest")]
mod plans;

fn wide(steps: usize, hosts: usize) -> Plan {
    let names: Vec<String> = (0..hosts).map(|h| format!("h{h:05}")).collect();
    let estimate = runbook::plan::units::Estimate::exactly(SignedDuration::from_mins(1));
    let steps = (0..steps).map(|i| {
        let before = i.checked_sub(1).map(|p| format!("s{p}"));
        let needs: Vec<&str> = before.iter().map(String::as_str).collect();
        let place = runbook::plan::model::Place::Hosts(names.clone());
        let verb = runbook::plan::model::Verb::Run("true".into());
        plans::step(&format!("s{i}"), &needs, place, verb, plans::undone_by(SignedDuration::from_mins(1)), estimate)
    });
    plans::plan(steps.collect(), Some(SignedDuration::from_hours(400)), &names)
}

struct Quick;

impl Script for Quick {
    fn attempt(&mut self, _: &Graph, _: &AttemptId) -> Fate {
        Fate::succeeds_after(SignedDuration::from_secs(30))
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

fn main() {
    println!(
        "{:>18} {:>10} {:>10} {:>10} {:>12} {:>10} {:>9}",
        "plan", "build ms", "dry run ms", "run ms", "facts", "us/fact", "RSS MiB"
    );
    for (steps, hosts) in [(10, 10), (10, 100), (10, 1_000), (10, 10_000), (1_000, 100)] {
        let plan = Arc::new(wide(steps, hosts));
        let t = Instant::now();
        let graph = Arc::new(Graph::build(plan));
        let built = t.elapsed();
        let opens = plans::opens();
        let t = Instant::now();
        black_box(dry_run(&graph, opens));
        let dry = t.elapsed();
        let (took, facts) = simulate(&graph, opens);
        println!(
            "{:>18} {:>10.1} {:>10.1} {:>10.1} {:>12} {:>10.2} {:>9.0}",
            format!("{steps} x {hosts}"),
            built.as_secs_f64() * 1e3,
            dry.as_secs_f64() * 1e3,
            took * 1e3,
            facts,
            took * 1e6 / facts as f64,
            rss_mib()
        );
    }
}

fn simulate(graph: &Arc<Graph>, opens: Timestamp) -> (f64, u64) {
    let mut script = Quick;
    let first =
        started(graph, window_instants(graph.plan(), opens), RunOptions { no_input: true, ..RunOptions::default() });
    let t = Instant::now();
    let mut sim = Simulation::start(graph.clone(), first, opens, &mut script).without_journal();
    let end = sim.run(10_000_000);
    assert!(matches!(end, Ok(runbook::engine::fact::RunEnd::Succeeded { .. })), "{end:?}");
    (t.elapsed().as_secs_f64(), sim.facts())
}
