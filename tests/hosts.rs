//! What a run leaves on its hosts, through the binary and real sshds: locks, records, and the run itself when its journal
//! is gone.

use std::fs;

use rustix::process::Signal;

use super::exec::{Bed, Said, eventually, is_engine, signal};
use super::harness::farm::Farm;
use runbook::engine::fact::{Fact, RunEnd};
use runbook::graph::ids::Direction;
use runbook::graph::outcome::Outcome;

/// A step on each of two hosts; the second waits while `held` is there.
const PLAN: &str = "runbook: 1
name: A night on hosts
hosts: {web: [h1, h2]}
steps:
  one:
    hosts: web
    run: echo one >> DIR/effects
    estimate: 1m
    rollback: echo undo-one >> DIR/effects
  two:
    hosts: h1
    run: |
      while [ -e DIR/held ]; do sleep 0.02; done
      echo two >> DIR/effects
    estimate: 1m
    rollback: echo undo-two >> DIR/effects
";

struct Night {
    bed: Bed,
    farm: Farm,
}

impl Night {
    fn new(plan: &str) -> Self {
        let bed = Bed::new(plan);
        let farm = Farm::start(bed.dir.path(), 2);
        Self { bed, farm }
    }

    fn run(&self, args: &[&str]) -> Said {
        self.bed.run(args)
    }

    /// A run whose engine died while its step `two` was at work.
    fn orphaned() -> Self {
        let night = Self::new(PLAN);
        fs::write(night.bed.path("held"), "").unwrap();
        night.begin();
        night.die_when(
            "step two runs",
            |f| matches!(f, Fact::AttemptLaunched { attempt } if attempt.action.step() == "two"),
        );
        night
    }

    fn begin(&self) {
        let said = self.run(&["exec", "night.yaml", "--confirm", "night", "--detach"]);
        assert_eq!(said.code, 30, "{said:?}");
    }

    /// The engine dies, and does not come back.
    fn die_when(&self, what: &str, happened: fn(&Fact) -> bool) {
        eventually(what, || self.bed.facts("night-a").iter().any(happened));
        let pid = self.bed.store().run("night-a").unwrap().lease.unwrap().pid;
        signal(pid, Signal::KILL);
        eventually("the engine is dead", || !is_engine(pid));
    }

    fn lose_the_journal(&self) {
        fs::rename(self.bed.path("store"), self.bed.path("lost")).unwrap();
    }

    fn recover(&self) -> Said {
        self.run(&["recover", "night.yaml", "--confirm", "night"])
    }

    fn resume(&self) {
        let said = self.run(&["resume", "--confirm", "night", "--detach"]);
        assert_eq!(said.code, 30, "{said:?}");
    }
}

#[test]
fn a_lock_is_taken_away_only_from_a_run_that_is_over() {
    let night = Night::orphaned();
    let shown = night.run(&["unlock", "night.yaml"]);
    assert_eq!(shown.code, 0, "{shown:?}");
    for words in ["run night-a of Sarah", "AT WORK: two@h1.do.1 (pid ", "h2    run night-a"] {
        assert!(shown.stdout.contains(words), "{words}: {}", shown.stdout);
    }
    let away = ["unlock", "night.yaml", "--run", "night-a", "-m", "it is over"];
    night.run(&away).refused(3, &["run night-a is not over", "runbook resume night-a"]);

    // Its store is gone: nobody can resume it any more.
    night.lose_the_journal();
    let exec = ["exec", "night.yaml", "--confirm", "night"];
    night.run(&exec).refused(3, &["is held by another run: night: run night-a of Sarah", "runbook unlock"]);
    night.run(&away).refused(3, &["run night-a is still at work", "h1: two@h1.do.1 (pid "]);
    assert!(night.farm.home(1).join("locks/night").exists());
    fs::remove_file(night.bed.path("held")).unwrap();
    let nothing = || night.run(&["unlock", "night.yaml"]).stdout.contains("h1    run night-a of Sarah");
    eventually("it is not at work any more", || nothing() && night.run(&away).code == 0);
    for host in [1, 2] {
        assert!(!night.farm.home(host).join("locks/night").exists(), "h{host} is free");
    }
    let runs = night.run(&["runs"]);
    assert!(
        runs.stdout.contains("unlocked") && runs.stdout.contains("by Sarah: night on h1, h2: it is over"),
        "{runs:?}"
    );
    assert_eq!(night.run(&exec).code, 0);
    let again = night.run(&away);
    again.refused(3, &["run `night-a` holds none of these hosts"]);
    night.run(&["unlock", "night.yaml", "--host", "h9"]).refused(2, &["touches no host `h9`", "h1, h2"]);
    night.run(&["unlock", "night.yaml", "--run", "night-a"]).refused(2, &["--message"]);
}

