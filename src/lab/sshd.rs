//! The lab's private `sshd`s: keys, configurations, addresses, and proof that a login works. Knows nothing of steps.
//!
//! One `sshd` listens on at most sixteen addresses (a limit of OpenSSH), so a big lab has several. The address of a
//! connection decides which host it reaches: `Match LocalAddress` forces that host's session script.

use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::dir::random;
use super::hosts::{LabHost, jump_name};
use super::{Lab, LabError, io};
use crate::plan::model::Plan;

/// Compiled into OpenSSH as `MAX_LISTEN_SOCKS`.
const ADDRESSES_PER_SSHD: usize = 16;

/// Other ports follow when something listens there on all addresses.
const FIRST_PORT: u16 = 20_022;

/// How long a started `sshd` may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Consecutive loopback addresses and one port that is free on all of them.
pub(super) struct AddressBlock {
    first: u32,
    port: u16,
}

impl AddressBlock {
    /// Looks for a block in 127.64.0.0 - 127.126.255.255, where nobody else has a reason to be.
    pub(super) fn find(wanted: usize) -> Result<Self, LabError> {
        for attempt in 0..50 {
            let dice = random();
            let (second, third) = (64 + dice % 62, dice / 62 % 250);
            let first = u32::from(Ipv4Addr::new(127, low_byte(second), low_byte(third), 1));
            // All labs try the same port first, so that two of them cannot share an address unnoticed.
            let port = FIRST_PORT + attempt / 10;
            let block = Self { first, port };
            if (0..wanted).all(|i| TcpListener::bind(block.socket(i)).is_ok()) {
                return Ok(block);
            }
        }
        Err(LabError::NoAddresses { wanted })
    }

    fn socket(&self, index: usize) -> SocketAddrV4 {
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        SocketAddrV4::new(Ipv4Addr::from(self.first.saturating_add(index)), self.port)
    }

    pub(super) fn address(&self, index: usize) -> String {
        self.socket(index).ip().to_string()
    }
}

fn low_byte(n: u64) -> u8 {
    n.to_le_bytes()[0]
}

/// The programs that are needed, where they are installed.
struct Programs {
    sshd: PathBuf,
    ssh: PathBuf,
    keygen: PathBuf,
}

/// Starts the `sshd`s and logs in once. `Ok(Err(sentence))` says why there is no ssh here.
pub(super) fn start(
    plan: &Plan,
    lab: &Lab,
    block: &AddressBlock,
    without: bool,
) -> Result<Result<PathBuf, String>, LabError> {
    if without {
        return Ok(Err("without ssh, as asked: using the local transport".to_owned()));
    }
    let programs = match programs(&folders()) {
        Ok(p) => p,
        Err(why) => return Ok(Err(why)),
    };
    if lab.hosts.is_empty() {
        return Ok(Err("the plan has no hosts: everything runs here".to_owned()));
    }
    let Some(user) = login_name() else {
        return Ok(Err(fallback("the name of this user is unknown")));
    };
    make_keys(&programs, lab)?;
    let config = write_client_config(plan, lab, block, &user)?;
    let hosts: Vec<&LabHost> = lab.hosts.values().collect();
    for (number, some) in hosts.chunks(ADDRESSES_PER_SSHD).enumerate() {
        if let Err(why) = listen(&programs, lab, some, block.port, number, &user)? {
            return Ok(Err(fallback(&why)));
        }
    }
    Ok(match log_in(&programs, &config, hosts[0]) {
        Ok(()) => Ok(config),
        Err(why) => Err(fallback(&why)),
    })
}

fn fallback(why: &str) -> String {
    format!("sshd does not work here ({why}): using the local transport")
}

fn programs(folders: &[PathBuf]) -> Result<Programs, String> {
    let missing = |name: &str, package: &str| {
        format!("{name} is not installed: using the local transport; apt-get install {package} gives real ssh")
    };
    Ok(Programs {
        sshd: find(folders, "sshd").ok_or_else(|| missing("sshd", "openssh-server"))?,
        ssh: find(folders, "ssh").ok_or_else(|| missing("ssh", "openssh-client"))?,
        keygen: find(folders, "ssh-keygen").ok_or_else(|| missing("ssh-keygen", "openssh-client"))?,
    })
}

