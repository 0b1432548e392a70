//! What each kind of attempt becomes, and that values from every source stay data.

use std::process::Command;

use indexmap::IndexMap;

use super::*;
use crate::graph::job::Site;
use crate::graph::sample::{self, december, file, graph, plan, rollback, run, step};
use crate::plan::model::{Host, Place, Plan, Undo};

fn attempt(step: &str, host: Option<&str>, direction: Direction) -> AttemptId {
    AttemptId { action: ActionId::new(step, host), direction, number: 1 }
}

fn known(outputs: &Outputs) -> Known<'_> {
    Known { run: "r-1", outputs, roll_back_by: None, forward_outcome: None, replaced_by: Vec::new() }
}

fn rendered(plan: Plan, attempt: &AttemptId) -> Result<Job, RenderError> {
    job(&graph(plan), attempt, &known(&Outputs::new()))
}

fn shell_text(job: Job) -> String {
    match job.work {
        Work::Shell(text) => text,
        other => panic!("not a shell text: {other:?}"),
    }
}

#[test]
fn every_step_of_the_night_renders_in_each_direction_that_it_has() {
    let graph = graph(december());
    let outcome = Outcome::Failed { exit: 3 };
    let none = Outputs::new();
    let known = Known {
        roll_back_by: Some("2007-12-02T10:50:00Z".parse().unwrap()),
        forward_outcome: Some(&outcome),
        ..known(&none)
    };
    let render = |step, host, direction| job(&graph, &attempt(step, host, direction), &known);
    let stop = render("stop-backend", Some("be2"), Direction::Do).unwrap();
    assert_eq!(stop.work, Work::Shell("systemctl stop callcentre-be".into()));
    assert_eq!(stop.site, Site::Host("be2".into()));
    assert_eq!(stop.timeout, Some(SignedDuration::from_mins(10)));
    let names = [
        "RUNBOOK_RUN",
        "RUNBOOK_STEP",
        "RUNBOOK_HOST",
        "HOST",
        "RUNBOOK_ATTEMPT",
        "RUNBOOK_ROLL_BACK_BY",
        "DB_CHANGES",
    ];
    let values = names.map(|n| stop.env[n].as_str());
    assert_eq!(values, ["r-1", "stop-backend", "be2", "be2", "1", "2007-12-02T10:50:00Z", "true"]);
    assert!(!stop.env.contains_key("RUNBOOK_OUTCOME"));

    let undo = render("deploy-backend", Some("be1"), Direction::Undo).unwrap();
    assert_eq!(undo.work, Work::Shell("install-backend \"$PREVIOUS\"".into()));
    assert_eq!(undo.env["RUNBOOK_OUTCOME"], "failed");
    assert_eq!(undo.timeout, Some(SignedDuration::from_mins(30)));
    let script = render("deploy-backend", Some("be1"), Direction::Do).unwrap();
    assert_eq!(script.work, Work::Script { src: "install-backend.sh".into(), sha256: "ab".repeat(32) });
    let after = render("after_rollback", Some("fe1"), Direction::Do).unwrap();
    assert_eq!(after.work, Work::Shell("sanity --frontend --expect \"$PREVIOUS\"".into()));
    assert_eq!(render("announce", Some("local"), Direction::Do).unwrap().site, Site::Controller);

    for (step, host, direction) in [
        ("bridge", None, Direction::Do),
        ("announce", Some("local"), Direction::Undo),
        ("stop-backend", Some("be1"), Direction::Check),
        ("stop-backend", Some("be1"), Direction::UndoCheck),
    ] {
        assert!(matches!(render(step, host, direction), Err(RenderError::NoWork { .. })), "{step} {direction:?}");
    }
    assert!(matches!(render("nosuch", None, Direction::Do), Err(RenderError::UnknownAction(_))));
}

#[test]
fn a_rollback_may_run_elsewhere_and_has_its_own_verify() {
    let mut undo = rollback(RollbackWork::Run("lb-add {{ HOST }}".into()), 5);
    undo.place = Some(Place::Hosts(vec!["lb1".into()]));
    undo.verify = Some("lb-has {{ HOST }}".into());
    let plan = plan(vec![Step { undo: Undo::Command(undo), ..run("drain", &[], &["be1"], "true") }]);
    let undo = rendered(plan.clone(), &attempt("drain", Some("be1"), Direction::Undo)).unwrap();
    assert_eq!((undo.site.clone(), shell_text(undo)), (Site::Host("lb1".into()), "lb-add be1".into()));
    let check = rendered(plan, &attempt("drain", Some("be1"), Direction::UndoCheck)).unwrap();
    assert_eq!((check.site.clone(), shell_text(check)), (Site::Host("lb1".into()), "lb-has be1".into()));
}

