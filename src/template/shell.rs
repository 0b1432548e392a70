//! Puts values into a shell text so that each stays exactly one word wherever it stands, or refuses. Knows nothing of templates.
//!
//! Quoting alone is not enough: inside `"..."` the quotes of a quoted word are ordinary characters, and `$(...)` in the
//! value would be executed. So the text is read the way a shell reads it, and a value inside quotes leaves them first.
//! Where no quoting is safe (here-documents, backquotes, arithmetic), or where shells disagree about what the text
//! means, a value is refused; `"$NAME"` always works there.

use super::quote::{is_plain_word, quote, quote_always};

/// A part of a rendered text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Shell text that the author wrote, or spliced on purpose.
    Text(&'a str),
    /// Must become data. Holds no NUL.
    Value(&'a str),
}

/// A value stands where it cannot be quoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misplaced {
    /// Such as "inside a here-document".
    pub place: &'static str,
    /// Number of the refused value, from 0.
    pub value: usize,
}

/// The shell text in which every value is one word.
///
/// # Errors
/// When a value stands where no quoting is safe.
pub fn weave(pieces: &[Piece<'_>]) -> Result<String, Misplaced> {
    let mut units = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Text(t) => units.extend(t.chars().map(Unit::Char)),
            Piece::Value(v) => units.push(Unit::Value(v)),
        }
    }
    let mut reader = Reader {
        units,
        at: 0,
        out: String::new(),
        frames: Vec::new(),
        here: Vec::new(),
        values: 0,
        fresh: true,
        lost: None,
    };
    reader.read()?;
    Ok(reader.out)
}

/// Whether `weave` knows how this program reads its script. `program` may be a path and have options.
#[must_use]
pub fn is_posix_shell(program: &str) -> bool {
    let mut names = program.split_whitespace().map(|word| word.rsplit('/').next().unwrap_or_default());
    let name = names.find(|name| *name != "env").unwrap_or_default();
    matches!(name, "sh" | "dash" | "bash" | "ash" | "busybox" | "ksh" | "mksh")
}

#[derive(Debug, Clone, Copy)]
enum Unit<'a> {
    Char(char),
    Value(&'a str),
}

/// What the shell is inside of; nothing at all is plain text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Frame {
    Single,
    Double,
    /// `$(...)`, with the open parentheses inside it.
    Command(u32),
    /// `${...}`; in double quotes other rules hold.
    Brace {
        quoted: bool,
    },
    /// `$((...))`
    Arithmetic(u32),
    Backquote,
    Comment,
}

#[derive(Debug)]
struct HereDocument {
    end: String,
    strip_tabs: bool,
    quoted: bool,
}

struct Reader<'a> {
    units: Vec<Unit<'a>>,
    at: usize,
    out: String,
    frames: Vec<Frame>,
    /// Announced on this line, not yet begun.
    here: Vec<HereDocument>,
    values: usize,
    /// At the start of a word, where `#` begins a comment.
    fresh: bool,
    /// From here on it is unclear what a shell makes of the text: values are refused.
    lost: Option<&'static str>,
}

const UNCLEAR: &str = "after shell text that shells read differently";
const HERE: &str = "inside a here-document";

impl<'a> Reader<'a> {
    fn read(&mut self) -> Result<(), Misplaced> {
        while let Some(unit) = self.units.get(self.at).copied() {
            match unit {
                Unit::Value(v) => {
                    self.value(v)?;
                    self.at += 1;
                }
                Unit::Char(c) if self.lost.is_some() => self.take(c),
                Unit::Char(c) => self.character(c)?,
            }
        }
        Ok(())
    }

    fn value(&mut self, v: &'a str) -> Result<(), Misplaced> {
        let refused = |place| Misplaced { place, value: self.values };
        if let Some(place) = self.lost {
            return Err(refused(place));
        }
        match self.frames.last() {
            None | Some(Frame::Command(_)) => {
                if self.in_subscript() {
                    return Err(refused("inside a[...], which is arithmetic"));
                }
                let word = if self.stands_free() && is_plain_word(v) { quote(v) } else { quote_always(v) };
                self.out.push_str(&word);
            }
            Some(Frame::Double) => {
                self.out.push('"');
                self.out.push_str(&quote_always(v));
                self.out.push('"');
            }
            Some(Frame::Single) => {
                self.out.push('\'');
                self.out.push_str(&quote_always(v));
                self.out.push('\'');
            }
            Some(Frame::Comment) => self.out.push_str(&v.replace('\n', " ")),
            Some(Frame::Brace { .. }) => return Err(refused("inside ${...}")),
            Some(Frame::Arithmetic(_)) => return Err(refused("inside arithmetic")),
            Some(Frame::Backquote) => return Err(refused("inside backquotes")),
        }
        self.values += 1;
        self.fresh = false;
        Ok(())
    }

