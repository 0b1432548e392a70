//! What each step of a run really took, by host group: for the next night's estimates. Knows nothing of other runs.
//!
//! Only what succeeded counts, and only the time in which it ran: a step's own work and its proof. People's gates, waits,
//! holds, soaks, failed tries and the pauses between them say nothing about how long the work takes.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::engine::fact::{Fact, FactRecord};
use crate::graph::Graph;
use crate::graph::ids::{ActionId, AttemptId, Direction};
use crate::plan::model::Verb;
use crate::schedule::middle;

/// What the hosts of one group took for one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Took {
    pub step: String,
    /// The group's name; the host's where it is in none, `local` for this machine.
    pub group: String,
    /// Whether it was undone; else it was done.
    pub undone: bool,
    /// When the last of them was over.
    pub at: Timestamp,
    pub hosts: u32,
    pub least: SignedDuration,
    /// Of an even number of hosts, the longer of the two in the middle.
    pub median: SignedDuration,
    pub most: SignedDuration,
}

/// By step, group and way: what the parts of each action took, and when the last of them was over.
type Durations = BTreeMap<(String, String, bool), BTreeMap<ActionId, (BTreeMap<Direction, SignedDuration>, Timestamp)>>;

/// What this run's steps took, so far.
#[must_use]
pub fn durations(graph: &Graph, facts: &[FactRecord]) -> Vec<Took> {
    let groups = graph.plan().groups_by_host();
    let mut armed: BTreeMap<&AttemptId, Timestamp> = BTreeMap::new();
    let mut found = Durations::new();
    for record in facts {
        match &record.fact {
            Fact::AttemptArmed { attempt } => {
                armed.insert(attempt, record.at);
            }
            Fact::AttemptEnded { attempt, outcome, evidence } if outcome.is_success() => {
                let host = attempt.action.host().unwrap_or("");
                let group = groups.get(host).copied().unwrap_or(host);
                let here = armed.get(attempt).map(|at| record.at.duration_since(*at));
                if let Some(took) = evidence.took.or(here).filter(|_| works(graph, &attempt.action)) {
                    add(&mut found, attempt, group, took, record.at);
                }
            }
            _ => {}
        }
    }
    found.into_iter().filter_map(|(key, hosts)| took(key, &hosts.into_values().collect::<Vec<_>>())).collect()
}

/// Whether a step's time is its own.
fn works(graph: &Graph, action: &ActionId) -> bool {
    let step = graph.plan().steps.get(action.step());
    step.is_some_and(|s| s.gate.is_none() && !matches!(s.verb, Verb::Gate | Verb::Wait(_)))
}

/// The parts of an action come on top of each other; of one that was repeated, the last counts.
fn add(found: &mut Durations, attempt: &AttemptId, group: &str, took: SignedDuration, at: Timestamp) {
    let undone = attempt.direction.is_back();
    let hosts = found.entry((attempt.action.step().to_owned(), group.to_owned(), undone)).or_default();
    let (parts, last) = hosts.entry(attempt.action.clone()).or_default();
    parts.insert(attempt.direction, took);
    *last = at;
}

fn took(
    (step, group, undone): (String, String, bool),
    hosts: &[(BTreeMap<Direction, SignedDuration>, Timestamp)],
) -> Option<Took> {
    let at = hosts.iter().map(|(_, at)| *at).max()?;
    let all: Vec<SignedDuration> = hosts.iter().map(|(parts, _)| parts.values().sum()).collect();
    let (least, median, most) = (*all.iter().min()?, middle(&all)?, *all.iter().max()?);
    Some(Took { step, group, undone, at, hosts: all.len() as u32, least, median, most })
}
