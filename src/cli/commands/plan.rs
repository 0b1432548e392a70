//! `runbook plan`: the page on the table at the go/no-go call. Changes nothing; asks hosts only with `--probe`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;

use crate::cli::args::By;
use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::load::{Loaded, load_or_report};
use crate::cli::narrow::{LeftOut, Narrow, selected};
use crate::cli::review::review;
use crate::cli::setup::Setup;
use crate::cli::variables::VarArgs;
use crate::cli::waves::OneWave;
use crate::cli::{approval, history, logout, order, output, pager, preflight, reach, save, store};
use crate::driver::clock;
use crate::graph::Graph;
use crate::journal::Store;
use crate::plan::diagnostic::{Diagnostic, sort};
use crate::plan::model::{Opening, Plan, Wave};
use crate::report::week::Week;
use crate::report::{
    PlanPage, Probe, WaveHosts, WeekPage, escape_for_terminal as esc, plan_document, resolve_waves, short_digest,
    wave_lines,
};
use crate::schedule::{self, Fit, Odds, Order, Past};
use crate::sim::{self, dry_run};
use crate::template;
use crate::view::StepTimes;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  runbook plan plans/2007-12-02.yaml\n  \
                        runbook plan plans/2007-12-02.yaml --commands\n  \
                        runbook plan plans/2007-12-02.yaml --probe          (asks the hosts, changes nothing)\n  \
                        runbook plan plans/2007-12-02.yaml --from sanity-backend --assume-done deploy-backend,db-scripts\n  \
                        runbook plan plans/2013-03-os-update.yaml --hosts thu-many      (their names)\n  \
                        runbook plan plans/2013-03-os-update.yaml --wave thu-many       (its steps)\n  \
                        runbook plan plans/2013-03-os-update.yaml -o week.ics --by-owner\n  \
                        runbook plan plans/2007-12-02.yaml -o 2007-12-02.html    (one page, for the call)\n  \
                        runbook plan plans/2007-12-02.yaml -o 2007-12-02.html --with-drill\n\n\
                        Exit codes: 0 shown, 2 the plan has errors or cannot fit its window, 3 --probe found what would refuse a run")]
pub struct Args {
    /// The plan to show
    #[arg(value_name = "PLAN")]
    plan: PathBuf,
    /// Every command in full, as it will run
    #[arg(long)]
    commands: bool,
    /// What each host will see, in its order
    #[arg(long)]
    by_host: bool,
    /// Ask the hosts whether they are ready: reach, sudo, clocks, free space; changes nothing
    #[arg(long)]
    probe: bool,
    /// What has changed since the last go
    #[arg(long)]
    diff: bool,
    /// Write it to a file instead; its extension says the form: .html .md .svg .json .txt .ics
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// With what happens when each step fails, as `drill` finds it
    #[arg(long)]
    with_drill: bool,
    /// In a calendar: an entry for each owner of hosts
    #[arg(long, requires = "output")]
    by_owner: bool,
    /// Write a notice to each owner of hosts into this folder
    #[arg(long, value_name = "DIR", conflicts_with = "output")]
    notices: Option<PathBuf>,
    /// Do not use a pager
    #[arg(long)]
    no_pager: bool,
    #[command(flatten)]
    vars: VarArgs,
    #[command(flatten)]
    one: OneWave,
    #[command(flatten)]
    narrow: Narrow,
    #[command(flatten)]
    by: By,
}

impl Args {
    pub(in crate::cli) fn plan(&self) -> &Path {
        &self.plan
    }
}

impl Args {
    /// What `exec --dry-run` asks for.
    #[must_use]
    pub fn of(plan: PathBuf, vars: VarArgs, one: OneWave, narrow: Narrow, by: By) -> Self {
        Self {
            plan,
            commands: false,
            by_host: false,
            probe: false,
            diff: false,
            output: None,
            with_drill: false,
            by_owner: false,
            notices: None,
            no_pager: false,
            vars,
            one,
            narrow,
            by,
        }
    }
}

