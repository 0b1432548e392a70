//! Connections by the `ssh` of this machine: one master process each, and its sessions. The user's own ssh configuration is
//! honoured, except for what would weaken the run: see [`config_text`]. Knows nothing of pools and attempts.

use std::fmt::Write as _;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use openssh::{ControlPersist, KnownHosts, Session, SessionBuilder, Stdio};

use super::failed::{Failed, Kind};
use super::hosts::Config;
use super::offered;
use crate::plan::model::{Host, HostName};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A master whose controller died goes away after this many idle seconds.
const IDLE_SECONDS: usize = 60;
/// The longest control directory that leaves room for ssh's own names in a socket's path.
const LONGEST_DIRECTORY: usize = 61;

/// Everything that is the same for all masters of a run.
#[derive(Debug)]
pub(super) struct Masters {
    builder: SessionBuilder,
    /// Removed with everything in it at the end.
    directory: tempfile::TempDir,
    /// The ssh configuration of the run.
    config: PathBuf,
}

impl Masters {
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
        Ok(Self { builder, directory, config })
    }

    /// A private directory whose path is short enough for sockets.
    pub(super) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Starts a master.
    pub(super) async fn connect(&self, host: &str) -> Result<Session, Failed> {
        let error = match self.builder.connect_mux(host).await {
            Ok(session) => return Ok(session),
            Err(error) => chain(&error),
        };
        if error.contains("host key is known for") {
            let why = offered::advice(&self.config, host, &error).await;
            return Err(Failed { why, kind: Kind::Distrusted });
        }
        Err(Failed { why: in_plain_words(&error), kind: kind(&error) })
    }
}

/// Starts a command in a session of its own.
pub(super) async fn start(session: &Arc<Session>, command: &str) -> Result<openssh::Child<Arc<Session>>, Failed> {
    let mut child = session.clone().arc_raw_command(command);
    let child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().await;
    child.map_err(|error| {
        let error = chain(&error);
        let kind = if error.contains("refused by peer") { Kind::Full } else { Kind::Lost };
        Failed { why: in_plain_words(&error), kind }
    })
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

/// The files of ssh configuration that hold for a run, the one that counts most first.
pub(super) fn included(ssh_config: Option<&Path>) -> Vec<PathBuf> {
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

/// What it means that ssh could not connect, by what it says.
fn kind(error: &str) -> Kind {
    let says = |signs: [&str; 2]| signs.iter().any(|sign| error.contains(sign));
    match () {
        () if says(["kex_exchange_identification", "banner exchange"]) => Kind::Early,
        () if says(["REMOTE HOST IDENTIFICATION HAS CHANGED", "Host key verification failed"]) => Kind::Distrusted,
        () => Kind::Lost,
    }
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
