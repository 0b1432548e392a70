//! The page on the table at the go/no-go call: when, what can go wrong, the last moment to turn back. Text for a terminal
//! or a log here, pages and pictures of the same parts beside it; computes nothing itself and runs nothing.

mod chart;
mod commands;
mod findings;
mod html;
mod markdown;

use jiff::{SignedDuration, Timestamp};

use super::DrillPage;
use super::clock::{Clock, span};
use super::escape::escape_for_terminal as esc;
use super::text::{column, cut, shorten, wrap};
use super::{odds, timeline, words};
use crate::graph::{Graph, StepIx};
use crate::plan::model::{After, Place, Step, Undo, Verb};
use crate::plan::short_digest as digest_in_short;
use crate::plan::units::Short;
use crate::schedule::{Fit, Odds, RollbackPlan, probably};
use crate::sim::Drill;
use crate::view::StepTimes;

/// Everything the page says.
#[derive(Debug, Clone)]
pub struct PlanPage<'a> {
    pub graph: &'a Graph,
    /// The plan's path, as it was typed.
    pub file: &'a str,
    pub digest: &'a str,
    pub opens: Timestamp,
    /// By step; `None` for one that is skipped.
    pub expected: &'a [Option<StepTimes>],
    pub worst: &'a [Option<StepTimes>],
    pub fit: &'a Fit,
    pub rollback: &'a RollbackPlan,
    /// `None` where nothing is uncertain.
    pub odds: Option<&'a Odds>,
    /// What would execute exactly this, as it is typed.
    pub exec: &'a str,
    /// Code and sentence of each finding, errors first.
    pub findings: &'a [(String, String)],
    /// What a narrowed run leaves out: `step a`, `host b`.
    pub left_out: &'a [String],
    /// What the hosts answered, where they were asked.
    pub probe: Option<&'a Probe>,
    /// What happens when each step fails, where that was asked for.
    pub drill: Option<&'a Drill>,
    /// Columns.
    pub width: usize,
    /// Every command in full too, as it will run.
    pub commands: bool,
    /// What each host will see, instead of the steps.
    pub by_host: bool,
}

/// One of the numbers that decide, with what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Figure {
    name: &'static str,
    value: String,
    note: String,
    /// The same number when all goes slowly.
    at_worst: Option<String>,
}

impl Figure {
    const fn new(name: &'static str, value: String, note: String) -> Self {
        Self { name, value, note, at_worst: None }
    }

    fn at_worst(self, at_worst: String) -> Self {
        Self { at_worst: Some(at_worst), ..self }
    }
}

/// What the hosts answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    pub at: Timestamp,
    /// A verdict (`ok`, `warn`, `FAIL`) and a sentence.
    pub lines: Vec<(String, String)>,
    /// Whether a run would be refused.
    pub failed: bool,
}

