//! Connections to hosts: one ssh master or a few per host, eight sessions on each, connects bounded. Knows nothing of
//! attempts. The user's own ssh configuration is honoured, except for what would weaken the run: see [`config_text`].

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indexmap::IndexMap;
use openssh::{ControlPersist, KnownHosts, Session, SessionBuilder, Stdio};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

use super::channel::Channel;
use super::hosts::Config;
use super::{jitter, offered};
use crate::plan::model::{Host, HostName};

/// Below sshd's default `MaxSessions 10`, because a slot is freed a little after its session's end.
const SESSIONS_PER_CONNECTION: usize = 8;
const CONNECTIONS_PER_HOST: usize = 4;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A master whose controller died goes away after this many idle seconds.
const IDLE_SECONDS: usize = 60;
/// Connects that a busy sshd (MaxStartups) drops before authentication are tried again this often.
const CONNECT_TRIES: u32 = 4;
/// The longest control directory that leaves room for ssh's own names in a socket's path.
const LONGEST_DIRECTORY: usize = 61;

/// All connections of one run.
#[derive(Debug)]
pub(super) struct Links {
    builder: SessionBuilder,
    hosts: BTreeMap<HostName, HostLinks>,
    connects: Arc<Semaphore>,
    /// Removed with everything in it at the end.
    directory: tempfile::TempDir,
    /// The ssh configuration of the run.
    config: PathBuf,
}

#[derive(Debug, Default)]
struct HostLinks {
    open: Mutex<Vec<Arc<Link>>>,
}

#[derive(Debug)]
struct Link {
    session: Arc<Session>,
    slots: Arc<Semaphore>,
    dead: AtomicBool,
}

impl Links {
    /// Prepares connections; opens none.
    ///
    /// # Errors
    /// A host whose address cannot be an ssh option, or no short private directory for the control sockets.
    pub(super) fn new(settings: &Config) -> io::Result<Self> {
        let directory = short_directory()?;
        let config = directory.path().join("config");
        let (every, times) = settings.keepalive;
        let keepalive = format!("ServerAliveInterval {}\nServerAliveCountMax {times}\n", every.as_secs());
        let text = config_text(&settings.hosts, settings.ssh_config.as_deref())?;
        std::fs::write(&config, keepalive + &text)?;
        let mut builder = SessionBuilder::default();
        builder
            .known_hosts_check(KnownHosts::Strict)
            .config_file(&config)
            .control_directory(directory.path())
            .control_persist(NonZeroUsize::new(IDLE_SECONDS).map_or(ControlPersist::Forever, ControlPersist::IdleFor))
            .connect_timeout(CONNECT_TIMEOUT);
        let hosts = settings.hosts.keys().map(|name| (name.clone(), HostLinks::default())).collect();
        Ok(Self {
            builder,
            hosts,
            connects: Arc::new(Semaphore::new(settings.connect_at_once.max(1))),
            directory,
            config,
        })
    }

