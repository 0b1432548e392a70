//! How a run is shown here: the flags, and the reporter they lead to.

use super::context::Context;
use crate::journal::{RunRow, Store};
use crate::report::{Lines, Reporter, Silent};

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Progress {
    /// Live on a terminal, plain otherwise
    Auto,
    Live,
    Plain,
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    Failed,
    Always,
    Never,
}

#[derive(Debug, Clone, clap::Args)]
pub struct Show {
    /// How progress is shown
    #[arg(long, value_enum, default_value_t = Progress::Auto, env = "RUNBOOK_PROGRESS")]
    pub progress: Progress,
    /// Whose output is shown; log files always have it
    #[arg(long, value_enum, default_value_t = Output::Failed, env = "RUNBOOK_SHOW_OUTPUT")]
    pub show_output: Output,
}

/// The reporter for this terminal.
#[must_use]
pub fn reporter(cx: &Context, show: &Show, _store: &Store, _run: &RunRow) -> Box<dyn Reporter> {
    match show.progress {
        Progress::None => Box::new(Silent),
        Progress::Auto | Progress::Live | Progress::Plain => Box::new(Lines::stderr(cx.global.quiet)),
    }
}
