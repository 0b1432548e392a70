//! The lab's hosts: a folder, an address, an environment and a login each. Knows nothing of sshd.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use indexmap::{IndexMap, IndexSet};
use serde::{Deserialize, Serialize};

use super::dir::write_script;
use super::sshd::AddressBlock;
use super::{EFFECTS, Lab, LabError, io, quoted, shims};
use crate::plan::model::{HostName, Place, Plan, Verb};

/// The name of this machine in a plan (`hosts: local`).
pub(super) const LOCAL: &str = "local";

/// How many hosts are set up at once.
const AT_ONCE: usize = 8;

/// One host of a lab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabHost {
    pub name: HostName,
    /// Its own loopback address, for the ports of its services.
    pub address: String,
    /// Its own folder: `HOME`, and the working directory of its commands.
    pub dir: PathBuf,
    /// What its commands find in their environment. A local transport must set all of it.
    pub env: BTreeMap<String, String>,
}

/// What a plan brings along for the lab: the folder `NAME.lab` beside `NAME.yaml`.
pub(super) struct LabFolder {
    pub dir: PathBuf,
}

impl LabFolder {
    pub(super) fn beside(plan: &Plan, plan_dir: &Path) -> Option<Self> {
        let dir = std::path::absolute(plan_dir.join(format!("{}.lab", plan.stem))).ok()?;
        dir.is_dir().then_some(Self { dir })
    }
}

impl LabHost {
    pub(super) fn bare(name: &str, lab_dir: &Path) -> Self {
        // A name may be made of dots alone; a folder's may not.
        let dir = lab_dir.join("h").join(if name.starts_with('.') { format!("_{name}") } else { name.to_owned() });
        Self { name: name.to_owned(), address: "127.0.0.1".to_owned(), dir, env: BTreeMap::new() }
    }

    /// The script that is every login of this host: its environment, its folder, then `$SSH_ORIGINAL_COMMAND`.
    #[must_use]
    pub fn session(&self) -> PathBuf {
        self.dir.join(".session")
    }
}

/// The plan's hosts, then the jump hosts that are none of them.
pub(super) fn names(plan: &Plan) -> IndexSet<HostName> {
    let mut all: IndexSet<HostName> = plan.hosts.keys().cloned().collect();
    all.extend(plan.hosts.values().filter_map(|h| h.via.as_deref()).map(|via| jump_name(via).to_owned()));
    all
}

/// The name in `user@name:port`.
pub(super) fn jump_name(via: &str) -> &str {
    let name = via.rsplit_once('@').map_or(via, |(_, name)| name);
    name.split_once(':').map_or(name, |(name, _)| name)
}

/// Makes every host's folder, and this machine's.
pub(super) fn make(
    plan: &Plan,
    names: &IndexSet<HostName>,
    block: &AddressBlock,
    folder: Option<&LabFolder>,
    lab_dir: &Path,
) -> Result<(IndexMap<HostName, LabHost>, LabHost), LabError> {
    let mut hosts = IndexMap::new();
    let mut table = String::new();
    let path = path_of(folder, lab_dir);
    let boot = folder.map_or_else(String::new, |f| f.dir.join("boot").display().to_string());
    for (index, name) in names.iter().enumerate() {
        let mut host = LabHost { address: block.address(index), ..LabHost::bare(name, lab_dir) };
        let groups = groups_of(plan, name);
        let _ = writeln!(table, "{} {name} {}", host.address, if groups.is_empty() { "-" } else { &groups });
        host.env = environment(&host, &groups, &path, lab_dir);
        host.env.extend(boot_of(&host, &boot)?);
        build(&host, &destinations(plan, |place| matches!(place, Place::Hosts(h) if h.contains(name))))?;
        hosts.insert(name.clone(), host);
    }
    let mut local = LabHost { address: block.address(names.len()), ..LabHost::bare(LOCAL, lab_dir) };
    local.env = environment(&local, "", &path, lab_dir);
    build(&local, &destinations(plan, |place| matches!(place, Place::Controller)))?;
    let file = lab_dir.join("hosts");
    fs::write(&file, table).map_err(io("write", &file))?;
    Ok((hosts, local))
}

fn groups_of(plan: &Plan, host: &str) -> String {
    let of_host = plan.groups.iter().filter(|(_, members)| members.iter().any(|m| m == host));
    of_host.map(|(group, _)| group.as_str()).collect::<Vec<_>>().join(" ")
}

/// The plan's own commands, then the stand-ins, then what this machine has.
pub(super) fn path_of(folder: Option<&LabFolder>, lab_dir: &Path) -> String {
    let mut dirs: IndexSet<String> = IndexSet::new();
    dirs.extend(folder.map(|f| f.dir.join("bin").display().to_string()));
    dirs.insert(lab_dir.join(shims::BIN).display().to_string());
    let ours = std::env::var("PATH").unwrap_or_default();
    dirs.extend(ours.split(':').filter(|d| d.starts_with('/')).map(str::to_owned));
    let usual = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    dirs.extend(usual.split(':').map(str::to_owned));
    dirs.into_iter().collect::<Vec<_>>().join(":")
}

