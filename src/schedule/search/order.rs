//! From a plan's graph to a project, and from its best schedule to the order that a run keeps. Knows no clock.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::project::Project;
use super::search;
use crate::graph::render::never_wanted;
use crate::graph::{Graph, StepIx};
use crate::plan::model::{Opening, Verb, Wait};
use crate::schedule::batches::{Batches, Taken};

/// Longer projects, in units of time, are not searched: a schedule would need too much room.
const LONGEST: u64 = 100_000;
/// Nor are larger ones: a schedule of them takes too long for many to be looked at.
const MOST: usize = 2_000;

/// Who goes first where capacity is short, and who waits for whom. Of one graph, and frozen with its run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// By step: its place among those that could start.
    pub rank: Vec<u32>,
    /// By step: the steps, beyond its needs, that must have ended before, because it takes over what they hold.
    pub after: Vec<Vec<u32>>,
}

impl Order {
    /// Whether it can be the order of a plan with so many steps.
    #[must_use]
    pub fn fits(&self, steps: usize) -> bool {
        let known = self.after.iter().flatten().all(|step| (*step as usize) < steps);
        self.rank.len() == steps && self.after.len() == steps && known
    }
}

/// The best order that `effort` finds for the expected durations; `None` where nothing is short, or where batches of the
/// same hosts overlap, which a project of whole steps cannot tell.
///
/// The same graph, effort and seed give the same order.
#[must_use]
pub fn best_order(graph: &Graph, effort: u64, seed: u64) -> Option<Order> {
    let project = project(graph)?;
    if project.is_feasible(&project.earliest()) {
        return None;
    }
    let starts = search(&project, effort, seed);
    let mut order = order(&project, &starts);
    not_behind_people(graph, &mut order);
    Some(order)
}

/// Nobody waits for the turn of a step that a person, or the time of day, may hold up for longer than was expected, unless
/// they wait for the same person anyway: then whoever is ready takes what is free.
fn not_behind_people(graph: &Graph, order: &mut Order) {
    let mut held_up_by: Vec<BTreeSet<StepIx>> = vec![BTreeSet::new(); graph.step_count()];
    for ix in graph.topological() {
        let holds_up = |s: &StepIx| graph.step(*s).gate.is_some() || matches!(graph.step(*s).verb, Verb::Wait(_));
        let mut all: BTreeSet<StepIx> = graph.needs(ix).iter().copied().filter(holds_up).collect();
        graph.needs(ix).iter().for_each(|need| all.extend(&held_up_by[need.index()]));
        held_up_by[ix.index()] = all;
    }
    for (step, after) in order.after.iter_mut().enumerate() {
        after.retain(|before| held_up_by[*before as usize].is_subset(&held_up_by[step]));
    }
}

/// The graph as a project. The last resources are places under the plan's `at_once`, where it has one.
fn project(graph: &Graph) -> Option<Project> {
    let plan = graph.plan();
    let overlapping = graph.step_ixs().any(|s| !graph.same_host_needs(s).is_empty());
    let waits_for_a_time = |s: StepIx| matches!(graph.step(s).verb, Verb::Wait(Wait::At(_)));
    if overlapping || graph.step_count() > MOST || graph.step_ixs().any(waits_for_a_time) && opens_at_a_time(graph) {
        return None;
    }
    let names: Vec<&String> = plan.resources.keys().collect();
    let places = plan.at_once.map(|n| n.at_least_one_of(graph.actions().len()) as u32);
    let capacity: Vec<u32> = plan.resources.values().copied().chain(places).collect();
    let mut project = Project { capacity, ..Project::default() };
    let mut spans = Vec::new();
    let batches = Batches::of(graph);
    for step in graph.step_ixs() {
        let (span, uses) = occupied(&batches, graph, step, &names, places);
        spans.push(span);
        project.needs.push(graph.needs(step).iter().map(|n| n.0).collect());
        project.uses.push(uses);
    }
    let unit = spans.iter().map(|span| span.unsigned_abs().as_millis() as u64).fold(0, gcd).max(1);
    let units: Vec<u64> = spans.iter().map(|span| span.unsigned_abs().as_millis() as u64 / unit).collect();
    if units.iter().sum::<u64>() > LONGEST {
        return None;
    }
    project.durations = units.into_iter().map(|n| n as u32).collect();
    Some(project)
}

