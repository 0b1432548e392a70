//! Makes text from elsewhere harmless on a terminal: nothing in it is interpreted, everything stays visible.
//!
//! Hosts, scripts and plans can print escape sequences that clear the screen, set the title, write to the clipboard
//! or reorder what is read. Each character with such power is shown as its escape instead; only sequences that do no
//! more than colour are left out, because nobody would miss them.

use std::fmt::Write as _;

/// One line of text without power: controls, bidi marks and invisible characters are spelled out, tabs become spaces.
#[must_use]
pub fn escape_for_terminal(text: &str) -> String {
    escape(text, false)
}

/// The same for a text of several lines: line feeds stay.
#[must_use]
pub fn escape_text(text: &str) -> String {
    escape(text, true)
}

/// The same for raw bytes: what is not UTF-8 is shown as `\xNN`. Line feeds stay.
#[must_use]
pub fn escape_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(&escape_text(chunk.valid()));
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

/// The same as text that no table or renderer of Markdown takes for something else: not for marks, links, tags, entities,
/// nor for the beginning of a list.
#[must_use]
pub fn escape_for_markdown(text: &str) -> String {
    let text = escape_for_terminal(text);
    let mut out = String::with_capacity(text.len());
    let begins_list = list_mark(&text);
    for (i, c) in text.char_indices() {
        let mark = matches!(c, '|' | '*' | '_' | '`' | '<' | '>' | '[' | ']' | '\\' | '#' | '&' | '~');
        if mark || begins_list == Some(i) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Where the character stands by which the text would begin an entry of a list: `- `, `+ `, `7. `, `7) `.
fn list_mark(text: &str) -> Option<usize> {
    let start = text.len() - text.trim_start().len();
    let digits = text[start..].bytes().take_while(u8::is_ascii_digit).count();
    let mark = text[start + digits..].chars().next()?;
    let marks: &[char] = if digits == 0 { &['-', '+', '='] } else { &['.', ')'] };
    marks.contains(&mark).then_some(start + digits)
}

fn escape(text: &str, lines: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(after) = after_colour(rest) {
            rest = after;
            continue;
        }
        rest = &rest[c.len_utf8()..];
        match c {
            '\n' if lines => out.push('\n'),
            '\t' => out.push_str("    "),
            '\r' => out.push_str("\\r"),
            '\n' => out.push_str("\\n"),
            '\u{1b}' => out.push_str("\\e"),
            c if (c as u32) < 0x20 || ('\u{7f}'..='\u{9f}').contains(&c) => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c if is_deceptive(c) => {
                let _ = write!(out, "\\u{{{:x}}}", c as u32);
            }
            c => out.push(c),
        }
    }
    out
}

/// What follows a colour sequence (`ESC [ 0;31 m`) at the start of `text`.
fn after_colour(text: &str) -> Option<&str> {
    let parameters = text.strip_prefix("\u{1b}[")?;
    let end = parameters.find(|c: char| !c.is_ascii_digit() && c != ';' && c != ':')?;
    parameters[end..].strip_prefix('m')
}

/// Characters that change the order of others, are invisible, or end a line for some terminals.
const fn is_deceptive(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sequences that some terminal, multiplexer or reader acts on. None may get through.
    const HOSTILE: &[&[u8]] = &[
        b"\x1b[2J",
        b"\x1b[H",
        b"\x1b[1;1H",
        b"\x1b[31m",
        b"\x1b[0m",
        b"\x1b[8m",
        b"\x1b[?25l",
        b"\x1b[?1049h",
        b"\x1b[6n",
        b"\x1b[c",
        b"\x1b[>c",
        b"\x1b[5n",
        b"\x1b[18t",
        b"\x1b[21t",
        b"\x1b[?1000h",
        b"\x1b[?2004h",
        b"\x1b[2K",
        b"\x1b[1A",
        b"\x1b[999C",
        b"\x1b[s",
        b"\x1b[u",
        b"\x1b[?7l",
        b"\x1b[4h",
        b"\x1b[1;5r",
        b"\x1bc",
        b"\x1b7",
        b"\x1b8",
        b"\x1bM",
        b"\x1bD",
        b"\x1bE",
        b"\x1b(0",
        b"\x1b#8",
        b"\x1b%@",
        b"\x1b=",
        b"\x1b]0;title\x07",
        b"\x1b]2;title\x1b\\",
        b"\x1b]52;c;ZXZpbA==\x07",
        b"\x1b]52;c;?\x07",
        b"\x1b]8;;http://evil\x1b\\click\x1b]8;;\x1b\\",
        b"\x1b]9;notify\x07",
        b"\x1b]777;notify;a;b\x07",
        b"\x1b]1337;File=name=a:AAAA\x07",
        b"\x1b]4;1;?\x07",
        b"\x1b]50;?\x07",
        b"\x1bP+q544e\x1b\\",
        b"\x1bP$qm\x1b\\",
        b"\x1b_Ga=T;AAAA\x1b\\",
        b"\x1b^private\x1b\\",
        b"\x1bX sos \x1b\\",
        b"\x1bk title\x1b\\",
        b"\x9b2J",
        b"\x9d0;title\x9c",
        b"\x90+q\x9c",
        "\u{9b}2J".as_bytes(),
        "\u{9d}52;c;AA\u{9c}".as_bytes(),
        b"fine\rfake line",
        b"\x08\x08\x08hidden",
        b"\x07",
        b"\x0c",
        b"\x0b",
        b"\x0e",
        b"\x7f",
        b"\x00",
        b"\x05",
        "\u{202e}drowssap".as_bytes(),
        "\u{2066}a\u{2069}".as_bytes(),
        "a\u{200b}b".as_bytes(),
        "\u{feff}".as_bytes(),
        "\u{2028}prompt> ".as_bytes(),
        "\u{e0041}".as_bytes(),
        b"\xff\xfe",
        b"\xc3\x28",
    ];

    #[test]
    fn nothing_of_a_hostile_corpus_is_interpreted() {
        assert!(HOSTILE.len() >= 60, "{}", HOSTILE.len());
        for bytes in HOSTILE {
            let shown = escape_bytes(bytes);
            let power = |c: char| c.is_control() || is_deceptive(c);
            assert!(!shown.contains(power), "{bytes:?} became {shown:?}");
            let only_colour = bytes.starts_with(b"\x1b[") && bytes.ends_with(b"m");
            assert!(only_colour || shown.contains('\\'), "{bytes:?} must stay visible, became {shown:?}");
        }
    }

    #[test]
    fn ordinary_text_in_any_script_is_unchanged() {
        for text in ["GET /orders/1 ... 200 in 41ms", "Größe 42 µs", "日本語", "שלום", "a\\b"] {
            assert_eq!(escape_for_terminal(text), text);
        }
    }

    #[test]
    fn colours_are_left_out_and_nothing_else() {
        assert_eq!(escape_for_terminal("\u{1b}[1;31mFAILED\u{1b}[0m"), "FAILED");
        assert_eq!(escape_for_terminal("\u{1b}[2Km"), "\\e[2Km");
    }

    #[test]
    fn nothing_of_markdown_is_left_in_a_text() {
        let cases = [
            ("a && b &lt; c", "a \\&\\& b \\&lt; c"),
            ("~~gone~~ **b** _i_", "\\~\\~gone\\~\\~ \\*\\*b\\*\\* \\_i\\_"),
            ("- a list", "\\- a list"),
            ("12. a list", "12\\. a list"),
            ("12.5 GB - free", "12\\.5 GB - free"),
            ("web-1", "web-1"),
            ("", ""),
        ];
        for (text, escaped) in cases {
            assert_eq!(escape_for_markdown(text), escaped);
        }
    }

    #[test]
    fn lines_stay_lines_only_where_asked() {
        assert_eq!(escape_text("a\nb"), "a\nb");
        assert_eq!(escape_for_terminal("a\nb\tc"), "a\\nb    c");
    }
}
