//! `runbook advise`: what would shorten the window, in minutes saved, by the plan and by what really ran. Contacts nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::variables::VarArgs;
use crate::cli::waves::OneWave;
use crate::cli::{history, load, look, order, output, pager, store};
use crate::graph::{Graph, StepIx};
use crate::journal::{RunRow, Store};
use crate::plan::model::{Opening, Plan, Verb};
use crate::report::{AdvicePage, Ran};
use crate::schedule::advise::{Known, advise, ran_path};
use crate::schedule::{Order, Past, Times, middle, newest};
use crate::view::{self, RunView};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runbook advise plans/2007-12-02.yaml           by the estimates, and by what its steps took before
  runbook advise 2007-12-02-a                    by what they took in this run
  runbook advise plans/2007-12-02.yaml --json | jq '.savings[0]'

Exit codes: 0 shown, 2 the plan has errors, or there is no such run")]
pub struct Args {
    /// A plan, or a run: its name, the beginning of it, or `latest`
    #[arg(value_name = "PLAN|RUN")]
    what: PathBuf,
    /// Every change that saves something, and every step of the paths
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    vars: VarArgs,
    #[command(flatten)]
    one: OneWave,
}

impl Args {
    /// What has no ending of a file is a run, unless there is such a file.
    pub(in crate::cli) fn plan(&self) -> Option<&Path> {
        let named = self.what.extension().is_some_and(|e| e == "yaml" || e == "yml");
        (named || self.what.is_file()).then_some(self.what.as_path())
    }
}

/// What is advised on.
struct Subject {
    graph: Arc<Graph>,
    digest: String,
    order: Option<Order>,
    known: Vec<Known>,
    ran: Option<Ran>,
    basis: String,
}

pub fn run(args: &Args, cx: &Context) -> Result<Exit, CommandError> {
    let subject = match args.plan() {
        Some(plan) => of_plan(plan, args, cx)?,
        None => of_run(&args.what.to_string_lossy(), cx)?,
    };
    let advice = advise(&subject.graph, subject.order.as_ref(), &subject.known);
    let file = args.what.display().to_string();
    let page = AdvicePage {
        graph: &subject.graph,
        file: &file,
        digest: &subject.digest,
        opens: opens(subject.graph.plan()),
        advice: &advice,
        ran: subject.ran.as_ref(),
        basis: &subject.basis,
        all: args.all,
        width: pager::width(),
    };
    if cx.global.json {
        output::json(&page.document())?;
    } else {
        pager::page_lines(&page.lines(), true)?;
    }
    Ok(Exit::Done)
}

fn opens(plan: &Plan) -> Option<Timestamp> {
    match plan.window.as_ref().map(|w| &w.opening) {
        Some(Opening::At { opens, .. }) => Some(*opens),
        Some(Opening::WhenStarted { .. }) | None => None,
    }
}

fn of_plan(file: &Path, args: &Args, cx: &Context) -> Result<Subject, CommandError> {
    let mut loaded = load::load_or_report(file, &args.vars.values()?, cx)?;
    args.one.must_pick(&mut loaded, "advised on")?;
    let graph = Arc::new(Graph::build(Arc::new(loaded.plan)));
    let order = order::of(&graph);
    let past = history::past_of(cx, &graph);
    let ran = Store::open_existing(&cx.store)?.and_then(|store| last_ran(&store, &graph));
    let known = known(&graph, &past);
    let seen = known.iter().any(|k| k.took.is_some());
    let basis = if seen { "with what its steps mostly took" } else { "by its estimates" };
    Ok(Subject { graph, digest: loaded.digest, order, known, ran, basis: basis.into() })
}

fn of_run(named: &str, cx: &Context) -> Result<Subject, CommandError> {
    let mut store = store::existing(cx)?;
    let run = store::find_to_look(&store, Some(named))?;
    let view = look::view(&store, &run)?;
    let graph = view.graph().clone();
    let order = view.header().and_then(|started| started.order.clone());
    let past = history::past(&mut store, &graph);
    let mut known = known(&graph, &past);
    let began = began(&view);
    let took = view::durations(&graph, &store.facts(&run.id, 0)?);
    for (ix, known) in graph.step_ixs().zip(&mut known) {
        let step = graph.step(ix);
        let worked = took.iter().filter(|t| t.step == step.id && !t.undone).map(|t| t.most).max();
        let asks = step.gate.is_some() || matches!(step.verb, Verb::Wait(_));
        let lasted = || times_of(&view, ix, began?).map(|t| t.end - t.start);
        known.took = worked.or_else(|| lasted().filter(|_| asks));
    }
    let ran = ran(&view, &graph, order.as_ref(), run.id.clone()).ok_or_else(|| {
        CommandError::refused(format!("run {} has not done anything yet, so there is nothing to advise", run.id))
    })?;
    let basis = format!("with what steps took in {}", run.id);
    Ok(Subject { graph, digest: run.digest, order, known, ran: Some(ran), basis })
}

/// What the steps mostly took, and the best that they took, the slowest group of each counting.
fn known(graph: &Graph, past: &Past) -> Vec<Known> {
    let of = |step: &str| {
        let groups: Vec<&[SignedDuration]> = past.of_step(step).map(|(_, took)| took).collect();
        Known {
            took: groups.iter().filter_map(|took| middle(newest(took))).max(),
            best: groups.iter().filter_map(|took| took.iter().min().copied()).max(),
        }
    };
    graph.step_ixs().map(|ix| of(&graph.step(ix).id)).collect()
}

/// The newest run of this plan outside the lab that is over and had the same steps. One that cannot be read is passed over.
fn last_ran(store: &Store, graph: &Graph) -> Option<Ran> {
    let real = |run: &RunRow| run.stage.is_real() && run.closed.is_some();
    let of_plan = |run: &RunRow| real(run) && run.plan == graph.plan().stem && run.title == graph.plan().name;
    let run = store.runs().ok()?.into_iter().find(of_plan)?;
    let view = look::view(store, &run).ok()?;
    let same = view.graph().plan().steps.keys().eq(graph.plan().steps.keys());
    let order = view.header().and_then(|started| started.order.clone());
    same.then(|| ran(&view, graph, order.as_ref(), run.id)).flatten()
}

/// `None` where nothing has ended.
fn ran(view: &RunView, graph: &Graph, order: Option<&Order>, run: String) -> Option<Ran> {
    let began = began(view)?;
    let times: Vec<Option<Times>> = graph.step_ixs().map(|ix| times_of(view, ix, began)).collect();
    let path = ran_path(graph, order, &times);
    (!path.is_empty()).then_some(Ran { run, began, times, path })
}

/// When its first step began.
fn began(view: &RunView) -> Option<Timestamp> {
    view.actions().iter().filter_map(|a| a.started).min()
}

/// From the beginning of the run; `None` for what has not ended.
fn times_of(view: &RunView, step: StepIx, began: Timestamp) -> Option<Times> {
    let start = view.actions_of(step).filter_map(|a| a.started).min()?;
    let end = view.actions_of(step).filter(|a| a.started.is_some()).filter_map(|a| a.ended).max()?;
    Some(Times { start: start.duration_since(began), end: end.duration_since(began) })
}
