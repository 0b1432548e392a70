//! Bars over clock times, as pages and pictures have them. Knows neither runs nor plans.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::clock::Clock;
use super::escape::escape_for_terminal as esc;

/// The chart, in its own units.
const WIDTH: f64 = 720.0;
const LABELS: f64 = 150.0;
/// Room for half a label of the ruler at the right.
const MARGIN: f64 = 18.0;
const TOP: f64 = 20.0;
const ROW: f64 = 20.0;
/// The height of the line below that names a mark.
const MARK: f64 = 16.0;
/// Characters of a label that fit before the bars.
const LABEL: usize = 22;
/// The chart of a narrow screen, whose labels stand above their bars.
const NARROW: f64 = 340.0;
const ABOVE: f64 = 16.0;
/// More labels do not fit on its ruler.
const TICKS: usize = 7;
/// Minutes between two labels of the ruler.
const SCALES: [i64; 10] = [1, 5, 10, 15, 30, 60, 120, 240, 720, 1440];

/// Where in its row a bar lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    Whole,
    /// The thin one above another.
    Upper,
    Lower,
}

impl Lane {
    /// Distance from the top of the row, and height.
    const fn place(self) -> (f64, f64) {
        match self {
            Self::Whole => (4.0, 12.0),
            Self::Upper => (3.0, 5.0),
            Self::Lower => (9.0, 8.0),
        }
    }
}

#[derive(Debug, Clone, Serialize)]
struct Bar {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    kind: &'static str,
    title: String,
}

#[derive(Debug, Clone, Serialize)]
struct Tick {
    x: f64,
    label: String,
}

#[derive(Debug, Clone, Serialize)]
struct Label {
    y: f64,
    text: String,
}

/// An instant that goes through all rows, named below them.
#[derive(Debug, Clone, Serialize)]
struct Mark {
    x: f64,
    y: f64,
    text: String,
}

/// One chart. Times outside of it are drawn at its edges.
#[derive(Debug, Clone, Serialize)]
pub struct Chart<'a> {
    #[serde(skip)]
    clock: &'a Clock,
    #[serde(skip)]
    from: Timestamp,
    #[serde(skip)]
    to: Timestamp,
    /// What it shows, for who cannot see it.
    what: &'static str,
    width: f64,
    height: f64,
    /// The end of the rows.
    rows: f64,
    ticks: Vec<Tick>,
    bars: Vec<Bar>,
    labels: Vec<Label>,
    marks: Vec<Mark>,
}

impl<'a> Chart<'a> {
    pub fn new(what: &'static str, clock: &'a Clock, from: Timestamp, to: Timestamp) -> Self {
        let to = to.max(from + SignedDuration::from_secs(1));
        let (ticks, bars, labels, marks) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut new = Self { clock, from, to, what, width: WIDTH, height: TOP, rows: TOP, ticks, bars, labels, marks };
        new.ticks = new.ruler();
        new
    }

    /// Opens a row; bars go into the newest.
    pub fn row(&mut self, label: &str) {
        let text = esc(label).chars().take(LABEL).collect();
        self.labels.push(Label { y: self.rows + 14.0, text });
        self.rows += ROW;
        self.height += ROW;
    }

    /// A bar in the newest row; `kind` is its class in the style of pages and pictures.
    pub fn bar(&mut self, (from, to): (Timestamp, Timestamp), kind: &'static str, lane: Lane, what: &str) {
        let (below, height) = lane.place();
        let title = format!("{} {}-{}", esc(what), self.clock.hm(from), self.clock.hm(to));
        let (x, width) = (self.x(from), (self.x(to) - self.x(from)).max(1.5));
        self.bars.push(Bar { x, y: self.rows - ROW + below, width, height, kind, title });
    }

    /// A line through all rows; after the last of them.
    pub fn mark(&mut self, at: Timestamp, name: &str) {
        self.height += MARK;
        let text = format!("{name} {}", self.clock.hm(at));
        self.marks.push(Mark { x: self.x(at), y: self.height - 4.0, text });
    }

    fn x(&self, t: Timestamp) -> f64 {
        let length = self.to.duration_since(self.from).as_secs_f64();
        let part = t.duration_since(self.from).as_secs_f64() / length;
        let x = LABELS + part.clamp(0.0, 1.0) * (WIDTH - LABELS - MARGIN);
        (x * 10.0).round() / 10.0
    }

