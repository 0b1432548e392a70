//! How typed values are read from nodes, every mistake collected. Knows no key of the plan language.
//!
//! A record is declared once, by [`record!`]: its fields are the keys that a plan may use, the doc comments are their
//! descriptions, and both the reader and the JSON Schema come from that one declaration, so they cannot drift apart.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::codes;
use super::diagnostic::{Diagnostic, Quoted};
use super::span::{Span, Spanned};
use super::tree::{Entry, Kind, Node};
use super::words;

/// Named parts of the JSON Schema.
pub type Definitions = BTreeMap<&'static str, Json>;

/// A type that can be read from a node.
pub trait Decode: Sized {
    /// Reads it; on a mistake, reports to `found` and gives `None`.
    fn decode(node: &Node<'_>, at: &At<'_>, found: &mut Vec<Diagnostic>) -> Option<Self>;

    /// What is accepted, as JSON Schema (draft 7).
    fn schema(definitions: &mut Definitions) -> Json;
}

/// Where in the plan something stands, for messages: a chain of names, innermost first. Costs nothing until printed.
#[derive(Debug, Clone, Copy)]
pub struct At<'c> {
    pub name: &'c str,
    /// What `name` is: `step`, `host`, or nothing for a plain key.
    pub what: &'static str,
    pub parent: Option<&'c At<'c>>,
}

impl<'c> At<'c> {
    pub const PLAN: At<'static> = At { name: "", what: "the plan", parent: None };

    #[must_use]
    pub const fn key(name: &'c str, parent: &'c At<'c>) -> Self {
        Self { name, what: "", parent: Some(parent) }
    }

    /// "step `x`", "`rollback` of step `x`", "the plan".
    #[must_use]
    pub fn describe(&self) -> String {
        let own = match (self.what, self.name) {
            (what, "") => what.to_string(),
            ("", name) => Quoted(name).to_string(),
            (what, name) => format!("{what} {}", Quoted(name)),
        };
        match self.parent {
            Some(parent) if self.what.is_empty() && !parent.name.is_empty() => {
                format!("{own} of {}", parent.describe())
            }
            _ => own,
        }
    }
}

/// Reports a value of the wrong kind: "`retry` takes X, found Y".
pub fn wrong(node: &Node<'_>, at: &At<'_>, wanted: &str) -> Diagnostic {
    let found = node.describe();
    let subject = if at.name.is_empty() { at.what.to_string() } else { Quoted(at.name).to_string() };
    Diagnostic::error(codes::WRONG_TYPE, format!("{subject} takes {wanted}, found {found}"))
        .at(place(node, node.span), format!("expected {wanted}"))
}

/// Reads the value of a key, remembering its place: of a block that spans lines, the place of its key.
pub fn field<T: Decode>(entry: &Entry<'_>, at: &At<'_>, found: &mut Vec<Diagnostic>) -> Option<Spanned<T>> {
    let value = T::decode(&entry.value, at, found)?;
    Some(Spanned::new(value, place(&entry.value, entry.key.span)))
}

/// The place to show for a node: itself, or `key` where it is a collection or nothing at all.
fn place(node: &Node<'_>, key: Span) -> Span {
    match node.kind {
        Kind::Scalar { .. } if !node.is_null() => node.span,
        _ if node.span.end > node.span.start && node.span.end - node.span.start < 100 && !node.is_null() => node.span,
        _ => key,
    }
}

/// The entries of a mapping, or a report that it is none.
pub fn entries<'n, 'a>(
    node: &'n Node<'a>,
    at: &At<'_>,
    wanted: &str,
    found: &mut Vec<Diagnostic>,
) -> Option<&'n [Entry<'a>]> {
    match &node.kind {
        Kind::Map(entries) => Some(entries),
        _ => {
            found.push(wrong(node, at, wanted));
            None
        }
    }
}

/// Reports a key that a record does not have, with the nearest one that it has, or our word for another tool's.
/// Gives the key that was meant, where that is certain enough to say nothing more about its absence.
pub fn unknown_key(
    key: &Spanned<impl AsRef<str>>,
    record: &str,
    keys: &'static [&'static str],
    at: &At<'_>,
    found: &mut Vec<Diagnostic>,
) -> Option<&'static str> {
    let name = key.value.as_ref();
    let message = format!("unknown key {} in {}", Quoted(name), at.describe());
    let d = Diagnostic::error(codes::UNKNOWN_KEY, message);
    if let Some(word) = words::translate(record, name) {
        let d = d.at(key.span, word.says).help(word.help);
        found.push(match word.rename {
            Some(new) => d.fix(key.span, new),
            None => d,
        });
        return word.rename;
    }
    let near = words::nearest(name, keys.iter().copied());
    let d = d.help(format!("keys here: {}", list(keys)));
    found.push(match near {
        Some(near) => d.at(key.span, format!("did you mean `{near}`?")).fix(key.span, near),
        None => d.at(key.span, "not a key of the plan language"),
    });
    keys.iter().copied().find(|k| Some(*k) == near)
}

