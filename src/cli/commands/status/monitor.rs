//! `status --watch`: the status of a run that stays on the screen until the run is over. Only looks: leaving it changes nothing.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};

use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::{look, pager};
use crate::driver::clock;
use crate::journal::{RunRow, Store};
use crate::report::status::{Engine, status, status_json};
use crate::report::{Board, Look};
use crate::view::{Outlook, RunView};

/// How often the journal is asked whether it changed. Asking costs no disk access.
const POLL: Duration = Duration::from_millis(100);
/// How often the times on the screen are brought up to date, and the engine is looked for.
const TICK: Duration = Duration::from_secs(1);

/// To whom the status is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// Redrawn in place.
    Terminal,
    /// A line for each change.
    Log,
    /// A document a line, for each change.
    Program,
}

/// A run that is watched.
#[derive(Debug)]
pub struct Monitor {
    store: Store,
    run: RunRow,
    view: RunView,
    outlook: Outlook,
    board: Board,
    reader: Reader,
    version: Option<i64>,
    shown: Option<Instant>,
}

impl Monitor {
    /// # Errors
    /// When what was frozen with the run cannot be read.
    pub fn new(cx: &Context, store: Store, run: RunRow) -> Result<Self, CommandError> {
        let view = look::view(&store, &run)?;
        let reader = match (cx.global.json, can_redraw()) {
            (true, _) => Reader::Program,
            (false, true) => Reader::Terminal,
            (false, false) => Reader::Log,
        };
        let (outlook, board) = (Outlook::default(), Board::default());
        Ok(Self { store, run, view, outlook, board, reader, version: None, shown: None })
    }

    /// Until the run is over, which gives its exit code, or until whoever watches has seen enough.
    ///
    /// # Errors
    /// When the journal cannot be read any more.
    pub fn watch(mut self) -> Result<Exit, CommandError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.look_on())
    }

    async fn look_on(&mut self) -> Result<Exit, CommandError> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = poll.tick() => {}
                _ = interrupt.recv() => return Ok(self.leave()),
                _ = terminate.recv() => return Ok(self.leave()),
                _ = hangup.recv() => return Ok(Exit::NotFinished),
            }
            // A reader that went away has seen enough.
            if self.look()?.is_err() {
                return Ok(Exit::NotFinished);
            }
            if let Some((_, end)) = self.view.end() {
                let exit = Exit::from(end);
                self.leave();
                return Ok(exit);
            }
        }
    }

    /// What is new, and the passing of time.
    fn look(&mut self) -> Result<io::Result<()>, CommandError> {
        let changed = self.read()?;
        if !changed && self.shown.is_some_and(|shown| shown.elapsed() < TICK) {
            return Ok(Ok(()));
        }
        self.shown = Some(Instant::now());
        self.run = self.store.run(&self.run.id)?;
        Ok(self.show())
    }

    /// Whether there are new facts.
    fn read(&mut self) -> Result<bool, CommandError> {
        let version = Some(self.store.data_version()?);
        if version == self.version {
            return Ok(false);
        }
        self.version = version;
        let new = self.store.facts(&self.run.id, self.view.seq())?;
        new.iter().for_each(|fact| self.view.apply(fact));
        Ok(!new.is_empty())
    }

    fn show(&mut self) -> io::Result<()> {
        if self.view.header().is_none() {
            return Ok(());
        }
        let (now, engine) = look::now(&self.run, &self.view, clock::now());
        match self.reader {
            Reader::Terminal => self.draw(engine.as_ref(), now),
            Reader::Log => self.board.change(&self.view, engine.as_ref(), now).map_or(Ok(()), |line| put(&line)),
            Reader::Program => match self.board.change(&self.view, engine.as_ref(), now) {
                Some(_) => {
                    let odds = self.outlook.look(&self.view, now);
                    put(&status_json(&self.view, engine.as_ref(), odds, now).to_string())
                }
                None => Ok(()),
            },
        }
    }

    fn draw(&mut self, engine: Option<&Engine>, now: jiff::Timestamp) -> io::Result<()> {
        let width = pager::width();
        let odds = self.outlook.look(&self.view, now);
        let mut lines = status(&self.view, engine, odds, now, Look { width, ascii: true });
        if anstream::AutoStream::choice(&io::stdout()) == anstream::ColorChoice::Never {
            lines = lines.iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect();
        }
        let rows = rustix::termios::tcgetwinsize(io::stdout()).map_or(24, |size| usize::from(size.ws_row));
        let text = self.board.screen(lines, width, rows);
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush())
    }

    /// What is typed next begins on a line of its own.
    fn leave(&self) -> Exit {
        if self.reader == Reader::Terminal {
            // A terminal that is gone needs no new line.
            let _ = writeln!(io::stdout());
        }
        Exit::NotFinished
    }
}

/// Whether stdout is a terminal that can move its cursor.
fn can_redraw() -> bool {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb" || term.is_empty());
    io::stdout().is_terminal() && !dumb
}

fn put(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush())
}
