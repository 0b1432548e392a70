//! A plan in waves as one page for the week: when each wave is, which hosts it takes, when it stops, whose times are not kept.
//! As HTML, a picture and JSON here, as Markdown beside it; text for a terminal is elsewhere. Decides nothing.

mod markdown;
mod squares;

use jiff::{SignedDuration, Timestamp};
use minijinja::value::Serde;
use minijinja::{Value, context};
use serde_json::{Value as Json, json};

use super::chart::{Chart, Lane};
use super::clock::Clock;
use super::escape::{escape_for_terminal as esc, escape_text};
use super::wave_page::{WaveHosts, covered, decisions, free_of, in_time, length_of, stops_when, times};
use super::week::{Verdict, Week};
use super::{odds, pages, words};
use crate::graph::Graph;
use crate::graph::danger::danger;
use crate::graph::preview::previews;
use crate::plan::model::Plan;
use crate::plan::units::Short;
use crate::schedule::{Odds, probably};
use squares::Squares;

/// What is said about the times of owners; it has a section of its own.
const OWNERS: [&str; 3] = ["W115", "W116", "W117"];

/// Everything the page says.
#[derive(Debug, Clone, Copy)]
pub struct WeekPage<'a> {
    pub plan: &'a Plan,
    pub week: &'a Week,
    /// Of each wave, in their order; empty where they were not drawn.
    pub odds: &'a [Option<Odds>],
    /// The plan's path, as it was typed.
    pub file: &'a str,
    pub digest: &'a str,
    /// Code and sentence of each finding, errors first.
    pub findings: &'a [(String, String)],
}

