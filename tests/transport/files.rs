//! Scripts, files put in place and brought back, other users, requests.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use indexmap::IndexMap;
use jiff::SignedDuration;
use runbook::graph::ids::{AttemptId, Direction};
use runbook::graph::job::{Content, Job, Site, Work};
use runbook::graph::outcome::Outcome;
use runbook::plan::model::{HttpCheck, SecretRef};
use runbook::transport::Transport;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::bed::{Bed, attempt, h1, job, shell};
use crate::harness::sshd::{Options, Sshd};

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

fn script(step: &str, site: &Site, bed: &Bed, content: &[u8]) -> Job {
    std::fs::write(bed.config.plan_dir.join("file"), content).unwrap();
    job(step, site, Work::Script { src: "file".into(), sha256: sha256(content) })
}

#[tokio::test]
async fn scripts_run_with_their_own_interpreter() {
    for name in [None, Some("busybox"), Some("bash")] {
        let sshd = Sshd::start(&Options { shell: name.map(str::to_owned), ..Options::default() });
        for site in [Site::Controller, h1()] {
            let mut bed = Bed::new(Some(&sshd));
            let mut perl = script("perl", &site, &bed, b"#!/usr/bin/perl -w\nprint \"$ENV{V} $0\\n\"; exit 3;\n");
            perl.env.insert("V".into(), "from perl".into());
            let (outcome, evidence) = bed.run(perl).await;
            assert_eq!(outcome, Outcome::Failed { exit: 3 }, "{evidence:?}");
            assert!(evidence.tail[0].starts_with("from perl "), "{evidence:?}");

            let (outcome, evidence) = bed.run(script("plain", &site, &bed, b"echo plain\nfalse\necho no\n")).await;
            assert_eq!((outcome, evidence.tail), (Outcome::Failed { exit: 1 }, vec!["plain".to_owned()]));

            let mut long = "#!/bin/sh\n# filler\n".repeat(40_000).into_bytes();
            long.extend(b"echo the end; sleep 0.4; echo really\n");
            let (outcome, evidence) = bed.run(script("long", &site, &bed, &long)).await;
            assert_eq!((outcome, evidence.tail.len()), (Outcome::Succeeded, 2));

            let changed = script("changed", &site, &bed, b"echo one\n");
            std::fs::write(bed.config.plan_dir.join("file"), "echo two\n").unwrap();
            let (outcome, _) = bed.run(changed).await;
            assert!(matches!(&outcome, Outcome::NeverStarted { why } if why.contains("changed")), "{outcome:?}");
            bed.hosts.close().await.unwrap();
        }
    }
}

fn put(site: &Site, number: u32, content: Content, dest: &Path, mode: Option<u32>) -> Job {
    let mut put = job("conf", site, Work::Put { content, dest: dest.display().to_string(), mode, owner: None });
    put.attempt.number = number;
    put
}

fn restore(site: &Site, number: u32, dest: &Path, replaced_by: &[AttemptId]) -> Job {
    let work = Work::Restore { dest: dest.display().to_string(), replaced_by: replaced_by.to_vec() };
    let mut undo = job("conf", site, work);
    undo.attempt.direction = Direction::Undo;
    undo.attempt.number = number;
    undo
}

fn text(content: &str) -> Content {
    Content::Text(content.into())
}

