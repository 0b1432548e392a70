//! What a run is played on: the hosts of its plan with the clock of this world, or a model of them with a clock of its
//! own. Decides nothing.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use super::error::CommandError;
use super::reach;
use super::setup::Night;
use crate::driver::clock::{Clock, SystemClock};
use crate::engine::fact::{Fact, FactRecord, Stage};
use crate::graph::Graph;
use crate::graph::ids::AttemptId;
use crate::journal::{Journal, SqliteJournal};
use crate::lab::Lab;
use crate::rehearsal::{FastClock, Model, ModelHosts, OwnTime};
use crate::transport::{Hosts, Transport};

/// See the module's documentation.
pub struct Scene {
    pub stage: Stage,
    pub transport: Arc<dyn Transport>,
    pub clock: Arc<dyn Clock>,
    /// Those that can be reached; a rehearsal has none.
    pub hosts: Option<Arc<Hosts>>,
    model: Option<ModelHosts>,
}

impl Scene {
    /// Over the connections that there are already.
    ///
    /// # Errors
    /// When the run's folder cannot be written.
    pub fn set(
        night: &Night,
        graph: &Arc<Graph>,
        journal: &SqliteJournal,
        run_dir: &Path,
        lab: Option<&Lab>,
        connected: Option<&Hosts>,
    ) -> Result<Self, CommandError> {
        let stage = night.started.options.stage();
        if let Some(pace) = night.started.options.rehearsal {
            let clock = match journal.found().is_empty() {
                true => FastClock::begin(pace),
                false => FastClock::go_on(pace),
            };
            let model = model(night, graph, clock.clone(), started(journal.found()));
            let transport = Arc::new(model.clone());
            return Ok(Self { stage, transport, clock: Arc::new(clock), hosts: None, model: Some(model) });
        }
        let name = night.started.name_on_hosts();
        let hosts = reach::transport(&night.plan, &night.setup, &name, journal.epoch(), run_dir, lab, connected)?;
        Ok(Self {
            stage,
            transport: hosts.clone(),
            clock: Arc::new(SystemClock::start()),
            hosts: Some(hosts),
            model: None,
        })
    }

    /// The journal with the times that belong to this scene.
    #[must_use]
    pub fn journal(&self, journal: SqliteJournal) -> Box<dyn Journal> {
        match &self.model {
            Some(model) => Box::new(OwnTime(journal, model.clone())),
            None => Box::new(journal),
        }
    }
}

/// The hosts of a rehearsal.
#[must_use]
pub fn model(
    night: &Night,
    graph: &Arc<Graph>,
    clock: FastClock,
    started: impl IntoIterator<Item = (AttemptId, Timestamp)>,
) -> ModelHosts {
    let failing = night.setup.rehearsal.clone().unwrap_or_default();
    ModelHosts::new(Model::new(graph.clone(), failing), clock, started)
}

/// When each attempt was started.
fn started(facts: &[FactRecord]) -> impl Iterator<Item = (AttemptId, Timestamp)> {
    facts.iter().filter_map(|record| match &record.fact {
        Fact::AttemptArmed { attempt } => Some((attempt.clone(), record.at)),
        _ => None,
    })
}
