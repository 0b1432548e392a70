//! Templates inside a plan: which names they use, and their values where these are known before the night. Runs no command.

use std::collections::BTreeSet;

use super::Checker;
use crate::plan::codes;
use crate::plan::diagnostic::{Diagnostic, Quoted};
use crate::plan::span::{Span, Spanned};
use crate::plan::words;
use crate::template::{self, TemplateError};

/// Whether a text is a template at all. Commands have no template comments, so `{#` alone does not make one.
pub fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

impl Checker<'_> {
    /// A text with the plan's variables filled in, as names and `hosts` allow it.
    pub fn expand(&mut self, text: &Spanned<String>) -> Option<String> {
        if !is_template(&text.value) {
            return Some(text.value.clone());
        }
        match template::plain(&text.value, &self.scope) {
            Ok(rendered) => Some(rendered),
            Err(e) => {
                match e.undefined.clone() {
                    Some(name) => {
                        let known = self.scope.names().map(str::to_owned).collect();
                        self.undefined(&name, text.span, &known);
                    }
                    None => self.broken_template(text, &e),
                }
                None
            }
        }
    }

    /// Reports a text that is no legal template.
    pub fn broken_template(&mut self, text: &Spanned<String>, e: &TemplateError) {
        let d = Diagnostic::error(codes::TEMPLATE, format!("this template cannot be read: {e}"));
        let line = e.line.filter(|l| *l > 1).map_or_else(String::new, |l| format!("in line {l} of this text"));
        let help = if e.message.contains("end of variable block") {
            "`{{` is closed by `}}`"
        } else {
            "`{{ NAME }}` inserts a variable; text that only looks so is written {{ '{{' }}"
        };
        self.found.push(d.at(text.span, line).help(help));
    }

    /// Reports a name that nothing defines.
    pub fn undefined(&mut self, name: &str, span: Span, known: &BTreeSet<String>) {
        let at = self.within(span, name);
        let d = Diagnostic::error(codes::UNDEFINED, format!("unknown variable {}", Quoted(name)));
        self.found.push(match words::nearest(name, known.iter().map(String::as_str)) {
            Some(near) => {
                let d = d.at(at, format!("did you mean `{near}`?"));
                if at == span { d } else { d.fix(at, near) }
            }
            None => d.at(at, "nothing defines it").help(format!(
                "define it: `vars: {{{name}: ...}}` in the plan, or `outputs: [{name}]` of a step before this one"
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
