//! The journal as a stream: one JSON object per line, `hello` first. A contract for programs; unaware of terminals.
//!
//! Each fact gives one line with its `seq`; so a reader that saw `seq` 58 goes on with 59. What follows from a fact for
//! a whole step (`step.started`, `step.finished`, ...) comes right after it and carries the same `seq`. Times are RFC
//! 3339 with the plan's offset, durations numbers of seconds in keys that end in `_s`. `msg` is for people and may
//! change; all other keys only grow, and unknown types and keys must be ignored. Output of hosts is never in here.

use std::io::Write;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Reporter;
use super::clock::{Clock, span};
use super::{odds, words};
use crate::engine::fact::{Actor, Fact, FactRecord, RunEnd};
use crate::graph::ids::{ActionId, AttemptId};
use crate::graph::outcome::{Evidence, Outcome};
use crate::view::{ActionState, Mark, Outlook, RunView, What};

/// Version of the stream's schema.
pub const SCHEMA: &str = "1.0";

/// Writes the stream. Errors in writing are not ours to handle: the run goes on without a reader.
#[expect(missing_debug_implementations, reason = "holds a writer")]
pub struct JsonStream {
    out: Box<dyn Write + Send>,
    greeted: bool,
    told: usize,
    outlook: Outlook,
}

impl JsonStream {
    #[must_use]
    pub fn new(out: Box<dyn Write + Send>) -> Self {
        Self { out, greeted: false, told: 0, outlook: Outlook::default() }
    }

    #[must_use]
    pub fn stdout() -> Self {
        Self::new(Box::new(std::io::stdout()))
    }

    fn put(&mut self, object: &Map<String, Value>) {
        if let Ok(line) = serde_json::to_string(object) {
            let _ = writeln!(self.out, "{line}");
        }
    }
}

impl Reporter for JsonStream {
    fn facts(&mut self, view: &RunView, new: &[FactRecord], now: Timestamp) {
        let clock = words::clock_of(view);
        if !self.greeted
            && let Some(at) = view.began()
        {
            self.greeted = true;
            self.put(&hello(view, &clock, at));
            // Somebody who joins late hears what is new, not what every step meant so far.
            let first = new.first().map_or(view.seq() + 1, |r| r.seq);
            self.told = view.events().partition_point(|e| e.seq < first);
        }
        for record in new {
            if !matches!(record.fact, Fact::RunStarted(_)) {
                let mut object = Object::of(record, &clock).fill(view, now);
                if matches!(record.fact, Fact::RollBackByMoved { .. }) {
                    let odds = self.outlook.look(view, record.at).map(|o| odds::document(o, &clock));
                    object.extend(odds.map(|odds| ("odds".to_owned(), odds)));
                }
                self.put(&object);
            }
            let events = view.events();
            while let Some(event) = events.get(self.told).filter(|e| e.seq <= record.seq) {
                self.told += 1;
                if let Some(object) = of_step(view, &clock, event.seq, event.at, &event.what) {
                    self.put(&object);
                }
            }
        }
        let _ = self.out.flush();
    }

    fn tick(&mut self, _view: &RunView, _now: Timestamp) {}

    fn finish(&mut self, _view: &RunView, _now: Timestamp) {
        let _ = self.out.flush();
    }
}

/// An object in the making.
struct Object<'a> {
    map: Map<String, Value>,
    clock: &'a Clock,
    record: &'a FactRecord,
}

fn head(kind: &str, seq: u64, at: Timestamp, clock: &Clock) -> Map<String, Value> {
    let mut map = Map::new();
    map.insert("v".into(), json!(1));
    map.insert("seq".into(), json!(seq));
    map.insert("t".into(), json!(clock.rfc3339(at)));
    map.insert("type".into(), json!(kind));
    map
}

