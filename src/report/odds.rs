//! How likely it is, in words: never more precise than it is known, and always with its condition. Draws nothing.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::clock::Clock;
use super::style::Tone;
use super::text::Line;
use crate::graph::StepIx;
use crate::schedule::{Odds, probably};

/// Below this, what is said is said in the colour of what is late.
const DOUBTFUL: f64 = 0.8;
/// A step that decides the end less often than this, or nearly always, is not worth a word.
const NOW_AND_THEN: std::ops::Range<f64> = 0.05..0.95;

/// `05:10 - 06:05`: eight nights of ten end in between.
pub fn likely(odds: &Odds, clock: &Clock, near: Timestamp) -> String {
    let (early, late) = (clock.hm_near(odds.early, near), clock.hm_near(odds.late, near));
    if early == late { early } else { format!("{early} - {late}") }
}

/// `done by 07:00 about 93%`, `a rollback still fits about 88%`, `likely finish 05:05 - 05:48`.
pub fn parts(odds: &Odds, clock: &Clock, closes: Option<Timestamp>, now: Timestamp) -> Vec<Line> {
    let said = |what: String, p: f64| {
        let tone = if p < DOUBTFUL { Tone::Late } else { Tone::Plain };
        Line::default().tone(tone, format!("{what} {}", probably(p)))
    };
    let done = closes.zip(odds.done).map(|(closes, p)| said(format!("done by {}", clock.hm_near(closes, now)), p));
    let fits = odds.rollback_fits.map(|p| said("rollback still fits".into(), p));
    let likely = Line::new(format!("likely finish {}", likely(odds, clock, now)));
    done.into_iter().chain(fits).chain([likely]).collect()
}

/// `Now and then decides the end: 5 in about 12% of nights`, of steps that are not on the expected path.
pub fn also_decide(odds: &Odds, path: &[StepIx]) -> Option<String> {
    let others =
        odds.deciding().into_iter().filter(|(step, often)| NOW_AND_THEN.contains(often) && !path.contains(step));
    let others: Vec<String> =
        others.take(4).map(|(step, often)| format!("{} in {}", step.0 + 1, probably(often))).collect();
    (!others.is_empty()).then(|| format!("Now and then decides the end: {} of nights", others.join(", ")))
}

/// The same for programs; probabilities from 0 to 1.
pub fn document(odds: &Odds, clock: &Clock) -> Value {
    json!({
        "done_by_close": odds.done.map(thousandths),
        "rollback_fits": odds.rollback_fits.map(thousandths),
        "finish_early": clock.rfc3339(odds.early),
        "finish_middle": clock.rfc3339(odds.middle),
        "finish_late": clock.rfc3339(odds.late),
        "nights": odds.nights,
    })
}

pub fn thousandths(probability: f64) -> f64 {
    (probability * 1000.0).round() / 1000.0
}
