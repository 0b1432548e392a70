# --test all engine::decisions::what_is_not_idempotent
# src/engine/retry.rs
# Whatever failed is started again.
s/let repeatable = .*;/let repeatable = true;/