fn hello(view: &RunView, clock: &Clock, at: Timestamp) -> Map<String, Value> {
    let mut map = head("hello", 1, at, clock);
    let version = env!("CARGO_PKG_VERSION");
    map.insert("runbook".into(), json!(version));
    map.insert("schema".into(), json!(SCHEMA));
    if let Some(h) = view.header() {
        map.insert("run".into(), json!(h.run));
        map.insert("plan".into(), json!(h.plan));
        map.insert("title".into(), json!(h.title));
        map.insert("digest".into(), json!(h.digest));
        map.extend(words::wave_document(view).map(|wave| ("wave".to_owned(), wave)));
        map.insert("by".into(), json!(h.by.name));
        map.insert("controller".into(), json!(h.controller));
        if let Some(w) = h.window {
            map.insert("opens".into(), json!(clock.rfc3339(w.opens)));
            map.insert("closes".into(), json!(clock.rfc3339(w.closes)));
            map.insert("reserve_s".into(), seconds(w.reserve));
        }
        map.insert("steps".into(), json!(h.steps));
        map.insert("actions".into(), json!(h.actions));
        if !h.baseline.is_empty() {
            map.insert("baseline".into(), named(&h.baseline));
        }
    }
    map.insert("msg".into(), json!(format!("runbook {version}")));
    map
}

fn seconds(d: SignedDuration) -> Value {
    let millis = d.as_millis();
    if millis % 1000 == 0 { json!(d.as_secs()) } else { json!(millis as f64 / 1000.0) }
}

/// A value of our own enums, as serde names it.
fn named(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}

/// The dotted name of a fact's line.
const fn kind(fact: &Fact) -> &'static str {
    match fact {
        Fact::RunStarted(_) => "hello",
        Fact::WindowOpened => "window.opened",
        Fact::ActionSkipped { .. } => "action.skipped",
        Fact::AttemptArmed { .. } => "attempt.armed",
        Fact::AttemptLaunched { .. } => "attempt.launched",
        Fact::LinkLost { .. } => "link.lost",
        Fact::LinkRestored { .. } => "link.restored",
        Fact::AttemptEnded { .. } => "attempt.ended",
        Fact::ActionFailed { .. } => "action.failed",
        Fact::KillRequested { .. } => "attempt.killing",
        Fact::RetryScheduled { .. } => "attempt.scheduled",
        Fact::WaitStarted { .. } => "wait.started",
        Fact::WaitEnded { .. } => "wait.ended",
        Fact::ActionLate { .. } => "action.late",
        Fact::GateOpened { .. } => "gate.opened",
        Fact::GateAnswered { .. } => "gate.answered",
        Fact::AdmissionRefused { .. } => "admission.refused",
        Fact::HoldOpened { .. } => "hold.opened",
        Fact::HoldAnswered { .. } => "hold.answered",
        Fact::RollBackByMoved { .. } => "forecast",
        Fact::CallDue { .. } => "call.due",
        Fact::RoomWarning { .. } => "room",
        Fact::ReversibleEnded { .. } => "reversible.ended",
        Fact::HorizonCrossed { .. } => "horizon.crossed",
        Fact::HorizonKept { .. } => "horizon.kept",
        Fact::RollbackDecided { .. } => "rollback.decided",
        Fact::UndoParked { .. } => "undo.parked",
        Fact::ActionMarked { .. } => "action.marked",
        Fact::WindowExtended { .. } => "window.extended",
        Fact::PlanAmended { .. } => "plan.amended",
        Fact::Noted { .. } => "note",
        Fact::Resumed { .. } => "resumed",
        Fact::ClockJumped { .. } => "clock.jumped",
        Fact::ClockJudged { .. } => "clock.judged",
        Fact::RunEnded { .. } => "run.ended",
        Fact::Unknown => "unknown",
    }
}

impl<'a> Object<'a> {
    fn of(record: &'a FactRecord, clock: &'a Clock) -> Self {
        Self { map: head(kind(&record.fact), record.seq, record.at, clock), clock, record }
    }

    fn put(&mut self, key: &str, value: Value) {
        if !value.is_null() {
            self.map.insert(key.into(), value);
        }
    }

    fn time(&mut self, key: &str, at: Option<Timestamp>) {
        let at = at.map_or(Value::Null, |t| json!(self.clock.rfc3339(t)));
        self.put(key, at);
    }

    fn action(&mut self, id: &ActionId) {
        self.put("step", json!(id.step()));
        self.put("host", id.host().map_or(Value::Null, |h| json!(h)));
    }

    fn attempt(&mut self, attempt: &AttemptId) {
        self.action(&attempt.action);
        self.put("direction", json!(attempt.direction.as_str()));
        self.put("attempt", json!(attempt.number));
    }

    fn by(&mut self, by: &Actor) {
        self.put("by", json!(by.name));
        self.put("channel", named(&by.channel));
    }

