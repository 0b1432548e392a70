//! `runbook exec`: preflight, the typed confirmation, the engine in a process of its own, this terminal attached to it.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::cli::args::By;
use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::holder::{self, Holder};
use crate::cli::narrow::{LeftOut, Narrow};
use crate::cli::scout::Scout;
use crate::cli::setup::{Night, Setup};
use crate::cli::variables::VarArgs;
use crate::cli::watch::{self, Watch};
use crate::cli::waves::OneWave;
use crate::cli::{
    after, approval, baseline, confirm, history, laboratory, launch, load, logout, notify, order, output, power,
    preflight, reach, review, show, store, waves, window,
};
use crate::driver::clock;
use crate::engine::fact::{Actor, Channel, FORMAT, Pace, RunOptions, RunStarted, Stage};
use crate::graph::ids::ActionId;
use crate::graph::outcome::Verdict;
use crate::graph::{Graph, StepIx};
use crate::journal::{JournalError, NewRun, RunRow, Store};
use crate::lab::Lab;
use crate::plan::inventory::count;
use crate::plan::model::Plan;
use crate::plan::waves::OpenWave;
use crate::report::{self, short_digest};
use crate::schedule::Past;

/// How long a person at the terminal may hold before an automatic rollback starts.
const GRACE: SignedDuration = SignedDuration::from_secs(60);
/// A run without an engine counts as about to start for this long.
const STARTING: SignedDuration = SignedDuration::from_secs(60);

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runbook exec plans/2007-12-02.yaml                       arm it, run it, watch it
  runbook exec plans/2007-12-02.yaml --lab                 the same on private hosts on this machine
  runbook exec plans/2007-12-02.yaml --lab --fail sanity-backend@be2
  runbook exec plans/2007-12-02.yaml --rehearse --speed 60 the evening in minutes, without any host
  runbook exec PLAN --no-input --confirm 2007-12-02        from a script")]
pub struct Args {
    /// The plan's file
    plan: PathBuf,
    /// Only show what would be done (the same as `runbook plan`)
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// The plan's name, instead of typing it
    #[arg(long, value_name = "NAME")]
    confirm: Option<String>,
    /// Start although the window is not open; needs a reason
    #[arg(long, requires = "message")]
    outside_window: bool,
    /// The reason for `--outside-window`; it goes into the report
    #[arg(short, long = "message", value_name = "REASON", requires = "outside_window")]
    message: Option<String>,
    /// Wait for the window however long it takes
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    vars: VarArgs,
    #[command(flatten)]
    one: OneWave,
    /// Whether waves that earlier runs have done stay done: asked when the plan has moved them
    #[arg(long, value_name = "same|new", hide_possible_values = true)]
    week: Option<waves::Which>,
    #[command(flatten)]
    narrow: Narrow,
    #[command(flatten)]
    by: By,
    #[command(flatten)]
    lab: laboratory::Laboratory,
    #[command(flatten)]
    show: show::Show,
    /// Start the run and leave it; watch it with `runbook attach`
    #[arg(long)]
    detach: bool,
}

impl Args {
    pub(in crate::cli) fn plan(&self) -> &Path {
        &self.plan
    }
}

