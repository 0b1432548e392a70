//! The last thing printed: what became of the night, what may be left where, and the next command to type.

use jiff::Timestamp;

use super::clock::{Clock, coarse};
use super::escape::escape_for_terminal as esc;
use super::style::Tone;
use super::words;
use crate::engine::fact::{RollbackCause, RunEnd};
use crate::graph::ids::{ActionId, Direction};
use crate::plan::model::{OnDeadline, Undo};
use crate::view::{Phase, RunView, StuckRow, What};

/// The final block. Of a run that goes on: how to look at it again.
#[must_use]
pub fn block(view: &RunView, now: Timestamp) -> Vec<String> {
    let clock = words::clock_of(view);
    match view.end() {
        None => detached(view, &clock, now),
        Some((at, RunEnd::Succeeded { .. })) => succeeded(view, &clock, *at, now),
        Some((at, RunEnd::RolledBack { verified, .. })) => rolled_back(view, &clock, *at, *verified, now),
        Some((_, RunEnd::Stuck { actions })) => stuck(view, &clock, now, actions.keys()),
        Some((_, RunEnd::Rejected)) => {
            vec![format!("  {}  {}: nothing was started", Tone::Late.paint("REJECTED"), title(view))]
        }
    }
}

fn title(view: &RunView) -> String {
    view.header().map_or(String::new(), |h| esc(&h.title))
}

fn field(name: &str, text: &str) -> String {
    format!("  {name:<13} {text}").trim_end().to_owned()
}

/// `, 28m before the window closes`, `, 15m AFTER the window closed`.
fn against_window(view: &RunView, at: Timestamp, now: Timestamp) -> String {
    let Some(closes) = view.closes() else { return String::new() };
    let left = closes.duration_since(at);
    if left.is_negative() {
        format!(", {} AFTER the window closed", coarse(-left))
    } else {
        let closes = if now < closes { "closes" } else { "closed" };
        format!(", {} before the window {closes}", coarse(left))
    }
}

fn succeeded(view: &RunView, clock: &Clock, at: Timestamp, now: Timestamp) -> Vec<String> {
    let defects = match view.defects().len() {
        0 => String::new(),
        1 => ", with 1 known defect".into(),
        n => format!(", with {n} known defects"),
    };
    let word = Tone::Done.paint("SUCCESS");
    let mut out = vec![format!(
        "  {word}       {}{defects}   done {}{}",
        title(view),
        clock.hm(at),
        against_window(view, at, now)
    )];
    if let Some(plan) = view.planned_finish() {
        let diff = plan.duration_since(at);
        let how = match diff.as_mins() {
            0 => "as planned".to_owned(),
            m if m > 0 => format!("{} ahead of plan", coarse(diff)),
            _ => format!("{} behind plan", coarse(-diff)),
        };
        out.push(field("plan", &format!("finish {}, {how}", clock.hm(plan))));
    }
    out.extend(view.defects().iter().map(|d| field("defect", &esc(d))));
    out.extend(week(view).map(|text| field("week", &text)));
    out.extend(next_wave(view, clock));
    out.push(field("next", &format!("runbook logs --run {}", view.run())));
    out
}

/// `wave 1 of 2 is over: 2 of 10 hosts done`.
fn week(view: &RunView) -> Option<String> {
    let wave = view.header()?.options.wave.as_ref()?;
    Some(format!("wave {} of {} is over: {} of {} hosts done", wave.number, wave.of, view.week_done(), wave.week_hosts))
}

/// What follows, when, and how it is started.
fn next_wave(view: &RunView, clock: &Clock) -> Vec<String> {
    let wave = view.header().and_then(|h| h.options.wave.as_ref());
    let Some(next) = wave.and_then(|wave| wave.next.as_ref()) else { return Vec::new() };
    let opens = format!("{} opens {}", esc(&next.name), clock.date_hm(next.opens));
    let mut out = vec![field("next wave", &opens)];
    out.extend(again(view).map(|command| field("", &command)));
    out
}

fn rolled_back(view: &RunView, clock: &Clock, at: Timestamp, verified: Option<bool>, now: Timestamp) -> Vec<String> {
    let word = Tone::Late.paint("ROLLED BACK");
    let mut out =
        vec![format!("  {word}   {}      up again {}{}", title(view), clock.hm(at), against_window(view, at, now))];
    if let Some((_, cause)) = view.rollback() {
        out.push(field("cause", &cause_with_evidence(view, cause)));
    }
    match verified {
        Some(true) => out.push(field("verified", "the test of the old version passed")),
        Some(false) => out.push(field("NOT VERIFIED", "the test of the old version failed: look at it now")),
        None => out.push(field("not verified", "the plan has no `after_rollback` test")),
    }
    out.extend(left_behind(view).map(|text| field("still there", &text)));
    let failed = view.actions().iter().any(|a| a.outcome.as_ref().is_some_and(|o| !o.is_success()));
    let which = if failed { "--failed " } else { "" };
    out.push(field("next", &format!("runbook logs {which}--run {}", view.run())));
    if let Some(closes) = view.closes().filter(|c| *c > at.max(now)) {
        let until = match view.header().and_then(|run| run.options.rehearsal) {
            Some(_) => "plays it again".to_owned(),
            None => format!("tries again; window open until {}", clock.hm_near(closes, at)),
        };
        let line = match again(view) {
            Some(command) => format!("{command}     {until}"),
            None => format!("the plan {until}"),
        };
        out.push(field("", &line));
    }
    out
}