#[test]
fn what_runs_left_on_hosts_is_removed_when_they_are_over() {
    let night = Night::new(PLAN);
    for _ in 0..2 {
        assert_eq!(night.run(&["exec", "night.yaml", "--confirm", "night"]).code, 0);
    }
    assert_eq!(night.farm.records(1), ["one@h1.do.1", "one@h1.do.1", "two@h1.do.1", "two@h1.do.1"]);
    let prune = ["runs", "--prune", "--older", "0s", "--keep", "1"];
    let only = night.run(&[&prune[..], &["--dry-run"]].concat());
    assert!(only.stdout.starts_with("night-a  would be pruned: ended "), "{only:?}");
    assert_eq!(night.farm.records(2).len(), 2, "a dry run removes nothing");
    let pruned = night.run(&prune);
    assert!(
        pruned.stdout.starts_with("night-a  pruned: ") && pruned.stdout.contains("records on 2 hosts"),
        "{pruned:?}"
    );
    assert_eq!(night.farm.records(1), ["one@h1.do.1", "two@h1.do.1"]);
    assert!(!night.bed.path("store/runs/night-a").exists() && night.bed.path("store/runs/night-b").exists());
    assert_eq!(night.run(&prune).stdout, "nothing is due: see --older and --keep\n");
    night.run(&["rollback", "--run", "night-a", "--confirm", "night"]).refused(3, &["night-a was pruned"]);
    assert!(night.run(&["report", "night-a"]).stdout.contains("A night on hosts"));
    assert_eq!(night.run(&["rollback", "--run", "night-b", "--confirm", "night"]).code, 10, "it kept what it needs");
}

#[test]
fn records_of_a_run_that_is_not_over_stay() {
    let night = Night::orphaned();
    assert_eq!(
        night.run(&["runs", "--prune", "--older", "0s", "--keep", "0"]).stdout,
        "nothing is due: see --older and --keep\n"
    );
    assert_eq!(night.farm.records(1), ["one@h1.do.1", "two@h1.do.1"]);
    fs::remove_file(night.bed.path("held")).unwrap();
    assert_eq!(night.run(&["resume", "--confirm", "night"]).code, 0);
}

/// By whoever runs the plan next, when they are a month old and newer ones are there.
#[test]
fn old_records_go_when_the_plan_runs_again() {
    let bed = Bed::new(super::exec::NIGHT);
    let exec = || assert_eq!(bed.exec(&[]).code, 0);
    (0..6).for_each(|_| exec());
    let records = || fs::read_dir(bed.path(".runbook/runs")).unwrap().count();
    assert_eq!(records(), 6, "not older than a month");
    let journal = rusqlite::Connection::open(bed.path("store/journal.db")).unwrap();
    journal.execute("UPDATE run SET closed = 0 WHERE id IN ('night-a', 'night-b', 'night-c')", []).unwrap();
    drop(journal);
    exec();
    eventually("two are gone", || records() == 5);
    let runs = bed.run(&["runs"]).stdout;
    for (run, gone) in [("night-a", true), ("night-b", true), ("night-c", false)] {
        assert_eq!(runs.contains(&format!("pruned     {run}  by runbook")), gone, "{run}: {runs}");
    }
}

fn sorted(mut effects: Vec<String>) -> Vec<String> {
    effects.sort();
    effects
}

#[test]
fn a_run_whose_journal_is_gone_goes_on() {
    let night = Night::orphaned();
    night.recover().refused(3, &["run night-a is in this store", "runbook resume night-a"]);
    night.lose_the_journal();
    let said = night.recover();
    assert_eq!(said.code, 0, "{said:?}");
    for words in ["one  done on 2", "two  begun", "go on with it:   runbook resume night-a"] {
        assert!(said.stdout.contains(words), "{words}: {said:?}");
    }
    night.recover().refused(3, &["run night-a is in this store"]);
    night.resume();
    fs::remove_file(night.bed.path("held")).unwrap();
    assert_eq!(night.bed.ended("night-a"), RunEnd::Succeeded { late: false });
    assert_eq!(night.bed.effects(), ["one", "one", "two"], "nothing is done twice");
    assert!(night.run(&["runs"]).stdout.contains("recovered  night-a  by Sarah"));
    eventually("its hosts are free", || !night.farm.home(1).join("locks/night").exists());
}

