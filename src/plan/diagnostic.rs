//! What is wrong with a plan, where, why and what to do. Knows nothing of how it is shown.

use std::fmt;
use std::sync::Arc;

use super::source::Source;
use super::span::Span;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Error,
    Warning,
}

/// A place with a few words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    pub span: Span,
    pub text: String,
    /// The text that `span` is in, where that is not the plan: an inventory, a file of variables.
    pub elsewhere: Option<Arc<Source>>,
}

/// An unambiguous correction, applied by `runbook check --fix`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix {
    pub span: Span,
    pub replacement: String,
}

/// One finding. Codes are stable for ever (see `plan::codes`); words may improve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    /// Such as `E021` or `W104`.
    pub code: &'static str,
    /// One sentence, a lower-case fragment, control characters escaped.
    pub message: String,
    /// `None` for what has no place in the text, such as a file that a step names indirectly.
    pub primary: Option<Label>,
    pub labels: Vec<Label>,
    pub why: Option<String>,
    pub help: Option<String>,
    pub fix: Option<Fix>,
}

impl Diagnostic {
    #[must_use]
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, message.into())
    }

    #[must_use]
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, message.into())
    }

    fn new(severity: Severity, code: &'static str, message: String) -> Self {
        Self { severity, code, message, primary: None, labels: Vec::new(), why: None, help: None, fix: None }
    }

    /// The place it is about, with a few words (or none).
    #[must_use]
    pub fn at(mut self, span: Span, text: impl Into<String>) -> Self {
        self.primary = Some(Label { span, text: text.into(), elsewhere: None });
        self
    }

    /// A further place.
    #[must_use]
    pub fn label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into(), elsewhere: None });
        self
    }

    /// The same finding about another text than the plan: all its places are in there. Nothing corrects that text.
    #[must_use]
    pub fn within(mut self, text: &Arc<Source>) -> Self {
        for label in self.primary.iter_mut().chain(&mut self.labels) {
            label.elsewhere = Some(Arc::clone(text));
        }
        self.fix = None;
        self
    }

    #[must_use]
    pub fn why(mut self, text: impl Into<String>) -> Self {
        self.why = Some(text.into());
        self
    }

    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    #[must_use]
    pub fn fix(mut self, span: Span, replacement: impl Into<String>) -> Self {
        self.fix = Some(Fix { span, replacement: replacement.into() });
        self
    }

    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// Places in the plan come first, then those in other texts, then what has none.
    fn place(&self) -> (u8, &str, usize) {
        match &self.primary {
            Some(Label { span, elsewhere: None, .. }) => (0, "", span.start),
            Some(Label { span, elsewhere: Some(text), .. }) => (1, &text.name, span.start),
            None => (2, "", 0),
        }
    }
}

/// Orders findings by their place in the text (the plan's before others); errors before warnings at the same place; without a place, last.
pub fn sort(found: &mut Vec<Diagnostic>) {
    found.sort_by(|a, b| (a.place(), a.severity, a.code).cmp(&(b.place(), b.severity, b.code)));
    found.dedup();
}

/// The text with every certain correction applied, and how many there were. Of overlapping ones the first counts.
#[must_use]
pub fn fixed(text: &str, found: &[Diagnostic]) -> (String, usize) {
    let mut fixes: Vec<&Fix> = found.iter().filter_map(|d| d.fix.as_ref()).collect();
    fixes.sort_by_key(|f| f.span);
    let (mut out, mut done, mut count) = (String::with_capacity(text.len()), 0, 0);
    for fix in fixes {
        let Some(before) = text.get(done..fix.span.start).filter(|_| fix.span.end <= text.len()) else { continue };
        out.push_str(before);
        out.push_str(&fix.replacement);
        done = fix.span.end;
        count += 1;
    }
    out.push_str(&text[done..]);
    (out, count)
}

/// Text from a plan, fit for a message: in backticks, hidden characters escaped, cut after 60 characters.
#[derive(Debug, Clone, Copy)]
pub struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`")?;
        for (n, c) in self.0.chars().enumerate() {
            if n == 60 {
                f.write_str("...")?;
                break;
            }
            if is_hidden(c) {
                write!(f, "{}", c.escape_default())?;
            } else {
                write!(f, "{c}")?;
            }
        }
        f.write_str("`")
    }
}

/// Characters that a reviewer cannot see or that change the direction of the text: control, zero width, bidi.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_text_cannot_drive_a_terminal() {
        assert_eq!(Quoted("a\u{1b}[31m\u{202e}b").to_string(), "`a\\u{1b}[31m\\u{202e}b`");
        assert_eq!(Quoted(&"x".repeat(300)).to_string().len(), 65);
    }
}
