//! One screen: where a run stands now, who drives it, and what to type next. As text and as one JSON document.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::clock::{Clock, coarse, span};
use super::escape::escape_for_terminal as esc;
use super::host_table::host_table;
use super::style::{Look, Tone};
use super::text::{Line, column, flow, fold};
use super::{fleet, odds, summary, words};
use crate::engine::fact::RunEnd;
use crate::graph::StepIx;
use crate::schedule::Odds;
use crate::view::{ActionState, ActionView, FEW, Phase, RunView, StepRow};

/// Who drives the run, by the journal's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    /// The machine and the person.
    pub controller: String,
    pub owner: String,
    pub heartbeat: Timestamp,
    /// Its lease has not run out.
    pub live: bool,
}

/// The screen. Each line at most `look.width` columns wide, coloured.
#[must_use]
pub fn status(view: &RunView, engine: Option<&Engine>, odds: Option<&Odds>, now: Timestamp, look: Look) -> Vec<String> {
    let clock = words::clock_of(view);
    let mut lines = flow(headline(view, engine, &clock, now), look.width);
    if view.phase() != Phase::Ended {
        lines.extend(numbers(view, &clock, now).into_iter().flat_map(|parts| flow(parts, look.width)));
        let odds = odds.map(|o| odds::parts(o, &clock, view.closes(), now));
        lines.extend(odds.into_iter().flat_map(|parts| flow(parts, look.width)));
        lines.extend(rows(view, engine, &clock, now, look.width));
        lines.extend(next(view, &clock, now));
        lines.extend(flow(commands(view, engine), look.width));
    }
    let mut out: Vec<String> = lines.iter().flat_map(|l| fold(&l.paint(usize::MAX), look.width)).collect();
    if view.phase() == Phase::Ended {
        out.extend(summary::block(view, now).iter().flat_map(|l| fold(l, look.width)));
    }
    out
}

/// Some hosts of the run, under its headline.
#[must_use]
pub fn status_of_hosts(
    view: &RunView,
    engine: Option<&Engine>,
    hosts: &[&str],
    now: Timestamp,
    look: Look,
) -> Vec<String> {
    let headline = flow(headline(view, engine, &words::clock_of(view), now), look.width);
    headline.iter().map(|line| line.paint(look.width)).chain(host_table(view, hosts, now, look)).collect()
}

/// `RUNNING`, `HOLDING`, ... of a run; `NO ENGINE` of an open one that nobody drives.
#[must_use]
pub fn state(view: &RunView, engine: Option<&Engine>) -> &'static str {
    match (view.phase(), view.end().map(|(_, e)| e)) {
        (Phase::Ended, Some(RunEnd::Succeeded { .. }) | None) => "DONE",
        (Phase::Ended, Some(RunEnd::RolledBack { .. })) => "ROLLED BACK",
        (Phase::Ended, Some(RunEnd::Stuck { .. })) => "HALF-WAY",
        (Phase::Ended, Some(RunEnd::Rejected)) => "REJECTED",
        _ if !engine.is_some_and(|e| e.live) => "NO ENGINE",
        (Phase::Waiting, _) => "WAITING",
        (Phase::Running, _) => "RUNNING",
        (Phase::Holding, _) => "HOLDING",
        (Phase::RollingBack, _) if view.rollback_is_paused() => "ROLLBACK PAUSED",
        (Phase::RollingBack, _) => "ROLLING BACK",
    }
}

fn headline(view: &RunView, engine: Option<&Engine>, clock: &Clock, now: Timestamp) -> Vec<Line> {
    let state = state(view, engine);
    let tone = match state {
        "DONE" => Tone::Done,
        "RUNNING" | "WAITING" => Tone::Running,
        "HOLDING" => Tone::Person,
        "ROLLED BACK" | "REJECTED" => Tone::Late,
        _ => Tone::Failed,
    };
    let title = view.header().map_or(String::new(), |h| esc(&h.title));
    let mut parts = vec![Line::new(format!("{}  {title}", esc(view.run()))), Line::default().tone(tone, state)];
    parts.extend(words::wave(view).map(Line::new));
    parts.extend(driver(engine, clock, now).filter(|_| view.phase() != Phase::Ended).map(Line::new));
    parts
}

