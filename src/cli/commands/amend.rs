//! `runbook amend`: an open run goes on by the plan's file as it is now, as far as that may still change.

use std::io::Write as _;
use std::path::PathBuf;

use super::decide::{self, Which};
use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::setup::Night;
use crate::cli::{changed, confirm, control, load, store};
use crate::engine::fact::Amendment;
use crate::engine::input::{Ask, Reply};
use crate::report::escape_for_terminal as esc;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runbook amend -m \"the script missed a comma\"            the run's own plan file, as it is now
  runbook amend plans/fixed.yaml --run 2007-12-02-a -m REASON

The work of a step may change until it is done, its rollback until that has begun. Steps, needs, hosts, limits, variables
and the window stay. Approvals of open gates behind a change do not count any more. Then:   runbook retry STEP")]
pub struct Args {
    /// The plan's file [default: the one the run was started with]
    plan: Option<PathBuf>,
    /// Why; it goes into the report
    #[arg(short, long = "message", value_name = "REASON", required = true)]
    message: Option<String>,
    /// The plan's name, instead of typing it
    #[arg(long, value_name = "NAME")]
    confirm: Option<String>,
    #[command(flatten)]
    which: Which,
}

pub fn run(args: Args, cx: &Context) -> Result<Exit, CommandError> {
    let store = store::existing(cx)?;
    let run = store::find(&store, args.which.run.as_deref())?;
    let night = Night::thaw(&store, &run.id)?;
    if night.setup.lab.is_some() {
        return Err(CommandError::refused("a run in the lab goes by a plan that was made to fit the lab")
            .hint("mend the plan, and play it again:   runbook exec PLAN --lab"));
    }
    if night.started.options.rehearsal.is_some() {
        return Err(CommandError::refused("a rehearsal goes by the plan that it began with")
            .hint("mend the plan, and play it again:   runbook exec PLAN --rehearse"));
    }
    let file = args.plan.unwrap_or_else(|| night.setup.plan_file.clone());
    let night = night.amended(&store.facts(&run.id, 0)?);
    let mut loaded = load::load_or_report(&file, &night.setup.vars, cx)?;
    if let Some(wave) = &night.started.options.wave {
        let gone = || CommandError::refused(format!("the amended plan has no wave `{}`", wave.name.escape_debug()));
        loaded.plan = wave.of_plan(&loaded.plan).ok_or_else(gone)?;
    }
    // A mended copy may have another name; the run keeps its own.
    loaded.plan.stem.clone_from(&night.plan.stem);
    if loaded.digest == night.started.digest {
        return Err(CommandError::refused(format!("{} means what run {} goes by already", file.display(), run.id)));
    }
    let changes = changed::differences(&night.plan, &loaded.plan);
    let mut err = anstream::stderr();
    for line in &changes {
        writeln!(err, "  {}", esc(line))?;
    }
    let question = "The run goes on by this plan.\nType the plan's name to amend it, anything else leaves: ";
    confirm::name(cx, &run.plan, args.confirm.as_deref(), question)?;
    let amendment = Amendment { plan: loaded.plan, digest: loaded.digest, changes, reason: args.message };
    let ask = Ask::Amend(Box::new(amendment));
    match control::ask(&run, control::operator(cx, args.which.by.as_deref(), ask))? {
        Reply::Refused { why } => {
            let error = CommandError::refused("this may not change any more; the run goes on as it was");
            Err(why.split("; ").fold(error, CommandError::hint))
        }
        Reply::Accepted { facts } => {
            let said = format!("run {} goes by the amended plan", run.id);
            decide::print_as(cx, &run, &facts, &[said])?;
            Ok(Exit::Done)
        }
    }
}
