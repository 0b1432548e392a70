//! What was decided is what runs: go, no-go, another date, and what counts as a change.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::exec::Bed;

const PLAN: &str = "runbook: 1
name: A decided night
timezone: UTC
window: {opens: \"2030-01-01 01:00\", closes: \"2030-01-01 05:00\"}
hosts:
  app: [{a1: {address: 127.0.0.9}}]
vars: {VERSION: \"2.4\"}
steps:
  one:
    hosts: app
    run: echo one
    estimate: 10m
    timeout: 30m
    read_only: true
  two:
    hosts: app
    script: two.sh
    estimate: 10m
    read_only: true
";

fn bed() -> Bed {
    let bed = Bed::new(PLAN);
    script(&bed, "#!/bin/sh\necho two\n");
    bed
}

fn script(bed: &Bed, text: &str) {
    fs::write(bed.path("two.sh"), text).unwrap();
    fs::set_permissions(bed.path("two.sh"), fs::Permissions::from_mode(0o755)).unwrap();
}

/// P11: each class of change is refused with what has changed; comments and layout are no change.
#[test]
fn what_changed_since_the_go_is_refused_and_named() {
    let bed = bed();
    let said = bed.run(&["go", "night.yaml", "--by", "Ms. Hu, Dev", "-m", "load balancer fixed"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.stdout.starts_with("GO recorded"), "{said:?}");
    let refused = |from: &str, to: &str, words: &str| {
        bed.plan("night", &PLAN.replacen(from, to, 1));
        bed.exec(&[]).refused(3, &["the plan changed since GO", words, "runbook plan night.yaml --diff", "runbook go"]);
        let diff = bed.run(&["plan", "night.yaml", "--diff"]);
        assert!(diff.code == 0 && diff.stdout.contains(words), "{diff:?}");
    };
    refused("run: echo one", "run: echo two", "~ step one: run");
    refused("VERSION: \"2.4\"", "VERSION: \"2.5\"", "~ vars");
    refused("127.0.0.9", "127.0.0.8", "~ hosts");
    refused("timeout: 30m", "timeout: 40m", "~ step one: timeout");
    refused("estimate: 10m", "estimate: 10m-20m", "~ step one: estimate 10m -> 10m-20m");
    bed.plan("night", PLAN);
    script(&bed, "#!/bin/sh\necho two\necho more\n");
    bed.exec(&[]).refused(3, &["the plan changed since GO", "~ file two.sh: its content, 2 -> 3 lines (step two)"]);
    script(&bed, "#!/bin/sh\necho two\n");
    let order =
        PLAN.replace("  one:\n", "  three:\n").replace("  two:\n", "  one:\n").replace("  three:\n", "  two:\n");
    bed.plan("night", &order);
    bed.exec(&[]).refused(3, &["the plan changed since GO"]);

    bed.plan("night", &PLAN.replace("    run: echo one", "    # a comment\n\n    run:   echo one"));
    bed.exec(&[]).refused(3, &["the window opens in"]);
    let same = bed.run(&["plan", "night.yaml", "--diff"]);
    assert!(same.stdout.contains("nothing that runs has changed"), "{same:?}");
    assert_eq!(bed.runs(), 0);
}

#[test]
fn after_a_no_go_the_night_is_moved_and_decided_again() {
    let bed = bed();
    assert_eq!(bed.run(&["no-go", "night.yaml", "-m", "repository down"]).code, 0);
    bed.exec(&[])
        .refused(3, &["NO-GO recorded", "by Sarah: repository down", "runbook move night.yaml --to YYYY-MM-DD"]);
    let moved = bed.run(&["move", "night.yaml", "--to", "2030-01-08"]);
    assert_eq!(moved.code, 0, "{moved:?}");
    assert!(moved.stdout.starts_with("moved from 2030-01-01 to 2030-01-08 (2 dates in night.yaml)"), "{moved:?}");
    let text = fs::read_to_string(bed.path("night.yaml")).unwrap();
    assert_eq!(text, PLAN.replace("2030-01-01", "2030-01-08"));
    bed.exec(&[]).refused(3, &["the window opens in"]);
    bed.run(&["move", "night.yaml", "--to", "2030-01-08"]).refused(3, &["on 2030-01-08 already"]);
    assert_eq!(bed.run(&["go", "night.yaml", "--by", "Ms. Hu"]).code, 0);
    let runs = bed.run(&["runs"]).stdout;
    let decided: Vec<&str> = runs.lines().skip_while(|l| *l != "DECIDED").skip(1).collect();
    let words = ["GO     night", "MOVED  night", "NO-GO  night"];
    assert_eq!(decided.len(), 3, "{runs}");
    assert!(decided.iter().zip(words).all(|(line, word)| line.contains(word)), "{runs}");
}

#[test]
fn a_night_that_cannot_be_on_that_date_stays_where_it_is() {
    let bed = bed();
    bed.run(&["move", "night.yaml", "--to", "2030-02-30"]).refused(2, &["2030-02-30"]);
    let berlin = PLAN.replace("UTC", "Europe/Berlin").replace("2030-01-01 01:00", "2030-01-01 02:30");
    bed.plan("night", &berlin);
    // The clocks go forward on 31 March 2030: there is no 02:30.
    bed.run(&["move", "night.yaml", "--to", "2030-03-31"]).refused(2, &["does not exist", "night.yaml is as it was"]);
    assert_eq!(fs::read_to_string(bed.path("night.yaml")).unwrap(), berlin);
}
