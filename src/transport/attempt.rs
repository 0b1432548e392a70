//! Follows one attempt to its end: starts it or asks for it, reads what the runner sends, comes back after every lost
//! connection. Decides nothing: a lost connection is reported, and the attempt's record alone gives the outcome.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::channel::Channel;
use super::files::Payload;
use super::hosts::Inner;
use super::request::{Mode, Request};
use super::restart::{self, Restart};
use super::sink::{Lane, Sink};
use super::wire::{Done, Next, Piece, Splitter, read_done, read_outputs};
use super::{Event, Report, Reports, jitter};
use crate::graph::ids::AttemptId;
use crate::graph::job::Site;
use crate::graph::outcome::{Evidence, Outcome};

/// An attempt that is over so soon after its launch needs no live output: it comes with the end, for less work on the host.
const LIVE_AFTER: Duration = Duration::from_millis(250);
/// What the command left running may hold its output open; this long after its end we wait for that no more.
const SETTLE: Duration = Duration::from_secs(1);
/// Longer than anything here is waited for.
const NEVER: Duration = Duration::from_secs(24 * 3600);
/// How often a probe or kill tries to reach a host.
const ASK_TRIES: u32 = 3;
/// How often a host may answer nothing at all before we call it in doubt.
const SILENT_TRIES: u32 = 3;
/// How often the rest of an ended attempt's output is asked for.
const FETCH_TRIES: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Outputs beyond this are not read.
const LONGEST_OUTPUTS: usize = 64 * 1024;

/// What to do first.
pub(super) enum Purpose {
    Launch {
        request: Request,
        payload: Option<Payload>,
        /// Where to say it, when it is not for the runner.
        channel: Option<Box<Channel>>,
    },
    Ask,
    End,
}

/// One attempt and where it runs.
pub(super) struct Target {
    pub site: Site,
    pub attempt: AttemptId,
    /// Output names that the plan declares; none given means all.
    pub outputs: Vec<String>,
}

/// How one conversation with the host ended.
enum Talk {
    Done(Done),
    /// The runner said no, before or instead of starting anything.
    Refused(String),
    /// The connection was lost, or the other side made no sense.
    Lost(String),
    /// The keeper did not start it, because the record exists.
    Known,
    /// The other side ended without a word: no runner there.
    Silent(String),
    Lie(String),
    /// All of the rest of the output was sent.
    Fetched,
}

/// Everything that is known of the attempt while it is followed.
struct Follow<'a> {
    inner: &'a Inner,
    target: &'a Target,
    reports: &'a Reports,
    sink: Sink,
    outputs: Vec<u8>,
    launched: bool,
    running: bool,
    lost: bool,
}

/// Carries out `purpose` and reports; returns when the attempt has an outcome, or cannot be asked.
pub(super) async fn run(inner: &Inner, target: &Target, purpose: Purpose, reports: &Reports) {
    let sink = Sink::new(&inner.config.logs, &target.attempt, &inner.masks().await);
    // Of what we launch ourselves it is no news.
    let running = matches!(purpose, Purpose::Launch { .. });
    let mut follow =
        Follow { inner, target, reports, sink, outputs: Vec::new(), launched: false, running, lost: false };
    let (outcome, note, took) = match follow.until_the_end(purpose).await {
        Ok(Done { outcome, took, note, .. }) => (outcome, note, took),
        Err(Stop::Unreachable(why)) => {
            follow.report(Event::Unreachable { why });
            return;
        }
        Err(Stop::NeverStarted(why)) => (Outcome::NeverStarted { why }, None, None),
        Err(Stop::InDoubt(why)) => (Outcome::InDoubt { why }, None, None),
    };
    let (tail, lines) = follow.sink.finish();
    let outputs = read_outputs(&follow.outputs, &target.outputs);
    let evidence = Evidence { took, outputs, tail, lines, note };
    follow.report(Event::Ended { outcome, evidence });
}

/// Why nothing more can be learnt now.
enum Stop {
    Unreachable(String),
    NeverStarted(String),
    InDoubt(String),
}

