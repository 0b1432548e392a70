//! A listing as machines: groups flattened, variables inherited, connections read, every contradiction named. Asks no host.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use indexmap::IndexMap;

use super::ansible::{self, Verdict};
use super::families::Families;
use super::{Group, Listing, Machine, Spot, Vars, count, names, texts};
use crate::plan::check::bad_variable_name;
use crate::plan::codes;
use crate::plan::diagnostic::{Diagnostic, Label, Quoted};
use crate::plan::maintenance::{self, Maintenance};
use crate::plan::model::{Host, HostName, Value};
use crate::template::Scope;

/// Of groups on one level, the variables of the one with the higher number count.
pub const PRIORITY: &str = "ansible_group_priority";

/// How acceptable times are written.
pub const TIMES: &str =
    "write maintenance: {days: [mon-thu], between: \"20:00-04:00\", timezone: Europe/Berlin, notice: 72h}";

/// What an inventory comes to.
#[derive(Debug, Default)]
pub struct Machines {
    pub hosts: IndexMap<HostName, Host>,
    pub groups: IndexMap<String, Vec<HostName>>,
    /// Where it is said when a host may be worked on.
    pub accepted: HashMap<HostName, Label>,
}

/// Resolves a listing as far as it can be resolved. `vars` are the plan's variables, which values may refer to.
pub fn resolve(listing: &Listing, vars: &Scope, found: &mut Vec<Diagnostic>) -> Machines {
    let before = found.len();
    Resolver { listing, found }.names();
    let families = match Families::of(listing, found) {
        Some(families) if !found[before..].iter().any(Diagnostic::is_error) => families,
        _ => Families::default(),
    };
    let mut machines = Machines::default();
    let mut inherited: HashMap<Vec<usize>, Vars> = HashMap::new();
    let mut resolver = Resolver { listing, found };
    let mut notes = Notes::default();
    for (name, machine) in &listing.hosts {
        let key = families.of_host(name);
        let group_vars = inherited.entry(key).or_insert_with_key(|key| resolver.inherited(key));
        let mut vars_of_host = group_vars.clone();
        vars_of_host.extend(machine.vars.iter().chain(&machine.filed).map(|(k, v)| (k.clone(), v.clone())));
        texts::fill_in(listing, name, &mut vars_of_host, vars, &mut notes, resolver.found);
        if let Some(label) = resolver.accepted(&vars_of_host, &mut notes) {
            machines.accepted.insert(name.clone(), label);
        }
        match resolver.host(name, machine, vars_of_host, &mut notes) {
            Some(host) => machines.hosts.insert(name.clone(), host),
            None => None,
        };
    }
    notes.tell(listing, resolver.found);
    for (name, members) in families.members() {
        let members = members.into_iter().filter(|m| machines.hosts.contains_key(*m)).map(str::to_owned);
        machines.groups.insert(name.to_owned(), members.collect());
    }
    let ungrouped = families.ungrouped().iter().filter(|h| machines.hosts.contains_key(**h));
    let ungrouped: Vec<HostName> = ungrouped.map(|h| (*h).to_owned()).collect();
    if listing.ansible && !ungrouped.is_empty() {
        machines.groups.insert("ungrouped".to_owned(), ungrouped);
    }
    resolver.same_machine_twice(&machines);
    machines
}

struct Resolver<'l, 'f> {
    listing: &'l Listing,
    found: &'f mut Vec<Diagnostic>,
}

/// What is to be said once, however many hosts it concerns.
#[derive(Debug, Default)]
pub struct Notes {
    /// By the place of the variable: its name, what became of it, the hosts.
    connections: BTreeMap<(Spot, String), (Verdict, usize)>,
    /// Places that have been spoken of.
    said: BTreeSet<Spot>,
}

impl Notes {
    /// Whether this is the first finding about a place.
    pub fn first(&mut self, spot: Spot) -> bool {
        self.said.insert(spot)
    }

