//! Hosts that are drained, restarted, proven and brought back, for real in the lab: by ssh, by the native transport, and
//! without ssh.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

const UPDATE: &str = "runbook: 1
name: Update
timezone: UTC
window: {lasts: 1h}
hosts: {web: [w1, w2], lb: [lb1]}
steps:
  update:
    hosts: web
    at_once: 1
    drain: {run: lb out $HOST, hosts: lb1, until: test -d tmp, timeout: 30s}
    run: echo \"$RUNBOOK_STEP $HOST work\" >>\"$LAB_DIR/effects.log\"; touch tmp/before-the-restart
    reboot: 40s
    verify: echo \"$RUNBOOK_STEP $HOST proof\" >>\"$LAB_DIR/effects.log\"
    undrain: {run: lb in $HOST, hosts: lb1}
    estimate: 1m
    timeout: 2m
    rollback: {run: echo \"$RUNBOOK_STEP $HOST back\" >>\"$LAB_DIR/effects.log\", reboot: 40s, estimate: 1m}
  test:
    hosts: w2
    test: \"true\"
    estimate: 10s
";

/// What the lab's hosts were asked, in the order in which they were.
fn night(flags: &[&str]) -> (Option<i32>, Vec<String>, String) {
    let folder = tempfile::Builder::new().prefix("rbf").tempdir_in("/tmp").unwrap();
    let plan = folder.path().join("update.yaml");
    fs::write(&plan, UPDATE).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_runbook"));
    command.arg("--store").arg(folder.path().join("store")).args(["--no-input", "exec"]).arg(&plan);
    command.args(["--lab", "--keep"]).args(flags);
    command.env("TMPDIR", folder.path()).env_remove("XDG_RUNTIME_DIR").stdin(Stdio::null());
    let out = command.output().unwrap();
    let said = [out.stdout, out.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    let log = fs::read_to_string(lab_in(folder.path()).join("effects.log")).unwrap();
    (out.status.code(), log.lines().map(|l| l.trim_end().to_owned()).collect(), said)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// All of one host before anything of the next.
fn forward(host: &str) -> [String; 5] {
    [
        format!("lb1 update do lb out {host}"),
        format!("update {host} work"),
        format!("{host} update do reboot"),
        format!("update {host} proof"),
        format!("lb1 update do lb in {host}"),
    ]
}

fn back(host: &str) -> [String; 3] {
    [format!("update {host} back"), format!("{host} update undo reboot"), format!("lb1 update undo lb in {host}")]
}

#[test]
fn each_host_is_drained_restarted_proven_and_brought_back() {
    let (code, effects, said) = night(&[]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(effects, [forward("w1"), forward("w2")].concat(), "{said}");
    assert!(!said.contains("LOST"), "a restart is no lost connection:\n{said}");
}

#[test]
fn a_rollback_restarts_the_hosts_again_and_leaves_them_in_service() {
    for way in [&["--transport", "native"][..], &["--without-ssh"]] {
        let (code, effects, said) = night(&[&["--fail", "test"], way].concat());
        assert_eq!(code, Some(10), "{way:?}: {said}");
        assert_eq!(effects[..10], [forward("w1"), forward("w2")].concat(), "{way:?}: {said}");
        let (mut rest, mut expected) = (effects[10..].to_vec(), [back("w1"), back("w2")].concat());
        rest.sort();
        expected.sort();
        assert_eq!(rest, expected, "{way:?}: {said}");
    }
}

/// Asks the load balancer for pages, one connection each, until told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    askers: Vec<JoinHandle<(u32, Vec<String>)>>,
}

impl Load {
    fn on(address: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let ask_on = |_| {
            let (stop, address) = (stop.clone(), address.to_owned());
            std::thread::spawn(move || {
                let (mut fine, mut failed) = (0, Vec::new());
                while !stop.load(Ordering::SeqCst) {
                    match ask(&address) {
                        Ok(()) => fine += 1,
                        Err(why) => failed.push(why),
                    }
                }
                (fine, failed)
            })
        };
        let askers = (0..4).map(ask_on).collect();
        Self { stop, askers }
    }

    /// How many were answered, and why each of the others was not.
    fn end(self) -> (u32, Vec<String>) {
        self.stop.store(true, Ordering::SeqCst);
        let ended = self.askers.into_iter().map(|asker| asker.join().unwrap());
        ended.fold((0, Vec::new()), |(fine, failed), (more, why)| (fine + more, [failed, why].concat()))
    }
}

fn ask(address: &str) -> Result<(), String> {
    let mut stream = TcpStream::connect(address).map_err(|e| format!("connect: {e}"))?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut answer = String::new();
    stream
        .write_all(b"GET / HTTP/1.0\r\n\r\n")
        .and_then(|()| stream.read_to_string(&mut answer))
        .map_err(|e| e.to_string())?;
    let first = answer.lines().next().unwrap_or_default();
    if first.contains(" 200 ") { Ok(()) } else { Err(format!("{first:?}")) }
}

/// STORIES S4: every application server gets the new revision while people use it.
#[test]
fn nobody_notices_the_roll_out_of_launchpad() {
    if !["/usr/sbin/haproxy", "/usr/local/sbin/haproxy"].iter().any(|p| Path::new(p).exists()) {
        eprintln!("skipped: haproxy is not installed");
        return;
    }
    let folder = tempfile::Builder::new().prefix("rbl").tempdir_in("/tmp").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_runbook"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).arg("--store").arg(folder.path().join("store"));
    command.args(["--no-input", "exec", "plans/launchpad-nodowntime.yaml", "--lab", "--keep"]);
    command.env("TMPDIR", folder.path()).env_remove("XDG_RUNTIME_DIR");
    let mut exec = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut load, mut result, mut said) = (None, None, String::new());
    for line in BufReader::new(exec.stderr.take().unwrap()).lines().map_while(Result::ok) {
        if line.contains("RUN    appservers") {
            load = Some(Load::on(&format!("{}:8080", address_of(folder.path(), "lb1"))));
        }
        if line.contains("RUN    one-revision") {
            result = load.take().map(Load::end);
        }
        said = said + &line + "\n";
    }
    assert_eq!(exec.wait().unwrap().code(), Some(0), "{said}");
    let (fine, failed) = result.unwrap_or_else(|| panic!("{said}"));
    assert_eq!(failed, [""; 0], "of {fine}:\n{said}");
    assert!(fine > 200, "{fine} requests say little");
    let imports: Vec<String> = (1..=6).map(|n| imports_of(&lab_in(folder.path()), n)).collect();
    for (host, all) in imports.iter().enumerate() {
        let (begun, done) = (all.matches("begun").count(), all.matches("done").count());
        assert!(begun > 0 && begun - done <= 1, "an import was interrupted on import{}:\n{all}", host + 1);
        let last = all.lines().last().unwrap_or_default();
        assert!(begun == done || last.starts_with("begun"), "an import was interrupted on import{}:\n{all}", host + 1);
    }
}

fn lab_in(folder: &Path) -> PathBuf {
    let mut found = fs::read_dir(folder).unwrap().flatten().map(|e| e.path());
    found.find(|p| name(p).starts_with("runbook-lab-")).expect("a lab")
}

fn address_of(folder: &Path, host: &str) -> String {
    let table = fs::read_to_string(lab_in(folder).join("hosts")).unwrap();
    let row = table.lines().find(|l| l.split(' ').nth(1) == Some(host)).unwrap();
    row.split(' ').next().unwrap().to_owned()
}

fn imports_of(lab: &Path, number: u32) -> String {
    fs::read_to_string(lab.join(format!("h/import{number}/state/imports"))).unwrap_or_default()
}
