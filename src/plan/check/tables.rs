//! The tables at the top of a plan: variables, people, resources, channels. Knows no step.

use std::collections::BTreeMap;

use indexmap::IndexMap;

use super::Checker;
use super::step::text;
use super::texts::is_template;
use crate::plan::codes;
use crate::plan::diagnostic::{Diagnostic, Quoted};
use crate::plan::model::{After, Person, Value};
use crate::plan::span::{Span, Spanned};
use crate::plan::words;
use crate::template;

/// How far a variable has been resolved.
enum Progress {
    Pending,
    Done,
}

impl Checker<'_> {
    pub fn vars(&mut self) -> IndexMap<String, Value> {
        let mut vars: IndexMap<String, Value> = IndexMap::new();
        let mut spans: IndexMap<String, Span> = IndexMap::new();
        let raw = self.raw;
        for (name, value) in raw.vars.iter().flat_map(|v| &v.value.rows) {
            self.check_variable_name(name);
            self.secret_literal(name, &value.value.0, value.span);
            vars.insert(name.value.clone(), value.value.0.clone());
            spans.insert(name.value.clone(), value.span);
        }
        let broken: Vec<String> = raw.vars.iter().flat_map(|v| &v.value.broken).cloned().collect();
        for (name, value) in &self.outside.vars {
            if !vars.contains_key(name) && !broken.contains(name) {
                self.no_such_variable(name, &vars);
            }
            spans.shift_remove(name);
            vars.insert(name.clone(), value.clone());
        }
        for name in broken {
            vars.entry(name).or_insert_with(|| Value::Text(String::new()));
        }
        self.fill_in(&mut vars, &spans);
        vars
    }

    fn no_such_variable(&mut self, name: &str, vars: &IndexMap<String, Value>) {
        let d = Diagnostic::error(codes::VARIABLE, format!("the plan has no variable {}", Quoted(name)));
        let known: Vec<&str> = vars.keys().map(String::as_str).collect();
        self.found.push(match words::nearest(name, known.iter().copied()) {
            Some(near) => d.help(format!("did you mean `{near}`?")),
            None if known.is_empty() => d.help("the plan has no `vars:`"),
            None => d.help(format!("its variables: {}", known.join(", "))),
        });
    }

    /// Names reach the environment of commands.
    pub fn check_variable_name(&mut self, name: &Spanned<String>) {
        self.found.extend(bad_variable_name(&name.value).map(|(d, label)| d.at(name.span, label)));
    }

    fn secret_literal(&mut self, name: &Spanned<String>, value: &Value, span: Span) {
        let lower = name.value.to_ascii_lowercase();
        let telling = ["passw", "secret", "token", "api_key", "apikey", "private_key", "credential"];
        let Value::Text(text) = value else { return };
        if text.is_empty() || is_template(text) || !telling.iter().any(|t| lower.contains(t)) {
            return;
        }
        let message = format!("{} looks like a secret in plain text", Quoted(&name.value));
        self.found.push(
            Diagnostic::warning(codes::SECRET, message).at(span, "readable by everybody who reads the plan").help(
                format!(
                    "{}: {{secret: {{env: {}}}}}, or {{file: PATH}}, or {{command: COMMAND}}",
                    name.value, name.value
                ),
            ),
        );
    }

    /// Renders variables that use other variables. Values from the command line are taken as they are.
    fn fill_in(&mut self, vars: &mut IndexMap<String, Value>, spans: &IndexMap<String, Span>) {
        let mut progress = BTreeMap::new();
        let names: Vec<String> = vars.keys().cloned().collect();
        for name in &names {
            self.fill_in_one(name, vars, spans, &mut progress, &mut Vec::new());
        }
    }

    fn fill_in_one(
        &mut self,
        name: &str,
        vars: &mut IndexMap<String, Value>,
        spans: &IndexMap<String, Span>,
        progress: &mut BTreeMap<String, Progress>,
        path: &mut Vec<String>,
    ) {
        match progress.get(name) {
            Some(Progress::Done) => return,
            Some(Progress::Pending) => {
                self.circle(name, spans, path);
                return;
            }
            None => {}
        }
        progress.insert(name.to_string(), Progress::Pending);
        path.push(name.to_string());
        let template = match (&vars[name], spans.get(name)) {
            (Value::Text(text), Some(span)) if is_template(text) => Some((text.clone(), *span)),
            _ => None,
        };
        if let Some((text, span)) = template {
            let used = template::undeclared(&text);
            for other in used.iter().filter(|u| vars.contains_key(*u)).cloned().collect::<Vec<_>>() {
                self.fill_in_one(&other, vars, spans, progress, path);
            }
            let value = self.rendered(&Spanned::new(text, span), vars, &used);
            vars.insert(name.to_string(), Value::Text(value));
        }
        path.pop();
        progress.insert(name.to_string(), Progress::Done);
        self.scope.set(name, vars[name].clone());
    }

    fn rendered(&mut self, text: &Spanned<String>, vars: &IndexMap<String, Value>, used: &[String]) -> String {
        let known = vars.keys().cloned().collect();
        for name in used {
            match vars.get(name) {
                None => self.undefined(name, text.span, &known),
                Some(Value::Secret(_)) => {
                    let message = format!("{} is a secret, so it cannot be part of another variable", Quoted(name));
                    let at = self.within(text.span, name);
                    self.error(codes::SECRET_USE, message, at, "used here");
                }
                Some(_) => {}
            }
        }
        // Names that are missing, secret or circular have been reported; only broken templates are left to be said.
        match template::plain(&text.value, &self.scope) {
            Ok(rendered) => rendered,
            Err(e) => {
                if template::syntax(&text.value).is_err() {
                    self.broken_template(text, &e);
                }
                String::new()
            }
        }
    }

    fn circle(&mut self, name: &str, spans: &IndexMap<String, Span>, path: &[String]) {
        let from = path.iter().position(|p| p == name).unwrap_or(0);
        let members = &path[from..];
        let text = members.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join(" -> ");
        let mut d = Diagnostic::error(codes::VARIABLE_CYCLE, format!("variables refer to each other: {text}"));
        for (i, member) in members.iter().enumerate() {
            let Some(span) = spans.get(member) else { continue };
            let next = members.get(i + 1).map_or(name, String::as_str);
            d = if i == 0 { d.at(*span, format!("uses `{next}`")) } else { d.label(*span, format!("uses `{next}`")) };
        }
        self.found.push(d.help("give one of them a value of its own"));
    }

    pub fn people(&mut self) -> IndexMap<String, Person> {
        let rows = self.raw.people.iter().flat_map(|p| &p.value.rows);
        rows.map(|(key, contact)| {
            let raw = &contact.value.0;
            let name = text(&raw.name).unwrap_or_else(|| key.value.clone());
            (key.value.clone(), Person { name, phone: text(&raw.phone), mail: text(&raw.mail) })
        })
        .collect()
    }

    pub fn resources(&mut self) -> IndexMap<String, u32> {
        let rows = self.raw.resources.iter().flat_map(|r| &r.value.rows);
        rows.map(|(name, capacity)| (name.value.clone(), capacity.value.0)).collect()
    }

    /// The plans that come before this one.
    pub fn after(&mut self) -> Vec<After> {
        let raw = self.raw;
        let mut all: Vec<After> = Vec::new();
        for (one, span) in raw.after.iter().flat_map(|a| &a.value).map(|a| (&a.value.0, a.span)) {
            let Some(plan) = &one.plan else {
                if one.broken.is_empty() {
                    self.error(codes::MISSING, "`after` without `plan`", span, "which plan?");
                }
                continue;
            };
            let named = |d: Diagnostic| d.at(plan.span, "not the name of another plan");
            let stem =
                plan.value.rsplit('/').next().and_then(|file| file.strip_suffix(".yaml").or(file.strip_suffix(".yml")));
            if let Some(stem) = stem.filter(|s| !s.is_empty()) {
                let d = Diagnostic::error(
                    codes::AFTER,
                    format!("{} is a file; runs carry the plan's name", Quoted(&plan.value)),
                );
                self.found.push(named(d).help(format!("write `{stem}`")).fix(plan.span, stem));
            } else if plan.value.contains('/') {
                let d = Diagnostic::error(codes::AFTER, format!("{} is no name of a plan", Quoted(&plan.value)));
                self.found.push(named(d).help("the name of a plan is that of its file, without folder and extension"));
            } else if plan.value == self.outside.stem {
                self.found.push(named(Diagnostic::error(codes::AFTER, "the plan would come after itself")));
            } else if all.iter().any(|a| a.plan == plan.value) {
                let d = Diagnostic::error(codes::AFTER, format!("{} is named twice", Quoted(&plan.value)));
                self.found.push(d.at(plan.span, "again here"));
            }
            let digest = one.digest.as_ref().map(|d| (d.value.replace('-', "").to_lowercase(), d.span));
            if let Some((text, at)) = &digest
                && (!(8..=64).contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_hexdigit()))
            {
                let d = Diagnostic::error(codes::AFTER, "this is no digest").at(*at, "8 to 64 hexadecimal digits");
                self.found.push(d.help("`runbook plan` and `runbook runs` show it, such as 7c1f-9a3e"));
            }
            all.push(After { plan: plan.value.clone(), digest: digest.map(|(text, _)| text) });
        }
        all
    }
}

/// What is wrong with the name of a variable, and what to write beside its place.
pub fn bad_variable_name(text: &str) -> Option<(Diagnostic, &'static str)> {
    let first = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let allowed = text.len() <= 64 && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !first || !allowed {
        let d = Diagnostic::error(codes::VARIABLE, format!("{} is not a name for a variable", Quoted(text)))
            .why("every variable is in the environment of the commands")
            .help("allowed: letters, digits and `_`; no digit first; at most 64 characters");
        return Some((d, "not allowed"));
    }
    let taken = text.starts_with("RUNBOOK_")
        || matches!(text, "HOST" | "PATH" | "HOME" | "IFS" | "ENV" | "BASH_ENV" | "SHELLOPTS")
        || text.starts_with("LD_");
    taken.then(|| {
        let d = Diagnostic::error(codes::VARIABLE, format!("a variable cannot be called `{text}`"))
            .help("choose another name, or set it for one step with `env`");
        (d, "has a meaning already")
    })
}
