//! Ansible's INI inventories: sections of hosts, children and variables. Knows not what a variable means.

use super::{Listing, Spot, ranges, values};
use crate::plan::codes;
use crate::plan::diagnostic::{Diagnostic, Quoted};
use crate::plan::model::Value;
use crate::plan::span::Span;

/// The variable that a port behind a host's name is.
const PORT: &str = "ansible_port";

/// What the lines below a header are.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Section {
    /// Hosts of a group; of none at the top of the file.
    Hosts(Option<String>),
    Children(String),
    Vars(String),
    /// The header could not be read; that has been said.
    Lost,
}

/// Reads the text as far as it can be read.
pub fn read(listing: &mut Listing, file: usize, text: &str, found: &mut Vec<Diagnostic>) {
    let mut reader = Reader { listing, file, section: Section::Hosts(None), found };
    let mut start = 0;
    for whole in text.split_inclusive('\n') {
        let line = whole.trim();
        let at = start + (whole.len() - whole.trim_start().len());
        start += whole.len();
        if !line.is_empty() && !line.starts_with(['#', ';']) {
            reader.line(line, at);
        }
    }
}

struct Reader<'l, 'f> {
    listing: &'l mut Listing,
    file: usize,
    section: Section,
    found: &'f mut Vec<Diagnostic>,
}

impl Reader<'_, '_> {
    fn line(&mut self, line: &str, at: usize) {
        if line.starts_with('[') && header(line).is_some() {
            return self.header(line, at);
        }
        if line.starts_with('[') && line.ends_with(']') {
            self.section = Section::Lost;
            let d = Diagnostic::error(codes::INVENTORY, format!("{} is no section", Quoted(line)));
            let d = d.at(Span::new(at, at + line.len()), "cannot be read");
            self.found.push(d.help("write [GROUP], [GROUP:children] or [GROUP:vars], without blanks"));
            return;
        }
        match self.section.clone() {
            Section::Hosts(group) => self.hosts(group.as_deref(), line, at),
            Section::Children(group) => self.child(&group, line, at),
            Section::Vars(group) => self.variable(&group, line, at),
            Section::Lost => {}
        }
    }

    fn spot(&self, start: usize, length: usize) -> Spot {
        Spot { text: self.file, span: Span::new(start, start + length) }
    }

    fn header(&mut self, line: &str, at: usize) {
        let Some((name, kind)) = header(line) else { return };
        let spot = self.spot(at + 1, name.len());
        let name = name.to_owned();
        self.section = match kind {
            None | Some("hosts") => {
                self.listing.define(&name, spot);
                Section::Hosts(Some(name))
            }
            Some("children") => {
                self.listing.define(&name, spot);
                Section::Children(name)
            }
            // Variables alone make no group.
            Some("vars") => {
                self.listing.group(&name, spot);
                Section::Vars(name)
            }
            Some(other) => {
                let d = Diagnostic::error(codes::INVENTORY, format!("{} is no kind of section", Quoted(other)));
                let from = at + line.find(other).unwrap_or(0);
                let d = d.at(Span::new(from, from + other.len()), "hosts, children or vars");
                self.found.push(d.help(format!("write [{name}:children] or [{name}:vars]")));
                Section::Lost
            }
        };
    }

    fn hosts(&mut self, group: Option<&str>, line: &str, at: usize) {
        let words = match words(line) {
            Ok(words) => words,
            Err((from, why)) => {
                let d = Diagnostic::error(codes::INVENTORY, format!("this line {why}"));
                self.found.push(d.at(Span::new(at + from, at + line.len()), "from here"));
                return;
            }
        };
        let Some((first, assigned)) = words.split_first() else { return };
        let mut vars = Vec::new();
        for word in assigned {
            let spot = self.spot(at + word.start, word.end - word.start);
            match word.text.split_once('=') {
                Some((name, value)) => vars.push((name.to_owned(), (values::literal(value), spot))),
                None => {
                    let message = format!("{} is no variable", Quoted(&word.text));
                    let d = Diagnostic::error(codes::INVENTORY, message).at(spot.span, "expected NAME=VALUE");
                    let d = match self.section {
                        Section::Hosts(_) if assigned.len() == 1 => d.help("one host a line; variables after it"),
                        _ => d.help("a value with blanks needs quotes: NAME=\"a b\""),
                    };
                    self.found.push(d);
                }
            }
        }
        let spot = self.spot(at + first.start, first.end - first.start);
        for (host, port) in names(self.listing, &first.text, spot, self.found) {
            if let Some(group) = group {
                self.listing.group(group, spot).hosts.push((host.clone(), spot));
            }
            behind(self.listing, &host, port, spot, self.found);
            let machine = self.listing.host(&host, spot);
            machine.vars.extend(vars.iter().cloned());
        }
    }

    fn child(&mut self, group: &str, line: &str, at: usize) {
        let name = line.split(['#', ' ', '\t']).next().unwrap_or("");
        let rest = line[name.len()..].trim_start();
        let spot = self.spot(at, name.len().max(1));
        if name.is_empty() || name.contains([':', ']']) || !(rest.is_empty() || rest.starts_with('#')) {
            let d = Diagnostic::error(codes::INVENTORY, format!("{} is not the name of one group", Quoted(line)));
            self.found.push(d.at(Span::new(at, at + line.len()), "one group a line"));
            return;
        }
        self.listing.group(group, spot).children.push((name.to_owned(), spot));
    }

