//! A step on many hosts, on a few lines whose number does not grow with the hosts: counts, pace, parts, failures, and the hosts
//! that differ. Asks no clock.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::clock::{Clock, coarse, span};
use super::escape::escape_for_terminal as esc;
use super::frame::Scene;
use super::style::Tone;
use super::text::{Line, bar, column, shorten};
use super::{moving, words};
use crate::graph::StepIx;
use crate::graph::ids::Direction;
use crate::plan::model::{Step, Verb, Wait};
use crate::view::{ActionState, ActionView, Fleet, Phase, RunView};

/// Hosts that differ, and groups of failures, that are shown at the same time; the others are a number.
const SHOWN: usize = 3;
/// Where the text under a row begins.
const INDENT: &str = "       ";
const GAP: &str = "     ";

/// A step on many hosts: its row with a bar over its hosts, and what is to be said of them together.
pub(super) fn block(scene: &Scene<'_>, clock: &Clock, fleet: &Fleet<'_>, width: usize) -> Vec<Line> {
    let row = &fleet.row;
    let word = moving::word_of(row);
    let (over, of) = match row.state {
        ActionState::Undoing => (row.count(ActionState::Undone), row.total - row.count(ActionState::Waiting)),
        _ => (fleet.over(), row.total),
    };
    let share = f64::from(over) / f64::from(of.max(1));
    let counts = format!("  {over} of {of} hosts   {:.0}%", share * 100.0);
    let head = format!(" {}  {:<8}", column(&row.step.id, 16), span(row.elapsed(scene.now)));
    let size = width.saturating_sub(6 + head.chars().count() + counts.len() + 1);
    let line = Line::new(" ").tone(Tone::of_word(word), format!("{word:<5}")).and(head);
    let head = line.and(format!("{}{counts}", bar(scene.look, size, share, None)));
    std::iter::once(head).chain(lines(scene.view, fleet, clock, scene.now, width)).collect()
}

/// What stands under the row of the step.
pub(super) fn lines(view: &RunView, fleet: &Fleet<'_>, clock: &Clock, now: Timestamp, width: usize) -> Vec<Line> {
    let forward = view.phase() != Phase::RollingBack;
    let ahead = Some(ahead(view, fleet, clock, now)).filter(|_| view.phase() == Phase::Running);
    let (hosts_done, soak) = ahead.map_or((None, None), |(hosts, soak)| (Some(hosts), soak));
    let rows = [
        vec![Some(states(fleet)), pace(fleet).filter(|_| forward), hosts_done],
        vec![in_parts(fleet), in_service(fleet)],
        vec![tolerated(fleet).filter(|_| forward), week(view), soak],
    ];
    let mut out: Vec<Line> =
        rows.into_iter().flat_map(|row| flow(row.into_iter().flatten().collect(), width)).collect();
    out.extend(differing(fleet, clock, now));
    out.extend(failures(view, fleet, width));
    out
}

/// The pieces on as few lines as they fit on, none of them broken.
fn flow(pieces: Vec<Line>, width: usize) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for piece in pieces {
        match lines.last_mut() {
            Some(last) if last.width() + GAP.len() + piece.width() <= width => {
                *last = last.clone().and(GAP).join(&piece);
            }
            _ => lines.push(Line::new(INDENT).join(&piece)),
        }
    }
    lines
}

/// `2.3 hosts/min`.
fn pace(fleet: &Fleet<'_>) -> Option<Line> {
    fleet.per_minute.map(|n| Line::new(format!("{n:.1} hosts/min")))
}

/// `hosts done 17:45`, and `soak until 18:15` where there is one.
fn ahead(view: &RunView, fleet: &Fleet<'_>, clock: &Clock, now: Timestamp) -> (Line, Option<Line>) {
    let forecast = view.forecast(now);
    let end = |ix: StepIx| clock.hm_near(forecast.steps[ix.index()].end, now);
    let soak = fleet.soak.map(|soak| Line::new(format!("soak until {}", end(soak))));
    (Line::new(format!("hosts done {}", end(fleet.row.ix))), soak)
}

