//! `runbook` executes a deployment plan inside a maintenance window and guarantees that the window ends with a
//! working system: the new one, or the old one.
//!
//! ```text
//! plans/*.yaml --plan--> Plan --graph--> Graph --schedule--> Schedule
//!                                          |                     |
//!                                (frozen into the journal at run start)
//!                                          v                     v
//!  signals, timers, ssh results,  --Input--> engine (pure) --Turn{facts,effects}--> driver
//!  operator                                                     1. journal.append(facts)   durable, one transaction
//!                                                               2. publish(facts) -> view -> report
//!                                                               3. perform(effects) -> transport, timers
//!  resume:  journal.facts --fold apply--> same engine state --Input::Resumed--> probes, timers, go on
//!  dry run: same engine, virtual world instead of transport, event heap instead of clock
//! ```
//!
//! Three rules carry the design. One state, one way to change it: `State::apply(&Fact)`. Append, publish, perform, in
//! that order. The engine owns every decision about time, retry, cancel and rollback; workers run one command and
//! report.
//!
//! `plan`, `template`, `graph`, `schedule`, `engine`, `view` and `sim` are pure: no clock, disk, network or task. The
//! same inputs give the same facts, byte for byte; `tests/architecture.rs` keeps it so.

pub mod cli;
pub mod driver;
pub mod engine;
pub mod graph;
pub mod journal;
pub mod lab;
pub mod plan;
pub mod rehearsal;
pub mod report;
pub mod schedule;
pub mod sim;
pub mod template;
pub mod transport;
pub mod view;
