//! When each step starts and ends when everything takes as long as estimated, and which chain of steps decides the end.
//! Knows nothing of windows, resources or of what has run.
//!
//! Steps are the nodes; a step on many hosts takes as many rounds as its limits make of them. A `same_host` need lets a
//! step begin when the first round of the needed one is over, and it ends one round after it at the earliest.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::batches::Batches;
use super::search::Order;
use crate::graph::render::never_wanted;
use crate::graph::{Graph, StepIx};
use crate::plan::model::{Opening, Place, Verb, Wait};

/// Which of the two durations of an estimate counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    Expected,
    Worst,
}

/// From the opening of the window (or the start, without one).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Times {
    pub start: SignedDuration,
    pub end: SignedDuration,
}

/// The steps as a network of durations. Built once per pace; all questions are then linear in steps and needs.
#[derive(Debug, Clone)]
pub struct Network {
    nodes: Vec<Node>,
    order: Vec<StepIx>,
}

#[derive(Debug, Clone, Default)]
struct Node {
    duration: SignedDuration,
    /// Ends no earlier than this (`wait: {at}`).
    not_before: SignedDuration,
    /// What must have begun this long before. And the reverse.
    after: Vec<Arc>,
    before: Vec<Arc>,
}

/// `to` starts at least `lag` after the start of `from`.
#[derive(Debug, Clone, Copy)]
struct Arc {
    other: StepIx,
    lag: Lag,
}

#[derive(Debug, Clone, Copy)]
enum Lag {
    /// When the other has ended.
    End,
    /// This long after the other has started.
    Start(SignedDuration),
}

impl Network {
    #[must_use]
    pub fn new(graph: &Graph, pace: Pace) -> Self {
        Self::of(graph, |step| duration(graph, step, pace))
    }

    /// The expected durations, but for one step, which takes so long on each host.
    #[must_use]
    pub fn with_one_taking(graph: &Graph, one: StepIx, takes: SignedDuration) -> Self {
        Self::of(graph, |step| if step == one { takes } else { duration(graph, step, Pace::Expected) })
    }

    fn of(graph: &Graph, takes: impl Fn(StepIx) -> SignedDuration) -> Self {
        let batches = Batches::of(graph);
        let rounds: Vec<Rounds> = graph.step_ixs().map(|s| Rounds::of(graph, &batches, s, takes(s))).collect();
        let opens = match graph.plan().window.as_ref().map(|w| &w.opening) {
            Some(Opening::At { opens, .. }) => Some(*opens),
            Some(Opening::WhenStarted { .. }) | None => None,
        };
        let mut nodes: Vec<Node> = graph
            .step_ixs()
            .map(|s| Node {
                duration: rounds[s.index()].all(),
                not_before: not_before(graph, s, opens),
                ..Node::default()
            })
            .collect();
        for step in graph.step_ixs() {
            let same_host = graph.same_host_needs(step).iter().map(|n| (*n, true));
            let needs: Vec<_> = graph.needs(step).iter().map(|n| (*n, false)).chain(same_host).collect();
            for (need, same_host) in needs {
                let (first, then) = (rounds[need.index()], rounds[step.index()]);
                let lag = if same_host && shares_every_host(graph, step, need) { first.lag(then) } else { Lag::End };
                nodes[step.index()].after.push(Arc { other: need, lag });
                nodes[need.index()].before.push(Arc { other: step, lag });
            }
        }
        Self { nodes, order: graph.topological() }
    }

    /// With the waits of this order for what is short. One of another plan says nothing about this one.
    #[must_use]
    pub fn keeping(mut self, order: Option<&Order>) -> Self {
        let Some(order) = order.filter(|order| order.fits(self.nodes.len())) else { return self };
        for (step, before) in order.after.iter().enumerate() {
            for other in before.iter().map(|s| StepIx(*s)) {
                self.nodes[step].after.push(Arc { other, lag: Lag::End });
                self.nodes[other.index()].before.push(Arc { other: StepIx(step as u32), lag: Lag::End });
            }
        }
        self.order = self.sorted();
        self
    }

    fn sorted(&self) -> Vec<StepIx> {
        let mut missing: Vec<usize> = self.nodes.iter().map(|node| node.after.len()).collect();
        let free = (0..self.nodes.len()).filter(|i| missing[*i] == 0).map(|i| StepIx(i as u32));
        let mut ready: BTreeSet<StepIx> = free.collect();
        let mut order = Vec::with_capacity(self.nodes.len());
        while let Some(step) = ready.pop_first() {
            order.push(step);
            for arc in &self.nodes[step.index()].before {
                missing[arc.other.index()] -= 1;
                if missing[arc.other.index()] == 0 {
                    ready.insert(arc.other);
                }
            }
        }
        order
    }

    /// The earliest start and end of each step.
    #[must_use]
    pub fn earliest(&self) -> Vec<Times> {
        let mut times = vec![Times::default(); self.nodes.len()];
        for &step in &self.order {
            let node = &self.nodes[step.index()];
            let start = node.after.iter().map(|arc| reached(arc, &times)).max().unwrap_or_default();
            times[step.index()] = Times { start, end: (start + node.duration).max(node.not_before) };
        }
        times
    }

