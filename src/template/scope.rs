//! The names that one action's texts may use, and the secret ones that they may not. Knows nothing of where values come from.

use std::collections::{BTreeMap, BTreeSet};

use super::TemplateError;
use crate::plan::model::Value;

/// Variables visible to one action. A later [`Scope::set`] of a name replaces an earlier one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scope {
    values: BTreeMap<String, Value>,
    secrets: BTreeSet<String>,
}

impl Scope {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes `name` stand for `value`. Of a secret only the name is kept.
    pub fn set(&mut self, name: impl Into<String>, value: Value) {
        let name = name.into();
        if value.to_text().is_none() {
            self.values.remove(&name);
            self.secrets.insert(name);
        } else {
            self.secrets.remove(&name);
            self.values.insert(name, value);
        }
    }

    pub fn set_text(&mut self, name: impl Into<String>, text: impl Into<String>) {
        self.set(name, Value::Text(text.into()));
    }

    /// Whether the name is known at all, secrets included.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.values.contains_key(name) || self.secrets.contains(name)
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// Every known name, sorted, secrets included.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let all: BTreeSet<&str> = self.values.keys().chain(&self.secrets).map(String::as_str).collect();
        all.into_iter()
    }

    pub(super) fn context(&self) -> minijinja::Value {
        minijinja::Value::from_pairs(self.values.iter().map(|(name, value)| (name.as_str(), converted(value))))
    }

    pub(super) fn refuse_secrets(&self, text: &str, used: &[String]) -> Result<(), TemplateError> {
        let Some(name) = used.iter().find(|n| self.secrets.contains(*n)) else { return Ok(()) };
        let at = text.find(name.as_str());
        Err(TemplateError {
            message: format!("`{name}` is a secret and never becomes part of a text: the command reads \"${name}\""),
            line: at.map(|at| text[..at].matches('\n').count() + 1),
            range: at.map(|at| at..at + name.len()),
            undefined: None,
        })
    }
}

fn converted(value: &Value) -> minijinja::Value {
    match value {
        Value::Text(t) => t.as_str().into(),
        Value::Bool(b) => (*b).into(),
        Value::Int(n) => (*n).into(),
        Value::List(entries) => entries.iter().map(converted).collect(),
        Value::Map(entries) => {
            minijinja::Value::from_pairs(entries.iter().map(|(name, value)| (name.as_str(), converted(value))))
        }
        // Kept out by `Scope::set`.
        Value::Secret(_) => minijinja::Value::UNDEFINED,
    }
}