#[test]
fn files_are_put_by_checksum_and_come_back() {
    let copied =
        CopyFile { src: "app.conf".into(), dest: "/etc/{{ APP }}.conf".into(), mode: Some(0o644), owner: None };
    let verb = Verb::Template { file: copied, vars: IndexMap::from([("port".to_owned(), Value::Int(8081))]) };
    let mut plan = plan(vec![Step {
        undo: Undo::BuiltIn(rollback(RollbackWork::Restore, 1)),
        ..step("conf", &[], &["be1"], verb)
    }]);
    plan.vars.insert("APP".into(), Value::Text("callcentre".into()));
    plan.files.insert("app.conf".into(), file(Some("port = {{ port }}\nname = {{ APP }}\n"), 2));
    let put = rendered(plan.clone(), &attempt("conf", Some("be1"), Direction::Do)).unwrap();
    let text = Content::Text("port = 8081\nname = callcentre\n".into());
    let dest = "/etc/callcentre.conf".to_owned();
    assert_eq!(put.work, Work::Put { content: text, dest: dest.clone(), mode: Some(0o644), owner: None });

    let none = Outputs::new();
    let tries = vec![attempt("conf", Some("be1"), Direction::Do)];
    let known = Known { replaced_by: tries.clone(), ..known(&none) };
    let undo = job(&graph(plan.clone()), &attempt("conf", Some("be1"), Direction::Undo), &known).unwrap();
    assert_eq!(undo.work, Work::Restore { dest, replaced_by: tries });

    plan.vars.insert("APP".into(), Value::Text("../../tmp/x".into()));
    let error = rendered(plan, &attempt("conf", Some("be1"), Direction::Do)).unwrap_err();
    assert!(error.to_string().contains("leads elsewhere"), "{error}");
}

#[test]
fn outputs_are_seen_by_what_needs_them_and_by_nothing_else() {
    let out = |s: Step| Step { outputs: vec!["OLD".into()], ..s };
    let graph = graph(plan(vec![
        out(run("find", &[], &["be1", "be2"], "x").undone_by("back {{ OLD }}", 1)),
        run("use", &["find"], &["be2"], "use {{ OLD }}"),
        run("elsewhere", &["use"], &["db1"], "use {{ OLD }}"),
        run("beside", &[], &["be1"], "use {{ OLD }}"),
    ]));
    let outputs = |a: &str, b: &str| {
        let entry =
            |host, v: &str| (ActionId::new("find", Some(host)), BTreeMap::from([("OLD".to_owned(), v.to_owned())]));
        Outputs::from([entry("be1", a), entry("be2", b)])
    };
    let text = |outputs: &Outputs, step, host, direction| {
        job(&graph, &attempt(step, Some(host), direction), &known(outputs)).map(shell_text)
    };
    let (differ, agree) = (outputs("1.0", "2.0"), outputs("3.0", "3.0"));
    assert_eq!(text(&differ, "use", "be2", Direction::Do).unwrap(), "use 2.0");
    assert_eq!(text(&differ, "find", "be1", Direction::Undo).unwrap(), "back 1.0");
    assert_eq!(text(&agree, "elsewhere", "db1", Direction::Do).unwrap(), "use 3.0");
    assert!(text(&differ, "elsewhere", "db1", Direction::Do).unwrap_err().to_string().contains("`OLD` is undefined"));
    assert!(text(&agree, "beside", "be1", Direction::Do).is_err());
}

#[test]
fn secrets_travel_beside_the_environment() {
    let mut plan = plan(vec![run("login", &[], &["be1"], "login \"$PASS\"")]);
    plan.vars.insert("PASS".into(), Value::Secret(SecretRef::Env("X".into())));
    plan.vars.insert("OTHER".into(), Value::Secret(SecretRef::File("f".into())));
    plan.hosts["be1"].vars.insert("OTHER".into(), Value::Text("plain here".into()));
    plan.hosts["be1"].vars.insert("no-variable".into(), Value::Text("x".into()));
    let job = rendered(plan, &attempt("login", Some("be1"), Direction::Do)).unwrap();
    assert_eq!(job.secrets, BTreeMap::from([("PASS".to_owned(), SecretRef::Env("X".into()))]));
    assert_eq!(job.env["OTHER"], "plain here");
    assert!(!job.env.contains_key("PASS") && !job.env.contains_key("no-variable"));
}

