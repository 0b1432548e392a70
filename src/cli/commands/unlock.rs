//! `runbook unlock`: who holds the hosts of a plan, and taking a lock away from a run that is certainly over. Refused while
//! the hosts' records show anything of that run at work.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::cli::args::By;
use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::setup::{Night, Setup};
use crate::cli::variables::VarArgs;
use crate::cli::{load, output, pager, preflight, reach, store};
use crate::driver::clock;
use crate::graph::Graph;
use crate::graph::job::Site;
use crate::journal::Store;
use crate::journal::audit::{Audited, Deed};
use crate::plan::model::Plan;
use crate::report::escape_for_terminal as esc;
use crate::transport::HostLock;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runbook unlock plans/2007-12-02.yaml                       who holds its hosts; changes nothing
  runbook unlock plans/2007-12-02.yaml --run 2007-12-02-a -m \"its controller burned\"
  runbook unlock plans/2007-12-02.yaml --run 2007-12-02-a --host be2 -m \"be2 was down when it ended\"

A run of this store that is not over takes its locks along: runbook resume")]
pub struct Args {
    /// The plan's file
    plan: PathBuf,
    /// The run that loses its locks, as this command lists it
    #[arg(long, value_name = "RUN", requires = "message")]
    run: Option<String>,
    /// Only on these hosts
    #[arg(long = "host", value_name = "HOST", value_delimiter = ',')]
    hosts: Vec<String>,
    /// Why; it is kept, and `runbook runs` shows it
    #[arg(short, long = "message", value_name = "REASON", requires = "run")]
    message: Option<String>,
    #[command(flatten)]
    vars: VarArgs,
    #[command(flatten)]
    by: By,
}

impl Args {
    pub(in crate::cli) fn plan(&self) -> &Path {
        &self.plan
    }
}

/// What one host says: its lock if it has one, or why it cannot be asked.
type Answer = (Site, Result<Option<HostLock>, String>);

pub fn run(args: &Args, cx: &Context) -> Result<Exit, CommandError> {
    let vars = args.vars.values()?;
    let plan = load::load_or_report(&args.plan, &vars, cx)?.plan;
    let setup = Setup::new(&args.plan, vars, args.by, &cx.settings)?;
    let sites = sites(&plan, &args.hosts)?;
    if sites.is_empty() {
        return Err(CommandError::refused("the plan touches no host, so none can be locked by a run of it"));
    }
    let stem = plan.stem.clone();
    let asked =
        reach::errand(&plan, &setup, None, "unlock", |hosts| async move { hosts.find_lock(sites, &stem).await })?;
    match (&args.run, &args.message) {
        (Some(run), Some(reason)) => take_away(args, cx, (&plan, &setup), &asked, run, reason),
        _ => show(args, cx, &asked),
    }
}

fn sites(plan: &Plan, named: &[String]) -> Result<Vec<Site>, CommandError> {
    let graph = Graph::build(std::sync::Arc::new(plan.clone()));
    let all = preflight::hosts(&graph, &[]);
    let known = |name: &&String| all.iter().any(|site| reach::site_name(site) == name.as_str());
    if let Some(unknown) = named.iter().find(|name| !known(name)) {
        let names: Vec<&str> = all.iter().map(reach::site_name).take(20).collect();
        let error = CommandError::usage(format!("the plan touches no host `{}`", unknown.escape_debug()));
        return Err(error.hint(format!("its hosts: {}", names.join(", "))));
    }
    let wanted = |site: &Site| named.is_empty() || named.iter().any(|name| name == reach::site_name(site));
    Ok(all.into_iter().filter(wanted).collect())
}

