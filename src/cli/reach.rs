//! How `exec` and an engine reach the hosts and files of a run. Decides nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::absent;
use super::error::CommandError;
use super::setup::Setup;
use crate::graph::Graph;
use crate::graph::job::Site;
use crate::lab::Lab;
use crate::plan::model::{HostName, Plan, SecretRef, Step, Value, Verb};
use crate::transport::{Config, Hosts, Means, NoAnswer, Reached, Survey, SurveyRequest, Taking, Transport, unresolved};

/// Asks the sites for their state, over connections of its own.
///
/// # Errors
/// When nothing can be asked at all; what single hosts say is in the answer.
pub fn survey(
    plan: &Plan,
    setup: &Setup,
    lab: Option<&Lab>,
    requests: Vec<SurveyRequest>,
) -> Result<Vec<Survey>, CommandError> {
    let answers = errand(plan, setup, lab, "preflight", |hosts| async move { hosts.survey(requests).await })?;
    Ok(answers.map_err(std::io::Error::other)?)
}

/// The hosts of a plan before there is a run. Must be called inside a runtime.
///
/// # Errors
/// When an address cannot be given to ssh, or the lab is gone.
pub fn before(plan: &Plan, setup: &Setup) -> Result<Hosts, CommandError> {
    let lab = setup.lab.as_deref().map(Lab::open).transpose()?;
    Ok(Hosts::new(config(plan, setup, "preflight", 0, Path::new("/nonexistent"), lab.as_ref()))?)
}

/// Does something short with the hosts of a plan, over connections of its own. `run` is a run's name on hosts.
///
/// # Errors
/// When nothing can be done at all; what single hosts say is in the answer.
pub fn errand<T, F: Future<Output = T>>(
    plan: &Plan,
    setup: &Setup,
    lab: Option<&Lab>,
    run: &str,
    work: impl FnOnce(Arc<Hosts>) -> F,
) -> Result<T, CommandError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let hosts = Arc::new(Hosts::new(config(plan, setup, run, 0, Path::new("/nonexistent"), lab))?);
        let done = work(hosts.clone()).await;
        let _ = hosts.close().await;
        Ok(done)
    })
}

/// What would reach a host, or why nothing would.
pub type Way = (HostName, Result<Reached, String>);

/// By what each of the hosts would be reached. Reads files and asks the agent; connects to no host.
///
/// # Errors
/// When nothing can be found out at all.
pub fn ways(plan: &Plan, setup: &Setup) -> Result<Vec<Way>, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let transport = Hosts::new(config(plan, setup, "preflight", 0, Path::new("/nonexistent"), None))?;
        let mut ways = Vec::new();
        for host in plan.hosts.keys() {
            ways.push((host.clone(), transport.reached(host).await));
        }
        Ok(ways)
    })
}

/// By what the hosts were reached, in a few lines: those with one reason share one. Empty where it was `ssh` as usual.
#[must_use]
pub fn in_words(surveys: &[Survey]) -> Vec<String> {
    let (mut native, mut others) = (0, BTreeMap::<&str, Vec<&str>>::new());
    for (site, reached) in surveys.iter().filter_map(|s| Some((&s.site, s.reached.as_ref()?))) {
        match reached {
            Reached { means: Means::Native, .. } => native += 1,
            Reached { not_native: Some(why), .. } => others.entry(why).or_default().push(site_name(site)),
            Reached { not_native: None, .. } => {}
        }
    }
    let hosts = |n: usize| if n == 1 { "1 host".to_owned() } else { format!("{n} hosts") };
    let first = (native > 0).then(|| format!("{} reached without ssh, by the native transport", hosts(native)));
    let rest = others.into_iter().map(|(why, names)| match names.len() {
        1..=3 => format!("{} by ssh: {why}", names.join(", ")),
        n => format!("{} and {} more by ssh: {why}", names[0], n - 1),
    });
    first.into_iter().chain(rest).collect()
}

/// The hosts of a run, for its engine, over the connections of `connected` where there are some; `run` is its name on hosts.
/// Must be called inside a runtime.
///
/// # Errors
/// When an address cannot be given to ssh.
pub fn transport(
    plan: &Plan,
    setup: &Setup,
    run: &str,
    epoch: u64,
    run_dir: &Path,
    lab: Option<&Lab>,
    connected: Option<&Hosts>,
) -> Result<Arc<Hosts>, CommandError> {
    let config = config(plan, setup, run, epoch, &run_dir.join("logs"), lab);
    Ok(Arc::new(match connected {
        Some(hosts) => hosts.taken_over(config),
        None => Hosts::new(config)?,
    }))
}

