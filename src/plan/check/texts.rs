//! Templates inside a plan: which names they use, and their values where these are known before the night. Runs no command.

use std::collections::{BTreeMap, BTreeSet};

use minijinja::{Environment, UndefinedBehavior};

use super::Checker;
use crate::plan::codes;
use crate::plan::diagnostic::{Diagnostic, Quoted};
use crate::plan::model::Value;
use crate::plan::span::{Span, Spanned};

/// A template engine without loader, and the plan's variables.
pub struct Texts {
    engine: Environment<'static>,
    pub vars: BTreeMap<String, minijinja::Value>,
}

impl Default for Texts {
    fn default() -> Self {
        let mut engine = Environment::new();
        engine.set_undefined_behavior(UndefinedBehavior::Strict);
        engine.set_fuel(Some(100_000));
        Self { engine, vars: BTreeMap::new() }
    }
}

/// Whether a text is a template at all.
pub fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%") || text.contains("{#")
}

/// A plan's value for the template engine. A secret has none: it never becomes text here.
pub fn engine_value(value: &Value) -> Option<minijinja::Value> {
    Some(match value {
        Value::Text(t) => minijinja::Value::from(t.clone()),
        Value::Bool(b) => minijinja::Value::from(*b),
        Value::Int(n) => minijinja::Value::from(*n),
        Value::List(values) => values.iter().map(engine_value).collect::<Option<Vec<_>>>()?.into(),
        Value::Secret(_) => return None,
    })
}

impl Texts {
    /// The names that a template uses without defining them.
    pub fn names(&self, template: &str) -> Result<BTreeSet<String>, minijinja::Error> {
        Ok(self.engine.template_from_str(template)?.undeclared_variables(false).into_iter().collect())
    }

    /// The names that an expression (`when`) uses.
    pub fn expression_names(&self, expression: &str) -> Result<BTreeSet<String>, minijinja::Error> {
        Ok(self.engine.compile_expression(expression)?.undeclared_variables(false).into_iter().collect())
    }

    pub fn render(&self, template: &str) -> Result<String, minijinja::Error> {
        self.engine.render_str(template, &self.vars)
    }
}

/// What the template engine says, as one line for people.
pub fn template_error(e: &minijinja::Error) -> String {
    e.detail().map_or_else(|| e.kind().to_string(), |detail| format!("{}: {detail}", e.kind()))
}

impl Checker<'_> {
    /// A text with the plan's variables filled in, as names and `hosts` allow it.
    pub fn expand(&mut self, text: &Spanned<String>) -> Option<String> {
        if !is_template(&text.value) {
            return Some(text.value.clone());
        }
        match self.texts.render(&text.value) {
            Ok(rendered) => Some(rendered),
            Err(e) => {
                let undefined = self
                    .texts
                    .names(&text.value)
                    .ok()
                    .and_then(|n| n.into_iter().find(|n| !self.texts.vars.contains_key(n)));
                match undefined {
                    Some(name) => self.undefined(&name, text.span, &self.plain_names()),
                    None => self.error(
                        codes::TEMPLATE,
                        format!("this template cannot be read: {}", template_error(&e)),
                        text.span,
                        "",
                    ),
                }
                None
            }
        }
    }

    fn plain_names(&self) -> BTreeSet<String> {
        self.texts.vars.keys().cloned().collect()
    }

    /// Reports a name that nothing defines.
    pub fn undefined(&mut self, name: &str, span: Span, known: &BTreeSet<String>) {
        let at = self.within(span, name);
        let d = Diagnostic::error(codes::UNDEFINED, format!("unknown variable {}", Quoted(name)));
        self.found.push(match crate::plan::words::nearest(name, known.iter().map(String::as_str)) {
            Some(near) => {
                let d = d.at(at, format!("did you mean `{near}`?"));
                if at == span { d } else { d.fix(at, near) }
            }
            None => d.at(at, "nothing defines it").help(format!(
                "define it: `vars: {{{name}: ...}}` in the plan, `--var {name}=...`, or `outputs: [{name}]` of a step before this one"
            )),
        });
    }

    /// The place of `word` inside the text at `span`; the whole where it cannot be found.
    pub fn within(&self, span: Span, word: &str) -> Span {
        let text = self.source.text().get(span.start..span.end).unwrap_or("");
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let mut from = 0;
        while let Some(i) = text[from..].find(word).map(|i| i + from) {
            let before = text[..i].chars().next_back().is_some_and(is_part);
            let after = text[i + word.len()..].chars().next().is_some_and(is_part);
            if !before && !after {
                return Span::new(span.start + i, span.start + i + word.len());
            }
            from = i + word.len();
        }
        span
    }
}
