//! Quoting for POSIX shells: the one place where values become shell words. Knows nothing of what the words mean.

/// The text as one word of `sh`, whatever bytes it holds. NUL cannot be passed to a process and must be refused before.
#[must_use]
pub fn quote(text: &str) -> String {
    let mut word = String::with_capacity(text.len() + 2);
    word.push('\'');
    for part in text.split_inclusive('\'') {
        match part.strip_suffix('\'') {
            Some(plain) => {
                word.push_str(plain);
                word.push_str("'\\''");
            }
            None => word.push_str(part),
        }
    }
    word.push('\'');
    word
}

/// A name that `export` accepts.
#[must_use]
pub fn is_variable_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    fn echoed_by(shell: &[&str], text: &str) -> Vec<u8> {
        let script = format!("printf '%s' {}", quote(text));
        let output = Command::new(shell[0]).args(&shell[1..]).arg("-c").arg(script).output().unwrap();
        output.stdout
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn every_text_comes_back_from_every_shell(text in "([^\u{0}]|['\"$`\\\\\n;*!~&|<>-]){0,60}") {
            for shell in [&["sh"][..], &["bash"], &["dash"], &["busybox", "sh"]] {
                prop_assert_eq!(echoed_by(shell, &text), text.as_bytes());
            }
        }
    }

    #[test]
    fn variable_names_are_plain() {
        assert!(is_variable_name("PATH") && is_variable_name("_x1"));
        for bad in ["", "1a", "a-b", "a b", "a=b", "ü", "a;rm"] {
            assert!(!is_variable_name(bad), "{bad}");
        }
    }
}
