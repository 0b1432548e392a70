//! Which hosts a run can begin without: those that may fail, and nothing else rests on. Asks nobody.

use std::collections::{BTreeMap, BTreeSet};

use crate::graph::ids::AttemptId;
use crate::graph::job::Site;
use crate::graph::{Graph, StepIx, parts};
use crate::plan::model::Step;

/// Of the hosts that are away, those without which the run can begin, each with why: they count as failed in a step that
/// allows it, and whatever else is to be done on them comes after that step.
#[must_use]
pub fn tolerated<'h>(graph: &Graph, away: &BTreeSet<&'h str>) -> BTreeMap<&'h str, String> {
    let tolerant: BTreeMap<StepIx, String> =
        graph.step_ixs().filter_map(|ix| Some((ix, words(graph, ix, away)?))).collect();
    let lent = lent(graph);
    let reason = |host: &&'h str| {
        let free = !lent.contains(*host) && !graph.after_rollback().iter().any(|a| a.id.host() == Some(host));
        let why = free.then(|| why(graph, host, &tolerant)).flatten()?;
        Some((*host, why.to_owned()))
    };
    away.iter().filter_map(reason).collect()
}

/// `update may lose 2 of 50 hosts`, where not more than that are away.
fn words(graph: &Graph, ix: StepIx, away: &BTreeSet<&str>) -> Option<String> {
    let step = graph.step(ix);
    let hosts: Vec<&str> = graph.actions_of(ix).filter_map(|a| graph.action(a).id.host()).collect();
    let (all, missing) = (hosts.len(), hosts.iter().filter(|host| away.contains(*host)).count());
    let allowed = step.fleet.allow_failed?.of(all);
    (missing <= allowed).then(|| format!("{} may lose {allowed} of {all} hosts", step.id))
}

/// Why the host may be away; `None` where a step on it neither allows that nor comes after one that does.
fn why<'t>(graph: &Graph, host: &str, tolerant: &'t BTreeMap<StepIx, String>) -> Option<&'t str> {
    let (mut lost_in, mut skipped) = (None, BTreeSet::new());
    for step in graph.topological() {
        let works_there = graph.actions_of(step).any(|a| graph.action(a).id.host() == Some(host));
        let after = skipped.contains(&step);
        match tolerant.get(&step).filter(|_| works_there && !after) {
            Some(words) => lost_in = lost_in.or(Some(words.as_str())),
            None if works_there && !after => return None,
            None if !after => continue,
            None => {}
        }
        skipped.extend(graph.all_dependants(step));
    }
    lost_in
}

/// Hosts that work for others: a load balancer at which they are drained, a place of their undo.
fn lent(graph: &Graph) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for ix in graph.action_ixs() {
        let (action, step): (_, &Step) = (&graph.action(ix).id, graph.step_of(ix));
        for direction in parts::forward(step).chain(parts::back(step)) {
            let attempt = AttemptId { action: action.clone(), direction, number: 1 };
            out.extend(graph.site_of(&attempt).and_then(|site| match site {
                Site::Host(host) if action.host() != Some(host.as_str()) => Some(host),
                Site::Host(_) | Site::Controller => None,
            }));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::sample;
    use crate::plan::units::Size;

    const FOUR: [&str; 4] = ["w1", "w2", "w3", "w4"];

    /// Four hosts are updated, of which one may fail, and enabled afterwards; `first` is done on `w4` before.
    fn graph(change: impl Fn(&mut Vec<Step>)) -> Graph {
        let mut update = sample::run("update", &[], &FOUR, "u").undone_by("back", 5);
        update.fleet.allow_failed = Some(Size::Count(1));
        let mut steps = vec![update, sample::run("enable", &["update"], &FOUR, "e")];
        change(&mut steps);
        sample::graph(sample::plan(steps))
    }

    fn named(graph: &Graph, away: &[&str]) -> Vec<String> {
        let away = away.iter().copied().collect();
        tolerated(graph, &away).into_iter().map(|(host, why)| format!("{host}: {why}")).collect()
    }

    #[test]
    fn as_many_as_may_fail_may_be_away() {
        assert_eq!(named(&graph(|_| {}), &["w2"]), ["w2: update may lose 1 of 4 hosts"]);
        assert_eq!(named(&graph(|_| {}), &["w2", "w3"]), [""; 0]);
    }

    #[test]
    fn what_is_done_there_before_needs_the_host() {
        let first = |steps: &mut Vec<Step>| {
            steps.insert(0, sample::run("first", &[], &["w4"], "f"));
            steps[1].needs.push(crate::plan::model::Need { step: "first".into(), same_host: false });
        };
        assert_eq!(named(&graph(first), &["w4"]), [""; 0]);
        assert_eq!(named(&graph(first), &["w1"]).len(), 1);
    }

    #[test]
    fn a_step_that_does_not_wait_for_the_loss_needs_the_host() {
        let beside = |steps: &mut Vec<Step>| steps.push(sample::run("beside", &[], &["w4"], "b"));
        assert_eq!(named(&graph(beside), &["w4"]), [""; 0]);
    }

    #[test]
    fn a_host_that_works_for_others_is_needed() {
        let at_w4 = |steps: &mut Vec<Step>| {
            let place = Some(crate::plan::model::Place::Hosts(vec!["w4".into()]));
            steps[0].fleet.drain =
                Some(crate::plan::model::Drain { run: "out".into(), hosts: place, until: None, timeout: None });
        };
        assert_eq!(named(&graph(at_w4), &["w4"]), [""; 0]);
        assert_eq!(named(&graph(at_w4), &["w1"]).len(), 1);
    }
}
