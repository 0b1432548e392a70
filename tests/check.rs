//! Bad plans and what is said about them: `tests/check/NAME.yaml` and the findings in `NAME.out`.
//!
//! `UPDATE=1 cargo test` rewrites the `.out` files; read the difference as the author of the plan would.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use runbook::cli::diagnostics::{Canvas, render};
use runbook::cli::load::{LoadError, load};
use runbook::cli::review::{review, summary, times};
use runbook::plan::diagnostic::sort;
use runbook::plan::model::{FileFacts, FileKind, OnFailure, Opening, Place, Plan, Undo, Value, Verb, Window};
use runbook::plan::schema::plan_schema;
use runbook::plan::source::Source;
use runbook::plan::tree::{Kind, Node};
use runbook::plan::{Checked, Draft, FileProblem, Outside, Seen, Wanted, codes, digest, fixed, not_executable_yet};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check")
}

fn plans(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("tests/check");
    let mut plans: Vec<_> =
        entries.map(|e| e.expect("entry").path()).filter(|p| p.extension().is_some_and(|e| e == "yaml")).collect();
    plans.sort();
    plans
}

/// Every file exists, but for names that tell what is wrong with it.
fn pretend(wanted: Wanted<'_>) -> Result<Seen, FileProblem> {
    let path = wanted.path();
    match path {
        _ if path.contains("nosuch") => Err(FileProblem::Missing(vec![format!("plans/{path}")])),
        "fifo" => Err(FileProblem::NotRegular("a pipe")),
        _ => {
            let kind = if path == "directory" { FileKind::Directory } else { FileKind::File };
            let facts = FileFacts { kind, size: 10, sha256: "00".repeat(32), lines: 1, executable: true, text: None };
            Ok(Seen { facts, text: Some(String::new()) })
        }
    }
}

fn check(name: &str, bytes: &[u8]) -> (Source, Checked) {
    let source = match Source::from_bytes(name, bytes) {
        Ok(source) => source,
        Err(wrong) => {
            let (source, found) = *wrong;
            return (
                source,
                Checked {
                    plan: None,
                    sketch: None,
                    diagnostics: vec![found],
                    places: runbook::plan::Places::default(),
                },
            );
        }
    };
    let draft = Draft::read(&source);
    let files: BTreeMap<_, _> = draft.wanted().into_iter().map(|w| (w.path().to_string(), pretend(w))).collect();
    let checked = draft.check(&Outside { stem: "plan".into(), vars: Vec::new(), files, ..Outside::default() });
    (source, checked)
}

/// Before all the windows of the plans here, but for those that are meant to be over.
const NOW: &str = "2026-11-01T12:00:00Z";

/// What `check` prints about a plan.
fn said_about(name: &str, source: &Source, checked: &Checked) -> String {
    let now = NOW.parse().expect("a time");
    let reviewed = checked.plan.as_ref().map(|plan| review(plan, &checked.places, source, now));
    let mut found = checked.diagnostics.clone();
    found.extend(checked.sketch.iter().flat_map(|plan| times(plan, &checked.places, source)));
    found.extend(reviewed.iter().flat_map(|r| r.found.clone()));
    sort(&mut found);
    let mut said = render(source, &found, Canvas::Plain);
    if let Some(review) = reviewed.filter(|_| !found.iter().any(|d| d.is_error())) {
        said.push_str(&format!("ok {name}: {}\n", summary(&review)));
    }
    said
}

#[test]
fn every_bad_plan_is_answered_as_written() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut wrong = Vec::new();
    for path in plans(&folder()) {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let started = Instant::now();
        let (source, checked) = check(&name, &fs::read(&path).expect("readable"));
        assert!(started.elapsed() < Duration::from_secs(2), "{name} took {:?}", started.elapsed());
        let said = said_about(&name, &source, &checked);
        assert_eq!(
            checked.plan.is_some(),
            !checked.diagnostics.iter().any(|d| d.is_error()),
            "{name}: no plan, or errors, not both"
        );
        assert!(!said.chars().any(|c| c.is_control() && c != '\n'), "{name}: control characters reach the terminal");
        let golden = path.with_extension("out");
        if update {
            fs::write(&golden, &said).expect("writable");
        } else if fs::read_to_string(&golden).unwrap_or_default() != said {
            wrong.push(format!("--- {name}\n{said}"));
        }
    }
    assert!(wrong.is_empty(), "differs from the .out files (UPDATE=1 rewrites them):\n{}", wrong.join("\n"));
}

