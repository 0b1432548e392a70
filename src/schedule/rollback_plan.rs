//! The rollback that each moment of the evening would need, before anything has run: when it fails here, what is undone,
//! in which order, and how long does that take? Knows nothing of what has run.

use jiff::SignedDuration;

use super::critical_path::{Network, Pace};
use super::fit::{forward_only, undoable};
use super::rollback_cost::RollbackCost;
use crate::graph::render::never_wanted;
use crate::graph::{Graph, StepIx};
use crate::plan::model::Opening;

/// What the go/no-go page says of turning back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollbackPlan {
    /// From the least to undo to the most.
    pub rows: Vec<RollbackRow>,
    /// Steps from which nothing is undone: they cannot be, or undos expire with them.
    pub no_way_back: Vec<StepIx>,
}

/// Failing in one of these steps means undoing the same set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollbackRow {
    /// In the plan's order.
    pub fails_in: Vec<StepIx>,
    /// At worst, the `after_rollback` test included.
    pub up_again_after: SignedDuration,
    /// From the opening of the window; `None` without a window.
    pub latest_start: Option<SignedDuration>,
    /// What is undone, in this order; the steps of one stage do not wait for each other.
    pub undoes: Vec<Vec<StepIx>>,
}

/// The rows of the page, by expected times: whatever is expected to have begun when a step begins counts as touched,
/// and the step itself.
#[must_use]
pub fn rollback_plan(graph: &Graph) -> RollbackPlan {
    let times = Network::new(graph, Pace::Expected).earliest();
    let after = forward_only(graph);
    let undoable = undoable(graph, &after, &times);
    let touched = |step: StepIx| {
        let start = times[step.index()].start;
        undoable.iter().take_while(|u| times[u.index()].start <= start).count()
    };
    let mut rows: Vec<(usize, Vec<StepIx>)> = Vec::new();
    for step in
        graph.step_ixs().filter(|s| !after.contains(s) && !graph.ends_the_way_back(*s) && !never_wanted(graph, *s))
    {
        let count = touched(step);
        match rows.iter_mut().find(|(c, _)| *c == count) {
            Some((_, steps)) => steps.push(step),
            None => rows.push((count, vec![step])),
        }
    }
    rows.retain(|(count, _)| *count > 0);
    rows.sort_by_key(|(count, _)| *count);
    let mut cost = RollbackCost::new(graph);
    let mut counted = 0;
    let rows = rows.into_iter().map(|(count, fails_in)| {
        for step in &undoable[counted..count] {
            graph.actions_of(*step).for_each(|_| cost.touch(graph, *step));
        }
        counted = count;
        let up_again_after = cost.now();
        let latest_start = latest_end(graph).map(|end| end - up_again_after);
        RollbackRow { fails_in, up_again_after, latest_start, undoes: stages(graph, &undoable[..count]) }
    });
    let rows = rows.collect();
    let no_way_back = graph.step_ixs().filter(|s| graph.ends_the_way_back(*s)).collect();
    RollbackPlan { rows, no_way_back }
}

/// When a rollback must have ended: the reserve stays free.
fn latest_end(graph: &Graph) -> Option<SignedDuration> {
    let window = graph.plan().window.as_ref()?;
    let closes = match &window.opening {
        Opening::At { opens, closes } => closes.duration_since(*opens),
        Opening::WhenStarted { lasts } => *lasts,
    };
    Some(closes - window.reserve)
}

/// The steps by how many of the others they build on, most first; in a stage against the plan's order.
fn stages(graph: &Graph, steps: &[StepIx]) -> Vec<Vec<StepIx>> {
    let mut depth = vec![0usize; graph.step_count()];
    for step in graph.topological() {
        let deepest = graph.all_needs(step).map(|n| depth[n.index()]).max().unwrap_or(0);
        depth[step.index()] = deepest + usize::from(steps.contains(&step));
    }
    let deepest = steps.iter().map(|s| depth[s.index()]).max().unwrap_or(0);
    let stage = |level: usize| {
        let mut stage: Vec<StepIx> = steps.iter().copied().filter(|s| depth[s.index()] == level).collect();
        stage.sort_by_key(|s| std::cmp::Reverse(*s));
        stage
    };
    (1..=deepest).rev().map(stage).collect()
}

