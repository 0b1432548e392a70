//! Ctrl-C at a terminal that shows a run: when it leaves, what it says, and which letters answer it. Knows nothing of
//! signals and sockets.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::engine::fact::{Actor, HoldReason};
use crate::report::{Clock, coarse};
use crate::view::{Phase, RunView};

/// A second Ctrl-C within this detaches, whatever was typed in between.
const TWICE: Duration = Duration::from_secs(3);

/// What a Ctrl-C asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Press {
    /// Hold the run, and ask what next.
    Ask,
    /// Leave it.
    Detach,
}

/// The Ctrl-Cs of one terminal.
#[derive(Debug, Default)]
pub struct Interrupt {
    last: Option<Instant>,
    /// In whose name the run was paused by one of them.
    paused_by: Option<Actor>,
}

impl Interrupt {
    /// `asking`: whether the question of an earlier one still stands.
    pub fn press(&mut self, now: Instant, asking: bool) -> Press {
        let twice = self.last.is_some_and(|last| now.duration_since(last) < TWICE);
        self.last = Some(now);
        if twice || asking { Press::Detach } else { Press::Ask }
    }

    /// The run was paused because of it.
    pub fn paused(&mut self, by: Actor) {
        self.paused_by = Some(by);
    }

    /// Whether the run is still held by nothing but a Ctrl-C here. Leaving must not stop a run, so it is let go then.
    #[must_use]
    pub fn holds(&self, view: &RunView) -> bool {
        let ours = self.paused_by.as_ref();
        ours.is_some()
            && matches!(view.hold().map(|hold| &hold.reason), Some(HoldReason::Paused { by }) if Some(by) == ours)
    }
}

/// Whether a pause makes sense: something could still start, and nobody has held the run yet.
#[must_use]
pub fn can_pause(view: &RunView) -> bool {
    matches!(view.phase(), Phase::Waiting | Phase::Running) && view.hold().is_none()
}

/// What is said after the first Ctrl-C, when the pause that it asked for is in the journal.
#[must_use]
pub fn said(view: &RunView, clock: &Clock, now: Timestamp) -> Vec<String> {
    let detach = "[d]etach     leave; the run goes on (Ctrl-C again does the same)";
    if matches!(view.phase(), Phase::RollingBack | Phase::Ended) {
        let what = match view.phase() {
            Phase::Ended => "the run is over",
            _ if view.rollback_is_paused() => "the rollback is paused",
            _ => "the rollback goes on",
        };
        return vec![format!("Ctrl-C stops nothing: {what}."), format!("   {detach}")];
    }
    let paused = matches!(view.hold().map(|hold| &hold.reason), Some(HoldReason::Paused { .. }));
    let state = match view.hold() {
        Some(_) if paused => "HOLDING: nothing new starts, running steps go on, and so does the clock.",
        Some(_) => "Nothing more is stopped: the run is held already, and waits for an answer.",
        None => "Ctrl-C stops nothing: the run goes on in its own process.",
    };
    let mut lines = vec![state.to_owned()];
    if paused {
        lines.push("   [c]ontinue   go on as if nothing had been".to_owned());
    }
    let (undo, up) = (coarse(view.rollback_now()), clock.hm_near(view.up_again(now), now));
    lines.push(format!("   [r]oll back  undo everything done so far, about {undo}: up at {up}"));
    lines.push(format!("   {detach}"));
    if let Some(limit) = view.hold().and_then(|hold| hold.limit) {
        lines.push(format!("No answer by {}: rolls back by itself.", clock.limit(limit, now)));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_press_soon_after_or_at_the_question_leaves() {
        let (start, mut it) = (Instant::now(), Interrupt::default());
        assert_eq!(it.press(start, false), Press::Ask);
        assert_eq!(it.press(start + Duration::from_secs(2), false), Press::Detach);
        assert_eq!(it.press(start + Duration::from_secs(6), false), Press::Ask);
        assert_eq!(it.press(start + Duration::from_secs(60), true), Press::Detach);
    }
}
