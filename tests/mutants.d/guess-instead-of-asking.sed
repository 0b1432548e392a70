# --test all sweep::a_killed_engine
# src/driver/run_loop.rs
# Whoever takes a run over believes that what was open never started, and does not ask the hosts.
/Effect::Probe(attempt) => {/,/^                }/s/self.ask(attempt);/self.never_started(attempt, NO_SITE);/
