//! `runbook history`: what steps took in earlier runs, and what people import.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::SignedDuration;
use serde_json::json;

use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::load::load_or_report;
use crate::cli::{durations, history, output, pager, store};
use crate::driver::clock;
use crate::journal::Store;
use crate::journal::history::Past as Known;
use crate::report::{Clock, coarse, escape_for_terminal as esc};
use crate::schedule::{LAST, middle};

/// More mistakes of one file help nobody.
const SHOWN: usize = 20;

#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  runbook history plans/2007-12-02.yaml
  runbook history import durations.csv --plan plans/2007-12-02.yaml

What counts: steps that succeeded, by run and host group; not gates, waits, holds and
failed tries, and nothing of the lab. A plan is known by its file's name or by its `name`.
`plan` compares it with the estimates (W112), the forecast goes by it, and
`report --suggest` writes better estimates."
)]
pub struct Args {
    #[command(subcommand)]
    deed: Option<Deed>,
    /// The plan's file, its file's name or its `name` [default: every plan]
    plan: Option<String>,
}

#[derive(Debug, clap::Subcommand)]
enum Deed {
    /// Durations from a CSV file with the columns `step` and `took` (or `duration_s`), and maybe `group`, `at`, `direction`
    Import {
        #[arg(value_name = "FILE.csv")]
        file: PathBuf,
        /// The plan's file, its file's name or its `name`
        #[arg(long)]
        plan: String,
    },
}

pub fn run(args: &Args, cx: &Context) -> Result<Exit, CommandError> {
    match &args.deed {
        Some(Deed::Import { file, plan }) => import(file, plan, cx),
        None => list(args.plan.as_deref(), cx),
    }
}

/// A plan's stem and title: of its file where there is one, else whatever was typed is both.
pub(super) fn named(plan: &str, cx: &Context) -> Result<(String, String), CommandError> {
    if Path::new(plan).is_file() {
        let loaded = load_or_report(Path::new(plan), &[], cx)?;
        return Ok((loaded.plan.stem, loaded.plan.name));
    }
    if plan.contains('/') || Path::new(plan).extension().is_some_and(|e| e == "yaml" || e == "yml") {
        return Err(CommandError::usage(format!("there is no file `{}`", plan.escape_debug())));
    }
    Ok((plan.to_owned(), plan.to_owned()))
}

fn import(file: &Path, plan: &str, cx: &Context) -> Result<Exit, CommandError> {
    let (stem, title) = named(plan, cx)?;
    let shown = file.display();
    let text =
        std::fs::read_to_string(file).map_err(|e| CommandError::usage(format!("{shown} cannot be read: {e}")))?;
    let all = durations::read(&text, clock::now()).map_err(|wrong| {
        let lines = if wrong.len() == 1 { "1 line".to_owned() } else { format!("{} lines", wrong.len()) };
        let error = CommandError::usage(format!("nothing was imported: {lines} of {shown} cannot be used"));
        wrong.iter().take(SHOWN).fold(error, |error, why| error.hint(format!("{shown}:{why}")))
    })?;
    let new = store::open(cx)?.import_history(&stem, &title, &all)?;
    if cx.global.json {
        return output::json(&json!({ "v": 1, "plan": stem, "read": all.len(), "imported": new }));
    }
    let known = if new < all.len() { format!(", {} were known already", all.len() - new) } else { String::new() };
    output::text(&format!("{new} durations of {} imported{known}.   See them: runbook history {stem}\n", esc(&stem)))
}

/// What one group took for one step of one plan, newest first.
struct Row<'a> {
    plan: &'a str,
    title: &'a str,
    step: &'a str,
    group: &'a str,
    undone: bool,
    took: Vec<&'a Known>,
}

impl Row<'_> {
    fn median(&self) -> SignedDuration {
        let all: Vec<SignedDuration> = self.took.iter().map(|k| k.duration.median).collect();
        middle(&all).unwrap_or_default()
    }

    /// The shortest and the longest, each by the host that made it so.
    fn spread(&self) -> (SignedDuration, SignedDuration) {
        let least = self.took.iter().map(|k| k.duration.least).min().unwrap_or_default();
        (least, self.took.iter().map(|k| k.duration.most).max().unwrap_or_default())
    }
}