    /// Whether the neighbours leave a word of plain characters what it is: no `2` before `>`, no `a` after `$x`.
    fn stands_free(&self) -> bool {
        let before = self.out.chars().next_back();
        let after = self.peek(1);
        let value_after = matches!(self.units.get(self.at + 1), Some(Unit::Value(_)));
        before.is_none_or(|c| c.is_whitespace() || "=/:.-".contains(c))
            && !value_after
            && after.is_none_or(|c| c.is_whitespace() || "/:.-;|&)".contains(c))
    }

    fn in_subscript(&self) -> bool {
        self.out.strip_suffix('[').is_some_and(|name| name.ends_with(|c: char| c.is_alphanumeric() || c == '_'))
    }

    /// The character `ahead` units from here, if it is one.
    fn peek(&self, ahead: usize) -> Option<char> {
        match self.units.get(self.at + ahead) {
            Some(Unit::Char(c)) => Some(*c),
            Some(Unit::Value(_)) | None => None,
        }
    }

    /// Writes `c`, the current unit, and goes on.
    fn take(&mut self, c: char) {
        self.out.push(c);
        self.at += 1;
    }

    fn take_many(&mut self, count: usize) {
        for _ in 0..count {
            if let Some(c) = self.peek(0) {
                self.take(c);
            }
        }
    }

    fn character(&mut self, c: char) -> Result<(), Misplaced> {
        match self.frames.last().copied() {
            Some(Frame::Single) => self.in_single(c),
            Some(Frame::Double) => return self.in_double(c),
            Some(Frame::Brace { quoted: true }) => return self.in_quoted_brace(c),
            Some(Frame::Arithmetic(depth)) => return self.in_arithmetic(c, depth),
            Some(Frame::Backquote) => return self.in_backquotes(c),
            Some(Frame::Comment) => {
                if c == '\n' {
                    self.frames.pop();
                    return self.newline();
                }
                self.take(c);
            }
            top @ (None | Some(Frame::Command(_) | Frame::Brace { quoted: false })) => return self.in_plain(c, top),
        }
        Ok(())
    }

    fn in_plain(&mut self, c: char, top: Option<Frame>) -> Result<(), Misplaced> {
        let brace = matches!(top, Some(Frame::Brace { .. }));
        let fresh = std::mem::replace(&mut self.fresh, c.is_whitespace() || ";&|()<>".contains(c));
        match (c, top) {
            ('\\', _) => return self.escaped(),
            ('\'', _) => self.frames.push(Frame::Single),
            ('"', _) => self.frames.push(Frame::Double),
            ('`', _) => self.frames.push(Frame::Backquote),
            ('$', _) => return self.dollar(false),
            ('#', _) if fresh && !brace => self.frames.push(Frame::Comment),
            ('<', _) if self.peek(1) == Some('<') && !brace => return self.announce_here_document(),
            ('\n', _) if !brace => return self.newline(),
            // Arithmetic for some shells, two subshells for others.
            ('(', _) if self.peek(1) == Some('(') => self.lost = Some(UNCLEAR),
            ('(', Some(Frame::Command(depth))) => self.replace_top(Frame::Command(depth + 1)),
            (')', Some(Frame::Command(0))) => self.close(),
            (')', Some(Frame::Command(depth))) => self.replace_top(Frame::Command(depth - 1)),
            // `case x in a)` closes a parenthesis that nothing opened.
            ('c', Some(Frame::Command(_))) if fresh && self.is_case() => self.lost = Some(UNCLEAR),
            ('}', Some(Frame::Brace { .. })) => self.close(),
            _ => {}
        }
        self.take(c);
        Ok(())
    }

    fn replace_top(&mut self, frame: Frame) {
        self.frames.pop();
        self.frames.push(frame);
    }

    fn close(&mut self) {
        self.frames.pop();
        if !self.here.is_empty() {
            self.lost = Some(UNCLEAR);
        }
    }

    fn is_case(&self) -> bool {
        "case".chars().enumerate().all(|(i, c)| self.peek(i) == Some(c)) && self.peek(4).is_none_or(char::is_whitespace)
    }

    fn in_single(&mut self, c: char) {
        if c == '\'' {
            self.frames.pop();
        }
        self.line_in_quotes(c);
        self.take(c);
    }

    fn in_double(&mut self, c: char) -> Result<(), Misplaced> {
        match c {
            '\\' => return self.escaped(),
            '$' => return self.dollar(true),
            '"' => {
                self.frames.pop();
            }
            '`' => self.frames.push(Frame::Backquote),
            _ => self.line_in_quotes(c),
        }
        self.take(c);
        Ok(())
    }

    fn in_quoted_brace(&mut self, c: char) -> Result<(), Misplaced> {
        match c {
            '\\' => return self.escaped(),
            '$' => return self.dollar(true),
            '}' => self.close(),
            '\'' | '"' => self.lost = Some(UNCLEAR),
            '`' => self.frames.push(Frame::Backquote),
            _ => self.line_in_quotes(c),
        }
        self.take(c);
        Ok(())
    }

