//! What a run's engine must know beyond its plan: where its files lie, and whether its hosts are a lab. Frozen with the run.

use std::num::NonZeroU16;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::args::By;
use super::error::CommandError;
use super::settings::Layers;
use crate::engine::fact::{Fact, FactRecord, RunStarted};
use crate::journal::Store;
use crate::journal::store::Frozen;
use crate::lab::Lab;
use crate::plan::model::{Plan, Value};
use crate::rehearsal::Failing;
use crate::transport::Means;

/// Fields may be added with `#[serde(default)]`: older runs lack them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// The plan's file, as an absolute path.
    pub plan_file: PathBuf,
    /// The folder of a lab that belongs to this run.
    #[serde(default)]
    pub lab: Option<PathBuf>,
    /// Steps that fail in a rehearsal; `None` for a run that has hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rehearsal: Option<Vec<Failing>>,
    /// Where the records of what this machine itself executes are kept.
    #[serde(default)]
    pub records: Option<PathBuf>,
    /// Values of variables from the command line: with them the plan's file means the same again.
    #[serde(default)]
    pub vars: Vec<(String, Value)>,
    /// Connections that may be opened at the same time; the transport's own number where nothing is set.
    #[serde(default)]
    pub connections: Option<NonZeroU16>,
    /// By what the hosts are reached.
    #[serde(default)]
    pub transport: Means,
    /// The program that takes mails, where the settings name one.
    #[serde(default)]
    pub sendmail: Option<PathBuf>,
}

impl Setup {
    /// Of a run that is started here, now.
    ///
    /// # Errors
    /// When the working folder is gone.
    pub fn new(plan_file: &Path, vars: Vec<(String, Value)>, by: By, settings: &Layers) -> std::io::Result<Self> {
        let set = |name: &str| std::env::var_os(name).filter(|s| !s.is_empty()).map(PathBuf::from);
        let records = set("RUNBOOK_HOME").or_else(|| set("HOME").map(|home| home.join(".runbook")));
        let records = records.filter(|dir| dir.is_absolute());
        let connections = settings.get(|s| s.connections).map(|(n, _)| n);
        let transport = by.transport.or(settings.get(|s| s.transport).map(|(means, _)| means)).unwrap_or_default();
        let sendmail = settings.sendmail().map(|(program, _)| program);
        let plan_file = std::path::absolute(plan_file)?;
        Ok(Self { plan_file, lab: None, rehearsal: None, records, vars, connections, transport, sendmail })
    }

    /// The same run in a lab.
    pub fn move_to(&mut self, lab: &Lab) {
        self.lab = Some(lab.dir.clone());
        self.records = lab.local.env.get("RUNBOOK_HOME").map(PathBuf::from);
    }

    /// The folder in which the plan's own files lie.
    #[must_use]
    pub fn plan_dir(&self) -> &Path {
        self.plan_file.parent().unwrap_or_else(|| Path::new("/"))
    }
}

/// Everything that was frozen with a run.
#[derive(Debug, Clone)]
pub struct Night {
    pub plan: Plan,
    pub started: RunStarted,
    pub setup: Setup,
}

impl Night {
    /// # Errors
    /// When it cannot be written as JSON, which only a bug could cause.
    pub fn freeze(&self) -> Result<Frozen, serde_json::Error> {
        Ok(Frozen {
            plan: serde_json::to_string(&self.plan)?,
            started: serde_json::to_string(&self.started)?,
            setup: serde_json::to_string(&self.setup)?,
        })
    }

    /// The same with the plan as it was last amended.
    #[must_use]
    pub fn amended(mut self, facts: &[FactRecord]) -> Self {
        let last = facts.iter().rev().find_map(|record| match &record.fact {
            Fact::PlanAmended { amendment, .. } => Some(amendment),
            _ => None,
        });
        if let Some(amendment) = last {
            self.plan = amendment.plan.clone();
            self.started.digest.clone_from(&amendment.digest);
        }
        self
    }

    /// # Errors
    /// When there is no such run, or this version cannot read what was frozen.
    pub fn thaw(store: &Store, run: &str) -> Result<Self, CommandError> {
        let frozen = store.frozen(run)?;
        let read = |what: &str, e: serde_json::Error| {
            CommandError::unexpected(format!("the {what} frozen with run {run} cannot be read: {e}"))
        };
        Ok(Self {
            plan: serde_json::from_str(&frozen.plan).map_err(|e| read("plan", e))?,
            started: serde_json::from_str(&frozen.started).map_err(|e| read("start", e))?,
            setup: serde_json::from_str(&frozen.setup).map_err(|e| read("setup", e))?,
        })
    }
}
