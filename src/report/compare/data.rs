//! Two runs side by side, as JSON and CSV: times RFC 3339 with each plan's offset, durations in seconds.

use serde_json::{Value as Json, json};

use super::{Comparison, Kinship, Pair};
use crate::report::write_up::{StepLine, WriteUp, row};

impl Comparison {
    #[must_use]
    pub fn json(&self) -> Json {
        let [a, b] = self.both().map(|(_, run)| self.side(run));
        let changes = if let Kinship::Versions(changes) = &self.kinship { changes.clone() } else { Vec::new() };
        json!({
            "v": 1,
            "plans": self.kinship.word(),
            "changes": changes,
            "a": a,
            "b": b,
            "difference_s": self.longer().map(|d| d.as_secs_f64()),
            "steps": self.steps.iter().map(|pair| self.step(pair)).collect::<Vec<_>>(),
        })
    }

    fn side(&self, run: &WriteUp) -> Json {
        let mut side = run.json();
        if let Some(side) = side.as_object_mut() {
            side.remove("v");
            side.remove("steps");
            side.insert("length_s".into(), json!(self.length(run).as_secs_f64()));
            side.insert("over".into(), json!(run.ended.is_some()));
        }
        side
    }

    fn step(&self, pair: &Pair) -> Json {
        let side = |run: &WriteUp, line: &Option<StepLine>| {
            let mut side = line.as_ref().map_or(Json::Null, |line| line.json(&run.clock));
            side.as_object_mut().map(|side| side.remove("step"));
            side
        };
        json!({
            "step": pair.step,
            "a": side(&self.a, &pair.a),
            "b": side(&self.b, &pair.b),
            "difference_s": pair.difference().map(|d| d.as_secs_f64()),
        })
    }

    /// One row per step.
    #[must_use]
    pub fn csv(&self) -> String {
        let columns = ["state", "expected_s", "worst_s", "start", "end", "duration_s"];
        let of = |side: &'static str| columns.map(|column| format!("{side}_{column}"));
        let head = ["step".to_owned()].into_iter().chain(of("a")).chain(of("b")).chain(["difference_s".to_owned()]);
        let rows = self.steps.iter().map(|pair| {
            let fields = |run: &WriteUp, line: &Option<StepLine>| {
                line.as_ref().map_or_else(Default::default, |line| line.fields(&run.clock))
            };
            let difference = pair.difference().map_or_else(String::new, |d| format!("{:.3}", d.as_secs_f64()));
            let both = fields(&self.a, &pair.a).into_iter().chain(fields(&self.b, &pair.b));
            row([pair.step.clone()].into_iter().chain(both).chain([difference]))
        });
        row(head) + &rows.collect::<String>()
    }
}
