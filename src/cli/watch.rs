//! A terminal attached to a run: follows the journal, tells a reporter, turns typed words into requests. Leaving it never
//! stops the run.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::process::Child;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::context::Context;
use super::dialog::{Dialog, Typed, interrupted};
use super::error::CommandError;
use super::exit::Exit;
use super::setup::Night;
use super::{control, launch};
use crate::driver::clock;
use crate::engine::input::Reply;
use crate::graph::Graph;
use crate::journal::{RunRow, Store};
use crate::report::Reporter;
use crate::view::RunView;

/// How often the journal is asked whether it changed. Asking costs no disk access.
const POLL: Duration = Duration::from_millis(50);
/// How often the view is told that time passes.
const TICK: Duration = Duration::from_millis(250);
/// How often the engine is looked for.
const LIVENESS: Duration = Duration::from_secs(1);
/// A second Ctrl-C within this detaches.
const TWICE: Duration = Duration::from_secs(3);

/// A run as this terminal sees it.
pub struct Watch<'a> {
    cx: &'a Context,
    store: Store,
    run: RunRow,
    view: RunView,
    reporter: Box<dyn Reporter>,
    dialog: Dialog,
    /// The engine, where this process started it.
    engine: Option<Child>,
    version: Option<i64>,
    ticked: Instant,
    looked: Instant,
    missing: u32,
    interrupted: Option<Instant>,
}

/// What ended the watching.
enum Left {
    Ended,
    Detached,
    /// The engine is gone and the run is not over.
    NoEngine,
}

impl std::fmt::Debug for Watch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("run", &self.run.id).finish_non_exhaustive()
    }
}

impl<'a> Watch<'a> {
    /// # Errors
    /// When what was frozen with the run cannot be read.
    pub fn new(
        cx: &'a Context,
        store: Store,
        run: RunRow,
        reporter: Box<dyn Reporter>,
        engine: Option<Child>,
    ) -> Result<Self, CommandError> {
        let graph = Arc::new(Graph::build(Arc::new(Night::thaw(&store, &run.id)?.plan)));
        let now = Instant::now();
        Ok(Self {
            cx,
            store,
            run,
            view: RunView::new(graph),
            reporter,
            dialog: Dialog::default(),
            engine,
            version: None,
            ticked: now,
            looked: now,
            missing: 0,
            interrupted: None,
        })
    }