    fn fill(mut self, view: &RunView, now: Timestamp) -> Map<String, Value> {
        let msg = self.keys(view, now);
        self.put("msg", json!(msg));
        self.map
    }

    /// Adds the keys of this fact; returns the line for people.
    fn keys(&mut self, view: &RunView, now: Timestamp) -> String {
        match &self.record.fact {
            Fact::RunStarted(_) | Fact::Unknown => String::new(),
            Fact::WindowOpened => {
                self.time("closes", view.closes());
                self.put("reserve_s", seconds(view.reserve()));
                view.closes().map_or("started".into(), |c| format!("window open until {}", self.clock.hm(c)))
            }
            Fact::ActionSkipped { action, why } => {
                self.action(action);
                self.put("why", named(why));
                format!("{} skipped", words::action(action))
            }
            Fact::AttemptArmed { attempt } => self.attempt_line(attempt, "armed"),
            Fact::AttemptLaunched { attempt } => self.attempt_line(attempt, "started"),
            Fact::LinkLost { attempt, why } => {
                self.put("why", json!(why));
                self.attempt_line(attempt, "lost; it goes on by itself")
            }
            Fact::LinkRestored { attempt } => self.attempt_line(attempt, "reachable again"),
            Fact::AttemptEnded { attempt, outcome, evidence } => self.ended(attempt, outcome, evidence),
            Fact::ActionFailed { action, then } => {
                self.action(action);
                self.put("then", named(then));
                self.put("red_before", if view.red_before(action) { json!(true) } else { Value::Null });
                self.put("inconclusive", if view.says_nothing(action) { json!(true) } else { Value::Null });
                format!("{} failed", words::action(action))
            }
            Fact::KillRequested { attempt, why } => {
                self.put("why", named(why));
                self.attempt_line(attempt, "is being ended")
            }
            Fact::RetryScheduled { attempt, at } => {
                self.time("at", Some(*at));
                self.attempt_line(attempt, "will be tried again")
            }
            Fact::WaitStarted { action, until } => {
                self.action(action);
                self.time("until", Some(*until));
                format!("{} until {}", words::action(action), self.clock.hm(*until))
            }
            Fact::WaitEnded { action } => {
                self.action(action);
                format!("{} waited", words::action(action))
            }
            Fact::ActionLate { action } => {
                self.action(action);
                format!("{} is late", words::action(action))
            }
            Fact::GateOpened { action, answer_by } => self.gate_opened(view, action, *answer_by),
            Fact::GateAnswered { action, answer, by, defects, note } => {
                self.put("gate", json!(action.step()));
                self.put("answer", named(answer));
                self.by(by);
                self.put("defects", json!(defects));
                self.put("note", json!(note));
                format!("{} answered by {}", action.step(), by.name)
            }
            Fact::AdmissionRefused { action, numbers } => {
                self.action(action);
                self.time("ends", Some(numbers.ends));
                self.put("rollback_s", seconds(numbers.rollback));
                self.time("rollback_by", Some(numbers.roll_back_by));
                format!("{} would end too late", words::action(action))
            }
            Fact::HoldOpened { reason, limit, default } => {
                self.put("reason", named(reason));
                self.time("limit", *limit);
                self.put("default", json!(default.word()));
                let answers: Vec<&str> = view.hold_answers(now).iter().map(|a| a.word).collect();
                self.put("answers", json!(answers));
                words::held(view, reason)
            }
            Fact::HoldAnswered { answer, by, note } => {
                self.put("answer", json!(answer.word()));
                self.by(by);
                self.put("note", json!(note));
                format!("{} says {}", by.name, answer.word())
            }
            Fact::RollBackByMoved { at, rollback_now } => self.forecast(view, *at, *rollback_now),
            Fact::CallDue { action, expected, planned } => {
                self.action(action);
                self.time("expected", Some(*expected));
                self.time("planned", *planned);
                format!("call the people of {}: expected {}", action.step(), self.clock.hm(*expected))
            }
            Fact::RoomWarning { room } => {
                self.put("room_s", seconds(*room));
                format!("room {}", span(*room))
            }
            Fact::ReversibleEnded { why } => {
                self.put("why", json!(why));
                "no way back from here".into()
            }
            Fact::HorizonCrossed { action, opens, expired } => {
                self.action(action);
                self.put("opens", json!(opens));
                self.put("expired", json!(expired));
                format!("{opens} opened")
            }
            Fact::HorizonKept { opens } => {
                self.put("opens", json!(opens));
                format!("{opens} did not open after all")
            }
            Fact::RollbackDecided { cause } => {
                self.put("cause", named(cause));
                format!("rollback: {}", words::cause(cause))
            }
            Fact::UndoParked { action, why } => {
                self.action(action);
                self.put("why", json!(why));
                self.put("command", json!(view.undo_by_hand(action)));
                format!("{} needs a person", words::action(action))
            }
            Fact::ActionMarked { action, mark, by, reason } => {
                self.action(action);
                self.put("mark", named(mark));
                self.by(by);
                self.put("reason", json!(reason));
                format!("{} marked by {}", words::action(action), by.name)
            }
            Fact::WindowExtended { closes, by, granted_by, reason } => {
                self.time("closes", Some(*closes));
                self.by(by);
                self.put("granted_by", json!(granted_by));
                self.put("reason", json!(reason));
                format!("window extended to {}", self.clock.hm(*closes))
            }
            Fact::PlanAmended { amendment, by } => {
                self.by(by);
                self.put("digest", json!(amendment.digest));
                self.put("changes", json!(amendment.changes));
                self.put("reason", json!(amendment.reason));
                "plan amended".to_owned()
            }
            Fact::Noted { text, by } => {
                self.by(by);
                self.put("text", json!(text));
                text.clone()
            }
            Fact::Resumed { by, epoch } => {
                self.by(by);
                self.put("epoch", json!(epoch));
                format!("{} took over", by.name)
            }
            Fact::ClockJumped { by } => {
                self.put("by_s", seconds(*by));
                format!("the clock jumped {}", span(*by))
            }
            Fact::ClockJudged { off, agreed } => {
                self.put("off_s", json!(off.map(seconds)));
                self.put("agreed", json!(agreed));
                if *agreed { "the clock counts" } else { "the time since boot counts" }.to_owned()
            }
            Fact::RunEnded { end } => self.run_ended(end),
        }
    }

