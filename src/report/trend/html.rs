//! The runs of one plan, as one self-contained page: no script, and a bar for each run from when it began.

use jiff::{SignedDuration, Timestamp};
use minijinja::context;
use minijinja::value::Serde;

use super::spark::{Ink, sparkline};
use super::text::HEADS;
use super::{Night, Trend};
use crate::report::chart::{Chart, Lane};
use crate::report::clock::{Clock, difference, span};
use crate::report::pages;

impl Trend {
    /// The page.
    ///
    /// # Errors
    /// When the template does not render, which only a defect of this program could cause.
    pub fn html(&self) -> Result<String, minijinja::Error> {
        let steps = self.courses().into_iter().map(|course| {
            context! {
                step => course.step,
                spark => sparkline(&course.took, Ink::Blocks),
                middle => span(course.middle()),
                last => course.known().last().map_or_else(String::new, |d| span(*d)),
                against => course.last_against_the_middle().map_or_else(String::new, difference),
            }
        });
        let clock = Clock::new(None);
        let content = context! {
            title => self.headline(),
            heads => HEADS,
            nights => self.nights.iter().map(Night::cells).collect::<Vec<_>>(),
            steps => steps.collect::<Vec<_>>(),
            left_out => &self.left_out,
            charts => Serde(self.chart(&clock).on_screens()),
        };
        pages::page("trend.html", &content)
    }

    /// The chart alone, as a picture.
    ///
    /// # Errors
    /// As [`Self::html`].
    pub fn svg(&self) -> Result<String, minijinja::Error> {
        pages::picture(&self.headline(), &self.chart(&Clock::new(None)))
    }

    /// All from the same left edge: its clock is the time since each began.
    fn chart<'a>(&self, clock: &'a Clock) -> Chart<'a> {
        let longest = self.nights.iter().flat_map(|n| [Some(n.length), n.planned]).flatten().max().unwrap_or_default();
        let mut chart = Chart::new("How long each run took", clock, Timestamp::UNIX_EPOCH, since(longest));
        for night in &self.nights {
            chart.row(&night.run);
            let whole = |d| (Timestamp::UNIX_EPOCH, since(d));
            if let Some(planned) = night.planned {
                chart.bar(whole(planned), "plan", Lane::Upper, &format!("{} as planned", night.run));
            }
            chart.bar(whole(night.length), night.colour(), Lane::Lower, &format!("{}, {}", night.run, night.outcome()));
        }
        chart
    }
}

impl Night {
    const fn colour(&self) -> &'static str {
        match (&self.end, self.succeeded()) {
            (None, _) => "waiting",
            (Some(_), true) => "work",
            (Some(_), false) => "undo",
        }
    }
}

fn since(d: SignedDuration) -> Timestamp {
    Timestamp::UNIX_EPOCH.checked_add(d).unwrap_or(Timestamp::MAX)
}
