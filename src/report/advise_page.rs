//! What would shorten a night, as a table for a terminal and as JSON: the chain that decides the end, as planned and as it
//! ran, and what each change would buy. Decides nothing.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value as Json, json};

use super::clock::Clock;
use super::escape::escape_for_terminal as esc;
use super::text::{column, wrap};
use crate::graph::{Graph, StepIx};
use crate::plan::model::Downtime;
use crate::plan::units::Short;
use crate::schedule::Times;
use crate::schedule::advise::{Advice, Change, Length, Saving};

/// So many rows of each table, unless all are asked for.
const MOST: usize = 20;
const INDENT: usize = 3;

/// A run to hold the plan against.
#[derive(Debug, Clone)]
pub struct Ran {
    pub run: String,
    pub began: Timestamp,
    /// By step, from its beginning; `None` for what did not run.
    pub times: Vec<Option<Times>>,
    pub path: Vec<StepIx>,
}

/// What the page needs besides the advice.
#[derive(Debug, Clone, Copy)]
pub struct AdvicePage<'a> {
    pub graph: &'a Graph,
    /// The plan's file, or the run that was named.
    pub file: &'a str,
    pub digest: &'a str,
    /// `None`: times are told from the start on.
    pub opens: Option<Timestamp>,
    pub advice: &'a Advice,
    pub ran: Option<&'a Ran>,
    /// What the changes are held against: `by its estimates`.
    pub basis: &'a str,
    pub all: bool,
    /// Columns of the terminal.
    pub width: usize,
}