pub fn run(args: &Args, cx: &Context) -> Result<Exit, CommandError> {
    let mut loaded = load_or_report(&args.plan, &args.vars.values()?, cx)?;
    if args.diff {
        return diff(&loaded, cx);
    }
    args.one.pick(&mut loaded)?;
    let file = args.output.as_deref().map(|file| Ok::<_, CommandError>((file, save::Form::of(file)?))).transpose()?;
    if let Some((file, save::Form::Calendar)) = file {
        save::say(&[save::write_calendar(&loaded, file, args.by_owner)?], cx);
        return Ok(Exit::Done);
    }
    if args.by_owner {
        return Err(CommandError::usage("`--by-owner` is for calendars").hint("-o FILE.ics"));
    }
    if let Some(folder) = &args.notices {
        save::say(&save::write_notices(&loaded, &args.plan, folder)?, cx);
        return Ok(Exit::Done);
    }
    if !loaded.plan.waves.is_empty() {
        return waves(args, &loaded, file, cx);
    }
    let graph = Graph::build(Arc::new(loaded.plan.clone()));
    let left_out = args.narrow.resolve(&graph)?;
    let plan = if left_out.is_empty() { loaded.plan.clone() } else { left_out.narrowed(&loaded.plan) };
    let reviewed = review(&plan, &loaded.places, &loaded.source, clock::now());
    let mut findings = findings(&loaded, reviewed.found);
    let graph = &reviewed.graph;
    let order = order::of(graph);
    let (order, past) = (order.as_ref(), history::past_of(cx, graph));
    let opens = opens(&plan);
    let (evening, odds) =
        side_by_side(|| evening(graph, order, opens), || odds(graph, order, &past, &reviewed.fit, opens));
    findings.extend(history::findings(graph, &past));
    let probe = if args.probe { Some(probe(graph, args, &left_out, cx)?) } else { None };
    let drill = args.with_drill.then(|| sim::drill(graph, evening.opens));
    let exit = exit(&findings, probe.as_ref());
    let (name, exec) = (args.plan.display().to_string(), exec_line(args));
    let page = PlanPage {
        graph,
        file: &name,
        digest: &loaded.digest,
        exec: &exec,
        opens: evening.opens,
        expected: &evening.expected,
        worst: &evening.worst,
        fit: &reviewed.fit,
        rollback: &crate::schedule::rollback_plan(graph),
        odds: odds.as_ref(),
        findings: &findings,
        left_out: &left_out_texts(&left_out),
        probe: probe.as_ref(),
        drill: drill.as_ref(),
        width: pager::width(),
        commands: args.commands,
        by_host: args.by_host,
    };
    if let Some((file, form)) = file {
        save::say(&[save::write_page(&page, form, file)?], cx);
    } else if cx.global.json {
        output::json(&plan_document(&page))?;
    } else {
        pager::page_lines(&page.lines(), !args.no_pager)?;
    }
    Ok(exit)
}

/// What has changed since the last go.
fn diff(loaded: &Loaded, cx: &Context) -> Result<Exit, CommandError> {
    let go = approval::last(&store::existing(cx)?, &loaded.plan.stem)?;
    let same = go.digest == loaded.digest;
    let lines = if same { Vec::new() } else { approval::differences(&go, &loaded.plan) };
    if cx.global.json {
        return output::json(
            &serde_json::json!({ "go": super::go::document(&go), "digest": loaded.digest, "differences": lines }),
        );
    }
    let (at, by) = (store::minute(go.at), esc(&go.by));
    let head = format!("GO {at} by {by}, digest {}; now {}", short_digest(&go.digest), short_digest(&loaded.digest));
    let nothing = same.then(|| "   nothing that runs has changed".to_owned());
    let lines = lines.iter().map(|line| format!("   {}", esc(line)));
    pager::page_lines(&[head].into_iter().chain(lines).chain(nothing).collect::<Vec<_>>(), true)?;
    Ok(Exit::Done)
}

/// A plan that cannot fit its window is shown all the same, because the page says why.
fn exit(findings: &[(String, String)], probe: Option<&Probe>) -> Exit {
    match () {
        () if findings.iter().any(|(code, _)| code.starts_with('E')) => Exit::Usage,
        () if probe.is_some_and(|p| p.failed) => Exit::Refused,
        () => Exit::Done,
    }
}

