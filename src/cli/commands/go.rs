//! `runbook go`, `no-go` and `move`: what was decided about exactly this plan, written down before its night.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan as _, Unit};
use serde_json::json;

use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::load::{self, Loaded};
use crate::cli::variables::VarArgs;
use crate::cli::{output, store};
use crate::driver::clock;
use crate::journal::decisions::{Decision, Verdict};
use crate::plan::dates::{Moved, moved};
use crate::report::{escape_for_terminal as esc, short_digest};

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  runbook go plans/2007-12-02.yaml --by \"Ms. Hu, Sarah, Dev\" -m \"load balancer fixed\"

`exec` then refuses a plan that is not exactly this one any more.")]
pub struct Go {
    #[command(flatten)]
    decided: Decided,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  runbook no-go plans/2007-11-29.yaml -m \"back-end system crashed, cause unknown\"")]
pub struct NoGo {
    #[command(flatten)]
    decided: Decided,
}

#[derive(Debug, clap::Args)]
struct Decided {
    /// The plan's file
    plan: PathBuf,
    /// Who decided [default: you]
    #[arg(long, value_name = "NAMES")]
    by: Option<String>,
    /// Why
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    #[command(flatten)]
    vars: VarArgs,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  runbook move plans/2007-11-29.yaml --to 2007-11-30

Every date of the window, the waves and the waits is shifted by as many days; the rest of the file stays as it is.")]
pub struct Move {
    /// The plan's file
    plan: PathBuf,
    /// The new date of the first opening
    #[arg(long, value_name = "YYYY-MM-DD")]
    to: Date,
    /// Who decided [default: you]
    #[arg(long, value_name = "NAMES")]
    by: Option<String>,
    /// Why
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
}

impl Go {
    pub(in crate::cli) fn plan(&self) -> &Path {
        &self.decided.plan
    }
}

impl NoGo {
    pub(in crate::cli) fn plan(&self) -> &Path {
        &self.decided.plan
    }
}

impl Move {
    pub(in crate::cli) fn plan(&self) -> &Path {
        &self.plan
    }
}

pub fn go(args: &Go, cx: &Context) -> Result<Exit, CommandError> {
    let (decision, file) = record(&args.decided, Verdict::Go, cx)?;
    say(&decision, &format!("Start:   runbook exec {file}"), cx)
}

pub fn no_go(args: &NoGo, cx: &Context) -> Result<Exit, CommandError> {
    let (decision, file) = record(&args.decided, Verdict::NoGo, cx)?;
    say(&decision, &format!("New date:   runbook move {file} --to YYYY-MM-DD"), cx)
}

fn record(args: &Decided, verdict: Verdict, cx: &Context) -> Result<(Decision, String), CommandError> {
    let loaded = load::load_or_report(&args.plan, &args.vars.values()?, cx)?;
    let decision = decision(&loaded, verdict, args.by.as_deref(), args.message.clone(), cx)?;
    store::open(cx)?.decide(&decision)?;
    Ok((decision, args.plan.display().to_string()))
}

fn decision(
    loaded: &Loaded,
    verdict: Verdict,
    by: Option<&str>,
    message: Option<String>,
    cx: &Context,
) -> Result<Decision, CommandError> {
    let resolved = serde_json::to_string(&loaded.plan).map_err(|e| CommandError::unexpected(e.to_string()))?;
    Ok(Decision {
        plan: loaded.plan.stem.clone(),
        at: clock::now(),
        verdict,
        digest: loaded.digest.clone(),
        by: by.unwrap_or(&cx.user).to_owned(),
        recorded_by: cx.user.clone(),
        message,
        resolved,
    })
}

fn say(decision: &Decision, next: &str, cx: &Context) -> Result<Exit, CommandError> {
    if cx.global.json {
        return output::json(&document(decision));
    }
    let digest = short_digest(&decision.digest);
    let (said, at, by) = (decision.verdict.said(), store::minute(decision.at), esc(&decision.by));
    output::text(&format!("{said} recorded {at} for digest {digest}, by {by}.   {next}\n"))
}

/// A decision as `--json` shows it.
#[must_use]
pub fn document(decision: &Decision) -> serde_json::Value {
    json!({
        "plan": decision.plan,
        "decision": decision.verdict.said(),
        "at": decision.at,
        "digest": decision.digest,
        "by": decision.by,
        "recorded_by": decision.recorded_by,
        "message": decision.message,
    })
}

pub fn move_to(args: &Move, cx: &Context) -> Result<Exit, CommandError> {
    let loaded = load::load_or_report(&args.plan, &[], cx)?;
    let from = first_date(&loaded)?;
    let days = from.until((Unit::Day, args.to)).map_err(|e| CommandError::usage(e.to_string()))?.get_days();
    if days == 0 {
        return Err(CommandError::refused(format!("the plan is on {from} already")));
    }
    // Before the file is touched: a decision that cannot be written down must not have happened.
    let mut store = store::open(cx)?;
    let Moved { text, dates } = moved(&loaded.source, days.days());
    let file = args.plan.display();
    replace(&args.plan, &text)?;
    let now = load::load_or_report(&args.plan, &[], cx).map_err(|e| {
        // What cannot be on that date must not stay in the file.
        let _ = replace(&args.plan, loaded.source.text());
        e.hint(format!("{file} is as it was"))
    })?;
    let message = args.message.clone().or_else(|| Some(format!("from {from} to {}", args.to)));
    let decision = decision(&now, Verdict::Moved, args.by.as_deref(), message, cx)?;
    store.decide(&decision)?;
    if cx.global.json {
        return output::json(&document(&decision));
    }
    let s = if dates == 1 { "" } else { "s" };
    output::text(&format!(
        "moved from {from} to {} ({dates} date{s} in {file}), digest {}\n  runbook plan {file}    shows the night again; it needs a new go\n",
        args.to,
        short_digest(&now.digest)
    ))
}

/// The date of the first opening, in the plan's zone.
fn first_date(loaded: &Loaded) -> Result<Date, CommandError> {
    let plan = &loaded.plan;
    let window = plan.window.as_ref().and_then(|w| match w.opening {
        crate::plan::model::Opening::At { opens, .. } => Some(opens),
        crate::plan::model::Opening::WhenStarted { .. } => None,
    });
    let opens: Option<Timestamp> = window.into_iter().chain(plan.waves.iter().map(|w| w.opens)).min();
    let opens =
        opens.ok_or_else(|| CommandError::refused("the plan has no date: its window opens when it is started"))?;
    let zone = plan.timezone.as_deref().unwrap_or("UTC");
    opens.in_tz(zone).map(|t| t.date()).map_err(|e| CommandError::unexpected(e.to_string()))
}

/// Replaces a file as a whole, with the mode it has.
fn replace(file: &Path, text: &str) -> Result<(), CommandError> {
    let cannot = |e: std::io::Error| CommandError::usage(format!("cannot write {}: {e}", file.display()));
    let real = fs::canonicalize(file).map_err(cannot)?;
    let mode = fs::metadata(&real).map_err(cannot)?.permissions().mode();
    let folder = real.parent().unwrap_or(Path::new("/"));
    let mut new = tempfile::NamedTempFile::new_in(folder).map_err(cannot)?;
    new.write_all(text.as_bytes()).map_err(cannot)?;
    new.as_file().set_permissions(fs::Permissions::from_mode(mode)).map_err(cannot)?;
    new.as_file().sync_all().map_err(cannot)?;
    new.persist(&real).map_err(|e| cannot(e.error))?;
    Ok(())
}
