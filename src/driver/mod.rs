//! The imperative shell around the engine: inputs in, one turn at a time; append, publish, perform, in that order.
//! Decides nothing.
//!
//! What may fail, and how. The journal: nothing new is launched, running attempts are left alone, and the loop ends
//! with its own message of what may be half done. A transport: it reports, the engine decides. A terminal: there is
//! none here. The lease: somebody else drives the run, so this loop ends at once and touches nothing.

pub mod clock;
pub mod control;
mod resolve;
pub mod run_loop;
pub mod signals;

pub use run_loop::{Asked, Decider, Publish, RunLoop, Stopped, hang_up};
