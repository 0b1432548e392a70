//! Values that may be written in two ways, short and long: `retry: 2` or `retry: {times: 2}`. Knows no rule between keys.

use serde_json::{Value as Json, json};

use super::codes;
use super::decode::{At, Decode, Definitions, Field, Label, entries, unknown_key, wrong};
use super::diagnostic::{Diagnostic, Quoted};
use super::model::{Notify, Value};
use super::raw::{
    RawAfter, RawDrain, RawGroup, RawHost, RawHttp, RawInventory, RawNotify, RawPerson, RawRetry, RawRollback,
    RawSecret, RawStep, RawWave,
};
use super::scalars::Whole;
use super::span::Spanned;
use super::tree::{Entry, Kind, Node};

impl Label for RawStep {
    const WHAT: &'static str = "step";
}
impl Label for RawWave {}

/// `NAME`, or `{step: NAME, same_host: true}`.
#[derive(Debug, Clone)]
pub struct NeedText {
    pub step: Spanned<String>,
    pub same_host: bool,
}

impl Decode for NeedText {
    fn decode(node: &Node<'_>, at: &At<'_>, found: &mut Vec<Diagnostic>) -> Option<Self> {
        let Kind::Map(entries) = &node.kind else {
            let step = String::decode(node, at, found)?;
            return Some(Self { step: Spanned::new(step, node.span), same_host: false });
        };
        let (mut step, mut same_host) = (None, false);
        for e in *entries {
            match e.key.value {
                "step" => {
                    step = String::decode(&e.value, &At::key("step", at), found).map(|s| Spanned::new(s, e.value.span));
                }
                "same_host" => same_host = bool::decode(&e.value, &At::key("same_host", at), found)?,
                _ => {
                    unknown_key(&e.key, "NeedText", &["step", "same_host"], at, found);
                }
            }
        }
        if step.is_none() {
            found.push(wrong(node, at, "names of steps, or {step: NAME, same_host: true}"));
        }
        step.map(|step| Self { step, same_host })
    }

    fn schema(_: &mut Definitions) -> Json {
        json!({ "anyOf": [
            { "type": ["string", "integer"] },
            { "type": "object", "required": ["step"], "additionalProperties": false,
              "properties": { "step": { "type": ["string", "integer"] }, "same_host": { "type": "boolean" } } },
        ] })
    }
}

