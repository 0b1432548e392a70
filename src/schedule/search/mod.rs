//! The order in which steps take what they share, so that the whole ends early. Knows no clock: how long it searches is
//! a number of schedules.
//!
//! Steps that share a resource make a *resource-constrained project scheduling problem*. A priority rule alone ends
//! 5-15 % later than need be, so a search looks at many schedules and keeps the best:
//!
//! - a schedule comes from a list of steps, each placed as early as what it needs and what is free allow (*serial schedule
//!   generation*; R. Kolisch, "Serial and parallel resource-constrained project scheduling methods revisited", 1996);
//! - each is pressed together by pushing every step to the right and then to the left (*double justification*: V. Valls,
//!   F. Ballestín, S. Quintanilla, "Justification and RCPSP: a technique that pays", 2005);
//! - lists are bred from good lists (S. Hartmann, "A competitive genetic algorithm for resource-constrained project
//!   scheduling", 1998; compared in R. Kolisch, S. Hartmann, "Experimental investigation of heuristics for
//!   resource-constrained project scheduling: an update", 2006); what is handed on is a stretch in which little lies idle, and
//!   half of the effort goes to the neighbourhood of the best (V. Valls, F. Ballestín, S. Quintanilla, "A hybrid genetic
//!   algorithm for the resource-constrained project scheduling problem", 2008).
//!
//! What is found is kept as an [`Order`]: who goes first, and who waits for whom on a shared resource. Steps that turn
//! out shorter or longer then shift the others, but never overtake (*partial order schedules*: N. Policella et al.,
//! "Generating robust partial order schedules", 2004).

mod breed;
mod order;
mod place;
mod project;

pub use order::{Order, best_order};
pub use project::Project;

/// Finds a schedule of a project: the start of each activity. The same project, effort and seed give the same schedule.
///
/// `effort` is how many activities may be placed in all; every schedule that is looked at places each of them once.
#[must_use]
pub fn search(project: &Project, effort: u64, seed: u64) -> Vec<u32> {
    breed::Breeder::new(project, seed).best(effort)
}
