//! The record on the host decides: one start per attempt, kills that leave nothing, answers after anything was lost.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use jiff::SignedDuration;
use runbook::graph::job::Site;
use runbook::graph::outcome::Outcome;
use runbook::transport::{Event, Transport};

use super::bed::{Bed, appears, attempt, h1, shell};
use crate::harness::sshd::{Options, Sshd};

/// Processes whose environment carries this text: what a command left behind.
pub fn alive_with(text: &str) -> Vec<String> {
    let carries = |pid: &str| {
        let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let cmdline = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        [environ, cmdline].iter().any(|b| String::from_utf8_lossy(b).contains(text))
    };
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|e| e.ok()?.file_name().into_string().ok())
        .filter(|pid| pid.bytes().all(|b| b.is_ascii_digit()) && carries(pid))
        .collect()
}

/// A number of seconds that no other run of these tests sleeps.
pub fn mark(n: u32) -> u32 {
    100_000_000 + std::process::id() * 10 + n
}

/// A tree with every known way to escape: a child, a session of its own, deaf to TERM, without environment.
pub fn stubborn_tree(mark: u32, ready: &Path) -> String {
    format!(
        "trap '' TERM\nsleep {mark} &\nsetsid sleep {mark} &\nsetsid sh -c 'trap \"\" TERM; while :; do sleep {mark}; done' &\n\
         env -i /bin/sleep {mark} &\nsetsid sh -c 'sh -c \"sleep {mark}\" & sleep {mark}' &\n: > {}\nwhile :; do sleep {mark}; done",
        ready.display()
    )
}

