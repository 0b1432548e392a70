//! The direction of the arrows, read from the sources: who may import what, what the pure modules may not name, how long a
//! file may be; and that the README's table of exit codes is the program's.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use runbook::cli::exit::Exit;

/// What a module may import from the rest of the crate; itself is always allowed. `a::b` allows only that part of `a`.
/// `graph::{ids, job, outcome}` is the vocabulary in which everybody speaks of attempts, and `plan::units` prints durations.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("plan", &["template"]),
    ("template", &["plan"]),
    ("graph", &["plan", "template"]),
    ("schedule", &["graph", "plan"]),
    ("engine", &["graph", "schedule", "plan", "template"]),
    ("view", &["graph", "schedule", "plan", "engine::fact", "engine::state"]),
    ("sim", &["engine", "graph", "schedule", "view", "plan", "template"]),
    ("journal", &["engine::fact", "graph::ids", "graph::outcome", "plan::units", "plan::model"]),
    ("transport", &["graph::ids", "graph::job", "graph::outcome", "plan::model", "plan::units", "driver::clock"]),
    ("report", &["view", "engine::fact", "graph", "schedule", "plan", "sim"]),
    ("driver", &["engine", "journal", "transport", "report", "view", "graph", "schedule", "plan", "template"]),
    ("lab", &["plan"]),
    ("rehearsal", &["engine::fact", "graph", "plan", "journal", "transport", "driver::clock"]),
    ("cli", &["*"]),
    ("main", &["*"]),
    ("lib", &[]),
];

/// Modules whose results depend on their inputs only.
const PURE: &[&str] = &["plan", "template", "graph", "schedule", "engine", "view", "sim"];

/// What no pure module may name: the world, and what makes two runs differ.
const IMPURE: &[&str] = &[
    "tokio",
    "rusqlite",
    "openssh",
    "russh",
    "reqwest",
    "indicatif",
    "axum",
    "rustix",
    "std::fs",
    "std::env",
    "std::process",
    "std::net",
    "std::thread",
    "std::os",
    "std::time::Instant",
    "std::time::SystemTime",
];

/// Looking things up by hash is fine; walking over a hash map is not, because its order would reach a result.
const WALKS: &[&str] =
    &["iter", "iter_mut", "into_iter", "keys", "into_keys", "values", "values_mut", "into_values", "drain", "retain"];

/// The wall clock comes in through `driver/clock.rs` alone.
const CLOCKS: &[&str] = &["Timestamp::now", "Zoned::now", "SystemTime::now"];

const LONGEST_FILE: usize = 600;

/// Files that are longer with a reason: one closed table, one generated text, ...
const LONGER: &[(&str, &str)] = &[];

