//! The run loop on a paused clock: a scripted engine, a journal in memory, hosts that only take notes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use runbook::driver::clock::Clock;
use runbook::driver::control::{self, Hello, Request, Response};
use runbook::driver::{Asked, Decider, RunLoop, Stopped};
use runbook::engine::effect::{Effect, Turn};
use runbook::engine::fact::{Actor, Fact, FactRecord, RunEnd};
use runbook::engine::input::{Ask, Input, Operator, Reply};
use runbook::graph::ids::{ActionId, AttemptId, Direction};
use runbook::graph::job::{Job, Site, Work};
use runbook::graph::outcome::{Evidence, Outcome};
use runbook::journal::{Journal, JournalError, MemoryJournal};
use runbook::transport::{Event, NoAnswer, Report, Reports, SiteState, Survey, SurveyRequest, Transport};
use tokio::sync::{mpsc, oneshot};

type Log = Arc<Mutex<Vec<String>>>;

fn say(log: &Log, line: impl Into<String>) {
    log.lock().unwrap().push(line.into());
}

fn lines(log: &Log) -> Vec<String> {
    log.lock().unwrap().clone()
}

fn anchor() -> Timestamp {
    Timestamp::from_second(1_196_577_000).unwrap()
}

/// Wall time that follows tokio's paused clock.
#[derive(Debug)]
struct PausedClock {
    start: tokio::time::Instant,
    jumps: Mutex<VecDeque<SignedDuration>>,
    accepted: AtomicBool,
}

impl PausedClock {
    fn start() -> Arc<Self> {
        Arc::new(Self { start: tokio::time::Instant::now(), jumps: Mutex::default(), accepted: AtomicBool::new(false) })
    }
}

impl Clock for PausedClock {
    fn now(&self) -> Timestamp {
        anchor() + SignedDuration::try_from(self.start.elapsed()).unwrap()
    }

    fn jumped(&self) -> Option<SignedDuration> {
        self.jumps.lock().unwrap().pop_front()
    }

    fn accept(&self) {
        self.accepted.store(true, Ordering::Relaxed);
    }
}

/// Answers each input with the next prepared turn.
struct Script {
    turns: VecDeque<Turn>,
    log: Log,
    broken_jobs: bool,
}

impl Decider for Script {
    fn handle(&mut self, now: Timestamp, input: Input) -> Turn {
        let second = now.duration_since(anchor()).as_secs();
        let word = match input {
            Input::Start(_) => "start".to_owned(),
            Input::Tick => "tick".to_owned(),
            Input::AttemptLaunched { attempt } => format!("launched {attempt}"),
            Input::AttemptEnded { attempt, outcome, .. } => format!("ended {attempt} {outcome}"),
            Input::Operator(o) => format!("operator {:?}", o.ask),
            Input::ClockJumped { by } => format!("jumped {}s", by.as_secs()),
            other => format!("{other:?}"),
        };
        say(&self.log, format!("{second}s {word}"));
        self.turns.pop_front().unwrap_or_default()
    }

    fn job(&self, attempt: &AttemptId) -> Result<Job, String> {
        if self.broken_jobs {
            return Err("`{{ x }}` is not defined".to_owned());
        }
        Ok(Job {
            attempt: attempt.clone(),
            site: Site::Controller,
            work: Work::Shell("true".into()),
            env: Default::default(),
            secrets: Default::default(),
            shell: None,
            user: None,
            sudo: false,
            dir: None,
            timeout: None,
            outputs: Vec::new(),
        })
    }

    fn site(&self, _attempt: &AttemptId) -> Option<Site> {
        Some(Site::Controller)
    }

    fn hosts(&self) -> Vec<Site> {
        vec![Site::Host("be1".into())]
    }
}

/// Notes what it is told; ends what it launches when asked to.
struct Hosts {
    log: Log,
    ends: bool,
    /// How far each host's clock is from this machine's; `None` for one that cannot be asked.
    clocks: Vec<Option<i64>>,
}

impl Transport for Hosts {
    fn launch(&self, job: Job, reports: Reports) {
        say(&self.log, format!("LAUNCH {}", job.attempt));
        if self.ends {
            let ended = Event::Ended { outcome: Outcome::Succeeded, evidence: Evidence::default() };
            for what in [Event::Launched, ended] {
                reports.send(Report { attempt: job.attempt.clone(), what }).unwrap();
            }
        }
    }