fn show(args: &Args, cx: &Context, asked: &[Answer]) -> Result<Exit, CommandError> {
    let locks: Vec<&HostLock> = asked.iter().filter_map(|(_, answer)| answer.as_ref().ok()?.as_ref()).collect();
    let unasked = asked.iter().any(|(_, answer)| answer.is_err());
    if cx.global.json {
        output::json(&json!({ "v": 1, "hosts": asked.iter().map(document).collect::<Vec<_>>() }))?;
    } else {
        let mut lines = table(asked);
        if let Some(lock) = locks.iter().find(|lock| lock.busy.is_empty()) {
            let (plan, run) = (args.plan.display(), short(&lock.run));
            lines.push(String::new());
            lines.push("When that run is certainly over, and only then:".to_owned());
            lines.push(format!("   runbook unlock {plan} --run {run} -m REASON"));
        }
        pager::page_lines(&lines, true)?;
    }
    Ok(if unasked { Exit::Refused } else { Exit::Done })
}

fn table(asked: &[Answer]) -> Vec<String> {
    let wide = asked.iter().map(|(site, _)| reach::site_name(site).len()).max().unwrap_or(0).max(4);
    let line = |(site, answer): &Answer| {
        let said = match answer {
            Err(why) => format!("cannot be asked: {}", esc(why)),
            Ok(None) => "nobody holds it".to_owned(),
            Ok(Some(lock)) => format!("{}; {}", esc(&lock.holder), state(lock)),
        };
        format!("{:<wide$}  {said}", reach::site_name(site))
    };
    let mut lines = vec![format!("{:<wide$}  HELD BY", "HOST")];
    lines.extend(asked.iter().map(line));
    lines
}

/// `at work: deploy@be1.do.1 (pid 4711)`.
fn state(lock: &HostLock) -> String {
    match (lock.busy.as_slice(), lock.open.len()) {
        ([], 0) => "nothing of it is at work".to_owned(),
        ([], 1) => "nothing of it is at work, 1 attempt without a known end".to_owned(),
        ([], n) => format!("nothing of it is at work, {n} attempts without a known end"),
        (busy, _) => format!("AT WORK: {}", esc(&busy.join(", "))),
    }
}

/// A run's name without what tells it from the runs of other stores.
fn short(name_on_hosts: &str) -> &str {
    name_on_hosts.rsplit_once('.').map_or(name_on_hosts, |(run, _)| run)
}

fn take_away(
    args: &Args,
    cx: &Context,
    (plan, setup): (&Plan, &Setup),
    asked: &[Answer],
    run: &str,
    reason: &str,
) -> Result<Exit, CommandError> {
    let (run, sites) = meant(asked, run)?;
    let mut store = store::open(cx)?;
    not_ours(&store, &run)?;
    let busy: Vec<String> = asked
        .iter()
        .filter_map(|(site, answer)| Some((site, answer.as_ref().ok()?.as_ref()?)))
        .filter(|(_, lock)| lock.run == run && !lock.busy.is_empty())
        .map(|(site, lock)| format!("   {}: {}", reach::site_name(site), esc(&lock.busy.join(", "))))
        .collect();
    if !busy.is_empty() {
        let error = CommandError::refused(format!("run {} is still at work; nothing was unlocked", short(&run)));
        return Err(busy.into_iter().fold(error, CommandError::hint));
    }
    // Before the locks are gone: what cannot be written down must not happen.
    let names: Vec<&str> = sites.iter().map(reach::site_name).collect();
    let by = cx.user.clone();
    let why = format!("{} on {}: {reason}", plan.stem, names.join(", "));
    store.audit(&Audited { at: clock::now(), deed: Deed::Unlocked, run: run.clone(), by, reason: Some(why) })?;
    let stem = plan.stem.clone();
    let owner = run.clone();
    let done =
        reach::errand(
            plan,
            setup,
            None,
            "unlock",
            |hosts| async move { hosts.take_lock_away(sites, &stem, &owner).await },
        )?;
    said(args, cx, &run, &done)
}

