//! The page of a plan in waves: one line per wave, never one per host. Resolves the shares; runs nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::clock::Clock;
use super::escape::escape_for_terminal as esc;
use super::text::{column, cut, wrap};
use super::week::{Verdict, Week};
use super::week_page::WeekPage;
use super::words;
use crate::graph::Graph;
use crate::plan::model::{Plan, Share, Wave};
use crate::plan::units::Short;
use crate::plan::waves::Taken;
use crate::schedule::{Odds, fit, probably};

/// One wave with its hosts.
#[derive(Debug, Clone, PartialEq)]
pub struct WaveHosts {
    pub name: String,
    pub opens: Timestamp,
    pub closes: Timestamp,
    /// In the order of the inventory's groups.
    pub hosts: Vec<String>,
    /// `vm-prod 43/144`, in the order of the file.
    pub of_which: Vec<String>,
    /// Expected and worst length.
    pub expected: SignedDuration,
    pub worst: SignedDuration,
}

impl WaveHosts {
    /// When it is expected to end.
    pub(super) fn ends(&self) -> Timestamp {
        self.after(self.expected)
    }

    pub(super) fn after(&self, length: SignedDuration) -> Timestamp {
        self.opens.checked_add(length).unwrap_or(self.opens)
    }

    /// What is left of its window, as expected; negative where it is too long.
    pub(super) fn free(&self) -> SignedDuration {
        self.closes.duration_since(self.ends())
    }
}

/// Which hosts each wave takes, and how long its steps take on these alone.
#[must_use]
pub fn resolve_waves(plan: &Plan) -> Vec<WaveHosts> {
    let taken = plan.partition(&BTreeMap::new());
    plan.waves.iter().zip(taken).map(|(wave, taken)| resolved(plan, wave, taken)).collect()
}

fn resolved(plan: &Plan, wave: &Wave, taken: Taken) -> WaveHosts {
    let fit = fit(&Graph::build(Arc::new(plan.for_wave(wave, &taken.hosts))));
    let of_which = taken.of_which.iter().map(|(group, count)| match wave.shares.get(group) {
        Some(Share::Rest) | None => format!("{group} {count}"),
        Some(Share::Size(_) | Share::All) => format!("{group} {count}/{}", plan.groups.get(group).map_or(0, Vec::len)),
    });
    WaveHosts {
        name: wave.name.clone(),
        opens: wave.opens,
        closes: wave.closes,
        of_which: of_which.collect(),
        hosts: taken.hosts,
        expected: fit.finish_expected,
        worst: fit.finish_worst,
    }
}

/// The whole page for a terminal.
#[must_use]
pub fn wave_lines(page: &WeekPage<'_>, width: usize) -> Vec<String> {
    let (plan, waves, warnings) = (page.plan, &page.week.waves, page.findings);
    let clock = Clock::new(plan.timezone.as_deref());
    let mut out = vec![headline(plan, waves, width), String::new()];
    let which = if width < 90 { None } else { Some(33) };
    let zone = format!("WINDOW ({})", clock.zone_name());
    let column = which.map_or(String::new(), |w| format!("{:<w$} ", "OF WHICH"));
    out.push(format!("{:<12} {zone:<19} HOSTS  {column}{:>11}  ENDS   FREE", "WAVE", "EXPECTED"));
    for wave in waves {
        out.extend(wave_row(wave, &clock, which));
    }
    out.push(format!("{:>38}", "---"));
    let total: usize = waves.iter().map(|w| w.hosts.len()).sum();
    let covered = format!("{total:>38}   {}", covered(plan, total));
    match which {
        Some(_) => out.push(format!("{covered}      names: --hosts WAVE")),
        None => out.extend([covered, "Names:       --hosts WAVE".into()]),
    }
    out.extend(in_time(waves, page.odds).iter().flat_map(|text| indented("In time:     ", text, width)));
    out.extend(indented("Stops when:  ", &stops_when(plan, waves), width));
    out.extend(decisions(plan).iter().flat_map(|text| indented("Decisions:   ", text, width)));
    out.extend(times(page.week).iter().flat_map(|text| indented("Times:       ", text, width)));
    if !warnings.is_empty() {
        out.push(String::new());
        out.push("WARNINGS".into());
        out.extend(warnings.iter().flat_map(|(code, text)| {
            let lines = wrap(&esc(text), width.saturating_sub(8).max(20));
            let first = |i| if i == 0 { code.as_str() } else { "" };
            lines.into_iter().enumerate().map(|(i, l)| format!("   {:<4} {l}", first(i))).collect::<Vec<_>>()
        }));
    }
    out.iter().map(|l| cut(l, width).trim_end().to_owned()).collect()
}

