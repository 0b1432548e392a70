//! What steps took before, brought up to date from the journal whenever somebody asks. A run that cannot be read teaches
//! nothing, and keeps nobody from his night.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::context::Context;
use super::error::CommandError;
use crate::graph::{Graph, StepIx};
use crate::journal::history::{Duration, Past as Known};
use crate::journal::{JournalError, RunRow, Store};
use crate::plan::Learnt;
use crate::plan::codes;
use crate::plan::model::Plan;
use crate::report::coarse;
use crate::schedule::{LAST, Past, Spread, is_unlike, newest};
use crate::view;

/// What is known of a plan, by its stem and title, newest first; `None`: of every plan.
///
/// # Errors
/// When the store cannot be read.
pub fn known(store: &mut Store, plan: Option<(&str, &str)>) -> Result<Vec<Known>, CommandError> {
    for (run, seq) in store.not_in_history(plan)? {
        // Neither a damaged run nor a full disk is the business of whoever asks for a forecast.
        let _ = learn(store, &run, seq);
    }
    Ok(store.history(plan)?)
}

fn learn(store: &mut Store, run: &RunRow, seq: u64) -> Result<(), JournalError> {
    let frozen = store.frozen(&run.id)?;
    let facts = store.facts(&run.id, 0)?;
    let plan: Result<Plan, _> = serde_json::from_str(&frozen.plan);
    let durations = plan.map_or_else(|_| Vec::new(), |plan| view::durations(&Graph::build(Arc::new(plan)), &facts));
    let durations: Vec<Duration> = durations
        .into_iter()
        .map(|t| Duration {
            step: t.step,
            group: t.group,
            undone: t.undone,
            at: t.at,
            hosts: t.hosts,
            least: t.least,
            median: t.median,
            most: t.most,
        })
        .collect();
    store.add_to_history(run, seq, &durations)
}

/// What the forecast of this plan goes by; nothing where nothing is known or can be read.
#[must_use]
pub fn past(store: &mut Store, graph: &Graph) -> Past {
    let plan = graph.plan();
    let known = known(store, Some((&plan.stem, &plan.name))).unwrap_or_default();
    let groups = groups(graph);
    let mut past = Past::default();
    for Known { duration, .. } in known.iter().filter(|k| !k.duration.undone) {
        let all = groups.get(duration.step.as_str());
        // What was imported without a group is of all of them.
        let of = all.filter(|_| duration.group.is_empty()).cloned().unwrap_or_else(|| vec![&duration.group]);
        of.iter().for_each(|group| past.push(&duration.step, group, duration.median));
    }
    past
}

/// The same, of the store of this command line; where there is none, nothing is known.
#[must_use]
pub fn past_of(cx: &Context, graph: &Graph) -> Past {
    let store = Store::open_existing(&cx.store).ok().flatten();
    store.map_or_else(Past::default, |mut store| past(&mut store, graph))
}

/// What earlier runs of a plan know of its steps, for those that have no estimate. Nothing where nothing can be read.
#[must_use]
pub fn learnt(cx: &Context, stem: &str, name: &str) -> BTreeMap<String, Learnt> {
    let store = Store::open_existing(&cx.store).ok().flatten();
    let known = store.and_then(|mut store| known(&mut store, Some((stem, name))).ok()).unwrap_or_default();
    let mut past = Past::default();
    for Known { duration, .. } in known.iter().filter(|k| !k.duration.undone) {
        past.push(&duration.step, &duration.group, duration.median);
    }
    let steps: BTreeSet<&str> = known.iter().map(|k| k.duration.step.as_str()).collect();
    let learnt = |step: &str| {
        let took = past.slowest(step)?;
        let last: Vec<String> = newest(took).iter().rev().map(|d| coarse(*d)).collect();
        let from = format!("the last {} runs took {}", last.len(), last.join(", "));
        Some(Learnt { estimate: Spread::of(None, took)?.estimate().rounded_up(), from })
    };
    steps.into_iter().filter_map(|step| Some((step.to_owned(), learnt(step)?))).collect()
}

/// The groups that each step runs on.
fn groups(graph: &Graph) -> BTreeMap<&str, Vec<&str>> {
    let by_host = graph.plan().groups_by_host();
    let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for action in graph.actions() {
        let host = action.id.host().unwrap_or("");
        let group = by_host.get(host).copied().unwrap_or(host);
        let all = groups.entry(action.id.step()).or_default();
        if !all.contains(&group) {
            all.push(group);
        }
    }
    groups
}

/// `W112` for each step whose estimate is unlike what it took: code and sentence.
#[must_use]
pub fn findings(graph: &Graph, past: &Past) -> Vec<(String, String)> {
    let all = graph.step_ixs().flat_map(|ix| past.of_step(&graph.step(ix).id).map(move |found| (ix, found)));
    all.filter_map(|(ix, (group, took))| Some((codes::UNLIKE_HISTORY.to_owned(), unlike(graph, ix, group, took)?)))
        .collect()
}

fn unlike(graph: &Graph, ix: StepIx, group: &str, took: &[jiff::SignedDuration]) -> Option<String> {
    let step = graph.step(ix);
    let estimate = step.estimate.filter(|e| is_unlike(*e, took))?;
    let last: Vec<String> = took.iter().take(LAST).rev().map(|d| coarse(*d)).collect();
    let on = if groups(graph).get(step.id.as_str()).is_some_and(|g| g.len() > 1) {
        format!(" on {group}")
    } else {
        String::new()
    };
    let better = Spread::of(None, took).map_or(estimate, |s| s.estimate().rounded_up());
    Some(format!(
        "{}: estimate {estimate}, but the last {} runs took {}{on}; `estimate: {better}` would fit",
        step.id,
        last.len(),
        last.join(", ")
    ))
}
