//! The page of a week for a wiki: tables that any renderer of Markdown knows. Says what the page in HTML says.

use std::fmt::Write as _;

use super::{OWNERS, WeekPage};
use crate::report::escape::escape_for_markdown as md;
use crate::report::wave_page::{decisions, free_of, length_of, stops_when, times};
use crate::report::words;

impl WeekPage<'_> {
    /// For a wiki.
    #[must_use]
    pub fn markdown(&self) -> String {
        let clock = self.clock();
        let mut out = format!("# {}, {}\n\n", md(&self.plan.name), md(&self.days(&clock)));
        let digest = words::short_digest(self.digest);
        let _ = writeln!(out, "{}, digest {digest}. A dry run: nothing is changed.\n", md(self.file));
        for (name, value, note) in self.figures(&clock) {
            let note = if note.is_empty() { note } else { format!(": {}", md(&note)) };
            let _ = writeln!(out, "- **{name}** {}{note}", md(&value));
        }
        out += &self.list("Does not fit", |code| code.starts_with('E'));
        out += "\n## Waves\n\n| wave | window | hosts | of which | expected | ends | free | in time |\n|---|---|--:|---|---|---|---|---|\n";
        for (ix, wave) in self.week.waves.iter().enumerate() {
            let window = format!("{}-{}", clock.date_hm(wave.opens), clock.hm_near(wave.closes, wave.opens));
            let (name, of_which) = (md(&wave.name), md(&wave.of_which.join(", ")));
            let (count, length, free) = (wave.hosts.len(), length_of(wave), free_of(wave));
            let ends = clock.hm_near(wave.ends(), wave.opens);
            let in_time = self.in_time(ix).unwrap_or_default();
            let _ =
                writeln!(out, "| {name} | {window} | {count} | {of_which} | {length} | {ends} | {free} | {in_time} |");
        }
        let _ = writeln!(out, "\nStops when: {}", md(&stops_when(self.plan, &self.week.waves)));
        if let Some(text) = decisions(self.plan) {
            let _ = writeln!(out, "\nDecisions: {}", md(&text));
        }
        if let Some(text) = times(self.week) {
            let _ = writeln!(out, "\nTimes: {}", md(&text));
        }
        out += &self.list("Owners", |code| OWNERS.contains(&code));
        out += "\n## Hosts\n";
        for wave in &self.week.waves {
            let hosts: Vec<String> = wave.hosts.iter().map(|h| md(h)).collect();
            let _ = writeln!(out, "\n**{}**: {}", md(&wave.name), hosts.join(" "));
        }
        out + &self.list("Warnings", |code| !code.starts_with('E') && !OWNERS.contains(&code))
    }

    fn list(&self, heading: &str, which: impl Fn(&str) -> bool) -> String {
        let lines = self.findings.iter().filter(|(code, _)| which(code));
        let lines: String = lines.map(|(code, text)| format!("- **{code}** {}\n", md(text))).collect();
        if lines.is_empty() { lines } else { format!("\n## {heading}\n\n{lines}") }
    }
}