fn normative(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("plans").join(name)
}

#[test]
fn the_plan_of_2_december_is_read_as_it_was_meant() {
    let loaded = load(&normative("2007-12-02.yaml"), &[]).expect("no errors");
    let plan = &loaded.plan;
    assert_eq!(plan.steps.len(), 11);
    let Some(Window { opening: Opening::At { opens, closes }, .. }) = &plan.window else { panic!("clock times") };
    assert_eq!(
        (opens.to_string().as_str(), closes.to_string().as_str()),
        ("2007-12-02T06:30:00Z", "2007-12-02T12:00:00Z")
    );
    let backup = &plan.steps["backup-db"];
    assert_eq!(backup.undo, Undo::ReadOnly);
    assert_eq!(backup.timeout, Some(jiff::SignedDuration::from_mins(40)), "twice the worst estimate");
    assert_eq!(backup.place, Place::Hosts(vec!["db1".into()]));
    let deploy = &plan.steps["deploy-backend"];
    assert_eq!(deploy.timeout, Some(jiff::SignedDuration::from_mins(45)));
    assert_eq!(deploy.needs.iter().map(|n| n.step.as_str()).collect::<Vec<_>>(), ["stop-backend"]);
    assert_eq!(deploy.on_failure, OnFailure::Ask);
    let sanity = &plan.steps["sanity-frontend"];
    assert!(matches!(sanity.verb, Verb::Test(_)) && sanity.gate.is_some(), "machine half first, then the person");
    assert_eq!(plan.steps["sanity-backend"].on_failure, OnFailure::Rollback);
    assert!(matches!(plan.steps["announce"].undo, Undo::Irreversible(_)));
    assert_eq!(plan.steps["announce"].place, Place::Controller);
    assert_eq!(plan.steps["db-scripts"].when.as_deref(), Some("DB_CHANGES"));
    assert!(plan.files.contains_key("install-backend.sh") && loaded.paths.contains_key("install-backend.sh"));
    assert!(plan.after_rollback.is_some());
    assert_eq!(not_executable_yet(plan), Vec::<String>::new());
    assert_eq!(
        loaded.places.step_key("deploy-backend", "timeout").map(|s| &loaded.source.text()[s.start..s.end]),
        Some("45m")
    );
}

#[test]
fn the_other_plans_of_the_repository_have_no_errors() {
    for (name, steps, executable) in [
        ("2013-03-os-update.yaml", 2, true),
        ("launchpad-nodowntime.yaml", 6, true),
        ("2007-09-16.yaml", 10, true),
        ("protocol-1-add.yaml", 3, true),
        ("protocol-2-use.yaml", 3, true),
        ("protocol-3-remove.yaml", 4, true),
    ] {
        let plan = load(&normative(name), &[]).unwrap_or_else(|e| panic!("{name}: {e:?}")).plan;
        assert_eq!(plan.steps.len(), steps, "{name}");
        assert_eq!(not_executable_yet(&plan).is_empty(), executable, "{name}");
    }
    let week = load(&normative("2013-03-os-update.yaml"), &[]).expect("no errors").plan;
    assert_eq!((week.hosts.len(), week.waves.len()), (236, 8));
}

#[test]
fn a_plan_survives_its_frozen_form() {
    for name in ["2007-12-02.yaml", "2013-03-os-update.yaml", "launchpad-nodowntime.yaml"] {
        let plan = load(&normative(name), &[]).expect("no errors").plan;
        let json = serde_json::to_string(&plan).expect("JSON");
        assert_eq!(serde_json::from_str::<Plan>(&json).expect("the same plan"), plan, "{name}");
    }
}

#[test]
fn the_digest_is_about_what_runs() {
    let text = fs::read_to_string(normative("2007-12-02.yaml")).expect("readable");
    let of = |text: &str| digest(&check("plan.yaml", text.as_bytes()).1.plan.expect("no errors"));
    let original = of(&text);
    assert_eq!(original, of(&format!("# a comment\n\n{text}")), "layout");
    assert_eq!(
        original,
        of(&text.replace("VERSION: \"2.4.0\"\n  PREVIOUS: \"2.3.7\"", "PREVIOUS: \"2.3.7\"\n  VERSION: \"2.4.0\""))
    );
    for (before, after) in [
        ("\"2.3.7\"", "\"2.3.6\""),
        ("be1, be2", "be2, be1"),
        ("closes: \"2007-12-02 07:00\"", "closes: \"2007-12-02 07:01\""),
        ("needs: [backup-db]", "needs: [backup-db, bridge]"),
        ("timeout: 45m", "timeout: 46m"),
    ] {
        assert!(text.contains(before), "{before}");
        assert_ne!(original, of(&text.replacen(before, after, 1)), "{before}");
    }
}

