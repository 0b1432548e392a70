//! The evening as a chart, and its steps as a graph: what is expected, the worst case, the last moment to roll back and the
//! close; what needs what. Draws nothing itself.

use super::PlanPage;
use crate::graph::draw::Marks;
use crate::report::chart::{Chart, Lane};
use crate::report::clock::Clock;
use crate::report::graph_chart::GraphChart;
use crate::report::pages;

impl PlanPage<'_> {
    pub(super) fn chart<'c>(&self, clock: &'c Clock) -> Chart<'c> {
        let (finish, worst) = self.finish();
        let end = finish.max(worst).max(self.closes().unwrap_or(finish));
        let mut chart = Chart::new("When each step is expected to run", clock, self.opens, end);
        for ix in self.graph.step_ixs() {
            let step = self.graph.step(ix);
            chart.row(&step.id);
            let (expected, worst) = (self.expected[ix.index()], self.worst[ix.index()]);
            if let (Some(expected), Some(worst)) = (expected, worst)
                && worst.end > expected.end
            {
                chart.bar((expected.end, worst.end), "worst", Lane::Lower, &format!("{} at worst", step.id));
            }
            if let Some(times) = expected {
                chart.bar((times.start, times.end), pages::kind(self.graph, ix), Lane::Whole, &step.id);
            }
        }
        let marks = [(self.roll_back_by(), "roll back by"), (self.closes(), "close")];
        marks.into_iter().filter_map(|(at, name)| Some((at?, name))).for_each(|(at, name)| chart.mark(at, name));
        chart
    }

    pub(super) fn graph_chart(&self) -> GraphChart {
        let skipped = self.graph.step_ixs().filter(|s| self.expected[s.index()].is_none()).collect();
        let critical = self.fit.longest_path.iter().copied().collect();
        GraphChart::new(self.graph, &Marks { critical, skipped, ..Marks::default() }, true)
    }

    /// The chart alone, as a picture.
    ///
    /// # Errors
    /// When the template does not render, which only a defect of this program could cause.
    pub fn svg(&self) -> Result<String, minijinja::Error> {
        let plan = self.graph.plan();
        let clock = Clock::new(plan.timezone.as_deref());
        pages::picture(&format!("{}, {}", plan.name, clock.day(self.opens)), &self.chart(&clock))
    }
}