    fn variable(&mut self, group: &str, line: &str, at: usize) {
        let spot = self.spot(at, line.len());
        match line.split_once('=') {
            Some((name, value)) => {
                let value = values::literal(value.trim());
                self.listing.group(group, spot).vars.insert(name.trim().to_owned(), (value, spot));
            }
            None => {
                let d = Diagnostic::error(codes::INVENTORY, format!("{} is no variable", Quoted(line)));
                self.found.push(d.at(spot.span, "expected NAME=VALUE"));
            }
        }
    }
}

/// The hosts of one pattern, each with the port that is written behind it.
pub fn names(
    listing: &mut Listing,
    pattern: &str,
    spot: Spot,
    found: &mut Vec<Diagnostic>,
) -> Vec<(String, Option<i64>)> {
    let (pattern, port) = with_port(pattern);
    let expanded = ranges::expand(pattern).inspect(|names| listing.expanded += names.len());
    match expanded {
        Ok(names) if listing.expanded <= ranges::LIMIT => names.into_iter().map(|n| (n, port)).collect(),
        Ok(_) => {
            let message = format!("the inventory has more than {} hosts", ranges::LIMIT);
            found.push(Diagnostic::error(codes::TOO_MUCH, message).at(spot.span, "too many from here on"));
            Vec::new()
        }
        Err(why) => {
            let d = Diagnostic::error(codes::INVENTORY, format!("{} {why}", Quoted(pattern)));
            found.push(d.at(spot.span, "not a range").help("write web[01:50] or db-[a:f]"));
            Vec::new()
        }
    }
}

/// Gives a host the port that is written behind its name. Ansible takes the first mention of a host and leaves out what
/// later ones say; here that is an error, because another port is another machine.
pub fn behind(listing: &mut Listing, host: &str, port: Option<i64>, spot: Spot, found: &mut Vec<Diagnostic>) {
    let Some(port) = port else { return };
    let value = Value::Int(port);
    let Some(known) = listing.hosts.get(host) else {
        listing.host(host, spot).vars.insert(PORT.to_owned(), (value, spot));
        return;
    };
    let (before, at) = match known.vars.get(PORT) {
        Some((same, _)) if *same == value => return,
        Some((other, at)) => (format!("port {}", other.to_text().unwrap_or_default()), *at),
        None => ("no port".to_owned(), known.at),
    };
    let d = Diagnostic::error(
        codes::SAME_MACHINE,
        format!("{} is written with {before} and with port {port}", Quoted(host)),
    );
    let d = d.at(spot.span, "again here");
    found.push(if at.text == spot.text { d.label(at.span, "first here") } else { d });
}

/// `web1:2222` and `[::1]:2222` carry a port; `::1` does not.
fn with_port(pattern: &str) -> (&str, Option<i64>) {
    if let Some(inner) = pattern.strip_prefix('[')
        && let Some((address, rest)) = inner.split_once(']')
        && address.matches(':').count() > 1
    {
        return (address, rest.strip_prefix(':').and_then(|p| p.parse().ok()));
    }
    let mut depth = 0_usize;
    let mut colons = pattern.char_indices().filter_map(|(i, c)| {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            ':' if depth == 0 => return Some(i),
            _ => {}
        }
        None
    });
    match (colons.next(), colons.next()) {
        (Some(at), None) => match pattern[at + 1..].parse() {
            Ok(port) => (&pattern[..at], Some(port)),
            Err(_) => (pattern, None),
        },
        _ => (pattern, None),
    }
}

/// `[web]`, `[web:children]`: name and kind.
fn header(line: &str) -> Option<(&str, Option<&str>)> {
    let (inner, rest) = line.strip_prefix('[')?.split_once(']')?;
    let rest = rest.trim_start();
    if inner.is_empty() || inner.contains(char::is_whitespace) || !(rest.is_empty() || rest.starts_with('#')) {
        return None;
    }
    match inner.split_once(':') {
        None => Some((inner, None)),
        Some((name, kind)) if !name.is_empty() && !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphabetic()) => {
            Some((name, Some(kind)))
        }
        Some(_) => None,
    }
}

/// Whether a line can only be a header of this form.
pub fn is_header(line: &str) -> bool {
    header(line).is_some()
}

/// A word without its quotes, and the bytes of the line that it came from.
struct Word {
    text: String,
    start: usize,
    end: usize,
}

/// A line as a POSIX shell would split it; `#` begins a comment.
fn words(line: &str) -> Result<Vec<Word>, (usize, &'static str)> {
    let mut words = Vec::new();
    let mut open: Option<Word> = None;
    let mut chars = line.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '#' => break,
            c if c.is_whitespace() => {
                words.extend(open.take());
                continue;
            }
            _ => {}
        }
        let word = open.get_or_insert_with(|| Word { text: String::new(), start: at, end: at });
        match c {
            '\'' => loop {
                match chars.next() {
                    Some((_, '\'')) => break,
                    Some((_, c)) => word.text.push(c),
                    None => return Err((at, "has a quote without an end")),
                }
            },
            '"' => loop {
                match chars.next() {
                    Some((_, '"')) => break,
                    Some((_, '\\')) => match chars.next() {
                        Some((_, c @ ('"' | '\\'))) => word.text.push(c),
                        Some((_, c)) => word.text.extend(['\\', c]),
                        None => return Err((at, "has a quote without an end")),
                    },
                    Some((_, c)) => word.text.push(c),
                    None => return Err((at, "has a quote without an end")),
                }
            },
            '\\' => match chars.next() {
                Some((_, c)) => word.text.push(c),
                None => return Err((at, "ends with a backslash")),
            },
            c => word.text.push(c),
        }
        word.end = chars.offset();
    }
    words.extend(open);
    Ok(words)
}
