//! What odds cost: nights of a plan that are drawn and played in a second.
//!
//! `cargo bench --bench odds`. Times are CPU time of this process, because the machine may be busy with other things.
//! Prints figures; asserts nothing about time.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used, reason = "a bench talks, and may panic")]
#![allow(dead_code, missing_debug_implementations, reason = "plans and kit are shared")]

use std::hint::black_box;
use std::sync::Arc;

use runbook::graph::Graph;
use runbook::plan::model::{Place, Plan, Verb};
use runbook::plan::units::{Estimate, Size};
use runbook::schedule::{Evening, Past, best_order};

mod kit;
#[path = "../tests/engine/plans.rs"]
#[allow(dead_code, clippy::unwrap_used, reason = "shared with the tests, which use the rest")]
mod plans;

/// So many steps on so many hosts; each step needs one to three of the ten before it, every fifth uses one resource.
fn plan(steps: usize, hosts: usize) -> Plan {
    let names: Vec<String> = (0..hosts).map(|h| format!("h{h:05}")).collect();
    let mut dice = plans::Dice(1);
    let steps = (0..steps).map(|i| {
        let near = i.min(10) as u64;
        let before: Vec<String> = (0..1 + dice.roll(3))
            .filter(|_| near > 0)
            .map(|_| format!("s{}", i as u64 - 1 - dice.roll(near.max(1))))
            .collect();
        let mut needs: Vec<&str> = before.iter().map(String::as_str).collect();
        needs.sort_unstable();
        needs.dedup();
        let expected = plans::minutes(5 + dice.roll(30));
        let estimate = Estimate { expected, worst: expected + plans::minutes(5 + dice.roll(20)) };
        let undo = plans::undone_by(plans::minutes(5));
        let place = Place::Hosts(names.clone());
        let mut step = plans::step(&format!("s{i}"), &needs, place, Verb::Run("true".into()), undo, estimate);
        step.fleet.at_once = Some(Size::Count(20));
        if i % 5 == 0 {
            step.uses.insert("dba".into(), 1);
        }
        step
    });
    let mut plan = plans::plan(steps.collect(), Some(plans::minutes(100_000)), &names);
    plan.resources.insert("dba".into(), 20);
    plan
}

fn main() {
    println!("{:>6} {:>6} {:>8} {:>9} {:>12}", "steps", "hosts", "nights", "seconds", "ns a part");
    for (steps, hosts, nights) in [(200, 1, 10_000), (20, 10, 10_000), (10, 1_000, 100), (10, 10_000, 100)] {
        let graph = Graph::build(Arc::new(plan(steps, hosts)));
        let order = best_order(&graph, 100_000, 1);
        let opens = plans::opens();
        let closes = opens + plans::minutes(100_000);
        let evening = Evening::new(&graph, order.as_ref(), &Past::default());
        let situation = Evening::before(&graph, opens, Some(closes));
        let pid = std::process::id();
        let before = kit::cpu_seconds(pid);
        black_box(evening.nights(&graph, &situation, nights, 1));
        let after = kit::cpu_seconds(pid);
        let seconds = after.0 + after.1 - before.0 - before.1;
        let parts = f64::from(nights) * (steps * hosts) as f64;
        println!("{steps:>6} {hosts:>6} {nights:>8} {seconds:>9.2} {:>12.0}", seconds / parts * 1e9);
    }
}