fn find(folders: &[PathBuf], name: &str) -> Option<PathBuf> {
    folders.iter().map(|dir| dir.join(name)).find(|p| p.is_file())
}

/// Those of `PATH`, then where system programs lie that an ordinary `PATH` leaves out. `sshd` insists on an absolute path.
fn folders() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let also = ["/usr/sbin", "/usr/local/sbin", "/sbin", "/usr/lib/openssh", "/usr/libexec"].map(PathBuf::from);
    std::env::split_paths(&path).filter(|dir| dir.is_absolute()).chain(also).collect()
}

fn login_name() -> Option<String> {
    let out = Command::new("id").arg("-un").stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let name = String::from_utf8(out.stdout).ok()?.trim().to_owned();
    (out.status.success() && !name.is_empty()).then_some(name)
}

/// One key for all hosts and one for the user: they are worth nothing outside the lab.
fn make_keys(programs: &Programs, lab: &Lab) -> Result<(), LabError> {
    let dir = lab.dir.join("keys");
    fs::DirBuilder::new().mode(0o700).create(&dir).map_err(io("make", &dir))?;
    for name in ["host", "user"] {
        let path = dir.join(name);
        let mut command = Command::new(&programs.keygen);
        command.args(["-q", "-t", "ed25519", "-N", "", "-C", "runbook-lab", "-f"]).arg(&path);
        let out = command.stdin(Stdio::null()).output().map_err(io("make the key", &path))?;
        if !out.status.success() {
            let said = String::from_utf8_lossy(&out.stderr).trim().to_owned();
            return Err(io("make the key", &path)(std::io::Error::other(said)));
        }
    }
    let host_key = dir.join("host.pub");
    let key = fs::read_to_string(&host_key).map_err(io("read", &host_key))?;
    let mut known = String::new();
    for name in lab.hosts.keys() {
        let _ = write!(known, "{name} {key}");
    }
    let path = dir.join("known_hosts");
    fs::write(&path, known).map_err(io("write", &path))
}

/// The `ssh_config` of the lab: strict host keys, no agent, no other key, and no way to any other host.
fn write_client_config(plan: &Plan, lab: &Lab, block: &AddressBlock, user: &str) -> Result<PathBuf, LabError> {
    let mut text = String::from("# The hosts of a runbook lab, and no others.\n");
    for host in lab.hosts.values() {
        let via = plan.hosts.get(&host.name).and_then(|h| h.via.as_deref()).map(jump_name);
        let _ = writeln!(text, "Host {0}\n  HostName {1}\n  HostKeyAlias {0}", host.name, host.address);
        let _ = match via {
            Some(jump) => writeln!(text, "  ProxyJump {jump}"),
            None => writeln!(text, "  ProxyCommand none"),
        };
    }
    let keys = lab.dir.join("keys");
    let keys = keys.display();
    let _ = write!(
        text,
        "Host *
  ProxyCommand false
  User {user}
  Port {port}
  IdentityFile {keys}/user
  IdentitiesOnly yes
  IdentityAgent none
  UserKnownHostsFile {keys}/known_hosts
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  UpdateHostKeys no
  BatchMode yes
  PreferredAuthentications publickey
  KexAlgorithms curve25519-sha256
  ForwardAgent no
  ConnectTimeout 10
  LogLevel ERROR
",
        port = block.port
    );
    let path = lab.dir.join("ssh_config");
    fs::write(&path, text).map_err(io("write", &path))?;
    Ok(path)
}

