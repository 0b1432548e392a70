//! Values of variables as Ansible reads them: Python literals in INI files, YAML 1.1 in YAML files. Knows no variable's name.

use indexmap::IndexMap;

use crate::plan::model::Value;
use crate::plan::tree::{Kind, Node};

/// Deepest nesting of a literal.
const DEPTH_LIMIT: usize = 32;

/// A value in an INI file: a number, truth value, list or mapping where it is a Python literal, else the text itself.
/// Numbers with a fraction stay the text that was written.
pub fn literal(text: &str) -> Value {
    let mut reader = Literal { rest: text.trim_start_matches([' ', '\t']), depth: 0 };
    let read = reader.top().filter(|_| {
        let rest = reader.rest.trim_start();
        rest.is_empty() || rest.starts_with('#')
    });
    read.unwrap_or_else(|| Value::Text(text.to_owned()))
}

struct Literal<'t> {
    rest: &'t str,
    depth: usize,
}

impl Literal<'_> {
    /// One value, or several with commas between them.
    fn top(&mut self) -> Option<Value> {
        let first = self.value()?;
        if !self.eat(',') {
            return Some(first);
        }
        let mut all = vec![first];
        while !self.rest.trim_start().is_empty() {
            all.push(self.value()?);
            if !self.eat(',') {
                break;
            }
        }
        Some(Value::List(all))
    }

    fn value(&mut self) -> Option<Value> {
        self.depth += 1;
        if self.depth > DEPTH_LIMIT {
            return None;
        }
        self.blanks();
        let value = match self.rest.chars().next()? {
            '[' => self.list('[', ']'),
            '(' => self.list('(', ')'),
            '{' => self.mapping(),
            '\'' | '"' => self.string().map(Value::Text),
            _ => self.word(),
        };
        self.depth -= 1;
        value
    }

    fn list(&mut self, open: char, close: char) -> Option<Value> {
        self.eat(open);
        let (mut all, mut commas) = (Vec::new(), false);
        while !self.eat(close) {
            all.push(self.value()?);
            if self.eat(',') {
                commas = true;
            } else if !self.eat(close) {
                return None;
            } else {
                break;
            }
        }
        // In Python `(1)` is a number in brackets, not a list.
        match open {
            '(' if all.len() == 1 && !commas => all.pop(),
            _ => Some(Value::List(all)),
        }
    }

    fn mapping(&mut self) -> Option<Value> {
        self.eat('{');
        let mut entries = IndexMap::new();
        while !self.eat('}') {
            let key = self.value()?.to_text()?;
            if !self.eat(':') {
                return None;
            }
            entries.insert(key, self.value()?);
            if !self.eat(',') {
                if !self.eat('}') {
                    return None;
                }
                break;
            }
        }
        Some(Value::Map(entries))
    }

    fn string(&mut self) -> Option<String> {
        let mut chars = self.rest.char_indices();
        let (_, quote) = chars.next()?;
        let mut text = String::new();
        while let Some((at, c)) = chars.next() {
            match c {
                c if c == quote => {
                    self.rest = &self.rest[at + c.len_utf8()..];
                    return Some(text);
                }
                '\\' => match chars.next()?.1 {
                    'n' => text.push('\n'),
                    't' => text.push('\t'),
                    'r' => text.push('\r'),
                    c @ ('\\' | '\'' | '"') => text.push(c),
                    // Rarer escapes are left to Python: the value stays the text as it was written.
                    'x' | 'u' | 'U' | 'N' | '0'..='7' | 'a' | 'b' | 'f' | 'v' | '\n' => return None,
                    c => text.extend(['\\', c]),
                },
                c => text.push(c),
            }
        }
        None
    }

    fn word(&mut self) -> Option<Value> {
        let end = self.rest.find([',', ']', ')', '}', ':', ' ', '\t', '#']).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        let value = match word {
            "True" => Value::Bool(true),
            "False" => Value::Bool(false),
            "None" => Value::Text(String::new()),
            _ => python_number(word)?,
        };
        self.rest = rest;
        Some(value)
    }

    fn blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn eat(&mut self, c: char) -> bool {
        self.blanks();
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }
}

