//! What is learnt from runs that are over, and from what people have: who reads it, and what never gets in.

use std::fs;

use jiff::{SignedDuration, Timestamp};
use runbook::engine::fact::Stage;
use runbook::journal::history::Duration;
use runbook::journal::store::Frozen;
use runbook::journal::{NewRun, Store};
use runbook::view::durations;
use serde_json::Value;

use crate::exec::{Bed, NIGHT};
use crate::screens::night::{self, Night};

#[test]
fn the_night_of_2_december_took_what_its_steps_took_and_nobody_waited_for() {
    let mut plan = night::plan();
    plan.groups.insert("frontend".into(), vec!["fe1".into(), "fe2".into()]);
    let graph = runbook::graph::Graph::build(std::sync::Arc::new(plan));
    let all = durations(&graph, &Night::whole().facts);
    let short: Vec<(&str, &str, u32, i64, i64)> = all
        .iter()
        .map(|t| (t.step.as_str(), t.group.as_str(), t.hosts, t.median.as_secs(), t.most.as_secs()))
        .collect();
    let of = |step: &str| short.iter().find(|t| t.0 == step).copied();
    assert_eq!(of("backup-db").unwrap().3, 298, "its proof included: {short:?}");
    assert_eq!(of("stop-frontend"), Some(("stop-frontend", "frontend", 2, 131, 131)), "{short:?}");
    assert_eq!(all.iter().filter(|t| t.step == "stop-backend").count(), 2, "hosts in no group stand for themselves");
    for people in ["bridge", "sanity-frontend", "landing-test"] {
        assert_eq!(of(people), None, "people's time is not the step's");
    }
    let back = durations(&graph, &Night::rolled_back().facts);
    assert!(back.iter().any(|t| t.undone && t.step == "db-scripts"), "{back:?}");
    assert!(!back.iter().any(|t| t.step == "sanity-backend" && t.group == "be2"), "what failed says nothing: {back:?}");
}

#[test]
fn runs_teach_plan_and_report_what_steps_take() {
    let bed = Bed::new(NIGHT);
    let nothing = bed.run(&["history", "night.yaml"]);
    assert!(nothing.code == 0 && nothing.stdout.starts_with("nothing is known of night yet"), "{nothing:?}");
    for _ in 0..2 {
        assert_eq!(bed.exec(&[]).code, 0);
    }
    let list = bed.run(&["history", "night.yaml"]).stdout;
    let row = |step: &str| list.lines().find(|l| l.trim_start().starts_with(step)).map(str::to_owned);
    assert!(list.starts_with("A small night   night\n"), "{list}");
    assert!(row("two").is_some_and(|l| l.split_whitespace().nth(2) == Some("2")), "{list}");

    let json: Value = serde_json::from_str(&bed.run(&["history", "--json"]).stdout).unwrap();
    let steps: Vec<&str> = json["history"].as_array().unwrap().iter().map(|h| h["step"].as_str().unwrap()).collect();
    assert_eq!(steps, ["one", "two", "check"]);
    assert_eq!(json["history"][1]["durations"][0]["run"], "night-b");

    let page = bed.run(&["plan", "night.yaml", "--no-pager"]).stdout;
    assert!(page.contains("W112 two: estimate 30s, but the last 2 runs took"), "{page}");
    let page: Value = serde_json::from_str(&bed.run(&["plan", "night.yaml", "--json"]).stdout).unwrap();
    assert!(page["odds"]["nights"].as_u64() > Some(0), "real durations have a spread, where the estimates have none");
    let suggested = bed.run(&["report", "--suggest"]).stdout;
    let expected = ["  two:   # the last 2 runs took", "-   estimate: 30s", "+   estimate: 1s"];
    assert!(expected.iter().all(|line| suggested.contains(line)), "{suggested}");
    assert!(!suggested.contains("  one:"), "{suggested}");
}

#[test]
fn what_people_know_is_imported_once_and_goes_into_the_forecast() {
    let bed = Bed::new(NIGHT);
    let csv = "step,took,at\none,20m,2007-11-02\none,25m,2007-11-03\ntwo,2m,2007-11-02\n";
    fs::write(bed.path("old.csv"), csv).unwrap();
    let import = || bed.run(&["history", "import", "old.csv", "--plan", "night.yaml"]);
    assert_eq!(import().stdout, "3 durations of night imported.   See them: runbook history night\n");
    assert!(import().stdout.starts_with("0 durations of night imported, 3 were known already."));
    let page: Value = serde_json::from_str(&bed.run(&["plan", "night.yaml", "--json"]).stdout).unwrap();
    let warnings = page["warnings"].to_string();
    assert!(warnings.contains("one: estimate 1s, but the last 2 runs took 20m, 25m"), "{warnings}");

    fs::write(bed.path("bad.csv"), "step,took\none,20\ntwo,2m\nthree,soon\n").unwrap();
    let bad = bed.run(&["history", "import", "bad.csv", "--plan", "night.yaml"]);
    bad.refused(
        2,
        &["nothing was imported: 2 lines of bad.csv", "bad.csv:2: `20` is no duration", "bad.csv:4: `soon`"],
    );
    bed.run(&["history", "import", "none.csv", "--plan", "night"]).refused(2, &["none.csv cannot be read"]);
    bed.run(&["history", "import", "old.csv", "--plan", "other.yaml"]).refused(2, &["there is no file `other.yaml`"]);
    bed.run(&["history", "import", "old.csv"]).refused(2, &["--plan"]);
}

