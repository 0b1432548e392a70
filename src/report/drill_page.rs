//! What the drill found, as a table of steps and faults, for a terminal and for pages, and as JSON. Decides nothing.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value as Json, json};

use super::clock::Clock;
use super::escape::escape_for_terminal as esc;
use super::text::{column, cut, wrap};
use crate::graph::{Graph, StepIx};
use crate::sim::{Case, Drill, Ended, Fault, Verdict};

/// The columns of the table: what they are called, and their fault. Gates have answers instead.
const COLUMNS: [(&str, Fault); 7] = [
    ("before", Fault::Before),
    ("half", Fault::Half),
    ("after", Fault::After),
    ("hangs", Fault::Hangs),
    ("host lost", Fault::HostLost),
    ("controller", Fault::ControllerKilled),
    ("undo fails", Fault::RollbackFails),
];
const NAME: usize = 19;
/// What the columns are called where there is no room for more.
const SHORT: [&str; 7] = ["before", "half", "after", "hangs", "lost", "killed", "undo"];
/// With this many columns a terminal has room for the whole names.
const WIDE: usize = NAME + COLUMNS.len() * 11;
/// At most this many cases are told in full.
const TOLD: usize = 12;

/// What the table needs besides the cases.
#[derive(Debug, Clone, Copy)]
pub struct DrillPage<'a> {
    pub graph: &'a Graph,
    pub file: &'a str,
    pub digest: &'a str,
    pub opens: Timestamp,
    pub drill: &'a Drill,
    /// Columns of the terminal.
    pub width: usize,
}

/// What happens when one step fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Row {
    pub number: u32,
    pub step: String,
    /// What each fault is called, and how the worst of the step's hosts ends; none where nothing is executed.
    pub cells: Vec<(&'static str, String)>,
    /// The same for what people may answer; empty where nobody is asked.
    pub answers: String,
}

/// Cases that end badly in the same way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Bad {
    pub what: String,
    pub why: String,
}

/// How the drill is done.
pub(super) const HOW: [&str; 2] = [
    "Every action fails in every way, one at a time. Nothing is contacted.",
    "Work takes as long as expected, rollbacks their worst; nobody answers a hold.",
];
/// How to read its table.
pub(super) const KEY: [&str; 4] = [
    "a time: up again or done by then",
    "-: cannot happen",
    "person: left to a person, listed",
    "held: no way back any more, a person decides how to go on",
];

