//! The write-up as text for a terminal and as Markdown for a wiki.

use crate::report::escape::escape_for_markdown as md;
use jiff::SignedDuration;

use super::{StepLine, WriteUp};
use crate::plan::units::Estimate;
use crate::report::clock::{coarse, span};
use crate::report::escape::escape_for_terminal as esc;
use crate::report::text::wrap;
use crate::schedule::{LAST, Past, Spread, is_unlike};

/// Columns of the largest bar.
const BAR: i64 = 20;

impl WriteUp {
    /// For a terminal of this many columns.
    #[must_use]
    pub fn text(&self, width: usize) -> Vec<String> {
        let mut out = vec![format!("{} - {}   {}", esc(&self.title), self.day(), self.verdict)];
        out.extend(self.numbers());
        out.push(String::new());
        out.extend(self.timeline(width));
        out.push(String::new());
        out.extend(self.table());
        out.push(String::new());
        out.extend(self.afterwards());
        out
    }

    /// `2 December 2007`.
    pub(in crate::report) fn day(&self) -> String {
        self.clock.zoned(self.began).strftime("%-d %B %Y").to_string()
    }

    /// Planned, actual, window, *roll back by*.
    pub(super) fn numbers(&self) -> Vec<String> {
        let hm = |t| self.clock.hm_near(t, self.began);
        let mut parts = Vec::new();
        if let Some(planned) = self.planned_end {
            parts.push(format!("planned {}-{}", self.clock.hm(self.began), hm(planned)));
        }
        if let Some(ended) = self.ended {
            let against = self.planned_end.filter(|_| self.succeeded());
            let against = against.map_or_else(String::new, |p| format!(" ({})", super::against(p, ended)));
            parts.push(format!("actual {}-{}{against}", self.clock.hm(self.began), hm(ended)));
        }
        let mut lines = vec![parts.join(", ")];
        if let Some((opens, closes)) = self.window {
            let by = self.roll_back_by.map_or_else(String::new, |by| format!("; roll back by was {}", hm(by)));
            lines.push(format!("window {}-{}{by}", hm(opens), hm(closes)));
        }
        lines.extend(self.wave.clone());
        lines.push(format!("run {}   digest {}", self.run, self.digest));
        lines
    }

    /// The sentences alone: `1:40  Backed up the database (5m, expected 15m-20m).`
    #[must_use]
    pub fn timeline(&self, width: usize) -> Vec<String> {
        let mut out = Vec::new();
        for moment in &self.moments {
            let who = moment.who.as_ref().map_or_else(String::new, |who| format!("  [{}]", esc(who)));
            let text = format!("{}{who}", esc(&moment.text));
            let at = self.clock.hm(moment.at);
            for (i, line) in wrap(&text, width.saturating_sub(7)).into_iter().enumerate() {
                out.push(if i == 0 { format!("{at}  {line}") } else { format!("       {line}") });
            }
        }
        out
    }

    fn table(&self) -> Vec<String> {
        let name = self.steps.iter().map(|s| s.step.len()).max().unwrap_or(4).clamp(4, 24);
        let mut left = vec![format!("{:<name$}  {:<9} {:<9} {:<8}", "", "PLAN", "ACTUAL", "DIFF")];
        for step in &self.steps {
            let (plan, actual) = (step.plan(), step.actual());
            let diff = plan.zip(actual).map_or_else(String::new, |(plan, actual)| signed(actual - plan));
            let shown = |d: Option<SignedDuration>| d.map_or_else(|| "-".to_owned(), span);
            let step_name: String = esc(&step.step).chars().take(name).collect();
            left.push(format!("{step_name:<name$}  {:<9} {:<9} {diff:<8}", shown(plan), shown(actual)));
        }
        let mut right = vec!["where the window went".to_owned()];
        let all = self.spent.all().as_secs().max(1);
        for (what, time) in self.spent.parts().into_iter().filter(|(what, d)| *what != "rollback" || !d.is_zero()) {
            let bar = "#".repeat(usize::try_from(time.as_secs() * BAR / all).unwrap_or(0));
            right.push(format!("{what:<9}{:>6}  {bar}", coarse(time)));
        }
        let widest = left.iter().map(|l| l.chars().count()).max().unwrap_or(0);
        let rows = left.len().max(right.len());
        left.resize(rows, String::new());
        right.resize(rows, String::new());
        let row = |(l, r): (&String, &String)| format!("{l:<widest$}  {r}").trim_end().to_owned();
        left.iter().zip(&right).map(row).collect()
    }

