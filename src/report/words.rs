//! Facts' enums in the words of the screens. Everything that a person or host wrote comes out escaped.

use serde_json::{Value, json};

use super::clock::Clock;
use super::escape::escape_for_terminal as esc;
use crate::engine::fact::{Actor, Channel, FleetStop, HoldReason, RollbackCause};
use crate::graph::ids::{ActionId, Direction};
use crate::graph::{Graph, StepIx, parts};
use crate::plan::injected;
use crate::plan::model::{Gate, Plan, Step, Verb, Wait};
use crate::schedule::probably;
use crate::view::{ActionState, RunView};

/// `fe1 fe2`, `here`, `103 hosts`, nothing for an action that runs nowhere.
pub(super) fn hosts(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] if one == "local" => "here".into(),
        many if many.len() <= 4 && many.iter().map(|h| h.len() + 1).sum::<usize>() <= 44 => esc(&many.join(" ")),
        many => format!("{} hosts", many.len()),
    }
}

/// `db-scripts on db1`, or just the step where it runs nowhere.
pub(super) fn action(id: &ActionId) -> String {
    let step = step_name(id.step());
    match id.host() {
        Some("local") => format!("{step} here"),
        Some(host) => format!("{step} on {host}"),
        None => step.to_owned(),
    }
}

/// `Sarah`, `Sarah (web)`.
pub(super) fn actor(by: &Actor) -> String {
    let name = esc(&by.name);
    match by.channel {
        Channel::Cli | Channel::Engine => name,
        Channel::Web => format!("{name} (web)"),
        Channel::Link => format!("{name} (link)"),
    }
}

pub(super) fn cause(cause: &RollbackCause) -> String {
    match cause {
        RollbackCause::Failed { action: id } => format!("{} failed", action(id)),
        RollbackCause::Rejected { action: id, by } => format!("{} rejected by {}", id.step(), actor(by)),
        RollbackCause::Deadline => "the last moment to roll back has come".into(),
        RollbackCause::Admission { action: id } => format!("{} would end too late", action(id)),
        RollbackCause::Person { by, reason: Some(reason) } => format!("asked for by {}: {}", actor(by), esc(reason)),
        RollbackCause::Person { by, reason: None } => format!("asked for by {}", actor(by)),
        RollbackCause::Unanswered => "nobody answered".into(),
    }
}

/// `open opens writes: then the undos of load and migrate expire`.
#[must_use]
pub fn horizon(graph: &Graph, step: StepIx) -> String {
    let opens = graph.step(step).opens.as_deref().unwrap_or_default();
    let expired: Vec<&str> = graph.expires_with(step).into_iter().map(|s| graph.step(s).id.as_str()).collect();
    format!("{} opens {opens}: then {}", graph.step(step).id, undos_of(&expired, "expires", "expire"))
}

/// `the undo of migrate has expired`.
pub(super) fn undos_of(steps: &[&str], one: &str, several: &str) -> String {
    match steps {
        [step] => format!("the undo of {step} {one}"),
        [first @ .., last] => format!("the undos of {} and {last} {several}", first.join(", ")),
        [] => format!("no undo {one}"),
    }
}

/// `the undo of migrate has expired and is left to you`.
#[must_use]
pub fn left_to_people(expired: &[&str]) -> String {
    undos_of(expired, "has expired and is left to you", "have expired and are left to you")
}

/// What follows from it.
pub(super) const FORWARD_ONLY: &str = "nothing is rolled back by itself any more";

/// Why the run is held, with what tests have not said and what was seen of them before the night.
pub(super) fn held(view: &RunView, reason: &HoldReason) -> String {
    let failed = reason.failed().unwrap_or_default();
    let those = |known: &dyn Fn(&ActionId) -> bool, what: &str| {
        let some: Vec<ActionId> = failed.iter().filter(|id| known(id)).cloned().collect();
        match some.len() {
            0 => String::new(),
            n if n == failed.len() => format!("; {what}"),
            _ => format!("; {} {what}", actions_of(&some)),
        }
    };
    let red = those(&|id| view.red_before(id), "red before the night");
    let open = those(&|id| view.says_nothing(id), "could not judge");
    format!("{}{open}{red}", hold_reason(reason))
}

