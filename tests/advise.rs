//! `runbook advise` as people call it: the table of the night of 2 December, a plan with marks, and the same as JSON.

use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;

use crate::exec::{Bed, NIGHT};

fn advise(what: &str, more: &[&str], store: &Path) -> (i32, String) {
    let mut command = Command::cargo_bin("runbook").expect("the program is built");
    command.args(["--store", &store.to_string_lossy(), "advise", what]).args(more);
    let out = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("it runs");
    let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    (out.status.code().unwrap_or(-1), text)
}

#[test]
fn the_night_could_be_shortened_as_its_table_says() {
    let store = tempfile::tempdir().expect("a folder");
    let (code, table) = advise("plans/2007-12-02.yaml", &[], store.path());
    assert_eq!(code, 0, "{table}");
    insta::assert_snapshot!("advise-2007-12-02", table);
}

#[test]
fn a_plan_with_marks_says_what_the_downtime_would_lose() {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = folder.path().join("night.yaml");
    std::fs::write(&plan, MARKED).expect("written");
    let (code, table) = advise(&plan.to_string_lossy(), &[], folder.path());
    assert_eq!(code, 0, "{table}");
    let head = format!("{}   ", plan.display());
    insta::assert_snapshot!("advise-marked", table.replace(&head, "night.yaml   "));
}

#[test]
fn the_document_has_the_numbers_of_the_table() {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = folder.path().join("night.yaml");
    std::fs::write(&plan, MARKED).expect("written");
    let (code, json) = advise(&plan.to_string_lossy(), &["--json"], folder.path());
    let document: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((code, &document["now"]["downtime"]), (0, &serde_json::json!(50 * 60)));
    let backup = &document["savings"][0];
    assert_eq!((&backup["change"], &backup["step"]), (&"before_downtime".into(), &"backup".into()));
    assert_eq!(backup["saves"], serde_json::json!({ "finish": 0, "downtime": 2400, "roll_back_by": 0 }));
}

#[test]
fn a_mark_that_is_misspelt_and_a_run_that_is_not_there_are_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = folder.path().join("night.yaml");
    std::fs::write(&plan, MARKED.replace("downtime: end", "downtime: ends")).expect("written");
    let (code, text) = advise(&plan.to_string_lossy(), &[], folder.path());
    assert!(code == 2 && text.contains("did you mean `end`?"), "{code} {text}");
    std::fs::write(
        &plan,
        MARKED
            .replace("downtime: end", "read_only: true")
            .replace("    estimate: 5m\n    read_only: true\n", "    estimate: 5m\n"),
    )
    .expect("written");
    let (code, text) = advise(&plan.to_string_lossy(), &[], folder.path());
    assert!(code == 0 && text.contains("The downtime begins with stop and never ends"), "{code} {text}");
    let (code, text) = advise("2007-12-02-a", &[], folder.path());
    assert!(code == 3 && text.contains("there are no runs yet"), "{code} {text}");
}

/// Two real runs of a plan whose second step is far quicker than estimated: both are looked at, the lab is not.
#[test]
fn what_really_ran_takes_the_place_of_the_estimates() {
    let bed = Bed::new(NIGHT);
    let before = bed.run(&["advise", "night.yaml"]).stdout;
    assert!(before.contains(", by its estimates") && !before.contains("AS IT RAN"), "{before}");
    assert_eq!(bed.exec(&[]).code, 0);
    let run = bed.run(&["advise", "latest"]).stdout;
    assert!(run.contains("AS IT RAN    night-a: ") && run.contains(", with what steps took in night-a"), "{run}");
    let json =
        |what: &str| -> Value { serde_json::from_str(&bed.run(&["advise", what, "--json"]).stdout).expect("JSON") };
    for document in [json("night-a"), json("night.yaml")] {
        let path: Vec<&str> =
            document["ran"]["path"].as_array().expect("a path").iter().filter_map(|s| s["step"].as_str()).collect();
        assert_eq!((document["ran"]["run"].as_str(), path), (Some("night-a"), vec!["one", "two", "check"]));
        let end = |path: &str| document[path].as_array().and_then(|p| p.last()?["end"].as_i64()).expect("seconds");
        assert!(end("planned") > end("path"), "`two` is expected to take 30 s and takes none: {document}");
    }
}

const MARKED: &str = r#"runbook: 1
name: Short night
window: {lasts: 4h, reserve: 15m}
hosts: {web: [web1], db: [db1]}
steps:
  stop:
    needs: []
    hosts: web
    run: stop-web
    downtime: begin
    estimate: 5m
    rollback: {run: start-web, estimate: 5m}
  backup:
    needs: [stop]
    hosts: db
    run: backup
    read_only: true
    estimate: 40m
  start:
    needs: [backup]
    hosts: web
    run: start-web
    downtime: end
    estimate: 5m
    read_only: true
"#;
