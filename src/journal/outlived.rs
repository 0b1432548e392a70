//! On which machines a process was seen to outlive its session, and in which boot of theirs. Asks no machine.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Row, params};

use super::JournalError;
use super::store::{Store, disk};

impl Store {
    /// The boot of each host in which that was seen last, of what was seen not before `since`.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn outlived(&self, since: Timestamp) -> Result<BTreeMap<String, String>, JournalError> {
        let io = |e| disk(&self.dir, e);
        let mut query = self.db.prepare_cached("SELECT host, boot FROM outlived WHERE at >= ?1").map_err(io)?;
        let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let rows = query.query_map([since.as_millisecond()], read).map_err(io)?;
        rows.collect::<Result<_, _>>().map_err(io)
    }

    /// It was seen now, on each of these hosts in this boot of it.
    ///
    /// # Errors
    /// Those of the disk; nothing is written then.
    pub fn saw_outlive(&mut self, seen: &BTreeMap<String, String>, at: Timestamp) -> Result<(), JournalError> {
        let sql = "INSERT OR REPLACE INTO outlived (host, boot, at) VALUES (?1, ?2, ?3)";
        let mut write = || -> rusqlite::Result<()> {
            let tx = self.db.transaction()?;
            for (host, boot) in seen {
                tx.prepare_cached(sql)?.execute(params![host, boot, at.as_millisecond()])?;
            }
            tx.commit()
        };
        write().map_err(|e| disk(&self.dir, e))
    }
}
