//! Durable facts. Knows nothing of what they mean.
//!
//! The rule: facts are appended, in one durable transaction per turn, before any effect they explain is performed.
//! Any prefix of a journal is a state to resume from.
//!
//! A run is created with its frozen plan before its first fact; whoever takes its lease gets the only [`Journal`] that
//! can add to it. Every fact is chained to the one before it, down to the frozen plan, so that a change made behind our
//! back is named when the run is read. Before touching a table or a fact: can old code read new data, new code old
//! data, and does an old *writer* lose anything?

pub mod audit;
mod chain;
pub mod decisions;
mod folder;
pub mod history;
pub mod memory;
mod names;
mod outlived;
mod restore;
mod schema;
pub mod sqlite;
pub mod store;
pub mod told;

use jiff::Timestamp;

use crate::engine::fact::{Fact, FactRecord};

pub use folder::prepare as private_folder;
pub use memory::MemoryJournal;
pub use sqlite::SqliteJournal;
pub use store::{Claim, Lease, NewRun, RunRow, Store};

/// A store of runs. `append` is conditional on the writer's epoch and on the sequence number it expects, so that a
/// writer who lost the run cannot add to it.
pub trait Journal: Send {
    /// Makes `facts` durable as `expected_seq + 1 ..`, all or none.
    ///
    /// # Errors
    /// See [`JournalError`]; after [`JournalError::Io`] the journal must not be used again.
    fn append(&mut self, at: Timestamp, facts: &[Fact], expected_seq: u64) -> Result<Vec<FactRecord>, JournalError>;

    /// Keeps the run ours for another [`store::LEASE_TTL`].
    ///
    /// # Errors
    /// [`JournalError::Fenced`] when somebody else has taken it.
    fn renew(&mut self, now: Timestamp) -> Result<(), JournalError>;

    /// Gives up space that was set aside for the rollback of a run whose disk is full. Says whether there was any.
    fn release_reserve(&mut self) -> bool;

    /// Sets it aside again. Says whether there is room for that.
    fn set_reserve_aside(&mut self) -> bool;

    /// Ends our ownership, so that the next owner need not wait for the lease to run out.
    ///
    /// # Errors
    /// Those of the disk. A lease that is not ours any more is left alone.
    fn close(&mut self, now: Timestamp) -> Result<(), JournalError>;
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
    /// Nothing was written.
    #[error("another process keeps the journal at {path} locked")]
    Busy { path: String },
    /// Not even its tables can be read.
    #[error("the journal at {path} is damaged: {why}")]
    Corrupt { path: String, why: String },
    #[error("the journal at {path} needs runbook {needed} or newer")]
    Newer { path: String, needed: String },
    #[error("the journal at {path} is damaged at fact {seq} of run {run}: {why}")]
    Damaged { path: String, run: String, seq: u64, why: String },
    #[error("there is no run {0}")]
    NoSuchRun(String),
    #[error("`{given}` begins the names of several runs: {}", .matches.join(", "))]
    Ambiguous { given: String, matches: Vec<String> },
    /// The folder is not one in which a journal is safe, or it cannot be used at all.
    #[error("the folder for runs, {path}, cannot be used: {why}")]
    Folder { path: String, why: String, help: Option<String> },
    #[error("there is a run {0} already")]
    Taken(String),
    #[error("run {} of the same plan is not finished", .0.id)]
    Unfinished(Box<RunRow>),
    #[error("run {} is held by {} on {} (pid {}) until {}", .0.run, .0.owner, .0.host, .0.pid, .0.expires)]
    Held(Box<Lease>),
}

#[cfg(test)]
mod conformance;
