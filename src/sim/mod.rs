//! The simulator: the real engine in a virtual world. Knows no clock, disk or network.
//!
//! The dry run is the same with estimated durations and no faults, so what is shown at the go/no-go call is decided by
//! the code that decides the night.

mod drill;
mod drive;
mod dry_run;
mod rebuild;
pub mod world;

pub use drill::{Case, Drill, Ended, Fault, Verdict, drill};
pub use drive::{Simulation, Stopped, started, window_instants};
pub use dry_run::{DryRun, StepTimes, dry_run, without_unknowns};
pub use rebuild::{Ledger, Rebuilt, Remembered, rebuild};
