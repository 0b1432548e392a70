//! Which group belongs to which: members, ancestors in the order in which their variables count, and circles. Knows no value.

use std::collections::{BTreeSet, HashMap, VecDeque};

use indexmap::IndexSet;

use super::{Listing, resolve};
use crate::plan::codes;
use crate::plan::diagnostic::Diagnostic;

/// The groups of a listing by their number there.
#[derive(Debug, Default)]
pub struct Families<'l> {
    /// Names; `all` included, which has no members of its own here.
    names: Vec<&'l str>,
    children: Vec<Vec<usize>>,
    /// Each group with all above it, but for `all`.
    above: Vec<BTreeSet<usize>>,
    /// What variables are sorted by: how far below `all` (the longest way), priority, name.
    rank: Vec<(usize, i64, &'l str)>,
    /// The groups that name the host themselves.
    of_host: HashMap<&'l str, Vec<usize>>,
    hosts: Vec<Vec<&'l str>>,
    ungrouped: Vec<&'l str>,
}

impl<'l> Families<'l> {
    /// `None` when groups contain each other, which is reported.
    pub fn of(listing: &'l Listing, found: &mut Vec<Diagnostic>) -> Option<Self> {
        let groups = &listing.groups;
        let numbers = |g: &super::Group| -> Vec<usize> {
            let known = g.children.iter().filter_map(|(c, _)| groups.get_index_of(c));
            known.collect::<IndexSet<_>>().into_iter().collect()
        };
        let mut families = Self {
            names: groups.keys().map(String::as_str).collect(),
            children: groups.values().map(numbers).collect(),
            ..Self::default()
        };
        let order = match families.top_down() {
            Ok(order) => order,
            Err(circle) => {
                found.push(circular(listing, &circle));
                return None;
            }
        };
        let all = groups.get_index_of("all");
        families.above = (0..groups.len()).map(|ix| BTreeSet::from([ix])).collect();
        let mut depth = vec![1; groups.len()];
        for ix in order.into_iter().filter(|ix| Some(*ix) != all) {
            for child in families.children[ix].clone() {
                depth[child] = depth[child].max(depth[ix] + 1);
                let above = families.above[ix].clone();
                families.above[child].extend(above);
            }
        }
        let priority = |g: &super::Group| g.vars.get(resolve::PRIORITY).and_then(|(v, _)| resolve::number(v));
        families.rank = groups
            .iter()
            .zip(depth)
            .map(|((name, group), depth)| (depth, priority(group).unwrap_or(1), name.as_str()))
            .collect();
        for (ix, group) in groups.values().enumerate() {
            let names: IndexSet<&str> = group.hosts.iter().map(|(h, _)| h.as_str()).collect();
            let placed = Some(ix) != all && families.names[ix] != "ungrouped";
            for host in names.iter().filter(|_| placed) {
                families.of_host.entry(host).or_default().push(ix);
            }
            families.hosts.push(names.into_iter().collect());
        }
        let free = |host: &&str| !families.of_host.contains_key(*host);
        families.ungrouped = listing.hosts.keys().map(String::as_str).filter(free).collect();
        Some(families)
    }

    /// Every group after all that contain it; or one circle of groups.
    fn top_down(&self) -> Result<Vec<usize>, Vec<usize>> {
        #[derive(Clone, Copy, PartialEq)]
        enum Mark {
            New,
            Open,
            Done,
        }
        let mut marks = vec![Mark::New; self.names.len()];
        let mut order = Vec::with_capacity(self.names.len());
        for start in 0..self.names.len() {
            // Group and how many of its children have been looked at; no recursion, however deep the file goes.
            let mut path: Vec<(usize, usize)> = Vec::new();
            if marks[start] == Mark::New {
                marks[start] = Mark::Open;
                path.push((start, 0));
            }
            while let Some((ix, looked)) = path.last_mut() {
                match self.children[*ix].get(*looked) {
                    Some(child) => {
                        *looked += 1;
                        match marks[*child] {
                            Mark::New => {
                                marks[*child] = Mark::Open;
                                path.push((*child, 0));
                            }
                            Mark::Open => {
                                let from = path.iter().position(|(p, _)| p == child).unwrap_or(0);
                                return Err(path[from..].iter().map(|(p, _)| *p).collect());
                            }
                            Mark::Done => {}
                        }
                    }
                    None => {
                        marks[*ix] = Mark::Done;
                        order.push(*ix);
                        path.pop();
                    }
                }
            }
        }
        order.reverse();
        Ok(order)
    }

    /// The groups of a host whose variables it gets, weakest first; without `all`.
    pub fn of_host(&self, host: &str) -> Vec<usize> {
        let own = self.of_host.get(host).map_or(&[][..], Vec::as_slice);
        let mut groups: Vec<usize> =
            own.iter().flat_map(|ix| &self.above[*ix]).copied().collect::<BTreeSet<_>>().into_iter().collect();
        if own.is_empty() {
            groups.extend(self.names.iter().position(|n| *n == "ungrouped"));
        }
        groups.retain(|ix| self.names[*ix] != "all");
        groups.sort_by_key(|ix| self.rank[*ix]);
        groups
    }

    /// Every group but `all` with its hosts: its own first, then those of its children, of theirs, and so on.
    pub fn members(&self) -> Vec<(&'l str, Vec<&'l str>)> {
        let mut all = Vec::with_capacity(self.names.len());
        for (ix, name) in self.names.iter().enumerate().filter(|(_, name)| !["all", "ungrouped"].contains(name)) {
            let (mut seen, mut open) = (BTreeSet::from([ix]), VecDeque::from([ix]));
            let mut members: IndexSet<&str> = IndexSet::new();
            while let Some(next) = open.pop_front() {
                members.extend(&self.hosts[next]);
                open.extend(self.children[next].iter().filter(|c| seen.insert(**c)));
            }
            all.push((*name, members.into_iter().collect()));
        }
        all
    }

    /// Hosts that no group names.
    pub fn ungrouped(&self) -> &[&'l str] {
        &self.ungrouped
    }
}

fn circular(listing: &Listing, circle: &[usize]) -> Diagnostic {
    let group = |ix: &usize| listing.groups.get_index(*ix).expect("numbers come from this listing");
    let names: Vec<&str> = circle.iter().chain(circle.first()).map(|ix| group(ix).0.as_str()).collect();
    let mut d = Diagnostic::error(codes::GROUP_CYCLE, format!("groups contain each other: {}", names.join(" -> ")));
    for (n, ix) in circle.iter().enumerate() {
        let next = names[n + 1];
        let spot = group(ix).1.children.iter().find(|(c, _)| c == next).map_or(group(ix).1.at, |(_, at)| *at);
        let text = format!("`{}` contains `{next}`", names[n]);
        d = if n == 0 { listing.at(d, spot, text) } else { listing.label(d, spot, text) };
    }
    d.help("take one of them out of the other")
}
