//! The steps and their needs as nodes and links; in a long plan, steps that stand in the same place become one node. Knows
//! nothing of how it is drawn.
//!
//! Folded are first steps that come after the same ones and before the same ones, then neighbours in a row without a
//! branch, two by two, at last whole stages, until few enough are left. A decision, a step without a way back, and what decides the end beside
//! what does not are never hidden in another node.

use std::collections::{BTreeMap, BTreeSet};

use super::action::StepIx;
use super::build::Graph;
use super::reach::Reach;
use crate::plan::model::Undo;

/// What is drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folded {
    /// The steps of each node, in the plan's order; never none.
    pub nodes: Vec<Vec<StepIx>>,
    pub links: Vec<Link>,
}

/// That a node needs another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    pub from: usize,
    pub to: usize,
    /// Each host for itself.
    pub same_host: bool,
}

/// Needs that others imply are left out. There are more than `at_most` nodes only where nothing more can be folded.
#[must_use]
pub fn folded(graph: &Graph, critical: &BTreeSet<StepIx>, at_most: usize) -> Folded {
    let mut net = Net::new(graph, critical);
    while net.nodes.len() > at_most && (net.fold_alike() || net.fold_neighbours() || net.fold_stages()) {}
    net.finish()
}

/// Nodes by the first of their steps.
struct Net {
    nodes: BTreeMap<StepIx, Node>,
    /// From, to; whether each host for itself.
    links: BTreeMap<(StepIx, StepIx), bool>,
}

struct Node {
    steps: Vec<StepIx>,
    critical: bool,
    /// Stays alone.
    alone: bool,
}

impl Net {
    fn new(graph: &Graph, critical: &BTreeSet<StepIx>) -> Self {
        let reach = Reach::new(graph);
        let node = |s: StepIx| {
            let alone = graph.step(s).gate.is_some() || matches!(graph.step(s).undo, Undo::Irreversible(_));
            (s, Node { steps: vec![s], critical: critical.contains(&s), alone })
        };
        let needs = |s: StepIx| reach.reduced_needs(graph, s).into_iter().map(move |(need, same)| ((need, s), same));
        Self { nodes: graph.step_ixs().map(node).collect(), links: graph.step_ixs().flat_map(needs).collect() }
    }

    fn neighbours(&self) -> BTreeMap<StepIx, Around> {
        let mut around: BTreeMap<StepIx, Around> = self.nodes.keys().map(|n| (*n, Around::default())).collect();
        for ((from, to), same) in &self.links {
            around.entry(*to).or_default().before.push((*from, *same));
            around.entry(*from).or_default().after.push((*to, *same));
        }
        around
    }

    /// Nodes in the same place between others become one. Whether there were any.
    fn fold_alike(&mut self) -> bool {
        let mut places: BTreeMap<(Around, bool), Vec<StepIx>> = BTreeMap::new();
        for (name, around) in self.neighbours() {
            let node = &self.nodes[&name];
            if !node.alone {
                places.entry((around, node.critical)).or_default().push(name);
            }
        }
        let alike: Vec<Vec<StepIx>> = places.into_values().filter(|names| names.len() > 1).collect();
        for names in &alike {
            names[1..].iter().for_each(|other| self.join(names[0], *other));
        }
        !alike.is_empty()
    }

    /// Each node and the only one after it, which has no other before it, become one; each in one pair. Whether there were any.
    fn fold_neighbours(&mut self) -> bool {
        let around = self.neighbours();
        let mut taken: BTreeSet<StepIx> = BTreeSet::new();
        let mut pairs = Vec::new();
        for (name, mine) in &around {
            let [(next, _)] = mine.after[..] else { continue };
            let (a, b) = (&self.nodes[name], &self.nodes[&next]);
            let apart = a.alone || b.alone || a.critical != b.critical || around[&next].before.len() > 1;
            if !apart && !taken.contains(name) && !taken.contains(&next) {
                taken.extend([*name, next]);
                pairs.push((*name, next));
            }
        }
        pairs.iter().for_each(|(a, b)| self.join(*a, *b));
        !pairs.is_empty()
    }

    /// Nodes with the same longest chain before them become one. Whether there were any.
    fn fold_stages(&mut self) -> bool {
        let mut stages: BTreeMap<(usize, bool), Vec<StepIx>> = BTreeMap::new();
        for (name, depth) in self.depths() {
            let node = &self.nodes[&name];
            if !node.alone {
                stages.entry((depth, node.critical)).or_default().push(name);
            }
        }
        let several: Vec<Vec<StepIx>> = stages.into_values().filter(|names| names.len() > 1).collect();
        for names in &several {
            names[1..].iter().for_each(|other| self.join(names[0], *other));
        }
        !several.is_empty()
    }

    fn depths(&self) -> BTreeMap<StepIx, usize> {
        let around = self.neighbours();
        let mut depths = BTreeMap::new();
        let mut waiting: BTreeMap<StepIx, usize> = around.iter().map(|(n, a)| (*n, a.before.len())).collect();
        let mut ready: Vec<StepIx> = waiting.iter().filter(|(_, before)| **before == 0).map(|(n, _)| *n).collect();
        while let Some(name) = ready.pop() {
            let before = around[&name].before.iter().filter_map(|(b, _)| depths.get(b));
            depths.insert(name, before.max().map_or(0, |deepest: &usize| deepest + 1));
            for (next, _) in &around[&name].after {
                if let Some(left) = waiting.get_mut(next) {
                    *left -= 1;
                    ready.extend((*left == 0).then_some(*next));
                }
            }
        }
        depths
    }

