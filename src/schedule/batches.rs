//! How a step takes its hosts: how many at once, and in how many rounds where each host takes as long. Knows no durations.
//!
//! Rounds are counted as the engine starts hosts: as many of each group as `keep_up` lets go, group after group, within
//! `at_once`; a canary goes first and alone. What other steps have out of service at the same time is not counted.

use crate::graph::{ActionIx, Graph, Groups, StepIx};

/// The limits on hosts of a plan. Built once for a graph.
#[derive(Debug, Clone)]
pub(crate) struct Batches {
    /// Where a step keeps some of a group up.
    groups: Option<Groups>,
}

/// How one step takes its hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    /// The most at once, 1 at least.
    pub at_once: usize,
    pub rounds: usize,
}

/// Hosts of a step that are limited together.
#[derive(Debug, Clone, Copy)]
struct Lane {
    left: usize,
    at_once: usize,
}

impl Batches {
    pub(crate) fn of(graph: &Graph) -> Self {
        let keeps_up = graph.plan().steps.values().any(|s| s.fleet.keep_up.is_some());
        Self { groups: keeps_up.then(|| Groups::of(graph)) }
    }

    /// All hosts of a step, with no more than `limit` at once for lack of resources.
    pub(crate) fn taken(&self, graph: &Graph, step: StepIx, limit: usize) -> Taken {
        let canary = graph.step(step).fleet.canary;
        self.taken_of(graph, step, graph.actions_of(step), canary, limit)
    }

    /// Some hosts of a step, of which the first goes alone where a canary is still awaited.
    pub(crate) fn taken_of(
        &self,
        graph: &Graph,
        step: StepIx,
        hosts: impl Iterator<Item = ActionIx>,
        canary: bool,
        limit: usize,
    ) -> Taken {
        let mut lanes = self.lanes(graph, step, hosts);
        if graph.step(step).gate.is_some() {
            // Asked once, wherever its test runs.
            return Taken { at_once: 1, rounds: lanes.len().min(1) };
        }
        let own = graph.step(step).fleet.at_once.map(|n| n.at_least_one_of(graph.actions_of(step).len()));
        let places = graph.plan().at_once.map(|n| n.at_least_one_of(graph.actions().len()));
        let limit = own.into_iter().chain(places).fold(limit, usize::min).max(1);
        let together = lanes.iter().map(|lane| lane.at_once.min(lane.left)).sum();
        let mut rounds = 0;
        if canary && let Some(first) = lanes.first_mut() {
            first.left -= 1;
            rounds += 1;
        }
        while lanes.iter().any(|lane| lane.left > 0) {
            let mut free = limit;
            for lane in &mut lanes {
                let now = lane.left.min(lane.at_once).min(free);
                (lane.left, free) = (lane.left - now, free - now);
            }
            rounds += 1;
        }
        Taken { at_once: limit.min(together).max(1), rounds }
    }

    /// None is empty.
    fn lanes(&self, graph: &Graph, step: StepIx, hosts: impl Iterator<Item = ActionIx>) -> Vec<Lane> {
        let Some(groups) = self.groups.as_ref().filter(|_| graph.step(step).fleet.keep_up.is_some()) else {
            let left = hosts.count();
            return if left == 0 { Vec::new() } else { vec![Lane { left, at_once: left }] };
        };
        let mut lanes: Vec<Lane> = Vec::new();
        let mut places = vec![None; groups.sizes().len()];
        for spot in hosts.filter_map(|ix| groups.spot(ix)) {
            let place = *places[spot.group as usize].get_or_insert_with(|| {
                let room = groups.room(graph, step, spot.group);
                lanes.push(Lane { left: 0, at_once: room.map_or(usize::MAX, |room| room.max(1)) });
                lanes.len() - 1
            });
            lanes[place].left += 1;
        }
        lanes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::sample::{graph, plan, run};
    use crate::plan::model::{Plan, Step};
    use crate::plan::units::Size;

    /// How the one step of a plan on hosts `a1 a2 ..`, `b1 ..` takes them, at most `limit`; groups are named by letters.
    fn taken(hosts: &[&str], limit: usize, change: impl FnOnce(&mut Step)) -> (usize, usize) {
        let mut step = run("s", &[], hosts, "x");
        change(&mut step);
        let mut plan: Plan = plan(vec![step]);
        for host in hosts {
            plan.groups.entry(host[..1].to_owned()).or_default().push((*host).to_owned());
        }
        let graph = graph(plan);
        let taken = Batches::of(&graph).taken(&graph, StepIx(0), limit);
        (taken.at_once, taken.rounds)
    }

    const EIGHT: [&str; 8] = ["a1", "a2", "a3", "a4", "b1", "b2", "b3", "b4"];

    #[test]
    fn portions_and_places_limit_together() {
        assert_eq!(taken(&EIGHT, 100, |_| {}), (8, 1));
        assert_eq!(taken(&EIGHT, 3, |_| {}), (3, 3));
        assert_eq!(taken(&EIGHT, 3, |s| s.fleet.at_once = Some(Size::Count(2))), (2, 4));
    }

    #[test]
    fn enough_of_each_group_stays_up() {
        let keep = |n| move |s: &mut Step| s.fleet.keep_up = Some(n);
        assert_eq!(taken(&EIGHT, 100, keep(Size::Count(3))), (2, 4), "one of each group");
        assert_eq!(taken(&EIGHT, 1, keep(Size::Count(3))), (1, 8));
        assert_eq!(taken(&["a1", "a2", "a3", "a4", "b1", "b2"], 100, keep(Size::Count(1))), (4, 2), "3 + 1, 1 + 1");
        assert_eq!(taken(&EIGHT, 3, keep(Size::Percent(50))), (3, 3), "2 + 1, 2 + 1, 2");
    }

    #[test]
    fn a_canary_goes_alone() {
        assert_eq!(taken(&EIGHT, 100, |s| s.fleet.canary = true), (8, 2));
        assert_eq!(taken(&["a1"], 100, |s| s.fleet.canary = true), (1, 1));
    }
}
