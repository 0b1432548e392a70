# --test all engine::decisions::
# src/engine/apply.rs
# What failed is taken to have left nothing behind.
s/let harmless = !outcome.may_have_run()/let harmless = !outcome.is_success()/
