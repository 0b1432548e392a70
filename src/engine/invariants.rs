//! What must be true of every journal, whatever happened: named checks over facts. For tests and the simulator.
//!
//! The numbers are those of the reliability promises. Each check is a pure question about a list of facts, so it can
//! be asked of a simulated run, of a crashed and resumed one, and of the journal of a real night.

mod fleet;
mod horizon;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::fact::{Fact, FactRecord, RollbackCause, RunEnd};
use crate::graph::ids::{ActionId, AttemptId, Direction};
use crate::graph::outcome::{Outcome, Verdict};
use crate::graph::{Graph, StepIx, parts};

/// Looks for one violation and says what it is.
type Check = fn(&Graph, &[FactRecord]) -> Option<String>;

/// Every violation found, each with the invariant's name. Empty when all hold.
#[must_use]
pub fn violations(graph: &Graph, journal: &[FactRecord]) -> Vec<String> {
    let checks: [(&str, Check); 13] = [
        ("I1 numbered without gaps", invariant_numbered_without_gaps),
        ("I2 one start per attempt", invariant_one_start_per_attempt),
        ("I3 undone only what may have run, and all of it", invariant_undone_or_listed),
        ("I4 undo after death, and after the undos of dependants", invariant_undo_order),
        ("I5 nothing starts after the stop decision", invariant_no_start_after_stop),
        ("I10 the stop decision comes in time", invariant_stop_in_time),
        ("at_once, the canary and keep_up", fleet::invariant_limits),
        ("allow_failed", fleet::invariant_no_start_after_too_many_failed),
        ("I11 everything that ran has an end", invariant_everything_ends),
        ("what was red before the night is asked about", invariant_red_before_asks),
        ("a test that could not judge is asked about", invariant_unjudged_asks),
        ("no undo that has expired is executed", horizon::invariant_no_expired_undo),
        ("past a horizon only people roll back", horizon::invariant_only_people_roll_back),
    ];
    checks.iter().filter_map(|(name, check)| check(graph, journal).map(|why| format!("{name}: {why}"))).collect()
}

fn invariant_numbered_without_gaps(_: &Graph, journal: &[FactRecord]) -> Option<String> {
    let wrong = journal.iter().enumerate().find(|(i, r)| r.seq != *i as u64 + 1);
    let back = journal.windows(2).find(|w| w[1].at < w[0].at);
    wrong
        .map(|(i, r)| format!("fact {} has number {}", i + 1, r.seq))
        .or(back.map(|w| format!("fact {} goes back in time", w[1].seq)))
}

fn invariant_one_start_per_attempt(_: &Graph, journal: &[FactRecord]) -> Option<String> {
    let mut armed = BTreeSet::new();
    journal.iter().find_map(|r| match &r.fact {
        Fact::AttemptArmed { attempt } if !armed.insert(attempt.clone()) => Some(format!("{attempt} was armed twice")),
        _ => None,
    })
}

/// What is known of each action at the end.
#[derive(Default)]
struct Life {
    may_have_run: bool,
    /// Its host may be out of service because of it.
    drained: bool,
    open: BTreeMap<AttemptId, u64>,
    in_doubt: bool,
    first_undo: Option<u64>,
    undo_ended: Option<u64>,
    undone: bool,
}

