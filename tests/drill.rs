//! The drill: the example plans end as their tables say, and what is broken on purpose is found.

use std::path::Path;
use std::process::{Command, Stdio};

fn drill(plan: &Path, more: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runbook"));
    command.arg("drill").arg(plan).args(more).current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
    let out = command.output().unwrap();
    let said = [out.stdout, out.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    (out.status.code().unwrap_or(-1), said)
}

#[test]
fn the_night_of_2_december_ends_well_whatever_fails() {
    let (code, table) = drill(Path::new("plans/2007-12-02.yaml"), &[]);
    insta::assert_snapshot!(table);
    assert_eq!(code, 0);
}

#[test]
fn the_night_of_september_2007_ends_well_whatever_fails() {
    let (code, table) = drill(Path::new("plans/2007-09-16.yaml"), &[]);
    insta::assert_snapshot!(table);
    assert_eq!(code, 0);
}

/// Its window opens whenever it is started, so its table has other times at each hour: what is compared is how each night ends.
#[test]
fn the_swap_without_downtime_ends_well_whatever_fails() {
    let (code, json) = drill(Path::new("plans/launchpad-nodowntime.yaml"), &["--json"]);
    assert_eq!(code, 0, "{json}");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let word = |case: &serde_json::Value, key: &str| case[key].as_str().unwrap_or("-").to_owned();
    let mut ends = std::collections::BTreeMap::new();
    for case in json["cases"].as_array().unwrap() {
        let night = format!("{} {}: {}", word(case, "step"), word(case, "fault"), word(case, "verdict"));
        *ends.entry(night).or_insert(0) += 1;
    }
    let lines: Vec<String> = ends.into_iter().map(|(night, hosts)| format!("{night} ({hosts})")).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

/// `move` is undone by nobody but a person: whatever fails after it leaves the night half-way.
const BROKEN: &str = "runbook: 1
name: Broken on purpose
timezone: UTC
window: {opens: \"2030-01-01 01:00\", closes: \"2030-01-01 05:00\"}
hosts: {app: [a1, a2]}
steps:
  make:
    hosts: app
    run: make-release
    estimate: 5m
    rollback: {run: drop-release, estimate: 5m}
  move:
    hosts: app
    run: move-release
    estimate: 5m
    manual_rollback: put it back by hand
";

/// Nobody answers the hold about a test that was red before: the night still ends inside its window.
#[test]
fn a_test_that_was_red_before_waits_for_an_answer_and_still_ends_in_time() {
    let (code, table) = drill(Path::new("tests/scenarios/plans/red-before.yaml"), &[]);
    insta::assert_snapshot!(table);
    assert_eq!(code, 0);
}

/// Past the horizon nothing is rolled back by itself: whatever fails there is left to people, and nothing is lost.
#[test]
fn what_fails_past_a_horizon_is_left_to_people() {
    let (_, table) = drill(Path::new("tests/scenarios/plans/horizon.yaml"), &[]);
    insta::assert_snapshot!(table);
}

#[test]
fn what_is_broken_on_purpose_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let plan = dir.path().join("broken.yaml");
    std::fs::write(&plan, BROKEN).unwrap();
    let (code, table) = drill(&plan, &[]);
    insta::assert_snapshot!(table.replace(dir.path().to_str().unwrap(), "DIR"));
    assert_eq!(code, 2);
    let (code, json) = drill(&plan, &["--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let is =
        |case: &&serde_json::Value| case["step"] == "move" && case["host"] == "a1" && case["fault"] == "fails_half";
    let case = json["cases"].as_array().unwrap().iter().find(is).unwrap();
    assert_eq!((code, &case["verdict"], &case["ended"]), (2, &"bad".into(), &"stuck".into()));
    assert_eq!(case["touched"], serde_json::json!(["a1", "a2"]));
}

/// What decides, how many cases are bad, must not be what a narrow terminal cuts off.
#[test]
fn the_table_fits_a_narrow_terminal() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runbook"));
    command.args(["drill", "tests/scenarios/plans/horizon.yaml"]).env("COLUMNS", "80");
    let out = command.current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null()).output().unwrap();
    let table = String::from_utf8(out.stdout).unwrap();
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    for part in [
        "lost    killed  undo",
        " 4 open            held    held    held    held    held    22:55   held",
        "45 cases, 0 BAD: 21 end well",
    ] {
        assert!(table.contains(part), "{part}:\n{table}");
    }
    assert!(table.contains("held: no way back any more"), "{table}");
}
