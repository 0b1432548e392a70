//! The groups of hosts by which `keep_up` counts: each host in its first group, hosts in no group together. A group counts
//! as a whole, also where a wave touches only a part of it. Knows nothing of what has run.

use std::collections::HashMap;

use super::action::{ActionIx, StepIx};
use super::build::Graph;
use super::job::Site;

/// Which group each action's host counts in.
#[derive(Debug, Clone, Default)]
pub struct Groups {
    /// By action; `None` for what runs on no host of the plan.
    spots: Vec<Option<Spot>>,
    names: Vec<String>,
    sizes: Vec<usize>,
}

/// A host and its group, by their places among the plan's hosts and among the groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spot {
    pub host: u32,
    pub group: u32,
}

impl Groups {
    #[must_use]
    pub fn of(graph: &Graph) -> Self {
        let plan = graph.plan();
        let first_group = plan.groups_by_host();
        let (mut names, mut by_name) = (Vec::new(), HashMap::new());
        let mut group_of = |host: &str| {
            let name = first_group.get(host).copied().unwrap_or("no group");
            *by_name.entry(name).or_insert_with(|| {
                names.push(name.to_owned());
                names.len() as u32 - 1
            })
        };
        let hosts = plan.hosts.keys().enumerate();
        let by_host: HashMap<&str, Spot> =
            hosts.map(|(i, host)| (host.as_str(), Spot { host: i as u32, group: group_of(host) })).collect();
        let elsewhere = first_group.keys().copied().filter(|host| !plan.hosts.contains_key(*host));
        let members: Vec<u32> = plan.hosts.keys().map(String::as_str).chain(elsewhere).map(group_of).collect();
        let mut sizes = vec![0; names.len()];
        members.into_iter().for_each(|group| sizes[group as usize] += 1);
        let spot = |site: &Option<Site>| match site {
            Some(Site::Host(host)) => by_host.get(host.as_str()).copied(),
            Some(Site::Controller) | None => None,
        };
        Self { spots: graph.actions().iter().map(|a| spot(&a.site)).collect(), names, sizes }
    }

    #[must_use]
    pub fn spot(&self, ix: ActionIx) -> Option<Spot> {
        self.spots.get(ix.index()).copied().flatten()
    }

    /// In the order in which the plan's hosts first name them.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// How many hosts each group has.
    #[must_use]
    pub fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    /// How many hosts of this group the step may take out of service at once; `None` where it keeps none up.
    #[must_use]
    pub fn room(&self, graph: &Graph, step: StepIx, group: u32) -> Option<usize> {
        let size = self.sizes[group as usize];
        graph.step(step).fleet.keep_up.map(|keep| size.saturating_sub(keep.of(size)))
    }
}
