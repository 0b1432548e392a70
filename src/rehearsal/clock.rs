//! The time of a rehearsal for its run loop and its hosts. Knows nothing of what is rehearsed.
//!
//! It follows the machine's clock at another pace, and stands still at whatever is due next until the loop has dealt with
//! it. So everything is recorded at the very instant at which it was due, however fast the evening passes and however
//! busy the machine is: what would be milliseconds there are minutes here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;

use crate::driver::clock::{Clock, SystemClock};
use crate::engine::fact::Pace;
use crate::graph::ids::AttemptId;

/// See the module's documentation.
#[derive(Debug, Clone)]
pub struct FastClock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    system: SystemClock,
    pace: Pace,
    ahead: Mutex<Ahead>,
    /// Told when the loop has dealt with something, so that the clock may go on.
    dealt_with: Notify,
}

/// What the clock must not pass.
#[derive(Debug)]
struct Ahead {
    /// When the attempts end that are under way.
    ends: BTreeMap<AttemptId, Timestamp>,
    /// What else the loop waits for; at first, that it begins.
    wake: Option<Timestamp>,
    last: Timestamp,
}

impl Ahead {
    fn is_next(&self, attempt: &AttemptId, end: Timestamp) -> bool {
        self.ends.iter().all(|(other, at)| (end, attempt) <= (*at, other))
    }
}

impl FastClock {
    /// For an evening that begins.
    #[must_use]
    pub fn begin(pace: Pace) -> Self {
        Self::new(pace, Some(pace.showed))
    }

    /// For an evening that goes on: it did so meanwhile.
    #[must_use]
    pub fn go_on(pace: Pace) -> Self {
        Self::new(pace, None)
    }

    fn new(pace: Pace, wake: Option<Timestamp>) -> Self {
        let ahead = Ahead { ends: BTreeMap::new(), wake, last: pace.showed };
        Self(Arc::new(Inner {
            system: SystemClock::start(),
            pace,
            ahead: Mutex::new(ahead),
            dealt_with: Notify::new(),
        }))
    }

    /// Notes when an attempt ends that is under way.
    pub fn ends(&self, attempt: AttemptId, at: Timestamp) {
        self.with(|ahead| ahead.ends.insert(attempt, at));
    }

    /// Completes when the attempt is over, and the loop has dealt with everything that was due before. What ends at the
    /// same instant does so in the order of its names, so that an evening is the same each time it is played.
    pub async fn end_of(&self, attempt: &AttemptId) {
        let Some(end) = self.with(|ahead| ahead.ends.get(attempt).copied()) else { return };
        tokio::time::sleep(Duration::try_from(self.here(end)).unwrap_or_default()).await;
        loop {
            let dealt_with = self.0.dealt_with.notified();
            if self.now() >= end && self.with(|ahead| ahead.is_next(attempt, end)) {
                return;
            }
            dealt_with.await;
        }
    }

    /// How long the machine takes until the clock may show this.
    fn here(&self, at: Timestamp) -> SignedDuration {
        self.0.pace.real(at.duration_since(self.0.pace.at(self.0.system.now())))
    }

    fn with<T>(&self, f: impl FnOnce(&mut Ahead) -> T) -> T {
        // Whoever panicked in between has left plain instants behind.
        f(&mut self.0.ahead.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Clock for FastClock {
    fn now(&self) -> Timestamp {
        let paced = self.0.pace.at(self.0.system.now());
        self.with(|ahead| {
            let next = ahead.ends.values().copied().chain(ahead.wake).min();
            ahead.last = ahead.last.max(next.map_or(paced, |next| next.min(paced)));
            ahead.last
        })
    }

    /// There is no host whose time it could disagree with.
    fn jumped(&self) -> Option<SignedDuration> {
        None
    }

    /// At the same instant what ends comes first: work that took exactly as long as it may is not late.
    fn left(&self, until: Timestamp) -> Option<SignedDuration> {
        let first = self.with(|ahead| ahead.ends.values().any(|end| *end <= until));
        (!first).then(|| self.here(until))
    }

    fn rest(&self, open: &BTreeSet<AttemptId>, wake: Option<Timestamp>) {
        self.with(|ahead| {
            ahead.ends.retain(|attempt, _| open.contains(attempt));
            ahead.wake = wake;
        });
        self.0.dealt_with.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::clock;
    use crate::graph::ids::{ActionId, Direction};

    fn showed() -> Timestamp {
        "2007-12-02T06:30:00Z".parse().unwrap()
    }

    /// An evening that began long ago, as seen by a machine that could not keep up.
    fn late() -> FastClock {
        let began = clock::now() - SignedDuration::from_secs(60);
        FastClock::begin(Pace { speed: 60, began, showed: showed() })
    }

    fn attempt(step: &str) -> AttemptId {
        AttemptId { action: ActionId::new(step, Some("h")), direction: Direction::Do, number: 1 }
    }

    fn open(steps: &[&str]) -> BTreeSet<AttemptId> {
        steps.iter().map(|step| attempt(step)).collect()
    }

    #[test]
    fn the_clock_passes_nothing_that_is_not_dealt_with() {
        let clock = late();
        let minutes = |n| showed() + SignedDuration::from_mins(n);
        assert_eq!(clock.now(), showed(), "it begins when the loop does");
        clock.ends(attempt("a"), minutes(10));
        clock.ends(attempt("b"), minutes(10));
        clock.rest(&open(&["a", "b"]), Some(minutes(5)));
        assert_eq!(clock.now(), minutes(5), "the loop waits for something before");
        assert!(clock.left(minutes(5)).is_some_and(|left| left.is_negative()));
        clock.rest(&open(&["a", "b"]), Some(minutes(10)));
        assert_eq!(clock.left(minutes(10)), None, "what ends at the same instant comes first");
        clock.rest(&open(&["b"]), Some(minutes(10)));
        assert_eq!((clock.now(), clock.left(minutes(10))), (minutes(10), None), "one of two has ended");
        clock.rest(&open(&[]), Some(minutes(10)));
        assert!(clock.left(minutes(10)).is_some_and(|left| left.is_negative()));
        clock.rest(&open(&[]), None);
        assert!(clock.now() >= minutes(60), "nothing is left to wait for");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_due_later_is_heard_of_after_the_loop_has_dealt_with_what_was_due_before() {
        let clock = late();
        let (names, ten) = (["b", "c", "a"], showed() + SignedDuration::from_mins(10));
        let ends = [ten, ten, ten + SignedDuration::from_mins(10)];
        names.iter().zip(ends).for_each(|(name, end)| clock.ends(attempt(name), end));
        clock.rest(&open(&names), None);
        for (n, end) in ends.into_iter().enumerate() {
            for later in &names[n + 1..] {
                let soon = tokio::time::timeout(Duration::from_secs(1), clock.end_of(&attempt(later))).await;
                assert!(soon.is_err(), "{later} before {}", names[n]);
            }
            clock.end_of(&attempt(names[n])).await;
            assert_eq!(clock.now(), end);
            clock.rest(&open(&names[n + 1..]), None);
        }
    }

    #[test]
    fn an_evening_went_on_while_nobody_drove_it() {
        let began = clock::now() - SignedDuration::from_secs(60);
        let clock = FastClock::go_on(Pace { speed: 60, began, showed: showed() });
        assert!(clock.now() >= showed() + SignedDuration::from_mins(60));
    }
}
