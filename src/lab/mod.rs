//! The lab: any plan, for real, on this machine, with nothing prepared. Knows nothing of runs, only of hosts.
//!
//! Every host of the plan becomes a private directory with its own `HOME`, its own `PATH` and its own loopback address,
//! served by a private `sshd`: real ssh, real runner. Where the plan has a folder `NAME.lab` beside it, `NAME.lab/setup`
//! prepares each host and `NAME.lab/bin` comes first on its `PATH`; commands that would touch this machine
//! (`systemctl`, `sudo`, ...) are stand-ins that only write down what they were asked; `reboot` restarts the lab's host
//! alone, and `NAME.lab/boot` then starts its services. A plan without such a
//! folder gets stand-ins for the commands that this machine lacks, too: [`Lab::stand_ins`] says which. The lab separates
//! environments, not file systems: a step that names an absolute path reaches this machine's file.
//!
//! A lab belongs to one or more processes, its owners. It may be started by one process and stopped by another
//! ([`Lab::hand_over`], [`Lab::open`]); a lab whose owners are all dead is removed when the next one starts.

mod commands;
mod dir;
mod hosts;
mod night;
mod processes;
mod shims;
mod sshd;

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

pub use hosts::LabHost;
pub use night::{InjectError, inject_failure, relocate, speed_up};

use crate::plan::model::{HostName, Plan};

/// What can go wrong with a lab. All of it is the world's doing; a mistake in `--fail` is an [`InjectError`].
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    #[error("the lab needs Linux: it gives every host a loopback address of its own")]
    Platform,
    #[error("no folder for the lab: {why}")]
    NoFolder { why: String },
    #[error("cannot {what} {}", path.display())]
    Io {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("no block of {wanted} loopback addresses is free")]
    NoAddresses { wanted: usize },
    #[error("setting up {host} failed: {why}")]
    Setup { host: HostName, why: String },
    #[error("{} is not a lab: {why}", dir.display())]
    NotALab { dir: PathBuf, why: String },
    #[error("processes of the lab survive: {pids:?}")]
    Survivors { pids: Vec<i32> },
}

/// How a lab is started.
#[derive(Debug, Clone, Default)]
pub struct LabOptions {
    /// Where the lab's folder is made; a short, private-enough temporary folder where there is none.
    pub parent: Option<PathBuf>,
    /// Leave the folder behind for a look afterwards. Its processes are stopped all the same.
    pub keep: bool,
    /// Do without `sshd` even where there is one.
    pub without_ssh: bool,
}

/// A running lab.
#[derive(Debug)]
pub struct Lab {
    /// Shared by all hosts; holds `effects.log` and the hosts' own folders.
    pub dir: PathBuf,
    /// For `ssh -F`. `None` means that hosts are reached by the local transport, and [`Lab::note`] says why.
    pub ssh_config: Option<PathBuf>,
    /// A sentence to print before the run.
    pub note: Option<String>,
    /// The plan's hosts, and jump hosts after them.
    pub hosts: IndexMap<HostName, LabHost>,
    /// This machine, for steps with `hosts: local`.
    pub local: LabHost,
    /// Commands of the plan that this machine lacks: they write down what they were asked, and succeed. Say so.
    pub stand_ins: Vec<String>,
    keep: bool,
    /// Whether dropping this value stops the lab.
    stops_on_drop: bool,
}

/// What [`Lab::open`] needs to know, as `lab.json` in the lab's folder.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    format: u32,
    ssh_config: Option<PathBuf>,
    note: Option<String>,
    hosts: IndexMap<HostName, LabHost>,
    local: LabHost,
    stand_ins: Vec<String>,
    keep: bool,
}

const RECORD: &str = "lab.json";
const FORMAT: u32 = 1;

