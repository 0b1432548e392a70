//! All runs of this machine: what each was started with, what has happened, who holds it. Adds runs, reads facts; only
//! a [`SqliteJournal`] adds facts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior, params};

use super::chain::{self, Hash};
use super::{JournalError, SqliteJournal, folder, names, schema};
use crate::engine::fact::{Fact, FactRecord, RunEnd, Stage};

/// How long a run stays ours without being renewed.
pub const LEASE_TTL: Duration = Duration::from_secs(15);
/// How often the owner renews.
pub const LEASE_RENEW: Duration = Duration::from_secs(5);

/// A write of another process that takes longer does not end by itself.
const STUCK_WRITE: Duration = Duration::from_secs(2);

const FILE: &str = "journal.db";
const RUN_COLUMNS: &str = "r.id, r.plan, r.title, r.digest, r.lab, r.created, r.closed, r.ending, \
    l.owner, l.host, l.pid, l.socket, l.epoch, l.since, l.renewed, l.expires";

/// One connection to the store. Any number of processes may have one.
#[derive(Debug)]
pub struct Store {
    pub(super) dir: PathBuf,
    pub(super) db: Connection,
}

/// What a run is started with; frozen for ever.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// The plan's stem: the run's name begins with it.
    pub plan: String,
    pub title: String,
    pub digest: String,
    pub stage: Stage,
    pub created: Timestamp,
}

/// The texts frozen with a run, all JSON. Part of the hash chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frozen {
    /// The resolved plan.
    pub plan: String,
    /// What the first fact says.
    pub started: String,
    /// How the controller reaches hosts and files.
    pub setup: String,
}

/// A run, as a list shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRow {
    pub id: String,
    pub plan: String,
    pub title: String,
    pub digest: String,
    pub stage: Stage,
    pub created: Timestamp,
    pub closed: Option<Timestamp>,
    /// Set together with `closed`.
    pub end: Option<RunEnd>,
    /// The last owner; `None` before the first.
    pub lease: Option<Lease>,
}

/// Who drives a run, by the store's own record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub run: String,
    pub owner: String,
    pub host: String,
    pub pid: u32,
    /// Path of the control socket.
    pub socket: Option<String>,
    /// Grows with every owner.
    pub epoch: u64,
    pub since: Timestamp,
    pub renewed: Timestamp,
    pub expires: Timestamp,
}

impl Lease {
    #[must_use]
    pub fn live(&self, now: Timestamp) -> bool {
        now < self.expires
    }
}

/// Who wants to drive a run.
#[derive(Debug, Clone)]
pub struct Claim {
    pub owner: String,
    pub host: String,
    pub pid: u32,
    pub socket: Option<String>,
    /// The epoch of an owner who may be replaced although its lease lives: its process is dead, or a person said so.
    pub over: Option<u64>,
}

impl Store {
    /// Opens the store in `dir`, making what is missing.
    ///
    /// # Errors
    /// When the folder is not ours alone, cannot be written, or was written by a newer version.
    pub fn open(dir: &Path) -> Result<Self, JournalError> {
        folder::prepare(dir)?;
        folder::private_file(dir, FILE)?;
        let mut db = connect(dir)?;
        let found = schema::migrate(&mut db).map_err(|e| disk(dir, e))?;
        if found > schema::VERSION {
            return Err(newer(dir, &db, found));
        }
        Ok(Self { dir: dir.to_owned(), db })
    }

    /// Opens the store in `dir` if there is one; makes nothing.
    ///
    /// # Errors
    /// Those of [`Store::open`].
    pub fn open_existing(dir: &Path) -> Result<Option<Self>, JournalError> {
        match dir.join(FILE).symlink_metadata() {
            Ok(_) => Self::open(dir).map(Some),
            Err(_) => Ok(None),
        }
    }

    /// Freezes a run, before its first fact. `blocks` judges each unfinished run of the same plan.
    ///
    /// # Errors
    /// [`JournalError::Unfinished`] with the run that stands in the way; those of the disk.
    pub fn create(
        &mut self,
        new: &NewRun,
        blocks: impl Fn(&RunRow) -> bool,
        frozen: impl FnOnce(&str) -> Frozen,
    ) -> Result<RunRow, JournalError> {
        folder::reserve(&self.dir);
        let dir = self.dir.clone();
        let io = |e| disk(&dir, e);
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(io)?;
        if let Some(open) = unfinished(&tx, &dir, &new.plan)?.into_iter().find(blocks) {
            return Err(JournalError::Unfinished(Box::new(open)));
        }
        let id = free_name(&tx, &new.plan).map_err(io)?;
        insert(&tx, &id, new, &frozen(&id)).map_err(io)?;
        tx.commit().map_err(io)?;
        self.run(&id)
    }

