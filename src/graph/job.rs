//! One attempt's work, rendered: what a transport executes on one host. Knows nothing of the graph or of why.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::ids::AttemptId;
use crate::plan::model::{HttpCheck, SecretRef};

/// Everything a transport needs to execute one attempt. It decides nothing itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    pub attempt: AttemptId,
    pub site: Site,
    pub work: Work,
    /// Of the command's process; `RUNBOOK_*`, variables, outputs of earlier steps, then the step's `env`.
    pub env: BTreeMap<String, String>,
    /// Environment variables whose values are resolved at launch and travel by stdin only.
    pub secrets: BTreeMap<String, SecretRef>,
    /// Program and options that read the script; `sh -eu` where there is none.
    pub shell: Option<String>,
    /// Execute as this user by `sudo -n -u`.
    pub user: Option<String>,
    pub sudo: bool,
    pub dir: Option<String>,
    /// Counted on the host, from the start of the command.
    pub timeout: Option<SignedDuration>,
    /// Names the command may write to `$RUNBOOK_OUTPUT`.
    pub outputs: Vec<String>,
}

/// Where an attempt runs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Site {
    /// The machine of the engine.
    Controller,
    /// A host of the plan, by name.
    Host(String),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Work {
    /// A rendered shell text.
    Shell(String),
    /// A file beside the plan, copied and executed.
    Script {
        src: String,
        sha256: String,
    },
    /// Puts a file or directory in place atomically, keeping the previous content for [`Work::Restore`].
    Put {
        content: Content,
        dest: String,
        mode: Option<u32>,
        owner: Option<String>,
    },
    /// Brings back what the given [`Work::Put`] attempts replaced, newest first. Does nothing for those that replaced nothing.
    Restore {
        dest: String,
        replaced_by: Vec<AttemptId>,
    },
    Http(HttpCheck),
    /// Restarts the machine. Succeeds when the machine answers after another boot.
    Reboot,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A file or directory by its path as written in the plan; refused when its checksum changed.
    FromDisk { src: String, sha256: String, directory: bool },
    /// A rendered template.
    Text(String),
}