    /// Critical path, decisions, defects, what to look at later.
    pub(super) fn afterwards(&self) -> Vec<String> {
        let mut out = Vec::new();
        if !self.critical.is_empty() {
            out.push(format!("critical path: {}", self.critical.join(" > ")));
        }
        for decided in &self.decisions {
            let why = decided.why.as_ref().map_or_else(String::new, |why| format!(": {}", esc(why)));
            out.push(format!(
                "decided {}  {}, by {}{why}",
                self.clock.hm(decided.at),
                esc(&decided.what),
                esc(&decided.by)
            ));
        }
        out.extend(self.defects.iter().map(|defect| format!("defect  {}", esc(defect))));
        out.extend(self.followups.iter().map(|todo| format!("follow up  {}", esc(todo))));
        let missed = self.missed().count();
        if missed > 0 {
            out.push(format!(
                "estimates that no longer fit: {missed}     `runbook report {} --suggest` shows better ones",
                self.run
            ));
        }
        out
    }

    fn missed(&self) -> impl Iterator<Item = &StepLine> {
        self.steps.iter().filter(|step| self.stage.is_real() && step.misses_its_estimate())
    }

    /// Estimates that no longer fit, as the lines to write into the plan: by the last runs where there are two or more of
    /// them, else by this one.
    #[must_use]
    pub fn suggestions(&self, past: &Past) -> Vec<String> {
        let lines = self.steps.iter().filter_map(|s| {
            let (old, (new, from)) = (s.estimate?, self.better(s, past)?);
            Some([format!("  {}:{from}", s.step), format!("-   estimate: {old}"), format!("+   estimate: {new}")])
        });
        lines.flatten().collect()
    }

    /// A better estimate of a step, and what it is made from.
    fn better(&self, step: &StepLine, past: &Past) -> Option<(Estimate, String)> {
        if let Some(took) = past.slowest(&step.step) {
            let better = Spread::of(None, took)?.estimate().rounded_up();
            let last: Vec<String> = took.iter().take(LAST).rev().map(|d| span(*d)).collect();
            return is_unlike(step.estimate?, took)
                .then(|| (better, format!("   # the last {} runs took {}", last.len(), last.join(", "))));
        }
        let took = step.slowest.filter(|_| self.stage.is_real() && step.misses_its_estimate())?;
        Some((Estimate { expected: took, worst: took * 3 / 2 }.rounded_up(), String::new()))
    }

    /// For a wiki.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut out = format!("# {}, {}: {}\n\n", md(&self.title), self.day(), self.verdict);
        out += &self.numbers().into_iter().map(|line| format!("- {line}\n")).collect::<String>();
        out += "\n## What happened\n\n| time | what | who |\n|---|---|---|\n";
        for m in &self.moments {
            out += &format!("| {} | {} | {} |\n", self.clock.hm(m.at), md(&m.text), md(m.who.as_deref().unwrap_or("")));
        }
        out += "\n## Planned and actual\n\n| step | plan | actual | difference |\n|---|---|---|---|\n";
        for step in &self.steps {
            let (plan, actual) = (step.plan(), step.actual());
            let diff = plan.zip(actual).map_or_else(String::new, |(plan, actual)| signed(actual - plan));
            let shown = |d: Option<SignedDuration>| d.map_or_else(|| "-".to_owned(), span);
            out += &format!("| {} | {} | {} | {diff} |\n", md(&step.step), shown(plan), shown(actual));
        }
        let lines = self.afterwards();
        if !lines.is_empty() {
            out += "\n## Afterwards\n\n";
            out += &lines.into_iter().map(|line| format!("- {}\n", md(&line))).collect::<String>();
        }
        out
    }
}

/// `+40m`, `-10m`; nothing for less than a minute.
pub(super) fn signed(d: SignedDuration) -> String {
    match d.as_mins() {
        0 => String::new(),
        1.. => format!("+{}", coarse(d)),
        _ => format!("-{}", coarse(d.abs())),
    }
}
