//! Whether a run is in earnest, and the time of a rehearsal. Knows nothing of how either is executed.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// Where a run takes place; the most real first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// On the hosts of the plan.
    #[default]
    Real,
    /// Real commands on private hosts of this machine.
    Lab,
    /// No host and no command: everything takes as long as it is estimated to.
    Rehearsal,
}

impl Stage {
    /// Whether what it did and how long it took says something about the plan's hosts.
    #[must_use]
    pub const fn is_real(self) -> bool {
        matches!(self, Self::Real)
    }

    /// Whether what happened there can stand for what has to happen in the other one: the lab is enough for the lab and for a
    /// rehearsal, only what is real is enough for what is real.
    #[must_use]
    pub fn is_as_real_as(self, other: Self) -> bool {
        self <= other
    }

    /// How a run that is not real is marked in lists; empty for one that is.
    #[must_use]
    pub const fn mark(self) -> &'static str {
        match self {
            Self::Real => "",
            Self::Lab => "  (lab)",
            Self::Rehearsal => "  (rehearsal)",
        }
    }
}

/// The time of a rehearsal: it begins at the opening of the window and passes faster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// How many seconds of the evening pass in one.
    pub speed: u32,
    /// When it began, by the clocks of this world.
    pub began: Timestamp,
    /// What its own clock showed then.
    pub showed: Timestamp,
}

impl Pace {
    /// What the clock of the rehearsal shows at this instant.
    #[must_use]
    pub fn at(&self, real: Timestamp) -> Timestamp {
        let factor = i32::try_from(self.speed).unwrap_or(i32::MAX);
        let passed = real.duration_since(self.began).checked_mul(factor).unwrap_or(SignedDuration::MAX);
        self.showed.saturating_add(passed).unwrap_or(Timestamp::MAX)
    }

    /// How long somebody waits for this much of the evening.
    #[must_use]
    pub fn real(&self, evening: SignedDuration) -> SignedDuration {
        evening / i32::try_from(self.speed).unwrap_or(i32::MAX).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_evening_passes_faster_and_begins_when_its_window_opens() {
        let (began, showed) = ("2026-11-27T14:00:00Z".parse().unwrap(), "2007-12-02T06:30:00Z".parse().unwrap());
        let pace = Pace { speed: 60, began, showed };
        assert_eq!(pace.at(began), showed);
        let later = pace.at(began + SignedDuration::from_secs(90));
        assert_eq!(later, showed + SignedDuration::from_mins(90));
        assert_eq!(pace.real(SignedDuration::from_mins(90)), SignedDuration::from_secs(90));
    }
}
