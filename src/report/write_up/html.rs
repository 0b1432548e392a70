//! The write-up as one self-contained page: no script, no request, and a chart of planned and actual times.

use jiff::{SignedDuration, Timestamp};
use minijinja::context;
use minijinja::value::Serde;

use super::spent::Kind;
use super::text::signed;
use super::{StepLine, WriteUp};
use crate::report::chart::{Chart, Lane};
use crate::report::clock::{coarse, span};
use crate::report::pages;

impl WriteUp {
    /// The page.
    ///
    /// # Errors
    /// When the template does not render, which only a defect of this program could cause.
    pub fn html(&self, now: Timestamp) -> Result<String, minijinja::Error> {
        let moments =
            self.moments.iter().map(|m| context! { at => self.clock.hm(m.at), text => &m.text, who => &m.who });
        let shown = |d: Option<SignedDuration>| d.map_or_else(|| "-".to_owned(), span);
        let steps = self.steps.iter().map(|s| {
            let diff = s.plan().zip(s.actual()).map_or_else(String::new, |(plan, actual)| signed(actual - plan));
            context! { step => &s.step, plan => shown(s.plan()), actual => shown(s.actual()), diff }
        });
        let spent = self.spent.parts().into_iter().filter(|(_, d)| !d.is_zero());
        let spent = spent.map(|(what, d)| context! { what, time => coarse(d) });
        let content = context! {
            title => &self.title,
            day => self.day(),
            verdict => &self.verdict,
            numbers => self.numbers(),
            moments => moments.collect::<Vec<_>>(),
            steps => steps.collect::<Vec<_>>(),
            spent => spent.collect::<Vec<_>>(),
            afterwards => self.afterwards(),
            charts => Serde(self.chart(now).on_screens()),
            run => &self.run,
            digest => &self.digest,
        };
        pages::page("run.html", &content)
    }

    /// The chart alone, as a picture.
    ///
    /// # Errors
    /// As [`Self::html`].
    pub fn svg(&self, now: Timestamp) -> Result<String, minijinja::Error> {
        pages::picture(&format!("{}, {}", self.title, self.day()), &self.chart(now))
    }

    fn chart(&self, now: Timestamp) -> Chart<'_> {
        let until = self.ended.unwrap_or(now);
        let ends = self.steps.iter().filter_map(|s| s.planned.map(|p| p.end)).chain([until]);
        let mut chart =
            Chart::new("Planned and actual times of each step", &self.clock, self.began, ends.max().unwrap_or(until));
        for step in &self.steps {
            chart.row(&step.step);
            if let Some(planned) = step.planned {
                chart.bar((planned.start, planned.end), "plan", Lane::Upper, &format!("{} planned", step.step));
            }
            if let Some(from) = step.started {
                let times = (from, step.ended.unwrap_or(until));
                chart.bar(times, color(step), Lane::Lower, &format!("{} actual", step.step));
            }
            if let Some((from, to)) = step.undo {
                chart.bar((from, to.unwrap_or(until)), "undo", Lane::Lower, &format!("{} undone", step.step));
            }
        }
        chart
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
    use crate::engine::fact::Stage;
    use crate::report::Clock;

    #[test]
    fn what_hosts_and_people_said_stays_text() {
        let evil = "<script>alert(1)</script>\u{1b}[2J\"'>";
        let at = Timestamp::UNIX_EPOCH;
        let write_up = WriteUp {
            // Names of runs and steps are checked where they are made.
            run: "night-a".into(),
            plan: "night".into(),
            wave_name: None,
            title: evil.into(),
            digest: "7c1f-9a3e".into(),
            wave: None,
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
            end: Some(crate::engine::fact::RunEnd::Succeeded { late: false }),
            stage: Stage::Real,
            clock: Clock::new(None),
        };
        let page = write_up.html(at).unwrap();
        assert!(page.contains("&lt;script&gt;") && !page.contains("<script"), "{page}");
        let rest = write_up.text(80).join("\n") + &write_up.markdown();
        assert!(!rest.contains('\u{1b}'), "{rest:?}");
        assert!(!write_up.markdown().lines().any(|line| line.contains("<script>")), "{}", write_up.markdown());
    }
}
