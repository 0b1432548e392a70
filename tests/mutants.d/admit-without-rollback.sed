# --test all engine::decisions::forward_admission
# src/engine/deadline.rs
# Admission forgets the reserve and the rollback that would follow.
s/_ => self.state.start_of(rollback)?,/_ => self.state.window()?.closes,/
