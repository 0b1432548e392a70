//! What became of the attempts that an earlier owner left open, and asking again where a host could not be reached.
//! Decides nothing: it waits for the answers, so that the engine hears all of them before it starts anything.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Interval;

use super::RunLoop;
use crate::engine::input::Input;
use crate::graph::ids::AttemptId;
use crate::journal::JournalError;
use crate::transport::{Event, Report};

/// How long all answers together may take; who has not answered by then counts as not reachable for now.
const FINDING_OUT: Duration = Duration::from_secs(60);
const FIRST_AGAIN: SignedDuration = SignedDuration::from_secs(2);
const LAST_AGAIN: SignedDuration = SignedDuration::from_secs(30);
/// What the engine hears about a host that is still silent.
const SILENT: &str = "the host has not answered yet";

/// Attempts on hosts that could not be reached.
#[derive(Debug, Default)]
pub(super) struct Unreached {
    hosts: BTreeMap<AttemptId, Again>,
    /// Attempts that were to be ended; asked again, they are.
    to_kill: BTreeSet<AttemptId>,
}

#[derive(Debug)]
struct Again {
    /// `None` while the question is under way.
    at: Option<Timestamp>,
    wait: SignedDuration,
}

impl Unreached {
    /// When somebody is to be asked next.
    pub fn next(&self) -> Option<Timestamp> {
        self.hosts.values().filter_map(|again| again.at).min()
    }

    pub fn mark_to_be_killed(&mut self, attempt: &AttemptId) {
        self.to_kill.insert(attempt.clone());
    }

    pub fn is_to_be_killed(&self, attempt: &AttemptId) -> bool {
        self.to_kill.contains(attempt)
    }

    pub fn forget(&mut self, attempt: &AttemptId) {
        self.hosts.remove(attempt);
        self.to_kill.remove(attempt);
    }

    /// Returns whether it was among the unreached.
    fn reached(&mut self, attempt: &AttemptId) -> bool {
        self.hosts.remove(attempt).is_some()
    }

    fn missed(&mut self, attempt: &AttemptId, now: Timestamp) {
        let again = self.hosts.entry(attempt.clone()).or_insert(Again { at: None, wait: FIRST_AGAIN });
        again.at = now.checked_add(again.wait).ok();
        again.wait = (again.wait * 2).min(LAST_AGAIN);
    }

    /// Who is to be asked now.
    fn due(&mut self, now: Timestamp) -> Vec<AttemptId> {
        let due = self.hosts.iter_mut().filter(|(_, again)| again.at.is_some_and(|at| at <= now));
        let ask = |(attempt, again): (&AttemptId, &mut Again)| {
            again.at = None;
            attempt.clone()
        };
        due.map(ask).collect()
    }
}

impl RunLoop {
    /// Waits until everybody who was asked has answered, then tells the engine all of it in one turn. Says whether to
    /// go on; not when somebody wants this process to end.
    pub(super) async fn find_out(
        &mut self,
        stop: &mut Pin<&mut impl Future<Output = ()>>,
        heartbeat: &mut Interval,
    ) -> Result<bool, JournalError> {
        let limit = tokio::time::sleep(FINDING_OUT);
        tokio::pin!(limit);
        let mut found = Vec::new();
        while !self.progress.asked.is_empty() {
            tokio::select! {
                () = &mut *stop => return Ok(false),
                Some(report) = self.reports.1.recv() => {
                    // That the record exists says nothing yet: whether it still runs, or how it ended, follows at once.
                    if report.what != Event::Launched {
                        self.progress.asked.remove(&report.attempt);
                    }
                    found.push(report);
                }
                _ = heartbeat.tick() => self.keep(self.clock.now())?,
                () = &mut limit => break,
            }
        }
        // What failed comes first: it may forbid what would start because of the others.
        found.sort_by_key(|report| match &report.what {
            Event::Ended { outcome, .. } => u8::from(outcome.is_success()),
            _ => 2,
        });
        let mut inputs: Vec<Input> = found.into_iter().flat_map(|report| self.inputs(report)).collect();
        let silent = std::mem::take(&mut self.progress.asked);
        inputs.extend(silent.into_iter().map(|attempt| Input::LinkLost { attempt, why: SILENT.to_owned() }));
        inputs.push(Input::Tick);
        self.turn(inputs, Vec::new())?;
        Ok(true)
    }

    /// What the engine hears of a report.
    pub(super) fn inputs(&mut self, report: Report) -> Vec<Input> {
        let attempt = report.attempt;
        vec![match report.what {
            Event::Launched | Event::Running if self.progress.unreached.reached(&attempt) => {
                return vec![Input::AttemptLaunched { attempt: attempt.clone() }, Input::LinkRestored { attempt }];
            }
            Event::Launched | Event::Running => Input::AttemptLaunched { attempt },
            Event::LinkLost { why } => Input::LinkLost { attempt, why },
            Event::LinkRestored => Input::LinkRestored { attempt },
            Event::Unreachable { why } => {
                if self.progress.open.contains(&attempt) {
                    self.progress.unreached.missed(&attempt, self.clock.now());
                }
                Input::Unreachable { attempt, why }
            }
            Event::Ended { outcome, evidence } => Input::AttemptEnded { attempt, outcome, evidence },
        }]
    }

    /// Asks those that could not be reached once more.
    pub(super) fn ask_again(&mut self) {
        for attempt in self.progress.unreached.due(self.clock.now()) {
            self.ask(attempt);
        }
    }
}