/// Starts one `sshd` for some hosts and waits until it greets on every address. `Ok(Err(reason))` when it does not.
fn listen(
    programs: &Programs,
    lab: &Lab,
    hosts: &[&LabHost],
    port: u16,
    number: usize,
    user: &str,
) -> Result<Result<(), String>, LabError> {
    let config = lab.dir.join(format!("sshd-{number}.conf"));
    let log = lab.dir.join(format!("sshd-{number}.log"));
    fs::write(&config, server_config(lab, hosts, port, number, user)).map_err(io("write", &config))?;
    if rustix::process::geteuid().is_root() {
        // The package's service makes this folder at boot; without the service nobody does.
        let _ = fs::DirBuilder::new().recursive(true).mode(0o755).create("/run/sshd");
    }
    // It puts itself into the background: a terminal's Ctrl-C and this process's end do not reach it.
    let mut command = Command::new(&programs.sshd);
    command.arg("-f").arg(&config).arg("-E").arg(&log).current_dir("/");
    let out = match command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).output() {
        Ok(out) => out,
        Err(e) => return Ok(Err(e.to_string())),
    };
    let last_words = || {
        let logged = fs::read_to_string(&log).unwrap_or_default();
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        let last = said.lines().chain(logged.lines()).last().unwrap_or("it does not answer");
        last.trim().to_owned()
    };
    if !out.status.success() {
        return Ok(Err(last_words()));
    }
    let deadline = Instant::now() + PATIENCE;
    for host in hosts {
        while !greets(&host.address, port) {
            if Instant::now() >= deadline {
                return Ok(Err(last_words()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(Ok(()))
}

fn server_config(lab: &Lab, hosts: &[&LabHost], port: u16, number: usize, user: &str) -> String {
    let dir = lab.dir.display();
    let mut text = format!("# The sshd of a runbook lab.\nPort {port}\n");
    for host in hosts {
        let _ = writeln!(text, "ListenAddress {}", host.address);
    }
    let pam = if needs_pam() { "yes" } else { "no" };
    let _ = write!(
        text,
        "HostKey {dir}/keys/host
PidFile {dir}/sshd-{number}.pid
AuthorizedKeysFile {dir}/keys/user.pub
StrictModes no
UsePAM {pam}
AllowUsers {user}
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
AllowAgentForwarding no
X11Forwarding no
PermitTunnel no
PrintMotd no
PrintLastLog no
UseDNS no
MaxSessions 200
MaxStartups 1000:30:2000
LogLevel ERROR
# The user's login shell executes the session script; these two keep bash's and zsh's start-up files out of it.
SetEnv SHLVL=1 ZDOTDIR=/var/empty
"
    );
    for host in hosts {
        let _ = writeln!(text, "Match LocalAddress {}\n  ForceCommand {}", host.address, host.session().display());
    }
    text
}

/// Without PAM, `sshd` refuses a user whose password is locked, as root's is on some systems. Only root can look.
fn needs_pam() -> bool {
    let Ok(shadow) = fs::read_to_string("/etc/shadow") else { return false };
    let root_is_locked = shadow.lines().any(|l| l.strip_prefix("root:").is_some_and(|rest| rest.starts_with('!')));
    rustix::process::geteuid().is_root() && root_is_locked && Path::new("/etc/pam.d/sshd").is_file()
}

fn greets(address: &str, port: u16) -> bool {
    let Ok(ip) = address.parse::<Ipv4Addr>() else { return false };
    let socket = SocketAddrV4::new(ip, port).into();
    let Ok(mut stream) = TcpStream::connect_timeout(&socket, Duration::from_secs(1)) else { return false };
    let mut greeting = [0; 4];
    let limited = stream.set_read_timeout(Some(Duration::from_secs(2)));
    limited.and_then(|()| stream.read_exact(&mut greeting)).is_ok() && &greeting == b"SSH-"
}

fn log_in(programs: &Programs, config: &Path, host: &LabHost) -> Result<(), String> {
    let mut command = Command::new(&programs.ssh);
    command.arg("-F").arg(config).args(["-T", &host.name, "printf %s \"$LAB_HOST\""]);
    let out = command.stdin(Stdio::null()).output().map_err(|e| e.to_string())?;
    if out.status.success() && out.stdout == host.name.as_bytes() {
        return Ok(());
    }
    // A refusing login shell says why on stdout, ssh itself on stderr.
    let said = [out.stdout, out.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    Err(format!("a login failed: {}", said.lines().last().unwrap_or("no reason given").trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_sshd_is_named_with_its_package() {
        let nowhere = [PathBuf::from("/nonexistent")];
        let why = programs(&nowhere).err().unwrap();
        assert_eq!(
            why,
            "sshd is not installed: using the local transport; apt-get install openssh-server gives real ssh"
        );
    }
}
