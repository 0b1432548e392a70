//! Names of runs: `2007-12-02-a`, `-b`, ..., and how people shorten them. Knows nothing of tables.

use super::JournalError;

/// The longest part of a plan's stem that a run's name keeps; sockets and folders carry it.
const STEM: usize = 48;

/// The stem as it stands in names of runs, folders and sockets: ASCII letters, digits, `.`, `_` and `-`.
pub fn safe_stem(stem: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' };
    let text: String = stem.chars().map(safe).take(STEM).collect();
    let text = text.trim_matches(['.', '-']);
    if text.is_empty() { "plan".to_owned() } else { text.to_owned() }
}

/// The name of the `n`th run (from 0) of a plan: `-a` to `-z`, then `-aa`.
pub fn name(stem: &str, n: usize) -> String {
    let mut letters = Vec::new();
    let mut rest = n + 1;
    while rest > 0 {
        rest -= 1;
        letters.push(char::from(b'a' + (rest % 26) as u8));
        rest /= 26;
    }
    format!("{}-{}", safe_stem(stem), letters.iter().rev().collect::<String>())
}

/// The run that a person means: its name, `latest`, or the beginning of exactly one name. `names` are newest first.
pub fn resolve(given: &str, names: &[String]) -> Result<String, JournalError> {
    if let Some(exact) = names.iter().find(|n| *n == given) {
        return Ok(exact.clone());
    }
    if given == "latest" {
        return names.first().cloned().ok_or_else(|| JournalError::NoSuchRun(given.to_owned()));
    }
    let mut matches: Vec<String> =
        names.iter().filter(|n| !given.is_empty() && n.starts_with(given)).cloned().collect();
    match matches.len() {
        1 => Ok(matches.remove(0)),
        0 => Err(JournalError::NoSuchRun(given.to_owned())),
        _ => Err(JournalError::Ambiguous { given: given.to_owned(), matches }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_a_plan_are_lettered() {
        assert_eq!(name("2007-12-02", 0), "2007-12-02-a");
        assert_eq!(name("2007-12-02", 25), "2007-12-02-z");
        assert_eq!(name("2007-12-02", 26), "2007-12-02-aa");
        assert_eq!(name("2007-12-02", 27), "2007-12-02-ab");
        assert_eq!(name("2007-12-02", 26 + 26 * 26), "2007-12-02-aaa");
    }

    #[test]
    fn a_stem_never_becomes_a_path() {
        assert_eq!(safe_stem("../../etc/passwd"), "etc-passwd");
        assert_eq!(safe_stem("..."), "plan");
        assert_eq!(safe_stem("big night"), "big-night");
        assert_eq!(safe_stem(&"x".repeat(300)).len(), STEM);
    }

    #[test]
    fn people_shorten_names() {
        let names: Vec<String> = ["night-b", "night-a", "other-a"].map(String::from).into();
        assert_eq!(resolve("latest", &names).unwrap(), "night-b");
        assert_eq!(resolve("night-a", &names).unwrap(), "night-a");
        assert_eq!(resolve("o", &names).unwrap(), "other-a");
        assert!(matches!(resolve("night", &names), Err(JournalError::Ambiguous { .. })));
        assert!(matches!(resolve("x", &names), Err(JournalError::NoSuchRun(_))));
        assert!(matches!(resolve("", &names[2..]), Err(JournalError::NoSuchRun(_))));
        assert!(matches!(resolve("latest", &[]), Err(JournalError::NoSuchRun(_))));
    }
}