impl PlanPage<'_> {
    /// The whole page.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let clock = Clock::new(self.graph.plan().timezone.as_deref());
        let fitted = |l: &String| cut(l, self.width).trim_end().to_owned();
        let mut out: Vec<String> = self.above(&clock).iter().map(fitted).collect();
        if self.commands {
            out.push(String::new());
            // A command that is cut could hide what it does.
            out.extend(self.all_commands().iter().map(|l| l.trim_end().to_owned()));
        }
        out.extend(self.below(&clock).iter().map(fitted));
        out
    }

    /// What happens when nothing goes wrong.
    fn above(&self, clock: &Clock) -> Vec<String> {
        let mut out = self.head(clock);
        out.extend(self.numbers(clock));
        out.extend(self.after());
        out.extend(self.narrowed());
        out.extend(self.found("DOES NOT FIT", |code| code.starts_with('E')));
        out.push(String::new());
        out.extend(timeline::lines(self, clock));
        out.push(String::new());
        out.extend(if self.by_host { self.hosts(clock) } else { self.steps(clock) });
        out
    }

    /// What happens when something does, and what is to be known before.
    fn below(&self, clock: &Clock) -> Vec<String> {
        let mut out = after_a_line(self.rollbacks(clock));
        out.extend(after_a_line(self.drill_page().map_or_else(Vec::new, |drill| drill.findings())));
        out.extend(after_a_line(self.no_way_back()));
        out.extend(self.found("WARNINGS", |code| !code.starts_with('E')));
        out.extend(after_a_line([self.probed(clock), self.people(clock)].concat()));
        out.push(String::new());
        let exec = format!("To run exactly this:  {}", esc(self.exec));
        let with_digest = format!("{exec}      (digest {})", self.short_digest());
        // The digest stands in the head of the page, too.
        out.push(if with_digest.chars().count() <= self.width { with_digest } else { exec });
        out
    }

    pub(super) fn short_digest(&self) -> String {
        words::short_digest(self.digest)
    }

    pub(super) fn drill_page(&self) -> Option<DrillPage<'_>> {
        let Self { graph, file, digest, opens, width, .. } = *self;
        self.drill.map(|drill| DrillPage { graph, file, digest, opens, drill, width })
    }

    /// When everything is expected to be done, and at worst.
    #[must_use]
    pub fn finish(&self) -> (Timestamp, Timestamp) {
        let last = |times: &[Option<StepTimes>]| times.iter().flatten().map(|t| t.end).max().unwrap_or(self.opens);
        (last(self.expected), last(self.worst))
    }

    /// The end of the window.
    #[must_use]
    pub fn closes(&self) -> Option<Timestamp> {
        self.fit.window.as_ref().map(|w| self.at(w.closes))
    }

    /// The last moment at which a full rollback may start.
    #[must_use]
    pub fn roll_back_by(&self) -> Option<Timestamp> {
        self.fit.window.as_ref().map(|w| self.at(w.roll_back_by))
    }

    fn at(&self, offset: SignedDuration) -> Timestamp {
        self.opens.checked_add(offset).unwrap_or(self.opens)
    }

    fn head(&self, clock: &Clock) -> Vec<String> {
        let plan = self.graph.plan();
        let (left, day) = ("Dry run: nothing is changed.", self.day(clock));
        let digest = format!("digest {}", self.short_digest());
        let name = esc(&plan.name);
        if self.width < 90 || name.len() > 44 {
            return vec![name, format!("{}   {digest}", esc(self.file)), left.to_owned(), day];
        }
        vec![format!("{name:<46}{:<27}  {digest}", esc(self.file)), format!("{left:<46}{day}")]
    }

    /// `Sunday 2 Dec 2007, America/Toronto (UTC-5)`.
    fn day(&self, clock: &Clock) -> String {
        let (zone, offset) = (clock.zone_name(), clock.offset(self.opens));
        let zone = if zone == offset { offset } else { format!("{zone} ({offset})") };
        format!("{}, {zone}", clock.day(self.opens))
    }

    fn numbers(&self, clock: &Clock) -> Vec<String> {
        let mut out = vec![String::new()];
        for figure in self.figures(clock) {
            let Figure { name, value, note, at_worst } = &figure;
            match at_worst {
                None => out.push(number(name, value, note)),
                Some(worst) if self.width < 90 => out.extend([number(name, value, note), number("", worst, "")]),
                Some(worst) => out.push(number(name, value, &format!("{note:<37}{worst}"))),
            }
        }
        out.push(format!("  {}", self.counts()));
        out
    }

    /// The numbers that decide, in the order in which they are read.
    fn figures(&self, clock: &Clock) -> Vec<Figure> {
        let (finish, worst) = self.finish();
        let near = |t| clock.hm_near(t, self.opens);
        let mut out = match (self.closes(), self.fit.window.as_ref()) {
            (Some(closes), Some(window)) => {
                let left = closes.duration_since(finish);
                let left = match left.is_negative() {
                    true => format!("{} AFTER the window closes", short(-left)),
                    false => format!("{} before the window closes", short(left)),
                };
                let reserve = self.graph.plan().window.as_ref().map_or(SignedDuration::ZERO, |w| w.reserve);
                let full = format!("a full rollback takes {}, reserve {}", short(window.rollback), short(reserve));
                let last = self.last_decision().map_or(String::new(), |(step, end)| {
                    format!("{} is expected to end at {}", self.graph.step(step).id, near(end))
                });
                vec![
                    Figure::new("Window", format!("{} - {}", clock.hm(self.opens), near(closes)), short(window.closes)),
                    Figure::new("Finish", format!("{} expected", near(finish)), left)
                        .at_worst(format!("worst case {}", near(worst))),
                    Figure::new("Roll back by", near(self.at(window.roll_back_by)), full),
                    Figure::new("Slack", short(window.least_slack), last),
                ]
            }
            _ => {
                let lasts = short(finish.duration_since(self.opens));
                let worst = format!("worst case {}", short(worst.duration_since(self.opens)));
                let none = "no deadline: a failure asks or rolls back, time never does";
                vec![Figure::new("Window", "none".into(), none.into()), Figure::new("Lasts", lasts, worst)]
            }
        };
        out.extend(self.likely(clock));
        out
    }

    fn likely(&self, clock: &Clock) -> Vec<Figure> {
        let Some(odds) = self.odds else { return Vec::new() };
        let end = odds::likely(odds, clock, self.opens);
        let mut out = vec![Figure::new("Likely", end, "8 nights of 10 end then, if nothing fails".into())];
        if let (Some(closes), Some(done)) = (self.closes(), odds.done) {
            let fits = odds.rollback_fits.map_or(String::new(), |p| format!("; a rollback fits: {}", probably(p)));
            let by = format!("done by {}{fits}", clock.hm_near(closes, self.opens));
            out.push(Figure::new("In time", probably(done), by));
        }
        out
    }

    fn counts(&self) -> String {
        let plan = self.graph.plan();
        let steps = plan.steps.len();
        let gone = plan.steps.values().filter(|s| matches!(s.undo, Undo::Irreversible(_))).count();
        let gone = if gone > 0 { format!(" ({gone} irreversible)") } else { String::new() };
        let gates = plan.steps.values().filter(|s| s.gate.is_some()).count();
        let mut parts = vec![format!("{}{gone} on {}", many(steps, "step"), many(plan.hosts.len(), "host"))];
        if gates > 0 {
            parts.push(format!("{} by people", many(gates, "decision")));
        }
        let warnings = self.findings.iter().filter(|(code, _)| !code.starts_with('E')).count();
        if warnings > 0 {
            parts.push(many(warnings, "warning"));
        }
        let skipped = self.expected.iter().filter(|t| t.is_none()).count();
        if skipped > 0 {
            parts.push(format!("{skipped} skipped by `when`"));
        }
        parts.join(", ")
    }

    /// Of the steps after which a rollback is still possible, the one that ends last.
    fn last_decision(&self) -> Option<(StepIx, Timestamp)> {
        let forward = crate::schedule::forward_only(self.graph);
        let steps = self.graph.step_ixs().filter(|s| !forward.contains(s));
        steps.filter_map(|s| Some((s, self.expected[s.index()]?.end))).max_by_key(|(s, end)| (*end, *s))
    }

    fn steps(&self, clock: &Clock) -> Vec<String> {
        let (slack, what) = (self.width >= 60, self.width >= 80);
        let estimates = self.graph.plan().steps.values().filter_map(|s| s.estimate);
        let wide = estimates.map(|e| e.to_string().len()).max().unwrap_or(0).clamp(9, 14);
        let longest = self.graph.step_ixs().map(|ix| self.slack_of(ix).len()).max().unwrap_or(0).max(6);
        let mut head = format!("{:<20} START  END    {:<wide$} ", "STEPS", "ESTIMATE");
        head.push_str(&if slack { format!(" {:<longest$} ", "SLACK") } else { String::new() });
        let most = self.graph.step_ixs().map(|ix| self.graph.actions_of(ix).len()).max().unwrap_or(0);
        let places = format!("{most} hosts").len().max(10);
        head.push_str(&format!("{:<places$} ", "WHERE"));
        head.push_str(if what { "WHAT" } else { "" });
        let mut out = vec![head];
        for (ix, step) in self.graph.step_ixs().zip(self.graph.plan().steps.values()) {
            let times = self.expected[ix.index()];
            let (start, end) = times.map_or(("skip".into(), String::new()), |t| (clock.hm(t.start), clock.hm(t.end)));
            let estimate = step.estimate.map_or("-".to_owned(), |e| e.to_string());
            let mut line =
                format!("{:>2} {:<17} {start:<6} {end:<6} {estimate:<wide$} ", ix.0 + 1, shorten(&step.id, 17));
            if slack {
                line.push_str(&format!(" {:<longest$} ", self.slack_of(ix)));
            }
            line.push_str(&column(&place(self.graph, ix), places));
            if what {
                let mark = if self.graph.ends_the_way_back(ix) { " !" } else { "" };
                let room = self.width.saturating_sub(line.len() + 1 + mark.len());
                line.push_str(&format!(" {}{mark}", shorten(&self.what(step), room)));
            }
            out.push(line);
        }
        let path: Vec<String> = self.fit.longest_path.iter().map(|s| (s.0 + 1).to_string()).collect();
        let flags = if self.width >= 90 { "full commands: --commands     per host: --by-host" } else { "" };
        let path = if path.is_empty() { String::new() } else { format!("Critical path: {}", path.join(" ")) };
        out.push(format!("   {path:<39} {flags}"));
        let others = self.odds.and_then(|odds| odds::also_decide(odds, &self.fit.longest_path));
        out.extend(others.map(|text| format!("   {text}")));
        out
    }

    fn slack_of(&self, ix: StepIx) -> String {
        self.fit.window.as_ref().map_or("-".to_owned(), |w| short(w.slack[ix.index()]))
    }

    /// `script install-backend.sh (41 l.)`, `test sanity --frontend, then Sarah`.
    fn what(&self, step: &Step) -> String {
        let plan = self.graph.plan();
        let people = words::names(plan, step, false);
        let size = match &step.verb {
            Verb::Script(file) => plan.files.get(file).map_or(String::new(), |f| format!(" ({} l.)", f.lines)),
            _ => String::new(),
        };
        let what = format!("{}{size}", words::what(step));
        match (&step.gate, &step.verb, people.is_empty()) {
            (Some(_), Verb::Gate, false) => format!("{people}: {what}"),
            (Some(_), Verb::Gate, true) | (None, ..) => what,
            (Some(_), _, false) => format!("{what}, then {people}"),
            (Some(_), _, true) => format!("{what}, then a person"),
        }
    }

    /// Host by host: what happens there, when.
    fn hosts(&self, clock: &Clock) -> Vec<String> {
        let mut out = vec!["HOSTS".to_owned()];
        let all = self.graph.plan().hosts.keys().map(String::as_str).chain(["local"]);
        for host in all {
            let mine = self.graph.actions().iter().filter(|a| a.id.host() == Some(host));
            let mut rows: Vec<(Timestamp, StepIx)> =
                mine.filter_map(|a| Some((self.expected[a.step.index()]?.start, a.step))).collect();
            rows.sort();
            if rows.is_empty() {
                continue;
            }
            out.push(format!("   {}", if host == "local" { "this machine" } else { host }));
            for (start, step) in rows {
                let what = self.what(self.graph.step(step));
                out.push(format!("      {}  {} {what}", clock.hm(start), column(&self.graph.step(step).id, 18)));
            }
        }
        out
    }

    fn rollbacks(&self, clock: &Clock) -> Vec<String> {
        if self.rollback.rows.is_empty() {
            return vec!["ROLLBACK PLAN        nothing in this plan can be undone".into()];
        }
        let mut out = wrap_after("ROLLBACK PLAN", 21, &self.triggers(clock), self.width);
        let wide = self.width >= 90;
        out.push(if wide {
            "   when it fails in ...      up again after   latest start   undoes, in this order".into()
        } else {
            "   when it fails in ...    up after  latest    undoes, in this order".into()
        });
        for (i, row) in self.rollback.rows.iter().enumerate() {
            let latest = row.latest_start.map_or("-".to_owned(), |d| clock.hm_near(self.at(d), self.opens));
            let fails = shorten(&self.rollback.fails_in_text(self.graph, i), 25);
            let undoes = self.rollback.undoes_text(self.graph, i);
            let up = short(row.up_again_after);
            let (first, indent) = if wide {
                (format!("   {fails:<25} {up:<16} {latest:<14}"), 61)
            } else {
                (format!("   {:<23} {up:<9} {latest:<9}", shorten(&fails, 23)), 47)
            };
            out.extend(wrap_after(&first, indent, &undoes, self.width));
        }
        let afterwards = self.afterwards();
        out.extend(afterwards.iter().flat_map(|text| wrap_after("   afterwards:", 15, text, self.width)));
        out
    }

    /// What proves a rollback.
    fn afterwards(&self) -> Option<String> {
        let proof = self.graph.plan().after_rollback.as_ref()?;
        let takes = short(proof.estimate_or_zero().worst);
        Some(format!("{} on {} ({takes}, included)", words::what(proof), words::hosts(&hosts_of(proof))))
    }

    /// `runs by itself when 7 or 9 fails, when 10 is rejected, or at 05:50`.
    fn triggers(&self, clock: &Clock) -> String {
        use crate::plan::model::OnFailure;
        let forward = crate::schedule::forward_only(self.graph);
        let numbers = |which: &dyn Fn(&Step) -> bool| -> Vec<String> {
            let steps = self.graph.step_ixs().filter(|s| !forward.contains(s) && which(self.graph.step(*s)));
            steps.map(|s| (s.0 + 1).to_string()).collect()
        };
        let fails = numbers(&|s| s.on_failure == OnFailure::Rollback && s.verb != Verb::Gate);
        let rejected = numbers(&|s| s.verb == Verb::Gate && s.undo == Undo::Nothing && !s.needs.is_empty());
        let mut when = Vec::new();
        if !fails.is_empty() {
            when.push(format!("when {} fails", fails.join(" or ")));
        }
        if !rejected.is_empty() {
            when.push(format!("when {} is rejected", rejected.join(" or ")));
        }
        if let Some(by) = self.roll_back_by() {
            when.push(format!("at {}", clock.hm_near(by, self.opens)));
        }
        match when.split_last() {
            None => "only by hand, or when a person says so".into(),
            Some((last, [])) => format!("runs by itself {last}"),
            Some((last, rest)) => format!("runs by itself {}, or {last}", rest.join(", ")),
        }
    }

    fn no_way_back(&self) -> Vec<String> {
        let ends = self.ends();
        if ends.is_empty() {
            return Vec::new();
        }
        let one = |(ix, why, only): (StepIx, String, String)| {
            let first = format!("   {:>2} {:<14}", ix.0 + 1, shorten(&self.graph.step(ix).id, 14));
            let why = if why.len() < 38 || only.is_empty() { why } else { why + "," };
            wrap_after(&first, 21, &format!("{why:<38} {only}"), self.width)
        };
        std::iter::once("NO WAY BACK".to_owned()).chain(ends.into_iter().flat_map(one)).collect()
    }

    /// The steps from which nothing is undone, with why, and who is asked before.
    fn ends(&self) -> Vec<(StepIx, String, String)> {
        let one = |ix: &StepIx| {
            let why = match &self.graph.step(*ix).undo {
                Undo::Irreversible(why) => why.clone(),
                _ => expiring(self.graph, *ix),
            };
            let gates = self.graph.all_needs(*ix).filter(|n| self.graph.step(*n).gate.is_some());
            let gates: Vec<&str> = gates.map(|n| self.graph.step(n).id.as_str()).collect();
            let only = format!("only after {} is approved", gates.join(", "));
            (*ix, esc(&why), if gates.is_empty() { String::new() } else { only })
        };
        self.rollback.no_way_back.iter().map(one).collect()
    }

    /// The findings of some codes, under a heading; nothing where there are none.
    fn found(&self, heading: &str, which: fn(&str) -> bool) -> Vec<String> {
        let lines = self.told(which).into_iter();
        let lines = lines.flat_map(|(code, text)| wrap_after(&format!("   {code:<4}"), 8, &esc(&text), self.width));
        let mut lines: Vec<String> = lines.collect();
        if !lines.is_empty() {
            lines.splice(0..0, [String::new(), heading.to_owned()]);
        }
        lines
    }

    /// What must have been executed before.
    fn after(&self) -> Vec<String> {
        match &self.after_texts()[..] {
            [] => Vec::new(),
            all => wrap_after("  After", 17, &esc(&all.join(", ")), self.width),
        }
    }

    fn after_texts(&self) -> Vec<String> {
        let one = |a: &After| match &a.digest {
            Some(digest) => format!("{} (digest {})", a.plan, digest_in_short(digest)),
            None => a.plan.clone(),
        };
        self.graph.plan().after.iter().map(one).collect()
    }

    fn narrowed(&self) -> Vec<String> {
        if self.left_out.is_empty() {
            return Vec::new();
        }
        wrap_after("  Left out", 17, &esc(&self.left_out.join(", ")), self.width)
    }

    fn probed(&self, clock: &Clock) -> Vec<String> {
        let Some(probe) = self.probe else { return Vec::new() };
        let first = format!("PROBE {}", clock.hm_near(probe.at, probe.at));
        let good: Vec<&str> = probe.lines.iter().filter(|(v, _)| v == "ok").map(|(_, text)| text.as_str()).collect();
        let good = if good.is_empty() { "no host is ready".to_owned() } else { good.join(", ") };
        let mut out = wrap_after(&first, 21, &esc(&good), self.width);
        for (verdict, text) in probe.lines.iter().filter(|(v, _)| v != "ok") {
            out.extend(wrap_after(&format!("   {verdict}"), 8, &esc(text), self.width));
        }
        out
    }

    fn people(&self, clock: &Clock) -> Vec<String> {
        match self.asked(clock) {
            asked if asked.is_empty() => asked,
            asked => wrap_after("PEOPLE", 21, &asked.join(" - "), self.width),
        }
    }

    /// `03:30 Ms. Hu (to be called 30m before)`: who is expected to be asked when.
    fn asked(&self, clock: &Clock) -> Vec<String> {
        let plan = self.graph.plan();
        let asked = self.graph.step_ixs().filter_map(|ix| {
            let step = self.graph.step(ix);
            let gate = step.gate.as_ref()?;
            let ahead = gate.call_ahead.map_or(String::new(), |d| format!(" (to be called {} before)", span(d)));
            let names = words::names(plan, step, false);
            let names = if names.is_empty() { "somebody".to_owned() } else { names };
            Some(format!("{} {names}{ahead}", clock.hm_near(self.expected[ix.index()]?.start, self.opens)))
        });
        asked.collect()
    }
}

