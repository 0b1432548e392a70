//! What a person types on a host to undo an action there: the plan's command with this run's values in it. Executes
//! nothing; secrets stay names.

use std::collections::BTreeMap;

use super::run_view::RunView;
use super::stuck::undo_text;
use crate::graph::ids::{ActionId, AttemptId, Direction};
use crate::graph::job::{Job, Site, Work};
use crate::graph::parts;
use crate::graph::render::{self, Known};

impl RunView {
    /// The command that undoes this action by hand, and what brings its host back into service after it: from the part
    /// of the way back that did not succeed on. Where it cannot be rendered: as the plan writes it.
    #[must_use]
    pub fn undo_by_hand(&self, action: &ActionId) -> Option<String> {
        let step = self.graph.step_of(self.graph.find(action)?);
        // Whoever must decide to lose something is not told that it is the next thing to type.
        if self.expired(step).is_some() {
            return None;
        }
        let reached = self.action(action).and_then(|a| a.attempt.as_ref()).map_or(Direction::Do, |a| a.direction);
        let from = match reached {
            Direction::Drain | Direction::Drained => Direction::UndoUndrain,
            // A proof that failed says that the undo itself is to be done.
            part if part.is_back() && part != Direction::UndoCheck => part,
            _ => Direction::Undo,
        };
        let mut lines: Vec<String> = Vec::new();
        if from == Direction::Undo {
            lines.extend(self.by_hand(action, from).or_else(|| undo_text(step)));
        }
        let rest = parts::back(step).filter(|part| *part >= from && *part != Direction::Undo && !part.only_looks());
        lines.extend(rest.filter_map(|part| self.by_hand(action, part)));
        (!lines.is_empty()).then(|| lines.join("; then "))
    }

    fn by_hand(&self, action: &ActionId, part: Direction) -> Option<String> {
        let attempt = AttemptId { action: action.clone(), direction: part, number: 1 };
        let known = Known {
            run: self.run(),
            outputs: &self.outputs,
            roll_back_by: None,
            forward_outcome: self.action(action).and_then(|a| a.outcome.as_ref()),
            replaced_by: Vec::new(),
        };
        let job = render::job(&self.graph, &attempt, &known).ok()?;
        let command = typed(&job)?;
        Some(match &job.site {
            Site::Host(host) if Some(host.as_str()) != action.host() && part != Direction::Undo => {
                format!("on {host}: {command}")
            }
            _ => command,
        })
    }
}

/// The line to type; `None` where the work is no command.
fn typed(job: &Job) -> Option<String> {
    let command = match &job.work {
        Work::Shell(text) => with_values(text.trim(), &job.env),
        Work::Reboot => "reboot".to_owned(),
        _ => return None,
    };
    let command = match &job.dir {
        Some(dir) => format!("cd {} && {command}", word(dir)),
        None => command,
    };
    Some(match (&job.user, job.sudo) {
        (Some(user), _) => format!("sudo -u {} sh -c {}", word(user), quoted(&command)),
        (None, true) => format!("sudo sh -c {}", quoted(&command)),
        (None, false) => command,
    })
}

/// `$NAME` and `${NAME}` become their values where that is certainly the same command; other variables that the command
/// names are set in front of it. What is not in `values` (secrets, the host's own variables) stays.
fn with_values(text: &str, values: &BTreeMap<String, String>) -> String {
    let put_in = !text.contains("<<") && !text.contains('`');
    let mut out = String::new();
    let mut before: BTreeMap<&str, &str> = BTreeMap::new();
    let (mut single, mut double) = (false, false);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        match c {
            '\\' if !single => {
                let end = rest.char_indices().nth(2).map_or(rest.len(), |(at, _)| at);
                out.push_str(&rest[..end]);
                rest = &rest[end..];
                continue;
            }
            '\'' if !double => single = !single,
            '"' if !single => double = !double,
            '$' if !single => {
                if let Some((name, plain, end)) = variable(rest)
                    && let Some((name, value)) = values.get_key_value(name)
                {
                    if plain && put_in && is_plain(value) {
                        out.push_str(value);
                    } else {
                        before.insert(name, value);
                        out.push_str(&rest[..end]);
                    }
                    rest = &rest[end..];
                    continue;
                }
            }
            _ => {}
        }
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    let set: String = before.iter().map(|(name, value)| format!("{name}={}; ", word(value))).collect();
    set + &out
}

/// The variable at the start of `text`: its name, whether nothing but its value is meant, and where it ends.
fn variable(text: &str) -> Option<(&str, bool, usize)> {
    let after = &text[1..];
    let inner = after.strip_prefix('{');
    let named = inner.unwrap_or(after);
    let len = named.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(named.len());
    let name = &named[..len];
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    match inner {
        None => Some((name, true, 1 + len)),
        Some(_) if named[len..].starts_with('}') => Some((name, true, 2 + len + 1)),
        // `${NAME:-...}`: the shell does it.
        Some(_) => Some((name, false, 2 + len)),
    }
}

/// Whether a text means itself in a shell, in and out of quotes.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._/:@%+,-".contains(&b))
}

fn word(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { quoted(text) }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> BTreeMap<String, String> {
        [("PREVIOUS", "2.3.7"), ("TITLE", "it's; rm -rf /"), ("DIR", "/srv/app")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    #[test]
    fn harmless_values_stand_where_their_names_stood() {
        let shown = |text: &str| with_values(text, &values());
        assert_eq!(shown("callcentre-restore \"$PREVIOUS.dump\""), "callcentre-restore \"2.3.7.dump\"");
        assert_eq!(shown("cp ${DIR}/a $DIR/b"), "cp /srv/app/a /srv/app/b");
        assert_eq!(shown("echo '$PREVIOUS' \\$PREVIOUS"), "echo '$PREVIOUS' \\$PREVIOUS");
        assert_eq!(shown("login \"$PASSWORD\" $1 $$"), "login \"$PASSWORD\" $1 $$");
        assert_eq!(shown("x \"it's $PREVIOUS\""), "x \"it's 2.3.7\"");
    }

    #[test]
    fn other_values_are_set_in_front() {
        let shown = |text: &str| with_values(text, &values());
        assert_eq!(shown("say \"$TITLE\""), "TITLE='it'\\''s; rm -rf /'; say \"$TITLE\"");
        assert_eq!(shown("say \"${PREVIOUS:-none}\""), "PREVIOUS=2.3.7; say \"${PREVIOUS:-none}\"");
        assert_eq!(shown("cat <<E\n$PREVIOUS\nE"), "PREVIOUS=2.3.7; cat <<E\n$PREVIOUS\nE");
    }
}
