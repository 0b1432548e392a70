//! The digest of a resolved plan: equal digests run equally. Knows nothing of layout and comments.

use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

use super::model::{FORMAT, Plan};

/// SHA-256 (lower-case hex) over the canonical JSON of the plan: hosts, variables, file checksums, format version;
/// not line numbers, not the order of keys where it means nothing.
#[must_use]
pub fn digest(plan: &Plan) -> String {
    let mut hasher = Sha256::new();
    let mut text = String::new();
    let json = serde_json::to_value(without_layout(plan)).unwrap_or_default();
    write(&json, &mut text);
    // Where order means something, it is part of what runs.
    for names in [plan.steps.keys().collect::<Vec<_>>(), plan.hosts.keys().collect(), plan.groups.keys().collect()] {
        text.push_str(&serde_json::to_string(&names).unwrap_or_default());
    }
    hasher.update(format!("runbook plan {FORMAT}\n{text}"));
    hasher.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

/// The form for people: `7c1f-9a3e`.
#[must_use]
pub fn short_digest(digest: &str) -> String {
    match (digest.get(..4), digest.get(4..8)) {
        (Some(a), Some(b)) => format!("{a}-{b}"),
        _ => digest.to_string(),
    }
}

/// The plan without what does not run: line numbers, and the name of its file.
fn without_layout(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    plan.stem.clear();
    for step in plan.steps.values_mut().chain(&mut plan.after_rollback) {
        step.line = 0;
    }
    plan
}

/// JSON with sorted keys.
fn write(json: &Json, out: &mut String) {
    match json {
        Json::Object(map) => {
            let mut keys: Vec<_> = map.keys().collect();
            keys.sort_unstable();
            out.push('{');
            for key in keys {
                out.push_str(&Json::String(key.clone()).to_string());
                out.push(':');
                write(&map[key], out);
                out.push(',');
            }
            out.push('}');
        }
        Json::Array(values) => {
            out.push('[');
            for value in values {
                write(value, out);
                out.push(',');
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}
