//! What people are told who are not at a terminal: which events are worth it, in which words. Knows not how it reaches them.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use minijinja::{Environment, Error, context};

use super::clock::Clock;
use super::escape::escape_for_terminal as esc;
use super::say::say;
use super::status::Engine;
use super::words;
use crate::engine::fact::{RollbackCause, RunEnd};
use crate::graph::ids::ActionId;
use crate::graph::outcome::Outcome;
use crate::view::{Event, RunView, What};

/// Less room than this to *roll back by* is worth a call.
const LITTLE_ROOM: SignedDuration = SignedDuration::from_mins(30);
/// The name ends in `.json`: every value comes out as JSON, so no text can break the document.
const DOCUMENT: (&str, &str) = ("event.json", include_str!("../../templates/notices/event.json.j2"));

/// What kind of event it is. Somebody must act, or the night has taken a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    RunStarted,
    GateOpened,
    HoldOpened,
    CallDue,
    /// The last try of a step has failed.
    TryFailed,
    /// Half an hour or less to *roll back by*.
    RoomWarning,
    RollbackDecided,
    UndoParked,
    Resumed,
    RunEnded,
}

impl Kind {
    /// Whether an event is of a kind that people are told of, and of which.
    #[must_use]
    pub const fn of(what: &What) -> Option<Self> {
        Some(match what {
            What::RunStarted => Self::RunStarted,
            What::GateOpened { .. } => Self::GateOpened,
            What::HoldOpened { .. } => Self::HoldOpened,
            What::CallDue { .. } => Self::CallDue,
            What::TryFailed { again: None, outcome, .. } if !matches!(outcome, Outcome::Cancelled) => Self::TryFailed,
            What::RoomWarning { room } if room.as_secs() <= LITTLE_ROOM.as_secs() => Self::RoomWarning,
            What::RollbackDecided { .. } => Self::RollbackDecided,
            What::UndoParked { .. } => Self::UndoParked,
            What::Resumed { .. } => Self::Resumed,
            What::RunEnded { .. } => Self::RunEnded,
            _ => return None,
        })
    }

    /// Whether a terminal calls for a person: who starts a run, or takes it over, sits at one.
    #[must_use]
    pub const fn calls(self) -> bool {
        !matches!(self, Self::RunStarted | Self::Resumed)
    }

    /// The word for programs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::RunStarted => "run_started",
            Self::GateOpened => "gate_opened",
            Self::HoldOpened => "hold_opened",
            Self::CallDue => "call_due",
            Self::TryFailed => "try_failed",
            Self::RoomWarning => "room_warning",
            Self::RollbackDecided => "rollback_decided",
            Self::UndoParked => "undo_parked",
            Self::Resumed => "resumed",
            Self::RunEnded => "run_ended",
        }
    }
}

/// One message. All texts are without control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// `night-a/12`: the run and the number of the fact behind it, the same for every try to deliver it.
    pub id: String,
    pub kind: Kind,
    /// When it happened, in the plan's zone.
    pub at: String,
    pub run: String,
    pub plan: String,
    pub title: String,
    pub step: Option<String>,
    /// What happened, in a few words.
    pub headline: String,
    /// Where the run stands, in a few sentences.
    pub standing: String,
}

impl Notice {
    /// The title of the night and what happened in it, on one line.
    #[must_use]
    pub fn subject(&self) -> String {
        format!("{}: {}", self.title, self.headline)
    }

    /// What templates of one's own may say of it.
    #[must_use]
    pub fn values(&self) -> BTreeMap<&'static str, Option<String>> {
        let Self { id, kind, at, run, plan, title, step, headline, standing } = self;
        let text = self.text();
        let said = [("id", id), ("at", at), ("run", run), ("plan", plan), ("title", title), ("headline", headline)];
        let said = said.into_iter().chain([("standing", standing), ("text", &text)]);
        let said = said.map(|(name, value)| (name, Some(value.clone())));
        said.chain([("event", Some(kind.word().to_owned())), ("step", step.clone())]).collect()
    }

    fn text(&self) -> String {
        format!("{}. {}", self.subject(), self.standing)
    }

    /// The body for programs and chat rooms: one JSON document.
    ///
    /// # Errors
    /// When the template does not render, which only a defect of this program could cause.
    pub fn document(&self) -> Result<String, Error> {
        let text = self.text();
        let Self { id, kind, at, run, plan, title, step, headline, .. } = self;
        let content = context! { id, event => kind.word(), at, run, plan, title, step, headline, text };
        let mut environment = Environment::new();
        environment.add_template(DOCUMENT.0, DOCUMENT.1)?;
        environment.get_template(DOCUMENT.0)?.render(content)
    }
}