/// One source file: its path below `src`, and its text.
struct Source {
    path: String,
    text: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// The first part of its path: `engine` of `engine/decide.rs`, `main` of `main.rs`.
    fn module(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// Where `super` leads: the file's place in the module tree.
    fn place(&self) -> Vec<&str> {
        let stem = self.path.strip_suffix(".rs").unwrap_or(&self.path);
        stem.split('/').filter(|s| *s != "mod").collect()
    }

    fn is_test(&self) -> bool {
        self.path.split('/').any(|s| s.trim_end_matches(".rs") == "tests")
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path: PathBuf = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(&root).unwrap().display().to_string();
                found.push(Source::new(&name, &fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// The code with comments, strings and test items blanked out.
fn code(text: &str) -> String {
    without_tests(&without_words(text))
}

/// Blanks comments and the contents of strings and characters.
fn without_words(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::new();
    let mut i = 0;
    while i < chars.len() {
        let rest = &chars[i..];
        let end = i + match rest {
            ['/', '/', ..] => rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()),
            ['/', '*', ..] => position(rest, &['*', '/']),
            ['r', '"', ..] if !part_of_word(&out) => 1 + quoted(&rest[1..], false),
            ['r', '#', '"', ..] if !part_of_word(&out) => position(rest, &['"', '#']),
            ['"', ..] => quoted(rest, true),
            ['\'', '\\', ..] => 2 + rest[2..].iter().position(|c| *c == '\'').map_or(rest.len() - 2, |n| n + 1),
            ['\'', _, '\'', ..] => 3,
            _ => 0,
        };
        if end == i {
            out.push(chars[i]);
            i += 1;
        } else {
            // Lines keep their numbers.
            out.extend(chars[i..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            i = end;
        }
    }
    out
}

fn part_of_word(before: &str) -> bool {
    before.ends_with(|c: char| c.is_alphanumeric() || c == '_')
}

/// Up to and including the first occurrence of `end`.
fn position(text: &[char], end: &[char]) -> usize {
    text.windows(end.len()).skip(1).position(|w| w == end).map_or(text.len(), |n| n + 1 + end.len())
}

fn quoted(text: &[char], escapes: bool) -> usize {
    let mut i = 1;
    while i < text.len() {
        match text[i] {
            '\\' if escapes => i += 2,
            '"' => return i + 1,
            _ => i += 1,
        }
    }
    text.len()
}

/// Blanks every item under `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    let mut out = String::new();
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        out.push_str(&rest[..at]);
        let item = &rest[at..];
        let length = match (item.find('{'), item.find(';')) {
            (Some(brace), semicolon) if semicolon.is_none_or(|s| brace < s) => closing_brace(item, brace),
            (_, Some(semicolon)) => semicolon + 1,
            _ => item.len(),
        };
        out.extend(item[..length].chars().filter(|c| *c == '\n'));
        rest = &item[length..];
    }
    out + rest
}

fn closing_brace(text: &str, open: usize) -> usize {
    let mut depth = 0usize;
    for (at, c) in text[open..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return open + at + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

/// Every path in the code, with groups spelt out: `use a::{b, c::d}` gives `a::b` and `a::c::d`.
fn paths(code: &str) -> Vec<String> {
    let mut words = Words { chars: code.chars().collect(), at: 0 };
    let mut found = Vec::new();
    while words.at < words.chars.len() {
        let follows_dot = words.at > 0 && words.chars[words.at - 1] == '.';
        match words.word() {
            Some(first) if !follows_dot => words.tree(&first, &mut found),
            Some(_) => {}
            None => words.at += 1,
        }
    }
    found
}

struct Words {
    chars: Vec<char>,
    at: usize,
}

impl Words {
    fn word(&mut self) -> Option<String> {
        let rest = &self.chars[self.at..];
        let length = rest.iter().take_while(|c| c.is_alphanumeric() || **c == '_').count();
        self.at += length;
        (length > 0).then(|| rest[..length].iter().collect())
    }

    fn skip_space(&mut self) {
        while self.chars.get(self.at).is_some_and(|c| c.is_whitespace()) {
            self.at += 1;
        }
    }

    fn takes(&mut self, text: &str) -> bool {
        let wanted: Vec<char> = text.chars().collect();
        let there = self.chars[self.at..].starts_with(&wanted);
        self.at += if there { wanted.len() } else { 0 };
        there
    }

    /// Reads what follows `prefix` and pushes every whole path.
    fn tree(&mut self, prefix: &str, found: &mut Vec<String>) {
        if !self.takes("::") {
            found.push(prefix.to_owned());
        } else if self.takes("{") {
            loop {
                self.skip_space();
                if self.takes("}") || self.at >= self.chars.len() {
                    break;
                }
                match self.word() {
                    Some(next) => self.tree(&format!("{prefix}::{next}"), found),
                    None => self.at += 1,
                }
            }
        } else if let Some(next) = self.word() {
            self.tree(&format!("{prefix}::{next}"), found);
        } else {
            // A glob, or a generic argument.
            found.push(prefix.to_owned());
        }
    }
}

/// Whether `path` is `part` or lies in it.
fn within(path: &str, part: &str) -> bool {
    path.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// The path below the crate's root that `path` means in this file, if it is one of ours.
fn in_crate(source: &Source, path: &str) -> Option<String> {
    if let Some(rest) = path.strip_prefix("crate::") {
        return Some(rest.to_owned());
    }
    let supers = path.split("::").take_while(|s| *s == "super").count();
    let place = source.place();
    let kept = place.len().checked_sub(supers).filter(|_| supers > 0)?;
    let rest: Vec<&str> = place[..kept].iter().copied().chain(path.split("::").skip(supers)).collect();
    Some(rest.join("::"))
}

/// Uses that depend on the order of something declared in this file as `HashMap` or `HashSet`.
fn hash_walks(code: &str) -> Vec<String> {
    let squeezed = code.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut found = Vec::new();
    for kind in ["HashMap", "HashSet"] {
        for (at, _) in squeezed.match_indices(kind) {
            let before = squeezed[..at].trim_end_matches("std::collections::").trim_end_matches(['&', ' ']);
            let before = before.trim_end_matches("mut").trim_end_matches(['&', ' ']);
            let Some(declared) = before.strip_suffix(':').or_else(|| before.strip_suffix('=')) else { continue };
            let name =
                declared.trim_end().rsplit(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or_default();
            found.extend(walks_over(name, &squeezed));
        }
    }
    found.sort();
    found.dedup();
    found
}

fn walks_over(name: &str, code: &str) -> Vec<String> {
    if name.is_empty() {
        return Vec::new();
    }
    let calls = WALKS.iter().map(|walk| format!("{name}.{walk}("));
    let loops =
        ["in &", "in &mut ", "in ", "in self.", "in &self.", "in &mut self."].map(|start| format!("{start}{name} {{"));
    let whole = |text: &String| code.match_indices(text.as_str()).any(|(at, _)| !part_of_word(&code[..at]));
    calls.chain(loops).filter(whole).collect()
}

fn complaints(source: &Source) -> Vec<String> {
    let module = source.module();
    let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == module) else {
        return vec![format!("{}: the module {module} is not in the table of tests/architecture.rs", source.path)];
    };
    let mut found = Vec::new();
    let code = code(&source.text);
    if PURE.contains(&module) {
        let walked = hash_walks(&code).into_iter();
        found.extend(
            walked.map(|w| format!("{} walks over a hash map ({w}): the {module} is pure (src/lib.rs)", source.path)),
        );
    }
    for path in paths(&code) {
        if let Some(ours) = in_crate(source, &path) {
            let free = within(&ours, module) || allowed.iter().any(|a| *a == "*" || within(&ours, a));
            if !free && MAY_IMPORT.iter().any(|(name, _)| within(&ours, name)) {
                let list = if allowed.is_empty() { "nothing".to_owned() } else { allowed.join(", ") };
                found.push(format!("{} imports {ours}: {module} may import {list}", source.path));
            }
        }
        if let Some(name) = IMPURE.iter().find(|name| PURE.contains(&module) && within(&path, name)) {
            found.push(format!("{} imports {name}: the {module} is pure (src/lib.rs)", source.path));
        }
        if source.path != "driver/clock.rs" && CLOCKS.iter().any(|c| path == *c || path.ends_with(&format!("::{c}"))) {
            found.push(format!("{} reads the clock ({path}): only driver/clock.rs does", source.path));
        }
    }
    found.dedup();
    found
}

#[test]
fn imports_follow_the_direction_of_the_arrows_and_pure_modules_stay_pure() {
    let all: Vec<String> = sources().iter().filter(|s| !s.is_test()).flat_map(complaints).collect();
    assert!(all.is_empty(), "\n{}", all.join("\n"));
}

#[test]
fn every_file_says_in_its_first_line_what_it_is_and_is_not_too_long() {
    let mut wrong = Vec::new();
    for source in sources() {
        let first = source.text.lines().next().unwrap_or_default();
        if !first.starts_with("//! ") || first.len() < 12 {
            wrong.push(format!("{}: the first line does not say what the file is (`//! ...`)", source.path));
        }
        let lines = source.text.lines().count();
        if lines > LONGEST_FILE && !LONGER.iter().any(|(path, _)| *path == source.path) {
            wrong.push(format!("{}: {lines} lines; past {LONGEST_FILE} look for the second idea", source.path));
        }
    }
    for (path, _) in LONGER {
        if !sources().iter().any(|s| s.path == *path && s.text.lines().count() > LONGEST_FILE) {
            wrong.push(format!("{path} is listed as long, but it is not"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_readme_has_exactly_the_programs_exit_codes() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let (_, section) = readme.split_once("\n## Exit codes\n").expect("the README has a section `Exit codes`");
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| {
        let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
        Some((cells.next()?.parse::<u8>().ok()?, cells.next()?.replace("**", "")))
    });
    let written: BTreeMap<u8, String> = rows.collect();
    let real: BTreeMap<u8, String> = Exit::ALL.iter().map(|e| (e.code(), e.meaning().to_owned())).collect();
    assert_eq!(written, real);
}

/// The checks themselves: what they must find, and what they must leave alone.
mod checks {
    use super::*;

    fn of(path: &str, text: &str) -> Vec<String> {
        complaints(&Source::new(path, text))
    }

    #[test]
    fn an_impure_import_is_found_however_it_is_spelt() {
        let says = ["engine/decide.rs imports tokio: the engine is pure (src/lib.rs)"];
        assert_eq!(of("engine/decide.rs", "use tokio::sync::mpsc;"), says);
        assert_eq!(of("engine/decide.rs", "fn f() { let x = tokio::spawn(y); }"), says);
        let says = ["sim/mod.rs imports std::fs: the sim is pure (src/lib.rs)"];
        assert_eq!(of("sim/mod.rs", "use std::{collections::BTreeMap, fs};"), says);
        assert_eq!(of("sim/mod.rs", "use std::{\n    fmt,\n    fs::{self, File},\n};").len(), 1);
    }

    #[test]
    fn an_import_against_the_arrows_is_found_however_it_is_spelt() {
        let says = [
            "journal/sqlite.rs imports driver::clock::now: journal may import engine::fact, graph::ids, graph::outcome, plan::units, plan::model",
        ];
        assert_eq!(of("journal/sqlite.rs", "use crate::driver::clock::now;"), says);
        assert_eq!(of("journal/sqlite.rs", "fn f() { super::super::driver::clock::now(); }"), says);
        assert_eq!(of("view/rows.rs", "use crate::{engine::{fact::Fact, decide::Core}, graph};").len(), 1);
        assert_eq!(of("web/mod.rs", "").len(), 1, "a new module needs a line in the table");
    }

    #[test]
    fn comments_strings_tests_and_methods_are_no_imports() {
        let innocent = r##"
            //! Knows nothing of tokio::sync. /* std::fs */
            use super::decide; // std::net
            const A: &str = "use tokio::sync; \" std::fs";
            const B: &str = r#"std::env "quoted" std::fs"#;
            const C: [char; 3] = ['"', '\'', '/'];
            fn f(x: X) { x.tokio(); x.std.fs() }
            #[cfg(test)]
            use std::fs;
            #[cfg(test)]
            mod tests { use std::fs; fn g() { if x { tokio::spawn(y) } } }
        "##;
        assert_eq!(of("engine/rollback.rs", innocent), Vec::<String>::new());
        let guilty = format!("{innocent}\nuse std::net::TcpStream;");
        assert_eq!(of("engine/rollback.rs", &guilty).len(), 1, "what follows the tests counts again");
    }

    #[test]
    fn a_hash_map_may_be_asked_but_not_walked_over() {
        let asks =
            "use std::collections::HashMap; struct S { by_id: HashMap<u8, u8> } fn f(s: &S) { s.by_id.get(&1); }";
        assert_eq!(of("graph/build.rs", asks), Vec::<String>::new());
        let walks = format!("{asks} fn g(s: &S) {{ for x in s.by_id.values() {{ f(x) }} }}");
        assert_eq!(
            of("graph/build.rs", &walks),
            ["graph/build.rs walks over a hash map (by_id.values(): the graph is pure (src/lib.rs)"]
        );
        let walks = "fn f() { let mut seen = std::collections::HashSet::new(); for x in &seen { g(x) } }";
        assert_eq!(of("sim/mod.rs", walks).len(), 1);
        assert_eq!(of("journal/sqlite.rs", walks).len(), 0, "the world may");
    }

    #[test]
    fn only_one_file_reads_the_clock() {
        let reads = "fn f() { jiff::Timestamp::now() }";
        assert_eq!(
            of("transport/ssh.rs", reads),
            ["transport/ssh.rs reads the clock (jiff::Timestamp::now): only driver/clock.rs does"]
        );
        assert_eq!(of("driver/clock.rs", reads), Vec::<String>::new());
        assert_eq!(of("cli/commands/exec.rs", "fn f() { driver::clock::now() }"), Vec::<String>::new());
    }
}
