//! What is true now, under the history: numbers, one bar, what moves. Draws text; knows no terminal and no files.

use jiff::{SignedDuration, Timestamp};

use super::clock::{Clock, coarse, span};
use super::escape::escape_for_terminal as esc;
use super::style::{Look, Tone};
use super::tail::Said;
use super::text::{Line, bar, column, cut, shorten};
use super::{ask, fleet, odds, words};
use crate::engine::fact::Stage;
use crate::graph::StepIx;
use crate::graph::ids::Direction;
use crate::plan::units::Short;
use crate::schedule::Odds;
use crate::view::{ActionState, ActionView, Fleet, Phase, RunView, StepRow};

/// Running steps shown at the same time; the others are a number.
const SHOWN: usize = 8;
/// Widest useful live area.
const WIDEST: usize = 96;

/// The last words of running steps, by step and host.
pub type Heard<'a> = &'a dyn Fn(&str, &str) -> Option<Said>;

/// What the live area is drawn from.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "holds a closure")]
pub struct Scene<'a> {
    pub view: &'a RunView,
    pub look: Look,
    pub now: Timestamp,
    /// How likely it is to end in time; `None` where that is not known.
    pub odds: Option<&'a Odds>,
    pub heard: Heard<'a>,
    /// The keys that work here; empty where there are none.
    pub keys: &'a str,
}

/// The live area, top to bottom, coloured, each line at most `look.width` columns wide.
#[must_use]
pub fn frame(scene: &Scene<'_>) -> Vec<String> {
    let clock = words::clock_of(scene.view);
    let width = scene.look.width.saturating_sub(1).clamp(20, WIDEST);
    let mut lines = vec![rule(scene, &clock, width)];
    match scene.view.phase() {
        Phase::Ended => return Vec::new(),
        Phase::Waiting => lines.push(waiting(scene, &clock)),
        Phase::RollingBack => {
            lines.extend(rollback_numbers(scene, &clock, width));
            lines.extend(moving(scene, &clock, width));
            lines.extend(still_to_undo(scene, width));
        }
        Phase::Running | Phase::Holding => {
            lines.extend(numbers(scene, &clock, width));
            lines.push(Line::default());
            lines.extend(moving(scene, &clock, width));
            lines.extend(failed(scene, width));
            lines.extend(still_to_do(scene, &clock, width));
        }
    }
    lines.extend(ask::boxes(scene, &clock, width));
    if !scene.keys.is_empty() {
        lines.push(Line::default().tone(Tone::Waiting, format!(" {}", scene.keys)));
    }
    lines.iter().map(|l| l.paint(width)).collect()
}

fn rule(scene: &Scene<'_>, clock: &Clock, width: usize) -> Line {
    let word = match scene.view.phase() {
        Phase::RollingBack if scene.view.rollback_is_paused() => "ROLLBACK PAUSED ",
        Phase::RollingBack => "ROLLING BACK ",
        Phase::Holding => "HOLDING ",
        Phase::Waiting | Phase::Running | Phase::Ended => "",
    };
    let left = format!("- as of {} ", clock.hms(scene.now));
    let rehearsal = scene.view.header().is_some_and(|h| h.options.stage() == Stage::Rehearsal);
    let stage = if rehearsal { "REHEARSAL of " } else { "" };
    let wave = scene.view.header().and_then(|h| h.options.wave.as_ref());
    let wave = wave.map_or(String::new(), |w| format!(" wave {}/{}", w.number, w.of));
    let right = format!(" {word}{stage}{}{wave} ---", esc(scene.view.run()));
    let fill = width.saturating_sub(left.len() + right.len());
    let tone = if word.is_empty() { Tone::Waiting } else { Tone::Failed };
    Line::new(left).and("-".repeat(fill)).tone(tone, right)
}

fn waiting(scene: &Scene<'_>, clock: &Clock) -> Line {
    let opens = scene.view.opens().unwrap_or(scene.now);
    let left = opens.duration_since(scene.now).max(SignedDuration::ZERO).as_secs();
    let left = format!("{:02}:{:02}:{:02}", left / 3600, left / 60 % 60, left % 60);
    Line::new(format!(" waiting for the window  {left}   it opens at {}", clock.hm_near(opens, scene.now)))
}

