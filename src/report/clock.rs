//! Instants as the bridge says them: clock times in the plan's zone, short durations. Knows no current time.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::plan::units::Short;

/// Shows instants in one zone.
#[derive(Debug, Clone)]
pub struct Clock {
    zone: TimeZone,
    name: String,
}

impl Clock {
    /// The zone of this name; UTC where the plan has none or the name is unknown here.
    #[must_use]
    pub fn new(timezone: Option<&str>) -> Self {
        let found = timezone.and_then(|name| TimeZone::get(name).ok().map(|zone| (zone, name.to_owned())));
        let (zone, name) = found.unwrap_or((TimeZone::UTC, "UTC".into()));
        Self { zone, name }
    }

    /// `America/Toronto`.
    #[must_use]
    pub fn zone_name(&self) -> &str {
        &self.name
    }

    /// `01:30`.
    #[must_use]
    pub fn hm(&self, t: Timestamp) -> String {
        t.to_zoned(self.zone.clone()).strftime("%H:%M").to_string()
    }

    /// `01:30:04`.
    #[must_use]
    pub fn hms(&self, t: Timestamp) -> String {
        t.to_zoned(self.zone.clone()).strftime("%H:%M:%S").to_string()
    }

    /// `01:30`, with the weekday where `t` is on another day than `like`.
    #[must_use]
    pub fn hm_near(&self, t: Timestamp, like: Timestamp) -> String {
        if self.zoned(t).date() == self.zoned(like).date() { self.hm(t) } else { self.day_hm(t) }
    }

    /// A limit: `05:50`; `05:50:30` where it is less than two minutes away.
    #[must_use]
    pub fn limit(&self, t: Timestamp, now: Timestamp) -> String {
        let near = t.duration_since(now) < SignedDuration::from_mins(2);
        if near { self.hms(t) } else { self.hm_near(t, now) }
    }

    /// `Sun 01:30`.
    #[must_use]
    pub fn day_hm(&self, t: Timestamp) -> String {
        self.zoned(t).strftime("%a %H:%M").to_string()
    }

    /// `Mon 04 09:00`.
    #[must_use]
    pub fn date_hm(&self, t: Timestamp) -> String {
        self.zoned(t).strftime("%a %d %H:%M").to_string()
    }

    /// `2007-12-02 01:30`.
    #[must_use]
    pub fn full(&self, t: Timestamp) -> String {
        self.zoned(t).strftime("%Y-%m-%d %H:%M").to_string()
    }

    /// `Sunday 2 Dec 2007`.
    #[must_use]
    pub fn day(&self, t: Timestamp) -> String {
        self.zoned(t).strftime("%A %-d %b %Y").to_string()
    }

    /// `UTC-5`, `UTC+5:30`.
    #[must_use]
    pub fn offset(&self, t: Timestamp) -> String {
        let minutes = self.zoned(t).offset().seconds() / 60;
        let sign = if minutes < 0 { '-' } else { '+' };
        match (minutes.abs() / 60, minutes.abs() % 60) {
            (0, 0) => "UTC".into(),
            (h, 0) => format!("UTC{sign}{h}"),
            (h, m) => format!("UTC{sign}{h}:{m:02}"),
        }
    }

    /// RFC 3339 with the zone's offset and milliseconds.
    #[must_use]
    pub fn rfc3339(&self, t: Timestamp) -> String {
        self.zoned(t).strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string()
    }

    #[must_use]
    pub fn zoned(&self, t: Timestamp) -> jiff::Zoned {
        t.to_zoned(self.zone.clone())
    }
}

/// A measured duration: `2h40m`, `4m51s`, `45s`, `250ms`.
#[must_use]
pub fn span(d: SignedDuration) -> String {
    let secs = d.as_secs();
    match secs.abs() {
        0 if !d.is_zero() => Short(d).to_string(),
        3600.. => Short(SignedDuration::from_secs(secs - secs % 60)).to_string(),
        _ => Short(SignedDuration::from_secs(secs)).to_string(),
    }
}

/// A duration that nobody should read to the second: whole minutes, rounded down; seconds below one minute.
#[must_use]
pub fn coarse(d: SignedDuration) -> String {
    let secs = d.as_secs();
    let secs = if secs.abs() >= 60 { secs - secs % 60 } else { secs };
    Short(SignedDuration::from_secs(secs)).to_string()
}

/// How much more: `+40m`, `-12s`; nothing for less than a second.
#[must_use]
pub fn difference(d: SignedDuration) -> String {
    match d.as_secs() {
        0 => String::new(),
        1.. => format!("+{}", coarse(d)),
        _ => coarse(d),
    }
}

/// How much of the whole this part is.
pub(super) fn ratio(part: SignedDuration, whole: SignedDuration) -> f64 {
    if whole.is_zero() { 1.0 } else { part.as_secs_f64() / whole.as_secs_f64() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_times_are_in_the_plans_zone_and_name_another_day() {
        let clock = Clock::new(Some("America/Toronto"));
        let t: Timestamp = "2007-12-02T06:30:04.110Z".parse().unwrap();
        let later: Timestamp = "2007-12-03T06:30:00Z".parse().unwrap();
        assert_eq!((clock.hm(t), clock.hms(t)), ("01:30".into(), "01:30:04".into()));
        assert_eq!(clock.hm_near(later, t), "Mon 01:30");
        assert_eq!(clock.rfc3339(t), "2007-12-02T01:30:04.110-05:00");
        assert_eq!((clock.offset(t), clock.day(t)), ("UTC-5".into(), "Sunday 2 Dec 2007".into()));
    }

    #[test]
    fn an_unknown_zone_is_shown_as_utc_and_says_so() {
        assert_eq!(Clock::new(Some("Mars/Olympus")).zone_name(), "UTC");
    }

    #[test]
    fn spans_lose_seconds_only_beyond_an_hour() {
        let s = SignedDuration::from_secs;
        assert_eq!(span(s(291)), "4m51s");
        assert_eq!(span(s(9605)), "2h40m");
        assert_eq!(span(SignedDuration::from_millis(250)), "250ms");
        assert_eq!(coarse(s(16_460)), "4h34m");
        assert_eq!(coarse(s(59)), "59s");
        assert_eq!(coarse(s(-119)), "-1m");
        assert_eq!([0, 12, -12, 2_400].map(|d| difference(s(d))), ["", "+12s", "-12s", "+40m"]);
    }
}
