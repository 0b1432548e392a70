//! How a run is shown here: the flags, and the reporter they lead to.

use super::context::Context;
use crate::report::{Progress, Reporter, Wishes, can_be_live, choose};

/// `--show-output`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Output {
    #[default]
    Failed,
    Always,
    Never,
}

#[derive(Debug, Clone, Default, clap::Args)]
pub struct Show {
    /// How progress is shown
    #[arg(long, value_enum, default_value_t, env = "RUNBOOK_PROGRESS")]
    pub progress: Progress,
    /// Whose output is shown; log files always have it
    #[arg(long, value_enum, default_value_t, env = "RUNBOOK_SHOW_OUTPUT")]
    pub show_output: Output,
}

impl Show {
    /// The reporter for this terminal.
    #[must_use]
    pub fn reporter(&self, cx: &Context, run_dir: &std::path::Path) -> Box<dyn Reporter> {
        let global = &cx.global;
        choose(&Wishes {
            progress: self.progress,
            json: global.json,
            quiet: global.quiet,
            ascii: global.ascii,
            run_dir: Some(run_dir),
        })
    }

    /// Whether the reporter keeps the bottom of the terminal to itself, so that typing must be shown by it.
    #[must_use]
    pub fn live(&self, cx: &Context) -> bool {
        !cx.global.json && matches!(self.progress, Progress::Auto | Progress::Live) && can_be_live()
    }
}
