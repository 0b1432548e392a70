//! The README's and the docs' examples: plans pass `check` without an error, commands are commands of the program.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

const PAGES: [&str; 6] =
    ["README.md", "docs/chains.md", "docs/lab.md", "docs/night.md", "docs/notices.md", "docs/rehearsal.md"];

fn page(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The fenced blocks of a page in the given language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    page.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

fn runbook(args: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runbook"));
    let out = command.args(args).stdin(Stdio::null()).output().unwrap();
    let said = [out.stdout, out.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (out.status.code(), said)
}

/// Makes the files that an example names, so that only the example itself is judged.
fn files_of(example: &str, dir: &Path) {
    fs::create_dir_all(dir.join("templates")).unwrap();
    for line in example.lines() {
        let keys = [
            ("script: ", ""),
            ("template: {src: ", "templates/"),
            (", template: ", "templates/"),
            ("copy: {src: ", ""),
        ];
        for (key, below) in keys {
            if let Some((_, rest)) = line.split_once(key) {
                let name = rest.split([',', '}']).next().unwrap();
                let path = dir.join(below).join(name);
                let text = if name.contains(".json") { "{}\n" } else { "#!/bin/sh\nexit 0\n" };
                fs::write(&path, text).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            }
        }
    }
}

#[test]
fn every_plan_in_the_readme_passes_check() {
    let mut seen = 0;
    for name in PAGES {
        for example in blocks(&page(name), "yaml") {
            let dir = tempfile::tempdir().unwrap();
            files_of(&example, dir.path());
            let plan = dir.path().join("example.yaml");
            fs::write(&plan, &example).unwrap();
            let (code, said) = runbook(&["check", &plan.display().to_string()]);
            assert_eq!(code, Some(0), "{name}:\n{said}");
            seen += 1;
        }
    }
    assert!(seen >= 2, "the README has lost its plans");
}

#[test]
fn every_plan_of_the_repository_passes_check() {
    let plans = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans");
    let mut seen = 0;
    for entry in fs::read_dir(plans).unwrap().flatten() {
        let path = entry.path();
        let is_yaml = path.extension().is_some_and(|e| e == "yaml");
        // The others are inventories.
        if is_yaml && fs::read_to_string(&path).unwrap().lines().any(|l| l.starts_with("runbook:")) {
            let (code, said) = runbook(&["check", &path.display().to_string()]);
            assert_eq!(code, Some(0), "{said}");
            assert!(!said.contains("error["), "{said}");
            seen += 1;
        }
    }
    assert!(seen >= 4, "plans are missing");
}

#[test]
fn every_command_in_the_readme_is_one_of_the_program() {
    let mut seen = 0;
    for line in PAGES.iter().flat_map(|name| blocks(&page(name), "console")).flat_map(|b| lines_typed(&b)) {
        let verb = match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["runbook", verb, ..] | ["cargo", "run", "--release", "--", verb, ..] => verb.to_owned(),
            [script, ..] => {
                let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(script);
                assert_ne!(fs::metadata(&path).unwrap().permissions().mode() & 0o111, 0, "{script} can be executed");
                continue;
            }
            [] => continue,
        };
        let (code, help) = runbook(&[&verb, "--help"]);
        assert_eq!(code, Some(0), "{line}: {help}");
        for flag in
            line.split_whitespace().filter(|word| word.starts_with("--") && word.len() > 2 && *word != "--release")
        {
            assert!(help.contains(flag), "{line}: `{verb}` has no {flag}");
        }
        let writes = verb == "new";
        for plan in line.split_whitespace().filter(|w| w.ends_with(".yaml")) {
            let there = Path::new(env!("CARGO_MANIFEST_DIR")).join(plan).is_file();
            assert!(there != writes, "{line}");
        }
        seen += 1;
    }
    assert!(seen >= 5, "the README has lost its commands");
}

fn lines_typed(block: &str) -> Vec<String> {
    block.lines().filter_map(|l| l.strip_prefix("$ ")).map(str::to_owned).collect()
}

#[test]
fn every_link_to_a_file_leads_somewhere() {
    for name in PAGES {
        let text = page(name);
        let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        for rest in text.split("](").skip(1) {
            let target = rest.split([')', '#']).next().unwrap();
            if !target.contains("://") && !target.is_empty() {
                assert!(beside.parent().unwrap().join(target).exists(), "{name} links to {target}");
            }
        }
    }
}

#[test]
fn the_settings_of_the_readme_are_understood() {
    let dir = tempfile::tempdir().unwrap();
    let text = blocks(&page("README.md"), "toml").concat();
    assert!(text.contains("connections"), "{text}");
    fs::write(dir.path().join("runbook.toml"), text).unwrap();
    let (code, said) = runbook(&["-C", &dir.path().display().to_string(), "doctor"]);
    assert_eq!(code, Some(0), "{said}");
    let from = dir.path().join("runbook.toml").display().to_string();
    let lines = |what: &str| said.lines().filter(|l| l.contains(what) && l.contains(&from)).count();
    assert_eq!((lines("/srv/runbook"), lines("Sarah"), lines("connects at once")), (1, 1, 1), "{said}");
}

#[test]
fn every_dependency_has_its_reason() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let table = manifest.split("[dependencies]\n").nth(1).unwrap().split("\n[").next().unwrap();
    let readme = page("README.md");
    let names: Vec<&str> = table.lines().filter_map(|l| l.split_once(" = ")).map(|(name, _)| name).collect();
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        assert!(readme.contains(&format!("`{name}`")), "the README does not say why {name} is needed");
    }
}

#[test]
fn every_key_of_the_schema_is_in_the_readme() {
    let (code, schema) = runbook(&["schema", "plan"]);
    assert_eq!(code, Some(0));
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    let readme = page("README.md");
    let mut keys = Vec::new();
    keys_of(&schema, &mut keys);
    assert!(keys.len() > 60, "{keys:?}");
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words: std::collections::BTreeSet<&str> = readme.split(|c| !word(c)).collect();
    let missing: Vec<&String> = keys.iter().filter(|key| !words.contains(key.as_str())).collect();
    assert!(missing.is_empty(), "keys of a plan that the README does not name: {missing:?}");
}

fn keys_of(schema: &serde_json::Value, keys: &mut Vec<String>) {
    match schema {
        serde_json::Value::Object(map) => {
            for (name, value) in map {
                if let ("properties", serde_json::Value::Object(properties)) = (name.as_str(), value) {
                    keys.extend(properties.keys().cloned());
                }
                keys_of(value, keys);
            }
        }
        serde_json::Value::Array(list) => list.iter().for_each(|value| keys_of(value, keys)),
        _ => {}
    }
}
