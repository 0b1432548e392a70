//! YAML text as a tree of nodes that know their place. Touches the YAML parser; knows nothing of plans' meaning.
//!
//! Narrower than YAML on purpose: one document, no tags, no duplicate keys, keys are text, bounded depth and size.
//! Scalars keep their raw text, so `07:00`, `no` and `1.10` stay what the author wrote. Merge keys (`<<`) are expanded.

use std::borrow::Cow;
use std::collections::HashMap;

use bumpalo::Bump;
use granit_parser::{Event, Options, Parser, ScalarStyle, ScanError, StrInput, Tag};

use super::codes;
use super::diagnostic::{Diagnostic, Quoted};
use super::span::{Span, Spanned};

/// Deepest nesting, aliases expanded.
const DEPTH_LIMIT: usize = 64;
/// How many values aliases and merge keys may repeat in all.
const EXPANSION_LIMIT: usize = 100_000;

/// Where the pieces of a tree lie. They are many and small, and given back all at once.
pub type Arena = Bump;

/// A value and its place.
#[derive(Debug, Clone, Copy)]
pub struct Node<'a> {
    pub span: Span,
    pub kind: Kind<'a>,
}

#[derive(Debug, Clone, Copy)]
pub enum Kind<'a> {
    /// `plain` means unquoted, so that it may stand for a number, a truth value or nothing.
    Scalar {
        text: &'a str,
        plain: bool,
    },
    Seq(&'a [Node<'a>]),
    Map(&'a [Entry<'a>]),
}

#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    pub key: Spanned<&'a str>,
    pub value: Node<'a>,
}

impl Node<'_> {
    /// Whether nothing was written: empty, `~` or `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text: "" | "~" | "null" | "Null" | "NULL", plain: true })
    }

    /// What was written, for a message: `` `30` ``, "nothing", "a list", "a mapping".
    #[must_use]
    pub fn describe(&self) -> String {
        match &self.kind {
            Kind::Scalar { .. } if self.is_null() => "nothing".into(),
            Kind::Scalar { text: "", .. } => "an empty text".into(),
            Kind::Scalar { text, .. } if text.contains('\n') => "a text of several lines".into(),
            Kind::Scalar { text, .. } => Quoted(text).to_string(),
            Kind::Seq(_) => "a list".into(),
            Kind::Map(_) => "a mapping".into(),
        }
    }
}

/// The tree of a text, `None` when it holds nothing but comments. Mistakes that do not stop the reading go to `found`.
///
/// # Errors
/// The one diagnostic that stopped the reading: broken YAML, a second document, too deep, too much.
pub fn parse<'a>(
    text: &'a str,
    arena: &'a Arena,
    found: &mut Vec<Diagnostic>,
) -> Result<Option<Node<'a>>, Box<Diagnostic>> {
    let mut options = Options::default();
    options.flow_nesting_limit = DEPTH_LIMIT * 4;
    options.block_nesting_limit = DEPTH_LIMIT * 4;
    let parser = Parser::new_from_str_with_options(text, options);
    let (nodes, entries) = (Vec::new(), Vec::new());
    let mut reader =
        Reader { text, arena, parser, anchors: HashMap::new(), nodes, entries, repeated: 0, count: 0, found };
    let mut root = None;
    while let Some((event, span)) = reader.next()? {
        match event {
            Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd | Event::StreamEnd => {}
            event if root.is_none() => root = Some(reader.node(event, span, 0)?.0),
            _ => return Err(second_document(text, span)),
        }
    }
    Ok(root.filter(|node| !node.is_null()))
}

fn second_document(text: &str, span: Span) -> Box<Diagnostic> {
    let marker = text[..span.start].rfind("---").unwrap_or(span.start);
    Box::new(
        Diagnostic::error(codes::SECOND_DOCUMENT, "a second document starts here; a file holds one plan")
            .at(Span::new(marker, marker + 3), "a second plan")
            .help("move it to a file of its own"),
    )
}