    fn tell(self, listing: &Listing, found: &mut Vec<Diagnostic>) {
        for ((spot, name), (verdict, hosts)) in self.connections {
            let name = Quoted(&name);
            let hosts = count(hosts, "host");
            found.push(match verdict {
                Verdict::Refused(help) => {
                    let d = Diagnostic::error(codes::CONNECTION, format!("{name} of {hosts} cannot be honoured"));
                    listing.at(d, spot, "says how to reach it").help(help)
                }
                Verdict::Ignored(help) => {
                    let d = Diagnostic::warning(codes::CONNECTION_IGNORED, format!("{name} of {hosts} has no effect"));
                    listing.at(d, spot, "ignored").help(help)
                }
                Verdict::ThisMachine => {
                    let d =
                        Diagnostic::warning(codes::CONNECTION_IGNORED, format!("{hosts} left out: not reached by ssh"));
                    listing
                        .at(d, spot, "the machine that executes the plan")
                        .help("a step runs there with `hosts: local`")
                }
                Verdict::Wrong(why) => {
                    listing.at(Diagnostic::error(codes::CONNECTION, format!("{name} cannot be read")), spot, why)
                }
                Verdict::Fine | Verdict::Taken => continue,
            });
        }
    }
}

impl Resolver<'_, '_> {
    /// Names of hosts and groups, and groups that are only spoken of.
    fn names(&mut self) {
        for (name, group) in self.listing.groups.iter().filter(|(name, _)| *name != "all") {
            self.found.extend(names::bad_name(name, "group").map(|(d, label)| self.listing.at(d, group.at, label)));
            if !group.defined && name != "ungrouped" {
                self.unknown_group(name, group.at, "variables of a group that there is not");
            }
        }
        for (name, machine) in &self.listing.hosts {
            self.found.extend(names::bad_name(name, "host").map(|(d, label)| self.listing.at(d, machine.at, label)));
        }
        for group in self.listing.groups.values() {
            for (child, at) in &group.children {
                if !self.listing.groups.get(child).is_some_and(|g| g.defined)
                    && !["all", "ungrouped"].contains(&&**child)
                {
                    self.unknown_group(child, *at, "not a group of this inventory");
                }
            }
        }
    }

    fn unknown_group(&mut self, name: &str, at: Spot, label: &str) {
        let known = self.listing.groups.iter().filter(|(k, g)| g.defined && *k != name).map(|(k, _)| k.as_str());
        let near = crate::plan::nearest(name, known);
        let d = Diagnostic::error(codes::UNKNOWN_HOST, format!("unknown group {}", Quoted(name)));
        let label = near.map_or_else(|| label.to_owned(), |near| format!("did you mean `{near}`?"));
        self.found.push(self.listing.at(d, at, label));
    }

