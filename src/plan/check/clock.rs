//! Clock times in the plan's zone as instants, also in the nights when clocks change. Knows no window.

use jiff::civil::{DateTime, Time};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use super::Checker;
use crate::plan::codes;
use crate::plan::diagnostic::{Diagnostic, Quoted};
use crate::plan::raw::{Fold, RawPlan};
use crate::plan::span::Spanned;
use crate::plan::words;

/// The plan's zone.
pub enum Clock {
    Zone(TimeZone),
    /// None is written.
    Missing,
    /// What is written is no zone; that has been said already.
    Broken,
}

/// What a clock time means when it has no date.
#[derive(Debug, Clone, Copy)]
pub enum Base {
    /// It must have one.
    DateRequired,
    /// The next such time after this instant.
    NextAfter(Timestamp),
}

impl Clock {
    pub fn new(raw: &RawPlan, found: &mut Vec<Diagnostic>) -> Self {
        let Some(name) = &raw.timezone else {
            return if raw.has("timezone") { Self::Broken } else { Self::Missing };
        };
        if let Some(d) = not_a_place(name) {
            found.push(d);
            return Self::Broken;
        }
        if let Ok(zone) = TimeZone::get(&name.value) {
            return Self::Zone(zone);
        }
        let known: Vec<_> = jiff::tz::db().available().map(|z| z.to_string()).collect();
        let near = words::nearest(&name.value, known.iter().map(String::as_str));
        let d = Diagnostic::error(codes::TIMEZONE, format!("unknown time zone {}", Quoted(&name.value)));
        found.push(match near {
            Some(near) => d.at(name.span, format!("did you mean `{near}`?")).fix(name.span, near),
            None => d
                .at(name.span, "not a zone of the IANA database")
                .help("write one such as Europe/Berlin, America/Toronto or UTC"),
        });
        Self::Broken
    }
}

/// Offsets and abbreviations: they do not know when clocks change.
fn not_a_place(name: &Spanned<String>) -> Option<Diagnostic> {
    let text = name.value.trim();
    let offset = text.starts_with(['+', '-']) || text.starts_with(|c: char| c.is_ascii_digit());
    let offset =
        offset || ["UTC", "GMT"].iter().any(|p| text.strip_prefix(p).is_some_and(|r| r.starts_with(['+', '-'])));
    let short =
        (2..=5).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_uppercase()) && !matches!(text, "UTC" | "GMT");
    let what = match (offset, short) {
        (true, _) => "an offset from UTC",
        (_, true) => "an abbreviation",
        _ => return None,
    };
    Some(
        Diagnostic::error(codes::TIMEZONE, format!("{} is {what}, not a time zone", Quoted(text)))
            .at(name.span, "use the zone of a place")
            .why("it does not say when clocks change, so a night could be an hour off")
            .help("write an IANA zone such as Europe/Berlin, America/Toronto or UTC"),
    )
}