fn list(plan: Option<&str>, cx: &Context) -> Result<Exit, CommandError> {
    let plan = plan.map(|p| named(p, cx)).transpose()?;
    let asked = plan.as_ref().map(|(stem, title)| (stem.as_str(), title.as_str()));
    let known = match Store::open_existing(&cx.store)? {
        Some(mut store) => history::known(&mut store, asked)?,
        None => Vec::new(),
    };
    let rows = rows(&known);
    if cx.global.json {
        return output::json(&document(&rows));
    }
    let lines = if rows.is_empty() {
        let of = plan.map_or(String::new(), |(stem, _)| format!(" of {}", esc(&stem)));
        vec![
            format!("nothing is known{of} yet; what runs take is remembered when they are over, the lab's aside"),
            "durations that you have already:   runbook history import FILE.csv --plan PLAN".to_owned(),
        ]
    } else {
        lines(&rows)
    };
    pager::page_lines(&lines, true)?;
    Ok(Exit::Done)
}

/// In the order in which plans and steps are known, newest plan first; undos after the work.
fn rows(known: &[Known]) -> Vec<Row<'_>> {
    let mut places: BTreeMap<(&str, bool, &str, &str), usize> = BTreeMap::new();
    let mut rows: Vec<Row<'_>> = Vec::new();
    for k in known {
        let d = &k.duration;
        let key = (k.plan.as_str(), d.undone, d.step.as_str(), d.group.as_str());
        let place = *places.entry(key).or_insert_with(|| {
            let took = Vec::new();
            rows.push(Row { plan: &k.plan, title: &k.title, step: &d.step, group: &d.group, undone: d.undone, took });
            rows.len() - 1
        });
        rows[place].took.push(k);
    }
    // The first of a plan that was done comes first: the newest is on top of what is known.
    let newest = |plan: &str| known.iter().position(|k| k.plan == plan);
    let oldest_first = |row: &Row<'_>| row.took.first().map(|k| k.duration.at);
    rows.sort_by_key(|row| (newest(row.plan), row.undone, oldest_first(row)));
    rows
}

fn lines(rows: &[Row<'_>]) -> Vec<String> {
    let wide = |of: &dyn Fn(&Row<'_>) -> usize, least: usize| rows.iter().map(of).max().unwrap_or(0).clamp(least, 30);
    let step = wide(&|r| r.step.len() + if r.undone { 5 } else { 0 }, 12);
    let group = wide(&|r| r.group.len(), 8);
    let mut out = Vec::new();
    let mut plan = "";
    for row in rows {
        if plan != row.plan {
            plan = row.plan;
            if !out.is_empty() {
                out.push(String::new());
            }
            out.push(if row.title == plan { esc(plan) } else { format!("{}   {}", esc(row.title), esc(plan)) });
            out.push(format!(
                "  {:<step$}  {:<group$}  RUNS  MEDIAN  SPREAD          LAST, NEWEST FIRST",
                "STEP", "GROUP"
            ));
        }
        let name = if row.undone { format!("undo {}", row.step) } else { row.step.to_owned() };
        let of = if row.group.is_empty() { "any" } else { row.group };
        let (least, most) = row.spread();
        let last: Vec<String> = row.took.iter().take(LAST).map(|k| coarse(k.duration.median)).collect();
        out.push(format!(
            "  {:<step$}  {:<group$}  {:>4}  {:<6}  {:<14}  {}",
            esc(&name),
            esc(of),
            row.took.len(),
            coarse(row.median()),
            format!("{} - {}", coarse(least), coarse(most)),
            last.join(" ")
        ));
    }
    out
}

fn document(rows: &[Row<'_>]) -> serde_json::Value {
    let clock = Clock::new(None);
    let all = rows.iter().map(|row| {
        let (least, most) = row.spread();
        json!({
            "plan": row.plan,
            "title": row.title,
            "step": row.step,
            "group": if row.group.is_empty() { None } else { Some(row.group) },
            "direction": if row.undone { "undo" } else { "do" },
            "median_s": row.median().as_secs_f64(),
            "least_s": least.as_secs_f64(),
            "most_s": most.as_secs_f64(),
            "durations": row.took.iter().map(|k| json!({
                "run": k.run,
                "at": clock.rfc3339(k.duration.at),
                "hosts": k.duration.hosts,
                "median_s": k.duration.median.as_secs_f64(),
            })).collect::<Vec<_>>(),
        })
    });
    json!({ "v": 1, "history": all.collect::<Vec<_>>() })
}
