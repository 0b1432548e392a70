# --test all engine::properties::
# src/engine/rollback.rs
# The end of the window ends a rollback that is under way.
s/^        self.end_running();$/        if self.state.window().is_some_and(|w| self.now >= w.closes) { return self.end(RunEnd::Stuck { actions: self.stuck() }); }\n&/
