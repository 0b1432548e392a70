//! Durable facts. Knows nothing of what they mean.
//!
//! The rule: facts are appended, in one durable transaction per turn, before any effect they explain is performed.
//! Any prefix of a journal is a state to resume from.

use jiff::Timestamp;

use crate::engine::fact::{Fact, FactRecord};

/// A store of runs. `append` is conditional on the writer's epoch and on the sequence number it expects, so that a
/// writer who lost the run cannot add to it.
pub trait Journal: Send {
    /// Makes `facts` durable as `expected_seq + 1 ..`, all or none.
    ///
    /// # Errors
    /// See [`JournalError`]; after [`JournalError::Io`] the journal must not be used again.
    fn append(&mut self, at: Timestamp, facts: &[Fact], expected_seq: u64) -> Result<Vec<FactRecord>, JournalError>;
}

#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("the run belongs to another controller now (epoch {theirs}, ours is {ours})")]
    Fenced { ours: u64, theirs: u64 },
    #[error("expected fact {expected}, the journal is at {found}")]
    Sequence { expected: u64, found: u64 },
    #[error("no space left for the journal at {path}")]
    Full { path: String },
    #[error("the journal at {path} cannot be written or read: {source}")]
    Io { path: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("the journal at {path} needs runbook {needed} or newer")]
    Newer { path: String, needed: String },
    #[error("the journal at {path} is damaged at fact {seq} of run {run}: {why}")]
    Damaged { path: String, run: String, seq: u64, why: String },
    #[error("there is no run {0}")]
    NoSuchRun(String),
}
