//! `runbook attach`: watch a run, and answer its questions.

use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::watch::{self, Answers, Watch};
use crate::cli::{show, store};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run: its name, the beginning of it, or `latest` [default: the only open one]
    run: Option<String>,
    /// Only watch: nothing that is typed is an answer
    #[arg(long)]
    read_only: bool,
    #[command(flatten)]
    show: show::Show,
}

pub fn run(args: &Args, cx: &Context) -> Result<Exit, CommandError> {
    let store = store::existing(cx)?;
    let run = store::find_to_look(&store, args.run.as_deref())?;
    let over = run.closed.is_some();
    let answers = if args.read_only || over { Answers::None } else { watch::answers(cx, &args.show) };
    Watch::new(cx, store, run, &args.show, None)?.follow(answers)
}
