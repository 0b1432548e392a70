//! A private sshd on loopback: own host key, own user key, own known_hosts and ssh configuration in a temporary
//! directory. Stopped when dropped, with everything that it started for us left alone.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use indexmap::IndexMap;
use runbook::plan::model::{Host, HostName};

/// What to start.
#[derive(Debug, Clone)]
pub struct Options {
    /// Number of host names `h1`, `h2`, ... at 127.0.0.1, 127.0.0.2, ...
    pub hosts: u8,
    /// Further lines for sshd_config.
    pub sshd: String,
    /// Further lines for the ssh configuration, before everything else.
    pub ssh: String,
    /// What `sh` is there: words such as `dash` or `busybox`; the system's where there is none.
    pub shell: Option<String>,
    /// The port that clients are told, when something stands between them and the sshd.
    pub client_port: Option<u16>,
    /// The network namespace in which it listens, and its address there.
    pub namespace: Option<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self { hosts: 1, sshd: String::new(), ssh: String::new(), shell: None, client_port: None, namespace: None }
    }
}

#[derive(Debug)]
pub struct Sshd {
    child: Child,
    dir: tempfile::TempDir,
    pub port: u16,
    hosts: u8,
    namespace: Option<String>,
}

impl Sshd {
    /// Starts one and waits until it listens.
    pub fn start(options: &Options) -> Self {
        let dir = tempfile::Builder::new().prefix("sshd-").tempdir_in("/tmp").unwrap();
        for key in ["host", "id"] {
            keygen(&dir.path().join(key));
        }
        std::fs::copy(dir.path().join("id.pub"), dir.path().join("authorized")).unwrap();
        for _ in 0..10 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            write_configs(dir.path(), port, options);
            let namespace = options.namespace.as_ref().map(|(name, _)| name.clone());
            if let Some(child) = spawn(dir.path(), namespace.as_deref()) {
                return Self { child, dir, port, hosts: options.hosts, namespace };
            }
        }
        panic!("sshd does not start; see {}", dir.path().display());
    }

    /// The same with a configuration that has changed, on the same port.
    pub fn again(mut self) -> Self {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.child = spawn(self.dir.path(), self.namespace.as_deref()).expect("the port is still free");
        self
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn ssh_config(&self) -> PathBuf {
        self.dir.path().join("ssh_config")
    }

    /// Its names, as a plan has them: everything else is in the ssh configuration.
    pub fn hosts(&self) -> IndexMap<HostName, Host> {
        (1..=self.hosts).map(|n| (format!("h{n}"), Host::default())).collect()
    }

    /// Ends the sshd's sessions, as a crash would. The listener goes on.
    pub fn cut_connections(&self) {
        for pid in children_of(self.child.id()) {
            for deeper in children_of(pid) {
                if comm(deeper).starts_with("sshd") {
                    kill(deeper);
                }
            }
            kill(pid);
        }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.cut_connections();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Keeps bash and zsh from reading what the user of this machine has them do at the start of every session.
const NO_STARTUP_FILES: &str = "SHLVL=1 ZDOTDIR=/var/empty";

fn keygen(path: &Path) {
    let done = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path).status().unwrap();
    assert!(done.success());
}

fn write_configs(dir: &Path, port: u16, options: &Options) {
    let d = dir.display();
    let mut sshd = format!(
        "Port {port}\nHostKey {d}/host\nAuthorizedKeysFile {d}/authorized\nPidFile none\nStrictModes no\nUsePAM no\n\
         PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nUseDNS no\n\
         PrintMotd no\nPrintLastLog no\nLogLevel VERBOSE\nMaxStartups 200\n"
    );
    let (mut ssh, mut known) = (options.ssh.clone(), String::new());
    let client_port = options.client_port.unwrap_or(port);
    let key = std::fs::read_to_string(dir.join("host.pub")).unwrap();
    for n in 1..=options.hosts {
        let address = options.namespace.as_ref().map_or_else(|| format!("127.0.0.{n}"), |(_, at)| at.clone());
        let _ = writeln!(sshd, "ListenAddress {address}");
        let _ = writeln!(ssh, "Host h{n}\n  HostName {address}\n  HostKeyAlias h{n}");
        let _ = writeln!(known, "h{n},[{address}]:{client_port} {}", key.trim());
    }
    let mut settings = options.sshd.clone();
    if let Some(shell) = &options.shell {
        let bin = dir.join("bin");
        std::fs::create_dir_all(&bin).unwrap();
        let program = which(shell);
        let _ = std::fs::remove_file(bin.join("sh"));
        std::os::unix::fs::symlink(program, bin.join("sh")).unwrap();
        let _ = writeln!(settings, "SetEnv PATH={}:/usr/local/bin:/usr/bin:/bin", bin.display());
    }
    // sshd heeds the first `SetEnv` only.
    let _ = match settings.contains("SetEnv ") {
        true => write!(sshd, "{}", settings.replace("SetEnv ", &format!("SetEnv {NO_STARTUP_FILES} "))),
        false => writeln!(sshd, "{settings}SetEnv {NO_STARTUP_FILES}"),
    };
    let _ = write!(
        ssh,
        "Host *\n  Port {client_port}\n  User {}\n  IdentityFile {d}/id\n  IdentitiesOnly yes\n  UserKnownHostsFile {d}/known_hosts\n  \
         GlobalKnownHostsFile /dev/null\n  KexAlgorithms curve25519-sha256\n  IdentityAgent none\n",
        std::env::var("USER").unwrap_or_else(|_| "root".into()),
    );
    std::fs::write(dir.join("sshd_config"), sshd).unwrap();
    std::fs::write(dir.join("ssh_config"), ssh).unwrap();
    std::fs::write(dir.join("known_hosts"), known).unwrap();
}

/// The sshd, once it listens; `None` when the port was taken meanwhile.
fn spawn(dir: &Path, namespace: Option<&str>) -> Option<Child> {
    // It refuses to start without its separation directory.
    let _ = std::fs::create_dir_all("/run/sshd");
    let mut command = match namespace {
        None => Command::new("/usr/sbin/sshd"),
        Some(name) => {
            let mut inside = Command::new("ip");
            inside.args(["netns", "exec", name, "/usr/sbin/sshd"]);
            inside
        }
    };
    let mut child = command
        .args(["-D", "-e", "-f"])
        .arg(dir.join("sshd_config"))
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssh-server is needed for these tests");
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let log = dir.join("sshd.log");
    let config = std::fs::read_to_string(dir.join("sshd_config")).unwrap();
    let addresses = config.lines().filter(|line| line.starts_with("ListenAddress ")).count();
    let said = lines.by_ref().filter(|line| line.contains("Server listening") || line.contains("fatal"));
    let listening: Vec<String> = said.take(addresses).take_while(|line| !line.contains("fatal")).collect();
    if listening.len() < addresses {
        let _ = child.kill();
        let _ = child.wait();
        return None;
    }
    // Its log must be read for as long as it runs, or it would block.
    std::thread::spawn(move || {
        use std::io::Write as _;
        let mut file = std::fs::File::create(log).ok();
        for line in lines {
            if let Some(file) = &mut file {
                let _ = writeln!(file, "{line}");
            }
        }
    });
    Some(child)
}

fn which(program: &str) -> PathBuf {
    ["/usr/bin", "/bin"].iter().map(|d| Path::new(d).join(program)).find(|p| p.exists()).expect(program)
}

/// Pids of the children of a process.
pub fn children_of(pid: u32) -> Vec<u32> {
    let parent = |entry: &str| -> Option<u32> {
        let stat = std::fs::read_to_string(format!("/proc/{entry}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
    };
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.bytes().all(|b| b.is_ascii_digit()) && parent(name) == Some(pid))
        .filter_map(|name| name.parse().ok())
        .collect()
}

fn comm(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default()
}

pub fn kill(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}