pub fn run(args: Args, cx: &Context) -> Result<Exit, CommandError> {
    if args.dry_run {
        return super::plan::run(&super::plan::Args::of(args.plan, args.vars, args.one, args.narrow, args.by), cx);
    }
    let vars = args.vars.values()?;
    let mut loaded = load::load_or_report(&args.plan, &vars, cx)?;
    preflight::executable(&loaded.plan)?;
    // A step or host that the plan does not have is a mistake of typing, answered before there is a store.
    args.narrow.resolve(&Graph::build(Arc::new(loaded.plan.clone())))?;
    let now = clock::now();
    let mut store = store::open(cx)?;
    let stage = args.lab.stage();
    refuse_second(&store, &loaded.plan, stage)?;
    let wish = waves::Wish { wave: args.one.wave.as_deref(), week: args.week, stage, digest: &loaded.digest };
    let wave = waves::choose(&store, &loaded.plan, wish)?;
    let chosen = wave.as_ref().map(|wave| waves::in_words(&loaded.plan, wave));
    if let Some(plan) = wave.as_ref().and_then(|wave| wave.of_plan(&loaded.plan)) {
        loaded.plan = plan;
    }
    fits(&args.narrow, &loaded)?;
    // In the lab and in a rehearsal nothing is at stake that anybody could have decided about.
    let approved = match stage {
        Stage::Lab | Stage::Rehearsal => None,
        Stage::Real => Some(approval::check(&store, &loaded, &args.plan.display().to_string())?),
    };
    let before = after::check(&store, &loaded.plan, &args.plan, stage)?;
    let load::Loaded { plan, digest, .. } = loaded;
    let mut setup = Setup::new(&args.plan, vars, args.by, &cx.settings)?;
    let laboratory::Prepared { plan, sound, lab } = laboratory::prepare(&args.lab, plan, setup.plan_dir(), now)?;
    if let Some(lab) = &lab {
        setup.move_to(lab);
    }
    setup.rehearsal = args.lab.failing();
    let pace = args.lab.pace(&plan, now);
    let now = pace.map_or(now, |pace| pace.at(now));
    let graph = Arc::new(Graph::build(Arc::new(plan)));
    let left_out = args.narrow.resolve(&graph)?;
    let talk = Talk { cx, plan: graph.plan() };
    let wish = window::Wish { outside: args.message.as_deref(), wait: args.wait };
    let instants = window::resolve(graph.plan(), now, wish)?;
    talk.head(&digest, approved.as_deref());
    chosen.iter().for_each(|line| talk.line(&format!("  {line}")));
    before.iter().for_each(|line| talk.line(&format!("  ok    {line}")));
    if let Some(lab) = &lab {
        talk.lab(lab);
    }
    if let Some(pace) = pace {
        talk.rehearsal(pace);
        talk.secrets(&reach::sources_of_secrets(graph.plan()));
    }
    if !stage.is_real() {
        talk.played(stage, &args.lab.fail, somebody_answers(&args, cx));
    }
    // A rehearsal has no hosts to look at.
    let scout = match pace {
        Some(_) => None,
        None => Some(look_before(&talk, &mut store, &graph, &setup, lab.as_ref(), &left_out)?),
    };
    let options = options(&args, cx, &left_out, wave, pace);
    let mut started = started(&args, cx, &graph, digest, instants, options);
    // In a rehearsal there is nobody to ask.
    if let Some(tests) = baseline::tests(&sound, &left_out, lab.as_ref()).filter(|_| pace.is_none()) {
        started.baseline = ask_tests(&talk, tests, &setup, lab.as_ref(), &started)?;
    }
    arm(&talk, &args, &graph, &left_out, instants.map(|w| w.opens), pace)?;
    let night = Night { plan: Plan::clone(graph.plan()), started, setup };
    let run = freeze(&mut store, night)?;
    engage(&args, cx, store, &run, lab, scout)
}

/// What cannot fit its window even by the expected estimates would only be rolled back. A narrowed run has less to do.
fn fits(narrow: &Narrow, loaded: &load::Loaded) -> Result<(), CommandError> {
    let graph = Graph::build(Arc::new(loaded.plan.clone()));
    let left_out = narrow.resolve(&graph)?;
    if left_out.is_empty() {
        return review::must_fit(loaded, &graph);
    }
    review::must_fit(loaded, &Graph::build(Arc::new(left_out.narrowed(&loaded.plan))))
}

/// Another unfinished run of the same plan stands in the way: refused before anything is asked or contacted.
fn refuse_second(store: &Store, plan: &Plan, stage: Stage) -> Result<(), CommandError> {
    let open = store.open_runs()?.into_iter().find(|run| run.plan == plan.stem && in_the_way(run, stage));
    open.map_or(Ok(()), |run| Err(second(&run)))
}

