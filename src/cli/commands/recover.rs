//! `runbook recover`: rebuilds a run whose journal is gone from what its hosts remember and the plan. Changes nothing on any
//! host; whoever resumes the rebuilt run becomes its owner.

mod earlier;
mod told;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use self::told::Told;
use crate::cli::args::By;
use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::found::{self, Found, State};
use crate::cli::holder::this_machine;
use crate::cli::lock_words::LockWords;
use crate::cli::narrow::{LeftOut, Narrow};
use crate::cli::setup::{Night, Setup};
use crate::cli::variables::VarArgs;
use crate::cli::waves::OneWave;
use crate::cli::{confirm, history, load, order, output, pager, preflight, reach, store, window};
use crate::driver::clock;
use crate::engine::fact::{Actor, Channel, FORMAT, RunOptions, RunStarted, Stage};
use crate::graph::Graph;
use crate::graph::ids::ActionId;
use crate::graph::job::Site;
use crate::graph::outcome::Verdict;
use crate::journal::audit::{Audited, Deed};
use crate::journal::{Claim, NewRun, Store};
use crate::report::{escape_for_terminal as esc, short_digest};
use crate::sim::{Ledger, Rebuilt, Remembered, rebuild};
use crate::transport::{HostLock, Memory};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runbook recover plans/2007-12-02.yaml                      the run that holds the plan's hosts
  runbook recover plans/2007-12-02.yaml --run 2007-12-02-a   when several could be meant

The plan's file, --var and --only, --from, --hosts must be what the run was started with. Every host must answer: what
one alone remembers cannot be guessed. Where the journal still exists, use it:   runbook resume --store DIR")]
pub struct Args {
    /// The plan's file
    plan: PathBuf,
    /// The run, by the name that its hosts know
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    /// The plan's name, instead of typing it
    #[arg(long, value_name = "NAME")]
    confirm: Option<String>,
    #[command(flatten)]
    vars: VarArgs,
    #[command(flatten)]
    one: OneWave,
    #[command(flatten)]
    by: By,
    #[command(flatten)]
    narrow: Narrow,
}

impl Args {
    pub(in crate::cli) fn plan(&self) -> &Path {
        &self.plan
    }
}

pub fn run(args: &Args, cx: &Context) -> Result<Exit, CommandError> {
    let vars = args.vars.values()?;
    let mut loaded = load::load_or_report(&args.plan, &vars, cx)?;
    preflight::executable(&loaded.plan)?;
    let journals = Store::open_existing(&cx.store)?;
    let (wave, mut concluded) = args.one.of_lost_run(&mut loaded, journals.as_ref())?;
    let setup = Setup::new(&args.plan, vars, args.by, &cx.settings)?;
    let graph = Arc::new(Graph::build(Arc::new(loaded.plan)));
    let left_out = args.narrow.resolve(&graph)?;
    let hosts = Hosts { graph: &graph, setup: &setup, sites: sites(&graph, &left_out) };
    let name = hosts.run_meant(args, &loaded.digest)?;
    let mut store = store::open(cx)?;
    not_here(&store, &name)?;
    say(cx, &format!("asking {} of run {} ...", hosts.what_they_remember(), name.run));
    let memories = hosts.remember(Some(&name.on_hosts))?;
    let now = clock::now();
    let first = memories.iter().flat_map(|(_, m)| &m.attempts).filter_map(|a| a.started).min().unwrap_or(now);
    let mut started = started(args, cx, &graph, &name, loaded.digest, left_out);
    concluded.extend(before_the_night(&graph, &name, &mut started));
    started.options.wave = wave;
    started.window = window::resolve(graph.plan(), first, window::Wish { outside: Some(""), wait: true })?;
    let night = Night { plan: graph.plan().as_ref().clone(), started, setup: setup.clone() };
    let ledger = ledger(&night, &memories, &graph)?;
    if ledger.is_empty() {
        return Err(CommandError::refused(format!("no host remembers that anything of run {} was started", name.run))
            .hint(format!("start the plan again:   runbook exec {}", args.plan.display())));
    }
    if let Some(wave) = &night.started.options.wave {
        concluded.extend(earlier::perhaps_done(&hosts, &name, wave, &ledger)?);
    }
    let by = Actor { name: cx.user.clone(), channel: Channel::Cli };
    let lost = !controller_is_here(&setup, &name.on_hosts);
    let mut rebuilt = rebuild(&graph, night.started.clone(), ledger, &by, lost, now);
    rebuilt.concluded.extend(concluded);
    fits(&rebuilt, &name)?;
    let told = Told::of(&graph, &rebuilt);
    if !cx.global.json {
        pager::put_lines(&told.lines)?;
    }
    let question = "Whoever drove this run must be gone for ever; if not, it is locked out when the run is resumed.\nType the \
                    plan's name to write it down here, anything else leaves: ";
    confirm::name(cx, &night.started.plan, args.confirm.as_deref(), question)?;
    let epoch = memories.iter().map(|(_, memory)| memory.epoch).max().unwrap_or(1).max(1);
    keep(&mut store, &night, &rebuilt, epoch, cx)?;
    if cx.global.json {
        let (v, run) = (1, &name.run);
        output::json(&json!({ "v": v, "run": run, "concluded": rebuilt.concluded, "facts": rebuilt.facts }))?;
    } else {
        pager::put_lines(&[told.next_command(&name.run)])?;
    }
    Ok(Exit::Done)
}

