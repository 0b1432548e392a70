//! The machines of a plan and their groups, from `hosts` or an inventory, and what a step's `hosts` names among them.

use std::collections::BTreeMap;

use indexmap::IndexMap;

use super::Checker;
use crate::plan::codes;
use crate::plan::decode::{At, Decode as _};
use crate::plan::diagnostic::{Diagnostic, Quoted};
use crate::plan::model::{Host, HostName, Inventory, Place};
use crate::plan::raw::{Many, RawHost};
use crate::plan::shapes::Groups;
use crate::plan::source::Source;
use crate::plan::span::Spanned;
use crate::plan::tree;
use crate::plan::words;

/// Words that stand for places, and so cannot be names of hosts or groups.
const RESERVED: [&str; 3] = ["local", "all", "wave"];

/// What is known of the machines.
#[derive(Debug, Default)]
pub struct Machines {
    pub hosts: IndexMap<HostName, Host>,
    pub groups: IndexMap<String, Vec<HostName>>,
    pub inventory: Option<Inventory>,
    /// The inventory cannot be read here, so every name may exist.
    pub open: bool,
}

impl Checker<'_> {
    pub fn read_machines(&mut self) -> Machines {
        let mut machines = Machines::default();
        if let Some(groups) = &self.raw.hosts {
            self.add_groups(&groups.value, &mut machines);
        }
        if self.raw.has("hosts") && self.raw.hosts.is_none() {
            machines.open = true;
        }
        self.add_inventory(&mut machines);
        self.same_machine_twice(&machines);
        machines
    }

    fn add_groups(&mut self, groups: &Groups, machines: &mut Machines) {
        for (group, members) in &groups.groups {
            self.check_host_name(group, "group");
            let mut names: Vec<HostName> = Vec::with_capacity(members.len());
            for member in members {
                self.check_host_name(member, "host");
                machines.hosts.entry(member.value.clone()).or_default();
                names.push(member.value.clone());
            }
            let mut seen = std::collections::BTreeSet::new();
            if let Some(twice) = members.iter().find(|m| !seen.insert(m.value.as_str())) {
                let message = format!("{} is twice in group {}", Quoted(&twice.value), Quoted(&group.value));
                self.error(codes::SAME_MACHINE, message, twice.span, "named before in this group");
            }
            machines.groups.insert(group.value.clone(), names);
        }
        for (name, raw) in &groups.hosts {
            self.check_host_name(name, "host");
            let host = self.host(raw);
            let before = machines.hosts.insert(name.value.clone(), host);
            if before.is_some_and(|b| b != Host::default()) {
                let message = format!("{} is described twice", Quoted(&name.value));
                self.error(codes::SAME_MACHINE, message, name.span, "described again here");
            }
        }
        let hosts = &machines.hosts;
        for (group, members) in &groups.groups {
            let itself = members.len() == 1 && members[0].value == group.value;
            if hosts.contains_key(&group.value) && !itself {
                let message = format!("{} is the name of a group and of a host", Quoted(&group.value));
                self.error(codes::SAME_MACHINE, message, group.span, "rename the group");
            }
        }
    }

    fn host(&mut self, raw: &RawHost) -> Host {
        if let Some(user) = &raw.user {
            self.check_user(user);
        }
        for name in raw.address.iter().chain(&raw.via) {
            self.check_address(name);
        }
        Host {
            address: raw.address.as_ref().map(|a| a.value.clone()),
            port: raw.port.as_ref().and_then(|p| u16::try_from(p.value.0).ok()),
            user: raw.user.as_ref().map(|u| u.value.clone()),
            via: raw.via.as_ref().map(|v| v.value.clone()),
            vars: IndexMap::new(),
        }
    }

    /// Names reach command lines of ssh, so their characters are few.
    fn check_host_name(&mut self, name: &Spanned<String>, what: &str) {
        let text = name.value.as_str();
        if RESERVED.contains(&text) {
            let message = format!("a {what} cannot be called `{text}`");
            self.error(codes::HOST_NAME, message, name.span, "this word stands for a place of its own");
        } else if !is_host_name(text) {
            let message = format!("{} is not a name for a {what}", Quoted(text));
            let d = Diagnostic::error(codes::HOST_NAME, message).at(name.span, "not allowed");
            self.found
                .push(d.help("allowed: letters, digits, `.`, `_`, `:` and `-`; not `-` first; at most 253 characters"));
        }
    }

    fn check_address(&mut self, name: &Spanned<String>) {
        let text = name.value.as_str();
        let host = text.rsplit_once('@').map_or(text, |(_, h)| h).trim_start_matches('[').replacen(']', "", 1);
        if !is_host_name(&host) || text.split_once('@').is_some_and(|(u, _)| !is_user_name(u)) {
            let message = format!("{} is not an address", Quoted(text));
            self.error(codes::HOST_NAME, message, name.span, "a host name or an IP address");
        }
    }

    pub fn check_user(&mut self, user: &Spanned<String>) {
        if !is_user_name(&user.value) {
            let message = format!("{} is not a user name", Quoted(&user.value));
            let d = Diagnostic::error(codes::HOST_NAME, message).at(user.span, "not allowed");
            self.found.push(d.help("allowed: letters, digits, `.`, `_` and `-`; not `-` first; at most 64 characters"));
        }
    }

    fn add_inventory(&mut self, machines: &mut Machines) {
        let Some(inventory) = &self.raw.inventory else {
            machines.open |= self.raw.has("inventory");
            return;
        };
        let (span, raw) = (inventory.span, &inventory.value.0);
        match (&raw.file, &raw.run) {
            (Some(file), None) => {
                machines.inventory = Some(Inventory::File(file.value.clone()));
                self.read_inventory(file, machines);
            }
            (None, Some(run)) => {
                machines.inventory = Some(Inventory::Command(run.value.clone()));
                machines.open = true;
            }
            _ if raw.broken.is_empty() => {
                self.error(
                    codes::INVENTORY,
                    "`inventory` takes a file, or {run: COMMAND}",
                    span,
                    "exactly one of the two",
                );
            }
            _ => {}
        }
    }

    fn read_inventory(&mut self, file: &Spanned<String>, machines: &mut Machines) {
        let text = match self.outside.files.get(&file.value) {
            Some(Ok(seen)) => seen.text.as_deref().unwrap_or(""),
            // That it is missing is said with the other files.
            _ => {
                machines.open = true;
                return;
            }
        };
        if is_ansible(text) {
            machines.open = true;
            return;
        }
        let source = Source::new(file.value.clone(), text);
        let mut found = Vec::new();
        let groups = match tree::parse(text, &mut found) {
            Ok(Some(root)) => Groups::decode(&root, &At { name: "", what: "the inventory", parent: None }, &mut found),
            Ok(None) => None,
            Err(stopped) => {
                found.push(*stopped);
                None
            }
        };
        let before = self.found.len();
        if let Some(groups) = &groups {
            self.add_groups(groups, machines);
        }
        found.extend(self.found.drain(before..));
        machines.open |= !found.is_empty();
        for d in found {
            let line = d.primary.map_or(1, |p| source.line(p.span));
            let message = format!("inventory {} line {line}: {}", Quoted(&file.value), d.message);
            self.error(codes::INVENTORY, message, file.span, "this file");
        }
        if groups.is_none() && !machines.open {
            self.error(
                codes::INVENTORY,
                format!("inventory {} names no hosts", Quoted(&file.value)),
                file.span,
                "this file",
            );
        }
    }

    /// Two names for one machine would be locked, drained and restarted twice.
    fn same_machine_twice(&mut self, machines: &Machines) {
        let Some(groups) = &self.raw.hosts else { return };
        let mut seen: BTreeMap<(String, u16), &Spanned<String>> = BTreeMap::new();
        for (name, raw) in &groups.value.hosts {
            let Some(address) = machines.hosts.get(&name.value).and_then(|h| h.address.clone()) else { continue };
            if raw.broken.contains(&"port") {
                continue;
            }
            let port = raw.port.as_ref().map_or(22, |p| u16::try_from(p.value.0).unwrap_or(22));
            if let Some(first) = seen.insert((address.clone(), port), name).filter(|first| first.value != name.value) {
                let message = format!(
                    "{} and {} are the same machine: {address} port {port}",
                    Quoted(&first.value),
                    Quoted(&name.value)
                );
                self.found.push(
                    Diagnostic::error(codes::SAME_MACHINE, message)
                        .at(name.span, "again here")
                        .label(first.span, "first here")
                        .why("it would be locked, drained and restarted twice")
                        .help("keep one name, and put it into both groups"),
                );
            }
        }
    }

    /// Where `names` (a step's `hosts`) is.
    pub fn place(&mut self, names: &Many<String>) -> Option<Place> {
        let mut hosts: Vec<HostName> = Vec::new();
        let mut complete = true;
        for name in names {
            let Some(text) = self.expand(name) else {
                complete = false;
                continue;
            };
            match text.as_str() {
                "local" | "wave" if names.len() > 1 => {
                    let message = format!("`{text}` cannot stand beside other hosts");
                    self.error(codes::UNKNOWN_HOST, message, name.span, "alone, or not at all");
                    complete = false;
                }
                "local" => return Some(Place::Controller),
                "wave" => {
                    if !self.raw.has("waves") {
                        let d = Diagnostic::error(codes::UNKNOWN_HOST, "`hosts: wave`, but the plan has no waves")
                            .at(name.span, "which wave?");
                        self.found.push(d.help("write `waves:` at the top of the plan, or name a group"));
                    }
                    return Some(Place::Wave);
                }
                "all" if self.machines.hosts.is_empty() && !self.machines.open => {
                    self.error(
                        codes::UNKNOWN_HOST,
                        "`hosts: all`, but the plan has no hosts",
                        name.span,
                        "none to run on",
                    );
                    complete = false;
                }
                "all" => hosts.extend(self.machines.hosts.keys().cloned()),
                text => match self.members(text) {
                    Some(members) => hosts.extend(members),
                    None => {
                        self.unknown_host(&Spanned::new(text.to_string(), name.span));
                        complete = false;
                    }
                },
            }
        }
        let mut seen = std::collections::HashSet::new();
        hosts.retain(|h| seen.insert(h.clone()));
        if hosts.is_empty() {
            if complete {
                let at = names.first().map_or(crate::plan::span::Span::START, |n| n.span);
                self.error(codes::UNKNOWN_HOST, "there is no host in it", at, "empty");
            }
            return None;
        }
        complete.then_some(Place::Hosts(hosts))
    }

    fn members(&mut self, name: &str) -> Option<Vec<HostName>> {
        if let Some(members) = self.machines.groups.get(name) {
            return Some(members.clone());
        }
        if self.machines.open && !self.machines.hosts.contains_key(name) {
            self.machines.hosts.insert(name.to_string(), Host::default());
        }
        self.machines.hosts.contains_key(name).then(|| vec![name.to_string()])
    }

    fn unknown_host(&mut self, name: &Spanned<String>) {
        let d = Diagnostic::error(codes::UNKNOWN_HOST, format!("unknown host or group {}", Quoted(&name.value)));
        let known: Vec<&str> =
            self.machines.groups.keys().chain(self.machines.hosts.keys()).map(String::as_str).collect();
        let d = match words::nearest(&name.value, known.iter().copied()) {
            Some(near) => d.at(name.span, format!("did you mean `{near}`?")).fix(name.span, near),
            None => d.at(name.span, "not a host or group of this plan"),
        };
        self.found.push(if known.is_empty() {
            d.help("write `hosts: {GROUP: [HOST, ...]}` at the top of the plan, or `hosts: local` to run it here")
        } else {
            let shown: Vec<_> = known.iter().take(12).copied().collect();
            let more = if known.len() > 12 { format!(" and {} more", known.len() - 12) } else { String::new() };
            d.help(format!("known: {}{more}, and `local`, `all`", shown.join(", ")))
        });
    }
}

fn is_host_name(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-');
    (1..=253).contains(&text.len())
        && !text.starts_with('-')
        && text.bytes().all(allowed)
        && !matches!(text, "." | "..")
}

fn is_user_name(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=64).contains(&text.len()) && !text.starts_with('-') && text.bytes().all(allowed)
}

/// Ansible's INI or YAML form, which is read elsewhere.
fn is_ansible(text: &str) -> bool {
    let mut lines =
        text.lines().map(str::trim_end).filter(|l| !l.is_empty() && !l.starts_with(['#', ';']) && *l != "---");
    lines.next().is_some_and(|first| first.starts_with('[') || first == "all:" || !first.contains(':'))
}
