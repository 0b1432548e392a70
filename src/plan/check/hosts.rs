//! The machines of a plan and their groups, from `hosts` or an inventory, and what a step's `hosts` names among them.

use std::collections::{HashMap, HashSet};

use indexmap::IndexMap;

use super::Checker;
use crate::plan::codes;
use crate::plan::diagnostic::{Diagnostic, Label, Quoted};
use crate::plan::draft::CommandProblem;
use crate::plan::inventory::{self, Listing, VarsFile, VarsOf, names};
use crate::plan::model::{Host, HostName, Inventory, Place};
use crate::plan::raw::Many;
use crate::plan::span::{Span, Spanned};
use crate::plan::units::Short;
use crate::plan::words;

/// What is known of the machines.
#[derive(Debug, Default)]
pub struct Machines {
    pub hosts: IndexMap<HostName, Host>,
    pub groups: IndexMap<String, Vec<HostName>>,
    pub inventory: Option<Inventory>,
    /// The inventory cannot be read here, so every name may exist.
    pub open: bool,
    /// Where it is said when a host may be worked on.
    pub accepted: HashMap<HostName, Label>,
}

impl Checker<'_> {
    pub fn read_machines(&mut self) -> Machines {
        let before = self.found.len();
        let mut listing = Listing::default();
        if let Some(groups) = &self.raw.hosts {
            listing.add_groups(&groups.value, self.found);
        }
        let mut open = self.raw.has("hosts") && self.raw.hosts.is_none();
        let (inventory, complete) = self.add_inventory(&mut listing);
        open |= !complete;
        let inventory::Machines { hosts, groups, accepted } = inventory::resolve(&listing, &self.scope, self.found);
        self.given_in_vain(&hosts);
        // Where hosts are missing because of mistakes, nothing more is said about hosts that cannot be found.
        open |= self.raw.inventory.is_some() && self.found[before..].iter().any(Diagnostic::is_error);
        Machines { hosts, groups, inventory, open, accepted }
    }

    pub fn check_user(&mut self, user: &Spanned<String>) {
        self.found.extend(names::bad_user(&user.value).map(|(d, label)| d.at(user.span, label)));
    }

    /// A value from the command line that hosts would never see, because their own goes before it.
    fn given_in_vain(&mut self, hosts: &IndexMap<HostName, Host>) {
        let outside = self.outside;
        for (name, _) in &outside.vars {
            let own: Vec<&HostName> = hosts.iter().filter(|(_, h)| h.vars.contains_key(name)).map(|(h, _)| h).collect();
            let Some(first) = own.first() else { continue };
            let more = if own.len() > 1 {
                format!(" and {} more hosts have values of their own", own.len() - 1)
            } else {
                " has a value of its own".into()
            };
            let message = format!("{} is given for this run, but {first}{more}", Quoted(name));
            let d = Diagnostic::error(codes::VARIABLE, message)
                .why("a host's value goes before the plan's, so it would not be seen there");
            self.found.push(d.help("change it in the inventory, or use a variable of another name in the plan"));
        }
    }

    /// Where the inventory comes from, and whether all of it could be read.
    fn add_inventory(&mut self, listing: &mut Listing) -> (Option<Inventory>, bool) {
        let raw = self.raw;
        let Some(written) = &raw.inventory else { return (None, !raw.has("inventory")) };
        let (span, wish) = (written.span, &written.value.0);
        let (inventory, at) = match (&wish.file, &wish.run) {
            (Some(file), None) => (Inventory::File(file.value.clone()), file.span),
            (None, Some(run)) => (Inventory::Command(run.value.clone()), run.span),
            _ => {
                if wish.broken.is_empty() {
                    let message = "`inventory` takes a file, or {run: COMMAND}";
                    self.error(codes::INVENTORY, message, span, "exactly one of the two");
                }
                return (None, false);
            }
        };
        let outside = self.outside;
        if let Some(timeout) = wish.timeout.as_ref().filter(|_| wish.run.is_none()) {
            self.error(codes::MISPLACED, "`timeout` of an inventory that is a file", timeout.span, "belongs to `run`");
        }
        if let Some(problem) = &outside.inventory.problem {
            self.no_inventory(problem, at);
        }
        let before = self.found.len();
        for text in &outside.inventory.texts {
            listing.add(text, self.found);
        }
        let Some(last) = outside.inventory.texts.last() else { return (Some(inventory), false) };
        listing.must_name_hosts(last, self.found);
        let groups_first = |file: &&VarsFile| file.of == VarsOf::Group;
        let (groups, hosts): (Vec<_>, Vec<_>) = outside.inventory.vars.iter().partition(groups_first);
        for file in groups.into_iter().chain(hosts) {
            listing.add_vars(file, self.found);
        }
        (Some(inventory), !self.found[before..].iter().any(Diagnostic::is_error))
    }

    fn no_inventory(&mut self, problem: &CommandProblem, at: Span) {
        let error = |message: &str, label: String| Diagnostic::error(codes::INVENTORY, message).at(at, label);
        let with = |d: Diagnostic, said: &str| if said.is_empty() { d } else { d.why(format!("it said:\n{said}")) };
        self.found.push(match problem {
            CommandProblem::CannotStart(why) => error("the inventory's command cannot be started", why.clone()),
            CommandProblem::Failed { end, said } => with(error("the inventory's command failed", end.clone()), said)
                .help("it is executed by `sh` in the plan's folder, and prints an inventory to stdout"),
            CommandProblem::TimedOut { limit, said } => {
                let label = format!("killed after {}", Short(*limit));
                with(error("the inventory's command took too long", label), said)
                    .help("give it more: `inventory: {run: COMMAND, timeout: 2m}`")
            }
            CommandProblem::TooMuch(limit) => {
                error("the inventory's command printed too much", format!("more than {} MB", limit >> 20))
            }
            CommandProblem::NotText => error("the inventory's command printed no text", "not UTF-8".into()),
            CommandProblem::InFolder(why) => error("the inventory cannot be read", why.clone()),
            CommandProblem::EmptyFolder => error("the inventory is a folder without any inventory", "no file".into())
                .help("hidden files, copies and notes (`~`, `.bak`, `.orig`, `.md`, `.txt`, `.cfg`, ...) do not count"),
            CommandProblem::Vars(why) => error("variables beside the inventory cannot be read", why.clone()),
        });
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
        // The members of one group are different hosts already.
        if names.len() > 1 {
            let mut seen = HashSet::new();
            hosts.retain(|h| seen.insert(h.clone()));
        }
        if hosts.is_empty() {
            if complete && !self.machines.open {
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
