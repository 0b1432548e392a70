//! `runbook runs`: all runs of this store, newest first.

use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::housekeeping::{self, Keep};
use crate::cli::{look, pager, store};
use crate::driver::clock;
use crate::engine::fact::{RunEnd, Stage};
use crate::journal::audit::Audited;
use crate::journal::decisions::Decision;
use crate::journal::{RunRow, Store};
use crate::plan::units::parse_duration;
use crate::plan::waves::OpenWave;
use crate::report::{Tone, escape_for_terminal as esc, short_digest};

#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  runbook runs --open
  runbook runs --prune                       what runs left behind that ended 30 days ago; 5 of each plan stay
  runbook runs --prune --older 7d --keep 1 --dry-run

What is pruned: records on hosts and logs here. The journal stays, and so does `report`; a rollback by hand is not
possible any more. Old records of a plan are also removed when a run of it ends.")]
pub struct Args {
    /// Only runs that have not ended
    #[arg(long, conflicts_with = "prune")]
    open: bool,
    /// Remove what runs that are over have left on hosts and here
    #[arg(long)]
    prune: bool,
    /// Only of runs that ended so long ago, such as 7d or 12h [default: 30d]
    #[arg(long, value_name = "AGE", requires = "prune", value_parser = age)]
    older: Option<SignedDuration>,
    /// Keep the newest so many of each plan [default: 5]
    #[arg(long, value_name = "N", requires = "prune")]
    keep: Option<usize>,
    /// Only say what would be removed
    #[arg(short = 'n', long, requires = "prune")]
    dry_run: bool,
}

/// `7d`, or whatever a plan's durations may be.
fn age(text: &str) -> Result<SignedDuration, String> {
    if let Some(days) = text.strip_suffix('d').and_then(|days| days.parse::<i64>().ok()).filter(|days| *days >= 0) {
        return Ok(SignedDuration::from_hours(24 * days.min(100_000)));
    }
    parse_duration(text).map_err(|_| "an age has a unit, such as 7d or 12h".to_owned())
}

/// Removes what is due, run by run; one that cannot be asked does not keep the others.
fn prune(args: &Args, cx: &Context, now: jiff::Timestamp) -> Result<Exit, CommandError> {
    let default = Keep::default();
    let keep =
        Keep { newest: args.keep.unwrap_or(default.newest), younger_than: args.older.unwrap_or(default.younger_than) };
    let mut store = store::existing(cx)?;
    let due = housekeeping::due(&store, keep, now)?;
    let (mut all, mut exit) = (Vec::new(), Exit::Done);
    for run in &due {
        let done = match args.dry_run {
            true => Ok(format!("ended {}", run.closed.map(store::minute).unwrap_or_default())),
            false => housekeeping::prune(&mut store, run, &cx.user, now),
        };
        if done.is_err() {
            exit = Exit::Refused;
        }
        all.push((run.id.as_str(), done));
    }
    if cx.global.json {
        let entry = |(run, done): &(&str, Result<String, CommandError>)| match done {
            Ok(what) => json!({ "run": run, "pruned": !args.dry_run, "what": what }),
            Err(e) => json!({ "run": run, "pruned": false, "error": e.message }),
        };
        let all: Vec<Value> = all.iter().map(entry).collect();
        pager::put(format!("{}\n", json!({ "v": 1, "runs": all })).as_bytes())?;
        return Ok(exit);
    }
    let word = if args.dry_run { "would be pruned" } else { "pruned" };
    let line = |(run, done): &(&str, Result<String, CommandError>)| match done {
        Ok(what) => format!("{run}  {word}: {what}"),
        Err(e) => format!("{run}  KEPT: {}", esc(&e.message)),
    };
    let mut lines: Vec<String> = all.iter().map(line).collect();
    if lines.is_empty() {
        lines.push("nothing is due: see --older and --keep".to_owned());
    }
    pager::put_lines(&lines)?;
    Ok(exit)
}

pub fn run(args: &Args, cx: &Context) -> Result<Exit, CommandError> {
    let open = args.open;
    let now = clock::now();
    if args.prune {
        return prune(args, cx, now);
    }
    let (rows, decisions, deeds) = match Store::open_existing(&cx.store)? {
        None => (Vec::new(), Vec::new(), Vec::new()),
        Some(store) if open => (store.open_runs()?, Vec::new(), Vec::new()),
        Some(store) => (store.runs()?, store.decisions(None)?, store.audited()?),
    };
    let runs = Listed::all(cx, rows)?;
    if cx.global.json {
        let all: Vec<Value> = runs.iter().map(|r| document(r, now)).collect();
        let decisions: Vec<Value> = decisions.iter().map(super::go::document).collect();
        let deeds: Vec<Value> = deeds.iter().map(deed).collect();
        let all = json!({ "v": 1, "runs": all, "decisions": decisions, "audit": deeds });
        pager::put(format!("{all}\n").as_bytes())?;
        return Ok(Exit::Done);
    }
    if runs.is_empty() && decisions.is_empty() && deeds.is_empty() {
        let which = if open { "no run is open" } else { "there are no runs yet" };
        pager::put_lines(&[format!("{which} in {}", cx.store.display())])?;
        return Ok(Exit::Done);
    }
    let mut lines = table(&runs, now);
    if !decisions.is_empty() {
        lines.extend(["".to_owned(), "DECIDED".to_owned()]);
        lines.extend(decisions.iter().map(decided));
    }
    if !deeds.is_empty() {
        lines.extend(["".to_owned(), "DONE BESIDE THEM".to_owned()]);
        lines.extend(deeds.iter().map(beside));
    }
    pager::page_lines(&lines, true)?;
    Ok(Exit::Done)
}