    /// Removes a run that never got its first fact. Says whether it did.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn discard(&mut self, run: &str) -> Result<bool, JournalError> {
        let dir = self.dir.clone();
        let io = |e| disk(&dir, e);
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(io)?;
        let facts: i64 = tx.query_row("SELECT count(*) FROM fact WHERE run = ?1", [run], |r| r.get(0)).map_err(io)?;
        if facts > 0 {
            return Ok(false);
        }
        for table in ["lease", "head", "frozen"] {
            tx.execute(&format!("DELETE FROM {table} WHERE run = ?1"), [run]).map_err(io)?;
        }
        tx.execute("DELETE FROM run WHERE id = ?1", [run]).map_err(io)?;
        tx.commit().map_err(io)?;
        Ok(true)
    }

    /// Every run, newest first.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn runs(&self) -> Result<Vec<RunRow>, JournalError> {
        select(&self.db, &self.dir, "TRUE", "")
    }

    /// Runs that have not ended, newest first.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn open_runs(&self) -> Result<Vec<RunRow>, JournalError> {
        select(&self.db, &self.dir, "r.closed IS NULL", "")
    }

    /// The run that a person means: its name, `latest`, or the beginning of exactly one name.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn run(&self, which: &str) -> Result<RunRow, JournalError> {
        let io = |e| disk(&self.dir, e);
        let mut query = self.db.prepare_cached("SELECT id FROM run ORDER BY ordinal DESC").map_err(io)?;
        let all = query.query_map([], |row| row.get(0)).map_err(io)?;
        let all: Vec<String> = all.collect::<Result<_, _>>().map_err(io)?;
        let id = names::resolve(which, &all)?;
        select(&self.db, &self.dir, "r.id = ?1", &id)?.pop().ok_or_else(|| JournalError::NoSuchRun(which.to_owned()))
    }

    /// What was frozen with a run.
    ///
    /// # Errors
    /// When there is no such run.
    pub fn frozen(&self, run: &str) -> Result<Frozen, JournalError> {
        frozen(&self.db, &self.dir, run)
    }

    /// The facts of a run after `since`, in order, with their chain verified from `since` on.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] names the first fact that is not what was written.
    pub fn facts(&self, run: &str, since: u64) -> Result<Vec<FactRecord>, JournalError> {
        read_facts(&self.db, &self.dir, run, since).map(|read| read.records)
    }

    /// Whether another process is in the middle of a write, and stays there for longer than any write takes.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn is_locked(&self) -> Result<bool, JournalError> {
        let io = |e| disk(&self.dir, e);
        self.db.busy_timeout(STUCK_WRITE).map_err(io)?;
        let begun = self.db.execute_batch("BEGIN IMMEDIATE; ROLLBACK");
        self.db.busy_timeout(schema::BUSY).map_err(io)?;
        match begun.map_err(io) {
            Ok(()) => Ok(false),
            Err(JournalError::Busy { .. }) => Ok(true),
            Err(e) => Err(e),
        }
    }

    /// A number that changes whenever another connection has committed. Costs no disk access.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn data_version(&self) -> Result<i64, JournalError> {
        self.db.pragma_query_value(None, "data_version", |row| row.get(0)).map_err(|e| disk(&self.dir, e))
    }

    /// Takes the run and hands over its journal, facts verified from the first.
    ///
    /// # Errors
    /// [`JournalError::Held`] while another owner's lease lives, unless the claim names that very owner.
    pub fn take(self, run: &str, claim: &Claim, now: Timestamp) -> Result<SqliteJournal, JournalError> {
        SqliteJournal::take(self, run, claim, now)
    }

    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The folder of a run's log files.
    #[must_use]
    pub fn run_dir(&self, run: &str) -> PathBuf {
        self.dir.join("runs").join(run)
    }
}

/// Facts that were read, and where the chain stands after them.
pub(super) struct Read {
    pub records: Vec<FactRecord>,
    pub seq: u64,
    pub hash: Hash,
}

