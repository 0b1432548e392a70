//! The decision core: facts in, decisions out. Knows no clock, disk, network or task.

pub mod effect;
pub mod fact;
pub mod input;
