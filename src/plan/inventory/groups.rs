//! Groups to hosts, as a plan's `hosts:` and our own inventory files have them. Knows no other form.

use super::resolve::TIMES;
use super::{Listing, Spot, Vars};
use crate::plan::codes;
use crate::plan::diagnostic::{Diagnostic, Quoted};
use crate::plan::maintenance::Maintenance;
use crate::plan::model::Value;
use crate::plan::raw::{Field, RawGroup, Table};
use crate::plan::shapes::{Anything, Groups, Setting};
use crate::plan::span::Spanned;

/// Adds groups and hosts; `file` is 0 for the plan's own.
pub fn add(listing: &mut Listing, file: usize, groups: &Groups, found: &mut Vec<Diagnostic>) {
    let spot = |span| Spot { text: file, span };
    let of_groups = groups.groups.iter().filter_map(|(_, raw)| raw.maintenance.as_ref());
    for times in of_groups.chain(groups.hosts.iter().filter_map(|(_, raw)| raw.maintenance.as_ref())) {
        if !Maintenance::is_meant(&times.value.0) {
            let d = Diagnostic::error(codes::MAINTENANCE, "`maintenance` says neither days nor hours");
            found.push(d.at(times.span, "acceptable times").help(TIMES));
        }
    }
    for (name, raw) in &groups.groups {
        group(listing, file, name, raw, found);
    }
    for (name, raw) in &groups.hosts {
        let machine = listing.host(&name.value, spot(name.span));
        machine.vars.extend(vars(file, &raw.vars, &raw.owner, &raw.maintenance));
        machine.at = spot(name.span);
        if machine.details.replace(raw.clone()).is_some() {
            let message = format!("{} is described twice", Quoted(&name.value));
            found.push(Diagnostic::error(codes::SAME_MACHINE, message).at(name.span, "described again here"));
        }
    }
    for (name, raw) in &groups.groups {
        let members = raw.hosts.as_ref().map_or(&[][..], |h| &h.value);
        let itself = matches!(members, [only] if only.value == name.value);
        if listing.hosts.contains_key(&name.value) && !itself {
            let message = format!("{} is the name of a group and of a host", Quoted(&name.value));
            found.push(Diagnostic::error(codes::SAME_MACHINE, message).at(name.span, "rename the group"));
        }
    }
}

fn group(listing: &mut Listing, file: usize, name: &Spanned<String>, raw: &RawGroup, found: &mut Vec<Diagnostic>) {
    let spot = |span| Spot { text: file, span };
    let members = raw.hosts.as_ref().map_or(&[][..], |h| &h.value);
    for member in members {
        listing.host(&member.value, spot(member.span));
    }
    let mut seen = std::collections::BTreeSet::new();
    if let Some(twice) = members.iter().find(|m| !seen.insert(m.value.as_str())) {
        let message = format!("{} is twice in group {}", Quoted(&twice.value), Quoted(&name.value));
        found.push(Diagnostic::error(codes::SAME_MACHINE, message).at(twice.span, "named before in this group"));
    }
    let children = raw.children.iter().flat_map(|c| &c.value);
    let group = listing.define(&name.value, spot(name.span));
    group.hosts.extend(members.iter().map(|m| (m.value.clone(), spot(m.span))));
    group.children.extend(children.map(|c| (c.value.clone(), spot(c.span))));
    group.vars.extend(vars(file, &raw.vars, &raw.owner, &raw.maintenance));
}

/// `owner` and `maintenance` are variables like others, with a meaning to the week planner.
fn vars(file: usize, table: &Field<Table<Setting>>, owner: &Field<String>, maintenance: &Field<Anything>) -> Vars {
    let spot = |span| Spot { text: file, span };
    let rows = table.iter().flat_map(|t| &t.value.rows);
    let rows = rows.map(|(name, value)| (name.value.clone(), (value.value.0.clone(), spot(name.span))));
    let owner = owner.iter().map(|o| ("owner".to_owned(), (Value::Text(o.value.clone()), spot(o.span))));
    let maintenance = maintenance.iter().map(|m| ("maintenance".to_owned(), (m.value.0.clone(), spot(m.span))));
    rows.chain(owner).chain(maintenance).collect()
}
