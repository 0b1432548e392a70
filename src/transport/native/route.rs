//! From the options that hold for a host to everything that a connection to it needs, or to the reasons why this transport
//! cannot reach it. Reads key files and asks agents; connects to no host.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use indexmap::IndexMap;
use russh::Preferred;
use russh::keys::ssh_key::{Algorithm, Certificate};

use super::config::Files;
use super::keys::{KeyFile, Keys};
use super::known::{Known, Trusted};
use super::options::Options;
use crate::plan::model::{Host, HostName};

/// Jump hosts behind jump hosts.
const LONGEST_WAY: u32 = 8;
/// The keys that ssh tries where nothing names one, in its order.
const USUAL_KEYS: [&str; 5] = ["id_rsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk"];

/// Everything that a connection to one host needs.
#[derive(Debug)]
pub(in crate::transport) struct Route {
    pub(super) name: String,
    pub(super) address: String,
    pub(super) port: u16,
    pub(super) user: String,
    /// The name under which its key is known.
    pub(super) known_as: String,
    pub(super) trusted: Arc<Trusted>,
    pub(super) preferred: Preferred,
    pub(super) keys: Keys,
    pub(super) env: Vec<(String, String)>,
    /// The hosts in between, the nearest first.
    pub(super) jumps: Vec<Arc<Route>>,
}

/// Known hosts, or why their files cannot be read.
type Read = Result<Arc<Known>, String>;

/// What routes are made from. Files are read once.
#[derive(Debug)]
pub(super) struct Atlas {
    files: Result<Files, String>,
    planned: IndexMap<HostName, Host>,
    me: Me,
    known: Mutex<BTreeMap<Vec<PathBuf>, Read>>,
    keys: Mutex<BTreeMap<PathBuf, KeyFile>>,
}

/// Who we are on this machine.
#[derive(Debug)]
struct Me {
    name: String,
    home: PathBuf,
}

impl Me {
    fn new() -> Self {
        let user = nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten();
        let (name, home) = user.map_or_else(Default::default, |user| (user.name, user.dir));
        Self { name, home }
    }
}

/// Where a jump leads: `[user@]host[:port]`.
#[derive(Debug, PartialEq, Eq)]
struct Stop<'a> {
    user: Option<&'a str>,
    host: &'a str,
    port: Option<u16>,
}

impl Atlas {
    /// Reads the configuration. What is wrong with it is said of each host.
    pub(super) fn new(planned: &IndexMap<HostName, Host>, config: &[PathBuf]) -> Self {
        let me = Me::new();
        let files = Files::read(config, &me.home.join(".ssh"));
        Self { files, planned: planned.clone(), me, known: Mutex::default(), keys: Mutex::default() }
    }

    /// The way to a host.
    ///
    /// # Errors
    /// Everything that the host's options ask for and this transport does not do, by name and place.
    pub(super) async fn route(&self, host: &str) -> Result<Route, Vec<String>> {
        Box::pin(self.way(&Stop { user: None, host, port: None }, 0, true)).await
    }

    async fn way(&self, stop: &Stop<'_>, depth: u32, jumps: bool) -> Result<Route, Vec<String>> {
        let files = self.files.as_ref().map_err(|why| vec![why.clone()])?;
        if depth > LONGEST_WAY {
            return Err(vec![format!("the way to {} leads over too many hosts", stop.host)]);
        }
        let mut options = Options::of(stop.host, self.planned.get(stop.host), files);
        let mut problems = std::mem::take(&mut options.refused);
        let address = noted(self.address(&options, stop.host), &mut problems);
        let port = stop.port.unwrap_or_else(|| noted(port(&options), &mut problems));
        let user = stop.user.or(options.one("user")).map_or_else(|| self.me.name.clone(), str::to_owned);
        let at = At { me: &self.me, name: stop.host, address: &address, port, user: &user };
        let known_as = known_as(&options, &at);
        let known = noted(self.known(&options, &at), &mut problems);
        let trusted = trusted(&known, &options, &at, &known_as);
        problems.extend(trusted.uncheckable());
        let mut preferred = Preferred::default();
        problems.extend(algorithms(&mut preferred, &options, &trusted));
        let keys = self.keys(&options, &at, &mut problems).await;
        let env = noted(variables(&options), &mut problems);
        let way = match options.one("proxyjump").filter(|way| jumps && !way.eq_ignore_ascii_case("none")) {
            Some(way) => self.jumps(way, &options, depth, &mut problems).await,
            None => Vec::new(),
        };
        if !problems.is_empty() {
            return Err(problems);
        }
        let name = stop.host.to_owned();
        Ok(Route { name, address, port, user, known_as, trusted: Arc::new(trusted), preferred, keys, env, jumps: way })
    }

