//! Reads ssh configuration files: their lines with the place of each, and which of them hold for a host. Knows the grammar,
//! and nothing of what options mean.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Files that include files that include files.
const DEEPEST: u32 = 16;

/// Where a line stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub file: Arc<str>,
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// One option as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub option: String,
    pub values: Vec<String>,
    pub place: Place,
}

#[derive(Debug)]
enum Item {
    Set(Line),
    Host(Vec<String>),
    /// With its line where it is more than `all`.
    Match(Option<Line>),
    Include(Vec<Vec<Item>>),
}

/// Whether a line holds for a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds<'a> {
    Yes,
    /// It stands under a `Match` whose condition is not evaluated here.
    Perhaps(&'a Line),
    No,
}

/// Everything that was read, in the order of reading.
#[derive(Debug, Default)]
pub(super) struct Files(Vec<Vec<Item>>);

impl Files {
    /// Reads the files and what they include. A file that does not exist is no mistake, as for ssh; relative names in
    /// `Include` count from `ssh_dir`.
    ///
    /// # Errors
    /// What cannot be read or understood, with its place.
    pub(super) fn read(files: &[PathBuf], ssh_dir: &Path) -> Result<Self, String> {
        files.iter().map(|file| read(file, ssh_dir, 0)).collect::<Result<_, _>>().map(Self)
    }

    /// Visits every line that holds for the host, or may hold, in the order in which ssh would: the first value counts.
    pub(super) fn visit<'a>(&'a self, host: &str, visit: &mut dyn FnMut(&'a Line, Holds<'a>)) {
        for items in &self.0 {
            walk(items, host, Holds::Yes, visit);
        }
    }
}

fn walk<'a>(items: &'a [Item], host: &str, outer: Holds<'a>, visit: &mut dyn FnMut(&'a Line, Holds<'a>)) {
    let mut holds = outer;
    for item in items {
        match item {
            Item::Host(patterns) if outer != Holds::No && matches_list(host, patterns) => holds = outer,
            Item::Host(_) => holds = Holds::No,
            Item::Match(None) => holds = outer,
            Item::Match(Some(line)) if outer != Holds::No => holds = Holds::Perhaps(line),
            Item::Match(Some(_)) => holds = Holds::No,
            Item::Include(files) => files.iter().for_each(|file| walk(file, host, holds, visit)),
            Item::Set(line) if holds != Holds::No => visit(line, holds),
            Item::Set(_) => {}
        }
    }
}

fn read(file: &Path, ssh_dir: &Path, depth: u32) -> Result<Vec<Item>, String> {
    let name: Arc<str> = file.display().to_string().into();
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(format!("{name} cannot be read: {e}")),
    };
    if depth > DEEPEST {
        return Err(format!("{name} is included too deeply"));
    }
    let mut items = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let place = Place { file: name.clone(), line: at + 1 };
        let Some((option, values)) = words(line).map_err(|why| format!("{place}: {why}"))? else { continue };
        items.push(match option.to_ascii_lowercase().as_str() {
            "host" => Item::Host(values),
            "match" if values.len() == 1 && values[0].eq_ignore_ascii_case("all") => Item::Match(None),
            "match" => Item::Match(Some(Line { option, values, place })),
            "include" => {
                let mut files = Vec::new();
                for value in &values {
                    for path in expand(&included(value, ssh_dir)).map_err(|why| format!("{place}: {why}"))? {
                        files.push(read(&path, ssh_dir, depth + 1)?);
                    }
                }
                Item::Include(files)
            }
            _ => Item::Set(Line { option, values, place }),
        });
    }
    Ok(items)
}

fn included(value: &str, ssh_dir: &Path) -> PathBuf {
    match (value.strip_prefix("~/"), ssh_dir.parent()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => ssh_dir.join(value),
    }
}

/// The option's name and its values; `None` for an empty line or a comment.
fn words(line: &str) -> Result<Option<(String, Vec<String>)>, &'static str> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let end = line.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(line.len());
    let (option, rest) = line.split_at(end);
    let rest = rest.trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest);
    Ok(Some((option.to_owned(), values(rest)?)))
}

