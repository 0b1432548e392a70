//! The one function that quotes text for a POSIX shell. Knows nothing of templates or of what the text means.

/// One word of POSIX sh that stands for exactly `text`, whatever is in it. `text` must not hold NUL, which no
/// argument can carry: callers refuse it before.
///
/// Words of harmless characters stay as they are, so that commands in the dry run read well.
#[must_use]
pub fn quote(text: &str) -> String {
    if is_plain_word(text) { text.to_owned() } else { quote_always(text) }
}

/// Like [`quote`], but never leaves the quotes out: for words that touch other text, where `2` before `>` or `a`
/// after `$x` would mean something else.
#[must_use]
pub fn quote_always(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('\'');
    for part in text.split_inclusive('\'') {
        match part.strip_suffix('\'') {
            Some(before) => {
                out.push_str(before);
                out.push_str(r"'\''");
            }
            None => out.push_str(part),
        }
    }
    out.push('\'');
    out
}

/// Whether a shell takes `text` as itself, in any position of a command. Stricter than need be: `=` would be an
/// assignment, `~` a home directory, `,` a brace expansion, and `if` a keyword.
#[must_use]
pub fn is_plain_word(text: &str) -> bool {
    const KEYWORDS: [&str; 18] = [
        "case", "coproc", "do", "done", "elif", "else", "esac", "fi", "for", "function", "if", "in", "select", "then",
        "time", "until", "while", "repeat",
    ];
    let plain = |c: u8| c.is_ascii_alphanumeric() || b"_./:-".contains(&c);
    !text.is_empty() && text.bytes().all(plain) && !KEYWORDS.contains(&text)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    const SHELLS: [&[&str]; 4] = [&["sh"], &["dash"], &["bash"], &["busybox", "sh"]];

    /// What each shell makes of the words.
    fn words(text: &str) -> Vec<(String, Vec<u8>)> {
        let script = format!("printf '%s\\0' {text}");
        let run = |shell: &&[&str]| {
            let out = Command::new(shell[0]).args(&shell[1..]).args(["-eu", "-c", &script]).output().unwrap();
            (shell.join(" "), out.stdout)
        };
        SHELLS.iter().map(run).collect()
    }

    #[test]
    fn plain_words_stay_readable_and_everything_else_is_quoted() {
        assert_eq!(quote("2.4.0"), "2.4.0");
        assert_eq!(quote("/opt/app"), "/opt/app");
        assert_eq!(quote(""), "''");
        assert_eq!(quote("if"), "'if'");
        assert_eq!(quote("PATH=/tmp"), "'PATH=/tmp'");
        assert_eq!(quote("it's"), r"'it'\''s'");
        assert_eq!(quote_always("2"), "'2'");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn invariant_every_shell_gives_the_text_back(parts in prop::collection::vec("[^\0]{0,40}|['\"$`\\\\ \n!*]{1,12}", 1..12)) {
            let line: Vec<String> = parts.iter().map(|p| quote(p)).collect();
            let expected: Vec<u8> = parts.iter().flat_map(|p| p.bytes().chain([0])).collect();
            for (shell, got) in words(&line.join(" ")) {
                prop_assert_eq!(String::from_utf8_lossy(&got), String::from_utf8_lossy(&expected), "{}", shell);
            }
        }
    }
}
