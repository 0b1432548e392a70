//! What all benches share: medians, tables, CPU time of processes, and runs of the `runbook` binary.
//!
//! Nothing here judges a figure: a busy machine must not fail a build.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How often everything is measured; each round measures every candidate once, so that drift hits all alike.
pub fn rounds(usual: usize) -> usize {
    std::env::var("BENCH_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}

/// Whether a part was asked for: `cargo bench --bench ssh -- w1 cpu`; all parts when none is named.
pub fn wanted(part: &str) -> bool {
    let mut named = std::env::args().skip(1).filter(|a| !a.starts_with('-')).peekable();
    named.peek().is_none() || named.any(|a| a == part)
}

pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// One candidate: what it is called, and how one run of it is timed (in seconds; `None` when it failed).
pub struct Candidate<'a> {
    pub name: String,
    pub run: Box<dyn FnMut() -> Option<f64> + 'a>,
    /// Slow ones run in fewer rounds.
    pub at_most: usize,
}

impl<'a> Candidate<'a> {
    pub fn new(name: impl Into<String>, run: impl FnMut() -> Option<f64> + 'a) -> Self {
        Self { name: name.into(), run: Box::new(run), at_most: usize::MAX }
    }
}

/// Runs all candidates side by side, round by round, and prints medians and ratios over the first.
pub fn side_by_side(title: &str, rounds: usize, mut candidates: Vec<Candidate<'_>>) {
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); candidates.len()];
    let mut ratios: Vec<Vec<f64>> = vec![Vec::new(); candidates.len()];
    let mut failed = vec![0; candidates.len()];
    let before = Load::now();
    for round in 0..rounds {
        let mut first = None;
        for (at, candidate) in candidates.iter_mut().enumerate().filter(|(_, c)| round < c.at_most) {
            match (candidate.run)() {
                Some(seconds) => {
                    let base = *first.get_or_insert(seconds);
                    times[at].push(seconds);
                    ratios[at].push(seconds / base);
                }
                None => failed[at] += 1,
            }
        }
    }
    println!("\n{title}  ({})", before.since());
    println!("{:<58} {:>9} {:>17} {:>7}", "", "median s", "min-max", "ratio");
    for (at, candidate) in candidates.iter().enumerate() {
        let (low, high) = range(&times[at]);
        let note = if failed[at] > 0 { format!("  {} failed", failed[at]) } else { String::new() };
        println!(
            "{:<58} {:>9.3} {:>17} {:>7.2}{note}",
            candidate.name,
            median(&times[at]),
            format!("{low:.3}-{high:.3}"),
            median(&ratios[at])
        );
    }
}

pub fn range(values: &[f64]) -> (f64, f64) {
    (values.iter().copied().fold(f64::INFINITY, f64::min), values.iter().copied().fold(0.0, f64::max))
}

pub fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let began = Instant::now();
    let done = work();
    (done, began.elapsed().as_secs_f64())
}

/// Seconds that this thread was on a core meanwhile, so that whoever else wants the machine counts for little.
pub fn busy<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let on_core = || {
        let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        stat.split(' ').next().and_then(|n| n.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1e9
    };
    let before = on_core();
    let done = work();
    (done, on_core() - before)
}

/// How much of the machine was in use, by anybody, between two moments.
pub struct Load {
    busy: u64,
    all: u64,
}

impl Load {
    pub fn now() -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let line = stat.lines().next().unwrap_or_default();
        let ticks: Vec<u64> = line.split_whitespace().skip(1).filter_map(|n| n.parse().ok()).collect();
        let all: u64 = ticks.iter().take(8).sum();
        let idle: u64 = ticks.iter().skip(3).take(2).sum();
        Self { busy: all - idle, all }
    }

    pub fn since(&self) -> String {
        let now = Self::now();
        let busy = (now.busy - self.busy) as f64 / (now.all - self.all).max(1) as f64;
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        format!("machine {:.0} % busy, load average {}", busy * 100.0, load.split(' ').next().unwrap_or("?"))
    }
}

/// CPU seconds of a process: its own, and those of its children that have ended and were waited for.
pub fn cpu_seconds(pid: u32) -> (f64, f64) {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let ticks: Vec<f64> = rest.split(' ').map(|n| n.parse().unwrap_or(0.0)).collect();
    let sum = |at: usize| (ticks.get(at).unwrap_or(&0.0) + ticks.get(at + 1).unwrap_or(&0.0)) / 100.0;
    (sum(11), sum(13))
}

/// The most memory, in MiB, that a process with this text in its command line has had so far.
pub fn peak_mib(text: &str) -> f64 {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
    let ours = processes.filter(|dir| {
        let line = fs::read(dir.join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(text)
    });
    let peak = |dir: PathBuf| {
        let status = fs::read_to_string(dir.join("status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim().trim_end_matches(" kB").parse::<f64>().ok()
    };
    ours.filter_map(peak).fold(0.0, f64::max) / 1024.0
}

/// The memory, in MiB, that a process holds now.
pub fn resident_mib(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<f64>().map_or(f64::NAN, |kib| kib / 1024.0)
}

/// A folder with a plan, a store and a home, in which the binary runs.
pub struct Bed {
    pub dir: tempfile::TempDir,
}

impl Bed {
    /// `parent` decides on which disk the journal is.
    pub fn new(parent: &Path) -> Self {
        let dir = tempfile::Builder::new().prefix("bench-").tempdir_in(parent).expect("a folder for the bench");
        fs::create_dir_all(dir.path().join("home/.ssh")).expect("a home for the bench");
        Self { dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.path(name);
        fs::write(&path, text).expect("a file of the bench");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its mode");
    }

    /// What plain `ssh` in this home finds.
    pub fn ssh_config(&self, path: &Path) {
        self.write("home/.ssh/config", &fs::read_to_string(path).expect("the farm's ssh configuration"));
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runbook"));
        command.arg("--store").arg(self.path("store")).args(args).current_dir(self.dir.path()).stdin(Stdio::null());
        command.env("HOME", self.path("home")).env_remove("XDG_RUNTIME_DIR").env_remove("SSH_AUTH_SOCK");
        command
    }

    /// One whole `exec` without anybody to ask; `None`, and what it said, when it did not end with exit code `code`.
    pub fn exec(&self, plan: &str, code: i32) -> Option<f64> {
        self.exec_by("openssh", plan, code)
    }

    /// The same by one of the transports.
    pub fn exec_by(&self, means: &str, plan: &str, code: i32) -> Option<f64> {
        let stem = plan.trim_end_matches(".yaml");
        let args = ["exec", plan, "--no-input", "--confirm", stem, "--progress", "plain", "--transport", means];
        let (output, seconds) = timed(|| self.command(&args).output().expect("the binary starts"));
        good(&output, code).then_some(seconds)
    }
}

pub fn good(output: &Output, code: i32) -> bool {
    if output.status.code() == Some(code) {
        return true;
    }
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8_lossy(&text);
    let tail: Vec<&str> = text.lines().rev().take(12).collect();
    eprintln!("! ended with {}:", output.status);
    tail.iter().rev().for_each(|line| eprintln!("!   {line}"));
    false
}

/// Waits until something is so, and says how long that took.
pub fn until(what: &str, limit: Duration, mut so: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < limit, "{what}: not after {limit:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    began.elapsed()
}
