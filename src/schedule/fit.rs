//! Whether a plan fits its window, and how long each step may slip. Knows nothing of what has run.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::critical_path::{Network, Pace, Times};
use super::rollback_cost::RollbackCost;
use crate::graph::render::never_wanted;
use crate::graph::{Graph, StepIx};
use crate::plan::model::{Opening, Undo};

/// The whole evening at a glance. Durations count from the opening of the window (or the start, without one).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fit {
    /// Per step, when everything takes as long as expected, and at worst.
    pub expected: Vec<Times>,
    pub worst: Vec<Times>,
    pub finish_expected: SignedDuration,
    pub finish_worst: SignedDuration,
    /// The steps that decide the end, first to last: those without any slack to spare.
    pub longest_path: Vec<StepIx>,
    /// `None` without a window: there is nothing to fit into.
    pub window: Option<WindowFit>,
}

/// The plan against its window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowFit {
    /// `None` when the window opens whenever the run starts.
    pub opens: Option<Timestamp>,
    pub closes: SignedDuration,
    /// Undoing all that can be undone, at worst.
    pub rollback: SignedDuration,
    /// The last instant at which that may start, so that it ends before the reserve.
    pub roll_back_by: SignedDuration,
    /// Per step: how long it may slip without moving the last decision past `roll_back_by` (what comes after the last
    /// decision: the end past the closing). Negative where it does so without slipping.
    pub slack: Vec<SignedDuration>,
    /// The least of them.
    pub least_slack: SignedDuration,
    pub fits_expected: bool,
    pub fits_worst: bool,
    /// The first step, in topological order, that ends too late when everything takes as long as expected. And at worst.
    pub late_expected: Option<Late>,
    pub late_worst: Option<Late>,
}

/// A step that ends after its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Late {
    pub step: StepIx,
    pub ends: SignedDuration,
    /// *Roll back by*, or the closing for what comes after the last decision.
    pub limit: SignedDuration,
}

impl WindowFit {
    /// Clock time of an offset; `None` when the window opens whenever the run starts.
    #[must_use]
    pub fn at(&self, offset: SignedDuration) -> Option<Timestamp> {
        self.opens.and_then(|o| o.checked_add(offset).ok())
    }
}

/// Holds the plan against its window, by estimates alone.
#[must_use]
pub fn fit(graph: &Graph) -> Fit {
    let network = Network::new(graph, Pace::Expected);
    let expected = network.earliest();
    let worst = Network::new(graph, Pace::Worst).earliest();
    let finish = |times: &[Times]| times.iter().map(|t| t.end).max().unwrap_or_default();
    let window = window_fit(graph, &network, &expected, &worst);
    let float = network.latest_starts(&vec![finish(&expected); expected.len()]);
    let spare = |s: StepIx| match &window {
        Some(w) => w.slack[s.index()],
        None => float[s.index()] - expected[s.index()].start,
    };
    // Of the steps with the least to spare, the one that ends last.
    let last = graph.topological().into_iter().rev().min_by_key(|s| (spare(*s), Reverse(expected[s.index()].end)));
    let longest_path = last.map(|s| network.chain_to(s, &expected)).unwrap_or_default();
    Fit { finish_expected: finish(&expected), finish_worst: finish(&worst), longest_path, window, expected, worst }
}

/// How long each step may slip; see [`WindowFit::slack`]. `None` without a window.
#[must_use]
pub fn slack(graph: &Graph) -> Option<Vec<SignedDuration>> {
    fit(graph).window.map(|w| w.slack)
}

fn window_fit(graph: &Graph, network: &Network, expected: &[Times], worst: &[Times]) -> Option<WindowFit> {
    let window = graph.plan().window.as_ref()?;
    let (opens, closes) = match &window.opening {
        Opening::At { opens, closes } => (Some(*opens), closes.duration_since(*opens)),
        Opening::WhenStarted { lasts } => (None, *lasts),
    };
    let after = forward_only(graph);
    let rollback = rollback_of_everything(graph, &after, expected);
    let roll_back_by = closes - window.reserve - rollback;
    let limits: Vec<SignedDuration> =
        graph.step_ixs().map(|s| if after.contains(&s) { closes } else { roll_back_by }).collect();
    let late = |times: &[Times]| {
        let too_late = graph.topological().into_iter().find(|s| times[s.index()].end > limits[s.index()]);
        too_late.map(|step| Late { step, ends: times[step.index()].end, limit: limits[step.index()] })
    };
    let slack: Vec<SignedDuration> =
        network.latest_starts(&limits).iter().zip(expected).map(|(latest, t)| *latest - t.start).collect();
    let (late_expected, late_worst) = (late(expected), late(worst));
    Some(WindowFit {
        opens,
        closes,
        rollback,
        roll_back_by,
        least_slack: slack.iter().min().copied().unwrap_or(roll_back_by),
        fits_expected: late_expected.is_none(),
        fits_worst: late_worst.is_none(),
        late_expected,
        late_worst,
        slack,
    })
}