/// The command that starts this plan anew.
fn again(view: &RunView) -> Option<String> {
    let header = view.header().filter(|h| !h.file.is_empty())?;
    let plain = header.file.bytes().all(|b| b.is_ascii_alphanumeric() || b"._/-+,:@%=".contains(&b));
    let file = if plain { esc(&header.file) } else { format!("'{}'", esc(&header.file.replace('\'', "'\\''"))) };
    let stage = match header.options.rehearsal {
        Some(pace) => format!(" --rehearse --speed {}", pace.speed),
        None if header.options.lab => " --lab".to_owned(),
        None => String::new(),
    };
    Some(format!("runbook exec {file}{stage}"))
}

fn cause_with_evidence(view: &RunView, cause: &RollbackCause) -> String {
    let said = match cause {
        RollbackCause::Failed { action } => last_words(view, action),
        _ => None,
    };
    let said = said.map_or(String::new(), |line| format!(": {}", esc(line.trim())));
    format!("{}{said}", words::cause(cause))
}

/// What the action said last before it failed; its undo has spoken since.
fn last_words<'a>(view: &'a RunView, failed: &ActionId) -> Option<&'a String> {
    view.events().iter().rev().find_map(|event| match &event.what {
        What::TryFailed { attempt, evidence, .. }
            if attempt.action == *failed && matches!(attempt.direction, Direction::Do | Direction::Check) =>
        {
            Some(evidence.tail.last())
        }
        _ => None,
    })?
}

/// Steps that ran and have nothing that undoes them.
fn left_behind(view: &RunView) -> impl Iterator<Item = String> + '_ {
    view.rows().filter_map(|row| {
        let ran = view.actions_of(row.ix).any(|a| a.may_have_run);
        match (&row.step.undo, ran) {
            (Undo::ReadOnly, true) => Some(format!("whatever {} made (it has no rollback)", row.step.id)),
            (Undo::Irreversible(why), true) => Some(format!("{}: {}", row.step.id, esc(why))),
            _ => None,
        }
    })
}

fn stuck<'a>(
    view: &RunView,
    clock: &Clock,
    now: Timestamp,
    unknown: impl Iterator<Item = &'a ActionId>,
) -> Vec<String> {
    let window = view.closes().map_or(String::new(), |closes| {
        let left = closes.duration_since(now);
        let at = clock.hm(closes);
        if left.is_negative() {
            format!("window closed {at}")
        } else {
            format!("window closes {at} in {}", coarse(left))
        }
    });
    let mut out = vec![format!("  {}     {window}", Tone::Failed.paint("NEEDS A HUMAN NOW"))];
    let rows = view.stuck_rows();
    out.extend(table(&rows));
    for id in unknown.filter(|id| !rows.iter().any(|r| id.step() == r.step && id.host().unwrap_or("") == r.host)) {
        out.push(format!("  {}: its state is unknown", words::action(id)));
    }
    let step = rows.iter().find(|r| r.command.is_some()).map_or("STEP", |r| r.step.as_str());
    if view.rollback().is_none() {
        out.push("  everything else is left as it is; to undo all of it: runbook rollback".to_owned());
        return out;
    }
    out.push("  then: runbook rollback --continue".to_owned());
    out.push(format!("  or tell it what you did: runbook mark {step} undone"));
    out
}

fn table(rows: &[StuckRow]) -> Vec<String> {
    let head = StuckRow { host: "host".into(), step: "step".into(), state: "state", command: None, why: None };
    let wide = |of: fn(&StuckRow) -> &str| rows.iter().chain([&head]).map(|r| of(r).len()).max().unwrap_or(4);
    let (host, step) = (wide(|r| &r.host), wide(|r| &r.step));
    let mut out = vec![format!("  {:<host$}  {:<step$}  {:<5}  do this", "host", "step", "state")];
    for row in rows {
        let at = if row.host == "local" { "here" } else { &row.host };
        let why = row.why.as_deref().map_or(String::new(), |w| format!("     ({})", esc(w)));
        let mut lines = row.command.as_deref().unwrap_or("-").lines().map(esc);
        let first = lines.next().unwrap_or_default();
        out.push(format!("  {at:<host$}  {:<step$}  {:<5}  {first}{why}", row.step, row.state));
        out.extend(lines.map(|line| format!("  {:<host$}  {:<step$}  {:<5}  {line}", "", "", "")));
    }
    out
}

fn detached(view: &RunView, clock: &Clock, now: Timestamp) -> Vec<String> {
    if view.run().is_empty() {
        return Vec::new();
    }
    let run = view.run();
    let mut out = vec![going_on(view, clock, now)];
    out.push(format!("  look again:   runbook attach {run}      or: runbook status {run}"));
    out
}

fn rolls_back_in_time(view: &RunView) -> bool {
    let policy = view.header().and_then(|header| header.window).map(|window| window.on_deadline);
    policy != Some(OnDeadline::Warn)
}

/// What happens to a run that nobody looks at.
fn going_on(view: &RunView, clock: &Clock, now: Timestamp) -> String {
    let by = |at: Timestamp| clock.limit(at, now);
    match (view.phase(), view.roll_back_by()) {
        (Phase::RollingBack, _) if view.rollback_is_paused() => {
            "  the rollback is paused: nothing more is undone until somebody answers `continue`".to_owned()
        }
        (Phase::RollingBack, _) => "  the rollback goes on by itself".to_owned(),
        (Phase::Holding, _) => {
            let limit = view.hold().and_then(|hold| hold.limit).map(by);
            let until = limit.map_or_else(String::new, |at| format!("; without one it rolls back by itself at {at}"));
            format!("  the run is held and waits for an answer{until}")
        }
        (_, Some(at)) if rolls_back_in_time(view) => {
            format!("  the run goes on by itself; if it is not done by {}, it rolls back by itself", by(at))
        }
        _ => "  the run goes on by itself".to_owned(),
    }
}
