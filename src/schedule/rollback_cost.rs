//! *Rollback now*: the worst-case makespan of undoing a set of actions, kept current as the set grows and shrinks.
//! Knows nothing of the time of day.
//!
//! The number is an upper bound for every order in which the engine may undo, as long as each undo stays within its
//! worst estimate:
//!
//! - undos run step by step against the direction of the needs: `length(s) = own(s) + max(length(d))` over the steps
//!   `d` that depend on `s`;
//! - within a step they run in batches: `own(s) = ceil(touched / at_once) * worst`, which bounds every greedy order of
//!   that many equal bounds;
//! - steps that share a resource are undone one after the other, in the reverse of the order in which they were first
//!   touched, so that shorter durations can never lengthen the whole (no list-scheduling anomaly: R. L. Graham,
//!   "Bounds on multiprocessing timing anomalies", 1969);
//! - a plan-wide `at_once` of `m` adds at most `work / m` (the same source, theorem 2).

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;

use crate::graph::{Graph, StepIx};

/// Cheap to update: a change walks up the needs only as far as a length really changes.
#[derive(Debug, Clone)]
pub struct RollbackCost {
    steps: Vec<StepCost>,
    /// Place of each step in topological order.
    position: Vec<u32>,
    /// The step that was touched last, per resource.
    last_user: BTreeMap<String, StepIx>,
    touched: usize,
    work: SignedDuration,
    plan_at_once: Option<usize>,
    after: SignedDuration,
    /// How many steps have each length: the greatest key is the critical path.
    lengths: BTreeMap<SignedDuration, u32>,
}

#[derive(Debug, Clone)]
struct StepCost {
    worst: SignedDuration,
    at_once: usize,
    touched: usize,
    length: SignedDuration,
    /// Has its place in the order of its resources, and keeps it: a second place would make that order a circle.
    queued: bool,
    /// Steps that share a resource and were touched later: undone before this one. And the reverse.
    undone_before: Vec<StepIx>,
    undone_after: Vec<StepIx>,
}

impl StepCost {
    fn own(&self) -> SignedDuration {
        self.own_of(0)
    }

    /// With so many more actions touched.
    fn own_of(&self, more: usize) -> SignedDuration {
        self.worst * (self.touched + more).div_ceil(self.at_once) as i32
    }
}

impl RollbackCost {
    /// Nothing is touched yet.
    #[must_use]
    pub fn new(graph: &Graph) -> Self {
        let plan = graph.plan();
        let steps = graph.step_ixs().map(|ix| {
            let step = graph.step(ix);
            let hosts = graph.actions_of(ix).len();
            StepCost {
                worst: step.rollback().map_or(SignedDuration::ZERO, |r| r.estimate.worst),
                at_once: step.fleet.at_once.map_or(usize::MAX, |s| s.at_least_one_of(hosts)),
                touched: 0,
                length: SignedDuration::ZERO,
                queued: false,
                undone_before: Vec::new(),
                undone_after: Vec::new(),
            }
        });
        let steps: Vec<_> = steps.collect();
        let mut position = vec![0; steps.len()];
        for (place, step) in graph.topological().into_iter().enumerate() {
            position[step.index()] = place as u32;
        }
        Self {
            lengths: BTreeMap::from([(SignedDuration::ZERO, steps.len() as u32)]),
            steps,
            position,
            last_user: BTreeMap::new(),
            touched: 0,
            work: SignedDuration::ZERO,
            plan_at_once: plan.at_once.map(|s| s.at_least_one_of(graph.actions().len())),
            after: plan.after_rollback.as_ref().map_or(SignedDuration::ZERO, |s| s.estimate_or_zero().worst),
        }
    }

    /// One more action of this step has run or may have run. Everything that it needs was touched or skipped before.
    pub fn touch(&mut self, graph: &Graph, step: StepIx) {
        if !std::mem::replace(&mut self.steps[step.index()].queued, true) {
            self.queue_on_resources(graph, step);
        }
        self.steps[step.index()].touched += 1;
        self.touched += 1;
        self.work += self.steps[step.index()].worst;
        self.refresh(graph, step);
    }

    /// All actions of these steps, in the order in which they were first touched; the same as one by one, and quicker.
    pub fn touch_all(&mut self, graph: &Graph, steps: &[StepIx]) {
        for &step in steps {
            if !std::mem::replace(&mut self.steps[step.index()].queued, true) {
                self.queue_on_resources(graph, step);
            }
        }
        for step in steps {
            let all = graph.actions_of(*step).len();
            self.steps[step.index()].touched += all;
            self.touched += all;
            self.work += self.steps[step.index()].worst * all as i32;
        }
        self.refresh_all(graph, steps.iter().copied());
    }

    /// Undoing an action of this step takes no longer than this.
    #[must_use]
    pub fn with_worst(mut self, step: StepIx, worst: SignedDuration) -> Self {
        self.steps[step.index()].worst = worst;
        self
    }

    /// The steps are the same, their estimates may be others.
    pub fn estimate_anew(&mut self, graph: &Graph) {
        let fresh = Self::new(graph);
        self.after = fresh.after;
        self.work = SignedDuration::ZERO;
        for (step, new) in self.steps.iter_mut().zip(fresh.steps) {
            step.worst = new.worst;
            self.work += step.worst * step.touched as i32;
        }
        graph.step_ixs().for_each(|step| self.refresh(graph, step));
    }

    /// One action of this step is undone, or certainly never ran.
    pub fn untouch(&mut self, graph: &Graph, step: StepIx) {
        self.steps[step.index()].touched -= 1;
        self.touched -= 1;
        self.work -= self.steps[step.index()].worst;
        self.refresh(graph, step);
    }