    fn join(&mut self, into: StepIx, other: StepIx) {
        let Some(gone) = self.nodes.remove(&other) else { return };
        if let Some(node) = self.nodes.get_mut(&into) {
            node.steps.extend(gone.steps);
            node.steps.sort_unstable();
        }
        let name = |n: StepIx| if n == other { into } else { n };
        let links =
            std::mem::take(&mut self.links).into_iter().map(|((from, to), same)| ((name(from), name(to)), same));
        self.links = links.filter(|((from, to), _)| from != to).collect();
    }

    fn finish(self) -> Folded {
        let place: BTreeMap<StepIx, usize> = self.nodes.keys().enumerate().map(|(i, name)| (*name, i)).collect();
        let link = |((from, to), same_host): (&(StepIx, StepIx), &bool)| Link {
            from: place[from],
            to: place[to],
            same_host: *same_host,
        };
        let links = self.links.iter().map(link).collect();
        Folded { nodes: self.nodes.into_values().map(|n| n.steps).collect(), links }
    }
}

/// The nodes beside a node, with whether each host goes for itself.
#[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Around {
    before: Vec<(StepIx, bool)>,
    after: Vec<(StepIx, bool)>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::sample::{december, graph, plan, run};

    fn steps(folded: &Folded) -> Vec<Vec<usize>> {
        folded.nodes.iter().map(|node| node.iter().map(|s| s.index() + 1).collect()).collect()
    }

    #[test]
    fn a_short_plan_is_drawn_step_by_step() {
        let graph = graph(december());
        let all = folded(&graph, &BTreeSet::new(), 40);
        assert_eq!(steps(&all), (1..=11).map(|n| vec![n]).collect::<Vec<_>>());
        let into_sanity: Vec<usize> = all.links.iter().filter(|l| l.to == 6).map(|l| l.from + 1).collect();
        assert_eq!(into_sanity, [5, 6], "what others imply is not drawn");
    }

    #[test]
    fn many_steps_between_the_same_two_are_one_node_and_what_decides_the_end_stays_out_of_it() {
        let names: Vec<String> = (1..=50).map(|n| format!("web-{n}")).collect();
        let mut all = vec![run("first", &[], &["a"], "x")];
        all.extend(names.iter().map(|name| run(name, &["first"], &["a"], "x")));
        let each: Vec<&str> = names.iter().map(String::as_str).collect();
        all.push(run("last", &each, &["a"], "x"));
        let graph = graph(plan(all));
        let critical = BTreeSet::from([StepIx(0), StepIx(7), StepIx(51)]);
        let folded = folded(&graph, &critical, 40);
        let others: Vec<usize> = (2..=51).filter(|n| *n != 8).collect();
        assert_eq!(steps(&folded), [vec![1], others, vec![8], vec![52]]);
        assert_eq!(folded.links.len(), 4);
    }

    #[test]
    fn a_tangle_is_folded_by_stages() {
        let names: Vec<String> = (0..60).map(|n| format!("step-{n}")).collect();
        let mut all = Vec::new();
        for n in 0..60 {
            // Ten in each stage; each needs its own two of the stage before.
            let own = |k: usize| names[n / 10 * 10 - 10 + (n * (k + 2) + k) % 10].as_str();
            let needs: Vec<&str> = if n < 10 { Vec::new() } else { vec![own(1), own(2)] };
            all.push(run(&names[n], &needs, &["a"], "x"));
        }
        let folded = folded(&graph(plan(all)), &BTreeSet::from([StepIx(3)]), 40);
        let sizes: Vec<usize> = folded.nodes.iter().map(Vec::len).collect();
        assert_eq!(sizes.iter().sum::<usize>(), 60);
        assert!(sizes.len() < 12 && folded.nodes.contains(&vec![StepIx(3)]), "{:?}", steps(&folded));
        assert!(folded.links.iter().all(|l| folded.nodes[l.from][0] < folded.nodes[l.to][0]), "no circle");
    }

    #[test]
    fn a_long_row_is_halved_until_it_is_short_and_a_decision_stays_alone() {
        let names: Vec<String> = (1..=60).map(|n| format!("step-{n}")).collect();
        let mut all = Vec::new();
        for (i, name) in names.iter().enumerate() {
            let before: Vec<&str> = i.checked_sub(1).map(|b| names[b].as_str()).into_iter().collect();
            all.push(run(name, &before, &["a"], "x"));
        }
        all[30].gate = december().steps["bridge"].gate.clone();
        let folded = folded(&graph(plan(all)), &BTreeSet::new(), 40);
        assert!(folded.nodes.len() <= 40 && folded.nodes.contains(&vec![StepIx(30)]), "{:?}", steps(&folded));
        assert!(folded.nodes.contains(&vec![StepIx(0), StepIx(1)]), "{:?}", steps(&folded));
        assert_eq!(folded.links.len(), folded.nodes.len() - 1, "still one row");
    }
}
