//! A plan that is amended while its run is open: what may still change, and how the run goes on by it. Knows nothing of
//! where the new plan comes from.
//!
//! The work of a step may change until it is done, the undo of a step until it is begun. What the run's shape and time rest
//! on stays: steps and their needs, hosts, limits, the window, variables.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::decide::Decision;
use super::fact::{Actor, Amendment, Fact};
use super::state::{Doing, State};
use crate::graph::{Graph, Reach, StepIx};
use crate::plan::model::{Plan, RollbackWork, Step, Undo, Verb};

/// How one step differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    None,
    /// Only how it is undone.
    Undo,
    Work,
}

impl Decision<'_> {
    pub(super) fn amend(&mut self, amendment: Amendment, by: Actor) -> Result<(), String> {
        let wrong = self.state.against(&amendment.plan);
        if !wrong.is_empty() {
            return Err(wrong.join("; "));
        }
        self.record(Fact::PlanAmended { amendment: Box::new(amendment), by });
        Ok(())
    }
}

impl State {
    /// Why this plan cannot take the place of the run's own; nothing when it can.
    fn against(&self, plan: &Plan) -> Vec<String> {
        let old = self.graph().plan();
        if frame(old) != frame(plan) {
            let stays = "hosts, limits, window, variables and waves stay as they are";
            return vec![format!("more than steps is different: {stays}")];
        }
        if !old.steps.keys().eq(plan.steps.keys()) {
            return vec!["steps were added, removed or moved: they stay as they are".to_owned()];
        }
        let mut wrong = Vec::new();
        for (ix, new) in self.graph().step_ixs().zip(plan.steps.values()) {
            let step = self.graph().step(ix);
            if shape(step) != shape(new) {
                wrong.push(format!(
                    "`{}`: what it needs, where it runs, its limits and its kind stay as they are",
                    new.id
                ));
            }
            match change(old, plan, &new.id) {
                Change::Work if !self.work_may_change(ix) => {
                    wrong.push(format!("`{}` is done or under way: its work cannot change any more", new.id));
                }
                Change::Undo if !self.undo_may_change(ix) => {
                    wrong.push(format!("`{}` is undone or being undone: that cannot change any more", new.id));
                }
                _ => {}
            }
        }
        let proof = |plan: &Plan| plan.after_rollback.as_ref().map(|step| Step { line: 0, ..step.clone() });
        if proof(old) != proof(plan) && self.after().values().any(|a| a.doing != Doing::Waiting) {
            wrong.push("`after_rollback` has begun".to_owned());
        }
        wrong
    }

    /// Nothing of it is under way, and some of it is still to be done.
    fn work_may_change(&self, step: StepIx) -> bool {
        let doing = || self.graph().actions_of(step).map(|ix| &self.action(ix).doing);
        let idle = |d: &Doing| {
            matches!(d, Doing::Waiting | Doing::Failed | Doing::Retrying { .. } | Doing::Done | Doing::Skipped)
        };
        doing().all(idle) && doing().any(|d| !matches!(d, Doing::Done))
    }

    fn undo_may_change(&self, step: StepIx) -> bool {
        let begun = |d: &Doing| {
            matches!(
                d,
                Doing::Undoing { .. }
                    | Doing::UndoNext(_)
                    | Doing::UndoJudge { .. }
                    | Doing::UndoRetrying { .. }
                    | Doing::Undone
            )
        };
        !self.graph().actions_of(step).any(|ix| begun(&self.action(ix).doing))
    }

    /// From here on the run goes by the amended plan. Approvals of open gates behind what changed do not count any more.
    pub(super) fn take_over_plan(&mut self, amendment: &Amendment) -> Result<(), String> {
        let new = Arc::new(Graph::build(Arc::new(amendment.plan.clone())));
        let same = |(a, b): (&crate::graph::Action, &crate::graph::Action)| a.id == b.id;
        if new.actions().len() != self.graph.actions().len()
            || !new.actions().iter().zip(self.graph.actions()).all(same)
        {
            return Err("the amended plan has other actions".into());
        }
        let old = self.graph.plan().clone();
        let changed: BTreeSet<StepIx> =
            new.step_ixs().filter(|ix| change(&old, new.plan(), &new.step(*ix).id) != Change::None).collect();
        let reach = Reach::new(&new);
        for ix in new.action_ixs() {
            let gate = new.action(ix).step;
            if changed.iter().any(|step| reach.before(*step, gate)) && self.is_asking(ix) {
                self.actions[ix.index()].approvals.clear();
            }
        }
        if let Some(run) = &mut self.run {
            // Of a test that is another one now, nothing was seen before the night.
            run.baseline.retain(|id, _| new.find_step(id.step()).is_some_and(|step| !changed.contains(&step)));
        }
        self.graph = new;
        let graph = self.graph.clone();
        self.cost.estimate_anew(&graph);
        self.count_hosts_anew();
        Ok(())
    }
}

/// Everything of a plan but its steps, their files, and what is only shown.
fn frame(plan: &Plan) -> Plan {
    Plan {
        name: String::new(),
        people: Default::default(),
        notify: Vec::new(),
        after_rollback: None,
        steps: Default::default(),
        files: Default::default(),
        ..plan.clone()
    }
}

/// What of a step its place in the graph and in time rests on.
fn shape(step: &Step) -> impl PartialEq + use<> {
    let kind = match &step.verb {
        Verb::Gate => "gate",
        Verb::Wait(_) => "wait",
        Verb::Test(_) | Verb::Http(_) => "judges",
        Verb::Run(_) | Verb::Script(_) | Verb::Copy(_) | Verb::Template { .. } => "works",
    };
    let undo = (step.changes_something(), matches!(step.undo, Undo::Irreversible(_)), step.rollback().is_some());
    let when = step.when.is_some();
    let horizon = (step.opens.clone(), step.rollback().and_then(|undo| undo.until.clone()));
    (
        step.needs.clone(),
        step.place.clone(),
        when,
        step.uses.clone(),
        step.fleet.clone(),
        kind,
        step.gate.is_some(),
        undo,
        horizon,
    )
}

fn change(old: &Plan, new: &Plan, id: &str) -> Change {
    let (Some(before), Some(now)) = (old.steps.get(id), new.steps.get(id)) else { return Change::Work };
    let file = |plan: &Plan, name: Option<&str>| name.and_then(|name| plan.files.get(name)).map(|f| f.sha256.clone());
    let same_file = |name: fn(&Step) -> Option<&str>| file(old, name(before)) == file(new, name(now));
    let work = |step: &Step| Step {
        line: 0,
        say: None,
        warn: None,
        downtime: None,
        baseline: false,
        inconclusive: Vec::new(),
        tags: Vec::new(),
        undo: Undo::Nothing,
        ..step.clone()
    };
    if work(before) != work(now) || !same_file(work_file) {
        Change::Work
    } else if before.undo != now.undo || !same_file(undo_file) {
        Change::Undo
    } else {
        Change::None
    }
}

fn work_file(step: &Step) -> Option<&str> {
    match &step.verb {
        Verb::Script(name) => Some(name),
        Verb::Copy(file) | Verb::Template { file, .. } => Some(&file.src),
        _ => None,
    }
}

fn undo_file(step: &Step) -> Option<&str> {
    match &step.rollback()?.work {
        RollbackWork::Script(name) => Some(name),
        RollbackWork::Run(_) | RollbackWork::Restore => None,
    }
}