    fn ruler(&self) -> Vec<Tick> {
        let length = self.to.duration_since(self.from).as_secs();
        let minutes = SCALES.iter().find(|m| length <= *m * 60 * 8).copied().unwrap_or(length / 60 / 8 + 1);
        if minutes >= 1440 {
            return self.days(minutes / 1440);
        }
        let first = (self.from.as_second() - 1).div_euclid(minutes * 60) + 1;
        let instants = (first..).map_while(|n| Timestamp::from_second(n * minutes * 60).ok());
        let instants = instants.take_while(|t| *t <= self.to);
        instants.map(|t| Tick { x: self.x(t), label: self.clock.hm(t) }).collect()
    }

    /// Midnights of the clock's zone, each so many days after the other.
    fn days(&self, apart: i64) -> Vec<Tick> {
        let first = self.clock.zoned(self.from).date();
        let days = (0..).map_while(|n| first.checked_add(jiff::Span::new().try_days(n * apart).ok()?).ok());
        let midnight = |date: jiff::civil::Date| date.to_zoned(self.clock.zoned(self.from).time_zone().clone()).ok();
        let instants = days.map_while(midnight).map(|day| day.timestamp()).take_while(|t| *t <= self.to);
        let instants = instants.filter(|t| *t >= self.from);
        instants.map(|t| Tick { x: self.x(t), label: self.clock.zoned(t).strftime("%a %d").to_string() }).collect()
    }

    /// As a page shows it: on a wide screen, and on a narrow one.
    pub fn on_screens(self) -> OnScreens<'a> {
        OnScreens { narrow: self.narrowed(), wide: self }
    }

    fn narrowed(&self) -> Self {
        let x = |x: f64| {
            let part = (x - LABELS) / (WIDTH - LABELS - MARGIN);
            ((MARGIN + part * (NARROW - 2.0 * MARGIN)) * 10.0).round() / 10.0
        };
        let row_of = |y: f64| ((y - TOP) / ROW).floor();
        let (taller, scale) = (ABOVE * self.labels.len() as f64, (NARROW - 2.0 * MARGIN) / (WIDTH - LABELS - MARGIN));
        let apart = self.ticks.len().div_ceil(TICKS).max(1);
        let mut new = self.clone();
        (new.width, new.height, new.rows) = (NARROW, self.height + taller, self.rows + taller);
        new.ticks = self.ticks.iter().step_by(apart).map(|t| Tick { x: x(t.x), ..t.clone() }).collect();
        for bar in &mut new.bars {
            bar.y += ABOVE * (row_of(bar.y) + 1.0);
            (bar.x, bar.width) = (x(bar.x), (bar.width * scale).max(1.5));
        }
        new.labels.iter_mut().for_each(|label| label.y += ABOVE * row_of(label.y));
        new.marks.iter_mut().for_each(|mark| (mark.x, mark.y) = (x(mark.x), mark.y + taller));
        new
    }
}

/// The same chart twice; the style of pages shows the one that fits.
#[derive(Debug, Serialize)]
pub struct OnScreens<'a> {
    wide: Chart<'a>,
    narrow: Chart<'a>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_a_narrow_screen_labels_stand_above_their_bars_and_all_of_the_evening_is_seen() {
        let at = |minutes: i64| Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes);
        let clock = Clock::new(Some("UTC"));
        let mut chart = Chart::new("An evening", &clock, at(0), at(480));
        for (step, from, to) in [("first", 0, 240), ("second", 240, 480)] {
            chart.row(step);
            chart.bar((at(from), at(to)), "work", Lane::Whole, step);
        }
        chart.mark(at(480), "close");
        let OnScreens { wide, narrow } = chart.on_screens();
        let bars = |chart: &Chart<'_>| chart.bars.iter().map(|b| (b.x, b.y, b.width)).collect::<Vec<_>>();
        assert_eq!(bars(&wide), [(150.0, 24.0, 276.0), (426.0, 44.0, 276.0)]);
        assert_eq!(bars(&narrow), [(18.0, 40.0, 152.0), (170.0, 76.0, 152.0)]);
        assert_eq!(narrow.labels.iter().map(|label| label.y).collect::<Vec<_>>(), [34.0, 70.0]);
        assert_eq!((narrow.width, narrow.height, narrow.marks[0].x), (NARROW, wide.height + 2.0 * ABOVE, 322.0));
        assert_eq!((wide.ticks.len(), narrow.ticks.len()), (9, 5), "every second label of the ruler");
        assert_eq!((narrow.ticks[0].x, narrow.ticks[4].x), (18.0, 322.0));
    }
}