    /// The latest start of each step with which no step ends after its limit.
    #[must_use]
    pub fn latest_starts(&self, limits: &[SignedDuration]) -> Vec<SignedDuration> {
        let mut latest = vec![SignedDuration::ZERO; self.nodes.len()];
        for &step in self.order.iter().rev() {
            let node = &self.nodes[step.index()];
            let by_dependants = node.before.iter().map(|arc| match arc.lag {
                Lag::End => latest[arc.other.index()] - node.duration,
                Lag::Start(lag) => latest[arc.other.index()] - lag,
            });
            let by_limit = limits[step.index()] - node.duration;
            latest[step.index()] = by_dependants.fold(by_limit, SignedDuration::min);
        }
        latest
    }

    /// How long it takes from the start of each step to the end of the last one that waits for it, its own duration
    /// included: the priority of "longest remaining path first".
    #[must_use]
    pub fn remaining(&self) -> Vec<SignedDuration> {
        let mut remaining = vec![SignedDuration::ZERO; self.nodes.len()];
        for &step in self.order.iter().rev() {
            let node = &self.nodes[step.index()];
            let then = node.before.iter().map(|arc| match arc.lag {
                Lag::End => node.duration + remaining[arc.other.index()],
                Lag::Start(lag) => lag + remaining[arc.other.index()],
            });
            remaining[step.index()] = then.fold(node.duration, SignedDuration::max);
        }
        remaining
    }

    /// The chain of steps, first to last, of which each made the next wait, and the last is `end`. Ties in the plan's
    /// order.
    #[must_use]
    pub fn chain_to(&self, end: StepIx, times: &[Times]) -> Vec<StepIx> {
        let mut chain = vec![end];
        let mut at = end;
        loop {
            let start = times[at.index()].start;
            let decisive = self.nodes[at.index()].after.iter().filter(|arc| reached(arc, times) == start);
            let Some(before) = decisive.map(|arc| arc.other).min() else { break };
            chain.push(before);
            at = before;
        }
        chain.reverse();
        chain
    }
}

/// When the step at the end of `arc` may start, as far as this need is concerned.
fn reached(arc: &Arc, times: &[Times]) -> SignedDuration {
    let other = times[arc.other.index()];
    match arc.lag {
        Lag::End => other.end,
        Lag::Start(lag) => other.start + lag,
    }
}

/// A step as rounds of equal length.
#[derive(Debug, Clone, Copy)]
struct Rounds {
    count: i32,
    each: SignedDuration,
}

impl Rounds {
    fn of(graph: &Graph, batches: &Batches, step: StepIx, each: SignedDuration) -> Self {
        if never_wanted(graph, step) {
            return Self { count: 0, each: SignedDuration::ZERO };
        }
        Self { count: i32::try_from(batches.taken(graph, step, usize::MAX).rounds).unwrap_or(i32::MAX), each }
    }

    fn all(self) -> SignedDuration {
        self.each.saturating_mul(self.count)
    }

    /// How long after this step's start `then` may start, when it needs the same host only.
    fn lag(self, then: Self) -> Lag {
        let first_round = if self.count == 0 { SignedDuration::ZERO } else { self.each };
        let last_round = if then.count == 0 { SignedDuration::ZERO } else { then.each };
        Lag::Start(first_round.max(self.all() + last_round - then.all()))
    }
}

fn duration(graph: &Graph, step: StepIx, pace: Pace) -> SignedDuration {
    let step = graph.step(step);
    match (step.estimate, &step.verb, pace) {
        (Some(estimate), _, Pace::Expected) => estimate.expected,
        (Some(estimate), _, Pace::Worst) => estimate.worst,
        (None, Verb::Wait(Wait::For(d)), _) => *d,
        (None, ..) => SignedDuration::ZERO,
    }
}

fn not_before(graph: &Graph, step: StepIx, opens: Option<Timestamp>) -> SignedDuration {
    match (&graph.step(step).verb, opens) {
        (Verb::Wait(Wait::At(at)), Some(opens)) if !never_wanted(graph, step) => at.duration_since(opens),
        _ => SignedDuration::ZERO,
    }
}

fn shares_every_host(graph: &Graph, step: StepIx, need: StepIx) -> bool {
    let places = (&graph.step(step).place, &graph.step(need).place);
    match places {
        (Place::Hosts(a), Place::Hosts(b)) if a == b => true,
        _ => graph.actions_of(step).all(|ix| graph.on_same_host(need, ix).is_some()),
    }
}