    /// The hosts in between. Of those, only the first may have a way of its own, as with ssh.
    async fn jumps(&self, way: &str, options: &Options<'_>, depth: u32, problems: &mut Vec<String>) -> Vec<Arc<Route>> {
        let mut routes = Vec::new();
        for (at, stop) in way.split(',').enumerate() {
            let Some(stop) = self::stop(stop) else {
                problems.push(format!("{} is not understood", options.named("proxyjump")));
                continue;
            };
            match Box::pin(self.way(&stop, depth + 1, at == 0)).await {
                Ok(mut route) => {
                    routes.append(&mut route.jumps);
                    routes.push(Arc::new(route));
                }
                Err(why) => problems.extend(why.into_iter().map(|why| format!("{} (on the way): {why}", stop.host))),
            }
        }
        routes
    }

    fn address(&self, options: &Options<'_>, host: &str) -> Result<String, String> {
        let Some(name) = options.one("hostname") else { return Ok(host.to_owned()) };
        let at = At { me: &self.me, name: host, address: host, port: 0, user: "" };
        at.filled(name, "%h").map_err(|why| format!("{}: {why}", options.named("hostname")))
    }

    fn known(&self, options: &Options<'_>, at: &At<'_>) -> Result<Arc<Known>, String> {
        let users = ["~/.ssh/known_hosts".to_owned(), "~/.ssh/known_hosts2".to_owned()];
        let systems = ["/etc/ssh/ssh_known_hosts".to_owned(), "/etc/ssh/ssh_known_hosts2".to_owned()];
        let mut paths = Vec::new();
        for (option, usual) in [("userknownhostsfile", &users), ("globalknownhostsfile", &systems)] {
            for file in options.all(option).unwrap_or(usual).iter().filter(|file| *file != "none") {
                paths.push(at.path(file).map_err(|why| format!("{}: {why}", options.named(option)))?);
            }
        }
        let Ok(mut read) = self.known.lock() else { return Err("the known hosts cannot be read".into()) };
        read.entry(paths).or_insert_with_key(|paths| Known::read(paths).map(Arc::new)).clone()
    }

    async fn keys(&self, options: &Options<'_>, at: &At<'_>, problems: &mut Vec<String>) -> Keys {
        let usual: Vec<String> = USUAL_KEYS.iter().map(|name| format!("~/.ssh/{name}")).collect();
        let paths = |option: &str, usual: &[String], problems: &mut Vec<String>| {
            let named = options.all(option).unwrap_or(usual).iter().filter(|file| *file != "none");
            let mut paths = Vec::new();
            for file in named {
                match at.path(file) {
                    Ok(path) => paths.push(path),
                    Err(why) => problems.push(format!("{}: {why}", options.named(option))),
                }
            }
            paths
        };
        let files = paths("identityfile", &usual, problems);
        let beside = files.iter().map(|file| PathBuf::from(format!("{}-cert.pub", file.display())));
        let certificates = paths("certificatefile", &[], problems).into_iter().chain(beside);
        let certificates: Vec<Certificate> =
            certificates.filter_map(|file| russh::keys::load_openssh_certificate(file).ok()).collect();
        let agent = noted(agent(options, at), problems);
        let only_files = options.one("identitiesonly").is_some_and(|v| ["yes", "true"].contains(&&*v.to_lowercase()));
        let keys = Keys { files: files.iter().map(|f| self.key(f)).collect(), certificates, agent, only_files };
        problems.extend(lacking(&keys, &files).await);
        keys
    }

