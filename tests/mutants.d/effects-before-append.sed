# --test all driver::
# src/driver/run_loop.rs
# Effects are performed before their facts are durable.
/let scarce = self.append(now, &batch.facts)?;/d
s/self.perform(batch.effects, scarce);/self.perform(batch.effects, false); let scarce = self.append(now, \&batch.facts)?;/
