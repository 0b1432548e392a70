//! The journal of one run in SQLite, held by its owner. Knows nothing of other runs.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};

use super::chain::{self, Hash};
use super::store::{LEASE_TTL, disk, read_facts, read_lease};
use super::{Claim, Journal, JournalError, Store, folder};
use crate::engine::fact::{Fact, FactRecord};

/// The one writer of a run, as long as its epoch is the store's.
#[derive(Debug)]
pub struct SqliteJournal {
    store: Store,
    run: String,
    epoch: u64,
    /// Facts that were there when the run was taken.
    found: Vec<FactRecord>,
    /// After an error of the disk nothing is known of what was kept: no further write is tried.
    retired: bool,
}

impl SqliteJournal {
    pub(super) fn take(store: Store, run: &str, claim: &Claim, now: Timestamp) -> Result<Self, JournalError> {
        let io = |e| disk(&store.dir, e);
        let tx = begin(&store.db).map_err(io)?;
        let before = read_lease(&tx, run).map_err(io)?;
        if let Some(lease) = before.as_ref().filter(|lease| lease.live(now) && claim.over != Some(lease.epoch)) {
            return Err(JournalError::Held(Box::new(lease.clone())));
        }
        let epoch = before.map_or(1, |lease| lease.epoch + 1);
        write_lease(&tx, run, claim, epoch, now).map_err(io)?;
        tx.commit().map_err(io)?;
        let found = read_facts(&store.db, &store.dir, run, 0)?.records;
        Ok(Self { store, run: run.to_owned(), epoch, found, retired: false })
    }

    /// Grows with every owner; hosts refuse lower ones.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The facts that were there when the run was taken; empty for a new run.
    #[must_use]
    pub fn found(&self) -> &[FactRecord] {
        &self.found
    }

    /// Executes `write` in one transaction in which the run is proven to be ours.
    fn owned<T>(
        &mut self,
        write: impl FnOnce(&Transaction<'_>, &str) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        if self.retired {
            return Err(self.store_error(rusqlite::Error::InvalidQuery));
        }
        let result = self.transact(write);
        self.retired = matches!(result, Err(JournalError::Io { .. } | JournalError::Corrupt { .. }));
        result
    }

    fn transact<T>(
        &self,
        write: impl FnOnce(&Transaction<'_>, &str) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        let io = |e| disk(&self.store.dir, e);
        let tx = begin(&self.store.db).map_err(io)?;
        let theirs = read_lease(&tx, &self.run).map_err(io)?.map_or(0, |lease| lease.epoch);
        if theirs != self.epoch {
            return Err(JournalError::Fenced { ours: self.epoch, theirs });
        }
        let done = write(&tx, &self.run)?;
        tx.commit().map_err(io)?;
        Ok(done)
    }

    fn store_error(&self, e: rusqlite::Error) -> JournalError {
        disk(&self.store.dir, e)
    }
}

impl Journal for SqliteJournal {
    fn append(&mut self, at: Timestamp, facts: &[Fact], expected_seq: u64) -> Result<Vec<FactRecord>, JournalError> {
        if facts.is_empty() {
            return Ok(Vec::new());
        }
        let dir = self.store.dir.clone();
        self.owned(|tx, run| {
            let found = head(tx, run).map_err(|e| disk(&dir, e))?.0;
            if found != expected_seq {
                return Err(JournalError::Sequence { expected: expected_seq + 1, found });
            }
            let record = |(seq, fact): (u64, &Fact)| FactRecord { seq, at, fact: fact.clone() };
            let records: Vec<FactRecord> = (expected_seq + 1..).zip(facts).map(record).collect();
            append_all(tx, run, &records, &dir)?;
            Ok(records)
        })
    }

    fn renew(&mut self, now: Timestamp) -> Result<(), JournalError> {
        let dir = self.store.dir.clone();
        self.owned(|tx, run| {
            let sql = "UPDATE lease SET renewed = ?2, expires = ?3 WHERE run = ?1";
            tx.execute(sql, params![run, now.as_millisecond(), expiry(now).as_millisecond()])
                .map_err(|e| disk(&dir, e))?;
            Ok(())
        })
    }

    fn release_reserve(&mut self) -> bool {
        folder::release(&self.store.dir)
    }

    fn set_reserve_aside(&mut self) -> bool {
        folder::reserve(&self.store.dir)
    }

