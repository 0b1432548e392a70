//! What a plan becomes for a night in the lab: a window that opens now, quick waits, injected failures. Knows no process.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::Lab;
use crate::plan::model::{HostName, Opening, Place, Plan, Step, Verb, Wait, Window};

/// A mistake in `--fail STEP[@HOST]`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InjectError {
    #[error("no step is called `{step}`{}", did_you_mean(.near.as_deref()))]
    NoSuchStep { step: String, near: Option<String> },
    #[error("step `{step}` does not run on `{host}`{}", did_you_mean(.near.as_deref()))]
    NotOnThatHost { step: String, host: HostName, near: Option<String> },
    #[error("step `{step}` has no command that could fail; {instead}")]
    NothingToFail { step: String, instead: &'static str },
}

fn did_you_mean(near: Option<&str>) -> String {
    near.map(|n| format!("; did you mean `{n}`?")).unwrap_or_default()
}

/// The plan as it is executed in the lab: the window opens now with its own length, later instants keep their distance
/// to its opening, and every host is the lab's.
#[must_use]
pub fn relocate(mut plan: Plan, now: Timestamp, lab: &Lab) -> Plan {
    let shift = opening(&plan).map_or(SignedDuration::ZERO, |opens| now.duration_since(opens));
    let moved = |t: Timestamp| t.checked_add(shift).unwrap_or(t);
    if let Some(Window { opening: Opening::At { opens, closes }, .. }) = &mut plan.window {
        (*opens, *closes) = (moved(*opens), moved(*closes));
    }
    for wave in &mut plan.waves {
        (wave.opens, wave.closes) = (moved(wave.opens), moved(wave.closes));
    }
    for host in plan.hosts.values_mut() {
        // The lab's ssh configuration knows the way; what the plan says leads elsewhere.
        (host.address, host.port, host.user, host.via) = (None, None, None, None);
    }
    let addresses: BTreeMap<&str, &str> = lab.hosts.values().map(|h| (h.name.as_str(), h.address.as_str())).collect();
    for step in every_step(&mut plan) {
        if let Some(gate) = &mut step.gate {
            gate.answer_by = gate.answer_by.map(moved);
        }
        match &mut step.verb {
            Verb::Wait(Wait::At(t)) => *t = moved(*t),
            Verb::Http(check) => check.url = at_lab_address(&check.url, &addresses),
            _ => {}
        }
    }
    plan
}

fn opening(plan: &Plan) -> Option<Timestamp> {
    match plan.window.as_ref().map(|w| &w.opening) {
        Some(Opening::At { opens, .. }) => Some(*opens),
        Some(Opening::WhenStarted { .. }) | None => plan.waves.first().map(|w| w.opens),
    }
}

fn every_step(plan: &mut Plan) -> impl Iterator<Item = &mut Step> {
    plan.steps.values_mut().chain(plan.after_rollback.as_mut())
}

/// `http://fe1:8080/x` becomes `http://127.77.0.1:8080/x` when `fe1` is a host of the lab.
fn at_lab_address(url: &str, addresses: &BTreeMap<&str, &str>) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find([':', '/', '?', '#']).unwrap_or(rest.len());
    let (host, tail) = rest.split_at(end);
    addresses.get(host).map_or_else(|| url.to_owned(), |address| format!("{scheme}://{address}{tail}"))
}

/// Divides pure waiting by `n`: `wait`, the pauses between tries, and soaks. What really works keeps its own pace.
pub fn speed_up(plan: &mut Plan, n: u32) {
    let n = i32::try_from(n).unwrap_or(i32::MAX).max(1);
    let opens = opening(plan);
    for step in every_step(plan) {
        match &mut step.verb {
            Verb::Wait(Wait::For(d) | Wait::Until { every: d, .. }) => *d = *d / n,
            Verb::Wait(Wait::At(t)) => {
                if let Some(opens) = opens {
                    *t = opens.checked_add(t.duration_since(opens) / n).unwrap_or(*t);
                }
            }
            _ => {}
        }
        step.retry.wait = step.retry.wait / n;
        step.hold = step.hold.map(|d| d / n);
        if let crate::plan::model::Undo::Command(r) | crate::plan::model::Undo::BuiltIn(r) = &mut step.undo {
            r.retry.wait = r.retry.wait / n;
        }
    }
}

/// Makes the step fail for real, on all its hosts or on one. A command fails before it does anything; a script, copy or
/// template does its work and then fails its proof, so that there is something to undo.
///
/// # Errors
/// When the plan has no such step, the step does not run there, or it executes nothing.
pub fn inject_failure(plan: &mut Plan, step: &str, host: Option<&str>) -> Result<(), InjectError> {
    let names: Vec<String> = plan.steps.keys().cloned().collect();
    let Some(found) = every_step(plan).find(|s| s.id == step) else {
        return Err(InjectError::NoSuchStep { step: step.to_owned(), near: nearest(step, &names) });
    };
    if let Some(host) = host {
        runs_on(found, host)?;
    }
    let failing = failing_text(host);
    match &mut found.verb {
        Verb::Run(command) | Verb::Test(command) | Verb::Wait(Wait::Until { command, .. }) => {
            *command = format!("{failing}\n{command}");
        }
        Verb::Script(_) | Verb::Copy(_) | Verb::Template { .. } => {
            let proof = found.verify.take().unwrap_or_default();
            found.verify = Some(format!("{failing}\n{proof}"));
        }
        // A status that no server gives.
        Verb::Http(check) => check.expect = vec![599],
        Verb::Gate => return Err(nothing_to_fail(step, "answer its gate with `runbook reject`")),
        Verb::Wait(Wait::For(_) | Wait::At(_)) => return Err(nothing_to_fail(step, "it only waits")),
    }
    Ok(())
}

fn nothing_to_fail(step: &str, instead: &'static str) -> InjectError {
    InjectError::NothingToFail { step: step.to_owned(), instead }
}

fn failing_text(host: Option<&str>) -> String {
    match host {
        None => "echo 'injected failure' >&2; exit 1".to_owned(),
        Some(host) => {
            format!("if [ \"${{LAB_HOST:-${{HOST-}}}}\" = '{host}' ]; then echo 'injected failure' >&2; exit 1; fi")
        }
    }
}

fn runs_on(step: &Step, host: &str) -> Result<(), InjectError> {
    let hosts: Vec<HostName> = match &step.place {
        Place::Hosts(hosts) => hosts.clone(),
        Place::Controller => vec!["local".to_owned()],
        Place::Nowhere | Place::Wave => Vec::new(),
    };
    if hosts.iter().any(|h| h == host) {
        return Ok(());
    }
    let near = nearest(host, &hosts);
    Err(InjectError::NotOnThatHost { step: step.id.clone(), host: host.to_owned(), near })
}

/// The closest name, when it is close enough to be meant.
fn nearest(word: &str, names: &[String]) -> Option<String> {
    let scored = names.iter().map(|name| (strsim::damerau_levenshtein(word, name), name));
    let (distance, name) = scored.min()?;
    (distance <= 1 + word.len() / 4).then(|| name.clone())
}