fn headline(plan: &Plan, waves: &[WaveHosts], width: usize) -> String {
    let (all, n) = (plan.hosts.len(), waves.len());
    let covers = if plan.covers_all { ", all covered" } else { "" };
    let text = format!("{all} hosts in {n} waves{covers}");
    let name = esc(&plan.name);
    if width < 90 { format!("{name}   {text}") } else { format!("{name:<46} {text}") }
}

pub(super) fn covered(plan: &Plan, total: usize) -> String {
    match plan.hosts.len().saturating_sub(total) {
        0 => "every host exactly once".into(),
        1 => "1 host is in no wave".into(),
        n => format!("{n} hosts are in no wave"),
    }
}

/// One wave; its shares stand beside it, or below it where there is no room.
fn wave_row(wave: &WaveHosts, clock: &Clock, which: Option<usize>) -> Vec<String> {
    let window = format!("{}-{}", clock.date_hm(wave.opens), clock.hm_near(wave.closes, wave.opens));
    let (length, free) = (length_of(wave), free_of(wave));
    let first = format!("{} {window:<19} {:>5}", column(&esc(&wave.name), 12), wave.hosts.len());
    let rest = format!("{length:>11}  {}  {free}", clock.hm_near(wave.ends(), wave.opens));
    let shares = wave.of_which.join(", ");
    let Some(which) = which else {
        let below = wrap(&shares, 60).into_iter().map(|l| format!("{:13}{l}", ""));
        return std::iter::once(format!("{first}  {rest}")).chain(below).collect();
    };
    let lines = wrap(&shares, which);
    let more = lines[1..].iter().map(|l| format!("{:40}{l}", ""));
    std::iter::once(format!("{first}  {} {rest}", column(&lines[0], which))).chain(more).collect()
}

/// `38m-45m`.
pub(super) fn length_of(wave: &WaveHosts) -> String {
    if wave.expected == wave.worst {
        Short(wave.worst).to_string()
    } else {
        format!("{}-{}", Short(wave.expected), Short(wave.worst))
    }
}

/// What is left of its window.
pub(super) fn free_of(wave: &WaveHosts) -> String {
    let free = wave.free();
    match free.is_negative() {
        true => format!("none: {} too long", Short(-free)),
        false if wave.after(wave.worst) > wave.closes => format!("{} or none", Short(free)),
        false => Short(free).to_string(),
    }
}

/// How many hosts may fail before a wave stops.
pub(super) fn stops_when(plan: &Plan, waves: &[WaveHosts]) -> String {
    let allowed = plan.steps.values().find_map(|s| s.fleet.allow_failed);
    let Some(allowed) = allowed else {
        return "1st failed host".into();
    };
    let mut parts: Vec<(usize, Vec<String>)> = Vec::new();
    for wave in waves {
        let n = allowed.of(wave.hosts.len());
        match parts.iter_mut().find(|(m, _)| *m == n) {
            Some((_, names)) => names.push(esc(&wave.name)),
            None => parts.push((n, vec![esc(&wave.name)])),
        }
    }
    parts.sort_by_key(|(n, _)| *n);
    let one = |(n, names): &(usize, Vec<String>)| match n {
        0 => format!("1st failed host ({})", names.join(", ")),
        n => format!("{} failed host ({}: {allowed} = {n} allowed)", ordinal(n + 1), names.join(", ")),
    };
    parts.iter().map(one).collect::<Vec<_>>().join("; ")
}

