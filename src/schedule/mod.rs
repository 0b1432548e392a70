//! Time and capacity of a graph: pure arithmetic without state of a run. Knows no clock.

mod rollback_cost;

pub use rollback_cost::RollbackCost;
/// Expected length of the longest path from the start of each step to the end of the plan, by step number.
pub fn longest_remaining(graph: &crate::graph::Graph) -> Vec<jiff::SignedDuration> {
    let mut remaining = vec![jiff::SignedDuration::ZERO; graph.step_count()];
    for step in graph.topological().into_iter().rev() {
        let after = graph.all_dependants(step).map(|d| remaining[d.index()]).max().unwrap_or_default();
        remaining[step.index()] = after + graph.step(step).estimate_or_zero().expected;
    }
    remaining
}