#[tokio::test]
async fn a_file_is_replaced_and_comes_back() {
    let sshd = Sshd::start(&Options::default());
    for site in [Site::Controller, h1()] {
        let mut bed = Bed::new(Some(&sshd));
        let dest = bed.dir.path().join("it's a conf");
        std::fs::write(&dest, "old").unwrap();
        std::fs::set_permissions(&dest, PermissionsExt::from_mode(0o640)).unwrap();
        let (first, second) = (attempt("conf", &site, 1), attempt("conf", &site, 2));
        assert_eq!(bed.run(put(&site, 1, text("new\n"), &dest, None)).await.0, Outcome::Succeeded);
        assert_eq!(std::fs::read_to_string(&dest).unwrap(), "new\n");
        assert_eq!(dest.metadata().unwrap().mode() & 0o7777, 0o640, "the mode stays");
        assert_eq!(bed.run(put(&site, 2, text("newer"), &dest, Some(0o600))).await.0, Outcome::Succeeded);
        assert_eq!(dest.metadata().unwrap().mode() & 0o7777, 0o600);
        // Twice, because an undo may be repeated.
        for number in [1, 2] {
            let undo = restore(&site, number, &dest, &[second.clone(), first.clone()]);
            assert_eq!(bed.run(undo).await.0, Outcome::Succeeded);
            assert_eq!(std::fs::read_to_string(&dest).unwrap(), "old");
            assert_eq!(dest.metadata().unwrap().mode() & 0o7777, 0o640);
        }
        let names: Vec<_> = std::fs::read_dir(bed.dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert!(!names.iter().any(|n| n.to_string_lossy().contains("runbook-")), "{names:?}");
        bed.hosts.close().await.unwrap();
    }
}

#[tokio::test]
async fn what_was_absent_or_a_link_is_so_again() {
    let sshd = Sshd::start(&Options::default());
    for site in [Site::Controller, h1()] {
        let mut bed = Bed::new(Some(&sshd));
        let (absent, link, target) =
            (bed.dir.path().join("absent"), bed.dir.path().join("link"), bed.dir.path().join("target"));
        std::fs::write(&target, "precious").unwrap();
        symlink(&target, &link).unwrap();
        for (number, dest) in [(1, &absent), (2, &link)] {
            assert_eq!(bed.run(put(&site, number, text("new"), dest, None)).await.0, Outcome::Succeeded);
            assert_eq!(std::fs::read_to_string(dest).unwrap(), "new");
            assert!(!dest.is_symlink());
            assert_eq!(std::fs::read_to_string(&target).unwrap(), "precious");
            let undo = restore(&site, number, dest, &[attempt("conf", &site, number)]);
            assert_eq!(bed.run(undo).await.0, Outcome::Succeeded);
        }
        assert!(!absent.exists() && std::fs::read_link(&link).unwrap() == target);
        // Undoing what never ran does nothing.
        let undo = restore(&site, 9, &target, &[attempt("conf", &site, 9)]);
        assert_eq!(bed.run(undo).await.0, Outcome::Succeeded);
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "precious");
        bed.hosts.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_directory_is_replaced_and_comes_back() {
    let sshd = Sshd::start(&Options::default());
    for site in [Site::Controller, h1()] {
        let mut bed = Bed::new(Some(&sshd));
        let src = bed.config.plan_dir.join("site");
        std::fs::create_dir_all(src.join("deep")).unwrap();
        std::fs::write(src.join("deep/page"), "new").unwrap();
        let dest = bed.dir.path().join("www");
        std::fs::create_dir(&dest).unwrap();
        std::fs::write(dest.join("page"), "old").unwrap();
        let content = Content::FromDisk { src: "site".into(), sha256: String::new(), directory: true };
        assert_eq!(bed.run(put(&site, 1, content, &dest, None)).await.0, Outcome::Succeeded);
        assert_eq!(std::fs::read_to_string(dest.join("deep/page")).unwrap(), "new");
        assert!(!dest.join("page").exists());
        for number in [1, 2] {
            let undo = restore(&site, number, &dest, &[attempt("conf", &site, 1)]);
            assert_eq!(bed.run(undo).await.0, Outcome::Succeeded);
            assert_eq!(std::fs::read_to_string(dest.join("page")).unwrap(), "old");
            assert!(!dest.join("deep").exists());
        }
        bed.hosts.close().await.unwrap();
    }
}

#[tokio::test]
async fn destinations_stay_where_they_say() {
    let mut bed = Bed::new(None);
    for bad in ["relative", "/a/../b", "/a/", "", "/a\0b"] {
        let (outcome, _) = bed.run(put(&Site::Controller, 1, text("x"), Path::new(bad), None)).await;
        assert!(matches!(outcome, Outcome::NeverStarted { .. }), "{bad:?}");
    }
    let missing = bed.dir.path().join("no/such/dir/file");
    let (outcome, evidence) = bed.run(put(&Site::Controller, 2, text("x"), &missing, None)).await;
    assert_eq!(outcome, Outcome::Failed { exit: 1 });
    assert!(evidence.tail[0].contains("does not exist"), "{evidence:?}");
}

#[tokio::test]
async fn another_user_gets_the_environment_and_dies_at_the_limit() {
    if std::process::Command::new("sudo").args(["-n", "-u", "nobody", "true"]).status().map_or(true, |s| !s.success()) {
        println!("skipped: sudo is not usable here");
        return;
    }
    let sshd = Sshd::start(&Options::default());
    for site in [Site::Controller, h1()] {
        let mut bed = Bed::new(Some(&sshd));
        let mut who = shell("who", &site, "id -un; echo \"$V\"; pwd; cat; echo $RUNBOOK_COOKIE");
        who.user = Some("nobody".into());
        who.dir = Some("/usr".into());
        who.env.insert("V".into(), "it's $HOME \"x\"\n`y`".into());
        let (outcome, evidence) = bed.run(who).await;
        assert_eq!(outcome, Outcome::Succeeded, "{evidence:?}");
        let cookie = format!("{}/{}/do.1/", bed.config.run, attempt("who", &site, 1).action);
        assert_eq!(evidence.tail, ["nobody", "it's $HOME \"x\"", "`y`", "/usr", &cookie]);

        let mut root = shell("root", &site, "id -un; echo a=b > \"$RUNBOOK_OUTPUT\"");
        root.sudo = true;
        let (outcome, evidence) = bed.run(root).await;
        assert_eq!((outcome, &*evidence.tail[0]), (Outcome::Succeeded, "root"));
        assert_eq!(evidence.outputs["a"], "b");

        let mut slow = shell("slow", &site, "trap '' TERM; (setsid sleep 300 &); while :; do sleep 300; done");
        slow.user = Some("nobody".into());
        slow.timeout = Some(SignedDuration::from_millis(500));
        let (outcome, evidence) = bed.run(slow).await;
        assert_eq!(outcome, Outcome::TimedOut, "{evidence:?}");

        let mut refused = shell("refused", &site, "echo reached");
        refused.user = Some("nosuchuser".into());
        let (outcome, evidence) = bed.run(refused).await;
        assert_eq!(outcome, Outcome::Failed { exit: 1 });
        assert!(evidence.tail.iter().any(|l| l.contains("nosuchuser")), "{evidence:?}");
        bed.hosts.close().await.unwrap();
    }
}

#[tokio::test]
async fn secrets_show_nowhere() {
    let sshd = Sshd::start(&Options::default());
    for site in [Site::Controller, h1()] {
        let mut bed = Bed::with(Some(&sshd), |c| c.secrets = vec![SecretRef::File("secret".into())]);
        std::fs::write(bed.config.plan_dir.join("secret"), "c4nary-value\nsecond-line\n").unwrap();
        let mut leak = shell(
            "leak",
            &site,
            "echo \"got $PW\"; printf %s \"$PW\" | base64; cat /proc/[0-9]*/cmdline 2>/dev/null | grep -c 'c4n[a]ry-value' || :; echo \"$PW\" >&2; exit 1",
        );
        leak.secrets.insert("PW".into(), SecretRef::File("secret".into()));
        let (outcome, evidence) = bed.run(leak).await;
        assert_eq!(outcome, Outcome::Failed { exit: 1 });
        assert_eq!(evidence.tail, ["********"]);
        let log = bed.log(&attempt("leak", &site, 1));
        assert!(log.contains("got ********\n") && log.contains("\n0\n"), "{log}");
        for text in ["c4nary", "second-line", "YzRuYXJ5"] {
            assert!(!log.contains(text), "{log}");
        }
        // The records hold what the command printed, but nothing that was handed to it.
        let record = bed.record(&site, &attempt("leak", &site, 1));
        for file in ["cmd", "pid", "rc", "sup"] {
            assert!(!String::from_utf8_lossy(&std::fs::read(record.join(file)).unwrap()).contains("c4nary"));
        }
        assert_eq!(record.metadata().unwrap().mode() & 0o777, 0o700);

        let mut unset = shell("unset", &site, ":");
        unset.secrets.insert("PW".into(), SecretRef::Env("RUNBOOK_TEST_UNSET".into()));
        assert!(matches!(bed.run(unset).await.0, Outcome::NeverStarted { .. }));
        bed.hosts.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_request_judges() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/health", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut buffer = [0; 1024];
                let n = stream.read(&mut buffer).await.unwrap();
                let ok = String::from_utf8_lossy(&buffer[..n]).contains("x-key: 7");
                let status = if ok { "200 OK" } else { "302 Found\r\nlocation: /" };
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 10\r\nconnection: close\r\n\r\nversion 12");
                stream.write_all(answer.as_bytes()).await.unwrap();
            });
        }
    });
    let mut bed = Bed::new(None);
    let check = |url: &str, key: &str, matches: &str| {
        Work::Http(HttpCheck {
            url: url.into(),
            method: "GET".into(),
            expect: Vec::new(),
            body_contains: None,
            body_matches: Some(matches.into()),
            headers: IndexMap::from([("x-key".to_owned(), key.to_owned())]),
            body: None,
        })
    };
    let site = Site::Controller;
    // One that nobody listens at, one that hangs up, one that says nothing.
    let nobody = "http://127.0.0.1:9/";
    let (hangs_up, silent) = (hangs_up().await, silent());
    let (good, wrong) = (Outcome::Succeeded, Outcome::Failed { exit: 1 });
    let unasked = Outcome::NeverStarted { why: "no connection".into() };
    for (n, (work, expected)) in [
        (check(&url, "7", "^version \\d+$"), good),
        (check(&url, "7", "^version 13$"), wrong.clone()),
        (check(&url, "8", "version"), wrong),
        (check(nobody, "7", ""), unasked),
        (check(&hangs_up, "7", ""), Outcome::Interrupted),
        (check(&silent.0, "7", ""), Outcome::TimedOut),
    ]
    .into_iter()
    .enumerate()
    {
        let timeout = Some(SignedDuration::from_millis(if expected == Outcome::TimedOut { 200 } else { 20_000 }));
        let (outcome, evidence) = bed.run(Job { timeout, ..job(&format!("s{n}"), &site, work) }).await;
        assert_eq!(outcome, expected, "{evidence:?}");
        assert!(!evidence.tail.is_empty());
    }
}

/// The address of a server that takes connections and drops them.
async fn hangs_up() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await.unwrap();
        }
    });
    url
}

/// A server that takes connections and says nothing, and its address.
fn silent() -> (String, std::net::TcpListener) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    (format!("http://{}/", listener.local_addr().unwrap()), listener)
}
