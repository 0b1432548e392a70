//! `runbook engine`: the process that drives one run. Started by `exec` and `resume`, in a session of its own; people never type it.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};

use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::notify::Notices;
use crate::cli::scene::Scene;
use crate::cli::scout::Engage;
use crate::cli::setup::Night;
use crate::cli::{calls, holder, housekeeping, lock_words, preflight, reach};
use crate::driver::clock;
use crate::driver::control::{self, Hello};
use crate::driver::signals::Signals;
use crate::driver::{Asked, RunLoop, Stopped, hang_up};
use crate::engine::Engine;
use crate::engine::fact::{Actor, Channel, Fact, FactRecord, RunStarted, Stage};
use crate::engine::input::{Ask, Input, Operator};
use crate::graph::Graph;
use crate::graph::job::Site;
use crate::journal::{Claim, JournalError, SqliteJournal, Store};
use crate::lab::Lab;
use crate::plan::model::HostName;
use crate::transport::Hosts;

/// People who may wait for an answer at the same time; more wait in line.
const ASKED: usize = 16;

#[derive(Debug, Default, clap::Args)]
pub struct Args {
    /// The run's full name
    #[arg(long)]
    run: String,
    /// Path of the control socket
    #[arg(long)]
    socket: PathBuf,
    /// What a person asks of a finished run, as JSON: it is opened again for it
    #[arg(long, value_name = "JSON")]
    ask: Option<String>,
    /// Take the run over from an engine that is gone
    #[arg(long)]
    resume: bool,
    /// Who takes it over
    #[arg(long, value_name = "NAME", requires = "resume")]
    by: Option<String>,
    /// The epoch of the engine that is replaced although its lease lives
    #[arg(long, value_name = "N")]
    over: Option<u64>,
    /// Why it is replaced; it goes into the report
    #[arg(long, value_name = "REASON", requires = "resume")]
    reason: Option<String>,
}

impl Args {
    /// To drive a run that was just begun.
    #[must_use]
    pub fn of(run: Engage) -> Self {
        Self { run: run.run, socket: run.socket, ..Self::default() }
    }

    fn asked(&self) -> Result<Option<Operator>, CommandError> {
        let asked = self.ask.as_deref().map(serde_json::from_str).transpose();
        asked.map_err(|e| CommandError::usage(format!("--ask: {e}")))
    }
}

pub fn run(args: &Args, cx: &Context) -> Result<Exit, CommandError> {
    leave();
    drive(args, cx, runtime()?, None)
}

/// Away from the terminal, its job control and its hang-up.
pub fn leave() {
    // Fails only for a leader, which is away already.
    let _ = rustix::process::setsid();
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
}

/// The runtime that an engine works in.
///
/// # Errors
/// When this machine has no thread left.
pub fn runtime() -> Result<Runtime, CommandError> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

/// Drives the run to its end, over the connections that there are already.
///
/// # Errors
/// When it cannot be begun, or nothing can be recorded any more.
pub fn drive(args: &Args, cx: &Context, runtime: Runtime, connected: Option<&Hosts>) -> Result<Exit, CommandError> {
    let store = Store::open(&cx.store)?;
    let night = Night::thaw(&store, &args.run)?;
    let lab = night.setup.lab.as_deref().map(Lab::open).transpose()?;
    let served = runtime.block_on(serve(args, store, night, lab.as_ref(), connected));
    let lab_stopped = match (lab, &served) {
        // It lives as long as its run: whoever resumes the run needs it.
        (Some(lab), Ok((Stopped::Ended, _))) => lab.stop(),
        _ => Ok(()),
    };
    // Who watches the run waits for its engine as long as there is a socket.
    let _ = std::fs::remove_file(&args.socket);
    let (stopped, notices) = served?;
    if let Some(notices) = notices {
        runtime.block_on(notices.drain());
    }
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    lab_stopped?;
    ended(stopped)
}