#[test]
fn waiting_and_soaking_are_loops_that_a_shell_understands() {
    let dir = tempfile::tempdir().unwrap();
    let sh = |text: &str| {
        let out = Command::new("sh").args(["-euc", text]).env("HOLD", "1").current_dir(&dir).output().unwrap();
        out.status.code()
    };
    let until =
        Verb::Wait(Wait::Until { command: "false\ntest -e here".into(), every: SignedDuration::from_millis(10) });
    let never =
        rendered(plan(vec![step("w", &[], &["be1"], until)]), &attempt("w", Some("be1"), Direction::Do)).unwrap();
    let text = shell_text(never);
    assert!(text.starts_with("until sh -eu -c 'false\ntest -e here'; do sleep 1; done"), "{text}");
    // `set -e` holds inside: the second line is never reached.
    std::fs::write(dir.path().join("here"), "").unwrap();
    let once = text.replace("sleep 1", "exit 9");
    assert_eq!(sh(&once), Some(9));
    assert_eq!(sh(&once.replace("false\n", "")), Some(0));

    let soak = |text: &str| {
        let held = Step { hold: Some(SignedDuration::from_secs(1)), ..sample::test("t", &[], &["be1"], text) };
        shell_text(rendered(plan(vec![held.takes(1, 1)]), &attempt("t", Some("be1"), Direction::Do)).unwrap())
    };
    assert_eq!(sh(&soak("echo x >> tries")), Some(0));
    assert!(std::fs::read_to_string(dir.path().join("tries")).unwrap().lines().count() >= 2);
    assert_eq!(sh(&soak("exit 7")), Some(7));
}

/// The texts of S1, from every source that a value may have.
#[test]
fn invariant_values_from_every_source_stay_data() {
    let hostile: Vec<String> = [
        "$(touch CANARY)",
        "`touch CANARY`",
        "'; touch CANARY; '",
        "\"; touch CANARY; \"",
        "\ntouch CANARY\n",
        "a && touch CANARY",
        "*",
        "-rf",
        "~",
        "{{ 7 * 7 }}",
        "{% if %}",
        "\\",
        "$HOME",
    ]
    .into_iter()
    .map(str::to_owned)
    .collect();
    for value in &hostile {
        for source in ["plan", "host", "output", "env", "template vars"] {
            let (plan, outputs) = sourced(source, value);
            let id = attempt("use", Some("be1"), Direction::Do);
            let job = job(&graph(plan), &id, &known(&outputs)).unwrap();
            match job.work {
                Work::Put { content: Content::Text(text), .. } => assert_eq!(text, format!("<{value}>")),
                Work::Shell(text) => {
                    assert_eq!(execute(&text, &job.env), format!("{value}|{value}|{value}|"), "{source}");
                }
                other => panic!("{other:?}"),
            }
        }
    }
    let (plan, outputs) = sourced("plan", "a\0b");
    let error = job(&graph(plan), &attempt("use", Some("be1"), Direction::Do), &known(&outputs)).unwrap_err();
    assert!(error.to_string().contains("NUL"), "{error}");
}

/// A plan whose step `use` on `be1` reads `V`, which comes from `source`. `--var` sets a variable of the plan.
fn sourced(source: &str, value: &str) -> (Plan, Outputs) {
    let mut using = run("use", &["find"], &["be1"], "printf '%s|' {{ V }} \"{{ V }}\" \"$V\"");
    let find = Step { outputs: vec!["V".into()], ..run("find", &[], &["be1"], "x") };
    if source == "template vars" {
        let file = CopyFile { src: "t".into(), dest: "/tmp/t".into(), mode: None, owner: None };
        using.verb = Verb::Template { file, vars: IndexMap::from([("V".to_owned(), Value::Text(value.into()))]) };
    }
    if source == "env" {
        using.verb = Verb::Run("printf '%s|' \"$V\" \"$V\" \"$V\"".into());
        using.shell.env.insert("V".into(), "{{ W }}".into());
    }
    let mut plan = plan(vec![find, using]);
    plan.files.insert("t".into(), file(Some("<{{ V }}>"), 1));
    let mut outputs = Outputs::new();
    let text = Value::Text(value.to_owned());
    match source {
        "plan" => _ = plan.vars.insert("V".into(), text),
        "env" => _ = plan.vars.insert("W".into(), text),
        "host" => plan.hosts["be1"] = Host { vars: IndexMap::from([("V".to_owned(), text)]), ..Host::default() },
        "output" => {
            let written = BTreeMap::from([("V".to_owned(), value.to_owned())]);
            outputs.insert(ActionId::new("find", Some("be1")), written);
        }
        _ => {}
    }
    (plan, outputs)
}

fn execute(text: &str, env: &BTreeMap<String, String>) -> String {
    let dir = tempfile::tempdir().unwrap();
    let out = Command::new("sh").args(["-euc", text]).envs(env).current_dir(&dir).output().unwrap();
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0, "{text}");
    String::from_utf8(out.stdout).unwrap()
}