fn values(text: &str) -> Result<Vec<String>, &'static str> {
    let (mut values, mut chars) = (Vec::new(), text.chars().peekable());
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        match chars.peek() {
            None | Some('#') => return Ok(values),
            Some(_) => {}
        }
        let (mut value, mut quote) = (String::new(), None);
        while let Some(&c) = chars.peek() {
            match (c, quote) {
                (c, None) if c.is_whitespace() => break,
                ('\\', _) => {
                    chars.next();
                    match chars.peek() {
                        Some('"' | '\'' | '\\') => value.extend(chars.next()),
                        Some(' ') if quote.is_none() => value.extend(chars.next()),
                        _ => value.push('\\'),
                    }
                    continue;
                }
                ('"' | '\'', None) => quote = Some(c),
                (c, Some(open)) if c == open => quote = None,
                (c, _) => value.push(c),
            }
            chars.next();
        }
        if quote.is_some() {
            return Err("a quote is not closed");
        }
        values.push(value);
    }
}

/// The files that a path with `*` and `?` in its parts means, sorted; a plain path means itself.
fn expand(path: &Path) -> Result<Vec<PathBuf>, String> {
    let mut found = vec![PathBuf::new()];
    for part in path.components() {
        let text = part.as_os_str().to_string_lossy();
        if text.contains('[') {
            return Err(format!("[ in the path {} is not understood", path.display()));
        }
        if !text.contains(['*', '?']) {
            found.iter_mut().for_each(|p| p.push(part));
            continue;
        }
        let mut deeper = Vec::new();
        for folder in found {
            let names = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|e| e.file_name());
            let hidden = text.starts_with('.');
            let fits = |name: &std::ffi::OsString| {
                let name = name.to_string_lossy();
                matches(&name, &text) && (hidden || !name.starts_with('.'))
            };
            deeper.extend(names.filter(fits).map(|name| folder.join(name)));
        }
        deeper.sort();
        found = deeper;
    }
    Ok(found)
}

/// Whether one of the patterns matches and none of those with `!` does.
pub(super) fn matches_list<P: AsRef<str>>(name: &str, patterns: &[P]) -> bool {
    let mut found = false;
    for pattern in patterns {
        match pattern.as_ref().strip_prefix('!') {
            Some(pattern) if matches(name, pattern) => return false,
            Some(_) => {}
            None => found |= matches(name, pattern.as_ref()),
        }
    }
    found
}

/// `*` stands for any characters, `?` for one.
fn matches(name: &str, pattern: &str) -> bool {
    let (name, pattern): (Vec<char>, Vec<char>) = (name.chars().collect(), pattern.chars().collect());
    let (mut n, mut p, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&c) if c == '?' || c == name[n] => (n, p) = (n + 1, p + 1),
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (n, p) = (from + 1, at + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(text: &str, host: &str) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("d")).unwrap();
        std::fs::write(dir.path().join("d/2.conf"), "User two\n").unwrap();
        std::fs::write(dir.path().join("d/1.conf"), "Host web*\nUser one\nHost *\nPort 1\n").unwrap();
        std::fs::write(dir.path().join("d/.no.conf"), "User hidden\n").unwrap();
        std::fs::write(dir.path().join("config"), text).unwrap();
        let files = Files::read(&[dir.path().join("config"), dir.path().join("none")], dir.path()).unwrap();
        let mut seen = Vec::new();
        files.visit(host, &mut |line, holds| {
            let perhaps = if let Holds::Perhaps(by) = holds { format!("?{}", by.place.line) } else { String::new() };
            seen.push(format!("{}{perhaps} {}", line.option, line.values.join("|")));
        });
        seen
    }

    #[test]
    fn hosts_are_matched_by_patterns_and_a_negated_one_wins() {
        let text = "Port 1\nHost web* !web9 db?\n  User a\nHost *\n  User=b\nMatch all\nUser c\n";
        assert_eq!(seen(text, "web1"), ["Port 1", "User a", "User b", "User c"]);
        assert_eq!(seen(text, "web9"), ["Port 1", "User b", "User c"]);
        assert_eq!(seen(text, "db12"), ["Port 1", "User b", "User c"]);
    }

    #[test]
    fn conditions_that_are_not_evaluated_are_told() {
        assert_eq!(seen("Match host web*\nUser a\nHost web1\nUser b\n", "web1"), ["User?1 a", "User b"]);
    }

    #[test]
    fn included_files_hold_where_they_are_included() {
        let text = "Host web1\nInclude d/*.conf\nHost other\nInclude d/2.conf\n";
        assert_eq!(seen(text, "web1"), ["User one", "Port 1", "User two"]);
        assert_eq!(seen(text, "db"), [""; 0]);
    }

    #[test]
    fn words_are_split_as_ssh_does() {
        let text = "IdentityFile \"a b\" c\\ d 'e\"' # rest\nSetEnv  =  A=\"1 2\"\n\n# Host x\n";
        assert_eq!(seen(text, "h"), ["IdentityFile a b|c d|e\"", "SetEnv A=1 2"]);
        assert!(words("User \"a").is_err());
    }
}
