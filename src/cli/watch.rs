//! A terminal attached to a run: follows the journal, tells a reporter, turns typed words into requests. Leaving it never
//! stops the run.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::Child;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::context::Context;
use super::dialog::{Dialog, Typed};
use super::echo::Echo;
use super::error::CommandError;
use super::exit::Exit;
use super::interrupt::{self, Interrupt, Press};
use super::keys::{self, KeyMode, Line, Typing};
use super::setup::Night;
use super::show::{Output, Show};
use super::{control, launch};
use crate::driver::clock;
use crate::engine::fact::{Fact, FactRecord, HoldAnswer};
use crate::engine::input::{Ask, Reply};
use crate::graph::Graph;
use crate::journal::{RunRow, Store};
use crate::report::{Clock, Reporter};
use crate::view::RunView;

/// How often the journal is asked whether it changed. Asking costs no disk access.
const POLL: Duration = Duration::from_millis(50);
/// How often the view is told that time passes.
const TICK: Duration = Duration::from_millis(250);
/// How often the engine is looked for.
const LIVENESS: Duration = Duration::from_secs(1);
/// A lease that was not renewed for longer: it is every five seconds.
const SILENT: jiff::SignedDuration = jiff::SignedDuration::from_secs(8);
/// How long an engine may take to end after its run.
const ENDING: Duration = Duration::from_secs(10);

/// What may be typed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// Nothing: nobody is there, or only watches.
    None,
    /// Lines, echoed by the terminal.
    Lines,
    /// Keys, shown by a live view.
    Keys,
}

