//! What each answer to an open gate or hold would do, how long it takes and when we would be up. Decides nothing.

use jiff::{SignedDuration, Timestamp};

use super::run_view::{OpenHold, RunView};
use crate::engine::fact::{FleetStop, HoldReason};
use crate::graph::StepIx;
use crate::graph::ids::ActionId;

/// One possible answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The word to type: `retry`, `skip`, `rollback`, `continue`, `hold`, `approve`, `defects`, `reject`.
    pub word: &'static str,
    /// What it would do, as a sentence fragment.
    pub does: String,
    /// How long that takes, and when it would be over if said now.
    pub takes: Option<SignedDuration>,
    pub over: Option<Timestamp>,
}

impl RunView {
    /// The answers to the open hold, the most harmless first; none without a hold.
    #[must_use]
    pub fn hold_answers(&self, now: Timestamp) -> Vec<Answer> {
        let Some(OpenHold { reason, .. }) = &self.hold else { return Vec::new() };
        match reason {
            HoldReason::Failed { actions } => {
                vec![self.retry(actions, now), skip(actions), self.roll_back(now)]
            }
            HoldReason::ForwardOnly { actions } => vec![self.retry(actions, now), skip(actions)],
            HoldReason::FleetStopped { actions, why, done, not_started, .. } => {
                let mut answers = vec![go_on(why, *not_started), stop(*done, *not_started), self.roll_back(now)];
                if !matches!(why, FleetStop::KeepUp { .. }) {
                    answers.insert(0, self.retry(actions, now));
                }
                answers
            }
            HoldReason::RollbackGrace { .. } => {
                vec![plain("hold", "stay held and look; the clock goes on"), self.roll_back(now)]
            }
            HoldReason::Quick { action } => {
                vec![plain("continue", &format!("{} is all right; go on", name(action))), self.roll_back(now)]
            }
            HoldReason::Deadline | HoldReason::Unlikely { .. } | HoldReason::Paused { .. } | HoldReason::Clock => {
                vec![plain("continue", "go on where it stopped"), self.roll_back(now)]
            }
            HoldReason::RollbackPaused { .. } => vec![plain("continue", "go on undoing")],
            HoldReason::ManualUndo { action, text } => vec![Answer {
                word: "continue",
                does: format!("{} was undone by hand: {text}", name(action)),
                takes: None,
                over: None,
            }],
        }
    }

    /// The answers to a gate of this step.
    #[must_use]
    pub fn gate_answers(&self, step: StepIx, now: Timestamp) -> Vec<Answer> {
        let next: Vec<&str> = self.graph.all_dependants(step).map(|d| self.graph.step(d).id.as_str()).collect();
        let does =
            if next.is_empty() { "the release is done".into() } else { format!("go on with {}", next.join(", ")) };
        vec![
            plain("approve", &does),
            plain("defects", "approve with known defects; you are asked to list them"),
            Answer { word: "reject", ..self.roll_back(now) },
        ]
    }

    fn retry(&self, actions: &[ActionId], now: Timestamp) -> Answer {
        let longest = actions.iter().filter_map(|a| self.graph.find(a)).map(|ix| self.graph.step_of(ix));
        let takes = longest.map(|s| s.estimate_or_zero().expected).max().filter(|d| !d.is_zero());
        let does = format!("run {} again", names(actions));
        Answer { word: "retry", does, takes, over: takes.map(|d| super::forecast::after(now, d)) }
    }

    fn roll_back(&self, now: Timestamp) -> Answer {
        let steps = (0..self.graph.step_count()).filter(|row| self.members(*row).any(|i| self.needs_undo(i))).count();
        let proof = if self.graph.plan().after_rollback.is_some() { " and test" } else { "" };
        let does = match steps {
            0 => "stop; nothing has to be undone".to_owned(),
            1 => format!("roll back (undo 1 step{proof})"),
            n => format!("roll back (undo {n} steps{proof})"),
        };
        let over = super::forecast::after(now, self.rollback_now);
        Answer { word: "rollback", does, takes: Some(self.rollback_now), over: Some(over) }
    }
}

fn skip(actions: &[ActionId]) -> Answer {
    plain("skip", &format!("count {} as done", names(actions)))
}

fn go_on(why: &FleetStop, not_started: u32) -> Answer {
    let does = match why {
        FleetStop::TooManyFailed { allowed, .. } => format!("allow {} more to fail", (*allowed).max(1)),
        FleetStop::Canary => "go on without the host that failed".into(),
        FleetStop::KeepUp { .. } => "do not count the failed hosts".into(),
    };
    let s = if not_started == 1 { "" } else { "s" };
    plain("continue", &format!("{does}; {not_started} more host{s}"))
}

fn stop(done: u32, not_started: u32) -> Answer {
    plain("stop", &format!("leave {done} done and {not_started} for another window; nothing more changes"))
}

fn plain(word: &'static str, does: &str) -> Answer {
    Answer { word, does: does.to_owned(), takes: None, over: None }
}

/// `db-scripts on db1`.
fn name(action: &ActionId) -> String {
    match action.host() {
        Some("local") => format!("{} here", action.step()),
        Some(host) => format!("{} on {host}", action.step()),
        None => action.step().to_owned(),
    }
}

fn names(actions: &[ActionId]) -> String {
    match actions {
        [one] => name(one),
        [first, last] => format!("{} and {}", name(first), name(last)),
        [first, ..] => format!("{} and {} more", name(first), actions.len() - 1),
        [] => "what failed".into(),
    }
}
