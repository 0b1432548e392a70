//! What every journal must do, executed against each of them.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};

use super::store::Frozen;
use super::{Claim, Journal, JournalError, MemoryJournal, NewRun, RunRow, SqliteJournal, Store};
use crate::engine::fact::{Actor, Fact, Mark, RollbackCause, RunEnd, Stage};
use crate::graph::ids::ActionId;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_196_577_000 + second).unwrap()
}

fn note(text: &str) -> Fact {
    let action = ActionId::new(text, Some("db1"));
    Fact::ActionMarked { action, mark: Mark::Done, by: Actor::engine(), reason: None }
}

fn new_run(second: i64) -> NewRun {
    let (plan, title, digest) = ("night".to_owned(), "Night".to_owned(), "7c1f".to_owned());
    NewRun { plan, title, digest, stage: Stage::Real, created: at(second) }
}

fn frozen(run: &str) -> Frozen {
    Frozen { plan: r#"{"stem":"night"}"#.into(), started: format!("{run:?}"), setup: "{}".into() }
}

fn create(dir: &Path, blocks: impl Fn(&RunRow) -> bool) -> Result<RunRow, JournalError> {
    Store::open(dir).unwrap().create(&new_run(0), blocks, frozen)
}

fn claim(owner: &str) -> Claim {
    Claim { owner: owner.into(), host: "laptop".into(), pid: 7, socket: Some("/run/x.sock".into()), over: None }
}

fn take(dir: &Path, run: &str, owner: &str, second: i64) -> Result<SqliteJournal, JournalError> {
    Store::open(dir).unwrap().take(run, &claim(owner), at(second))
}

fn on_each_journal(test: impl Fn(&mut dyn Journal)) {
    test(&mut MemoryJournal::default());
    let tmp = tempfile::tempdir().unwrap();
    let run = create(tmp.path(), |_| false).unwrap();
    test(&mut take(tmp.path(), &run.id, "sarah", 0).unwrap());
}

#[test]
fn facts_are_numbered_from_one_without_gaps() {
    on_each_journal(|journal| {
        let first = journal.append(at(1), &[note("a"), note("b")], 0).unwrap();
        let second = journal.append(at(2), &[note("c")], 2).unwrap();
        let seqs: Vec<u64> = first.iter().chain(&second).map(|r| r.seq).collect();
        assert_eq!(seqs, [1, 2, 3]);
        assert_eq!((second[0].at, &second[0].fact), (at(2), &note("c")));
        assert!(journal.append(at(3), &[], 3).unwrap().is_empty());
    });
}

#[test]
fn a_writer_that_is_behind_is_refused() {
    on_each_journal(|journal| {
        journal.append(at(1), &[note("a")], 0).unwrap();
        for stale in [0, 2] {
            let refused = journal.append(at(1), &[note("b")], stale);
            assert!(matches!(refused, Err(JournalError::Sequence { found: 1, .. })), "{refused:?}");
        }
        assert_eq!(journal.append(at(1), &[note("b")], 1).unwrap()[0].seq, 2, "a refusal changes nothing");
    });
}

#[test]
fn a_writer_that_lost_the_run_is_refused() {
    let mut memory = MemoryJournal::default();
    memory.append(at(1), &[note("a")], 0).unwrap();
    memory.taken_by_another();
    assert!(matches!(memory.append(at(2), &[note("b")], 1), Err(JournalError::Fenced { .. })));

    let tmp = tempfile::tempdir().unwrap();
    let run = create(tmp.path(), |_| false).unwrap().id;
    let mut first = take(tmp.path(), &run, "sarah", 0).unwrap();
    first.append(at(1), &[note("a")], 0).unwrap();
    let held = take(tmp.path(), &run, "marie", 14).unwrap_err();
    assert!(held.to_string().contains("held by sarah on laptop (pid 7)"), "{held}");
    first.renew(at(14)).unwrap();
    assert!(take(tmp.path(), &run, "marie", 28).is_err(), "it was renewed");
    let mut second = take(tmp.path(), &run, "marie", 30).unwrap();
    assert_eq!((second.epoch(), second.found().len()), (2, 1));
    second.append(at(31), &[note("b")], 1).unwrap();
    for refused in [first.append(at(31), &[note("late")], 1).map(|_| ()), first.renew(at(31))] {
        assert!(matches!(refused, Err(JournalError::Fenced { ours: 1, theirs: 2 })), "{refused:?}");
    }
    first.close(at(32)).unwrap();
    assert!(take(tmp.path(), &run, "sarah", 33).is_err(), "closing what is not ours changes nothing");
    second.close(at(33)).unwrap();
    assert_eq!(take(tmp.path(), &run, "sarah", 33).unwrap().epoch(), 3);
}

#[test]
fn a_run_of_the_same_plan_stands_in_the_way_until_it_ends() {
    let tmp = tempfile::tempdir().unwrap();
    let a = create(tmp.path(), |_| true).unwrap();
    assert_eq!(a.id, "night-a");
    let refused = create(tmp.path(), |_| true).unwrap_err();
    assert!(matches!(refused, JournalError::Unfinished(open) if open.id == "night-a"));
    let mut journal = take(tmp.path(), "night-a", "sarah", 0).unwrap();
    journal.append(at(9), &[Fact::RunEnded { end: RunEnd::Succeeded { late: false } }], 0).unwrap();
    assert_eq!(create(tmp.path(), |_| true).unwrap().id, "night-b");

    let store = Store::open(tmp.path()).unwrap();
    let ids: Vec<String> = store.runs().unwrap().into_iter().map(|r| r.id).collect();
    assert_eq!(ids, ["night-b", "night-a"]);
    assert_eq!(store.open_runs().unwrap().len(), 1);
    let ended = store.run("night-a").unwrap();
    assert_eq!((ended.closed, ended.end), (Some(at(9)), Some(RunEnd::Succeeded { late: false })));
    assert_eq!(store.run("latest").unwrap().id, "night-b");
    assert_eq!(store.frozen("night-a").unwrap(), frozen("night-a"));
}

#[test]
fn a_rollback_by_hand_opens_a_finished_run_again() {
    let tmp = tempfile::tempdir().unwrap();
    let run = create(tmp.path(), |_| true).unwrap().id;
    let mut journal = take(tmp.path(), &run, "sarah", 0).unwrap();
    journal.append(at(1), &[Fact::RunEnded { end: RunEnd::Succeeded { late: false } }], 0).unwrap();
    journal.append(at(2), &[Fact::RollbackDecided { cause: RollbackCause::Deadline }], 1).unwrap();
    let open = Store::open(tmp.path()).unwrap().run(&run).unwrap();
    assert_eq!((open.closed, open.end), (None, None));
}

#[test]
fn only_a_run_without_facts_can_be_discarded() {
    let tmp = tempfile::tempdir().unwrap();
    let run = create(tmp.path(), |_| true).unwrap().id;
    let mut journal = take(tmp.path(), &run, "sarah", 0).unwrap();
    let mut store = Store::open(tmp.path()).unwrap();
    journal.append(at(1), &[note("a")], 0).unwrap();
    assert!(!store.discard(&run).unwrap());
    let other = create(tmp.path(), |_| false).unwrap().id;
    assert!(store.discard(&other).unwrap());
    assert_eq!(store.runs().unwrap().len(), 1);
}

#[test]
fn readers_see_what_was_appended_and_notice_it_cheaply() {
    let tmp = tempfile::tempdir().unwrap();
    let run = create(tmp.path(), |_| true).unwrap().id;
    let mut journal = take(tmp.path(), &run, "sarah", 0).unwrap();
    let reader = Store::open_existing(tmp.path()).unwrap().unwrap();
    let before = reader.data_version().unwrap();
    assert_eq!(reader.data_version().unwrap(), before);
    journal.append(at(1), &[note("a"), note("b")], 0).unwrap();
    assert_ne!(reader.data_version().unwrap(), before);
    assert_eq!(reader.facts(&run, 0).unwrap().len(), 2);
    let since = reader.facts(&run, 1).unwrap();
    assert_eq!((since.len(), since[0].seq), (1, 2));
    assert!(reader.facts(&run, 2).unwrap().is_empty());
    assert!(matches!(reader.facts("nosuch", 0), Err(JournalError::NoSuchRun(_))));
}

#[test]
fn a_lease_lives_for_its_time() {
    let tmp = tempfile::tempdir().unwrap();
    let run = create(tmp.path(), |_| true).unwrap().id;
    take(tmp.path(), &run, "sarah", 0).unwrap();
    let lease = Store::open(tmp.path()).unwrap().run(&run).unwrap().lease.unwrap();
    assert_eq!((lease.owner.as_str(), lease.epoch, lease.socket.as_deref()), ("sarah", 1, Some("/run/x.sock")));
    assert!(lease.live(at(0) + SignedDuration::from_millis(14_999)));
    assert!(!lease.live(at(15)));
}

#[test]
fn looking_makes_no_store() {
    let tmp = tempfile::tempdir().unwrap();
    assert!(Store::open_existing(tmp.path()).unwrap().is_none());
    assert_eq!(tmp.path().read_dir().unwrap().count(), 0);
}

#[test]
fn a_newer_store_is_left_alone() {
    let tmp = tempfile::tempdir().unwrap();
    create(tmp.path(), |_| true).unwrap();
    {
        let store = Store::open(tmp.path()).unwrap();
        store.db.pragma_update(None, "user_version", 99).unwrap();
        store.db.execute("UPDATE meta SET value = '4.0.0' WHERE key = 'written_by'", []).unwrap();
    }
    let refused = Store::open(tmp.path()).unwrap_err().to_string();
    assert!(refused.contains("needs runbook 4.0.0 or newer"), "{refused}");
}
