# --test all scenarios::
# src/engine/apply_undo.rs
# Undos go along the needs instead of against them.
s/graph.all_dependants(step).count()/graph.all_needs(step).count()/
s/graph.all_needs(step).chain(self.cost/graph.all_dependants(step).chain(self.cost/
