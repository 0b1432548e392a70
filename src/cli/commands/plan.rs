//! `runbook plan`: the page on the table at the go/no-go call. Needs no network and changes nothing.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value as Json, json};

use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::load::{Loaded, load_or_report};
use crate::cli::variables::VarArgs;
use crate::cli::{output, pager};
use crate::driver::clock;
use crate::graph::Graph;
use crate::plan::model::{Opening, Plan, Undo};
use crate::report::{Clock, PlanPage, escape_for_terminal as esc, resolve_waves, wave_lines};
use crate::schedule::{Fit, RollbackPlan, fit, rollback_plan};
use crate::sim::{self, dry_run};
use crate::view::StepTimes;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  runbook plan plans/2007-12-02.yaml\n  \
                        runbook plan plans/2007-12-02.yaml --commands\n  \
                        runbook plan plans/2013-03-os-update.yaml --hosts thu-many")]
pub struct Args {
    /// The plan to show
    #[arg(value_name = "PLAN")]
    plan: PathBuf,
    /// Every command in full, as the plan writes it
    #[arg(long)]
    commands: bool,
    /// What each host will see, in its order
    #[arg(long)]
    by_host: bool,
    /// The names of the hosts of one wave
    #[arg(long, value_name = "WAVE")]
    hosts: Option<String>,
    /// Do not use a pager
    #[arg(long)]
    no_pager: bool,
    #[command(flatten)]
    vars: VarArgs,
}

impl Args {
    /// What `exec --dry-run` asks for.
    #[must_use]
    pub fn of(plan: PathBuf, vars: VarArgs) -> Self {
        Self { plan, commands: false, by_host: false, hosts: None, no_pager: false, vars }
    }
}

pub fn run(args: Args, cx: &Context) -> Result<Exit, CommandError> {
    let Args { plan: file, commands, by_host, hosts, no_pager, vars } = args;
    let loaded = load_or_report(&file, &vars.values()?, cx)?;
    if let Some(wave) = hosts {
        return hosts_of(&loaded.plan, &wave, cx);
    }
    let file = file.display().to_string();
    if !loaded.plan.waves.is_empty() {
        return waves(&file, &loaded, no_pager, cx);
    }
    let graph = Graph::build(Arc::new(loaded.plan.clone()));
    let numbers = Numbers::new(&graph, opens(&loaded.plan));
    let warnings = warnings(&loaded, &graph, &numbers.fit);
    // A plan that cannot fit its window is shown all the same, because the page says why.
    let exit = if warnings.iter().any(|(code, _)| code.starts_with('E')) { Exit::Usage } else { Exit::Done };
    if cx.global.json {
        output::json(&numbers.document(&graph, &loaded, &file, &warnings))?;
        return Ok(exit);
    }
    let page = PlanPage {
        graph: &graph,
        file: &file,
        digest: &loaded.digest,
        opens: numbers.opens,
        expected: &numbers.expected,
        worst: &numbers.worst,
        fit: &numbers.fit,
        rollback: &numbers.rollback,
        warnings: &warnings,
        width: pager::width(),
        commands,
        by_host,
    };
    pager::page_lines(&page.lines(), !no_pager)?;
    Ok(exit)
}

/// When the run would start: the window's opening, or now.
fn opens(plan: &Plan) -> Timestamp {
    match plan.window.as_ref().map(|w| &w.opening) {
        Some(Opening::At { opens, .. }) => *opens,
        Some(Opening::WhenStarted { .. }) | None => clock::now(),
    }
}

/// Everything that is computed for the page.
struct Numbers {
    opens: Timestamp,
    expected: Vec<Option<StepTimes>>,
    worst: Vec<Option<StepTimes>>,
    fit: Fit,
    rollback: RollbackPlan,
}

impl Numbers {
    fn new(graph: &Graph, opens: Timestamp) -> Self {
        let dry = dry_run(graph, opens);
        let times = |all: &[sim::StepTimes]| -> Vec<Option<StepTimes>> {
            all.iter().map(|t| Some(StepTimes { start: t.start?, end: t.end? })).collect()
        };
        let (expected, worst) = (times(&dry.steps), times(&dry.worst));
        Self { opens, expected, worst, fit: fit(graph), rollback: rollback_plan(graph) }
    }

