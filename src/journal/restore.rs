//! Putting a run into a store that it was not started in, with facts that were known before. Knows nothing of where they
//! come from.

use jiff::Timestamp;
use rusqlite::{TransactionBehavior, params};

use super::sqlite::append_all;
use super::store::{Frozen, NewRun, Store, disk, insert};
use super::{Claim, JournalError, RunRow};
use crate::engine::fact::FactRecord;

impl Store {
    /// Writes a run down under its own name, as if it had been here all the time and its owner had just left it. `epoch`
    /// is the highest that its hosts have seen, so that the next owner is above it.
    ///
    /// # Errors
    /// [`JournalError::Taken`] when there is a run of this name; those of the disk. Nothing is written then.
    pub fn restore(
        &mut self,
        id: &str,
        new: &NewRun,
        frozen: &Frozen,
        facts: &[FactRecord],
        (owner, epoch): (&Claim, u64),
        now: Timestamp,
    ) -> Result<RunRow, JournalError> {
        let dir = self.dir.clone();
        let io = |e| disk(&dir, e);
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(io)?;
        let taken: bool =
            tx.query_row("SELECT EXISTS (SELECT 1 FROM run WHERE id = ?1)", [id], |r| r.get(0)).map_err(io)?;
        if taken {
            return Err(JournalError::Taken(id.to_owned()));
        }
        insert(&tx, id, new, frozen).map_err(io)?;
        append_all(&tx, id, facts, &dir)?;
        let lease = "INSERT INTO lease (run, owner, host, pid, socket, epoch, since, renewed, expires) \
                     VALUES (?1, ?2, ?3, ?4, NULL, ?5, ?6, ?6, ?6)";
        tx.execute(lease, params![id, owner.owner, owner.host, owner.pid, epoch as i64, now.as_millisecond()])
            .map_err(io)?;
        tx.commit().map_err(io)?;
        self.run(id)
    }
}