/// How long it is expected to take from the start of each step to the end of what waits for it: where capacity is
/// short, the longest goes first, ties in the plan's order.
#[must_use]
pub fn longest_remaining(graph: &Graph) -> Vec<SignedDuration> {
    Network::new(graph, Pace::Expected).remaining()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::graph::sample::{december, graph, minutes, plan, run};
    use crate::plan::model::{Need, Plan, Step};
    use crate::plan::units::Size;

    fn mins(d: SignedDuration) -> i64 {
        d.as_mins()
    }

    #[test]
    fn the_night_starts_and_ends_by_the_clock_of_its_page() {
        let graph = graph(december());
        let expected = Network::new(&graph, Pace::Expected).earliest();
        let starts: Vec<i64> = expected.iter().map(|t| mins(t.start)).collect();
        assert_eq!(starts, [0, 5, 5, 10, 10, 25, 55, 75, 95, 120, 240]);
        let worst = Network::new(&graph, Pace::Worst).earliest();
        assert_eq!((mins(expected[10].end), mins(worst[9].end), mins(worst[10].end)), (242, 310, 312));
    }

    #[test]
    fn a_step_known_to_be_skipped_takes_no_time() {
        let mut plan = december();
        plan.vars.insert("DB_CHANGES".into(), crate::plan::model::Value::Bool(false));
        let times = Network::new(&graph(plan), Pace::Expected).earliest();
        assert_eq!((mins(times[5].end), mins(times[6].start)), (25, 30));
    }

    #[test]
    fn batches_take_rounds_and_same_host_needs_overlap_them() {
        let hosts = ["a", "b", "c", "d", "e"];
        let batched = |mut s: Step| {
            s.fleet.at_once = Some(Size::Count(2));
            s
        };
        let mut second = batched(run("second", &["first"], &hosts, "x").takes(5, 5));
        second.needs = vec![Need { step: "first".into(), same_host: true }];
        let times = |steps: Vec<Step>| Network::new(&graph(plan(steps)), Pace::Expected).earliest();
        let first = batched(run("first", &[], &hosts, "x").takes(10, 10));
        let overlapped = times(vec![first.clone(), second.clone()]);
        assert_eq!((mins(overlapped[0].end), mins(overlapped[1].start), mins(overlapped[1].end)), (30, 20, 35));
        second.needs[0].same_host = false;
        let one_after_the_other = times(vec![first, second]);
        assert_eq!((mins(one_after_the_other[1].start), mins(one_after_the_other[1].end)), (30, 45));
    }

    /// Steps with durations, each needing some of the earlier ones.
    fn networks() -> impl Strategy<Value = Plan> {
        let step = (0..60i64, prop::collection::vec(any::<prop::sample::Index>(), 0..4));
        prop::collection::vec(step, 1..9).prop_map(|steps| {
            let made = steps.into_iter().enumerate().map(|(i, (minutes_, needs))| {
                let mut names: Vec<String> =
                    needs.iter().filter(|_| i > 0).map(|n| format!("s{}", n.index(i))).collect();
                names.sort();
                names.dedup();
                let needs: Vec<&str> = names.iter().map(String::as_str).collect();
                Step { estimate: Some(minutes(minutes_, minutes_)), ..run(&format!("s{i}"), &needs, &["a"], "x") }
            });
            plan(made.collect())
        })
    }

    /// Every chain of needs that ends in `step`, the slow way.
    fn chains(graph: &Graph, step: StepIx) -> Vec<Vec<StepIx>> {
        let mut all: Vec<Vec<StepIx>> = graph.needs(step).iter().flat_map(|n| chains(graph, *n)).collect();
        if all.is_empty() {
            all.push(Vec::new());
        }
        all.into_iter()
            .map(|mut c| {
                c.push(step);
                c
            })
            .collect()
    }

    proptest! {
        #[test]
        fn invariant_the_network_agrees_with_every_chain(plan in networks()) {
            let graph = graph(plan);
            let network = Network::new(&graph, Pace::Expected);
            let times = network.earliest();
            let length = |chain: &[StepIx]| chain.iter().map(|s| network.nodes[s.index()].duration).sum::<SignedDuration>();
            let finish = times.iter().map(|t| t.end).max().unwrap();
            let latest = network.latest_starts(&vec![finish; graph.step_count()]);
            let remaining = network.remaining();
            for step in graph.step_ixs() {
                let longest = chains(&graph, step).iter().map(|c| length(c)).max().unwrap();
                prop_assert_eq!(times[step.index()].end, longest);
                prop_assert_eq!(length(&network.chain_to(step, &times)), longest);
                let through: Vec<Vec<StepIx>> =
                    graph.step_ixs().flat_map(|end| chains(&graph, end)).filter(|c| c.contains(&step)).collect();
                let longest_through = through.iter().map(|c| length(c)).max().unwrap();
                prop_assert_eq!(latest[step.index()] - times[step.index()].start, finish - longest_through);
                let tail = through.iter().map(|c| length(&c[c.iter().position(|s| *s == step).unwrap()..])).max().unwrap();
                prop_assert_eq!(remaining[step.index()], tail);
            }
        }

        #[test]
        fn invariant_every_step_comes_after_what_it_needs(plan in networks()) {
            let graph = graph(plan);
            let order = graph.topological();
            prop_assert_eq!(order.len(), graph.step_count());
            let place = |s: StepIx| order.iter().position(|o| *o == s).unwrap();
            for step in graph.step_ixs() {
                for need in graph.all_needs(step) {
                    prop_assert!(place(need) < place(step));
                }
            }
        }
    }
}