impl AdvicePage<'_> {
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let (name, digest) = (esc(&self.graph.plan().name), super::short_digest(self.digest));
        let mut out = vec![format!("{name}   {}   digest {digest}", esc(self.file))];
        out.push("What would shorten it: the plan is scheduled again with one change at a time.".into());
        out.push(String::new());
        out.extend(self.planned());
        out.extend(self.as_it_ran());
        out.extend(self.savings());
        out.extend(self.undos());
        out.extend(self.summary());
        out.iter().flat_map(|line| super::text::fold(line.trim_end(), self.width)).collect()
    }

    fn clock(&self) -> Clock {
        Clock::new(self.graph.plan().timezone.as_deref())
    }

    /// `05:32`; `4h02m` after the start where the window opens whenever the run starts.
    fn at(&self, offset: SignedDuration) -> String {
        match self.opens.and_then(|opens| Some((opens, opens.checked_add(offset).ok()?))) {
            Some((opens, at)) => self.clock().hm_near(at, opens),
            None => Short(offset).to_string(),
        }
    }

    fn planned(&self) -> Vec<String> {
        let times = &self.advice.planned;
        let path = &self.advice.planned_path;
        let finish = path.last().map_or(SignedDuration::ZERO, |s| times[s.index()].end);
        let mut out =
            vec![format!("AS PLANNED   {} to {}, {}", self.at(SignedDuration::ZERO), self.at(finish), Short(finish))];
        let row = |s: &StepIx| {
            let t = times[s.index()];
            Row { at: self.at(t.start), takes: t.end - t.start, step: *s, more: String::new() }
        };
        out.extend(self.rows(&path.iter().map(row).collect::<Vec<_>>()));
        out.push(String::new());
        out
    }

    fn as_it_ran(&self) -> Vec<String> {
        let Some(ran) = self.ran else { return Vec::new() };
        let clock = self.clock();
        let at =
            |offset| ran.began.checked_add(offset).map_or_else(|_| String::new(), |at| clock.hm_near(at, ran.began));
        let rows = waits(ran);
        let end = rows.last().map_or(SignedDuration::ZERO, |(_, t, _)| t.end);
        let mut out = vec![format!(
            "AS IT RAN    {}: {} to {}, {}",
            esc(&ran.run),
            clock.hm(ran.began),
            at(end),
            Short(whole(end))
        )];
        let row = |(step, t, waited): &(StepIx, Times, SignedDuration)| {
            let more = if waited.as_secs() > 0 {
                format!("after {} of waiting", Short(whole(*waited)))
            } else {
                String::new()
            };
            Row { at: at(t.start), takes: whole(t.end - t.start), step: *step, more }
        };
        out.extend(self.rows(&rows.iter().map(row).collect::<Vec<_>>()));
        out.push(String::new());
        out
    }

    /// The longest of them, in their order.
    fn rows(&self, rows: &[Row]) -> Vec<String> {
        let mut longest: Vec<SignedDuration> = rows.iter().map(|r| r.takes).collect();
        longest.sort_by_key(|d| std::cmp::Reverse(*d));
        let least = if self.all { None } else { longest.get(MOST).copied() };
        let (shown, left): (Vec<&Row>, Vec<&Row>) =
            rows.iter().partition(|r| least.is_none_or(|least| r.takes > least));
        let mut out: Vec<String> = shown.iter().map(|r| self.row(r)).collect();
        if !left.is_empty() {
            let time: SignedDuration = left.iter().map(|r| r.takes).sum();
            out.push(format!("{:INDENT$}... and {} shorter ones, {} in all", "", left.len(), Short(time)));
        }
        out
    }

    fn row(&self, row: &Row) -> String {
        let step = esc(&self.graph.step(row.step).id);
        let name = if row.more.is_empty() { step } else { column(&step, 24) + " " };
        format!("{:INDENT$}{:<10}{:>7}  {name}{}", "", row.at, Short(row.takes).to_string(), row.more)
    }

    /// What ends the night, or the downtime, sooner.
    fn savings(&self) -> Vec<String> {
        let found: Vec<&Saving> = self.advice.savings.iter().filter(|s| !is_undo(s)).collect();
        if found.is_empty() {
            return Vec::new();
        }
        let down = self.advice.length.downtime.is_some();
        let head = if down { "SAVES     DOWNTIME  " } else { "SAVES     " };
        let (room, limit) =
            (self.width.saturating_sub(head.len() + 24).max(30), self.advice.length.roll_back_by.is_some());
        let last = if limit { "  ROLL BACK BY" } else { "" };
        let mut out = vec![format!("{head}{}  DONE BY {last}", column("IF", room))];
        for saving in found.iter().take(if self.all { usize::MAX } else { MOST }) {
            out.extend(self.saving(saving, down, room));
        }
        out.extend(self.left_out(found.len(), "changes that save less"));
        out.push(String::new());
        out
    }

    fn saving(&self, saving: &Saving, down: bool, room: usize) -> Vec<String> {
        let saved = |d: SignedDuration| if d.is_zero() { "-".to_owned() } else { Short(whole(d)).to_string() };
        let mut head = format!("{:<10}", saved(saving.finish));
        if down {
            head.push_str(&format!("{:<10}", saved(saving.downtime)));
        }
        let indent = head.len();
        let words = wrap(&self.what(saving), room);
        let limit = saving.then.roll_back_by.map_or_else(String::new, |at| format!("  {}", self.at(whole(at))));
        let done = self.at(whole(saving.then.finish));
        let mut out = Vec::new();
        for (i, words) in words.iter().enumerate() {
            out.push(match i {
                0 => format!("{head}{}  {done:<8}{limit}", column(words, room)),
                _ => format!("{:indent$}{words}", ""),
            });
        }
        out.extend(
            wrap(&self.why(saving), room).iter().filter(|w| !w.is_empty()).map(|w| format!("{:indent$}  {w}", "")),
        );
        out
    }

    fn what(&self, saving: &Saving) -> String {
        let took = |from: SignedDuration, to: SignedDuration| {
            format!("{} instead of {}", Short(whole(to)), Short(whole(from)))
        };
        match &saving.change {
            Change::Faster { step, from, to, best_seen: true } => {
                format!("{} takes {}, as it did once", esc(step), took(*from, *to))
            }
            Change::Faster { step, from, to, .. } => format!("{} takes {}", esc(step), took(*from, *to)),
            Change::Beside { step, need } => format!("{} runs beside {}", esc(step), esc(need)),
            Change::BeforeDowntime { step } => format!("{} is done before the downtime", esc(step)),
            Change::AfterDowntime { step } => format!("{} is done after the downtime", esc(step)),
            Change::FasterUndo { step, from, to } => format!("{} is undone in {}", esc(step), took(*from, *to)),
        }
    }

    fn why(&self, saving: &Saving) -> String {
        if !matches!(saving.change, Change::Beside { .. }) {
            return String::new();
        }
        if saving.ties.is_empty() {
            return "no host, resource, output or file in common: habit?".into();
        }
        let ties: Vec<String> = saving.ties.iter().take(4).map(|tie| esc(&tie.to_string())).collect();
        let more = saving.ties.len().saturating_sub(ties.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("in common: {}{more}", ties.join(", "))
    }

    /// What lets a rollback start later.
    fn undos(&self) -> Vec<String> {
        let found: Vec<&Saving> = self.advice.savings.iter().filter(|s| is_undo(s)).collect();
        if found.is_empty() {
            return Vec::new();
        }
        let room = self.width.saturating_sub(26).max(30);
        let mut out = vec![format!("LATER     {}  ROLL BACK BY", column("IF", room))];
        for saving in found.iter().take(if self.all { usize::MAX } else { MOST }) {
            let limit = saving.then.roll_back_by.map_or_else(String::new, |at| self.at(at));
            let later = Short(whole(saving.roll_back_by)).to_string();
            out.push(format!("{later:<10}{}  {limit}", column(&self.what(saving), room)));
        }
        out.extend(self.left_out(found.len(), "undos that gain less"));
        out.push(String::new());
        out
    }

    fn left_out(&self, found: usize, what: &str) -> Option<String> {
        let left = found.saturating_sub(MOST);
        (left > 0 && !self.all).then(|| format!("{:10}... and {left} {what}: --all shows them", ""))
    }

    fn summary(&self) -> Vec<String> {
        let Length { finish, downtime, roll_back_by } = self.advice.length;
        let limit = roll_back_by.map_or_else(String::new, |at| format!("; roll back by {}", self.at(whole(at))));
        let mut out = vec![format!("Held against {}, {}{limit}.", Short(whole(finish)), self.basis)];
        out.push(match downtime {
            Some(time) => format!("The service is down for {}.", Short(whole(time))),
            None => self.unmarked(),
        });
        let nothing = self.advice.tried - self.advice.savings.len();
        let save = if nothing == 1 { "saves" } else { "save" };
        out.push(format!("{} changes were tried; {nothing} of them {save} nothing.", self.advice.tried));
        out.iter().flat_map(|line| wrap(line, self.width)).collect()
    }

    /// Why nothing is known of the downtime.
    fn unmarked(&self) -> String {
        let plan = self.graph.plan();
        let marked = |mark| plan.steps.values().find(|s| s.downtime == Some(mark)).map(|s| esc(&s.id));
        match (marked(Downtime::Begin), marked(Downtime::End)) {
            (Some(begin), None) => {
                format!(
                    "The downtime begins with {begin} and never ends: mark the step that ends it with `downtime: end`."
                )
            }
            (None, Some(end)) => {
                format!(
                    "The downtime ends with {end} and never begins: mark the step that begins it with `downtime: begin`."
                )
            }
            _ => "Where the service is down is not said: mark the steps that take it away and give it back with \
                  `downtime: begin` and `downtime: end`."
                .into(),
        }
    }

    /// Times are seconds, from the opening of the window.
    #[must_use]
    pub fn document(&self) -> Json {
        let id = |s: &StepIx| self.graph.step(*s).id.clone();
        let path = |path: &[StepIx], times: &[Times]| -> Vec<Json> {
            let row = |s: &StepIx| json!({ "step": id(s), "start": times[s.index()].start.as_secs(), "end": times[s.index()].end.as_secs() });
            path.iter().map(row).collect()
        };
        let ran = self.ran.map(|ran| {
            let row = |(s, t, waited): &(StepIx, Times, SignedDuration)| {
                json!({ "step": id(s), "start": t.start.as_secs(), "end": t.end.as_secs(), "waited": waited.as_secs() })
            };
            json!({ "run": ran.run, "began": ran.began, "path": waits(ran).iter().map(row).collect::<Vec<_>>() })
        });
        json!({
            "v": 1,
            "plan": self.graph.plan().stem,
            "title": self.graph.plan().name,
            "digest": self.digest,
            "basis": self.basis,
            "opens": self.opens,
            "planned": path(&self.advice.planned_path, &self.advice.planned),
            "path": path(&self.advice.path, &self.advice.times),
            "ran": ran,
            "now": length(self.advice.length),
            "tried": self.advice.tried,
            "savings": self.advice.savings.iter().map(saving).collect::<Vec<_>>(),
        })
    }
}

