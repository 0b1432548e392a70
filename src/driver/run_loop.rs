//! The loop that drives one run: waits for an input, asks the engine, appends its facts, publishes them, performs its
//! effects. Decides nothing, and knows nothing of plans.
//!
//! The order is the promise: an effect is performed only after the facts of its turn are durable. Inputs that are
//! ready at the same time share one append, so a burst of outcomes costs one commit.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{mpsc, oneshot};

use super::clock::Clock;
use super::resolve::Unreached;
use crate::engine::Engine;
use crate::engine::effect::{Effect, Turn};
use crate::engine::fact::{Actor, Fact, FactRecord, HoldAnswer, Mark};
use crate::engine::input::{Ask, DOUBTED, Input, Operator, Reply};
use crate::graph::ids::{AttemptId, Direction};
use crate::graph::job::{Job, Site};
use crate::graph::outcome::{Evidence, Outcome};
use crate::journal::store::LEASE_RENEW;
use crate::journal::{Journal, JournalError};
use crate::transport::{Event, Logout, Report, Survey, SurveyRequest, Transport};

/// Inputs that share one append at most, so that a flood of reports cannot delay the first of them for long.
const BATCH: usize = 256;
/// Why an attempt without a site cannot have run.
const NO_SITE: &str = "the plan does not say where";
/// Why an attempt was not started on a full disk.
const NO_SPACE: &str = "there is no space left for the journal";
/// The answer to whoever wants to go on then.
const NO_SPACE_TO_GO_ON: &str = "there is no space left for the journal, and what was set aside is kept for a rollback; \
    make space on its disk and ask again in a few seconds, or roll back";
/// Why an attempt was not started by an owner who could not renew its lease.
const NOT_HELD: &str = "the lease of the run could not be renewed for too long";
/// Without a renewal of the lease for this long, nothing is started: soon the run may be somebody else's.
const STOP_STARTING: SignedDuration = SignedDuration::from_secs(9);
/// A loop that was away for longer (a suspended machine, a stopped process) asks first whether the run is still its own.
const AWAY: SignedDuration = SignedDuration::from_secs(10);
/// Hosts whose clocks are asked when this machine's was set.
const VOTERS: usize = 9;
/// They agree with it when they are no further away.
const AGREED: SignedDuration = SignedDuration::from_secs(5);
/// How long connections may take to close at the end.
const CLOSING: Duration = Duration::from_secs(5);

/// What the loop needs of the engine.
pub trait Decider: Send {
    /// What follows from `input`. The facts it returns are part of its state already.
    fn handle(&mut self, now: Timestamp, input: Input) -> Turn;

    /// The work of an attempt.
    ///
    /// # Errors
    /// A sentence that says why it cannot be rendered.
    fn job(&self, attempt: &AttemptId) -> Result<Job, String>;

    /// Where an attempt runs; `None` for one that the plan does not know.
    fn site(&self, attempt: &AttemptId) -> Option<Site>;

    /// Some of the hosts of the run, whose clocks may be asked.
    fn hosts(&self) -> Vec<Site> {
        Vec::new()
    }
}

impl Decider for Engine {
    fn handle(&mut self, now: Timestamp, input: Input) -> Turn {
        Self::handle(self, now, input)
    }

    fn job(&self, attempt: &AttemptId) -> Result<Job, String> {
        Self::job(self, attempt).map_err(|e| e.to_string())
    }

    fn site(&self, attempt: &AttemptId) -> Option<Site> {
        Self::site(self, attempt)
    }

    fn hosts(&self) -> Vec<Site> {
        let actions = self.state().graph().actions().iter();
        let hosts: BTreeSet<&str> = actions.filter_map(|a| a.id.host()).filter(|host| *host != "local").collect();
        hosts.into_iter().take(VOTERS).map(|host| Site::Host(host.to_owned())).collect()
    }
}

/// A person's request, and where the answer goes.
#[derive(Debug)]
pub struct Asked {
    pub operator: Operator,
    pub reply: oneshot::Sender<Reply>,
}

