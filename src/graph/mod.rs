//! The compiled plan: actions, barriers and edges, and the work of each attempt. Knows nothing of time or of what has run.

mod action;
mod build;
pub mod danger;
pub mod draw;
pub mod fold;
mod groups;
pub mod horizon;
pub mod ids;
pub mod job;
pub mod lint;
pub mod outcome;
pub mod parts;
pub mod preview;
mod reach;
pub mod render;
#[cfg(test)]
pub(crate) mod sample;
mod soak;

pub use action::{Action, ActionIx, StepIx};
pub use build::Graph;
pub use groups::{Groups, Spot};
pub use reach::Reach;