    fn key(&self, path: &Path) -> KeyFile {
        let Ok(mut keys) = self.keys.lock() else { return KeyFile::read(path) };
        keys.entry(path.to_owned()).or_insert_with(|| KeyFile::read(path)).clone()
    }
}

/// Keys that ssh could use and we cannot, or that there are none at all.
async fn lacking(keys: &Keys, paths: &[PathBuf]) -> Vec<String> {
    let unusable = |file: &KeyFile| matches!(file, KeyFile::Public { skipped: false, .. });
    let usable = keys.files.iter().any(|file| matches!(file, KeyFile::Usable(_)));
    if usable && !keys.files.iter().any(unusable) {
        return Vec::new();
    }
    let held = Keys::ask_agent(keys.agent.as_deref()).await.map(|(_, held)| held).unwrap_or_default();
    let pairs = keys.files.iter().zip(paths);
    let mut problems: Vec<String> = pairs
        .filter_map(|(file, path)| match file {
            KeyFile::Public { key, skipped: false } if !held.has(key) => Some(format!(
                "the key {} is {}, which only an agent can use here: ssh-add {}",
                path.display(),
                key.algorithm(),
                path.display()
            )),
            _ => None,
        })
        .collect();
    if problems.is_empty() && !usable && held.is_empty() {
        problems.push("there is no key: no file without a passphrase, nothing in an agent".into());
    }
    problems
}

/// The value; what stands in its way becomes a problem.
fn noted<T: Default>(found: Result<T, String>, problems: &mut Vec<String>) -> T {
    found.unwrap_or_else(|why| {
        problems.push(why);
        T::default()
    })
}

fn port(options: &Options<'_>) -> Result<u16, String> {
    let Some(port) = options.one("port") else { return Ok(22) };
    port.parse().map_err(|_| format!("{} is not a port", options.named("port")))
}

fn known_as(options: &Options<'_>, at: &At<'_>) -> String {
    match (options.one("hostkeyalias"), at.port) {
        (Some(alias), _) => alias.to_owned(),
        (None, 22) => at.address.to_owned(),
        (None, port) => format!("[{}]:{port}", at.address),
    }
}

/// What is known under the name with its port, else under the name alone.
fn trusted(known: &Known, options: &Options<'_>, at: &At<'_>, known_as: &str) -> Trusted {
    let trusted = known.of(known_as);
    if trusted.is_empty() && options.one("hostkeyalias").is_none() && at.port != 22 {
        return known.of(at.address);
    }
    trusted
}

fn agent(options: &Options<'_>, at: &At<'_>) -> Result<Option<PathBuf>, String> {
    let usual = || std::env::var_os("SSH_AUTH_SOCK").filter(|path| !path.is_empty()).map(PathBuf::from);
    match options.one("identityagent") {
        None | Some("SSH_AUTH_SOCK") => Ok(usual()),
        Some("none") => Ok(None),
        Some(path) => at.path(path).map(Some).map_err(|why| format!("{}: {why}", options.named("identityagent"))),
    }
}

/// `NAME=VALUE` of `SetEnv`.
fn variables(options: &Options<'_>) -> Result<Vec<(String, String)>, String> {
    let pairs = options.all("setenv").unwrap_or_default().iter().map(|pair| {
        let (name, value) = pair.split_once('=').ok_or_else(|| format!("{} has no `=`", options.named("setenv")))?;
        Ok((name.to_owned(), value.to_owned()))
    });
    pairs.collect()
}