/// A run as this terminal sees it.
pub struct Watch<'a> {
    cx: &'a Context,
    store: Store,
    run: RunRow,
    view: RunView,
    reporter: Box<dyn Reporter>,
    output: Output,
    echo: Echo,
    dialog: Dialog,
    answers: Answers,
    line: Line,
    /// The line so far.
    typed: String,
    /// What is asked in the middle of a conversation.
    question: String,
    /// The engine, where this process started it.
    engine: Option<Child>,
    version: Option<i64>,
    ticked: Instant,
    looked: Instant,
    missing: u32,
    /// It was said that the engine gives no sign of life.
    silent: bool,
    interrupt: Interrupt,
    /// The owner whom this terminal knows, by the epoch.
    epoch: Option<u64>,
    /// Whoever took the run over from the engine of this terminal.
    heir: Option<String>,
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
        show: &Show,
        engine: Option<Child>,
    ) -> Result<Self, CommandError> {
        let run_dir = store.run_dir(&run.id);
        let graph = Arc::new(Graph::build(Arc::new(Night::thaw(&store, &run.id)?.plan)));
        let now = Instant::now();
        Ok(Self {
            cx,
            store,
            run,
            view: RunView::new(graph),
            reporter: show.reporter(cx, &run_dir),
            output: show.show_output,
            echo: Echo::new(&run_dir),
            dialog: Dialog::default(),
            answers: Answers::None,
            line: Line::default(),
            typed: String::new(),
            question: String::new(),
            engine,
            version: None,
            ticked: now,
            looked: now,
            missing: 0,
            silent: false,
            interrupt: Interrupt::default(),
            epoch: None,
            heir: None,
        })
    }

    /// Shows the run until it ends or this terminal leaves it.
    ///
    /// # Errors
    /// When the journal cannot be read any more.
    pub fn follow(mut self, answers: Answers) -> Result<Exit, CommandError> {
        self.answers = answers;
        let mode = if answers == Answers::Keys { KeyMode::enter() } else { None };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let left = runtime.block_on(self.watch());
        // The thread that reads the terminal cannot be interrupted; the process ends without it.
        runtime.shutdown_background();
        drop(mode);
        let left = left?;
        self.reporter.prompt(None);
        self.reporter.finish(&self.view, self.view.on_its_clock(clock::now()));
        if matches!(left, Left::Ended) {
            self.let_engine_end();
        }
        match left {
            Left::Ended => Ok(self.view.end().map_or(Exit::Error, |(_, end)| Exit::from(end))),
            Left::Detached => Ok(Exit::NotFinished),
            Left::NoEngine => self.no_engine(),
        }
    }

    async fn watch(&mut self) -> Result<Left, CommandError> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let mut terminate = signal(SignalKind::terminate())?;
        // Its default would freeze this terminal while the deadline goes on.
        let mut stop = signal(SignalKind::from_raw(rustix::process::Signal::TSTP.as_raw()))?;
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut typing = if self.answers == Answers::None { None } else { Some(keys::bytes()) };
        loop {
            let left = tokio::select! {
                _ = poll.tick() => self.look()?,
                _ = interrupt.recv() => self.interrupt(),
                _ = hangup.recv() => Some(self.hung_up()),
                _ = stop.recv() => self.refuse_to_stop(),
                _ = terminate.recv() => Some(Left::Detached),
                bytes = next(&mut typing) => match bytes {
                    Some(bytes) => self.take(&bytes),
                    None if std::io::stdin().is_terminal() => Some(self.leave()),
                    None => Some(self.hung_up()),
                },
            };
            if let Some(left) = left {
                return Ok(left);
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
            self.reporter.tick(&self.view, self.view.on_its_clock(clock::now()));
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
        let mut new = self.store.facts(&self.run.id, self.view.seq())?;
        for record in &mut new {
            self.heed_output(record);
            self.view.apply(record);
        }
        if self.answers == Answers::Keys {
            self.show_prompt();
        }
        if !new.is_empty() {
            self.reporter.facts(&self.view, &new, self.view.on_its_clock(clock::now()));
        }
        Ok(())
    }

    /// `--show-output`: failed attempts show the end of theirs by themselves.
    fn heed_output(&mut self, record: &mut FactRecord) {
        let Fact::AttemptEnded { attempt, evidence, outcome } = &mut record.fact else { return };
        match self.output {
            Output::Failed => {}
            Output::Never => evidence.tail.clear(),
            Output::Always if outcome.is_success() => {
                let lines = self.echo.since(&attempt.action);
                self.say(&lines);
            }
            Output::Always => {
                let _ = self.echo.since(&attempt.action);
            }
        }
    }

    /// An engine that does not answer twice in a row, or whose process is over, is gone.
    fn look_for_engine(&mut self) -> Result<Option<Left>, CommandError> {
        let over = self.engine.as_mut().is_some_and(|child| !matches!(child.try_wait(), Ok(None)));
        self.run = self.store.run(&self.run.id)?;
        if self.taken_over() {
            return Ok(None);
        }
        self.look_for_signs_of_life();
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

    /// An engine whose disk hangs, or whose machine sleeps, does not renew its lease.
    fn look_for_signs_of_life(&mut self) {
        let Some(lease) = &self.run.lease else { return };
        let silent = clock::now().duration_since(lease.renewed);
        match (silent > SILENT, self.silent) {
            (true, false) => self.say(&[
                format!("no sign of life from the engine for {}s: its disk hangs, or it sleeps", silent.as_secs()),
                "   what runs on hosts goes on; nothing new starts and nothing is recorded".to_owned(),
                format!("   if it stays so:   runbook resume {} --steal -m REASON", self.run.id),
            ]),
            (false, true) => self.say(&["the engine is back".to_owned()]),
            _ => {}
        }
        self.silent = silent > SILENT;
    }

    /// Somebody else took the run over: this terminal goes on watching, and answers nothing any more.
    fn taken_over(&mut self) -> bool {
        let Some(lease) = &self.run.lease else { return false };
        let (epoch, owner, host) = (lease.epoch, lease.owner.clone(), lease.host.clone());
        if self.epoch.replace(epoch).is_none_or(|known| known == epoch) {
            return false;
        }
        (self.engine, self.missing) = (None, 0);
        self.dialog.interrupt();
        self.say(&[format!("{owner} on {host} has taken the run over; this terminal only watches (q leaves)")]);
        self.heir = Some(owner);
        true
    }

    /// An engine that this process started closes its connections, and its lab, before this process ends. As long as it has a
    /// socket it is at that; afterwards it only tells people, for whom nobody here need wait.
    fn let_engine_end(&mut self) {
        let Some(engine) = &mut self.engine else { return };
        let run = self.store.run(&self.run.id).unwrap_or_else(|_| self.run.clone());
        let socket = run.lease.as_ref().and_then(|lease| lease.socket.as_deref()).map(Path::new);
        let began = Instant::now();
        while matches!(engine.try_wait(), Ok(None)) && socket.is_none_or(Path::exists) && began.elapsed() < ENDING {
            std::thread::sleep(POLL);
        }
    }

    /// Ctrl-C: the first holds the run and asks, the next leaves. Where nobody can answer, nothing is held.
    fn interrupt(&mut self) -> Option<Left> {
        if self.interrupt.press(Instant::now(), self.dialog.asks_what_next()) == Press::Detach {
            return Some(self.leave());
        }
        self.line = Line::default();
        self.typed.clear();
        if self.may_answer() {
            self.question = self.dialog.ask_what_next();
            self.hold();
        }
        let clock = Clock::new(self.view.header().and_then(|h| h.timezone.as_deref()));
        self.say(&interrupt::said(&self.view, &clock, self.view.on_its_clock(clock::now())));
        self.ask_next();
        None
    }

    /// Pauses the run, and waits until the journal says so.
    fn hold(&mut self) {
        if !interrupt::can_pause(&self.view) {
            return;
        }
        let operator = control::operator(self.cx, None, Ask::Pause);
        let by = operator.by.clone();
        match control::ask(&self.run, operator) {
            Ok(Reply::Accepted { .. }) => self.interrupt.paused(by),
            Ok(Reply::Refused { why }) => self.say(&[why]),
            Err(e) => self.say(&[e.message]),
        }
        if let Err(e) = self.read() {
            self.say(&[e.message]);
        }
    }

    /// A person leaves. What only a Ctrl-C of this terminal holds goes on.
    fn leave(&mut self) -> Left {
        if self.interrupt.holds(&self.view) {
            self.ask(Ask::Hold { answer: HoldAnswer::Continue, note: None }, None);
            self.version = None;
            if let Err(e) = self.read() {
                self.say(&[e.message]);
            }
        }
        Left::Detached
    }

    /// The terminal is gone: the run goes on without it, and the journal says so.
    fn hung_up(&mut self) -> Left {
        if self.may_answer() && self.view.end().is_none() {
            let text = "a terminal was lost; the run goes on without it".to_owned();
            self.ask(Ask::Note { text }, None);
        }
        Left::Detached
    }

    fn may_answer(&self) -> bool {
        self.answers != Answers::None && self.heir.is_none()
    }

    /// Ctrl-Z: a frozen terminal would hide the deadline.
    fn refuse_to_stop(&mut self) -> Option<Left> {
        self.say(&[
            "Ctrl-Z is refused: a stopped terminal would hide the deadline; q leaves, the run goes on".to_owned()
        ]);
        None
    }

    /// Keys or lines from the terminal.
    fn take(&mut self, bytes: &[u8]) -> Option<Left> {
        for typing in self.line.take(bytes) {
            match typing {
                // A key of its own: leaving harms nothing, and no other word begins with it.
                Typing::Line(text) if text == "q" && self.answers == Answers::Keys && self.dialog.idle() => {
                    return Some(self.leave());
                }
                Typing::Line(text) => self.typed = text,
                Typing::Entered(line) => {
                    self.typed.clear();
                    self.question.clear();
                    if self.entered(&line) {
                        return Some(self.leave());
                    }
                    self.ask_next();
                }
                Typing::End => return Some(self.leave()),
            }
        }
        if self.answers == Answers::Keys {
            // What is typed appears at once, not at the next tick.
            self.show_prompt();
            self.reporter.tick(&self.view, self.view.on_its_clock(clock::now()));
        }
        None
    }

    /// The line that is being typed, after what it answers.
    fn show_prompt(&mut self) {
        let about = match (self.question.as_str(), self.view.gates(), self.view.hold()) {
            ("", _, Some(_)) => "hold",
            ("", [gate, ..], None) => gate.action.step(),
            ("", [], None) => "",
            (question, ..) => question,
        };
        let rest =
            if about.is_empty() && self.typed.is_empty() { "   (? lists the words, q leaves)" } else { &self.typed };
        let prompt = format!("{about}> {rest}");
        self.reporter.prompt(Some(&prompt));
    }

    /// The next question of a conversation, where the terminal itself echoes.
    fn ask_next(&self) {
        if self.answers == Answers::Lines && !self.question.is_empty() {
            let mut err = anstream::stderr();
            // Without a terminal there is nobody to read it.
            let _ = write!(err, " {}> ", self.question).and_then(|()| err.flush());
        }
    }

    /// Returns whether to leave.
    fn entered(&mut self, line: &str) -> bool {
        if let Some(heir) = self.heir.clone().filter(|_| !matches!(line.trim(), "" | "q" | "quit" | "detach")) {
            self.say(&[format!("nothing was answered: {heir} has taken the run over")]);
            return false;
        }
        match self.dialog.typed(line, &self.view) {
            Typed::Nothing => {}
            Typed::Say(lines) => self.say(&lines),
            Typed::Prompt(text) => self.question = text,
            Typed::Ask { ask, by } => self.ask(ask, by.as_deref()),
            Typed::Detach => return true,
        }
        false
    }

    fn ask(&mut self, ask: Ask, by: Option<&str>) {
        match control::ask(&self.run, control::operator(self.cx, by, ask)) {
            // The facts come back through the journal, like everybody else's.
            Ok(Reply::Accepted { .. }) => {}
            Ok(Reply::Refused { why }) => self.say(&[why]),
            Err(e) => self.say(&[e.message]),
        }
    }

    fn say(&mut self, lines: &[String]) {
        let lines: Vec<String> = lines.iter().map(|line| format!(" {line}")).collect();
        if self.answers == Answers::Keys {
            self.reporter.say(&lines);
            return;
        }
        let mut err = anstream::stderr();
        for line in &lines {
            let _ = writeln!(err, "{line}");
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

/// What may be typed at this terminal.
#[must_use]
pub fn answers(cx: &Context, show: &Show) -> Answers {
    let person =
        !cx.global.no_input && !cx.global.json && std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    match person {
        false => Answers::None,
        true if show.live(cx) => Answers::Keys,
        true => Answers::Lines,
    }
}

async fn next(typing: &mut Option<mpsc::UnboundedReceiver<Vec<u8>>>) -> Option<Vec<u8>> {
    match typing {
        Some(typing) => typing.recv().await,
        None => std::future::pending().await,
    }
}
