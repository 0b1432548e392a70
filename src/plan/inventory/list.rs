//! What `ansible-inventory --list` and inventory programs print: groups with lists of hosts, and `_meta`. Knows no other form.

use super::{Listing, Spot, yaml};
use crate::plan::codes;
use crate::plan::diagnostic::{Diagnostic, Quoted};
use crate::plan::tree::{Entry, Kind, Node};

/// Reads the groups of a listing.
pub fn read(listing: &mut Listing, file: usize, groups: &[Entry<'_>], found: &mut Vec<Diagnostic>) {
    let is_meta = |e: &&Entry<'_>| e.key.value == "_meta";
    for group in groups.iter().filter(|e| !is_meta(e)) {
        one(listing, file, group, found);
    }
    for entry in groups.iter().filter(is_meta) {
        meta(listing, file, &entry.value, found);
    }
}

fn one(listing: &mut Listing, file: usize, entry: &Entry<'_>, found: &mut Vec<Diagnostic>) {
    let name = entry.key.value;
    let spot = Spot { text: file, span: entry.key.span };
    listing.define(name, spot);
    match &entry.value.kind {
        Kind::Seq(_) => hosts(listing, file, name, &entry.value, found),
        Kind::Map(parts) => {
            for part in *parts {
                match (part.key.value, &part.value.kind) {
                    ("hosts", _) => hosts(listing, file, name, &part.value, found),
                    ("children", _) => {
                        let children = texts(file, &part.value, "children", found);
                        // Here a group may be spoken of without an entry of its own: then it is empty.
                        for (child, at) in &children {
                            listing.define(child, *at);
                        }
                        listing.group(name, spot).children.extend(children);
                    }
                    ("vars", Kind::Map(vars)) => {
                        let vars = yaml::variables(file, vars);
                        listing.group(name, spot).vars.extend(vars);
                    }
                    ("vars", _) if part.value.is_null() => {}
                    ("vars", _) => found.push(not_expected("vars", part, "a mapping of names to values")),
                    (other, _) => {
                        let message = format!("unknown key {} in group {}", Quoted(other), Quoted(name));
                        let d = Diagnostic::error(codes::UNKNOWN_KEY, message);
                        found.push(d.at(part.key.span, "a group has `hosts`, `children` and `vars`"));
                    }
                }
            }
        }
        Kind::Scalar { .. } => {
            found.push(not_expected(name, entry, "a list of hosts, or {hosts: [...], children: [...], vars: {...}}"));
        }
    }
}

fn hosts(listing: &mut Listing, file: usize, group: &str, node: &Node<'_>, found: &mut Vec<Diagnostic>) {
    for (host, at) in texts(file, node, "hosts", found) {
        listing.host(&host, at);
        listing.group(group, at).hosts.push((host, at));
    }
}

fn meta(listing: &mut Listing, file: usize, node: &Node<'_>, found: &mut Vec<Diagnostic>) {
    let Kind::Map(parts) = &node.kind else { return };
    let hostvars = parts.iter().find(|p| p.key.value == "hostvars");
    let Some(Kind::Map(hosts)) = hostvars.map(|h| &h.value.kind) else { return };
    for host in *hosts {
        let spot = Spot { text: file, span: host.key.span };
        match &host.value.kind {
            // Variables of hosts that no group has are left over from something else, as for Ansible.
            Kind::Map(vars) => {
                if listing.hosts.contains_key(host.key.value) {
                    listing.host(host.key.value, spot).vars.extend(yaml::variables(file, vars));
                }
            }
            _ => found.push(not_expected(host.key.value, host, "a mapping of variables")),
        }
    }
}

fn texts(file: usize, node: &Node<'_>, what: &str, found: &mut Vec<Diagnostic>) -> Vec<(String, Spot)> {
    let Kind::Seq(nodes) = &node.kind else {
        if !node.is_null() {
            let message = format!("`{what}` takes a list of names, found {}", node.describe());
            found.push(Diagnostic::error(codes::WRONG_TYPE, message).at(node.span, "expected a list"));
        }
        return Vec::new();
    };
    let mut names = Vec::with_capacity(nodes.len());
    for node in *nodes {
        match &node.kind {
            Kind::Scalar { text, .. } => names.push((text.to_string(), Spot { text: file, span: node.span })),
            _ => {
                let message = format!("`{what}` takes names, found {}", node.describe());
                found.push(Diagnostic::error(codes::WRONG_TYPE, message).at(node.span, "expected a name"));
            }
        }
    }
    names
}

fn not_expected(name: &str, entry: &Entry<'_>, wanted: &str) -> Diagnostic {
    let message = format!("{} takes {wanted}, found {}", Quoted(name), entry.value.describe());
    Diagnostic::error(codes::WRONG_TYPE, message).at(entry.key.span, "not expected here")
}