fn as_json(text: &str) -> serde_json::Value {
    serde_yaml::from_str(text).expect("YAML")
}

#[test]
fn the_schema_accepts_what_the_reader_accepts_and_refuses_unknown_keys() {
    let schema = jsonschema::draft7::new(&plan_schema()).expect("a schema");
    for name in [
        "2007-12-02.yaml",
        "2013-03-os-update.yaml",
        "launchpad-nodowntime.yaml",
        "2007-09-16.yaml",
        "protocol-3-remove.yaml",
    ] {
        let json = as_json(&fs::read_to_string(normative(name)).expect("readable"));
        let errors: Vec<_> = schema.iter_errors(&json).map(|e| format!("{} at {}", e, e.instance_path())).collect();
        assert!(errors.is_empty(), "{name}: {errors:?}");
    }
    for path in plans(&folder()) {
        let bytes = fs::read(&path).expect("readable");
        let (source, checked) = check("x", &bytes);
        let codes: Vec<_> = checked.diagnostics.iter().map(|d| d.code).collect();
        let name = path.display();
        if checked.plan.is_some() && !name.to_string().contains("merge") {
            let json = as_json(source.text());
            let errors: Vec<_> = schema.iter_errors(&json).map(|e| format!("{} at {}", e, e.instance_path())).collect();
            assert!(errors.is_empty(), "{name}: {errors:?}");
        } else if codes.contains(&codes::UNKNOWN_KEY) {
            assert!(!schema.is_valid(&as_json(source.text())), "{name}: the schema misses an unknown key");
        }
    }
}

#[test]
fn a_corrected_plan_is_what_was_meant() {
    let bad = fs::read(folder().join("m1-three-mistakes.yaml")).expect("readable");
    let (source, checked) = check("x", &bad);
    let (text, count) = fixed(source.text(), &checked.diagnostics);
    assert_eq!(count, 2);
    assert!(text.contains("needs: [backup-db]") && text.contains("    timeout: 30m\n"));
    let left: Vec<_> = check("x", text.as_bytes()).1.diagnostics.iter().map(|d| d.code).collect();
    assert_eq!(left, [codes::NO_UNDO]);
}

#[test]
fn values_from_the_command_line_go_first_and_are_never_rendered() {
    let vars = [("VERSION".to_string(), Value::Text("{{ PREVIOUS }}; $(id)".into()))];
    let plan = load(&normative("2007-12-02.yaml"), &vars).expect("no errors").plan;
    assert_eq!(plan.vars["VERSION"], vars[0].1);
    let unknown = [("VERSOIN".to_string(), Value::Int(1))];
    let Err(LoadError::Invalid { diagnostics, .. }) = load(&normative("2007-12-02.yaml"), &unknown) else {
        panic!("refused")
    };
    assert_eq!(diagnostics[0].message, "the plan has no variable `VERSOIN`");
    assert_eq!(diagnostics[0].help.as_deref(), Some("did you mean `VERSION`?"));
}

/// A folder with a plan in it, of the given mode.
fn planned(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("night.yaml");
    fs::write(&path, text).expect("writable");
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
    (folder, path)
}

const SMALL: &str = "runbook: 1\nsteps: {a: {hosts: local, script: a.sh, read_only: true}}\n";

#[test]
fn files_that_cannot_be_a_plan_are_refused_without_reading_them() {
    let (dir, path) = planned(SMALL, 0o664);
    assert!(matches!(load(&path, &[]), Err(LoadError::OpenToOthers { mode: 0o664, .. })), "B52");
    assert!(matches!(load(&dir.path().join("nosuch.yaml"), &[]), Err(LoadError::NotFound(_))), "B55");
    assert!(matches!(load(dir.path(), &[]), Err(LoadError::NotAFile { what: "a directory", .. })));
    assert!(matches!(load(Path::new("/dev/zero"), &[]), Err(LoadError::NotAFile { what: "a device", .. })));
    let big = dir.path().join("big.yaml");
    fs::File::create(&big).and_then(|f| f.set_len(50 << 20)).expect("a sparse file");
    assert!(matches!(load(&big, &[]), Err(LoadError::TooLarge { .. })), "B24");
}