impl Checker<'_> {
    /// A clock time such as `2007-12-02 01:30` as an instant; without a date as `base` says.
    pub fn instant(&mut self, text: &Spanned<String>, base: Base, fold: Option<Fold>) -> Option<Timestamp> {
        let (date, time) = self.clock_parts(text)?;
        let zone = match &self.clock {
            Clock::Zone(zone) => zone.clone(),
            Clock::Broken => return None,
            Clock::Missing => {
                self.missing_zone(text);
                return None;
            }
        };
        let (date, after) = match (date, base) {
            (Some(date), _) => (date, None),
            (None, Base::NextAfter(after)) => (after.to_zoned(zone.clone()).date(), Some(after)),
            (None, Base::DateRequired) => {
                let message = format!("{} has no date", Quoted(&text.value));
                let d = Diagnostic::error(codes::CLOCK, message).at(text.span, "on which day?");
                self.found.push(d.help(format!("write it with its date: \"2026-11-28 {}\"", text.value)));
                return None;
            }
        };
        let at = self.resolve(date.to_datetime(time), &zone, text, fold)?;
        match after {
            Some(after) if at <= after => self.resolve(date.tomorrow().ok()?.to_datetime(time), &zone, text, fold),
            _ => Some(at),
        }
    }

    fn missing_zone(&mut self, text: &Spanned<String>) {
        if self.found.iter().any(|d| d.code == codes::TIMEZONE) {
            return;
        }
        let d = Diagnostic::error(codes::TIMEZONE, "the plan has clock times but no time zone");
        self.found.push(
            d.at(text.span, "in which zone?")
                .help("write `timezone: Europe/Berlin` (or another IANA zone) at the top of the plan"),
        );
    }

    /// The date, if there is one, and the time.
    fn clock_parts(&mut self, text: &Spanned<String>) -> Option<(Option<jiff::civil::Date>, Time)> {
        let written = text.value.trim();
        let (date, time) = match written.split_once([' ', 'T']) {
            Some((date, time)) => (Some(date), time.trim()),
            None if written.contains(':') => (None, written),
            None => (Some(written), ""),
        };
        let date = match date.map(parse_date) {
            None => None,
            Some(Ok(date)) => Some(date),
            Some(Err(why)) => {
                self.bad_clock(text, why);
                return None;
            }
        };
        match parse_time(time) {
            Ok(time) => Some((date, time)),
            Err(why) => {
                self.bad_clock(text, why);
                None
            }
        }
    }

    fn bad_clock(&mut self, text: &Spanned<String>, why: &'static str) {
        let message = format!("{} {why}", Quoted(&text.value));
        let d = Diagnostic::error(codes::CLOCK, message).at(text.span, "");
        self.found.push(d.help("write \"2026-11-28 01:30\""));
    }

    /// The instant of a local time, which may happen never or twice.
    fn resolve(
        &mut self,
        at: DateTime,
        zone: &TimeZone,
        text: &Spanned<String>,
        fold: Option<Fold>,
    ) -> Option<Timestamp> {
        let ambiguous = zone.to_ambiguous_timestamp(at);
        match ambiguous.offset() {
            AmbiguousOffset::Unambiguous { .. } => match ambiguous.unambiguous() {
                Ok(instant) => Some(instant),
                Err(_) => {
                    self.bad_clock(text, "is outside the calendar");
                    None
                }
            },
            AmbiguousOffset::Gap { before, .. } => {
                self.gap(at, before, zone, text);
                None
            }
            AmbiguousOffset::Fold { .. } => match fold {
                Some(Fold::First) => ambiguous.earlier().ok(),
                Some(Fold::Second) => ambiguous.later().ok(),
                None => {
                    self.twice(at, zone, text);
                    None
                }
            },
        }
    }

    fn gap(&mut self, at: DateTime, before: Offset, zone: &TimeZone, text: &Spanned<String>) {
        let (date, time) = (at.date(), at.strftime("%H:%M"));
        let message = format!("{time} does not exist on {date}: clocks go forward that night");
        let d = Diagnostic::error(codes::CLOCK_GAP, message).at(text.span, "no such time");
        let change = before.to_timestamp(at).ok().and_then(|t| zone.preceding(t + SignedDuration::from_secs(1)).next());
        self.found.push(match change {
            Some(change) => {
                let first = change.timestamp().to_zoned(zone.clone());
                let last = (change.timestamp() - SignedDuration::from_mins(1)).to_zoned(zone.clone());
                d.help(format!(
                    "the nearest times that exist: {} ({} UTC) and {} ({} UTC)",
                    last.strftime("%H:%M"),
                    last.timestamp().strftime("%H:%M"),
                    first.strftime("%H:%M"),
                    first.timestamp().strftime("%H:%M"),
                ))
            }
            None => d,
        });
    }

    fn twice(&mut self, at: DateTime, zone: &TimeZone, text: &Spanned<String>) {
        let utc =
            |t: Result<Timestamp, _>| t.map(|t: Timestamp| t.strftime("%H:%M UTC").to_string()).unwrap_or_default();
        let first = utc(zone.to_ambiguous_timestamp(at).earlier());
        let second = utc(zone.to_ambiguous_timestamp(at).later());
        let (date, time) = (at.date(), at.strftime("%H:%M"));
        let message = format!("{time} happens twice on {date}: clocks go back that night");
        self.found.push(
            Diagnostic::error(codes::CLOCK_FOLD, message)
                .at(text.span, format!("{first} or {second}?"))
                .help(format!("add `fold: first` ({first}) or `fold: second` ({second}) beside it")),
        );
    }
}

fn parse_date(text: &str) -> Result<jiff::civil::Date, &'static str> {
    let parts: Vec<&str> = text.split('-').collect();
    let [y, m, d] = parts[..] else { return Err("is not a date and time") };
    if y.len() != 4 || m.len() != 2 || d.len() != 2 {
        return Err("is not a date such as 2026-11-28");
    }
    let number = |s: &str| s.parse::<i16>().map_err(|_| "is not a date such as 2026-11-28");
    let (y, m, d) = (number(y)?, number(m)?, number(d)?);
    jiff::civil::Date::new(y, i8::try_from(m).unwrap_or(-1), i8::try_from(d).unwrap_or(-1))
        .map_err(|_| "is a date that does not exist")
}

fn parse_time(text: &str) -> Result<Time, &'static str> {
    if text.is_empty() {
        return Err("has no clock time");
    }
    let parts: Vec<&str> = text.split(':').collect();
    let (h, m, s) = match parts[..] {
        [h, m] => (h, m, "00"),
        [h, m, s] => (h, m, s),
        _ => return Err("is not a clock time such as 01:30"),
    };
    let number = |s: &str| match s.len() {
        1 | 2 if s.bytes().all(|b| b.is_ascii_digit()) => {
            s.parse::<i8>().map_err(|_| "is not a clock time such as 01:30")
        }
        _ => Err("is not a clock time such as 01:30"),
    };
    Time::new(number(h)?, number(m)?, number(s)?, 0).map_err(|_| "is a time that does not exist")
}
