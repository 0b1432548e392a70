//! Mistakes at the command line: what is answered, to the letter, and that nothing starts.

use std::fs;

use super::exec::{Bed, GATED, Said, eventually};

/// What was typed and what came back, with this test's own folder left out, and the digest, which depends on it.
fn told(bed: &Bed, args: &[&str], said: &Said) -> String {
    let text = format!("$ runbook {}\n{}{}=> {}\n\n", args.join(" "), said.stdout, said.stderr, said.code);
    let text = text.replace(bed.dir.path().to_str().unwrap(), "DIR");
    let known = |line: &str| line.split_once("   digest ").map_or(line, |(name, _)| name).to_owned() + "\n";
    text.lines().map(known).collect()
}

fn typed(bed: &Bed, args: &[&str]) -> String {
    told(bed, args, &bed.run(args))
}

#[test]
fn files_flags_and_values() {
    let bed = Bed::new(GATED);
    let tries: [&[&str]; 9] = [
        &["exec"],
        &["exec", "nosuch.yaml"],
        &["exec", "--forse", "night.yaml"],
        &["exek", "night.yaml"],
        &["exec", "night.yaml", "--var", "version"],
        &["exec", "night.yaml", "--var", "=1"],
        &["exec", "night.yaml", "--var", "nope=1"],
        &["exec", "night.yaml", "--only", "tow"],
        &["status", "no-such-run"],
    ];
    insta::assert_snapshot!(tries.map(|args| typed(&bed, args)).concat());
    assert_eq!(bed.runs(), 0);
}

#[test]
fn secrets_that_cannot_be_kept() {
    let bed = Bed::new(
        &GATED.replace("steps:", "vars: {PW: {secret: {env: DB_PASS}}, KEY: {secret: {file: no.key}}}\nsteps:"),
    );
    let args = ["exec", "night.yaml", "--confirm", "night"];
    let missing = Said::of(bed.command(&args).env_remove("DB_PASS").output().unwrap());
    let short = Said::of(bed.command(&args).env("DB_PASS", "xyz").output().unwrap());
    insta::assert_snapshot!([missing, short].map(|said| told(&bed, &args, &said)).concat());
    assert_eq!(bed.runs(), 0);
}

#[test]
fn decisions_about_an_open_run() {
    let bed = Bed::new(&GATED.replace("steps:", "window: {lasts: 3h, reserve: 5m, max_extension: 1h}\nsteps:"));
    let said = bed.run(&["exec", "night.yaml", "--confirm", "night", "--detach"]);
    assert_eq!(said.code, 30, "{said:?}");
    eventually("the gate is open", || bed.run(&["status"]).stdout.contains("GATE"));
    let tries: [&[&str]; 9] = [
        &["approve", "nosuchgate"],
        &["approve", "two"],
        &["extend", "+25h", "--granted-by", "Ms. Hu"],
        &["extend", "banana", "--granted-by", "Ms. Hu"],
        &["extend", "-10h", "--granted-by", "Ms. Hu"],
        &["skip", "nosuch"],
        &["retry", "one"],
        &["mark", "one", "finished"],
        &["resume", "nosuch"],
    ];
    let mut text = tries.map(|args| typed(&bed, args)).concat();
    assert_eq!(bed.run(&["reject", "ask"]).code, 0);
    bed.ended("night-a");
    let after: [&[&str]; 3] = [&["approve", "ask"], &["resume", "night-a"], &["extend", "1h", "--granted-by", "x"]];
    text += &after.map(|args| typed(&bed, args)).concat();
    insta::with_settings!({filters => vec![
        (r"\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun) \d+ [A-Z][a-z]{2} \d\d:\d\d", "[day]"),
        (r"\b((Mon|Tue|Wed|Thu|Fri|Sat|Sun) )?\d\d:\d\d(:\d\d)?\b", "[time]"),
    ]}, { insta::assert_snapshot!(text) });
}

#[test]
fn a_question_that_nobody_can_answer_is_no_wait() {
    let bed = Bed::new(GATED);
    let tries: [&[&str]; 2] = [&["exec", "night.yaml"], &["exec", "night.yaml", "--confirm", "nihgt"]];
    insta::assert_snapshot!(tries.map(|args| typed(&bed, args)).concat());
    assert_eq!(bed.runs(), 0);
    fs::write(bed.path("night.yaml"), "").unwrap();
    insta::assert_snapshot!("empty", typed(&bed, &["exec", "night.yaml", "--confirm", "night"]));
}
