//! The only reader of clocks. Makes one time of the wall clock and the time since boot: never backwards; a wall clock that
//! is set back never gives more time, and one that is set far forward counts when its hosts say that it is right.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use rustix::time::{ClockId, clock_gettime};

use crate::engine::input::DOUBTED;
use crate::graph::ids::AttemptId;

/// The wall clock and the time since boot may drift apart by this much before it counts as a jump.
const TOLERANCE: SignedDuration = SignedDuration::from_secs(2);

/// Where a run loop gets its time from.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Never earlier than before.
    fn now(&self) -> Timestamp;

    /// How far the wall clock moved against the time since boot since this was last asked, when that is more than two
    /// seconds. Positive: it was set forward.
    fn jumped(&self) -> Option<SignedDuration>;

    /// The wall clock as it stands is right, however far it was set.
    fn accept(&self) {}

    /// How long to wait here for this instant of its time; `None` while something else must come first.
    fn left(&self, until: Timestamp) -> Option<SignedDuration> {
        Some(until.duration_since(self.now()))
    }

    /// The loop has dealt with everything up to now, waits for the end of these attempts, and for this instant. Only a
    /// clock that runs faster than the world minds: it stands still rather than pass what nobody has dealt with yet.
    fn rest(&self, _open: &BTreeSet<AttemptId>, _wake: Option<Timestamp>) {}
}

/// The wall clock as it is: for a command that looks at it once.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// Time since boot, suspend included.
fn since_boot() -> SignedDuration {
    let t = clock_gettime(ClockId::Boottime);
    SignedDuration::new(t.tv_sec, i32::try_from(t.tv_nsec).unwrap_or(0))
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    blend: Mutex<Blend>,
}

impl SystemClock {
    #[must_use]
    pub fn start() -> Self {
        Self { blend: Mutex::new(Blend::new(now(), since_boot())) }
    }

    fn with<T>(&self, f: impl FnOnce(&mut Blend, Timestamp, SignedDuration) -> T) -> T {
        // A poisoned lock guards three plain numbers: they are still right.
        let mut blend = self.blend.lock().unwrap_or_else(PoisonError::into_inner);
        f(&mut blend, now(), since_boot())
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        self.with(Blend::now)
    }

    fn jumped(&self) -> Option<SignedDuration> {
        self.with(Blend::jumped)
    }

    fn accept(&self) {
        self.with(Blend::accept);
    }
}

/// `now = max(wall, wall at the anchor + time since boot since then)`, and never less than it was. A wall clock that is
/// suddenly far ahead does not count until it is accepted.
#[derive(Debug)]
struct Blend {
    anchor_wall: Timestamp,
    anchor_boot: SignedDuration,
    last: Timestamp,
    /// How far the wall clock may be ahead of the time since boot, and is believed.
    believed: SignedDuration,
    /// Wall clock minus time since boot, relative to the anchor, when a jump was last looked for.
    drift: SignedDuration,
}

impl Blend {
    const fn new(wall: Timestamp, boot: SignedDuration) -> Self {
        Self {
            anchor_wall: wall,
            anchor_boot: boot,
            last: wall,
            believed: SignedDuration::ZERO,
            drift: SignedDuration::ZERO,
        }
    }

    fn now(&mut self, wall: Timestamp, boot: SignedDuration) -> Timestamp {
        let steady = self.anchor_wall.saturating_add(boot - self.anchor_boot).unwrap_or(wall);
        let ahead = wall.duration_since(steady);
        if ahead <= self.believed + DOUBTED {
            self.believed = self.believed.max(ahead);
        }
        let time = steady.saturating_add(self.believed.min(ahead.max(SignedDuration::ZERO))).unwrap_or(steady);
        self.last = self.last.max(time);
        self.last
    }

    fn accept(&mut self, wall: Timestamp, boot: SignedDuration) {
        self.believed = self.believed.max(wall.duration_since(self.anchor_wall) - (boot - self.anchor_boot));
    }

    fn jumped(&mut self, wall: Timestamp, boot: SignedDuration) -> Option<SignedDuration> {
        let drift = wall.duration_since(self.anchor_wall) - (boot - self.anchor_boot);
        let by = drift - self.drift;
        if by.abs() <= TOLERANCE {
            return None;
        }
        self.drift = drift;
        Some(by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wall(second: i64) -> Timestamp {
        Timestamp::from_second(1_196_577_000 + second).unwrap()
    }

    const fn boot(second: i64) -> SignedDuration {
        SignedDuration::from_secs(500 + second)
    }

    fn blend() -> Blend {
        Blend::new(wall(0), boot(0))
    }

    #[test]
    fn a_clock_set_back_gives_no_time() {
        let mut b = blend();
        assert_eq!(b.now(wall(10), boot(10)), wall(10));
        assert_eq!(b.now(wall(-3590), boot(20)), wall(20));
        assert_eq!(b.jumped(wall(-3590), boot(20)), Some(SignedDuration::from_secs(-3610)));
        assert_eq!(b.jumped(wall(-3580), boot(30)), None, "reported once");
    }

    #[test]
    fn a_clock_set_a_little_forward_counts_at_once() {
        let mut b = blend();
        assert_eq!(b.now(wall(65), boot(5)), wall(65));
        assert_eq!(b.now(wall(126), boot(6)), wall(126), "and again");
    }

    #[test]
    fn a_clock_set_far_forward_counts_when_it_is_accepted_and_is_never_taken_back() {
        let mut b = blend();
        assert_eq!(b.now(wall(3600), boot(5)), wall(5), "time since boot rules");
        assert_eq!(b.jumped(wall(3600), boot(5)), Some(SignedDuration::from_secs(3595)));
        b.accept(wall(3600), boot(5));
        assert_eq!(b.now(wall(3600), boot(5)), wall(3600));
        assert_eq!(b.now(wall(6), boot(6)), wall(3600), "set right again: time stands still");
    }

    #[test]
    fn suspend_is_time_that_passed_and_no_jump() {
        let mut b = blend();
        assert_eq!(b.now(wall(2000), boot(2000)), wall(2000));
        assert_eq!(b.jumped(wall(2000), boot(2000)), None);
    }

    #[test]
    fn slow_drift_is_no_jump_until_it_adds_up() {
        let mut b = blend();
        assert_eq!(b.jumped(wall(11), boot(10)), None);
        assert_eq!(b.jumped(wall(22), boot(20)), None);
        assert_eq!(b.jumped(wall(33), boot(30)), Some(SignedDuration::from_secs(3)));
    }

    #[test]
    fn the_machines_clocks_agree_with_themselves() {
        let clock = SystemClock::start();
        let first = clock.now();
        assert!(clock.now() >= first);
        assert_eq!(clock.jumped(), None);
    }
}
