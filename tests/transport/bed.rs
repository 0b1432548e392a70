//! A transport with a place for its records and logs, and short ways to start attempts and wait for them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use indexmap::IndexMap;
use jiff::SignedDuration;
use runbook::graph::ids::{ActionId, AttemptId, Direction};
use runbook::graph::job::{Job, Site, Work};
use runbook::graph::outcome::{Evidence, Outcome};
use runbook::transport::{Config, Event, Hosts, Report, Transport};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::harness::sshd::Sshd;

pub struct Bed {
    pub hosts: Hosts,
    pub config: Config,
    pub reports: UnboundedReceiver<Report>,
    pub sender: UnboundedSender<Report>,
    pub dir: tempfile::TempDir,
}

/// Nothing in these tests takes longer unless it is broken.
pub const PATIENCE: Duration = Duration::from_secs(60);

impl Bed {
    pub fn new(sshd: Option<&Sshd>) -> Self {
        Self::with(sshd, |_| {})
    }

    pub fn with(sshd: Option<&Sshd>, change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::Builder::new().prefix("bed-").tempdir_in("/tmp").unwrap();
        let hosts = sshd.map_or_else(IndexMap::new, Sshd::hosts);
        // Of its own, as the names of real runs are: a sweep ends whatever on this machine carries the run's name.
        let run = dir.path().file_name().unwrap().to_string_lossy().into_owned();
        let mut config = Config::new(&run, 1, hosts, dir.path().join("plan"), dir.path().join("logs"));
        std::fs::create_dir_all(&config.plan_dir).unwrap();
        config.ssh_config = sshd.map(Sshd::ssh_config);
        config.remote_dir = Some(dir.path().join("host").display().to_string());
        config.local_dir = Some(dir.path().join("local"));
        config.means = super::MEANS;
        config.kill_grace = Duration::from_secs(1);
        config.keeper = Some(env!("CARGO_BIN_EXE_runbook").into());
        change(&mut config);
        let (sender, reports) = unbounded_channel();
        Self { hosts: Hosts::new(config.clone()).unwrap(), config, reports, sender, dir }
    }

    /// Another controller with the same records.
    pub fn second(&self, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = self.config.clone();
        change(&mut config);
        let (sender, reports) = unbounded_channel();
        let dir = tempfile::tempdir().unwrap();
        Self { hosts: Hosts::new(config.clone()).unwrap(), config, reports, sender, dir }
    }

    pub fn launch(&self, job: Job) {
        self.hosts.launch(job, self.sender.clone());
    }

    pub fn probe(&self, site: Site, attempt: &AttemptId) {
        self.hosts.probe(site, attempt.clone(), self.sender.clone());
    }

    pub fn kill(&self, site: Site, attempt: &AttemptId) {
        self.hosts.kill(site, attempt.clone(), self.sender.clone());
    }

    pub async fn next(&mut self) -> Report {
        tokio::time::timeout(PATIENCE, self.reports.recv()).await.expect("a report in time").unwrap()
    }

    /// Waits for an event of this kind; others may come before it.
    pub async fn until(&mut self, wanted: impl Fn(&Event) -> bool) -> Event {
        loop {
            let report = self.next().await;
            if wanted(&report.what) {
                return report.what;
            }
        }
    }

    pub async fn end(&mut self) -> (Outcome, Evidence) {
        match self.until(|e| matches!(e, Event::Ended { .. } | Event::Unreachable { .. })).await {
            Event::Ended { outcome, evidence } => (outcome, evidence),
            other => panic!("{other:?}"),
        }
    }

    pub async fn run(&mut self, job: Job) -> (Outcome, Evidence) {
        self.launch(job);
        self.end().await
    }

    pub fn log(&self, attempt: &AttemptId) -> String {
        let path = self.log_path(attempt);
        String::from_utf8_lossy(&std::fs::read(&path).unwrap_or_default()).into_owned()
    }

    pub fn log_path(&self, attempt: &AttemptId) -> PathBuf {
        self.config.logs.join(attempt.action.step()).join(format!("{}.log", attempt.action.host().unwrap()))
    }

    /// The attempt's record.
    pub fn record(&self, site: &Site, attempt: &AttemptId) -> PathBuf {
        let home = match site {
            Site::Controller => self.config.local_dir.clone().unwrap(),
            Site::Host(_) => PathBuf::from(self.config.remote_dir.clone().unwrap()),
        };
        home.join("runs").join(&self.config.run).join(format!(
            "{}.{}.{}",
            attempt.action.as_str(),
            attempt.direction.as_str(),
            attempt.number
        ))
    }
}

pub fn h1() -> Site {
    Site::Host("h1".into())
}

pub fn attempt(step: &str, site: &Site, number: u32) -> AttemptId {
    let host = match site {
        Site::Controller => "local",
        Site::Host(host) => host,
    };
    AttemptId { action: ActionId::new(step, Some(host)), direction: Direction::Do, number }
}

pub fn shell(step: &str, site: &Site, text: &str) -> Job {
    job(step, site, Work::Shell(text.into()))
}

pub fn job(step: &str, site: &Site, work: Work) -> Job {
    Job {
        attempt: attempt(step, site, 1),
        site: site.clone(),
        work,
        env: BTreeMap::new(),
        secrets: BTreeMap::new(),
        shell: None,
        user: None,
        sudo: false,
        dir: None,
        timeout: Some(SignedDuration::from_secs(60)),
        outputs: Vec::new(),
    }
}

/// Waits until the file exists, without a fixed pause.
pub async fn appears(path: &Path) {
    let wait = async {
        while !path.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{} never appears", path.display()));
}