/// What an alias stands for: the node, how many values it holds, and how deep it is.
type Anchored<'a> = (Node<'a>, usize, usize);

struct Reader<'a, 'f> {
    text: &'a str,
    arena: &'a Arena,
    parser: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, Anchored<'a>>,
    /// What the open lists hold so far, the innermost last.
    nodes: Vec<Node<'a>>,
    /// What the open mappings hold so far, the innermost last.
    entries: Vec<Entry<'a>>,
    /// Values that came from aliases.
    repeated: usize,
    count: usize,
    found: &'f mut Vec<Diagnostic>,
}

type Read<T> = Result<T, Box<Diagnostic>>;

impl<'a> Reader<'a, '_> {
    fn next(&mut self) -> Read<Option<(Event<'a>, Span)>> {
        match self.parser.next_event() {
            None => Ok(None),
            Some(Ok((event, span))) => {
                let start = span.start.byte_offset().unwrap_or(0);
                Ok(Some((event, Span::new(start, span.end.byte_offset().unwrap_or(start).max(start)))))
            }
            Some(Err(e)) => Err(self.broken(&e)),
        }
    }

    fn expect_next(&mut self) -> Read<(Event<'a>, Span)> {
        let end = Span::new(self.text.len(), self.text.len());
        self.next()?.ok_or_else(|| Box::new(Diagnostic::error(codes::SYNTAX, "the file ends too early").at(end, "")))
    }

    /// A node and its height: 0 for a scalar.
    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Read<(Node<'a>, usize)> {
        if depth > DEPTH_LIMIT {
            return Err(too_deep(span));
        }
        let before = self.count;
        self.count += 1;
        let (node, height, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), span);
                let plain = style == ScalarStyle::Plain;
                let text = match text {
                    Cow::Borrowed(text) => text,
                    Cow::Owned(text) => self.arena.alloc_str(&text),
                };
                (Node { span, kind: Kind::Scalar { text, plain } }, 0, anchor)
            }
            Event::Alias(id) => return self.alias(id, span, depth),
            Event::SequenceStart(_, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), span);
                let (node, height) = self.sequence(span, depth)?;
                (node, height, anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), span);
                let (node, height) = self.mapping(span, depth)?;
                (node, height, anchor)
            }
            _ => return Err(Box::new(Diagnostic::error(codes::SYNTAX, "a value is missing here").at(span, ""))),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, (node, self.count - before, height));
        }
        Ok((node, height))
    }

    /// An alias costs what it expands to, so that bombs meet the limit without being built.
    fn alias(&mut self, id: usize, span: Span, depth: usize) -> Read<(Node<'a>, usize)> {
        let Some(&(node, count, height)) = self.anchors.get(&id) else {
            return Err(Box::new(Diagnostic::error(codes::TOO_MUCH, "an alias cannot contain itself").at(span, "")));
        };
        self.count += count;
        self.repeated += count;
        if self.repeated > EXPANSION_LIMIT {
            let message = format!("too many alias expansions: more than {EXPANSION_LIMIT} repeated values");
            return Err(Box::new(Diagnostic::error(codes::TOO_MUCH, message).at(span, "the limit is reached here")));
        }
        if depth + height > DEPTH_LIMIT {
            return Err(too_deep(span));
        }
        Ok((Node { span, ..node }, height))
    }

    fn sequence(&mut self, start: Span, depth: usize) -> Read<(Node<'a>, usize)> {
        let (first, mut height) = (self.nodes.len(), 0);
        loop {
            let (event, span) = self.expect_next()?;
            if matches!(event, Event::SequenceEnd) {
                let span = Span::new(start.start, span.end.max(start.end));
                let nodes = self.arena.alloc_slice_copy(&self.nodes[first..]);
                self.nodes.truncate(first);
                return Ok((Node { span, kind: Kind::Seq(nodes) }, height));
            }
            let (node, h) = self.node(event, span, depth + 1)?;
            height = height.max(h + 1);
            self.nodes.push(node);
        }
    }

    fn mapping(&mut self, start: Span, depth: usize) -> Read<(Node<'a>, usize)> {
        let (first, mut merges, mut height) = (self.entries.len(), Vec::new(), 0);
        let end = loop {
            let (event, span) = self.expect_next()?;
            if matches!(event, Event::MappingEnd) {
                break span.end;
            }
            let (key, _) = self.node(event, span, depth + 1)?;
            let (event, span) = self.expect_next()?;
            let (value, h) = self.node(event, span, depth + 1)?;
            height = height.max(h + 1);
            let Kind::Scalar { text, plain } = key.kind else {
                return Err(key_is_not_text(self.text, key.span));
            };
            if plain && text == "<<" {
                merges.push(value);
            } else {
                self.entries.push(Entry { key: Spanned::new(text, key.span), value });
            }
        };
        let span = Span::new(start.start, end.max(start.end));
        let entries = if merges.is_empty() && few_and_different(&self.entries[first..]) {
            self.arena.alloc_slice_copy(&self.entries[first..])
        } else {
            let mut entries = self.entries[first..].to_vec();
            self.drop_duplicates(&mut entries);
            merges.iter().try_for_each(|value| self.merge(&mut entries, value))?;
            self.arena.alloc_slice_copy(&entries)
        };
        self.entries.truncate(first);
        Ok((Node { span, kind: Kind::Map(entries) }, height))
    }

    /// Keeps the first of equal keys and reports the others with both places.
    fn drop_duplicates(&mut self, entries: &mut Vec<Entry<'a>>) {
        let mut firsts: HashMap<&str, usize> = HashMap::with_capacity(entries.len());
        let mut again = Vec::new();
        for (i, entry) in entries.iter().enumerate() {
            let first = *firsts.entry(entry.key.value).or_insert(i);
            if first != i {
                self.found.push(duplicate(&entries[first].key, &entry.key));
                again.push(i);
            }
        }
        if !again.is_empty() {
            let mut at = 0..;
            entries.retain(|_| at.next().is_some_and(|i| again.binary_search(&i).is_err()));
        }
    }

    /// Adds what `value` (a mapping, or a list of them) holds and the mapping itself does not.
    fn merge(&mut self, entries: &mut Vec<Entry<'a>>, value: &Node<'a>) -> Read<()> {
        match &value.kind {
            Kind::Map(base) => {
                for entry in *base {
                    self.repeated += 1;
                    if !entries.iter().any(|e| e.key.value == entry.key.value) {
                        entries.push(*entry);
                    }
                }
                if self.repeated > EXPANSION_LIMIT {
                    let message = format!("too many merged values: more than {EXPANSION_LIMIT}");
                    return Err(Box::new(Diagnostic::error(codes::TOO_MUCH, message).at(value.span, "")));
                }
                Ok(())
            }
            Kind::Seq(bases) => bases.iter().try_for_each(|base| self.merge(entries, base)),
            Kind::Scalar { .. } => {
                let message = format!("`<<` takes a mapping or a list of mappings, found {}", value.describe());
                self.found.push(Diagnostic::error(codes::WRONG_TYPE, message).at(value.span, ""));
                Ok(())
            }
        }
    }

    fn refuse_tag(&mut self, tag: Option<&Tag>, span: Span) {
        if let Some(tag) = tag {
            let start = self.text[..span.start.min(self.text.len())].rfind('!').unwrap_or(span.start);
            let start = self.text[..start]
                .rfind(|c: char| c != '!')
                .map_or(0, |i| i + self.text[i..].chars().next().map_or(1, char::len_utf8));
            let written = tag.original();
            self.found.push(
                Diagnostic::error(codes::TAG, format!("tags are not supported: {}", Quoted(&written)))
                    .at(Span::new(start, span.start.max(start + 1)), "remove this tag")
                    .why("a plan is text and lists only; nothing in it is constructed or included"),
            );
        }
    }

    fn broken(&self, e: &ScanError) -> Box<Diagnostic> {
        let at = e.marker().byte_offset().unwrap_or(0).min(self.text.len());
        if let Some(tab) = tab_in_indentation(self.text, at) {
            return Box::new(
                Diagnostic::error(codes::SYNTAX, "a tab is used as indentation")
                    .at(Span::new(tab, tab + 1), "this is a tab; use spaces")
                    .why("tabs have no fixed width, so YAML does not allow them here"),
            );
        }
        let info = e.info();
        if info.contains("recursion") || info.contains("nesting") {
            return too_deep(Span::new(at, at));
        }
        let mut found = Diagnostic::error(codes::SYNTAX, format!("this is not YAML: {info}")).at(Span::new(at, at), "");
        if let Some(help) = syntax_help(self.text, at, &info) {
            found = found.help(help);
        }
        Box::new(found)
    }
}

