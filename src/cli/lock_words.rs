//! What the lock of a run says on each host: words for people, and what nobody else would remember if its journal were gone.
//! Knows no host.

use std::collections::BTreeMap;

use super::holder::this_machine;
use crate::engine::fact::{Actor, RunStarted};
use crate::graph::ids::ActionId;
use crate::graph::outcome::Verdict;
use crate::report::short_digest;

/// A lock names no more tests than this: it is one line on each host.
const MOST: usize = 40;
const NOTHING_RED: &str = "nothing red before";
const RED: &str = "red before: ";

/// `run night-a of Sarah on laptop, plan 7c1f-9a3e, red before: sanity@be2`.
#[must_use]
pub fn words(started: &RunStarted, by: &Actor) -> String {
    let (run, digest, red) = (&started.run, short_digest(&started.digest), red(&started.baseline));
    format!("run {run} of {} on {}, plan {digest}{red}", by.name, this_machine())
}

/// Only what failed before the night makes a difference in it.
fn red(before: &BTreeMap<ActionId, Verdict>) -> String {
    if before.is_empty() {
        return String::new();
    }
    let red: Vec<&str> = before.iter().filter(|(_, v)| **v == Verdict::Fail).map(|(id, _)| id.as_str()).collect();
    match red.len() {
        0 => format!(", {NOTHING_RED}"),
        n if n > MOST => format!(", {RED}{} and {} more", red[..MOST].join(" "), n - MOST),
        _ => format!(", {RED}{}", red.join(" ")),
    }
}

/// What a lock says, read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LockWords<'a> {
    /// The short digest of the plan.
    pub plan: Option<&'a str>,
    red: Option<&'a str>,
}

impl<'a> LockWords<'a> {
    #[must_use]
    pub fn read(holder: &'a str) -> Self {
        let Some((_, rest)) = holder.rsplit_once(", plan ") else { return Self::default() };
        let (plan, red) = rest.split_once(", ").map_or((rest, None), |(plan, red)| (plan, Some(red)));
        Self { plan: Some(plan), red }
    }

    /// The tests that were red before the night, as the lock names them; and whether those are all. `None`: it says nothing of it.
    #[must_use]
    pub fn red_before(&self) -> Option<(Vec<&'a str>, bool)> {
        let red = self.red?;
        if red == NOTHING_RED {
            return Some((Vec::new(), true));
        }
        let names = red.strip_prefix(RED)?;
        let (names, all) = names.split_once(" and ").map_or((names, true), |(names, _)| (names, false));
        Some((names.split(' ').collect(), all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(red: &str) -> String {
        format!("run night-a of Sarah, plan B on laptop, plan 7c1f-9a3e{red}")
    }

    #[test]
    fn what_was_red_is_read_again() {
        let test = |n: usize| ActionId::new("sanity", Some(&format!("h{n:02}")));
        let of = |fails: usize| -> BTreeMap<ActionId, Verdict> {
            let verdict = |n| if n < fails { Verdict::Fail } else { Verdict::Inconclusive };
            (0..50).map(|n| (test(n), verdict(n))).collect()
        };
        for (fails, all) in [(0, true), (1, true), (40, true), (41, false), (50, false)] {
            let text = said(&red(&of(fails)));
            let read = LockWords::read(&text);
            let (names, complete) = read.red_before().unwrap();
            assert_eq!((read.plan, names.len(), complete), (Some("7c1f-9a3e"), fails.min(MOST), all), "{text}");
            assert!(names.iter().enumerate().all(|(n, name)| *name == test(n).as_str()), "{text}");
        }
    }

    #[test]
    fn a_lock_that_says_nothing_of_it_is_not_taken_for_green() {
        for red in [String::new(), red(&BTreeMap::new()), ", and more".to_owned()] {
            let text = said(&red);
            let read = LockWords::read(&text);
            assert_eq!((read.plan, read.red_before()), (Some("7c1f-9a3e"), None), "{text}");
        }
        assert_eq!(LockWords::read("somebody"), LockWords::default());
    }
}