fn numbers(scene: &Scene<'_>, clock: &Clock, width: usize) -> Vec<Line> {
    let in_words = if width >= 90 { &IN_WORDS[..] } else { &IN_WORDS[2..] };
    let first = in_words.iter().map(|words| limits(scene, clock, *words)).find(|line| line.width() <= width);
    let first = first.unwrap_or_else(|| limits(scene, clock, Words::Fewest));
    let mut lines = vec![first, night_bar(scene, width), forecast(scene, clock, width)];
    lines.extend(horizons(scene, clock, width));
    lines.extend(in_time(scene, clock, width));
    lines
}

/// How much room the limits of the night may take on their line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Words {
    Spaced,
    Long,
    Short,
    Fewest,
}

/// From the one that is read best.
const IN_WORDS: [Words; 4] = [Words::Spaced, Words::Long, Words::Short, Words::Fewest];

/// When the window closes, how long a rollback can still wait, and when one that begins now would be over.
fn limits(scene: &Scene<'_>, clock: &Clock, words: Words) -> Line {
    let (view, now) = (scene.view, scene.now);
    let gap = if words == Words::Spaced { "      " } else { "  " };
    let mut line = window(scene, clock, matches!(words, Words::Spaced | Words::Long));
    if let (Some(by), Some(room)) = (view.roll_back_by(), view.room(now)) {
        let tone = if room < SignedDuration::from_mins(30) { Tone::Late } else { Tone::Plain };
        let what = if words == Words::Fewest { "" } else { "roll back " };
        let text = format!("ROOM {} {what}by {}", coarse(room), clock.hm_near(by, now));
        line = line.and(gap).tone(tone, text);
    }
    if !view.reversible() {
        line.and(gap).and("NO WAY BACK")
    } else if view.closes().is_some() || !view.rollback_now().is_zero() {
        let up = clock.hm_near(view.up_again(now), now);
        line.and(gap).and(format!("IF NOW up at {up}"))
    } else {
        line
    }
}

/// What will end the way back by itself, and when that is expected.
fn horizons(scene: &Scene<'_>, clock: &Clock, width: usize) -> Vec<Line> {
    let (view, now) = (scene.view, scene.now);
    let ahead = view.horizons_ahead();
    let one = |step: &StepIx| {
        let start = view.forecast(now).steps[step.index()].start;
        let text = format!("HORIZON {} {}", clock.hm_near(start, now), words::horizon(view.graph(), *step));
        Line::new(format!(" {}", cut(&text, width.saturating_sub(1))))
    };
    ahead.iter().map(one).collect()
}

/// As many of the odds as fit on one line.
fn in_time(scene: &Scene<'_>, clock: &Clock, width: usize) -> Option<Line> {
    let parts = odds::parts(scene.odds?, clock, scene.view.closes(), scene.now);
    let (first, rest) = parts.split_first()?;
    let mut line = Line::new(" ").join(first);
    for part in rest {
        let longer = line.clone().and("   ").join(part);
        if longer.width() <= width {
            line = longer;
        }
    }
    Some(line)
}

fn window(scene: &Scene<'_>, clock: &Clock, wide: bool) -> Line {
    let Some(closes) = scene.view.closes() else {
        let began = scene.view.began().unwrap_or(scene.now);
        let for_ = span(scene.now.duration_since(began));
        return Line::new(format!(" STARTED {} {for_} ago", clock.hm_near(began, scene.now)));
    };
    let left = closes.duration_since(scene.now);
    let at = clock.hm_near(closes, scene.now);
    if left.is_negative() {
        return Line::new(" ").tone(Tone::Failed, format!("WINDOW closed {at}, {} ago", coarse(-left)));
    }
    let left = if wide { Short(SignedDuration::from_secs(left.as_secs())).to_string() } else { coarse(left) };
    Line::new(if wide { format!(" WINDOW closes {at} in {left}") } else { format!(" CLOSES {at} in {left}") })
}

