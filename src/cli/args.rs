//! The command line as clap sees it. Knows nothing of what the commands do.

use std::path::{Path, PathBuf};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Deserialize;

use super::commands;
use crate::transport::Means;

/// Executes a deployment plan inside a maintenance window; the window ends with a working system: the new one, or the old one.
#[derive(Debug, Parser)]
#[command(name = "runbook", version, propagate_version = true, max_term_width = 100, subcommand_required = true)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Clone, Args)]
pub struct Global {
    /// One JSON document, or one JSON object per line for exec, attach and logs
    #[arg(long, global = true, env = "RUNBOOK_JSON")]
    pub json: bool,
    /// Never ask here; questions are answered from another terminal, or by their flags
    #[arg(long, global = true, env = "RUNBOOK_NO_INPUT")]
    pub no_input: bool,
    /// When to colour [default: auto]
    #[arg(long, global = true, value_enum, value_name = "WHEN", env = "RUNBOOK_COLOR")]
    pub color: Option<Color>,
    /// ASCII only: no block glyphs in bars
    #[arg(long, global = true, env = "RUNBOOK_ASCII")]
    pub ascii: bool,
    /// Less talk
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// More talk; twice for ssh detail
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// As if started in this folder
    #[arg(short = 'C', value_name = "DIR", global = true)]
    pub chdir: Option<PathBuf>,
    /// Where runs live [default: $XDG_STATE_HOME/runbook]
    #[arg(long, value_name = "DIR", global = true, env = "RUNBOOK_STORE")]
    pub store: Option<PathBuf>,
}

/// The flag for the way to hosts.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct By {
    /// By what hosts are reached [default: openssh]
    #[arg(long, value_name = "MEANS", env = "RUNBOOK_TRANSPORT", value_parser = means())]
    pub transport: Option<Means>,
}

fn means() -> impl TypedValueParser<Value = Means> {
    PossibleValuesParser::new(["openssh", "native", "auto"]).try_map(|name| name.parse::<Means>())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Color {
    Auto,
    Always,
    Never,
}

impl Command {
    /// The plan's file, of a command that is about one.
    #[must_use]
    pub fn plan(&self) -> Option<&Path> {
        match self {
            Self::Check(args) => args.plan(),
            Self::Plan(args) => Some(args.plan()),
            Self::Graph(args) => Some(args.plan()),
            Self::Drill(args) => Some(args.plan()),
            Self::Advise(args) => args.plan(),
            Self::Notify(args) => Some(args.plan()),
            Self::Go(args) => Some(args.plan()),
            Self::NoGo(args) => Some(args.plan()),
            Self::Move(args) => Some(args.plan()),
            Self::Exec(args) => Some(args.plan()),
            Self::Recover(args) => Some(args.plan()),
            Self::Unlock(args) => Some(args.plan()),
            Self::Doctor(args) => args.plan(),
            _ => None,
        }
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a plan from an example
    New(commands::new::Args),
    /// Find mistakes; no network, no changes
    Check(commands::check::Args),
    /// Timeline, rollback plan and warnings: the page for the go/no-go call
    Plan(commands::plan::Args),
    /// The dependencies as text, dot or mermaid
    Graph(commands::graph::Args),
    /// Record that exactly this plan is to run
    Go(commands::go::Go),
    /// Record that it is not to run
    NoGo(commands::go::NoGo),
    /// Another date: shifts the window and every wave
    Move(commands::go::Move),
    /// Tell the owners of its hosts when they are worked on
    Notify(commands::notify::Args),
    /// What happens when each step fails, in every way
    Drill(commands::drill::Args),
    /// What would shorten the window, in minutes saved
    Advise(commands::advise::Args),
    /// Arm, wait for the window, run, roll back if needed
    Exec(commands::exec::Args),
    /// Watch a run
    Attach(commands::attach::Args),
    /// One screen: now
    Status(commands::status::Args),
    /// Output of a step or host
    Logs(commands::logs::Args),
    /// Answer a gate with yes
    Approve(commands::decide::Approve),
    /// Answer a gate with no: rolls back
    Reject(commands::decide::Reject),
    /// Start nothing new; running steps finish; the clock goes on
    Pause(commands::decide::Pause),
    /// Go on after a pause or a hold
    Continue(commands::decide::Continue),
    /// Run a failed step again
    Retry(commands::decide::Retry),
    /// Count a step as done
    Skip(commands::decide::Skip),
    /// Pause at once, then ask: roll back, leave it, or go on
    Abort(commands::alter::Abort),
    /// Undo everything done so far
    Rollback(commands::decide::Rollback),
    /// Grant the window more time
    Extend(commands::alter::Extend),
    /// Go on by the plan's file as it is now, as far as it may still change
    Amend(commands::amend::Args),
    /// Tell what you did by hand: a step is done, failed, or undone
    Mark(commands::alter::Mark),
    /// Write a line into the timeline
    Note(commands::decide::Note),
    /// Take over a run whose engine is gone
    Resume(commands::resume::Args),
    /// Rebuild a run whose journal is gone from what its hosts remember
    Recover(commands::recover::Args),
    /// Take the locks of a run that is certainly over away from its hosts
    Unlock(commands::unlock::Args),
    /// The write-up: what happened, planned against actual
    Report(commands::report::Args),
    /// All runs
    Runs(commands::runs::Args),
    /// What steps took in earlier runs, or elsewhere
    History(commands::history::Args),
    /// What a code such as E021 means
    Explain(commands::explain::Args),
    /// JSON Schema of plans
    Schema(commands::schema::Args),
    /// Completion script for a shell
    Completions(commands::completions::Args),
    /// The manual page, as roff
    Man(commands::man::Args),
    /// What runbook sees of this machine and where its settings come from
    Doctor(commands::doctor::Args),
    /// The engine process of a run; started by `exec` and `resume`
    #[command(hide = true)]
    Engine(commands::engine::Args),
    /// Asks the hosts of a plan and becomes the engine of its run; started by `exec`
    #[command(hide = true)]
    Scout(commands::scout::Args),
    /// Starts commands on this machine for an engine; started by it
    #[command(hide = true)]
    Keeper,
}
