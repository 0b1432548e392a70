//! The verbs by which a person decides: each sends one request to the engine of a run.

use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;

#[derive(Debug, clap::Args)]
pub struct Approve {}

pub fn approve(_args: Approve, _cx: &Context) -> Result<Exit, CommandError> {
    Err(CommandError::unexpected("not written yet"))
}

#[derive(Debug, clap::Args)]
pub struct Reject {}

pub fn reject(_args: Reject, _cx: &Context) -> Result<Exit, CommandError> {
    Err(CommandError::unexpected("not written yet"))
}

#[derive(Debug, clap::Args)]
pub struct Pause {}

pub fn pause(_args: Pause, _cx: &Context) -> Result<Exit, CommandError> {
    Err(CommandError::unexpected("not written yet"))
}

#[derive(Debug, clap::Args)]
pub struct Continue {}

pub fn go_on(_args: Continue, _cx: &Context) -> Result<Exit, CommandError> {
    Err(CommandError::unexpected("not written yet"))
}

#[derive(Debug, clap::Args)]
pub struct Retry {}

pub fn retry(_args: Retry, _cx: &Context) -> Result<Exit, CommandError> {
    Err(CommandError::unexpected("not written yet"))
}

#[derive(Debug, clap::Args)]
pub struct Skip {}

pub fn skip(_args: Skip, _cx: &Context) -> Result<Exit, CommandError> {
    Err(CommandError::unexpected("not written yet"))
}

#[derive(Debug, clap::Args)]
pub struct Rollback {}

pub fn rollback(_args: Rollback, _cx: &Context) -> Result<Exit, CommandError> {
    Err(CommandError::unexpected("not written yet"))
}

#[derive(Debug, clap::Args)]
pub struct Note {}

pub fn note(_args: Note, _cx: &Context) -> Result<Exit, CommandError> {
    Err(CommandError::unexpected("not written yet"))
}
