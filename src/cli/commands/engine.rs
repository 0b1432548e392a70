//! `runbook engine`: the process that drives one run. Started by `exec`, in a session of its own; people never type it.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::reach;
use crate::cli::setup::Night;
use crate::driver::clock::{Clock as _, SystemClock};
use crate::driver::control::{self, Hello};
use crate::driver::signals::Signals;
use crate::driver::{RunLoop, Stopped};
use crate::engine::Engine;
use crate::engine::fact::Actor;
use crate::engine::input::{Input, Operator};
use crate::graph::Graph;
use crate::journal::{Claim, SqliteJournal, Store};
use crate::lab::Lab;

/// People who may wait for an answer at the same time; more wait in line.
const ASKED: usize = 16;

#[derive(Debug, clap::Args)]
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
}

pub fn run(args: &Args, cx: &Context) -> Result<Exit, CommandError> {
    // Away from the terminal, its job control and its hang-up. Fails only for a leader, which is away already.
    let _ = rustix::process::setsid();
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let store = Store::open(&cx.store)?;
    let night = Night::thaw(&store, &args.run)?;
    let lab = adopt_lab(&night)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let stopped = runtime.block_on(serve(args, store, night, lab.as_ref()));
    let _ = std::fs::remove_file(&args.socket);
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    if let Some(lab) = lab {
        lab.stop()?;
    }
    ended(stopped?)
}

/// The lab lives as long as its engine.
fn adopt_lab(night: &Night) -> Result<Option<Lab>, CommandError> {
    let Some(dir) = &night.setup.lab else { return Ok(None) };
    let mut lab = Lab::open(dir)?;
    lab.adopt()?;
    Ok(Some(lab))
}

async fn serve(args: &Args, store: Store, night: Night, lab: Option<&Lab>) -> Result<Stopped, CommandError> {
    let signals = Signals::listen()?;
    let listener = control::bind(&args.socket)?;
    let clock = Arc::new(SystemClock::start());
    let run_dir = store.run_dir(&args.run);
    let journal = store.take(&args.run, &claim(args, &night), clock.now())?;
    let (run, epoch) = (args.run.clone(), journal.epoch());
    let transport = reach::transport(&night.plan, &night.setup, &run, epoch, &run_dir, lab)?;
    let asked = args.ask.as_deref().map(serde_json::from_str).transpose();
    let asked = asked.map_err(|e| CommandError::usage(format!("--ask: {e}")))?;
    let (engine, first) = begin(night, &journal, asked)?;
    let found = journal.found().to_vec();
    let run_loop = RunLoop::new(Box::new(engine), Box::new(journal), transport, clock, &found);
    let (ask, asked) = mpsc::channel(ASKED);
    let serving = tokio::spawn(control::serve(listener, Hello { run, pid: std::process::id(), epoch }, ask));
    let stopped = run_loop.drive(first, asked, signals.stop()).await;
    serving.abort();
    Ok(stopped)
}

fn claim(args: &Args, night: &Night) -> Claim {
    Claim {
        owner: night.started.by.name.clone(),
        host: night.started.controller.clone(),
        pid: std::process::id(),
        socket: Some(args.socket.display().to_string()),
    }
}

/// The engine at the end of the facts that there are, and what it is told first.
fn begin(night: Night, journal: &SqliteJournal, asked: Option<Operator>) -> Result<(Engine, Input), CommandError> {
    let graph = Arc::new(Graph::build(Arc::new(night.plan)));
    if journal.found().is_empty() {
        return Ok((Engine::new(graph), Input::Start(Box::new(night.started))));
    }
    let engine = Engine::replay(graph, journal.found())
        .map_err(|e| CommandError::unexpected(format!("the journal cannot be replayed: {e}")))?;
    if let Some(operator) = asked {
        return Ok((engine, Input::Operator(operator)));
    }
    let by = Actor { name: night.started.by.name, channel: night.started.by.channel };
    Ok((engine, Input::Resumed { by, epoch: journal.epoch() }))
}

fn ended(stopped: Stopped) -> Result<Exit, CommandError> {
    match stopped {
        Stopped::Ended => Ok(Exit::Done),
        Stopped::Detached => Ok(Exit::NotFinished),
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
