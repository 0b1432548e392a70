//! The dry run as bars over a ruler of clock times. Draws; decides only the scale.

use jiff::{SignedDuration, Timestamp};

use super::clock::Clock;
use super::plan_page::PlanPage;
use super::text::column;
use crate::plan::model::{Step, Verb};
use crate::view::StepTimes;

/// Columns before the bars.
const LABEL: usize = 19;
/// Columns of one tick: a clock time and a space.
const TICK: usize = 6;
/// Steps between two labels of the ruler, in minutes.
const SCALES: [i64; 11] = [5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880];

/// A linear scale of clock times.
struct Ruler {
    from: Timestamp,
    tick: SignedDuration,
    ticks: usize,
}

impl Ruler {
    fn new(from: Timestamp, to: Timestamp, width: usize) -> Self {
        let room = (width.saturating_sub(LABEL + TICK) / TICK).max(2);
        let length = to.duration_since(from).as_secs().max(1);
        let fits = |m: &&i64| length <= *m * 60 * room as i64;
        let minutes = SCALES.iter().find(fits).copied().unwrap_or(length / 60 / room as i64 + 1);
        let ticks = (length as usize).div_ceil(minutes as usize * 60);
        Self { from, tick: SignedDuration::from_mins(minutes), ticks }
    }

    fn columns(&self) -> usize {
        self.ticks * TICK + 1
    }

    fn column(&self, t: Timestamp) -> usize {
        let secs = t.duration_since(self.from).as_secs().max(0);
        (secs as usize * TICK / (self.tick.as_secs() as usize)).min(self.columns() - 1)
    }

    /// Over more than a day every other tick, for its day needs the room of two.
    fn labels(&self, clock: &Clock) -> String {
        let at = |i: usize| self.from.checked_add(self.tick * i as i32).unwrap_or(self.from);
        if self.tick * self.ticks as i32 <= SignedDuration::from_hours(24) {
            return (0..=self.ticks).map(|i| format!("{} ", clock.hm(at(i)))).collect();
        }
        let days = (0..=self.ticks).step_by(2).map(|i| format!("{:<1$}", clock.hm_near(at(i), self.from), 2 * TICK));
        days.collect()
    }
}

pub(super) fn lines(page: &PlanPage<'_>, clock: &Clock) -> Vec<String> {
    let (finish, worst) = page.finish();
    let end = finish.max(worst).max(page.closes().unwrap_or(finish));
    let ruler = Ruler::new(page.opens, end, page.width);
    let legend = "TIMELINE   # work   = test   ? person   ! no way back   . worst case";
    let marks = if page.roll_back_by().is_some() { "   | roll back by, close" } else { "" };
    let mut out = vec![
        if legend.len() + marks.len() <= page.width { format!("{legend}{marks}") } else { legend.to_owned() },
        format!("{:LABEL$}{}", "", ruler.labels(clock)),
    ];
    let forward = crate::schedule::forward_only(page.graph);
    for ix in page.graph.step_ixs() {
        let step = page.graph.step(ix);
        let times = (page.expected[ix.index()], page.worst[ix.index()]);
        let cells = row(page, &ruler, step, forward.contains(&ix), times);
        out.push(format!("  {} {cells}", column(&step.id, LABEL - 3)));
    }
    out
}

fn row(
    page: &PlanPage<'_>,
    ruler: &Ruler,
    step: &Step,
    forward: bool,
    (expected, worst): (Option<StepTimes>, Option<StepTimes>),
) -> String {
    let mut cells = vec![' '; ruler.columns()];
    for mark in [page.roll_back_by(), page.closes()].into_iter().flatten() {
        cells[ruler.column(mark)] = '|';
    }
    let Some(times) = expected else {
        return cells.into_iter().collect();
    };
    let (from, to) = (ruler.column(times.start), ruler.column(times.end));
    // The worst case is drawn where it matters: where it goes past the last moment to roll back, or past the close.
    let limit = if forward { page.closes() } else { page.roll_back_by() };
    if let (Some(worst), Some(limit)) = (worst, limit)
        && worst.end > limit
    {
        cells[to..ruler.column(worst.end).max(to)].fill('.');
    }
    let end = page.graph.find_step(&step.id).is_some_and(|ix| page.graph.ends_the_way_back(ix));
    let glyph = if end { '!' } else { glyph(step) };
    cells[from..to.max(from + 1).min(ruler.columns())].fill(glyph);
    cells.into_iter().collect()
}

const fn glyph(step: &Step) -> char {
    match (&step.gate, &step.verb) {
        (Some(_), _) => '?',
        (None, Verb::Test(_) | Verb::Http(_)) => '=',
        _ => '#',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ruler_over_days_names_them() {
        let labels = |to: &str| {
            let ruler = Ruler::new("2026-12-02T01:30:00Z".parse().unwrap(), to.parse().unwrap(), 80);
            ruler.labels(&Clock::new(Some("UTC"))).trim_end().to_owned()
        };
        assert_eq!(labels("2026-12-02T07:00:00Z"), "01:30 02:30 03:30 04:30 05:30 06:30 07:30");
        assert_eq!(labels("2026-12-03T07:00:00Z"), "01:30       13:30       Thu 01:30");
    }
}