    fn probe(&self, _site: Site, attempt: AttemptId, _reports: Reports) {
        say(&self.log, format!("PROBE {attempt}"));
    }

    fn kill(&self, _site: Site, attempt: AttemptId, _reports: Reports) {
        say(&self.log, format!("KILL {attempt}"));
    }

    fn survey(&self, _sites: Vec<SurveyRequest>) -> tokio::task::JoinHandle<Vec<Survey>> {
        let says = |ms: &Option<i64>| {
            let state = |clock_offset_ms| SiteState {
                clock_offset_ms,
                free_bytes: 0,
                sudo_refused: Vec::new(),
                locked_by: None,
                detached_survives: true,
                boot: String::new(),
                missing_tools: Vec::new(),
            };
            let answer = ms.map(state).ok_or_else(|| NoAnswer::Away("no route to host".to_owned()));
            Survey { site: Site::Controller, reached: None, answer, took: Duration::ZERO }
        };
        let surveys = self.clocks.iter().map(says).collect();
        tokio::spawn(async { surveys })
    }

    fn close(&self) -> tokio::task::JoinHandle<()> {
        say(&self.log, "CLOSE");
        tokio::spawn(async {})
    }
}

/// A journal in memory that fails as told.
struct Failing {
    inner: MemoryJournal,
    log: Log,
    /// What goes wrong from the given append on (counted from 1).
    full_at: Option<usize>,
    io_at: Option<usize>,
    fenced_renewals: bool,
    appends: usize,
    reserve: bool,
    space_again: bool,
}

impl Journal for Failing {
    fn append(&mut self, at: Timestamp, facts: &[Fact], seq: u64) -> Result<Vec<FactRecord>, JournalError> {
        self.appends += 1;
        if self.io_at.is_some_and(|n| self.appends >= n) {
            say(&self.log, "append FAILS");
            return Err(JournalError::Io { path: "j".into(), source: "EIO".into() });
        }
        if self.full_at.is_some_and(|n| self.appends >= n) {
            say(&self.log, "append FULL");
            return Err(JournalError::Full { path: "j".into() });
        }
        say(&self.log, format!("append {}", facts.len()));
        self.inner.append(at, facts, seq)
    }

    fn renew(&mut self, _now: Timestamp) -> Result<(), JournalError> {
        if self.fenced_renewals { Err(JournalError::Fenced { ours: 1, theirs: 2 }) } else { Ok(()) }
    }

    fn release_reserve(&mut self) -> bool {
        self.full_at = None;
        std::mem::take(&mut self.reserve)
    }

    fn set_reserve_aside(&mut self) -> bool {
        self.space_again
    }

    fn close(&mut self, _now: Timestamp) -> Result<(), JournalError> {
        say(&self.log, "journal closed");
        Ok(())
    }
}

fn attempt(direction: Direction) -> AttemptId {
    AttemptId { action: ActionId::new("deploy", Some("be1")), direction, number: 1 }
}

fn armed(direction: Direction) -> Fact {
    Fact::AttemptArmed { attempt: attempt(direction) }
}

fn launch(direction: Direction) -> Turn {
    Turn { facts: vec![armed(direction)], effects: vec![Effect::Launch(attempt(direction))], reply: None }
}

fn ended() -> Fact {
    let (attempt, outcome) = (attempt(Direction::Do), Outcome::Succeeded);
    Fact::AttemptEnded { attempt, outcome, evidence: Evidence::default() }
}

fn finish() -> Turn {
    let facts = vec![Fact::RunEnded { end: RunEnd::Succeeded { late: false } }];
    Turn { facts, effects: vec![Effect::Finish], reply: None }
}

fn facts(facts: Vec<Fact>) -> Turn {
    Turn { facts, ..Turn::default() }
}

fn wake(second: i64) -> Turn {
    Turn { effects: vec![Effect::WakeAt(anchor() + SignedDuration::from_secs(second))], ..Turn::default() }
}

