//! Hides secret values in streams, across chunk borders. Knows nothing of where the values come from.

use aho_corasick::{AhoCorasick, MatchKind};

/// What stands in place of a secret.
pub const MASK: &str = "********";
/// Shorter values would hide half of ordinary output, or could be guessed from what is hidden.
pub const SHORTEST: usize = 6;

/// The values to hide.
#[derive(Debug, Clone, Default)]
pub struct Masks {
    search: Option<AhoCorasick>,
    longest: usize,
}

impl Masks {
    /// Hides each value, and each line of a value that has several, also in base64, URL and JSON form.
    #[must_use]
    pub fn new<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut patterns: Vec<String> = Vec::new();
        for value in values {
            let lines = value.lines().map(str::trim_end);
            for text in lines.chain([value]).filter(|text| text.trim().len() >= SHORTEST) {
                patterns.push(text.to_owned());
                patterns.push(url_form(text));
                patterns.push(json_form(text));
                patterns.extend(base64_forms(text.as_bytes()));
            }
        }
        patterns.retain(|p| p.len() >= SHORTEST);
        patterns.sort_unstable();
        patterns.dedup();
        let longest = patterns.iter().map(String::len).max().unwrap_or(0);
        let search = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&patterns).ok();
        Self { search: search.filter(|_| longest > 0), longest }
    }

    /// The text with every secret hidden.
    #[must_use]
    pub fn text(&self, text: &str) -> String {
        match &self.search {
            Some(search) => search.replace_all_with_bytes_str(text),
            None => text.to_owned(),
        }
    }
}

trait ReplaceText {
    fn replace_all_with_bytes_str(&self, text: &str) -> String;
}

impl ReplaceText for AhoCorasick {
    fn replace_all_with_bytes_str(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        self.replace_all_with(text, &mut out, |_, _, out| {
            out.push_str(MASK);
            true
        });
        out
    }
}

/// Masks one stream as it comes. Holds back at most one secret's length.
#[derive(Debug)]
pub struct Masked {
    masks: Masks,
    held: Vec<u8>,
}

impl Masked {
    #[must_use]
    pub fn new(masks: Masks) -> Self {
        Self { masks, held: Vec::new() }
    }

    /// Takes the next bytes; gives those that are certain to hold no secret.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.masks.search.is_none() {
            return bytes.to_vec();
        }
        self.held.extend_from_slice(bytes);
        self.emit(self.held.len().saturating_sub(self.masks.longest - 1))
    }

    /// The rest, at the end of the stream.
    pub fn finish(&mut self) -> Vec<u8> {
        self.emit(self.held.len())
    }

    /// Gives what is decided: every match that begins before `until`, and the bytes before it.
    fn emit(&mut self, until: usize) -> Vec<u8> {
        let Some(search) = &self.masks.search else { return std::mem::take(&mut self.held) };
        let (mut out, mut at) = (Vec::new(), 0);
        for found in search.find_iter(&self.held) {
            if found.start() >= until {
                break;
            }
            out.extend_from_slice(&self.held[at..found.start()]);
            out.extend_from_slice(MASK.as_bytes());
            at = found.end();
        }
        if at < until {
            out.extend_from_slice(&self.held[at..until]);
            at = until;
        }
        self.held.drain(..at);
        out
    }
}

fn url_form(text: &str) -> String {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-._~".contains(b);
    text.bytes().map(|b| if plain(&b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

fn json_form(text: &str) -> String {
    let quoted = serde_json::to_string(text).unwrap_or_default();
    quoted.trim_matches('"').to_owned()
}

/// The characters of the value's base64 that do not depend on its neighbours, for each of the three alignments.
fn base64_forms(value: &[u8]) -> Vec<String> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    (0..3)
        .map(|shift| {
            let bits: Vec<bool> = value.iter().flat_map(|b| (0..8).rev().map(move |bit| b >> bit & 1 == 1)).collect();
            let skip = (6 - (shift * 8) % 6) % 6;
            bits[skip.min(bits.len())..]
                .chunks_exact(6)
                .map(|six| char::from(DIGITS[six.iter().fold(0_usize, |n, bit| n * 2 + usize::from(*bit))]))
                .collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(masks: &Masks, chunks: &[&[u8]]) -> String {
        let mut stream = Masked::new(masks.clone());
        let mut out = Vec::new();
        for chunk in chunks {
            out.extend(stream.feed(chunk));
        }
        out.extend(stream.finish());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_secret_is_hidden_at_every_split() {
        let masks = Masks::new(["hunter2secret", "hunter2"]);
        let text = b"password hunter2secret, also hunter2, hunterx hunter";
        for at in 0..text.len() {
            let out = masked(&masks, &[&text[..at], &text[at..]]);
            assert_eq!(out, "password ********, also ********, hunterx hunter", "split at {at}");
        }
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(masked(&masks, &bytes), "password ********, also ********, hunterx hunter");
    }

    #[test]
    fn each_line_of_a_long_secret_is_hidden() {
        let masks = Masks::new(["-----BEGIN KEY-----\nabcdefgh\nijklmnop\n"]);
        let out = masked(&masks, &[b"2: ijklmnop\n1: abcdefgh\n"]);
        assert_eq!(out, "2: ********\n1: ********\n");
    }

    #[test]
    fn encoded_forms_are_hidden() {
        let masks = Masks::new(["p\u{e4}ss \"word\"!"]);
        for form in ["p%C3%A4ss%20%22word%22%21", "p\u{e4}ss \\\"word\\\"!", "cMOkc3MgIndvcmQiI"] {
            assert!(masked(&masks, &[form.as_bytes()]).starts_with(MASK), "{form}");
        }
    }

    #[test]
    fn without_secrets_bytes_pass_untouched() {
        let mut stream = Masked::new(Masks::default());
        assert_eq!(stream.feed(b"\xff\x00a"), b"\xff\x00a");
        assert_eq!(stream.finish(), b"");
        assert_eq!(Masks::default().text("a"), "a");
    }
}
