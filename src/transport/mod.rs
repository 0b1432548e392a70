//! The world of hosts: starts attempts, follows them, says what became of them. Decides nothing: no retries, no policies.
//!
//! Outcomes come from an attempt record on the host, never from the exit status of ssh. A lost connection changes the
//! view, not the attempt: the worker reconnects with back-off and follows from the byte where it stopped.

mod attempt;
mod channel;
mod errands;
mod failed;
mod files;
mod host_lock;
mod hosts;
mod http;
pub mod keeper;
mod links;
pub mod mask;
mod masters;
mod memory;
mod native;
mod offered;
pub mod quote;
mod request;
mod restart;
mod secrets;
mod sink;
mod spare;
pub mod wire;
mod work;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::str::FromStr;
use std::time::Duration;

pub use failed::NoAnswer;
pub use host_lock::{HostLock, Taking};
pub use hosts::{CONNECT_AT_ONCE, Config, Hosts};
pub use http::{host_of, post};
pub use memory::{Attempted, Memory};
pub use secrets::unresolved;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::UnboundedSender;

use crate::graph::ids::AttemptId;
use crate::graph::job::{Job, Site};
use crate::graph::outcome::{Evidence, Outcome};

/// What a worker reports. The channel is unbounded because the engine must never make a worker wait, and each attempt
/// sends a handful of reports at most.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    pub attempt: AttemptId,
    pub what: Event,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The host confirmed the claim.
    Launched,
    /// A probe found it running just now. Always after `Launched`, once.
    Running,
    LinkLost {
        why: String,
    },
    LinkRestored,
    /// A probe or kill could not reach the host. The worker stops; ask again later.
    Unreachable {
        why: String,
    },
    /// Final. Sent once per launch, probe or kill that got an answer.
    Ended {
        outcome: Outcome,
        evidence: Evidence,
    },
}

pub type Reports = UnboundedSender<Report>;

/// By what hosts are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Means {
    /// The `ssh` of this machine, which knows every option.
    #[default]
    Openssh,
    /// This process itself, for fleets; it refuses a host whose options it does not support.
    Native,
    /// `Native` for every host that it supports and finds a common algorithm with, `Openssh` for the rest.
    Auto,
}

impl Means {
    /// As it is written in settings and at the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Openssh => "openssh",
            Self::Native => "native",
            Self::Auto => "auto",
        }
    }
}

impl FromStr for Means {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Auto, Self::Openssh, Self::Native];
        let named = all.into_iter().find(|means| means.as_str() == text);
        named.ok_or_else(|| format!("{text:?} is no transport: auto, openssh or native"))
    }
}

/// Something that executes attempts. Every call returns at once; what happens is reported.
pub trait Transport: Send + Sync {
    /// Starts the attempt and follows it to its end. Launching an attempt that the host knows already follows that one.
    fn launch(&self, job: Job, reports: Reports);

    /// Asks what became of the attempt by the resolution procedure, and follows it to its end when it still runs.
    /// An attempt that the host does not know is made impossible (a tombstone) and reported as never started.
    fn probe(&self, site: Site, attempt: AttemptId, reports: Reports);

    /// Ends the attempt's process tree (TERM, grace, KILL), verifies that it is empty, reports the outcome. An attempt
    /// that has ended already reports the outcome it had.
    fn kill(&self, site: Site, attempt: AttemptId, reports: Reports);

    /// Asks the sites for their state without changing anything (`needs` says what the plan will use there).
    fn survey(&self, sites: Vec<SurveyRequest>) -> tokio::task::JoinHandle<Vec<Survey>>;

    /// Stops following everything and closes connections. Remote attempts are untouched.
    fn close(&self) -> tokio::task::JoinHandle<()>;
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SurveyRequest {
    pub site: Site,
    /// `sudo -n true` must work.
    pub sudo: bool,
    /// `sudo -n -u USER true` must work for these.
    pub users: Vec<String>,
    pub logout: Logout,
}

/// What is to be found out of processes whose session ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Logout {
    /// Nothing.
    Spared,
    /// Whether they live on: one is left behind by a session that ends, and looked for. Not where the machine is still in
    /// this boot, in which that was seen.
    Tried { seen_in: Option<String> },
}

/// What reaches a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reached {
    /// Not [`Means::Auto`].
    pub means: Means,
    /// Why not the native transport, where that was to be tried.
    pub not_native: Option<String>,
}

/// What one site said of itself before the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Survey {
    pub site: Site,
    /// `None` of this machine, and of a host that did not answer.
    pub reached: Option<Reached>,
    pub answer: Result<SiteState, NoAnswer>,
    /// How long the answer took.
    pub took: Duration,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SiteState {
    /// The host's clock minus ours, in milliseconds.
    pub clock_offset_ms: i64,
    /// Free bytes where attempt records are kept.
    pub free_bytes: u64,
    /// Users (the empty text for root) that `sudo -n` refuses.
    pub sudo_refused: Vec<String>,
    /// The lock of another run on this host: who, since when.
    pub locked_by: Option<String>,
    /// A process detached from its session survives the session's end. True where that was not to be found out.
    pub detached_survives: bool,
    /// The id of the machine's boot and who has logged in, for users may be treated differently; empty where it has none.
    pub boot: String,
    /// Tools that the runner needs and the host lacks.
    pub missing_tools: Vec<String>,
}

/// Unpredictable enough for names and jitter; not for keys.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Between half of the duration and all of it.
fn jitter(full: Duration) -> Duration {
    full / 2 + full.mul_f64((random() % 1000) as f64 / 2000.0)
}
