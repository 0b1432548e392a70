//! What owners of hosts were told of a plan's windows, by which channel. Knows nothing of runs, and sends nothing.
//!
//! A row is written before a message leaves, and completed when it has arrived: what was not completed may have arrived.

use jiff::Timestamp;
use rusqlite::{Row, params};

use super::JournalError;
use super::store::{Store, disk, instant};

/// One window of one owner, as it was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The plan's stem.
    pub plan: String,
    pub owner: String,
    /// Empty for a plan without waves.
    pub wave: String,
    pub channel: String,
    /// What was said of it: times and hosts.
    pub said: String,
    pub at: Timestamp,
    pub by: String,
    /// Whether it has certainly arrived at the channel.
    pub arrived: bool,
}

/// Rows that belong to one message that is on its way.
#[derive(Debug)]
pub struct OnItsWay(Vec<i64>);

impl Store {
    /// Writes down that this is about to be told. It is durable when this returns.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn about_to_tell(&mut self, rows: &[Told]) -> Result<OnItsWay, JournalError> {
        let sql = "INSERT INTO told (plan, owner, wave, channel, said, at, by_whom, arrived) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0)";
        let mut write = || -> rusqlite::Result<Vec<i64>> {
            let tx = self.db.transaction()?;
            let mut written = Vec::new();
            for Told { plan, owner, wave, channel, said, at, by, .. } in rows {
                tx.execute(sql, params![plan, owner, wave, channel, said, at.as_millisecond(), by])?;
                written.push(tx.last_insert_rowid());
            }
            tx.commit()?;
            Ok(written)
        };
        write().map(OnItsWay).map_err(|e| disk(&self.dir, e))
    }

    /// The message has arrived, or has certainly not.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn has_told(&mut self, message: &OnItsWay, arrived: bool) -> Result<(), JournalError> {
        let sql = match arrived {
            true => "UPDATE told SET arrived = 1 WHERE ordinal = ?1",
            false => "DELETE FROM told WHERE ordinal = ?1",
        };
        let mut write = || -> rusqlite::Result<()> {
            let tx = self.db.transaction()?;
            for ordinal in &message.0 {
                tx.execute(sql, [ordinal])?;
            }
            tx.commit()
        };
        write().map_err(|e| disk(&self.dir, e))
    }

    /// Everything that was told of a plan, in that order.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn told(&self, plan: &str) -> Result<Vec<Told>, JournalError> {
        let io = |e| disk(&self.dir, e);
        let sql =
            "SELECT plan, owner, wave, channel, said, at, by_whom, arrived FROM told WHERE plan = ?1 ORDER BY ordinal";
        let mut query = self.db.prepare_cached(sql).map_err(io)?;
        let rows = query.query_map([plan], read).map_err(io)?;
        rows.collect::<Result<_, _>>().map_err(io)
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Told> {
    Ok(Told {
        plan: row.get(0)?,
        owner: row.get(1)?,
        wave: row.get(2)?,
        channel: row.get(3)?,
        said: row.get(4)?,
        at: instant(row.get(5)?),
        by: row.get(6)?,
        arrived: row.get(7)?,
    })
}