/// A run by both of its names.
struct Name {
    run: String,
    on_hosts: String,
    seed: u64,
    /// What its lock says, where it still holds hosts.
    holder: Option<String>,
}

impl Name {
    fn read(on_hosts: &str) -> Option<Self> {
        let (run, seed) = on_hosts.rsplit_once('.')?;
        let seed = u64::from_str_radix(seed, 16).ok()?;
        Some(Self { run: run.to_owned(), on_hosts: on_hosts.to_owned(), seed, holder: None })
    }
}

/// The hosts of a plan, and whether they answer.
struct Hosts<'a> {
    graph: &'a Arc<Graph>,
    setup: &'a Setup,
    sites: Vec<Site>,
}

fn sites(graph: &Graph, left_out: &LeftOut) -> Vec<Site> {
    preflight::hosts(graph, &left_out.hosts).into_iter().chain([Site::Controller]).collect()
}

impl Hosts<'_> {
    fn what_they_remember(&self) -> String {
        match self.sites.len() - 1 {
            0 => "this machine what it remembers".to_owned(),
            1 => "1 host what it remembers".to_owned(),
            n => format!("{n} hosts what they remember"),
        }
    }

    /// What each site remembers; refused when one cannot be asked.
    fn remember(&self, run: Option<&str>) -> Result<Vec<(Site, Memory)>, CommandError> {
        let (sites, named) = (self.sites.clone(), run.map(str::to_owned));
        let answers = reach::errand(self.graph.plan(), self.setup, None, "recover", |hosts| async move {
            hosts.remember(sites, named.as_deref()).await
        })?;
        all_answered(answers)
    }

    /// The run that holds the plan's hosts, or that was named.
    fn run_meant(&self, args: &Args, digest: &str) -> Result<Name, CommandError> {
        let locks = self.locks()?;
        let mut name = match &args.run {
            Some(named) => self.named(named, &locks, digest)?,
            None => self.holding(&locks, digest)?,
        };
        name.holder = locks.into_iter().find(|lock| lock.run == name.on_hosts).map(|lock| lock.holder);
        Ok(name)
    }

    fn holding(&self, locks: &[HostLock], digest: &str) -> Result<Name, CommandError> {
        let mut names: Vec<&str> = locks.iter().map(|lock| lock.run.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        match names.as_slice() {
            [one] => {
                same_plan(locks, one, digest)?;
                Name::read(one).ok_or_else(|| CommandError::unexpected(format!("`{}` is no run's name", esc(one))))
            }
            [] => self.listed(CommandError::refused("no run holds the hosts of this plan; name the one that is meant")),
            several => {
                let error = CommandError::refused("several runs hold hosts of this plan; name the one that is meant");
                Err(several.iter().fold(error, |e, name| e.hint(format!("   --run {}", esc(name)))))
            }
        }
    }

    fn locks(&self) -> Result<Vec<HostLock>, CommandError> {
        let (sites, stem) = (self.sites.clone(), self.graph.plan().stem.clone());
        let answers = reach::errand(self.graph.plan(), self.setup, None, "recover", |hosts| async move {
            hosts.find_lock(sites, &stem).await
        })?;
        Ok(all_answered(answers)?.into_iter().filter_map(|(_, lock)| lock).collect())
    }

    fn named(&self, named: &str, locks: &[HostLock], digest: &str) -> Result<Name, CommandError> {
        let known = self.runs()?;
        let is = |run: &&String| *run == named || run.rsplit_once('.').is_some_and(|(short, _)| short == named);
        let matching: Vec<&String> = known.iter().filter(is).collect();
        match matching.as_slice() {
            [one] => {
                same_plan(locks, one, digest)?;
                Name::read(one).ok_or_else(|| CommandError::usage(format!("`{}` is no run's name", esc(one))))
            }
            [] => self.listed(CommandError::refused(format!("no host remembers a run `{}`", named.escape_debug()))),
            several => {
                let error = CommandError::usage(format!("several runs are called {named}; say which"));
                Err(several.iter().fold(error, |e, name| e.hint(format!("   --run {}", esc(name)))))
            }
        }
    }

    /// Runs of this plan that some site remembers, the newest name first.
    fn runs(&self) -> Result<Vec<String>, CommandError> {
        let prefix = format!("{}-", self.graph.plan().stem);
        let mut runs: Vec<String> = self.remember(None)?.into_iter().flat_map(|(_, memory)| memory.runs).collect();
        runs.retain(|run| run.starts_with(&prefix));
        runs.sort_by(|a, b| b.cmp(a));
        runs.dedup();
        Ok(runs)
    }

    fn listed<T>(&self, error: CommandError) -> Result<T, CommandError> {
        let runs = self.runs()?;
        if runs.is_empty() {
            return Err(error.hint("no host remembers any run of this plan"));
        }
        Err(runs.iter().take(5).fold(error, |e, run| e.hint(format!("   --run {}", esc(run)))))
    }
}

