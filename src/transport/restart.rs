//! What the record of a restart says: it came back, it is going down, or it will not. Knows nothing of connections.

use super::wire::Done;
use crate::graph::outcome::Outcome;

/// What is known of a machine that is to restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Restart {
    /// It answers after another boot.
    Back,
    /// What waited for the restart was ended with everything else there; the machine still answers.
    GoingDown,
    /// The restart was refused, or took longer than it may.
    Failed,
}

/// Reads it from the end of the command that restarts the machine and then waits to go down with it.
pub(super) fn read(done: &Done) -> Restart {
    match done.outcome {
        Outcome::NeverStarted { .. } => Restart::Failed,
        _ if done.restarted => Restart::Back,
        Outcome::Killed { signal } if ends_everything(signal) => Restart::GoingDown,
        // A shell whose child was ended says so by its exit code.
        Outcome::Failed { exit } if exit > 128 && ends_everything(exit - 128) => Restart::GoingDown,
        Outcome::Interrupted => Restart::GoingDown,
        _ => Restart::Failed,
    }
}

/// HUP, TERM and KILL: what a machine that goes down sends to all that runs.
const fn ends_everything(signal: u8) -> bool {
    matches!(signal, 1 | 9 | 15)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::wire::{Next, read_done};

    fn done(outcome: Outcome, restarted: bool) -> Done {
        Done { outcome, took: None, out: None, err: None, note: None, next: Next::No, restarted }
    }

    #[test]
    fn another_boot_is_a_success_however_the_command_was_ended() {
        for outcome in [Outcome::Interrupted, Outcome::Killed { signal: 15 }, Outcome::Failed { exit: 143 }] {
            assert_eq!(read(&done(outcome.clone(), false)), Restart::GoingDown, "{outcome}");
            assert_eq!(read(&done(outcome, true)), Restart::Back);
        }
        let line = "rc=exit 143 12.00;pid=7 100 one 10.00;out=;err=;boot=two;";
        assert_eq!(read(&read_done(line).unwrap()), Restart::Back);
    }

    #[test]
    fn what_was_refused_or_took_too_long_has_failed() {
        for outcome in [Outcome::Failed { exit: 1 }, Outcome::TimedOut, Outcome::Cancelled] {
            assert_eq!(read(&done(outcome, false)), Restart::Failed);
        }
        let never = Outcome::NeverStarted { why: "refused".into() };
        assert_eq!(read(&done(never, true)), Restart::Failed, "another boot is no restart of ours");
    }
}
