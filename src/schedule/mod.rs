//! Time and capacity of a graph: pure arithmetic without state of a run. Knows no clock.

mod rollback_cost;

pub use rollback_cost::RollbackCost;