/// Drives the run; what is left is to tell people of its end.
async fn serve(
    args: &Args,
    store: Store,
    night: Night,
    lab: Option<&Lab>,
    connected: Option<&Hosts>,
) -> Result<(Stopped, Option<Notices>), CommandError> {
    let signals = Signals::listen()?;
    let listener = control::bind(&args.socket)?;
    let (store_dir, run_dir) = (store.dir().to_owned(), store.run_dir(&args.run));
    let asked = args.asked()?;
    let by = asked.as_ref().map(|operator| operator.by.name.clone()).or_else(|| args.by.clone());
    let by = Actor { name: by.unwrap_or_else(|| night.started.by.name.clone()), channel: Channel::Cli };
    let journal = store.take(&args.run, &claim(args, &by), clock::now())?;
    if let Some(lab) = lab {
        // As long as we live, nobody takes it for forgotten.
        Lab::open(&lab.dir)?.hand_over(std::process::id())?;
    }
    let (run, epoch) = (args.run.clone(), journal.epoch());
    let graph = Arc::new(Graph::build(Arc::new(night.plan.clone())));
    let scene = Scene::set(&night, &graph, &journal, &run_dir, lab, connected)?;
    let clock = scene.clock.clone();
    let (engine, mut first) = begin(graph.clone(), night.started.clone(), &journal, asked, &by)?;
    let found = journal.found().to_vec();
    let locks = Locks::of(&scene, &graph, &night, &by);
    if let Some(locks) = &locks {
        locks.take(&graph, &mut first, &found).await?;
    }
    let journal = scene.journal(journal);
    let mut run_loop = RunLoop::new(Box::new(engine), journal, scene.transport.clone(), clock.clone(), &found);
    let (ask, asked) = mpsc::channel(ASKED);
    let notices = Notices::start(&night, graph.clone(), &found, &ask);
    if let Some(notices) = &notices {
        run_loop.publish = notices.publish();
    }
    note_reason(args, &by, &ask);
    let calling = match calls::any(&graph) {
        true => Store::open_existing(&store_dir)?
            .map(|store| tokio::spawn(calls::look(store, args.run.clone(), graph, clock.clone(), ask.clone()))),
        false => None,
    };
    let serving = tokio::spawn(control::serve(listener, Hello { run, pid: std::process::id(), epoch }, ask));
    let stopped = run_loop.drive(first, asked, signals.stop()).await;
    serving.abort();
    if let Some(calling) = calling {
        calling.abort();
    }
    if let (Stopped::Ended, Some(locks)) = (&stopped, &locks) {
        reach::unlock(&locks.hosts, &locks.sites, &locks.plan).await;
        if lab.is_none() {
            // Nobody waits for it, and whatever it cannot remove stays for another time.
            let _ = housekeeping::tidy(&store_dir, &locks.hosts, &locks.plan, clock.now()).await;
        }
    }
    hang_up(&*scene.transport).await;
    Ok((stopped, notices))
}

/// The locks of a run on its hosts.
struct Locks {
    hosts: Arc<Hosts>,
    sites: Vec<Site>,
    /// The plan's name, which is the lock's.
    plan: String,
    /// Who has them, in words.
    holder: String,
}

impl Locks {
    /// `None` in a rehearsal, which has no hosts.
    fn of(scene: &Scene, graph: &Graph, night: &Night, by: &Actor) -> Option<Self> {
        let hosts = scene.hosts.clone()?;
        let sites = match scene.stage {
            // Its hosts are nobody else's.
            Stage::Lab | Stage::Rehearsal => Vec::new(),
            Stage::Real => preflight::hosts(graph, &night.started.options.hosts_left_out),
        };
        let holder = lock_words::words(&night.started, by);
        Some(Self { hosts, sites, plan: night.plan.stem.clone(), holder })
    }

    /// A run that begins takes all of them, and its first fact says which hosts were away; one that goes on has them. Those
    /// of hosts that are away are taken when they are first needed.
    async fn take(&self, graph: &Graph, first: &mut Input, found: &[FactRecord]) -> Result<(), CommandError> {
        let away = match first {
            Input::Start(started) => {
                started.options.away = reach::lock(&self.hosts, graph, &self.sites, &self.holder).await?;
                started.options.away.clone()
            }
            _ => never_reached(found),
        };
        self.hosts.lock_later(away, &self.plan, &self.holder);
        Ok(())
    }
}

