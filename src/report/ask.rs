//! The boxes of open questions: gates and holds, with what each answer would do. Reads no keys.

use jiff::Timestamp;

use super::clock::{Clock, coarse};
use super::escape::escape_for_terminal as esc;
use super::frame::Scene;
use super::style::Tone;
use super::text::{Line, column, wrap};
use super::words;
use crate::view::{Answer, OpenGate, OpenHold};

/// One box per open question.
pub(super) fn boxes(scene: &Scene<'_>, clock: &Clock, width: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    if let Some(hold) = scene.view.hold() {
        lines.extend(framed(&hold_text(scene, clock, hold, width - 5), width));
    }
    for gate in scene.view.gates() {
        lines.extend(framed(&gate_text(scene, clock, gate, width - 5), width));
    }
    lines
}

fn framed(text: &[String], width: usize) -> Vec<Line> {
    let edge = || Line::new(" ").tone(Tone::Person, format!("+{}+", "-".repeat(width - 3)));
    let inside = |t: &String| {
        let text = column(t, width - 5);
        Line::new(" ").tone(Tone::Person, "|").and(format!(" {text} ")).tone(Tone::Person, "|")
    };
    let mut lines = vec![edge()];
    lines.extend(text.iter().map(inside));
    lines.push(edge());
    lines
}

fn gate_text(scene: &Scene<'_>, clock: &Clock, gate: &OpenGate, width: usize) -> Vec<String> {
    let (view, now) = (scene.view, scene.now);
    let Some(row) = view.row_by_name(gate.action.step()) else { return Vec::new() };
    let Some(asked) = &row.step.gate else { return Vec::new() };
    let title = row.step.id.to_uppercase().replace(['-', '_'], " ");
    let mut lines = wrap(&format!("{title} - {}", esc(&asked.question)), width);
    let who = words::people(view, row.step, true);
    let who = if who.is_empty() { String::new() } else { format!("For {who}.  ") };
    let expected = row.step.estimate.map_or(String::new(), |e| {
        let until = gate.since.checked_add(e.worst).unwrap_or(gate.since);
        format!("Expected {e} (until {}).  ", clock.hm_near(until, now))
    });
    let by = gate.answer_by.map_or(String::new(), |t| format!("Answer by {}.", clock.hm_near(t, now)));
    lines.extend(wrap(format!("{who}{expected}{by}").trim_end(), width));
    if asked.quorum > 1 {
        lines.push(format!("{} of {} approvals so far.", gate.approvals, asked.quorum));
    }
    if !asked.checklist.is_empty() {
        let points: Vec<String> = asked.checklist.iter().map(|p| format!("[ ] {}", esc(p))).collect();
        lines.extend(whole(&points, "   ", width));
    }
    for horizon in view.graph().horizons_after(row.ix) {
        let text = format!("After it, {}; {}.", words::horizon(view.graph(), horizon), words::FORWARD_ONLY);
        lines.extend(wrap(&text, width));
    }
    lines.push(String::new());
    lines.extend(view.gate_answers(row.ix, now).iter().flat_map(|a| answer(clock, a, now, width)));
    if let Some(by) = gate.answer_by {
        let up = by.checked_add(view.rollback_now()).unwrap_or(by);
        let does = match view.rollback_now().is_zero() {
            true => "stops by itself".to_owned(),
            false => format!("rolls back by itself, up at {}", clock.hm_near(up, now)),
        };
        lines.push(format!("No answer by {}: {does}.", clock.hm_near(by, now)));
    }
    let name = &row.step.id;
    lines.extend(whole(
        &[format!("From elsewhere: runbook approve {name}"), format!("or: runbook reject {name}")],
        "   ",
        width,
    ));
    lines
}

/// Points on lines, none of them broken.
fn whole(points: &[String], between: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for point in points {
        match lines.last_mut() {
            Some(last) if last.len() + between.len() + point.len() <= width => {
                last.push_str(between);
                last.push_str(point);
            }
            _ => lines.push(point.clone()),
        }
    }
    lines
}

fn hold_text(scene: &Scene<'_>, clock: &Clock, hold: &OpenHold, width: usize) -> Vec<String> {
    let (view, now) = (scene.view, scene.now);
    let mut lines = wrap(&format!("HOLD - {}", words::held(view, &hold.reason)), width);
    lines.push("Nothing new starts; the clock goes on.".into());
    lines.push(String::new());
    let answers = view.hold_answers(now);
    lines.extend(answers.iter().flat_map(|a| answer(clock, a, now, width)));
    match hold.limit {
        Some(limit) => {
            let left = coarse(limit.duration_since(now).max(jiff::SignedDuration::ZERO));
            let default = hold.default.word();
            lines.push(format!("No answer by {} (in {left}): {default}.", clock.limit(limit, now)));
        }
        None => lines.push("It waits until a person answers.".into()),
    }
    lines
}

/// `  retry     run db-scripts again, about 30m: 02:20 if said now`, on as many lines as it takes.
fn answer(clock: &Clock, a: &Answer, now: Timestamp, width: usize) -> Vec<String> {
    let until = if matches!(a.word, "rollback" | "reject") { "up at" } else { "until" };
    let takes = a.takes.filter(|d| !d.is_zero()).map_or(String::new(), |d| {
        let over = a.over.map_or(String::new(), |t| format!(": {until} {} if said now", clock.hm_near(t, now)));
        format!(", about {}{over}", coarse(d))
    });
    let lines = wrap(&format!("{}{takes}", esc(&a.does)), width.saturating_sub(12).max(20));
    let word = |i: usize| if i == 0 { a.word } else { "" };
    lines.iter().enumerate().map(|(i, text)| format!("  {:<9} {text}", word(i))).collect()
}