/// A run with what it is of its plan.
struct Listed {
    row: RunRow,
    wave: Option<OpenWave>,
}

impl Listed {
    fn all(cx: &Context, rows: Vec<RunRow>) -> Result<Vec<Self>, CommandError> {
        let Some(store) = Store::open_existing(&cx.store)? else { return Ok(Vec::new()) };
        let listed = |row| Ok(Self { wave: look::started(&store, &row)?.options.wave, row });
        rows.into_iter().map(listed).collect()
    }

    /// `  (wave few, 1 of 2)  (lab)`
    fn marks(&self) -> String {
        let wave = self.wave.as_ref().map(|w| format!("  (wave {}, {} of {})", esc(&w.name), w.number, w.of));
        format!("{}{}", wave.unwrap_or_default(), self.row.stage.mark())
    }
}

/// `Sat 1 Dec 17:12  GO     2007-12-02  7c1f-9a3e  by Ms. Hu, Sarah, Dev: load balancer fixed`
fn decided(decision: &Decision) -> String {
    let why = decision.message.as_deref().map_or_else(String::new, |m| format!(": {}", esc(m)));
    let (at, said, digest) = (store::minute(decision.at), decision.verdict.said(), short_digest(&decision.digest));
    format!("{at:<17}  {said:<5}  {}  {digest}  by {}{why}", decision.plan, esc(&decision.by))
}

/// `Sat 1 Dec 17:12  unlocked   2007-12-02-a.0f3c  by Sarah: its controller burned`
fn beside(done: &Audited) -> String {
    let why = done.reason.as_deref().map_or_else(String::new, |m| format!(": {}", esc(m)));
    let (at, word, run, by) = (store::minute(done.at), done.deed.word(), esc(&done.run), esc(&done.by));
    format!("{at:<17}  {word:<9}  {run}  by {by}{why}")
}

fn deed(done: &Audited) -> Value {
    json!({ "at": done.at, "deed": done.deed.word(), "run": done.run, "by": done.by, "reason": done.reason })
}

fn table(runs: &[Listed], now: jiff::Timestamp) -> Vec<String> {
    let wide =
        |of: &dyn Fn(&RunRow) -> usize, least: usize| runs.iter().map(|r| of(&r.row)).max().unwrap_or(0).max(least);
    let (id, title) = (wide(&|r| r.id.len(), 3), wide(&|r| esc(&r.title).chars().count(), 5).min(40));
    // Plans have zones of their own; in a list of many there is only that of the reader.
    let started = format!("STARTED ({})", now.to_zoned(jiff::tz::TimeZone::system()).strftime("%Z"));
    let mut lines = vec![format!("{:<id$}  {:<title$}  {:<9}  {started:<17}  STATE", "RUN", "TITLE", "DIGEST")];
    for listed in runs {
        let run = &listed.row;
        let name: String = esc(&run.title).chars().take(title).collect();
        let (tone, state) = state(run, now);
        let (digest, started) = (short_digest(&run.digest), store::minute(run.created));
        let marks = listed.marks();
        lines.push(format!(
            "{:<id$}  {name:<title$}  {digest:<9}  {started:<17}  {}{marks}",
            run.id,
            tone.paint(&state)
        ));
    }
    lines
}

fn state(run: &RunRow, now: jiff::Timestamp) -> (Tone, String) {
    let live = run.lease.as_ref().is_some_and(|l| l.live(now));
    match (&run.end, run.closed) {
        (Some(end), Some(at)) => {
            let tone = match end {
                RunEnd::Succeeded { .. } => Tone::Done,
                RunEnd::RolledBack { .. } | RunEnd::Rejected => Tone::Late,
                RunEnd::Stuck { .. } => Tone::Failed,
            };
            (tone, format!("{} {}", store::ending(end), store::minute(at)))
        }
        _ if live => (Tone::Running, "open".into()),
        _ => (Tone::Failed, "open, NO ENGINE".into()),
    }
}

fn document(listed: &Listed, now: jiff::Timestamp) -> Value {
    let run = &listed.row;
    json!({
        "run": run.id,
        "plan": run.plan,
        "title": run.title,
        "digest": run.digest,
        "lab": run.stage == Stage::Lab,
        "rehearsal": run.stage == Stage::Rehearsal,
        "wave": listed.wave.as_ref().map(|w| json!({ "name": w.name, "number": w.number, "of": w.of })),
        "created": run.created,
        "closed": run.closed,
        "end": run.end,
        "engine": run.lease.as_ref().map(|l| json!({
            "owner": l.owner, "controller": l.host, "heartbeat": l.renewed, "live": l.live(now),
        })),
    })
}
