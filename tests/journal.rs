//! The journal against the world: writers killed at any moment, and files changed behind our back.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use jiff::Timestamp;
use runbook::engine::fact::{Actor, Fact, Mark};
use runbook::graph::ids::ActionId;
use runbook::journal::store::Frozen;
use runbook::journal::{Claim, Journal as _, JournalError, NewRun, Store};

const DIR: &str = "RUNBOOK_TEST_JOURNAL";
const COUNT: &str = "RUNBOOK_TEST_APPENDS";

fn at() -> Timestamp {
    Timestamp::from_second(1_196_577_000).unwrap()
}

fn fact(n: u64) -> Fact {
    let action = ActionId::new(&format!("step-{n}"), Some("db1"));
    Fact::ActionMarked { action, mark: Mark::Done, by: Actor::engine(), reason: Some("x".repeat(200)) }
}

pub fn make_run(dir: &Path) -> String {
    let new = NewRun {
        plan: "night".into(),
        title: "Night".into(),
        digest: "7c1f".into(),
        stage: runbook::engine::fact::Stage::Real,
        created: at(),
    };
    let frozen = |_: &str| Frozen { plan: "{}".into(), started: "{}".into(), setup: "{}".into() };
    Store::open(dir).unwrap().create(&new, |_| false, frozen).unwrap().id
}

fn append(dir: &Path, run: &str, count: u64, acknowledge: impl Fn(u64)) {
    let claim = Claim { owner: "sarah".into(), host: "laptop".into(), pid: 1, socket: None, over: None };
    // After the lease of a killed writer.
    let now = at() + jiff::SignedDuration::from_hours(1);
    let mut journal = Store::open(dir).unwrap().take(run, &claim, now).unwrap();
    for seq in 0..count {
        journal.append(now, &[fact(seq)], seq).unwrap();
        acknowledge(seq + 1);
    }
}

/// Not a test of its own: the writer that the tests below start and kill.
#[test]
#[ignore = "started by the other tests of this file"]
fn writer() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let count = std::env::var(COUNT).unwrap().parse().unwrap();
    append(Path::new(&dir), "night-a", count, |seq| {
        let mut out = std::io::stderr();
        writeln!(out, "ack {seq}").unwrap();
    });
}

