//! `runbook report`: the write-up of a run, from its journal; of two runs, side by side.

mod trend;

use jiff::Timestamp;
use serde_json::Value as Json;

use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::{changed, history, look, output, pager, store};
use crate::driver::clock;
use crate::journal::{RunRow, Store};
use crate::report::{Comparison, Ink, Trend, WriteUp, utf8_locale};
use crate::schedule::Past;
use crate::view::RunView;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runbook report                                 the newest run, on the terminal
  runbook report 2007-12-02-a --format html >night.html
  runbook report 2007-12-02-a --format svg >night.svg
  runbook report 2007-12-02-a 2007-12-02-b       two runs side by side: what was slower, what only one has
  runbook report plans/2007-12-02.yaml --trend   all runs of a plan: do they get longer, do they leave less room?
  runbook report --timeline                      the sentences, for the wiki
  runbook report --suggest                       better estimates, as lines of the plan")]
pub struct Args {
    /// The run: its name, the beginning of it, or `latest` [default: the open one, or else the newest]; of two, what the
    /// second did otherwise
    #[arg(value_name = "RUN", num_args = 0..=2)]
    runs: Vec<String>,
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// The sentences alone
    #[arg(long, conflicts_with_all = ["format", "suggest"])]
    timeline: bool,
    /// Estimates that no longer fit, as the lines to change
    #[arg(long, conflicts_with = "format")]
    suggest: bool,
    /// The runs of a plan, one after the other: of its file, its file's name or its `name`
    #[arg(long, conflicts_with_all = ["timeline", "suggest"])]
    trend: bool,
    /// Hosts get numbers, people their initials
    #[arg(long)]
    redact: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Md,
    Html,
    /// The chart alone
    Svg,
    Json,
    Csv,
}

/// A report in the form that was asked for.
enum Said {
    Lines(Vec<String>),
    Text(String),
    Json(Json),
}

pub fn run(args: &Args, cx: &Context) -> Result<Exit, CommandError> {
    let format = if cx.global.json { Format::Json } else { args.format };
    let mut store = store::existing(cx)?;
    let now = clock::now();
    let said = match &args.runs[..] {
        [_, _] if args.trend => return Err(CommandError::usage("`--trend` is of one plan; two runs are compared")),
        plan if args.trend => trend_in(&trend::of(&store, plan.first().map(String::as_str), now, cx)?, format)?,
        [a, b] => of_two((a, b), args, format, &store, now)?,
        named => of_one(named.first().map(String::as_str), args, format, &mut store, now)?,
    };
    match said {
        Said::Lines(lines) => pager::page_lines(&lines, true).map(|()| Exit::Done).map_err(Into::into),
        Said::Text(text) => output::text(&text),
        Said::Json(json) => output::json(&json),
    }
}

fn of_one(
    named: Option<&str>,
    args: &Args,
    format: Format,
    store: &mut Store,
    now: Timestamp,
) -> Result<Said, CommandError> {
    let run = store::find_to_look(store, named)?;
    let view = look::view(store, &run)?;
    let (now, _) = look::now(&run, &view, now);
    let write_up = write_up(&view, &run, args.redact, now)?;
    Ok(match format {
        Format::Json => Said::Json(write_up.json()),
        _ if args.timeline => Said::Lines(write_up.timeline(pager::width())),
        _ if args.suggest => Said::Lines(suggestions(&write_up, &history::past(store, view.graph()))),
        Format::Text => Said::Lines(write_up.text(pager::width())),
        Format::Md => Said::Text(write_up.markdown()),
        Format::Csv => Said::Text(write_up.csv()),
        Format::Html => Said::Text(write_up.html(now).map_err(|e| unrendered(&e))?),
        Format::Svg => Said::Text(write_up.svg(now).map_err(|e| unrendered(&e))?),
    })
}

fn of_two(
    (a, b): (&str, &str),
    args: &Args,
    format: Format,
    store: &Store,
    now: Timestamp,
) -> Result<Said, CommandError> {
    if args.timeline || args.suggest {
        return Err(CommandError::usage("`--timeline` and `--suggest` are for one run; two runs are compared"));
    }
    let both = compare(store, a, b, args.redact, now)?;
    Ok(match format {
        Format::Json => Said::Json(both.json()),
        Format::Text => Said::Lines(both.text(pager::width())),
        Format::Md => Said::Text(both.markdown()),
        Format::Csv => Said::Text(both.csv()),
        Format::Html => Said::Text(both.html().map_err(|e| unrendered(&e))?),
        Format::Svg => Said::Text(both.svg().map_err(|e| unrendered(&e))?),
    })
}

fn trend_in(trend: &Trend, format: Format) -> Result<Said, CommandError> {
    let ink = if utf8_locale() { Ink::Blocks } else { Ink::Ascii };
    Ok(match format {
        Format::Json => Said::Json(trend.json()),
        Format::Text => Said::Lines(trend.text(pager::width(), ink)),
        Format::Md => Said::Text(trend.markdown()),
        Format::Csv => Said::Text(trend.csv()),
        Format::Html => Said::Text(trend.html().map_err(|e| unrendered(&e))?),
        Format::Svg => Said::Text(trend.svg().map_err(|e| unrendered(&e))?),
    })
}

fn compare(store: &Store, a: &str, b: &str, redact: bool, now: Timestamp) -> Result<Comparison, CommandError> {
    let (a, b) = (store::find(store, Some(a))?, store::find(store, Some(b))?);
    if a.id == b.id {
        return Err(CommandError::usage(format!("both are run {}; a run is compared with another one", a.id))
            .hint("all runs:   runbook runs"));
    }
    let (view_a, view_b) = (look::view(store, &a)?, look::view(store, &b)?);
    let changes = if a.digest == b.digest {
        Vec::new()
    } else {
        changed::differences(view_a.graph().plan(), view_b.graph().plan())
    };
    let written = |view: &RunView, run: &RunRow| write_up(view, run, redact, look::now(run, view, now).0);
    let (a, b) = (written(&view_a, &a)?, written(&view_b, &b)?);
    Ok(Comparison::of(a, b, changes, now))
}

fn write_up(view: &RunView, run: &RunRow, redact: bool, now: Timestamp) -> Result<WriteUp, CommandError> {
    let write_up = WriteUp::of(view, now)
        .ok_or_else(|| CommandError::refused(format!("run {} has not started, so there is nothing to tell", run.id)))?;
    let hosts: Vec<String> = view.graph().plan().hosts.keys().cloned().collect();
    Ok(if redact { write_up.redacted(&hosts) } else { write_up })
}

fn unrendered(e: &minijinja::Error) -> CommandError {
    CommandError::unexpected(e.to_string())
}

fn suggestions(write_up: &WriteUp, past: &Past) -> Vec<String> {
    let lines = write_up.suggestions(past);
    if lines.is_empty() { vec!["every estimate fits what it took".to_owned()] } else { lines }
}
