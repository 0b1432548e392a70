//! Some hosts of a run: a line for each step that has begun there, and what is next where none has. As text and as JSON.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::clock::{Clock, coarse, span};
use super::escape::escape_for_terminal as esc;
use super::fleet;
use super::style::{Look, Tone};
use super::text::{Line, column};
use super::words;
use crate::plan::model::Step;
use crate::view::{ActionState, ActionView, RunView};

/// Widest names that get a column of their width.
const HOST: usize = 20;
const STEP: usize = 18;

/// The table. `hosts` are names of the run's plan, or `local`.
#[must_use]
pub fn host_table(view: &RunView, hosts: &[&str], now: Timestamp, look: Look) -> Vec<String> {
    let wide = hosts.iter().map(|host| host.chars().count()).max().unwrap_or(0).clamp(4, HOST);
    let clock = words::clock_of(view);
    let head = format!("  {}  {}  STATE", column("HOST", wide), column("STEP", STEP));
    let mut lines = vec![Line::default().tone(Tone::Waiting, head)];
    for host in hosts {
        for (at, action) in told(view, host).enumerate() {
            let name = if at == 0 { esc(host) } else { String::new() };
            lines.push(row(view, &clock, &column(&name, wide), action, now));
        }
        if told(view, host).next().is_none() {
            lines.push(Line::new(format!("  {}  nothing is done there in this run", column(&esc(host), wide))));
        }
    }
    lines.iter().map(|line| line.paint(look.width)).collect()
}

fn on<'v>(view: &'v RunView, host: &str) -> impl Iterator<Item = &'v ActionView> {
    view.actions().iter().chain(view.proof()).filter(move |action| action.host() == host)
}

/// What has begun on the host; the first that waits where nothing has.
fn told<'v>(view: &'v RunView, host: &str) -> impl Iterator<Item = &'v ActionView> {
    let any = on(view, host).any(|action| action.state != ActionState::Waiting);
    let first = if any { 0 } else { 1 };
    let waiting = on(view, host).filter(|action| action.step.is_some()).take(first);
    let begun: Vec<&ActionView> = on(view, host).filter(|action| action.state != ActionState::Waiting).collect();
    begun.into_iter().chain(waiting.collect::<Vec<_>>())
}

fn step_of<'v>(view: &'v RunView, action: &ActionView) -> Option<&'v Step> {
    action.step.map(|ix| view.graph().step(ix)).or(view.graph().plan().after_rollback.as_ref())
}

fn row(view: &RunView, clock: &Clock, host: &str, action: &ActionView, now: Timestamp) -> Line {
    let word = words::state_word(action.state);
    let tone = match action.state {
        ActionState::Failed | ActionState::Parked => Tone::Failed,
        ActionState::Done | ActionState::Undone => Tone::Done,
        ActionState::Waiting | ActionState::Skipped => Tone::Waiting,
        _ => Tone::Running,
    };
    let took = took(action, now).map_or(String::new(), span);
    let step = column(words::step_name(action.id.step()), STEP);
    let line = Line::new(format!("  {host}  {step}  ")).tone(tone, format!("{word:<8}"));
    line.and(format!("  {took:<8}  {}", note(view, clock, action, now)))
}

fn took(action: &ActionView, now: Timestamp) -> Option<SignedDuration> {
    match action.state {
        ActionState::Waiting | ActionState::Skipped => None,
        ActionState::Undoing | ActionState::Undone | ActionState::Parked => {
            action.undo_started.map(|from| action.undo_ended.unwrap_or(now).duration_since(from))
        }
        _ => action.elapsed(now),
    }
}

/// Why it failed, what goes on, until when.
fn note(view: &RunView, clock: &Clock, action: &ActionView, now: Timestamp) -> String {
    let until = |what: &str| action.until.map_or(String::new(), |at| format!("{what} {}", clock.hms(at)));
    match action.state {
        ActionState::Failed => fleet::why(action),
        ActionState::Parked => action.why.as_deref().map_or_else(String::new, esc),
        ActionState::BackingOff => until("again at"),
        ActionState::Soaking => until("until"),
        _ if action.is_lost() => {
            let since = action.lost_since.unwrap_or(now);
            format!("no answer for {}", coarse(now.duration_since(since)))
        }
        _ => {
            let part = action.part().zip(step_of(view, action)).map(|(part, step)| fleet::part_word(step, part));
            let late = if action.late && action.state == ActionState::Running { "late" } else { "" };
            let words = part.into_iter().chain([late].into_iter().filter(|word| !word.is_empty()));
            words.collect::<Vec<_>>().join(", ")
        }
    }
}

/// The same for programs.
#[must_use]
pub fn host_documents(view: &RunView, hosts: &[&str], now: Timestamp) -> Value {
    let clock = words::clock_of(view);
    let time = |at: Timestamp| clock.rfc3339(at);
    let action = |action: &ActionView| {
        json!({
            "step": action.id.step(),
            "state": words::state_word(action.state).to_lowercase(),
            "part": action.part().zip(step_of(view, action)).map(|(part, step)| fleet::part_word(step, part)),
            "started": action.started.map(time),
            "ended": action.ended.map(time),
            "took_s": took(action, now).map(|d| d.as_secs()),
            "late": action.late,
            "lost_since": action.lost_since.map(time),
            "why": (action.state == ActionState::Failed).then(|| fleet::why(action)),
        })
    };
    let host = |host: &&str| json!({ "host": host, "steps": on(view, host).map(action).collect::<Vec<_>>() });
    hosts.iter().map(host).collect()
}
