//! Finding the store and the run that a command is about, and saying so when there is none.

use jiff::Timestamp;

use super::context::Context;
use super::error::CommandError;
use crate::engine::fact::RunEnd;
use crate::journal::{JournalError, RunRow, Store};

/// The store, made where it is missing.
///
/// # Errors
/// When it cannot be used.
pub fn open(cx: &Context) -> Result<Store, CommandError> {
    Ok(Store::open(&cx.store)?)
}

/// The store of a command that only looks or answers.
///
/// # Errors
/// When there is none, or it cannot be used.
pub fn existing(cx: &Context) -> Result<Store, CommandError> {
    Store::open_existing(&cx.store)?.ok_or_else(|| {
        CommandError::refused(format!("there are no runs yet in {}", cx.store.display()))
            .hint("start one:   runbook exec PLAN")
    })
}

/// The run that was named, or the only open one.
///
/// # Errors
/// When there is none, or several could be meant; the runs to choose from are listed.
pub fn find(store: &Store, named: Option<&str>) -> Result<RunRow, CommandError> {
    if let Some(named) = named {
        return store.run(named).map_err(|e| unknown(store, e));
    }
    let mut open = store.open_runs()?;
    match open.len() {
        1 => Ok(open.remove(0)),
        0 => Err(listed(CommandError::refused("no run is open"), &store.runs()?)),
        n => Err(listed(CommandError::usage(format!("{n} runs are open; say which")), &open)),
    }
}

/// The run that was named, or the only open one, or else the newest: for commands that only look.
///
/// # Errors
/// Those of [`find`].
pub fn find_to_look(store: &Store, named: Option<&str>) -> Result<RunRow, CommandError> {
    if named.is_none() && store.open_runs()?.is_empty() && !store.runs()?.is_empty() {
        return find(store, Some("latest"));
    }
    find(store, named)
}

fn unknown(store: &Store, e: JournalError) -> CommandError {
    match e {
        JournalError::NoSuchRun(name) => {
            let error = CommandError::usage(format!("there is no run `{}`", name.escape_debug()));
            listed(error, &store.runs().unwrap_or_default())
        }
        other => other.into(),
    }
}

/// `error` with the last five of `runs`.
fn listed(error: CommandError, runs: &[RunRow]) -> CommandError {
    runs.iter().take(5).fold(error, |error, run| error.hint(line(run)))
}

fn line(run: &RunRow) -> String {
    let stage = run.stage.mark();
    let state = match (&run.end, run.closed) {
        (Some(end), Some(at)) => format!("{} {}", ending(end), minute(at)),
        _ => format!("open since {}", minute(run.created)),
    };
    format!("{}  {}{stage}  {state}", run.id, run.title)
}

/// How a run ended, in the words of the exit codes.
#[must_use]
pub fn ending(end: &RunEnd) -> &'static str {
    match end {
        RunEnd::Succeeded { .. } => "done",
        RunEnd::RolledBack { .. } => "rolled back",
        RunEnd::Stuck { .. } => "half-way: a human is needed",
        RunEnd::Rejected => "rejected, nothing was started",
    }
}

/// A wall clock minute on this machine, for people here.
#[must_use]
pub fn minute(at: Timestamp) -> String {
    at.to_zoned(jiff::tz::TimeZone::system()).strftime("%a %-d %b %H:%M").to_string()
}
