//! What is different about a plan's file since a run was started with it. Knows nothing of how plans are executed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::load;
use super::setup::Night;
use crate::plan::Learnt;
use crate::plan::model::{Plan, RollbackWork, Step, Verb};

/// How the plan's file compares with what was frozen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum File {
    /// It means the same: comments and layout are no difference.
    Same,
    /// It is gone, or cannot be read; why.
    Missing(String),
    /// What is different, one line each.
    Changed(Vec<String>),
}

/// Reads the plan's file again.
#[must_use]
pub fn since(night: &Night) -> File {
    match load::load_knowing(&night.setup.plan_file, &night.setup.vars, |_, _| as_it_was(&night.plan)) {
        Ok(loaded) if loaded.digest == night.started.digest => File::Same,
        // The plan of a lab or a rehearsal was made to fit it, so its steps cannot be compared.
        Ok(_) if !night.started.options.stage().is_real() => File::Changed(vec!["it has another digest".to_owned()]),
        Ok(loaded) => {
            let wave = night.started.options.wave.as_ref().and_then(|wave| wave.of_plan(&loaded.plan));
            File::Changed(differences(&night.plan, &wave.unwrap_or(loaded.plan)))
        }
        Err(load::LoadError::Invalid { diagnostics, .. }) => {
            let first =
                diagnostics.iter().find(|d| d.is_error()).map_or_else(String::new, |d| format!(": {}", d.message));
            File::Changed(vec![format!("it has errors now{first}")])
        }
        Err(e) => File::Missing(e.to_string()),
    }
}

/// What steps were taken to need when the run started, for those of which the file says nothing.
fn as_it_was(plan: &Plan) -> BTreeMap<String, Learnt> {
    let learnt = |step: &Step| Some((step.id.clone(), Learnt { estimate: step.estimate?, from: String::new() }));
    plan.steps.values().filter_map(learnt).collect()
}

/// One line for everything that is not as it was: `~ deploy: verb, estimate`, `+ new`, `- gone`.
#[must_use]
pub fn differences(before: &Plan, now: &Plan) -> Vec<String> {
    let mut lines = files(before, now);
    let (head_before, head_now) = (head(before), head(now));
    lines.extend(keys(&head_before, &head_now).into_iter().map(|key| format!("~ {key}")));
    lines.extend(before.steps.keys().filter(|id| !now.steps.contains_key(*id)).map(|id| format!("- step {id}")));
    for (id, step) in &now.steps {
        match before.steps.get(id) {
            None => lines.push(format!("+ step {id}")),
            Some(old) => {
                let keys: Vec<String> = keys(&fields(old), &fields(step)).into_iter().collect();
                if !keys.is_empty() {
                    let keys = keys.into_iter().map(|key| with_values(key, old, step));
                    lines.push(format!("~ step {id}: {}", keys.collect::<Vec<_>>().join(", ")));
                }
            }
        }
    }
    if lines.is_empty() {
        lines.push("~ the order of its steps".to_owned());
    }
    lines
}

/// Files that the plan names whose content is not what it was.
fn files(before: &Plan, now: &Plan) -> Vec<String> {
    let changed = now.files.iter().filter_map(|(name, file)| {
        let old = before.files.get(name).filter(|old| old.sha256 != file.sha256)?;
        let users = now.steps.values().filter(|step| names_file(step, name)).map(|step| step.id.as_str());
        let users: Vec<&str> = users.collect();
        let by = if users.is_empty() { String::new() } else { format!(" (step {})", users.join(", ")) };
        Some(format!("~ file {name}: its content, {} -> {} lines{by}", old.lines, file.lines))
    });
    changed.collect()
}

fn names_file(step: &Step, name: &str) -> bool {
    let own = match &step.verb {
        Verb::Script(file) => file == name,
        Verb::Copy(copy) => copy.src == name,
        Verb::Template { file, .. } => file.src == name,
        _ => false,
    };
    own || matches!(step.rollback().map(|r| &r.work), Some(RollbackWork::Script(file)) if file == name)
}

/// `estimate 30m-40m -> 10m`; other keys as they are.
fn with_values(key: String, before: &Step, now: &Step) -> String {
    match (key.as_str(), before.estimate, now.estimate) {
        ("estimate", Some(old), Some(new)) => format!("estimate {old} -> {new}"),
        _ => key,
    }
}

fn head(plan: &Plan) -> Map<String, Value> {
    let mut map = object(&plan);
    map.remove("steps");
    map.remove("files");
    map.remove("stem");
    map
}

fn fields(step: &Step) -> Map<String, Value> {
    let mut map = object(&step);
    map.remove("line");
    map
}

fn object(value: &impl serde::Serialize) -> Map<String, Value> {
    match serde_json::to_value(value) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

/// The keys whose values differ, in the words of the plan language.
fn keys(before: &Map<String, Value>, now: &Map<String, Value>) -> BTreeSet<String> {
    let all: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    all.into_iter().filter(|key| before.get(*key) != now.get(*key)).map(|key| word(key, now.get(key))).collect()
}

fn word(key: &str, value: Option<&Value>) -> String {
    match (key, value) {
        // A verb is written as its own name.
        ("verb", Some(Value::Object(verb))) => verb.keys().next().cloned().unwrap_or_else(|| key.to_owned()),
        ("verb", Some(Value::String(verb))) => verb.clone(),
        ("undo", _) => "rollback".to_owned(),
        ("place", _) => "hosts".to_owned(),
        _ => key.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::source::Source;
    use crate::plan::{Draft, Outside};

    const PLAN: &str = "runbook: 1\nname: N\nsteps:\n  one:\n    hosts: local\n    run: \"true\"\n    read_only: true\n  two:\n    \
                        hosts: local\n    test: \"true\"\n";

    fn plan(text: &str) -> Plan {
        let source = Source::from_bytes("n.yaml", text.as_bytes()).ok().unwrap();
        Draft::read(&source).check(&Outside { stem: "n".into(), ..Outside::default() }).plan.unwrap()
    }

    #[test]
    fn every_difference_is_named_by_step_and_key() {
        let before = plan(PLAN);
        let with = |from: &str, to: &str| differences(&before, &plan(&PLAN.replacen(from, to, 1)));
        assert_eq!(with("run: \"true\"", "run: \"false\""), ["~ step one: run"]);
        assert_eq!(with("read_only: true", "rollback: \"true\""), ["~ step one: rollback"]);
        assert_eq!(with("  two:", "  three:"), ["- step two", "+ step three"]);
        assert_eq!(with("name: N", "name: M"), ["~ name"]);
        assert_eq!(with("    read_only", "    # a comment\n    read_only"), ["~ the order of its steps"]);
    }
}