    fn close(&mut self, now: Timestamp) -> Result<(), JournalError> {
        let dir = self.store.dir.clone();
        let closed = self.owned(|tx, run| {
            let sql = "UPDATE lease SET expires = ?2 WHERE run = ?1";
            tx.execute(sql, params![run, now.as_millisecond()]).map_err(|e| disk(&dir, e))?;
            Ok(())
        });
        match closed {
            Err(JournalError::Fenced { .. }) => Ok(()),
            other => other,
        }
    }
}

impl SqliteJournal {
    /// Lists the run as ended at another time than its facts say.
    ///
    /// # Errors
    /// Those of [`Journal::append`].
    pub fn list_as_ended(&mut self, at: Timestamp) -> Result<(), JournalError> {
        let dir = self.store.dir.clone();
        self.owned(|tx, run| {
            let sql = "UPDATE run SET closed = ?2 WHERE id = ?1 AND closed IS NOT NULL";
            tx.execute(sql, params![run, at.as_millisecond()]).map_err(|e| disk(&dir, e))?;
            Ok(())
        })
    }
}

/// Chains these facts to those that are there.
pub(super) fn append_all(
    tx: &Transaction<'_>,
    run: &str,
    records: &[FactRecord],
    dir: &std::path::Path,
) -> Result<(), JournalError> {
    let io = |e| disk(dir, e);
    let (mut last, mut hash) = head(tx, run).map_err(io)?;
    for FactRecord { seq, at, fact } in records {
        let (time, json) = (at.to_string(), text(fact, dir)?);
        hash = chain::link(&hash, *seq, &time, &json);
        insert(tx, run, *seq, &time, &json, &hash).map_err(io)?;
        match fact {
            Fact::RunEnded { end } => close_run(tx, run, *at, &text(end, dir)?).map_err(io)?,
            // By hand, after the end: the run is open again.
            Fact::RollbackDecided { .. } => reopen_run(tx, run).map_err(io)?,
            _ => {}
        }
        last = *seq;
    }
    move_head(tx, run, last, &hash).map_err(io)
}

/// A write transaction that takes its lock at once: a later upgrade could fail however long it waits.
fn begin(db: &Connection) -> rusqlite::Result<Transaction<'_>> {
    Transaction::new_unchecked(db, TransactionBehavior::Immediate)
}

fn expiry(now: Timestamp) -> Timestamp {
    SignedDuration::try_from(LEASE_TTL).ok().and_then(|ttl| now.checked_add(ttl).ok()).unwrap_or(Timestamp::MAX)
}

fn write_lease(tx: &Transaction<'_>, run: &str, claim: &Claim, epoch: u64, now: Timestamp) -> rusqlite::Result<()> {
    tx.execute(
        "INSERT OR REPLACE INTO lease (run, owner, host, pid, socket, epoch, since, renewed, expires) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8)",
        params![
            run,
            claim.owner,
            claim.host,
            claim.pid,
            claim.socket,
            epoch as i64,
            now.as_millisecond(),
            expiry(now).as_millisecond()
        ],
    )?;
    Ok(())
}

fn head(tx: &Transaction<'_>, run: &str) -> rusqlite::Result<(u64, Hash)> {
    let mut query = tx.prepare_cached("SELECT seq, hash FROM head WHERE run = ?1")?;
    let found = query.query_row([run], |row| Ok((row.get::<_, i64>(0)? as u64, row.get(1)?))).optional()?;
    found.ok_or(rusqlite::Error::QueryReturnedNoRows)
}

fn insert(tx: &Transaction<'_>, run: &str, seq: u64, at: &str, json: &str, hash: &Hash) -> rusqlite::Result<()> {
    let mut query = tx.prepare_cached("INSERT INTO fact (run, seq, at, json, hash) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    query.execute(params![run, seq as i64, at, json, hash]).map(|_| ())
}

fn move_head(tx: &Transaction<'_>, run: &str, seq: u64, hash: &Hash) -> rusqlite::Result<()> {
    let mut query = tx.prepare_cached("UPDATE head SET seq = ?2, hash = ?3 WHERE run = ?1")?;
    query.execute(params![run, seq as i64, hash]).map(|_| ())
}

fn close_run(tx: &Transaction<'_>, run: &str, at: Timestamp, end: &str) -> rusqlite::Result<()> {
    let mut query = tx.prepare_cached("UPDATE run SET closed = ?2, ending = ?3 WHERE id = ?1")?;
    query.execute(params![run, at.as_millisecond(), end]).map(|_| ())
}

fn reopen_run(tx: &Transaction<'_>, run: &str) -> rusqlite::Result<()> {
    let mut query = tx.prepare_cached("UPDATE run SET closed = NULL, ending = NULL WHERE id = ?1")?;
    query.execute([run]).map(|_| ())
}

fn text(value: &impl serde::Serialize, dir: &std::path::Path) -> Result<String, JournalError> {
    let path = || dir.join("journal.db").display().to_string();
    serde_json::to_string(value).map_err(|e| JournalError::Io { path: path(), source: Box::new(e) })
}
