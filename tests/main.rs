//! One test binary: what it tests is listed here.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test says what it wants by panicking"
)]

mod advise;
mod after;
mod architecture;
mod check;
mod disk;
mod drill;
mod driver;
mod engine;
mod exec;
mod fleet_hosts;
mod fleet_night;
mod go;
mod graph;
mod harness;
mod history;
mod horizon;
mod hosts;
mod inventories;
mod journal;
mod lab;
mod licences;
mod mistakes;
mod night;
mod night_output;
mod nightly;
mod notify;
mod pages;
mod protocol;
mod readme;
mod red_before;
mod rehearsal;
mod resume;
mod scenarios;
mod scout;
mod screens;
mod sweep;
mod takeover;
mod terminal;
mod transport;
mod waves;
mod week;
