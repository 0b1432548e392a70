//! Whether the plans that come before this one have been executed well. Starts nothing.

use std::path::Path;

use super::error::CommandError;
use super::{look, store};
use crate::engine::fact::{RunEnd, Stage};
use crate::journal::{RunRow, Store};
use crate::plan::model::{After, Plan};
use crate::report::short_digest;

/// The plan that would be executed.
struct Next<'a> {
    plan: &'a Plan,
    /// Where it was read; those before it are looked for beside it.
    file: &'a Path,
    stage: Stage,
}

/// One line for each plan before this one. Only runs that were at least as real count.
///
/// # Errors
/// When the last run of one of them has not ended well, had another digest, or executed a part only.
pub fn check(store: &Store, plan: &Plan, file: &Path, stage: Stage) -> Result<Vec<String>, CommandError> {
    let next = Next { plan, file, stage };
    plan.after.iter().map(|before| next.one(store, before)).collect()
}

impl Next<'_> {
    fn one(&self, store: &Store, before: &After) -> Result<String, CommandError> {
        let name = before.plan.escape_debug();
        let last = store.runs()?.into_iter().find(|run| run.plan == before.plan && run.stage.is_as_real_as(self.stage));
        let Some(run) = last else {
            return Err(self
                .refused(before, "which has not been executed in this store")
                .hint(format!("run it first:   {}", self.command(before))));
        };
        match (&run.end, run.closed) {
            (Some(RunEnd::Succeeded { .. }), Some(at)) => {
                self.was_meant(before, &run)?;
                if part_only(store, &run)? {
                    let why = format!("of which the last run {} executed a part only", run.id);
                    return Err(self.refused(before, &why).hint(format!("run all of it:   {}", self.command(before))));
                }
                Ok(format!("after {name}: {} done {}, digest {}", run.id, store::minute(at), short_digest(&run.digest)))
            }
            (Some(end), _) => Err(self
                .refused(before, &format!("whose last run {} ended: {}", run.id, store::ending(end)))
                .hint(format!("what happened:   runbook report {}", run.id))
                .hint(format!("run it again:    {}", self.command(before)))),
            (None, _) => Err(self
                .refused(before, &format!("whose run {} has not ended", run.id))
                .hint(format!("see it:   runbook status {}", run.id))),
        }
    }

    /// The run had the digest that is asked for, where one is.
    fn was_meant(&self, before: &After, run: &RunRow) -> Result<(), CommandError> {
        let Some(wanted) = before.digest.as_ref().filter(|wanted| !run.digest.starts_with(wanted.as_str())) else {
            return Ok(());
        };
        let (had, wanted) = (short_digest(&run.digest), short_digest(wanted));
        let why = format!("but its last run {} had the digest {had}, not {wanted}: it was another version", run.id);
        Err(self
            .refused(before, &why)
            .hint(format!("what it did:              runbook report {}", run.id))
            .hint(format!("if that is what you want:   after: {{plan: {}, digest: {had}}}", before.plan)))
    }

    fn refused(&self, before: &After, why: &str) -> CommandError {
        let (plan, before) = (self.plan.stem.escape_debug(), before.plan.escape_debug());
        CommandError::refused(format!("{plan} comes after {before}, {why}"))
    }

    /// What executes the plan before this one.
    fn command(&self, before: &After) -> String {
        let flags = match self.stage {
            Stage::Real => "",
            Stage::Lab => " --lab",
            Stage::Rehearsal => " --rehearse",
        };
        let file = self.file.with_file_name(format!("{}.yaml", before.plan)).display().to_string();
        format!("runbook exec {}{flags}", file.escape_debug())
    }
}

/// Whether the run left out steps or hosts, or was a wave that others follow.
fn part_only(store: &Store, run: &RunRow) -> Result<bool, CommandError> {
    let options = look::started(store, run)?.options;
    let more_waves = options.wave.is_some_and(|wave| wave.next.is_some());
    Ok(!options.narrowed.is_empty() || !options.hosts_left_out.is_empty() || more_waves)
}