/// Sets the algorithms that the options and the known keys allow; gives what cannot be done.
fn algorithms(preferred: &mut Preferred, options: &Options<'_>, trusted: &Trusted) -> Vec<String> {
    let mut problems = Vec::new();
    let mut choose = |option: &str| -> Option<Vec<&str>> {
        let names = options.one(option)?;
        if names.starts_with(['+', '-', '^']) {
            problems.push(format!("{} is not supported: only plain lists of names are", options.named(option)));
        }
        Some(names.split(',').collect())
    };
    let (kex, ciphers) = (choose("kexalgorithms"), choose("ciphers"));
    let (macs, host_keys) = (choose("macs"), choose("hostkeyalgorithms"));
    let none = |option: &str| format!("of {} none is supported", options.named(option));
    if let Some(names) = kex {
        // The markers at the end of the list are no ways to exchange keys.
        let markers =
            preferred.kex.iter().filter(|kex| kex.as_ref().contains("ext-info") || kex.as_ref().contains("strict"));
        let markers: Vec<_> = markers.copied().collect();
        let mut chosen: Vec<_> = names.iter().filter_map(|name| (*name).try_into().ok()).collect();
        if chosen.is_empty() {
            problems.push(none("kexalgorithms"));
        }
        chosen.extend(markers);
        preferred.kex = chosen.into();
    }
    if let Some(names) = ciphers {
        let chosen: Vec<_> = names.iter().filter_map(|name| (*name).try_into().ok()).collect();
        problems.extend(chosen.is_empty().then(|| none("ciphers")));
        preferred.cipher = chosen.into();
    }
    if let Some(names) = macs {
        let chosen: Vec<_> = names.iter().filter_map(|name| (*name).try_into().ok()).collect();
        problems.extend(chosen.is_empty().then(|| none("macs")));
        preferred.mac = chosen.into();
    }
    let checkable = |a: &Algorithm| matches!(a, Algorithm::Ed25519 | Algorithm::Ecdsa { .. });
    let mut keys: Vec<Algorithm> = preferred.key.iter().filter(|a| checkable(a)).cloned().collect();
    let known = trusted.algorithms();
    if !trusted.is_empty() {
        keys.retain(|a| known.contains(a));
    }
    let mut certified: Vec<Algorithm> = if trusted.has_authority() {
        preferred.key.iter().filter(|a| checkable(a)).cloned().collect()
    } else {
        Vec::new()
    };
    if let Some(names) = host_keys {
        keys.retain(|a| names.contains(&a.to_string().as_str()));
        certified.retain(|a| names.contains(&a.to_certificate_type().as_str()));
        problems.extend((keys.is_empty() && certified.is_empty()).then(|| none("hostkeyalgorithms")));
    }
    preferred.key = keys.into();
    preferred.host_key_certificates = certified.into();
    problems
}

fn stop(text: &str) -> Option<Stop<'_>> {
    let text = text.trim().strip_prefix("ssh://").unwrap_or(text.trim()).trim_end_matches('/');
    let (user, rest) = text.rsplit_once('@').map_or((None, text), |(user, rest)| (Some(user), rest));
    let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None if rest.matches(':').count() == 1 => rest.split_once(':').map(|(host, port)| (host, Some(port)))?,
        None => (rest, None),
    };
    let port = match port {
        Some(port) => Some(port.parse().ok()?),
        None => None,
    };
    (!host.is_empty()).then_some(Stop { user, host, port })
}

/// What `%` and `~` stand for.
struct At<'a> {
    me: &'a Me,
    name: &'a str,
    address: &'a str,
    port: u16,
    user: &'a str,
}

impl At<'_> {
    fn path(&self, text: &str) -> Result<PathBuf, String> {
        let text = self.filled(text, "%d %h %i %n %p %r %u")?;
        match text.strip_prefix("~/") {
            Some(rest) => Ok(self.me.home.join(rest)),
            None if text.starts_with('~') => Err("the home of another user is not looked up".into()),
            None => Ok(PathBuf::from(text)),
        }
    }

    fn filled(&self, text: &str, allowed: &str) -> Result<String, String> {
        if text.contains("${") {
            return Err("variables of the environment are not filled in".into());
        }
        let (mut out, mut chars) = (String::new(), text.chars());
        while let Some(c) = chars.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            let token = chars.next().unwrap_or(' ');
            match token {
                '%' => out.push('%'),
                _ if !allowed.contains(&format!("%{token}")) => return Err(format!("%{token} is not filled in")),
                'd' => out.push_str(&self.me.home.to_string_lossy()),
                'h' => out.push_str(self.address),
                'i' => out.push_str(&nix::unistd::getuid().to_string()),
                'n' => out.push_str(self.name),
                'p' => out.push_str(&self.port.to_string()),
                'r' => out.push_str(self.user),
                _ => out.push_str(&self.me.name),
            }
        }
        Ok(out)
    }
}
