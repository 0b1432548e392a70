//! What steps took in earlier runs, and what people imported. A digest of the facts that is cheap to read; knows
//! nothing of how it was computed.
//!
//! A plan is known by its file's name or by its title: a new night has a new date in the one, or a new version in the other.
//! Runs in the lab are not here.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Row, Transaction, TransactionBehavior, params};

use super::JournalError;
use super::store::{RunRow, Store, disk, instant};

/// Nobody looks further back.
const RUNS: usize = 20;

/// What the hosts of one group took for one step, in one run or by one imported line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Duration {
    pub step: String,
    pub group: String,
    pub undone: bool,
    pub at: Timestamp,
    pub hosts: u32,
    pub least: SignedDuration,
    pub median: SignedDuration,
    pub most: SignedDuration,
}

/// A duration, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    /// The plan's stem and title; of an import, what people named.
    pub plan: String,
    pub title: String,
    /// `None`: imported.
    pub run: Option<String>,
    pub duration: Duration,
}

impl Store {
    /// The newest runs that are over and have facts which are not in the history, newest first; with the last fact of each.
    /// `None`: of every plan.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn not_in_history(&self, plan: Option<(&str, &str)>) -> Result<Vec<(RunRow, u64)>, JournalError> {
        let io = |e| disk(&self.dir, e);
        let ours = |run: &RunRow| plan.is_none_or(|(stem, title)| run.plan == stem || run.title == title);
        let over = self.runs()?.into_iter().filter(|run| run.closed.is_some() && run.stage.is_real() && ours(run));
        let mut query = self
            .db
            .prepare_cached(
                "SELECT h.seq FROM head h LEFT JOIN in_history i ON i.run = h.run \
                 WHERE h.run = ?1 AND h.seq IS NOT i.seq",
            )
            .map_err(io)?;
        let mut found = Vec::new();
        for run in over.take(if plan.is_some() { RUNS } else { usize::MAX }) {
            let mut rows = query.query([&run.id]).map_err(io)?;
            if let Some(row) = rows.next().map_err(io)? {
                let seq: i64 = row.get(0).map_err(io)?;
                found.push((run, seq as u64));
            }
        }
        Ok(found)
    }

    /// Keeps what a run took, up to its fact `seq`, in place of what was known of it.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn add_to_history(&mut self, run: &RunRow, seq: u64, all: &[Duration]) -> Result<(), JournalError> {
        let dir = self.dir.clone();
        let io = |e| disk(&dir, e);
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(io)?;
        tx.execute("DELETE FROM history WHERE run = ?1", [&run.id]).map_err(io)?;
        all.iter().try_for_each(|d| insert(&tx, &run.plan, &run.title, Some(&run.id), d)).map_err(io)?;
        tx.execute("INSERT OR REPLACE INTO in_history (run, seq) VALUES (?1, ?2)", params![run.id, seq as i64])
            .map_err(io)?;
        tx.commit().map_err(io)
    }

    /// Adds what people know, all or nothing. What is there already, exactly so, is not added again. Returns how many are
    /// new.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn import_history(&mut self, plan: &str, title: &str, all: &[Duration]) -> Result<usize, JournalError> {
        let dir = self.dir.clone();
        let io = |e| disk(&dir, e);
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(io)?;
        let mut new = 0;
        for d in all {
            let sql = "SELECT count(*) FROM history WHERE run IS NULL AND plan = ?1 AND step = ?2 AND host_group = ?3 \
                       AND undone = ?4 AND at = ?5 AND median = ?6";
            let same = params![plan, d.step, d.group, d.undone, d.at.as_millisecond(), millis(d.median)];
            let there: i64 = tx.query_row(sql, same, |row| row.get(0)).map_err(io)?;
            if there == 0 {
                insert(&tx, plan, title, None, d).map_err(io)?;
                new += 1;
            }
        }
        tx.commit().map_err(io)?;
        Ok(new)
    }

    /// What is known of a plan, newest first. `None`: of every plan.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn history(&self, plan: Option<(&str, &str)>) -> Result<Vec<Past>, JournalError> {
        let io = |e| disk(&self.dir, e);
        let (stem, title) = plan.unzip();
        let sql = "SELECT plan, title, run, step, host_group, undone, at, hosts, least, median, most FROM history \
                   WHERE ?1 IS NULL OR plan = ?1 OR title = ?2 ORDER BY at DESC, ordinal DESC";
        let mut query = self.db.prepare_cached(sql).map_err(io)?;
        let rows = query.query_map(params![stem, title], read).map_err(io)?;
        rows.collect::<Result<_, _>>().map_err(io)
    }
}

fn insert(tx: &Transaction<'_>, plan: &str, title: &str, run: Option<&str>, d: &Duration) -> rusqlite::Result<()> {
    let sql = "INSERT INTO history (plan, title, run, step, host_group, undone, at, hosts, least, median, most) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    let row = params![
        plan,
        title,
        run,
        d.step,
        d.group,
        d.undone,
        d.at.as_millisecond(),
        d.hosts,
        millis(d.least),
        millis(d.median),
        millis(d.most),
    ];
    tx.execute(sql, row).map(drop)
}

fn millis(d: SignedDuration) -> i64 {
    i64::try_from(d.as_millis()).unwrap_or(i64::MAX)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Past> {
    let duration = |i| row.get::<_, i64>(i).map(SignedDuration::from_millis);
    Ok(Past {
        plan: row.get(0)?,
        title: row.get(1)?,
        run: row.get(2)?,
        duration: Duration {
            step: row.get(3)?,
            group: row.get(4)?,
            undone: row.get(5)?,
            at: instant(row.get(6)?),
            hosts: row.get(7)?,
            least: duration(8)?,
            median: duration(9)?,
            most: duration(10)?,
        },
    })
}
