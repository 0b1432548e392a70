//! An evening that is played without any host: on the real engine, on a clock of its own, and it counts for nothing.

use std::net::TcpListener;
use std::path::Path;

use jiff::SignedDuration;
use runbook::engine::fact::{Fact, RunEnd, Stage};
use runbook::journal::RunRow;
use rustix::process::Signal;

use crate::exec::{Bed, NIGHT, Said, eventually, is_engine, signal};
use crate::terminal::Terminal;
use crate::waves::WEEK;

/// Everything that a host can go through on its way.
const FLEET: &str = "runbook: 1
name: A fleet
timezone: UTC
window: {opens: \"2040-12-01 18:00\", closes: \"23:00\", reserve: 10m}
hosts: {web: [web1, web2], lb: [lb1]}
steps:
  update:
    hosts: web
    at_once: 1
    drain: {run: lb out $HOST, hosts: lb1, until: idle, timeout: 5m}
    run: update
    reboot: 5m
    verify: answers
    undrain: {run: lb in $HOST, hosts: lb1}
    estimate: 20m
    rollback: {run: downdate, estimate: 5m}
  check: {hosts: web, test: answers, estimate: 1m}
";

fn rehearse(bed: &Bed, more: &[&str]) -> Said {
    let plan = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans/2007-12-02.yaml");
    bed.run(&[&["exec", plan.to_str().unwrap(), "--rehearse", "--speed", "6000"], more].concat())
}

/// What was said, without what a watcher says by the clock of this world, and where the plan lies.
fn played(said: &Said) -> String {
    let left_out = [" .... ", env!("CARGO_MANIFEST_DIR")];
    let lines = said.stderr.lines().filter(|line| !left_out.iter().any(|part| line.contains(part)));
    let text: String = lines.map(|line| format!("{line}\n")).collect();
    let digest = text.split_once("digest ").map(|(_, rest)| &rest[..9]).unwrap_or_default();
    text.replace(digest, "7c1f-9a3e")
}

#[test]
fn an_evening_is_rehearsed_to_the_second_however_fast_it_passes() {
    let bed = Bed::new(NIGHT);
    let said = rehearse(&bed, &[]);
    assert_eq!(said.code, 0, "{said:?}");
    insta::assert_snapshot!(played(&said), @r#"
    Call-centre release 2.4   digest 7c1f-9a3e
      rehearsal   no host is touched; it is Sun 2 Dec 2007, 01:30, and the clock runs 6000 times as fast
      note  nobody can be asked here, so gates approve themselves when their estimates are over
    Up to 11 steps on 5 hosts. Rollback is automatic.
    runbook 0.1.0  run 2007-12-02-a  plan digest 7c1f-9a3e  window 01:30-07:00 America/Toronto
    01:30:00 open   room 5h15m  roll back by 06:45
    01:30:00 GATE   bridge  question: Is everybody on the bridge, and ready?  for Sarah, Dev  answer by 06:45
    01:35:00 DONE   bridge  5m  by runbook
    01:35:00 RUN    stop-frontend  fe1 fe2
    01:35:00 RUN    stop-backend  be1 be2
    01:40:00 DONE   stop-backend  5m  be1 be2
    01:40:00 RUN    deploy-backend  be1 be2
    01:40:00 DONE   stop-frontend  5m  fe1 fe2
    01:40:00 RUN    backup-db  db1
    01:55:00 DONE   backup-db  15m  db1  verify ok
    01:55:00 RUN    db-scripts  db1
    02:00:00 DONE   deploy-backend  20m  be1 be2  verify ok
    02:25:00 DONE   db-scripts  30m  db1
    02:25:00 RUN    sanity-backend  be1 be2
    02:45:00 DONE   sanity-backend  20m  be1 be2
    02:45:00 RUN    deploy-frontend  fe1 fe2
    03:05:00 DONE   deploy-frontend  20m  fe1 fe2  verify ok
    03:05:00 RUN    sanity-frontend  fe1 fe2
    03:05:00 GATE   sanity-frontend  question: Does the sanity test pass?  for Sarah  answer by 05:50
    03:30:00 DONE   sanity-frontend  25m  by runbook
    03:30:00 GATE   landing-test  question: Does the client accept the release?  for Ms. Hu  answer by 05:50
    04:50:00 ROOM   1h - at 05:50 the rollback starts by itself
    05:20:00 ROOM   30m - at 05:50 the rollback starts by itself
    05:30:00 DONE   landing-test  2h  by runbook
    05:30:00 NOTE   no way back from here: landing-test is approved
    05:30:00 RUN    announce  here
    05:32:00 DONE   announce  2m  here
    05:32:00 DONE   every step in 4h02m
      SUCCESS       Call-centre release 2.4 (rehearsal, 6000 times as fast)   done 05:32, 1h28m before the window closes
      plan          finish 05:32, as planned
      next          runbook logs --run 2007-12-02-a
    "#);
}

#[test]
fn a_rehearsed_failure_is_rolled_back() {
    let bed = Bed::new(NIGHT);
    let said = rehearse(&bed, &["--fail", "sanity-backend@be2"]);
    assert_eq!(said.code, 10, "{said:?}");
    insta::assert_snapshot!(played(&said), @r#"
    Call-centre release 2.4   digest 7c1f-9a3e
      rehearsal   no host is touched; it is Sun 2 Dec 2007, 01:30, and the clock runs 6000 times as fast
      note  sanity-backend@be2 fails on purpose (--fail); the digest is that of the plan as written
      note  nobody can be asked here, so gates approve themselves when their estimates are over
    Up to 11 steps on 5 hosts. Rollback is automatic.
    runbook 0.1.0  run 2007-12-02-a  plan digest 7c1f-9a3e  window 01:30-07:00 America/Toronto
    01:30:00 open   room 5h15m  roll back by 06:45
    01:30:00 GATE   bridge  question: Is everybody on the bridge, and ready?  for Sarah, Dev  answer by 06:45
    01:35:00 DONE   bridge  5m  by runbook
    01:35:00 RUN    stop-frontend  fe1 fe2
    01:35:00 RUN    stop-backend  be1 be2
    01:40:00 DONE   stop-backend  5m  be1 be2
    01:40:00 RUN    deploy-backend  be1 be2
    01:40:00 DONE   stop-frontend  5m  fe1 fe2
    01:40:00 RUN    backup-db  db1
    01:55:00 DONE   backup-db  15m  db1  verify ok
    01:55:00 RUN    db-scripts  db1
    02:00:00 DONE   deploy-backend  20m  be1 be2  verify ok
    02:25:00 DONE   db-scripts  30m  db1
    02:25:00 RUN    sanity-backend  be1 be2
    02:45:00 FAIL   sanity-backend  be2, try 1 of 3, exit 1 after 20m; again at 02:45:30
    02:50:01 LATE   sanity-backend  be2 over 20m-25m, slack 14m left
    03:05:30 FAIL   sanity-backend  be2, try 2 of 3, exit 1 after 20m; again at 03:06:00
    03:26:00 FAIL   sanity-backend  be2, try 3 of 3, exit 1 after 20m
      FAILED  sanity-backend on be2 (1 of 2 hosts; be1 passed)
        command  sanity --backend        test, so a failure rolls back
        exit     1 after 20m     log  runbook logs sanity-backend be2
    03:26:00 ROLLBACK begins: sanity-backend on be2 failed
    03:26:00 UNDO   deploy-backend  be1 be2
    03:26:00 UNDO   db-scripts  db1
    03:41:00 UNDONE deploy-backend  15m  be1 be2
    03:56:00 UNDONE db-scripts  30m  db1
    03:56:00 UNDO   stop-frontend  fe1 fe2
    03:56:00 UNDO   stop-backend  be1 be2
    04:01:00 UNDONE stop-backend  5m  be1 be2
    04:01:00 UNDONE stop-frontend  5m  fe1 fe2
    04:01:00 TEST   old version  fe1 fe2
    04:11:00 DONE   old version  10m  fe1 fe2
    04:11:00 DONE   rolled back in 45m (estimate 45m). The old version answers, its test passed
      ROLLED BACK   Call-centre release 2.4 (rehearsal, 6000 times as fast)      up again 04:11, 2h49m before the window closes
      cause         sanity-backend on be2 failed
      verified      the test of the old version passed
      still there   whatever backup-db made (it has no rollback)
      next          runbook logs --failed --run 2007-12-02-a
    "#);
}

/// A step that takes an hour, a gate of two, and a host that would answer.
const LONG: &str = "runbook: 1
name: A long night
timezone: UTC
window: {opens: \"2040-12-01 18:00\", closes: \"23:00\", reserve: 10m}
hosts:
  web: [{web1: {address: 127.0.0.1, port: PORT}}]
vars: {PASSWORD: {secret: {env: NOBODY_HAS_SET_THIS}}}
steps:
  long: {hosts: web, run: touch DIR/touched, estimate: 1h, on_stop: kill, rollback: {run: touch DIR/touched, estimate: 10m}}
  ask: {gate: Is all well?, estimate: 2h, quorum: 2}
  last: {hosts: local, run: touch DIR/touched, estimate: 1m, rollback: {run: touch DIR/touched, estimate: 1m}}
";

/// The long night, and a host of it on which anybody who calls is heard.
struct Evening {
    bed: Bed,
    host: TcpListener,
}

impl Evening {
    fn new() -> Self {
        let host = TcpListener::bind("127.0.0.1:0").unwrap();
        host.set_nonblocking(true).unwrap();
        let port = host.local_addr().unwrap().port().to_string();
        Self { bed: Bed::new(&LONG.replace("PORT", &port)), host }
    }

    fn rehearse(&self, speed: &str, more: &[&str]) -> Said {
        self.bed.run(&[&["exec", "night.yaml", "--rehearse", "--speed", speed], more].concat())
    }

    /// One that goes on by itself, with its first step under way.
    fn under_way(&self, speed: &str) -> RunRow {
        assert_eq!(self.rehearse(speed, &["--detach"]).code, 30);
        self.until("long is under way", |fact| matches!(fact, Fact::AttemptLaunched { .. }));
        self.bed.store().run("night-a").unwrap()
    }

    fn until(&self, what: &str, is: impl Fn(&Fact) -> bool) {
        eventually(what, || self.bed.facts("night-a").iter().any(&is));
    }

    /// What was recorded, by the clock of the evening.
    fn times(&self, is: impl Fn(&Fact) -> bool) -> Vec<String> {
        let records = self.bed.store().facts("night-a", 0).unwrap();
        let times = records.iter().filter(|record| is(&record.fact));
        times.map(|record| record.at.strftime("%H:%M:%S").to_string()).collect()
    }

    /// Who answered the gate.
    fn answers(&self) -> Vec<String> {
        let by = |fact: Fact| match fact {
            Fact::GateAnswered { by, .. } => Some(by.name),
            _ => None,
        };
        self.bed.facts("night-a").into_iter().filter_map(by).collect()
    }

    #[track_caller]
    fn nothing_was_touched(&self) {
        assert!(!self.bed.path("touched").exists(), "a command was executed");
        assert!(self.host.accept().is_err(), "a host was called");
    }
}

fn ended(fact: &Fact) -> bool {
    matches!(fact, Fact::AttemptEnded { .. } | Fact::RunEnded { .. })
}

#[test]
fn nothing_is_touched_and_no_secret_is_missed() {
    let evening = Evening::new();
    let said = evening.rehearse("100000", &[]);
    assert_eq!(said.code, 0, "{said:?}");
    for words in [
        "it is Sat 1 Dec 2040, 18:00",
        "no secret is read; the night needs $NOBODY_HAS_SET_THIS",
        "gates approve themselves when their estimates are over",
    ] {
        assert!(said.stderr.contains(words), "{words}: {said:?}");
    }
    assert_eq!(evening.times(ended), ["19:00:00", "21:01:00", "21:01:00"]);
    assert_eq!(evening.answers(), ["runbook", "runbook 2"]);
    evening.nothing_was_touched();
}

#[test]
fn a_rehearsal_is_marked_as_one_and_counts_for_nothing() {
    let evening = Evening::new();
    let bed = &evening.bed;
    assert_eq!(evening.rehearse("100000", &[]).code, 0);
    let run = bed.store().run("latest").unwrap();
    assert_eq!(run.stage, Stage::Rehearsal);
    let today = |at: jiff::Timestamp| runbook::driver::clock::now().duration_since(at).as_secs() < 600;
    assert!(today(run.created) && run.closed.is_some_and(today), "{run:?}");
    assert!(bed.run(&["runs"]).stdout.contains("(rehearsal)"));
    assert!(bed.run(&["runs", "--json"]).stdout.contains(r#""rehearsal":true"#));
    assert!(bed.run(&["report"]).stdout.contains("(rehearsal, 100000 times as fast)"));

    assert!(bed.store().not_in_history(None).unwrap().is_empty(), "its durations are nobody's");
    let advice = bed.run(&["advise", "night.yaml"]);
    assert!(advice.code == 0 && !advice.stdout.contains("night-a"), "{advice:?}");
    bed.plan("next", "runbook: 1\nafter: night\nsteps:\n  use: {hosts: local, run: \"true\", read_only: true}\n");
    let next = |more: &[&str]| bed.run(&[&["exec", "next.yaml", "--confirm", "next"], more].concat());
    next(&[]).refused(3, &["next comes after night, which has not been executed in this store"]);
    assert_eq!(next(&["--rehearse"]).code, 0, "among rehearsals it counts");
}

#[test]
fn a_plan_that_was_called_off_can_be_rehearsed_and_stays_called_off() {
    let bed = Bed::new(NIGHT);
    assert_eq!(bed.run(&["no-go", "night.yaml", "-m", "not yet"]).code, 0);
    bed.exec(&[]).refused(3, &["not yet"]);
    assert_eq!(bed.run(&["exec", "night.yaml", "--rehearse"]).code, 0);
    bed.exec(&[]).refused(3, &["not yet"]);
}

#[test]
fn waves_are_rehearsed_one_after_the_other_and_stay_to_be_done() {
    let bed = Bed::new(WEEK);
    let rehearse = || bed.run(&["exec", "night.yaml", "--rehearse", "--speed", "100000"]);
    for (wave, at) in [
        ("few, 1 of 2", "Sat 1 Dec 2040, 17:00"),
        ("rest, 2 of 2", "Sun 2 Dec 2040, 17:00"),
        ("few, 1 of 2", "Sat 1 Dec 2040, 17:00"),
    ] {
        let said = rehearse();
        assert_eq!(said.code, 0, "{said:?}");
        assert!(said.stderr.contains(&format!("wave  {wave}")) && said.stderr.contains(at), "{wave}: {said:?}");
    }
    let real = bed.run(&["exec", "night.yaml", "--no-input", "--confirm", "night"]);
    real.refused(3, &["Sat 1 Dec 2040, 17:00"]);
}

#[test]
fn drains_restarts_and_proofs_are_within_the_estimate() {
    let bed = Bed::new(FLEET);
    let said = bed.run(&["exec", "night.yaml", "--rehearse", "--speed", "100000", "--fail", "check"]);
    assert_eq!(said.code, 10, "{said:?}");
    insta::assert_snapshot!(played(&said), @r#"
    A fleet   digest 7c1f-9a3e
      rehearsal   no host is touched; it is Sat 1 Dec 2040, 18:00, and the clock runs 100000 times as fast
      note  check fails on purpose (--fail); the digest is that of the plan as written
      note  nobody can be asked here, so gates approve themselves when their estimates are over
    Up to 2 steps on 3 hosts. Rollback is automatic.
    runbook 0.1.0  run night-a  plan digest 7c1f-9a3e  window 18:00-23:00 UTC
    18:00:00 open   room 4h50m  roll back by 22:50
    18:00:00 RUN    update  web1 of 2
    18:40:00 DONE   update  40m  web1 web2  verify ok
    18:40:00 RUN    check  web1 web2
    18:41:00 FAIL   check  web1, exit 1 after 1m
      FAILED  check on web1 (2 of 2 hosts)
        command  answers        test, so a failure rolls back
        exit     1 after 1m      log  runbook logs check web1
    18:41:00 ROLLBACK begins: check on web1 failed
    18:41:00 FAIL   check  web2, exit 1 after 1m
      FAILED  check on web2 (2 of 2 hosts)
        command  answers
        exit     1 after 1m      log  runbook logs check web2
    18:41:00 UNDO   update  web1
    18:51:00 UNDONE update  10m  web1 web2
    18:51:00 DONE   rolled back in 10m (estimate 10m)
      ROLLED BACK   A fleet (rehearsal, 100000 times as fast)      up again 18:51, 4h09m before the window closes
      cause         check on web1 failed
      not verified  the plan has no `after_rollback` test
      next          runbook logs --failed --run night-a
                    runbook exec night.yaml --rehearse --speed 100000     plays it again
    "#);
}

#[test]
fn a_gate_is_answered_from_another_terminal() {
    let evening = Evening::new();
    evening.under_way("1200");
    evening.until("the gate is open", |fact| matches!(fact, Fact::GateOpened { .. }));
    for who in ["Dev", "Ann"] {
        let approved = evening.bed.run(&["approve", "ask", "--by", who]);
        assert_eq!(approved.code, 0, "{approved:?}");
    }
    assert_eq!(evening.bed.ended("night-a"), RunEnd::Succeeded { late: false });
    assert_eq!(evening.answers(), ["Dev", "Ann"]);
    let records = evening.bed.store().facts("night-a", 0).unwrap();
    let last = |is: fn(&Fact) -> bool| records.iter().rfind(|record| is(&record.fact)).unwrap().at;
    let took = last(|f| matches!(f, Fact::AttemptEnded { .. })) - last(|f| matches!(f, Fact::AttemptArmed { .. }));
    assert_eq!(took.total(jiff::Unit::Second).unwrap(), 60.0, "whenever people answer, a step takes what it takes");
}

#[test]
fn a_rollback_is_asked_for_from_another_terminal() {
    let evening = Evening::new();
    evening.under_way("60");
    evening.rehearse("60", &[]).refused(3, &["this plan is running already"]);
    let night = evening.bed.run(&["exec", "night.yaml", "--no-input", "--confirm", "night"]);
    night.refused(3, &["the window opens in"]);
    let back = evening.bed.run(&["rollback", "--run", "night-a", "--confirm", "night"]);
    assert_eq!(back.code, 0, "{back:?}");
    assert_eq!(evening.bed.ended("night-a"), RunEnd::RolledBack { verified: None, late: false });
    let seen = evening.bed.run(&["attach"]).stderr;
    assert!(seen.contains("UNDONE long  10m"), "{seen}");
    evening.nothing_was_touched();
}

#[test]
fn a_rehearsal_is_held_and_goes_on() {
    let evening = Evening::new();
    evening.under_way("3600");
    let bed = &evening.bed;
    assert_eq!(bed.run(&["pause"]).code, 0);
    evening.until("long has ended", ended);
    assert_eq!(evening.times(ended), ["19:00:00"], "what runs goes on");
    assert_eq!(bed.run(&["continue"]).code, 0);
    assert_eq!(bed.ended("night-a"), RunEnd::Succeeded { late: false });
}

#[test]
fn a_failure_is_answered_by_hand_as_in_the_night() {
    let evening = Evening::new();
    let bed = &evening.bed;
    let mut terminal = Terminal::of(bed, &["exec", "night.yaml", "--rehearse", "--speed", "3600", "--fail", "long"]);
    terminal.shows("retry");
    let held = |f: &Fact| matches!(f, Fact::HoldOpened { .. });
    assert_eq!(evening.times(held), ["19:00:00"]);
    assert_eq!(bed.run(&["retry", "long"]).code, 0);
    eventually("it fails again", || evening.times(held).len() == 2);
    let began = |f: &Fact| matches!(f, Fact::AttemptArmed { .. });
    let hour = |times: Vec<String>| times[1].split(':').next().unwrap().parse::<u32>().unwrap();
    assert_eq!(hour(evening.times(ended)), hour(evening.times(began)) + 1, "it takes its hour again");
    assert_eq!(bed.run(&["skip", "long", "-m", "known"]).code, 0);
    evening.until("the gate is open", |fact| matches!(fact, Fact::GateOpened { .. }));
    assert_eq!(bed.run(&["reject", "ask", "--by", "Ann", "-m", "not well"]).code, 0);
    assert!(matches!(bed.ended("night-a"), RunEnd::RolledBack { late: false, .. }));
    assert_eq!(evening.answers(), ["Ann"]);
    terminal.ends();
    evening.nothing_was_touched();
}

#[test]
fn a_step_is_tried_again_on_the_hosts_of_a_pattern() {
    let bed = Bed::new(
        "runbook: 1
name: Some of many
hosts: {web: [web1, web2, web3], db: [db1]}
steps:
  work: {hosts: [web, db], run: work, estimate: 1h, rollback: {run: back, estimate: 10m}}
",
    );
    let mut terminal = Terminal::of(&bed, &["exec", "night.yaml", "--rehearse", "--speed", "3600", "--fail", "work"]);
    let failed = || bed.facts("night-a").iter().filter(|f| matches!(f, Fact::ActionFailed { .. })).count();
    eventually("it has failed everywhere", || bed.runs() == 1 && failed() == 4);
    let retry = |hosts: &str| bed.run(&["retry", "work", "--hosts", hosts]);
    retry("web*,!wbe2").refused(2, &["no host or group of the plan matches `wbe2`"]);
    retry("").refused(2, &["the pattern of hosts is empty"]);
    let said = retry("web*,!web2");
    assert_eq!(said.code, 0, "{said:?}");
    eventually("it has failed again", || failed() == 6);
    let again = |fact: Fact| match fact {
        Fact::AttemptArmed { attempt } if attempt.number == 2 => attempt.action.host().map(str::to_owned),
        _ => None,
    };
    assert_eq!(bed.facts("night-a").into_iter().filter_map(again).collect::<Vec<_>>(), ["web1", "web3"]);
    assert_eq!(bed.run(&["rollback", "--confirm", "night"]).code, 0);
    terminal.ends();
}

/// An hour comes twice in that night.
#[test]
fn a_night_of_a_clock_change_is_rehearsed_by_the_calendar() {
    let bed = Bed::new(
        "runbook: 1
name: The longest night
timezone: Europe/Berlin
window: {opens: \"2030-10-27 01:00\", closes: \"07:00\"}
hosts: {web: [web1]}
steps:
  work: {hosts: web, run: work, estimate: 1h30m, rollback: {run: back, estimate: 10m}}
  morning: {wait: {at: \"05:00\"}, estimate: 4h}
  test: {hosts: web, test: works, estimate: 10m}
",
    );
    let said = bed.run(&["exec", "night.yaml", "--rehearse", "--speed", "100000"]);
    assert_eq!(said.code, 0, "{said:?}");
    let records = bed.store().facts("night-a", 0).unwrap();
    let at = |is: &dyn Fn(&Fact) -> bool| {
        records.iter().find(|record| is(&record.fact)).map(|record| record.at.strftime("%H:%M").to_string())
    };
    assert_eq!(at(&|f| matches!(f, Fact::WindowOpened)).as_deref(), Some("23:00"));
    assert_eq!(at(&|f| matches!(f, Fact::WaitStarted { .. })).as_deref(), Some("00:30"), "02:30 for the first time");
    assert_eq!(at(&|f| matches!(f, Fact::WaitEnded { .. })).as_deref(), Some("04:00"));
    assert!(said.stderr.contains("05:10:00 DONE   every step in 5h10m"), "{}", said.stderr);
}

/// The hosts of a rehearsal go on when its engine dies, as hosts do.
#[test]
fn a_killed_engine_is_taken_over_and_what_ended_meanwhile_is_found() {
    let evening = Evening::new();
    let bed = &evening.bed;
    let lease = evening.under_way("1200").lease.unwrap();
    signal(lease.pid, Signal::KILL);
    eventually("it is gone", || !is_engine(lease.pid));
    let pace = match &bed.facts("night-a")[0] {
        Fact::RunStarted(started) => started.options.rehearsal.unwrap(),
        other => panic!("{other:?}"),
    };
    let end = pace.showed + SignedDuration::from_mins(61);
    eventually("the hour is over", || pace.at(runbook::driver::clock::now()) > end);
    let back = bed.run(&["resume", "--confirm", "night"]);
    assert_eq!(back.code, 0, "{back:?}");
    for words in ["the evening went on meanwhile", "web1  finished 19:00:00, exit 0", "DONE   long  1h"] {
        assert!(back.stderr.contains(words), "{words}: {back:?}");
    }
    evening.nothing_was_touched();
}

#[test]
fn old_rehearsals_are_pruned_and_do_not_push_nights_out() {
    let bed = Bed::new(NIGHT);
    assert_eq!(bed.exec(&[]).code, 0);
    for _ in 0..2 {
        assert_eq!(bed.run(&["exec", "night.yaml", "--rehearse", "--speed", "100000"]).code, 0);
    }
    let pruned = bed.run(&["runs", "--prune", "--older", "0s", "--keep", "1"]).stdout;
    assert!(pruned.starts_with("night-b  pruned: ") && pruned.lines().count() == 1, "{pruned}");
}

#[test]
fn a_rehearsal_that_is_over_can_be_rolled_back_like_a_night() {
    let bed = Bed::new(NIGHT);
    assert_eq!(bed.run(&["exec", "night.yaml", "--rehearse", "--speed", "100000"]).code, 0);
    let back = bed.run(&["rollback", "--run", "latest", "--confirm", "night"]);
    assert!(back.stderr.contains("ROLLED BACK"), "{back:?}");
    assert!(bed.effects().is_empty());
}

#[test]
fn who_cannot_fail_in_a_rehearsal_is_said_before_it() {
    let bed = Bed::new(NIGHT);
    rehearse(&bed, &["--fail", "sanity-backnd"]).refused(2, &["did you mean `sanity-backend`"]);
    rehearse(&bed, &["--lab"]).refused(2, &["cannot be used with"]);
    assert_eq!(bed.runs(), 0);
}
