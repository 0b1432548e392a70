//! The overview of `runbook --help`: the commands in the groups of a night. Knows nothing of what they do.

use clap::Command;

/// Every command in the order of its night. One that is named nowhere stands below `More`.
const GROUPS: [(&str, &[&str]); 6] = [
    ("Write and review", &["new", "check", "plan", "graph", "drill", "advise", "go", "no-go", "move", "notify"]),
    ("Run", &["exec", "attach", "status", "logs"]),
    (
        "Decide",
        &[
            "approve", "reject", "extend", "pause", "continue", "abort", "retry", "skip", "rollback", "mark", "amend",
            "note",
        ],
    ),
    ("Hand over", &["resume", "recover", "unlock"]),
    ("Afterwards", &["report", "runs", "history"]),
    ("Tool", &["explain", "schema", "completions", "man", "doctor"]),
];
const MORE: &str = "More";

/// The program's command with its overview grouped.
#[must_use]
pub fn grouped(command: Command) -> Command {
    let overview = overview(&command);
    command.help_template(format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{overview}Options:\n{{options}}"
    ))
}

fn overview(command: &Command) -> String {
    let known = |name: &str| GROUPS.iter().any(|(_, names)| names.contains(&name));
    let shown = || command.get_subcommands().filter(|c| !c.is_hide_set());
    let rest: Vec<&str> = shown().map(Command::get_name).filter(|name| !known(name)).collect();
    let groups = GROUPS.into_iter().chain([(MORE, rest.as_slice())]);
    groups
        .filter_map(|(title, names)| group(title, names.iter().filter_map(|n| shown().find(|c| c.get_name() == *n))))
        .collect()
}

fn group<'a>(title: &str, commands: impl Iterator<Item = &'a Command>) -> Option<String> {
    let line = |c: &Command| {
        format!("  {:<11}  {}\n", c.get_name(), c.get_about().map(ToString::to_string).unwrap_or_default())
    };
    let lines: String = commands.map(line).collect();
    (!lines.is_empty()).then(|| format!("{title}:\n{lines}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::Cli;
    use clap::CommandFactory as _;

    #[test]
    fn every_command_is_shown_once() {
        let command = Cli::command();
        let overview = overview(&command);
        for shown in command.get_subcommands().filter(|c| !c.is_hide_set()) {
            let start = format!("  {:<11}  ", shown.get_name());
            assert_eq!(overview.matches(&start).count(), 1, "{}:\n{overview}", shown.get_name());
        }
    }
}
