# --test all driver::
# src/driver/run_loop.rs
# Effects are performed before their facts are durable.
/^        self.append(now, &batch.facts)?;/d
s/self.perform(batch.effects)?;/self.perform(batch.effects)?; self.append(now, \&batch.facts)?;/
