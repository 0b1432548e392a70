//! Findings on the screen: source lines with marks, reasons and help, or JSON. Knows nothing of plans.

use std::io::Write;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde_json::{Value as Json, json};

use super::context::Context;
use super::output;
use crate::plan::diagnostic::{Diagnostic, Label, Severity, is_hidden};
use crate::plan::source::Source;
use crate::plan::span::Span;

/// More findings than these are only counted.
pub const SHOWN: usize = 20;

/// Where findings are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Canvas {
    Plain,
    /// On a stream that strips styles where they do not belong: a terminal of so many columns, or none.
    Stream {
        columns: Option<usize>,
    },
}

/// Longer source lines are shown in part.
const WIDEST: usize = 140;

/// The findings as text: the first [`SHOWN`] in full, then how many more there are. Errors go before warnings when not
/// all can be shown.
#[must_use]
pub fn render(source: &Source, found: &[Diagnostic], canvas: Canvas) -> String {
    let (renderer, width) = match canvas {
        Canvas::Plain => (Renderer::plain(), WIDEST),
        Canvas::Stream { columns } => (Renderer::styled(), columns.map_or(WIDEST, |columns| columns.min(WIDEST))),
    };
    let renderer = renderer.decor_style(DecorStyle::Ascii).term_width(width);
    let shown = most_important(found);
    let mut text = String::new();
    for d in shown.iter().map(|d| harmless(d)) {
        text.push_str(&renderer.render(&[report(source, &d)]));
        text.push_str("\n\n");
    }
    if found.len() > shown.len() {
        text.push_str(&format!("and {} more\n\n", found.len() - shown.len()));
    }
    text
}

fn most_important(found: &[Diagnostic]) -> Vec<&Diagnostic> {
    if found.len() <= SHOWN {
        return found.iter().collect();
    }
    let errors = found.iter().filter(|d| d.is_error());
    let warnings = found.iter().filter(|d| !d.is_error());
    errors.chain(warnings).take(SHOWN).collect()
}

/// The same finding without characters that could drive a terminal: names from the plan are part of many sentences.
fn harmless(d: &Diagnostic) -> Diagnostic {
    let label = |l: &Label| Label { text: printable(&l.text), ..l.clone() };
    Diagnostic {
        message: printable(&d.message),
        primary: d.primary.as_ref().map(label),
        labels: d.labels.iter().map(label).collect(),
        why: d.why.as_deref().map(printable),
        help: d.help.as_deref().map(printable),
        ..d.clone()
    }
}

fn report<'s>(source: &'s Source, d: &'s Diagnostic) -> Group<'s> {
    let level = match d.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(d.message.as_str()).id(d.code);
    let mut group = match &d.primary {
        Some(primary) => {
            let (beside, further): (Vec<_>, Vec<_>) = d.labels.iter().partition(|l| l.elsewhere == primary.elsewhere);
            let marks = beside.into_iter().map(|l| (AnnotationKind::Context, l));
            let marks = std::iter::once((AnnotationKind::Primary, primary)).chain(marks);
            let group = title.element(snippet(source, primary, marks));
            let alone = |l| snippet(source, l, std::iter::once((AnnotationKind::Context, l)));
            further.into_iter().fold(group, |group, l| group.element(alone(l)))
        }
        None => Group::with_title(title),
    };
    if let Some(why) = &d.why {
        group = group.element(Level::NOTE.with_name("why").message(why.as_str()));
    }
    match (&d.help, &d.fix) {
        (Some(help), None) => group = group.element(Level::HELP.message(help.as_str())),
        (Some(help), Some(_)) => {
            group = group.element(Level::HELP.message(format!("{help}    (`runbook check --fix` does it)")));
        }
        (None, Some(_)) => group = group.element(Level::HELP.message("`runbook check --fix` does it")),
        (None, None) => {}
    }
    group
}

/// The lines around some places of one text.
fn snippet<'s>(
    plan: &'s Source,
    first: &'s Label,
    marks: impl Iterator<Item = (AnnotationKind, &'s Label)>,
) -> Snippet<'s, annotate_snippets::Annotation<'s>> {
    let source = first.elsewhere.as_deref().unwrap_or(plan);
    let snippet = Snippet::source(source.text()).path(source.name.as_str());
    marks.fold(snippet, |snippet, (kind, label)| {
        let span = source.clamp(label.span);
        let mark = kind.span(span.start..span.end);
        snippet.annotation(if label.text.is_empty() { mark } else { mark.label(label.text.as_str()) })
    })
}

/// Prints the findings to stderr.
pub fn print_to_stderr(source: &Source, found: &[Diagnostic], _cx: &Context) {
    let mut err = anstream::stderr();
    let canvas = Canvas::Stream { columns: output::columns(std::io::stderr()) };
    let _ = write!(err, "{}", render(source, found, canvas));
}

/// One finding as JSON; lines and columns count from 1.
#[must_use]
pub fn to_json(source: &Source, d: &Diagnostic) -> Json {
    let place = |span: Span, source: &Source| {
        let span = source.clamp(span);
        let ((line, column), (end_line, end_column)) = (source.line_column(span.start), source.line_column(span.end));
        json!({ "line": line, "column": column, "end_line": end_line, "end_column": end_column })
    };
    let labelled = |label: &Label| {
        let mut at = place(label.span, label.elsewhere.as_deref().unwrap_or(source));
        at["text"] = json!(label.text);
        if let Some(text) = &label.elsewhere {
            at["file"] = json!(text.name);
        }
        at
    };
    let file = d.primary.as_ref().and_then(|p| p.elsewhere.as_deref()).unwrap_or(source);
    json!({
        "severity": match d.severity { Severity::Error => "error", Severity::Warning => "warning" },
        "code": d.code,
        "message": d.message,
        "file": file.name,
        "at": d.primary.as_ref().map(labelled),
        "labels": d.labels.iter().map(labelled).collect::<Vec<_>>(),
        "why": d.why,
        "help": d.help,
        "fix": d.fix.as_ref().map(|f| json!({ "at": place(f.span, source), "replacement": f.replacement })),
    })
}

/// Text from outside, fit for the terminal: hidden characters escaped.
#[must_use]
pub fn printable(text: &str) -> String {
    if !text.chars().any(is_hidden) {
        return text.to_string();
    }
    text.chars()
        .map(|c| if is_hidden(c) && c != '\n' { c.escape_default().to_string() } else { c.to_string() })
        .collect()
}
