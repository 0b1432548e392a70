//! The engine in the virtual world: random plans, random faults, and a crash at every fact.

mod amend;
mod baseline;
mod decisions;
mod fleet;
mod horizon;
mod injection;
mod odds;
mod parts;
mod plans;
mod properties;
mod races;
mod rebuild;
mod retries;
mod verdicts;
mod week;
