//! `runbook graph` and `runbook doctor` as people call them.

use assert_cmd::Command;

fn runbook(args: &[&str]) -> Command {
    let mut command = Command::cargo_bin("runbook").expect("the program is built");
    command.args(args).current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

fn stdout(args: &[&str]) -> String {
    let out = runbook(args).assert().success().get_output().stdout.clone();
    String::from_utf8(out).expect("UTF-8")
}

#[test]
fn every_example_can_be_drawn_in_every_format() {
    for plan in ["2007-12-02", "2007-09-16", "2013-03-os-update", "launchpad-nodowntime"] {
        let path = format!("plans/{plan}.yaml");
        let text = stdout(&["graph", &path]);
        assert!(text.contains("* critical path"), "{text}");
        assert!(text.lines().all(|l| l.chars().count() <= 80), "{text}");
        assert!(stdout(&["graph", &path, "--format", "dot"]).starts_with("digraph"));
        assert!(stdout(&["graph", &path, "--format", "mermaid"]).starts_with("flowchart LR\n"));
        let picture = stdout(&["graph", &path, "--format", "svg"]);
        let document: serde_json::Value = serde_json::from_str(&stdout(&["--json", "graph", &path])).expect("JSON");
        let steps = document["steps"].as_array().expect("a list").len();
        assert_eq!(picture.matches("class=\"box\"").count(), steps, "{picture}");
        let page = stdout(&["graph", &path, "--format", "html"]);
        assert!(page.ends_with("</html>\n") && page.contains("href=\"#step-1\""), "{page}");
        assert!(!page.contains("<script") && !page.contains("url("), "{page}");
    }
}

#[test]
fn variables_decide_what_is_drawn_as_skipped() {
    let text = stdout(&["graph", "plans/2007-12-02.yaml", "--var", "DB_CHANGES=false"]);
    assert!(text.contains("  6 - db-scripts"), "{text}");
    assert!(text.contains("- skipped: its `when` is false"), "{text}");
}

#[test]
fn a_plan_that_is_not_there_is_a_usage_error() {
    runbook(&["graph", "nosuch.yaml"]).assert().code(2);
}

#[test]
fn the_doctor_names_the_source_of_each_setting() {
    let store = tempfile::tempdir().expect("a folder");
    let path = store.path().join("store").display().to_string();
    let said = runbook(&["--json", "--store", &path, "doctor"])
        .env("RUNBOOK_USER", "Sarah\u{1b}[2J")
        .env("RUNBOOK_ASCII", "true")
        .env_remove("RUNBOOK_STORE")
        .assert()
        .success();
    let json: serde_json::Value = serde_json::from_slice(&said.get_output().stdout).expect("JSON");
    let of = |name: &str| {
        let all = json["settings"].as_array().expect("a list");
        let found = all.iter().find(|s| s["name"] == name).expect(name);
        (found["value"].as_str().expect("text").to_owned(), found["from"].as_str().expect("text").to_owned())
    };
    assert_eq!(of("store"), (path.clone(), "--store".into()));
    assert_eq!(of("sockets").1, "the store");
    assert_eq!(of("name in the timeline").1, "RUNBOOK_USER");
    assert_eq!(of("bars"), ("ASCII".into(), "RUNBOOK_ASCII".into()));
    assert!(!store.path().join("store").exists(), "looking changes nothing");
    let shown = runbook(&["--store", &path, "doctor"]).env("RUNBOOK_USER", "a\u{1b}]0;x\u{7}").assert().success();
    assert!(!shown.get_output().stdout.contains(&0x1b));
}

#[test]
fn the_doctor_says_by_what_each_host_of_a_plan_is_reached() {
    let dir = tempfile::tempdir().unwrap();
    let plan = dir.path().join("night.yaml");
    let text = "runbook: 1\nname: Night\nhosts:\n  web1: {address: 10.0.0.1}\nsteps:\n  look: {hosts: web1, run: uptime, read_only: true, estimate: 1s}\n";
    std::fs::write(&plan, text).unwrap();
    let path = dir.path().join("store").display().to_string();
    let asked = |means: &str| {
        let arguments = ["--json", "--store", &path, "doctor", &plan.display().to_string(), "--transport", means];
        let said = runbook(&arguments).env("SSH_AUTH_SOCK", "").assert().success().get_output().stdout.clone();
        let said: serde_json::Value = serde_json::from_slice(&said).unwrap();
        let row = |name: &str| said["settings"].as_array().unwrap().iter().find(|s| s["name"] == name).unwrap().clone();
        assert_eq!(row("transport")["value"], means);
        row("web1")
    };
    assert_eq!(asked("openssh")["value"], "openssh");
    let native = asked("native");
    assert!(native["value"] == "native" || native["trouble"].as_str().unwrap().contains("cannot reach it"), "{native}");
    let auto = asked("auto");
    assert!(auto["value"] == "native" || auto["from"].as_str().unwrap().starts_with("its options: "), "{auto}");
}