fn python_number(word: &str) -> Option<Value> {
    let unsigned = word.trim_start_matches(['-', '+']);
    let negative = word[..word.len() - unsigned.len()].matches('-').count() % 2 == 1;
    let plain = unsigned.replace('_', "");
    let well_placed = !unsigned.starts_with('_') && !unsigned.ends_with('_') && !unsigned.contains("__");
    if !well_placed || !plain.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let whole = match plain.get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("0x") => i64::from_str_radix(&plain[2..], 16).ok(),
        Some("0o") => i64::from_str_radix(&plain[2..], 8).ok(),
        Some("0b") => i64::from_str_radix(&plain[2..], 2).ok(),
        _ if plain.bytes().all(|b| b.is_ascii_digit()) => {
            // `007` is no number in Python, `000` is.
            let zeros = plain.len() > 1 && plain.starts_with('0') && plain.bytes().any(|b| b != b'0');
            if zeros { None } else { plain.parse().ok() }
        }
        _ => return plain.parse::<f64>().ok().map(|_| Value::Text(word.to_owned())),
    };
    whole.map(|n: i64| Value::Int(if negative { -n } else { n }))
}

/// A value in a YAML file, by the rules of YAML 1.1: `yes` is true, `0755` is 493, nothing is an empty text. Numbers with a
/// fraction, and dates, stay the text that was written.
pub fn yaml(node: &Node<'_>) -> Value {
    match &node.kind {
        Kind::Scalar { text, plain: true } => plain(text),
        Kind::Scalar { text, .. } => Value::Text(text.to_string()),
        Kind::Seq(nodes) => Value::List(nodes.iter().map(yaml).collect()),
        Kind::Map(entries) => Value::Map(entries.iter().map(|e| (e.key.value.to_string(), yaml(&e.value))).collect()),
    }
}

fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Text(String::new()),
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Value::Bool(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Value::Bool(false),
        _ => whole_number(text).map_or_else(|| Value::Text(text.to_owned()), Value::Int),
    }
}

fn whole_number(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let plain = digits.replace('_', "");
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let n = match plain.as_bytes() {
        [b'0', b'x', ..] => i64::from_str_radix(&plain[2..], 16).ok()?,
        [b'0', b'b', ..] => i64::from_str_radix(&plain[2..], 2).ok()?,
        [b'0', _, ..] if !plain.contains(':') => i64::from_str_radix(&plain[1..], 8).ok()?,
        _ if plain.contains(':') => sexagesimal(&plain)?,
        _ if plain.bytes().all(|b| b.is_ascii_digit()) => plain.parse().ok()?,
        _ => return None,
    };
    Some(sign * n)
}

/// `13:30` is 810 in YAML 1.1.
fn sexagesimal(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let first = parts.next().filter(|p| !p.starts_with('0') && p.bytes().all(|b| b.is_ascii_digit()))?;
    parts.try_fold(first.parse::<i64>().ok()?, |sum, part| {
        let n: i64 = part.parse().ok().filter(|n| (0..60).contains(n))?;
        let digits = (1..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| sum.checked_mul(60)?.checked_add(n)).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(value: &Value) -> String {
        value.to_json().expect("no secret").to_string()
    }

    #[test]
    fn python_literals() {
        for (text, meant) in [
            ("80", "80"),
            ("-1", "-1"),
            ("0x10", "16"),
            ("0755", "\"0755\""),
            ("1_000", "1000"),
            ("1.10", "\"1.10\""),
            ("True", "true"),
            ("true", "\"true\""),
            ("yes", "\"yes\""),
            ("80,443", "[80,443]"),
            ("a,b", "\"a,b\""),
            ("['a', \"b\", 3]", "[\"a\",\"b\",3]"),
            ("{'a': [1, (2,)], \"b\": {}}", "{\"a\":[1,[2]],\"b\":{}}"),
            ("(1)", "1"),
            ("'it''s'", "\"'it''s'\""),
            ("[1", "\"[1\""),
            ("1 # one", "1"),
            ("", "\"\""),
            ("host:22", "\"host:22\""),
            ("99999999999999999999", "\"99999999999999999999\""),
        ] {
            assert_eq!(json(&literal(text)), meant, "{text}");
        }
        assert_eq!(json(&literal(&"[".repeat(5000))), format!("{:?}", "[".repeat(5000)));
    }

    #[test]
    fn yaml_of_the_old_version() {
        for (text, meant) in [
            ("yes", "true"),
            ("off", "false"),
            ("y", "\"y\""),
            ("0755", "493"),
            ("0o17", "\"0o17\""),
            ("08", "\"08\""),
            ("1_000", "1000"),
            ("13:30", "810"),
            ("01:30", "\"01:30\""),
            ("1:2:99", "\"1:2:99\""),
            ("0x1F", "31"),
            ("-5", "-5"),
            ("1.10", "\"1.10\""),
            ("~", "\"\""),
            ("2007-12-02", "\"2007-12-02\""),
        ] {
            assert_eq!(json(&plain(text)), meant, "{text}");
        }
    }
}
