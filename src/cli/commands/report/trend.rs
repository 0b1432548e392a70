//! The runs of one plan, gathered for `report --trend`. A run that cannot be read is left out, and said.

use jiff::Timestamp;

use crate::cli::commands::history::named;
use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::look;
use crate::engine::fact::Stage;
use crate::journal::{RunRow, Store};
use crate::report::{Night, Trend, WriteUp};

/// Nobody looks further back.
const MOST: usize = 30;

/// Of the plan that was named, by its file, its file's name or its `name`; else of that of the newest run. What was
/// only played says nothing of how long a night takes.
///
/// # Errors
/// When there is no such plan, no run of it outside the lab, or the store cannot be read.
pub fn of(store: &Store, plan: Option<&str>, now: Timestamp, cx: &Context) -> Result<Trend, CommandError> {
    let all = store.runs()?;
    let (stem, title) = match (plan, all.iter().find(|run| run.stage.is_real()).or(all.first())) {
        (Some(plan), _) => named(plan, cx)?,
        (None, Some(newest)) => (newest.plan.clone(), newest.title.clone()),
        (None, None) => return Err(CommandError::refused(format!("there are no runs yet in {}", cx.store.display()))),
    };
    let of_plan = |run: &&RunRow| run.plan == stem || run.title == title;
    let (real, played): (Vec<&RunRow>, Vec<&RunRow>) = all.iter().filter(of_plan).partition(|run| run.stage.is_real());
    let told = |run: &RunRow| look::view(store, run).ok().and_then(|view| WriteUp::of(&view, now));
    let read: Vec<WriteUp> = real.iter().take(MOST).filter_map(|run| told(run)).collect();
    let left_out = left_out(real.len(), read.len(), &played);
    let Some(newest) = read.first() else {
        let error = CommandError::refused(format!("no run of {} can be shown", stem.escape_debug()));
        return Err(left_out.into_iter().fold(error, CommandError::hint).hint("all runs:   runbook runs"));
    };
    let (plan, title) = (newest.plan.clone(), newest.title.clone());
    let nights = read.into_iter().rev().map(|run| Night::of(run, now)).collect();
    Ok(Trend { title, plan, nights, left_out })
}

fn left_out(real: usize, read: usize, played: &[&RunRow]) -> Vec<String> {
    let runs = |n: usize| if n == 1 { "1 run".to_owned() } else { format!("{n} runs") };
    let older = real.saturating_sub(MOST);
    let damaged = real.min(MOST) - read;
    let of = |stage| played.iter().filter(|run| run.stage == stage).count();
    let all = [
        (older, "older than these"),
        (of(Stage::Lab), "in the lab, whose durations say nothing of a night"),
        (of(Stage::Rehearsal), "rehearsed, which takes as long as it is estimated to"),
        (damaged, "not begun, or not readable by this version"),
    ];
    all.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("left out: {}, {what}", runs(n))).collect()
}
