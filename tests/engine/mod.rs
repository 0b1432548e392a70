//! The engine in the virtual world: random plans, random faults, and a crash at every fact.

mod plans;
mod properties;
