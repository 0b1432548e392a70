//! A failure put in front of a step's own text, and how to read the text without it. Knows nothing of who wants it to fail.

const BEFORE: &str = "# This failure was asked for.\n";
const AFTER: &str = "\n# The step's own text:\n";

/// `own`, after shell text that makes it fail.
#[must_use]
pub fn put_before(failing: &str, own: &str) -> String {
    format!("{BEFORE}{failing}{AFTER}{own}")
}

/// The step's own text; `None` where no failure was put before it.
#[must_use]
pub fn own_text(text: &str) -> Option<&str> {
    text.strip_prefix(BEFORE)?.split_once(AFTER).map(|(_, own)| own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_comes_back_as_it_was() {
        assert_eq!(own_text(&put_before("exit 1", "true\nfalse")), Some("true\nfalse"));
        assert_eq!(own_text(&put_before("exit 1", "")), Some(""));
        assert_eq!(own_text("true"), None);
    }
}