fn ordinal(n: usize) -> String {
    match (n % 10, n % 100) {
        (1, h) if h != 11 => format!("{n}st"),
        (2, h) if h != 12 => format!("{n}nd"),
        (3, h) if h != 13 => format!("{n}rd"),
        _ => format!("{n}th"),
    }
}

/// `about 62% for thu-many, more than 99% for every other wave, if nothing fails`: how likely each wave is done by the close
/// of its own window, the least likely first. `None` where nothing is known.
pub(super) fn in_time(waves: &[WaveHosts], odds: &[Option<Odds>]) -> Option<String> {
    let mut alike: Vec<(f64, Vec<String>)> = Vec::new();
    for (wave, done) in waves.iter().zip(odds).filter_map(|(wave, odds)| Some((wave, odds.as_ref()?.done?))) {
        match alike.iter_mut().find(|(other, _)| probably(*other) == probably(done)) {
            Some((_, names)) => names.push(esc(&wave.name)),
            None => alike.push((done, vec![esc(&wave.name)])),
        }
    }
    alike.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let last = alike.len().checked_sub(1)?;
    let one = |(i, (done, names)): (usize, &(f64, Vec<String>))| {
        let which = match (names.len(), i) {
            (n, 0) if n == waves.len() => "every wave".to_owned(),
            (n, i) if n > 1 && i == last => "every other wave".to_owned(),
            _ => names.join(" and "),
        };
        format!("{} for {which}", probably(*done))
    };
    let parts: Vec<String> = alike.iter().enumerate().map(one).collect();
    Some(format!("{}, if nothing fails", parts.join(", ")))
}

/// Who is asked before which waves; `None` where nobody is.
pub(super) fn decisions(plan: &Plan) -> Option<String> {
    let gates = plan.waves.iter().filter_map(|w| {
        let who = words::who(plan, w.gate.as_ref()?, false);
        Some((if who.is_empty() { "somebody".to_owned() } else { who }, esc(&w.name)))
    });
    let mut by: Vec<(String, Vec<String>)> = Vec::new();
    for (who, wave) in gates {
        match by.iter_mut().find(|(w, _)| *w == who) {
            Some((_, waves)) => waves.push(wave),
            None => by.push((who, vec![wave])),
        }
    }
    let text: Vec<String> = by.iter().map(|(who, waves)| format!("{who} before {}", waves.join(", "))).collect();
    (!text.is_empty()).then(|| text.join("; "))
}

/// Whether the owners' acceptable times are kept; which are not stands among the warnings.
pub(super) fn times(week: &Week) -> Option<String> {
    if week.bound == 0 {
        return None;
    }
    let bound = if week.bound == 1 { "1 host says".to_owned() } else { format!("{} hosts say", week.bound) };
    let parts = [(Verdict::Broken, "not kept for"), (Verdict::Perhaps, "perhaps not kept for")];
    let parts = parts.map(|(verdict, words)| (week.count(verdict), words));
    let parts: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, words)| format!("{words} {n}")).collect();
    let verdict = if parts.is_empty() { "kept for every one".to_owned() } else { parts.join(", ") };
    Some(format!("{bound} when they may be worked on: {verdict}"))
}

fn indented(first: &str, text: &str, width: usize) -> Vec<String> {
    let lines = wrap(text, width.saturating_sub(first.len()).max(20));
    let start = |i| if i == 0 { first } else { "" };
    lines.iter().enumerate().map(|(i, l)| format!("{:<1$}{l}", start(i), first.len())).collect()
}
