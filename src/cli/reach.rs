//! How this process and an engine reach a run's plan and hosts. Decides nothing.

use std::path::Path;
use std::sync::Arc;

use super::context::Context;
use super::error::CommandError;
use super::exit::Exit;
use super::setup::Setup;
use crate::lab::Lab;
use crate::plan::model::Plan;
use crate::transport::{Survey, SurveyRequest, Transport};

pub fn load(file: &Path, _var: &[String], _vars: Option<&Path>) -> Result<Plan, CommandError> {
    let text = std::fs::read_to_string(file)?;
    serde_json::from_str(&text).map_err(|e| CommandError::usage(e.to_string()))
}

pub fn dry_run(_file: &Path, _var: &[String], _vars: Option<&Path>, _cx: &Context) -> Result<Exit, CommandError> {
    Err(CommandError::unexpected("`plan` is not written yet"))
}

pub fn digest(_plan: &Plan) -> String {
    String::new()
}

pub fn survey(
    _plan: &Plan,
    _setup: &Setup,
    _lab: Option<&Lab>,
    _requests: Vec<SurveyRequest>,
) -> Result<Vec<Survey>, CommandError> {
    Ok(Vec::new())
}

pub fn transport(
    _plan: &Plan,
    _setup: &Setup,
    _run: &str,
    _epoch: u64,
    _run_dir: &Path,
    _lab: Option<&Lab>,
) -> Result<Arc<dyn Transport>, CommandError> {
    Err(CommandError::unexpected("no transport yet"))
}
