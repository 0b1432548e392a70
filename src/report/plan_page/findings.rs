//! What was found in a plan, for people: what is said of many in the same words is said once. Judges nothing.

use indexmap::IndexMap;
use indexmap::map::Entry;

use super::PlanPage;

/// Names that are written out where one sentence is about many.
const NAMES: usize = 3;

impl PlanPage<'_> {
    /// The findings of some codes, each with its code.
    pub(super) fn told(&self, which: fn(&str) -> bool) -> Vec<(&str, String)> {
        alike(self.findings.iter().filter(|(code, _)| which(code)).map(|(code, text)| (&**code, &**text)))
    }
}

/// One sentence, and of what else it was said.
struct Said<'a> {
    text: &'a str,
    others: Vec<&'a str>,
}

fn alike<'a>(findings: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<(&'a str, String)> {
    let mut all: IndexMap<(&str, &str, &str), Said<'a>> = IndexMap::new();
    for (code, text) in findings {
        let (before, name, after) = around_name(text).unwrap_or((text, "", ""));
        match all.entry((code, before, after)) {
            Entry::Vacant(place) => _ = place.insert(Said { text, others: Vec::new() }),
            Entry::Occupied(mut said) => said.get_mut().others.extend((!name.is_empty()).then_some(name)),
        }
    }
    all.into_iter().map(|((code, ..), said)| (code, said.in_words())).collect()
}

impl Said<'_> {
    fn in_words(&self) -> String {
        let named: Vec<String> = self.others.iter().take(NAMES).map(|name| format!("`{name}`")).collect();
        match self.others.len() {
            0 => self.text.to_owned(),
            1..=NAMES => format!("{} (also {})", self.text, named.join(", ")),
            n => format!("{} (also {} and {} more)", self.text, named.join(", "), n - NAMES),
        }
    }
}

/// A sentence before, in and after its first backquotes.
fn around_name(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once('`')?;
    let (name, after) = rest.split_once('`')?;
    Some((before, name, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(findings: &[(&str, &str)]) -> Vec<String> {
        alike(findings.iter().copied()).into_iter().map(|(code, text)| format!("{code} {text}")).collect()
    }

    #[test]
    fn what_is_said_of_many_is_said_once() {
        let of = |name: &str| format!("`{name}` has no `rollback`; add one");
        let texts: Vec<String> = ["a", "b", "c", "d", "e", "f"].map(of).into();
        let all: Vec<(&str, &str)> = texts.iter().map(|text| ("W1", &**text)).collect();
        assert_eq!(told(&all[..1]), ["W1 `a` has no `rollback`; add one"]);
        assert_eq!(told(&all[..3]), ["W1 `a` has no `rollback`; add one (also `b`, `c`)"]);
        assert_eq!(told(&all), ["W1 `a` has no `rollback`; add one (also `b`, `c`, `d` and 2 more)"]);
    }

    #[test]
    fn another_code_or_another_sentence_is_said_apart() {
        let all = [("W1", "`a` is late"), ("W2", "`b` is late"), ("W1", "`c` is early"), ("W1", "no step tests")];
        assert_eq!(told(&all).len(), 4);
        let mixed = [("W1", "`a` is late"), ("W1", "no step tests"), ("W1", "`b` is late"), ("W1", "no step tests")];
        assert_eq!(told(&mixed), ["W1 `a` is late (also `b`)", "W1 no step tests"]);
    }
}
