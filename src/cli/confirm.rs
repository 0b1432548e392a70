//! The typed word that arms what cannot be taken back. Enter alone never confirms, and there is no blanket yes.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use super::context::Context;
use super::error::CommandError;

/// Lets `given` (a flag's value) or the person at the terminal name `word`.
///
/// # Errors
/// When another word came, or there is nobody to ask. Nothing is changed by then.
pub fn name(cx: &Context, word: &str, given: Option<&str>, question: &str) -> Result<(), CommandError> {
    typed(cx, word, word, given, question)
}

/// Lets the person at the terminal type `word`, or `given` (the value of `--confirm`) name the plan.
///
/// # Errors
/// When another word came, or there is nobody to ask. Nothing is changed by then.
pub fn typed(cx: &Context, word: &str, plan: &str, given: Option<&str>, question: &str) -> Result<(), CommandError> {
    let (said, wanted) = match given {
        Some(given) => (given.to_owned(), plan),
        None if cx.global.no_input || !std::io::stdin().is_terminal() => return Err(nobody(cx, plan)),
        None => (ask(question)?, word),
    };
    if said.trim() == wanted {
        return Ok(());
    }
    let why = match given {
        Some(given) => format!("--confirm says `{}`, the plan is called `{plan}`", given.escape_debug()),
        None => "not confirmed; nothing was changed".to_owned(),
    };
    Err(CommandError::refused(why))
}

/// One line from the terminal; empty at its end.
///
/// # Errors
/// When the terminal cannot be read.
pub fn ask(question: &str) -> Result<String, CommandError> {
    let mut err = anstream::stderr();
    write!(err, "{question}")?;
    err.flush()?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(line)
}

fn nobody(cx: &Context, word: &str) -> CommandError {
    let why = if cx.global.no_input { "--no-input" } else { "stdin is not a terminal" };
    CommandError::refused(format!("this needs a typed confirmation, and nobody can be asked ({why})"))
        .hint(format!("confirm it with the plan's name:   --confirm {word}"))
}