/// `engine bastion (Sarah), heartbeat 2s ago`.
fn driver(engine: Option<&Engine>, clock: &Clock, now: Timestamp) -> Option<String> {
    let Some(e) = engine else { return Some("nobody drives it".into()) };
    let ago = coarse(now.duration_since(e.heartbeat).max(SignedDuration::ZERO));
    let (controller, owner) = (esc(&e.controller), esc(&e.owner));
    Some(match e.live {
        true => format!("engine {controller} ({owner}), heartbeat {ago} ago"),
        false => format!("last heartbeat {} ({ago} ago), {controller} ({owner})", clock.hms(e.heartbeat)),
    })
}

/// The headline numbers, as rows of parts.
fn numbers(view: &RunView, clock: &Clock, now: Timestamp) -> Vec<Vec<Line>> {
    let mut first = vec![Line::new(format!("as of {}", clock.hms(now)))];
    if let Some(closes) = view.closes() {
        let left = closes.duration_since(now);
        let at = clock.hm_near(closes, now);
        first.push(match left.is_negative() {
            true => Line::default().tone(Tone::Failed, format!("closed {at}, {} ago", coarse(-left))),
            false => Line::new(format!("closes {at} in {}", coarse(left))),
        });
    }
    if let (Phase::RollingBack, Some((began, _))) = (view.phase(), view.rollback()) {
        let what = if view.rollback_is_paused() { "if continued now: up at" } else { "up again expected" };
        first.push(Line::new(format!("{what} {}", clock.hm_near(view.up_again(now), now))));
        let since = span(now.duration_since(*began));
        let progress = view.rollback_progress().map_or((0, 0), |p| (p.undone, p.to_undo));
        return vec![first, vec![Line::new(format!("{} of {} undone, for {since}", progress.0, progress.1))]];
    }
    if let (Some(room), Some(by)) = (view.room(now), view.roll_back_by()) {
        first.push(Line::new(format!("room {} (roll back by {})", coarse(room), clock.hm_near(by, now))));
    }
    if view.reversible() {
        first.push(Line::new(format!("if now: up at {}", clock.hm_near(view.up_again(now), now))));
    }
    let forecast = view.forecast(now);
    let ahead = match forecast.ahead.as_mins() {
        0 => "as planned".into(),
        m if m > 0 => format!("{} ahead of plan", coarse(forecast.ahead)),
        _ => format!("{} behind plan", coarse(-forecast.ahead)),
    };
    let finish = format!("finish {}, {ahead}", clock.hm_near(forecast.finish, now));
    let running = view.active().iter().filter(|r| r.state != ActionState::Asking).count();
    let failed = view.rows().filter(|r| r.state == ActionState::Failed).count();
    let (done, total) = (view.steps_done(), view.steps_total());
    let counts = format!("{done} of {total} done, {running} running, {failed} failed");
    let horizon = |step: &StepIx| {
        let start = clock.hm_near(forecast.steps[step.index()].start, now);
        vec![Line::new(format!("horizon {start}: {}", words::horizon(view.graph(), *step)))]
    };
    let mut lines = vec![first, vec![Line::new(finish), Line::new(counts)]];
    lines.extend(view.horizons_ahead().iter().map(horizon));
    lines
}

