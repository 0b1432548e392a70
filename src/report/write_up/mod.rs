//! The write-up of a run: what happened in sentences, planned against actual, where the window went, who decided what.
//! A value that text, Markdown, HTML, JSON and CSV are made of; reads only the folded facts.

mod data;
mod html;
mod sentences;
mod spent;
mod text;

use jiff::{SignedDuration, Timestamp};

use super::clock::{Clock, coarse};
use super::words;
use crate::engine::fact::{GateAnswer, RunEnd, Stage};
use crate::graph::StepIx;
use crate::plan::units::Estimate;
use crate::view::{ActionState, RunView, StepTimes, What};

pub(super) use data::row;
pub use spent::Spent;

/// A sentence of the timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    pub at: Timestamp,
    pub text: String,
    /// Who is to be named with it.
    pub who: Option<String>,
}

/// One step, planned and as it was.
#[derive(Debug, Clone, PartialEq)]
pub struct StepLine {
    pub step: String,
    pub estimate: Option<Estimate>,
    pub planned: Option<StepTimes>,
    pub started: Option<Timestamp>,
    pub ended: Option<Timestamp>,
    /// The longest of its hosts.
    pub slowest: Option<SignedDuration>,
    pub undo: Option<(Timestamp, Option<Timestamp>)>,
    pub kind: spent::Kind,
    pub state: ActionState,
}

impl StepLine {
    /// How long it was expected to take: until it would have ended from when it would have begun.
    #[must_use]
    pub fn plan(&self) -> Option<SignedDuration> {
        let planned = self.planned.map(|p| p.end.duration_since(p.start));
        planned.or_else(|| self.estimate.map(|e| e.expected))
    }

    #[must_use]
    pub fn actual(&self) -> Option<SignedDuration> {
        Some(self.ended?.duration_since(self.started?))
    }

    /// Whether what it took on a host is outside what was promised.
    #[must_use]
    pub fn misses_its_estimate(&self) -> bool {
        let (Some(estimate), Some(took)) = (self.estimate, self.slowest) else { return false };
        self.state == ActionState::Done && (took > estimate.worst || took * 2 < estimate.expected)
    }
}

/// A person's decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    pub at: Timestamp,
    pub what: String,
    pub by: String,
    pub why: Option<String>,
}

/// Everything the write-up says.
#[derive(Debug, Clone)]
pub struct WriteUp {
    pub run: String,
    /// The plan's file without its ending.
    pub plan: String,
    /// Of a plan in waves: the one that this run is.
    pub wave_name: Option<String>,
    pub title: String,
    pub digest: String,
    /// Which wave it was, and how far the week has come; `None` for a plan without waves.
    pub wave: Option<String>,
    /// `SUCCESS, with 2 known defects`.
    pub verdict: String,
    pub began: Timestamp,
    /// When it was over; `None` while it is not.
    pub ended: Option<Timestamp>,
    pub planned_end: Option<Timestamp>,
    pub window: Option<(Timestamp, Timestamp)>,
    /// The last *roll back by* that was true of the run.
    pub roll_back_by: Option<Timestamp>,
    pub moments: Vec<Moment>,
    pub steps: Vec<StepLine>,
    pub spent: Spent,
    /// The steps of which each made the next wait, as it really went.
    pub critical: Vec<String>,
    pub decisions: Vec<Decided>,
    pub defects: Vec<String>,
    pub followups: Vec<String>,
    /// How it ended; `None` while it has not.
    pub(super) end: Option<RunEnd>,
    /// Durations of the lab and of rehearsals say nothing of the estimates.
    pub(super) stage: Stage,
    pub(super) clock: Clock,
}

impl WriteUp {
    /// As of `now`, which only counts for a run that is not over. `None` before its first fact.
    #[must_use]
    pub fn of(view: &RunView, now: Timestamp) -> Option<Self> {
        let header = view.header()?;
        let began = view.opens().unwrap_or(now);
        let ended = view.end().map(|(at, _)| *at);
        let steps = step_lines(view);
        let spent = Spent::of(&steps, began, ended.unwrap_or(now));
        Some(Self {
            run: header.run.clone(),
            plan: header.plan.clone(),
            wave_name: header.options.wave.as_ref().map(|wave| wave.name.clone()),
            title: header.title.clone(),
            digest: words::short_digest(&header.digest),
            wave: words::wave(view),
            verdict: verdict(view),
            began,
            ended,
            planned_end: view.planned_finish(),
            window: header.window.map(|w| (w.opens, view.closes().unwrap_or(w.closes))),
            roll_back_by: view.last_roll_back_by(),
            moments: sentences::moments(view),
            critical: critical(view),
            steps,
            spent,
            decisions: decisions(view),
            defects: view.defects().to_vec(),
            followups: followups(view),
            end: view.end().map(|(_, end)| end.clone()),
            stage: header.options.stage(),
            clock: words::clock_of(view),
        })
    }

    /// Every step is done: only then does the planned end say something of the actual one.
    pub(super) const fn succeeded(&self) -> bool {
        matches!(self.end, Some(RunEnd::Succeeded { .. }))
    }

    /// The same without what should not leave the house: hosts get numbers, people their initials.
    #[must_use]
    pub fn redacted(mut self, hosts: &[String]) -> Self {
        let hide = |text: &mut String| {
            for (i, host) in hosts.iter().enumerate() {
                *text = replace_word(text, host, &format!("host{}", i + 1));
            }
        };
        self.moments.iter_mut().for_each(|m| hide(&mut m.text));
        self.defects.iter_mut().chain(&mut self.followups).for_each(hide);
        for decided in &mut self.decisions {
            decided.by = initials(&decided.by);
            hide(&mut decided.what);
            decided.why.iter_mut().for_each(hide);
        }
        self.moments.iter_mut().for_each(|m| m.who = m.who.as_deref().map(initials));
        self
    }
}

