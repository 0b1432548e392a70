//! Lost connections, hosts that cannot be reached, hosts that lie, floods.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use runbook::graph::job::Site;
use runbook::graph::outcome::Outcome;
use runbook::transport::{Event, Logout, SurveyRequest, Taking, Transport};
use tokio::task::JoinSet;

use super::bed::{Bed, appears, attempt, h1, shell};
use crate::harness::proxy::{Fault, Proxy};
use crate::harness::sshd::{Options, Sshd};

/// One attempt over a connection that breaks after `after` bytes. Gives what went wrong, and whether it broke at all.
async fn cut(
    server: SocketAddr,
    config: &Path,
    known: &Sshd,
    kind: &str,
    after: i64,
    fault: Fault,
) -> (String, bool, bool) {
    let proxy = Proxy::start(server, after, fault).await;
    let mut bed = Bed::with(Some(known), |c| {
        c.ssh_config = Some(config.to_owned());
        c.keepalive = (Duration::from_secs(1), 2);
        c.hosts["h1"].port = Some(proxy.port);
    });
    let (wrong, back) = carried_through(&mut bed, kind).await;
    let broken = proxy.broken.load(std::sync::atomic::Ordering::SeqCst);
    bed.hosts.close().await.unwrap();
    (wrong, broken, back)
}

/// One attempt of this kind over a connection that may break. Gives what is wrong with how it ended, and whether the
/// connection was lost and came back.
pub async fn carried_through(bed: &mut Bed, kind: &str) -> (String, bool) {
    let effects = bed.dir.path().join("effects");
    let work = match kind {
        "quick" => ":",
        "silent" => "sleep 1",
        _ => "i=0; while [ $i -lt 40 ]; do i=$((i+1)); seq $((i*100-99)) $((i*100)); sleep 0.02; done",
    };
    bed.launch(shell("cut", &h1(), &format!("echo x >> {}; {work}", effects.display())));
    let (mut lost, mut restored) = (false, false);
    let (outcome, evidence) = loop {
        match bed.next().await.what {
            Event::LinkLost { .. } => lost = true,
            Event::LinkRestored => restored = true,
            Event::Ended { outcome, evidence } => break (outcome, evidence),
            Event::Launched | Event::Running => {}
            other @ Event::Unreachable { .. } => panic!("{other:?}"),
        }
    };
    let effects = std::fs::read_to_string(&effects).unwrap_or_default().lines().count();
    let mut wrong = String::new();
    match (&outcome, effects) {
        (Outcome::Succeeded, 1) => {
            let lines: Vec<String> = bed.log(&attempt("cut", &h1(), 1)).lines().skip(1).map(str::to_owned).collect();
            let expected: Vec<String> =
                if kind == "printing" { (1..=4000).map(|n| n.to_string()).collect() } else { Vec::new() };
            if lines != expected || evidence.lines != lines.len() as u64 {
                wrong = format!("{} lines of output, {} counted", lines.len(), evidence.lines);
            }
        }
        (Outcome::NeverStarted { .. }, 0) => {}
        _ => wrong = format!("{outcome:?} with {effects} effects"),
    }
    (wrong, lost && restored)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_may_break_anywhere() {
    let sshd = std::sync::Arc::new(Sshd::start(&Options::default()));
    let server = SocketAddr::from(([127, 0, 0, 1], sshd.port));
    let (mut cases, mut seen) = (JoinSet::new(), BTreeMap::<&str, usize>::new());
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(24));
    for fault in [Fault::Reset, Fault::BlackHole] {
        for kind in ["quick", "printing", "silent"] {
            for offset in 0..12 {
                let after = if kind == "printing" { 3000 + offset * 3200 } else { 3000 + offset * 2000 };
                let (sshd, gate) = (sshd.clone(), gate.clone());
                cases.spawn(async move {
                    let _turn = gate.acquire().await.unwrap();
                    let result = cut(server, &sshd.ssh_config(), &sshd, kind, after, fault).await;
                    (format!("{kind}, {fault:?} after {after} bytes"), result)
                });
            }
        }
    }
    for (case, (wrong, broken, back)) in cases.join_all().await {
        assert_eq!(wrong, "", "{case}");
        *seen
            .entry(if back {
                "came back"
            } else if broken {
                "broken"
            } else {
                "whole"
            })
            .or_default() += 1;
    }
    println!("{seen:?}");
    // The cuts must hit what they are meant to hit.
    assert!(seen["came back"] >= 20, "{seen:?}");
}