/// Receives facts that are durable.
pub type Publish = Box<dyn FnMut(&[FactRecord]) + Send>;

/// Why the loop ended.
#[derive(Debug)]
pub enum Stopped {
    /// The run is over.
    Ended,
    /// This process was asked to end. Attempts go on; the run can be resumed.
    Detached,
    /// Nothing could be recorded any more. Attempts go on, unwatched.
    JournalFailed {
        error: JournalError,
        /// Attempts that were started and had not ended.
        open: Vec<AttemptId>,
    },
}

/// One run and everything it is connected to.
pub struct RunLoop {
    pub decider: Box<dyn Decider>,
    pub journal: Box<dyn Journal>,
    pub transport: Arc<dyn Transport>,
    pub clock: Arc<dyn Clock>,
    /// Called with facts that are durable, before the effects they explain.
    pub publish: Publish,
    pub(super) progress: Progress,
    pub(super) reports: (mpsc::UnboundedSender<Report>, mpsc::UnboundedReceiver<Report>),
    /// What the hosts' clocks say, when they were asked.
    votes: (mpsc::UnboundedSender<Vec<Survey>>, mpsc::UnboundedReceiver<Vec<Survey>>),
}

/// Where the run stands, as far as the loop must know.
#[derive(Debug, Default)]
pub(super) struct Progress {
    seq: u64,
    wake: Option<Timestamp>,
    finish: bool,
    /// Durably armed, not yet durably ended.
    pub open: BTreeSet<AttemptId>,
    /// Asked what became of them, no answer yet.
    pub asked: BTreeSet<AttemptId>,
    /// Attempts whose host could not be asked, and when it is asked again.
    pub unreached: Unreached,
    /// When the lease was renewed last.
    renewed: Timestamp,
    /// When the loop was awake last.
    awake: Timestamp,
    /// The space that was set aside is in use: what is left of it is the rollback's.
    scarce: bool,
}

/// One or more turns that share an append.
#[derive(Default)]
struct Batch {
    facts: Vec<Fact>,
    effects: Vec<Effect>,
    replies: Vec<(oneshot::Sender<Reply>, Option<Reply>)>,
}

/// What woke the loop.
enum Woken {
    Report(Report),
    Asked(Asked),
    Timer,
    /// The hosts have told their time.
    Votes(Vec<Survey>),
    /// Hosts that could not be reached are asked again.
    Again,
    Heartbeat,
    Stop,
}

impl fmt::Debug for RunLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunLoop").field("progress", &self.progress).finish_non_exhaustive()
    }
}

impl RunLoop {
    /// `found` are the facts that the journal holds already and the engine has replayed.
    pub fn new(
        decider: Box<dyn Decider>,
        journal: Box<dyn Journal>,
        transport: Arc<dyn Transport>,
        clock: Arc<dyn Clock>,
        found: &[FactRecord],
    ) -> Self {
        // Whoever makes a loop has just taken the run.
        let now = clock.now();
        let mut progress = Progress { renewed: now, awake: now, ..Progress::default() };
        progress.note(found);
        let (publish, reports) = (Box::new(|_: &[FactRecord]| {}), mpsc::unbounded_channel());
        Self { decider, journal, transport, clock, publish, progress, reports, votes: mpsc::unbounded_channel() }
    }

    /// Drives the run from `first` until it is over, `stop` completes, or the journal fails. The transport stays open:
    /// [`hang_up`] closes it.
    ///
    /// `asked` is bounded by whoever makes it: people wait for their answer, so a few places are enough.
    pub async fn drive(
        mut self,
        first: Input,
        mut asked: mpsc::Receiver<Asked>,
        stop: impl Future<Output = ()>,
    ) -> Stopped {
        let stopped = match self.advance(&mut asked, first, stop).await {
            Ok(stopped) => stopped,
            Err(error) => Stopped::JournalFailed { error, open: self.progress.open.iter().cloned().collect() },
        };
        if !matches!(stopped, Stopped::JournalFailed { .. }) {
            // What cannot be given back runs out by itself.
            let _ = self.journal.close(self.clock.now());
        }
        stopped
    }

