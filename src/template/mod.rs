//! Values into texts: commands, template files, sentences, `when` expressions. Knows no files and no clock.
//!
//! | what | function | values become |
//! |---|---|---|
//! | commands | [`command`] | one shell word each, wherever they stand; `{{ name | unquoted }}` is spliced as it is |
//! | `template:` files | [`file()`] | themselves; the final newline stays |
//! | `say`, names, `env`, urls | [`plain`] | themselves |
//! | `when` | [`truth`] | decided as true or false |
//!
//! An undefined name is always an error, and so is a secret: secrets reach commands by the environment only.

mod environment;
pub mod notice;
pub mod quote;
mod scope;
mod shell;

use std::collections::BTreeSet;
use std::ops::Range;

pub use scope::Scope;
pub use shell::is_posix_shell;

use environment::{Kind, environment};
use shell::{Misplaced, Piece};

/// Why a text could not be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    pub message: String,
    /// 1-based line in the template.
    pub line: Option<usize>,
    /// Bytes of the template.
    pub range: Option<Range<usize>>,
    /// The name that has no value, where that is what is wrong.
    pub undefined: Option<String>,
}

/// Renders a shell text. `shell` is the program that reads it (`sh -eu` where there is none): only for shells of the
/// POSIX family is it known how to quote.
///
/// # Errors
/// When the text is no template, a name is undefined or a secret, or a value stands where no quoting is safe.
pub fn command(text: &str, scope: &Scope, shell: Option<&str>) -> Result<String, TemplateError> {
    refuse_nul(text)?;
    if is_constant_command(text) {
        return Ok(text.to_owned());
    }
    scope.refuse_secrets(text, &undeclared_in_command(text))?;
    let env = environment(Kind::Command);
    let wrong = |e| TemplateError::of(&e, text, scope);
    let template = env.template_from_str(text).map_err(wrong)?;
    let (marked, spans) = template.render_with_spans(scope.context()).map_err(wrong)?;
    let pieces: Vec<Piece<'_>> = marked
        .split(environment::MARK)
        .enumerate()
        .map(|(i, part)| if i % 2 == 0 { Piece::Text(part) } else { Piece::Value(part) })
        .collect();
    let place = |value: usize| {
        let offset = marked.match_indices(environment::MARK).nth(value * 2).map_or(0, |(at, _)| at);
        spans.iter().find(|s| s.output_range().contains(&offset))
    };
    let placed = |message: String, value: usize| TemplateError {
        message,
        line: place(value).map(minijinja::OutputSpan::line),
        range: place(value).map(minijinja::OutputSpan::source_range),
        undefined: None,
    };
    if pieces.len() > 1
        && let Some(program) = shell.filter(|p| !is_posix_shell(p))
    {
        let message = format!("values can be quoted for sh, not for `{program}`: read them from the environment");
        return Err(placed(message, 0));
    }
    shell::weave(&pieces).map_err(|Misplaced { place, value }| {
        placed(format!("a value cannot be quoted {place}: use \"$NAME\" from the environment there"), value)
    })
}

/// Renders a `template:` file. Nothing is quoted, every newline stays.
///
/// # Errors
/// When the text is no template, or a name is undefined or a secret.
pub fn file(text: &str, scope: &Scope) -> Result<String, TemplateError> {
    render(text, scope)
}

/// Renders a sentence, a name or a setting: nothing is quoted.
///
/// # Errors
/// When the text is no template, or a name is undefined or a secret.
pub fn plain(text: &str, scope: &Scope) -> Result<String, TemplateError> {
    render(text, scope)
}

fn render(text: &str, scope: &Scope) -> Result<String, TemplateError> {
    if is_constant(text) {
        return Ok(text.to_owned());
    }
    scope.refuse_secrets(text, &undeclared(text))?;
    environment(Kind::Plain).render_str(text, scope.context()).map_err(|e| TemplateError::of(&e, text, scope))
}

/// Decides a `when` expression (without braces). A text must be `true` or `false` to be decided on its own:
/// `ROLE` alone is refused where `ROLE != ""` was meant.
///
/// # Errors
/// When it is no expression, a name is undefined or a secret, or the result is neither true nor false.
pub fn truth(expression: &str, scope: &Scope) -> Result<bool, TemplateError> {
    scope.refuse_secrets(expression, &undeclared_in_expression(expression))?;
    let env = environment(Kind::Plain);
    let wrong = |e| TemplateError::of(&e, expression, scope);
    let value = env.compile_expression(expression).and_then(|e| e.eval(scope.context())).map_err(wrong)?;
    if value.is_undefined() {
        return Err(undefined_in(expression, scope));
    }
    match value.as_str() {
        Some("true") => Ok(true),
        Some("false" | "") => Ok(false),
        Some(text) => Err(TemplateError {
            message: format!("must be true or false, and is the text {text:?}: compare it, as in `NAME == {text:?}`"),
            line: Some(1),
            range: Some(0..expression.len()),
            undefined: None,
        }),
        None => Ok(value.is_true()),
    }
}