/// The message about an event of this run, where it is worth one. Of a step that fails on many hosts the first is; what
/// becomes of the run then is told by itself.
#[must_use]
pub fn notice(view: &RunView, event: &Event) -> Option<Notice> {
    let header = view.header()?;
    let kind = Kind::of(&event.what)?;
    if kind == Kind::TryFailed && (failed_before(view, event) || said_by_what_follows(view, event)) {
        return None;
    }
    let clock = words::clock_of(view);
    let engine = Engine {
        controller: header.controller.clone(),
        owner: header.by.name.clone(),
        heartbeat: event.at,
        live: true,
    };
    Some(Notice {
        id: format!("{}/{}", view.run(), event.seq),
        kind,
        at: clock.rfc3339(event.at),
        run: view.run().to_owned(),
        plan: header.plan.clone(),
        title: esc(&header.title),
        step: event.what.step().map(str::to_owned),
        headline: headline(view, &clock, event),
        standing: say(view, Some(&engine), event.at),
    })
}

/// Whether the same part of the same step has failed for good on another host already.
fn failed_before(view: &RunView, event: &Event) -> bool {
    let What::TryFailed { attempt, .. } = &event.what else { return false };
    let same = |earlier: &&Event| match &earlier.what {
        What::TryFailed { attempt: other, again: None, .. } => {
            other.action.step() == attempt.action.step()
                && other.direction == attempt.direction
                && other.action != attempt.action
        }
        _ => false,
    };
    view.events().iter().take_while(|earlier| *earlier != event).any(|earlier| same(&earlier))
}

/// Whether the run is held or rolled back for this failure in the same turn: that message says what failed, too.
fn said_by_what_follows(view: &RunView, event: &Event) -> bool {
    let What::TryFailed { attempt, .. } = &event.what else { return false };
    let follows = |later: &Event| match &later.what {
        What::HoldOpened { reason, .. } => reason.failed().is_some_and(|failed| failed.contains(&attempt.action)),
        What::RollbackDecided { cause } => failed_by(cause) == Some(&attempt.action),
        _ => false,
    };
    let after = view.events().iter().skip_while(|earlier| *earlier != event);
    after.take_while(|later| later.at == event.at).any(follows)
}

const fn failed_by(cause: &RollbackCause) -> Option<&ActionId> {
    match cause {
        RollbackCause::Failed { action } => Some(action),
        _ => None,
    }
}

/// ` (exit 3)`: how the last try of the action ended.
fn how(view: &RunView, failed: Option<&ActionId>) -> String {
    let last = view.events().iter().rev().find_map(|event| match &event.what {
        What::TryFailed { attempt, outcome, .. } if Some(&attempt.action) == failed => Some(outcome),
        _ => None,
    });
    last.map_or_else(String::new, |outcome| format!(" ({})", esc(&outcome.to_string())))
}

fn headline(view: &RunView, clock: &Clock, event: &Event) -> String {
    match &event.what {
        What::RunStarted => started(view, clock, event.at),
        What::GateOpened { step, .. } => format!("{} is asked{}", esc(step), of_people(view, step)),
        What::HoldOpened { reason, .. } => {
            let first = reason.failed().and_then(<[_]>::first);
            format!("held, {}{}", words::held(view, reason), how(view, first))
        }
        What::CallDue { step, expected, .. } => {
            format!("{} is expected at {}{}", esc(step), clock.hm_near(*expected, event.at), of_people(view, step))
        }
        What::TryFailed { attempt, outcome, .. } => {
            let part = words::part_prefix(attempt.direction);
            format!("{part}{}: {}", words::action(&attempt.action), esc(&outcome.to_string()))
        }
        What::RoomWarning { room } => {
            let by = view.roll_back_by().map_or(String::new(), |by| format!(" by {}", clock.hm_near(by, event.at)));
            format!("less than {} min left to decide; roll back{by}", room.as_mins())
        }
        What::RollbackDecided { cause } => {
            format!("rollback begins, {}{}", words::cause(cause), how(view, failed_by(cause)))
        }
        What::UndoParked { action, .. } => format!("the undo of {} needs a person", words::action(action)),
        What::Resumed { by } => format!("{} has taken the run over", words::actor(by)),
        What::RunEnded { end } => ended(end).to_owned(),
        _ => String::new(),
    }
}

fn started(view: &RunView, clock: &Clock, now: Timestamp) -> String {
    match view.opens().filter(|opens| *opens > now) {
        Some(opens) => format!("armed, the window opens at {}", clock.hm_near(opens, now)),
        None => "started".to_owned(),
    }
}

/// `: Sarah, Dev`, of those whom a gate asks.
fn of_people(view: &RunView, step: &str) -> String {
    let people = view.row_by_name(step).map_or(String::new(), |row| words::people(view, row.step, false));
    if people.is_empty() { people } else { format!(": {people}") }
}

const fn ended(end: &RunEnd) -> &'static str {
    match end {
        RunEnd::Succeeded { late: false } => "done",
        RunEnd::Succeeded { late: true } => "done, too late",
        RunEnd::RolledBack { late: false, .. } => "rolled back",
        RunEnd::RolledBack { late: true, .. } => "rolled back, too late",
        RunEnd::Stuck { .. } => "stopped half-way, a person is needed",
        RunEnd::Rejected => "rejected, nothing was started",
    }
}