#[test]
fn what_people_decided_is_concluded_from_what_was_started() {
    let gate = "  ask: {gate: Is all well?, estimate: 1m}\n  two:";
    let night = Night::new(&PLAN.replace("  two:", gate));
    fs::write(night.bed.path("held"), "").unwrap();
    night.begin();
    eventually("the gate is open", || night.run(&["approve", "ask"]).code == 0);
    night.die_when("two runs", |f| matches!(f, Fact::AttemptLaunched { attempt } if attempt.action.step() == "two"));
    night.lose_the_journal();
    let said = night.recover();
    assert!(said.stdout.contains("  ask was approved: what waits for it was started"), "{said:?}");
    night.resume();
    assert_eq!(night.run(&["rollback", "--confirm", "night"]).code, 0);
    fs::remove_file(night.bed.path("held")).unwrap();
    assert!(matches!(night.bed.ended("night-a"), RunEnd::RolledBack { .. }));
    let effects = sorted(night.bed.effects());
    assert_eq!(effects, ["one", "one", "two", "undo-one", "undo-one", "undo-two"], "each once on each host");
}

/// What a test said before the night decides whether it may roll the night back, so it must not be lost with the journal.
#[test]
fn what_was_red_before_the_night_is_known_again() {
    let test = "  check:
    hosts: web
    test: test ! -e DIR/bad-$HOST
    baseline: true
    estimate: 1m
";
    let night = Night::new(&format!("{PLAN}{test}"));
    fs::write(night.bed.path("held"), "").unwrap();
    fs::write(night.bed.path("bad-h2"), "").unwrap();
    night.begin();
    night.die_when("two runs", |f| matches!(f, Fact::AttemptLaunched { attempt } if attempt.action.step() == "two"));
    let held_by = night.run(&["unlock", "night.yaml"]);
    assert!(held_by.stdout.contains(", red before: check@h2; AT WORK: two@h1"), "{held_by:?}");
    night.lose_the_journal();
    let said = night.recover();
    assert!(said.code == 0 && said.stdout.contains("red before the night: check@h2"), "{said:?}");
    assert!(!said.stdout.contains("not known"), "{said:?}");
    night.resume();
    fs::remove_file(night.bed.path("held")).unwrap();
    let held = |f: &Fact| matches!(f, Fact::HoldOpened { .. });
    eventually("its failure asks", || night.bed.facts("night-a").iter().any(held));
    assert_eq!(night.run(&["skip", "check", "-m", "it was red before"]).code, 0);
    assert!(matches!(night.bed.ended("night-a"), RunEnd::Succeeded { .. }));

    // Once the run is over its hosts are free, and nobody remembers it.
    fs::rename(night.bed.path("store"), night.bed.path("lost again")).unwrap();
    let said = night.run(&["recover", "night.yaml", "--confirm", "night", "--run", "night-a"]);
    let unknown = "what the tests said before the night is not known: one that was red then rolls back";
    assert!(said.stdout.contains(unknown), "{said:?}");
}

#[test]
fn a_rollback_whose_journal_is_gone_goes_on_back() {
    let undo = "while [ -e DIR/held ]; do sleep 0.02; done; echo undo-one >> DIR/effects";
    let plan = PLAN.replace("echo undo-one >> DIR/effects", &format!("\"{undo}\""));
    let night = Night::new(&plan.replace("      while [ -e DIR/held ]; do sleep 0.02; done\n", ""));
    fs::write(night.bed.path("held"), "").unwrap();
    assert_eq!(night.run(&["exec", "night.yaml", "--confirm", "night"]).code, 0);
    let mut rollback = night.bed.spawn(&["rollback", "--run", "night-a", "--confirm", "night"]);
    night.die_when("one is being undone", |f| {
        matches!(f, Fact::AttemptLaunched { attempt } if attempt.direction == Direction::Undo && attempt.action.step() == "one")
    });
    rollback.wait().unwrap();
    night.lose_the_journal();
    let said = night.run(&["recover", "night.yaml", "--confirm", "night", "--run", "night-a"]);
    for words in ["one  being undone on", "two  undone", "  a rollback was decided"] {
        assert!(said.stdout.contains(words), "{words}: {said:?}");
    }
    night.resume();
    fs::remove_file(night.bed.path("held")).unwrap();
    assert!(matches!(night.bed.ended("night-a"), RunEnd::RolledBack { .. }));
    assert_eq!(sorted(night.bed.effects()), ["one", "one", "two", "undo-one", "undo-one", "undo-two"]);
}

