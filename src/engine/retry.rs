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

/// The tries made so far. One that certainly did not start takes nothing away from those that the plan allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tried {
    pub ran: u32,
    pub unstarted: u32,
}

/// How long to wait before the next try of a step's work, or `None` when there is none. What may have changed something
/// is repeated only where the plan says that this is harmless.
pub fn after_failure(step: &Step, outcome: &Outcome, tried: Tried) -> Option<SignedDuration> {
    if !outcome.may_have_run() {
        let limit = TRIES_TO_START.max(step.retry.times + 1);
        return (tried.unstarted < limit).then(|| wait(&step.retry, tried.unstarted).max(WAIT_TO_START));
    }
    let repeatable = !step.changes_something() || step.idempotent;
    (repeatable && tried.ran <= step.retry.times).then(|| wait(&step.retry, tried.ran))
}

/// The same for what takes a host out of service or brings it back: doing it again does no harm.
pub fn after_failed_drain(step: &Step, outcome: &Outcome, tried: Tried) -> Option<SignedDuration> {
    if !outcome.may_have_run() {
        return after_silence(tried);
    }
    (tried.ran <= step.retry.times).then(|| wait(&step.retry, tried.ran))
}

/// The same for something that only looks, or that is never repeated once it has run, and could not be started.
pub fn after_silence(tried: Tried) -> Option<SignedDuration> {
    (tried.unstarted < TRIES_TO_START).then_some(WAIT_TO_START)
}

/// The same for a rollback, which may always be repeated: it must cope with nothing, half or all of the work.
/// `keep_trying` while an unreachable host may still come back in time.
pub fn after_undo_failure(
    rollback: Option<&Rollback>,
    outcome: &Outcome,
    tried: Tried,
    keep_trying: bool,
) -> Option<SignedDuration> {
    let retry = rollback.map(|r| r.retry).unwrap_or_default();
    if !outcome.may_have_run() {
        let least = WAIT_TO_START * tried.unstarted.clamp(1, 12) as i32;
        return keep_trying.then(|| wait(&retry, tried.unstarted).max(least));
    }
    (tried.ran <= retry.times).then(|| wait(&retry, tried.ran))
}

fn wait(retry: &Retry, tries: u32) -> SignedDuration {
    match retry.backoff {
        Backoff::Fixed => retry.wait,
        Backoff::Exponential => retry.wait.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(LONGEST),
    }
}