/// From the opening to the close, with *roll back by*.
fn night_bar(scene: &Scene<'_>, width: usize) -> Line {
    let view = scene.view;
    let (done, total) = (view.steps_done(), view.steps_total());
    let percent = (done * 100).checked_div(total).unwrap_or(100);
    let counts = format!("  {done} of {total}   {percent}%");
    let size = width.saturating_sub(counts.len() + 1);
    let share = match (view.opens(), view.closes()) {
        (Some(opens), Some(closes)) => {
            let of = |t: Timestamp| ratio(t.duration_since(opens), closes.duration_since(opens));
            (of(scene.now), view.roll_back_by().map(of))
        }
        _ => (percent as f64 / 100.0, None),
    };
    Line::new(format!(" {}{counts}", bar(scene.look, size, share.0, share.1)))
}

fn ratio(part: SignedDuration, whole: SignedDuration) -> f64 {
    if whole.is_zero() { 1.0 } else { part.as_secs_f64() / whole.as_secs_f64() }
}

fn forecast(scene: &Scene<'_>, clock: &Clock, width: usize) -> Line {
    let forecast = scene.view.forecast(scene.now);
    let finish = clock.hm_near(forecast.finish, scene.now);
    let mut line = Line::new(format!(" finish {finish}, "));
    line = match coarse_minutes(forecast.ahead) {
        0 => line.and("as planned"),
        m if m > 0 => line.and(format!("{} ahead of plan", coarse(forecast.ahead))),
        _ => line.tone(Tone::Late, format!("{} behind plan", coarse(-forecast.ahead))),
    };
    if let Some(slack) = forecast.slack {
        let tone = if slack.is_negative() { Tone::Late } else { Tone::Plain };
        line = line.and("   ").tone(tone, format!("slack {}", coarse(slack)));
    }
    let mut people = next_people(scene, clock, &forecast.steps);
    while !people.is_empty() {
        let all = line.clone().and(format!("   next person: {}", people.join(", ")));
        if all.width() <= width {
            return all;
        }
        people.pop();
    }
    line
}

const fn coarse_minutes(d: SignedDuration) -> i64 {
    d.as_secs() / 60
}

/// `Sarah 02:55`, `Ms. Hu 03:20 (plan 03:30)`: of gates that were not opened yet.
fn next_people(scene: &Scene<'_>, clock: &Clock, steps: &[crate::view::StepTimes]) -> Vec<String> {
    let view = scene.view;
    let coming = view.rows().filter(|r| r.state == ActionState::Waiting && r.step.gate.is_some());
    let one = |r: StepRow<'_>| {
        let start = steps[r.ix.index()].start;
        let planned = view.planned(r.ix).map(|t| t.start);
        let moved = planned.filter(|p| p.duration_since(start).abs() > SignedDuration::from_mins(15));
        let plan = moved.map_or(String::new(), |p| format!(" (plan {})", clock.hm_near(p, scene.now)));
        let people = words::people(view, r.step, false);
        let who = if people.is_empty() { esc(&r.step.id) } else { people };
        format!("{who} {}{plan}", clock.hm_near(start, scene.now))
    };
    coming.take(2).map(one).collect()
}

fn moving(scene: &Scene<'_>, clock: &Clock, width: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    let rows = scene.view.active();
    for row in rows.iter().take(SHOWN) {
        match scene.view.fleet(row.ix, scene.now) {
            Some(fleet) => lines.extend(fleet_block(scene, clock, &fleet, width)),
            None => {
                lines.push(moving_row(scene, clock, row, width));
                lines.extend(last_words(scene, row));
            }
        }
    }
    if rows.len() > SHOWN {
        lines.push(Line::new(format!("       + {} more", rows.len() - SHOWN)));
    }
    if scene.view.proving() {
        lines.push(Line::new(" ").tone(Tone::Running, "TEST ").and(" the old version"));
    }
    lines
}

