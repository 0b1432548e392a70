//! What a plan may say that cannot be executed yet. Shrinks with every version until this file can go.

use super::model::{Place, Plan};

/// One sentence for each thing in the plan that `exec` cannot do yet; empty when all of it can be executed.
#[must_use]
pub fn not_executable_yet(plan: &Plan) -> Vec<String> {
    let mut reasons = Vec::new();
    for step in plan.steps.values() {
        let mut say = |key: &str| {
            reasons.push(format!("`{key}` of step `{}` (line {}) cannot be executed yet", step.id, step.line));
        };
        if step.place == Place::Wave && plan.waves.is_empty() {
            say("hosts: wave");
        }
    }
    reasons
}