/// A run that nobody ever drove, and a lab or rehearsal whose engine is gone, hold nothing that matters.
fn in_the_way(open: &RunRow, stage: Stage) -> bool {
    let rehearsed = |stage| stage == Stage::Rehearsal;
    if rehearsed(open.stage) != rehearsed(stage) {
        // A rehearsal touches nothing, so it and a night do not mind each other.
        return false;
    }
    let now = clock::now();
    match &open.lease {
        // Its `exec` is about to start the engine, or died before it could.
        None => now.duration_since(open.created) < STARTING,
        Some(lease) => lease.live(now) || (open.stage.is_real() && stage.is_real()),
    }
}

fn second(open: &RunRow) -> CommandError {
    let (id, since) = (&open.id, store::minute(open.created));
    match Holder::of(open, clock::now()) {
        Holder::Live(lease) => {
            let owner = format!("by {} on {}, pid {}", lease.owner, lease.host, lease.pid);
            CommandError::refused(format!("this plan is running already: {id} since {since}, {owner}"))
                .hint(format!("watch it:   runbook attach {id}"))
        }
        Holder::Gone(lease) => {
            let owner = format!("{} on {}", lease.owner, lease.host);
            CommandError::refused(format!(
                "run {id} of this plan, begun {since} by {owner}, is not finished and has NO ENGINE"
            ))
            .hint(format!("take it over:   runbook resume {id}"))
        }
        Holder::Nobody => CommandError::refused(format!("this plan is being started already: {id} since {since}"))
            .hint(format!("watch it:   runbook attach {id}")),
    }
}

/// Preflight. Failures refuse the run; nothing has been changed by then, and nothing is contacted any more. Gives the
/// process that asked the hosts, for the night.
fn look_before(
    talk: &Talk<'_>,
    store: &mut Store,
    graph: &Graph,
    setup: &Setup,
    lab: Option<&Lab>,
    left_out: &LeftOut,
) -> Result<Scout, CommandError> {
    let mut requests = preflight::requests(graph, &left_out.hosts);
    if lab.is_none() {
        logout::recall(store, graph.plan(), &mut requests);
    }
    let environment = lab.map(|lab| lab.local.env.clone()).unwrap_or_default();
    let mut scout = Scout::send_out(talk.cx, &graph.plan().stem, &environment)?;
    let surveys = scout.survey(graph.plan(), setup, &requests)?;
    if lab.is_none() {
        logout::remember(store, graph.plan(), &requests, &surveys);
    }
    let held = surveys.iter().any(|s| s.answer.as_ref().is_ok_and(|state| state.locked_by.is_some()));
    let mut findings = preflight::judge(graph, &surveys);
    let ways = reach::in_words(&surveys).into_iter();
    findings.extend(ways.map(|text| preflight::Finding { verdict: preflight::Verdict::Ok, text }));
    let missing = reach::missing_secrets(graph.plan(), setup)?;
    findings.extend(missing.into_iter().map(|text| preflight::Finding { verdict: preflight::Verdict::Fail, text }));
    findings.push(preflight::journal(store.dir()));
    if lab.is_none() {
        findings.extend(preflight::power(graph, power::battery(Path::new(power::SUPPLIES))));
        findings.extend(notify::findings(graph.plan(), setup));
    }
    findings.iter().for_each(|finding| talk.finding(finding));
    let failed = findings.iter().filter(|f| f.verdict == preflight::Verdict::Fail).count();
    if failed == 0 {
        return Ok(scout);
    }
    let error = CommandError::refused("the preflight failed; nothing was changed")
        .hint("each FAIL line above says what to mend");
    let unlock = format!("is the other run certainly over?   runbook unlock {}", setup.plan_file.display());
    Err(if held { error.hint(unlock) } else { error })
}

/// What the tests with `baseline` say now: they only read, and whoever is about to arm the night decides by it.
fn ask_tests(
    talk: &Talk<'_>,
    tests: Graph,
    setup: &Setup,
    lab: Option<&Lab>,
    started: &RunStarted,
) -> Result<BTreeMap<ActionId, Verdict>, CommandError> {
    talk.line(&format!("        asking {} before the night", count(tests.actions().len(), "test")));
    let before = RunStarted { run: format!("{}-before", started.plan), ..started.clone() };
    let said = baseline::ask(tests, setup, lab, before)?;
    said.in_words(started.options.no_input).iter().for_each(|finding| talk.finding(finding));
    Ok(said.verdicts())
}