    async fn advance(
        &mut self,
        asked: &mut mpsc::Receiver<Asked>,
        first: Input,
        stop: impl Future<Output = ()>,
    ) -> Result<Stopped, JournalError> {
        tokio::pin!(stop);
        let mut heartbeat = tokio::time::interval_at(tokio::time::Instant::now() + LEASE_RENEW, LEASE_RENEW);
        heartbeat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        self.turn(vec![first], Vec::new())?;
        if !self.progress.asked.is_empty() && !self.find_out(&mut stop, &mut heartbeat).await? {
            return Ok(Stopped::Detached);
        }
        while !self.progress.finish {
            self.clock.rest(&self.progress.open, self.progress.wake);
            let (timer, again) = (self.until(self.progress.wake), self.until(self.progress.unreached.next()));
            let woken = tokio::select! {
                () = &mut stop => Woken::Stop,
                Some(asked) = asked.recv() => Woken::Asked(asked),
                Some(report) = self.reports.1.recv() => Woken::Report(report),
                Some(votes) = self.votes.1.recv() => Woken::Votes(votes),
                () = timer => Woken::Timer,
                () = again => Woken::Again,
                _ = heartbeat.tick() => Woken::Heartbeat,
            };
            self.wake_up()?;
            match woken {
                Woken::Stop => return Ok(Stopped::Detached),
                Woken::Asked(asked) => self.turn(Vec::new(), vec![asked])?,
                Woken::Report(report) => self.reported(report)?,
                Woken::Votes(votes) => self.judge_clock(&votes)?,
                Woken::Timer => self.tick()?,
                Woken::Again => self.ask_again(),
                Woken::Heartbeat => self.heartbeat()?,
            }
        }
        Ok(Stopped::Ended)
    }

    /// Completes at this instant; never when there is none, or something else must come first.
    fn until(&self, at: Option<Timestamp>) -> impl Future<Output = ()> + use<> {
        let left = at.and_then(|at| self.clock.left(at));
        async move {
            match left {
                // Rounded up to the timer's millisecond: a timer that is early would only go round once more.
                Some(left) => {
                    let wait = Duration::try_from(left.max(SignedDuration::ZERO)).unwrap_or_default();
                    tokio::time::sleep(wait).await;
                }
                None => std::future::pending().await,
            }
        }
    }

    fn tick(&mut self) -> Result<(), JournalError> {
        if self.progress.wake.and_then(|at| self.clock.left(at)).is_none_or(|left| left > SignedDuration::ZERO) {
            return Ok(());
        }
        self.progress.wake = None;
        self.turn(vec![Input::Tick], Vec::new())
    }

    /// Before anything else: after a sleep that the loop did not ask for, the run may be somebody else's, which the journal
    /// knows; and what a clock that was set leads to is recorded after that it was set.
    fn wake_up(&mut self) -> Result<(), JournalError> {
        let now = self.clock.now();
        let away = now.duration_since(std::mem::replace(&mut self.progress.awake, now));
        if away > AWAY {
            self.keep(now)?;
        }
        let Some(by) = self.clock.jumped() else { return Ok(()) };
        self.turn(vec![Input::ClockJumped { by }], Vec::new())?;
        if by > DOUBTED {
            self.ask_the_time();
        }
        Ok(())
    }

    /// Set far forward, this machine's clock is right only when its hosts say so.
    fn ask_the_time(&self) {
        let ask = |site| SurveyRequest { site, sudo: false, users: Vec::new(), logout: Logout::Spared };
        let asked = self.transport.survey(self.decider.hosts().into_iter().map(ask).collect());
        let votes = self.votes.0.clone();
        tokio::spawn(async move {
            // A loop that is gone needs no answer.
            let _ = votes.send(asked.await.unwrap_or_default());
        });
    }