/// The one run that is meant, by its name on hosts, and the hosts that it holds.
fn meant(asked: &[Answer], named: &str) -> Result<(String, Vec<Site>), CommandError> {
    let locks: Vec<(&Site, &HostLock)> =
        asked.iter().filter_map(|(site, answer)| Some((site, answer.as_ref().ok()?.as_ref()?))).collect();
    let mut names: Vec<&str> = locks.iter().map(|(_, lock)| lock.run.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let matching: Vec<&str> = names.iter().copied().filter(|name| *name == named || short(name) == named).collect();
    match matching.as_slice() {
        [one] => {
            let held = locks.iter().filter(|(_, lock)| lock.run == *one).map(|(site, _)| (*site).clone());
            Ok(((*one).to_owned(), held.collect()))
        }
        [] => {
            let error = CommandError::refused(format!("run `{}` holds none of these hosts", named.escape_debug()));
            Err(names.iter().fold(error, |e, name| e.hint(format!("held by run {}", esc(short(name))))))
        }
        several => {
            let error = CommandError::usage(format!("runs of several stores are called {named}; say which"));
            Err(several.iter().fold(error, |e, name| e.hint(format!("   --run {name}"))))
        }
    }
}

/// A run of this store that is not over needs its locks.
fn not_ours(store: &Store, name_on_hosts: &str) -> Result<(), CommandError> {
    for run in store.open_runs()? {
        if Night::thaw(store, &run.id)?.started.name_on_hosts() == name_on_hosts {
            let error = CommandError::refused(format!("run {} is not over, and its locks are its own", run.id));
            return Err(error
                .hint(format!("go on with it, locks included:   runbook resume {}", run.id))
                .hint(format!("what is known of it:   runbook status {}", run.id)));
        }
    }
    Ok(())
}

fn said(args: &Args, cx: &Context, run: &str, done: &[(Site, Result<(), String>)]) -> Result<Exit, CommandError> {
    let failed = done.iter().any(|(_, answer)| answer.is_err());
    let words = |answer: &Result<(), String>| answer.as_ref().err().map_or("unlocked".to_owned(), |why| esc(why));
    if cx.global.json {
        let hosts: Vec<_> = done
            .iter()
            .map(|(site, answer)| {
                json!({ "host": reach::site_name(site), "unlocked": answer.is_ok(), "why": answer.as_ref().err() })
            })
            .collect();
        output::json(&json!({ "v": 1, "run": run, "hosts": hosts }))?;
    } else {
        let line =
            |(site, answer): &(Site, Result<(), String>)| format!("{}: {}", reach::site_name(site), words(answer));
        let mut lines: Vec<String> = done.iter().map(line).collect();
        if failed {
            lines.push(format!("again for the others:   runbook unlock {}", args.plan.display()));
        }
        pager::put_lines(&lines)?;
    }
    Ok(if failed { Exit::Refused } else { Exit::Done })
}

fn document((site, answer): &Answer) -> serde_json::Value {
    let host = reach::site_name(site);
    match answer {
        Err(why) => json!({ "host": host, "error": why }),
        Ok(None) => json!({ "host": host, "held": null }),
        Ok(Some(lock)) => json!({
            "host": host,
            "held": { "run": lock.run, "by": lock.holder, "at_work": lock.busy, "without_end": lock.open },
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(host: &str, run: &str) -> Answer {
        let lock = HostLock { run: run.into(), holder: format!("run {run}"), ..HostLock::default() };
        (Site::Host(host.into()), Ok(Some(lock)))
    }

    #[test]
    fn a_run_is_meant_by_its_name_unless_two_stores_have_it() {
        let asked = [held("a", "night-a.01"), held("b", "night-a.01"), held("c", "other-b.02")];
        let (run, sites) = meant(&asked, "night-a").unwrap();
        assert_eq!((run.as_str(), sites.len()), ("night-a.01", 2));
        assert!(meant(&asked, "night").is_err(), "a beginning could mean another run");
        let twice = [held("a", "night-a.01"), held("b", "night-a.02")];
        assert_eq!(meant(&twice, "night-a").unwrap_err().exit().code(), 2);
        assert_eq!(meant(&twice, "night-a.02").unwrap().0, "night-a.02");
    }
}
