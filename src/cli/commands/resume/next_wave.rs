//! `resume` of a plan in waves between two of them: which command goes on with it, and what is to be said of it. Starts nothing.

use std::path::Path;

use crate::cli::error::CommandError;
use crate::cli::setup::Night;
use crate::cli::store;
use crate::engine::fact::{RunEnd, Stage};
use crate::journal::{JournalError, RunRow, Store};
use crate::plan::model::Value;
use crate::plan::waves::OpenWave;
use crate::report::{Clock, escape_for_terminal as esc};

/// What a person means who resumes.
#[derive(Debug)]
pub enum Wanted {
    /// An open run, to be taken over; or one that is over and leaves nothing to do.
    Run(Box<RunRow>),
    /// The next wave of a plan whose last run is over.
    NextWave(NextWave),
}

/// How the week goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextWave {
    /// `wave few, 1 of 2, is done (run night-a); rest opens Sun 2 Dec 17:00`.
    pub said: String,
    /// The words of `exec` that execute it, after the program's name.
    pub command: Vec<String>,
}

/// The run that is named, by its own name or that of its plan; or the wave that follows it.
///
/// # Errors
/// When there is none, or several could be meant.
pub fn wanted(store: &Store, named: Option<&str>) -> Result<Wanted, CommandError> {
    let Some(named) = named else { return store::find(store, None).map(|run| Wanted::Run(Box::new(run))) };
    let run = match of_plan(store, named)? {
        Some(run) => run,
        None => store::find(store, Some(named))?,
    };
    if run.closed.is_none() {
        return Ok(Wanted::Run(Box::new(run)));
    }
    let night = Night::thaw(store, &run.id)?;
    match &night.started.options.wave {
        Some(wave) => next(&run, &night, wave).map(Wanted::NextWave),
        None => Ok(Wanted::Run(Box::new(run))),
    }
}

/// The open run of the plan that is named by its file or its stem, or else its newest; `None` where no plan has that name.
fn of_plan(store: &Store, named: &str) -> Result<Option<RunRow>, JournalError> {
    let stem = match named.strip_suffix(".yaml").or_else(|| named.strip_suffix(".yml")) {
        Some(_) => Path::new(named).file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        None => named.to_owned(),
    };
    let mut runs: Vec<RunRow> = store.runs()?.into_iter().filter(|run| run.plan == stem).collect();
    let open = runs.iter().position(|run| run.closed.is_none()).unwrap_or(0);
    Ok(if runs.is_empty() { None } else { Some(runs.swap_remove(open)) })
}

fn next(run: &RunRow, night: &Night, wave: &OpenWave) -> Result<NextWave, CommandError> {
    let clock = Clock::new(night.started.timezone.as_deref());
    let how = run.end.as_ref().map_or("over", store::ending);
    let begin = format!("wave {}, {} of {}: {how} (run {})", esc(&wave.name), wave.number, wave.of, run.id);
    let then = match (&run.end, &wave.next) {
        (Some(RunEnd::Succeeded { .. }), Some(next)) => {
            format!("; next is {}, which opens {}", esc(&next.name), clock.date_hm(next.opens))
        }
        (Some(RunEnd::Succeeded { .. }), None) => String::new(),
        _ => "; it is the next one again".to_owned(),
    };
    Ok(NextWave { said: begin + &then, command: command(run, night)? })
}

/// The command with which the week was begun, as far as it says what is executed and where.
fn command(run: &RunRow, night: &Night) -> Result<Vec<String>, CommandError> {
    let file = night.setup.plan_file.display().to_string();
    let mut words = vec!["exec".to_owned(), file.clone()];
    for (name, value) in &night.setup.vars {
        match value {
            Value::Bool(_) | Value::Int(_) | Value::Text(_) => {
                words.extend(["--var".to_owned(), format!("{name}={}", value.to_text().unwrap_or_default())]);
            }
            Value::List(_) | Value::Map(_) | Value::Secret(_) => {
                let why = format!("run {} was started with `--vars`, of which `{name}` is no single word", run.id);
                return Err(
                    CommandError::refused(why).hint(format!("start the next wave:   runbook exec {file} --vars FILE"))
                );
            }
        }
    }
    words.extend(match run.stage {
        Stage::Real => None,
        Stage::Lab => Some("--lab".to_owned()),
        Stage::Rehearsal => Some("--rehearse".to_owned()),
    });
    Ok(words)
}
