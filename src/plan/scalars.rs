//! How single values are written: durations, estimates, sizes, shares, modes, words from a closed list.

use jiff::SignedDuration;
use serde_json::{Value as Json, json};

use super::codes;
use super::decode::{At, Decode, Definitions, Label, wrong};
use super::diagnostic::{Diagnostic, Quoted};
use super::model;
use super::raw::{Canary, Covers, Fold, OnQuick};
use super::tree::{Kind, Node};
use super::units::{BadDuration, BadEstimate, Estimate, Size, parse_duration, parse_estimate, parse_size};
use super::words;

/// A duration with a unit, such as `30m`.
#[derive(Debug, Clone, Copy)]
pub struct Length(pub SignedDuration);

/// An estimate, such as `20m-30m`.
#[derive(Debug, Clone, Copy)]
pub struct Range(pub Estimate);

/// A whole number from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy)]
pub struct Whole<const MIN: u32, const MAX: u32>(pub u32);

/// File permissions in octal digits, such as `0644`.
#[derive(Debug, Clone, Copy)]
pub struct Mode(pub u32);

/// A share of a group.
#[derive(Debug, Clone, Copy)]
pub struct Share(pub model::Share);

/// One word of a closed list.
#[derive(Debug, Clone, Copy)]
pub struct Choice<T>(pub T);

impl<const MIN: u32, const MAX: u32> Label for Whole<MIN, MAX> {}
impl Label for Share {}

fn scalar<'n>(node: &'n Node<'_>) -> Option<&'n str> {
    match &node.kind {
        Kind::Scalar { text, .. } if !node.is_null() => Some(text.trim()),
        _ => None,
    }
}

const DURATION_PATTERN: &str = r"^\s*([0-9]+(\.[0-9]{1,3})?\s*(ms|s|sec|seconds?|m|min|minutes?|h|hours?)\s*)+$";

impl Decode for Length {
    fn decode(node: &Node<'_>, at: &At<'_>, found: &mut Vec<Diagnostic>) -> Option<Self> {
        let Some(text) = scalar(node) else {
            found.push(wrong(node, at, "a duration such as 30m"));
            return None;
        };
        match parse_duration(text) {
            Ok(d) => Some(Self(d)),
            Err(e) => {
                found.push(bad_duration(text, &e, node, at));
                None
            }
        }
    }

    fn schema(_: &mut Definitions) -> Json {
        json!({ "type": "string", "pattern": DURATION_PATTERN, "examples": ["30s", "15m", "1h30m"] })
    }
}

impl Decode for Range {
    fn decode(node: &Node<'_>, at: &At<'_>, found: &mut Vec<Diagnostic>) -> Option<Self> {
        let Some(text) = scalar(node) else {
            found.push(wrong(node, at, "an estimate such as 20m or 20m-30m"));
            return None;
        };
        match parse_estimate(text) {
            Ok(e) => Some(Self(e)),
            Err(BadEstimate::Reversed) => {
                let (first, second) = text.split_once('-').unwrap_or((text, ""));
                let turned = format!("{}-{}", second.trim(), first.trim());
                let message = format!("{} goes from long to short: {}", Quoted(at.name), Quoted(text));
                found.push(
                    Diagnostic::error(codes::RANGE, message)
                        .at(node.span, "expected first, worst second")
                        .help(format!("write {turned}"))
                        .fix(node.span, turned),
                );
                None
            }
            Err(BadEstimate::Duration(e)) => {
                found.push(bad_duration(text, &e, node, at));
                None
            }
        }
    }

    fn schema(_: &mut Definitions) -> Json {
        let one = DURATION_PATTERN.trim_start_matches('^').trim_end_matches('$');
        json!({ "type": "string", "pattern": format!("^{one}(-{one})?$"), "examples": ["20m", "20m-30m"] })
    }
}

fn bad_duration(text: &str, e: &BadDuration, node: &Node<'_>, at: &At<'_>) -> Diagnostic {
    let d = |message: String| Diagnostic::error(codes::DURATION, message);
    let name = Quoted(at.name);
    match e {
        BadDuration::NoUnit if text.bytes().all(|b| b.is_ascii_digit()) => {
            d(format!("{name} has no unit: {text} what?"))
                .at(node.span, "unit missing")
                .help(format!("write {text}s, {text}m or {text}h"))
        }
        BadDuration::NoUnit => d(format!("{name} has a number without a unit: {}", Quoted(text)))
            .at(node.span, "unit missing")
            .help("every number needs its unit: 1h30m, 20m-30m"),
        BadDuration::Calendar => d(format!("{name} counts in days or weeks: {}", Quoted(text)))
            .at(node.span, "use hours")
            .why("a day is 23 or 25 hours long when clocks change")
            .help("write 48h for two days"),
        BadDuration::Order => d(format!("{name} has its units in a strange order: {}", Quoted(text)))
            .at(node.span, "largest unit first, each once")
            .help("write 1h30m"),
        BadDuration::TooLong => d(format!("{name} is longer than a year: {}", Quoted(text))).at(node.span, "too long"),
        BadDuration::Unreadable if text.starts_with('-') => {
            d(format!("{name} is negative: {}", Quoted(text))).at(node.span, "a duration is 0 or more")
        }
        BadDuration::Unreadable => d(format!("{name} takes a duration, found {}", Quoted(text)))
            .at(node.span, "not a duration")
            .help("write 90s, 5m or 1h30m"),
    }
}

