//! The runs of one plan, as JSON and CSV: times RFC 3339 with each plan's offset, durations in seconds.

use serde_json::{Map, Value as Json, json};

use super::{Night, Trend};
use crate::report::write_up::row;

impl Trend {
    #[must_use]
    pub fn json(&self) -> Json {
        json!({
            "v": 1,
            "plan": self.plan,
            "title": self.title,
            "runs": self.nights.iter().map(Night::json).collect::<Vec<_>>(),
            "left_out": self.left_out,
        })
    }

    /// One row per run.
    #[must_use]
    pub fn csv(&self) -> String {
        let head =
            ["run", "wave", "began", "ended", "length_s", "planned_s", "left_s", "outcome", "longest", "longest_s"];
        row(head.map(str::to_owned)) + &self.nights.iter().map(|night| row(night.fields())).collect::<String>()
    }
}

impl Night {
    fn json(&self) -> Json {
        let steps = self.steps.iter().map(|(step, took)| (step.clone(), json!(took.as_secs_f64())));
        json!({
            "run": self.run,
            "wave": self.wave,
            "began": self.clock.rfc3339(self.began),
            "ended": self.ended.map(|t| self.clock.rfc3339(t)),
            "length_s": self.length.as_secs_f64(),
            "planned_s": self.planned.map(|d| d.as_secs_f64()),
            "left_s": self.left.map(|d| d.as_secs_f64()),
            "outcome": self.outcome(),
            "verdict": self.verdict,
            "defects": self.defects,
            "longest": self.longest.as_ref().map(|(step, took)| json!({ "step": step, "took_s": took.as_secs_f64() })),
            "steps_s": Json::Object(steps.collect::<Map<_, _>>()),
        })
    }

    fn fields(&self) -> [String; 10] {
        let seconds =
            |d: Option<jiff::SignedDuration>| d.map_or_else(String::new, |d| format!("{:.3}", d.as_secs_f64()));
        let (step, took) = self.longest.clone().unzip();
        [
            self.run.clone(),
            self.wave.clone().unwrap_or_default(),
            self.clock.rfc3339(self.began),
            self.ended.map_or_else(String::new, |t| self.clock.rfc3339(t)),
            seconds(Some(self.length)),
            seconds(self.planned),
            seconds(self.left),
            self.outcome().to_owned(),
            step.unwrap_or_default(),
            seconds(took),
        ]
    }
}
