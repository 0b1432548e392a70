# --lib journal::schema::
# src/journal/schema.rs
# A commit does not wait for the disk.
s/"synchronous", "full"/"synchronous", "normal"/
