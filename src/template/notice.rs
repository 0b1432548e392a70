//! Texts of messages to people, by templates of one's own. Knows the names of what a message has, not where it goes.
//!
//! In a template that is called `NAME.json` or `NAME.json.j2` every value comes out as JSON, so no text of a night can break the
//! document; in all others as it is.

use std::collections::BTreeMap;

use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value, default_auto_escape_callback};

use super::{Scope, TemplateError, undeclared};

/// What a message has.
pub const NAMES: [&str; 10] = ["id", "event", "at", "run", "plan", "title", "step", "headline", "standing", "text"];

/// Instructions one rendering may take.
const FUEL: u64 = 200_000;

/// The values of a message, by their names; one that is about no step has none for it.
pub type Values = BTreeMap<&'static str, Option<String>>;

/// Whether values come out as JSON in the template of this name.
#[must_use]
pub fn is_document(name: &str) -> bool {
    matches!(default_auto_escape_callback(name), AutoEscape::Json)
}

/// The text of one message.
///
/// # Errors
/// When it is no template, or names what a message does not have.
pub fn render(name: &str, text: &str, values: &Values) -> Result<String, TemplateError> {
    let document = is_document(name);
    let value = |value: &Option<String>| match value {
        Some(text) => Value::from(text.as_str()),
        None if document => Value::from(()),
        None => Value::from(""),
    };
    let content: BTreeMap<&str, Value> = values.iter().map(|(name, text)| (*name, value(text))).collect();
    environment(document)
        .render_named_str(name, text, content)
        .map_err(|e| TemplateError::of(&e, text, &Scope::default()))
}

/// Renders it for a message about a step, and for one about none.
///
/// # Errors
/// When it cannot be rendered, or should be a document and is none.
pub fn judge(name: &str, text: &str) -> Result<(), TemplateError> {
    if let Some(name) = undeclared(text).into_iter().find(|name| !NAMES.contains(&name.as_str())) {
        let line = text.lines().position(|line| has_word(line, &name)).map(|at| at + 1);
        return Err(TemplateError {
            message: format!("`{name}` is undefined"),
            line,
            range: None,
            undefined: Some(name),
        });
    }
    for step in [Some("deploy".to_owned()), None] {
        let mut values: Values = NAMES.map(|name| (name, Some(format!("\"{name}\"")))).into();
        values.insert("step", step);
        let rendered = render(name, text, &values)?;
        if is_document(name) {
            serde_json::from_str::<serde_json::Value>(&rendered).map_err(|e| no_document(&e, text))?;
        }
    }
    Ok(())
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|part| part == word)
}

fn no_document(e: &serde_json::Error, text: &str) -> TemplateError {
    // A template of many lines and its document have the same lines, unless it has statements.
    let line = (!text.contains("{%")).then_some(e.line());
    TemplateError { message: format!("what it makes is no JSON: {e}"), line, range: None, undefined: None }
}

fn environment(document: bool) -> Environment<'static> {
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_debug(true);
    env.set_fuel(Some(FUEL));
    env.set_auto_escape_callback(move |_| if document { AutoEscape::Json } else { AutoEscape::None });
    env
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Values {
        NAMES.map(|name| (name, Some(text.to_owned()))).into()
    }

    #[test]
    fn values_are_json_where_the_name_says_so() {
        let hostile = values("\"}, {{ id }}\n");
        assert_eq!(render("a.json.j2", "{\"text\": {{ text }}}", &hostile).unwrap(), r#"{"text": "\"}, {{ id }}\n"}"#);
        assert_eq!(render("a.txt", "{{ text }}", &values("<a & \"b\">")).unwrap(), "<a & \"b\">");
        let mut none = values("x");
        none.insert("step", None);
        assert_eq!(render("a.json", "[{{ step }}]", &none).unwrap(), "[null]");
        assert_eq!(render("a.txt", "[{{ step }}]", &none).unwrap(), "[]");
    }

    #[test]
    fn what_is_wrong_has_its_line() {
        let line = |name: &str, text: &str| judge(name, text).unwrap_err().line;
        assert_eq!(line("a.txt", "one\ntwo {{ headlin }}"), Some(2));
        assert_eq!(judge("a.txt", "{{ headlin }}").unwrap_err().undefined.as_deref(), Some("headlin"));
        assert_eq!(line("a.txt", "one\n{% if step %}"), Some(2));
        assert_eq!(line("a.json", "{\n\"text\": {{ text }},\n}"), Some(3));
        assert!(
            judge("a.txt", "{% if false %}{{ nobody }}{% endif %}{{ text }}").is_err(),
            "also where it is not reached"
        );
        assert!(
            judge("a.txt", "{% for i in range(100000) %}{% for j in range(100000) %}.{% endfor %}{% endfor %}")
                .is_err()
        );
        judge("a.json.j2", "{\"text\": {{ text }}, \"step\": {{ step }}}").unwrap();
        judge("a.txt", "{{ title }}: {{ headline }}{% if step %} ({{ step }}){% endif %}").unwrap();
    }
}