/// A section with an empty line before it, if there is a section.
fn after_a_line(section: Vec<String>) -> Vec<String> {
    if section.is_empty() { section } else { std::iter::once(String::new()).chain(section).collect() }
}

/// `first`, then `text` from column `indent` on, on as many lines as it takes.
fn wrap_after(first: &str, indent: usize, text: &str, width: usize) -> Vec<String> {
    let lines = wrap(text, width.saturating_sub(indent).max(20));
    let start = |i: usize| if i == 0 { first } else { "" };
    lines.iter().enumerate().map(|(i, line)| format!("{:<indent$}{line}", start(i))).collect()
}

fn number(name: &str, value: &str, rest: &str) -> String {
    format!("  {name:<14} {value:<15} {rest}").trim_end().to_owned()
}

fn many(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

fn short(d: SignedDuration) -> String {
    Short(d).to_string()
}

fn hosts_of(step: &Step) -> Vec<String> {
    match &step.place {
        Place::Hosts(hosts) => hosts.clone(),
        Place::Controller => vec!["local".into()],
        Place::Nowhere | Place::Wave => Vec::new(),
    }
}

/// `people`, `here`, `fe1 fe2 +` (people too), `103 hosts`.
pub(super) fn place(graph: &Graph, ix: StepIx) -> String {
    let step = graph.step(ix);
    let names: Vec<String> =
        graph.actions_of(ix).filter_map(|a| graph.action(a).id.host().map(str::to_owned)).collect();
    let joined = words::hosts(&names);
    let room = if step.gate.is_some() { 8 } else { 10 };
    let joined = if joined.len() > room && names.len() > 1 { format!("{} hosts", names.len()) } else { joined };
    match (names.is_empty(), step.gate.is_some()) {
        (true, true) => "people".into(),
        (true, false) => "-".into(),
        (false, true) => format!("{joined} +"),
        (false, false) => joined,
    }
}

/// What a step opens, and whose undo expires with it.
fn expiring(graph: &Graph, step: StepIx) -> String {
    let opens = graph.step(step).opens.as_deref().unwrap_or_default();
    let expired: Vec<&str> = graph.expires_with(step).into_iter().map(|s| graph.step(s).id.as_str()).collect();
    format!("opens {opens}: {}", words::undos_of(&expired, "expires", "expire"))
}