    fn attempt_line(&mut self, attempt: &AttemptId, what: &str) -> String {
        self.attempt(attempt);
        format!("{} {what}", words::action(&attempt.action))
    }

    fn ended(&mut self, attempt: &AttemptId, outcome: &Outcome, evidence: &Evidence) -> String {
        self.attempt(attempt);
        self.put("outcome", json!(outcome.word()));
        match outcome {
            Outcome::Failed { exit } => self.put("exit", json!(exit)),
            Outcome::Killed { signal } => self.put("signal", json!(signal)),
            Outcome::NeverStarted { why } | Outcome::InDoubt { why } => self.put("why", json!(why)),
            Outcome::Succeeded => self.put("exit", json!(0)),
            Outcome::TimedOut | Outcome::Cancelled | Outcome::Interrupted => {}
        }
        self.put("duration_s", evidence.took.map_or(Value::Null, seconds));
        self.put("lines", json!(evidence.lines));
        self.put("note", json!(evidence.note));
        self.put("log", log(&attempt.action));
        format!("{}: {outcome}", words::action(&attempt.action))
    }

    fn gate_opened(&mut self, view: &RunView, action: &ActionId, by: Option<Timestamp>) -> String {
        let step = view.row_by_name(action.step()).map(|r| r.step);
        let gate = step.and_then(|s| s.gate.as_ref());
        self.put("gate", json!(action.step()));
        if let Some(gate) = gate {
            self.put("question", json!(gate.question));
            self.put("who", json!(gate.who));
            self.put("checklist", json!(gate.checklist));
        }
        let horizons = view.graph().find_step(action.step()).map(|gate| view.graph().horizons_after(gate));
        if let Some(horizons) = horizons.filter(|steps| !steps.is_empty()) {
            self.put("horizons", super::plan_json::horizons(view.graph(), &horizons));
        }
        self.time("answer_by", by);
        self.put("answers", json!(["approve", "approve_with_defects", "reject"]));
        self.put("on_timeout", json!("rollback"));
        let who = step.map_or(String::new(), |s| words::people(view, s, false));
        format!("{} waits for {}", action.step(), if who.is_empty() { "an answer" } else { &who })
    }