/// What goes on and what went wrong.
fn rows(view: &RunView, engine: Option<&Engine>, clock: &Clock, now: Timestamp, width: usize) -> Vec<Line> {
    let alone = !engine.is_some_and(|e| e.live);
    let mut shown: Vec<StepRow<'_>> = view.active();
    shown.extend(view.rows().filter(|r| r.state == ActionState::Failed));
    let mut lines = Vec::new();
    for row in shown.iter().take(12) {
        lines.push(row_line(view, clock, row, alone, now));
        let fleet = view.fleet(row.ix, now);
        let below = fleet.iter().flat_map(|fleet| fleet::lines(view, fleet, clock, now, width.saturating_sub(1)));
        lines.extend(below.map(|line| Line::new(" ").join(&line)));
    }
    if shown.len() > 12 {
        lines.push(Line::new(format!("        + {} more", shown.len() - 12)));
    }
    if let Some(hold) = view.hold() {
        let answers: Vec<&str> = view.hold_answers(now).iter().map(|a| a.word).collect();
        let limit = hold
            .limit
            .map_or(String::new(), |t| format!("   by {}, else {}", clock.limit(t, now), hold.default.word()));
        let text = format!("  {}: {}{limit}", words::held(view, &hold.reason), answers.join(" | "));
        lines.push(Line::new("  ").tone(Tone::Person, "HOLD").and(text));
    }
    lines
}

fn row_line(view: &RunView, clock: &Clock, row: &StepRow<'_>, alone: bool, now: Timestamp) -> Line {
    let word = match row.state {
        ActionState::Asking => "GATE",
        ActionState::Undoing => "UNDO",
        ActionState::Parked => "STUCK",
        ActionState::Failed => "FAIL",
        ActionState::Soaking => "WAIT",
        ActionState::BackingOff => "RETRY",
        _ if alone || view.actions_of(row.ix).any(ActionView::is_lost) => "LOST",
        _ if row.late => "LATE",
        _ => "RUN",
    };
    let estimate = match row.state {
        ActionState::Undoing | ActionState::Parked => row.step.rollback().map(|r| r.estimate),
        _ => row.step.estimate,
    };
    let elapsed = coarse(row.elapsed(now));
    // The estimate is that of one host: beside the time of many it would mislead.
    let many = row.total > FEW;
    let of = estimate.filter(|_| !many).map_or_else(|| elapsed.clone(), |e| format!("{elapsed} of {e}"));
    let concerned =
        view.actions_of(row.ix).filter(|a| row.state != ActionState::Failed || a.state == ActionState::Failed);
    let hosts: Vec<String> = concerned.filter_map(|a| a.id.host().map(str::to_owned)).collect();
    let passed = view.actions_of(row.ix).filter_map(|a| a.evidence_at).max();
    let note = match row.state {
        ActionState::Asking => {
            let test = passed.map_or(String::new(), |t| format!("test passed {}, ", clock.hm(t)));
            let who = words::people(view, row.step, false);
            format!("{test}waiting for {}", if who.is_empty() { "an answer" } else { &who })
        }
        _ if word == "LOST" && alone => format!("{}  was running when contact was lost", words::hosts(&hosts)),
        _ if many => format!("{} of {} done", row.done(), row.total),
        _ => words::hosts(&hosts),
    };
    Line::new("  ")
        .tone(Tone::of_word(word), format!("{word:<5}"))
        .and(format!(" {} {of:<16} {note}", column(&row.step.id, 17)))
}

/// The next gate that was not opened yet: when, and who is needed.
fn next(view: &RunView, clock: &Clock, now: Timestamp) -> Option<Line> {
    if view.phase() == Phase::RollingBack {
        return None;
    }
    let row = view.rows().find(|r| r.state == ActionState::Waiting && r.step.gate.is_some())?;
    let start = view.forecast(now).steps[row.ix.index()].start;
    let plan = view.planned(row.ix).map_or(String::new(), |t| format!(" (plan {})", clock.hm_near(t.start, now)));
    let who = words::people(view, row.step, true);
    let name = column(&row.step.id, 17);
    Some(Line::new(format!("  next  {name} {}{plan}  {who}", clock.hm_near(start, now))))
}

fn commands(view: &RunView, engine: Option<&Engine>) -> Vec<Line> {
    let run = view.run();
    if !engine.is_some_and(|e| e.live) {
        let logs = format!("output so far: runbook logs --run {run}");
        return vec![Line::new(format!(" take over: runbook resume {run}")), Line::new(logs)];
    }
    let answer = view.gates().first().map(|g| Line::new(format!("answer: runbook approve {}", g.action.step())));
    let first = Line::new(" watch: runbook attach");
    std::iter::once(first).chain(answer).chain([Line::new("log: runbook logs -f")]).collect()
}

