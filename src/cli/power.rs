//! Whether this machine runs on its battery, as Linux says in `/sys/class/power_supply`. Judges nothing.

use std::fs;
use std::path::Path;

use jiff::SignedDuration;

use crate::plan::units::Short;

/// Where Linux describes batteries and mains.
pub const SUPPLIES: &str = "/sys/class/power_supply";

/// A battery that is being emptied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Battery {
    /// Of what it holds when it is full.
    pub percent: u8,
    /// Until it is empty at the present rate, where the battery says what that is.
    pub left: Option<SignedDuration>,
}

impl Battery {
    /// `61%, about 2h10m`.
    #[must_use]
    pub fn in_words(self) -> String {
        let minutes = self.left.map(|left| SignedDuration::from_mins(left.as_mins()));
        minutes.map_or_else(|| format!("{}%", self.percent), |left| format!("{}%, about {}", self.percent, Short(left)))
    }

    /// Whether it may be empty before so much time is over.
    #[must_use]
    pub fn ends_before(self, needed: SignedDuration) -> bool {
        self.left.is_none_or(|left| left < needed)
    }
}

/// The battery on which this machine runs, the one that will last longest where there are several; `None` on mains, and on
/// machines that have none. Batteries of mice and other devices do not count.
#[must_use]
pub fn battery(supplies: &Path) -> Option<Battery> {
    let entries = fs::read_dir(supplies).into_iter().flatten().flatten();
    let discharging = entries.filter_map(|entry| discharging(&entry.path()));
    discharging.max_by_key(|battery| (battery.left, battery.percent))
}

fn discharging(supply: &Path) -> Option<Battery> {
    let read = |name: &str| fs::read_to_string(supply.join(name)).ok().map(|text| text.trim().to_owned());
    let number = |name: &str| read(name)?.parse::<i64>().ok().filter(|n| *n > 0);
    let runs_on_it = read("type")? == "Battery" && read("scope").is_none_or(|scope| scope != "Device");
    if !runs_on_it || read("status")? != "Discharging" {
        return None;
    }
    // Microwatt hours and microwatts, or microampere hours and microamperes.
    let hours = |held: &str, rate: &str| Some(number(held)? as f64 / number(rate)? as f64);
    let hours = hours("energy_now", "power_now").or_else(|| hours("charge_now", "current_now"));
    Some(Battery {
        percent: read("capacity")?.parse().ok()?,
        left: hours.map(|hours| SignedDuration::from_secs((hours * 3600.0).round() as i64)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn supply(dir: &Path, name: &str, files: &[(&str, &str)]) {
        let supply = dir.join(name);
        fs::create_dir(&supply).unwrap();
        files.iter().for_each(|(file, text)| fs::write(supply.join(file), format!("{text}\n")).unwrap());
    }

    #[test]
    fn a_battery_that_is_emptied_says_for_how_long_it_lasts() {
        let dir = tempfile::tempdir().unwrap();
        supply(dir.path(), "AC", &[("type", "Mains"), ("online", "0")]);
        supply(
            dir.path(),
            "mouse",
            &[("type", "Battery"), ("scope", "Device"), ("status", "Discharging"), ("capacity", "90")],
        );
        assert_eq!(battery(dir.path()), None);
        let held = [("type", "Battery"), ("status", "Discharging"), ("capacity", "61"), ("energy_now", "32500000")];
        supply(dir.path(), "BAT0", &[&held[..], &[("power_now", "15000000")]].concat());
        let found = battery(dir.path()).unwrap();
        assert_eq!(found.in_words(), "61%, about 2h10m");
        assert!(found.ends_before(SignedDuration::from_hours(4)) && !found.ends_before(SignedDuration::from_hours(2)));
    }

    #[test]
    fn one_that_does_not_say_how_fast_it_empties_may_end_at_any_time() {
        let dir = tempfile::tempdir().unwrap();
        let held = [("type", "Battery"), ("status", "Discharging"), ("capacity", "98"), ("charge_now", "4000000")];
        supply(dir.path(), "BAT1", &[&held[..], &[("current_now", "0")]].concat());
        let found = battery(dir.path()).unwrap();
        assert_eq!((found.in_words(), found.ends_before(SignedDuration::from_mins(1))), ("98%".to_owned(), true));
    }

    #[test]
    fn on_mains_and_without_batteries_there_is_nothing_to_say() {
        let dir = tempfile::tempdir().unwrap();
        supply(dir.path(), "BAT0", &[("type", "Battery"), ("status", "Charging"), ("capacity", "61")]);
        assert_eq!(battery(dir.path()), None);
        assert_eq!(battery(&dir.path().join("missing")), None);
    }
}
