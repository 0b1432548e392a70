//! What is told of a rebuilt run before it is written down. Knows no host and no store.

use std::sync::Arc;

use crate::graph::Graph;
use crate::graph::ids::ActionId;
use crate::report::escape_for_terminal as esc;
use crate::sim::Rebuilt;
use crate::view::{ActionState, RunView};

/// The run as it will be gone on with.
pub(super) struct Told {
    pub lines: Vec<String>,
    over: bool,
}

impl Told {
    pub fn of(graph: &Arc<Graph>, rebuilt: &Rebuilt) -> Self {
        let mut view = RunView::new(graph.clone());
        rebuilt.facts.iter().for_each(|record| view.apply(record));
        let mut lines = begun(graph, &view);
        let red: Vec<&str> = view.header().iter().flat_map(|h| h.baseline.keys()).map(ActionId::as_str).collect();
        if !red.is_empty() {
            lines.push(format!("red before the night: {}", esc(&red.join(", "))));
        }
        if !rebuilt.concluded.is_empty() {
            lines.push("concluded without a record:".to_owned());
            lines.extend(rebuilt.concluded.iter().map(|sentence| format!("  {sentence}")));
        }
        Self { lines, over: view.end().is_some() }
    }

    pub fn next_command(&self, run: &str) -> String {
        match self.over {
            true => format!("run {run} is rebuilt, and over; look at it:   runbook report {run}"),
            false => format!("run {run} is rebuilt; go on with it:   runbook resume {run}"),
        }
    }
}

/// A line for each step of which anything has begun, and one for all others.
fn begun(graph: &Graph, view: &RunView) -> Vec<String> {
    let wide = graph.step_ixs().map(|step| graph.step(step).id.chars().count()).max().unwrap_or(0);
    let (mut lines, mut rest) = (Vec::new(), Vec::new());
    for step in graph.step_ixs() {
        let states: Vec<ActionState> = view.actions_of(step).map(|action| action.state).collect();
        let id = &graph.step(step).id;
        match words(&states) {
            Some(words) => lines.push(format!("  {id:<wide$}  {words}")),
            None => rest.push(id.as_str()),
        }
    }
    if !rest.is_empty() {
        lines.push(format!("not begun: {}", rest.join(", ")));
    }
    lines
}

/// `done on 2, running on 1`; nothing for a step that waits.
fn words(states: &[ActionState]) -> Option<String> {
    let word = |state: ActionState| match state {
        ActionState::Waiting => None,
        ActionState::Running | ActionState::Soaking | ActionState::BackingOff => Some("begun"),
        ActionState::Asking => Some("waits for an answer"),
        ActionState::Done => Some("done"),
        ActionState::Skipped => Some("skipped"),
        ActionState::Failed => Some("failed"),
        ActionState::Undoing => Some("being undone"),
        ActionState::Undone => Some("undone"),
        ActionState::Parked => Some("rollback stuck"),
    };
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for word in states.iter().filter_map(|state| word(*state)) {
        match counts.iter_mut().find(|(known, _)| *known == word) {
            Some((_, n)) => *n += 1,
            None => counts.push((word, 1)),
        }
    }
    let one = states.len() == 1;
    let part = |(word, n): &(&str, usize)| if one { (*word).to_owned() } else { format!("{word} on {n}") };
    (!counts.is_empty()).then(|| counts.iter().map(part).collect::<Vec<_>>().join(", "))
}