    fn forecast(&mut self, view: &RunView, by: Option<Timestamp>, rollback_now: SignedDuration) -> String {
        let at = self.record.at;
        let finish = view.forecast(at).finish;
        self.time("finish", Some(finish));
        self.time("rollback_by", by);
        self.put("room_s", by.map_or(Value::Null, |by| seconds(by.duration_since(at))));
        self.put("rollback_now_s", seconds(rollback_now));
        self.put("done", json!(view.steps_done()));
        self.put("total", json!(view.steps_total()));
        format!("finish {}", self.clock.hm(finish))
    }

    fn run_ended(&mut self, end: &RunEnd) -> String {
        let (state, msg) = match end {
            RunEnd::Succeeded { late } => {
                self.put("late", json!(late));
                ("succeeded", "every step is done")
            }
            RunEnd::RolledBack { verified, late } => {
                self.put("verified", json!(verified));
                self.put("late", json!(late));
                ("rolled_back", "rolled back")
            }
            RunEnd::Stuck { actions } => {
                self.put("actions", json!(actions));
                ("stuck", "a person is needed now")
            }
            RunEnd::Rejected => ("rejected", "nothing was started"),
        };
        self.put("state", json!(state));
        msg.into()
    }
}

fn log(action: &ActionId) -> Value {
    action.host().map_or(Value::Null, |host| json!(format!("logs/{}/{host}.log", action.step())))
}

/// What a fact meant for a whole step.
fn of_step(view: &RunView, clock: &Clock, seq: u64, at: Timestamp, what: &What) -> Option<Map<String, Value>> {
    let (kind, msg) = match what {
        What::StepStarted { step, hosts } => ("step.started", format!("{step} started on {}", words::hosts(hosts))),
        What::StepDone { step, took, .. } => ("step.finished", format!("{step} done in {}", span(*took))),
        What::StepSkipped { step, why, .. } => ("step.finished", format!("{step} skipped: {why}")),
        What::UndoStarted { step, hosts } => ("undo.started", format!("undoing {step} on {}", words::hosts(hosts))),
        What::StepUndone { step, took, .. } => ("undo.finished", format!("{step} undone in {}", span(*took))),
        _ => return None,
    };
    let mut map = head(kind, seq, at, clock);
    map.insert("step".into(), json!(what.step()));
    match what {
        What::StepStarted { step, hosts } | What::UndoStarted { step, hosts } => {
            map.insert("hosts".into(), json!(hosts));
            if let Some(e) = view.row_by_name(step).and_then(|r| r.step.estimate) {
                map.insert("estimate_s".into(), json!([e.expected.as_secs(), e.worst.as_secs()]));
            }
        }
        What::StepDone { step, took, mark, .. } => {
            map.insert("state".into(), json!("done"));
            if let Some(mark) = mark {
                map.insert("mark".into(), json!(if *mark == Mark::Fast { "fast" } else { "late" }));
            }
            map.insert("duration_s".into(), seconds(*took));
            map.insert("hosts".into(), hosts_of(view, step));
        }
        What::StepSkipped { hosts, .. } => {
            map.insert("state".into(), json!("skipped"));
            map.insert("hosts".into(), json!(hosts));
        }
        What::StepUndone { hosts, took, .. } => {
            map.insert("duration_s".into(), seconds(*took));
            map.insert("hosts".into(), json!(hosts));
        }
        _ => {}
    }
    map.insert("msg".into(), json!(msg));
    Some(map)
}

/// `{"db1": {"state": "done", "exit": 0, "log": "logs/backup-db/db1.log"}}`.
fn hosts_of(view: &RunView, step: &str) -> Value {
    let Some(row) = view.row_by_name(step) else { return json!({}) };
    let mut hosts = Map::new();
    for action in view.actions_of(row.ix) {
        let Some(host) = action.id.host() else { continue };
        let exit = match &action.outcome {
            Some(Outcome::Succeeded) => json!(0),
            Some(Outcome::Failed { exit }) => json!(exit),
            _ => Value::Null,
        };
        let state = if action.state == ActionState::Failed { "failed" } else { "done" };
        hosts.insert(host.into(), json!({ "state": state, "exit": exit, "log": log(&action.id) }));
    }
    Value::Object(hosts)
}
