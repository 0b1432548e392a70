//! P3: every action of many plans, failing in every way, one at a time: what may have run is undone in order, or listed.

use std::sync::Arc;

use jiff::SignedDuration;
use runbook::engine::fact::{Fact, FactRecord, RunEnd, RunOptions};
use runbook::engine::input::Operator;
use runbook::engine::invariants::violations;
use runbook::graph::Graph;
use runbook::graph::ids::{ActionId, AttemptId, Direction};
use runbook::plan::model::OnFailure;
use runbook::sim::world::{Fate, Leaves, Script};
use runbook::sim::{Simulation, started, window_instants};

use super::plans::{Dice, RandomWorld, minutes, opens, random_plan};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    BeforeItsEffect,
    AfterItsEffect,
    Half,
    Hangs,
    HostLost,
    ItsUndoFails,
}

const FAULTS: [Fault; 6] =
    [Fault::BeforeItsEffect, Fault::AfterItsEffect, Fault::Half, Fault::Hangs, Fault::HostLost, Fault::ItsUndoFails];

/// Everything goes well, except for one action.
struct OneFault {
    fine: RandomWorld,
    target: ActionId,
    fault: Fault,
}

impl Script for OneFault {
    fn attempt(&mut self, graph: &Graph, attempt: &AttemptId) -> Fate {
        let fine = self.fine.attempt(graph, attempt);
        let takes = fine.takes;
        let it = attempt.action == self.target;
        match (self.fault, attempt.direction) {
            _ if !it => fine,
            (Fault::BeforeItsEffect, Direction::Do) => Fate::fails_after(takes, Leaves::Nothing),
            (Fault::AfterItsEffect | Fault::ItsUndoFails, Direction::Do) => Fate::fails_after(takes, Leaves::All),
            (Fault::Half, Direction::Do) => Fate::fails_after(takes, Leaves::Half),
            (Fault::Hangs, Direction::Do) => Fate { hangs: true, ..fine },
            (Fault::HostLost, Direction::Do) => Fate { unreachable_for: Some(minutes(2_000)), ..fine },
            (Fault::ItsUndoFails, Direction::Undo) => Fate::fails_after(SignedDuration::from_secs(1), Leaves::All),
            _ => fine,
        }
    }

    fn gate(&mut self, graph: &Graph, gate: &ActionId) -> Option<(SignedDuration, Operator)> {
        self.fine.gate(graph, gate)
    }
}

#[test]
fn every_action_failing_in_every_way_leaves_nothing_unlisted() {
    let (mut cases, mut stuck) = (0, 0);
    for seed in 0..50 {
        let mut plan = random_plan(&mut Dice(seed));
        // Room for every rollback: here it is the faults that are tested, not the deadline.
        plan.window.as_mut().unwrap().opening =
            runbook::plan::model::Opening::WhenStarted { lasts: SignedDuration::from_hours(14) };
        plan.steps.values_mut().for_each(|s| s.on_failure = OnFailure::Rollback);
        let graph = Arc::new(Graph::build(Arc::new(plan)));
        for target in graph.actions().iter().filter(|a| a.site.is_some()) {
            for fault in FAULTS {
                stuck += u32::from(run(seed, &graph, &target.id, fault));
                cases += 1;
            }
        }
    }
    assert!(cases > 2_000 && stuck > 100, "{cases} cases, {stuck} of them stuck: the test tests little");
}

fn run(seed: u64, graph: &Arc<Graph>, target: &ActionId, fault: Fault) -> bool {
    let fine = RandomWorld { seed, faults: 0, undo_faults: false, overruns: false };
    let mut script = OneFault { fine, target: target.clone(), fault };
    let first =
        started(graph, window_instants(graph.plan(), opens()), RunOptions { no_input: true, ..RunOptions::default() });
    let mut sim = Simulation::start(graph.clone(), first, opens(), &mut script);
    let end = sim.run(50_000);
    let case = format!("seed {seed}, {target}, {fault:?}");
    let end = end.unwrap_or_else(|e| panic!("{case}: {e}"));
    let found = violations(graph, &sim.journal);
    assert!(found.is_empty(), "{case}: {found:?}");
    let failed: Vec<&ActionId> = sim
        .journal
        .iter()
        .filter_map(|r| match &r.fact {
            Fact::ActionFailed { action, .. } => Some(action),
            _ => None,
        })
        .collect();
    // A lost host takes whatever else runs there with it.
    let expected = |a: &&ActionId| if fault == Fault::HostLost { a.host() == target.host() } else { *a == target };
    assert!(!failed.is_empty() && failed.iter().all(expected), "{case}: {failed:?} failed");
    // After the last gate failures hold; only what changes nothing can fail there in these plans. Past a horizon they do, too.
    let forward_only = |r: &FactRecord| matches!(r.fact, Fact::ReversibleEnded { .. } | Fact::HorizonCrossed { .. });
    let rolled_back = sim.journal.iter().any(|r| matches!(r.fact, Fact::RollbackDecided { .. }));
    if sim.journal.iter().any(forward_only) && !rolled_back {
        return matches!(end, RunEnd::Stuck { .. });
    }
    let listed = match &end {
        RunEnd::Stuck { actions } => actions.keys().collect(),
        _ => Vec::new(),
    };
    for left in sim.world.left_behind().keys() {
        let step = graph.find(left).map(|ix| graph.step_of(ix));
        let concerns_us = step.is_some_and(|s| s.changes_something() && !(s.atomic && left == target));
        assert!(!concerns_us || listed.contains(&left), "{case}: {left} is left behind and not listed, {end:?}");
    }
    let changes = graph.step_of(graph.find(target).unwrap()).changes_something();
    let is_stuck = matches!(end, RunEnd::Stuck { .. });
    let must_be_stuck = match fault {
        Fault::HostLost if changes => true,
        Fault::HostLost => is_stuck,
        Fault::ItsUndoFails => changes && !atomic(graph, target),
        _ => false,
    };
    assert_eq!(is_stuck, must_be_stuck, "{case}: {end:?}");
    is_stuck
}

fn atomic(graph: &Graph, id: &ActionId) -> bool {
    graph.step_of(graph.find(id).unwrap()).atomic
}
