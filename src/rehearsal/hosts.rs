//! Hosts that are only a model. They execute nothing, and go on when the engine that drives them is gone, as hosts do.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::clock::FastClock;
use super::model::Model;
use crate::driver::clock::Clock as _;
use crate::graph::ids::AttemptId;
use crate::graph::job::{Job, Site};
use crate::graph::outcome::Outcome;
use crate::transport::{Event, Report, Reports, Survey, SurveyRequest, Transport};

/// See the module's documentation.
#[derive(Debug, Clone)]
pub struct ModelHosts(Arc<Inner>);

struct Inner {
    model: Model,
    clock: FastClock,
    records: Mutex<BTreeMap<AttemptId, Record>>,
}

/// What a host remembers of an attempt.
#[derive(Debug, Clone)]
enum Record {
    /// It began then, and nobody follows it yet: its launch or its probe is still to come.
    Started(Timestamp),
    /// Told when it is to be killed.
    Running(Arc<Notify>),
    Ended(Outcome),
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelHosts").field("model", &self.model).finish_non_exhaustive()
    }
}

impl ModelHosts {
    /// `started` are the attempts that an engine before this one has started, and when.
    #[must_use]
    pub fn new(model: Model, clock: FastClock, started: impl IntoIterator<Item = (AttemptId, Timestamp)>) -> Self {
        let records = started.into_iter().map(|(attempt, at)| (attempt, Record::Started(at))).collect();
        Self(Arc::new(Inner { model, clock, records: Mutex::new(records) }))
    }

    /// Hears of an attempt that is about to be launched, and when it begins.
    pub fn begins(&self, attempt: AttemptId, at: Timestamp) {
        self.0.records().insert(attempt, Record::Started(at));
    }

    /// Reports the end of an attempt that began at this instant, when it comes.
    fn follow(&self, attempt: AttemptId, since: Timestamp, reports: Reports) {
        let killed = Arc::new(Notify::new());
        self.0.records().insert(attempt.clone(), Record::Running(killed.clone()));
        self.0.clock.ends(attempt.clone(), self.0.end(&attempt, since));
        let inner = self.0.clone();
        tokio::spawn(async move {
            let outcome = tokio::select! {
                () = inner.clock.end_of(&attempt) => inner.model.comes_to(&attempt),
                () = killed.notified() => Outcome::Cancelled,
            };
            inner.ended(attempt, outcome, &reports);
        });
    }
}

/// A run loop that is gone needs no report.
fn say(reports: &Reports, attempt: AttemptId, what: Event) {
    let _ = reports.send(Report { attempt, what });
}

impl Inner {
    fn records(&self) -> MutexGuard<'_, BTreeMap<AttemptId, Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, attempt: &AttemptId, since: Timestamp) -> Timestamp {
        since.saturating_add(self.model.takes(attempt)).unwrap_or(Timestamp::MAX)
    }

    fn ended(&self, attempt: AttemptId, outcome: Outcome, reports: &Reports) {
        self.records().insert(attempt.clone(), Record::Ended(outcome.clone()));
        let evidence = self.model.evidence(&attempt, &outcome);
        say(reports, attempt, Event::Ended { outcome, evidence });
    }

    /// What has become of an attempt by now.
    fn record(&self, attempt: &AttemptId) -> Option<Record> {
        match self.records().get(attempt).cloned() {
            Some(Record::Started(since)) if self.end(attempt, since) <= self.clock.now() => {
                Some(Record::Ended(self.model.comes_to(attempt)))
            }
            other => other,
        }
    }
}

impl Transport for ModelHosts {
    fn launch(&self, job: Job, reports: Reports) {
        say(&reports, job.attempt.clone(), Event::Launched);
        let since = match self.0.records().get(&job.attempt) {
            Some(Record::Started(at)) => *at,
            _ => self.0.clock.now(),
        };
        self.follow(job.attempt, since, reports);
    }

    fn probe(&self, _: Site, attempt: AttemptId, reports: Reports) {
        match self.0.record(&attempt) {
            None => self.0.ended(attempt, Outcome::Cancelled, &reports),
            Some(Record::Ended(outcome)) => self.0.ended(attempt, outcome, &reports),
            Some(Record::Running(_)) => say(&reports, attempt, Event::Running),
            Some(Record::Started(since)) => {
                say(&reports, attempt.clone(), Event::Launched);
                say(&reports, attempt.clone(), Event::Running);
                self.follow(attempt, since, reports);
            }
        }
    }

    fn kill(&self, _: Site, attempt: AttemptId, reports: Reports) {
        match self.0.record(&attempt) {
            Some(Record::Running(killed)) => killed.notify_one(),
            Some(Record::Ended(outcome)) => self.0.ended(attempt, outcome, &reports),
            None | Some(Record::Started(_)) => self.0.ended(attempt, Outcome::Cancelled, &reports),
        }
    }

    fn survey(&self, _: Vec<SurveyRequest>) -> JoinHandle<Vec<Survey>> {
        tokio::spawn(async { Vec::new() })
    }

    fn close(&self) -> JoinHandle<()> {
        tokio::spawn(async {})
    }
}
