//! Runs that outlive their engine: killed at any moment, taken over by somebody else, stopped and continued too late.

use std::time::Instant;

use super::exec::{Bed, NIGHT, Said, eventually, is_engine, signal};
use runbook::engine::fact::{Fact, RunEnd};
use runbook::journal::RunRow;
use rustix::process::Signal;

impl Bed {
    /// A run whose step `two` goes on by itself, because its engine was killed.
    fn orphaned(&self) -> RunRow {
        let run = self.held();
        signal(run.lease.as_ref().unwrap().pid, Signal::KILL);
        self.engine_is_gone(&run);
        run
    }

    pub fn engine_is_gone(&self, run: &RunRow) {
        let pid = run.lease.as_ref().unwrap().pid;
        // The last of a killed process is its socket.
        let socket = run.lease.as_ref().unwrap().socket.clone().unwrap();
        let listens = || std::os::unix::net::UnixStream::connect(&socket).is_ok();
        eventually("the engine is gone", || !is_engine(pid) && !listens());
    }

    fn resume(&self, more: &[&str]) -> Said {
        self.run(&[&["resume", "--confirm", "night"], more].concat())
    }

    fn as_marie(&self, args: &[&str]) -> Said {
        Said::of(self.command(args).env("RUNBOOK_USER", "Marie").output().unwrap())
    }
}

#[test]
fn a_dead_run_is_taken_over_and_what_ran_on_is_followed() {
    let bed = Bed::new(NIGHT);
    bed.orphaned();
    let status = bed.run(&["status"]).stdout;
    assert!(status.contains("NO ENGINE") && status.contains("runbook resume night-a"), "{status}");
    bed.exec(&[]).refused(3, &["run night-a of this plan", "NO ENGINE", "runbook resume night-a"]);
    let took_over =
        || bed.facts("night-a").iter().any(|f| matches!(f, Fact::Resumed { by, epoch: 2 } if by.name == "Marie"));
    let began = Instant::now();
    let said = bed.as_marie(&["resume", "--confirm", "night", "--detach"]);
    assert_eq!(said.code, 30, "{said:?}");
    eventually("Marie has it", took_over);
    assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
    for words in ["held by   Sarah on", "its process is gone", "asking the hosts what happened to two", "-> FOLLOWED"] {
        assert!(said.stderr.contains(words), "{words}: {}", said.stderr);
    }
    bed.let_go();
    assert_eq!(bed.ended("night-a"), RunEnd::Succeeded { late: false });
    assert_eq!(bed.effects(), ["one", "two"]);
    bed.resume(&["night-a"]).refused(3, &["run night-a is over: done"]);
}

/// September 2007, an hour in a few seconds: the power goes while the back-end is deployed, somebody at home goes on, the
/// web does not find the back-end, the client grants an hour, and joining the database again takes longer than planned.
const SEPTEMBER: &str = r#"runbook: 1
name: Database split, September 2007
window: {lasts: 20s, reserve: 0s, max_extension: 10s}
hosts: {web: [web1], backend: [app1], db: [db1]}
defaults: {estimate: 1s}
steps:
  split-db:
    hosts: db
    run: echo split-db >> DIR/effects
    rollback: {run: 'while [ ! -e DIR/joined ]; do sleep 0.05; done; echo join-db >> DIR/effects', estimate: 1s, timeout: 2m}
  deploy-backend:
    hosts: backend
    run: while [ -e DIR/held ]; do sleep 0.05; done; echo deploy-backend >> DIR/effects
    timeout: 15s
    rollback: {run: echo old-backend >> DIR/effects, estimate: 1s}
  deploy-web:
    hosts: web
    run: echo deploy-web >> DIR/effects
    rollback: {run: echo old-web >> DIR/effects, estimate: 1s}
  sanity-web:
    hosts: web
    test: until [ -e DIR/connected ]; do sleep 0.1; done
    timeout: 17s
    on_stop: kill
"#;