    fn document(&self, graph: &Graph, loaded: &Loaded, file: &str, warnings: &[(String, String)]) -> Json {
        let plan = &loaded.plan;
        let clock = Clock::new(plan.timezone.as_deref());
        let time = |t: Timestamp| json!(clock.rfc3339(t));
        let after = |d: jiff::SignedDuration| self.opens.checked_add(d).map_or(Json::Null, time);
        let last = |times: &[Option<StepTimes>]| times.iter().flatten().map(|t| t.end).max().map(time);
        let window = self.fit.window.as_ref();
        let steps: Vec<Json> = graph
            .step_ixs()
            .map(|ix| {
                let step = graph.step(ix);
                let times = self.expected[ix.index()];
                json!({
                    "step": step.id,
                    "skipped": times.is_none(),
                    "start": times.map(|t| time(t.start)),
                    "end": times.map(|t| time(t.end)),
                    "worst_end": self.worst[ix.index()].map(|t| time(t.end)),
                    "estimate_s": step.estimate.map(|e| [e.expected.as_secs(), e.worst.as_secs()]),
                    "slack_s": window.map(|w| w.slack[ix.index()].as_secs()),
                    "hosts": graph.actions_of(ix).filter_map(|a| graph.action(a).id.host()).collect::<Vec<_>>(),
                    "irreversible": matches!(step.undo, Undo::Irreversible(_)),
                    "needs": graph.all_needs(ix).map(|n| graph.step(n).id.as_str()).collect::<Vec<_>>(),
                })
            })
            .collect();
        let names = |all: &[crate::graph::StepIx]| all.iter().map(|s| graph.step(*s).id.clone()).collect::<Vec<_>>();
        let rollback: Vec<Json> = self
            .rollback
            .rows
            .iter()
            .map(|row| {
                json!({
                    "fails_in": names(&row.fails_in),
                    "up_again_after_s": row.up_again_after.as_secs(),
                    "latest_start": row.latest_start.map(after),
                    "undoes": row.undoes.iter().map(|stage| names(stage)).collect::<Vec<_>>(),
                })
            })
            .collect();
        json!({
            "v": 1,
            "plan": file,
            "name": plan.name,
            "digest": loaded.digest,
            "opens": time(self.opens),
            "closes": window.map(|w| after(w.closes)),
            "finish": last(&self.expected),
            "worst_finish": last(&self.worst),
            "roll_back_by": window.map(|w| after(w.roll_back_by)),
            "rollback_s": window.map(|w| w.rollback.as_secs()),
            "reserve_s": plan.window.as_ref().map(|w| w.reserve.as_secs()),
            "slack_s": window.map(|w| w.least_slack.as_secs()),
            "critical_path": names(&self.fit.longest_path),
            "steps": steps,
            "rollback": rollback,
            "no_way_back": names(&self.rollback.no_way_back),
            "warnings": warnings.iter().map(|(code, text)| json!({ "code": code, "message": text })).collect::<Vec<_>>(),
        })
    }
}

/// What `check` found, then what the graph and the window say.
fn warnings(loaded: &Loaded, graph: &Graph, fit: &Fit) -> Vec<(String, String)> {
    let found = loaded.diagnostics.iter().map(|d| (d.code.to_owned(), sentence(&d.message, d.help.as_deref())));
    let notes = crate::graph::lint::lint(graph).into_iter().chain(crate::schedule::window_notes(graph, fit));
    let mut all: Vec<(String, String)> =
        found.chain(notes.map(|n| (n.code.to_owned(), sentence(&n.message, Some(&n.help))))).collect();
    all.dedup();
    all
}

fn sentence(message: &str, help: Option<&str>) -> String {
    match help.filter(|h| !h.is_empty()) {
        Some(help) => format!("{message}; {help}"),
        None => message.to_owned(),
    }
}

fn waves(file: &str, loaded: &Loaded, no_pager: bool, cx: &Context) -> Result<Exit, CommandError> {
    let plan = &loaded.plan;
    let clock = Clock::new(plan.timezone.as_deref());
    let warnings: Vec<(String, String)> =
        loaded.diagnostics.iter().map(|d| (d.code.to_owned(), sentence(&d.message, d.help.as_deref()))).collect();
    if cx.global.json {
        let waves: Vec<Json> = resolve_waves(plan)
            .iter()
            .map(|w| {
                json!({
                    "wave": w.name,
                    "opens": clock.rfc3339(w.opens),
                    "closes": clock.rfc3339(w.closes),
                    "hosts": w.hosts,
                    "expected_s": w.expected.as_secs(),
                    "worst_s": w.worst.as_secs(),
                })
            })
            .collect();
        return output::json(
            &json!({ "v": 1, "plan": file, "name": plan.name, "digest": loaded.digest, "waves": waves }),
        );
    }
    pager::page_lines(&wave_lines(plan, &warnings, pager::width()), !no_pager)?;
    Ok(Exit::Done)
}

/// The names of one wave's hosts, one a line.
fn hosts_of(plan: &Plan, wave: &str, cx: &Context) -> Result<Exit, CommandError> {
    let waves = resolve_waves(plan);
    let Some(found) = waves.iter().find(|w| w.name == wave) else {
        let error = CommandError::usage(format!("there is no wave `{}` in this plan", wave.escape_debug()));
        let names: Vec<&str> = waves.iter().map(|w| w.name.as_str()).collect();
        return Err(if names.is_empty() { error } else { error.hint(format!("its waves: {}", names.join(", "))) });
    };
    if cx.global.json {
        return output::json(&json!({ "v": 1, "wave": found.name, "hosts": found.hosts }));
    }
    let lines: Vec<String> = found.hosts.iter().map(|h| esc(h)).collect();
    pager::page_lines(&lines, false)?;
    Ok(Exit::Done)
}
