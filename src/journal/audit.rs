//! What people did about runs from outside of them, and why: locks removed, records removed, runs rebuilt. Knows nothing
//! of how it was done.

use jiff::Timestamp;
use rusqlite::{Row, params};

use super::JournalError;
use super::store::{Store, disk, instant};

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// The lock of a run was taken away from hosts.
    Unlocked,
    /// Records and logs of a run were removed; it cannot be undone any more.
    Pruned,
    /// The run was rebuilt from the records of its hosts.
    Recovered,
    /// A newer version did something that this one does not know.
    Unknown,
}

impl Deed {
    /// As people read it, and as it is stored.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unlocked => "unlocked",
            Self::Pruned => "pruned",
            Self::Recovered => "recovered",
            Self::Unknown => "unknown",
        }
    }

    fn of(word: &str) -> Self {
        [Self::Unlocked, Self::Pruned, Self::Recovered].into_iter().find(|d| d.word() == word).unwrap_or(Self::Unknown)
    }
}

/// One deed, with whoever answers for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audited {
    pub at: Timestamp,
    pub deed: Deed,
    /// The run; for a lock its name on hosts, for its store may be another one.
    pub run: String,
    pub by: String,
    pub reason: Option<String>,
}

impl Store {
    /// Writes a deed down. It is durable when this returns.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn audit(&mut self, done: &Audited) -> Result<(), JournalError> {
        let row = params![done.at.as_millisecond(), done.deed.word(), done.run, done.by, done.reason];
        let sql = "INSERT INTO audit (at, deed, run, by_whom, reason) VALUES (?1, ?2, ?3, ?4, ?5)";
        self.db.execute(sql, row).map(drop).map_err(|e| disk(&self.dir, e))
    }

    /// All deeds, newest first.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn audited(&self) -> Result<Vec<Audited>, JournalError> {
        let io = |e| disk(&self.dir, e);
        let sql = "SELECT at, deed, run, by_whom, reason FROM audit ORDER BY ordinal DESC";
        let mut query = self.db.prepare_cached(sql).map_err(io)?;
        let rows = query.query_map([], read).map_err(io)?;
        rows.collect::<Result<_, _>>().map_err(io)
    }

    /// Whether the records of this run were removed.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn is_pruned(&self, run: &str) -> Result<bool, JournalError> {
        Ok(self.audited()?.iter().any(|done| done.deed == Deed::Pruned && done.run == run))
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Audited> {
    Ok(Audited {
        at: instant(row.get(0)?),
        deed: Deed::of(&row.get::<_, String>(1)?),
        run: row.get(2)?,
        by: row.get(3)?,
        reason: row.get(4)?,
    })
}