const TIMED: &str = "runbook: 1
name: A timed night
window: {lasts: 2h, reserve: 10m}
steps:
  one: {hosts: local, run: date, ESTIMATE read_only: true}
  two: {hosts: local, run: date, estimate: 10m, read_only: true}
";

/// One run proves nothing; two do, and what they took goes into the plan, but neither into its digest nor into a timeout.
#[test]
fn a_step_without_an_estimate_is_taken_to_need_what_it_took() {
    let written = TIMED.replace("ESTIMATE", "");
    let bed = Bed::new(&written);
    let import = |csv: &str| {
        fs::write(bed.path("old.csv"), csv).unwrap();
        assert_eq!(bed.run(&["history", "import", "old.csv", "--plan", "night"]).code, 0);
    };
    let missing = bed.run(&["check", "night.yaml"]);
    assert!(missing.code == 2 && missing.stdout.contains("E023"), "{missing:?}");
    import("step,took,at\none,20m,2007-11-02\n");
    assert_eq!(bed.run(&["plan", "night.yaml"]).code, 2, "one run proves nothing");
    import("step,took,at\none,25m,2007-11-03\n");

    let checked = bed.run(&["check", "night.yaml"]);
    assert!(checked.code == 0 && checked.stdout.contains("W118"), "{checked:?}");
    let document =
        || -> Value { serde_json::from_str(&bed.run(&["plan", "night.yaml", "--json"]).stdout).expect("JSON") };
    let plan = document();
    let one = &plan["steps"][0];
    assert_eq!((&one["step"], &one["estimate_s"]), (&"one".into(), &serde_json::json!([1380, 1620])), "{plan}");
    let warnings = plan["warnings"].to_string();
    assert!(warnings.contains("W118") && warnings.contains("the last 2 runs took 20m, 25m"), "{warnings}");
    assert_eq!(bed.exec(&[]).code, 0);
    let started = bed.store().frozen("night-a").unwrap().plan;
    let frozen: Value = serde_json::from_str(&started).expect("JSON");
    assert!(frozen["steps"]["one"]["estimate"].is_object() && frozen["steps"]["one"]["timeout"].is_null(), "{frozen}");
    import("step,took,at\none,55m,2007-11-04\none,58m,2007-11-05\n");
    assert_ne!(document()["steps"][0]["estimate_s"], one["estimate_s"], "it moves with what is known");
    assert_eq!(document()["digest"], plan["digest"], "the digest is that of what is written");
    bed.plan("night", &TIMED.replace("ESTIMATE", "estimate: 5m,"));
    assert_eq!(document()["steps"][0]["estimate_s"], serde_json::json!([300, 300]), "what is written counts");
}

/// What is played in the lab, or not over, or of another plan, is not in the history of a plan.
#[test]
fn only_real_runs_that_are_over_and_of_this_plan_count() {
    let tmp = tempfile::tempdir().unwrap();
    let mut store = Store::open(tmp.path()).unwrap();
    let at = Timestamp::from_second(1_196_577_000).unwrap();
    let mut make = |plan: &str, title: &str, stage: Stage, over: bool| {
        let new = NewRun { plan: plan.into(), title: title.into(), digest: "7c1f".into(), stage, created: at };
        let frozen = |_: &str| Frozen { plan: "{}".into(), started: "{}".into(), setup: "{}".into() };
        let run = store.create(&new, |_| false, frozen).unwrap();
        if over {
            let claim =
                runbook::journal::Claim { owner: "s".into(), host: "h".into(), pid: 1, socket: None, over: None };
            let mut journal = Store::open(tmp.path()).unwrap().take(&run.id, &claim, at).unwrap();
            let ended = runbook::engine::fact::Fact::RunEnded { end: runbook::engine::fact::RunEnd::Rejected };
            runbook::journal::Journal::append(&mut journal, at, &[ended], 0).unwrap();
            runbook::journal::Journal::close(&mut journal, at).unwrap();
        }
        run.id
    };
    let real = make("night", "Release 1", Stage::Real, true);
    make("night", "Release 1", Stage::Lab, true);
    make("night", "Release 1", Stage::Real, false);
    make("other", "Something else", Stage::Real, true);
    let later = make("night-2", "Release 1", Stage::Real, true);
    let mut store = Store::open(tmp.path()).unwrap();
    let open = store.not_in_history(Some(("night", "Release 1"))).unwrap();
    let names: Vec<&str> = open.iter().map(|(run, _)| run.id.as_str()).collect();
    assert_eq!(names, [later.as_str(), real.as_str()], "by the file's name or the title");

    let took = SignedDuration::from_mins(5);
    let (step, group) = ("deploy".to_owned(), "web".to_owned());
    let one = Duration { step, group, undone: false, at, hosts: 2, least: took, median: took, most: took * 2 };
    for _ in 0..2 {
        store.add_to_history(&open[0].0, open[0].1, std::slice::from_ref(&one)).unwrap();
    }
    let known = store.history(Some(("night", "Release 1"))).unwrap();
    assert_eq!(known.len(), 1, "a run is there once, however often it is learnt");
    assert_eq!((&known[0].duration, known[0].run.as_deref()), (&one, Some(later.as_str())));
    assert_eq!(store.not_in_history(Some(("night", "Release 1"))).unwrap().len(), 1);
    assert!(store.history(Some(("third", "Third"))).unwrap().is_empty());
}
