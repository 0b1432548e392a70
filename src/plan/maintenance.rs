//! When a host may be worked on: days, hours, zone and notice, as its owner agreed. Knows no wave and no current time.

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};

use super::diagnostic::Quoted;
use super::model::Value;
use super::units::{Short, parse_duration};

/// The name of the variable.
pub const VARIABLE: &str = "maintenance";
/// How far ahead a next opening is looked for.
const HORIZON_DAYS: i32 = 21;

const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

/// Acceptable times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maintenance {
    /// Places in [`DAYS`], rising; the day on which an interval begins.
    days: Vec<usize>,
    /// From and to; `to <= from` ends on the next day. Never empty.
    between: Vec<(Time, Time)>,
    /// IANA name; the plan's zone where there is none.
    pub timezone: Option<String>,
    /// How long before the work the owner wants to be told.
    pub notice: Option<SignedDuration>,
}

/// From and to, `from < to`.
pub type Interval = (Timestamp, Timestamp);

impl Maintenance {
    /// Whether a variable of this value speaks of acceptable times at all: other tools may use its name for something else.
    #[must_use]
    pub fn is_meant(value: &Value) -> bool {
        matches!(value, Value::Map(entries) if entries.contains_key("days") || entries.contains_key("between"))
    }

    /// Reads `{days, between, timezone, notice}`, all of them optional.
    ///
    /// # Errors
    /// The first thing that cannot be read.
    pub fn read(value: &Value) -> Result<Self, String> {
        let Value::Map(entries) = value else { return Err("takes {days, between, timezone, notice}".into()) };
        let mut found = Self {
            days: (0..7).collect(),
            between: vec![(Time::midnight(), Time::midnight())],
            timezone: None,
            notice: None,
        };
        for (key, value) in entries {
            match key.as_str() {
                "days" => found.days = days(value)?,
                "between" => found.between = texts(value).iter().map(|t| hours(t)).collect::<Result<_, _>>()?,
                "timezone" => {
                    let name = value.to_text().unwrap_or_default();
                    TimeZone::get(&name)
                        .map_err(|_| format!("has no zone {}: write one such as Europe/Berlin", Quoted(&name)))?;
                    found.timezone = Some(name);
                }
                "notice" => {
                    let text = value.to_text().unwrap_or_default();
                    let notice = parse_duration(&text);
                    found.notice = Some(
                        notice
                            .map_err(|_| format!("has a notice that is no duration: {}: write 72h", Quoted(&text)))?,
                    );
                }
                other => return Err(format!("has no key {}: it takes days, between, timezone, notice", Quoted(other))),
            }
        }
        if found.days.is_empty() || found.between.is_empty() {
            return Err("leaves no time at all".into());
        }
        Ok(found)
    }

    /// `Mon-Thu 20:00-04:00 Europe/Berlin`.
    #[must_use]
    pub fn describe(&self) -> String {
        let hm = |t: &Time| t.strftime("%H:%M").to_string();
        let whole = |(from, to): &(Time, Time)| *from == Time::midnight() && *to == Time::midnight();
        let mut parts = vec![self.days_in_words()];
        if !self.between.iter().any(whole) {
            parts.push(self.between.iter().map(|(a, b)| format!("{}-{}", hm(a), hm(b))).collect::<Vec<_>>().join(", "));
        }
        parts.extend(self.timezone.clone());
        parts.extend(self.notice.map(|n| format!("({} notice)", Short(n))));
        parts.join(" ")
    }

    fn days_in_words(&self) -> String {
        let name = |day: usize| {
            let name = DAYS[day].0;
            format!("{}{}", name[..1].to_uppercase(), &name[1..])
        };
        if self.days.len() == 7 {
            return "daily".into();
        }
        let mut runs: Vec<(usize, usize)> = Vec::new();
        for day in &self.days {
            match runs.last_mut() {
                Some((_, last)) if *last + 1 == *day => *last = *day,
                _ => runs.push((*day, *day)),
            }
        }
        let run = |(a, b): &(usize, usize)| match b - a {
            0 => name(*a),
            1 => format!("{}, {}", name(*a), name(*b)),
            _ => format!("{}-{}", name(*a), name(*b)),
        };
        runs.iter().map(run).collect::<Vec<_>>().join(", ")
    }

    /// The acceptable times from the day before `from` on, in order, those that touch made one. `plan` is the plan's zone.
    #[must_use]
    pub fn intervals(&self, from: Timestamp, plan: &TimeZone) -> Vec<Interval> {
        let zone = self.timezone.as_deref().and_then(|name| TimeZone::get(name).ok()).unwrap_or_else(|| plan.clone());
        let first = from.to_zoned(zone.clone()).date();
        let mut found: Vec<Interval> = Vec::new();
        for day in -1..HORIZON_DAYS {
            let Ok(date) = first.checked_add(day.days()) else { continue };
            if self.days.iter().any(|d| DAYS[*d].1 == date.weekday()) {
                found.extend(self.between.iter().filter_map(|hours| on(date, *hours, &zone)));
            }
        }
        found.sort_unstable();
        let mut merged: Vec<Interval> = Vec::with_capacity(found.len());
        for (start, end) in found {
            match merged.last_mut() {
                Some(last) if start <= last.1 => last.1 = last.1.max(end),
                _ => merged.push((start, end)),
            }
        }
        merged
    }
}

