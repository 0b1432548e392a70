//! Limits on many hosts that could never be kept. Knows no order of steps.

use std::collections::BTreeMap;

use super::Checker;
use crate::plan::codes;
use crate::plan::diagnostic::{Diagnostic, Quoted};
use crate::plan::model::{Place, Plan};

impl Checker<'_> {
    /// `keep_up` must leave at least one host of each group that can be taken out of service.
    pub(super) fn keep_up(&mut self, plan: &Plan) {
        if self.machines.open {
            return;
        }
        let first_group = plan.groups_by_host();
        let mut sizes: BTreeMap<Option<&str>, usize> = BTreeMap::new();
        plan.hosts.keys().for_each(|h| *sizes.entry(first_group.get(h.as_str()).copied()).or_default() += 1);
        let raw = self.raw;
        for (name, row) in raw.steps.iter().flat_map(|s| &s.value.rows) {
            let given = row.value.keep_up.as_ref();
            let (Some(step), Some(given)) = (plan.steps.get(&name.value), given) else { continue };
            let Place::Hosts(hosts) = &step.place else { continue };
            let groups = hosts.iter().map(|h| first_group.get(h.as_str()).copied());
            let full = groups.map(|g| (g, sizes.get(&g).copied().unwrap_or(0))).find(|(_, n)| given.value.of(*n) >= *n);
            let Some((group, size)) = full else { continue };
            let group = group.map_or_else(|| "the hosts without a group".to_owned(), |g| Quoted(g).to_string());
            let d = Diagnostic::error(
                codes::RANGE,
                format!("`keep_up: {}` leaves no host of {group} that could be worked on", given.value),
            )
            .at(given.span, format!("it has {size}"));
            let help = match size {
                0 | 1 => {
                    "a group of one cannot stay up: leave `keep_up` out, or write a percentage below 100%".to_owned()
                }
                _ => format!("write `keep_up: {}` or less, or a percentage", size - 1),
            };
            self.found.push(d.help(help));
        }
    }
}
