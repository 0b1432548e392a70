//! Two runs side by side, as text for a terminal and as Markdown for a wiki.

use jiff::{SignedDuration, Timestamp};

use super::{Comparison, Kinship, Pair};
use crate::engine::fact::Stage;
use crate::report::clock::{coarse, difference, span};
use crate::report::escape::{escape_for_markdown as md, escape_for_terminal as esc};
use crate::report::text::{column, fold};
use crate::report::words;
use crate::report::write_up::{StepLine, WriteUp};
use crate::view::ActionState;

/// Columns of the largest bar.
const BAR: usize = 16;
/// A step's name is never cut to less.
const NAME: usize = 12;
/// More steps in one sentence help nobody.
const MOST: usize = 4;

impl Comparison {
    /// For a terminal of this many columns.
    #[must_use]
    pub fn text(&self, width: usize) -> Vec<String> {
        let mut out = vec![esc(&self.title()), String::new()];
        for (name, run) in self.both() {
            out.push(format!("{name}  {}", esc(&headline(run))));
            out.extend(self.numbers(run).into_iter().map(|line| format!("   {line}")));
        }
        out.push(String::new());
        out.extend(self.summary().iter().map(|line| esc(line)));
        out.push(String::new());
        out.extend(self.table(width));
        out.push(String::new());
        out.extend(self.window());
        let after = self.afterwards();
        if !after.is_empty() {
            out.push(String::new());
            out.extend(after.iter().map(|line| esc(line)));
        }
        out.iter().flat_map(|line| fold(line, width)).collect()
    }

    pub(super) fn title(&self) -> String {
        let (a, b) = (&self.a, &self.b);
        match (&self.kinship, &a.wave_name, &b.wave_name) {
            (Kinship::Strangers, ..) => format!("{} and {}: runs of different plans", a.title, b.title),
            (_, Some(one), Some(other)) if one != other => format!("{}: the waves {one} and {other}", b.title),
            (Kinship::Same, ..) => format!("{}: two runs of the same plan", b.title),
            (Kinship::Versions(_), ..) => format!("{}: runs of two versions of the plan", b.title),
        }
    }

    /// When it was, how long it took, what was left, and exactly which plan it was.
    pub(super) fn numbers(&self, run: &WriteUp) -> Vec<String> {
        let hm = |t| run.clock.hm_near(t, run.began);
        let length = span(self.length(run));
        let times = match run.ended {
            Some(ended) => format!("{}-{}, {length}", run.clock.hm(run.began), hm(ended)),
            None => format!("{}-, {length} so far", run.clock.hm(run.began)),
        };
        let mut parts = vec![times];
        if let Some(planned) = run.planned_end {
            parts.push(format!("planned to end {}", hm(planned)));
        }
        if let Some((opens, closes)) = run.window {
            parts.push(format!("window {}-{}{}", hm(opens), hm(closes), room(run.ended, closes)));
        }
        let stage = match run.stage {
            Stage::Real => "",
            Stage::Lab => ", in the lab: its durations say nothing of the plan's",
            Stage::Rehearsal => ", a rehearsal: its durations are the plan's own",
        };
        vec![parts.join("; "), format!("digest {}{stage}", run.digest)]
    }

    /// What made the difference, in sentences.
    pub(super) fn summary(&self) -> Vec<String> {
        let mut out = vec![self.length_in_words()];
        for (slower, word) in [(true, "slower"), (false, "faster")] {
            let all = self.apart(slower);
            let named: Vec<String> =
                all.iter().take(MOST).map(|(step, d)| format!("{step} {}", difference(*d))).collect();
            let more = all.len().saturating_sub(MOST);
            let more = if more > 0 { format!(", and {more} more") } else { String::new() };
            if !named.is_empty() {
                out.push(format!("{word} in B:  {}{more}", named.join(", ")));
            }
        }
        for (name, only) in [("A", self.only(true)), ("B", self.only(false))] {
            if !only.is_empty() {
                out.push(format!("only in {name}:  {}", only.join(", ")));
            }
        }
        out.extend(
            self.ended_otherwise()
                .into_iter()
                .map(|((a, b), steps)| format!("{} in A, {} in B:  {}", in_words(a), in_words(b), steps.join(", "))),
        );
        if let Kinship::Versions(changes) = &self.kinship {
            out.extend(changes.iter().map(|line| format!("the plan:  {line}")));
        }
        out
    }