fn all_answered<T>(answers: Vec<(Site, Result<T, String>)>) -> Result<Vec<(Site, T)>, CommandError> {
    let silent: Vec<String> = answers
        .iter()
        .filter_map(|(site, answer)| Some(format!("   {}: {}", reach::site_name(site), esc(answer.as_ref().err()?))))
        .collect();
    if silent.is_empty() {
        return Ok(answers.into_iter().filter_map(|(site, answer)| Some((site, answer.ok()?))).collect());
    }
    let error = CommandError::refused("not every host can be asked, and what it alone remembers cannot be guessed");
    Err(silent.into_iter().fold(error, CommandError::hint))
}

/// The lock names the digest of the plan that the run was started with.
fn same_plan(locks: &[HostLock], run: &str, digest: &str) -> Result<(), CommandError> {
    let theirs = locks.iter().find(|lock| lock.run == run).and_then(|lock| LockWords::read(&lock.holder).plan);
    let ours = short_digest(digest);
    match theirs {
        Some(theirs) if theirs != ours => {
            let (theirs, run) = (esc(theirs), run.rsplit_once('.').map_or(run, |(run, _)| run));
            Err(CommandError::refused(format!("run {run} was started with plan {theirs}; this file is {ours}"))
                .hint("it must be the file as it was then, with the same --var"))
        }
        _ => Ok(()),
    }
}

/// A run that has a journal needs no recovery.
fn not_here(store: &Store, name: &Name) -> Result<(), CommandError> {
    for run in store.runs()? {
        if run.id != name.run {
            continue;
        }
        let error = CommandError::refused(format!("run {} is in this store", run.id));
        return Err(match Night::thaw(store, &run.id)?.started.name_on_hosts() == name.on_hosts {
            true if run.closed.is_none() => error.hint(format!("go on with it:   runbook resume {}", run.id)),
            true => error.hint(format!("look at it:   runbook status {}", run.id)),
            false => error.hint("it is another one of the same name; recover into a store of its own:   --store DIR"),
        });
    }
    Ok(())
}

fn started(args: &Args, cx: &Context, graph: &Graph, name: &Name, digest: String, left_out: LeftOut) -> RunStarted {
    let plan = graph.plan();
    RunStarted {
        format: FORMAT,
        run: name.run.clone(),
        plan: plan.stem.clone(),
        title: plan.name.clone(),
        file: args.plan.display().to_string(),
        digest,
        by: Actor { name: cx.user.clone(), channel: Channel::Cli },
        controller: this_machine(),
        timezone: plan.timezone.clone(),
        window: None,
        options: RunOptions { narrowed: left_out.steps, hosts_left_out: left_out.hosts, ..RunOptions::default() },
        seed: name.seed,
        actions: graph.actions().len() as u32,
        steps: graph.step_count() as u32,
        order: order::of(graph),
        past: history::past_of(cx, graph),
        baseline: Default::default(),
    }
}