    /// How long undoing everything takes at worst, the `after_rollback` test included. Zero when nothing is touched.
    #[must_use]
    pub fn now(&self) -> SignedDuration {
        if self.touched == 0 {
            return SignedDuration::ZERO;
        }
        self.longest() + self.shared(self.work) + self.after
    }

    fn longest(&self) -> SignedDuration {
        self.lengths.last_key_value().map_or(SignedDuration::ZERO, |(length, _)| *length)
    }

    /// What a plan-wide limit adds for this much work.
    fn shared(&self, work: SignedDuration) -> SignedDuration {
        self.plan_at_once.map_or(SignedDuration::ZERO, |m| work / m.min(i32::MAX as usize) as i32)
    }

    /// The cost if one more action of `step` were touched; leaves everything as it is.
    #[must_use]
    pub fn with_one_more(&self, graph: &Graph, step: StepIx) -> SignedDuration {
        let s = &self.steps[step.index()];
        if !s.queued && !graph.step(step).uses.is_empty() {
            // Its first action changes the order on a resource.
            let mut next = self.clone();
            next.touch(graph, step);
            return next.now();
        }
        let grown = self.longest_with_one_more(graph, step).max(self.longest());
        grown + self.shared(self.work + s.worst) + self.after
    }

    /// The longest of the lengths that would change. They can only grow, so all others still count.
    fn longest_with_one_more(&self, graph: &Graph, step: StepIx) -> SignedDuration {
        let s = &self.steps[step.index()];
        if s.touched > 0 && (s.touched + 1).div_ceil(s.at_once) == s.touched.div_ceil(s.at_once) {
            return SignedDuration::ZERO;
        }
        let mut grown: BTreeMap<StepIx, SignedDuration> = BTreeMap::new();
        let mut changed = BTreeSet::from([(self.position[step.index()], step)]);
        while let Some((_, next)) = changed.pop_last() {
            let length = |d: StepIx| grown.get(&d).copied().unwrap_or(self.steps[d.index()].length);
            let own = self.steps[next.index()].own_of(usize::from(next == step));
            let (before, after) = (length(next), self.wait(graph, next, length) + own);
            if after != before {
                grown.insert(next, after);
                changed.extend(self.undone_later(graph, next));
            }
        }
        grown.into_values().max().unwrap_or(SignedDuration::ZERO)
    }

    /// Steps whose undo must have ended before an undo of `step` may start, because they share a resource and were
    /// touched later. Dependants come on top.
    #[must_use]
    pub fn undone_before(&self, step: StepIx) -> &[StepIx] {
        &self.steps[step.index()].undone_before
    }

    /// The reverse of [`Self::undone_before`].
    #[must_use]
    pub fn undone_after(&self, step: StepIx) -> &[StepIx] {
        &self.steps[step.index()].undone_after
    }

    /// Whether some action of this step has run or may have run, and is not undone.
    #[must_use]
    pub fn is_touched(&self, step: StepIx) -> bool {
        self.steps[step.index()].touched > 0
    }

    /// How many undos of this step may run at the same time.
    #[must_use]
    pub fn at_once(&self, step: StepIx) -> usize {
        self.steps[step.index()].at_once
    }

    fn queue_on_resources(&mut self, graph: &Graph, step: StepIx) {
        for resource in graph.step(step).uses.keys() {
            let earlier = self.last_user.insert(resource.clone(), step);
            if let Some(earlier) =
                earlier.filter(|e| *e != step && !self.steps[e.index()].undone_before.contains(&step))
            {
                self.steps[earlier.index()].undone_before.push(step);
                self.steps[step.index()].undone_after.push(earlier);
                self.refresh(graph, earlier);
            }
        }
    }

    fn refresh(&mut self, graph: &Graph, step: StepIx) {
        self.refresh_all(graph, [step].into_iter());
    }

    fn refresh_all(&mut self, graph: &Graph, steps: impl Iterator<Item = StepIx>) {
        // Latest in topological order first, so that each step is looked at once: all it waits for is settled.
        let mut changed: BTreeSet<(u32, StepIx)> = steps.map(|s| (self.position[s.index()], s)).collect();
        while let Some((_, step)) = changed.pop_last() {
            let before = self.steps[step.index()].length;
            let after = self.length(graph, step);
            if before != after {
                self.steps[step.index()].length = after;
                self.count_length(before, after);
                changed.extend(self.undone_later(graph, step));
            }
        }
    }

    fn length(&self, graph: &Graph, step: StepIx) -> SignedDuration {
        self.wait(graph, step, |d| self.steps[d.index()].length) + self.steps[step.index()].own()
    }

    /// How long undoing what goes before an undo of `step` takes, by these lengths.
    fn wait(&self, graph: &Graph, step: StepIx, length: impl Fn(StepIx) -> SignedDuration) -> SignedDuration {
        let first = graph.all_dependants(step).chain(self.steps[step.index()].undone_before.iter().copied());
        first.map(length).max().unwrap_or(SignedDuration::ZERO)
    }

    /// The steps whose length hangs on this one's, with their places.
    fn undone_later<'a>(&'a self, graph: &'a Graph, step: StepIx) -> impl Iterator<Item = (u32, StepIx)> + 'a {
        let later = graph.all_needs(step).chain(self.steps[step.index()].undone_after.iter().copied());
        later.map(|s| (self.position[s.index()], s))
    }

    fn count_length(&mut self, before: SignedDuration, after: SignedDuration) {
        if let Some(n) = self.lengths.get_mut(&before) {
            *n -= 1;
            if *n == 0 {
                self.lengths.remove(&before);
            }
        }
        *self.lengths.entry(after).or_insert(0) += 1;
    }
}
