//! `--lab` and `--rehearse`: the flags, and the plan as it is executed there. The lab itself is in `crate::lab`, the
//! rehearsal in `crate::rehearsal`.

use std::path::Path;

use jiff::Timestamp;

use super::error::CommandError;
use crate::engine::fact::{Pace, Stage};
use crate::lab::{self, InjectError, Lab, LabError, LabOptions};
use crate::plan::model::{Opening, Plan};
use crate::rehearsal::Failing;
use crate::sim;

/// A minute of the evening in a second.
const REHEARSED: u32 = 60;

#[derive(Debug, Clone, Default, clap::Args)]
pub struct Laboratory {
    /// Execute it for real on private hosts on this machine; nothing real is at stake
    #[arg(long, group = "played")]
    pub lab: bool,
    /// Play the evening without any host: everything takes as long as estimated, on a clock that runs faster
    #[arg(long, group = "played")]
    pub rehearse: bool,
    /// Make this step fail there; may be repeated
    #[arg(long, value_name = "STEP[@HOST]", requires = "played")]
    pub fail: Vec<String>,
    /// In the lab divide pure waiting by N [default: 1]; in a rehearsal let the clock run N times as fast [default: 60]
    #[arg(long, value_name = "N", requires = "played", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub speed: Option<u32>,
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

impl Laboratory {
    #[must_use]
    pub const fn stage(&self) -> Stage {
        match (self.lab, self.rehearse) {
            (true, _) => Stage::Lab,
            (_, true) => Stage::Rehearsal,
            _ => Stage::Real,
        }
    }

    /// The time of the rehearsal: the window opens now.
    #[must_use]
    pub fn pace(&self, plan: &Plan, now: Timestamp) -> Option<Pace> {
        let showed = match plan.window.as_ref().map(|window| &window.opening) {
            Some(Opening::At { opens, .. }) => *opens,
            Some(Opening::WhenStarted { .. }) | None => now,
        };
        self.rehearse.then(|| Pace { speed: self.speed.unwrap_or(REHEARSED), began: now, showed })
    }

    /// Who fails in the rehearsal.
    #[must_use]
    pub fn failing(&self) -> Option<Vec<Failing>> {
        self.rehearse.then(|| self.fail.iter().map(|text| Failing::of(text)).collect())
    }
}

/// The plan to execute, and the lab that was started for it.
///
/// # Errors
/// When `--fail` names nothing that can fail, or the lab cannot be started.
pub fn prepare(args: &Laboratory, mut plan: Plan, plan_dir: &Path, now: Timestamp) -> Result<Prepared, CommandError> {
    let sound = plan.clone();
    if args.stage().is_real() {
        return Ok(Prepared { plan, sound, lab: None });
    }
    for wanted in &args.fail {
        let (step, host) = wanted.split_once('@').map_or((wanted.as_str(), None), |(step, host)| (step, Some(host)));
        lab::inject_failure(&mut plan, step, host)?;
    }
    if args.rehearse {
        // The model fails by itself: what was put into the commands only showed that it can.
        let plan = sim::without_unknowns(&sound);
        return Ok(Prepared { plan, sound, lab: None });
    }
    let started =
        lab::start(&plan, plan_dir, &LabOptions { keep: args.keep, without_ssh: args.without_ssh, parent: None })?;
    let there = |plan| {
        let mut plan = lab::relocate(plan, now, &started);
        lab::speed_up(&mut plan, args.speed.unwrap_or(1));
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