/// The steps from which there is no way back: irreversible ones, what waits for them or for steps with which undos expire, and what waits for all last gates
/// where nothing else is left by then that judges or can be undone.
#[must_use]
pub fn forward_only(graph: &Graph) -> BTreeSet<StepIx> {
    let mut found = after_last_gates(graph).unwrap_or_default();
    for step in graph.step_ixs().filter(|s| graph.ends_the_way_back(*s)) {
        if matches!(graph.step(step).undo, Undo::Irreversible(_)) {
            found.insert(step);
        }
        found.extend(reached(step, |s| graph.all_dependants(s)));
    }
    found
}

/// `None`: the approval of the last gate is not what ends the part that can be rolled back.
fn after_last_gates(graph: &Graph) -> Option<BTreeSet<StepIx>> {
    let is_gate = |s: &StepIx| graph.step(*s).gate.is_some();
    let after = |gate| reached(gate, |s| graph.all_dependants(s));
    let gates = graph.step_ixs().filter(is_gate).map(|gate| (gate, after(gate)));
    let last: Vec<(StepIx, BTreeSet<StepIx>)> = gates.filter(|(_, after)| !after.iter().any(is_gate)).collect();
    let before: BTreeSet<StepIx> =
        last.iter().flat_map(|(gate, _)| reached(*gate, |s| graph.all_needs(s)).into_iter().chain([*gate])).collect();
    let settled = |s: StepIx| !graph.step(s).keeps_the_way_back() || before.contains(&s);
    let (first, rest) = last.split_first().filter(|_| graph.step_ixs().all(settled))?;
    Some(rest.iter().fold(first.1.clone(), |all, (_, next)| all.intersection(next).copied().collect()))
}

/// Everything that can be reached from a step, without itself.
fn reached<I: Iterator<Item = StepIx>>(from: StepIx, next: impl Fn(StepIx) -> I) -> BTreeSet<StepIx> {
    let mut found = BTreeSet::new();
    let mut open = vec![from];
    while let Some(step) = open.pop() {
        open.extend(next(step).filter(|s| found.insert(*s)));
    }
    found
}

/// The last instant at which undoing everything can start, so that it ends before the reserve; `None` without a window.
/// `undone_in`: a step whose undo takes another time.
pub(super) fn roll_back_by(
    graph: &Graph,
    times: &[Times],
    undone_in: Option<(StepIx, SignedDuration)>,
) -> Option<SignedDuration> {
    let window = graph.plan().window.as_ref()?;
    let closes = match &window.opening {
        Opening::At { opens, closes } => closes.duration_since(*opens),
        Opening::WhenStarted { lasts } => *lasts,
    };
    let cost = RollbackCost::new(graph);
    let mut cost = match undone_in {
        Some((step, worst)) => cost.with_worst(step, worst),
        None => cost,
    };
    cost.touch_all(graph, &undoable(graph, &forward_only(graph), times));
    Some(closes - window.reserve - cost.now())
}

fn rollback_of_everything(graph: &Graph, after: &BTreeSet<StepIx>, times: &[Times]) -> SignedDuration {
    let mut cost = RollbackCost::new(graph);
    for step in undoable(graph, after, times) {
        graph.actions_of(step).for_each(|_| cost.touch(graph, step));
    }
    cost.now()
}

