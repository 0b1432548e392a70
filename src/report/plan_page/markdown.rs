//! The page of a dry run for a wiki: tables and folds that any renderer of Markdown knows. Says what the text says.

use std::fmt::Write as _;

use super::commands::{shown, sites};
use super::{PlanPage, place, short};
use crate::graph::preview::previews;
use crate::report::DrillPage;
use crate::report::clock::Clock;
use crate::report::drill_page::{HOW, KEY};
use crate::report::escape::{escape_for_markdown as md, escape_text};

impl PlanPage<'_> {
    /// For a wiki.
    #[must_use]
    pub fn markdown(&self) -> String {
        let plan = self.graph.plan();
        let clock = Clock::new(plan.timezone.as_deref());
        let mut out = format!("# {}, {}\n\n", md(&plan.name), md(&self.day(&clock)));
        let _ = writeln!(out, "{}, digest {}. A dry run: nothing is changed.\n", md(self.file), self.short_digest());
        for figure in self.figures(&clock) {
            let worst = figure.at_worst.map_or(String::new(), |worst| format!("; {worst}"));
            let _ = writeln!(out, "- **{}** {}: {}{}", figure.name, md(&figure.value), md(&figure.note), md(&worst));
        }
        let _ = writeln!(out, "- {}", md(&self.counts()));
        out += &self.list("Does not fit", self.told(|code| code.starts_with('E')).into_iter().map(finding));
        out += &self.step_table(&clock);
        out += &self.rollback_table(&clock);
        out += &self.drill_section();
        let end = |(ix, why, only): (crate::graph::StepIx, String, String)| {
            let only = if only.is_empty() { only } else { format!("; {}", md(&only)) };
            format!("**{}**: {}{only}", md(&self.graph.step(ix).id), md(&why))
        };
        out += &self.list("No way back", self.ends().into_iter().map(end));
        out += &self.list("Warnings", self.told(|code| !code.starts_with('E')).into_iter().map(finding));
        out += &self.list("People", self.asked(&clock).into_iter().map(|text| md(&text)));
        out += &self.command_blocks();
        let _ = write!(out, "\nTo run exactly this:\n\n{}", block(self.exec));
        out
    }

    fn list(&self, heading: &str, lines: impl Iterator<Item = String>) -> String {
        let lines: String = lines.map(|line| format!("- {}\n", line.trim_end())).collect();
        if lines.is_empty() { lines } else { format!("\n## {heading}\n\n{lines}") }
    }

    fn step_table(&self, clock: &Clock) -> String {
        let mut out = String::from(
            "\n## Steps\n\n|   | step | start | end | estimate | slack | where | what |\n|--:|---|---|---|---|---|---|---|\n",
        );
        for ix in self.graph.step_ixs() {
            let step = self.graph.step(ix);
            let times = self.expected[ix.index()];
            let (start, end) = times.map_or(("skip".into(), String::new()), |t| (clock.hm(t.start), clock.hm(t.end)));
            let id = if self.fit.longest_path.contains(&ix) { format!("**{}**", md(&step.id)) } else { md(&step.id) };
            let estimate = step.estimate.map_or("-".to_owned(), |e| e.to_string());
            let (slack, place, what) = (self.slack_of(ix), md(&place(self.graph, ix)), md(&self.what(step)));
            let _ =
                writeln!(out, "| {} | {id} | {start} | {end} | {estimate} | {slack} | {place} | {what} |", ix.0 + 1);
        }
        if !self.fit.longest_path.is_empty() {
            out += "\nBold: the critical path.\n";
        }
        out
    }

    fn rollback_table(&self, clock: &Clock) -> String {
        if self.rollback.rows.is_empty() {
            return "\n## Rollback plan\n\nNothing in this plan can be undone.\n".into();
        }
        let mut out = format!("\n## Rollback plan\n\nIt {}.\n\n", md(&self.triggers(clock)));
        out += "| when it fails in | up again after | latest start | undoes, in this order |\n|---|---|---|---|\n";
        for (i, row) in self.rollback.rows.iter().enumerate() {
            let latest = row.latest_start.map_or("-".to_owned(), |d| clock.hm_near(self.at(d), self.opens));
            let fails = md(&self.rollback.fails_in_text(self.graph, i));
            let undoes = md(&self.rollback.undoes_text(self.graph, i));
            let _ = writeln!(out, "| {fails} | {} | {latest} | {undoes} |", short(row.up_again_after));
        }
        if let Some(text) = self.afterwards() {
            let _ = writeln!(out, "\nAfterwards: {}", md(&text));
        }
        out
    }

    fn drill_section(&self) -> String {
        let Some(drill) = self.drill_page() else { return String::new() };
        let [cases, coverage] = drill.summary();
        let mut out = format!("\n## Drill\n\n{}\n\n- {cases}\n- **{coverage}**\n", HOW.join(" "));
        for bad in drill.bad() {
            let _ = writeln!(out, "- **BAD** {}: {}", md(&bad.what), md(&bad.why));
        }
        let rows = drill.rows();
        let titles = DrillPage::titles();
        let _ = writeln!(out, "\n|   | it fails ... | {} | answer |", titles.join(" | "));
        let _ = writeln!(out, "|--:|---|{}---|", "---|".repeat(titles.len()));
        for row in &rows {
            let cells: Vec<&str> = match &row.cells[..] {
                [] => vec![""; titles.len()],
                cells => cells.iter().map(|(_, text)| text.as_str()).collect(),
            };
            let _ = writeln!(out, "| {} | {} | {} | {} |", row.number, md(&row.step), cells.join(" | "), row.answers);
        }
        let _ = writeln!(out, "\n{}", KEY.join("; "));
        out
    }

    fn command_blocks(&self) -> String {
        let mut out = String::from("\n## Commands\n");
        let vars = self.graph.plan().vars.iter().map(|(name, value)| format!("{name}={}\n", shown(value)));
        let vars: String = vars.collect();
        if !vars.is_empty() {
            let _ = write!(out, "\nEach of them sees:\n\n{}", block(&vars));
        }
        for (ix, texts) in self.graph.step_ixs().zip(previews(self.graph)) {
            for text in texts {
                let (id, on) = (md(&self.graph.step(ix).id), sites(&text.sites));
                let on = if on.is_empty() { on } else { format!(" on {}", md(&on)) };
                let _ = write!(out, "\n{}. {id}, {}{on}:\n\n{}", ix.0 + 1, text.what, block(&text.text));
            }
        }
        out
    }
}

fn finding((code, text): (&str, String)) -> String {
    format!("**{code}** {}", md(&text))
}

/// A text as it is shown, fenced by more backticks than it has in a row.
fn block(text: &str) -> String {
    let text = escape_text(text);
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}\n{}\n{fence}\n", text.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_outgrows_what_is_shown_even_where_colours_stood_between_backticks() {
        assert_eq!(block("a ``` b"), "````\na ``` b\n````\n");
        assert_eq!(block("``\u{1b}[0m``\n# not a heading"), "`````\n````\n# not a heading\n`````\n");
    }
}