impl DrillPage<'_> {
    /// The table, and what is bad in full.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let (name, digest) = (esc(&self.graph.plan().name), super::short_digest(self.digest));
        let mut out = vec![format!("{name}   {}   digest {digest}", esc(self.file))];
        out.extend([format!("Drill. {}", HOW[0]), HOW[1].to_owned()]);
        out.push(String::new());
        out.extend(self.findings());
        out.iter().map(|line| cut(line, self.width).trim_end().to_owned()).collect()
    }

    /// What the columns of the table are called.
    pub(super) fn titles() -> [&'static str; 7] {
        COLUMNS.map(|(title, _)| title)
    }

    /// The same without a head.
    pub(super) fn findings(&self) -> Vec<String> {
        let (titles, cell) = if self.width < WIDE { (SHORT, 8) } else { (Self::titles(), 11) };
        let titles = titles.map(|title| format!("{title:<cell$}")).concat();
        let mut out = vec![format!("{:<NAME$}{titles}", "IT FAILS ...")];
        out.extend(self.rows().iter().flat_map(|row| lines_of(row, cell)));
        out.extend(wrap(&KEY.join("; "), self.width.saturating_sub(3)).into_iter().map(|line| format!("   {line}")));
        out.push(String::new());
        out.extend(self.told());
        out.extend(self.summary().iter().flat_map(|line| wrap(line, self.width)));
        out
    }

    fn cases(&self, step: StepIx, fault: Fault) -> Vec<&Case> {
        let of = |c: &&Case| {
            c.fault == fault && self.graph.find(&c.action).is_some_and(|a| self.graph.action(a).step == step)
        };
        self.drill.cases.iter().filter(of).collect()
    }

    /// A row for each step that can fail.
    pub(super) fn rows(&self) -> Vec<Row> {
        let clock = Clock::new(self.graph.plan().timezone.as_deref());
        let rows = self.graph.step_ixs().map(|step| self.row(step, &clock));
        rows.filter(|row| !row.cells.is_empty() || !row.answers.is_empty()).collect()
    }

    fn row(&self, step: StepIx, clock: &Clock) -> Row {
        let executes = self.graph.actions_of(step).any(|a| self.graph.action(a).site.is_some());
        let columns = if executes { &COLUMNS[..] } else { &[] };
        let cells = columns.iter().map(|(name, fault)| (*name, cell(&self.cases(step, *fault), clock)));
        let answers =
            [("no", Fault::Rejected), ("silence", Fault::Unanswered), ("silence, red before", Fault::RedBefore)];
        let answers = answers.iter().map(|(word, fault)| (word, self.cases(step, *fault)));
        let answers = answers.filter(|(_, cases)| !cases.is_empty());
        let answers: Vec<String> = answers.map(|(word, cases)| format!("{word} {}", cell(&cases, clock))).collect();
        Row {
            number: step.0 + 1,
            step: esc(&self.graph.step(step).id),
            cells: cells.collect(),
            answers: answers.join(", "),
        }
    }

    /// Every bad case, the same of several hosts together.
    pub(super) fn bad(&self) -> Vec<Bad> {
        let clock = Clock::new(self.graph.plan().timezone.as_deref());
        let mut told: BTreeMap<(StepIx, Fault, String), Vec<&Case>> = BTreeMap::new();
        for case in self.drill.cases.iter().filter(|c| c.verdict() == Verdict::Bad) {
            let step = self.graph.find(&case.action).map_or(StepIx(0), |a| self.graph.action(a).step);
            told.entry((step, case.fault, self.why(case, &clock))).or_default().push(case);
        }
        let one = |((step, fault, why), cases): ((StepIx, Fault, String), Vec<&Case>)| {
            let hosts: Vec<&str> = cases.iter().filter_map(|c| c.action.host()).collect();
            let on = if hosts.is_empty() { String::new() } else { format!(" on {}", hosts.join(" ")) };
            let what = format!("{}{on}, {}", esc(&self.graph.step(step).id), fault.word().replace('_', " "));
            Bad { what, why }
        };
        told.into_iter().map(one).collect()
    }

    fn told(&self) -> Vec<String> {
        let bad = self.bad();
        let mut out: Vec<String> = Vec::new();
        for Bad { what, why } in bad.iter().take(TOLD) {
            out.push(format!("BAD   {what}"));
            out.extend(wrap(why, self.width.saturating_sub(6)).into_iter().map(|line| format!("      {line}")));
        }
        if bad.len() > TOLD {
            out.push(format!("      + {} more: --json has all", bad.len() - TOLD));
        }
        if !out.is_empty() {
            out.push(String::new());
        }
        out
    }

    fn why(&self, case: &Case, clock: &Clock) -> String {
        match &case.ended {
            Ended::Broken(why) => why.join("; "),
            Ended::Stuck(actions) => {
                let list: Vec<String> = actions.iter().map(|(id, why)| format!("{id} ({})", esc(why))).collect();
                format!("left to a person: {}", list.join(", "))
            }
            _ => format!("over at {}, after the window has closed", clock.hm_near(case.at, self.opens)),
        }
    }

    /// How the cases end, and how much of what is changed was seen undone.
    pub(super) fn summary(&self) -> [String; 2] {
        let count = |verdict: Verdict| self.drill.cases.iter().filter(|c| c.verdict() == verdict).count();
        let (clean, contained, bad) = (count(Verdict::Clean), count(Verdict::Contained), count(Verdict::Bad));
        let all = self.drill.cases.len();
        let (undone, of) = (self.drill.undone, self.drill.undoable);
        [
            format!(
                "{all} cases, {bad} BAD: {clean} end well by themselves, {contained} are left to a person as they must be"
            ),
            format!("undo coverage {undone}/{of} actions that change something reversibly"),
        ]
    }

    /// The same in full.
    #[must_use]
    pub fn document(&self) -> Json {
        let clock = Clock::new(self.graph.plan().timezone.as_deref());
        let cases = self.drill.cases.iter().map(|case| {
            json!({
                "step": case.action.step(),
                "host": case.action.host(),
                "fault": case.fault.word(),
                "verdict": verdict(case.verdict()),
                "ended": ended(&case.ended),
                "at": clock.rfc3339(case.at),
                "late": case.late,
                "touched": case.touched,
                "left": match &case.ended {
                    Ended::Stuck(actions) => actions.iter().map(|(id, why)| (id.to_string(), json!(why))).collect(),
                    _ => serde_json::Map::new(),
                },
                "broken": match &case.ended {
                    Ended::Broken(why) => why.clone(),
                    _ => Vec::new(),
                },
            })
        });
        json!({
            "v": 1,
            "plan": self.file,
            "digest": self.digest,
            "cases": cases.collect::<Vec<_>>(),
            "undo_coverage": { "undone": self.drill.undone, "of": self.drill.undoable },
        })
    }
}

fn lines_of(row: &Row, wide: usize) -> Vec<String> {
    let name = column(&format!("{:>2} {}", row.number, row.step), NAME - 1);
    // `LATE 06:45` has no room where columns are narrow; what is late is told in full below.
    let short = |text: &str| text.split(' ').next().map_or_else(String::new, str::to_owned);
    let shown = |text: &String| if text.len() < wide { text.clone() } else { short(text) };
    let cells: String = row.cells.iter().map(|(_, text)| format!("{:<wide$}", shown(text))).collect();
    let answers = format!("answer: {}", row.answers);
    match (row.cells.is_empty(), row.answers.is_empty()) {
        (true, _) => vec![format!("{name} {answers}")],
        (false, true) => vec![format!("{name} {cells}")],
        (false, false) => vec![format!("{name} {cells}"), format!("{:NAME$}{answers}", "")],
    }
}

/// The worst of a step's hosts.
fn cell(cases: &[&Case], clock: &Clock) -> String {
    let Some(worst) = cases.iter().max_by_key(|c| (c.verdict(), c.at)) else { return "-".to_owned() };
    match (&worst.ended, worst.verdict()) {
        (Ended::Broken(_), _) => "BROKEN".to_owned(),
        (_, Verdict::Clean) => clock.hm(worst.at),
        (Ended::Stuck(_), Verdict::Bad) => "STUCK".to_owned(),
        (_, Verdict::Bad) => format!("LATE {}", clock.hm(worst.at)),
        (Ended::Held, _) => "held".to_owned(),
        (_, Verdict::Contained) => "person".to_owned(),
    }
}

const fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Clean => "clean",
        Verdict::Contained => "contained",
        Verdict::Bad => "bad",
    }
}

const fn ended(ended: &Ended) -> &'static str {
    match ended {
        Ended::Done => "done",
        Ended::RolledBack => "rolled_back",
        Ended::Rejected => "rejected",
        Ended::Stuck(_) => "stuck",
        Ended::Held => "held",
        Ended::Broken(_) => "broken",
    }
}
