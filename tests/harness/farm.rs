//! Hosts for the program itself: private sshds, each with a place of its own for its records. Whoever lives in the farm's
//! folder reaches them as `h1`, `h2`, ... by the ssh configuration there.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::sshd::{Options, Sshd};

pub struct Farm {
    dir: PathBuf,
    sshds: Vec<Sshd>,
}

impl Farm {
    /// Starts `count` hosts whose files are in `dir`, the home of their user.
    pub fn start(dir: &Path, count: usize) -> Self {
        Self::configured(dir, count, "")
    }

    /// The same with these lines in the configuration of each sshd.
    pub fn configured(dir: &Path, count: usize, lines: &str) -> Self {
        let farm = Self { dir: dir.to_owned(), sshds: (1..=count).map(|n| host(dir, n, lines)).collect() };
        (1..=count).for_each(|n| farm.boot(n, "first"));
        let mut config = String::new();
        for (n, sshd) in (1..).zip(&farm.sshds) {
            let (port, d) = (sshd.port, sshd.dir().display());
            let _ = writeln!(
                config,
                "Host h{n}\n  HostName 127.0.0.1\n  Port {port}\n  HostKeyAlias h1\n  IdentityFile {d}/id\n  \
                 UserKnownHostsFile {d}/known_hosts"
            );
        }
        let user = std::env::var("USER").unwrap_or_else(|_| "root".into());
        let _ = writeln!(
            config,
            "Host *\n  User {user}\n  IdentitiesOnly yes\n  GlobalKnownHostsFile /dev/null\n  \
             KexAlgorithms curve25519-sha256\n  IdentityAgent none"
        );
        std::fs::create_dir_all(dir.join(".ssh")).unwrap();
        std::fs::write(dir.join(".ssh/config"), config).unwrap();
        farm
    }

    /// The last host does not answer any more.
    pub fn lose_the_last(&mut self) {
        self.sshds.pop();
    }

    /// From now on the host says that it is in this boot.
    pub fn boot(&self, host: usize, boot: &str) {
        std::fs::write(boot_file(&self.dir, host), format!("{boot}\n")).unwrap();
    }

    /// The records of a host.
    pub fn home(&self, host: usize) -> PathBuf {
        home(&self.dir, host)
    }

    /// What its sshd has said so far.
    pub fn log(&self, host: usize) -> String {
        std::fs::read_to_string(self.sshds[host - 1].dir().join("sshd.log")).unwrap_or_default()
    }

    /// The names of the records of all runs on a host.
    pub fn records(&self, host: usize) -> Vec<String> {
        let runs = std::fs::read_dir(self.home(host).join("runs")).into_iter().flatten().flatten();
        let records = runs.flat_map(|run| std::fs::read_dir(run.path()).into_iter().flatten().flatten());
        let mut names: Vec<String> = records.map(|r| r.file_name().to_string_lossy().into_owned()).collect();
        names.retain(|name| !name.starts_with('.'));
        names.sort();
        names
    }
}

fn home(dir: &Path, host: usize) -> PathBuf {
    dir.join(format!("host{host}"))
}

fn boot_file(dir: &Path, host: usize) -> PathBuf {
    dir.join(format!("boot{host}"))
}

fn host(dir: &Path, n: usize, lines: &str) -> Sshd {
    let (home, boot) = (home(dir, n), boot_file(dir, n));
    let sshd = format!("SetEnv RUNBOOK_HOME={} RUNBOOK_BOOT_ID={}\n{lines}", home.display(), boot.display());
    Sshd::start(&Options { sshd, ..Options::default() })
}
