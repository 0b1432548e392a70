//! Which commands a plan calls, read from its shell texts. A guess on the safe side: knows neither functions nor aliases.

use std::collections::BTreeSet;
use std::path::Path;

use crate::plan::model::{Drain, Plan, RollbackWork, Step, Undo, Verb, Wait};

/// Words that stand before a command, and the shell's own commands.
const OF_THE_SHELL: &[&str] = &[
    "if", "then", "elif", "else", "fi", "for", "while", "until", "do", "done", "case", "esac", "in", "function",
    "time", "alias", "bg", "break", "cd", "command", "continue", "echo", "eval", "exec", "exit", "export", "false",
    "fg", "getopts", "hash", "jobs", "kill", "local", "printf", "pwd", "read", "readonly", "return", "set", "shift",
    "source", "test", "times", "trap", "true", "type", "ulimit", "umask", "unalias", "unset", "wait",
];

/// After these a command follows on the same line.
const BEFORE_A_COMMAND: &[&str] = &[
    "if", "then", "elif", "else", "while", "until", "do", "time", "exec", "command", "env", "sudo", "nohup", "setsid",
];

/// The names of all commands in the plan's texts, and in its scripts as far as they can be read in `plan_dir`.
pub(super) fn of_plan(plan: &Plan, plan_dir: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for step in plan.steps.values().chain(plan.after_rollback.as_ref()) {
        for text in texts(step) {
            found.extend(in_shell_text(text));
        }
        for script in scripts(step) {
            let text = std::fs::read_to_string(plan_dir.join(script)).unwrap_or_default();
            if is_shell(&text) {
                found.extend(in_shell_text(&text));
            }
        }
    }
    found
}

fn texts(step: &Step) -> Vec<&str> {
    let mut all: Vec<&str> = step.verify.as_deref().into_iter().collect();
    match &step.verb {
        Verb::Run(t) | Verb::Test(t) | Verb::Wait(Wait::Until { command: t, .. }) => all.push(t),
        Verb::Script(_) | Verb::Copy(_) | Verb::Template { .. } | Verb::Http(_) | Verb::Gate | Verb::Wait(_) => {}
    }
    if let Undo::Command(rollback) = &step.undo {
        all.extend(rollback.verify.as_deref());
        if let RollbackWork::Run(t) = &rollback.work {
            all.push(t);
        }
    }
    let drains = [&step.fleet.drain, &step.fleet.undrain].into_iter().flatten();
    all.extend(drains.flat_map(|Drain { run, until, .. }| std::iter::once(run.as_str()).chain(until.as_deref())));
    all
}

fn scripts(step: &Step) -> Vec<&str> {
    let of_verb = match &step.verb {
        Verb::Script(file) => Some(file.as_str()),
        _ => None,
    };
    let of_undo = match &step.undo {
        Undo::Command(rollback) => match &rollback.work {
            RollbackWork::Script(file) => Some(file.as_str()),
            RollbackWork::Run(_) | RollbackWork::Restore => None,
        },
        _ => None,
    };
    of_verb.into_iter().chain(of_undo).collect()
}

fn is_shell(text: &str) -> bool {
    let first = text.lines().next().unwrap_or_default();
    first.starts_with("#!") && first.split(['/', ' ']).any(|word| matches!(word, "sh" | "bash" | "dash"))
}

/// The words of a shell text that stand where a command stands.
fn in_shell_text(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut here_document: Option<String> = None;
    for line in text.lines() {
        if let Some(end) = &here_document {
            if line.trim_start_matches('\t') == end {
                here_document = None;
            }
            continue;
        }
        in_line(&without_quotes(line), &mut found);
        here_document = here_document_end(line);
    }
    found
}

/// The word that ends a here-document which begins on this line.
fn here_document_end(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("<<")?;
    let word: String = rest
        .trim_start_matches(['-', ' ', '\'', '"', '\\'])
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect();
    (!word.is_empty()).then_some(word)
}

/// The line with quoted texts and its comment blanked out; a quote that goes on in the next line ends here.
fn without_quotes(line: &str) -> String {
    let mut out = String::new();
    let mut quote = None;
    let mut before = ' ';
    for c in line.chars() {
        match quote {
            Some(q) if c == q => quote = None,
            Some(_) => {}
            None if c == '#' && before.is_whitespace() => break,
            None if c == '\'' || c == '"' => {
                quote = Some(c);
                out.push('_');
            }
            None => out.push(c),
        }
        before = c;
    }
    out
}

fn in_line(line: &str, found: &mut BTreeSet<String>) {
    for piece in line.split(['|', '&', ';', '(', '`', '{']) {
        for word in piece.split_whitespace().map(|w| w.trim_end_matches(')')) {
            if word.contains('=') || word == "!" || word.starts_with('-') || word.starts_with('$') {
                continue;
            }
            if is_name(word) && !OF_THE_SHELL.contains(&word) {
                found.insert(word.to_owned());
            }
            if !BEFORE_A_COMMAND.contains(&word) {
                break;
            }
        }
    }
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic())
        && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+-".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str) -> Vec<String> {
        in_shell_text(text).into_iter().collect()
    }

    #[test]
    fn commands_are_found_where_commands_stand() {
        assert_eq!(named("rev install $REV && rev switch $REV"), ["rev"]);
        assert_eq!(named("A=1 lb out \"$HOST\"; if importd idle; then x-y | z; fi"), ["importd", "lb", "x-y", "z"]);
        assert_eq!(named("sudo -n pg_dump shop >\"$PREVIOUS.dump\""), ["pg_dump", "sudo"]);
        assert_eq!(named("version=$(shop-version) || exit 1"), ["shop-version"]);
    }

    #[test]
    fn arguments_quotes_comments_and_documents_are_no_commands() {
        assert_eq!(named("echo stop; exit 1 # reboot"), Vec::<String>::new());
        assert_eq!(named("say 'a; reboot' \"b && halt\""), ["say"]);
        assert_eq!(named("sql <<'END'\nDROP TABLE x;\nEND\nafterwards"), ["afterwards", "sql"]);
        assert_eq!(named("./here /usr/bin/there $PROGRAM"), Vec::<String>::new());
    }
}
