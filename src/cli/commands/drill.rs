//! `runbook drill`: what happens when each step fails, in every way, before the night. Contacts nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::variables::VarArgs;
use crate::cli::waves::OneWave;
use crate::cli::{load, output, pager};
use crate::graph::Graph;
use crate::report::DrillPage;
use crate::sim::{Verdict, drill};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runbook drill plans/2007-12-02.yaml
  runbook drill plans/2007-12-02.yaml --json | jq '.cases[] | select(.verdict == \"bad\")'

Exit codes: 0 every case ends as well as its fault allows, 2 the plan has errors or a case is BAD")]
pub struct Args {
    /// The plan's file
    plan: PathBuf,
    #[command(flatten)]
    vars: VarArgs,
    #[command(flatten)]
    one: OneWave,
}

impl Args {
    pub(in crate::cli) fn plan(&self) -> &Path {
        &self.plan
    }
}

pub fn run(args: &Args, cx: &Context) -> Result<Exit, CommandError> {
    let mut loaded = load::load_or_report(&args.plan, &args.vars.values()?, cx)?;
    args.one.must_pick(&mut loaded, "drilled")?;
    let graph = Arc::new(Graph::build(Arc::new(loaded.plan)));
    let opens = super::plan::opens(graph.plan());
    let drill = drill(&graph, opens);
    let file = args.plan.display().to_string();
    let page =
        DrillPage { graph: &graph, file: &file, digest: &loaded.digest, opens, drill: &drill, width: pager::width() };
    if cx.global.json {
        output::json(&page.document())?;
    } else {
        pager::page_lines(&page.lines(), true)?;
    }
    let bad = drill.cases.iter().any(|case| case.verdict() == Verdict::Bad);
    Ok(if bad { Exit::Usage } else { Exit::Done })
}
