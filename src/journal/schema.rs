//! The tables of `journal.db` and how an older file becomes a newer one. Knows nothing of what is stored in them.

use rusqlite::{Connection, TransactionBehavior};

/// `user_version` of a file written by this program.
pub const VERSION: i64 = 6;

/// Step `n` brings a file from version `n` to `n + 1`. Steps are never edited once released, only added.
const MIGRATIONS: [&str; VERSION as usize] = [RUNS, DECISIONS, AUDIT, HISTORY, TOLD, OUTLIVED];

const DECISIONS: &str = r"
-- What people decided about plans before their nights. `resolved` is the plan that the digest is of, as JSON.
CREATE TABLE decision (
    ordinal     INTEGER PRIMARY KEY,
    plan        TEXT NOT NULL,
    at          INTEGER NOT NULL,
    verdict     TEXT NOT NULL,
    digest      TEXT NOT NULL,
    by_whom     TEXT NOT NULL,
    recorded_by TEXT NOT NULL,
    message     TEXT,
    resolved    TEXT NOT NULL
) STRICT;
CREATE INDEX decision_by_plan ON decision (plan);
";

const AUDIT: &str = r"
-- What people did about runs from outside of them. Times are milliseconds since 1970, UTC.
CREATE TABLE audit (
    ordinal INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    deed    TEXT NOT NULL,
    run     TEXT NOT NULL,
    by_whom TEXT NOT NULL,
    reason  TEXT
) STRICT;
";

const HISTORY: &str = r"
-- What steps took, by run and host group, or as people imported it (`run` is NULL). Durations are milliseconds.
CREATE TABLE history (
    ordinal    INTEGER PRIMARY KEY,
    plan       TEXT NOT NULL,
    title      TEXT NOT NULL,
    run        TEXT,
    step       TEXT NOT NULL,
    host_group TEXT NOT NULL,
    undone     INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    hosts      INTEGER NOT NULL,
    least      INTEGER NOT NULL,
    median     INTEGER NOT NULL,
    most       INTEGER NOT NULL
) STRICT;
CREATE INDEX history_by_plan ON history (plan);
CREATE INDEX history_by_title ON history (title);
CREATE INDEX history_by_run ON history (run);
-- Up to which fact a run is in the history.
CREATE TABLE in_history (
    run TEXT PRIMARY KEY,
    seq INTEGER NOT NULL
) STRICT;
";

const TOLD: &str = r"
-- What owners of hosts were told of a plan's windows. A row that has not `arrived` was on its way when its sender ended.
CREATE TABLE told (
    ordinal INTEGER PRIMARY KEY,
    plan    TEXT NOT NULL,
    owner   TEXT NOT NULL,
    wave    TEXT NOT NULL,
    channel TEXT NOT NULL,
    said    TEXT NOT NULL,
    at      INTEGER NOT NULL,
    by_whom TEXT NOT NULL,
    arrived INTEGER NOT NULL
) STRICT;
CREATE INDEX told_by_plan ON told (plan);
";

const OUTLIVED: &str = r"
-- On which hosts a process was seen to outlive its session, in which boot of them.
CREATE TABLE outlived (
    host TEXT PRIMARY KEY,
    boot TEXT NOT NULL,
    at   INTEGER NOT NULL
) STRICT;
";

const RUNS: &str = r"
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;
-- What a run was started with. Times are milliseconds since 1970, UTC.
CREATE TABLE run (
    id      TEXT PRIMARY KEY,
    ordinal INTEGER NOT NULL UNIQUE,
    plan    TEXT NOT NULL,
    title   TEXT NOT NULL,
    digest  TEXT NOT NULL,
    lab     INTEGER NOT NULL,
    created INTEGER NOT NULL,
    closed  INTEGER,
    ending  TEXT
) STRICT;
CREATE INDEX run_by_plan ON run (plan);
-- Apart from `run`, because a row is rewritten as a whole and plans are large.
CREATE TABLE frozen (
    run     TEXT PRIMARY KEY REFERENCES run (id),
    plan    TEXT NOT NULL,
    started TEXT NOT NULL,
    setup   TEXT NOT NULL
) STRICT;
CREATE TABLE fact (
    run  TEXT NOT NULL REFERENCES run (id),
    seq  INTEGER NOT NULL,
    at   TEXT NOT NULL,
    json TEXT NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;
-- The last fact of each run, so that one cut off at the end is missed.
CREATE TABLE head (
    run  TEXT PRIMARY KEY REFERENCES run (id),
    seq  INTEGER NOT NULL,
    hash BLOB NOT NULL
) STRICT;
CREATE TABLE lease (
    run     TEXT PRIMARY KEY REFERENCES run (id),
    owner   TEXT NOT NULL,
    host    TEXT NOT NULL,
    pid     INTEGER NOT NULL,
    socket  TEXT,
    epoch   INTEGER NOT NULL,
    since   INTEGER NOT NULL,
    renewed INTEGER NOT NULL,
    expires INTEGER NOT NULL
) STRICT;
";

/// How long a writer waits for another one.
pub const BUSY: std::time::Duration = std::time::Duration::from_secs(10);

/// How every connection is set up: WAL, and a commit returns only when it is on the disk.
pub fn configure(db: &Connection) -> rusqlite::Result<()> {
    db.busy_timeout(BUSY)?;
    db.pragma_update(None, "journal_mode", "wal")?;
    db.pragma_update(None, "synchronous", "full")?;
    db.pragma_update(None, "foreign_keys", true)?;
    db.pragma_update(None, "trusted_schema", false)?;
    db.set_prepared_statement_cache_capacity(32);
    Ok(())
}

/// Brings the file to [`VERSION`]. A newer file is left as it is, and its version returned.
pub fn migrate(db: &mut Connection) -> rusqlite::Result<i64> {
    if version(db)? >= VERSION {
        return version(db);
    }
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Read again: another process may have migrated while we waited for the lock.
    let found = version(&tx)?;
    for step in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        tx.execute_batch(step)?;
    }
    if found < VERSION {
        tx.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('written_by', ?1)", [env!("CARGO_PKG_VERSION")])?;
        tx.pragma_update(None, "user_version", VERSION)?;
    }
    tx.commit()?;
    version(db)
}

pub fn version(db: &Connection) -> rusqlite::Result<i64> {
    db.pragma_query_value(None, "user_version", |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlite_has_the_wal_reset_fix() {
        // Before 3.51.3, a writer and a checkpointing reader at the same instant could corrupt the file.
        assert!(rusqlite::version_number() >= 3_051_003, "{}", rusqlite::version());
    }

    #[test]
    fn commits_wait_for_the_disk() {
        let tmp = tempfile::tempdir().unwrap();
        let mut db = Connection::open(tmp.path().join("j")).unwrap();
        configure(&db).unwrap();
        assert_eq!(migrate(&mut db).unwrap(), VERSION);
        let mode: String = db.pragma_query_value(None, "journal_mode", |r| r.get(0)).unwrap();
        let synchronous: i64 = db.pragma_query_value(None, "synchronous", |r| r.get(0)).unwrap();
        assert_eq!((mode.as_str(), synchronous), ("wal", 2));
    }
}
