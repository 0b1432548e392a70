//! The journal of a rehearsal: its facts carry the time of the evening, its lease and its place among the runs that of
//! this world. Decides nothing.

use jiff::Timestamp;

use super::hosts::ModelHosts;
use crate::driver::clock;
use crate::engine::fact::{Fact, FactRecord};
use crate::journal::{Journal, JournalError, SqliteJournal};

/// A journal whose lease other processes of this machine can judge, and whose run ended today. What it records as begun
/// begins at that very instant, however long it takes to be recorded.
#[derive(Debug)]
pub struct OwnTime(pub SqliteJournal, pub ModelHosts);

impl Journal for OwnTime {
    fn append(&mut self, at: Timestamp, facts: &[Fact], expected_seq: u64) -> Result<Vec<FactRecord>, JournalError> {
        let records = self.0.append(at, facts, expected_seq)?;
        for record in &records {
            if let Fact::AttemptArmed { attempt } = &record.fact {
                self.1.begins(attempt.clone(), record.at);
            }
        }
        if facts.iter().any(|fact| matches!(fact, Fact::RunEnded { .. })) {
            self.0.list_as_ended(clock::now())?;
        }
        Ok(records)
    }

    fn renew(&mut self, _: Timestamp) -> Result<(), JournalError> {
        self.0.renew(clock::now())
    }

    fn release_reserve(&mut self) -> bool {
        self.0.release_reserve()
    }

    fn set_reserve_aside(&mut self) -> bool {
        self.0.set_reserve_aside()
    }

    fn close(&mut self, _: Timestamp) -> Result<(), JournalError> {
        self.0.close(clock::now())
    }
}
