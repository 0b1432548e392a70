//! A terminal read key by key, so that a live view can show what is typed in its own place. Knows nothing of words.

use std::io::Read as _;

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use tokio::sync::mpsc;

/// What keys became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Typing {
    /// The line so far.
    Line(String),
    /// Enter.
    Entered(String),
    /// Ctrl-D on an empty line, or the terminal is gone.
    End,
}

/// Key by key and without echo, until dropped. Ctrl-C and Ctrl-Z stay signals.
#[derive(Debug)]
pub struct KeyMode {
    before: Termios,
}

impl KeyMode {
    /// `None` where stdin is no terminal that can do it.
    #[must_use]
    pub fn enter() -> Option<Self> {
        let stdin = std::io::stdin();
        let before = tcgetattr(&stdin).ok()?;
        let mut mode = before.clone();
        mode.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        mode.special_codes[SpecialCodeIndex::VMIN] = 1;
        mode.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(&stdin, OptionalActions::Now, &mode).ok()?;
        Some(Self { before })
    }
}

impl Drop for KeyMode {
    fn drop(&mut self) {
        // A terminal that is gone needs no mode.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.before);
    }
}

/// Reads stdin in a thread of its own, byte by byte as they come. Unbounded, because a person types them.
#[must_use]
pub fn bytes() -> mpsc::UnboundedReceiver<Vec<u8>> {
    let (send, received) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let mut chunk = [0; 256];
        while let Ok(n) = std::io::stdin().lock().read(&mut chunk) {
            if n == 0 || send.send(chunk[..n].to_vec()).is_err() {
                return;
            }
        }
    });
    received
}

/// Bytes in, lines out: the little editing that a terminal would do.
#[derive(Debug, Default)]
pub struct Line {
    text: Vec<u8>,
    /// Inside an escape sequence, such as that of an arrow key: ignored to its end.
    escape: bool,
}

impl Line {
    /// Takes what was typed.
    pub fn take(&mut self, bytes: &[u8]) -> Vec<Typing> {
        let mut out = Vec::new();
        for &byte in bytes {
            out.extend(self.byte(byte));
        }
        out
    }

    /// Whether something is typed but not entered.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    fn byte(&mut self, byte: u8) -> Option<Typing> {
        if self.escape {
            self.escape = !(byte.is_ascii_alphabetic() || byte == b'~');
            return None;
        }
        match byte {
            b'\r' | b'\n' => return Some(Typing::Entered(self.end())),
            0x04 if self.text.is_empty() => return Some(Typing::End),
            0x1b => self.escape = true,
            0x08 | 0x7f => self.erase(),
            0x15 => self.text.clear(),
            0x00..0x20 => {}
            _ => self.text.push(byte),
        }
        Some(Typing::Line(self.shown()))
    }

    /// Removes the last character, all its bytes.
    fn erase(&mut self) {
        while self.text.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
    }

    fn end(&mut self) -> String {
        let line = self.shown();
        self.text.clear();
        line
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.text).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entered(bytes: &[u8]) -> Vec<String> {
        let typed = Line::default().take(bytes).into_iter();
        typed.filter_map(|t| if let Typing::Entered(line) = t { Some(line) } else { None }).collect()
    }

    #[test]
    fn lines_are_edited_as_a_terminal_would() {
        assert_eq!(entered(b"approve\n"), ["approve"]);
        assert_eq!(entered(b"apx\x7fprove\r"), ["approve"]);
        assert_eq!(entered(b"nonsense\x15retry\n\n"), ["retry", ""]);
        assert_eq!(entered("h\u{e4}\x7f\n".as_bytes()), ["h"], "a character, not a byte");
        assert_eq!(entered(b"\x1b[A\x1b[3~skip\n"), ["skip"], "arrow keys are no text");
        assert_eq!(entered(b"\x7f\x7fq\n"), ["q"]);
    }

    #[test]
    fn ctrl_d_ends_only_an_empty_line() {
        assert_eq!(Line::default().take(b"\x04"), [Typing::End]);
        assert_eq!(Line::default().take(b"a\x04"), [Typing::Line("a".into()), Typing::Line("a".into())]);
    }
}