/// When the run would start: the window's opening, or now.
pub(super) fn opens(plan: &Plan) -> Timestamp {
    match plan.window.as_ref().map(|w| &w.opening) {
        Some(Opening::At { opens, .. }) => *opens,
        Some(Opening::WhenStarted { .. }) | None => clock::now(),
    }
}

/// When each step starts and ends; `None` for one that is skipped.
struct Evening {
    opens: Timestamp,
    expected: Vec<Option<StepTimes>>,
    worst: Vec<Option<StepTimes>>,
}

fn evening(graph: &Graph, order: Option<&Order>, opens: Timestamp) -> Evening {
    let dry = dry_run(graph, opens, order);
    let times = |all: &[sim::StepTimes]| -> Vec<Option<StepTimes>> {
        all.iter().map(|t| Some(StepTimes { start: t.start?, end: t.end? })).collect()
    };
    Evening { opens, expected: times(&dry.steps), worst: times(&dry.worst) }
}

/// Both at once: each of them takes seconds for ten thousand hosts.
fn side_by_side<A: Send, B>(one: impl Fn() -> A + Sync, other: impl FnOnce() -> B) -> (A, B) {
    std::thread::scope(|scope| match std::thread::Builder::new().spawn_scoped(scope, &one) {
        Ok(thread) => {
            let other = other();
            (thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), other)
        }
        // No thread is to be had: one after the other.
        Err(_) => (one(), other()),
    })
}

/// How likely it ends in time.
fn odds(graph: &Graph, order: Option<&Order>, past: &Past, fit: &Fit, opens: Timestamp) -> Option<Odds> {
    let closes = fit.window.as_ref().and_then(|w| opens.checked_add(w.closes).ok());
    let situation = schedule::Evening::before(graph, opens, closes);
    schedule::Evening::new(graph, order, past).odds(graph, &situation)
}

/// Errors first, then what `check` found and what the graph and the window say, by place.
fn findings(loaded: &Loaded, reviewed: Vec<Diagnostic>) -> Vec<(String, String)> {
    let mut all: Vec<Diagnostic> = loaded.diagnostics.iter().cloned().chain(reviewed).collect();
    sort(&mut all);
    all.sort_by_key(|d| !d.is_error());
    let mut all: Vec<_> = all.iter().map(|d| (d.code.to_owned(), sentence(d))).collect();
    all.dedup();
    all
}

fn sentence(d: &Diagnostic) -> String {
    match d.help.as_deref().filter(|h| !h.is_empty()) {
        Some(help) => format!("{}; {help}", d.message),
        None => d.message.clone(),
    }
}

/// `step a`, `host b`: what a narrowed run leaves out.
fn left_out_texts(left_out: &LeftOut) -> Vec<String> {
    let steps = left_out.steps.iter().map(|s| format!("step {s}"));
    steps.chain(left_out.hosts.iter().map(|h| format!("host {h}"))).collect()
}

/// Asks the hosts and changes nothing there; what a logout does on them is remembered here.
fn probe(graph: &Graph, args: &Args, left_out: &LeftOut, cx: &Context) -> Result<Probe, CommandError> {
    let setup = Setup::new(&args.plan, Vec::new(), args.by, &cx.settings)?;
    let mut requests = preflight::requests(graph, &left_out.hosts);
    let mut store = Store::open_existing(&cx.store).ok().flatten();
    if let Some(store) = &store {
        logout::recall(store, graph.plan(), &mut requests);
    }
    let surveys = reach::survey(graph.plan(), &setup, None, requests.clone())?;
    if let Some(store) = &mut store {
        logout::remember(store, graph.plan(), &requests, &surveys);
    }
    let found = preflight::judge(graph, &surveys);
    let mut lines: Vec<(String, String)> =
        found.iter().map(|f| (f.verdict.word().to_owned(), f.text.clone())).collect();
    lines.extend(reach::in_words(&surveys).into_iter().map(|text| (preflight::Verdict::Ok.word().to_owned(), text)));
    if let Some((host, free)) = preflight::least_space(&surveys) {
        lines.push((preflight::Verdict::Ok.word().into(), format!("least free space: {} on {host}", size(free))));
    }
    let failed = found.iter().any(|f| f.verdict == preflight::Verdict::Fail);
    Ok(Probe { at: clock::now(), lines, failed })
}

