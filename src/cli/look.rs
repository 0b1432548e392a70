//! A run as its journal tells it, for commands that only look.

use std::sync::Arc;

use jiff::Timestamp;

use super::error::CommandError;
use super::holder::Holder;
use crate::engine::fact::RunStarted;
use crate::graph::Graph;
use crate::journal::{RunRow, Store};
use crate::plan::model::Plan;
use crate::report::status::Engine;
use crate::view::RunView;

/// Everything recorded so far, folded.
///
/// # Errors
/// When the journal cannot be read, or this version cannot read what was frozen with the run.
pub fn view(store: &Store, run: &RunRow) -> Result<RunView, CommandError> {
    let frozen = store.frozen(&run.id)?;
    let plan: Plan = serde_json::from_str(&frozen.plan)
        .map_err(|e| CommandError::unexpected(format!("the plan frozen with run {} cannot be read: {e}", run.id)))?;
    let mut view = RunView::new(Arc::new(Graph::build(Arc::new(plan))));
    store.facts(&run.id, 0)?.iter().for_each(|fact| view.apply(fact));
    Ok(view)
}

/// What was decided when the run was started.
///
/// # Errors
/// When the journal cannot be read.
pub fn started(store: &Store, run: &RunRow) -> Result<RunStarted, CommandError> {
    let frozen = store.frozen(&run.id)?;
    serde_json::from_str(&frozen.started)
        .map_err(|e| CommandError::unexpected(format!("the start frozen with run {} cannot be read: {e}", run.id)))
}

/// What the clock of the run shows, and who drives it. Seconds of silence are seconds, also for the engine of a rehearsal.
#[must_use]
pub fn now(run: &RunRow, view: &RunView, here: Timestamp) -> (Timestamp, Option<Engine>) {
    let engine = engine(run, here);
    let driven = engine.as_ref().is_some_and(|engine| engine.live);
    let now = if driven { view.on_its_clock(here) } else { view.on_its_own(here) };
    let heard = |at: Timestamp| now.saturating_sub(here.duration_since(at)).unwrap_or(now);
    (now, engine.map(|engine| Engine { heartbeat: heard(engine.heartbeat), ..engine }))
}

/// Who drives the run, by the journal's record; `None` before the first.
#[must_use]
pub fn engine(run: &RunRow, now: Timestamp) -> Option<Engine> {
    run.lease.as_ref().map(|lease| Engine {
        controller: lease.host.clone(),
        owner: lease.owner.clone(),
        heartbeat: lease.renewed,
        live: Holder::of(run, now).is_live(),
    })
}
