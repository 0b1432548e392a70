//! Time and capacity of a graph: pure arithmetic without state of a run. Knows no clock.

mod critical_path;
mod fit;
mod notes;
mod rollback_cost;
mod rollback_plan;
mod search;

pub use critical_path::{Network, Pace, Times, longest_remaining};
pub use fit::{Fit, Late, WindowFit, fit, forward_only, slack};
pub use notes::{fits_text, path_text, window_notes};
pub use rollback_cost::RollbackCost;
pub use rollback_plan::{RollbackPlan, RollbackRow, rollback_plan};
pub use search::{Order, Project, best_order, search};
