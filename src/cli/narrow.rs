//! `--only`, `--from` and `--hosts`: which steps and hosts a run leaves out, and whether that breaks a need.

use std::collections::{BTreeSet, HashSet};

use super::error::CommandError;
use crate::graph::{Graph, StepIx};
use crate::plan::inventory::pattern;
use crate::plan::model::{Place, Plan, Step};
use crate::plan::nearest;
use crate::view::{ActionView, RunView};

/// How a run is narrowed.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Narrow {
    /// Only this step; may be repeated
    #[arg(long, value_name = "STEP", value_delimiter = ',')]
    pub only: Vec<String>,
    /// This step and everything that waits for it
    #[arg(long, value_name = "STEP", conflicts_with = "only")]
    pub from: Option<String>,
    /// Only these hosts: groups, hosts, `web*`, `web[01:20]`, `!without`, `&also-in`
    #[arg(long, value_name = "PATTERN", value_delimiter = ',')]
    pub hosts: Vec<String>,
    /// A step that is left out and may be taken as done; may be repeated
    #[arg(long, value_name = "STEP", value_delimiter = ',')]
    pub assume_done: Vec<String>,
}

/// What is left out, in the plan's order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeftOut {
    pub steps: Vec<String>,
    pub hosts: Vec<String>,
}

impl Narrow {
    /// # Errors
    /// When a name is not in the plan, or a step that stays needs one that is left out.
    pub fn resolve(&self, graph: &Graph) -> Result<LeftOut, CommandError> {
        let kept = self.kept(graph)?;
        let assumed: BTreeSet<StepIx> = self.assume_done.iter().map(|s| find(graph, s)).collect::<Result<_, _>>()?;
        for step in graph.step_ixs().filter(|s| kept.contains(s)) {
            if let Some(missing) = graph.all_needs(step).find(|n| !kept.contains(n) && !assumed.contains(n)) {
                let (step, missing) = (&graph.step(step).id, &graph.step(missing).id);
                return Err(CommandError::refused(format!("`{step}` needs `{missing}`, which is left out"))
                    .hint(format!("if it was done before:   --assume-done {missing}")));
            }
        }
        let steps = graph.step_ixs().filter(|s| !kept.contains(s)).map(|s| graph.step(s).id.clone()).collect();
        Ok(LeftOut { steps, hosts: self.hosts_left_out(graph)? })
    }

    /// Whether all of the plan is meant.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.only.is_empty() && self.from.is_none() && self.hosts.is_empty() && self.assume_done.is_empty()
    }

    /// The flags as they would be typed.
    #[must_use]
    pub fn flags(&self) -> Vec<(&'static str, &str)> {
        let mut flags: Vec<(&'static str, &str)> = self.only.iter().map(|v| ("--only", v.as_str())).collect();
        flags.extend(self.from.as_deref().map(|v| ("--from", v)));
        flags.extend(self.hosts.iter().map(|v| ("--hosts", v.as_str())));
        flags.extend(self.assume_done.iter().map(|v| ("--assume-done", v.as_str())));
        flags
    }

    fn kept(&self, graph: &Graph) -> Result<BTreeSet<StepIx>, CommandError> {
        if !self.only.is_empty() {
            return self.only.iter().map(|s| find(graph, s)).collect();
        }
        let Some(from) = &self.from else { return Ok(graph.step_ixs().collect()) };
        let mut kept = BTreeSet::new();
        let mut next = vec![find(graph, from)?];
        while let Some(step) = next.pop() {
            if kept.insert(step) {
                next.extend(graph.all_dependants(step));
            }
        }
        Ok(kept)
    }

    fn hosts_left_out(&self, graph: &Graph) -> Result<Vec<String>, CommandError> {
        if self.hosts.is_empty() {
            return Ok(Vec::new());
        }
        let plan = graph.plan();
        let kept: HashSet<&str> = selected(plan, &self.hosts)?.into_iter().collect();
        Ok(plan.hosts.keys().filter(|h| !kept.contains(h.as_str())).cloned().collect())
    }
}

/// The hosts that patterns mean, in the plan's order.
///
/// # Errors
/// When one of them, or all together, mean none, or when nothing is written in them: whoever writes `"$HOSTS"` does not
/// mean all hosts.
pub fn selected<'p>(plan: &'p Plan, patterns: &[String]) -> Result<Vec<&'p str>, CommandError> {
    if patterns.iter().all(|pattern| pattern.trim().is_empty()) {
        return Err(CommandError::usage("the pattern of hosts is empty").hint("every host is `all`"));
    }
    pattern::select(plan, patterns)
        .map_err(|none| none.hints.into_iter().fold(CommandError::usage(none.message), CommandError::hint))
}

/// The hosts of a run that a pattern means: those of its plan, and `local`.
///
/// # Errors
/// When it means none.
pub fn of_run<'v>(view: &'v RunView, pattern: &str) -> Result<Vec<&'v str>, CommandError> {
    let all = view.actions().iter().chain(view.proof());
    match all.map(ActionView::host).find(|host| *host == pattern && !host.is_empty()) {
        Some(host) => Ok(vec![host]),
        None => selected(view.graph().plan(), &[pattern.to_owned()]),
    }
}

impl LeftOut {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.hosts.is_empty()
    }

    /// The plan as this run sees it: what is left out counts as done from the start, so nothing waits for it.
    #[must_use]
    pub fn narrowed(&self, plan: &Plan) -> Plan {
        let mut plan = plan.clone();
        let left_out: HashSet<&String> = self.hosts.iter().collect();
        plan.hosts.retain(|name, _| !left_out.contains(name));
        let hosts = |step: &mut Step| match &mut step.place {
            Place::Hosts(hosts) => {
                hosts.retain(|h| !left_out.contains(h));
                !hosts.is_empty()
            }
            Place::Nowhere | Place::Controller | Place::Wave => true,
        };
        plan.steps.retain(|id, step| !self.steps.contains(id) && hosts(step));
        let kept: BTreeSet<String> = plan.steps.keys().cloned().collect();
        for step in plan.steps.values_mut() {
            step.needs.retain(|need| kept.contains(&need.step));
        }
        plan.after_rollback = plan.after_rollback.and_then(|mut step| hosts(&mut step).then_some(step));
        plan
    }
}

fn find(graph: &Graph, name: &str) -> Result<StepIx, CommandError> {
    graph.find_step(name).ok_or_else(|| {
        let error = CommandError::usage(format!("the plan has no step `{}`", name.escape_debug()));
        match nearest(name, graph.plan().steps.keys().map(String::as_str)) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error.hint("`runbook graph` draws its steps"),
        }
    })
}