fn lives(graph: &Graph, journal: &[FactRecord]) -> BTreeMap<ActionId, Life> {
    let mut lives: BTreeMap<ActionId, Life> = BTreeMap::new();
    for r in journal {
        match &r.fact {
            Fact::AttemptArmed { attempt } => {
                let life = lives.entry(attempt.action.clone()).or_default();
                life.open.insert(attempt.clone(), r.seq);
                match attempt.direction {
                    Direction::Drain | Direction::Do | Direction::Reboot | Direction::Undrain => life.in_doubt = false,
                    Direction::Undo | Direction::UndoUndrain => {
                        life.first_undo.get_or_insert(r.seq);
                    }
                    _ => {}
                }
            }
            Fact::AttemptEnded { attempt, outcome, .. } => {
                let atomic = graph.find(&attempt.action).is_some_and(|ix| graph.step_of(ix).atomic);
                let life = lives.entry(attempt.action.clone()).or_default();
                life.open.remove(attempt);
                match attempt.direction {
                    Direction::Do => {
                        life.in_doubt = matches!(outcome, Outcome::InDoubt { .. });
                        let clean = atomic && matches!(outcome, Outcome::Failed { .. });
                        life.may_have_run |= outcome.may_have_run() && !clean && !life.in_doubt;
                    }
                    Direction::Drain | Direction::Reboot | Direction::Undrain => {
                        life.in_doubt = matches!(outcome, Outcome::InDoubt { .. });
                        life.drained |= attempt.direction == Direction::Drain && outcome.may_have_run();
                        life.drained &= attempt.direction != Direction::Undrain || !outcome.is_success();
                    }
                    part if part.is_back() => {
                        life.undo_ended = Some(r.seq);
                        life.undone = outcome.is_success() && last_part(graph, attempt);
                    }
                    _ => {}
                }
            }
            Fact::ActionMarked { action, mark: super::fact::Mark::Undone, .. } => {
                let life = lives.entry(action.clone()).or_default();
                life.undone = true;
                life.undo_ended = Some(r.seq);
            }
            _ => {}
        }
    }
    lives
}

/// Whether nothing of the way back follows this attempt.
fn last_part(graph: &Graph, attempt: &AttemptId) -> bool {
    graph.find(&attempt.action).is_none_or(|ix| parts::after(graph.step_of(ix), attempt.direction).is_none())
}

fn end_of(journal: &[FactRecord]) -> Option<&RunEnd> {
    journal.iter().rev().find_map(|r| match &r.fact {
        Fact::RunEnded { end } => Some(end),
        _ => None,
    })
}

fn invariant_undone_or_listed(graph: &Graph, journal: &[FactRecord]) -> Option<String> {
    let listed = match end_of(journal)? {
        RunEnd::RolledBack { .. } => BTreeSet::new(),
        RunEnd::Stuck { actions } => actions.keys().cloned().collect(),
        RunEnd::Succeeded { .. } | RunEnd::Rejected => return None,
    };
    let rolled_back = journal.iter().any(|r| matches!(r.fact, Fact::RollbackDecided { .. }));
    let lives = lives(graph, journal);
    let left = lives.iter().find(|(id, life)| {
        let changes = graph.find(id).is_some_and(|ix| graph.step_of(ix).changes_something());
        let left = changes && (life.may_have_run || life.in_doubt) || life.drained;
        rolled_back && left && !life.undone && !listed.contains(*id)
    });
    let needless = lives
        .iter()
        .find(|(_, life)| life.first_undo.is_some() && !life.may_have_run && !life.drained && !life.in_doubt);
    left.map(|(id, _)| format!("{id} may have run and is neither undone nor listed as stuck"))
        .or(needless.map(|(id, _)| format!("{id} certainly did not run, and was undone")))
}

fn invariant_undo_order(graph: &Graph, journal: &[FactRecord]) -> Option<String> {
    let lives = lives(graph, journal);
    let ended_before = |seq: u64, attempt: &AttemptId| {
        journal.iter().any(|r| r.seq < seq && matches!(&r.fact, Fact::AttemptEnded { attempt: a, .. } if a == attempt))
    };
    for r in journal {
        let Fact::AttemptArmed { attempt } = &r.fact else { continue };
        let (Direction::Undo | Direction::UndoUndrain, Some(ix)) = (attempt.direction, graph.find(&attempt.action))
        else {
            continue;
        };
        let alive = journal.iter().take_while(|x| x.seq < r.seq).find_map(|x| match &x.fact {
            Fact::AttemptArmed { attempt: a }
                if a.action == attempt.action
                    && !a.direction.is_back()
                    && !a.direction.only_looks()
                    && !ended_before(r.seq, a) =>
            {
                Some(a.clone())
            }
            _ => None,
        });
        if let Some(alive) = alive {
            return Some(format!("{attempt} began while {alive} was not proven dead"));
        }
        let mut seen = BTreeSet::new();
        let mut open: Vec<StepIx> = graph.all_dependants(graph.action(ix).step).collect();
        while let Some(step) = open.pop() {
            if !seen.insert(step) {
                continue;
            }
            open.extend(graph.all_dependants(step));
            for other in graph.actions_of(step) {
                let Some(life) = lives.get(&graph.action(other).id) else { continue };
                let changes = graph.step(step).changes_something() && life.may_have_run || life.drained;
                if changes && life.undo_ended.is_none_or(|ended| ended > r.seq) {
                    return Some(format!("{attempt} began before the undo of {} had ended", graph.action(other).id));
                }
            }
        }
    }
    None
}