impl WeekPage<'_> {
    /// The page.
    ///
    /// # Errors
    /// When the template does not render, which only a defect of this program could cause.
    pub fn html(&self) -> Result<String, minijinja::Error> {
        let clock = self.clock();
        let figures = self.figures(&clock).into_iter();
        let waves = self.week.waves.iter().enumerate().map(|(ix, wave)| self.wave(ix, wave, &clock));
        let content = context! {
            title => esc(&self.plan.name),
            days => self.days(&clock),
            file => esc(self.file),
            digest => words::short_digest(self.digest),
            figures => figures.map(|(name, value, note)| context! { name, value, note }).collect::<Vec<_>>(),
            errors => self.findings_where(|code| code.starts_with('E')),
            charts => Serde(self.chart(&clock).on_screens()),
            waves => waves.collect::<Vec<_>>(),
            squares => Serde(Squares::new(self.plan, self.week)),
            stops_when => stops_when(self.plan, &self.week.waves),
            decisions => decisions(self.plan),
            times => times(self.week),
            owners => self.findings_where(|code| OWNERS.contains(&code)),
            steps => self.steps(),
            warnings => self.findings_where(|code| !code.starts_with('E') && !OWNERS.contains(&code)),
        };
        pages::page("week.html", &content)
    }

    /// The timeline alone, as a picture.
    ///
    /// # Errors
    /// As [`WeekPage::html`].
    pub fn svg(&self) -> Result<String, minijinja::Error> {
        let clock = self.clock();
        pages::picture(&format!("{}, {}", esc(&self.plan.name), self.days(&clock)), &self.chart(&clock))
    }

    fn clock(&self) -> Clock {
        Clock::new(self.plan.timezone.as_deref())
    }

    /// `Monday 4 Mar 2013 to Saturday 9 Mar 2013, UTC`.
    fn days(&self, clock: &Clock) -> String {
        let (opens, closes) = self.span();
        let (first, last) = (clock.day(opens), clock.day(closes));
        let days = if first == last { first } else { format!("{first} to {last}") };
        format!("{days}, {}", clock.zone_name())
    }

    /// From the first opening to the last close.
    fn span(&self) -> (Timestamp, Timestamp) {
        let opens = self.week.waves.iter().map(|w| w.opens).min().unwrap_or(Timestamp::UNIX_EPOCH);
        (opens, self.week.waves.iter().map(|w| w.closes).max().unwrap_or(opens))
    }

    /// Name, value and note of each number that is read first.
    fn figures(&self, clock: &Clock) -> Vec<(&'static str, String, String)> {
        let (opens, closes) = self.span();
        let waves = &self.week.waves;
        let total: usize = waves.iter().map(|w| w.hosts.len()).sum();
        let count = if waves.len() == 1 { "1 wave".to_owned() } else { format!("{} waves", waves.len()) };
        let mut out = vec![
            ("Hosts", total.to_string(), format!("in {count}; {}", covered(self.plan, total))),
            ("Opens", clock.date_hm(opens), String::new()),
            ("Closes", clock.date_hm(closes), later(closes.duration_since(opens))),
        ];
        if let Some(wave) = waves.iter().min_by_key(|w| w.free()) {
            out.push(("Least free", free_of(wave), format!("after {}, expected", esc(&wave.name))));
        }
        let least = self.odds.iter().flatten().filter_map(|odds| odds.done).min_by(f64::total_cmp);
        if let (Some(least), Some(text)) = (least, in_time(waves, self.odds)) {
            out.push(("In time", probably(least), text));
        }
        let asked = self.plan.waves.iter().filter(|w| w.gate.is_some()).count();
        if asked > 0 {
            out.push(("Decisions", asked.to_string(), decisions(self.plan).unwrap_or_default()));
        }
        if let Some(text) = times(self.week) {
            out.push(("Owners' times", format!("{} of {} kept", self.week.kept(), self.week.bound), text));
        }
        out
    }

    fn findings_where(&self, which: impl Fn(&str) -> bool) -> Vec<(String, String)> {
        let found = self.findings.iter().filter(|(code, _)| which(code));
        found.map(|(code, text)| (code.clone(), esc(text))).collect()
    }

    fn chart<'c>(&self, clock: &'c Clock) -> Chart<'c> {
        let (opens, closes) = self.span();
        let latest = self.week.waves.iter().map(|w| w.after(w.worst)).max().unwrap_or(closes).max(closes);
        let mut chart = Chart::new("When each wave is open, and how long it is expected to take", clock, opens, latest);
        for wave in &self.week.waves {
            let day = clock.zoned(wave.opens).strftime("%a %d").to_string();
            let what = |text: &str| format!("{} {text} {day}", wave.name);
            chart.row(&wave.name);
            chart.bar((wave.opens, wave.closes), "plan", Lane::Whole, &what("open"));
            chart.bar((wave.opens, wave.after(wave.worst)), "worst", Lane::Lower, &what("at worst"));
            chart.bar((wave.opens, wave.ends()), "work", Lane::Whole, &what("expected"));
        }
        chart
    }

    fn wave(&self, ix: usize, wave: &WaveHosts, clock: &Clock) -> Value {
        let gate = self.plan.waves.get(ix).and_then(|w| w.gate.as_ref());
        let gate = gate.map(|gate| {
            let who = words::who(self.plan, gate, false);
            let who = if who.is_empty() { "somebody".to_owned() } else { who };
            format!("{who}: {}", esc(&gate.question))
        });
        let hosts: Vec<String> = wave.hosts.iter().map(|h| esc(h)).collect();
        context! {
            name => esc(&wave.name),
            window => format!("{}-{}", clock.date_hm(wave.opens), clock.hm_near(wave.closes, wave.opens)),
            count => wave.hosts.len(),
            of_which => esc(&wave.of_which.join(", ")),
            expected => length_of(wave),
            ends => clock.hm_near(wave.ends(), wave.opens),
            free => free_of(wave),
            too_long => wave.free().is_negative(),
            in_time => self.in_time(ix),
            gate,
            hosts => hosts.join(" "),
        }
    }

    /// How likely the wave is done by the close of its window.
    fn in_time(&self, ix: usize) -> Option<String> {
        self.odds.get(ix)?.as_ref()?.done.map(probably)
    }

    /// What is executed in each wave.
    fn steps(&self) -> Vec<Value> {
        let graph = Graph::build(std::sync::Arc::new(self.plan.clone()));
        let steps = self.plan.steps.values().enumerate().zip(previews(&graph)).map(|((i, step), texts)| {
            let commands = texts.iter().map(|text| context! { what => text.what, text => escape_text(&text.text) });
            let mut alarms: Vec<&str> = texts.iter().filter_map(|text| danger(&text.text)).collect();
            alarms.dedup();
            context! {
                number => i + 1,
                id => esc(&step.id),
                estimate => step.estimate.map(|e| e.to_string()),
                what => esc(&words::what(step)),
                commands => commands.collect::<Vec<_>>(),
                alarms => alarms.into_iter().map(|why| format!("look twice: {why}")).collect::<Vec<_>>(),
            }
        });
        steps.collect()
    }

    /// The same as one document.
    #[must_use]
    pub fn document(&self) -> Json {
        let clock = self.clock();
        let gates = self.plan.waves.iter().map(|w| w.gate.as_ref());
        let waves = self.week.waves.iter().zip(gates).enumerate().map(|(ix, (w, gate))| {
            let odds = self.odds.get(ix).and_then(Option::as_ref);
            json!({
                "wave": w.name,
                "opens": clock.rfc3339(w.opens),
                "closes": clock.rfc3339(w.closes),
                "hosts": w.hosts,
                "of_which": w.of_which,
                "expected_s": w.expected.as_secs(),
                "worst_s": w.worst.as_secs(),
                "odds": odds.map(|odds| odds::document(odds, &clock)),
                "gate": gate.map(|g| json!({ "question": g.question, "who": g.who })),
            })
        });
        let total: usize = self.week.waves.iter().map(|w| w.hosts.len()).sum();
        let findings = self.findings.iter().map(|(code, text)| json!({ "code": code, "message": text }));
        json!({
            "v": 1,
            "plan": self.file,
            "name": self.plan.name,
            "digest": self.digest,
            "waves": waves.collect::<Vec<_>>(),
            "in_no_wave": self.plan.hosts.len().saturating_sub(total),
            "stops_when": stops_when(self.plan, &self.week.waves),
            "accepted_times": {
                "hosts": self.week.bound,
                "kept": self.week.count(Verdict::Kept),
                "perhaps_not_kept": self.week.count(Verdict::Perhaps),
                "not_kept": self.week.count(Verdict::Broken),
            },
            "conflicts": self.conflicts(&clock),
            "findings": findings.collect::<Vec<_>>(),
        })
    }

    /// Hosts that are perhaps or certainly not worked on when their owners accept it.
    fn conflicts(&self, clock: &Clock) -> Vec<Json> {
        let name = |wave: &usize| self.week.waves.get(*wave).map(|w| w.name.as_str());
        let meetings = self.week.meetings.iter().filter(|m| m.verdict != Verdict::Kept).map(|m| {
            json!({
                "wave": name(&m.wave),
                "hosts": m.hosts,
                "perhaps": m.verdict == Verdict::Perhaps,
                "accepted": m.accepted.describe(),
                "next": m.next.map(|(from, to)| [clock.rfc3339(from), clock.rfc3339(to)]),
                "waves_that_suit": m.elsewhere.iter().filter_map(name).collect::<Vec<_>>(),
            })
        });
        meetings.collect()
    }
}

/// `5h later`, `5 days later`.
fn later(d: SignedDuration) -> String {
    match d.as_hours() {
        hours if hours >= 48 => format!("{} days later", hours / 24),
        _ => format!("{} later", Short(d)),
    }
}
