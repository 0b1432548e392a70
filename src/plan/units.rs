//! Durations, estimates, sizes and shares as people write them (`20m-30m`, `30%`). Knows nothing of steps.

use std::fmt;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

/// How long something takes: the expected and the worst duration, `expected <= worst`, both >= 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Estimate {
    pub expected: SignedDuration,
    pub worst: SignedDuration,
}

impl Estimate {
    /// No time at all: what a step without an estimate counts as.
    pub const ZERO: Self = Self { expected: SignedDuration::ZERO, worst: SignedDuration::ZERO };

    /// One value for both.
    #[must_use]
    pub const fn exactly(d: SignedDuration) -> Self {
        Self { expected: d, worst: d }
    }
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.expected == self.worst {
            write!(f, "{}", Short(self.worst))
        } else {
            write!(f, "{}-{}", Short(self.expected), Short(self.worst))
        }
    }
}

/// A number of hosts, or a share of a whole group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Size {
    Count(u32),
    /// 0 to 100, of the whole group.
    Percent(u8),
}

impl Size {
    /// How many of `whole` this is. Percentages are rounded down.
    #[must_use]
    pub fn of(self, whole: usize) -> usize {
        match self {
            Self::Count(n) => n as usize,
            Self::Percent(p) => whole * usize::from(p) / 100,
        }
    }

    /// Like [`Size::of`], but never less than one: for batch sizes.
    #[must_use]
    pub fn at_least_one_of(self, whole: usize) -> usize {
        self.of(whole).max(1)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(n) => write!(f, "{n}"),
            Self::Percent(p) => write!(f, "{p}%"),
        }
    }
}

/// Prints a duration the way the screens do: `5h12m40s`, `2m`, `45s`, `250ms`; zero parts are left out.
#[derive(Debug, Clone, Copy)]
pub struct Short(pub SignedDuration);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let d = self.0;
        if d.is_negative() {
            f.write_str("-")?;
        }
        let total = d.as_millis().unsigned_abs();
        let (secs, millis) = (total / 1000, total % 1000);
        let (h, m, s) = (secs / 3600, secs / 60 % 60, secs % 60);
        if h == 0 && m == 0 && s == 0 {
            return if millis > 0 { write!(f, "{millis}ms") } else { f.write_str("0s") };
        }
        if h > 0 {
            write!(f, "{h}h")?;
        }
        if m > 0 {
            write!(f, "{m:0width$}m", width = if h > 0 { 2 } else { 1 })?;
        }
        if s > 0 {
            write!(f, "{s:0width$}s", width = if h + m > 0 { 2 } else { 1 })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_durations_read_like_the_screens() {
        let show = |secs, millis| Short(SignedDuration::new(secs, millis * 1_000_000)).to_string();
        assert_eq!(show(5 * 3600 + 12 * 60 + 40, 0), "5h12m40s");
        assert_eq!(show(2 * 3600 + 4 * 60, 0), "2h04m");
        assert_eq!(show(3600, 0), "1h");
        assert_eq!(show(45, 0), "45s");
        assert_eq!(show(0, 250), "250ms");
        assert_eq!(show(-90, 0), "-1m30s");
    }

    #[test]
    fn percentages_round_down_but_batches_never_to_zero() {
        assert_eq!(Size::Percent(30).of(144), 43);
        assert_eq!(Size::Percent(2).of(10), 0);
        assert_eq!(Size::Percent(2).at_least_one_of(10), 1);
    }
}