#[tokio::test]
async fn a_crashed_sshd_changes_nothing_for_the_attempt() {
    let sshd = Sshd::start(&Options::default());
    let mut bed = Bed::new(Some(&sshd));
    let (ready, go) = (bed.dir.path().join("ready"), bed.dir.path().join("go"));
    let text = format!(
        "echo one; : > {}; while [ ! -e {} ]; do sleep 0.02; done; echo two; exit 7",
        ready.display(),
        go.display()
    );
    bed.launch(shell("s", &h1(), &text));
    appears(&ready).await;
    for _ in 0..2 {
        sshd.cut_connections();
        assert!(matches!(bed.until(|e| *e != Event::Launched).await, Event::LinkLost { .. }));
        assert_eq!(bed.until(|_| true).await, Event::LinkRestored);
    }
    std::fs::write(&go, "").unwrap();
    let (outcome, evidence) = bed.end().await;
    assert_eq!((outcome, evidence.tail), (Outcome::Failed { exit: 7 }, vec!["one".to_owned(), "two".to_owned()]));
    bed.hosts.close().await.unwrap();
}

#[tokio::test]
async fn a_host_that_cannot_be_reached_is_told_in_plain_words() {
    let sshd = Sshd::start(&Options { hosts: 5, ..Options::default() });
    let other = Sshd::start(&Options::default());
    let known = std::fs::read_to_string(sshd.dir().join("known_hosts")).unwrap();
    let changed = std::fs::read_to_string(other.dir().join("host.pub")).unwrap();
    let edited: String = known
        .lines()
        .filter(|line| !line.starts_with("h1,"))
        .map(|line| {
            let names = line.split(' ').next().unwrap();
            if names.starts_with("h2,") { format!("{names} {changed}") } else { format!("{line}\n") }
        })
        .collect();
    std::fs::write(sshd.dir().join("known_hosts"), edited).unwrap();
    let mut bed = Bed::with(Some(&sshd), |c| {
        c.hosts["h3"].port = Some(9);
        c.hosts["h4"].user = Some("nosuchuser".into());
        c.hosts["h5"].address = Some("no.such.name.invalid".into());
    });
    for (host, words) in [
        ("h1", "host key is not known; it offers ssh-ed25519 SHA256:"),
        ("h2", "host key has changed"),
        ("h3", "refuses connections"),
        ("h4", "refuses our keys"),
        ("h5", "name cannot be resolved"),
        ("h6", "no host h6"),
    ] {
        let site = Site::Host(host.into());
        let (outcome, _) = bed.run(shell("s", &site, ":")).await;
        assert!(matches!(&outcome, Outcome::NeverStarted { why } if why.contains(words)), "{host}: {outcome:?}");
        bed.probe(site.clone(), &attempt("s", &site, 1));
        assert!(matches!(bed.until(|_| true).await, Event::Unreachable { why } if why.contains(words)), "{host}");
    }
    bed.hosts.close().await.unwrap();
}

