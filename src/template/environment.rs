//! The template engine as this program allows it: strict, bounded, no files. Knows nothing of what is rendered.

use std::sync::LazyLock;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Object, ObjectRepr, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value};

/// Surrounds each value in a rendered command until its place in the shell text is known. No command can hold NUL.
pub(super) const MARK: char = '\0';

/// Instructions one rendering may take: far more than any text needs, and over in a moment.
const FUEL: u64 = 2_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Command,
    Plain,
}

pub(super) fn environment<'a>(kind: Kind) -> &'a Environment<'a> {
    static COMMAND: LazyLock<Environment<'static>> = LazyLock::new(|| {
        // `${#name}` is the shell's, so `{#` begins no comment.
        let mut env = base(Some(("{{#", "#}}")));
        env.set_auto_escape_callback(|_| AutoEscape::Custom("sh".into()));
        env.set_formatter(marked);
        env.add_filter("unquoted", |value: Value| value_text(&value).map(|text| Value::from_object(Spliced(text))));
        env
    });
    static PLAIN: LazyLock<Environment<'static>> = LazyLock::new(|| {
        let mut env = base(None);
        env.set_auto_escape_callback(|_| AutoEscape::None);
        env.set_formatter(|out, _, value| Ok(out.write_str(&joined(value)?)?));
        env
    });
    match kind {
        Kind::Command => &COMMAND,
        Kind::Plain => &PLAIN,
    }
}

fn base(comments: Option<(&'static str, &'static str)>) -> Environment<'static> {
    let mut syntax = SyntaxConfig::builder();
    syntax.keep_trailing_newline(true);
    if let Some((open, close)) = comments {
        syntax.comment_delimiters(open, close);
    }
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_debug(true);
    env.set_fuel(Some(FUEL));
    env.set_recursion_limit(100);
    env.set_syntax(syntax.build().expect("the delimiters differ from each other"));
    // They promise a safety that belongs to HTML.
    for filter in ["safe", "escape", "e"] {
        env.remove_filter(filter);
    }
    env.remove_global("debug");
    env
}

/// Shell text that the author splices on purpose. A type of its own, so that no other filter can make one.
#[derive(Debug)]
struct Spliced(String);

impl Object for Spliced {
    fn repr(self: &std::sync::Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &std::sync::Arc<Self>, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Every value of a command passes here, constants and macros included.
fn marked(out: &mut Output, _: &mut State, value: &Value) -> Result<(), Error> {
    if let Some(Spliced(text)) = value.downcast_object_ref::<Spliced>() {
        return Ok(out.write_str(&without_nul(text)?)?);
    }
    let words = match value.kind() {
        // Only the missing `else` of `a if b` comes here undefined; all other uses fail before.
        ValueKind::Undefined => Vec::new(),
        ValueKind::Seq | ValueKind::Iterable => {
            value.try_iter()?.map(|v| value_text(&v)).collect::<Result<Vec<_>, _>>()?
        }
        _ => vec![value_text(value)?],
    };
    for (i, word) in words.iter().enumerate() {
        let blank = if i == 0 { "" } else { " " };
        write!(out, "{blank}{MARK}{}{MARK}", without_nul(word)?)?;
    }
    Ok(())
}

fn without_nul(text: &str) -> Result<String, Error> {
    if text.contains(MARK) {
        let why = "the value has a NUL character, which no command can hold (or is a block that holds other values)";
        return Err(Error::new(ErrorKind::InvalidOperation, why));
    }
    Ok(text.to_owned())
}

/// A value on its own, as text.
fn value_text(value: &Value) -> Result<String, Error> {
    let refused = |what: &str| Err(Error::new(ErrorKind::InvalidOperation, format!("{what} is not a text")));
    match value.kind() {
        ValueKind::Undefined => Err(Error::from(ErrorKind::UndefinedError)),
        ValueKind::None => refused("nothing (`none`)"),
        ValueKind::Map => refused("a mapping"),
        ValueKind::Seq | ValueKind::Iterable => refused("a list in a list"),
        // As in the environment; the engine would write `True`.
        ValueKind::Bool => Ok(if value.is_true() { "true" } else { "false" }.into()),
        _ => Ok(value.to_string()),
    }
}

/// A value in a text without quoting; the entries of a list are separated by blanks.
fn joined(value: &Value) -> Result<String, Error> {
    match value.kind() {
        ValueKind::Undefined => Ok(String::new()),
        ValueKind::Seq | ValueKind::Iterable => {
            Ok(value.try_iter()?.map(|v| value_text(&v)).collect::<Result<Vec<_>, _>>()?.join(" "))
        }
        _ => value_text(value),
    }
}
