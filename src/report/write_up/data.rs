//! The write-up as JSON and CSV: times RFC 3339 with the plan's offset, durations in seconds.

use jiff::Timestamp;
use serde_json::{Value as Json, json};

use super::WriteUp;
use crate::report::frame::state_word;

impl WriteUp {
    #[must_use]
    pub fn json(&self) -> Json {
        let time = |t: Timestamp| self.clock.rfc3339(t);
        let moments = self.moments.iter().map(|m| json!({ "at": time(m.at), "text": m.text, "who": m.who }));
        let steps = self.steps.iter().map(|s| {
            json!({
                "step": s.step,
                "state": state_word(s.state),
                "estimate_s": s.estimate.map(|e| [e.expected.as_secs(), e.worst.as_secs()]),
                "planned_start": s.planned.map(|p| time(p.start)),
                "planned_end": s.planned.map(|p| time(p.end)),
                "start": s.started.map(time),
                "end": s.ended.map(time),
                "duration_s": s.actual().map(|d| d.as_secs_f64()),
                "undo_start": s.undo.map(|(from, _)| time(from)),
                "undo_end": s.undo.and_then(|(_, to)| to).map(time),
            })
        });
        let spent = self.spent.parts().into_iter().map(|(what, d)| (format!("{what}_s"), json!(d.as_secs())));
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
            "spent": spent.collect::<serde_json::Map<_, _>>(),
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
        let time = |t: Option<Timestamp>| t.map(|t| self.clock.rfc3339(t)).unwrap_or_default();
        for s in &self.steps {
            let seconds = |d: Option<i64>| d.map(|d| d.to_string()).unwrap_or_default();
            let fields = [
                s.step.clone(),
                state_word(s.state).to_owned(),
                seconds(s.estimate.map(|e| e.expected.as_secs())),
                seconds(s.estimate.map(|e| e.worst.as_secs())),
                time(s.started),
                time(s.ended),
                s.actual().map(|d| format!("{:.3}", d.as_secs_f64())).unwrap_or_default(),
            ];
            out += &fields.map(|f| field(&f)).join(",");
            out += "\r\n";
        }
        out
    }
}

/// Quoted where RFC 4180 wants it; what a spreadsheet would take for a formula is text.
fn field(text: &str) -> String {
    let text = if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}
