//! How likely it is that a night ends in time: many nights are drawn at random and played through. Knows no clock, and
//! nothing of failures: what is said here is said *if nothing fails*.
//!
//! - How long each step takes is drawn from its distribution ([`spread`]).
//! - The nights are played by the rules that the engine follows: needs, resources, `at_once`, `keep_up`, canaries, the order
//!   of the search, and the deadline (*Monte Carlo simulation of a stochastic activity network*: R. M. Van Slyke, "Monte Carlo
//!   methods and the PERT problem", 1963). An average of estimates would be too early wherever several chains meet.
//! - How often a step is on the chain that decides the end is its *criticality index*.
//! - In the middle of a run, what is done is as it was, and what runs takes longer than it has taken already.
//! - Hosts of one step share half of their luck: a script that is slow on one is likely slow on all. So those that are done
//!   also tell what the others will take.
//!
//! The same evening, situation and seed give the same odds.

mod bits;
mod evening;
mod past;
mod play;
mod spread;

use jiff::{SignedDuration, Timestamp};

use crate::graph::StepIx;

pub use evening::Evening;
pub use past::{LAST, Past, is_unlike, middle, newest};
pub use spread::Spread;

/// Where a night stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Situation {
    /// Now, or the opening of the window: what has not begun begins no earlier.
    pub at: Timestamp,
    /// By `ActionIx`.
    pub actions: Vec<Standing>,
    /// The end of the window, extensions included.
    pub closes: Option<Timestamp>,
    /// Whether a rollback by itself is still possible.
    pub reversible: bool,
}

/// Where one action stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Waiting,
    Running {
        since: Timestamp,
    },
    /// `took` is known of what was really done.
    Done {
        took: Option<SignedDuration>,
    },
    /// Counts as done, and there is nothing to undo.
    Skipped,
}

/// What the drawn nights came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Odds {
    /// How many nights were drawn.
    pub nights: u32,
    /// The end of the last step: one night of ten is earlier, half are, nine of ten are. The window's end stops none of them.
    pub early: Timestamp,
    pub middle: Timestamp,
    pub late: Timestamp,
    /// From 0 to 1: everything is done by the close, and the deadline stopped nothing. `None` without a window.
    pub done: Option<f64>,
    /// From 0 to 1: the last decision comes before *roll back by*, so that a rollback fits until then. `None` without a
    /// window, and once there is no way back.
    pub rollback_fits: Option<f64>,
    /// By step, from 0 to 1: how often it was on the chain that decided the end.
    pub critical: Vec<f64>,
}

impl Odds {
    /// The steps by how often they decide the end, most often first.
    #[must_use]
    pub fn deciding(&self) -> Vec<(StepIx, f64)> {
        let all = (0..).map(StepIx).zip(self.critical.iter().copied());
        let mut found: Vec<(StepIx, f64)> = all.collect();
        found.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        found
    }
}

/// `about 93%`: no more precise than a drawing is, and never certain.
#[must_use]
pub fn probably(probability: f64) -> String {
    match (probability * 100.0).round() as i64 {
        ..1 => "less than 1%".into(),
        100.. => "more than 99%".into(),
        percent => format!("about {percent}%"),
    }
}

#[cfg(test)]
mod tests;
