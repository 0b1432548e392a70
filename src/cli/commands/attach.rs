//! `runbook attach`.

use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;

#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(_args: Args, _cx: &Context) -> Result<Exit, CommandError> {
    Err(CommandError::unexpected("`attach` is not written yet"))
}
