//! What must be true past a rollback horizon. Counts by itself, from the facts and the plan.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::fact::{Channel, Fact, FactRecord, Mark, RollbackCause};
use crate::graph::ids::{ActionId, Direction};
use crate::graph::outcome::Outcome;
use crate::graph::{Graph, horizon};

/// What has been opened by some point of a run, and what has run by then and would lose by it.
#[derive(Default)]
struct Opened<'j> {
    by: BTreeMap<&'j str, BTreeSet<&'j ActionId>>,
    /// Actions whose undo may expire, that may have run.
    ran: BTreeSet<&'j ActionId>,
}

impl<'j> Opened<'j> {
    fn read(&mut self, graph: &'j Graph, fact: &'j Fact) {
        match fact {
            Fact::AttemptArmed { attempt } if attempt.direction == Direction::Do => {
                self.ran.insert(&attempt.action);
                self.open(graph, &attempt.action);
            }
            Fact::ActionMarked { action, mark: Mark::Done, .. } => self.open(graph, action),
            Fact::ActionMarked { action, mark: Mark::Undone, .. } => {
                self.ran.remove(action);
            }
            Fact::AttemptEnded { attempt, outcome, .. } if attempt.direction == Direction::Do => {
                let Some(step) = graph.find(&attempt.action).map(|ix| graph.step_of(ix)) else { return };
                let clean = step.atomic && matches!(outcome, Outcome::Failed { .. });
                // Only a first try can prove that nothing at all has happened.
                if attempt.number == 1 && (clean || !outcome.may_have_run()) {
                    self.ran.remove(&attempt.action);
                    self.by.values_mut().for_each(|by| _ = by.remove(&attempt.action));
                }
            }
            _ => {}
        }
    }

    fn open(&mut self, graph: &'j Graph, action: &'j ActionId) {
        let opens = graph.find(action).and_then(|ix| graph.step_of(ix).opens.as_deref());
        if let Some(name) = opens {
            self.by.entry(name).or_default().insert(action);
        }
    }

    /// What makes the undo of this action lose something.
    fn expired(&self, graph: &'j Graph, action: &ActionId) -> Option<&'j str> {
        let name = horizon::until(graph.step_of(graph.find(action)?))?;
        self.by.get(name.as_str()).is_some_and(|by| !by.is_empty()).then_some(name)
    }
}

pub(super) fn invariant_no_expired_undo(graph: &Graph, journal: &[FactRecord]) -> Option<String> {
    let mut opened = Opened::default();
    for record in journal {
        if let Fact::AttemptArmed { attempt } = &record.fact
            && attempt.direction == Direction::Undo
            && let Some(name) = opened.expired(graph, &attempt.action)
            && opened.by[name].iter().all(|by| surely_ran(journal, by, record.seq))
        {
            return Some(format!("{attempt} began although {name} had opened"));
        }
        opened.read(graph, &record.fact);
    }
    None
}

/// Whether some attempt of the work has ended by then and left something.
fn surely_ran(journal: &[FactRecord], action: &ActionId, before: u64) -> bool {
    journal.iter().take_while(|r| r.seq < before).any(|r| {
        matches!(&r.fact, Fact::AttemptEnded { attempt, outcome, .. }
            if attempt.action == *action && attempt.direction == Direction::Do && outcome.is_success())
    })
}

pub(super) fn invariant_only_people_roll_back(graph: &Graph, journal: &[FactRecord]) -> Option<String> {
    let mut opened = Opened::default();
    for record in journal {
        if let Fact::RollbackDecided { cause } = &record.fact {
            let person = match cause {
                RollbackCause::Person { by, .. } | RollbackCause::Rejected { by, .. } => by.channel != Channel::Engine,
                _ => false,
            };
            let lost = opened.ran.iter().find(|action| {
                opened.expired(graph, action).is_some_and(|name| {
                    opened.by[name].iter().any(|by| surely_ran(journal, by, record.seq))
                        && surely_ran(journal, action, record.seq)
                })
            });
            return lost.filter(|_| !person).map(|action| format!("{cause:?}, and the undo of {action} had expired"));
        }
        opened.read(graph, &record.fact);
    }
    None
}
