//! Telling people who are not at a terminal, as the plan's `notify` asks for: beside the engine, never in its way.
//!
//! One task folds the facts that became durable and makes messages of them; each channel of the plan has a worker of its own,
//! so that one that hangs holds up nobody. The engine hands over facts through a channel that never makes it wait.

mod channel;
pub mod process;
mod ready;
mod worker;

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinSet;

use self::channel::Channel;
pub use self::ready::findings;
use self::worker::Worker;
use super::setup::Night;
use crate::driver::{Asked, Publish};
use crate::engine::fact::FactRecord;
use crate::graph::Graph;
use crate::report::escape_for_terminal;
use crate::report::notice::{Notice, notice};
use crate::view::RunView;

/// Messages that may wait for one channel; more push out the oldest, which matter least.
const WAITING: usize = 32;
/// How long an engine that is done stays for messages that did not arrive yet.
const DRAINING: Duration = Duration::from_secs(8);

/// Everybody who is told of one run.
#[derive(Debug)]
pub struct Notices {
    /// Unbounded, because the engine must never wait; the facts of a run are few, and folding them is quick.
    facts: mpsc::UnboundedSender<Vec<FactRecord>>,
    tasks: JoinSet<()>,
    closing: watch::Sender<bool>,
}

impl Notices {
    /// Begins to listen for the engine of `night` that goes on after `found`. `None` where the plan tells nobody.
    #[must_use]
    pub fn start(night: &Night, graph: Arc<Graph>, found: &[FactRecord], ask: &mpsc::Sender<Asked>) -> Option<Self> {
        if night.plan.notify.is_empty() {
            return None;
        }
        let mut view = RunView::new(graph);
        found.iter().for_each(|record| view.apply(record));
        let (tell, _) = broadcast::channel(WAITING);
        let (closing, closes) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for channel in Channel::all(night) {
            let worker = Worker::new(channel, view.notes(), tell.subscribe(), closes.clone(), ask.clone());
            tasks.spawn(worker.work());
        }
        let (facts, news) = mpsc::unbounded_channel();
        tasks.spawn(fold(view, news, tell));
        Some(Self { facts, tasks, closing })
    }

    /// What the engine's loop calls with facts that are durable.
    #[must_use]
    pub fn publish(&self) -> Publish {
        let facts = self.facts.clone();
        Box::new(move |new| {
            // Without anybody who listens, the run goes on.
            let _ = facts.send(new.to_vec());
        })
    }

    /// Stays for what is still to be delivered, as long as that is worth it. The engine's loop must be over.
    pub async fn drain(self) {
        let Self { facts, mut tasks, closing } = self;
        drop(facts);
        closing.send_replace(true);
        let _ = tokio::time::timeout(DRAINING, async { while tasks.join_next().await.is_some() {} }).await;
    }
}

/// Messages from facts, until the engine's loop is over.
async fn fold(
    mut view: RunView,
    mut news: mpsc::UnboundedReceiver<Vec<FactRecord>>,
    tell: broadcast::Sender<Arc<Notice>>,
) {
    let mut told = view.events().len();
    while let Some(new) = news.recv().await {
        new.iter().for_each(|record| view.apply(record));
        for message in view.events()[told..].iter().filter_map(|event| notice(&view, event)) {
            // Workers that are gone miss nothing.
            let _ = tell.send(Arc::new(message));
        }
        told = view.events().len();
    }
}

/// A line into the log of the engine.
fn log(line: &str) {
    // Nobody can be told that the log cannot be written.
    let _ = writeln!(std::io::stderr(), "{}", escape_for_terminal(line));
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_is_done_stays_for_eight_seconds_at_most() {
        let (facts, _news) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(std::future::pending());
        let began = Instant::now();
        Notices { facts, tasks, closing: watch::channel(false).0 }.drain().await;
        assert_eq!(began.elapsed(), Duration::from_secs(8));
    }
}