/// Takes this plan's lock on every host of the run, so that another controller with a store of its own cannot execute the
/// same plan there meanwhile. Gives the hosts that are away and without which the run can begin.
///
/// # Errors
/// When another run holds one of them, or a host that is needed cannot be asked; nothing stays locked then.
pub async fn lock(hosts: &Hosts, graph: &Graph, sites: &[Site], holder: &str) -> Result<Vec<HostName>, CommandError> {
    let plan = &*graph.plan().stem;
    let answers = hosts.lock(sites.to_vec(), plan, holder).await;
    let away = answers.iter().filter_map(|(site, taking)| match taking {
        Taking::NotAsked(NoAnswer::Away(_)) => Some(site_name(site)),
        Taking::Taken | Taking::Refused(_) | Taking::NotAsked(NoAnswer::Distrusted(_)) => None,
    });
    let spared = absent::tolerated(graph, &away.collect());
    let needed = answers.iter().filter(|(site, _)| !spared.contains_key(site_name(site)));
    let refused = needed.filter_map(|(site, taking)| match taking {
        Taking::Taken => None,
        Taking::Refused(why) => Some(format!("   {}: {why}", site_name(site))),
        Taking::NotAsked(why) => Some(format!("   {}: {why}", site_name(site))),
    });
    let refused: Vec<String> = refused.collect();
    if refused.is_empty() {
        return Ok(spared.into_keys().map(str::to_owned).collect());
    }
    unlock(hosts, sites, plan).await;
    let error = CommandError::refused(format!("not every host could be locked for {plan}; nothing was started"));
    let way = "who holds them, and a way out when that run is certainly over:   runbook unlock PLAN";
    Err(refused.into_iter().fold(error, CommandError::hint).hint(way))
}

/// Gives the locks of a run back. What cannot be reached keeps its lock, which names the run.
pub async fn unlock(hosts: &Hosts, sites: &[Site], plan: &str) {
    hosts.unlock(sites.to_vec(), plan).await;
}

/// Why secrets of the plan have no value on this machine; one sentence each, without any value.
///
/// # Errors
/// When nothing can be asked at all.
pub fn missing_secrets(plan: &Plan, setup: &Setup) -> Result<Vec<String>, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(unresolved(&secrets(plan), setup.plan_dir())))
}

/// The name of a site, for people.
pub fn site_name(site: &Site) -> &str {
    match site {
        Site::Controller => "this machine",
        Site::Host(name) => name,
    }
}

fn config(plan: &Plan, setup: &Setup, run: &str, epoch: u64, logs: &Path, lab: Option<&Lab>) -> Config {
    let mut config = Config::new(run, epoch, plan.hosts.clone(), setup.plan_dir().to_owned(), logs.to_owned());
    match lab {
        Some(Lab { ssh_config: Some(file), .. }) => config.ssh_config = Some(file.clone()),
        Some(lab) => config.sessions = lab.hosts.values().map(|host| (host.name.clone(), host.session())).collect(),
        None => {}
    }
    config.local_dir.clone_from(&setup.records);
    config.means = setup.transport;
    if let Some(connections) = setup.connections {
        config.connect_at_once = usize::from(connections.get());
    }
    config.secrets = secrets(plan);
    config
}

/// Where the secrets of the plan come from, for people.
#[must_use]
pub fn sources_of_secrets(plan: &Plan) -> Vec<String> {
    let named = |secret: SecretRef| match secret {
        SecretRef::Env(name) => format!("${name}"),
        SecretRef::File(path) => format!("the file {path}"),
        SecretRef::Command(command) => format!("what `{command}` prints"),
    };
    secrets(plan).into_iter().map(named).collect()
}

/// Every secret that the plan names, once each.
fn secrets(plan: &Plan) -> Vec<SecretRef> {
    let of_step = |step: &Step| match &step.verb {
        Verb::Template { vars, .. } => vars.values().cloned().collect::<Vec<_>>(),
        _ => Vec::new(),
    };
    let steps = plan.steps.values().chain(&plan.after_rollback).flat_map(of_step);
    let hosts = plan.hosts.values().flat_map(|host| host.vars.values().cloned());
    let all = plan.vars.values().cloned().chain(hosts).chain(steps);
    let mut found = BTreeMap::new();
    all.for_each(|value| collect(&value, &mut found));
    found.into_values().collect()
}

fn collect(value: &Value, found: &mut BTreeMap<String, SecretRef>) {
    match value {
        Value::Secret(secret) => {
            found.insert(format!("{secret:?}"), secret.clone());
        }
        Value::List(values) => values.iter().for_each(|value| collect(value, found)),
        Value::Map(entries) => entries.values().for_each(|value| collect(value, found)),
        Value::Text(_) | Value::Bool(_) | Value::Int(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reached(host: String, means: Means, not_native: Option<&str>) -> Survey {
        let reached = Some(Reached { means, not_native: not_native.map(str::to_owned) });
        let answer = Err(NoAnswer::Away("asleep".into()));
        Survey { site: Site::Host(host), reached, answer, took: std::time::Duration::ZERO }
    }

    #[test]
    fn hosts_with_one_reason_share_a_line() {
        let native = |n: u32| reached(format!("web{n}"), Means::Native, None);
        let ssh = |n: u32, why: &str| reached(format!("db{n}"), Means::Openssh, Some(why));
        let all: Vec<_> = (1..=3).map(native).chain((1..=5).map(|n| ssh(n, "x"))).chain([ssh(6, "y")]).collect();
        assert_eq!(
            in_words(&all),
            ["3 hosts reached without ssh, by the native transport", "db1 and 4 more by ssh: x", "db6 by ssh: y"]
        );
        assert_eq!(in_words(&[reached("web1".into(), Means::Openssh, None)]), [""; 0]);
    }
}
