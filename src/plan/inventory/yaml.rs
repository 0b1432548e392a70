//! Ansible's YAML inventories, and the files of `group_vars/` and `host_vars/`. Knows not what a variable means.

use super::{Listing, Spot, Vars, ini, values};
use crate::plan::codes;
use crate::plan::diagnostic::{Diagnostic, Quoted};
use crate::plan::source::Source;
use crate::plan::span::{Span, Spanned};
use crate::plan::tree::{self, Entry, Kind, Node};
use crate::plan::words;

/// What a group may hold.
const KEYS: [&str; 3] = ["hosts", "children", "vars"];

/// Reads the groups of an inventory.
pub fn read(listing: &mut Listing, file: usize, groups: &[Entry<'_>], found: &mut Vec<Diagnostic>) {
    let mut reader = Reader { listing, file, found };
    for group in groups {
        reader.group(None, group);
    }
}

struct Reader<'l, 'f> {
    listing: &'l mut Listing,
    file: usize,
    found: &'f mut Vec<Diagnostic>,
}

impl Reader<'_, '_> {
    fn group(&mut self, parent: Option<&str>, entry: &Entry<'_>) {
        let name = entry.key.value.to_string();
        let spot = Spot { text: self.file, span: entry.key.span };
        self.listing.define(&name, spot);
        if let Some(parent) = parent {
            self.listing.group(parent, spot).children.push((name.clone(), spot));
        }
        for part in self.part(&entry.value, &entry.key, "a mapping with `hosts`, `children` and `vars`") {
            match part.key.value {
                "hosts" => self.hosts(&name, part),
                "children" => {
                    for child in self.part(&part.value, &part.key, "a mapping of groups") {
                        self.group(Some(&name), child);
                    }
                }
                "vars" => {
                    let vars = variables(self.file, self.part(&part.value, &part.key, "a mapping of names to values"));
                    self.listing.group(&name, spot).vars.extend(vars);
                }
                other => {
                    let message = format!("unknown key {} in group {}", Quoted(other), Quoted(&name));
                    let d = Diagnostic::error(codes::UNKNOWN_KEY, message);
                    self.found.push(match words::nearest(other, KEYS) {
                        Some(near) => d.at(part.key.span, format!("did you mean `{near}`?")),
                        None => d.at(part.key.span, "not a part of a group").help(
                            "a group has `hosts`, `children` and `vars`; other groups stand below `children`, hosts below `hosts`",
                        ),
                    });
                }
            }
        }
    }

    fn hosts(&mut self, group: &str, part: &Entry<'_>) {
        if let Kind::Scalar { text, .. } = &part.value.kind
            && !part.value.is_null()
        {
            return self.host(group, text, part.value.span, &Vars::new());
        }
        for host in self.part(&part.value, &part.key, "a mapping of hosts to their variables") {
            let vars = variables(self.file, self.part(&host.value, &host.key, "a mapping of variables"));
            self.host(group, host.key.value, host.key.span, &vars);
        }
    }

    fn host(&mut self, group: &str, pattern: &str, span: Span, vars: &Vars) {
        let spot = Spot { text: self.file, span };
        for (name, port) in ini::names(self.listing, pattern, spot, self.found) {
            self.listing.group(group, spot).hosts.push((name.clone(), spot));
            ini::behind(self.listing, &name, port, spot, self.found);
            let machine = self.listing.host(&name, spot);
            machine.vars.extend(vars.iter().map(|(k, v)| (k.clone(), v.clone())));
        }
    }

    /// The entries of a mapping, which may be empty.
    fn part<'n, 'a>(&mut self, node: &'n Node<'a>, key: &Spanned<impl AsRef<str>>, wanted: &str) -> &'n [Entry<'a>] {
        match &node.kind {
            Kind::Map(entries) => entries,
            _ if node.is_null() => &[],
            _ => {
                let name = Quoted(key.value.as_ref());
                let message = format!("{name} takes {wanted}, found {}", node.describe());
                let d = Diagnostic::error(codes::WRONG_TYPE, message).at(key.span, format!("expected {wanted}"));
                self.found.push(d.help("each entry is a key: write `NAME:` on a line of its own, without a dash"));
                &[]
            }
        }
    }
}

/// Names and values.
pub fn variables(file: usize, entries: &[Entry<'_>]) -> Vars {
    let one =
        |e: &Entry<'_>| (e.key.value.to_string(), (values::yaml(&e.value), Spot { text: file, span: e.key.span }));
    entries.iter().map(one).collect()
}

/// The variables of one file of `group_vars/` or `host_vars/`.
pub fn vars_file(file: usize, source: &Source, found: &mut Vec<Diagnostic>) -> Vars {
    if source.text().starts_with("$ANSIBLE_VAULT") {
        let d =
            Diagnostic::error(codes::INVENTORY, "this file is encrypted by ansible-vault").at(Span::START, "encrypted");
        found.push(d.help(
            "keep secrets out of the inventory: `vars: {NAME: {secret: {command: ansible-vault view FILE}}}` in the plan",
        ));
        return Vars::new();
    }
    match tree::parse(source.text(), &tree::Arena::new(), found) {
        Ok(None) => Vars::new(),
        Ok(Some(root)) => match &root.kind {
            Kind::Map(entries) => variables(file, entries),
            _ => {
                let message = format!("a file of variables is a mapping, found {}", root.describe());
                found.push(Diagnostic::error(codes::WRONG_TYPE, message).at(root.span, "expected NAME: VALUE"));
                Vars::new()
            }
        },
        Err(stopped) => {
            found.push(*stopped);
            Vars::new()
        }
    }
}
