//! What steps took before, by step and host group. Knows nothing of where it was recorded.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::spread::Spread;
use crate::plan::units::Estimate;

/// No more than the newest of them count: machines and programs change.
const MOST: usize = 20;
/// An estimate is held against so many of them.
pub const LAST: usize = 5;

/// One duration per run of one plan, newest first: what the median host of the group took.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Written>", into = "Vec<Written>")]
pub struct Past(BTreeMap<(String, String), Vec<SignedDuration>>);

/// As it is written down: step, group, and milliseconds.
type Written = (String, String, Vec<i64>);

impl From<Vec<Written>> for Past {
    fn from(all: Vec<Written>) -> Self {
        let read = |ms: Vec<i64>| ms.into_iter().map(SignedDuration::from_millis).collect();
        Self(all.into_iter().map(|(step, group, took)| ((step, group), read(took))).collect())
    }
}

impl From<Past> for Vec<Written> {
    fn from(past: Past) -> Self {
        let written =
            |all: Vec<SignedDuration>| all.iter().map(|d| i64::try_from(d.as_millis()).unwrap_or(0)).collect();
        past.0.into_iter().map(|((step, group), took)| (step, group, written(took))).collect()
    }
}

impl Past {
    /// Adds one that is older than those that are there. `group` is empty for a step that runs nowhere.
    pub fn push(&mut self, step: &str, group: &str, took: SignedDuration) {
        let all = self.0.entry((step.to_owned(), group.to_owned())).or_default();
        if all.len() < MOST {
            all.push(took);
        }
    }

    #[must_use]
    pub fn of(&self, step: &str, group: &str) -> &[SignedDuration] {
        self.0.get(&(step.to_owned(), group.to_owned())).map_or(&[], Vec::as_slice)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What a step took in the group that the others wait for, where two runs or more know it; one proves nothing.
    #[must_use]
    pub fn slowest(&self, step: &str) -> Option<&[SignedDuration]> {
        let of_groups = self.0.iter().filter(|((s, _), took)| s == step && took.len() > 1);
        of_groups
            .map(|(_, took)| took.as_slice())
            .max_by_key(|took| Spread::of(None, took).map(|s| s.estimate().expected))
    }

    /// Those of a step, by group.
    pub fn of_step<'a>(&'a self, step: &'a str) -> impl Iterator<Item = (&'a str, &'a [SignedDuration])> {
        let from = (step.to_owned(), String::new());
        let all = self.0.range(from..).take_while(move |((s, _), _)| s == step);
        all.map(|((_, group), took)| (group.as_str(), took.as_slice()))
    }
}

/// The newest of these, newest first, that an estimate is held against.
#[must_use]
pub fn newest(took: &[SignedDuration]) -> &[SignedDuration] {
    &took[..took.len().min(LAST)]
}

/// The median; of an even number, the longer of the two in the middle.
#[must_use]
pub fn middle(all: &[SignedDuration]) -> Option<SignedDuration> {
    let mut sorted = all.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied()
}

/// Whether an estimate is not borne out by what it took: the middle of the last runs is a fifth longer than expected, or
/// less than half as long. One run proves nothing, and a few seconds are none.
#[must_use]
pub fn is_unlike(estimate: Estimate, took: &[SignedDuration]) -> bool {
    let Some(middle) = middle(newest(took)).filter(|_| took.len() > 1) else { return false };
    let expected = estimate.expected;
    let apart = (middle - expected).abs() >= SignedDuration::from_secs(10);
    apart && (middle * 5 > expected * 6 || middle * 2 < expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(all: &[i64]) -> Vec<SignedDuration> {
        all.iter().map(|m| SignedDuration::from_mins(*m)).collect()
    }

    #[test]
    fn an_estimate_is_unlike_what_it_took_for_good_reasons_only() {
        let estimate = Estimate { expected: SignedDuration::from_mins(20), worst: SignedDuration::from_mins(30) };
        assert!(is_unlike(estimate, &minutes(&[36, 31, 24])));
        assert!(is_unlike(estimate, &minutes(&[9, 8])), "half is as wrong as double");
        assert!(!is_unlike(estimate, &minutes(&[36])), "one run proves nothing");
        assert!(!is_unlike(estimate, &minutes(&[20, 24, 18, 21, 19, 90, 90, 90])), "only the last five count");
    }

    #[test]
    fn the_newest_of_a_step_and_group_are_kept() {
        let mut past = Past::default();
        (0..30).for_each(|i| past.push("deploy", "web", SignedDuration::from_mins(i)));
        past.push("deploy", "app", SignedDuration::from_mins(7));
        past.push("deploy-more", "app", SignedDuration::from_mins(8));
        assert_eq!(past.of("deploy", "web"), minutes(&(0..20).collect::<Vec<_>>()));
        let (five, nine) = (SignedDuration::from_mins(5), SignedDuration::from_mins(9));
        let groups: Vec<(&str, usize)> = past.of_step("deploy").map(|(group, took)| (group, took.len())).collect();
        assert_eq!(groups, [("app", 1), ("web", 20)]);
        assert_eq!(
            (middle(&minutes(&[9, 1, 5])), middle(&minutes(&[9, 1])), middle(&[])),
            (Some(five), Some(nine), None)
        );
        assert!(past.of("deploy", "db").is_empty() && !past.is_empty());
        let json = serde_json::to_string(&past).unwrap();
        assert_eq!(serde_json::from_str::<Past>(&json).unwrap(), past, "{json}");
    }
}
