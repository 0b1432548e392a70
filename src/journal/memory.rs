//! A journal that forgets: for tests of what lies above it. Promises what the durable one promises, but for a crash.

use jiff::Timestamp;

use super::{Journal, JournalError};
use crate::engine::fact::{Fact, FactRecord};

/// Facts in memory, with the same conditions on `append` as the durable journal.
#[derive(Debug, Default)]
pub struct MemoryJournal {
    records: Vec<FactRecord>,
    epoch: u64,
    theirs: u64,
}

impl MemoryJournal {
    #[must_use]
    pub fn records(&self) -> &[FactRecord] {
        &self.records
    }

    /// Lets another controller take the run: from here on this writer is refused.
    pub const fn taken_by_another(&mut self) {
        self.theirs = self.epoch + 1;
    }

    const fn check(&self) -> Result<(), JournalError> {
        if self.theirs > self.epoch {
            return Err(JournalError::Fenced { ours: self.epoch, theirs: self.theirs });
        }
        Ok(())
    }
}

impl Journal for MemoryJournal {
    fn append(&mut self, at: Timestamp, facts: &[Fact], expected_seq: u64) -> Result<Vec<FactRecord>, JournalError> {
        self.check()?;
        let found = self.records.len() as u64;
        if found != expected_seq {
            return Err(JournalError::Sequence { expected: expected_seq + 1, found });
        }
        let new = (expected_seq + 1..).zip(facts).map(|(seq, fact)| FactRecord { seq, at, fact: fact.clone() });
        self.records.extend(new);
        Ok(self.records[found as usize..].to_vec())
    }

    fn renew(&mut self, _now: Timestamp) -> Result<(), JournalError> {
        self.check()
    }

    fn release_reserve(&mut self) -> bool {
        false
    }

    fn set_reserve_aside(&mut self) -> bool {
        true
    }

    fn close(&mut self, _now: Timestamp) -> Result<(), JournalError> {
        Ok(())
    }
}
