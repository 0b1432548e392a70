//! How a step takes its hosts: how many at once, and in how many rounds where each host takes as long. Knows no durations.
//!
//! Rounds are counted as the engine starts hosts: as many of each group as `keep_up` lets go, group after group, within
//! `at_once`; a canary goes first and alone. What other steps have out of service at the same time is not counted.

use crate::graph::{Graph, Groups, StepIx};

/// The limits on hosts of a plan.
#[derive(Debug)]
pub(super) struct Batches<'a> {
    graph: &'a Graph,
    /// Where a step keeps some of a group up.
    groups: Option<Groups>,
}

/// How one step takes its hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taken {
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

impl<'a> Batches<'a> {
    pub(super) fn of(graph: &'a Graph) -> Self {
        let keeps_up = graph.plan().steps.values().any(|s| s.fleet.keep_up.is_some());
        Self { graph, groups: keeps_up.then(|| Groups::of(graph)) }
    }

    /// With no more than `limit` at once for other reasons: resources, or the plan's `at_once`.
    pub(super) fn taken(&self, step: StepIx, limit: usize) -> Taken {
        let hosts = self.graph.actions_of(step).len();
        let fleet = &self.graph.step(step).fleet;
        let limit = fleet.at_once.map_or(limit, |n| limit.min(n.at_least_one_of(hosts))).max(1);
        let mut lanes = self.lanes(step, hosts);
        let together = lanes.iter().map(|lane| lane.at_once.min(lane.left)).sum();
        let mut rounds = 0;
        if fleet.canary && hosts > 1 {
            lanes[0].left -= 1;
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

    fn lanes(&self, step: StepIx, hosts: usize) -> Vec<Lane> {
        let all = vec![Lane { left: hosts, at_once: hosts }];
        let Some(groups) = self.groups.as_ref().filter(|_| self.graph.step(step).fleet.keep_up.is_some()) else {
            return all;
        };
        let mut by_group: Vec<(u32, Lane)> = Vec::new();
        let mut places = vec![None; groups.sizes().len()];
        for spot in self.graph.actions_of(step).filter_map(|ix| groups.spot(ix)) {
            let place = *places[spot.group as usize].get_or_insert_with(|| {
                let at_once = groups.room(self.graph, step, spot.group).unwrap_or(hosts).max(1);
                by_group.push((spot.group, Lane { left: 0, at_once }));
                by_group.len() - 1
            });
            by_group[place].1.left += 1;
        }
        if by_group.is_empty() { all } else { by_group.into_iter().map(|(_, lane)| lane).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::sample::{graph, plan, run};
    use crate::plan::model::{Plan, Step};
    use crate::plan::units::Size;

    /// How the one step of a plan on hosts `a1 a2 ..`, `b1 ..` takes them, with `limit` places; groups are named by letters.
    fn taken(hosts: &[&str], limit: usize, change: impl FnOnce(&mut Step)) -> (usize, usize) {
        let mut step = run("s", &[], hosts, "x");
        change(&mut step);
        let mut plan: Plan = plan(vec![step]);
        for host in hosts {
            plan.groups.entry(host[..1].to_owned()).or_default().push((*host).to_owned());
        }
        let graph = graph(plan);
        let taken = Batches::of(&graph).taken(StepIx(0), limit);
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