/// A step on many hosts: its row with a bar over its hosts, and what is to be said of them together.
fn fleet_block(scene: &Scene<'_>, clock: &Clock, fleet: &Fleet<'_>, width: usize) -> Vec<Line> {
    let row = &fleet.row;
    let word = word_of(row);
    let (over, of) = match row.state {
        ActionState::Undoing => (row.count(ActionState::Undone), row.total - row.count(ActionState::Waiting)),
        _ => (fleet.over(), row.total),
    };
    let share = f64::from(over) / f64::from(of.max(1));
    let counts = format!("  {over} of {of} hosts   {:.0}%", share * 100.0);
    let head = format!(" {}  {:<8}", column(&row.step.id, 16), span(row.elapsed(scene.now)));
    let size = width.saturating_sub(6 + head.chars().count() + counts.len() + 1);
    let line = Line::new(" ").tone(Tone::of_word(word), format!("{word:<5}")).and(head);
    let mut lines = vec![line.and(format!("{}{counts}", bar(scene.look, size, share, None)))];
    lines.extend(fleet::lines(scene.view, fleet, clock, scene.now, width));
    lines
}

fn moving_row(scene: &Scene<'_>, clock: &Clock, row: &StepRow<'_>, width: usize) -> Line {
    let word = word_of(row);
    let wide = width >= 90;
    let estimate = match row.state {
        ActionState::Undoing | ActionState::Parked => row.step.rollback().map(|r| r.estimate),
        _ => row.step.estimate,
    };
    let elapsed = row.elapsed(scene.now);
    let of = estimate.map_or_else(|| span(elapsed), |e| format!("{} of {e}", span(elapsed)));
    let hosts = if wide { column(&place(scene.view, row), 9) } else { String::new() };
    let (name, gap) = if wide { (16, "  ") } else { (16, " ") };
    let line = Line::new(" ").tone(Tone::of_word(word), format!("{word:<5}")).and(format!(
        " {}{gap}{hosts}{gap}{:<16}",
        column(&row.step.id, name),
        of
    ));
    let share = said_of(scene, row).and_then(|s| s.progress).map(|p| p.share);
    let expected = estimate.map(|e| e.expected).filter(|d| !d.is_zero());
    let share = share.or_else(|| expected.map(|e| ratio(elapsed, e))).map(|s| s.min(0.95));
    let small = share.map(|s| bar(scene.look, if wide { 17 } else { 12 }, s, None));
    line.and(small.map_or(String::new(), |b| format!("{gap}{b}"))).and(format!("{gap}{}", note(scene, clock, row)))
}