/// Whether a mapping is so small that its keys are quicker compared than hashed, and no two of them are equal.
fn few_and_different(entries: &[Entry<'_>]) -> bool {
    let is_new = |(i, entry): (usize, &Entry<'_>)| entries[..i].iter().all(|e| e.key.value != entry.key.value);
    entries.len() <= 16 && entries.iter().enumerate().all(is_new)
}

fn duplicate(first: &Spanned<&str>, again: &Spanned<&str>) -> Diagnostic {
    Diagnostic::error(codes::DUPLICATE_KEY, format!("{} is given twice", Quoted(first.value)))
        .at(again.span, "given again here")
        .label(first.span, "first given here")
        .help("keep one of them, or give one another name")
}

fn too_deep(span: Span) -> Box<Diagnostic> {
    Box::new(
        Diagnostic::error(codes::TOO_MUCH, format!("nesting deeper than {DEPTH_LIMIT}"))
            .at(span, "this level is too deep"),
    )
}

fn key_is_not_text(text: &str, span: Span) -> Box<Diagnostic> {
    let braces = span.start > 0 && text.get(span.start - 1..).is_some_and(|t| t.starts_with("{{"));
    Box::new(if braces {
        Diagnostic::error(codes::SYNTAX, "a value that begins with `{{` must be quoted")
            .at(Span::new(span.start - 1, span.end), "YAML takes this for a mapping")
            .help("write it in quotes: \"{{ VERSION }}\"")
    } else {
        Diagnostic::error(codes::SYNTAX, "a key must be plain text").at(span, "this is a list or a mapping")
    })
}

/// The offset of a tab among the blanks at the start of the line of `at`, or of the line before it.
fn tab_in_indentation(text: &str, at: usize) -> Option<usize> {
    let start = text[..at].rfind('\n').map_or(0, |i| i + 1);
    let before = text[..start.saturating_sub(1)].rfind('\n').map_or(0, |i| i + 1);
    [start, before].into_iter().find_map(|line| {
        let blanks = text[line..].bytes().take_while(|b| matches!(b, b' ' | b'\t'));
        blanks.enumerate().find(|(_, b)| *b == b'\t').map(|(i, _)| line + i)
    })
}

fn syntax_help(text: &str, at: usize, info: &str) -> Option<&'static str> {
    let start = text[..at].rfind('\n').map_or(0, |i| i + 1);
    let line = text[start..].lines().next().unwrap_or("");
    if line.contains("{{") {
        Some("a value that begins with `{{` must be quoted: \"{{ VERSION }}\"")
    } else if info.contains("mapping values") || line.matches(": ").count() > 1 {
        Some("a text with `: ` in it must be quoted: \"Note: read this\"")
    } else if info.contains("indent") || info.contains("block") || info.contains("expected") {
        Some("look at the indentation of this line and the one before it")
    } else {
        None
    }
}