pub(super) fn read_facts(db: &Connection, dir: &Path, run: &str, since: u64) -> Result<Read, JournalError> {
    // One read transaction: facts and head are of the same instant.
    let tx = db.unchecked_transaction().map_err(|e| disk(dir, e))?;
    let damaged = |seq: u64, why: &str| JournalError::Damaged {
        path: dir.join(FILE).display().to_string(),
        run: run.to_owned(),
        seq,
        why: why.to_owned(),
    };
    let head = head(&tx, dir, run)?;
    let mut hash = if since == 0 { origin(&tx, dir, run)? } else { hash_at(&tx, dir, run, since)?.unwrap_or(head.1) };
    let mut read = Read { records: Vec::new(), seq: since.min(head.0), hash };
    let io = |e| disk(dir, e);
    let mut query = tx
        .prepare_cached("SELECT seq, at, json, hash FROM fact WHERE run = ?1 AND seq > ?2 ORDER BY seq")
        .map_err(io)?;
    let mut rows = query.query(params![run, since as i64]).map_err(io)?;
    while let Some(row) = rows.next().map_err(io)? {
        let expected = read.seq + 1;
        let wrong = |e: rusqlite::Error| match e {
            rusqlite::Error::SqliteFailure(..) => disk(dir, e),
            other => damaged(expected, &other.to_string()),
        };
        let (seq, at, json): (i64, String, String) =
            (row.get(0).map_err(wrong)?, row.get(1).map_err(wrong)?, row.get(2).map_err(wrong)?);
        let stored: Hash = row.get(3).map_err(wrong)?;
        if seq as u64 != expected {
            return Err(damaged(expected, "it is missing"));
        }
        hash = chain::link(&hash, expected, &at, &json);
        if hash != stored {
            return Err(damaged(expected, "it is not what was written, or the one before it is not"));
        }
        let at: Timestamp = at.parse().map_err(|_| damaged(expected, "its time cannot be read"))?;
        let fact: Fact = serde_json::from_str(&json).map_err(|e| damaged(expected, &e.to_string()))?;
        read.records.push(FactRecord { seq: expected, at, fact });
        read.seq = expected;
        read.hash = hash;
    }
    if read.seq != head.0 || (read.hash != head.1 && since <= head.0) {
        return Err(damaged(read.seq + 1, "facts were cut off at the end"));
    }
    Ok(read)
}

/// What the first fact is chained to.
fn origin(db: &Connection, dir: &Path, run: &str) -> Result<Hash, JournalError> {
    let frozen = frozen(db, dir, run)?;
    Ok(genesis(run, &frozen))
}

fn genesis(run: &str, frozen: &Frozen) -> Hash {
    chain::genesis(run, &[&frozen.plan, &frozen.started, &frozen.setup])
}

fn head(db: &Connection, dir: &Path, run: &str) -> Result<(u64, Hash), JournalError> {
    let row = |r: &Row<'_>| Ok((r.get::<_, i64>(0)? as u64, r.get(1)?));
    let found = db.query_row("SELECT seq, hash FROM head WHERE run = ?1", [run], row).optional();
    found.map_err(|e| disk(dir, e))?.ok_or_else(|| JournalError::NoSuchRun(run.to_owned()))
}

fn hash_at(db: &Connection, dir: &Path, run: &str, seq: u64) -> Result<Option<Hash>, JournalError> {
    let found =
        db.query_row("SELECT hash FROM fact WHERE run = ?1 AND seq = ?2", params![run, seq as i64], |r| r.get(0));
    found.optional().map_err(|e| disk(dir, e))
}

fn frozen(db: &Connection, dir: &Path, run: &str) -> Result<Frozen, JournalError> {
    let row = |r: &Row<'_>| Ok(Frozen { plan: r.get(0)?, started: r.get(1)?, setup: r.get(2)? });
    let found = db.query_row("SELECT plan, started, setup FROM frozen WHERE run = ?1", [run], row).optional();
    found.map_err(|e| disk(dir, e))?.ok_or_else(|| JournalError::NoSuchRun(run.to_owned()))
}

fn connect(dir: &Path) -> Result<Connection, JournalError> {
    let db = Connection::open(dir.join(FILE)).map_err(|e| disk(dir, e))?;
    schema::configure(&db).map_err(|e| disk(dir, e))?;
    Ok(db)
}

fn newer(dir: &Path, db: &Connection, found: i64) -> JournalError {
    let written_by = db.query_row("SELECT value FROM meta WHERE key = 'written_by'", [], |r| r.get(0));
    let needed = written_by.unwrap_or_else(|_| format!("that knows format {found}"));
    JournalError::Newer { path: dir.join(FILE).display().to_string(), needed }
}

/// The error of the disk behind one of SQLite's.
pub(super) fn disk(dir: &Path, e: rusqlite::Error) -> JournalError {
    let path = dir.join(FILE).display().to_string();
    match e.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => JournalError::Full { path },
        Some(rusqlite::ErrorCode::ReadOnly) => {
            JournalError::Folder { path: dir.display().to_string(), why: "it is read-only".to_owned(), help: None }
        }
        Some(rusqlite::ErrorCode::DatabaseBusy) => JournalError::Busy { path },
        Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
            JournalError::Corrupt { path, why: e.to_string() }
        }
        _ => JournalError::Io { path, source: Box::new(e) },
    }
}