struct Bed {
    log: Log,
    clock: Arc<PausedClock>,
    script: Script,
    journal: Failing,
    hosts: Hosts,
}

impl Bed {
    fn new(turns: impl IntoIterator<Item = Turn>) -> Self {
        let log = Log::default();
        Self {
            clock: PausedClock::start(),
            script: Script { turns: turns.into_iter().collect(), log: log.clone(), broken_jobs: false },
            journal: Failing {
                inner: MemoryJournal::default(),
                log: log.clone(),
                full_at: None,
                io_at: None,
                fenced_renewals: false,
                appends: 0,
                reserve: false,
                space_again: false,
            },
            hosts: Hosts { log: log.clone(), ends: false, clocks: Vec::new() },
            log,
        }
    }

    fn build(self) -> (RunLoop, Log) {
        let journal = Box::new(self.journal);
        (RunLoop::new(Box::new(self.script), journal, Arc::new(self.hosts), self.clock, &[]), self.log)
    }

    async fn drive(self) -> (Stopped, Vec<String>) {
        let (run_loop, log) = self.build();
        let (_keep, asked) = mpsc::channel(1);
        let stopped = tokio::time::timeout(
            Duration::from_secs(86_400),
            run_loop.drive(Input::Tick, asked, std::future::pending()),
        );
        (stopped.await.expect("the loop hangs"), lines(&log))
    }
}