#[tokio::test]
async fn a_lying_record_is_in_doubt() {
    let mut bed = Bed::new(None);
    let site = Site::Controller;
    for (n, (file, lie)) in [
        ("rc", "exit 256 9999999.00 end"),
        ("rc", "exit -1 9999999.00 end"),
        ("rc", "exit 0 0.01 end"),
        ("rc", "fine end"),
        ("rc", "exit 0\u{1b}[2J end"),
        ("out.end", "-5 0 1 0 0 0 end"),
        ("out.end", "99 100 1 0 0 0 end"),
    ]
    .into_iter()
    .enumerate()
    {
        let step = format!("s{n}");
        assert_eq!(bed.run(shell(&step, &site, ":")).await.0, Outcome::Succeeded);
        let id = attempt(&step, &site, 1);
        std::fs::write(bed.record(&site, &id).join(file), format!("{lie}\n")).unwrap();
        bed.probe(site.clone(), &id);
        let (outcome, _) = bed.end().await;
        assert!(matches!(outcome, Outcome::InDoubt { .. }), "{lie}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_flood_is_kept_short() {
    let mut bed = Bed::new(None);
    let site = Site::Controller;
    let text = "yes out | head -c 60000000 & yes err | head -c 60000000 >&2 & wait; echo last; echo last >&2; exit 3";
    let (outcome, evidence) = bed.run(shell("flood", &site, text)).await;
    assert_eq!(outcome, Outcome::Failed { exit: 3 });
    assert_eq!(evidence.tail.last().unwrap(), "last");
    assert_eq!(evidence.lines, 2 * 15_000_000 + 2);
    let id = attempt("flood", &site, 1);
    let size = |path: &Path| std::fs::metadata(path).unwrap().len();
    let kept: u64 = std::fs::read_dir(bed.record(&site, &id)).unwrap().map(|e| size(&e.unwrap().path())).sum();
    assert!(kept < 2 * 13 * 1024 * 1024, "{kept} bytes on the host");
    let log = size(&bed.log_path(&id));
    assert!(log < 2 * 13 * 1024 * 1024 && log > 2 * 9 * 1024 * 1024, "{log} bytes in the log");
}

#[tokio::test]
async fn hosts_say_what_state_they_are_in() {
    let sshd = Sshd::start(&Options::default());
    let bed = Bed::new(Some(&sshd));
    let requests: Vec<SurveyRequest> = [Site::Controller, h1(), Site::Host("nobody".into())]
        .into_iter()
        .map(|site| SurveyRequest {
            site,
            sudo: false,
            users: vec!["nosuchuser".into()],
            logout: Logout::Tried { seen_in: None },
        })
        .collect();
    let surveys = bed.hosts.survey(requests.clone()).await.unwrap();
    for survey in &surveys[..2] {
        let state = survey.answer.as_ref().unwrap();
        assert!(state.clock_offset_ms.abs() < 1000, "{state:?}");
        assert!(state.free_bytes > 0 && state.detached_survives && state.locked_by.is_none(), "{state:?}");
        assert_eq!((&*state.missing_tools, &*state.sudo_refused), (&[][..], &["nosuchuser".to_owned()][..]));
    }
    assert!(surveys[2].answer.is_err());
    assert!(!bed.dir.path().join("host").exists(), "a survey leaves nothing behind");

    let sites = vec![h1()];
    let other = bed.second(|c| c.run = "r2".into());
    assert_eq!(bed.hosts.lock(sites.clone(), "plan", "alice on laptop since 21:00").await[0].1, Taking::Taken);
    assert_eq!(bed.hosts.lock(sites.clone(), "plan", "alice on laptop since 21:00").await[0].1, Taking::Taken);
    let refused = other.hosts.lock(sites.clone(), "plan", "bob").await;
    assert_eq!(refused[0].1, Taking::Refused("alice on laptop since 21:00".into()));
    assert!(other.hosts.unlock(sites.clone(), "plan").await[0].1.is_err());
    let seen = other.hosts.survey(requests[1..2].to_vec()).await.unwrap();
    assert_eq!(seen[0].answer.as_ref().unwrap().locked_by.as_deref(), Some("plan: alice on laptop since 21:00"));
    assert!(bed.hosts.unlock(sites.clone(), "plan").await[0].1.is_ok());
    assert_eq!(other.hosts.lock(sites, "plan", "bob").await[0].1, Taking::Taken);
    for b in [bed, other] {
        b.hosts.close().await.unwrap();
    }
}

/// One session for all: to start a runner costs a host more than to ask it.
#[tokio::test]
async fn who_has_answered_is_asked_again() {
    let sshd = Sshd::start(&Options::default());
    let mut bed = Bed::new(Some(&sshd));
    let ask = SurveyRequest { site: h1(), sudo: false, users: vec![], logout: Logout::Spared };
    let surveys = bed.hosts.survey(vec![ask]).await.unwrap();
    assert!(surveys[0].answer.is_ok(), "{surveys:?}");
    assert_eq!(bed.hosts.lock(vec![h1()], "plan", "alice").await[0].1, Taking::Taken);
    for (name, text) in [("quiet", ":"), ("loud", "echo out; echo err >&2")] {
        assert_eq!(bed.run(shell(name, &h1(), text)).await.0, Outcome::Succeeded);
    }
    assert!(bed.hosts.unlock(vec![h1()], "plan").await[0].1.is_ok());
    bed.hosts.close().await.unwrap();
    let log = std::fs::read_to_string(sshd.dir().join("sshd.log")).unwrap();
    assert_eq!(log.matches("Starting session: command").count(), 1, "{log}");
}

/// A host that finds its programs in this folder first.
fn with_programs(bin: &Path) -> Sshd {
    let path = format!("SetEnv PATH={}:/usr/local/bin:/usr/bin:/bin\n", bin.display());
    Sshd::start(&Options { sshd: path, ..Options::default() })
}

fn write_program(path: &Path, script: &str) {
    std::fs::write(path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// The host's `date` ends the runner between two lines of its answer, once.
#[tokio::test]
async fn an_answer_that_was_cut_is_no_answer() {
    let bin = tempfile::tempdir().unwrap();
    let sshd = with_programs(bin.path());
    let once = bin.path().join("once");
    let script = format!("rm '{}' 2>/dev/null && kill -KILL $PPID\nexec /bin/date \"$@\"", once.display());
    write_program(&bin.path().join("date"), &script);
    std::fs::write(&once, "").unwrap();

    let bed = Bed::new(Some(&sshd));
    let ask = SurveyRequest { site: h1(), sudo: false, users: vec![], logout: Logout::Spared };
    let surveys = bed.hosts.survey(vec![ask]).await.unwrap();
    assert!(!once.exists());
    assert!(surveys[0].answer.as_ref().is_ok_and(|state| state.free_bytes > 0), "{surveys:?}");
    bed.hosts.close().await.unwrap();
}

#[tokio::test]
async fn records_are_forgotten_when_all_has_ended() {
    let mut bed = Bed::new(None);
    let site = Site::Controller;
    assert_eq!(bed.run(shell("a", &site, ":")).await.0, Outcome::Succeeded);
    bed.launch(shell("b", &site, "sleep 30"));
    assert_eq!(bed.until(|_| true).await, Event::Launched);
    assert!(bed.hosts.forget(vec![site.clone()], None).await[0].1.is_err());
    bed.kill(site.clone(), &attempt("b", &site, 1));
    assert_eq!(bed.end().await.0, Outcome::Cancelled);
    assert!(bed.hosts.forget(vec![site.clone()], None).await[0].1.is_ok());
    assert!(!bed.record(&site, &attempt("a", &site, 1)).exists());
}

/// The host's `sleep` is where the lock's other owner gets on: between two looks of the runner, and at no other time.
#[tokio::test]
async fn a_lock_that_is_being_written_or_given_back_is_looked_at_again() {
    let bin = tempfile::tempdir().unwrap();
    let sshd = with_programs(bin.path());
    let bed = Bed::new(Some(&sshd));
    let locks = bed.dir.path().join("host/locks");
    std::fs::create_dir_all(&locks).unwrap();
    let torn = locks.join("plan");
    let meanwhile = |what: &str| {
        write_program(&bin.path().join("sleep"), &format!("{what} '{}'", torn.display()));
        std::fs::write(&torn, "other-run bob since 21:00").unwrap();
    };
    meanwhile("echo ' end' >>");
    assert_eq!(bed.hosts.lock(vec![h1()], "plan", "alice").await[0].1, Taking::Refused("bob since 21:00".into()));
    meanwhile("rm -f");
    assert_eq!(bed.hosts.lock(vec![h1()], "plan", "alice").await[0].1, Taking::Taken);
    let held = std::fs::read_to_string(&torn).unwrap();
    assert!(held.ends_with(" alice end\n"), "{held}");
}