fn hold_reason(reason: &HoldReason) -> String {
    match reason {
        HoldReason::Failed { actions } => format!("{} failed", actions_of(actions)),
        HoldReason::ForwardOnly { actions } => {
            format!("{} failed; from here only forward", actions_of(actions))
        }
        HoldReason::FleetStopped { step, actions, why, done, not_started } => {
            fleet_stopped(step, actions, why, *done, *not_started)
        }
        HoldReason::RollbackGrace { cause: c } => format!("rollback: {}", cause(c)),
        HoldReason::Quick { action: id } => format!("{} was suspiciously quick", action(id)),
        HoldReason::Deadline => "the last moment to roll back is near".into(),
        HoldReason::Unlikely { done, rollback_fits, below } => unlikely(*done, *rollback_fits, *below),
        HoldReason::Paused { by } => format!("paused by {}", actor(by)),
        HoldReason::ManualUndo { action: id, text } => format!("undo {} by hand: {}", action(id), esc(text)),
        HoldReason::RollbackPaused { by } => format!("rollback paused by {}", actor(by)),
        HoldReason::Clock => "clocks disagree by more than a minute".into(),
    }
}

/// What is the less likely of the two.
fn unlikely(done: u8, rollback_fits: u8, below: u8) -> String {
    let (what, percent) = match rollback_fits < done {
        true => ("a rollback fits until the last decision", rollback_fits),
        false => ("done by the close", done),
    };
    format!("{what}: {} likely, and the plan asks below {below}%", probably(f64::from(percent) / 100.0))
}

/// `update stopped: 3 failed, 2 allowed (of 103); 77 done, 23 not started`.
fn fleet_stopped(step: &str, failed: &[ActionId], why: &FleetStop, done: u32, not_started: u32) -> String {
    let why = match why {
        FleetStop::TooManyFailed { allowed, of } => format!("{} failed, {allowed} allowed (of {of})", failed.len()),
        FleetStop::Canary => {
            format!("{}, its first host, failed", failed.first().and_then(ActionId::host).unwrap_or(""))
        }
        FleetStop::KeepUp { group, up, keep } => {
            format!("{up} of {} in service, {keep} must stay; {} failed", esc(group), failed.len())
        }
    };
    format!("{step} stopped: {why}; {done} done, {not_started} not started")
}

fn actions_of(ids: &[ActionId]) -> String {
    match ids {
        [] => "something".into(),
        [one] => action(one),
        [first, rest @ ..] if rest.iter().all(|a| a.step() == first.step()) => {
            let names: Vec<String> = ids.iter().filter_map(|a| a.host().map(str::to_owned)).collect();
            format!("{} on {}", first.step(), hosts(&names))
        }
        [first, rest @ ..] => format!("{} and {} more", action(first), rest.len()),
    }
}

/// What a step does, in one line, as the plan writes it.
pub(super) fn what(step: &Step) -> String {
    let machine = match &step.verb {
        Verb::Run(text) => first_line(text),
        Verb::Script(file) => format!("script {}", esc(file)),
        Verb::Copy(file) => format!("copy {} to {}", esc(&file.src), esc(&file.dest)),
        Verb::Template { file, .. } => format!("template {} to {}", esc(&file.src), esc(&file.dest)),
        Verb::Test(text) => format!("test {}", first_line(text)),
        Verb::Http(check) => format!("{} {}", esc(&check.method), esc(&check.url)),
        Verb::Gate => String::new(),
        Verb::Wait(Wait::For(d)) => format!("wait {}", super::clock::span(*d)),
        Verb::Wait(Wait::At(_)) => "wait for the clock".into(),
        Verb::Wait(Wait::Until { command, .. }) => format!("wait until {}", first_line(command)),
    };
    match &step.gate {
        Some(gate) if machine.is_empty() => esc(&gate.question),
        _ => machine,
    }
}

fn first_line(text: &str) -> String {
    let mut lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
    let first = esc(lines.next().unwrap_or(""));
    match lines.count() {
        0 => first,
        more => format!("{first} (+{more} lines)"),
    }
}

/// What an attempt is for, before what became of it: nothing for the work itself.
pub(super) const fn part_prefix(part: Direction) -> &'static str {
    match part {
        Direction::Do => "",
        Direction::Check => "verify: ",
        Direction::Undo => "undo: ",
        Direction::UndoCheck => "verify of the undo: ",
        Direction::Drain => "drain: ",
        Direction::Drained => "until drained: ",
        Direction::Reboot => "reboot: ",
        Direction::Undrain => "undrain: ",
        Direction::Undrained => "until undrained: ",
        Direction::UndoReboot => "reboot after the undo: ",
        Direction::UndoUndrain => "undrain after the undo: ",
        Direction::UndoUndrained => "until undrained after the undo: ",
    }
}