    fn judge_clock(&mut self, votes: &[Survey]) -> Result<(), JournalError> {
        let offset = |survey: &Survey| Some(SignedDuration::from_millis(survey.answer.as_ref().ok()?.clock_offset_ms));
        let mut offsets: Vec<SignedDuration> = votes.iter().filter_map(offset).collect();
        offsets.sort_unstable();
        let off = offsets.get(offsets.len() / 2).copied();
        if off.is_some_and(|off| off.abs() <= AGREED) {
            self.clock.accept();
        }
        self.turn(vec![Input::ClockJudged { off, agreed: off.is_some_and(|off| off.abs() <= AGREED) }], Vec::new())
    }

    /// Renews the lease.
    pub(super) fn keep(&mut self, now: Timestamp) -> Result<(), JournalError> {
        match self.journal.renew(now) {
            Ok(()) => self.progress.renewed = now,
            // Ownership is proven by the next append; a full disk is met there, with the facts at hand.
            Err(JournalError::Full { .. } | JournalError::Busy { .. }) => {}
            Err(e) => return Err(e),
        }
        Ok(())
    }

    /// Whether the lease was renewed recently enough to start something.
    fn holds(&mut self) -> Result<bool, JournalError> {
        let now = self.clock.now();
        if now.duration_since(self.progress.renewed) > STOP_STARTING {
            self.keep(now)?;
        }
        Ok(now.duration_since(self.progress.renewed) <= STOP_STARTING)
    }

    /// Keeps the lease, and catches up with a timer that slept through a suspend.
    fn heartbeat(&mut self) -> Result<(), JournalError> {
        self.keep(self.clock.now())?;
        self.progress.scarce = self.progress.scarce && !self.journal.set_reserve_aside();
        self.tick()
    }

    fn reported(&mut self, first: Report) -> Result<(), JournalError> {
        let mut inputs = self.inputs(first);
        while inputs.len() < BATCH {
            let Ok(report) = self.reports.1.try_recv() else { break };
            inputs.extend(self.inputs(report));
        }
        self.turn(inputs, Vec::new())
    }

    /// Handle, append, publish, perform, answer.
    pub(super) fn turn(&mut self, inputs: Vec<Input>, asked: Vec<Asked>) -> Result<(), JournalError> {
        let now = self.clock.now();
        let mut batch = Batch::default();
        for input in inputs {
            batch.add(self.decider.handle(now, input));
        }
        for Asked { operator, reply } in asked {
            if self.progress.scarce && goes_on(&operator.ask) {
                let why = NO_SPACE_TO_GO_ON.to_owned();
                batch.replies.push((reply, Some(Reply::Refused { why })));
                continue;
            }
            let answer = batch.add(self.decider.handle(now, Input::Operator(operator)));
            batch.replies.push((reply, answer));
        }
        let was_scarce = self.progress.scarce;
        self.append(now, &batch.facts)?;
        self.perform(batch.effects)?;
        for (to, reply) in batch.replies {
            let none = || Reply::Refused { why: "the engine gave no answer".to_owned() };
            // Whoever asked may have gone; the facts stand.
            let _ = to.send(reply.unwrap_or_else(none));
        }
        if self.progress.scarce && !was_scarce {
            self.turn(vec![hold()], Vec::new())?;
        }
        Ok(())
    }

    /// Makes the facts durable and publishes them; on a full disk in the space that was set aside.
    fn append(&mut self, now: Timestamp, facts: &[Fact]) -> Result<(), JournalError> {
        if facts.is_empty() {
            return Ok(());
        }
        let records = match self.journal.append(now, facts, self.progress.seq) {
            Err(JournalError::Full { .. }) if self.journal.release_reserve() => {
                self.progress.scarce = true;
                self.journal.append(now, facts, self.progress.seq)?
            }
            other => other?,
        };
        self.progress.note(&records);
        (self.publish)(&records);
        Ok(())
    }

