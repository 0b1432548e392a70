//! The write-up as one self-contained page: no script, no request, and a chart of planned and actual times.

use jiff::{SignedDuration, Timestamp};
use minijinja::{Environment, context};
use serde::Serialize;

use super::spent::Kind;
use super::text::signed;
use super::{StepLine, WriteUp};
use crate::report::clock::{coarse, span};

const TEMPLATE: &str = include_str!("../../../templates/report/run.html");
/// The chart, in its own units.
const WIDTH: f64 = 720.0;
const LABELS: f64 = 150.0;
/// Room for half a label of the ruler at the right.
const MARGIN: f64 = 18.0;
const TOP: f64 = 20.0;
const ROW: f64 = 20.0;
/// Minutes between two labels of the ruler.
const SCALES: [i64; 10] = [1, 5, 10, 15, 30, 60, 120, 240, 720, 1440];

#[derive(Debug, Serialize)]
struct Bar {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    kind: &'static str,
    title: String,
}

#[derive(Debug, Serialize)]
struct Tick {
    x: f64,
    label: String,
}

#[derive(Debug, Serialize)]
struct Label {
    y: f64,
    text: String,
}

#[derive(Debug, Serialize)]
struct Chart {
    width: f64,
    height: f64,
    ticks: Vec<Tick>,
    bars: Vec<Bar>,
    labels: Vec<Label>,
}

impl WriteUp {
    /// The page.
    ///
    /// # Errors
    /// When the template does not render, which only a defect of this program could cause.
    pub fn html(&self, now: Timestamp) -> Result<String, minijinja::Error> {
        let mut environment = Environment::new();
        environment.add_template("run.html", TEMPLATE)?;
        let moments =
            self.moments.iter().map(|m| context! { at => self.clock.hm(m.at), text => &m.text, who => &m.who });
        let shown = |d: Option<SignedDuration>| d.map_or_else(|| "-".to_owned(), span);
        let steps = self.steps.iter().map(|s| {
            let diff = s.plan().zip(s.actual()).map_or_else(String::new, |(plan, actual)| signed(actual - plan));
            context! { step => &s.step, plan => shown(s.plan()), actual => shown(s.actual()), diff }
        });
        let spent = self.spent.parts().into_iter().filter(|(_, d)| !d.is_zero());
        let spent = spent.map(|(what, d)| context! { what, time => coarse(d) });
        environment.get_template("run.html")?.render(context! {
            title => &self.title,
            day => self.day(),
            verdict => &self.verdict,
            numbers => self.numbers(),
            moments => moments.collect::<Vec<_>>(),
            steps => steps.collect::<Vec<_>>(),
            spent => spent.collect::<Vec<_>>(),
            afterwards => self.afterwards(),
            chart => minijinja::value::Serde(self.chart(now)),
            run => &self.run,
            digest => &self.digest,
        })
    }

    fn chart(&self, now: Timestamp) -> Chart {
        let until = self.ended.unwrap_or(now);
        let ends = self.steps.iter().filter_map(|s| s.planned.map(|p| p.end)).chain([until]);
        let end = ends.max().unwrap_or(until).max(self.began + SignedDuration::from_secs(1));
        let scale = (WIDTH - LABELS - MARGIN) / end.duration_since(self.began).as_secs_f64();
        let x = |t: Timestamp| LABELS + t.duration_since(self.began).as_secs_f64().max(0.0) * scale;
        let height = TOP + ROW * self.steps.len() as f64;
        let mut chart =
            Chart { width: WIDTH, height, ticks: self.ticks(end, &x), bars: Vec::new(), labels: Vec::new() };
        for (i, step) in self.steps.iter().enumerate() {
            let y = TOP + ROW * i as f64;
            chart.labels.push(Label { y: y + 14.0, text: step.step.chars().take(22).collect() });
            let mut bar = |from: Timestamp, to: Timestamp, kind, at: f64, height, what: &str| {
                let title = format!("{} {what} {}-{}", step.step, self.clock.hm(from), self.clock.hm(to));
                let width = (x(to) - x(from)).max(1.5);
                chart.bars.push(Bar { x: x(from), y: y + at, width, height, kind, title });
            };
            if let Some(planned) = step.planned {
                bar(planned.start, planned.end, "plan", 3.0, 5.0, "planned");
            }
            if let Some(from) = step.started {
                bar(from, step.ended.unwrap_or(until), color(step), 9.0, 8.0, "actual");
            }
            if let Some((from, to)) = step.undo {
                bar(from, to.unwrap_or(until), "undo", 9.0, 8.0, "undone");
            }
        }
        chart
    }

    fn ticks(&self, end: Timestamp, x: &dyn Fn(Timestamp) -> f64) -> Vec<Tick> {
        let length = end.duration_since(self.began).as_secs();
        let minutes = SCALES.iter().find(|m| length <= *m * 60 * 8).copied().unwrap_or(length / 60 / 8 + 1);
        let first = self.began.as_second().div_euclid(minutes * 60) + 1;
        let instants = (first..).map_while(|n| Timestamp::from_second(n * minutes * 60).ok().filter(|t| *t <= end));
        instants.map(|t| Tick { x: x(t), label: self.clock.hm(t) }).collect()
    }
}

const fn color(step: &StepLine) -> &'static str {
    match step.kind {
        Kind::Work => "work",
        Kind::Tests => "tests",
        Kind::People => "people",
        Kind::Waiting => "waiting",
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Decided, Moment, Spent};
    use super::*;
    use crate::report::Clock;

    #[test]
    fn what_hosts_and_people_said_stays_text() {
        let evil = "<script>alert(1)</script>\u{1b}[2J\"'>";
        let at = Timestamp::UNIX_EPOCH;
        let write_up = WriteUp {
            // Names of runs and steps are checked where they are made.
            run: "night-a".into(),
            title: evil.into(),
            digest: "7c1f-9a3e".into(),
            verdict: "SUCCESS".into(),
            began: at,
            ended: Some(at),
            planned_end: None,
            window: None,
            roll_back_by: None,
            moments: vec![Moment { at, text: evil.into(), who: Some(evil.into()) }],
            steps: Vec::new(),
            spent: Spent::default(),
            critical: vec!["deploy".into()],
            decisions: vec![Decided { at, what: evil.into(), by: evil.into(), why: Some(evil.into()) }],
            defects: vec![evil.into()],
            followups: vec![evil.into()],
            succeeded: true,
            lab: false,
            clock: Clock::new(None),
        };
        let page = write_up.html(at).unwrap();
        assert!(page.contains("&lt;script&gt;") && !page.contains("<script"), "{page}");
        let rest = write_up.text(80).join("\n") + &write_up.markdown();
        assert!(!rest.contains('\u{1b}'), "{rest:?}");
        assert!(!write_up.markdown().lines().any(|line| line.contains("<script>")), "{}", write_up.markdown());
    }
}