/// `212 GB`, as disks are sold.
fn size(bytes: u64) -> String {
    match bytes {
        b if b >= 10_000_000_000 => format!("{} GB", b / 1_000_000_000),
        b => format!("{} MB", b / 1_000_000),
    }
}

/// What would execute exactly this.
fn exec_line(args: &Args) -> String {
    let quoted = |text: &str| template::quote::quote(text);
    let vars = args.vars.var.iter().map(|v| ("--var", v.as_str()));
    let files: Vec<String> = args.vars.vars.iter().map(|f| f.display().to_string()).collect();
    let files = files.iter().map(|f| ("--vars", f.as_str()));
    let wave = args.one.wave.iter().map(|name| ("--wave", name.as_str()));
    let flags = wave.chain(vars).chain(files).chain(args.narrow.flags());
    let mut line = format!("runbook exec {}", quoted(&args.plan.display().to_string()));
    flags.for_each(|(flag, value)| line.push_str(&format!(" {flag} {}", quoted(value))));
    line
}

fn waves(args: &Args, loaded: &Loaded, file: Option<(&Path, save::Form)>, cx: &Context) -> Result<Exit, CommandError> {
    let plan = &loaded.plan;
    match &args.narrow {
        Narrow { only, from, assume_done, .. } if !only.is_empty() || from.is_some() || !assume_done.is_empty() => {
            return Err(CommandError::usage("a plan with waves cannot be narrowed to steps")
                .hint("one of its waves can:   --wave NAME"));
        }
        Narrow { hosts, .. } if !hosts.is_empty() => return hosts_of(plan, hosts, cx),
        Narrow { .. } => {}
    }
    if args.with_drill || args.probe {
        let what = if args.probe { "--probe" } else { "--with-drill" };
        return Err(CommandError::usage(format!("`{what}` is for one wave at a time")).hint("name it:   --wave NAME"));
    }
    let findings = findings(loaded, review(plan, &loaded.places, &loaded.source, clock::now()).found);
    let exit = exit(&findings, None);
    let (name, week) = (args.plan.display().to_string(), Week::of(plan));
    let odds = week_odds(plan, &week, cx);
    let page = WeekPage { plan, week: &week, odds: &odds, file: &name, digest: &loaded.digest, findings: &findings };
    if let Some((file, form)) = file {
        save::say(&[save::write_week(&page, form, file)?], cx);
    } else if cx.global.json {
        output::json(&page.document())?;
    } else {
        pager::page_lines(&wave_lines(&page, pager::width()), !args.no_pager)?;
    }
    Ok(exit)
}

/// How likely each wave is done by the close of its own window, in the order in which the page says it ends.
fn week_odds(plan: &Plan, week: &Week, cx: &Context) -> Vec<Option<Odds>> {
    let one = |(wave, taken): (&Wave, &WaveHosts)| {
        let graph = Graph::build(Arc::new(plan.for_wave(wave, &taken.hosts)));
        let situation = schedule::Evening::before(&graph, wave.opens, Some(wave.closes));
        schedule::Evening::new(&graph, None, &history::past_of(cx, &graph)).odds(&graph, &situation)
    };
    plan.waves.iter().zip(&week.waves).map(one).collect()
}

/// The names of the hosts of these waves, or that these patterns mean, one a line.
fn hosts_of(plan: &Plan, wanted: &[String], cx: &Context) -> Result<Exit, CommandError> {
    let waves = resolve_waves(plan);
    let wave = |name: &String| waves.iter().find(|w| w.name == *name);
    let hosts: Vec<&str> = match wanted.iter().map(wave).collect::<Option<Vec<_>>>() {
        Some(waves) => waves.iter().flat_map(|w| &w.hosts).map(String::as_str).collect(),
        None => selected(plan, wanted).map_err(|e| {
            let names: Vec<&str> = waves.iter().map(|w| w.name.as_str()).collect();
            e.hint(format!("its waves: {}", names.join(", ")))
        })?,
    };
    if cx.global.json {
        return output::json(&json!({ "v": 1, "waves": wanted, "hosts": hosts }));
    }
    let lines: Vec<String> = hosts.iter().map(|h| esc(h)).collect();
    pager::page_lines(&lines, false)?;
    Ok(Exit::Done)
}
