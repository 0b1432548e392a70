//! The runs of one plan, as text for a terminal and as Markdown for a wiki.

use jiff::SignedDuration;

use super::spark::{Ink, sparkline};
use super::{Night, Trend};
use crate::report::clock::{coarse, difference, span};
use crate::report::escape::{escape_for_markdown as md, escape_for_terminal as esc};
use crate::report::text::{column, fold};
use crate::schedule::middle;

/// Steps in the table of steps.
const MOST: usize = 12;
/// A step's name is never cut to less.
const NAME: usize = 8;
/// The column that is left out on less than so many columns.
const ENDED: usize = 2;
const WIDE: usize = 90;

impl Trend {
    /// For a terminal of this many columns.
    #[must_use]
    pub fn text(&self, width: usize, ink: Ink) -> Vec<String> {
        let mut out = vec![esc(&self.headline()), String::new()];
        out.extend(self.runs(width));
        out.push(String::new());
        out.extend(self.course_of_all(ink));
        out.push(String::new());
        out.extend(self.steps(width, ink));
        if !self.left_out.is_empty() {
            out.push(String::new());
            out.extend(self.left_out.iter().map(|line| esc(line)));
        }
        out.iter().flat_map(|line| fold(line.trim_end(), width)).collect()
    }

    pub(super) fn headline(&self) -> String {
        let name = if self.title == self.plan { String::new() } else { format!(" ({})", self.plan) };
        let runs = if self.nights.len() == 1 { "1 run".to_owned() } else { format!("{} runs", self.nights.len()) };
        format!("{}{name}: {runs}, oldest first", self.title)
    }

    /// The last column takes what is left; a narrow terminal does without the end, which follows from the beginning.
    fn runs(&self, width: usize) -> Vec<String> {
        let shown: Vec<usize> = (0..HEADS.len()).filter(|i| *i != ENDED || width >= WIDE).collect();
        let rows: Vec<[String; 7]> = self.nights.iter().map(Night::cells).collect();
        let wide = |i: usize| rows.iter().map(|r| r[i].chars().count()).chain([HEADS[i].len()]).max().unwrap_or(0);
        let (last, first) = shown.split_last().map_or((0, &shown[..]), |(last, first)| (*last, first));
        let rest: usize = first.iter().map(|i| wide(*i) + 2).sum();
        let room = width.saturating_sub(rest).max(NAME);
        let line = |cells: [&str; 7]| {
            let cells_of = first.iter().map(|i| format!("{}  ", column(cells[*i], wide(*i))));
            format!("{}{}", cells_of.collect::<String>(), column(cells[last], room)).trim_end().to_owned()
        };
        let rows = rows.iter().map(|r| line(r.each_ref().map(String::as_str)));
        [line(HEADS)].into_iter().chain(rows).collect()
    }

    /// How long the whole took and what was left, as sparklines with their least and most.
    fn course_of_all(&self, ink: Ink) -> Vec<String> {
        let took: Vec<_> = self.nights.iter().map(|n| n.succeeded().then_some(n.length)).collect();
        let left: Vec<_> = self.nights.iter().map(|n| n.left).collect();
        let about = |values: &[Option<SignedDuration>]| {
            let known: Vec<SignedDuration> = values.iter().flatten().copied().collect();
            let (least, most, middle) = (known.iter().min()?, known.iter().max()?, middle(&known)?);
            let (least, most) = (coarse(*least), coarse(*most));
            Some(if least == most { least } else { format!("{least} to {most}, in the middle {}", coarse(middle)) })
        };
        let line = |(name, values): (&str, &Vec<_>)| {
            Some(format!("{name:<5}  {}  {}", sparkline(values, ink), about(values)?))
        };
        [("took", &took), ("left", &left)].into_iter().filter_map(line).collect()
    }

    fn steps(&self, width: usize, ink: Ink) -> Vec<String> {
        let courses = self.courses();
        let shown = courses.get(..MOST).unwrap_or(&courses);
        let trend = self.nights.len().max(5);
        let longest = shown.iter().map(|c| esc(c.step).chars().count()).max().unwrap_or(4);
        let name = longest.min(width.saturating_sub(trend + 26).max(NAME));
        let mut out = vec![format!(
            "{}  {}  {:<7} {:<7} AGAINST IT",
            column("STEP", name),
            column("TREND", trend),
            "MIDDLE",
            "LAST"
        )];
        for course in shown {
            let last = course.known().last().map_or_else(String::new, |d| span(*d));
            let against = course.last_against_the_middle().map_or_else(String::new, difference);
            out.push(format!(
                "{}  {}  {:<7} {last:<7} {against}",
                column(&esc(course.step), name),
                column(&sparkline(&course.took, ink), trend),
                span(course.middle()),
            ));
        }
        let more = courses.len() - shown.len();
        if more > 0 {
            out.push(format!("... and {more} that take less"));
        }
        out
    }

    /// For a wiki.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut out =
            format!("# {}\n\n| {} |\n|{}\n", md(&self.headline()), HEADS.join(" | ").to_lowercase(), "---|".repeat(7));
        for night in &self.nights {
            out += &format!("| {} |\n", night.cells().map(|cell| md(&cell)).join(" | "));
        }
        out += "\n## Steps\n\n| step | middle | last | against it |\n|---|---|---|---|\n";
        for course in self.courses() {
            let last = course.known().last().map_or_else(String::new, |d| span(*d));
            let against = course.last_against_the_middle().map_or_else(String::new, difference);
            out += &format!("| {} | {} | {last} | {against} |\n", md(course.step), span(course.middle()));
        }
        if !self.left_out.is_empty() {
            out += "\n";
            out += &self.left_out.iter().map(|line| format!("- {}\n", md(line))).collect::<String>();
        }
        out
    }
}

pub(super) const HEADS: [&str; 7] = ["RUN", "BEGAN", "ENDED", "TOOK", "LEFT", "OUTCOME", "LONGEST STEP"];

impl Night {
    pub(super) fn cells(&self) -> [String; 7] {
        let wave = self.wave.as_ref().map_or_else(String::new, |wave| format!(" {wave}"));
        let took = if self.ended.is_some() { span(self.length) } else { format!("{}..", span(self.length)) };
        let defects = match self.defects {
            0 => String::new(),
            1 => ", 1 defect".to_owned(),
            n => format!(", {n} defects"),
        };
        [
            format!("{}{wave}", self.run),
            self.clock.full(self.began),
            self.ended.map_or_else(String::new, |t| self.clock.hm_near(t, self.began)),
            took,
            self.left.map_or_else(String::new, coarse),
            format!("{}{defects}", self.outcome()),
            self.longest.as_ref().map_or_else(String::new, |(step, took)| format!("{} {}", span(*took), esc(step))),
        ]
    }
}