/// `25 done  2 failed  8 running  5 waiting`: done, running and waiting are always told, the others where there are any.
fn states(fleet: &Fleet<'_>) -> Line {
    let row = &fleet.row;
    let running = row.count(ActionState::Running) + row.count(ActionState::Soaking);
    let back = row.count(ActionState::Undoing) + row.count(ActionState::Undone) > 0;
    let all = [
        (row.count(ActionState::Done), "done", Tone::Done, !back),
        (row.count(ActionState::Skipped), "skipped", Tone::Plain, false),
        (row.count(ActionState::Failed), "failed", Tone::Failed, false),
        (running, "running", Tone::Running, !back),
        (row.count(ActionState::BackingOff), "to be tried again", Tone::Late, false),
        (row.count(ActionState::Undoing), "undoing", Tone::Running, back),
        (row.count(ActionState::Undone), "undone", Tone::Done, back),
        (row.count(ActionState::Parked), "stuck", Tone::Failed, false),
        (row.count(ActionState::Waiting), "waiting", Tone::Waiting, !back),
    ];
    let told = all.into_iter().filter(|(count, _, _, always)| *always || *count > 0);
    told.fold(Line::default(), |line, (count, word, tone, _)| {
        let gap = if line.width() == 0 { "" } else { "  " };
        line.and(gap).tone(tone, format!("{count} {word}"))
    })
}

/// `drain 2  run 4  reboot 2  verify 0  undrain 0`.
fn in_parts(fleet: &Fleet<'_>) -> Option<Line> {
    let one = |(part, n): &(Direction, u32)| format!("{} {n}", part_word(fleet.row.step, *part));
    let parts: Vec<String> = fleet.parts.iter().map(one).collect();
    (!parts.is_empty()).then(|| Line::new(parts.join("  ")))
}

/// `in service: web 80%, db 100%`.
fn in_service(fleet: &Fleet<'_>) -> Option<Line> {
    let up: Vec<String> = fleet.in_service.iter().map(|s| format!("{} {}%", esc(s.group), s.percent())).collect();
    (!up.is_empty()).then(|| Line::new(format!("in service: {}", up.join(", "))))
}

/// `failures: 2 of 2 allowed - the next one stops it`.
fn tolerated(fleet: &Fleet<'_>) -> Option<Line> {
    let (allowed, failed) = (fleet.allowed?, fleet.row.count(ActionState::Failed));
    let text = format!("failures: {failed} of {allowed} allowed");
    Some(match fleet.next_one_stops_it() {
        true => Line::default().tone(Tone::Late, format!("{text} - the next one stops it")),
        false => Line::new(text),
    })
}

/// `whole week: 152 of 236 hosts`.
fn week(view: &RunView) -> Option<Line> {
    let wave = view.header()?.options.wave.as_ref()?;
    Some(Line::new(format!("whole week: {} of {} hosts", view.week_done(), wave.week_hosts)))
}

fn differing(fleet: &Fleet<'_>, clock: &Clock, now: Timestamp) -> Vec<Line> {
    let mut lines: Vec<Line> =
        fleet.differing.iter().take(SHOWN).map(|a| differing_host(fleet.row.step, a, clock, now)).collect();
    let more = fleet.differing.len().saturating_sub(SHOWN);
    if more > 0 {
        lines.push(Line::new(format!("{INDENT}+ {more} more that are late, lost or tried again")));
    }
    lines
}

/// `LATE  web31  19m40s  drain   (of 8s-20s)`.
fn differing_host(step: &Step, action: &ActionView, clock: &Clock, now: Timestamp) -> Line {
    let host = column(&esc(action.host()), 16);
    let took = action.elapsed(now).map_or(String::new(), span);
    let part = action.part().map_or("", |part| part_word(step, part));
    let (word, tone, note) = match (action.lost_since.filter(|_| action.is_lost()), action.state) {
        (Some(since), _) => ("LOST", Tone::Failed, format!("no answer for {}", coarse(now.duration_since(since)))),
        (None, ActionState::BackingOff) => {
            ("RETRY", Tone::Late, action.until.map_or(String::new(), |at| format!("again at {}", clock.hms(at))))
        }
        (None, _) => ("LATE", Tone::Late, step.estimate.map_or(String::new(), |e| format!("of {e}"))),
    };
    Line::new(" ").tone(tone, format!("{word:<5}")).and(format!(" {host}  {took:<7}  {part:<8}  {note}"))
}

