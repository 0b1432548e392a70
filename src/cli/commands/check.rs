//! `runbook check`.

use std::path::PathBuf;

use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::load::load_or_report;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Plans to look at
    #[arg(required = true, value_name = "PLAN")]
    plans: Vec<PathBuf>,
}

pub fn run(args: Args, cx: &Context) -> Result<Exit, CommandError> {
    for plan in &args.plans {
        let loaded = load_or_report(plan, &[], cx)?;
        anstream::println!(
            "ok {}: {} steps, {} hosts",
            plan.display(),
            loaded.plan.steps.len(),
            loaded.plan.hosts.len()
        );
    }
    Ok(Exit::Done)
}
