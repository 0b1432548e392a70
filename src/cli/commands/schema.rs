//! `runbook schema`: the JSON Schema of plans, for editors.

use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::output;
use crate::plan::schema::plan_schema;

#[derive(Debug, Clone, Copy, clap::Args)]
#[command(
    after_help = "Examples:\n  runbook schema > plan.schema.json\n  and as the first line of a plan:  # yaml-language-server: $schema=plan.schema.json"
)]
pub struct Args {
    /// Of what
    #[arg(value_enum, default_value_t = Of::Plan)]
    of: Of,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Of {
    Plan,
}

pub fn run(args: Args, _cx: &Context) -> Result<Exit, CommandError> {
    let Args { of } = args;
    match of {
        Of::Plan => output::json(&plan_schema()),
    }
}
