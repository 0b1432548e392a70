//! Commands that are repeated on the host: waiting until one is true, and watching that one stays true. Knows nothing of runs.

use jiff::SignedDuration;

use crate::plan::model::{Shell, Step};
use crate::template::quote::quote_always;

/// How often a test that must stay true is repeated.
const SOAK_EVERY: u64 = 10;

/// A shell text that repeats `command` until it exits 0. The time limit of the attempt ends it otherwise.
pub(super) fn until_true(command: &str, shell: &Shell, every: SignedDuration) -> String {
    format!("until {}; do sleep {}; done\n", once(command, shell), seconds(every))
}

/// A shell text that repeats `command` until `hold` is over, and ends with its exit code as soon as it fails. It is
/// tried once more when the time is over, so that the last word is from the end.
pub(super) fn stays_true(command: &str, shell: &Shell, hold: SignedDuration) -> String {
    let (once, hold) = (once(command, shell), seconds(hold));
    format!(
        "end=$(( $(date +%s) + {hold} ))\n\
         while :; do\n\
         {once} || exit $?\n\
         left=$(( end - $(date +%s) ))\n\
         if [ \"$left\" -le 0 ]; then exit 0; fi\n\
         if [ \"$left\" -gt {SOAK_EVERY} ]; then left={SOAK_EVERY}; fi\n\
         sleep \"$left\"\n\
         done\n"
    )
}

/// A soak must have time for all of itself, also where the plan gives no limit of its own.
pub(super) fn limit(step: &Step, limit: SignedDuration) -> SignedDuration {
    match (step.timeout, step.hold) {
        (None, Some(hold)) => limit.max(hold.saturating_add(step.estimate_or_zero().worst)),
        _ => limit,
    }
}

/// The command in a shell of its own: as the condition of a loop it would lose `set -e`.
fn once(command: &str, shell: &Shell) -> String {
    format!("{} -c {}", shell.program.as_deref().unwrap_or("sh -eu"), quote_always(command))
}

/// Whole seconds, rounded up, at least one: not every `sleep` knows fractions.
fn seconds(d: SignedDuration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(0).div_ceil(1000).max(1)
}
