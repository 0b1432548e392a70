//! Whether the plans that come before this one have been executed well. Starts nothing.

use super::error::CommandError;
use super::{look, store};
use crate::engine::fact::{RunEnd, Stage};
use crate::journal::{RunRow, Store};
use crate::plan::model::{After, Plan};
use crate::report::short_digest;

/// One line for each plan before this one; one that is not real also counts runs that were not.
///
/// # Errors
/// When the last run of one of them has not ended well, had another digest, or executed a part only.
pub fn check(store: &Store, plan: &Plan, stage: Stage) -> Result<Vec<String>, CommandError> {
    plan.after.iter().map(|before| one(store, plan, before, stage)).collect()
}

fn one(store: &Store, plan: &Plan, before: &After, stage: Stage) -> Result<String, CommandError> {
    let name = before.plan.escape_debug();
    let refused =
        |why: String| CommandError::refused(format!("{} comes after {name}, {why}", plan.stem.escape_debug()));
    let last =
        store.runs()?.into_iter().find(|run| run.plan == before.plan && (!stage.is_real() || run.stage.is_real()));
    let Some(run) = last else {
        return Err(refused("which has not been executed in this store".into())
            .hint(format!("run it first:   runbook exec {name}.yaml")));
    };
    match (&run.end, run.closed) {
        (Some(RunEnd::Succeeded { .. }), Some(at)) => {
            if let Some(wanted) = before.digest.as_ref().filter(|wanted| !run.digest.starts_with(wanted.as_str())) {
                let (had, wanted) = (short_digest(&run.digest), short_digest(wanted));
                return Err(refused(format!("but its last run {} had the digest {had}, not {wanted}", run.id))
                    .hint(format!("what it did:   runbook report {}", run.id))
                    .hint("if that was right, write its digest into `after`"));
            }
            if part_only(store, &run)? {
                return Err(refused(format!("of which the last run {} executed a part only", run.id))
                    .hint(format!("run all of it:   runbook exec {name}.yaml")));
            }
            Ok(format!("after {name}: {} done {}, digest {}", run.id, store::minute(at), short_digest(&run.digest)))
        }
        (Some(end), _) => Err(refused(format!("whose last run {} ended: {}", run.id, store::ending(end)))
            .hint(format!("what happened:   runbook report {}", run.id))
            .hint(format!("run it again:    runbook exec {name}.yaml"))),
        (None, _) => {
            Err(refused(format!("whose run {} has not ended", run.id))
                .hint(format!("see it:   runbook status {}", run.id)))
        }
    }
}

/// Whether the run left out steps or hosts, or was a wave that others follow.
fn part_only(store: &Store, run: &RunRow) -> Result<bool, CommandError> {
    let options = look::started(store, run)?.options;
    let more_waves = options.wave.is_some_and(|wave| wave.next.is_some());
    Ok(!options.narrowed.is_empty() || !options.hosts_left_out.is_empty() || more_waves)
}