/// What a row is about, as a word.
const fn word_of(row: &StepRow<'_>) -> &'static str {
    match row.state {
        ActionState::Asking => "GATE",
        ActionState::BackingOff => "RETRY",
        ActionState::Soaking => "WAIT",
        ActionState::Undoing => "UNDO",
        ActionState::Parked => "STUCK",
        _ if row.late => "LATE",
        _ => "RUN",
    }
}

fn place(view: &RunView, row: &StepRow<'_>) -> String {
    let names: Vec<String> = view.actions_of(row.ix).filter_map(|a| a.id.host().map(str::to_owned)).collect();
    if names.is_empty() && row.step.gate.is_some() { "people".into() } else { words::hosts(&names) }
}

/// What else is to be said of a row: lateness, lost hosts, progress, hosts that differ.
fn note(scene: &Scene<'_>, clock: &Clock, row: &StepRow<'_>) -> String {
    let now = scene.now;
    let late = row.step.estimate.map(|e| row.elapsed(now) - e.worst).filter(|l| row.late && !l.is_negative());
    let retry = scene.view.actions_of(row.ix).find(|a| a.state == ActionState::BackingOff);
    let mut parts = Vec::new();
    if let Some(late) = late {
        parts.push(format!("LATE by {}", coarse(late)));
    }
    if let Some(action) = retry {
        let at = action.until.map_or(String::new(), |t| format!(" at {}", clock.hms(t)));
        parts.push(format!("again{at}"));
    }
    if let Some(until) = scene.view.actions_of(row.ix).find(|a| a.state == ActionState::Soaking).and_then(|a| a.until) {
        parts.push(format!("until {}", clock.hm_near(until, now)));
    }
    if row.state == ActionState::Asking {
        parts.push(format!("waiting for {}", words::people(scene.view, row.step, false)));
    }
    if let Some(progress) = said_of(scene, row).and_then(|s| s.progress) {
        parts.push(esc(&progress.text));
    }
    parts.extend(differing(scene, row));
    parts.join("; ")
}

/// `be1 DONE, be2 running`; counts where there are many; nothing where all are alike.
fn differing(scene: &Scene<'_>, row: &StepRow<'_>) -> Option<String> {
    let actions: Vec<&ActionView> = scene.view.actions_of(row.ix).collect();
    let is_plain = |a: &&ActionView| a.state == actions[0].state && a.lost_since.is_none() && around(a).is_none();
    if actions.iter().all(is_plain) {
        return None;
    }
    if actions.len() <= 3 {
        let one = |a: &&ActionView| match a.lost_since.filter(|_| a.is_lost()) {
            Some(since) => format!("{} LOST {}", a.host(), coarse(scene.now.duration_since(since))),
            None => format!("{} {}", a.host(), around(a).unwrap_or_else(|| state_word(a.state))),
        };
        return Some(actions.iter().map(one).collect::<Vec<_>>().join(", "));
    }
    let lost = actions.iter().filter(|a| a.is_lost()).count();
    let mut parts: Vec<String> = Vec::new();
    let around: Vec<(ActionState, &str)> = actions.iter().filter_map(|a| Some((a.state, around(a)?))).collect();
    for state in STATES {
        let mut add = |word: &str, count: usize| {
            if count > 0 {
                parts.push(format!("{count} {word}"));
            }
        };
        let of_state = around.iter().filter(|(s, _)| *s == state);
        add(&state_word(state).to_lowercase(), row.count(state) as usize - of_state.clone().count());
        for word in AROUND {
            add(word, of_state.clone().filter(|(_, w)| *w == word).count());
        }
    }
    if lost > 0 {
        parts.push(format!("{lost} lost"));
    }
    Some(parts.join(" "))
}

/// What is done to a host around its work, as a word; nothing for the work itself and its proof.
fn around(action: &ActionView) -> Option<&'static str> {
    let at = match action.part()? {
        Direction::Drain | Direction::Drained => 0,
        Direction::Reboot | Direction::UndoReboot if action.lost_since.is_some() => 2,
        Direction::Reboot | Direction::UndoReboot => 1,
        Direction::Undrain | Direction::Undrained | Direction::UndoUndrain | Direction::UndoUndrained => 3,
        Direction::Do | Direction::Check | Direction::Undo | Direction::UndoCheck => return None,
    };
    Some(AROUND[at])
}

const AROUND: [&str; 4] = ["draining", "restarting", "restarting, no ssh yet", "undraining"];

const STATES: [ActionState; 9] = [
    ActionState::Done,
    ActionState::Failed,
    ActionState::Running,
    ActionState::BackingOff,
    ActionState::Undoing,
    ActionState::Undone,
    ActionState::Parked,
    ActionState::Skipped,
    ActionState::Waiting,
];

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

/// What the step's hosts said last: of the first host that still runs and said something.
fn said_of(scene: &Scene<'_>, row: &StepRow<'_>) -> Option<Said> {
    let running = scene.view.actions_of(row.ix).filter(|a| a.state.is_active());
    running.take(20).find_map(|a| (scene.heard)(&row.step.id, a.id.host()?))
}

fn last_words(scene: &Scene<'_>, row: &StepRow<'_>) -> Option<Line> {
    let said = said_of(scene, row)?;
    if said.line.is_empty() {
        return None;
    }
    let host = if said.host == "local" { "here" } else { &said.host };
    Some(Line::default().tone(Tone::Waiting, format!("         {host} | {}", esc(&said.line))))
}

/// Steps whose failure nobody has answered yet.
fn failed(scene: &Scene<'_>, width: usize) -> Vec<Line> {
    let rows: Vec<StepRow<'_>> = scene.view.rows().filter(|r| r.state == ActionState::Failed).collect();
    let one = |row: &StepRow<'_>| {
        if let Some(fleet) = scene.view.fleet(row.ix, scene.now) {
            return fleet::failures(scene.view, &fleet, width);
        }
        let failed = scene.view.actions_of(row.ix).filter(|a| a.state == ActionState::Failed);
        let (names, how): (Vec<String>, Vec<String>) = failed
            .map(|a| (a.host().to_owned(), a.outcome.as_ref().map_or(String::new(), ToString::to_string)))
            .unzip();
        let how = how.first().map_or(String::new(), |h| esc(h));
        vec![Line::new(" ").tone(Tone::Failed, "FAIL ").and(format!(
            " {}  {}  {how}",
            column(&row.step.id, 16),
            words::hosts(&names)
        ))]
    };
    rows.iter().take(SHOWN).flat_map(one).collect()
}

