//! Events as the sentences that people write down the morning after, gathered by the minute. Decides only the words.

use jiff::Timestamp;

use super::Moment;
use crate::engine::fact::{GateAnswer, RunEnd};
use crate::plan::model::Verb;
use crate::report::clock::{Clock, coarse, span};
use crate::report::words;
use crate::view::{Event, Mark, RunView, What};

/// One moment per minute in which something is worth a sentence.
pub(super) fn moments(view: &RunView) -> Vec<Moment> {
    let clock = words::clock_of(view);
    let mut moments: Vec<Moment> = Vec::new();
    for event in view.events() {
        let Some((text, who)) = sentence(view, &clock, event) else { continue };
        match moments.last_mut() {
            Some(last) if minute(last.at) == minute(event.at) => {
                last.text = format!("{} {text}", last.text);
                last.who = join(last.who.take(), who);
            }
            _ => moments.push(Moment { at: event.at, text, who }),
        }
    }
    moments
}

fn minute(t: Timestamp) -> i64 {
    t.as_second().div_euclid(60)
}

fn join(a: Option<String>, b: Option<String>) -> Option<String> {
    match (a, b) {
        (Some(a), Some(b)) if !a.contains(&b) => Some(format!("{a}, {b}")),
        (a, b) => a.or(b),
    }
}

fn sentence(view: &RunView, clock: &Clock, event: &Event) -> Option<(String, Option<String>)> {
    let plain = |text: String| Some((text, None));
    match &event.what {
        What::StepStarted { step, .. } => plain(begins(view, step)?),
        What::StepDone { step, failed, took, mark, verified, .. } => {
            let tolerated = if failed.is_empty() { String::new() } else { format!(", without {}", failed.join(" ")) };
            let remark = remark(view, step, &span(*took), *mark, *verified);
            plain(format!("{}{tolerated}{remark}.", done(view, step)?))
        }
        What::StepSkipped { step, why, .. } => plain(format!("Left out {step} ({why}).")),
        What::TryFailed { attempt, evidence, again: None, outcome, .. } => {
            let last = evidence.tail.last().map_or_else(String::new, |line| format!(": {}", line.trim()));
            let before = if view.red_before(&attempt.action) { " as it had before the night" } else { "" };
            let failed = if view.says_nothing(&attempt.action) { "could not judge" } else { "failed" };
            plain(format!("{} {failed}{before}, {}{last}.", words::action(&attempt.action), outcome))
        }
        What::GateOpened { step, .. } => {
            let question = view.row_by_name(step).and_then(|r| r.step.gate.as_ref()).map(|g| g.question.clone())?;
            let asked = matches!(view.row_by_name(step)?.step.verb, Verb::Gate);
            plain(if asked {
                format!("Asked: {question}")
            } else {
                format!("{} passed; asked: {question}", capital(step))
            })
        }
        What::GateAnswered { step, answer, by, defects, note, .. } => {
            let who = Some(words::actor(by)).filter(|_| *answer != GateAnswer::TimedOut);
            let note = note.as_ref().map_or_else(String::new, |n| format!(": {n}"));
            let said = view.row_by_name(step).and_then(|r| r.step.say.clone());
            let text = match answer {
                GateAnswer::Approved => said.unwrap_or_else(|| format!("{} approved", capital(step))),
                GateAnswer::ApprovedWithDefects => {
                    let said = said.unwrap_or_else(|| format!("{} approved", capital(step)));
                    format!("{said} with {} defects: {}", defects.len(), defects.join(", "))
                }
                GateAnswer::Rejected => format!("{} rejected", capital(step)),
                GateAnswer::TimedOut => format!("Nobody answered {step} in time"),
            };
            Some((format!("{}{note}.", text.trim_end_matches('.')), who))
        }
        What::HoldOpened { reason, .. } => plain(format!("Held: {}.", words::held(view, reason))),
        What::HoldAnswered { answer, by, note } => {
            let note = note.as_ref().map_or_else(String::new, |n| format!(": {n}"));
            Some((format!("Answer: {}{note}.", answer.word()), Some(words::actor(by))))
        }
        What::CallDue { step, expected, planned, .. } => plain(call(view, clock, step, *expected, *planned)?),
        What::ReversibleEnded { .. } | What::RoomWarning { .. } | What::RunStarted | What::WindowOpened => None,
        What::HorizonCrossed { opens, expired, .. } => {
            let expired: Vec<&str> = expired.iter().map(String::as_str).collect();
            let undos = words::undos_of(&expired, "has expired", "have expired");
            plain(format!("This opened {opens}: {undos}."))
        }
        What::HorizonKept { opens } => plain(format!("Not opened after all: {opens}.")),
        What::RollbackDecided { cause } => plain(format!("Rollback begins: {}.", words::cause(cause))),
        What::StepUndone { step, took, .. } => plain(format!("Undid {} ({}).", words::step_name(step), coarse(*took))),
        What::UndoParked { action, why } => plain(format!("Could not undo {}: {why}.", words::action(action))),
        What::Marked { action, by, reason, .. } => {
            let why = reason.as_ref().map_or_else(String::new, |r| format!(": {r}"));
            Some((format!("{} marked by hand{why}.", words::action(action)), Some(words::actor(by))))
        }
        What::WindowExtended { closes, by, granted_by, reason } => {
            let why = reason.as_ref().map_or_else(String::new, |r| format!(": {r}"));
            let who = granted_by.clone().unwrap_or_else(|| words::actor(by));
            Some((format!("Window extended to {}{why}.", clock.hm(*closes)), Some(who)))
        }
        What::PlanAmended { by, reason, .. } => {
            let why = reason.as_ref().map_or_else(String::new, |r| format!(": {r}"));
            Some((format!("The plan was amended{why}."), Some(words::actor(by))))
        }
        What::Noted { text, by } => Some((format!("{}.", text.trim_end_matches('.')), Some(words::actor(by)))),
        What::Resumed { by } => Some(("The run was taken over.".to_owned(), Some(words::actor(by)))),
        What::RunEnded { end } => plain(last_words(end).to_owned()),
        What::LinkLost { action, .. } => plain(format!("Lost sight of {}.", words::action(action))),
        What::StepLate { .. }
        | What::TryFailed { .. }
        | What::LinkRestored { .. }
        | What::Killing { .. }
        | What::WaitStarted { .. }
        | What::AdmissionRefused { .. }
        | What::UndoStarted { .. }
        | What::ClockJumped { .. }
        | What::ClockJudged { .. } => None,
    }
}

