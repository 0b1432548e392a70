//! Two runs side by side, as one self-contained page: no script, and a chart of both from when each of them began.

use jiff::{SignedDuration, Timestamp};
use minijinja::context;
use minijinja::value::Serde;

use super::text::headline;
use super::{Comparison, Pair};
use crate::report::chart::{Chart, Lane};
use crate::report::clock::{Clock, coarse};
use crate::report::pages;
use crate::report::write_up::{StepLine, WriteUp};

impl Comparison {
    /// The page.
    ///
    /// # Errors
    /// When the template does not render, which only a defect of this program could cause.
    pub fn html(&self) -> Result<String, minijinja::Error> {
        let runs =
            self.both().map(|(name, run)| context! { name, head => headline(run), numbers => self.numbers(run) });
        let steps = self.steps.iter().map(|pair| context! { step => &pair.step, cells => self.cells(pair) });
        let spent = self.spent().into_iter().map(|(what, a, b)| {
            context! { what, a => coarse(a), b => coarse(b), difference => self.apart_by(a, b) }
        });
        let clock = Clock::new(None);
        let content = context! {
            title => self.title(),
            runs,
            summary => self.summary(),
            heads => self.heads(),
            steps => steps.collect::<Vec<_>>(),
            spent => spent.collect::<Vec<_>>(),
            afterwards => self.afterwards(),
            charts => Serde(self.chart(&clock).on_screens()),
        };
        pages::page("compare.html", &content)
    }

    /// The chart alone, as a picture.
    ///
    /// # Errors
    /// As [`Self::html`].
    pub fn svg(&self) -> Result<String, minijinja::Error> {
        pages::picture(&format!("{}, {} and {}", self.title(), self.a.run, self.b.run), &self.chart(&Clock::new(None)))
    }

    /// Both from the same left edge: its clock is the time since each began.
    fn chart<'a>(&self, clock: &'a Clock) -> Chart<'a> {
        let lengths = self.both().map(|(_, run)| self.length(run));
        let all = lengths.into_iter().max().unwrap_or_default();
        let what = "When each step of two runs went on, from the beginning of each";
        let mut chart = Chart::new(what, clock, Timestamp::UNIX_EPOCH, since(all));
        for pair in &self.steps {
            chart.row(&pair.step);
            self.bars(&mut chart, pair, &self.a, Lane::Upper);
            self.bars(&mut chart, pair, &self.b, Lane::Lower);
        }
        chart
    }

    fn bars(&self, chart: &mut Chart<'_>, pair: &Pair, run: &WriteUp, lane: Lane) {
        let (line, name, kind) = match lane {
            Lane::Upper => (&pair.a, "A", "waiting"),
            _ => (&pair.b, "B", "work"),
        };
        let until = run.ended.unwrap_or(self.now);
        let times = |from: Timestamp, to: Option<Timestamp>| {
            let after = |t: Timestamp| since(t.duration_since(run.began));
            (after(from), after(to.unwrap_or(until)))
        };
        let Some(StepLine { step, started, ended, undo, .. }) = line else { return };
        if let Some(from) = started {
            chart.bar(times(*from, *ended), kind, lane, &format!("{step} in {name}, since its beginning"));
        }
        if let Some((from, to)) = undo {
            chart.bar(times(*from, *to), "undo", lane, &format!("{step} undone in {name}, since its beginning"));
        }
    }
}

fn since(d: SignedDuration) -> Timestamp {
    Timestamp::UNIX_EPOCH.checked_add(d).unwrap_or(Timestamp::MAX)
}
