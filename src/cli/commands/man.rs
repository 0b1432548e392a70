//! `runbook man`: the manual page as roff, on stdout, with exit codes, environment and files.

use std::io::{self, Write};

use clap::CommandFactory as _;

use crate::cli::args::Cli;
use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  runbook man | man -l -\n  runbook man exec | man -l -")]
pub struct Args {
    /// The page of one command [default: the program's]
    command: Option<String>,
}

const ENVIRONMENT: &[(&str, &str)] = &[
    (
        "RUNBOOK_STORE, RUNBOOK_JSON, RUNBOOK_NO_INPUT, RUNBOOK_COLOR, RUNBOOK_ASCII, RUNBOOK_TRANSPORT, RUNBOOK_PROGRESS, RUNBOOK_SHOW_OUTPUT",
        "The flags of the same names: RUNBOOK_STORE=DIR, RUNBOOK_JSON=true, RUNBOOK_PROGRESS=plain.",
    ),
    ("RUNBOOK_USER", "The name shown in the timeline; the login name otherwise."),
    ("NO_COLOR, CLICOLOR_FORCE, TERM, COLUMNS, PAGER, TZ", "As everywhere. Times of a run are in the plan's zone."),
    (
        "RUNBOOK_RUN, RUNBOOK_STEP, RUNBOOK_HOST, HOST, RUNBOOK_ATTEMPT, RUNBOOK_ROLL_BACK_BY",
        "Given to the commands of a step, together with the plan's variables and the step's env.",
    ),
    ("RUNBOOK_OUTCOME", "Given to a rollback command: the outcome of what it undoes."),
    ("RUNBOOK_OUTPUT", "A file for name=value lines of a step with outputs."),
];

const FILES: &[(&str, &str)] = &[
    ("$XDG_STATE_HOME/runbook/journal.db", "The journal of all runs: the truth. Readable by its owner only."),
    ("$XDG_STATE_HOME/runbook/runs/RUN/logs/STEP/HOST.log", "The output of a step on a host."),
    ("$XDG_RUNTIME_DIR/runbook/", "Control sockets of running engines."),
    ("runbook.toml", "Settings of a project, beside or above the plan: store, connections, transport, color, ascii."),
    (
        "$XDG_CONFIG_HOME/runbook/config.toml, /etc/runbook/config.toml",
        "The same of a user, with name, and of a machine.",
    ),
    ("$HOME/.ssh/config", "How hosts are reached, as by ssh itself."),
];

pub fn run(args: Args, _cx: &Context) -> Result<Exit, CommandError> {
    let mut root = Cli::command();
    root.build();
    let mut page = Vec::new();
    match args.command {
        None => whole(root, &mut page)?,
        Some(name) => {
            let found = root.find_subcommand(&name).filter(|c| !c.is_hide_set()).cloned();
            let command = found.ok_or_else(|| {
                CommandError::usage(format!("there is no command `{}`", name.escape_debug()))
                    .hint("see them:   runbook --help")
            })?;
            let command = command.version(env!("CARGO_PKG_VERSION"));
            clap_mangen::Man::new(command).title(format!("runbook-{name}")).render(&mut page)?;
        }
    }
    crate::cli::pager::put(&page)?;
    Ok(Exit::Done)
}

fn whole(root: clap::Command, page: &mut impl Write) -> io::Result<()> {
    let man = clap_mangen::Man::new(root);
    man.render_title(page)?;
    man.render_name_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_description_section(page)?;
    man.render_subcommands_section(page)?;
    man.render_options_section(page)?;
    writeln!(page, ".SH \"EXIT STATUS\"")?;
    for exit in Exit::ALL {
        entry(page, &exit.code().to_string(), exit.meaning())?;
    }
    section(page, "ENVIRONMENT", ENVIRONMENT)?;
    section(page, "FILES", FILES)?;
    man.render_version_section(page)
}

fn section(page: &mut impl Write, title: &str, entries: &[(&str, &str)]) -> io::Result<()> {
    writeln!(page, ".SH {title}")?;
    entries.iter().try_for_each(|(name, text)| entry(page, name, text))
}

fn entry(page: &mut impl Write, name: &str, text: &str) -> io::Result<()> {
    writeln!(page, ".TP\n\\fB{}\\fR\n{}", roff(name), roff(text))
}

/// Text without meaning for roff: no escapes, no requests at the start of a line.
fn roff(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_exit_code_and_every_command() {
        let mut page = Vec::new();
        let mut root = Cli::command();
        root.build();
        whole(root.clone(), &mut page).unwrap();
        let page = String::from_utf8(page).unwrap();
        for exit in Exit::ALL {
            assert!(page.contains(&format!("\\fB{}\\fR\n{}", exit.code(), roff(exit.meaning()))), "{exit:?}");
        }
        for command in root.get_subcommands().filter(|c| !c.is_hide_set()) {
            assert!(page.contains(&format!("runbook\\-{}", roff(command.get_name()))), "{}", command.get_name());
        }
        assert!(page.contains("NO_COLOR") && page.contains("journal.db"));
        let commands = root.get_subcommands().flat_map(clap::Command::get_arguments);
        for variable in root.get_arguments().chain(commands).filter_map(clap::Arg::get_env) {
            assert!(page.contains(&*variable.to_string_lossy()), "{variable:?}");
        }
    }
}
