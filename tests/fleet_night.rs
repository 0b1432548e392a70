//! Hosts that are drained, restarted, proven and brought back, for real in the lab: by ssh, by the native transport, and
//! without ssh.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

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
    let lab = fs::read_dir(folder.path()).unwrap().flatten().map(|e| e.path());
    let lab = lab.into_iter().find(|p| name(p).starts_with("runbook-lab-")).unwrap_or_else(|| panic!("{said}"));
    let log = fs::read_to_string(lab.join("effects.log")).unwrap();
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