/// Failed hosts with the same last words are told together.
pub(super) fn failures(view: &RunView, fleet: &Fleet<'_>, width: usize) -> Vec<Line> {
    let groups = alike(view, fleet);
    let mut lines: Vec<Line> = groups.iter().take(SHOWN).map(|(why, hosts)| failure(why, hosts, width)).collect();
    let more: usize = groups.iter().skip(SHOWN).map(|(_, hosts)| hosts.len()).sum();
    if more > 0 {
        lines.push(Line::new(format!("{INDENT}+ {more} more failed, in other ways")));
    }
    lines
}

/// `FAIL  os-check: kernel 3.4.31, wanted 3.7.9     2 hosts  web07 web23`.
fn failure(why: &str, hosts: &[&str], width: usize) -> Line {
    let names: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let who = match hosts.len() {
        1 => words::hosts(&names),
        n if n <= 4 => format!("{n} hosts  {}", words::hosts(&names)),
        _ => words::hosts(&names),
    };
    let room = width.saturating_sub(INDENT.len() + 3 + who.chars().count());
    Line::new(" ").tone(Tone::Failed, "FAIL ").and(format!(" {}   {who}", shorten(why, room)))
}

/// Why hosts failed, with the hosts that failed so: the most frequent reason first.
fn alike<'v>(view: &'v RunView, fleet: &Fleet<'_>) -> Vec<(String, Vec<&'v str>)> {
    let mut by_why: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for action in view.actions_of(fleet.row.ix).filter(|a| a.state == ActionState::Failed) {
        by_why.entry(why(action)).or_default().push(action.host());
    }
    let mut groups: Vec<_> = by_why.into_iter().collect();
    groups.sort_by_key(|(_, hosts)| std::cmp::Reverse(hosts.len()));
    groups
}

/// The last words of what failed there, or how it ended.
pub(super) fn why(action: &ActionView) -> String {
    let part = action.attempt.as_ref().map_or("", |attempt| words::part_prefix(attempt.direction));
    let said = action.evidence.tail.last().map(|line| esc(line.trim())).filter(|line| !line.is_empty());
    let ended = || action.outcome.as_ref().map_or("unreachable".into(), |outcome| esc(&outcome.to_string()));
    format!("{part}{}", said.unwrap_or_else(ended))
}

/// A part of the work in the words of the plan.
pub(super) const fn part_word(step: &Step, part: Direction) -> &'static str {
    match part {
        Direction::Drain | Direction::Drained => "drain",
        Direction::Do => verb_word(&step.verb),
        Direction::Reboot | Direction::UndoReboot => "reboot",
        Direction::Check | Direction::UndoCheck => "verify",
        Direction::Undrain | Direction::Undrained | Direction::UndoUndrain | Direction::UndoUndrained => "undrain",
        Direction::Undo => "undo",
    }
}

const fn verb_word(verb: &Verb) -> &'static str {
    match verb {
        Verb::Run(_) => "run",
        Verb::Script(_) => "script",
        Verb::Copy(_) => "copy",
        Verb::Template { .. } => "template",
        Verb::Test(_) => "test",
        Verb::Http(_) => "http",
        Verb::Gate => "gate",
        Verb::Wait(Wait::For(_) | Wait::At(_) | Wait::Until { .. }) => "wait",
    }
}

/// The same for programs.
pub(super) fn document(view: &RunView, fleet: &Fleet<'_>) -> Value {
    let mut parts = Map::new();
    for (part, count) in &fleet.parts {
        parts.insert(part_word(fleet.row.step, *part).to_owned(), json!(count));
    }
    let names = |late: bool| -> Vec<&str> {
        fleet.differing.iter().filter(|a| if late { a.late } else { a.is_lost() }).map(|a| a.host()).collect()
    };
    json!({
        "parts": parts,
        "hosts_per_minute": fleet.per_minute.map(|n| (n * 100.0).round() / 100.0),
        "failures_allowed": fleet.allowed,
        "in_service": fleet.in_service.iter().map(|s| json!({ "group": s.group, "up": s.up, "of": s.of })).collect::<Vec<_>>(),
        "late": names(true),
        "lost": names(false),
        "failures": alike(view, fleet).iter().map(|(why, hosts)| json!({ "why": why, "hosts": hosts })).collect::<Vec<_>>(),
    })
}