#[test]
fn what_cannot_be_known_is_not_recovered() {
    let mut night = Night::orphaned();
    night.lose_the_journal();
    let plan = fs::read_to_string(night.bed.path("night.yaml")).unwrap();
    fs::write(night.bed.path("night.yaml"), plan.replace("echo two", "echo three")).unwrap();
    night.recover().refused(3, &["run night-a was started with plan ", "it must be the file as it was then"]);
    fs::write(night.bed.path("night.yaml"), plan).unwrap();
    night.run(&["recover", "night.yaml"]).refused(3, &["typed confirmation"]);
    night
        .run(&["recover", "night.yaml", "--run", "other-a"])
        .refused(3, &["no host remembers a run `other-a`", "--run night-a"]);
    night.farm.lose_the_last();
    night.recover().refused(3, &["not every host can be asked", "h2: "]);
    assert_eq!(night.bed.runs(), 0, "nothing is half recovered");
    fs::remove_file(night.bed.path("held")).unwrap();
}

/// P6: four steps go on without their engine, end in four ways, and are found again with what they said last.
#[test]
fn steps_that_outlive_their_engine_are_found_with_their_outcomes() {
    let step = |name: &str, host: &str, end: &str| {
        format!(
            "  {name}:
    needs: []
    hosts: {host}
    run: |
      while [ -e DIR/held ]; do sleep 0.02; done
      echo last words of {name}
      {end}
    on_failure: continue
    read_only: true
    estimate: 1m
"
        )
    };
    let steps =
        [("well", "h1", "exit 0"), ("ill", "h1", "exit 7"), ("odd", "h2", "exit 137"), ("shot", "h2", "kill -9 $$")];
    let steps: String = steps.iter().map(|(name, host, end)| step(name, host, end)).collect();
    let night = Night::new(&format!("runbook: 1\nname: Four\nhosts: {{web: [h1, h2]}}\nsteps:\n{steps}"));
    fs::write(night.bed.path("held"), "").unwrap();
    night.begin();
    let launched = || night.bed.facts("night-a").iter().filter(|f| matches!(f, Fact::AttemptLaunched { .. })).count();
    eventually("all four run", || launched() == 4);
    night.die_when("they run", |f| matches!(f, Fact::AttemptLaunched { .. }));
    fs::remove_file(night.bed.path("held")).unwrap();
    let ended = |host: usize, record: &str| {
        let runs = fs::read_dir(night.farm.home(host).join("runs")).unwrap().flatten();
        runs.map(|run| run.path().join(record).join("rc")).any(|rc| rc.exists())
    };
    let records = [(1, "well@h1.do.1"), (1, "ill@h1.do.1"), (2, "odd@h2.do.1"), (2, "shot@h2.do.1")];
    eventually("they end by themselves", || records.iter().all(|(host, record)| ended(*host, record)));
    let said = night.run(&["resume", "--confirm", "night"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(launched(), 4, "nothing is started twice");
    let facts = night.bed.facts("night-a");
    let outcome = |step: &str| {
        facts.iter().find_map(|fact| match fact {
            Fact::AttemptEnded { attempt, outcome, evidence } if attempt.action.step() == step => {
                Some((outcome.clone(), evidence.tail.last().cloned().unwrap_or_default()))
            }
            _ => None,
        })
    };
    let expected = [
        ("well", Outcome::Succeeded),
        ("ill", Outcome::Failed { exit: 7 }),
        ("odd", Outcome::Failed { exit: 137 }),
        ("shot", Outcome::Killed { signal: 9 }),
    ];
    for (step, how) in expected {
        assert_eq!(outcome(step), Some((how, format!("last words of {step}"))), "{step}");
    }
}