fn initials(name: &str) -> String {
    let people = name.split(", ").map(|person| {
        let letters = person.split_whitespace().filter_map(|word| word.chars().find(|c| c.is_alphabetic()));
        letters.map(|c| format!("{c}.")).collect::<String>()
    });
    people.collect::<Vec<_>>().join(", ")
}

/// Replaces a name where it stands as a word of its own.
fn replace_word(text: &str, word: &str, by: &str) -> String {
    let part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(word) {
        let (before, after) = (&rest[..at], &rest[at + word.len()..]);
        let alone = !before.ends_with(part) && !after.starts_with(part);
        out.push_str(before);
        out.push_str(if alone { by } else { word });
        rest = after;
    }
    out + rest
}

fn verdict(view: &RunView) -> String {
    let late = |late: bool| if late { ", after the window had closed" } else { "" };
    match view.end().map(|(_, end)| end) {
        Some(RunEnd::Succeeded { late: l }) => match view.defects().len() {
            0 => format!("SUCCESS{}", late(*l)),
            1 => format!("SUCCESS, with 1 known defect{}", late(*l)),
            n => format!("SUCCESS, with {n} known defects{}", late(*l)),
        },
        Some(RunEnd::RolledBack { verified, late: l }) => {
            let proven = if *verified == Some(true) { ", old version verified" } else { "" };
            format!("ROLLED BACK{proven}{}", late(*l))
        }
        Some(RunEnd::Stuck { actions }) => format!("HALF-WAY: {} actions need a person", actions.len()),
        Some(RunEnd::Rejected) => "REJECTED, nothing was changed".to_owned(),
        None => "NOT OVER YET".to_owned(),
    }
}

fn step_lines(view: &RunView) -> Vec<StepLine> {
    let lines = view.rows().map(|row| StepLine {
        step: row.step.id.clone(),
        estimate: row.step.estimate,
        planned: view.planned(row.ix),
        started: row.started,
        ended: row.ended,
        slowest: slowest(view, row.ix),
        undo: row.undo_started.map(|from| (from, row.undo_ended)),
        kind: spent::Kind::of(row.step),
        state: row.state,
    });
    lines.collect()
}

/// How long the step took where it took longest, of the hosts that are done.
fn slowest(view: &RunView, step: StepIx) -> Option<SignedDuration> {
    let done = view.actions_of(step).filter(|a| a.state == ActionState::Done);
    done.filter_map(|a| Some(a.ended?.duration_since(a.started?))).max()
}

/// From the step that ended last back to the first, always through the need that ended last.
fn critical(view: &RunView) -> Vec<String> {
    let graph = view.graph();
    let ended = |ix| view.row(ix).ended;
    let mut at = graph.step_ixs().filter(|ix| ended(*ix).is_some()).max_by_key(|ix| ended(*ix));
    let mut chain = Vec::new();
    while let Some(ix) = at {
        chain.push(graph.step(ix).id.clone());
        at = graph.all_needs(ix).filter(|n| ended(*n).is_some()).max_by_key(|n| ended(*n));
    }
    chain.reverse();
    chain
}

fn decisions(view: &RunView) -> Vec<Decided> {
    let decided = |at, what: String, by: String, why: Option<String>| Some(Decided { at, what, by, why });
    let all = view.events().iter().filter_map(|event| match &event.what {
        What::GateAnswered { step, answer, by, note, .. } => {
            let answer = match answer {
                GateAnswer::Approved => "approved",
                GateAnswer::ApprovedWithDefects => "approved with defects",
                GateAnswer::Rejected => "rejected",
                GateAnswer::TimedOut => "not answered in time",
            };
            decided(event.at, format!("{step} {answer}"), words::actor(by), note.clone())
        }
        What::HoldAnswered { answer, by, note } => {
            decided(event.at, format!("hold answered: {}", answer.word()), words::actor(by), note.clone())
        }
        What::WindowExtended { by, granted_by, reason, .. } => {
            let by = granted_by.clone().unwrap_or_else(|| words::actor(by));
            decided(event.at, "window extended".to_owned(), by, reason.clone())
        }
        What::Marked { action, by, reason, .. } => {
            decided(event.at, format!("{} marked by hand", words::action(action)), words::actor(by), reason.clone())
        }
        What::PlanAmended { by, changes, reason } => {
            decided(event.at, format!("plan amended: {}", changes.join("; ")), words::actor(by), reason.clone())
        }
        What::Resumed { by } => decided(event.at, "run taken over".to_owned(), words::actor(by), None),
        _ => None,
    });
    all.collect()
}

/// What people want to look at later: their notes that begin with `TODO:`.
fn followups(view: &RunView) -> Vec<String> {
    let notes = view.notes().iter().filter_map(|(_, _, text)| text.trim().strip_prefix("TODO:"));
    notes.map(|text| text.trim().to_owned()).collect()
}

/// `31m early`, `15m late`, `as planned`.
fn against(planned: Timestamp, actual: Timestamp) -> String {
    let ahead = planned.duration_since(actual);
    match ahead.as_mins() {
        0 => "as planned".to_owned(),
        1.. => format!("{} early", coarse(ahead)),
        _ => format!("{} late", coarse(ahead.abs())),
    }
}