fn invariant_no_start_after_stop(_: &Graph, journal: &[FactRecord]) -> Option<String> {
    let stopped = journal.iter().find(|r| matches!(r.fact, Fact::RollbackDecided { .. }))?.seq;
    journal.iter().filter(|r| r.seq > stopped).find_map(|r| match &r.fact {
        Fact::AttemptArmed { attempt } if !attempt.direction.is_back() && attempt.action.step() != "after_rollback" => {
            Some(format!("{attempt} was armed after the stop decision"))
        }
        _ => None,
    })
}

/// The engine decides at the very instant of *roll back by*, so no decision may come later, except by a person.
fn invariant_stop_in_time(_: &Graph, journal: &[FactRecord]) -> Option<String> {
    let mut by: Option<Timestamp> = None;
    let mut kept = Timestamp::MIN;
    for r in journal {
        match &r.fact {
            Fact::RollBackByMoved { at, .. } => by = at.map(|at| at.max(kept)),
            // Only now it is known that there is a way back, and by when it must be taken.
            Fact::HorizonKept { .. } => kept = r.at,
            Fact::ReversibleEnded { .. } => by = None,
            // The recorded instant is the one of the displayed minute; the decision may use the rest of it.
            Fact::RollbackDecided { .. } => {
                let minute = jiff::SignedDuration::from_mins(1);
                return by
                    .filter(|by| r.at.duration_since(*by) > minute)
                    .map(|by| format!("decided {}, due {by}", r.at));
            }
            _ => {}
        }
    }
    None
}

fn invariant_everything_ends(graph: &Graph, journal: &[FactRecord]) -> Option<String> {
    end_of(journal)?;
    let lives = lives(graph, journal);
    lives
        .iter()
        .find(|(_, life)| !life.open.is_empty())
        .map(|(id, _)| format!("{id} has an attempt without an outcome"))
}

/// Unless nobody can be asked, or the test has become another one.
fn invariant_red_before_asks(_: &Graph, journal: &[FactRecord]) -> Option<String> {
    let Fact::RunStarted(run) = &journal.first()?.fact else { return None };
    if run.options.no_input || journal.iter().any(|r| matches!(r.fact, Fact::PlanAmended { .. })) {
        return None;
    }
    journal.iter().find_map(|r| match &r.fact {
        Fact::RollbackDecided { cause: RollbackCause::Failed { action } } if run.red_before(action) => {
            Some(format!("{action} was red before the night, and calls for a rollback"))
        }
        _ => None,
    })
}

/// Unless nobody can be asked, or what judges has become something else.
fn invariant_unjudged_asks(graph: &Graph, journal: &[FactRecord]) -> Option<String> {
    let Fact::RunStarted(run) = &journal.first()?.fact else { return None };
    if run.options.no_input || journal.iter().any(|r| matches!(r.fact, Fact::PlanAmended { .. })) {
        return None;
    }
    let mut ended = BTreeMap::new();
    journal.iter().find_map(|r| match &r.fact {
        Fact::AttemptEnded { attempt, outcome, .. } => {
            ended.insert(&attempt.action, outcome);
            None
        }
        Fact::RollbackDecided { cause: RollbackCause::Failed { action } } => {
            let step = graph.step_of(graph.find(action)?);
            let open = step.judges() && ended.get(action)?.verdict(step) == Verdict::Inconclusive;
            open.then(|| format!("{action} could not judge, and calls for a rollback"))
        }
        _ => None,
    })
}
