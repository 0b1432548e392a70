//! `runbook scout`: asks the hosts of a plan, and drives its run when it is told to. Started by `exec`; people never type it.

use super::engine;
use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::scout;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The plan's name, by which this process is known
    #[arg(long, value_name = "NAME")]
    plan: String,
}

pub fn run(_: &Args, cx: &Context) -> Result<Exit, CommandError> {
    engine::leave();
    let runtime = engine::runtime()?;
    match scout::obey(&runtime)? {
        Some((run, hosts)) => engine::drive(&engine::Args::of(run), cx, runtime, hosts.as_ref()),
        None => Ok(Exit::Done),
    }
}