/// The command that an attempt of this step executed.
pub(super) fn command(view: &RunView, id: &ActionId, direction: Direction) -> Option<String> {
    let graph = view.graph();
    let step = graph.find(id).map(|ix| graph.step_of(ix)).or(graph.plan().after_rollback.as_ref())?;
    let text = match direction {
        Direction::Do => match &step.verb {
            Verb::Run(t) | Verb::Test(t) => t.clone(),
            _ => what(step),
        },
        Direction::Check => step.verify.clone()?,
        Direction::Undo => view.undo_by_hand(id)?,
        Direction::UndoCheck => step.rollback()?.verify.clone()?,
        Direction::Reboot | Direction::UndoReboot => return Some("reboot".into()),
        Direction::Drain | Direction::Undrain | Direction::UndoUndrain => parts::drain_of(step, direction)?.run.clone(),
        Direction::Drained | Direction::Undrained | Direction::UndoUndrained => {
            parts::drain_of(step, direction)?.until.clone()?
        }
    };
    Some(first_line(injected::own_text(&text).unwrap_or(&text)))
}

/// Whether the failure of this attempt was asked for.
pub(super) fn asked_to_fail(view: &RunView, id: &ActionId, direction: Direction) -> bool {
    let graph = view.graph();
    let Some(step) = graph.find(id).map(|ix| graph.step_of(ix)) else { return false };
    let text = match (direction, &step.verb) {
        (Direction::Do, Verb::Run(t) | Verb::Test(t)) => Some(t),
        (Direction::Check, _) => step.verify.as_ref(),
        _ => None,
    };
    text.is_some_and(|t| injected::own_text(t).is_some())
}

/// A step's name as it is said: the test after a rollback has none of its own.
pub(super) fn step_name(id: &str) -> &str {
    if id == "after_rollback" { "old version" } else { id }
}

/// Names of the people a gate asks: `Sarah, Dev`.
pub(super) fn people(view: &RunView, step: &Step, phones: bool) -> String {
    names(view.graph().plan(), step, phones)
}

/// The same, before there is a run.
pub(super) fn names(plan: &Plan, step: &Step, phones: bool) -> String {
    step.gate.as_ref().map_or(String::new(), |gate| who(plan, gate, phones))
}

/// Who a gate asks.
pub(super) fn who(plan: &Plan, gate: &Gate, phones: bool) -> String {
    let one = |key: &String| match plan.people.get(key) {
        Some(p) => match (&p.phone, phones) {
            (Some(phone), true) => esc(&format!("{} {phone}", p.name)),
            _ => esc(&p.name),
        },
        None => esc(key),
    };
    gate.who.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// `7c1f-9a3e`.
#[must_use]
pub fn short_digest(digest: &str) -> String {
    let hex: Vec<char> = digest.chars().filter(char::is_ascii_hexdigit).take(8).collect();
    let text = |part: &[char]| part.iter().collect::<String>();
    match hex.len() {
        8 => format!("{}-{}", text(&hex[..4]), text(&hex[4..])),
        _ => esc(digest),
    }
}

/// `wave tue-tests 4/8, week: 22 of 236 hosts`, of the run of a wave.
#[must_use]
pub fn wave(view: &RunView) -> Option<String> {
    let wave = view.header()?.options.wave.as_ref()?;
    let (name, week) = (esc(&wave.name), view.week_done());
    Some(format!("wave {name} {}/{}, week: {week} of {} hosts", wave.number, wave.of, wave.week_hosts))
}

/// The same for programs.
#[must_use]
pub fn wave_document(view: &RunView) -> Option<Value> {
    let wave = view.header()?.options.wave.as_ref()?;
    Some(json!({
        "name": wave.name,
        "number": wave.number,
        "of": wave.of,
        "hosts": wave.hosts.len(),
        "week_done": view.week_done(),
        "week_hosts": wave.week_hosts,
    }))
}

/// The clock of this run's plan.
#[must_use]
pub fn clock_of(view: &RunView) -> Clock {
    let from_run = view.header().and_then(|h| h.timezone.as_deref());
    Clock::new(from_run.or(view.graph().plan().timezone.as_deref()))
}

/// The state of one host, as a word: finished ones loud, others quiet.
#[must_use]
pub const fn state_word(state: ActionState) -> &'static str {
    match state {
        ActionState::Waiting => "waiting",
        ActionState::Running => "running",
        ActionState::Soaking => "soaking",
        ActionState::Asking => "asking",
        ActionState::BackingOff => "retrying",
        ActionState::Done => "DONE",
        ActionState::Skipped => "SKIPPED",
        ActionState::Failed => "FAILED",
        ActionState::Undoing => "undoing",
        ActionState::Undone => "UNDONE",
        ActionState::Parked => "STUCK",
    }
}