fn unfinished(tx: &Transaction<'_>, dir: &Path, plan: &str) -> Result<Vec<RunRow>, JournalError> {
    select(tx, dir, "r.closed IS NULL AND r.plan = ?1", plan)
}

fn select(db: &Connection, dir: &Path, filter: &str, argument: &str) -> Result<Vec<RunRow>, JournalError> {
    let io = |e| disk(dir, e);
    let sql = format!(
        "SELECT {RUN_COLUMNS} FROM run r LEFT JOIN lease l ON l.run = r.id WHERE {filter} ORDER BY r.ordinal DESC"
    );
    let mut query = db.prepare_cached(&sql).map_err(io)?;
    let rows =
        if query.parameter_count() == 0 { query.query_map([], run_row) } else { query.query_map([argument], run_row) };
    rows.map_err(io)?.collect::<Result<_, _>>().map_err(io)
}

fn run_row(row: &Row<'_>) -> rusqlite::Result<RunRow> {
    let id: String = row.get(0)?;
    let ending: Option<String> = row.get(7)?;
    let lease = match row.get::<_, Option<String>>(8)? {
        Some(owner) => Some(lease_columns(row, 8, &id, owner)?),
        None => None,
    };
    Ok(RunRow {
        plan: row.get(1)?,
        title: row.get(2)?,
        digest: row.get(3)?,
        stage: stage(row.get(4)?),
        created: instant(row.get(5)?),
        closed: row.get::<_, Option<i64>>(6)?.map(instant),
        end: ending.and_then(|text| serde_json::from_str(&text).ok()),
        lease,
        id,
    })
}

/// The lease in `row`, whose columns begin with the owner at `first`.
fn lease_columns(row: &Row<'_>, first: usize, run: &str, owner: String) -> rusqlite::Result<Lease> {
    Ok(Lease {
        run: run.to_owned(),
        owner,
        host: row.get(first + 1)?,
        pid: row.get(first + 2)?,
        socket: row.get(first + 3)?,
        epoch: row.get::<_, i64>(first + 4)? as u64,
        since: instant(row.get(first + 5)?),
        renewed: instant(row.get(first + 6)?),
        expires: instant(row.get(first + 7)?),
    })
}

pub(super) fn read_lease(db: &Connection, run: &str) -> rusqlite::Result<Option<Lease>> {
    let mut query =
        db.prepare_cached("SELECT owner, host, pid, socket, epoch, since, renewed, expires FROM lease WHERE run = ?1")?;
    query.query_row([run], |row| lease_columns(row, 0, run, row.get(0)?)).optional()
}

fn free_name(tx: &Transaction<'_>, plan: &str) -> rusqlite::Result<String> {
    let mut n = 0;
    loop {
        let id = names::name(plan, n);
        let taken: bool = tx.query_row("SELECT EXISTS (SELECT 1 FROM run WHERE id = ?1)", [&id], |r| r.get(0))?;
        if !taken {
            return Ok(id);
        }
        n += 1;
    }
}

pub(super) fn insert(tx: &Transaction<'_>, id: &str, new: &NewRun, frozen: &Frozen) -> rusqlite::Result<()> {
    tx.execute(
        "INSERT INTO run (id, ordinal, plan, title, digest, lab, created) \
         VALUES (?1, (SELECT coalesce(max(ordinal), 0) + 1 FROM run), ?2, ?3, ?4, ?5, ?6)",
        params![id, new.plan, new.title, new.digest, new.stage as i64, new.created.as_millisecond()],
    )?;
    tx.execute(
        "INSERT INTO frozen (run, plan, started, setup) VALUES (?1, ?2, ?3, ?4)",
        params![id, frozen.plan, frozen.started, frozen.setup],
    )?;
    tx.execute("INSERT INTO head (run, seq, hash) VALUES (?1, 0, ?2)", params![id, genesis(id, frozen)])?;
    Ok(())
}

/// The column began as a flag, and versions that know no rehearsals take one for a lab.
const fn stage(code: i64) -> Stage {
    match code {
        0 => Stage::Real,
        1 => Stage::Lab,
        _ => Stage::Rehearsal,
    }
}

/// Milliseconds since 1970 as an instant; a number out of range becomes the nearest one.
pub(super) fn instant(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(if ms < 0 { Timestamp::MIN } else { Timestamp::MAX })
}
