//! What runs that are over leave behind, on hosts and here, and removing it. Never of a run that may still need it.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::error::CommandError;
use super::setup::Night;
use super::{preflight, reach};
use crate::engine::fact::RunEnd;
use crate::graph::Graph;
use crate::graph::job::Site;
use crate::journal::audit::{Audited, Deed};
use crate::journal::{RunRow, Store};
use crate::transport::Hosts;

/// What is kept although its run is over.
#[derive(Debug, Clone, Copy)]
pub struct Keep {
    /// Of each plan the newest so many; nights, those of the lab and rehearsals each by themselves.
    pub newest: usize,
    /// And whatever ended less than this ago.
    pub younger_than: SignedDuration,
}

impl Default for Keep {
    fn default() -> Self {
        Self { newest: 5, younger_than: SignedDuration::from_hours(30 * 24) }
    }
}

/// Runs whose records nobody needs any more, newest first. Not those that are stuck: their hosts are neither old nor new.
///
/// # Errors
/// Those of the store.
pub fn due(store: &Store, keep: Keep, now: Timestamp) -> Result<Vec<RunRow>, CommandError> {
    let gone: Vec<String> =
        store.audited()?.into_iter().filter(|done| done.deed == Deed::Pruned).map(|done| done.run).collect();
    let over: Vec<RunRow> = store.runs()?.into_iter().filter(|run| run.closed.is_some()).collect();
    // A night is not forgotten because of what was played since.
    let same = |a: &RunRow, b: &RunRow| a.plan == b.plan && a.stage == b.stage;
    let newer = |at: usize| over[..at].iter().filter(|other| same(other, &over[at])).count();
    let old = |run: &RunRow| run.closed.is_some_and(|at| now.duration_since(at) >= keep.younger_than);
    let stuck = |run: &RunRow| matches!(run.end, Some(RunEnd::Stuck { .. }));
    let due = (0..over.len()).filter(|at| {
        let run = &over[*at];
        newer(*at) >= keep.newest && old(run) && !stuck(run) && !gone.contains(&run.id)
    });
    Ok(due.map(|at| over[at].clone()).collect())
}

/// Where a run has left records. A lab took its own along, and a rehearsal has none.
fn sites(night: &Night) -> Vec<Site> {
    if !night.started.options.stage().is_real() {
        return Vec::new();
    }
    let graph = Graph::build(Arc::new(night.plan.clone()));
    let hosts = preflight::hosts(&graph, &night.started.options.hosts_left_out);
    hosts.into_iter().chain([Site::Controller]).collect()
}

/// Removes what a run left on its hosts and here, over connections of its own. The journal keeps its facts.
///
/// # Errors
/// Says which hosts could not be asked, or have something of the run at work; then it is left for another time.
pub fn prune(store: &mut Store, run: &RunRow, by: &str, now: Timestamp) -> Result<String, CommandError> {
    let night = Night::thaw(store, &run.id)?;
    let sites = sites(&night);
    let name = night.started.name_on_hosts();
    let answers =
        match sites.is_empty() {
            true => Vec::new(),
            false => reach::errand(&night.plan, &night.setup, None, &name, |hosts| async move {
                hosts.forget(sites, None).await
            })?,
        };
    removed(store, run, &answers, by, now)
}

/// The same by the hosts of another run, for old runs of its plan. Whatever goes wrong is left for another time.
pub async fn tidy(dir: &Path, hosts: &Hosts, plan: &str, now: Timestamp) -> Result<(), CommandError> {
    let Some(mut store) = Store::open_existing(dir)? else { return Ok(()) };
    let due = due(&store, Keep::default(), now)?;
    for run in due.into_iter().filter(|run| run.plan == plan && run.stage.is_real()) {
        let night = Night::thaw(&store, &run.id)?;
        let answers = hosts.forget(sites(&night), Some(&night.started.name_on_hosts())).await;
        let _left_for_another_time = removed(&mut store, &run, &answers, "runbook", now);
    }
    Ok(())
}

fn removed(
    store: &mut Store,
    run: &RunRow,
    answers: &[(Site, Result<(), String>)],
    by: &str,
    now: Timestamp,
) -> Result<String, CommandError> {
    let failed: Vec<String> = answers
        .iter()
        .filter_map(|(site, answer)| Some(format!("{}: {}", reach::site_name(site), answer.as_ref().err()?)))
        .collect();
    if !failed.is_empty() {
        return Err(CommandError::refused(failed.join("; ")));
    }
    let hosts = answers.iter().filter(|(site, _)| *site != Site::Controller).count();
    let logs = store.run_dir(&run.id);
    let bytes = size(&logs);
    if logs.exists() {
        fs::remove_dir_all(&logs)?;
    }
    let mut what = format!("{} of logs", words(bytes));
    if hosts > 0 {
        let _ = write!(what, ", records on {hosts} host{}", if hosts == 1 { "" } else { "s" });
    }
    let reason = Some(what.clone());
    store.audit(&Audited { at: now, deed: Deed::Pruned, run: run.id.clone(), by: by.to_owned(), reason })?;
    Ok(what)
}

/// Bytes of all files below.
fn size(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let of = |entry: fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => size(&entry.path()),
        Ok(_) => entry.metadata().map_or(0, |meta| meta.len()),
        Err(_) => 0,
    };
    entries.map(of).sum()
}

fn words(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{} kB", bytes.div_ceil(1_000)),
        _ => format!("{} MB", bytes.div_ceil(1_000_000)),
    }
}
