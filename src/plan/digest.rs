//! The digest of a resolved plan: equal digests run equally. Knows nothing of layout and comments.

use indexmap::IndexMap;
use sha2::{Digest as _, Sha256};

use super::model::{FORMAT, Host, Plan, Step, Verb, Wave};

/// SHA-256 (lower-case hex) over the JSON of the plan in its canonical form: hosts, variables, file checksums, format
/// version; not line numbers, not the plan's file name, not the order of keys where it means nothing.
#[must_use]
pub fn digest(plan: &Plan) -> String {
    let mut hasher = Sha256::new();
    let mut json = Vec::new();
    hasher.update(format!("runbook plan {FORMAT}\n"));
    let mut add = |part: &dyn Fn(&mut Vec<u8>) -> serde_json::Result<()>| {
        json.clear();
        // Plans are made of texts, numbers and lists, which always have a JSON form.
        let written = part(&mut json);
        debug_assert!(written.is_ok(), "a plan has a JSON form");
        hasher.update(&json);
        hasher.update(b"\n");
    };
    let head = head(plan);
    add(&|out| serde_json::to_writer(out, &head));
    for step in plan.steps.values() {
        let step = canonical(step);
        add(&|out| serde_json::to_writer(out, &step));
    }
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

/// Everything but the steps. Hosts and groups keep their order, because work goes through them in it.
fn head(plan: &Plan) -> Plan {
    Plan {
        stem: String::new(),
        name: plan.name.clone(),
        timezone: plan.timezone.clone(),
        window: plan.window.clone(),
        hosts: plan.hosts.iter().map(|(n, h)| (n.clone(), Host { vars: sorted(&h.vars), ..h.clone() })).collect(),
        groups: plan.groups.clone(),
        inventory: plan.inventory.clone(),
        vars: sorted(&plan.vars),
        people: sorted(&plan.people),
        resources: sorted(&plan.resources),
        notify: plan.notify.clone(),
        after: plan.after.clone(),
        after_rollback: plan.after_rollback.as_ref().map(canonical),
        waves: plan.waves.iter().map(|w| Wave { shares: sorted(&w.shares), ..w.clone() }).collect(),
        covers_all: plan.covers_all,
        at_once: plan.at_once,
        ask_below: plan.ask_below,
        steps: IndexMap::new(),
        files: plan.files.clone(),
    }
}

fn canonical(step: &Step) -> Step {
    let mut step = step.clone();
    step.line = 0;
    step.uses.sort_unstable_keys();
    step.shell.env.sort_unstable_keys();
    match &mut step.verb {
        Verb::Template { vars, .. } => vars.sort_unstable_keys(),
        Verb::Http(http) => http.headers.sort_unstable_keys(),
        Verb::Run(_) | Verb::Script(_) | Verb::Copy(_) | Verb::Test(_) | Verb::Gate | Verb::Wait(_) => {}
    }
    step
}

fn sorted<T: Clone>(map: &IndexMap<String, T>) -> IndexMap<String, T> {
    let mut map = map.clone();
    map.sort_unstable_keys();
    map
}
