//! Values of host variables that refer to other variables: `{{ NAME }}` is filled in for each host. Knows no command.

use std::collections::BTreeSet;

use super::resolve::Notes;
use super::{Listing, Vars};
use crate::plan::codes;
use crate::plan::diagnostic::{Diagnostic, Quoted};
use crate::plan::model::Value;
use crate::template::{self, Scope};

/// Fills in the variables of one host, in place. Names are looked for among its own variables, then the plan's.
pub fn fill_in(
    listing: &Listing,
    host: &str,
    vars: &mut Vars,
    plan: &Scope,
    notes: &mut Notes,
    found: &mut Vec<Diagnostic>,
) {
    if !vars.values().any(|(value, _)| has_template(value)) {
        return;
    }
    let mut scope = plan.clone();
    scope.set_text("inventory_hostname", host);
    scope.set_text("inventory_hostname_short", host.split('.').next().unwrap_or(host));
    for (name, (value, _)) in vars.iter().filter(|(_, (value, _))| !has_template(value)) {
        scope.set(name.as_str(), value.clone());
    }
    let mut open: BTreeSet<String> =
        vars.iter().filter(|(_, (value, _))| has_template(value)).map(|(name, _)| name.clone()).collect();
    // Each round fills in what refers to nothing that is still open.
    loop {
        let ready: Vec<String> = open.iter().filter(|name| !refers(&vars[*name].0, &open)).cloned().collect();
        if ready.is_empty() {
            break;
        }
        for name in ready {
            open.remove(&name);
            let (value, spot) = &vars[&name];
            match filled(value, &scope) {
                Ok(value) => {
                    scope.set(name.as_str(), value.clone());
                    vars[&name].0 = value;
                }
                Err(e) => {
                    let code = if e.undefined.is_some() { codes::UNDEFINED } else { codes::TEMPLATE };
                    let message =
                        format!("the variable {} of {} cannot be filled in: {e}", Quoted(&name), Quoted(host));
                    if notes.first(*spot) {
                        found.push(listing.at(Diagnostic::error(code, message), *spot, ""));
                    }
                }
            }
        }
    }
    if let Some((name, (_, spot))) = vars.iter().find(|(name, _)| open.contains(*name))
        && notes.first(*spot)
    {
        let names = open.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let message = format!("variables of {} refer to each other: {names}", Quoted(host));
        let d =
            listing.at(Diagnostic::error(codes::VARIABLE_CYCLE, message), *spot, format!("`{name}` is one of them"));
        found.push(d.help("give one of them a value of its own"));
    }
}

fn has_template(value: &Value) -> bool {
    match value {
        Value::Text(text) => text.contains("{{") || text.contains("{%"),
        Value::List(values) => values.iter().any(has_template),
        Value::Map(entries) => entries.values().any(has_template),
        Value::Bool(_) | Value::Int(_) | Value::Secret(_) => false,
    }
}

fn refers(value: &Value, names: &BTreeSet<String>) -> bool {
    match value {
        Value::Text(text) => template::undeclared(text).iter().any(|n| names.contains(n)),
        Value::List(values) => values.iter().any(|v| refers(v, names)),
        Value::Map(entries) => entries.values().any(|v| refers(v, names)),
        Value::Bool(_) | Value::Int(_) | Value::Secret(_) => false,
    }
}

fn filled(value: &Value, scope: &Scope) -> Result<Value, template::TemplateError> {
    Ok(match value {
        Value::Text(text) => Value::Text(template::plain(text, scope)?),
        Value::List(values) => Value::List(values.iter().map(|v| filled(v, scope)).collect::<Result<_, _>>()?),
        Value::Map(entries) => {
            let entries = entries.iter().map(|(k, v)| Ok((k.clone(), filled(v, scope)?)));
            Value::Map(entries.collect::<Result<_, _>>()?)
        }
        Value::Bool(_) | Value::Int(_) | Value::Secret(_) => value.clone(),
    })
}
