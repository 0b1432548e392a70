//! The rehearsal: an evening on the real engine and its journal, with hosts that are only a model and a clock that runs
//! faster. Touches no host and executes no command.

mod clock;
mod hosts;
mod journal;
mod model;

pub use clock::FastClock;
pub use hosts::ModelHosts;
pub use journal::OwnTime;
pub use model::{Failing, Model};
