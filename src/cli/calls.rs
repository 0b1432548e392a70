//! Beside a running engine: looks from time to time whether people must be called, and tells the engine, which decides
//! whether that is news. Knows nothing of how they are told.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use crate::driver::Asked;
use crate::driver::clock::Clock;
use crate::engine::fact::Actor;
use crate::engine::input::{Ask, CALL_MOVED, Operator};
use crate::graph::Graph;
use crate::journal::{JournalError, Store};
use crate::view::{Call, RunView, What};

/// How often the forecast is looked at. A call is minutes before its time.
const EVERY: Duration = Duration::from_secs(5);

/// Whether any gate of the plan has people to call.
#[must_use]
pub fn any(graph: &Graph) -> bool {
    let steps = &graph.plan().steps;
    steps.values().any(|step| step.gate.as_ref().is_some_and(|gate| gate.call_ahead.is_some()))
}

/// Goes on until the engine hears nobody any more.
///
/// # Errors
/// When the journal cannot be read; the engine itself will notice soon.
pub async fn look(
    store: Store,
    run: String,
    graph: Arc<Graph>,
    clock: Arc<dyn Clock>,
    ask: mpsc::Sender<Asked>,
) -> Result<(), JournalError> {
    let mut view = RunView::new(graph);
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        store.facts(&run, view.seq())?.iter().for_each(|record| view.apply(record));
        for call in news(&view, clock.now()) {
            let Call { gate, expected, planned } = call;
            let ask_for = Ask::CallAhead { gate: gate.step().to_owned(), expected, planned };
            let operator = Operator { by: Actor::engine(), ask: ask_for };
            // The answer comes back through the journal, like everybody else's.
            if ask.send(Asked { operator, reply: oneshot::channel().0 }).await.is_err() {
                return Ok(());
            }
        }
    }
}

/// The calls that are due and not made yet.
fn news(view: &RunView, now: Timestamp) -> Vec<Call> {
    let said = |call: &Call| {
        view.events().iter().rev().find_map(|event| match &event.what {
            What::CallDue { step, expected, .. } if step == call.gate.step() => Some(*expected),
            _ => None,
        })
    };
    let is_news = |call: &Call| said(call).is_none_or(|said| said.duration_since(call.expected).abs() > CALL_MOVED);
    view.calls_due(now).into_iter().filter(is_news).collect()
}
