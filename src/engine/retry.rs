//! When a failed attempt is tried again, and after how long. Knows nothing of deadlines.

use jiff::SignedDuration;

use crate::graph::outcome::Outcome;
use crate::plan::model::{Backoff, Retry, Rollback, Step};

/// An attempt that certainly did not start is tried this many times in all, whatever the plan says.
const TRIES_TO_START: u32 = 3;
/// And this much later, unless the plan waits longer.
const WAIT_TO_START: SignedDuration = SignedDuration::from_secs(5);
/// The longest wait between two tries.
const LONGEST: SignedDuration = SignedDuration::from_mins(10);

/// How long to wait before the next try of a step's work, or `None` when there is none. `tries` counts those made. What
/// may have changed something is repeated only where the plan says that this is harmless.
pub fn after_failure(step: &Step, outcome: &Outcome, tries: u32) -> Option<SignedDuration> {
    if !outcome.may_have_run() {
        let limit = TRIES_TO_START.max(step.retry.times + 1);
        return (tries < limit).then(|| wait(&step.retry, tries).max(WAIT_TO_START));
    }
    let repeatable = !step.changes_something() || step.idempotent;
    (repeatable && tries <= step.retry.times).then(|| wait(&step.retry, tries))
}

/// The same for something that only looks and could not be started: `tries` counts those made.
pub fn after_silence(tries: u32) -> Option<SignedDuration> {
    (tries < TRIES_TO_START).then_some(WAIT_TO_START)
}

/// The same for a rollback, which may always be repeated: it must cope with nothing, half or all of the work.
/// `keep_trying` while an unreachable host may still come back in time.
pub fn after_undo_failure(
    rollback: Option<&Rollback>,
    outcome: &Outcome,
    tries: u32,
    keep_trying: bool,
) -> Option<SignedDuration> {
    let retry = rollback.map(|r| r.retry).unwrap_or_default();
    if !outcome.may_have_run() {
        return keep_trying.then(|| wait(&retry, tries).max(WAIT_TO_START * tries.clamp(1, 12) as i32));
    }
    (tries <= retry.times).then(|| wait(&retry, tries))
}

fn wait(retry: &Retry, tries: u32) -> SignedDuration {
    match retry.backoff {
        Backoff::Fixed => retry.wait,
        Backoff::Exponential => retry.wait.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(LONGEST),
    }
}
