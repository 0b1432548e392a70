//! What a plan becomes for a night in the lab: a window that opens now, quick waits, injected failures. Knows no process.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::Lab;
use crate::plan::injected;
use crate::plan::model::{HostName, Opening, Place, Plan, Step, Undo, Verb, Wait, Window};

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
/// to its opening, every host is the lab's, and what `copy` and `template` put into place lies below the host's folder.
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
            Verb::Copy(file) | Verb::Template { file, .. } => {
                // Relative to the process that writes, which starts in its host's folder: each host has its own.
                file.dest = format!("{OWN_ROOT}{}", file.dest);
                file.owner = None;
                step.shell.dir = None;
            }
            _ => {}
        }
    }
    plan
}

/// The folder `root` of whichever host's process looks at it.
const OWN_ROOT: &str = "/proc/self/cwd/root";

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
            Verb::Wait(Wait::For(d) | Wait::Until { every: d, .. }) => *d /= n,
            Verb::Wait(Wait::At(t)) => {
                if let Some(opens) = opens {
                    *t = opens.checked_add(t.duration_since(opens) / n).unwrap_or(*t);
                }
            }
            _ => {}
        }
        step.retry.wait /= n;
        step.hold = step.hold.map(|d| d / n);
        if let Undo::Command(r) | Undo::BuiltIn(r) = &mut step.undo {
            r.retry.wait /= n;
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
            *command = injected::put_before(&failing, command);
        }
        Verb::Script(_) | Verb::Copy(_) | Verb::Template { .. } => {
            let proof = found.verify.take().unwrap_or_default();
            found.verify = Some(injected::put_before(&failing, &proof));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::model::{
        CopyFile, Fleet, Gate, Host, HttpCheck, OnDeadline, OnFailure, OnStop, Retry, Rollback, RollbackWork, Shell,
    };
    use crate::plan::units::Estimate;
    use indexmap::IndexMap;

    fn step(id: &str, verb: Verb, place: Place) -> Step {
        Step {
            id: id.to_owned(),
            line: 1,
            needs: Vec::new(),
            place,
            when: None,
            verb,
            gate: None,
            undo: Undo::Nothing,
            estimate: None,
            timeout: None,
            expect: None,
            retry: Retry::default(),
            idempotent: false,
            atomic: false,
            verify: None,
            outputs: Vec::new(),
            on_failure: OnFailure::Ask,
            on_stop: OnStop::default(),
            uses: IndexMap::new(),
            hold: None,
            shell: Shell::default(),
            fleet: Fleet::default(),
            say: None,
            warn: None,
            downtime: None,
            baseline: false,
            inconclusive: Vec::new(),
            opens: None,
            tags: Vec::new(),
        }
    }

    fn plan(steps: Vec<Step>) -> Plan {
        Plan {
            stem: "night".to_owned(),
            name: "Night".to_owned(),
            timezone: None,
            window: Some(Window {
                opening: Opening::At { opens: at("2007-12-02T06:30:00Z"), closes: at("2007-12-02T12:00:00Z") },
                reserve: SignedDuration::ZERO,
                max_extension: None,
                on_deadline: OnDeadline::Rollback,
            }),
            hosts: IndexMap::from([(
                "be1".to_owned(),
                Host { address: Some("10.0.0.1".to_owned()), ..Host::default() },
            )]),
            groups: IndexMap::new(),
            inventory: None,
            vars: IndexMap::new(),
            people: IndexMap::new(),
            resources: IndexMap::new(),
            notify: Vec::new(),
            after_rollback: None,
            waves: Vec::new(),
            after: Vec::new(),
            covers_all: false,
            at_once: None,
            ask_below: None,
            steps: steps.into_iter().map(|s| (s.id.clone(), s)).collect(),
            files: BTreeMap::new(),
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn lab() -> Lab {
        let bare = |name: &str| super::super::LabHost {
            name: name.to_owned(),
            address: "127.77.0.1".to_owned(),
            dir: "/nowhere".into(),
            env: BTreeMap::new(),
        };
        Lab {
            dir: "/nowhere".into(),
            ssh_config: None,
            note: None,
            hosts: IndexMap::from([("be1".to_owned(), bare("be1"))]),
            local: bare("local"),
            stand_ins: Vec::new(),
            keep: false,
            stops_on_drop: false,
        }
    }

    fn backends() -> Place {
        Place::Hosts(vec!["be1".to_owned(), "be2".to_owned()])
    }

    fn http(url: &str) -> Verb {
        Verb::Http(HttpCheck {
            url: url.to_owned(),
            method: "GET".to_owned(),
            expect: Vec::new(),
            body_contains: None,
            body_matches: None,
            headers: IndexMap::new(),
            body: None,
        })
    }

    #[test]
    fn the_window_opens_now_with_its_own_length_and_instants_keep_their_distance() {
        let mut gate = step("gate", Verb::Gate, Place::Nowhere);
        gate.gate = Some(Gate {
            question: "?".to_owned(),
            who: Vec::new(),
            checklist: Vec::new(),
            call_ahead: None,
            answer_by: Some(at("2007-12-02T11:00:00Z")),
            not_author: false,
            quorum: 1,
            ask_below: None,
        });
        let wait = step("wait", Verb::Wait(Wait::At(at("2007-12-02T07:30:00Z"))), Place::Nowhere);
        let now = at("2026-11-23T10:00:00Z");
        let moved = relocate(plan(vec![gate, wait]), now, &lab());
        let opening = moved.window.unwrap().opening;
        assert_eq!(opening, Opening::At { opens: now, closes: at("2026-11-23T15:30:00Z") });
        assert_eq!(moved.steps["wait"].verb, Verb::Wait(Wait::At(at("2026-11-23T11:00:00Z"))));
        assert_eq!(moved.steps["gate"].gate.as_ref().unwrap().answer_by, Some(at("2026-11-23T14:30:00Z")));
        assert_eq!(moved.hosts["be1"], Host::default(), "the way to the real host is forgotten");
    }

    #[test]
    fn requests_go_to_the_lab_and_to_nowhere_else() {
        let urls = ["http://be1:8081/health", "http://be1", "https://be1.example.com/", "http://other/be1"];
        let steps = urls.iter().enumerate().map(|(n, url)| step(&n.to_string(), http(url), Place::Controller));
        let moved = relocate(plan(steps.collect()), at("2026-11-23T10:00:00Z"), &lab());
        let url = |n: &str| match &moved.steps[n].verb {
            Verb::Http(check) => check.url.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(url("0"), "http://127.77.0.1:8081/health");
        assert_eq!(url("1"), "http://127.77.0.1");
        assert_eq!(url("2"), urls[2]);
        assert_eq!(url("3"), urls[3]);
    }

    #[test]
    fn files_are_put_below_the_folder_of_each_host() {
        let file = CopyFile {
            src: "shop.conf".to_owned(),
            dest: "/etc/shop.conf".to_owned(),
            mode: Some(0o640),
            owner: Some("shop".to_owned()),
        };
        let mut copy = step("conf", Verb::Copy(file), backends());
        copy.shell.dir = Some("/srv".to_owned());
        let moved = relocate(plan(vec![copy]), at("2026-11-23T10:00:00Z"), &lab());
        let Verb::Copy(file) = &moved.steps["conf"].verb else { panic!("the verb changed") };
        assert_eq!((file.owner.as_deref(), moved.steps["conf"].shell.dir.as_deref()), (None, None));
        for host in ["one", "two"] {
            let home = tempfile::tempdir().unwrap();
            std::fs::create_dir_all(home.path().join("root/etc")).unwrap();
            let mut sh = std::process::Command::new("sh");
            sh.args(["-c", &format!("echo {host} | tee {} >/dev/null", file.dest)]).current_dir(&home);
            assert!(sh.status().unwrap().success());
            assert_eq!(std::fs::read_to_string(home.path().join("root/etc/shop.conf")).unwrap(), format!("{host}\n"));
        }
    }

    /// What a shell says to the step's text on a host.
    fn exit_on(host: &str, text: &str) -> Option<i32> {
        let sh =
            std::process::Command::new("sh").args(["-euc", text]).env("HOST", host).env_remove("LAB_HOST").output();
        sh.unwrap().status.code()
    }

    #[test]
    fn an_injected_failure_happens_on_the_named_host_only_and_keeps_the_rest() {
        let mut night = plan(vec![step("stop", Verb::Run("exit 7".to_owned()), backends())]);
        inject_failure(&mut night, "stop", Some("be2")).unwrap();
        let Verb::Run(text) = &night.steps["stop"].verb else { panic!("the verb changed") };
        assert_eq!((exit_on("be1", text), exit_on("be2", text)), (Some(7), Some(1)));

        let mut script = step("deploy", Verb::Script("deploy.sh".to_owned()), backends());
        script.verify = Some("exit 0".to_owned());
        let mut night = plan(vec![script]);
        inject_failure(&mut night, "deploy", None).unwrap();
        let proof = night.steps["deploy"].verify.as_deref().unwrap();
        assert_eq!((exit_on("be1", proof), exit_on("be2", proof)), (Some(1), Some(1)));
        assert_eq!(night.steps["deploy"].verb, Verb::Script("deploy.sh".to_owned()), "the script itself runs");
    }

    #[test]
    fn a_failure_that_cannot_be_injected_is_explained() {
        let wait = step("soak", Verb::Wait(Wait::For(SignedDuration::from_secs(9))), Place::Nowhere);
        let gate = step("landing-test", Verb::Gate, Place::Nowhere);
        let mut night = plan(vec![wait, gate, step("stop", Verb::Run("true".to_owned()), backends())]);
        let mut says = |step: &str, host: Option<&str>| inject_failure(&mut night, step, host).unwrap_err().to_string();
        assert_eq!(says("stpo", None), "no step is called `stpo`; did you mean `stop`?");
        assert_eq!(says("deploy-frontend", None), "no step is called `deploy-frontend`");
        assert_eq!(says("stop", Some("be3")), "step `stop` does not run on `be3`; did you mean `be1`?");
        assert_eq!(says("soak", None), "step `soak` has no command that could fail; it only waits");
        assert_eq!(
            says("landing-test", None),
            "step `landing-test` has no command that could fail; answer its gate with `runbook reject`"
        );
    }

    #[test]
    fn only_pure_waiting_is_sped_up() {
        let secs = SignedDuration::from_secs;
        let mut work = step("work", Verb::Run("sleep 1".to_owned()), backends());
        work.retry = Retry { times: 2, wait: secs(30), ..Retry::default() };
        work.timeout = Some(secs(600));
        work.estimate = Some(Estimate::exactly(secs(300)));
        work.undo = Undo::Command(Rollback {
            work: RollbackWork::Run("true".to_owned()),
            place: None,
            estimate: Estimate::ZERO,
            timeout: Some(secs(60)),
            reboot: None,
            until: None,
            verify: None,
            retry: Retry { times: 1, wait: secs(20), ..Retry::default() },
        });
        let mut soak = step("soak", Verb::Test("true".to_owned()), backends());
        soak.hold = Some(secs(1800));
        let at_seven = step("at", Verb::Wait(Wait::At(at("2007-12-02T07:30:00Z"))), Place::Nowhere);
        let for_ten = step("for", Verb::Wait(Wait::For(secs(600))), Place::Nowhere);
        let mut night = plan(vec![work, soak, at_seven, for_ten]);
        speed_up(&mut night, 60);
        let work = &night.steps["work"];
        assert_eq!(work.retry.wait, SignedDuration::from_millis(500));
        assert_eq!(
            work.rollback().unwrap().retry.wait,
            SignedDuration::from_millis(333) + SignedDuration::from_nanos(333_333)
        );
        assert_eq!((work.timeout, work.estimate), (Some(secs(600)), Some(Estimate::exactly(secs(300)))));
        assert_eq!(night.steps["soak"].hold, Some(secs(30)));
        assert_eq!(night.steps["at"].verb, Verb::Wait(Wait::At(at("2007-12-02T06:31:00Z"))));
        assert_eq!(night.steps["for"].verb, Verb::Wait(Wait::For(secs(10))));
        speed_up(&mut night, 0);
        assert_eq!(night.steps["soak"].hold, Some(secs(30)), "0 changes nothing");
    }
}