#[tokio::test]
async fn a_timeout_ends_the_whole_tree() {
    let sshd = Sshd::start(&Options::default());
    for (site, mark) in [(Site::Controller, mark(1)), (h1(), mark(2))] {
        let mut bed = Bed::new(Some(&sshd));
        let ready = bed.dir.path().join("ready");
        let mut job = shell("tree", &site, &stubborn_tree(mark, &ready));
        job.timeout = Some(SignedDuration::from_millis(1000));
        bed.launch(job);
        appears(&ready).await;
        while alive_with(&mark.to_string()).len() < 6 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let (outcome, evidence) = bed.end().await;
        assert_eq!(outcome, Outcome::TimedOut, "{evidence:?}");
        assert_eq!(alive_with(&mark.to_string()), [""; 0], "at {site:?}");
        bed.hosts.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_kill_from_elsewhere_is_told_to_everybody() {
    let sshd = Sshd::start(&Options::default());
    for (site, mark) in [(Site::Controller, mark(3)), (h1(), mark(4))] {
        let mut bed = Bed::new(Some(&sshd));
        let ready = bed.dir.path().join("ready");
        bed.launch(shell("tree", &site, &stubborn_tree(mark, &ready)));
        appears(&ready).await;
        let mut other = bed.second(|_| {});
        other.kill(site.clone(), &attempt("tree", &site, 1));
        assert_eq!(other.end().await.0, Outcome::Cancelled);
        assert_eq!(bed.end().await.0, Outcome::Cancelled);
        assert_eq!(alive_with(&mark.to_string()), [""; 0], "at {site:?}");
        // Killing what has ended tells how it ended.
        other.kill(site.clone(), &attempt("tree", &site, 1));
        assert_eq!(other.end().await.0, Outcome::Cancelled);
        for b in [bed, other] {
            b.hosts.close().await.unwrap();
        }
    }
}

#[tokio::test]
async fn twenty_launches_of_one_attempt_start_it_once() {
    let sshd = Sshd::start(&Options { sshd: "MaxSessions 40\n".into(), ..Options::default() });
    for site in [Site::Controller, h1()] {
        let mut bed = Bed::new(Some(&sshd));
        let effects = bed.dir.path().join("effects");
        let text = format!("echo x >> {}; echo out; exit 7", effects.display());
        for _ in 0..20 {
            bed.launch(shell("once", &site, &text));
        }
        for _ in 0..20 {
            let (outcome, evidence) = bed.end().await;
            assert_eq!(outcome, Outcome::Failed { exit: 7 });
            assert_eq!(evidence.tail, ["out"]);
        }
        assert_eq!(std::fs::read_to_string(&effects).unwrap(), "x\n", "at {site:?}");
        bed.hosts.close().await.unwrap();
    }
}

#[tokio::test]
async fn one_runner_follows_attempts_after_one_another() {
    for name in ["dash", "bash", "busybox"] {
        let sshd = Sshd::start(&Options { shell: Some(name.into()), ..Options::default() });
        let mut bed = Bed::new(Some(&sshd));
        let mut runners = Vec::new();
        // The second is seen while it runs, so that the runner is asked to show it.
        for (step, between) in [("a", ":"), ("b", "sleep 0.6"), ("c", ":"), ("d", "kill -9 $$")] {
            let text = format!("echo out-{step}; echo err-{step} >&2; {between}");
            let wanted = if step == "d" { Outcome::Killed { signal: 9 } } else { Outcome::Succeeded };
            assert_eq!(bed.run(shell(step, &h1(), &text)).await.0, wanted, "in {name}");
            let log = bed.log(&attempt(step, &h1(), 1));
            let mut said: Vec<&str> =
                log.lines().filter(|line| line.contains("out-") || line.contains("err-")).collect();
            said.sort_by_key(|line| line.contains("out-"));
            assert_eq!(said.len(), 2, "{log} in {name}");
            assert!(said[0].ends_with(&format!("err-{step}")) && said[1].ends_with(&format!("out-{step}")), "{log}");
            runners.push(std::fs::read_to_string(bed.record(&h1(), &attempt(step, &h1(), 1)).join("sup")).unwrap());
        }
        // On a machine so busy that an end takes a second, one is let go and another takes its place.
        runners.dedup();
        assert!(runners.len() < 4, "{runners:?} in {name}");
        bed.hosts.close().await.unwrap();
    }
}

#[tokio::test]
async fn an_unknown_attempt_becomes_impossible() {
    let sshd = Sshd::start(&Options::default());
    for site in [Site::Controller, h1()] {
        let mut bed = Bed::new(Some(&sshd));
        for (step, kill) in [("a", false), ("b", true)] {
            let id = attempt(step, &site, 1);
            if kill {
                bed.kill(site.clone(), &id);
            } else {
                bed.probe(site.clone(), &id);
            }
            assert!(matches!(bed.end().await.0, Outcome::NeverStarted { .. }));
            let effects = bed.dir.path().join("effects");
            let (outcome, _) = bed.run(shell(step, &site, &format!(": > {}", effects.display()))).await;
            assert!(matches!(outcome, Outcome::NeverStarted { .. }), "{outcome:?}");
            assert!(!effects.exists());
        }
        bed.hosts.close().await.unwrap();
    }
}

#[tokio::test]
async fn an_earlier_owner_is_refused() {
    let mut old = Bed::new(None);
    let mut new = old.second(|c| c.epoch = 2);
    let site = Site::Controller;
    assert_eq!(new.run(shell("a", &site, ":")).await.0, Outcome::Succeeded);
    let (outcome, _) = old.run(shell("b", &site, ":")).await;
    assert!(matches!(&outcome, Outcome::NeverStarted { why } if why.contains("later owner")), "{outcome:?}");
    old.probe(site.clone(), &attempt("a", &site, 1));
    assert!(matches!(old.until(|_| true).await, Event::Unreachable { .. }));
}

#[tokio::test]
async fn a_second_controller_gets_all_of_the_output() {
    let sshd = Sshd::start(&Options::default());
    for site in [Site::Controller, h1()] {
        let bed = Bed::new(Some(&sshd));
        let (ready, go) = (bed.dir.path().join("ready"), bed.dir.path().join("go"));
        let text = format!(
            "seq 1 20000; : > {}; while [ ! -e {} ]; do sleep 0.02; done; seq 20001 40000; exit 42",
            ready.display(),
            go.display()
        );
        bed.launch(shell("long", &site, &text));
        appears(&ready).await;
        // The first controller goes away without a word.
        bed.hosts.close().await.unwrap();
        let mut other = bed.second(|_| {});
        other.probe(site.clone(), &attempt("long", &site, 1));
        assert_eq!(other.until(|_| true).await, Event::Launched);
        std::fs::write(&go, "").unwrap();
        let (outcome, evidence) = other.end().await;
        assert_eq!((outcome, evidence.lines), (Outcome::Failed { exit: 42 }, 40_000));
        let log = other.log(&attempt("long", &site, 1));
        let numbers: Vec<u32> = log.lines().skip(1).map(|l| l.parse().unwrap()).collect();
        assert!(numbers.iter().copied().eq(1..=40_000), "at {site:?}: {} lines", numbers.len());
        other.hosts.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_daemon_left_behind_delays_nothing() {
    let sshd = Sshd::start(&Options::default());
    for (site, mark) in [(Site::Controller, mark(5)), (h1(), mark(6))] {
        let mut bed = Bed::new(Some(&sshd));
        let begun = std::time::Instant::now();
        let (outcome, evidence) = bed.run(shell("daemon", &site, &format!("echo started; sleep {mark} &"))).await;
        assert_eq!((outcome, evidence.tail), (Outcome::Succeeded, vec!["started".to_owned()]));
        assert!(begun.elapsed() < Duration::from_secs(10));
        let alive = alive_with(&format!("sleep\0{mark}"));
        assert_eq!(alive.len(), 1, "it lives on");
        crate::harness::sshd::kill(alive[0].parse().unwrap());
        bed.hosts.close().await.unwrap();
    }
}

#[tokio::test]
async fn the_remote_shell_may_be_dash_bash_or_busybox() {
    for name in ["dash", "bash", "busybox"] {
        let sshd = Sshd::start(&Options { shell: Some(name.into()), ..Options::default() });
        let mut bed = Bed::new(Some(&sshd));
        let ready = bed.dir.path().join("ready");
        for (n, (text, outcome)) in [
            ("echo hello; echo there >&2", Outcome::Succeeded),
            ("exit 200", Outcome::Failed { exit: 200 }),
            ("kill -9 $$", Outcome::Killed { signal: 9 }),
            ("seq 1 30000; sleep 0.4; seq 30001 60000", Outcome::Succeeded),
            (&*stubborn_tree(mark(7), &ready), Outcome::TimedOut),
        ]
        .into_iter()
        .enumerate()
        {
            let mut job = shell(&format!("s{n}"), &h1(), text);
            if outcome == Outcome::TimedOut {
                job.timeout = Some(SignedDuration::from_millis(400));
            }
            let (seen, evidence) = bed.run(job).await;
            assert_eq!(seen, outcome, "{text} in {name}");
            if n == 3 {
                assert_eq!(evidence.lines, 60_000, "in {name}");
                assert_eq!(bed.log(&attempt("s3", &h1(), 1)).lines().count(), 60_001, "in {name}");
            }
        }
        assert_eq!(alive_with(&mark(7).to_string()), [""; 0], "in {name}");
        bed.hosts.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_request_cut_anywhere_starts_nothing() {
    let runner = include_str!("../../templates/remote/runner.sh");
    let dir = tempfile::tempdir().unwrap();
    let effects = dir.path().join("effects");
    let request = |shell: &str| {
        format!(
            "n0\nmode=launch run=r action=a@h try=do.1 home='{}' epoch=1 grace=1\nhead_cap=1000 tail_cap=1000 cookie=c\n\
         timeout= payload=0 as= dir=''\nscript='echo one >>{e}\necho two >>{e}\n'\ncommand='exec setsid sh \"$d/cmd\"'\n\
         payload_sha256='' environment='export A=1'\nend n0\n",
            dir.path().join(shell).display(),
            e = effects.display(),
        )
    };
    for shell in ["dash", "bash", "busybox"] {
        let request = request(shell);
        // The whole request comes last.
        for twelfth in 0..=12 {
            let cut = if twelfth == 12 { request.len() } else { (request.len() - 1) * twelfth / 11 };
            let mut command = Command::new(shell);
            if shell == "busybox" {
                command.arg("sh");
            }
            let mut child = command
                .args(["-c", "R=$1; shift; eval \"$R\"", "x", runner])
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            std::io::Write::write_all(&mut child.stdin.take().unwrap(), &request.as_bytes()[..cut]).unwrap();
            child.wait().unwrap();
            assert_eq!(effects.exists(), cut == request.len(), "cut after {cut} bytes in {shell}");
            if cut == request.len() {
                assert_eq!(std::fs::read_to_string(&effects).unwrap(), "one\ntwo\n");
                std::fs::remove_file(&effects).unwrap();
            } else {
                assert!(!dir.path().join(shell).exists(), "cut after {cut} bytes in {shell}");
            }
        }
    }
}