/// `Time to call Ms. Hu for landing-test, expected 02:30 instead of 03:30.`
fn call(view: &RunView, clock: &Clock, step: &str, expected: Timestamp, planned: Option<Timestamp>) -> Option<String> {
    let people = words::people(view, view.row_by_name(step)?.step, false);
    let people = if people.is_empty() { "somebody".to_owned() } else { people };
    let instead = planned.filter(|planned| minute(*planned) != minute(expected));
    let instead = instead.map_or_else(String::new, |planned| format!(" instead of {}", clock.hm(planned)));
    Some(format!("Time to call {people} for {}, expected {}{instead}.", words::step_name(step), clock.hm(expected)))
}

/// What takes less than a minute needs no sentence for its beginning; nor does what is told when it is done.
fn begins(view: &RunView, step: &str) -> Option<String> {
    let row = view.row_by_name(step)?;
    let judges = row.step.judges();
    let at_once = row.started.zip(row.ended).is_some_and(|(from, to)| minute(from) == minute(to));
    match (judges, at_once) {
        (_, true) => None,
        (true, false) => Some(format!("{} begins.", capital(step))),
        (false, false) => Some(format!("Started {step}.")),
    }
}

fn done(view: &RunView, step: &str) -> Option<String> {
    let row = view.row_by_name(step)?;
    // A gate is told by its answer.
    if row.step.gate.is_some() && matches!(row.step.verb, Verb::Gate) {
        return None;
    }
    let judges = row.step.judges();
    let own = row.step.say.as_ref().map(|say| say.trim_end_matches('.').to_owned());
    Some(own.unwrap_or_else(|| {
        if judges { format!("{} passed", capital(step)) } else { format!("{} done", capital(step)) }
    }))
}

fn remark(view: &RunView, step: &str, took: &str, mark: Option<Mark>, verified: bool) -> String {
    let expected = view.row_by_name(step).and_then(|r| r.step.estimate).map(|e| e.to_string()).unwrap_or_default();
    match (mark, verified) {
        (None, _) => String::new(),
        (Some(_), true) => format!(" ({took}, expected {expected}; verified)"),
        (Some(_), false) => format!(" ({took}, expected {expected})"),
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

const fn last_words(end: &RunEnd) -> &'static str {
    match end {
        RunEnd::Succeeded { late: false } => "Done.",
        RunEnd::Succeeded { late: true } => "Done, after the window had closed.",
        RunEnd::RolledBack { verified: Some(true), .. } => "The old version is back, its test passed.",
        RunEnd::RolledBack { .. } => "Everything is undone.",
        RunEnd::Stuck { .. } => "Half-way: a human is needed.",
        RunEnd::Rejected => "Nothing was changed.",
    }
}
