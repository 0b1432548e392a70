//! Lines made of toned pieces, cut to a width; bars; tables' columns. Knows nothing of runs.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::style::{Look, Tone};

/// One line in the making. Pieces must be escaped already.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line(Vec<(Tone, String)>);

impl Line {
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self::default().and(text)
    }

    /// Adds plain text.
    #[must_use]
    pub fn and(self, text: impl Into<String>) -> Self {
        self.tone(Tone::Plain, text)
    }

    /// Adds toned text.
    #[must_use]
    pub fn tone(mut self, tone: Tone, text: impl Into<String>) -> Self {
        self.0.push((tone, text.into()));
        self
    }

    /// Adds another line to the end of this one.
    #[must_use]
    pub fn join(mut self, other: &Self) -> Self {
        self.0.extend_from_slice(&other.0);
        self
    }

    /// Columns.
    #[must_use]
    pub fn width(&self) -> usize {
        self.0.iter().map(|(_, t)| t.width()).sum()
    }

    /// With escape sequences, cut to `width` columns.
    #[must_use]
    pub fn paint(&self, width: usize) -> String {
        let mut left = width;
        let mut out = String::new();
        for (tone, text) in &self.0 {
            let text = cut(text, left);
            left -= text.width();
            if *tone == Tone::Plain {
                out.push_str(text);
            } else {
                out.push_str(&tone.paint(text));
            }
        }
        out.trim_end().to_owned()
    }
}

/// The longest beginning of `text` that is at most `width` columns wide.
#[must_use]
pub fn cut(text: &str, width: usize) -> &str {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += c.width().unwrap_or(0);
        if used > width {
            return &text[..at];
        }
    }
    text
}

/// `text`, shortened with `..` where it is wider than `width`.
#[must_use]
pub fn shorten(text: &str, width: usize) -> String {
    if text.width() <= width { text.to_owned() } else { format!("{}..", cut(text, width.saturating_sub(2))) }
}

/// `text` in a column of exactly `width`.
#[must_use]
pub fn column(text: &str, width: usize) -> String {
    let text = shorten(text, width);
    let fill = width - text.width();
    format!("{text}{:fill$}", "")
}

/// `words` on as many lines of `width` columns as needed.
#[must_use]
pub fn wrap(words: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in words.split(' ') {
        let last = lines.last_mut().map_or(0, |l| l.width());
        if last > 0 && last + 1 + word.width() > width {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

/// A printed line, with its colours, on rows of `width` columns. What is carried over starts under the text: behind the
/// last gap of two spaces in the row's first half.
#[must_use]
pub fn fold(line: &str, width: usize) -> Vec<String> {
    let bare = anstream::adapter::strip_str(line).to_string();
    let width = width.max(20);
    if bare.width() <= width {
        return vec![line.to_owned()];
    }
    let start = bare.len() - bare.trim_start_matches(' ').len();
    let head = cut(&bare, width / 2);
    let indent = head.trim_end().rfind("  ").map_or(start, |at| at + 2).max(start);
    let indent = head.get(..indent).map_or(0, UnicodeWidthStr::width);
    let mut rows = vec![String::new()];
    let mut used = 0;
    for piece in line.split_inclusive(' ') {
        let wide = anstream::adapter::strip_str(piece.trim_end_matches(' ')).to_string().width();
        if used + wide > width && used > indent {
            rows.push(" ".repeat(indent));
            used = indent;
        }
        for c in Cells::of(piece) {
            if used + c.width > width {
                if c.text == " " {
                    continue;
                }
                rows.push(" ".repeat(indent));
                used = indent;
            }
            used += c.width;
            if let Some(row) = rows.last_mut() {
                row.push_str(c.text);
            }
        }
    }
    rows.iter().map(|row| row.trim_end().to_owned()).collect()
}

/// A text as what the terminal shows in one place: a character, or a colour of no width.
struct Cells<'a>(&'a str);

struct Cell<'a> {
    text: &'a str,
    width: usize,
}

impl<'a> Cells<'a> {
    const fn of(text: &'a str) -> Self {
        Self(text)
    }
}

impl<'a> Iterator for Cells<'a> {
    type Item = Cell<'a>;

    fn next(&mut self) -> Option<Cell<'a>> {
        let first = self.0.chars().next()?;
        let (end, width) = match first {
            '\u{1b}' => (self.0.find('m').map_or(self.0.len(), |at| at + 1), 0),
            c => (c.len_utf8(), c.width().unwrap_or(0)),
        };
        let (text, rest) = self.0.split_at(end);
        self.0 = rest;
        Some(Cell { text, width })
    }
}

