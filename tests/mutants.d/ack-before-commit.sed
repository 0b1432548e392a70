# --lib journal::conformance::
# src/journal/sqlite.rs
# An append is acknowledged, and its transaction dropped.
/let done = write(&tx, &self.run)?;/,/Ok(done)/s/tx.commit().map_err(io)?;/drop(tx);/