fn still_to_do(scene: &Scene<'_>, clock: &Clock, width: usize) -> Vec<Line> {
    let waiting: Vec<StepRow<'_>> = scene.view.rows().filter(|r| r.state == ActionState::Waiting).collect();
    let word = |text: String| Line::new(" ").tone(Tone::Waiting, "WAIT ").and(format!(" {text}"));
    let Some((next, rest)) = waiting.split_first() else { return Vec::new() };
    let graph = scene.view.graph();
    let needs = graph.all_needs(next.ix).filter(|n| !scene.view.row(*n).state.counts_as_done());
    let needs: Vec<&str> = needs.map(|n| graph.step(n).id.as_str()).collect();
    let expected = clock.hm_near(scene.view.forecast(scene.now).steps[next.ix.index()].start, scene.now);
    let needs = if needs.is_empty() { String::new() } else { format!("needs {}", needs.join(", ")) };
    let mut lines = vec![word(format!("{}  {}  expected {expected}", column(&next.step.id, 16), column(&needs, 33)))];
    if !rest.is_empty() {
        lines.push(word(shorten(&names(rest), width.saturating_sub(7))));
    }
    lines
}

fn names(rows: &[StepRow<'_>]) -> String {
    let shown: Vec<&str> = rows.iter().take(6).map(|r| r.step.id.as_str()).collect();
    let more = rows.len().saturating_sub(6);
    if more > 0 { format!("{} + {more} more", shown.join(", ")) } else { shown.join(", ") }
}

fn rollback_numbers(scene: &Scene<'_>, clock: &Clock, width: usize) -> Vec<Line> {
    let (view, now) = (scene.view, scene.now);
    let began = view.rollback().map_or(now, |(at, _)| *at);
    let up = view.up_again(now);
    let wide = width >= 90;
    let gap = if wide { "       " } else { "  " };
    let late = view.closes().is_some_and(|closes| up > closes);
    let estimate = coarse(view.rollback_estimate().unwrap_or_default());
    let first = window(scene, clock, wide)
        .and(gap)
        .tone(if late { Tone::Late } else { Tone::Plain }, format!("UP AGAIN expected {}", clock.hm_near(up, now)))
        .and(gap)
        .and(format!("began {}, est {estimate}", clock.hms(began)));
    let (undone, of) = view.rollback_progress().map_or((0, 0), |p| (p.undone, p.to_undo));
    let share = ratio(now.duration_since(began), up.duration_since(began)).clamp(0.0, 0.99);
    let counts = format!("  {undone} of {of} undone   {:.0}%", share * 100.0);
    let size = width.saturating_sub(counts.len() + 1);
    vec![first, Line::new(format!(" {}{counts}", bar(scene.look, size, share, None)))]
}

fn still_to_undo(scene: &Scene<'_>, width: usize) -> Vec<Line> {
    let view = scene.view;
    let waiting = |r: &StepRow<'_>| !r.state.is_active() && r.state != ActionState::Parked && view.row_needs_undo(r.ix);
    let mut rows: Vec<StepRow<'_>> = view.rows().filter(waiting).collect();
    rows.reverse();
    let proof = if view.graph().plan().after_rollback.is_some() && !view.proving() {
        "then the test of the old version"
    } else {
        ""
    };
    let text = [names(&rows), proof.to_owned()].into_iter().filter(|t| !t.is_empty()).collect::<Vec<_>>().join(", ");
    if text.is_empty() {
        return Vec::new();
    }
    vec![Line::new(" ").tone(Tone::Waiting, "WAIT ").and(format!(" {}", shorten(&text, width.saturating_sub(7))))]
}
