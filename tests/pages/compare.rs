//! `runbook report A B`: two runs side by side, in every form, and what cannot be compared.

use std::fs;

use runbook::report::{Comparison, WriteUp};
use serde_json::Value;

use crate::exec::{Bed, NIGHT};
use crate::screens::night::{Night, at};

/// The night as it went, and what else could have become of it.
fn held_against(other: &Night, now: &str) -> Comparison {
    let whole = WriteUp::of(&Night::whole().view(), at(now)).expect("a run that has begun");
    let mut other = WriteUp::of(&other.view(), at(now)).expect("a run that has begun");
    other.run = "2007-12-02-b".into();
    Comparison::of(whole, other, Vec::new(), at(now))
}

/// One that went well, and one that was rolled back.
pub fn two_nights() -> Comparison {
    held_against(&Night::rolled_back(), "07:00")
}

fn text_at_both_widths(comparison: &Comparison) -> String {
    let texts = [80, 100].map(|width| {
        let lines = comparison.text(width);
        let wide = lines.iter().map(|l| l.chars().count()).max().unwrap_or(0);
        assert!(wide <= width, "{wide} columns:\n{}", lines.join("\n"));
        format!("{width} columns\n{}\n", lines.join("\n"))
    });
    texts.join("\n")
}

#[test]
fn a_night_that_was_rolled_back_is_held_against_one_that_was_not() {
    insta::assert_snapshot!(text_at_both_widths(&two_nights()));
}

#[test]
fn a_run_that_is_not_over_says_how_far_it_is() {
    let both = held_against(&Night::until_0147(), "01:48");
    let mut other = both.b;
    other.digest = "1111-2222".into();
    let open = Comparison::of(both.a, other, vec!["~ step db-scripts: estimate 30m-40m -> 10m".into()], at("01:48"));
    insta::assert_snapshot!(text_at_both_widths(&open));
}

/// Three runs: one night twice, the second time with one step more and one less, and another plan.
fn bed() -> Bed {
    let bed = Bed::new(NIGHT);
    assert_eq!(bed.exec(&[]).code, 0);
    let more = "  three: {hosts: local, test: \"true\", estimate: 1s}\n";
    let other = NIGHT.replace("  one:", "  first:").replace("estimate: 30s", "estimate: 20s") + more;
    bed.plan("night", &other);
    assert_eq!(bed.exec(&[]).code, 0);
    bed.plan("day", &NIGHT.replace("A small night", "A day").replace("  check:", "  look:"));
    assert_eq!(bed.run(&["exec", "day.yaml", "--confirm", "day"]).code, 0);
    bed
}

#[test]
fn runs_of_two_versions_and_of_two_plans_are_compared_by_their_steps() {
    let bed = bed();
    let text = bed.run(&["report", "night-a", "night-b"]);
    let parts = [
        "A small night: runs of two versions of the plan\n",
        "only in A:  one\n",
        "only in B:  first, three\n",
        "the plan:  - step one\n",
        "the plan:  ~ step two: estimate 30s -> 20s",
        "30s, 20s",
    ];
    parts.iter().for_each(|part| assert!(text.stdout.contains(part), "{part}\n{text:?}"));
    let order: Vec<usize> = ["\nfirst ", "\none ", "\ntwo ", "\ncheck ", "\nthree "]
        .iter()
        .map(|step| text.stdout.find(step).unwrap_or_else(|| panic!("{step:?} in {text:?}")))
        .collect();
    assert!(order.is_sorted(), "in the order of both: {text:?}");

    let text = bed.run(&["report", "night-a", "day-a"]).stdout;
    assert!(text.starts_with("A small night and A day: runs of different plans\n"), "{text}");
    assert!(text.contains("Compared by the names of their steps: 2 of 4 are in both."), "{text}");
    assert!(!text.contains("the plan:"), "{text}");
}

#[test]
fn every_form_of_a_comparison_has_its_numbers() {
    let bed = bed();
    let form = |form: &str| bed.run(&["report", "night-a", "night-b", "--format", form]).stdout;
    let json: Value = serde_json::from_str(&form("json")).expect("JSON");
    assert_eq!(bed.run(&["report", "night-a", "night-b", "--json"]).stdout, form("json"));
    assert_eq!(
        (&json["plans"], &json["a"]["run"], &json["b"]["over"]),
        (&"versions".into(), &"night-a".into(), &true.into())
    );
    let step =
        |name: &str| json["steps"].as_array().and_then(|s| s.iter().find(|s| s["step"] == name)).expect("a step");
    assert!(step("one")["b"].is_null() && step("first")["a"].is_null(), "{json}");
    assert_eq!(step("two")["b"]["estimate_s"], serde_json::json!([20, 20]));
    assert!(step("two")["difference_s"].is_f64(), "{json}");
    let (a, b) = (json["a"]["length_s"].as_f64(), json["b"]["length_s"].as_f64());
    assert!((json["difference_s"].as_f64().unwrap() - (b.unwrap() - a.unwrap())).abs() < 0.001, "{json}");

    let csv = form("csv");
    let two = csv.lines().find(|l| l.starts_with("two,")).expect("a row");
    assert_eq!(csv.lines().next().unwrap().split(',').count(), two.split(',').count(), "{csv}");
    assert!(two.starts_with("two,DONE,30,30,") && csv.contains("first,,,,,,,DONE,1,1,"), "{csv}");
    let md = form("md");
    assert!(md.contains("| one | 1s |") && md.contains("- only in B:  first, three"), "{md}");
    let svg = form("svg");
    assert!(svg.contains(">three</text>") && svg.contains("<title>two in B, since its beginning 00:00-00:00"), "{svg}");
    let page = form("html");
    assert!(page.contains("<h2>What made the difference</h2>") && !page.contains("<script"), "{page}");
}

#[test]
fn what_cannot_be_compared_is_said() {
    let bed = Bed::new(NIGHT);
    assert_eq!(bed.exec(&[]).code, 0);
    bed.run(&["report", "night-a", "night-z"]).refused(2, &["there is no run `night-z`", "night-a"]);
    bed.run(&["report", "night-a", "latest"]).refused(2, &["both are run night-a", "runbook runs"]);
    bed.run(&["report", "night-a", "night-b", "night-c"]).refused(2, &["night-c"]);
    bed.plan("night", &NIGHT.replace("30s", "20s"));
    assert_eq!(bed.exec(&[]).code, 0);
    bed.run(&["report", "night-a", "night-b", "--suggest"]).refused(2, &["are for one run"]);
    fs::remove_dir_all(bed.path("store")).unwrap();
    bed.run(&["report", "night-a", "night-b"]).refused(3, &["there are no runs yet"]);
}
