# --lib schedule::advise::
# src/schedule/advise/change.rs
# What waited for two steps in a row waits for the second one only, once they run side by side.
/hand_on(plan, step, &\[edge\], |_| true);/d