    /// Shows the run until it ends or this terminal leaves it. `answers`: read words from the terminal.
    ///
    /// # Errors
    /// When the journal cannot be read any more.
    pub fn follow(mut self, answers: bool) -> Result<Exit, CommandError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let left = runtime.block_on(self.watch(answers));
        // The thread that reads the terminal cannot be interrupted; the process ends without it.
        runtime.shutdown_background();
        let left = left?;
        self.reporter.finish(&self.view, clock::now());
        match left {
            Left::Ended => Ok(self.view.end().map_or(Exit::Error, |(_, end)| Exit::from(end))),
            Left::Detached => Ok(Exit::NotFinished),
            Left::NoEngine => self.no_engine(),
        }
    }

    async fn watch(&mut self, answers: bool) -> Result<Left, CommandError> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut lines = if answers { Some(typed_lines()) } else { None };
        loop {
            tokio::select! {
                _ = poll.tick() => {
                    if let Some(left) = self.look()? {
                        return Ok(left);
                    }
                }
                _ = interrupt.recv() => {
                    if self.interrupt() {
                        return Ok(Left::Detached);
                    }
                }
                _ = hangup.recv() => return Ok(Left::Detached),
                _ = terminate.recv() => return Ok(Left::Detached),
                line = next(&mut lines) => match line {
                    Some(line) => if self.typed(&line) { return Ok(Left::Detached) },
                    // Ctrl-D, or the terminal is gone.
                    None => return Ok(Left::Detached),
                },
            }
        }
    }

    /// New facts, the passing of time, and whether anybody still drives the run.
    fn look(&mut self) -> Result<Option<Left>, CommandError> {
        self.read()?;
        if self.view.end().is_some() {
            return Ok(Some(Left::Ended));
        }
        if self.ticked.elapsed() >= TICK {
            self.ticked = Instant::now();
            self.reporter.tick(&self.view, clock::now());
        }
        if self.looked.elapsed() >= LIVENESS {
            self.looked = Instant::now();
            return self.look_for_engine();
        }
        Ok(None)
    }

    fn read(&mut self) -> Result<(), CommandError> {
        let version = Some(self.store.data_version()?);
        if version == self.version {
            return Ok(());
        }
        self.version = version;
        let new = self.store.facts(&self.run.id, self.view.seq())?;
        for record in &new {
            self.view.apply(record);
        }
        if !new.is_empty() {
            self.reporter.facts(&self.view, &new, clock::now());
        }
        Ok(())
    }

    /// An engine that does not answer twice in a row, or whose process is over, is gone.
    fn look_for_engine(&mut self) -> Result<Option<Left>, CommandError> {
        let over = self.engine.as_mut().is_some_and(|child| !matches!(child.try_wait(), Ok(None)));
        self.run = self.store.run(&self.run.id)?;
        let socket = self.run.lease.as_ref().and_then(|lease| lease.socket.as_deref());
        let answers = socket.is_some_and(|s| std::os::unix::net::UnixStream::connect(s).is_ok());
        self.missing = if answers && !over { 0 } else { self.missing + 1 };
        if self.missing < 2 && !over {
            return Ok(None);
        }
        // Its last facts may have come since we read.
        self.version = None;
        self.read()?;
        Ok(Some(if self.view.end().is_some() { Left::Ended } else { Left::NoEngine }))
    }

    /// Ctrl-C: the first says what can be done, the second within three seconds leaves.
    fn interrupt(&mut self) -> bool {
        if self.interrupted.is_some_and(|at| at.elapsed() < TWICE) {
            return true;
        }
        self.interrupted = Some(Instant::now());
        self.dialog.interrupt();
        self.say(&interrupted(&self.view));
        false
    }

    /// Returns whether to leave.
    fn typed(&mut self, line: &str) -> bool {
        match self.dialog.typed(line, &self.view) {
            Typed::Nothing => {}
            Typed::Say(lines) => self.say(&lines),
            Typed::Prompt(text) => {
                let mut err = anstream::stderr();
                // Without a terminal there is nobody to read it.
                let _ = write!(err, "{text}").and_then(|()| err.flush());
            }
            Typed::Ask { ask, by } => self.ask(ask, by.as_deref()),
            Typed::Detach => return true,
        }
        false
    }

    fn ask(&mut self, ask: crate::engine::input::Ask, by: Option<&str>) {
        match control::ask(&self.run, control::operator(self.cx, by, ask)) {
            // The facts come back through the journal, like everybody else's.
            Ok(Reply::Accepted { .. }) => {}
            Ok(Reply::Refused { why }) => self.say(&[why]),
            Err(e) => self.say(&[e.message]),
        }
    }

    fn say(&self, lines: &[String]) {
        let mut err = anstream::stderr();
        for line in lines {
            let _ = writeln!(err, " {line}");
        }
    }

    fn no_engine(&self) -> Result<Exit, CommandError> {
        let log = launch::log_tail(&self.store.run_dir(&self.run.id));
        let given_up = self.run.lease.as_ref().is_some_and(|lease| !lease.live(clock::now()));
        let why = if given_up { "it has left the run" } else { "it does not answer" };
        let error = log.into_iter().fold(control::no_engine(&self.run, why), CommandError::hint);
        super::print_error(&error);
        Ok(if given_up { Exit::NotFinished } else { Exit::HumanNeeded })
    }
}

/// Whether a person at this terminal can be asked.
#[must_use]
pub fn interactive(cx: &Context) -> bool {
    !cx.global.no_input && !cx.global.json && std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Lines from the terminal, read by a thread of their own. Unbounded, because a person types them.
fn typed_lines() -> mpsc::UnboundedReceiver<String> {
    let (send, lines) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

async fn next(lines: &mut Option<mpsc::UnboundedReceiver<String>>) -> Option<String> {
    match lines {
        Some(lines) => lines.recv().await,
        None => std::future::pending().await,
    }
}