    /// The variables that hosts of these groups get from them: parents before children, files last.
    fn inherited(&self, groups: &[usize]) -> Vars {
        let all = self.listing.groups.get("all");
        let groups = || groups.iter().filter_map(|ix| self.listing.groups.get_index(*ix)).map(|(_, group)| group);
        let said = all.into_iter().chain(groups()).flat_map(|g: &Group| &g.vars);
        let filed = all.into_iter().chain(groups()).flat_map(|g: &Group| &g.filed);
        // The priority is about the group, and is no variable of its hosts.
        let of_hosts = said.filter(|(name, _)| *name != PRIORITY).chain(filed);
        of_hosts.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// Where it is said when the host may be worked on, and whether that can be read.
    fn accepted(&mut self, vars: &Vars, notes: &mut Notes) -> Option<Label> {
        let (value, spot) = vars.get(maintenance::VARIABLE).filter(|(value, _)| Maintenance::is_meant(value))?;
        match Maintenance::read(value) {
            Ok(read) => {
                let elsewhere = self.listing.text(*spot).cloned();
                Some(Label { span: spot.span, text: read.describe(), elsewhere })
            }
            Err(why) => {
                if notes.first(*spot) {
                    let d = Diagnostic::error(codes::MAINTENANCE, format!("`maintenance` {why}"));
                    self.found.push(self.listing.at(d, *spot, "acceptable times").help(TIMES));
                }
                None
            }
        }
    }

    /// The host with its variables; `None` for one that is this machine.
    fn host(&mut self, name: &str, machine: &Machine, vars: Vars, notes: &mut Notes) -> Option<Host> {
        let mut host = Host::default();
        let mut spots: BTreeMap<&'static str, Spot> = BTreeMap::new();
        let mut here = false;
        for (var, (value, spot)) in &vars {
            if let Some((d, label)) = bad_variable_name(var)
                && notes.first(*spot)
            {
                self.found.push(self.listing.at(d, *spot, label));
            }
            let before = host.clone();
            let verdict = ansible::read(var, value, &mut host);
            for (field, changed) in [
                ("address", before.address != host.address || before.via != host.via),
                ("user", before.user != host.user),
            ] {
                if changed {
                    spots.insert(field, *spot);
                }
            }
            here |= verdict == Verdict::ThisMachine;
            if !matches!(verdict, Verdict::Fine | Verdict::Taken) {
                notes.connections.entry((*spot, var.clone())).or_insert((verdict, 0)).1 += 1;
            }
        }
        if here {
            return None;
        }
        self.own_words(machine, &mut host);
        let at = |field| spots.get(field).copied().unwrap_or(machine.at);
        let address = host.address.as_deref().and_then(names::bad_address).map(|bad| (bad, at("address")));
        let via = host.via.as_deref().and_then(names::bad_address).map(|bad| (bad, at("address")));
        let user = host.user.as_deref().and_then(names::bad_user).map(|bad| (bad, at("user")));
        if machine.details.is_none() {
            for ((d, label), spot) in [address, via, user].into_iter().flatten() {
                if notes.first(spot) {
                    self.found.push(self.listing.at(d, spot, label));
                }
            }
        }
        debug_assert!(!name.is_empty() || !self.found.is_empty(), "names were checked");
        host.vars = vars.into_iter().map(|(name, (value, _))| (name, value)).collect();
        Some(host)
    }

    /// What is said in our own words goes before Ansible's variables.
    fn own_words(&mut self, machine: &Machine, host: &mut Host) {
        let Some(raw) = &machine.details else { return };
        let spot = |span| Spot { text: machine.at.text, span };
        let user = raw.user.iter().filter_map(|u| Some((names::bad_user(&u.value)?, u.span)));
        let addresses = raw.address.iter().chain(&raw.via);
        let addresses = addresses.filter_map(|a| Some((names::bad_address(&a.value)?, a.span)));
        for ((d, label), span) in user.chain(addresses) {
            self.found.push(self.listing.at(d, spot(span), label));
        }
        for (field, said) in [(&mut host.address, &raw.address), (&mut host.user, &raw.user), (&mut host.via, &raw.via)]
        {
            if let Some(said) = said {
                *field = Some(said.value.clone());
            }
        }
        host.port = raw.port.as_ref().and_then(|p| u16::try_from(p.value.0).ok()).or(host.port);
    }

    /// Two names for one machine would be locked, drained and restarted twice.
    fn same_machine_twice(&mut self, machines: &Machines) {
        let mut seen: HashMap<(&str, u16, Option<&str>), &str> = HashMap::new();
        for (name, host) in &machines.hosts {
            let machine = &self.listing.hosts[name];
            if machine.details.as_ref().is_some_and(|d| d.broken.contains(&"port")) {
                continue;
            }
            let (address, port) = (host.address.as_deref().unwrap_or(name), host.port.unwrap_or(22));
            let Some(first) = seen.insert((address, port, host.via.as_deref()), name) else { continue };
            let message = format!("{} and {} are the same machine: {address} port {port}", Quoted(first), Quoted(name));
            let d = self.listing.at(Diagnostic::error(codes::SAME_MACHINE, message), machine.at, "again here");
            let d = self.listing.label(d, self.listing.hosts[first].at, "first here");
            self.found.push(
                d.why("it would be locked, drained and restarted twice")
                    .help("keep one name, and put it into both groups"),
            );
        }
    }
}

/// The value of a variable as a whole number.
pub fn number(value: &Value) -> Option<i64> {
    value.to_text()?.trim().parse().ok()
}
