//! The write-up as JSON and CSV: times RFC 3339 with the plan's offset, durations in seconds.

use jiff::Timestamp;
use serde_json::{Value as Json, json};

use super::{Spent, StepLine, WriteUp};
use crate::report::{Clock, words};

impl WriteUp {
    #[must_use]
    pub fn json(&self) -> Json {
        let time = |t: Timestamp| self.clock.rfc3339(t);
        let moments = self.moments.iter().map(|m| json!({ "at": time(m.at), "text": m.text, "who": m.who }));
        let steps = self.steps.iter().map(|s| s.json(&self.clock));
        let decisions =
            self.decisions.iter().map(|d| json!({ "at": time(d.at), "what": d.what, "by": d.by, "why": d.why }));
        json!({
            "v": 1,
            "run": self.run,
            "title": self.title,
            "digest": self.digest,
            "wave": self.wave,
            "verdict": self.verdict,
            "began": time(self.began),
            "ended": self.ended.map(time),
            "planned_end": self.planned_end.map(time),
            "opens": self.window.map(|(opens, _)| time(opens)),
            "closes": self.window.map(|(_, closes)| time(closes)),
            "timeline": moments.collect::<Vec<_>>(),
            "steps": steps.collect::<Vec<_>>(),
            "spent": self.spent.json(),
            "critical_path": self.critical,
            "decisions": decisions.collect::<Vec<_>>(),
            "defects": self.defects,
            "followups": self.followups,
        })
    }

    /// One row per step.
    #[must_use]
    pub fn csv(&self) -> String {
        let mut out = String::from("step,state,expected_s,worst_s,start,end,duration_s\r\n");
        for s in &self.steps {
            out += &row([s.step.clone()].into_iter().chain(s.fields(&self.clock)));
        }
        out
    }
}

impl StepLine {
    #[must_use]
    pub(in crate::report) fn json(&self, clock: &Clock) -> Json {
        let time = |t: Timestamp| clock.rfc3339(t);
        json!({
            "step": self.step,
            "state": words::state_word(self.state),
            "estimate_s": self.estimate.map(|e| [e.expected.as_secs(), e.worst.as_secs()]),
            "planned_start": self.planned.map(|p| time(p.start)),
            "planned_end": self.planned.map(|p| time(p.end)),
            "start": self.started.map(time),
            "end": self.ended.map(time),
            "duration_s": self.actual().map(|d| d.as_secs_f64()),
            "undo_start": self.undo.map(|(from, _)| time(from)),
            "undo_end": self.undo.and_then(|(_, to)| to).map(time),
        })
    }

    /// State, expected, worst, start, end, duration: what a table has behind the step's name.
    #[must_use]
    pub(in crate::report) fn fields(&self, clock: &Clock) -> [String; 6] {
        let seconds = |d: Option<i64>| d.map(|d| d.to_string()).unwrap_or_default();
        let time = |t: Option<Timestamp>| t.map(|t| clock.rfc3339(t)).unwrap_or_default();
        [
            words::state_word(self.state).to_owned(),
            seconds(self.estimate.map(|e| e.expected.as_secs())),
            seconds(self.estimate.map(|e| e.worst.as_secs())),
            time(self.started),
            time(self.ended),
            self.actual().map(|d| format!("{:.3}", d.as_secs_f64())).unwrap_or_default(),
        ]
    }
}

impl Spent {
    #[must_use]
    pub(in crate::report) fn json(&self) -> Json {
        let parts = self.parts().into_iter().map(|(what, d)| (format!("{what}_s"), json!(d.as_secs())));
        Json::Object(parts.collect())
    }
}

/// A line of CSV.
#[must_use]
pub(in crate::report) fn row(fields: impl IntoIterator<Item = String>) -> String {
    let fields: Vec<String> = fields.into_iter().map(|f| field(&f)).collect();
    fields.join(",") + "\r\n"
}

/// Quoted where RFC 4180 wants it; what a spreadsheet would take for a formula is text.
fn field(text: &str) -> String {
    let text = if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}
