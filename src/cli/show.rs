//! How a run is shown here: the flags, and the reporter they lead to.

use clap::ValueEnum as _;
use clap::builder::PossibleValue;

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
    /// The same as it would be typed.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let value = |value: Option<PossibleValue>| value.map_or(String::new(), |v| v.get_name().to_owned());
        vec![
            format!("--progress={}", value(self.progress.to_possible_value())),
            format!("--show-output={}", value(self.show_output.to_possible_value())),
        ]
    }

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