fn opens_at_a_time(graph: &Graph) -> bool {
    graph.plan().window.as_ref().is_some_and(|w| matches!(w.opening, Opening::At { .. }))
}

/// How long a step takes with as many hosts at once as it may have, and what it occupies meanwhile.
fn occupied(
    batches: &Batches,
    graph: &Graph,
    ix: StepIx,
    names: &[&String],
    places: Option<u32>,
) -> (SignedDuration, Vec<(u32, u32)>) {
    let step = graph.step(ix);
    let hosts = graph.actions_of(ix).len();
    let takes = match (&step.verb, step.estimate) {
        (_, Some(estimate)) => estimate.expected,
        (Verb::Wait(Wait::For(time)), None) => *time,
        (_, None) => SignedDuration::ZERO,
    };
    if never_wanted(graph, ix) || hosts == 0 {
        return (SignedDuration::ZERO, Vec::new());
    }
    if step.needs_no_place() || step.gate.is_some() {
        return (takes, Vec::new());
    }
    let plan = graph.plan();
    let by_resource = step.uses.iter().filter(|(_, units)| **units > 0);
    let by_resource = by_resource.filter_map(|(name, units)| Some((plan.resources.get(name)? / units) as usize));
    let Taken { at_once, rounds } = batches.taken(graph, ix, by_resource.fold(hosts, usize::min));
    let index = |name: &String| names.iter().position(|n| *n == name).map(|r| r as u32);
    let mut uses: Vec<(u32, u32)> =
        step.uses.iter().filter_map(|(name, units)| Some((index(name)?, units * at_once as u32))).collect();
    uses.extend(places.map(|_| (names.len() as u32, at_once as u32)));
    uses.retain(|(_, units)| *units > 0);
    (takes.saturating_mul(i32::try_from(rounds).unwrap_or(i32::MAX)), uses)
}

const fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// A schedule as places and as "takes over from": what starts gets what was given back last by those that ended before.
fn order(project: &Project, starts: &[u32]) -> Order {
    let n = project.len();
    let mut position = vec![0; n];
    for (place, activity) in project.topological().into_iter().enumerate() {
        position[activity] = place;
    }
    let end = |a: usize| starts[a] + project.durations[a];
    let mut list: Vec<usize> = (0..n).collect();
    list.sort_by_key(|a| (starts[*a], end(*a), position[*a]));
    let mut rank = vec![0; n];
    for (place, activity) in list.iter().enumerate() {
        rank[*activity] = place as u32;
    }
    let mut holders: Vec<Vec<(usize, u32)>> = vec![Vec::new(); project.capacity.len()];
    let mut untouched = project.capacity.clone();
    let mut after = vec![Vec::new(); n];
    for &activity in list.iter().filter(|a| project.durations[**a] > 0) {
        for &(resource, units) in &project.uses[activity] {
            let (held, fresh) = (&mut holders[resource as usize], &mut untouched[resource as usize]);
            // From those that it waits for anyway first, then from whoever ended last: the fewest new waits.
            let waits =
                |a: usize, after: &[u32]| project.needs[activity].contains(&(a as u32)) || after.contains(&(a as u32));
            held.sort_by_key(|(a, _)| (waits(*a, &after[activity]), end(*a)));
            let mut wanted = units;
            let given = wanted.min(*fresh);
            (*fresh, wanted) = (*fresh - given, wanted - given);
            let mut place = held.len();
            while wanted > 0 && place > 0 {
                place -= 1;
                let (giver, left) = held[place];
                if end(giver) > starts[activity] {
                    continue;
                }
                let given = wanted.min(left);
                wanted -= given;
                held[place].1 -= given;
                if !waits(giver, &after[activity]) {
                    after[activity].push(giver as u32);
                }
            }
            held.retain(|(_, units)| *units > 0);
            held.push((activity, units));
        }
    }
    after.iter_mut().for_each(|list: &mut Vec<u32>| list.sort_unstable());
    Order { rank, after }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::sample::{gate, graph, plan, run};
    use proptest::prelude::*;

    fn projects() -> impl Strategy<Value = Project> {
        let activity = (0..9u32, prop::collection::vec(any::<prop::sample::Index>(), 0..3), 0..4u32, 0..3u32);
        prop::collection::vec(activity, 1..14).prop_map(|activities| {
            let mut project = Project { capacity: vec![4, 3], ..Project::default() };
            for (i, (duration, needs, first, second)) in activities.into_iter().enumerate() {
                let mut needs: Vec<u32> = needs.iter().filter(|_| i > 0).map(|n| n.index(i) as u32).collect();
                needs.sort_unstable();
                needs.dedup();
                project.durations.push(duration);
                project.needs.push(needs);
                project.uses.push([(0, first), (1, second)].into_iter().filter(|u| u.1 > 0).collect());
            }
            project
        })
    }

    proptest! {
        #[test]
        fn invariant_a_schedule_is_feasible_and_ends_no_sooner_than_it_can(project in projects(), seed in any::<u64>()) {
            let starts = search(&project, 2_000, seed);
            prop_assert!(project.is_feasible(&starts), "{starts:?}");
            prop_assert!(project.makespan(&starts) >= project.lower_bound());
            prop_assert_eq!(search(&project, 2_000, seed), starts);
        }

        /// Needs and waits alone keep the capacities: whoever starts as soon as both allow makes the same schedule.
        #[test]
        fn invariant_the_order_alone_keeps_the_capacities(project in projects()) {
            let starts = search(&project, 500, 7);
            let order = order(&project, &starts);
            let mut bound = project.clone();
            for (needs, after) in bound.needs.iter_mut().zip(&order.after) {
                needs.extend(after);
            }
            let earliest = bound.earliest();
            prop_assert!(project.is_feasible(&earliest), "{earliest:?} {order:?}");
            prop_assert!(project.makespan(&earliest) <= project.makespan(&starts));
        }
    }

    /// The longest path first would start `long` last: a trap for every rule that looks at one step at a time.
    #[test]
    fn a_trap_for_greedy_rules_is_seen_through() {
        let mut plan = plan(vec![
            run("a", &[], &["h"], "x").takes(3, 3),
            run("b", &[], &["h"], "x").takes(3, 3),
            run("c", &[], &["h"], "x").takes(2, 2),
            run("d", &[], &["h"], "x").takes(2, 2),
            run("e", &[], &["h"], "x").takes(2, 2),
        ]);
        plan.resources.insert("dba".into(), 2);
        plan.steps.values_mut().for_each(|s| {
            s.uses.insert("dba".into(), 1);
        });
        let project = project(&graph(plan)).unwrap();
        assert_eq!(project.makespan(&search(&project, 10_000, 1)), 6);
    }

    /// Whatever the search prefers: `free` does not wait until somebody has answered `ask`.
    #[test]
    fn nobody_waits_behind_a_person() {
        let mut plan = plan(vec![
            gate("ask", &[], "Ready?", &[]).takes(1, 1),
            run("asked", &["ask"], &["h"], "x").takes(9, 9),
            run("last", &["asked"], &["h"], "x").takes(30, 30),
            run("early", &[], &["h"], "x").takes(1, 1),
            run("free", &["early"], &["h"], "x").takes(9, 9),
        ]);
        plan.resources.insert("dba".into(), 1);
        for step in ["asked", "free"] {
            plan.steps.get_mut(step).unwrap().uses.insert("dba".into(), 1);
        }
        let order = best_order(&graph(plan), 1_000, 1).unwrap();
        assert_eq!(order.after[4], [0; 0], "free waits only for its needs and for what is free: {order:?}");
    }

    #[test]
    fn a_plan_in_which_nothing_is_short_needs_no_search() {
        let mut plan = plan(vec![run("a", &[], &["h"], "x").takes(3, 3), run("b", &["a"], &["h"], "x").takes(3, 3)]);
        plan.resources.insert("dba".into(), 1);
        plan.steps.values_mut().for_each(|s| {
            s.uses.insert("dba".into(), 1);
        });
        assert_eq!(best_order(&graph(plan), 1_000, 1), None);
    }
}
