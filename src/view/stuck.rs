//! What a person must do by hand when a rollback could not be completed: host, step, state, exact next command.

use std::collections::BTreeSet;

use super::action_view::ActionState;
use super::run_view::RunView;
use crate::graph::StepIx;
use crate::plan::model::{RollbackWork, Step, Undo, Verb};

/// One row of the table "needs a human now".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StuckRow {
    /// The host; `local` for the controller, empty for nowhere.
    pub host: String,
    pub step: String,
    /// What is known of it: `new`, `new?`, `old`.
    pub state: &'static str,
    /// The command or instruction; `None` where nothing is to be done.
    pub command: Option<String>,
    /// Why it is not done already: the parking reason, or the steps that must be undone before it.
    pub why: Option<String>,
}

impl RunView {
    /// Everything a rollback had to undo and did not, in the order in which it must be undone by hand; then what it did.
    /// Of a run that was left as it is without a rollback: what failed.
    #[must_use]
    pub fn stuck_rows(&self) -> Vec<StuckRow> {
        let mut open = Vec::new();
        let mut closed = Vec::new();
        for ix in self.graph.topological().into_iter().rev() {
            for i in self.members(ix.index()) {
                if self.rollback.is_none() && self.actions[i].state != ActionState::Failed {
                    continue;
                }
                if self.needs_undo(i) {
                    open.push(self.stuck_row(ix, i));
                } else if self.actions[i].state == ActionState::Undone {
                    closed.push(self.undone_row(i));
                }
            }
        }
        open.append(&mut closed);
        open
    }

    fn stuck_row(&self, ix: StepIx, i: usize) -> StuckRow {
        let action = &self.actions[i];
        let step = self.graph.step(ix);
        let sure = action.outcome.as_ref().is_some_and(crate::graph::outcome::Outcome::is_success);
        StuckRow {
            host: action.host().to_owned(),
            step: step.id.clone(),
            state: if sure && action.undo_started.is_none() { "new" } else { "new?" },
            command: self.undo_by_hand(&action.id),
            why: match (&self.rollback, &action.outcome) {
                (None, Some(outcome)) => Some(outcome.to_string()),
                _ => action.why.clone().or_else(|| self.waits_for(ix)),
            },
        }
    }

    fn undone_row(&self, i: usize) -> StuckRow {
        let action = &self.actions[i];
        let (host, step) = (action.host().to_owned(), action.id.step().to_owned());
        StuckRow { host, step, state: "old", command: None, why: None }
    }

    /// The undos that must come first: of the nearest dependants that still need one.
    fn waits_for(&self, ix: StepIx) -> Option<String> {
        let mut names = Vec::new();
        let mut seen = BTreeSet::new();
        let mut next: Vec<StepIx> = self.graph.all_dependants(ix).collect();
        while let Some(step) = next.pop() {
            if !seen.insert(step) {
                continue;
            }
            if self.members(step.index()).any(|i| self.needs_undo(i)) {
                names.push(self.graph.step(step).id.as_str());
            } else {
                next.extend(self.graph.all_dependants(step));
            }
        }
        names.sort_unstable();
        (!names.is_empty()).then(|| format!("after {}", names.join(", ")))
    }
}

/// What undoes a step, as the plan writes it; `None` where nothing does.
#[must_use]
pub fn undo_text(step: &Step) -> Option<String> {
    match &step.undo {
        Undo::Command(r) | Undo::BuiltIn(r) => Some(match &r.work {
            RollbackWork::Run(text) => text.clone(),
            RollbackWork::Script(file) => format!("script {file}"),
            RollbackWork::Restore => match &step.verb {
                Verb::Copy(file) | Verb::Template { file, .. } => format!("put the previous {} back", file.dest),
                _ => "put the previous content back".into(),
            },
        }),
        Undo::Manual(text) => Some(text.clone()),
        Undo::Nothing | Undo::ReadOnly | Undo::Irreversible(_) => None,
    }
}
