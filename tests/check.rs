//! Bad plans and what is said about them: `tests/check/NAME.yaml` and the findings in `NAME.out`.
//!
//! `UPDATE=1 cargo test` rewrites the `.out` files; read the difference as the author of the plan would.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use runbook::cli::diagnostics::render;
use runbook::plan::model::{FileFacts, FileKind};
use runbook::plan::source::Source;
use runbook::plan::{Checked, Draft, FileProblem, Outside, Seen, Wanted};

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
        Err((source, found)) => {
            return (
                source,
                Checked { plan: None, diagnostics: vec![found], places: runbook::plan::Places::default() },
            );
        }
    };
    let draft = Draft::read(&source);
    let files: BTreeMap<_, _> = draft.wanted().into_iter().map(|w| (w.path().to_string(), pretend(w))).collect();
    let checked = draft.check(&Outside { stem: "plan".into(), vars: Vec::new(), files });
    (source, checked)
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
        let mut said = render(&source, &checked.diagnostics, false);
        if let Some(plan) = &checked.plan {
            said.push_str(&format!("ok {name}: {} steps, {} hosts\n", plan.steps.len(), plan.hosts.len()));
        }
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