impl Follow<'_> {
    fn report(&self, what: Event) {
        // A receiver that is gone means that the engine has stopped listening; the attempt goes on.
        let _ = self.reports.send(Report { attempt: self.target.attempt.clone(), what });
    }

    async fn until_the_end(&mut self, purpose: Purpose) -> Result<Done, Stop> {
        let (mut mode, mut first) = match purpose {
            Purpose::Launch { request, payload, channel } => (Mode::Launch, Some((request, payload, channel))),
            Purpose::Ask => (Mode::Ask, None),
            Purpose::End => (Mode::End, None),
        };
        let asked = mode != Mode::Launch;
        let restarts = mode != Mode::End && self.target.attempt.direction.restarts_its_host();
        let (mut failures, mut silences, mut pause) = (0, 0, FIRST_PAUSE);
        loop {
            let from = (self.sink.received(Lane::Out), self.sink.received(Lane::Err));
            let (request, payload, ready) = first.take().unwrap_or_else(|| {
                (Request::about(mode, &self.inner.terms(&self.target.site), &self.target.attempt, from), None, None)
            });
            let channel = match ready {
                Some(channel) => Ok(*channel),
                None => self.inner.open(&self.target.site, &self.target.attempt.to_string()).await,
            };
            let why = match channel {
                Err(why) if mode == Mode::Launch => return Err(Stop::NeverStarted(why.to_string())),
                Err(why) => why.to_string(),
                Ok(channel) => match self.talk(channel, &request, payload).await {
                    Talk::Done(done) if !restarts => return self.complete(done).await,
                    Talk::Done(done) => match restart::read(&done) {
                        Restart::Back => return self.complete(Done { outcome: Outcome::Succeeded, ..done }).await,
                        Restart::Failed => return self.complete(done).await,
                        Restart::GoingDown => {
                            mode = Mode::Ask;
                            tokio::time::sleep(jitter(pause)).await;
                            continue;
                        }
                    },
                    // What is ended in the middle of its last word makes no sense.
                    Talk::Lie(_) if restarts => {
                        mode = Mode::Ask;
                        tokio::time::sleep(jitter(pause)).await;
                        continue;
                    }
                    Talk::Refused(why) if mode == Mode::Launch => return Err(Stop::NeverStarted(why)),
                    Talk::Refused(why) | Talk::Lie(why) if asked && !self.launched => {
                        return Err(Stop::Unreachable(why));
                    }
                    Talk::Refused(why) | Talk::Lie(why) => return Err(Stop::InDoubt(why)),
                    Talk::Silent(why) => {
                        silences += 1;
                        if silences >= SILENT_TRIES && !self.launched {
                            return Err(if asked { Stop::Unreachable(why) } else { Stop::InDoubt(why) });
                        }
                        why
                    }
                    Talk::Lost(why) => {
                        pause = FIRST_PAUSE;
                        why
                    }
                    Talk::Known => {
                        mode = Mode::Ask;
                        continue;
                    }
                    Talk::Fetched => return Err(Stop::InDoubt("the host answered another question".into())),
                },
            };
            // Whatever was sent may have arrived: from here on only the record on the host can tell.
            if mode == Mode::Launch {
                mode = Mode::Ask;
            }
            failures += 1;
            if asked && !self.launched && failures >= ASK_TRIES {
                return Err(Stop::Unreachable(why));
            }
            if !asked || self.launched {
                self.link_lost(why);
            }
            tokio::time::sleep(jitter(pause)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn link_lost(&mut self, why: String) {
        if !std::mem::replace(&mut self.lost, true) {
            self.report(Event::LinkLost { why });
        }
    }

    /// The host has confirmed that the attempt exists there.
    fn confirmed(&mut self) {
        if std::mem::take(&mut self.lost) {
            self.report(Event::LinkRestored);
        }
        if !std::mem::replace(&mut self.launched, true) {
            self.report(Event::Launched);
        }
    }

    fn seen_running(&mut self) {
        if !std::mem::replace(&mut self.running, true) {
            self.report(Event::Running);
        }
    }

    /// One conversation: sends the request, takes what comes until the other side ends.
    async fn talk(&mut self, channel: Channel, request: &Request, payload: Option<Payload>) -> Talk {
        let Channel { stdin, mut stdout, mut stderr, end } = channel;
        let (ask, asks) = mpsc::unbounded_channel();
        let writer = tokio::spawn(write_all(stdin, request.bytes(), payload, asks));
        let mut out = Reader::new(request.nonce());
        let mut err = Reader::new(request.nonce());
        let mut ending = None;
        let mut live = Box::pin(tokio::time::sleep(NEVER));
        let (mut settling, mut buffer, mut buffer2) = (false, vec![0; 64 * 1024], vec![0; 64 * 1024]);
        let (mut next, mut marked) = (Next::No, false);
        let is_free = |next, marked| next == Next::Now || (next == Next::Marked && marked);
        while (out.open || err.open) && !is_free(next, marked) {
            tokio::select! {
                read = stdout.read(&mut buffer), if out.open => {
                    let bytes = out.bytes(&read, &buffer);
                    for piece in bytes {
                        match out.piece(piece) {
                            Some(Part::Output(lane, bytes)) => self.sink.take(lane, &bytes),
                            Some(Part::Outputs(bytes)) => {
                                let room = LONGEST_OUTPUTS.saturating_sub(self.outputs.len());
                                self.outputs.extend_from_slice(&bytes[..bytes.len().min(room)]);
                            }
                            Some(Part::Word(word)) => match word.split_once(' ').unwrap_or((&word, "")) {
                                ("launched" | "found", _) => {
                                    self.confirmed();
                                    self.outputs.clear();
                                    live.as_mut().reset(tokio::time::Instant::now() + LIVE_AFTER);
                                }
                                ("runs", _) => self.seen_running(),
                                ("over", _) => {
                                    settling = true;
                                    live.as_mut().reset(tokio::time::Instant::now() + SETTLE);
                                }
                                ("refused", why) => ending = Some(Talk::Refused(why.to_owned())),
                                ("done", record) => {
                                    let read = read_done(record);
                                    next = read.as_ref().map_or(Next::No, |done| done.next);
                                    ending = Some(read.map_or_else(Talk::Lie, Talk::Done));
                                }
                                ("known", _) => ending = Some(Talk::Known),
                                ("fetched", _) => ending = Some(Talk::Fetched),
                                _ => {}
                            },
                            None => {}
                        }
                    }
                }
                read = stderr.read(&mut buffer2), if err.open => {
                    let bytes = err.bytes(&read, &buffer2);
                    for piece in bytes {
                        match err.piece(piece) {
                            Some(Part::Output(lane, bytes)) => self.sink.take(lane, &bytes),
                            Some(Part::Word(word)) => marked |= word == "next",
                            _ => {}
                        }
                    }
                }
                () = &mut live => {
                    // Asking twice is harmless: the first may have come before the runner could hear it.
                    let word = if settling { "" } else { "show\n" };
                    if ask.send(word).is_err() || settling {
                        live.as_mut().reset(tokio::time::Instant::now() + NEVER);
                    } else {
                        live.as_mut().reset(tokio::time::Instant::now() + LIVE_AFTER * 2);
                    }
                    if out.showing {
                        live.as_mut().reset(tokio::time::Instant::now() + NEVER);
                    }
                }
            }
        }
        if is_free(next, marked) {
            // What was still to be said is said first: the runner knows words that come too late.
            drop(ask);
            if let Ok(Some(stdin)) = writer.await {
                self.inner.keep(&self.target.site, Channel { stdin, stdout, stderr, end });
            }
            return match ending {
                Some(Talk::Done(done)) => {
                    self.confirmed();
                    Talk::Done(done)
                }
                _ => Talk::Lost("the connection was lost".into()),
            };
        }
        writer.abort();
        if let Some(Talk::Done(_) | Talk::Fetched) = ending
            && let Some(rest) = err.rest()
        {
            self.sink.take(Lane::Err, &rest);
        }
        match ending {
            Some(Talk::Done(done)) => {
                self.confirmed();
                Talk::Done(done)
            }
            Some(other) => other,
            None if end.ended_by_itself().await && !out.heard => Talk::Silent(silence(&err.noise)),
            None => Talk::Lost("the connection was lost".into()),
        }
    }

    /// Fetches output that is still missing, then gives the record. The outcome is known by now: output that cannot be
    /// had any more does not change it.
    async fn complete(&mut self, mut done: Done) -> Result<Done, Stop> {
        if !done.outcome.may_have_run() {
            return Ok(done);
        }
        for (lane, stream) in [(Lane::Out, done.out), (Lane::Err, done.err)] {
            if let Some(stream) = stream {
                self.sink.expect(lane, stream);
            }
        }
        let mut pause = FIRST_PAUSE;
        for _ in 0..FETCH_TRIES {
            if done.out.is_some() && done.err.is_some() && self.sink.is_complete() {
                return Ok(done);
            }
            let from = (self.sink.received(Lane::Out), self.sink.received(Lane::Err));
            let request = Request::about(Mode::Fetch, &self.inner.terms(&self.target.site), &self.target.attempt, from);
            if let Ok(channel) = self.inner.open(&self.target.site, &self.target.attempt.to_string()).await
                && let Talk::Fetched = self.talk(channel, &request, None).await
                && (done.out.is_none() || done.err.is_none())
            {
                return Ok(done);
            }
            if self.sink.is_complete() {
                continue;
            }
            tokio::time::sleep(jitter(pause)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        done.note.get_or_insert_with(|| "a part of its output could not be fetched".into());
        Ok(done)
    }
}

/// What a host without a runner said instead.
fn silence(noise: &[u8]) -> String {
    let text = String::from_utf8_lossy(noise);
    match text.lines().map(str::trim).rfind(|line| !line.is_empty()) {
        Some(line) => format!("its shell did not start the runner: {line}"),
        None => "its shell did not start the runner".into(),
    }
}

/// Sends the request and the payload, then what else is to be said; an empty word ends the stream. Gives the stream back
/// when there is nothing more to say.
async fn write_all(
    mut stdin: Box<dyn tokio::io::AsyncWrite + Send + Unpin>,
    request: Vec<u8>,
    payload: Option<Payload>,
    mut asks: mpsc::UnboundedReceiver<&'static str>,
) -> Option<Box<dyn tokio::io::AsyncWrite + Send + Unpin>> {
    stdin.write_all(&request).await.ok()?;
    if let Some(payload) = payload {
        payload.copy_to(&mut stdin).await.ok()?;
    }
    stdin.flush().await.ok()?;
    while let Some(word) = asks.recv().await {
        if word.is_empty() {
            return None;
        }
        stdin.write_all(word.as_bytes()).await.ok()?;
        stdin.flush().await.ok()?;
    }
    Some(stdin)
}

/// A meaningful part of a stream.
enum Part {
    Word(String),
    Output(Lane, Vec<u8>),
    Outputs(Vec<u8>),
}

/// What the bytes after the last control line are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    /// Whatever a login shell prints before the runner: not ours.
    Noise,
    Output(Lane),
    Outputs,
}

/// Reads one stream of a conversation.
struct Reader {
    splitter: Splitter,
    section: Section,
    open: bool,
    showing: bool,
    heard: bool,
    noise: Vec<u8>,
}

impl Reader {
    fn new(nonce: &str) -> Self {
        let splitter = Splitter::new(nonce);
        Self { splitter, section: Section::Noise, open: true, showing: false, heard: false, noise: Vec::new() }
    }

    fn bytes(&mut self, read: &std::io::Result<usize>, buffer: &[u8]) -> Vec<Piece> {
        match read {
            Ok(n) if *n > 0 => self.splitter.feed(&buffer[..*n]),
            _ => {
                self.open = false;
                // Held back bytes could be half a control line: on a lost connection they are asked for again.
                Vec::new()
            }
        }
    }

    /// Output at the very end that could have become a control line.
    fn rest(&mut self) -> Option<Vec<u8>> {
        let rest = self.splitter.finish();
        (matches!(self.section, Section::Output(_)) && !rest.is_empty()).then_some(rest)
    }

    fn piece(&mut self, piece: Piece) -> Option<Part> {
        match piece {
            Piece::Control(line) => {
                self.heard = true;
                match line.as_str() {
                    "stdout" | "stderr" => {
                        self.section = Section::Output(if line == "stdout" { Lane::Out } else { Lane::Err });
                        self.showing = true;
                        None
                    }
                    "outputs" => {
                        self.section = Section::Outputs;
                        None
                    }
                    // The runner says these while output goes on.
                    "over" | "runs" => Some(Part::Word(line)),
                    _ => {
                        self.section = Section::Noise;
                        Some(Part::Word(line))
                    }
                }
            }
            Piece::Raw(bytes) => match self.section {
                Section::Output(lane) => Some(Part::Output(lane, bytes)),
                Section::Outputs => Some(Part::Outputs(bytes)),
                Section::Noise => {
                    let room = 4096_usize.saturating_sub(self.noise.len());
                    self.noise.extend_from_slice(&bytes[..bytes.len().min(room)]);
                    None
                }
            },
        }
    }
}