#[test]
fn the_september_night_is_taken_over_after_the_power_cut_extended_and_rolled_back_late() {
    let bed = Bed::new(SEPTEMBER);
    std::fs::write(bed.path("held"), "").unwrap();
    let said = bed.exec(&["--lab", "--detach"]);
    assert_eq!(said.code, 30, "{said:?}");
    let runs = |f: &Fact| matches!(f, Fact::AttemptLaunched { attempt } if attempt.action.step() == "deploy-backend");
    eventually("the back-end is being deployed", || bed.facts("night-a").iter().any(runs));
    let run = bed.store().run("night-a").unwrap();
    signal(run.lease.as_ref().unwrap().pid, Signal::KILL);
    bed.engine_is_gone(&run);
    assert!(bed.run(&["status"]).stdout.contains("NO ENGINE"));
    bed.let_go();
    eventually("the back-end is deployed without anybody", || bed.effects().len() == 2);
    let said = bed.as_marie(&["resume", "--confirm", "night", "--detach"]);
    assert_eq!(said.code, 30, "{said:?}");
    assert!(said.stderr.contains("(ran on by itself)") && said.stderr.contains("-> DONE"), "{}", said.stderr);
    let looks = |f: &Fact| matches!(f, Fact::AttemptLaunched { attempt } if attempt.action.step() == "sanity-web");
    eventually("somebody looks for the cause", || bed.facts("night-a").iter().any(looks));
    let granted = ["extend", "5s", "--granted-by", "Ms. Hu", "-m", "no connection", "--confirm", "night"];
    assert_eq!(bed.as_marie(&granted).code, 0);
    assert_eq!(bed.as_marie(&["note", "out of ideas; a further hour was offered and declined"]).code, 0);
    let decided = bed.as_marie(&["rollback", "--confirm", "night", "-m", "a backout takes an hour"]);
    assert_eq!(decided.code, 0, "{decided:?}");
    let closes = bed.facts("night-a").iter().find_map(|f| match f {
        Fact::WindowExtended { closes, .. } => Some(*closes),
        _ => None,
    });
    let attach = bed.spawn(&["attach"]);
    eventually("the window has closed", || closes.is_some_and(|at| at < runbook::driver::clock::now()));
    std::fs::write(bed.path("joined"), "").unwrap();
    let said = Said::of(attach.wait_with_output().unwrap());
    assert_eq!(said.code, 11, "{said:?}");
    assert_eq!(bed.ended("night-a"), RunEnd::RolledBack { verified: None, late: true });
    assert_eq!(bed.effects(), ["split-db", "deploy-backend", "deploy-web", "old-web", "old-backend", "join-db"]);
    let told = ["Marie took over", "Ms. Hu", "out of ideas", "ROLLBACK begins", "ROLLED BACK"];
    let missing: Vec<_> = told.iter().filter(|words| !said.stderr.contains(**words)).collect();
    assert!(missing.is_empty(), "{missing:?} in:\n{}", said.stderr);
}

#[test]
fn an_open_run_goes_on_by_an_amended_plan() {
    let bed = Bed::new(&NIGHT.replace("test: test ! -e DIR/bad", "test: test -e DIR/nosuch"));
    bed.held();
    let plan = std::fs::read_to_string(bed.path("night.yaml")).unwrap();
    bed.run(&["amend"]).refused(2, &["--message"]);
    let amend = ["amend", "-m", "it looked for the wrong file", "--confirm", "night"];
    bed.run(&amend).refused(3, &["means what run night-a goes by already"]);
    bed.plan("night", &plan.replace("echo one", "echo uno"));
    bed.run(&amend).refused(3, &["~ step one: run", "this may not change any more", "`one` is done or under way"]);
    bed.plan("night", &plan.replace("    run:", "    rum:"));
    bed.run(&amend).refused(2, &["did you mean `run`?"]);
    bed.plan("night", &plan.replace("/nosuch", "/effects").replace("echo undo-one", "echo unmade-one"));
    let said = bed.run(&amend);
    assert_eq!((said.code, said.stdout.as_str()), (0, "run night-a goes by the amended plan\n"), "{said:?}");
    assert!(said.stderr.contains("~ step check: test"), "{said:?}");
    // The next owner goes by it too, and finds the file unchanged.
    let run = bed.store().run("night-a").unwrap();
    signal(run.lease.as_ref().unwrap().pid, Signal::KILL);
    bed.engine_is_gone(&run);
    let said = bed.resume(&["--detach"]);
    assert_eq!(said.code, 30, "{said:?}");
    bed.let_go();
    assert_eq!(bed.ended("night-a"), RunEnd::Succeeded { late: false });
    assert_eq!(bed.run(&["rollback", "--run", "night-a", "--confirm", "night"]).code, 10);
    assert_eq!(bed.effects(), ["one", "two", "undo-two", "unmade-one"]);
    let report = bed.run(&["report", "night-a"]).stdout;
    assert!(report.contains("The plan was amended: it looked for the wrong file."), "{report}");
}

/// The host was restarted, say: the attempt is dead and left no exit code. What can be done is said with the table.
#[test]
fn what_a_host_cannot_tell_is_asked_with_the_ways_to_find_out() {
    let bed = Bed::new(NIGHT);
    bed.orphaned();
    let records = bed.path(".runbook/runs");
    let run = std::fs::read_dir(&records).unwrap().next().unwrap().unwrap().path();
    let record = run.join("two@local.do.1");
    let pid = std::fs::read_to_string(record.join("pid")).unwrap();
    let words: Vec<&str> = pid.split(' ').collect();
    std::fs::write(record.join("pid"), format!("{} {} another-boot {} end\n", words[0], words[1], words[3])).unwrap();
    let said = bed.resume(&["--detach"]);
    for line in [
        "IN DOUBT",
        "two may be half done here",
        "runbook mark two done",
        "runbook mark two failed",
        "runbook retry two",
    ] {
        assert!(said.stderr.contains(line), "{line}: {said:?}");
    }
    bed.let_go();
    assert!(matches!(bed.ended("night-a"), RunEnd::RolledBack { .. }), "with nobody to ask, it rolls back");
}