/// Lines cut into the parts that three spaces separate, on as many rows of `width` columns as needed; tones stay.
#[must_use]
pub fn flow(parts: Vec<Line>, width: usize) -> Vec<Line> {
    let mut rows: Vec<Line> = Vec::new();
    for part in parts {
        match rows.last_mut() {
            Some(last) if last.width() + 3 + part.width() <= width => {
                last.0.push((Tone::Plain, "   ".into()));
                last.0.extend(part.0);
            }
            Some(_) => rows.push(Line(std::iter::once((Tone::Plain, "  ".into())).chain(part.0).collect())),
            None => rows.push(part),
        }
    }
    rows
}

/// A bar of `width` columns between brackets. `now` and `mark` are shares of the whole, 0 to 1.
#[must_use]
pub fn bar(look: Look, width: usize, now: f64, mark: Option<f64>) -> String {
    let inner = width.saturating_sub(2).max(1);
    let place = |share: f64| ((share.clamp(0.0, 1.0) * inner as f64) as usize).min(inner - 1);
    let (past, rest) = if look.ascii { ('#', '.') } else { ('█', '░') };
    let mut cells: Vec<char> = vec![rest; inner];
    let at = place(now);
    cells[..at].fill(past);
    if let Some(mark) = mark {
        cells[place(mark)] = '|';
    }
    cells[at] = '>';
    format!("[{}]", cells.into_iter().collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_show_now_and_the_mark() {
        assert_eq!(bar(Look::plain(), 12, 0.5, Some(0.8)), "[#####>..|.]");
        assert_eq!(bar(Look::plain(), 12, 0.0, None), "[>.........]");
        assert_eq!(bar(Look::plain(), 12, 7.0, None), "[#########>]", "never past the end");
    }

    #[test]
    fn wide_characters_count_as_two_columns() {
        assert_eq!(cut("日本語", 5), "日本");
        assert_eq!(column("日本", 6), "日本  ");
        assert_eq!(shorten("deploy-frontend", 8), "deploy..");
    }

    #[test]
    fn painting_never_exceeds_the_width() {
        let line = Line::new("abc").tone(Tone::Done, "defgh").and("ijk");
        assert_eq!(anstream::adapter::strip_str(&line.paint(6)).to_string(), "abcdef");
    }

    #[test]
    fn parts_flow_onto_further_rows() {
        let rows = flow(vec![Line::new("abcd"), Line::new("ef"), Line::new("ghi")], 10);
        let shown: Vec<String> = rows.iter().map(|r| r.paint(10)).collect();
        assert_eq!(shown, ["abcd   ef", "  ghi"]);
    }

    #[test]
    fn a_long_line_goes_on_under_its_text() {
        let hold = "04:11:20  HOLD   deploy on fe2 failed: retry | skip | rollback";
        let rows = ["04:11:20  HOLD   deploy on fe2 failed:", "                 retry | skip | rollback"];
        assert_eq!(fold(hold, 40), rows);
        let red = format!("04:11:20  {} deploy on fe2 failed: retry | skip | rollback", Tone::Person.paint("HOLD  "));
        let shown: Vec<String> = fold(&red, 40).iter().map(|r| anstream::adapter::strip_str(r).to_string()).collect();
        assert_eq!(shown, rows, "colours take no room");
        assert_eq!(fold("    command  0123456789012345678901234567", 20).concat().replace(' ', "").len(), 35);
        assert_eq!(fold("short", 40), ["short"]);
    }

    #[test]
    fn wrapping_keeps_every_word() {
        assert_eq!(wrap("a bb ccc dddd", 6), ["a bb", "ccc", "dddd"]);
    }
}