    fn perform(&mut self, effects: Vec<Effect>) -> Result<(), JournalError> {
        for effect in effects {
            match effect {
                Effect::Launch(attempt) if self.progress.scarce && begins_work(attempt.direction) => {
                    self.never_started(attempt, NO_SPACE);
                }
                Effect::Launch(attempt) => {
                    // An undo is started all the same: the append just before has proven that the run is ours.
                    match self.holds()? || !begins_work(attempt.direction) {
                        true => self.launch(attempt),
                        false => self.never_started(attempt, NOT_HELD),
                    }
                }
                Effect::Probe(attempt) => {
                    self.progress.asked.insert(attempt.clone());
                    self.ask(attempt);
                }
                Effect::Kill(attempt) => self.kill(attempt),
                Effect::WakeAt(at) => self.progress.wake = Some(at),
                Effect::Finish => self.progress.finish = true,
            }
        }
        Ok(())
    }

    /// What became of an attempt? One that was to be ended, by whomever, is ended.
    pub(super) fn ask(&self, attempt: AttemptId) {
        match self.decider.site(&attempt) {
            _ if self.progress.unreached.is_to_be_killed(&attempt) => self.kill(attempt),
            Some(site) => self.transport.probe(site, attempt, self.reports.0.clone()),
            None => self.never_started(attempt, NO_SITE),
        }
    }

    fn kill(&self, attempt: AttemptId) {
        match self.decider.site(&attempt) {
            Some(site) => self.transport.kill(site, attempt, self.reports.0.clone()),
            None => self.never_started(attempt, NO_SITE),
        }
    }

    fn launch(&self, attempt: AttemptId) {
        match self.decider.job(&attempt) {
            Ok(job) => self.transport.launch(job, self.reports.0.clone()),
            Err(why) => self.never_started(attempt, &why),
        }
    }

    /// Nothing was sent to any host, so this much is certain.
    fn never_started(&self, attempt: AttemptId, why: &str) {
        let outcome = Outcome::NeverStarted { why: why.to_owned() };
        let what = Event::Ended { outcome, evidence: Evidence::default() };
        // The receiver is ours.
        let _ = self.reports.0.send(Report { attempt, what });
    }
}

/// Closes the connections of a run that is no longer driven. Attempts go on.
pub async fn hang_up(transport: &dyn Transport) {
    let _ = tokio::time::timeout(CLOSING, transport.close()).await;
}

impl Progress {
    fn note(&mut self, records: &[FactRecord]) {
        for record in records {
            self.seq = record.seq;
            match &record.fact {
                Fact::AttemptArmed { attempt } => {
                    self.open.insert(attempt.clone());
                }
                Fact::KillRequested { attempt, .. } => self.unreached.mark_to_be_killed(attempt),
                Fact::AttemptEnded { attempt, .. } => {
                    self.open.remove(attempt);
                    self.unreached.forget(attempt);
                }
                _ => {}
            }
        }
    }
}

impl Batch {
    /// Adds a turn and hands its reply back.
    fn add(&mut self, turn: Turn) -> Option<Reply> {
        self.facts.extend(turn.facts);
        self.effects.extend(turn.effects);
        turn.reply
    }
}

/// Whether what is asked could start something, and so would use up the space that a rollback is to be recorded in.
const fn goes_on(ask: &Ask) -> bool {
    match ask {
        Ask::Approve { .. } | Ask::Retry { .. } | Ask::Skip { .. } | Ask::Continue => true,
        Ask::Hold { answer, .. } => !matches!(answer, HoldAnswer::Rollback | HoldAnswer::Stop),
        Ask::Mark { mark, .. } => matches!(mark, Mark::Done),
        Ask::Reject { .. }
        | Ask::Pause
        | Ask::Rollback { .. }
        | Ask::Extend { .. }
        | Ask::Amend(_)
        | Ask::CallAhead { .. }
        | Ask::Note { .. } => false,
    }
}

/// What the engine is told when the disk is full: nothing new starts, what is undone can still be recorded.
fn hold() -> Input {
    Input::Operator(Operator { by: Actor::engine(), ask: Ask::Pause })
}

/// Whether more is changed by it than before; a proof changes nothing, and an undrain ends what has begun.
const fn begins_work(part: Direction) -> bool {
    matches!(part, Direction::Drain | Direction::Do | Direction::Reboot)
}
