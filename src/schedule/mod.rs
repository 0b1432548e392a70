//! Time and capacity of a graph: pure arithmetic without state of a run. Knows no clock.

pub mod advise;
mod batches;
mod critical_path;
mod dice;
mod fit;
mod notes;
mod odds;
mod rollback_cost;
mod rollback_plan;
mod search;

pub(crate) use batches::Batches;
pub use critical_path::{Network, Pace, Times, longest_remaining};
pub use dice::Dice;
pub use fit::{Fit, Late, WindowFit, fit, forward_only, slack};
pub use notes::{fits_text, path_text, window_notes};
pub use odds::{Evening, LAST, Odds, Past, Situation, Spread, Standing, is_unlike, middle, newest, probably};
pub use rollback_cost::RollbackCost;
pub use rollback_plan::{RollbackPlan, RollbackRow, rollback_plan};
pub use search::{Order, Project, best_order, search};