    fn in_arithmetic(&mut self, c: char, depth: u32) -> Result<(), Misplaced> {
        match c {
            '$' => return self.dollar(true),
            '(' => self.replace_top(Frame::Arithmetic(depth + 1)),
            ')' if depth > 0 => self.replace_top(Frame::Arithmetic(depth - 1)),
            ')' if self.peek(1) == Some(')') => {
                self.close();
                self.take(c);
            }
            // `$((` was a subshell in a command substitution after all, or something else that needs a real parser.
            ')' | '\'' | '"' | '`' | '\\' => self.lost = Some(UNCLEAR),
            _ => self.line_in_quotes(c),
        }
        self.take_many(1);
        Ok(())
    }

    fn in_backquotes(&mut self, c: char) -> Result<(), Misplaced> {
        match c {
            '\\' => return self.escaped(),
            '`' => self.close(),
            _ => self.line_in_quotes(c),
        }
        self.take(c);
        Ok(())
    }

    /// Whether the body of an announced here-document begins inside open quotes depends on the shell.
    fn line_in_quotes(&mut self, c: char) {
        if c == '\n' && !self.here.is_empty() {
            self.lost = Some(UNCLEAR);
        }
    }

    fn escaped(&mut self) -> Result<(), Misplaced> {
        if matches!(self.units.get(self.at + 1), Some(Unit::Value(_))) {
            return Err(Misplaced { place: "after a backslash", value: self.values });
        }
        self.take_many(2);
        Ok(())
    }

    fn dollar(&mut self, quoted: bool) -> Result<(), Misplaced> {
        let in_double = self.frames.last() == Some(&Frame::Double);
        match (self.peek(1), self.peek(2)) {
            (Some('('), Some('(')) => {
                self.frames.push(Frame::Arithmetic(0));
                self.take_many(3);
            }
            (Some('('), _) => {
                self.frames.push(Frame::Command(0));
                self.fresh = true;
                self.take_many(2);
            }
            (Some('{'), after) => {
                // `${ command; }` is a command substitution for some shells and a mistake for others.
                if after.is_some_and(|c| c.is_whitespace() || c == '|') {
                    self.lost = Some(UNCLEAR);
                }
                self.frames.push(Frame::Brace { quoted });
                self.take_many(2);
            }
            // `$'...'` has its own escapes where a shell knows it, and is a `$` before quotes where not.
            (Some('\'' | '['), _) if !in_double => {
                self.lost = Some(UNCLEAR);
                self.take_many(1);
            }
            // `$$` is one parameter.
            (Some('$'), _) => self.take_many(2),
            (None, _) if self.at + 1 < self.units.len() && !in_double => {
                return Err(Misplaced { place: "directly after `$`", value: self.values });
            }
            _ => self.take_many(1),
        }
        Ok(())
    }

    fn announce_here_document(&mut self) -> Result<(), Misplaced> {
        self.take_many(2);
        if self.peek(0) == Some('<') {
            self.take_many(1);
            return Ok(());
        }
        let strip_tabs = self.peek(0) == Some('-');
        if strip_tabs {
            self.take_many(1);
        }
        while matches!(self.peek(0), Some(' ' | '\t')) {
            self.take_many(1);
        }
        let (mut end, mut quoted, mut open) = (String::new(), false, None);
        while let Some(unit) = self.units.get(self.at).copied() {
            let c = match unit {
                Unit::Char(c) => c,
                Unit::Value(_) => return Err(Misplaced { place: HERE, value: self.values }),
            };
            match c {
                c if open == Some(c) => open = None,
                c if open.is_none() && (c.is_whitespace() || ";&|<>()".contains(c)) => break,
                '\'' | '"' if open.is_none() => (open, quoted) = (Some(c), true),
                '$' | '`' | '\\' | '\n' => self.lost = Some(UNCLEAR),
                c => end.push(c),
            }
            self.take(c);
        }
        self.here.push(HereDocument { end, strip_tabs, quoted });
        Ok(())
    }

    /// The end of a line of commands: announced here-documents follow.
    fn newline(&mut self) -> Result<(), Misplaced> {
        self.take('\n');
        self.fresh = true;
        for document in std::mem::take(&mut self.here) {
            while self.at < self.units.len() && self.lost.is_none() {
                let line = self.here_line()?;
                let line = if document.strip_tabs { line.trim_start_matches('\t') } else { &line };
                if line == document.end {
                    break;
                }
                let backslashes = line.len() - line.trim_end_matches('\\').len();
                if !document.quoted && backslashes % 2 == 1 {
                    self.lost = Some(HERE);
                }
            }
        }
        Ok(())
    }

    fn here_line(&mut self) -> Result<String, Misplaced> {
        let mut line = String::new();
        while let Some(unit) = self.units.get(self.at).copied() {
            let Unit::Char(c) = unit else {
                return Err(Misplaced { place: HERE, value: self.values });
            };
            self.take(c);
            if c == '\n' {
                break;
            }
            line.push(c);
        }
        Ok(line)
    }
}
