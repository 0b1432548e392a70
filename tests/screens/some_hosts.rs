//! `status --hosts PATTERN` and `logs ... PATTERN`: some hosts of a run, in the language of `exec --hosts`.

use crate::exec::{Bed, Said};

const PLAN: &str = "runbook: 1
name: Some of them
hosts: {web: [web1, web2, web3], db: [db1]}
steps:
  update:
    needs: []
    hosts: web
    run: echo hello from $HOST; test $HOST != web2 || { echo no room left >&2; exit 4; }
    allow_failed: 1
    estimate: 1s
    rollback: \"true\"
  load:
    needs: []
    hosts: db
    run: echo data on $HOST
    estimate: 1s
    rollback: \"true\"
";

fn ran() -> Bed {
    let bed = Bed::new(PLAN);
    let said = bed.run(&["exec", "night.yaml", "--lab", "--without-ssh", "--no-input"]);
    assert_eq!(said.code, 0, "{said:?}");
    bed
}

fn shows(said: &Said, words: &[&str], not: &[&str]) {
    assert_eq!(said.code, 0, "{said:?}");
    assert!(words.iter().all(|word| said.stdout.contains(word)), "{words:?}: {said:?}");
    assert!(!not.iter().any(|word| said.stdout.contains(word)), "not {not:?}: {said:?}");
}

#[test]
fn logs_of_the_hosts_that_a_pattern_means() {
    let bed = ran();
    let logs = |words: &[&str]| bed.run(&[&["logs"], words].concat());
    shows(&logs(&["update", "web*,!web3"]), &["hello from web1", "no room left"], &["web3", "db1"]);
    shows(&logs(&["update", "web[0]"]), &["hello from web1"], &["web2"]);
    shows(&logs(&["db"]), &["data on db1"], &["hello"]);
    shows(&logs(&["w*"]), &["hello from web1", "hello from web3"], &["data"]);
    shows(&logs(&["web3"]), &["hello from web3"], &["web1"]);

    logs(&["update", "db"]).refused(2, &["`update` does not run there: db"]);
    logs(&["update", "wbe1"]).refused(2, &["no host or group of the plan matches `wbe1`", "did you mean `web1`?"]);
    logs(&["x*"]).refused(2, &["no host or group of the plan matches `x*`", "its groups: web, db"]);
    logs(&["updte"]).refused(2, &["there is no step or host `updte`", "did you mean `update`?"]);
    logs(&["updte", "web1"]).refused(2, &["there is no step `updte`"]);
}

#[test]
fn status_of_the_hosts_that_a_pattern_means() {
    let bed = ran();
    let status = |words: &[&str]| bed.run(&[&["status"], words].concat());
    let web = status(&["--hosts", "web"]);
    shows(&web, &["night-a  Some of them   DONE", "web2  update              FAILED"], &["db1", "load"]);
    assert!(web.stdout.contains("no room left"), "why it failed: {web:?}");
    shows(&status(&["--hosts", "all,!web"]), &["db1   load                DONE"], &["update"]);

    let json = status(&["--hosts", "web2", "--json"]);
    let document: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(document["hosts"][0]["host"], "web2");
    let steps = document["hosts"][0]["steps"].as_array().unwrap();
    assert_eq!((steps.len(), &steps[0]["state"], &steps[0]["why"]), (1, &"failed".into(), &"no room left".into()));
    assert!(serde_json::from_str::<serde_json::Value>(&status(&["--json"]).stdout).unwrap().get("hosts").is_none());

    status(&["--hosts", "dbx"]).refused(2, &["no host or group of the plan matches `dbx`", "did you mean `db1`?"]);
    status(&["--hosts", "web,&db"]).refused(2, &["no host is left of `web,&db`"]);
}
