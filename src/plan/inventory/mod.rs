//! Inventories as their authors wrote them: whose form a text has, and what it says of groups and hosts. Opens no file.
//!
//! ```text
//! a plan's `hosts:` ----------\
//! groups to hosts, in YAML ----\
//! Ansible's INI ----------------> Listing --resolve--> Machines: hosts, groups, variables
//! Ansible's YAML --------------/
//! Ansible's `--list` JSON ----/
//! ```
//!
//! Every name and value in a [`Listing`] knows its place, so that what is wrong with an inventory is shown in the
//! inventory. What Ansible's own `ansible-inventory` says of a file is what comes out here; where it only warns or guesses
//! (an unknown group, a value of the wrong kind), this reader refuses.

mod ansible;
mod families;
mod groups;
mod ini;
mod list;
pub mod names;
pub mod pattern;
mod ranges;
mod resolve;
mod shape;
mod texts;
mod values;
mod yaml;

use std::sync::Arc;

use indexmap::IndexMap;

use super::diagnostic::Diagnostic;
use super::model::Value;
use super::raw::RawHost;
use super::shapes::Groups;
use super::source::Source;
use super::span::Span;

pub use resolve::{Machines, resolve};
pub use shape::Shape;
pub use values::yaml as value;

/// A place in the plan, or in one of the texts of a [`Listing`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spot {
    /// 0 is the plan; others count from 1 in [`Listing::texts`].
    text: usize,
    span: Span,
}

/// Variables by name. A later value of the same name replaces the earlier one.
pub type Vars = IndexMap<String, (Value, Spot)>;

/// What inventories say, before any of it is resolved.
#[derive(Debug, Default)]
pub struct Listing {
    texts: Vec<Arc<Source>>,
    groups: IndexMap<String, Group>,
    hosts: IndexMap<String, Machine>,
    /// How many names ranges have made so far.
    expanded: usize,
    /// Whether any of it is in Ansible's forms, which have a group `ungrouped`.
    ansible: bool,
}

#[derive(Debug)]
struct Group {
    at: Spot,
    /// Whether it has an entry of its own; others are only spoken of.
    defined: bool,
    hosts: Vec<(String, Spot)>,
    children: Vec<(String, Spot)>,
    vars: Vars,
    /// From `group_vars/`.
    filed: Vars,
}

#[derive(Debug)]
struct Machine {
    at: Spot,
    /// How to reach it, where that is said in our own words.
    details: Option<RawHost>,
    vars: Vars,
    /// From `host_vars/`.
    filed: Vars,
}

/// A file of `group_vars/` or `host_vars/`.
#[derive(Debug, Clone)]
pub struct VarsFile {
    pub of: VarsOf,
    /// The group or host that it is about.
    pub name: String,
    pub text: Arc<Source>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VarsOf {
    Group,
    Host,
}

impl Listing {
    /// Adds what an inventory says. Gives the form that it was read in.
    pub fn add(&mut self, text: &Arc<Source>, found: &mut Vec<Diagnostic>) -> Option<Shape> {
        self.texts.push(Arc::clone(text));
        let file = self.texts.len();
        let mut here = Vec::new();
        let shape = shape::read(self, file, text, &mut here);
        found.extend(here.into_iter().map(|d| d.within(text)));
        self.ansible |= shape.is_some_and(|s| s != Shape::Own);
        shape
    }

    /// Reports an inventory, of which `text` is the last one, that says nothing wrong and names no host.
    pub fn must_name_hosts(&self, text: &Arc<Source>, found: &mut Vec<Diagnostic>) {
        if self.hosts.is_empty() && found.is_empty() {
            let d =
                Diagnostic::error(super::codes::INVENTORY, "the inventory names no hosts").at(Span::START, "no hosts");
            found.push(d.within(text));
        }
    }

    /// Adds the groups and hosts that the plan itself has.
    pub fn add_groups(&mut self, groups: &Groups, found: &mut Vec<Diagnostic>) {
        groups::add(self, 0, groups, found);
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    /// Adds the variables of one file to the group or host that it is about.
    pub fn add_vars(&mut self, file: &VarsFile, found: &mut Vec<Diagnostic>) {
        let known = match file.of {
            VarsOf::Group => file.name == "all" || self.groups.contains_key(&file.name),
            VarsOf::Host => self.hosts.contains_key(&file.name),
        };
        self.texts.push(Arc::clone(&file.text));
        let text = self.texts.len();
        let mut here = Vec::new();
        if known {
            let vars = yaml::vars_file(text, &file.text, &mut here);
            let at = Spot { text, span: Span::START };
            match file.of {
                VarsOf::Group => self.group(&file.name, at).filed.extend(vars),
                VarsOf::Host => self.host(&file.name, at).filed.extend(vars),
            }
        } else {
            here.extend(self.nobody(file));
        }
        found.extend(here.into_iter().map(|d| d.within(&file.text)));
    }

    /// A file that is nearly about a group or host that there is. Others may belong to another inventory beside this one.
    fn nobody(&self, file: &VarsFile) -> Option<Diagnostic> {
        let (what, near) = match file.of {
            VarsOf::Group => ("group", super::words::nearest(&file.name, self.groups.keys().map(String::as_str))),
            VarsOf::Host => ("host", super::words::nearest(&file.name, self.hosts.keys().map(String::as_str))),
        };
        let quoted = super::diagnostic::Quoted(&file.name);
        let d = Diagnostic::warning(super::codes::NOBODYS_VARIABLES, format!("the inventory has no {what} {quoted}"));
        Some(
            d.at(Span::START, format!("did you mean `{}`?", near?)).help("its variables reach nobody; rename the file"),
        )
    }

    fn group(&mut self, name: &str, at: Spot) -> &mut Group {
        self.groups.entry(name.to_owned()).or_insert_with(|| Group {
            at,
            defined: false,
            hosts: Vec::new(),
            children: Vec::new(),
            vars: Vars::new(),
            filed: Vars::new(),
        })
    }

    /// A group with an entry of its own.
    fn define(&mut self, name: &str, at: Spot) -> &mut Group {
        let group = self.group(name, at);
        if !group.defined {
            (group.defined, group.at) = (true, at);
        }
        group
    }

    fn host(&mut self, name: &str, at: Spot) -> &mut Machine {
        self.hosts.entry(name.to_owned()).or_insert_with(|| Machine {
            at,
            details: None,
            vars: Vars::new(),
            filed: Vars::new(),
        })
    }

    /// The finding, with its place.
    fn at(&self, d: Diagnostic, spot: Spot, label: impl Into<String>) -> Diagnostic {
        let d = d.at(spot.span, label);
        match self.text(spot) {
            Some(text) => d.within(text),
            None => d,
        }
    }

    /// The finding, with a further place.
    fn label(&self, mut d: Diagnostic, spot: Spot, label: impl Into<String>) -> Diagnostic {
        d = d.label(spot.span, label);
        if let Some(last) = d.labels.last_mut() {
            last.elsewhere = self.text(spot).cloned();
        }
        d
    }

    fn text(&self, spot: Spot) -> Option<&Arc<Source>> {
        self.texts.get(spot.text.checked_sub(1)?)
    }
}

/// `1 host`, `3 hosts`: so many of them, in words.
#[must_use]
pub fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}