/// A step of a path.
struct Row {
    at: String,
    takes: SignedDuration,
    step: StepIx,
    more: String,
}

/// The steps of a run's path, and how long each was waited for after the one before it was over.
fn waits(ran: &Ran) -> Vec<(StepIx, Times, SignedDuration)> {
    let mut before = SignedDuration::ZERO;
    let mut found = Vec::new();
    for step in &ran.path {
        let Some(times) = ran.times.get(step.index()).copied().flatten() else { continue };
        found.push((*step, times, (times.start - before).max(SignedDuration::ZERO)));
        before = times.end;
    }
    found
}

/// Full seconds.
fn whole(d: SignedDuration) -> SignedDuration {
    if d.as_secs() == 0 { d } else { SignedDuration::from_secs(d.as_secs()) }
}

const fn is_undo(saving: &Saving) -> bool {
    matches!(saving.change, Change::FasterUndo { .. })
}

fn length(length: Length) -> Json {
    json!({
        "finish": length.finish.as_secs(),
        "downtime": length.downtime.map(|d| d.as_secs()),
        "roll_back_by": length.roll_back_by.map(|d| d.as_secs()),
    })
}

fn saving(saving: &Saving) -> Json {
    let (change, more) = match &saving.change {
        Change::Faster { from, to, best_seen, .. } => {
            ("faster", json!({ "from": from.as_secs(), "to": to.as_secs(), "best_seen": best_seen }))
        }
        Change::Beside { need, .. } => {
            let ties: Vec<String> = saving.ties.iter().map(ToString::to_string).collect();
            ("beside", json!({ "need": need, "in_common": ties, "habit": saving.ties.is_empty() }))
        }
        Change::BeforeDowntime { .. } => ("before_downtime", json!({})),
        Change::AfterDowntime { .. } => ("after_downtime", json!({})),
        Change::FasterUndo { from, to, .. } => ("faster_undo", json!({ "from": from.as_secs(), "to": to.as_secs() })),
    };
    json!({
        "change": change,
        "step": saving.change.step(),
        "how": more,
        "saves": { "finish": saving.finish.as_secs(), "downtime": saving.downtime.as_secs(), "roll_back_by": saving.roll_back_by.as_secs() },
        "then": length(saving.then),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::sample::{december, graph};
    use crate::schedule::advise::{Known, advise};

    fn page(width: usize) -> String {
        let mut plan = december();
        plan.steps["stop-frontend"].downtime = Some(Downtime::Begin);
        plan.steps["sanity-frontend"].downtime = Some(Downtime::End);
        let opens = plan.window.as_ref().and_then(|w| match w.opening {
            crate::plan::model::Opening::At { opens, .. } => Some(opens),
            crate::plan::model::Opening::WhenStarted { .. } => None,
        });
        let graph = graph(plan);
        let mut known = vec![Known::default(); graph.step_count()];
        let minutes = SignedDuration::from_mins;
        known[5] = Known { took: Some(minutes(36)), best: Some(minutes(24)) };
        let advice = advise(&graph, None, &known);
        let step = |name: &str| graph.find_step(name).expect("it is there");
        let mut times = vec![None; graph.step_count()];
        for (name, from, to) in [("bridge", 0, 6), ("stop-backend", 6, 11), ("backup-db", 13, 20)] {
            times[step(name).index()] = Some(Times { start: minutes(from), end: minutes(to) });
        }
        let path = crate::schedule::advise::ran_path(&graph, None, &times);
        let ran = Ran { run: "2007-12-01-a".into(), began: opens.expect("a time"), times, path };
        let page = AdvicePage {
            graph: &graph,
            file: "night.yaml",
            digest: "a21177f50000",
            opens,
            advice: &advice,
            ran: Some(&ran),
            basis: "with what its steps mostly took",
            all: false,
            width,
        };
        page.lines().join("\n")
    }

    #[test]
    fn the_page_fits_its_terminal() {
        for width in [80, 100] {
            let page = page(width);
            assert!(page.lines().all(|line| line.chars().count() <= width), "{page}");
        }
        insta::assert_snapshot!(page(80));
    }
}
