//! A chain of plans: the next one is refused until the one before it has ended well.

use super::exec::Bed;

const FIRST: &str = "runbook: 1
steps:
  one: {hosts: local, run: \"test ! -e DIR/broken\", rollback: \"true\", timeout: 30s}
  two: {hosts: local, run: \"true\", read_only: true, timeout: 30s}
";

fn second(after: &str) -> String {
    format!(
        "runbook: 1\nafter: {after}\nsteps:\n  use: {{hosts: local, run: \"true\", read_only: true, timeout: 30s}}\n"
    )
}

#[test]
fn the_next_plan_waits_for_the_one_before_it() {
    let bed = Bed::new(FIRST);
    bed.plan("next", &second("night"));
    let next = || bed.run(&["exec", "next.yaml", "--confirm", "next"]);
    next()
        .refused(3, &["next comes after night, which has not been executed in this store", "runbook exec night.yaml"]);
    assert_eq!(bed.runs(), 0, "nothing was begun");

    std::fs::write(bed.path("broken"), "").unwrap();
    assert_eq!(bed.exec(&["--no-input"]).code, 10);
    next().refused(3, &["whose last run night-a ended: rolled back", "runbook report night-a"]);

    std::fs::remove_file(bed.path("broken")).unwrap();
    assert_eq!(bed.exec(&["--only", "two", "--assume-done", "one"]).code, 0);
    next().refused(3, &["of which the last run night-b executed a part only"]);

    assert_eq!(bed.exec(&[]).code, 0);
    let said = next();
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.stderr.contains("after night: night-c done"), "{said:?}");
}

#[test]
fn the_run_before_must_have_been_about_the_plan_that_is_named() {
    let bed = Bed::new(FIRST);
    assert_eq!(bed.exec(&[]).code, 0);
    let digest = bed.store().run("night-a").unwrap().digest;
    bed.plan("next", &second("{plan: night, digest: 0123-4567}"));
    let next = || bed.run(&["exec", "next.yaml", "--confirm", "next"]);
    next().refused(3, &["its last run night-a had the digest", "not 0123-4567"]);
    bed.plan("next", &second(&format!("[{{plan: night, digest: {}-{}}}]", &digest[..4], &digest[4..8])));
    assert_eq!(next().code, 0);
}

#[test]
fn names_that_no_run_can_have_are_found_by_check() {
    let bed = Bed::new(FIRST);
    for (after, words) in [
        ("plans/night.yaml", "error[E043]: `plans/night.yaml` is a file; runs carry the plan's name"),
        ("next", "error[E043]: the plan would come after itself"),
        ("[a, a]", "error[E043]: `a` is named twice"),
        ("{plan: a, digest: xyz}", "error[E043]: this is no digest"),
    ] {
        bed.plan("next", &second(after));
        let said = bed.run(&["check", "next.yaml"]);
        assert!(said.code == 2 && said.stdout.contains(words), "{words}: {said:?}");
    }
}