/// The typed name of the plan. The lab and a rehearsal ask nothing: nothing real is at stake.
fn arm(
    talk: &Talk<'_>,
    args: &Args,
    graph: &Graph,
    left_out: &LeftOut,
    opens: Option<Timestamp>,
    pace: Option<Pace>,
) -> Result<(), CommandError> {
    let now = pace.map_or_else(clock::now, |pace| pace.at(clock::now()));
    let steps = graph.step_count() - left_out.steps.len();
    let hosts = graph.plan().hosts.len() - left_out.hosts.len();
    let opening = match opens.map(|at| at.duration_since(now)) {
        Some(left) if left.is_positive() => {
            let at = window::clock_time(graph.plan(), now + left);
            format!(" Window opens in {} ({at}).", window::rough(left))
        }
        _ => String::new(),
    };
    let place = if hosts == 0 { "this machine".to_owned() } else { count(hosts, "host") };
    talk.line(&format!("Up to {} on {place}.{opening} Rollback is automatic.", count(steps, "step")));
    horizons(graph, &left_out.steps).iter().for_each(|line| talk.line(line));
    if !args.lab.stage().is_real() {
        return Ok(());
    }
    let name = &graph.plan().stem;
    let question = format!("Type the plan's name to arm it, anything else leaves: {name}\n> ");
    confirm::name(talk.cx, name, args.confirm.as_deref(), &question)
}

/// Where the automatic rollback ends before the run does.
fn horizons(graph: &Graph, left_out: &[String]) -> Vec<String> {
    let meant = |step: &StepIx| !left_out.contains(&graph.step(*step).id);
    let ahead = graph.horizons().into_iter().filter(meant);
    ahead.map(|step| format!("Not any more once {}.", report::horizon(graph, step))).collect()
}

/// Whether a person sits at this terminal.
fn somebody_answers(args: &Args, cx: &Context) -> bool {
    !cx.global.no_input && std::io::stdin().is_terminal() && !args.detach
}

fn options(
    args: &Args,
    cx: &Context,
    left_out: &LeftOut,
    wave: Option<OpenWave>,
    rehearsal: Option<Pace>,
) -> RunOptions {
    let person = somebody_answers(args, cx);
    let real = args.lab.stage().is_real();
    RunOptions {
        no_input: !person,
        approve_gates: !real && !person,
        rollback_grace: if person && real { GRACE } else { SignedDuration::ZERO },
        outside_window: args.message.clone(),
        narrowed: left_out.steps.clone(),
        hosts_left_out: left_out.hosts.clone(),
        // Known when the hosts are locked.
        away: Vec::new(),
        wave,
        lab: args.lab.lab,
        rehearsal,
    }
}

fn started(
    args: &Args,
    cx: &Context,
    graph: &Graph,
    digest: String,
    window: Option<crate::engine::fact::WindowInstants>,
    options: RunOptions,
) -> RunStarted {
    let plan = graph.plan();
    let real = options.stage().is_real();
    let mark = options.rehearsal.map_or_else(String::new, |pace| format!(" (rehearsal, {} times as fast)", pace.speed));
    RunStarted {
        format: FORMAT,
        run: String::new(),
        plan: plan.stem.clone(),
        title: format!("{}{mark}", plan.name),
        file: args.plan.display().to_string(),
        digest,
        by: Actor { name: cx.user.clone(), channel: Channel::Cli },
        controller: holder::this_machine(),
        timezone: plan.timezone.clone(),
        window,
        options,
        seed: seed(),
        actions: graph.actions().len() as u32,
        steps: graph.step_count() as u32,
        order: order::of(graph),
        past: if real { history::past_of(cx, graph) } else { Past::default() },
        baseline: Default::default(),
    }
}