/// The steps that a rollback would undo, in the order in which they are expected to start.
pub(super) fn undoable(graph: &Graph, after: &BTreeSet<StepIx>, times: &[Times]) -> Vec<StepIx> {
    let counts = |s: &StepIx| graph.step(*s).can_be_undone() && !after.contains(s) && !never_wanted(graph, *s);
    let mut steps: Vec<StepIx> = graph.step_ixs().filter(counts).collect();
    steps.sort_by_key(|s| (times[s.index()].start, *s));
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::sample::{december, gate, graph, plan, run};
    use crate::plan::model::{OnDeadline, Window};

    fn minutes_of(d: &[SignedDuration]) -> Vec<i64> {
        d.iter().map(SignedDuration::as_mins).collect()
    }

    #[test]
    fn the_night_fits_with_the_numbers_of_its_page() {
        let graph = graph(december());
        let fit = fit(&graph);
        let window = fit.window.clone().unwrap();
        assert_eq!((fit.finish_expected.as_mins(), fit.finish_worst.as_mins()), (242, 312));
        assert_eq!((window.rollback.as_mins(), window.roll_back_by.as_mins()), (55, 260));
        assert_eq!(window.at(window.roll_back_by).unwrap().to_string(), "2007-12-02T10:50:00Z");
        assert_eq!(minutes_of(&window.slack), [20, 20, 20, 20, 45, 20, 20, 20, 20, 20, 88]);
        assert_eq!(window.least_slack.as_mins(), 20);
        let path: Vec<u32> = fit.longest_path.iter().map(|s| s.0 + 1).collect();
        assert_eq!(path, [1, 2, 4, 6, 7, 8, 9, 10]);
        assert!(window.fits_expected && !window.fits_worst);
        let late = window.late_worst.unwrap();
        assert_eq!(
            (graph.step(late.step).id.as_str(), late.ends.as_mins(), late.limit.as_mins()),
            ("landing-test", 310, 260)
        );
    }

    /// As the engine has it: an approval ends the way back only where nothing else is left that judges or can be undone.
    #[test]
    fn what_follows_a_gate_can_be_rolled_back_unless_the_gate_is_the_end_of_it() {
        let deploy = || run("deploy", &["ready"], &["a"], "x").takes(20, 30).undone_by("y", 15);
        let first = vec![gate("ready", &[], "ready?", &[]).takes(5, 5), deploy()];
        assert!(forward_only(&graph(plan(first.clone()))).is_empty());
        let mut window = plan(first.clone());
        let opening = Opening::WhenStarted { lasts: SignedDuration::from_mins(120) };
        let reserve = SignedDuration::from_mins(10);
        window.window = Some(Window { opening, reserve, max_extension: None, on_deadline: OnDeadline::Rollback });
        let fit = fit(&graph(window)).window.unwrap();
        assert_eq!((fit.rollback.as_mins(), fit.roll_back_by.as_mins()), (15, 95));

        let tail = |id: &str| run(id, &["accept"], &["a"], "x").takes(1, 1);
        let accept = gate("accept", &["deploy"], "accept?", &[]).takes(5, 5);
        let announced = graph(plan([first.clone(), vec![accept.clone(), tail("announce")]].concat()));
        assert_eq!(forward_only(&announced), BTreeSet::from([StepIx(3)]));
        let changed = graph(plan([first, vec![accept, tail("more").undone_by("y", 1), tail("announce")]].concat()));
        assert!(forward_only(&changed).is_empty());
    }

    #[test]
    fn a_plan_that_cannot_fit_says_so_with_its_path() {
        let mut plan = plan(vec![
            run("backup", &[], &["a"], "x").takes(20, 20),
            run("deploy", &["backup"], &["a"], "x").takes(480, 480).undone_by("y", 60),
            gate("landing", &["deploy"], "ok?", &["client"]),
        ]);
        let opening = Opening::WhenStarted { lasts: SignedDuration::from_mins(330) };
        let reserve = SignedDuration::from_mins(15);
        plan.window = Some(Window { opening, reserve, max_extension: None, on_deadline: OnDeadline::Rollback });
        let graph = graph(plan);
        let fit = fit(&graph);
        let window = fit.window.unwrap();
        assert!(!window.fits_expected);
        assert_eq!(
            (fit.finish_expected.as_mins(), window.roll_back_by.as_mins(), window.least_slack.as_mins()),
            (500, 255, -245)
        );
        assert_eq!(graph.step(window.late_expected.unwrap().step).id, "deploy");
        assert_eq!(fit.longest_path.len(), 3);
        assert_eq!(window.opens, None);
    }

    #[test]
    fn without_a_window_there_is_a_longest_path_all_the_same() {
        let graph = graph(plan(vec![
            run("a", &[], &["h"], "x").takes(5, 5),
            run("b", &[], &["h"], "x").takes(9, 9),
            run("c", &["a", "b"], &["h"], "x").takes(1, 1),
        ]));
        let fit = fit(&graph);
        assert_eq!(fit.longest_path, [StepIx(1), StepIx(2)]);
        assert_eq!(slack(&graph), None);
    }
}