/// Starts a lab for the plan, whose files lie in `plan_dir`. Removes labs whose owners are dead. Blocks for about a second.
///
/// # Errors
/// When there is no place or address for it, or when the plan's own `setup` fails. A missing or refusing `sshd` is no
/// error: see [`Lab::ssh_config`].
pub fn start(plan: &Plan, plan_dir: &Path, options: &LabOptions) -> Result<Lab, LabError> {
    if !cfg!(target_os = "linux") {
        return Err(LabError::Platform);
    }
    let dir = dir::create(options.parent.as_deref())?;
    // From here on a failure must not leave anything running, so the lab exists before it is complete.
    let mut lab = Lab {
        local: LabHost::bare(hosts::LOCAL, &dir),
        hosts: IndexMap::new(),
        ssh_config: None,
        note: None,
        stand_ins: Vec::new(),
        keep: options.keep,
        stops_on_drop: true,
        dir,
    };
    let folder = hosts::LabFolder::beside(plan, plan_dir);
    shims::write(&lab.dir)?;
    if folder.is_none() {
        lab.stand_ins = shims::stand_in(&commands::of_plan(plan, plan_dir), &lab.dir)?;
    }
    let names = hosts::names(plan);
    let block = sshd::AddressBlock::find(names.len() + 1)?;
    (lab.hosts, lab.local) = hosts::make(plan, &names, &block, folder.as_ref(), &lab.dir)?;
    match sshd::start(plan, &lab, &block, options.without_ssh)? {
        Ok(config) => lab.ssh_config = Some(config),
        Err(why) => lab.note = Some(why),
    }
    if let Some(folder) = &folder {
        hosts::set_up(&lab, folder)?;
    }
    hosts::forget_effects(&lab.dir)?;
    lab.write_record()?;
    Ok(lab)
}

impl Lab {
    /// A lab that another process started. Dropping this value does not stop it.
    ///
    /// # Errors
    /// When the folder holds no lab that this version can read.
    pub fn open(dir: &Path) -> Result<Self, LabError> {
        let not_a_lab = |why: String| LabError::NotALab { dir: dir.to_owned(), why };
        let text = std::fs::read(dir.join(RECORD)).map_err(|e| not_a_lab(e.to_string()))?;
        let record: Record = serde_json::from_slice(&text).map_err(|e| not_a_lab(e.to_string()))?;
        if record.format != FORMAT {
            return Err(not_a_lab(format!("its format is {}, not {FORMAT}", record.format)));
        }
        Ok(Self {
            dir: dir.to_owned(),
            ssh_config: record.ssh_config,
            note: record.note,
            hosts: record.hosts,
            local: record.local,
            stand_ins: record.stand_ins,
            keep: record.keep,
            stops_on_drop: false,
        })
    }

    /// Makes this process an owner: as long as it lives, the lab is not stale, and dropping this value stops the lab.
    ///
    /// # Errors
    /// When the lab's folder cannot be written.
    pub fn adopt(&mut self) -> Result<(), LabError> {
        dir::add_owner(&self.dir, std::process::id())?;
        self.stops_on_drop = true;
        Ok(())
    }

    /// Leaves the lab running for the given process, which becomes an owner; gives the folder for [`Lab::open`].
    ///
    /// # Errors
    /// When the lab's folder cannot be written; the lab is stopped then.
    pub fn hand_over(mut self, to: u32) -> Result<PathBuf, LabError> {
        dir::add_owner(&self.dir, to)?;
        self.stops_on_drop = false;
        Ok(self.dir.clone())
    }

    /// Where the lab's commands write what they really did: `HOST STEP DIRECTION WHAT...`, one line each, in order.
    #[must_use]
    pub fn effects_log(&self) -> PathBuf {
        self.dir.join(EFFECTS)
    }

    /// Ends every process of the lab and removes its folder (unless it is kept). Works from any process of the same user.
    ///
    /// # Errors
    /// When a process survives or the folder cannot be removed.
    pub fn stop(mut self) -> Result<(), LabError> {
        self.stops_on_drop = false;
        dir::remove(&self.dir, self.keep)
    }

    fn write_record(&self) -> Result<(), LabError> {
        let record = Record {
            format: FORMAT,
            ssh_config: self.ssh_config.clone(),
            note: self.note.clone(),
            hosts: self.hosts.clone(),
            local: self.local.clone(),
            stand_ins: self.stand_ins.clone(),
            keep: self.keep,
        };
        let path = self.dir.join(RECORD);
        let text = serde_json::to_vec_pretty(&record).map_err(|e| io("write", &path)(e.into()))?;
        std::fs::write(&path, text).map_err(io("write", &path))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.stops_on_drop {
            // Nobody is left to tell; what survives is found by the next lab's start.
            let _ = dir::remove(&self.dir, self.keep);
        }
    }
}

const EFFECTS: &str = "effects.log";

/// Turns an I/O error into a [`LabError`] that says what was attempted.
fn io<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> LabError + use<'a> {
    move |source| LabError::Io { what, path: path.to_owned(), source }
}

/// A text as one word of a shell command line.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
