//! What the runner costs the host: CPU of the whole sshd tree per action over a plain exec, and the number of forks.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::sshd::children_of;
use super::{Farm, bare, kit};

const COUNT: usize = 200;

/// CPU seconds that the farm's sshd and everything below it used during `work`, in milliseconds per command.
fn remote_cpu(farm: &Farm, work: impl FnOnce() -> Option<f64>) -> Option<f64> {
    let sshd = listener(farm);
    quiet(sshd);
    let before = kit::cpu_seconds(sshd);
    work()?;
    quiet(sshd);
    let after = kit::cpu_seconds(sshd);
    Some((after.0 + after.1 - before.0 - before.1) * 1e3 / COUNT as f64)
}

/// The CPU of a child is counted when it was waited for: so all connections must have ended.
fn quiet(sshd: u32) {
    kit::until("the farm is quiet", Duration::from_secs(30), || children_of(sshd).is_empty());
}

/// The listening sshd of this farm.
fn listener(farm: &Farm) -> u32 {
    let config = farm.sshd.dir().join("sshd_config").display().to_string();
    let ours = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|c| c.contains(&config));
    children_of(std::process::id()).into_iter().find(ours).unwrap()
}

pub fn cost() {
    let farm = Farm::start(1, false);
    let (mut plain, mut runner, mut over) = (Vec::new(), Vec::new(), Vec::new());
    let (mut plain_wall, mut runner_wall) = (Vec::new(), Vec::new());
    let load = kit::Load::now();
    for _ in 0..kit::rounds(5) {
        let timed = |runner: bool, wall: &mut Vec<f64>| {
            let cpu = remote_cpu(&farm, || {
                let seconds = bare::warm(&farm, COUNT, runner)?;
                wall.push(seconds * 1e3 / COUNT as f64);
                Some(seconds)
            });
            cpu.unwrap_or(f64::NAN)
        };
        let (a, b) = (timed(false, &mut plain_wall), timed(true, &mut runner_wall));
        plain.push(a);
        runner.push(b);
        over.push(b - a);
    }
    println!(
        "\nRemote CPU per action, {COUNT} actions `true` on one warm connection, one at a time  ({})",
        load.since()
    );
    println!("{:<34} {:>14} {:>14}", "", "remote CPU ms", "wall ms");
    println!("{:<34} {:>14.2} {:>14.2}", "plain exec", kit::median(&plain), kit::median(&plain_wall));
    println!("{:<34} {:>14.2} {:>14.2}", "through the runner", kit::median(&runner), kit::median(&runner_wall));
    println!("{:<34} {:>14.2}", "the runner's own", kit::median(&over));
    for shell in ["sh", "bash", "busybox"] {
        match forks(shell) {
            Some((forks, execs)) => println!("  {shell}: {forks} forks, {execs} programs executed for one action"),
            None => println!("  {shell}: forks not counted (strace or the shell is missing)"),
        }
    }
}

/// Processes made and programs executed by the runner for `true`, by strace; on this machine, with `sh` being `shell`.
fn forks(shell: &str) -> Option<(usize, usize)> {
    let dir = tempfile::tempdir().ok()?;
    let bin = dir.path().join("bin");
    fs::create_dir(&bin).ok()?;
    let found = ["/bin", "/usr/bin"].iter().map(|d| format!("{d}/{shell}")).find(|p| fs::metadata(p).is_ok())?;
    std::os::unix::fs::symlink(found, bin.join("sh")).ok()?;
    let trace = dir.path().join("trace");
    let mut child = Command::new("strace")
        .args(["-f", "-q", "-e", "trace=execve,fork,vfork,clone,clone3", "-o"])
        .arg(&trace)
        .args([bin.join("sh").display().to_string().as_str(), "-c", &bare::runner_command()])
        .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
        .env("RUNBOOK_HOME", dir.path().join("home"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut stdin = child.stdin.take()?;
    std::io::Write::write_all(&mut stdin, bare::request("one@here").as_bytes()).ok()?;
    // It would wait for another request.
    drop(stdin);
    child.wait().ok()?;
    let trace = fs::read_to_string(trace).ok()?;
    let calls = ["fork", "vfork", "clone", "clone3"];
    let made =
        |line: &&str| calls.iter().any(|c| line.contains(&format!(" {c}(")) || line.contains(&format!(" {c} resumed")));
    let worked =
        |line: &&str| line.rsplit_once("= ").is_some_and(|(_, pid)| pid.trim().parse::<u32>().is_ok_and(|n| n > 0));
    let forks = trace.lines().filter(made).filter(worked).count();
    let execs = trace.lines().filter(|l| l.contains("execve") && l.ends_with("= 0")).count();
    // The first program is the shell that a plain exec starts too.
    Some((forks, execs.saturating_sub(1)))
}
