//! The steps that move now, a row for each, under the numbers of the live area. Draws text; knows no terminal and no files.

use unicode_width::UnicodeWidthStr;

use super::clock::{Clock, coarse, ratio, span};
use super::escape::escape_for_terminal as esc;
use super::frame::{SHOWN, Scene};
use super::style::{Look, Tone};
use super::tail::Said;
use super::text::{Line, bar, column, shorten};
use super::{fleet, words};
use crate::graph::ids::Direction;
use crate::view::{ActionState, ActionView, RunView, StepRow};

/// Columns of a row's bar, where there is much room, where there is less, and before it is left out.
const LONGEST_BAR: usize = 17;
const SHORT_BAR: usize = 12;
const SHORTEST_BAR: usize = 7;

/// The rows, the longest-running first, each with the last words of its hosts.
pub(super) fn moving(scene: &Scene<'_>, clock: &Clock, width: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    let rows = scene.view.active();
    for row in rows.iter().take(SHOWN) {
        match scene.view.fleet(row.ix, scene.now) {
            Some(fleet) => lines.extend(fleet::block(scene, clock, &fleet, width)),
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
    let gap = if wide { "  " } else { " " };
    let head = Line::new(" ")
        .tone(Tone::of_word(word), format!("{word:<5}"))
        .and(format!(" {}{gap}{hosts}{gap}{of:<16}", column(&row.step.id, 16)));
    let share = said_of(scene, row).and_then(|s| s.progress).map(|p| p.share);
    let expected = estimate.map(|e| e.expected).filter(|d| !d.is_zero());
    let share = share.or_else(|| expected.map(|e| ratio(elapsed, e))).map(|s| s.min(0.95));
    let left = width.saturating_sub(head.width());
    let tail = match share {
        Some(share) => beside_bar(scene.look, share, &notes(scene, clock, row), gap, left),
        None => alone(&notes(scene, clock, row), gap, left),
    };
    head.and(tail)
}

/// The bar of a row and its note, of which the first one is taken that fits; a long note makes the bar shorter.
fn beside_bar(look: Look, share: f64, notes: &[String], gap: &str, left: usize) -> String {
    let most = if gap.len() > 1 { LONGEST_BAR } else { SHORT_BAR };
    let size = |note: &String| left.saturating_sub(2 * gap.len() + note.width()).min(most);
    match notes.iter().find(|note| size(note) >= SHORTEST_BAR) {
        Some(note) => format!("{gap}{}{gap}{note}", bar(look, size(note), share, None)),
        None => alone(notes, gap, left),
    }
}

/// The first note that fits, or as much of the shortest one as does.
fn alone(notes: &[String], gap: &str, left: usize) -> String {
    let left = left.saturating_sub(gap.len());
    let note = notes.iter().find(|note| note.width() <= left).or(notes.last());
    format!("{gap}{}", shorten(note.map_or("", String::as_str), left))
}

/// What a row is about, as a word.
pub(super) const fn word_of(row: &StepRow<'_>) -> &'static str {
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

/// What else is to be said of a row: lateness, lost hosts, progress, hosts that differ. In words, and in fewer.
fn notes(scene: &Scene<'_>, clock: &Clock, row: &StepRow<'_>) -> Vec<String> {
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
        let people = words::people(scene.view, row.step, false);
        parts.push(format!("waiting for {}", if people.is_empty() { "an answer" } else { &people }));
    }
    if let Some(progress) = said_of(scene, row).and_then(|s| s.progress) {
        parts.push(esc(&progress.text));
    }
    let all = |more: Option<String>| parts.iter().cloned().chain(more).collect::<Vec<_>>().join("; ");
    match differing(scene, row) {
        differing if differing.is_empty() => vec![all(None)],
        differing => differing.into_iter().map(|more| all(Some(more))).collect(),
    }
}

/// `be1 DONE, be2 running`, and as counts; only counts where there are many; nothing where all are alike.
fn differing(scene: &Scene<'_>, row: &StepRow<'_>) -> Vec<String> {
    let actions: Vec<&ActionView> = scene.view.actions_of(row.ix).collect();
    let is_plain = |a: &&ActionView| a.state == actions[0].state && a.lost_since.is_none() && around(a).is_none();
    if actions.iter().all(is_plain) {
        return Vec::new();
    }
    match actions.len() {
        1 => vec![by_name(scene, &actions)],
        2 | 3 => vec![by_name(scene, &actions), in_numbers(row, &actions)],
        _ => vec![in_numbers(row, &actions)],
    }
}

fn by_name(scene: &Scene<'_>, actions: &[&ActionView]) -> String {
    let one = |a: &&ActionView| match a.lost_since.filter(|_| a.is_lost()) {
        Some(since) => format!("{} LOST {}", a.host(), coarse(scene.now.duration_since(since))),
        None => format!("{} {}", a.host(), around(a).unwrap_or_else(|| words::state_word(a.state))),
    };
    actions.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn in_numbers(row: &StepRow<'_>, actions: &[&ActionView]) -> String {
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
        add(&words::state_word(state).to_lowercase(), row.count(state) as usize - of_state.clone().count());
        for word in AROUND {
            add(word, of_state.clone().filter(|(_, w)| *w == word).count());
        }
    }
    if lost > 0 {
        parts.push(format!("{lost} lost"));
    }
    parts.join(" ")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_makes_the_bar_shorter_and_is_itself_only_cut_at_the_very_end() {
        let beside = |notes: &[&str], left| {
            let notes: Vec<String> = notes.iter().map(|note| (*note).to_owned()).collect();
            beside_bar(Look { width: 80, ascii: true }, 0.5, &notes, " ", left)
        };
        assert_eq!(beside(&[""], 38), " [#####>....] ");
        assert_eq!(beside(&["web1 restarting, no ssh yet"], 38), " [###>...] web1 restarting, no ssh yet");
        let hosts = ["web1 UNDONE, web2 undoing, web3 undoing", "2 undoing 1 undone"];
        assert_eq!(beside(&hosts, 38), " [#####>....] 2 undoing 1 undone");
        assert_eq!(beside(&["a note of thirty-seven columns is long"], 38), " a note of thirty-seven columns is l..");
        assert_eq!(beside(&["a note of thirty columns, full"], 38), " a note of thirty columns, full");
    }
}
