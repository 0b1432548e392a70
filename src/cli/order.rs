//! The order in which the steps of a run share what is short: how long it is searched for. `plan` shows what `exec` keeps.

use crate::graph::Graph;
use crate::schedule::{Order, best_order};

/// Activities that are placed in all: about half a second of one core. A build without optimisation is some thirty times
/// slower and looks at fewer.
const EFFORT: u64 = if cfg!(debug_assertions) { 400_000 } else { 9_000_000 };
/// The same for everybody, so that the same plan has the same order.
const SEED: u64 = 1;

/// `None` where nothing is short.
#[must_use]
pub fn of(graph: &Graph) -> Option<Order> {
    best_order(graph, EFFORT, SEED)
}