impl<const MIN: u32, const MAX: u32> Decode for Whole<MIN, MAX> {
    fn decode(node: &Node<'_>, at: &At<'_>, found: &mut Vec<Diagnostic>) -> Option<Self> {
        let number = scalar(node).and_then(|t| t.parse::<i128>().ok());
        match number.map(u32::try_from) {
            Some(Ok(n)) if (MIN..=MAX).contains(&n) => return Some(Self(n)),
            Some(_) => {
                let message = format!("{} is out of range: {}", Quoted(at.name), node.describe());
                let allowed =
                    if MIN == MAX { format!("only {MIN} is known") } else { format!("allowed: {MIN} to {MAX}") };
                found.push(Diagnostic::error(codes::RANGE, message).at(node.span, allowed));
            }
            None => found.push(wrong(node, at, &format!("a whole number from {MIN} to {MAX}"))),
        }
        None
    }

    fn schema(_: &mut Definitions) -> Json {
        json!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}

impl Decode for Size {
    fn decode(node: &Node<'_>, at: &At<'_>, found: &mut Vec<Diagnostic>) -> Option<Self> {
        let size = scalar(node).and_then(parse_size);
        if size.is_none() {
            found.push(wrong(node, at, "a number of hosts such as 20, or a percentage such as 30%"));
        }
        size
    }

    fn schema(_: &mut Definitions) -> Json {
        json!({ "anyOf": [
            { "type": "integer", "minimum": 0, "maximum": u32::MAX },
            { "type": "string", "pattern": "^([0-9]+|([0-9]{1,2}|100) *%)$" },
        ] })
    }
}

impl Decode for Share {
    fn decode(node: &Node<'_>, at: &At<'_>, found: &mut Vec<Diagnostic>) -> Option<Self> {
        match scalar(node) {
            Some("rest") => Some(Self(model::Share::Rest)),
            Some("all") => Some(Self(model::Share::All)),
            text => {
                let size = text.and_then(parse_size);
                if size.is_none() {
                    found.push(wrong(node, at, "a number, a percentage such as 30%, `rest` or `all`"));
                }
                size.map(|s| Self(model::Share::Size(s)))
            }
        }
    }

    fn schema(definitions: &mut Definitions) -> Json {
        json!({ "anyOf": [Size::schema(definitions), { "enum": ["rest", "all"] }] })
    }
}

impl Decode for Mode {
    fn decode(node: &Node<'_>, at: &At<'_>, found: &mut Vec<Diagnostic>) -> Option<Self> {
        let digits = scalar(node).map(|t| t.strip_prefix("0o").unwrap_or(t)).filter(|t| (3..=5).contains(&t.len()));
        let mode = digits.and_then(|t| u32::from_str_radix(t, 8).ok()).filter(|m| *m <= 0o7777);
        if mode.is_none() {
            found.push(wrong(node, at, "file permissions in octal digits, such as \"0644\""));
        }
        mode.map(Self)
    }

    fn schema(_: &mut Definitions) -> Json {
        json!({ "type": ["string", "integer"], "examples": ["0644"] })
    }
}

/// A closed list of words.
pub trait Words: Sized + Copy + 'static {
    const ALL: &'static [(&'static str, Self)];
}

impl<T: Words> Decode for Choice<T> {
    fn decode(node: &Node<'_>, at: &At<'_>, found: &mut Vec<Diagnostic>) -> Option<Self> {
        let text = scalar(node);
        if let Some((_, value)) = T::ALL.iter().find(|(word, _)| Some(*word) == text) {
            return Some(Self(*value));
        }
        let known: Vec<_> = T::ALL.iter().map(|(word, _)| format!("`{word}`")).collect();
        let wanted = match known.split_last() {
            Some((last, [])) => format!("only {last}"),
            Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
            None => String::new(),
        };
        let d = wrong(node, at, &wanted);
        let words = T::ALL.iter().map(|(word, _)| *word);
        found.push(match text.and_then(|t| words::nearest(t, words)) {
            Some(near) => d.help(format!("did you mean `{near}`?")).fix(node.span, near),
            None => d,
        });
        None
    }

    fn schema(_: &mut Definitions) -> Json {
        let words: Vec<_> = T::ALL.iter().map(|(word, _)| *word).collect();
        json!({ "enum": words })
    }
}

impl Words for model::OnDeadline {
    const ALL: &'static [(&'static str, Self)] =
        &[("rollback", Self::Rollback), ("ask", Self::Ask), ("warn", Self::Warn)];
}

impl Words for model::Order {
    const ALL: &'static [(&'static str, Self)] =
        &[("inventory", Self::Inventory), ("reverse", Self::Reverse), ("sorted", Self::Sorted)];
}

impl Words for model::OnFailure {
    const ALL: &'static [(&'static str, Self)] =
        &[("rollback", Self::Rollback), ("ask", Self::Ask), ("continue", Self::Continue)];
}

impl Words for model::OnStop {
    const ALL: &'static [(&'static str, Self)] =
        &[("finish", Self::Finish), ("kill", Self::Kill), ("protect", Self::Protect)];
}

impl Words for model::Downtime {
    const ALL: &'static [(&'static str, Self)] = &[("begin", Self::Begin), ("end", Self::End)];
}

impl Words for model::Backoff {
    const ALL: &'static [(&'static str, Self)] = &[("fixed", Self::Fixed), ("exponential", Self::Exponential)];
}

impl Words for Fold {
    const ALL: &'static [(&'static str, Self)] = &[("first", Self::First), ("second", Self::Second)];
}

impl Words for Covers {
    const ALL: &'static [(&'static str, Self)] = &[("all", Self)];
}

impl Words for Canary {
    const ALL: &'static [(&'static str, Self)] = &[("first", Self)];
}

impl Words for OnQuick {
    const ALL: &'static [(&'static str, Self)] = &[("hold", Self)];
}
