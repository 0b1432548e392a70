//! `runbook runs`: all runs of this store, newest first.

use serde_json::{Value, json};

use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::{pager, store};
use crate::driver::clock;
use crate::engine::fact::RunEnd;
use crate::journal::decisions::Decision;
use crate::journal::{RunRow, Store};
use crate::report::{Tone, escape_for_terminal as esc, short_digest};

#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Args {
    /// Only runs that have not ended
    #[arg(long)]
    open: bool,
}

pub fn run(args: Args, cx: &Context) -> Result<Exit, CommandError> {
    let Args { open } = args;
    let now = clock::now();
    let (runs, decisions) = match Store::open_existing(&cx.store)? {
        None => (Vec::new(), Vec::new()),
        Some(store) if open => (store.open_runs()?, Vec::new()),
        Some(store) => (store.runs()?, store.decisions(None)?),
    };
    if cx.global.json {
        let all: Vec<Value> = runs.iter().map(|r| document(r, now)).collect();
        let decisions: Vec<Value> = decisions.iter().map(super::go::document).collect();
        pager::put(format!("{}\n", json!({ "v": 1, "runs": all, "decisions": decisions })).as_bytes())?;
        return Ok(Exit::Done);
    }
    if runs.is_empty() && decisions.is_empty() {
        let which = if open { "no run is open" } else { "there are no runs yet" };
        pager::put_lines(&[format!("{which} in {}", cx.store.display())])?;
        return Ok(Exit::Done);
    }
    let mut lines = table(&runs, now);
    if !decisions.is_empty() {
        lines.extend(["".to_owned(), "DECIDED".to_owned()]);
        lines.extend(decisions.iter().map(decided));
    }
    pager::page_lines(&lines, true)?;
    Ok(Exit::Done)
}

/// `Sat 1 Dec 17:12  GO     2007-12-02  7c1f-9a3e  by Ms. Hu, Sarah, Dev: load balancer fixed`
fn decided(decision: &Decision) -> String {
    let why = decision.message.as_deref().map_or_else(String::new, |m| format!(": {}", esc(m)));
    let (at, said, digest) = (store::minute(decision.at), decision.verdict.said(), short_digest(&decision.digest));
    format!("{at:<17}  {said:<5}  {}  {digest}  by {}{why}", decision.plan, esc(&decision.by))
}

fn table(runs: &[RunRow], now: jiff::Timestamp) -> Vec<String> {
    let wide = |of: &dyn Fn(&RunRow) -> usize, least: usize| runs.iter().map(of).max().unwrap_or(0).max(least);
    let (id, title) = (wide(&|r| r.id.len(), 3), wide(&|r| esc(&r.title).chars().count(), 5).min(40));
    // Plans have zones of their own; in a list of many there is only that of the reader.
    let started = format!("STARTED ({})", now.to_zoned(jiff::tz::TimeZone::system()).strftime("%Z"));
    let mut lines = vec![format!("{:<id$}  {:<title$}  {:<9}  {started:<17}  STATE", "RUN", "TITLE", "DIGEST")];
    for run in runs {
        let name: String = esc(&run.title).chars().take(title).collect();
        let (tone, state) = state(run, now);
        let (digest, started) = (short_digest(&run.digest), store::minute(run.created));
        let lab = if run.lab { "  (lab)" } else { "" };
        lines.push(format!("{:<id$}  {name:<title$}  {digest:<9}  {started:<17}  {}{lab}", run.id, tone.paint(&state)));
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

fn document(run: &RunRow, now: jiff::Timestamp) -> Value {
    json!({
        "run": run.id,
        "plan": run.plan,
        "title": run.title,
        "digest": run.digest,
        "lab": run.lab,
        "created": run.created,
        "closed": run.closed,
        "end": run.end,
        "engine": run.lease.as_ref().map(|l| json!({
            "owner": l.owner, "controller": l.host, "heartbeat": l.renewed, "live": l.live(now),
        })),
    })
}