/// The same as one JSON document.
#[must_use]
pub fn status_json(view: &RunView, engine: Option<&Engine>, odds: Option<&Odds>, now: Timestamp) -> Value {
    let clock = words::clock_of(view);
    let time = |t: Timestamp| json!(clock.rfc3339(t));
    let seconds = |d: SignedDuration| json!(d.as_secs());
    let forecast = view.forecast(now);
    let ended = view.end().is_some();
    json!({
        "v": 1,
        "run": view.run(),
        "plan": view.header().map(|h| &h.plan),
        "title": view.header().map(|h| &h.title),
        "digest": view.header().map(|h| &h.digest),
        "wave": words::wave_document(view),
        "state": state(view, engine).to_lowercase().replace([' ', '-'], "_"),
        "say": super::say::say(view, engine, now),
        "as_of": time(now),
        "seq": view.seq(),
        "engine": engine.map(|e| json!({
            "controller": e.controller, "owner": e.owner, "heartbeat": time(e.heartbeat), "live": e.live,
        })),
        "window": view.closes().map(|closes| json!({
            "opens": view.opens().map(time), "closes": time(closes), "reserve_s": seconds(view.reserve()),
            "left_s": seconds(closes.duration_since(now)),
        })),
        "rollback": {
            "by": view.roll_back_by().map(time),
            "room_s": view.room(now).map(seconds),
            "now_s": seconds(view.rollback_now()),
            "horizons": super::plan_json::horizons(view.graph(), &view.horizons_ahead()),
            "up_at": (!ended && view.reversible()).then(|| time(view.up_again(now))),
            "began": view.rollback().map(|(at, _)| time(*at)),
            "undone": view.rollback_progress().map(|p| p.undone),
            "to_undo": view.rollback_progress().map(|p| p.to_undo),
        },
        "forecast": (!ended).then(|| json!({
            "finish": time(forecast.finish), "ahead_s": seconds(forecast.ahead), "slack_s": forecast.slack.map(seconds),
            "odds": odds.map(|o| odds::document(o, &clock)),
        })),
        "done": view.steps_done(),
        "total": view.steps_total(),
        "gates": view.gates().iter().map(|g| json!({
            "gate": g.action.step(), "since": time(g.since), "answer_by": g.answer_by.map(time),
        })).collect::<Vec<_>>(),
        "hold": view.hold().map(|h| json!({
            "reason": words::held(view, &h.reason), "limit": h.limit.map(time),
            "default": h.default.word(),
            "answers": view.hold_answers(now).iter().map(|a| a.word).collect::<Vec<_>>(),
        })),
        "defects": view.defects(),
        "steps": view.rows().map(|row| json!({
            "step": row.step.id,
            "state": words::state_word(row.state).to_lowercase(),
            "hosts": row.total,
            "done": row.done(),
            "failed": row.count(ActionState::Failed),
            "running": row.counts.iter().zip(ActionState::ALL).filter(|(_, s)| s.is_active()).map(|(n, _)| n).sum::<u32>(),
            "waiting": row.count(ActionState::Waiting),
            "fleet": view.fleet(row.ix, now).map(|fleet| fleet::document(view, &fleet)),
            "started": row.started.map(time),
            "ended": row.ended.map(time),
            "planned_start": view.planned(row.ix).map(|t| time(t.start)),
            "expected_start": (!ended).then(|| time(forecast.steps[row.ix.index()].start)),
            "expected_end": (!ended).then(|| time(forecast.steps[row.ix.index()].end)),
        })).collect::<Vec<_>>(),
        "stuck": matches!(view.end(), Some((_, RunEnd::Stuck { .. }))).then(|| view.stuck_rows().iter().map(|r| json!({
            "host": r.host, "step": r.step, "state": r.state, "command": r.command, "why": r.why,
        })).collect::<Vec<_>>()),
        "end": view.end().map(|(at, end)| json!({ "at": time(*at), "how": end })),
    })
}
