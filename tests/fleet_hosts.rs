//! Many hosts over real sshds, of which some fail and one does not answer.

use super::exec::{Bed, Said};
use super::harness::farm::Farm;
use runbook::engine::fact::{Fact, RunEnd};

/// `update` fails on `h7` and `h8`; the limit keeps what cannot be reached from holding everybody up.
fn plan(hosts: usize, allowed: usize) -> String {
    let hosts: Vec<String> = (1..=hosts).map(|n| format!("h{n}")).collect();
    format!(
        "runbook: 1
name: Many hosts
hosts: {{web: [{}]}}
steps:
  update:
    hosts: web
    at_once: 20
    allow_failed: {allowed}
    run: case $HOST in h7|h8) exit 3;; esac; echo $HOST >> DIR/updated
    timeout: 2s
    estimate: 1s
    rollback: {{run: echo $HOST >> DIR/undone, estimate: 1s}}
  enable:
    needs: [update]
    hosts: web
    at_once: 20
    run: echo $HOST >> DIR/enabled
    estimate: 1s
    rollback: {{run: \"true\", estimate: 1s}}
",
        hosts.join(", ")
    )
}

struct Fleet {
    bed: Bed,
    farm: Farm,
}

impl Fleet {
    fn of(hosts: usize, allowed: usize) -> Self {
        let bed = Bed::new(&plan(hosts, allowed));
        let mut farm = Farm::start(bed.dir.path(), hosts);
        farm.lose_the_last();
        Self { bed, farm }
    }

    fn exec(&self) -> Said {
        self.bed.run(&["exec", "night.yaml", "--confirm", "night", "--no-input"])
    }

    fn lines(&self, file: &str) -> usize {
        std::fs::read_to_string(self.bed.path(file)).map_or(0, |text| text.lines().count())
    }
}

#[test]
fn two_that_fail_and_one_that_does_not_answer_are_left_as_they_are() {
    let fleet = Fleet::of(50, 3);
    let said = fleet.exec();
    assert_eq!(said.code, 0, "{said:?}");
    for words in ["49 of 50 hosts answer", "counts as failed: update may lose 3 of 50 hosts", "3 failed: h7 h8 h50"] {
        assert!(said.stderr.contains(words), "{words}: {}", said.stderr);
    }
    assert_eq!((fleet.lines("updated"), fleet.lines("enabled"), fleet.lines("undone")), (47, 47, 0));
    let locks = |n: usize| std::fs::read_dir(fleet.farm.home(n).join("locks")).map_or(0, Iterator::count);
    assert_eq!((1..50).map(locks).sum::<usize>(), 0, "every lock is given back");
}

#[test]
fn one_more_than_may_fail_takes_back_exactly_what_was_changed() {
    let fleet = Fleet::of(10, 2);
    let said = fleet.exec();
    assert_eq!(said.code, 10, "{said:?}");
    let run = &fleet.bed.store().runs().unwrap()[0].id;
    assert!(matches!(fleet.bed.ended(run), RunEnd::RolledBack { .. }), "{said:?}");
    assert_eq!(fleet.lines("enabled"), 0);
    let failed = |f: &Fact| matches!(f, Fact::ActionFailed { .. });
    assert_eq!(fleet.bed.facts(run).iter().filter(|f| failed(f)).count(), 3);
    // What failed may have changed something, too; what never started has not.
    assert_eq!(fleet.lines("undone"), fleet.lines("updated") + 2);
}

#[test]
fn more_that_do_not_answer_than_may_fail_refuse_the_run() {
    let fleet = Fleet::of(3, 0);
    fleet.exec().refused(3, &["2 of 3 hosts answer", "FAIL", "the preflight failed; nothing was changed"]);
    assert_eq!(fleet.bed.runs(), 0);
}
