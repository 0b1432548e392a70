//! What is true now, under the history: numbers, one bar, what moves. Draws text; knows no terminal and no files.

use jiff::{SignedDuration, Timestamp};

use super::clock::{Clock, coarse, ratio, span};
use super::escape::escape_for_terminal as esc;
use super::style::{Look, Tone};
use super::tail::Said;
use super::text::{Line, bar, column, cut, shorten};
use super::{ask, fleet, moving, odds, words};
use crate::engine::fact::Stage;
use crate::graph::StepIx;
use crate::plan::units::Short;
use crate::schedule::Odds;
use crate::view::{ActionState, Phase, RunView, StepRow};

/// Running steps shown at the same time; the others are a number.
pub(super) const SHOWN: usize = 8;
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
            lines.extend(moving::moving(scene, &clock, width));
            lines.extend(still_to_undo(scene, width));
        }
        Phase::Running | Phase::Holding => {
            lines.extend(numbers(scene, &clock, width));
            lines.push(Line::default());
            lines.extend(moving::moving(scene, &clock, width));
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
    let late = view.closes().is_some_and(|closes| up > closes);
    let estimate = coarse(view.rollback_estimate().unwrap_or_default());
    let at = clock.hm_near(up, now);
    let up_again = match view.rollback_is_paused() {
        true => format!("IF CONTINUED NOW up at {at}"),
        false => format!("UP AGAIN expected {at}"),
    };
    let spaced = |gap: &str| {
        window(scene, clock, width >= 90)
            .and(gap)
            .tone(if late { Tone::Late } else { Tone::Plain }, &up_again)
            .and(gap)
            .and(format!("began {}, est {estimate}", clock.hms(began)))
    };
    let first = Some(spaced("       ")).filter(|line| line.width() <= width).unwrap_or_else(|| spaced("  "));
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