    /// A private directory whose path is short enough for sockets.
    pub(super) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Starts `command` on the host, connecting when needed.
    ///
    /// # Errors
    /// Why it cannot be done, in plain words. Nothing has reached the host's command then.
    pub(super) async fn open(&self, host: &str, command: &str) -> Result<Channel, String> {
        let links = self.hosts.get(host).ok_or_else(|| format!("the plan has no host {host}"))?;
        let mut refused = 0;
        loop {
            let (link, slot) = self.link(host, links).await?;
            let error = match spawn(&link, command).await {
                Ok(child) => return Ok(Channel::remote(child, slot)),
                Err(error) => chain(&error),
            };
            refused += 1;
            if refused > 20 {
                return Err(in_plain_words(&error));
            }
            if error.contains("refused by peer") {
                drop(slot);
                tokio::time::sleep(jitter(Duration::from_millis(10 << refused.min(6)))).await;
            } else {
                link.dead.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Starts `command` on a connection of its own. It ends with the connection that is given back.
    ///
    /// # Errors
    /// Why it cannot be done, in plain words.
    pub(super) async fn open_apart(&self, host: &str, command: &str) -> Result<(Channel, Arc<Session>), String> {
        let session = Arc::new(self.connect(host).await?);
        let slots = Arc::new(Semaphore::new(1));
        let slot = slots.clone().acquire_owned().await.map_err(|_| "closed".to_owned())?;
        let link = Link { session: session.clone(), slots, dead: AtomicBool::new(false) };
        let child = spawn(&link, command).await.map_err(|e| in_plain_words(&chain(&e)))?;
        Ok((Channel::remote(child, slot), session))
    }

    /// A live connection with a free slot. Connects of one host wait for one another, so that a burst of actions on a
    /// host makes one connection and not one each.
    async fn link(&self, host: &str, links: &HostLinks) -> Result<(Arc<Link>, OwnedSemaphorePermit), String> {
        let mut open = links.open.lock().await;
        open.retain(|link| !link.dead.load(Ordering::Relaxed));
        for link in open.iter() {
            if let Ok(slot) = link.slots.clone().try_acquire_owned() {
                return Ok((link.clone(), slot));
            }
        }
        let link = if open.len() >= CONNECTIONS_PER_HOST {
            open[jitter_index(open.len())].clone()
        } else {
            let session = self.connect(host).await?;
            let slots = Arc::new(Semaphore::new(SESSIONS_PER_CONNECTION));
            let link = Arc::new(Link { session: Arc::new(session), slots, dead: AtomicBool::new(false) });
            open.push(link.clone());
            link
        };
        drop(open);
        let slot = link.slots.clone().acquire_owned().await.map_err(|_| "closed".to_owned())?;
        Ok((link, slot))
    }

    async fn connect(&self, host: &str) -> Result<Session, String> {
        let mut tries = 0;
        loop {
            let permit = self.connects.acquire().await.map_err(|_| "closed".to_owned())?;
            let error = match self.builder.connect_mux(host).await {
                Ok(session) => return Ok(session),
                Err(error) => chain(&error),
            };
            drop(permit);
            tries += 1;
            let dropped_early = error.contains("kex_exchange_identification") || error.contains("banner exchange");
            if error.contains("host key is known for") {
                return Err(offered::advice(&self.config, host, &error).await);
            }
            if !dropped_early || tries >= CONNECT_TRIES {
                return Err(in_plain_words(&error));
            }
            tokio::time::sleep(jitter(Duration::from_millis(200 << tries))).await;
        }
    }

    /// Ends every connection. Nothing that runs on the hosts is touched.
    pub(super) async fn close(&self) {
        for links in self.hosts.values() {
            let open = std::mem::take(&mut *links.open.lock().await);
            for link in open {
                link.dead.store(true, Ordering::Relaxed);
                if let Some(session) = Arc::into_inner(link).and_then(|link| Arc::into_inner(link.session)) {
                    // Closing is a courtesy: a master that is gone already has nothing to say.
                    let _ = tokio::time::timeout(Duration::from_secs(2), session.close()).await;
                }
            }
        }
    }
}

async fn spawn(link: &Link, command: &str) -> Result<openssh::Child<Arc<Session>>, openssh::Error> {
    link.session
        .clone()
        .arc_raw_command(command)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .await
}

fn jitter_index(length: usize) -> usize {
    usize::try_from(super::random() % length.max(1) as u64).unwrap_or(0)
}

/// A private directory whose path is short enough for a control socket.
fn short_directory() -> io::Result<tempfile::TempDir> {
    let wanted = std::env::temp_dir();
    let parent =
        if wanted.as_os_str().len() + "/rb-XXXXXX".len() <= LONGEST_DIRECTORY { wanted } else { PathBuf::from("/tmp") };
    tempfile::Builder::new().prefix("rb-").tempdir_in(parent)
}

/// The ssh configuration of a run: what must hold, the plan's own addresses, then the user's configuration. In ssh the
/// first value wins, so nothing below can turn forwarding on or the checks off.
///
/// # Errors
/// Values that could be read as something else than one option's value.
fn config_text(hosts: &IndexMap<HostName, Host>, ssh_config: Option<&Path>) -> io::Result<String> {
    let mut text = String::from(
        "ForwardAgent no\nForwardX11 no\nForwardX11Trusted no\nTunnel no\nClearAllForwardings yes\nPermitLocalCommand no\n\
         RequestTTY no\nRemoteCommand none\nCompression no\nBatchMode yes\nStrictHostKeyChecking yes\nUpdateHostKeys no\n\
         TCPKeepAlive yes\n",
    );
    for (name, host) in hosts {
        let options = [
            ("HostName", host.address.clone()),
            ("Port", host.port.map(|p| p.to_string())),
            ("User", host.user.clone()),
            ("ProxyJump", host.via.clone()),
        ];
        if options.iter().all(|(_, value)| value.is_none()) {
            continue;
        }
        let _ = writeln!(text, "Host {}", plain(name)?);
        for (option, value) in options {
            if let Some(value) = value {
                let _ = writeln!(text, "  {option} {}", plain(&value)?);
            }
        }
    }
    text.push_str("Match all\n");
    for path in included(ssh_config) {
        let _ = writeln!(text, "Include \"{}\"", path.display());
    }
    Ok(text)
}

fn included(ssh_config: Option<&Path>) -> Vec<PathBuf> {
    match ssh_config {
        Some(path) => vec![std::path::absolute(path).unwrap_or_else(|_| path.to_owned())],
        None => std::env::var_os("HOME")
            .map(|home| Path::new(&home).join(".ssh/config"))
            .into_iter()
            .chain([PathBuf::from("/etc/ssh/ssh_config")])
            .collect(),
    }
}

/// Names, addresses and users are plain words; anything else could become another option or a command.
fn plain(value: &str) -> io::Result<&str> {
    let fine = !value.is_empty()
        && !value.starts_with('-')
        && value.chars().all(|c| c.is_ascii_alphanumeric() || "._:@,[]%-".contains(c))
        && !value.contains("%%");
    if fine { Ok(value) } else { Err(io::Error::other(format!("{value:?} cannot be part of an address"))) }
}

/// An error with all its causes: the crate keeps the useful half in the source.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}

/// What ssh says, with what it means in front.
fn in_plain_words(error: &str) -> String {
    let last = error.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or(error);
    let meaning = [
        ("REMOTE HOST IDENTIFICATION HAS CHANGED", "its host key has changed"),
        ("Host key verification failed", "its host key could not be verified"),
        ("Permission denied", "it refuses our keys"),
        ("Could not resolve", "its name cannot be resolved"),
        ("Connection refused", "it refuses connections"),
        ("timed out", "it does not answer"),
        ("No route to host", "there is no route to it"),
        ("refused by peer", "it opens no more sessions"),
    ];
    match meaning.iter().find(|(sign, _)| error.contains(sign)) {
        Some((_, meaning)) => format!("{meaning} ({last})"),
        None => last.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(host: Host) -> IndexMap<HostName, Host> {
        IndexMap::from([("web1".to_owned(), host)])
    }

    #[test]
    fn what_must_hold_stands_before_the_users_configuration() {
        let host =
            Host { address: Some("10.0.0.7".into()), port: Some(2222), via: Some("jump".into()), ..Host::default() };
        let text = config_text(&hosts(host), Some(Path::new("/home/me/ssh config"))).unwrap();
        let include = text.find("Include \"/home/me/ssh config\"").unwrap();
        for option in
            ["ForwardAgent no", "StrictHostKeyChecking yes", "HostName 10.0.0.7", "Port 2222", "ProxyJump jump"]
        {
            assert!(text.find(option).unwrap() < include, "{option}");
        }
    }

    #[test]
    fn addresses_cannot_smuggle_options() {
        for bad in ["-oProxyCommand=x", "a\nProxyCommand x", "a b", "a;b", "$(x)", "a\\b", "", "%%h", "a`b`", "ü"] {
            assert!(
                config_text(&hosts(Host { address: Some(bad.into()), ..Host::default() }), None).is_err(),
                "{bad:?}"
            );
            assert!(config_text(&hosts(Host { user: Some(bad.into()), ..Host::default() }), None).is_err(), "{bad:?}");
        }
    }
}
