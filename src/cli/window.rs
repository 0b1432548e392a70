//! Whether a run may start now, and which instants its window has. Knows nothing of what the run does.

use jiff::{SignedDuration, Timestamp};

use super::error::CommandError;
use crate::engine::fact::WindowInstants;
use crate::plan::model::{Opening, Plan};
use crate::plan::units::Short;

/// A run may be started this long before its window opens, and waits. Earlier than that is probably the wrong night.
const EARLY: SignedDuration = SignedDuration::from_hours(2);

/// How people asked to treat the window.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wish<'a> {
    /// `--outside-window -m REASON`.
    pub outside: Option<&'a str>,
    /// `--wait`: however long it takes.
    pub wait: bool,
}

/// The window of a run that starts `now`; `None` for a plan without one.
///
/// # Errors
/// When the window is over, or opens much later, and nobody asked to start all the same.
pub fn resolve(plan: &Plan, now: Timestamp, wish: Wish<'_>) -> Result<Option<WindowInstants>, CommandError> {
    let Some(window) = &plan.window else { return Ok(None) };
    let (opens, closes) = match window.opening {
        Opening::WhenStarted { lasts } => (now, after(now, lasts)),
        Opening::At { opens, closes } if wish.outside.is_some() => outside(opens, closes, now),
        Opening::At { opens, closes } => {
            in_time(plan, opens, closes, now, wish.wait)?;
            (opens, closes)
        }
    };
    let (reserve, max_extension, on_deadline) = (window.reserve, window.max_extension, window.on_deadline);
    Ok(Some(WindowInstants { opens, closes, reserve, max_extension, on_deadline }))
}

/// The window of a run that starts outside it: it opens now; a close that is past moves along, so that the run has the
/// time that was planned for it.
fn outside(opens: Timestamp, closes: Timestamp, now: Timestamp) -> (Timestamp, Timestamp) {
    if now < closes { (opens.min(now), closes) } else { (now, after(now, closes.duration_since(opens))) }
}

fn in_time(plan: &Plan, opens: Timestamp, closes: Timestamp, now: Timestamp, wait: bool) -> Result<(), CommandError> {
    let clock = |t: Timestamp| clock_time(plan, t);
    let anyway = "start it all the same; the reason goes into the report:   --outside-window -m REASON";
    if now >= closes {
        let ago = rough(now.duration_since(closes));
        let why = format!("the window ended {ago} ago ({})", clock(closes));
        return Err(CommandError::refused(why).hint("another night: change its times in the plan").hint(anyway));
    }
    let left = opens.duration_since(now);
    if left > EARLY && !wait {
        let why = format!("the window opens in {} ({})", rough(left), clock(opens));
        let hint = format!("start it within {} of that, or wait for it from now on:   --wait", Short(EARLY));
        return Err(CommandError::refused(why).hint(hint).hint(anyway));
    }
    Ok(())
}

/// In the plan's zone: `Sun 2 Dec 2007, 01:30`.
#[must_use]
pub fn clock_time(plan: &Plan, at: Timestamp) -> String {
    let zone = plan.timezone.as_deref().and_then(|name| jiff::tz::TimeZone::get(name).ok());
    let zoned = at.to_zoned(zone.unwrap_or(jiff::tz::TimeZone::UTC));
    zoned.strftime("%a %-d %b %Y, %H:%M").to_string()
}

/// `11h30m`, `6930 days`: as exact as a person needs it.
#[must_use]
pub fn rough(d: SignedDuration) -> String {
    let days = d.as_hours() / 24;
    match days {
        0 if d >= SignedDuration::from_hours(1) => Short(SignedDuration::from_mins(d.as_mins())).to_string(),
        0 => Short(SignedDuration::from_secs(d.as_secs())).to_string(),
        1 => "1 day".to_owned(),
        n => format!("{n} days"),
    }
}

fn after(at: Timestamp, d: SignedDuration) -> Timestamp {
    at.checked_add(d).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_196_577_000 + minute * 60).unwrap()
    }

    #[test]
    fn outside_the_window_the_planned_time_is_kept() {
        assert_eq!(outside(at(0), at(330), at(-600)), (at(-600), at(330)), "too early: it opens now");
        assert_eq!(outside(at(0), at(330), at(100)), (at(0), at(330)), "inside: nothing changes");
        assert_eq!(outside(at(0), at(330), at(1000)), (at(1000), at(1330)), "too late: all of it moves");
    }

    #[test]
    fn durations_are_as_exact_as_needed() {
        assert_eq!(rough(SignedDuration::from_secs(860)), "14m20s");
        assert_eq!(rough(SignedDuration::from_secs(41_410)), "11h30m");
        assert_eq!(rough(SignedDuration::from_hours(24 * 40)), "40 days");
        assert_eq!(rough(SignedDuration::from_hours(30)), "1 day");
    }
}