fn undefined_in(expression: &str, scope: &Scope) -> TemplateError {
    let name = undeclared_in_expression(expression).into_iter().find(|n| !scope.has(n));
    TemplateError {
        message: format!("`{}` is undefined", name.as_deref().unwrap_or(expression)),
        line: Some(1),
        range: Some(0..expression.len()),
        undefined: name,
    }
}

/// Whether `text` is a template at all, and a legal one.
///
/// # Errors
/// Where it breaks the syntax, with the place.
pub fn syntax(text: &str) -> Result<(), TemplateError> {
    parsed(Kind::Plain, text)
}

/// [`syntax`] of a command.
///
/// # Errors
/// Where it breaks the syntax, with the place.
pub fn command_syntax(text: &str) -> Result<(), TemplateError> {
    parsed(Kind::Command, text)
}

fn parsed(kind: Kind, text: &str) -> Result<(), TemplateError> {
    if is_constant(text) {
        return Ok(());
    }
    let parsed = environment(kind).template_from_str(text).map(|_| ());
    parsed.map_err(|e| TemplateError::of(&e, text, &Scope::default()))
}

/// Whether `text` is a legal `when` expression.
///
/// # Errors
/// Where it breaks the syntax, with the place.
pub fn expression_syntax(text: &str) -> Result<(), TemplateError> {
    let parsed = environment(Kind::Plain).compile_expression(text).map(|_| ());
    parsed.map_err(|e| TemplateError::of(&e, text, &Scope::default()))
}

/// The names that a text takes from outside, sorted. Empty where the text is no legal template.
#[must_use]
pub fn undeclared(text: &str) -> Vec<String> {
    undeclared_in(Kind::Plain, text)
}

/// [`undeclared`] for a command.
#[must_use]
pub fn undeclared_in_command(text: &str) -> Vec<String> {
    undeclared_in(Kind::Command, text)
}

fn undeclared_in(kind: Kind, text: &str) -> Vec<String> {
    if is_constant(text) {
        return Vec::new();
    }
    let env = environment(kind);
    let names = env.template_from_str(text).map(|t| t.undeclared_variables(false)).unwrap_or_default();
    without_globals(names)
}

/// The names that a `when` expression takes from outside, sorted.
#[must_use]
pub fn undeclared_in_expression(text: &str) -> Vec<String> {
    let env = environment(Kind::Plain);
    let names = env.compile_expression(text).map(|e| e.undeclared_variables(false)).unwrap_or_default();
    without_globals(names)
}

fn without_globals(names: impl IntoIterator<Item = String>) -> Vec<String> {
    let globals = environment(Kind::Plain);
    let known: BTreeSet<&str> = globals.globals().map(|(name, _)| name).collect();
    let sorted: BTreeSet<String> = names.into_iter().filter(|n| !known.contains(n.as_str())).collect();
    sorted.into_iter().collect()
}

/// The expressions that a command splices without quotes, for the dry run.
#[must_use]
pub fn splices(text: &str) -> Vec<&str> {
    text.split("{{")
        .skip(1)
        .filter_map(|rest| rest.split_once("}}").map(|(expression, _)| expression.trim().trim_matches('-').trim()))
        .filter(|expression| {
            let mut words = expression.split(|c: char| !c.is_alphanumeric() && c != '_');
            words.any(|w| w == "unquoted")
        })
        .collect()
}

/// Whether there is nothing to render.
fn is_constant(text: &str) -> bool {
    is_constant_command(text) && !text.contains("{#")
}

/// Commands have no comments of the template kind: `${#name}` belongs to the shell.
fn is_constant_command(text: &str) -> bool {
    !text.contains("{{") && !text.contains("{%")
}

fn refuse_nul(text: &str) -> Result<(), TemplateError> {
    let Some(at) = text.find('\0') else { return Ok(()) };
    let line = text[..at].matches('\n').count() + 1;
    let message = "has a NUL character, which no command can hold".into();
    Err(TemplateError { message, line: Some(line), range: Some(at..at + 1), undefined: None })
}

impl TemplateError {
    fn of(error: &minijinja::Error, text: &str, scope: &Scope) -> Self {
        use minijinja::ErrorKind;
        let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
        let undefined = (error.kind() == ErrorKind::UndefinedError).then(|| {
            let named = detail.split('`').nth(1).map(str::to_owned);
            named.or_else(|| undeclared(text).into_iter().find(|n| !scope.has(n)))
        });
        let undefined = undefined.flatten();
        let message = match (&undefined, error.kind()) {
            (Some(name), _) => format!("`{name}` is undefined"),
            (None, ErrorKind::OutOfFuel) => "takes too long to render: a loop without end?".into(),
            (None, _) => detail,
        };
        Self { message, line: error.line(), range: error.range(), undefined }
    }
}

#[cfg(test)]
mod tests;
