//! `--lab`: the flags, and the plan as it is executed there. The lab itself is in `crate::lab`.

use std::path::Path;

use jiff::Timestamp;

use super::error::CommandError;
use crate::lab::{self, InjectError, Lab, LabError, LabOptions};
use crate::plan::model::Plan;

#[derive(Debug, Clone, Default, clap::Args)]
pub struct Laboratory {
    /// Execute it for real on private hosts on this machine; nothing real is at stake
    #[arg(long)]
    pub lab: bool,
    /// Make this step fail there; may be repeated
    #[arg(long, value_name = "STEP[@HOST]", requires = "lab")]
    pub fail: Vec<String>,
    /// Divide pure waiting by N there
    #[arg(long, value_name = "N", requires = "lab", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub speed: u32,
    /// Do without ssh there, as where `sshd` is not installed
    #[arg(long, requires = "lab")]
    pub without_ssh: bool,
    /// Leave the lab's files behind
    #[arg(long, requires = "lab")]
    pub keep: bool,
}

/// What is executed, and where.
#[derive(Debug)]
pub struct Prepared {
    pub plan: Plan,
    /// The same without what `--fail` makes fail: nothing is broken before the night.
    pub sound: Plan,
    pub lab: Option<Lab>,
}

/// The plan to execute, and the lab that was started for it.
///
/// # Errors
/// When `--fail` names nothing that can fail, or the lab cannot be started.
pub fn prepare(args: &Laboratory, mut plan: Plan, plan_dir: &Path, now: Timestamp) -> Result<Prepared, CommandError> {
    let sound = plan.clone();
    if !args.lab {
        return Ok(Prepared { plan, sound, lab: None });
    }
    for wanted in &args.fail {
        let (step, host) = wanted.split_once('@').map_or((wanted.as_str(), None), |(step, host)| (step, Some(host)));
        lab::inject_failure(&mut plan, step, host)?;
    }
    let started =
        lab::start(&plan, plan_dir, &LabOptions { keep: args.keep, without_ssh: args.without_ssh, parent: None })?;
    let there = |plan| {
        let mut plan = lab::relocate(plan, now, &started);
        lab::speed_up(&mut plan, args.speed);
        plan
    };
    let (plan, sound) = (there(plan), there(sound));
    Ok(Prepared { plan, sound, lab: Some(started) })
}

impl From<InjectError> for CommandError {
    fn from(e: InjectError) -> Self {
        Self::usage(format!("--fail: {e}"))
    }
}

impl From<LabError> for CommandError {
    fn from(e: LabError) -> Self {
        let source = std::error::Error::source(&e).map_or_else(String::new, |source| format!(": {source}"));
        Self::unexpected(format!("{e}{source}"))
    }
}