    fn length_in_words(&self) -> String {
        let shared = self.steps.iter().filter(|p| p.a.is_some() && p.b.is_some()).count();
        let length = match self.longer() {
            _ if shared == 0 => "No step of one is in the other.".to_owned(),
            Some(d) if d.as_secs() == 0 => "Both took equally long.".to_owned(),
            Some(d) if d.is_positive() => format!("B took {} longer than A.", coarse(d)),
            Some(d) => format!("B took {} less than A.", coarse(d.abs())),
            None => self.why_no_length(),
        };
        match self.kinship {
            Kinship::Strangers if shared > 0 => {
                format!("Compared by the names of their steps: {shared} of {} are in both. {length}", self.steps.len())
            }
            _ => length,
        }
    }

    fn why_no_length(&self) -> String {
        let open: Vec<&str> =
            self.both().iter().filter(|(_, run)| run.ended.is_none()).map(|(name, _)| *name).collect();
        match open[..] {
            [] => "They did not both do everything, so their lengths are not compared.".to_owned(),
            [one] => format!("{one} is not over yet: this is how far it is."),
            _ => "Neither is over yet: this is how far they are.".to_owned(),
        }
    }

    fn table(&self, width: usize) -> Vec<String> {
        let rows: Vec<[String; 6]> = self.steps.iter().map(|p| self.cells(p)).collect();
        let head = self.heads();
        let wide = |i: usize| rows.iter().map(|r| r[i].chars().count()).chain([head[i].len()]).max().unwrap_or(0);
        let rest: usize = (0..6).map(|i| wide(i) + 2).sum();
        let longest = self.steps.iter().map(|p| esc(&p.step).chars().count()).max().unwrap_or(0);
        let name = longest.min(width.saturating_sub(rest).max(NAME));
        let line = |step: &str, cells: &[String; 6]| {
            let cells = cells.iter().enumerate().map(|(i, cell)| format!("  {cell:<0$}", wide(i)));
            format!("{}{}", column(step, name), cells.collect::<String>()).trim_end().to_owned()
        };
        let rows = self.steps.iter().zip(&rows).map(|(pair, cells)| line(&esc(&pair.step), cells));
        [line("", &head.map(str::to_owned))].into_iter().chain(rows).collect()
    }

    pub(super) const fn heads(&self) -> [&'static str; 6] {
        ["PLAN", "A TOOK", "B TOOK", "B - A", "A", "B"]
    }

    /// Planned, what it took in each, the difference, and when it began and ended in each.
    pub(super) fn cells(&self, pair: &Pair) -> [String; 6] {
        let plan = |line: &Option<StepLine>| line.as_ref().and_then(StepLine::plan).map(span);
        let plan = match (plan(&pair.a), plan(&pair.b)) {
            (Some(a), Some(b)) if a != b => format!("{a}, {b}"),
            (a, b) => a.or(b).unwrap_or_else(|| "-".into()),
        };
        let took = |run: &WriteUp, line: &Option<StepLine>| match line {
            Some(line) if run.ended.is_none() || line.state != ActionState::Waiting => self.took(line),
            _ => "-".to_owned(),
        };
        let times = |run: &WriteUp, line: &Option<StepLine>| line.as_ref().map_or_else(String::new, |l| times(run, l));
        [
            plan,
            took(&self.a, &pair.a),
            took(&self.b, &pair.b),
            pair.difference().map_or_else(String::new, difference),
            times(&self.a, &pair.a),
            times(&self.b, &pair.b),
        ]
    }

    fn took(&self, line: &StepLine) -> String {
        match (line.state, line.actual(), line.started) {
            (ActionState::Done | ActionState::Undone, Some(took), _) => span(took),
            (state, None, Some(started)) if state.is_active() => {
                format!("{}..", span(self.now.duration_since(started)))
            }
            (state, ..) => words::state_word(state).to_owned(),
        }
    }

    /// Where the window went, in both.
    fn window(&self) -> Vec<String> {
        let all = self.both().map(|(_, run)| run.spent.all().as_secs()).into_iter().max().unwrap_or(1).max(1);
        let cell = |d: SignedDuration| {
            let bar = "#".repeat(usize::try_from(d.as_secs() * BAR as i64 / all).unwrap_or(0));
            format!("{:>6}  {bar:<BAR$}", coarse(d))
        };
        let (next, gap) = (BAR + 10, BAR + 4);
        let head = format!("{:<9}{:>6}{:>next$}{:gap$}B - A", "", "A", "B", "");
        let rows = self.spent().into_iter().map(|(what, a, b)| {
            format!("{what:<9}{}  {}  {}", cell(a), cell(b), self.apart_by(a, b)).trim_end().to_owned()
        });
        ["where the window went".to_owned(), head].into_iter().chain(rows).collect()
    }

