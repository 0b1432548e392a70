//! `runbook report`: the write-up of a run, from its journal.

use std::io::Write as _;

use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::{history, look, output, pager, store};
use crate::driver::clock;
use crate::report::WriteUp;
use crate::schedule::Past;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runbook report                                 the newest run, on the terminal
  runbook report 2007-12-02-a --format html >night.html
  runbook report 2007-12-02-a --format svg >night.svg
  runbook report --timeline                      the sentences, for the wiki
  runbook report --suggest                       better estimates, as lines of the plan")]
pub struct Args {
    /// The run: its name, the beginning of it, or `latest` [default: the open one, or else the newest]
    run: Option<String>,
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// The sentences alone
    #[arg(long, conflicts_with_all = ["format", "suggest"])]
    timeline: bool,
    /// Estimates that no longer fit, as the lines to change
    #[arg(long, conflicts_with = "format")]
    suggest: bool,
    /// Hosts get numbers, people their initials
    #[arg(long)]
    redact: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Md,
    Html,
    /// The chart of planned and actual times
    Svg,
    Json,
    Csv,
}

pub fn run(args: &Args, cx: &Context) -> Result<Exit, CommandError> {
    let mut store = store::existing(cx)?;
    let run = store::find_to_look(&store, args.run.as_deref())?;
    let now = clock::now();
    let view = look::view(&store, &run)?;
    let write_up = WriteUp::of(&view, now)
        .ok_or_else(|| CommandError::refused(format!("run {} has not started, so there is nothing to tell", run.id)))?;
    let hosts: Vec<String> = view.graph().plan().hosts.keys().cloned().collect();
    let write_up = if args.redact { write_up.redacted(&hosts) } else { write_up };
    if cx.global.json || args.format == Format::Json {
        return output::json(&write_up.json());
    }
    let lines = match args.format {
        _ if args.timeline => write_up.timeline(pager::width()),
        _ if args.suggest => suggestions(&write_up, &history::past(&mut store, view.graph())),
        Format::Md => return output::text(&write_up.markdown()),
        Format::Csv => return output::text(&write_up.csv()),
        Format::Html | Format::Svg => {
            let page = if args.format == Format::Svg { write_up.svg(now) } else { write_up.html(now) };
            let page = page.map_err(|e| CommandError::unexpected(e.to_string()))?;
            anstream::stdout().write_all(page.as_bytes())?;
            return Ok(Exit::Done);
        }
        Format::Text | Format::Json => write_up.text(pager::width()),
    };
    pager::page_lines(&lines, true)?;
    Ok(Exit::Done)
}

fn suggestions(write_up: &WriteUp, past: &Past) -> Vec<String> {
    let lines = write_up.suggestions(past);
    if lines.is_empty() { vec!["every estimate fits what it took".to_owned()] } else { lines }
}
