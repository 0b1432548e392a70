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

    /// Up to the next full minutes, or seconds below one.
    #[must_use]
    pub fn rounded_up(self) -> Self {
        Self { expected: rounded_up(self.expected), worst: rounded_up(self.worst) }
    }
}

fn rounded_up(d: SignedDuration) -> SignedDuration {
    let secs = d.as_secs() + i64::from(d.subsec_nanos() > 0);
    SignedDuration::from_secs(if secs < 60 { secs.max(1) } else { (secs + 59) / 60 * 60 })
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

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadDuration {
    /// Digits only: the unit is missing.
    NoUnit,
    /// Days, weeks and longer have no fixed length in a night with a clock change.
    Calendar,
    /// Smallest unit first, or a unit twice.
    Order,
    /// More than [`LONGEST`].
    TooLong,
    Unreadable,
}

/// The longest duration a plan may name.
pub const LONGEST: SignedDuration = SignedDuration::from_hours(24 * 366);

/// Reads `90s`, `5m`, `1h30m`, `1.5h`, `250ms`. Never negative.
///
/// # Errors
/// What is wrong with it.
pub fn parse_duration(text: &str) -> Result<SignedDuration, BadDuration> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(BadDuration::Unreadable);
    }
    let mut total = 0_u64;
    let mut last = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        if number.is_empty() {
            return Err(BadDuration::Unreadable);
        }
        let millis = unit_millis(unit)?;
        if millis >= last {
            return Err(BadDuration::Order);
        }
        last = millis;
        total = total.checked_add(scaled(number, millis)?).ok_or(BadDuration::TooLong)?;
        rest = after.trim_start();
    }
    let total = i64::try_from(total).map_err(|_| BadDuration::TooLong)?;
    let d = SignedDuration::from_millis(total);
    if d > LONGEST { Err(BadDuration::TooLong) } else { Ok(d) }
}

fn unit_millis(unit: &str) -> Result<u64, BadDuration> {
    match unit {
        "" => Err(BadDuration::NoUnit),
        "ms" => Ok(1),
        "s" | "sec" | "second" | "seconds" => Ok(1000),
        "m" | "min" | "minute" | "minutes" => Ok(60_000),
        "h" | "hour" | "hours" => Ok(3_600_000),
        "d" | "day" | "days" | "w" | "week" | "weeks" | "month" | "months" | "y" | "year" | "years" => {
            Err(BadDuration::Calendar)
        }
        _ => Err(BadDuration::Unreadable),
    }
}

/// `number` (digits with at most one point and three decimals) times `unit`, in milliseconds.
fn scaled(number: &str, unit: u64) -> Result<u64, BadDuration> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.len() > 3 || whole.is_empty() || fraction.contains('.') {
        return Err(BadDuration::Unreadable);
    }
    let whole: u64 = whole.parse().map_err(|_| BadDuration::TooLong)?;
    let thousandths: u64 = format!("{fraction:0<3}").parse().map_err(|_| BadDuration::Unreadable)?;
    whole.checked_mul(unit).and_then(|w| w.checked_add(thousandths * unit / 1000)).ok_or(BadDuration::TooLong)
}

/// Why a text is not an estimate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadEstimate {
    Duration(BadDuration),
    /// The first part is longer than the second.
    Reversed,
}

/// Reads `20m` or `20m-30m` (expected - worst).
///
/// # Errors
/// What is wrong with it.
pub fn parse_estimate(text: &str) -> Result<Estimate, BadEstimate> {
    let (expected, worst) = text.split_once('-').unwrap_or((text, text));
    let expected = parse_duration(expected).map_err(BadEstimate::Duration)?;
    let worst = parse_duration(worst).map_err(BadEstimate::Duration)?;
    if expected > worst { Err(BadEstimate::Reversed) } else { Ok(Estimate { expected, worst }) }
}

/// Reads `20` or `30%`.
#[must_use]
pub fn parse_size(text: &str) -> Option<Size> {
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit()).then(|| s.parse::<u32>().ok()).flatten();
    match text.strip_suffix('%') {
        Some(p) => digits(p.trim_end()).and_then(|p| u8::try_from(p).ok()).filter(|p| *p <= 100).map(Size::Percent),
        None => digits(text).map(Size::Count),
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

    #[test]
    fn durations_need_units_in_order() {
        let secs = |t| parse_duration(t).map(|d| d.as_secs());
        assert_eq!(secs("1h30m"), Ok(5400));
        assert_eq!(secs("1h 30m"), Ok(5400));
        assert_eq!(secs("1.5h"), Ok(5400));
        assert_eq!(secs("30"), Err(BadDuration::NoUnit));
        assert_eq!(secs("2d"), Err(BadDuration::Calendar));
        assert_eq!(secs("30m1h"), Err(BadDuration::Order));
        assert_eq!(secs("1h30"), Err(BadDuration::NoUnit));
        assert_eq!(secs("-5m"), Err(BadDuration::Unreadable));
        assert_eq!(secs("99999999999999999999h"), Err(BadDuration::TooLong));
        assert_eq!(parse_duration("250ms"), Ok(SignedDuration::from_millis(250)));
    }

    #[test]
    fn estimates_are_expected_and_worst() {
        let minutes = |t| parse_estimate(t).map(|e| (e.expected.as_mins(), e.worst.as_mins()));
        assert_eq!(minutes("20m-30m"), Ok((20, 30)));
        assert_eq!(minutes("2h-2h40m"), Ok((120, 160)));
        assert_eq!(minutes("5m"), Ok((5, 5)));
        assert_eq!(minutes("30m-20m"), Err(BadEstimate::Reversed));
    }

    #[test]
    fn sizes_are_numbers_or_percentages() {
        assert_eq!(parse_size("20"), Some(Size::Count(20)));
        assert_eq!(parse_size("30%"), Some(Size::Percent(30)));
        assert_eq!(parse_size("101%"), None);
        assert_eq!(parse_size("-1"), None);
    }
}