    /// The parts in which at least one of them spent some time.
    pub(super) fn spent(&self) -> Vec<(&'static str, SignedDuration, SignedDuration)> {
        let parts = self.a.spent.parts().into_iter().zip(self.b.spent.parts());
        let all = parts.map(|((what, a), (_, b))| (what, a, b));
        all.filter(|(what, a, b)| *what != "rollback" || !(a.is_zero() && b.is_zero())).collect()
    }

    /// How much more time went there in the second run; nothing while one is not over.
    pub(super) fn apart_by(&self, a: SignedDuration, b: SignedDuration) -> String {
        let over = self.a.ended.is_some() && self.b.ended.is_some();
        if over { difference(b - a) } else { String::new() }
    }

    /// Critical paths, decisions, defects.
    pub(super) fn afterwards(&self) -> Vec<String> {
        let mut out = Vec::new();
        if self.a.critical == self.b.critical && !self.a.critical.is_empty() {
            out.push(format!("critical path of both: {}", self.a.critical.join(" > ")));
        } else {
            let paths = self.both().into_iter().filter(|(_, run)| !run.critical.is_empty());
            out.extend(paths.map(|(name, run)| format!("critical path of {name}: {}", run.critical.join(" > "))));
        }
        for (name, run) in self.both() {
            out.extend(run.decisions.iter().map(|d| {
                let why = d.why.as_ref().map_or_else(String::new, |why| format!(": {why}"));
                format!("{name} decided {}  {}, by {}{why}", run.clock.hm(d.at), d.what, d.by)
            }));
        }
        let (a, b) = (&self.a.defects, &self.b.defects);
        out.extend(a.iter().filter(|d| b.contains(d)).map(|d| format!("defect of both  {d}")));
        out.extend(a.iter().filter(|d| !b.contains(d)).map(|d| format!("defect of A  {d}")));
        out.extend(b.iter().filter(|d| !a.contains(d)).map(|d| format!("defect of B  {d}")));
        out
    }

    /// For a wiki.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut out = format!("# {}\n\n", md(&self.title()));
        for (name, run) in self.both() {
            out += &format!("- **{name}** {}\n", md(&headline(run)));
            out += &self.numbers(run).iter().map(|line| format!("  - {}\n", md(line))).collect::<String>();
        }
        out += "\n## What made the difference\n\n";
        out += &self.summary().iter().map(|line| format!("- {}\n", md(line))).collect::<String>();
        out +=
            "\n## Step by step\n\n| step | plan | A took | B took | B - A | A | B |\n|---|---|---|---|---|---|---|\n";
        for pair in &self.steps {
            out += &format!("| {} | {} |\n", md(&pair.step), self.cells(pair).map(|cell| md(&cell)).join(" | "));
        }
        out += "\n## Where the window went\n\n| | A | B | B - A |\n|---|---|---|---|\n";
        for (what, a, b) in self.spent() {
            out += &format!("| {what} | {} | {} | {} |\n", coarse(a), coarse(b), self.apart_by(a, b));
        }
        let lines = self.afterwards();
        if !lines.is_empty() {
            out += "\n## Afterwards\n\n";
            out += &lines.into_iter().map(|line| format!("- {}\n", md(&line))).collect::<String>();
        }
        out
    }
}

/// `2007-12-02-a   2 December 2007   SUCCESS`.
pub(super) fn headline(run: &WriteUp) -> String {
    let wave = run.wave_name.as_ref().map_or_else(String::new, |wave| format!("wave {wave}   "));
    format!("{}   {wave}{}   {}", run.run, run.day(), run.verdict)
}

fn times(run: &WriteUp, line: &StepLine) -> String {
    let hm = |t: Option<Timestamp>| t.map_or_else(String::new, |t| run.clock.hm_near(t, run.began));
    if line.started.is_none() { String::new() } else { format!("{}-{}", hm(line.started), hm(line.ended)) }
}

/// `, 1h59m left`, or `, 5m over`.
fn room(ended: Option<Timestamp>, closes: Timestamp) -> String {
    let Some(left) = ended.map(|ended| closes.duration_since(ended)) else { return String::new() };
    if left.is_negative() { format!(", {} over", coarse(left.abs())) } else { format!(", {} left", coarse(left)) }
}

/// What a state is called within a sentence.
fn in_words(state: ActionState) -> String {
    if state == ActionState::Waiting { "not begun".to_owned() } else { words::state_word(state).to_lowercase() }
}