fn environment(host: &LabHost, groups: &str, path: &str, lab_dir: &Path) -> BTreeMap<String, String> {
    let home = host.dir.display();
    let pairs = [
        ("HOME", home.to_string()),
        ("PATH", path.to_owned()),
        ("TMPDIR", format!("{home}/tmp")),
        ("HOST", host.name.clone()),
        ("LAB_DIR", lab_dir.display().to_string()),
        ("LAB_HOST", host.name.clone()),
        ("LAB_HOST_DIR", home.to_string()),
        ("LAB_ADDRESS", host.address.clone()),
        ("LAB_GROUPS", groups.to_owned()),
        // What `copy` and `template` put into place is found below this.
        ("LAB_ROOT", format!("{home}/root")),
        // Where the runner keeps its records.
        ("RUNBOOK_HOME", format!("{home}/.runbook")),
    ];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A host of a lab is restarted without its machine: it has a boot id of its own, at first the machine's.
fn boot_of(host: &LabHost, script: &str) -> Result<[(String, String); 2], LabError> {
    let file = host.dir.join(".boot_id");
    let copied = fs::create_dir_all(&host.dir).and_then(|()| fs::read("/proc/sys/kernel/random/boot_id"));
    copied.and_then(|id| fs::write(&file, id)).map_err(io("write", &file))?;
    // What starts the host's services after a restart: the plan's `boot`, where it has one.
    Ok([("RUNBOOK_BOOT_ID", file.display().to_string()), ("LAB_BOOT", script.to_owned())]
        .map(|(name, value)| (name.to_owned(), value)))
}

/// The folders into which the plan's files are put on a host; a real host has them.
fn destinations(plan: &Plan, is_here: impl Fn(&Place) -> bool) -> Vec<String> {
    let here = plan.steps.values().filter(|s| is_here(&s.place));
    let files = here.filter_map(|step| match &step.verb {
        Verb::Copy(file) | Verb::Template { file, .. } => Some(file.dest.as_str()),
        _ => None,
    });
    files.filter_map(|dest| dest.rsplit_once('/')).map(|(folder, _)| folder.to_owned()).collect()
}

fn build(host: &LabHost, destinations: &[String]) -> Result<(), LabError> {
    let below_root = destinations.iter().map(|folder| host.dir.join(format!("root{folder}")));
    for dir in [host.dir.join("tmp"), host.dir.join("root")].into_iter().chain(below_root) {
        fs::create_dir_all(&dir).map_err(io("make", &dir))?;
    }
    let mut text = format!(
        "#!/bin/sh\n# Every login of the lab's host {}: its environment, its folder, then the command.\ncd {} || exit 255\n",
        host.name,
        quoted(&host.dir.display().to_string())
    );
    for (name, value) in &host.env {
        let _ = writeln!(text, "export {name}={}", quoted(value));
    }
    text.push_str("unset OLDPWD SHLVL ZDOTDIR MAIL\n");
    text.push_str("[ ! -e \"$LAB_HOST_DIR/.down\" ] || exit 255\n");
    text.push_str("[ -n \"${SSH_ORIGINAL_COMMAND+set}\" ] || exec sh -i\nexec sh -c \"$SSH_ORIGINAL_COMMAND\"\n");
    write_script(&host.session(), &text).map_err(io("write", &host.session()))
}

/// Executes the plan's `setup` on every host, some at a time.
pub(super) fn set_up(lab: &Lab, folder: &LabFolder) -> Result<(), LabError> {
    let setup = &folder.dir.join("setup");
    if !setup.is_file() {
        return Ok(());
    }
    let hosts: Vec<&LabHost> = lab.hosts.values().collect();
    for some in hosts.chunks(AT_ONCE) {
        std::thread::scope(|scope| {
            let started: Vec<_> = some.iter().map(|host| scope.spawn(|| set_up_one(host, setup))).collect();
            let ended = started.into_iter().map(|t| t.join().expect("setting up a host does not panic"));
            ended.collect::<Result<Vec<()>, LabError>>()
        })?;
    }
    Ok(())
}

/// The night begins with nothing done.
pub(super) fn forget_effects(lab_dir: &Path) -> Result<(), LabError> {
    let log = lab_dir.join(EFFECTS);
    fs::write(&log, "").map_err(io("write", &log))
}

fn set_up_one(host: &LabHost, setup: &Path) -> Result<(), LabError> {
    let failed = |why: String| LabError::Setup { host: host.name.clone(), why };
    // Output goes to a file: a service started by `setup` may keep a pipe open for ever.
    let log = host.dir.join(".setup.log");
    let out = fs::File::create(&log).map_err(io("write", &log))?;
    let err = out.try_clone().map_err(io("write", &log))?;
    let mut command = Command::new(setup);
    command.env_clear().envs(&host.env).current_dir(&host.dir);
    let status = command
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .status()
        .map_err(|e| failed(format!("{}: {e}", setup.display())))?;
    if status.success() {
        return Ok(());
    }
    let mut said = String::new();
    if let Ok(mut file) = fs::File::open(&log) {
        let _ = file.read_to_string(&mut said);
    }
    let last = said.lines().last().unwrap_or("it said nothing");
    Err(failed(format!("{} ended with {status}: {last}", setup.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_jump_host_is_read_from_every_spelling() {
        for via in ["bastion", "me@bastion", "bastion:2222", "me@bastion:2222"] {
            assert_eq!(jump_name(via), "bastion");
        }
    }
}