#[test]
fn files_that_a_step_names_must_be_files() {
    let (dir, path) = planned(SMALL, 0o644);
    let said = |code: &str, words: &str| {
        let Err(LoadError::Invalid { diagnostics, .. }) = load(&path, &[]) else { panic!("refused") };
        assert!(diagnostics.iter().any(|d| d.code == code && d.message.contains(words)), "{diagnostics:?}");
    };
    said(codes::FILE, "`a.sh` not found");
    let script = dir.path().join("a.sh");
    rustix::fs::mknodat(rustix::fs::CWD, &script, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
        .expect("a pipe");
    said(codes::NOT_REGULAR, "is a pipe");
    fs::remove_file(&script).expect("removed");
    std::os::unix::fs::symlink("/dev/zero", &script).expect("a link");
    said(codes::NOT_REGULAR, "is a device");
    fs::remove_file(&script).expect("removed");
    fs::write(&script, "echo hello\necho again").expect("written");
    let facts = load(&path, &[]).expect("no errors").plan.files["a.sh"].clone();
    assert_eq!((facts.size, facts.lines, facts.executable), (21, 2, false));
}

#[test]
fn the_example_of_new_has_no_findings() {
    let (_, checked) = check("new.yaml", runbook::cli::commands::new::EXAMPLE.as_bytes());
    assert_eq!(checked.diagnostics, Vec::new());
    assert_eq!(checked.plan.expect("a plan").steps.len(), 3);
}

#[test]
fn three_hundred_steps_are_checked_at_once() {
    let steps: String =
        (0..300).map(|i| format!("  s{i}: {{hosts: local, run: work {i}, read_only: true}}\n")).collect();
    let started = Instant::now();
    let (_, checked) = check("x", format!("runbook: 1\nsteps:\n{steps}").as_bytes());
    assert_eq!(checked.plan.expect("no errors").steps.len(), 300);
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

/// Our reader's tree as JSON: plain scalars as YAML's core schema reads them.
fn tree_json(node: &Node<'_>) -> serde_json::Value {
    match &node.kind {
        Kind::Seq(nodes) => nodes.iter().map(tree_json).collect(),
        Kind::Map(entries) => entries
            .iter()
            .map(|e| (e.key.value.to_string(), tree_json(&e.value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Kind::Scalar { text, plain: true } if node.is_null() => {
            assert!(text.len() <= 4);
            serde_json::Value::Null
        }
        Kind::Scalar { text, plain: true } => match &**text {
            "true" => true.into(),
            "false" => false.into(),
            t => t.parse::<i64>().map_or_else(|_| t.into(), serde_json::Value::from),
        },
        Kind::Scalar { text, .. } => text.to_string().into(),
    }
}

fn document() -> impl Strategy<Value = serde_json::Value> {
    let words = prop::sample::select(vec![
        "", "no", "on", "~", "null", "07:00", "1.10x", "a: b", "- x", "# c", "{{ a }}", "true", "12", " x ", "a\nb\n",
        "\tq", "é ✓", "'", "\"", "*a", "&a", "!t", "|", ">", "%", "@", "`", "x\\y",
    ]);
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i32>().prop_map(serde_json::Value::from),
        words.prop_map(serde_json::Value::from),
        "[ -~]{0,12}".prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(serde_json::Value::from),
            prop::collection::btree_map("[a-z -]{1,8}", inner, 0..5)
                .prop_map(|m| serde_json::Value::from(m.into_iter().collect::<serde_json::Map<_, _>>())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn our_reader_sees_what_serde_yaml_wrote(value in document()) {
        let text = serde_yaml::to_string(&value).expect("YAML");
        let mut found = Vec::new();
        let arena = runbook::plan::tree::Arena::new();
        let tree =
            runbook::plan::tree::parse(&text, &arena, &mut found).unwrap_or_else(|d| panic!("{text:?}: {d:?}"));
        prop_assert_eq!(tree.map_or(serde_json::Value::Null, |t| tree_json(&t)), value, "{:?}", text);
        prop_assert!(found.is_empty());
    }

    #[test]
    fn junk_is_answered_not_suffered(text in "(?s)[ -~\\n\\t:{}\\[\\]&*!|>-]{0,200}") {
        let (source, checked) = check("junk", text.as_bytes());
        let _ = render(&source, &checked.diagnostics, Canvas::Plain);
        prop_assert!(checked.plan.is_none());
    }

    #[test]
    fn damaged_plans_are_answered(at in 0usize..2000, with in prop::sample::select(vec!["", "\n", ":", "  ", "{", "]", "\"", "\t", "- ", "é", "\u{202e}", "{{"])) {
        let mut text = fs::read_to_string(normative("2007-12-02.yaml")).expect("readable");
        let at = (0..=at.min(text.len())).rev().find(|i| text.is_char_boundary(*i)).expect("0 is one");
        text.insert_str(at, with);
        let (source, checked) = check("damaged", text.as_bytes());
        let said = render(&source, &checked.diagnostics, Canvas::Plain);
        let bidi = said.contains('\u{202e}');
        prop_assert!(!bidi);
    }
}

/// Of a long line the part with the mistake is shown, on one row.
#[test]
fn a_narrow_terminal_shows_the_part_of_a_line_that_matters() {
    let text =
        format!("runbook: 1\nsteps:\n  a: {{run: echo {}, hsots: local, read_only: true}}\n", "word ".repeat(30));
    let (source, checked) = check("long", text.as_bytes());
    let narrow = render(&source, &checked.diagnostics, Canvas::Stream { columns: Some(80) });
    let narrow = anstream::adapter::strip_str(&narrow).to_string();
    let row = narrow.lines().find(|row| row.starts_with("3 |")).expect("the line");
    assert!(row.len() <= 80 && row.contains("hsots: local"), "{narrow}");
    let wide = render(&source, &checked.diagnostics, Canvas::Plain);
    assert!(wide.lines().any(|row| row.len() > 80), "{wide}");
}

/// What the program prints to stdout, and its exit code.
fn runbook(args: &[&str], dir: &Path) -> (String, Option<i32>) {
    let mut command = assert_cmd::Command::cargo_bin("runbook").expect("built");
    let output = command.args(args).current_dir(dir).env("HOME", dir).env("NO_COLOR", "1").output().expect("started");
    (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code())
}

#[test]
fn check_answers_by_text_by_json_and_by_exit_code() {
    let warned = "runbook: 1\nvars: {A: no}\nsteps: {a: {hosts: local, run: work, read_only: true}}\n";
    let (dir, path) = planned(warned, 0o644);
    let at = dir.path();
    let (text, code) = runbook(&["check", "night.yaml"], at);
    assert!(text.contains("warning[W101]") && text.contains("ok night.yaml: 1 step, 0 hosts, 1 warning"), "{text}");
    assert_eq!(code, Some(0));
    assert_eq!(runbook(&["check", "night.yaml", "--deny", "warnings"], at).1, Some(2));

    fs::write(&path, warned.replace("read_only: true", "red_only: true")).expect("written");
    let (json, code) = runbook(&["check", "night.yaml", "--json"], at);
    let json: serde_json::Value = serde_json::from_str(&json).expect("one document");
    let first = &json["plans"][0]["diagnostics"][1];
    assert_eq!(
        (code, first["code"].as_str(), first["at"]["line"].as_u64()),
        (Some(2), Some("E005"), Some(3)),
        "{json}"
    );

    let (text, code) = runbook(&["check", "night.yaml", "--fix"], at);
    assert!(text.contains("fixed 1 place in night.yaml"), "{text}");
    assert_eq!((code, fs::read_to_string(&path).expect("readable")), (Some(0), warned.to_string()));
    assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o644);
    assert_eq!(fs::read_dir(at).expect("readable").count(), 1, "no temporary file stays");
}

#[test]
fn new_writes_a_plan_once_and_explain_knows_every_code() {
    let dir = tempfile::tempdir().expect("a folder");
    let at = dir.path();
    assert_eq!(runbook(&["new", "plans/first"], at).1, Some(0));
    assert_eq!(runbook(&["check", "plans/first.yaml"], at).1, Some(0));
    assert_eq!(runbook(&["new", "plans/first.yaml"], at).1, Some(3), "never over another file");
    for code in codes::ALL {
        let (text, exit) = runbook(&["explain", code.code], at);
        assert!(exit == Some(0) && text.starts_with(code.code), "{text}");
        assert!(text.lines().all(|l| l.chars().count() <= 100), "{}", code.code);
    }
    assert_eq!(runbook(&["explain", "E9999"], at).1, Some(2));
}