/// Hosts that were away when the others were locked, and not there since: what was launched on a host has its lock.
fn never_reached(found: &[FactRecord]) -> Vec<HostName> {
    let mut away = Vec::new();
    for record in found {
        match &record.fact {
            Fact::RunStarted(started) => away.clone_from(&started.options.away),
            Fact::AttemptLaunched { attempt } => away.retain(|host| attempt.action.host() != Some(host.as_str())),
            _ => {}
        }
    }
    away
}

/// The reason for replacing an engine that may live stands in the timeline.
fn note_reason(args: &Args, by: &Actor, ask: &mpsc::Sender<Asked>) {
    let Some(reason) = &args.reason else { return };
    let operator = Operator { by: by.clone(), ask: Ask::Note { text: format!("taken over: {reason}") } };
    // Nobody waits for the answer, and the channel is new and empty.
    let _ = ask.try_send(Asked { operator, reply: oneshot::channel().0 });
}

fn claim(args: &Args, by: &Actor) -> Claim {
    Claim {
        owner: by.name.clone(),
        host: holder::this_machine(),
        pid: std::process::id(),
        socket: Some(args.socket.display().to_string()),
        over: args.over,
    }
}

/// The engine at the end of the facts that there are, and what it is told first.
fn begin(
    graph: Arc<Graph>,
    started: RunStarted,
    journal: &SqliteJournal,
    asked: Option<Operator>,
    by: &Actor,
) -> Result<(Engine, Input), CommandError> {
    if journal.found().is_empty() {
        return Ok((Engine::new(graph), Input::Start(Box::new(started))));
    }
    let engine = Engine::replay(graph, journal.found())
        .map_err(|e| CommandError::unexpected(format!("the journal cannot be replayed: {e}")))?;
    if let Some(operator) = asked {
        return Ok((engine, Input::Operator(operator)));
    }
    Ok((engine, Input::Resumed { by: by.clone(), epoch: journal.epoch() }))
}

fn ended(stopped: Stopped) -> Result<Exit, CommandError> {
    match stopped {
        Stopped::Ended => Ok(Exit::Done),
        Stopped::Detached => Ok(Exit::NotFinished),
        Stopped::JournalFailed { error: JournalError::Fenced { .. }, .. } => {
            Err(CommandError::refused("somebody else has taken the run over; this engine touches nothing any more"))
        }
        Stopped::JournalFailed { error, open } => {
            let mut e =
                CommandError::unexpected(format!("nothing can be recorded any more, so nothing new starts: {error}"));
            if !open.is_empty() {
                e = e.hint("these attempts were started and go on by themselves; they may be half done:");
            }
            Err(open.iter().fold(e, |e, attempt| e.hint(format!("   {attempt}"))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::fact::RunOptions;
    use crate::graph::ids::{ActionId, AttemptId, Direction};
    use crate::graph::sample;
    use jiff::Timestamp;

    #[test]
    fn a_host_that_came_back_is_locked_already() {
        let graph = sample::graph(sample::plan(vec![sample::run("update", &[], &["w1", "w2", "w3"], "u")]));
        let options = RunOptions { away: vec!["w1".into(), "w2".into()], ..RunOptions::default() };
        let launched =
            |host| AttemptId { action: ActionId::new("update", Some(host)), direction: Direction::Do, number: 1 };
        let facts = [
            Fact::RunStarted(Box::new(crate::sim::started(&graph, None, options))),
            Fact::AttemptArmed { attempt: launched("w1") },
            Fact::AttemptLaunched { attempt: launched("w2") },
            Fact::AttemptLaunched { attempt: launched("w3") },
        ];
        let record = |(seq, fact)| FactRecord { seq, at: Timestamp::UNIX_EPOCH, fact };
        let found: Vec<FactRecord> = (1..).zip(facts).map(record).collect();
        assert_eq!(never_reached(&found), ["w1"]);
    }
}
