//! `runbook keeper`: the process that starts commands on this machine. Started by an engine; people never type it.

use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::transport::keeper;

/// Serves the engine until it is gone and nothing runs any more.
///
/// # Errors
/// It was not started by an engine.
pub fn run() -> Result<Exit, CommandError> {
    keeper::serve()?;
    Ok(Exit::Done)
}