#[tokio::test(start_paused = true)]
async fn facts_are_durable_before_their_effects() {
    let mut bed = Bed::new([launch(Direction::Do), facts(vec![]), finish()]);
    bed.hosts.ends = true;
    let (stopped, log) = bed.drive().await;
    assert!(matches!(stopped, Stopped::Ended));
    let attempt = "deploy/be1/do/1";
    assert_eq!(
        log,
        [
            "0s tick",
            "append 1",
            &format!("LAUNCH {attempt}"),
            &format!("0s launched {attempt}"),
            &format!("0s ended {attempt} succeeded"),
            "append 1",
            "journal closed",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_is_performed_when_its_facts_cannot_be_recorded() {
    let mut bed = Bed::new([launch(Direction::Do)]);
    bed.journal.io_at = Some(1);
    let (stopped, log) = bed.drive().await;
    let Stopped::JournalFailed { open, .. } = stopped else { panic!("{stopped:?}") };
    assert!(open.is_empty(), "it was never started");
    assert_eq!(log, ["0s tick", "append FAILS"]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_journal_names_what_may_be_half_done() {
    let mut bed = Bed::new([launch(Direction::Do), facts(vec![ended()])]);
    bed.hosts.ends = true;
    bed.journal.io_at = Some(2);
    let (stopped, log) = bed.drive().await;
    let Stopped::JournalFailed { open, error } = stopped else { panic!("{stopped:?}") };
    assert_eq!(open, [attempt(Direction::Do)]);
    assert!(error.to_string().contains("cannot be written"), "{error}");
    assert!(!log.iter().any(|l| l.starts_with("KILL")), "running attempts are left alone: {log:?}");
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_starts_nothing_more_but_undoes() {
    for direction in [Direction::Do, Direction::Undo] {
        // The pause, the launch where there is one, the end.
        let quiet = if direction == Direction::Do { 1 } else { 2 };
        let turns = [vec![launch(direction)], vec![facts(vec![]); quiet], vec![finish()]];
        let mut bed = Bed::new(turns.concat());
        (bed.journal.full_at, bed.journal.reserve, bed.hosts.ends) = (Some(1), true, true);
        let (stopped, log) = bed.drive().await;
        let launched = log.iter().any(|l| l.starts_with("LAUNCH"));
        assert_eq!(launched, direction == Direction::Undo, "{log:?}");
        assert!(log.contains(&"0s operator Pause".to_owned()), "the engine holds: {log:?}");
        let refused = log.iter().any(|l| l.contains("never started: there is no space left for the journal"));
        assert_eq!(refused, direction == Direction::Do, "{log:?}");
        assert!(matches!(stopped, Stopped::Ended));
    }
    let mut bed = Bed::new([launch(Direction::Do)]);
    bed.journal.full_at = Some(1);
    assert!(matches!(bed.drive().await.0, Stopped::JournalFailed { .. }), "nothing was set aside");
}

#[tokio::test(start_paused = true)]
async fn on_a_full_disk_nobody_goes_on_until_there_is_space_again() {
    for space_again in [false, true] {
        let mut bed = Bed::new([facts(vec![]), facts(vec![]), facts(vec![]), finish()]);
        bed.script.turns[0].facts = vec![ended()];
        (bed.journal.full_at, bed.journal.reserve, bed.journal.space_again) = (Some(1), true, space_again);
        let (run_loop, log) = bed.build();
        let (ask, asked) = mpsc::channel(4);
        let driven = tokio::spawn(run_loop.drive(Input::Tick, asked, std::future::pending()));
        // Longer than it takes to look for space again.
        tokio::time::sleep(Duration::from_secs(6)).await;
        let mut answers = Vec::new();
        for what in [Ask::Continue, Ask::Rollback { reason: None }] {
            let (reply, answered) = oneshot::channel();
            ask.send(Asked { operator: Operator { by: Actor::engine(), ask: what }, reply }).await.unwrap();
            answers.push(answered.await.unwrap());
        }
        let refused = matches!(&answers[0], Reply::Refused { why } if why.contains("no space left"));
        assert_eq!(refused, !space_again, "{answers:?}");
        let log = lines(&log);
        assert_eq!(log.iter().any(|l| l.contains("operator Continue")), space_again, "{log:?}");
        assert!(log.iter().any(|l| l.contains("operator Rollback")), "a way back is always open: {log:?}");
        driven.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_rendered_was_never_started() {
    let mut bed = Bed::new([launch(Direction::Do), finish()]);
    bed.script.broken_jobs = true;
    let (_, log) = bed.drive().await;
    assert!(log.contains(&"0s ended deploy/be1/do/1 never started: `{{ x }}` is not defined".to_owned()), "{log:?}");
}

#[tokio::test(start_paused = true)]
async fn the_engine_is_woken_when_it_asked_to_be_and_the_last_request_counts() {
    let mut first = wake(10);
    first.effects.extend(wake(3600).effects);
    let (_, log) = Bed::new([first, wake(50_000), finish()]).drive().await;
    assert_eq!(log[..3], ["0s tick", "3600s tick", "50000s tick"]);
}

#[tokio::test(start_paused = true)]
async fn a_jump_of_the_clock_is_told_within_a_heartbeat() {
    let bed = Bed::new([wake(60), facts(vec![]), finish()]);
    bed.clock.jumps.lock().unwrap().push_back(SignedDuration::from_secs(-3600));
    let (_, log) = bed.drive().await;
    assert_eq!(log[..3], ["0s tick", "5s jumped -3600s", "60s tick"]);
}

/// Whoever sets this machine's clock far forward is believed when the median of the hosts says so too.
#[tokio::test(start_paused = true)]
async fn a_clock_that_was_set_far_forward_counts_only_when_the_hosts_agree() {
    let tries = [
        (3600, vec![Some(900), None, Some(-4000), Some(7_200_000)], Some((900, true))),
        (3600, vec![Some(-3_600_000), Some(-3_600_500), Some(10)], Some((-3_600_000, false))),
        (3600, vec![None], None),
    ];
    for (jump, clocks, median) in tries {
        let mut bed = Bed::new([wake(60), facts(vec![]), facts(vec![]), finish()]);
        bed.hosts.clocks = clocks;
        bed.clock.jumps.lock().unwrap().push_back(SignedDuration::from_secs(jump));
        let clock = bed.clock.clone();
        let (_, log) = bed.drive().await;
        let off = median.map(|(off, _)| SignedDuration::from_millis(off));
        let agreed = median.is_some_and(|(_, agreed)| agreed);
        let judged = format!("5s {:?}", Input::ClockJudged { off, agreed });
        assert_eq!(log[1..3], ["5s jumped 3600s".to_owned(), judged]);
        assert_eq!(clock.accepted.load(Ordering::Relaxed), agreed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_taken_over_is_left_at_once() {
    let mut bed = Bed::new([launch(Direction::Do), facts(vec![])]);
    bed.journal.fenced_renewals = true;
    let (stopped, log) = bed.drive().await;
    assert!(matches!(stopped, Stopped::JournalFailed { error: JournalError::Fenced { .. }, .. }));
    assert!(!log.iter().any(|l| l.starts_with("KILL") || l == "journal closed"), "{log:?}");
}

#[tokio::test(start_paused = true)]
async fn asked_to_end_it_detaches_and_touches_no_host() {
    let (run_loop, log) = Bed::new([launch(Direction::Do)]).build();
    let (_keep, asked) = mpsc::channel(1);
    let stop = tokio::time::sleep(Duration::from_secs(7));
    let stopped = run_loop.drive(Input::Tick, asked, stop).await;
    assert!(matches!(stopped, Stopped::Detached));
    assert_eq!(lines(&log)[3..], ["journal closed"]);
}

#[tokio::test(start_paused = true)]
async fn a_person_is_answered_after_the_facts_are_durable() {
    let mut answered = facts(vec![Fact::WindowOpened]);
    answered.reply = Some(Reply::Accepted { facts: vec![Fact::WindowOpened] });
    let (run_loop, log) = Bed::new([facts(vec![]), answered, facts(vec![]), finish()]).build();
    let (ask, asked) = mpsc::channel(1);
    let driving = tokio::spawn(run_loop.drive(Input::Tick, asked, std::future::pending()));
    let request = |ask_for| {
        let (reply, answer) = oneshot::channel();
        (Asked { operator: Operator { by: Actor::engine(), ask: ask_for }, reply }, answer)
    };
    let (first, answer) = request(Ask::Continue);
    ask.send(first).await.unwrap();
    let accepted = answer.await.unwrap();
    assert!(lines(&log).contains(&"append 1".to_owned()));
    assert!(matches!(accepted, Reply::Accepted { .. }));
    let (second, answer) = request(Ask::Continue);
    ask.send(second).await.unwrap();
    assert!(matches!(answer.await.unwrap(), Reply::Refused { .. }), "an engine that says nothing refuses");
    let (last, _) = request(Ask::Pause);
    ask.send(last).await.unwrap();
    assert!(matches!(driving.await.unwrap(), Stopped::Ended));
}

#[tokio::test]
async fn the_control_socket_answers_every_line() {
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};
    let tmp = tempfile::tempdir().unwrap();
    let path = tmp.path().join("night-a.sock");
    let listener = control::bind(&path).unwrap();
    assert!(control::bind(&path).is_err(), "somebody answers there");
    let hello = Hello { run: "night-a".into(), pid: 7, epoch: 1 };
    let (ask, mut asked) = mpsc::channel::<Asked>(4);
    let serving = tokio::spawn(control::serve(listener, hello.clone(), ask));
    let engine = tokio::spawn(async move {
        let one = asked.recv().await.unwrap();
        one.reply.send(Reply::Refused { why: format!("{:?}", one.operator.ask) }).unwrap();
    });
    let stream = tokio::net::UnixStream::connect(&path).await.unwrap();
    let (read, mut write) = stream.into_split();
    let mut read = tokio::io::BufReader::new(read).lines();
    let operator = Operator { by: Actor::engine(), ask: Ask::Pause };
    let requests = [
        serde_json::to_string(&Request::Hello).unwrap(),
        serde_json::to_string(&Request::Ask(operator.clone())).unwrap(),
        "{\"nonsense\":1}".to_owned(),
        serde_json::to_string(&Request::Ask(operator)).unwrap(),
    ];
    let mut answers = Vec::new();
    for request in requests {
        write.write_all(format!("{request}\n").as_bytes()).await.unwrap();
        answers.push(serde_json::from_str::<Response>(&read.next_line().await.unwrap().unwrap()).unwrap());
    }
    assert_eq!(answers[0], Response::Hello(hello));
    assert_eq!(answers[1], Response::Reply(Reply::Refused { why: "Pause".into() }));
    assert!(matches!(&answers[2], Response::Failed { why } if why.contains("cannot be read")), "{answers:?}");
    assert!(matches!(&answers[3], Response::Failed { why } if why.contains("about to end")), "{answers:?}");
    engine.await.unwrap();
    serving.abort();
    let _ = serving.await;
    assert!(control::bind(&path).is_ok(), "a socket that nobody answers is replaced");
}