/// Words with commas, in lines of about 100 characters.
fn list(words: &[&str]) -> String {
    let (mut text, mut width) = (String::new(), 11);
    for (i, word) in words.iter().enumerate() {
        let last = i + 1 == words.len();
        if width + word.len() > 100 {
            text.push('\n');
            width = 0;
        } else if i > 0 {
            text.push(' ');
        }
        text.push_str(word);
        text.push_str(if last { "" } else { "," });
        width += word.len() + 2;
    }
    text
}

/// What a record holds of one of its keys. Most keys of a record are not written, so one costs a pointer until it is.
pub type Field<T> = Option<Box<Spanned<T>>>;

/// Declares a record: a struct whose fields are all [`Field`]s, its reader, and its schema.
macro_rules! record {
    ($(#[doc = $doc:literal])* $name:ident as $word:literal, required [$($required:literal),*] {
        $($(#[doc = $field_doc:literal])+ $field:ident: $type:ty,)+
    }) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Default)]
        pub struct $name {
            $($(#[doc = $field_doc])+ pub $field: $crate::plan::decode::Field<$type>,)+
            /// Keys that were written, but whose values could not be read.
            pub broken: Vec<&'static str>,
        }

        impl $name {
            /// Every key that may stand here.
            pub const KEYS: &'static [&'static str] = &[$(key_of!($field),)+];

            /// Where the value of a key stands.
            #[must_use]
            pub fn place_of(&self, key: &str) -> Option<$crate::plan::span::Span> {
                match key {
                    $(key_of!($field) => self.$field.as_ref().map(|f| f.span),)+
                    _ => None,
                }
            }

            /// Whether a key was written at all, readable or not.
            #[must_use]
            pub fn has(&self, key: &str) -> bool {
                self.place_of(key).is_some() || self.broken.contains(&key)
            }
        }

        impl $crate::plan::decode::Decode for $name {
            fn decode(
                node: &$crate::plan::tree::Node<'_>,
                at: &$crate::plan::decode::At<'_>,
                found: &mut Vec<$crate::plan::diagnostic::Diagnostic>,
            ) -> Option<Self> {
                let mut record = Self::default();
                for entry in $crate::plan::decode::entries(node, at, concat!("a mapping of keys, such as `", $word, "`"), found)? {
                    let key = &*entry.key.value;
                    match key {
                        $(key_of!($field) => {
                            let at = $crate::plan::decode::At::key(key, at);
                            record.$field = $crate::plan::decode::field(entry, &at, found).map(Box::new);
                            if record.$field.is_none() {
                                record.broken.push(key_of!($field));
                            }
                        })+
                        _ => {
                            let name = stringify!($name);
                            record.broken.extend($crate::plan::decode::unknown_key(&entry.key, name, Self::KEYS, at, found));
                        }
                    }
                }
                Some(record)
            }

            fn schema(definitions: &mut $crate::plan::decode::Definitions) -> serde_json::Value {
                if !definitions.contains_key(stringify!($name)) {
                    definitions.insert(stringify!($name), serde_json::Value::Null);
                    let mut properties = serde_json::Map::new();
                    $(
                        let schema = <$type as $crate::plan::decode::Decode>::schema(definitions);
                        properties.insert(key_of!($field).into(), $crate::plan::decode::described(schema, concat!($($field_doc,)+)));
                    )+
                    definitions.insert(stringify!($name), serde_json::json!({
                        "type": "object",
                        "description": concat!($($doc,)*).trim(),
                        "properties": properties,
                        "required": [$($required),*],
                        "additionalProperties": false,
                    }));
                }
                serde_json::json!({ "$ref": concat!("#/definitions/", stringify!($name)) })
            }
        }
    };
}
pub(crate) use record;

/// The key that a field stands for; `for` is a word of Rust as well.
macro_rules! key_of {
    (r#for) => {
        "for"
    };
    ($field:ident) => {
        stringify!($field)
    };
}
pub(crate) use key_of;

/// A schema with a description. In draft 7 a `$ref` silences its neighbours, hence `allOf`.
#[must_use]
pub fn described(mut schema: Json, text: &str) -> Json {
    if schema.get("$ref").is_some() {
        schema = json!({ "allOf": [schema] });
    }
    schema["description"] = Json::from(text.trim());
    schema
}

impl<T: Decode> Decode for Box<T> {
    fn decode(node: &Node<'_>, at: &At<'_>, found: &mut Vec<Diagnostic>) -> Option<Self> {
        T::decode(node, at, found).map(Self::new)
    }

    fn schema(definitions: &mut Definitions) -> Json {
        T::schema(definitions)
    }
}

/// Any text; numbers and truth values count as the text that was written.
impl Decode for String {
    fn decode(node: &Node<'_>, at: &At<'_>, found: &mut Vec<Diagnostic>) -> Option<Self> {
        match &node.kind {
            Kind::Scalar { text, .. } if !node.is_null() => Some(text.to_string()),
            _ => {
                found.push(wrong_text(node, at));
                None
            }
        }
    }

    fn schema(_: &mut Definitions) -> Json {
        json!({ "type": ["string", "number", "boolean"] })
    }
}

