# --lib journal::conformance::
# src/journal/sqlite.rs
# A writer that lost the run goes on writing.
s/if theirs != self.epoch {/if theirs < self.epoch {/
