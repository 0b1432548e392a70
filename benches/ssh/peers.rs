//! The same work by other tools: plain ssh with xargs, and what a Python environment has.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Farm;
use super::kit::{self, Candidate};

/// One `xargs -P` of `ssh` per step; over one master per host when `mux`, which begins and ends with the measurement.
pub fn xargs(farm: &Farm, steps: usize, at_once: usize, mux: bool) -> Option<f64> {
    let dir = tempfile::Builder::new().prefix("x-").tempdir_in("/tmp").unwrap();
    let hosts = dir.path().join("hosts");
    fs::write(&hosts, farm.hosts.join("\n") + "\n").unwrap();
    let share = format!("-o ControlMaster=auto -o ControlPersist=60 -o ControlPath={}/%n", dir.path().display());
    let options = format!("-F {} {}", farm.sshd.ssh_config().display(), if mux { &share } else { "" });
    let script = format!(
        "i=0; while [ $i -lt {steps} ]; do xargs -P{at_once} -I@ ssh -n {options} @ true <{} || exit 1; i=$((i+1)); done",
        hosts.display()
    );
    let (good, seconds) = kit::timed(|| quiet(Command::new("sh").args(["-c", &script])));
    if mux {
        for host in &farm.hosts {
            let close = format!("ssh {options} -O exit {host}");
            quiet(Command::new("sh").args(["-c", &close]));
        }
    }
    good.then_some(seconds)
}

/// The same output from all hosts at once by plain `ssh`, thrown away.
pub fn flood(farm: &Farm, command: &str) -> Option<f64> {
    let config = farm.sshd.ssh_config().display().to_string();
    let start = |host: &String| {
        let mut ssh = Command::new("ssh");
        ssh.args(["-n", "-F", &config, host, command])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        ssh.spawn().ok()
    };
    let (good, seconds) = kit::timed(|| {
        let started: Vec<_> = farm.hosts.iter().filter_map(start).collect();
        let read = |mut ssh: std::process::Child| {
            std::thread::spawn(move || {
                let mut output = ssh.stdout.take().unwrap();
                let read = std::io::copy(&mut output, &mut std::io::sink()).is_ok();
                read && ssh.wait().is_ok_and(|status| status.success())
            })
        };
        let readers: Vec<_> = started.into_iter().map(read).collect();
        readers.len() == farm.hosts.len() && readers.into_iter().all(|reader| reader.join().unwrap())
    });
    good.then_some(seconds)
}

fn quiet(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
}

/// Whatever `BENCH_VENV` has.
pub fn python<'a>(farm: &'a Farm, steps: usize) -> Vec<Candidate<'a>> {
    let Some(venv) = std::env::var_os("BENCH_VENV").map(PathBuf::from) else {
        println!("(BENCH_VENV is not set: no pyinfra, fabric, ansible)");
        return Vec::new();
    };
    let mut found = Vec::new();
    let bin = venv.join("bin");
    if bin.join("pyinfra").exists() {
        found.push(Candidate::new("pyinfra", pyinfra(farm, &bin, steps)));
    }
    if bin.join("fab").exists() {
        found.push(Candidate::new("fabric, ThreadingGroup", fabric(farm, &bin, steps)));
    }
    if bin.join("ansible-playbook").exists() {
        for (module, at_most) in [("raw", 2), ("command", 1)] {
            let name = format!("ansible, module {module}");
            found.push(Candidate { at_most, ..Candidate::new(name, ansible(farm, &bin, steps, module)) });
        }
    }
    found
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers").join(name)
}

/// Runs it in an empty home; `None` when it fails.
fn one(program: &Path, args: &[&str], dir: &Path, env: &[(&str, String)]) -> Option<f64> {
    let mut command = Command::new(program);
    command.args(args).current_dir(dir).env("HOME", dir).env_remove("SSH_AUTH_SOCK").stdin(Stdio::null());
    command.env("LC_ALL", "C.UTF-8").envs(env.iter().map(|(k, v)| (k, v)));
    let (output, seconds) = kit::timed(|| command.output().unwrap());
    kit::good(&output, 0).then_some(seconds)
}

fn scratch() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("peer-").tempdir_in("/tmp").unwrap()
}

fn fabric<'a>(farm: &'a Farm, bin: &Path, steps: usize) -> impl FnMut() -> Option<f64> + use<'a> {
    let (python, config) = (bin.join("python"), farm.sshd.ssh_config());
    move || {
        let dir = scratch();
        let args =
            [script("fabric_steps.py").display().to_string(), config.display().to_string(), farm.hosts.join(",")];
        one(&python, &[&args[0], &args[1], &args[2], &steps.to_string()], dir.path(), &[])
    }
}

fn pyinfra<'a>(farm: &'a Farm, bin: &Path, steps: usize) -> impl FnMut() -> Option<f64> + use<'a> {
    let program = bin.join("pyinfra");
    move || {
        let dir = scratch();
        let host = |name: &String| format!("    ({name:?}, {{'ssh_hostname': '127.0.0.1'}}),\n");
        let hosts: Vec<String> = farm.hosts.iter().map(host).collect();
        fs::write(dir.path().join("inventory.py"), format!("farm = [\n{}]\n", hosts.concat())).unwrap();
        let d = farm.sshd.dir().display();
        let all = format!(
            "ssh_user = '{}'\nssh_port = {}\nssh_key = '{d}/id'\nssh_known_hosts_file = '{d}/known_hosts'\n",
            user(),
            farm.sshd.port
        );
        fs::create_dir(dir.path().join("group_data")).unwrap();
        fs::write(dir.path().join("group_data/all.py"), all).unwrap();
        let deploy = script("pyinfra_steps.py").display().to_string();
        let args = ["-y", "--parallel", "100", "inventory.py", &deploy];
        one(&program, &args, dir.path(), &[("BENCH_STEPS", steps.to_string())])
    }
}

fn ansible<'a>(
    farm: &'a Farm,
    bin: &Path,
    steps: usize,
    module: &'static str,
) -> impl FnMut() -> Option<f64> + use<'a> {
    let program = bin.join("ansible-playbook");
    move || {
        let dir = scratch();
        let tasks: Vec<String> = (0..steps)
            .map(|n| {
                format!("    - name: step {n}\n      ansible.builtin.{module}: \"true\"\n      changed_when: false\n")
            })
            .collect();
        let play = format!("- hosts: all\n  gather_facts: false\n  tasks:\n{}", tasks.concat());
        fs::write(dir.path().join("play.yml"), play).unwrap();
        let vars = "[all:vars]\nansible_python_interpreter=/usr/bin/python3\n";
        fs::write(dir.path().join("hosts.ini"), format!("[farm]\n{}\n{vars}", farm.hosts.join("\n"))).unwrap();
        let config = format!(
            "[defaults]\nforks = 100\ngathering = explicit\nretry_files_enabled = False\ntimeout = 60\n\
             local_tmp = {0}/local\nremote_tmp = {0}/remote\n[ssh_connection]\npipelining = True\ncontrol_path_dir = {0}/cp\n\
             ssh_args = -F {1} -o ControlMaster=auto -o ControlPersist=5s\n",
            dir.path().display(),
            farm.sshd.ssh_config().display()
        );
        fs::write(dir.path().join("ansible.cfg"), config).unwrap();
        one(&program, &["-i", "hosts.ini", "play.yml"], dir.path(), &[("ANSIBLE_NOCOLOR", "1".into())])
    }
}

fn user() -> String {
    std::env::var("USER").unwrap_or_else(|_| "root".into())
}
