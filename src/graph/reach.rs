//! Which steps come before which, over any number of needs. Knows nothing of hosts.

use super::action::StepIx;
use super::build::Graph;

/// All steps before each step, as bits. Memory grows with the square of the steps, of which a plan has few.
#[derive(Debug, Clone)]
pub struct Reach {
    /// Over needs of both kinds.
    any: Vec<Bits>,
    /// Over needs of all hosts only.
    whole: Vec<Bits>,
}

#[derive(Debug, Clone)]
struct Bits(Vec<u64>);

impl Bits {
    fn new(count: usize) -> Self {
        Self(vec![0; count.div_ceil(64)])
    }

    fn set(&mut self, step: StepIx) {
        self.0[step.index() / 64] |= 1 << (step.index() % 64);
    }

    fn has(&self, step: StepIx) -> bool {
        self.0[step.index() / 64] & (1 << (step.index() % 64)) != 0
    }

    fn join(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a |= b);
    }
}

impl Reach {
    #[must_use]
    pub fn new(graph: &Graph) -> Self {
        let count = graph.step_count();
        let mut reach = Self { any: vec![Bits::new(count); count], whole: vec![Bits::new(count); count] };
        for step in graph.topological() {
            for need in graph.all_needs(step) {
                let before = reach.any[need.index()].clone();
                reach.any[step.index()].join(&before);
                reach.any[step.index()].set(need);
            }
            for need in graph.needs(step) {
                let before = reach.whole[need.index()].clone();
                reach.whole[step.index()].join(&before);
                reach.whole[step.index()].set(*need);
            }
        }
        reach
    }

    /// Whether `first` comes before `then`.
    #[must_use]
    pub fn before(&self, first: StepIx, then: StepIx) -> bool {
        self.any[then.index()].has(first)
    }

    /// Whether one of the two comes before the other.
    #[must_use]
    pub fn ordered(&self, a: StepIx, b: StepIx) -> bool {
        self.before(a, b) || self.before(b, a)
    }

    /// The needs of `step` that no other need of it implies, and whether each is for the same host only. A need of all
    /// hosts is implied only by needs of all hosts.
    #[must_use]
    pub fn reduced_needs(&self, graph: &Graph, step: StepIx) -> Vec<(StepIx, bool)> {
        let implied = |need: StepIx| graph.needs(step).iter().any(|other| self.whole[other.index()].has(need));
        let implied_on_host = |need: StepIx| graph.all_needs(step).any(|other| self.before(need, other));
        let whole = graph.needs(step).iter().filter(|n| !implied(**n)).map(|n| (*n, false));
        let on_host = graph.same_host_needs(step).iter().filter(|n| !implied_on_host(**n)).map(|n| (*n, true));
        let mut needs: Vec<_> = whole.chain(on_host).collect();
        needs.sort();
        needs.dedup_by_key(|(n, _)| *n);
        needs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::sample::{december, graph, plan, run};
    use crate::plan::model::Need;

    #[test]
    fn implied_needs_are_left_out() {
        let graph = graph(december());
        let reach = Reach::new(&graph);
        let named = |id: &str| graph.find_step(id).unwrap();
        assert_eq!(reach.reduced_needs(&graph, named("deploy-frontend")), [(named("sanity-backend"), false)]);
        assert!(reach.before(named("bridge"), named("announce")));
        assert!(!reach.ordered(named("deploy-backend"), named("db-scripts")));
    }

    #[test]
    fn a_need_of_all_hosts_is_not_implied_by_needs_of_the_same_host() {
        let hosts = ["a", "b"];
        let same = |id: &str| Need { step: id.into(), same_host: true };
        let all = |id: &str| Need { step: id.into(), same_host: false };
        let mut second = run("second", &[], &hosts, "x");
        second.needs = vec![same("first")];
        let mut third = run("third", &[], &hosts, "x");
        third.needs = vec![all("first"), all("second")];
        let graph = graph(plan(vec![run("first", &[], &hosts, "x"), second, third]));
        let needs = Reach::new(&graph).reduced_needs(&graph, StepIx(2));
        assert_eq!(needs, [(StepIx(0), false), (StepIx(1), false)]);
    }
}
