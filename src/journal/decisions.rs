//! What people decided about plans before their nights: go, no-go, another date. Knows nothing of runs.

use jiff::Timestamp;
use rusqlite::{Row, params};

use super::JournalError;
use super::store::{Store, disk, instant};

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Go,
    NoGo,
    /// The night is on another date now.
    Moved,
}

impl Verdict {
    const fn word(self) -> &'static str {
        match self {
            Self::Go => "go",
            Self::NoGo => "no_go",
            Self::Moved => "moved",
        }
    }

    fn of(word: &str) -> Self {
        match word {
            "go" => Self::Go,
            "moved" => Self::Moved,
            _ => Self::NoGo,
        }
    }

    /// As people say it.
    #[must_use]
    pub const fn said(self) -> &'static str {
        match self {
            Self::Go => "GO",
            Self::NoGo => "NO-GO",
            Self::Moved => "MOVED",
        }
    }
}

/// A decision about exactly one resolved plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The plan's stem.
    pub plan: String,
    pub at: Timestamp,
    pub verdict: Verdict,
    pub digest: String,
    /// Who decided, and who wrote it down.
    pub by: String,
    pub recorded_by: String,
    pub message: Option<String>,
    /// The resolved plan as JSON, for showing what has changed since.
    pub resolved: String,
}

impl Store {
    /// Writes a decision down. It is durable when this returns.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn decide(&mut self, decision: &Decision) -> Result<(), JournalError> {
        let row = params![
            decision.plan,
            decision.at.as_millisecond(),
            decision.verdict.word(),
            decision.digest,
            decision.by,
            decision.recorded_by,
            decision.message,
            decision.resolved,
        ];
        let sql = "INSERT INTO decision (plan, at, verdict, digest, by_whom, recorded_by, message, resolved) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        self.db.execute(sql, row).map(drop).map_err(|e| disk(&self.dir, e))
    }

    /// All decisions, or those about one plan; newest first.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn decisions(&self, plan: Option<&str>) -> Result<Vec<Decision>, JournalError> {
        let io = |e| disk(&self.dir, e);
        let sql = "SELECT plan, at, verdict, digest, by_whom, recorded_by, message, resolved FROM decision \
                   WHERE ?1 IS NULL OR plan = ?1 ORDER BY ordinal DESC";
        let mut query = self.db.prepare_cached(sql).map_err(io)?;
        let rows = query.query_map([plan], read).map_err(io)?;
        rows.collect::<Result<_, _>>().map_err(io)
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Decision> {
    Ok(Decision {
        plan: row.get(0)?,
        at: instant(row.get(1)?),
        verdict: Verdict::of(&row.get::<_, String>(2)?),
        digest: row.get(3)?,
        by: row.get(4)?,
        recorded_by: row.get(5)?,
        message: row.get(6)?,
        resolved: row.get(7)?,
    })
}