pub fn start_writer(dir: &Path, count: u64, strace: Option<&str>) -> Child {
    let me = std::env::current_exe().unwrap();
    let mut command = match strace {
        Some(inject) => {
            let mut c = Command::new("strace");
            c.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync,fsync,pwrite64", "-e", inject]).arg(me);
            c
        }
        None => Command::new(me),
    };
    command.args(["--ignored", "--exact", "--nocapture", "journal::writer"]);
    command.env(DIR, dir).env(COUNT, count.to_string()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// The last acknowledged fact that comes out of a writer, killing it after `kill_after`.
pub fn acknowledged(writer: &mut Child, kill_after: Option<u64>) -> u64 {
    let mut last = 0;
    for line in BufReader::new(writer.stderr.take().unwrap()).lines().map_while(Result::ok) {
        if let Some(seq) = line.strip_prefix("ack ") {
            last = seq.parse().unwrap();
            if Some(last) == kill_after {
                writer.kill().unwrap();
            }
        }
    }
    last
}

pub fn assert_nothing_lost(dir: &Path, acknowledged: u64) {
    let facts = Store::open(dir).unwrap().facts("night-a", 0).unwrap();
    assert!(facts.len() as u64 >= acknowledged, "kept {} of {acknowledged} acknowledged facts", facts.len());
    for (n, record) in facts.iter().enumerate() {
        assert_eq!(record.fact, fact(n as u64));
    }
}

#[test]
fn a_writer_killed_after_any_acknowledgement_loses_nothing() {
    for kill_after in 1..=12 {
        let tmp = tempfile::tempdir().unwrap();
        make_run(tmp.path());
        let mut writer = start_writer(tmp.path(), 1_000_000, None);
        let acknowledged = acknowledged(&mut writer, Some(kill_after));
        assert_eq!(writer.wait().unwrap().signal(), Some(9));
        assert!(acknowledged >= kill_after);
        assert_nothing_lost(tmp.path(), acknowledged);
    }
}

/// Kills a writer of 8 facts at each of its calls of `call`, and says how many there were.
fn kill_at_each(call: &str) -> u64 {
    for when in 1.. {
        let tmp = tempfile::tempdir().unwrap();
        make_run(tmp.path());
        let inject = format!("inject={call}:signal=SIGKILL:when={when}");
        let mut writer = start_writer(tmp.path(), 8, Some(&inject));
        let acknowledged = acknowledged(&mut writer, None);
        let killed = !writer.wait().unwrap().success();
        assert_nothing_lost(tmp.path(), acknowledged);
        if !killed {
            assert_eq!(acknowledged, 8);
            return when - 1;
        }
    }
    unreachable!("every writer ends");
}

#[test]
fn a_writer_killed_at_any_write_or_sync_loses_nothing() {
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        eprintln!("SKIPPED: strace is not installed, so no writer was killed at its writes and syncs");
        return;
    }
    assert!(kill_at_each("pwrite64") >= 8);
    let syncs = kill_at_each("fdatasync,fsync");
    assert!(syncs >= 8, "only {syncs} syncs for 8 facts: something is acknowledged before it is on the disk");
}

fn raw(dir: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(dir.join("journal.db")).unwrap()
}

fn filled(count: u64) -> (tempfile::TempDir, String) {
    let tmp = tempfile::tempdir().unwrap();
    let run = make_run(tmp.path());
    append(tmp.path(), &run, count, |_| {});
    (tmp, run)
}

/// Where reading says the damage is.
fn damage(dir: &Path, run: &str) -> Option<u64> {
    match Store::open(dir).unwrap().facts(run, 0) {
        Ok(_) => None,
        Err(JournalError::Damaged { seq, .. }) => Some(seq),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_changed_deleted_or_reordered_fact_is_named() {
    let changes = [
        ("UPDATE fact SET json = replace(json, 'step-3', 'step-9') WHERE seq = 4", 4),
        ("UPDATE fact SET at = '2007-12-02T06:30:01Z' WHERE seq = 4", 4),
        ("UPDATE fact SET hash = zeroblob(32) WHERE seq = 4", 4),
        ("DELETE FROM fact WHERE seq = 4", 4),
        ("DELETE FROM fact WHERE seq >= 8", 8),
        ("UPDATE fact SET json = (SELECT json FROM fact WHERE seq = 5) WHERE seq = 4", 4),
        ("UPDATE frozen SET plan = '{\"x\":1}'", 1),
        ("UPDATE fact SET hash = 'text' WHERE seq = 4", 4),
    ];
    for (change, seq) in changes {
        let (tmp, run) = filled(9);
        assert_eq!(damage(tmp.path(), &run), None);
        let db = raw(tmp.path());
        let changed = db.execute(change, []);
        if change.contains("'text'") {
            assert!(changed.is_err(), "the table is strict");
            continue;
        }
        assert!(changed.unwrap() > 0, "{change}");
        assert_eq!(damage(tmp.path(), &run), Some(seq), "{change}");
    }
}

#[test]
fn a_flipped_bit_never_becomes_another_meaning() {
    let (tmp, run) = filled(40);
    raw(tmp.path()).execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let original = std::fs::read(tmp.path().join("journal.db")).unwrap();
    let expected = Store::open(tmp.path()).unwrap().facts(&run, 0).unwrap();
    let mut found = 0;
    for n in 0..200_usize {
        let place = (n * 7919 + 13) % (original.len() * 8);
        let mut bytes = original.clone();
        bytes[place / 8] ^= 1 << (place % 8);
        let copy = tempfile::tempdir().unwrap();
        let path = copy.path().join("journal.db");
        std::fs::write(&path, &bytes).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        match Store::open(copy.path()).and_then(|store| store.facts(&run, 0)) {
            Ok(facts) => assert_eq!(facts, expected, "bit {place} changed what was read"),
            Err(_) => found += 1,
        }
    }
    assert!(found > 20, "only {found} of 200 flips were in used bytes");
}
