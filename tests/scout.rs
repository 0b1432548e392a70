//! The process that asks the hosts before a run and drives it afterwards: how often it connects, and that it goes away.

use std::path::Path;

use rustix::process::Signal;

use super::exec::{Bed, eventually, signal};
use super::harness::farm::Farm;
use super::terminal::Terminal;

const PLAN: &str = "runbook: 1
name: Three hosts
hosts: {web: [h1, h2, h3]}
steps:
  first: {hosts: web, run: echo one >> DIR/effects, estimate: 1s, rollback: {run: \"true\", estimate: 1s}}
  second: {hosts: web, needs: [first], run: echo two >> DIR/effects, estimate: 1s, rollback: {run: \"true\", estimate: 1s}}
";

fn bed() -> (Bed, Farm) {
    let bed = Bed::new(PLAN);
    let farm = Farm::start(bed.dir.path(), 3);
    (bed, farm)
}

/// Processes whose command line names the store of the bed and is that of a scout.
fn scouts(bed: &Bed) -> Vec<u32> {
    let (store, mut found) = (bed.path("store"), Vec::new());
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        if line.contains("scout\0--plan\0night") && line.contains(store.to_str().unwrap()) {
            found.extend(entry.file_name().to_string_lossy().parse::<u32>());
        }
    }
    found
}

/// Connections that were accepted, once all of them have ended.
fn connections(farm: &Farm, host: usize) -> usize {
    let count = |words: &str| farm.log(host).matches(words).count();
    eventually("every connection has ended", || {
        let accepted = count("Accepted publickey");
        accepted > 0 && count("Disconnected from user") + count("Connection closed by") >= accepted
    });
    count("Accepted publickey")
}

fn is_empty(dir: &Path) -> bool {
    std::fs::read_dir(dir).map_or(true, |mut entries| entries.next().is_none())
}

/// Once to leave a process behind and see what a logout does to it, and once for everything else.
#[test]
fn a_run_connects_to_each_host_twice() {
    for transport in ["openssh", "native"] {
        let (bed, farm) = bed();
        let said = bed.exec(&["--transport", transport]);
        assert_eq!(said.code, 0, "{said:?}");
        assert_eq!(bed.effects().len(), 6);
        for host in 1..=3 {
            assert_eq!(connections(&farm, host), 2, "{transport}: {}", farm.log(host));
        }
        assert_eq!(scouts(&bed), [0; 0]);
    }
}

/// What was seen of a host is believed as long as the host is not restarted.
#[test]
fn a_logout_is_tried_once_in_a_boot() {
    let (bed, farm) = bed();
    let accepted = |host| farm.log(host).matches("Accepted publickey").count();
    assert_eq!(bed.exec(&[]).code, 0);
    assert_eq!([accepted(1), accepted(2)], [2, 2]);
    farm.boot(2, "second");
    assert_eq!(bed.exec(&[]).code, 0);
    assert_eq!([accepted(1), accepted(2)], [3, 4]);
    assert_eq!(bed.run(&["plan", "--probe", "night.yaml"]).code, 0);
    assert_eq!([accepted(1), accepted(2)], [4, 5]);
}

/// As logind does with `KillUserProcesses`, by the connection that stands in the environment.
#[test]
fn a_host_whose_logout_ends_processes_is_refused() {
    for transport in ["openssh", "native"] {
        let bed = Bed::new(PLAN);
        let kills = "sh -c \"$SSH_ORIGINAL_COMMAND\"
for p in $(grep -lsF \"SSH_CONNECTION=$SSH_CONNECTION\" /proc/[0-9]*/environ); do
  p=${p#/proc/}
  [ \"${p%/environ}\" = $$ ] || kill -KILL \"${p%/environ}\"
done
";
        std::fs::write(bed.path("logout"), kills).unwrap();
        let _farm = Farm::configured(bed.dir.path(), 3, &format!("ForceCommand sh {}\n", bed.path("logout").display()));
        for _ in 0..2 {
            let said = bed.exec(&["--transport", transport]);
            said.refused(3, &["h1: ends detached processes when their session ends", "h3: ends detached"]);
        }
        assert_eq!(bed.runs(), 0);
    }
}

#[test]
fn whoever_does_not_type_the_name_leaves_nothing() {
    let (bed, farm) = bed();
    let said = bed.run(&["exec", "night.yaml", "--confirm", "knight"]);
    assert_eq!(said.code, 3, "{said:?}");
    assert_eq!(scouts(&bed), [0; 0]);
    (1..=3).for_each(|host| assert_eq!(connections(&farm, host), 2));
    (1..=3).for_each(|host| assert!(is_empty(&farm.home(host).join("locks"))));
    assert_eq!(bed.runs(), 0);
}

#[test]
fn a_killed_question_takes_its_scout_along() {
    let (bed, _farm) = bed();
    let mut terminal = Terminal::of(&bed, &["exec", "night.yaml"]);
    terminal.shows("Type the plan's name");
    assert_eq!(scouts(&bed).len(), 1);
    signal(terminal.pid(), Signal::KILL);
    eventually("the scout has gone", || scouts(&bed).is_empty());
    assert_eq!(bed.runs(), 0);
}

#[test]
fn what_it_does_not_understand_ends_it() {
    let bed = Bed::new(PLAN);
    let mut scout = bed.command(&["scout", "--plan", "night"]);
    std::fs::write(bed.path("orders"), "{\"Dance\":1}\n").unwrap();
    scout.stdin(std::fs::File::open(bed.path("orders")).unwrap());
    let said = super::exec::Said::of(scout.output().unwrap());
    said.refused(1, &["unknown variant `Dance`"]);
}
