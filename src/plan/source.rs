//! The text of a plan: its name, its lines, and the line and column of any byte. Knows nothing of YAML.

use super::codes;
use super::diagnostic::Diagnostic;
use super::span::Span;

/// Bytes of the largest plan that is read, unless `RUNBOOK_PLAN_LIMIT` says otherwise.
pub const SIZE_LIMIT: u64 = 16 << 20;

/// A plan's text as read from disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// As the author knows it: the path on the command line.
    pub name: String,
    text: String,
    /// Byte offset of the start of every line.
    lines: Vec<usize>,
}

impl Source {
    #[must_use]
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let mut lines = vec![0];
        lines.extend(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i + 1));
        Self { name: name.into(), text, lines }
    }

    /// Reads bytes as UTF-8, without a byte order mark.
    ///
    /// # Errors
    /// The diagnostic names the first byte that is not UTF-8; the source it comes with shows that byte as `U+FFFD`.
    pub fn from_bytes(name: impl Into<String>, bytes: &[u8]) -> Result<Self, Box<(Self, Diagnostic)>> {
        let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Self::new(name, text)),
            Err(e) => {
                let at = e.valid_up_to();
                let byte = bytes.get(at).copied().unwrap_or_default();
                let source = Self::new(name, String::from_utf8_lossy(bytes));
                let line = source.line_column(at).0;
                let found = Diagnostic::error(
                    codes::NOT_TEXT,
                    format!("the plan is not valid UTF-8: byte 0x{byte:02X} at offset {at}, line {line}"),
                )
                .at(Span::new(at, at + 3), "this byte is not text")
                .help("save the file as UTF-8");
                Err(Box::new((source, found)))
            }
        }
    }

    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// 1-based line, and 1-based column counted in characters.
    #[must_use]
    pub fn line_column(&self, offset: usize) -> (usize, usize) {
        let offset = self.floor(offset);
        let line = self.lines.partition_point(|start| *start <= offset).max(1);
        let start = self.lines[line - 1];
        (line, self.text[start..offset].chars().count() + 1)
    }

    /// 1-based line of a place.
    #[must_use]
    pub fn line(&self, span: Span) -> u32 {
        u32::try_from(self.lines.partition_point(|start| *start <= span.start).max(1)).unwrap_or(u32::MAX)
    }

    /// The same place within the text, on one line, and at least one character wide where there is one.
    #[must_use]
    pub fn clamp(&self, span: Span) -> Span {
        let start = self.floor(span.start);
        let rest = &self.text[start..];
        let line = rest.find(['\n', '\r']).unwrap_or(rest.len());
        let first = rest.chars().next().map_or(0, char::len_utf8);
        let end = self.floor(span.end.max(start)).min(start + line).max(start + first.min(line));
        Span { start, end }
    }

    fn floor(&self, offset: usize) -> usize {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_start_at_one() {
        let s = Source::new("p", "a: ü\nb: c");
        assert_eq!(s.line_column(0), (1, 1));
        assert_eq!(s.line_column("a: ü".len()), (1, 5));
        assert_eq!(s.line_column("a: ü\nb".len()), (2, 2));
        assert_eq!(s.line_column(999), (2, 5));
    }

    #[test]
    fn places_stay_on_one_line_and_inside_the_text() {
        let s = Source::new("p", "ab\ncd");
        assert_eq!(s.clamp(Span::new(1, 5)), Span::new(1, 2));
        assert_eq!(s.clamp(Span::new(3, 3)), Span::new(3, 4));
        assert_eq!(s.clamp(Span::new(9, 12)), Span::new(5, 5));
    }

    #[test]
    fn a_foreign_byte_is_named_with_its_offset() {
        let (_, found) = *Source::from_bytes("p", b"ab\nc\xFFd").expect_err("not UTF-8");
        assert!(found.message.contains("0xFF at offset 4, line 2"), "{}", found.message);
    }
}