/// What the tests said that are asked before the night: only the lock of the run can remember it. Gives what is not known.
fn before_the_night(graph: &Graph, name: &Name, started: &mut RunStarted) -> Option<String> {
    let asked = graph.plan().steps.values().any(|step| step.baseline);
    let red = name.holder.as_deref().and_then(|holder| LockWords::read(holder).red_before());
    let (known, all) = red.unwrap_or_default();
    let ids = graph.actions().iter().map(|action| &action.id).filter(|id| known.contains(&id.as_str()));
    started.baseline = ids.map(|id| (id.clone(), Verdict::Fail)).collect();
    let which = if known.is_empty() { "the tests" } else { "all other tests" };
    let unknown = || {
        format!("what {which} said before the night is not known: one that was red then rolls back when it fails again")
    };
    (asked && !all).then(unknown)
}

fn controller_is_here(setup: &Setup, run: &str) -> bool {
    setup.records.as_ref().is_some_and(|records| records.join("runs").join(run).exists())
}

/// What became of each attempt that a host remembers, asked of it.
fn ledger(night: &Night, memories: &[(Site, Memory)], graph: &Arc<Graph>) -> Result<Ledger, CommandError> {
    let epoch = memories.iter().map(|(_, memory)| memory.epoch).max().unwrap_or(0);
    let open = |site: &Site, one: &crate::transport::Attempted| Found {
        attempt: one.attempt.clone(),
        site: Some(site.clone()),
        since: one.started.unwrap_or_default(),
        state: State::Unknown("it has not answered".to_owned()),
    };
    let remembered = || memories.iter().flat_map(|(site, memory)| memory.attempts.iter().map(move |one| (site, one)));
    let known =
        |id: &ActionId| graph.find(id).is_some() || graph.after_rollback().iter().any(|action| action.id == *id);
    if let Some((site, one)) = remembered().find(|(_, one)| !known(&one.attempt.action)) {
        let error = CommandError::refused(format!("this plan has no {}", esc(one.attempt.action.as_str())));
        return Err(error.hint(format!("{} remembers it; is this the right file?", reach::site_name(site))));
    }
    let mut found: Vec<Found> = remembered().map(|(site, one)| open(site, one)).collect();
    let scratch = std::env::temp_dir().join(format!("runbook-recover-{}", std::process::id()));
    found::ask(night, epoch, &scratch, None, &mut found)?;
    let mut ledger = Ledger::new();
    for (asked, (_, one)) in found.into_iter().zip(remembered()) {
        let end = match asked.state {
            State::Ended(outcome, evidence) => Some((one.ended, outcome, *evidence)),
            State::Running => None,
            State::Unknown(why) => {
                let site = asked.site.as_ref().map_or("a host", reach::site_name);
                return Err(CommandError::refused(format!(
                    "{site} cannot say what became of {}: {why}",
                    asked.attempt
                )));
            }
        };
        ledger.insert(asked.attempt, Remembered { started: one.started, end });
    }
    Ok(ledger)
}

/// A run that does not explain everything that was started must not be gone on with.
fn fits(rebuilt: &Rebuilt, name: &Name) -> Result<(), CommandError> {
    if rebuilt.unexplained.is_empty() {
        return Ok(());
    }
    let error = CommandError::refused(format!(
        "what hosts remember of run {} does not fit this plan; nothing was kept",
        name.run
    ));
    let error = rebuilt.unexplained.iter().take(20).fold(error, |e, attempt| e.hint(format!("   {attempt}")));
    Err(error.hint("was the run narrowed? say so:   --only, --from, --hosts").hint(
        "otherwise undo by hand what these steps did, in reverse order, and free the hosts:   runbook unlock PLAN",
    ))
}

fn keep(store: &mut Store, night: &Night, rebuilt: &Rebuilt, epoch: u64, cx: &Context) -> Result<(), CommandError> {
    let (started, now) = (&night.started, clock::now());
    let new = NewRun {
        plan: started.plan.clone(),
        title: started.title.clone(),
        digest: started.digest.clone(),
        stage: Stage::Real,
        created: rebuilt.facts.first().map_or(now, |record| record.at),
    };
    let owner = Claim { owner: cx.user.clone(), host: this_machine(), pid: 0, socket: None, over: None };
    let frozen = night.freeze().map_err(|e| CommandError::unexpected(format!("the plan cannot be frozen: {e}")))?;
    store.restore(&started.run, &new, &frozen, &rebuilt.facts, (&owner, epoch), now)?;
    let (run, by) = (started.run.clone(), cx.user.clone());
    let reason = (!rebuilt.concluded.is_empty()).then(|| rebuilt.concluded.join("; "));
    store.audit(&Audited { at: now, deed: Deed::Recovered, run, by, reason })?;
    Ok(())
}

fn say(cx: &Context, text: &str) {
    if !cx.global.quiet {
        output::say(text);
    }
}
