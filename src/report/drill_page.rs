//! What the drill found, as a table of steps and faults and as JSON. Decides nothing.

use std::collections::BTreeMap;

use jiff::Timestamp;
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

impl DrillPage<'_> {
    /// The table, and what is bad in full.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let clock = Clock::new(self.graph.plan().timezone.as_deref());
        let mut out = vec![
            format!(
                "{}   {}   digest {}",
                esc(&self.graph.plan().name),
                esc(self.file),
                super::short_digest(self.digest)
            ),
            "Drill: every action fails in every way, one at a time. Nothing is contacted.".to_owned(),
            "Work takes as long as expected, rollbacks their worst; nobody answers a hold.".to_owned(),
            String::new(),
        ];
        out.push(format!("{:<NAME$}{}", "IT FAILS ...", COLUMNS.map(|(title, _)| format!("{title:<11}")).concat()));
        out.extend(self.graph.step_ixs().filter_map(|step| self.row(step, &clock)));
        out.push(
            "   a time: up again or done by then    -: cannot happen    person: left to a person, listed".to_owned(),
        );
        out.push(String::new());
        out.extend(self.told(&clock));
        out.extend(self.summary());
        out.iter().map(|line| cut(line, self.width).trim_end().to_owned()).collect()
    }

    fn cases(&self, step: StepIx, fault: Fault) -> Vec<&Case> {
        let of = |c: &&Case| {
            c.fault == fault && self.graph.find(&c.action).is_some_and(|a| self.graph.action(a).step == step)
        };
        self.drill.cases.iter().filter(of).collect()
    }

    fn row(&self, step: StepIx, clock: &Clock) -> Option<String> {
        let cells: Vec<String> =
            COLUMNS.iter().map(|(_, fault)| format!("{:<11}", cell(&self.cases(step, *fault), clock))).collect();
        let answers = [("no", Fault::Rejected), ("silence", Fault::Unanswered)];
        let answers: Vec<String> = answers
            .iter()
            .map(|(word, fault)| (word, self.cases(step, *fault)))
            .filter(|(_, cases)| !cases.is_empty())
            .map(|(word, cases)| format!("{word} {}", cell(&cases, clock)))
            .collect();
        let executes = self.graph.actions_of(step).any(|a| self.graph.action(a).site.is_some());
        let name = column(&format!("{:>2} {}", step.0 + 1, esc(&self.graph.step(step).id)), NAME - 1);
        match (executes, answers.is_empty()) {
            (false, true) => None,
            (false, false) => Some(format!("{name} answer: {}", answers.join(", "))),
            (true, true) => Some(format!("{name} {}", cells.concat())),
            (true, false) => Some(format!("{name} {}\n{:NAME$}answer: {}", cells.concat(), "", answers.join(", "))),
        }
    }

    /// Every bad case, the same of several hosts together.
    fn told(&self, clock: &Clock) -> Vec<String> {
        let mut told: BTreeMap<(StepIx, Fault, String), Vec<&Case>> = BTreeMap::new();
        for case in self.drill.cases.iter().filter(|c| c.verdict() == Verdict::Bad) {
            let step = self.graph.find(&case.action).map_or(StepIx(0), |a| self.graph.action(a).step);
            told.entry((step, case.fault, self.why(case, clock))).or_default().push(case);
        }
        let mut out: Vec<String> = Vec::new();
        for ((step, fault, why), cases) in told.iter().take(TOLD) {
            let hosts: Vec<&str> = cases.iter().filter_map(|c| c.action.host()).collect();
            let on = if hosts.is_empty() { String::new() } else { format!(" on {}", hosts.join(" ")) };
            out.push(format!("BAD   {}{on}, {}", esc(&self.graph.step(*step).id), fault.word().replace('_', " ")));
            out.extend(wrap(why, self.width.saturating_sub(6)).into_iter().map(|line| format!("      {line}")));
        }
        if told.len() > TOLD {
            out.push(format!("      + {} more: --json has all", told.len() - TOLD));
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

    fn summary(&self) -> Vec<String> {
        let count = |verdict: Verdict| self.drill.cases.iter().filter(|c| c.verdict() == verdict).count();
        let (clean, contained, bad) = (count(Verdict::Clean), count(Verdict::Contained), count(Verdict::Bad));
        vec![
            format!(
                "{} cases: {clean} end well by themselves, {contained} are left to a person as they must be, {bad} BAD",
                self.drill.cases.len()
            ),
            format!(
                "undo coverage {}/{} actions that change something reversibly",
                self.drill.undone, self.drill.undoable
            ),
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