fn wrong_text(node: &Node<'_>, at: &At<'_>) -> Diagnostic {
    match &node.kind {
        Kind::Scalar { .. } => {
            let message = format!("{} is empty", Quoted(at.name));
            Diagnostic::error(codes::EMPTY, message)
                .at(node.span, "nothing is written here")
                .help("write a text, or remove the key")
        }
        Kind::Seq(parts) => {
            let words: Vec<_> = parts
                .iter()
                .filter_map(|p| if let Kind::Scalar { text, .. } = &p.kind { Some(&**text) } else { None })
                .collect();
            let d = wrong(node, at, "one text");
            if words.is_empty() { d } else { d.help(format!("write it as one line: {}: {}", at.name, words.join(" "))) }
        }
        Kind::Map(entries) if entries.len() == 1 && matches!(node.kind, Kind::Map(_)) => {
            wrong(node, at, "one text").help("a text that begins with `{` or has `: ` in it must be quoted")
        }
        Kind::Map(_) => wrong(node, at, "one text"),
    }
}

impl Decode for bool {
    fn decode(node: &Node<'_>, at: &At<'_>, found: &mut Vec<Diagnostic>) -> Option<Self> {
        let Kind::Scalar { text, .. } = &node.kind else {
            found.push(wrong(node, at, "true or false"));
            return None;
        };
        match &**text {
            "true" | "True" | "TRUE" => Some(true),
            "false" | "False" | "FALSE" => Some(false),
            other => {
                let d = wrong(node, at, "true or false");
                found.push(match other.to_ascii_lowercase().as_str() {
                    "yes" | "on" | "y" => d.help("write `true`").fix(node.span, "true"),
                    "no" | "off" | "n" => d.help("write `false`").fix(node.span, "false"),
                    _ => d,
                });
                None
            }
        }
    }

    fn schema(_: &mut Definitions) -> Json {
        json!({ "type": "boolean" })
    }
}

impl Decode for u32 {
    fn decode(node: &Node<'_>, at: &At<'_>, found: &mut Vec<Diagnostic>) -> Option<Self> {
        let number = match &node.kind {
            Kind::Scalar { text, .. } if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => {
                text.parse().ok()
            }
            _ => None,
        };
        if number.is_none() {
            found.push(wrong(node, at, "a whole number, 0 or more"));
        }
        number
    }

    fn schema(_: &mut Definitions) -> Json {
        json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX })
    }
}

/// A list; one value alone counts as a list of one.
impl<T: Decode> Decode for Vec<Spanned<T>> {
    fn decode(node: &Node<'_>, at: &At<'_>, found: &mut Vec<Diagnostic>) -> Option<Self> {
        match &node.kind {
            Kind::Seq(nodes) => {
                let before = found.len();
                let list =
                    nodes.iter().filter_map(|n| T::decode(n, at, found).map(|v| Spanned::new(v, n.span))).collect();
                // An incomplete list would only cause further, misleading findings.
                (found.len() == before).then_some(list)
            }
            Kind::Scalar { .. } if node.is_null() => {
                found.push(wrong(node, at, "a list").help(format!("write `{}: []` for none", at.name)));
                None
            }
            _ => T::decode(node, at, found).map(|v| vec![Spanned::new(v, node.span)]),
        }
    }

    fn schema(definitions: &mut Definitions) -> Json {
        let one = T::schema(definitions);
        json!({ "anyOf": [one, { "type": "array", "items": one }] })
    }
}

/// A mapping with free keys, in the order of the file.
#[derive(Debug, Clone)]
pub struct Table<T> {
    pub rows: Vec<(Spanned<String>, Spanned<T>)>,
    /// Names whose values could not be read.
    pub broken: Vec<String>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), broken: Vec::new() }
    }
}

impl<T: Decode + Label> Decode for Table<T> {
    fn decode(node: &Node<'_>, at: &At<'_>, found: &mut Vec<Diagnostic>) -> Option<Self> {
        if let Kind::Seq(nodes) = &node.kind {
            if nodes.is_empty() {
                return Some(Self::default());
            }
            let d = wrong(node, at, "a mapping of names to values");
            found.push(d.help("write each entry as `NAME: ...`, without a dash before it"));
            return None;
        }
        let entries = entries(node, at, "a mapping of names to values", found)?;
        let mut table = Self { rows: Vec::with_capacity(entries.len()), broken: Vec::new() };
        for entry in entries {
            let at = At { name: entry.key.value, what: T::WHAT, parent: Some(at) };
            let name = entry.key.value.to_string();
            match field(entry, &at, found) {
                Some(value) => table.rows.push((Spanned::new(name, entry.key.span), value)),
                None => table.broken.push(name),
            }
        }
        Some(table)
    }

    fn schema(definitions: &mut Definitions) -> Json {
        let one = T::schema(definitions);
        json!({ "type": "object", "additionalProperties": one })
    }
}

/// What an entry of a [`Table`] is called in messages; empty for a plain key.
pub trait Label {
    const WHAT: &'static str = "";
}

impl<T: Label> Label for Box<T> {
    const WHAT: &'static str = T::WHAT;
}
impl Label for String {}
impl Label for u32 {}
