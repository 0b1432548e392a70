//! Whether the plan that is about to run is the one that was decided about. Decides nothing itself.

use super::changed;
use super::error::CommandError;
use super::load::Loaded;
use super::store;
use crate::journal::Store;
use crate::journal::decisions::{Decision, Verdict};
use crate::plan::model::Plan;
use crate::report::{escape_for_terminal as esc, short_digest};

/// What stands beside the plan's digest: who gave the go, or that nobody did.
///
/// # Errors
/// When the last word about the plan was no-go, or its go was about another plan; with what has changed since.
pub fn check(store: &Store, loaded: &Loaded, file: &str) -> Result<String, CommandError> {
    let Some(last) = store.decisions(Some(&loaded.plan.stem))?.into_iter().next() else {
        return Ok("no go is recorded".to_owned());
    };
    let (at, by) = (store::minute(last.at), esc(&last.by));
    match last.verdict {
        Verdict::Go if last.digest == loaded.digest => Ok(format!("GO {at} by {by}")),
        Verdict::Go => Err(changed_since(&last, loaded, file)),
        Verdict::Moved => Ok(format!("moved {at} by {by}; no go is recorded since")),
        Verdict::NoGo => {
            let why = last.message.as_deref().map_or_else(String::new, |m| format!(": {}", esc(m)));
            Err(CommandError::refused(format!("NO-GO recorded {at} by {by}{why}"))
                .hint(format!("decide again:   runbook go {file} --by ... -m ..."))
                .hint(format!("another night:  runbook move {file} --to YYYY-MM-DD")))
        }
    }
}

fn changed_since(last: &Decision, loaded: &Loaded, file: &str) -> CommandError {
    let (at, then, now) = (store::minute(last.at), short_digest(&last.digest), short_digest(&loaded.digest));
    let error = CommandError::refused(format!("the plan changed since GO ({at}, digest {then}; now {now})"));
    let lines = differences(last, &loaded.plan);
    lines
        .iter()
        .fold(error, |e, line| e.hint(format!("   {}", esc(line))))
        .hint(format!("show it:     runbook plan {file} --diff"))
        .hint(format!("accept it:   runbook go {file} --by ... -m ..."))
}

/// What is different about the plan since a decision, one line each.
#[must_use]
pub fn differences(since: &Decision, now: &Plan) -> Vec<String> {
    match serde_json::from_str::<Plan>(&since.resolved) {
        Ok(then) => changed::differences(&then, now),
        Err(_) => vec!["what was decided about was written by another version and cannot be compared".to_owned()],
    }
}

/// The last decision about a plan that named a digest to compare with.
///
/// # Errors
/// Those of the store; and when nothing was ever decided.
pub fn last(store: &Store, plan: &str) -> Result<Decision, CommandError> {
    let all = store.decisions(Some(plan))?;
    all.into_iter().find(|d| d.verdict == Verdict::Go).ok_or_else(|| {
        CommandError::refused(format!("no go is recorded for {plan}, so there is nothing to compare with"))
    })
}
