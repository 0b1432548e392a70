//! `runbook completions`: the completion script for a shell, on stdout.

use clap::CommandFactory as _;

use crate::cli::args::Cli;
use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;

#[derive(Debug, Clone, Copy, clap::Args)]
#[command(after_help = "Example:\n  runbook completions bash > ~/.local/share/bash-completion/completions/runbook")]
pub struct Args {
    shell: clap_complete::Shell,
}

pub fn run(args: Args, _cx: &Context) -> Result<Exit, CommandError> {
    let Args { shell } = args;
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "runbook", &mut script);
    crate::cli::pager::put(&script)?;
    Ok(Exit::Done)
}