impl RollbackPlan {
    /// `6-7 db-scripts`: the numbers of the steps, and the names of those that add something to undo.
    #[must_use]
    pub fn fails_in_text(&self, graph: &Graph, row: usize) -> String {
        let steps = &self.rows[row].fails_in;
        let adds: Vec<&str> = steps
            .iter()
            .filter(|s| self.rows[row].undoes.iter().flatten().any(|u| u == *s))
            .map(|s| graph.step(*s).id.as_str())
            .collect();
        let names = common_word(&adds).map_or_else(|| adds.join(", "), str::to_owned);
        let numbers = ranges(steps);
        if names.is_empty() { numbers } else { format!("{numbers} {names}") }
    }

    /// `db-scripts || deploy-backend, stop`, or `deploy-frontend, then as above` where the rest is the row before.
    #[must_use]
    pub fn undoes_text(&self, graph: &Graph, row: usize) -> String {
        let stages = &self.rows[row].undoes;
        let above = row.checked_sub(1).map(|r| &self.rows[r].undoes);
        let rest = above.filter(|a| stages.len() > a.len() && stages.ends_with(a) && a.len() > 1);
        let shown = &stages[..stages.len() - rest.map_or(0, Vec::len)];
        let mut parts: Vec<String> = shown.iter().map(|stage| stage_text(graph, stage)).collect();
        if rest.is_some() {
            parts.push("then as above".into());
        }
        parts.join(", ")
    }
}

fn stage_text(graph: &Graph, stage: &[StepIx]) -> String {
    let names: Vec<&str> = stage.iter().map(|s| graph.step(*s).id.as_str()).collect();
    common_word(&names).map_or_else(|| names.join(" || "), str::to_owned)
}

/// `stop` for `stop-frontend` and `stop-backend`.
fn common_word<'a>(names: &[&'a str]) -> Option<&'a str> {
    let (first, rest) = names.split_first()?;
    let word = first.split_once('-')?.0;
    let shared = !rest.is_empty() && rest.iter().all(|n| n.split_once('-').is_some_and(|(w, _)| w == word));
    shared.then_some(word)
}

/// `1-3, 5`, counted from one.
fn ranges(steps: &[StepIx]) -> String {
    let mut out: Vec<(u32, u32)> = Vec::new();
    for step in steps {
        let number = step.0 + 1;
        match out.last_mut() {
            Some((_, end)) if *end + 1 == number => *end = number,
            _ => out.push((number, number)),
        }
    }
    let text = out.iter().map(|(a, b)| if a == b { a.to_string() } else { format!("{a}-{b}") });
    text.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::sample::{december, graph};

    #[test]
    fn the_night_can_be_turned_back_as_its_page_says() {
        let graph = graph(december());
        let plan = rollback_plan(&graph);
        let rows: Vec<(String, i64, i64, String)> = (0..plan.rows.len())
            .map(|i| {
                let row = &plan.rows[i];
                let latest = row.latest_start.unwrap().as_mins();
                (plan.fails_in_text(&graph, i), row.up_again_after.as_mins(), latest, plan.undoes_text(&graph, i))
            })
            .collect();
        let row = |a: &str, b, (hour, minute): (i64, i64), d: &str| {
            (a.to_owned(), b, (hour * 60 + minute) - 90, d.to_owned())
        };
        assert_eq!(
            rows,
            [
                row("2-3 stop", 15, (6, 30), "stop"),
                row("4-5 deploy-backend", 30, (6, 15), "deploy-backend, stop"),
                row("6-7 db-scripts", 45, (6, 0), "db-scripts || deploy-backend, stop"),
                row("8-10 deploy-frontend", 55, (5, 50), "deploy-frontend, then as above"),
            ]
        );
        assert_eq!(plan.no_way_back, [StepIx(10)]);
    }
}
