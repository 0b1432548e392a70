//! Whose form an inventory is in, decided by looking at it. Knows no group.

use super::{Listing, groups, ini, list, yaml};
use crate::plan::codes;
use crate::plan::decode::{At, Decode as _};
use crate::plan::diagnostic::{Diagnostic, Quoted};
use crate::plan::shapes::Groups;
use crate::plan::source::Source;
use crate::plan::span::Span;
use crate::plan::tree::{self, Entry, Kind};

/// The form of an inventory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Groups to hosts, as in a plan's `hosts:`.
    Own,
    AnsibleIni,
    AnsibleYaml,
    /// What `ansible-inventory --list` prints.
    AnsibleList,
}

impl Shape {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Own => "groups and their hosts",
            Self::AnsibleIni => "Ansible INI",
            Self::AnsibleYaml => "Ansible YAML",
            Self::AnsibleList => "Ansible's --list",
        }
    }
}

/// Reads a text in the form that it has.
pub fn read(listing: &mut Listing, file: usize, source: &Source, found: &mut Vec<Diagnostic>) -> Option<Shape> {
    let text = source.text();
    let Some((first, at)) = first_line(text) else {
        let d = Diagnostic::error(codes::INVENTORY, "the inventory is empty").at(Span::START, "no hosts");
        found.push(d.help("write `GROUP: [HOST, ...]`"));
        return None;
    };
    if text.starts_with("$ANSIBLE_VAULT") || text.starts_with("#!") {
        found.push(unreadable(text));
        return None;
    }
    if is_ini(first) {
        ini::read(listing, file, text, found);
        return Some(Shape::AnsibleIni);
    }
    let json = first.starts_with('{');
    // Tabs between values are legal in JSON, and no indentation.
    let spaced = if json && text.contains('\t') { Some(text.replace('\t', " ")) } else { None };
    let arena = tree::Arena::new();
    let root = match tree::parse(spaced.as_deref().unwrap_or(text), &arena, found) {
        Ok(Some(root)) => root,
        Ok(None) => return None,
        Err(stopped) => {
            found.push(*stopped);
            return None;
        }
    };
    let Kind::Map(entries) = &root.kind else {
        let d = Diagnostic::error(
            codes::INVENTORY,
            format!("an inventory is a mapping of groups, found {}", root.describe()),
        );
        found.push(d.at(Span::new(at, at + first.len()), "not an inventory"));
        return None;
    };
    if let Some(plugin) =
        entries.iter().find(|e| e.key.value == "plugin" && matches!(e.value.kind, Kind::Scalar { .. }))
    {
        let d = Diagnostic::error(codes::INVENTORY, "this is the configuration of an inventory plugin");
        let d = d.at(plugin.key.span, "only Ansible can execute it");
        found.push(d.help("let Ansible list it: `inventory: {run: ansible-inventory -i FILE --list}`"));
        return None;
    }
    let shape = shape(json, entries, found)?;
    match shape {
        Shape::AnsibleYaml => yaml::read(listing, file, entries, found),
        Shape::AnsibleList => list::read(listing, file, entries, found),
        Shape::Own | Shape::AnsibleIni => {
            let at = At { name: "", what: "the inventory", parent: None };
            if let Some(own) = Groups::decode(&root, &at, found) {
                groups::add(listing, file, &own, found);
            }
        }
    }
    Some(shape)
}

fn unreadable(text: &str) -> Diagnostic {
    let line = Span::new(0, text.find('\n').unwrap_or(text.len()));
    if text.starts_with("#!") {
        let d = Diagnostic::error(codes::INVENTORY, "the inventory is a program").at(line, "not a list of hosts");
        return d
            .help("let it print the inventory: `inventory: {run: ./NAME --list}`; of a folder with programs: `{run: ansible-inventory -i FOLDER --list}`");
    }
    let d = Diagnostic::error(codes::INVENTORY, "the inventory is encrypted by ansible-vault").at(line, "encrypted");
    d.help("let it be decrypted: `inventory: {run: ansible-vault view FILE}`")
}

/// The first line that says anything, and where it starts.
fn first_line(text: &str) -> Option<(&str, usize)> {
    let mut at = 0;
    for whole in text.split_inclusive('\n') {
        let line = whole.trim();
        if !line.is_empty() && !line.starts_with(['#', ';', '%']) && line != "---" {
            return Some((line, at + (whole.len() - whole.trim_start().len())));
        }
        at += whole.len();
    }
    None
}

/// A header, or a line without a key: a host, perhaps with variables.
fn is_ini(first: &str) -> bool {
    let after_colon = |at: usize| first[at + 1..].chars().next().is_none_or(char::is_whitespace);
    let colon = first.match_indices(':').map(|(at, _)| at).find(|at| after_colon(*at));
    let key = colon.is_some_and(|at| !first[..at].contains([' ', '\t', '=']));
    let list = first == "-" || first.starts_with("- ");
    ini::is_header(first)
        || (first.starts_with('[') && first.ends_with(']'))
        || !(first.starts_with(['{', '"', '\'']) || key || list)
}

/// The form of a mapping; two forms in one text are an error.
fn shape(json: bool, entries: &[Entry<'_>], found: &mut Vec<Diagnostic>) -> Option<Shape> {
    if json || entries.iter().any(|e| e.key.value == "_meta") {
        return Some(Shape::AnsibleList);
    }
    let certain = |shape: Shape| entries.iter().find(|e| shape_of(e) == Some(shape));
    match (certain(Shape::AnsibleYaml), certain(Shape::Own)) {
        (Some(_), None) => Some(Shape::AnsibleYaml),
        (None, _) => Some(Shape::Own),
        (Some(ansible), Some(own)) => {
            let forms = (Shape::AnsibleYaml.name(), Shape::Own.name());
            let message = format!("the inventory is written in two forms: {} and {}", forms.0, forms.1);
            let d = Diagnostic::error(codes::INVENTORY, message).at(own.key.span, "this is a group and its hosts");
            let d = d.label(ansible.key.span, "this is a group of Ansible");
            found.push(d.help(format!(
                "write {} in Ansible's form as well: {}: {{hosts: {{NAME: }}}}",
                Quoted(own.key.value),
                own.key.value
            )));
            None
        }
    }
}

/// The form that one entry must have; `None` where it could be either.
fn shape_of(entry: &Entry<'_>) -> Option<Shape> {
    let Kind::Map(parts) = &entry.value.kind else {
        return if entry.value.is_null() { None } else { Some(Shape::Own) };
    };
    let part = |name: &str| parts.iter().find(|p| p.key.value == name).map(|p| &p.value);
    let groups = [part("hosts"), part("children")];
    match () {
        () if groups.iter().flatten().any(|p| matches!(p.kind, Kind::Seq(_))) => Some(Shape::Own),
        () if groups.iter().any(Option::is_some) => Some(Shape::AnsibleYaml),
        () if part("vars").is_some() => None,
        () if entry.key.value == "all" => Some(Shape::AnsibleYaml),
        () if parts.is_empty() => None,
        () => Some(Shape::Own),
    }
}