/// Declares a type that is written as a record, or shorter as one value of it.
macro_rules! short_form {
    ($(#[doc = $doc:literal])* $name:ident($record:ident) = $field:ident: $short:ty, $long:literal) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone)]
        pub struct $name(pub $record);

        impl Decode for $name {
            fn decode(node: &Node<'_>, at: &At<'_>, found: &mut Vec<Diagnostic>) -> Option<Self> {
                if matches!(node.kind, Kind::Map(_)) {
                    return $record::decode(node, at, found).map(Self);
                }
                let before = found.len();
                let Some(value) = <$short>::decode(node, at, found) else {
                    if let [d] = &mut found[before..] {
                        d.help.get_or_insert_with(|| concat!("or, longer: ", $long).into());
                    }
                    return None;
                };
                let field = Some(Box::new(Spanned::new(value, node.span)));
                Some(Self($record { $field: field, ..Default::default() }))
            }

            fn schema(definitions: &mut Definitions) -> Json {
                json!({ "anyOf": [<$short>::schema(definitions), $record::schema(definitions)] })
            }
        }
    };
}

short_form! {
    /// `2`, or `{times: 2, wait: 30s, backoff: fixed}`.
    RetryText(RawRetry) = times: Whole<0, 20>, "retry: {times: 2, wait: 30s, backoff: exponential}"
}
short_form! {
    /// A command, or `{run, script, hosts, estimate, timeout, verify, retry}`.
    UndoText(RawRollback) = run: String, "rollback: {run: COMMAND, estimate: 10m}"
}
short_form! {
    /// A command, or `{run, hosts, until, timeout}`.
    Drainage(RawDrain) = run: String, "drain: {run: COMMAND, until: COMMAND, timeout: 5m}"
}
short_form! {
    /// An address, or `{url, expect, ...}`.
    Request(RawHttp) = url: String, "http: {url: https://example.org/health, expect: 200}"
}
short_form! {
    /// A file, or `{run: COMMAND}`.
    InventoryText(RawInventory) = file: String, "inventory: {run: COMMAND}"
}
short_form! {
    /// A plan's name, or `{plan, digest}`.
    AfterText(RawAfter) = plan: String, "after: {plan: NAME, digest: 7c1f-9a3e}"
}
short_form! {
    /// A name, or `{name, phone, mail}`.
    Contact(RawPerson) = name: String, "dba: {name: Dev, phone: \"+1 555 0102\"}"
}
impl Label for Contact {}

/// `{webhook: URL}`, `{command: COMMAND}` or `{mail: [ADDRESS]}`; and `template` beside it.
#[derive(Debug, Clone)]
pub struct NotifyText {
    pub by: Notify,
    pub template: Field<String>,
}

impl Decode for NotifyText {
    fn decode(node: &Node<'_>, at: &At<'_>, found: &mut Vec<Diagnostic>) -> Option<Self> {
        let before = found.len();
        let raw = RawNotify::decode(node, at, found)?;
        let by = match (raw.webhook, raw.command, raw.mail) {
            (Some(url), None, None) => Notify::Webhook { url: url.value },
            (None, Some(command), None) => Notify::Command(command.value),
            (None, None, Some(to)) => Notify::Mail { to: to.value.into_iter().map(|m| m.value).collect() },
            _ => {
                if found.len() == before {
                    found.push(wrong(
                        node,
                        at,
                        "one of {webhook: URL}, {command: COMMAND} and {mail: [ADDRESS]} in each entry",
                    ));
                }
                return None;
            }
        };
        Some(Self { by, template: raw.template })
    }

    fn schema(definitions: &mut Definitions) -> Json {
        RawNotify::schema(definitions)
    }
}

/// The value of a variable.
#[derive(Debug, Clone)]
pub struct Setting(pub Value);

impl Label for Setting {
    const WHAT: &'static str = "variable";
}

impl Decode for Setting {
    fn decode(node: &Node<'_>, at: &At<'_>, found: &mut Vec<Diagnostic>) -> Option<Self> {
        match &node.kind {
            Kind::Scalar { text, plain } => setting(text, *plain, node, at, found).map(Self),
            Kind::Seq(nodes) => {
                let values = nodes.iter().map(|n| Self::decode(n, at, found).map(|s| s.0));
                values.collect::<Option<Vec<_>>>().map(|v| Self(Value::List(v)))
            }
            Kind::Map(entries) => match &entries[..] {
                [e] if e.key.value == "secret" => secret(&e.value, &At::key("secret", at), found).map(Self),
                _ => {
                    let d = wrong(node, at, "a text, a number, true, false, a list, or {secret: ...}");
                    found.push(d.help("a value that begins with `{{` must be quoted: \"{{ NAME }}\""));
                    None
                }
            },
        }
    }

    fn schema(definitions: &mut Definitions) -> Json {
        let secret = RawSecret::schema(definitions);
        definitions.entry("Setting").or_insert_with(|| {
            json!({ "anyOf": [
                { "type": ["string", "integer", "boolean"] },
                { "type": "array", "items": { "$ref": "#/definitions/Setting" } },
                { "type": "object", "required": ["secret"], "additionalProperties": false, "properties": { "secret": secret } },
            ] })
        });
        json!({ "$ref": "#/definitions/Setting" })
    }
}

/// A scalar as a variable's value. Texts that other readers would take for something else must be quoted.
fn setting(text: &str, plain: bool, node: &Node<'_>, at: &At<'_>, found: &mut Vec<Diagnostic>) -> Option<Value> {
    if !plain {
        return Some(Value::Text(text.to_string()));
    }
    match text {
        "true" | "True" | "TRUE" => return Some(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Some(Value::Bool(false)),
        _ if node.is_null() => {
            let message = format!("{} has no value", at.describe());
            found.push(
                Diagnostic::error(codes::VALUE, message)
                    .at(node.span, "nothing is written here")
                    .help("write \"\" for an empty text"),
            );
            return None;
        }
        "yes" | "no" | "on" | "off" | "Yes" | "No" | "On" | "Off" | "YES" | "NO" | "ON" | "OFF" => {
            let message = format!("{} is the text {} here, not true or false", at.describe(), Quoted(text));
            found.push(
                Diagnostic::warning(codes::YES_NO, message)
                    .at(node.span, "a text, but other YAML readers take it for a truth value")
                    .help(format!("write \"{text}\" for the text, or true or false")),
            );
        }
        _ => {}
    }
    let digits = text.trim_start_matches(['-', '+']);
    let number = !digits.is_empty()
        && digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && text.parse::<f64>().is_ok();
    if !number {
        return Some(Value::Text(text.to_string()));
    }
    match text.parse::<i64>() {
        Ok(n) if n.to_string() == text => Some(Value::Int(n)),
        _ => {
            let read = text.parse::<f64>().map(|x| x.to_string()).unwrap_or_default();
            let message = format!("{} could be a text or a number: {text}", at.describe());
            found.push(
                Diagnostic::error(codes::VALUE, message)
                    .at(node.span, "quote it")
                    .why(format!("the number {read} is not the text \"{text}\""))
                    .help(format!("write \"{text}\""))
                    .fix(node.span, format!("\"{text}\"")),
            );
            None
        }
    }
}

fn secret(node: &Node<'_>, at: &At<'_>, found: &mut Vec<Diagnostic>) -> Option<Value> {
    use super::model::SecretRef;
    let before = found.len();
    let raw = RawSecret::decode(node, at, found)?;
    match (raw.env, raw.file, raw.command) {
        (Some(v), None, None) => Some(Value::Secret(SecretRef::Env(v.value))),
        (None, Some(v), None) => Some(Value::Secret(SecretRef::File(v.value))),
        (None, None, Some(v)) => Some(Value::Secret(SecretRef::Command(v.value))),
        _ => {
            if found.len() == before {
                found.push(wrong(node, at, "exactly one of {env: NAME}, {file: PATH} and {command: COMMAND}"));
            }
            None
        }
    }
}

/// Any value at all, read by the rules of an inventory; whoever uses it knows what it must look like.
#[derive(Debug, Clone)]
pub struct Anything(pub Value);

impl Decode for Anything {
    fn decode(node: &Node<'_>, _: &At<'_>, _: &mut Vec<Diagnostic>) -> Option<Self> {
        Some(Self(super::inventory::value(node)))
    }

    fn schema(_: &mut Definitions) -> Json {
        json!({ "type": "object" })
    }
}

/// `hosts:` of a plan: groups with their hosts, in the order of the file, and hosts without a group.
#[derive(Debug, Clone, Default)]
pub struct Groups {
    pub groups: Vec<(Spanned<String>, RawGroup)>,
    pub hosts: Vec<(Spanned<String>, RawHost)>,
}

impl Decode for Groups {
    fn decode(node: &Node<'_>, at: &At<'_>, found: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut groups = Self::default();
        for entry in entries(node, at, "a mapping of groups to hosts", found)? {
            groups.add(entry, at, found);
        }
        Some(groups)
    }

    fn schema(definitions: &mut Definitions) -> Json {
        let host = RawHost::schema(definitions);
        let group = RawGroup::schema(definitions);
        let details = json!({ "type": "object", "additionalProperties": { "anyOf": [{ "type": "null" }, host] } });
        let name = json!({ "type": ["string", "integer"] });
        json!({
            "type": "object",
            "additionalProperties": { "anyOf": [
                name, host, group, details,
                { "type": "array", "items": { "anyOf": [name, details] } },
            ] },
        })
    }
}

impl Groups {
    /// One entry: a group (a list, a name, a mapping of hosts, or `hosts` and `children`), or the details of one host.
    fn add(&mut self, entry: &Entry<'_>, at: &At<'_>, found: &mut Vec<Diagnostic>) {
        let key = Spanned::new(entry.key.value.to_string(), entry.key.span);
        let at = At { name: entry.key.value, what: "", parent: Some(at) };
        let is = |names: [&str; 2], m: &Entry<'_>| names.contains(&m.key.value);
        let hosts = match &entry.value.kind {
            Kind::Map(parts)
                if parts.iter().any(|m| is(["hosts", "children"], m) && matches!(m.value.kind, Kind::Seq(_))) =>
            {
                let at = At { what: "group", ..at };
                self.groups.extend(RawGroup::decode(&entry.value, &at, found).map(|group| (key, group)));
                return;
            }
            Kind::Map(members)
                if members.iter().any(|m| {
                    is(["vars", "maintenance"], m) || matches!(&m.value.kind, Kind::Scalar { .. } if !m.value.is_null())
                }) =>
            {
                let at = At { what: "host", ..at };
                self.hosts.extend(RawHost::decode(&entry.value, &at, found).map(|host| (key, host)));
                return;
            }
            Kind::Map(members) => members.iter().map(|m| self.member(m, &at, found)).collect(),
            Kind::Seq(nodes) => {
                let mut names = Vec::with_capacity(nodes.len());
                for n in *nodes {
                    match &n.kind {
                        Kind::Map(members) => names.extend(members.iter().map(|m| self.member(m, &at, found))),
                        _ => names.extend(String::decode(n, &at, found).map(|name| Spanned::new(name, n.span))),
                    }
                }
                names
            }
            Kind::Scalar { .. } if entry.value.is_null() => Vec::new(),
            Kind::Scalar { text, .. } => vec![Spanned::new(text.to_string(), entry.value.span)],
        };
        let hosts = Some(Box::new(Spanned::new(hosts, entry.value.span)));
        self.groups.push((key, RawGroup { hosts, ..RawGroup::default() }));
    }

    /// `NAME: {address: ...}` within a group.
    fn member(&mut self, entry: &Entry<'_>, at: &At<'_>, found: &mut Vec<Diagnostic>) -> Spanned<String> {
        let name = Spanned::new(entry.key.value.to_string(), entry.key.span);
        if !entry.value.is_null() {
            let at = At { name: entry.key.value, what: "host", parent: Some(at) };
            if let Some(host) = RawHost::decode(&entry.value, &at, found) {
                self.hosts.push((name.clone(), host));
            }
        }
        name
    }
}