/// Times in the gap or the fold of a clock change are taken as most calendars take them.
fn on(date: Date, (from, to): (Time, Time), zone: &TimeZone) -> Option<Interval> {
    let until = if to <= from { date.tomorrow().ok()? } else { date };
    let at = |date: Date, time| Some(zone.to_zoned(date.to_datetime(time)).ok()?.timestamp());
    let (from, to) = (at(date, from)?, at(until, to)?);
    (from < to).then_some((from, to))
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::List(values) => values.iter().filter_map(Value::to_text).collect(),
        other => other.to_text().into_iter().collect(),
    }
}

/// `mon`, `mon-fri`, `daily`, and lists of them.
fn days(value: &Value) -> Result<Vec<usize>, String> {
    let mut found = Vec::new();
    for text in texts(value).iter().flat_map(|t| t.split(',')).map(str::trim) {
        let lower = text.to_lowercase();
        let day = |name: &str| {
            let name = name.trim();
            let place = DAYS.iter().position(|(short, _)| name.starts_with(short) && name.len() >= 3);
            place.ok_or_else(|| {
                format!("has no day {}: write mon, tue, wed, thu, fri, sat, sun or mon-fri", Quoted(text))
            })
        };
        match lower.split_once('-') {
            _ if ["daily", "all", "every day"].contains(&lower.as_str()) => found.extend(0..7),
            None => found.push(day(&lower)?),
            Some((from, to)) => {
                let (from, to) = (day(from)?, day(to)?);
                found.extend((0..7).map(|n| (from + n) % 7).take((to + 7 - from) % 7 + 1));
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// `20:00-04:00`; `24:00` is the end of the day.
fn hours(text: &str) -> Result<(Time, Time), String> {
    let wrong = || format!("has hours that cannot be read: {}: write \"20:00-04:00\"", Quoted(text));
    let time = |text: &str| -> Option<Time> {
        let (h, m) = text.trim().split_once(':')?;
        let digits = |t: &str| (1..=2).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_digit());
        if !digits(h) || m.len() != 2 || !digits(m) {
            return None;
        }
        match (h.parse::<i8>().ok()?, m.parse::<i8>().ok()?) {
            (24, 0) => Some(Time::midnight()),
            (h, m) => Time::new(h, m, 0, 0).ok(),
        }
    };
    let (from, to) = text.split_once('-').ok_or_else(wrong)?;
    Ok((time(from).ok_or_else(wrong)?, time(to).ok_or_else(wrong)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: &[(&str, &str)]) -> Value {
        let value = |v: &str| match v.split_once('|') {
            Some((a, b)) => Value::List(vec![Value::Text(a.into()), Value::Text(b.into())]),
            None => Value::Text(v.into()),
        };
        Value::Map(entries.iter().map(|(k, v)| ((*k).to_owned(), value(v))).collect())
    }

    fn said(entries: &[(&str, &str)]) -> String {
        Maintenance::read(&map(entries)).map_or_else(|e| e, |m| m.describe())
    }

    #[test]
    fn times_are_read_and_said_again() {
        assert_eq!(said(&[("days", "mon-thu"), ("between", "20:00-04:00")]), "Mon-Thu 20:00-04:00");
        assert_eq!(said(&[("days", "Saturday|sun")]), "Sat, Sun");
        assert_eq!(said(&[("days", "fri-mon"), ("timezone", "Europe/Berlin")]), "Mon, Fri-Sun Europe/Berlin");
        assert_eq!(said(&[("between", "00:00-24:00"), ("notice", "72h")]), "daily (72h notice)");
        assert_eq!(said(&[("between", "9:00-12:00|14:00-16:30")]), "daily 09:00-12:00, 14:00-16:30");
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        for (entries, part) in [
            ([("days", "someday")], "has no day"),
            ([("between", "20-4")], "has hours"),
            ([("between", "25:00-26:00")], "has hours"),
            ([("timezone", "Berlin")], "has no zone"),
            ([("notice", "3")], "no duration"),
            ([("hours", "1")], "has no key"),
        ] {
            let said = said(&entries);
            assert!(said.contains(part), "{said}");
        }
    }

    #[test]
    fn intervals_cross_midnight_and_clock_changes_and_join() {
        let at = |t: &str| t.parse::<Timestamp>().expect("a time");
        let night =
            Maintenance::read(&map(&[("days", "sat"), ("between", "22:00-06:00"), ("timezone", "Europe/Berlin")]))
                .expect("good");
        // Clocks went forward in the night to 31 March 2013: seven hours.
        let intervals = night.intervals(at("2013-03-30T12:00:00Z"), &TimeZone::UTC);
        assert_eq!(intervals[0], (at("2013-03-30T21:00:00Z"), at("2013-03-31T04:00:00Z")));
        let always = Maintenance::read(&map(&[("between", "00:00-24:00")])).expect("good");
        assert_eq!(
            always.intervals(at("2013-03-30T12:00:00Z"), &TimeZone::UTC).len(),
            1,
            "days that touch are one interval"
        );
    }
}
