//! How long something may take: a distribution from an estimate, from what it really took, or from both. Draws nothing by
//! itself.
//!
//! Durations are taken to be *lognormal*: never negative, with a longer tail on the late side, and a factor ("half as long
//! again") is as likely early as late. An estimate `20m-30m` says: 20 minutes in the middle, and longer than 30 minutes once
//! in twenty times. One value says that there is no spread.
//!
//! What it really took moves both. The distribution is fitted instead of drawn from the past runs themselves, because a
//! handful of runs has no tail: it would say that nothing can take longer than it ever did. The estimate counts as one run
//! for the middle, and as [`RUNS_OF_SPREAD`] for the spread, so that two runs that happened to agree promise nothing.

use jiff::SignedDuration;

use crate::plan::units::Estimate;
use crate::schedule::dice::Dice;

/// How many standard deviations above the middle the worst estimate lies: 95 of 100 are below.
const WORST: f64 = 1.645;
/// As how many runs the spread of the estimate counts beside real ones.
pub const RUNS_OF_SPREAD: f64 = 3.0;
/// The spread that real runs start from where the plan gives none: about a tenth up or down.
const TENTH: f64 = 0.1;

/// The logarithm of seconds: its middle and its standard deviation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    pub middle: f64,
    /// 0: it always takes as long.
    pub deviation: f64,
}

impl Spread {
    /// By the estimate and what it took before, newest or oldest first. `None`: no time at all.
    #[must_use]
    pub fn of(estimate: Option<Estimate>, past: &[SignedDuration]) -> Option<Self> {
        let planned = estimate.filter(|e| e.expected.is_positive()).map(|e| {
            let (expected, worst) = (e.expected.as_secs_f64().ln(), e.worst.as_secs_f64().ln());
            Self { middle: expected, deviation: ((worst - expected) / WORST).max(0.0) }
        });
        let logs: Vec<f64> = past.iter().map(|d| d.as_secs_f64().max(0.001).ln()).collect();
        if logs.is_empty() {
            return planned;
        }
        let n = logs.len() as f64;
        let counted = planned.map(|p| p.middle).into_iter().chain(logs.iter().copied());
        let middle = counted.sum::<f64>() / (n + if planned.is_some() { 1.0 } else { 0.0 });
        let prior = planned.map_or(TENTH, |p| if p.deviation > 0.0 { p.deviation } else { TENTH });
        let squares: f64 = logs.iter().map(|x| (x - middle) * (x - middle)).sum();
        let deviation = ((RUNS_OF_SPREAD * prior * prior + squares) / (RUNS_OF_SPREAD + n)).sqrt();
        Some(Self { middle, deviation })
    }

    /// In seconds, at this many standard deviations.
    #[must_use]
    pub fn at(&self, deviations: f64) -> f64 {
        (self.middle + self.deviation * deviations).exp()
    }

    /// The estimate that says the same.
    #[must_use]
    pub fn estimate(&self) -> Estimate {
        let seconds = |s: f64| SignedDuration::try_from_secs_f64(s).unwrap_or(SignedDuration::MAX);
        Estimate { expected: seconds(self.at(0.0)), worst: seconds(self.at(WORST)) }
    }

    /// How many standard deviations from the middle this is. Not for a spread of 0.
    #[must_use]
    pub fn place_of(&self, seconds: f64) -> f64 {
        (seconds.max(0.001).ln() - self.middle) / self.deviation
    }

    /// How long it takes in all, drawn: more than `elapsed` seconds. `luck` is what it shares with others of its step, of
    /// which it has `own` left to itself.
    pub fn draw_above(&self, dice: &mut Dice, elapsed: f64, luck: f64, own: f64) -> f64 {
        let taken = if self.deviation > 0.0 {
            let least = (self.place_of(elapsed) - luck) / own;
            self.at(luck + own * dice.normal_above(least))
        } else {
            self.at(0.0)
        };
        // Past everything that is known of it: another tenth of what it has taken.
        if taken > elapsed { taken } else { elapsed * 1.1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(expected: i64, worst: i64) -> Option<Estimate> {
        Some(Estimate { expected: SignedDuration::from_mins(expected), worst: SignedDuration::from_mins(worst) })
    }

    fn took(minutes: &[i64]) -> Vec<SignedDuration> {
        minutes.iter().map(|m| SignedDuration::from_mins(*m)).collect()
    }

    fn in_minutes(spread: Spread) -> (i64, i64) {
        let e = spread.estimate();
        (e.expected.as_secs().div_euclid(60), e.worst.as_secs().div_euclid(60))
    }

    #[test]
    fn an_estimate_is_the_middle_and_what_once_in_twenty_times_is_passed() {
        let spread = Spread::of(minutes(20, 30), &[]).unwrap();
        let mut dice = Dice::new(3);
        let drawn: Vec<f64> = (0..20_000).map(|_| spread.at(dice.normals().0) / 60.0).collect();
        let share = |above: f64| drawn.iter().filter(|d| **d > above).count() as f64 / drawn.len() as f64;
        assert!((share(20.0) - 0.5).abs() < 0.015 && (share(30.0) - 0.05).abs() < 0.005);
        assert_eq!(Spread::of(minutes(20, 20), &[]).unwrap().deviation, 0.0);
        assert_eq!(Spread::of(None, &[]), None);
        assert_eq!(Spread::of(minutes(0, 0), &[]), None);
    }

    #[test]
    fn what_it_really_took_moves_the_middle_and_the_spread() {
        assert_eq!(in_minutes(Spread::of(minutes(20, 30), &took(&[24, 31, 36])).unwrap()), (27, 39));
        assert_eq!(
            in_minutes(Spread::of(minutes(20, 30), &took(&[20; 20])).unwrap()),
            (20, 23),
            "agreement narrows it"
        );
        assert_eq!(in_minutes(Spread::of(None, &took(&[10, 10, 12])).unwrap()), (10, 12));
        assert!(
            Spread::of(minutes(20, 20), &took(&[20])).unwrap().deviation > 0.05,
            "one value has no spread, runs have"
        );
    }

    #[test]
    fn what_runs_already_takes_longer_than_it_has_taken() {
        let mut dice = Dice::new(4);
        let spread = Spread::of(minutes(20, 30), &[]).unwrap();
        let rest: Vec<f64> = (0..2_000).map(|_| spread.draw_above(&mut dice, 1_500.0, 0.0, 1.0)).collect();
        assert!(rest.iter().all(|d| *d > 1_500.0));
        assert!(rest.iter().sum::<f64>() / 2_000.0 < 1_900.0, "but not much longer than what is left of the spread");
        let fixed = Spread::of(minutes(20, 20), &[]).unwrap();
        assert_eq!(fixed.draw_above(&mut dice, 600.0, 0.0, 1.0).round(), 1_200.0);
        assert_eq!(fixed.draw_above(&mut dice, 2_000.0, 0.0, 1.0).round(), 2_200.0);
    }
}