/// Freezes the plan under a new name. The check for a second run is made again, in the same transaction.
fn freeze(store: &mut Store, mut night: Night) -> Result<RunRow, CommandError> {
    let (started, stage) = (&night.started, night.started.options.stage());
    let new = NewRun {
        plan: started.plan.clone(),
        title: night.plan.name.clone(),
        digest: started.digest.clone(),
        stage,
        created: clock::now(),
    };
    let frozen = |run: &str| {
        night.started.run = run.to_owned();
        night.freeze().expect("plans are made of texts, numbers and lists")
    };
    store.create(&new, |open| in_the_way(open, stage), frozen).map_err(|e| match e {
        JournalError::Unfinished(open) => second(&open),
        other => other.into(),
    })
}

/// Starts the engine and attaches this terminal to it.
fn engage(
    args: &Args,
    cx: &Context,
    mut store: Store,
    run: &RunRow,
    lab: Option<Lab>,
    scout: Option<Scout>,
) -> Result<Exit, CommandError> {
    let run_dir = store.run_dir(&run.id);
    let engine = match launch::start(cx, &run.id, &run_dir, launch::Start { scout, ..launch::Start::default() }) {
        Ok(engine) => engine,
        Err(e) => {
            // Without facts nothing was sent anywhere; a run that has some stays, for whoever looks into it.
            store.discard(&run.id)?;
            return Err(e);
        }
    };
    if let Some(lab) = lab {
        // An engine that is done already has stopped it.
        let _ = lab.hand_over(engine.id());
    }
    if args.detach {
        return left(cx, run);
    }
    Watch::new(cx, store, run.clone(), &args.show, Some(engine))?.follow(watch::answers(cx, &args.show))
}

fn left(cx: &Context, run: &RunRow) -> Result<Exit, CommandError> {
    let mut out = anstream::stdout();
    if cx.global.json {
        writeln!(out, "{}", serde_json::json!({ "run": run.id, "detached": true }))?;
    } else {
        writeln!(out, "{}", run.id)?;
        writeln!(anstream::stderr(), "armed and running by itself; watch it:   runbook attach {}", run.id)?;
    }
    Ok(Exit::NotFinished)
}

/// What is said before the run, on stderr.
struct Talk<'a> {
    cx: &'a Context,
    plan: &'a Plan,
}

impl Talk<'_> {
    fn line(&self, text: &str) {
        if !self.cx.global.quiet {
            output::say(text);
        }
    }

    fn finding(&self, finding: &preflight::Finding) {
        self.line(&format!("  {:<5} {}", finding.verdict.word(), finding.text));
    }

    fn head(&self, digest: &str, approved: Option<&str>) {
        let approved = approved.map_or_else(String::new, |who| format!(", {who}"));
        self.line(&format!("{}   digest {}{approved}", self.plan.name, short_digest(digest)));
    }

    fn lab(&self, lab: &Lab) {
        let hosts = count(lab.hosts.len(), "host");
        self.line(&format!("  lab   {hosts} of this machine in {}", lab.dir.display()));
        if let Some(note) = &lab.note {
            self.line(&format!("  warn  {note}"));
        }
    }

    fn rehearsal(&self, pace: Pace) {
        let at = window::clock_time(self.plan, pace.showed);
        self.line(&format!(
            "  rehearsal   no host is touched; it is {at}, and the clock runs {} times as fast",
            pace.speed
        ));
    }

    /// What is at stake on the night alone.
    fn secrets(&self, sources: &[String]) {
        if !sources.is_empty() {
            self.line(&format!("  note  no secret is read; the night needs {}", sources.join(", ")));
        }
    }

    fn played(&self, stage: Stage, failing: &[String], answers: bool) {
        for failing in failing {
            self.line(&format!(
                "  note  {failing} fails on purpose (--fail); the digest is that of the plan as written"
            ));
        }
        if !answers {
            let when = if stage == Stage::Rehearsal { " when their estimates are over" } else { "" };
            self.line(&format!("  note  nobody can be asked here, so gates approve themselves{when}"));
        }
    }
}

/// Different for every run; only spreads retries, so it need not be unpredictable.
fn seed() -> u64 {
    let nanos = clock::now().as_nanosecond() as u64;
    nanos ^ u64::from(std::process::id()).rotate_left(32)
}
