//! Many hosts: the canary, `keep_up`, `allow_failed`, and what people can answer when a step has stopped.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use runbook::engine::fact::{Fact, FleetStop, HoldAnswer, HoldReason, RollbackCause, RunEnd, RunOptions, SkipReason};
use runbook::engine::input::Ask;
use runbook::engine::invariants::violations;
use runbook::graph::Graph;
use runbook::graph::outcome::Outcome;
use runbook::plan::model::*;
use runbook::plan::units::{Estimate, Size};
use runbook::sim::{Simulation, started, window_instants};

use super::decisions::Night;
use super::plans::{Dice, RandomWorld, minutes, opens, plan, step, undone_by};

const FAILED: Outcome = Outcome::Failed { exit: 1 };

fn names(n: usize) -> Vec<String> {
    (1..=n).map(|i| format!("w{i}")).collect()
}

/// `update` on this many hosts of the group `web`, then `enable` on each as soon as it is updated.
fn fleet(hosts: usize, options: RunOptions, change: impl Fn(&mut Fleet)) -> Night {
    let place = Place::Hosts(names(hosts));
    let run = |id: &str| {
        step(id, &[], place.clone(), Verb::Run("r".into()), undone_by(minutes(5)), Estimate::exactly(minutes(10)))
    };
    let (mut update, mut enable) = (run("update"), run("enable"));
    change(&mut update.fleet);
    enable.needs = vec![Need { step: "update".into(), same_host: true }];
    let grown = |plan: &mut Plan| {
        plan.hosts = names(hosts).into_iter().map(|h| (h, Host::default())).collect();
        plan.groups = IndexMap::from([("web".to_string(), names(hosts))]);
    };
    Night::of(vec![update, enable], 600, grown, options)
}

fn begun(night: &Night, step: &str) -> Vec<String> {
    let all = night.launched.iter().filter(|a| a.action.step() == step && a.number == 1);
    all.filter_map(|a| a.action.host().map(str::to_owned)).collect()
}

fn update(night: &mut Night, host: &str, outcome: Outcome) {
    night.end(&format!("update/{host}/do/1"), outcome);
}

#[test]
fn the_canary_goes_alone_and_the_others_follow_when_it_is_done() {
    let mut night = fleet(4, RunOptions::default(), |f| f.canary = true);
    assert_eq!(begun(&night, "update"), ["w1"]);
    update(&mut night, "w1", Outcome::Succeeded);
    assert_eq!(begun(&night, "update"), ["w1", "w2", "w3", "w4"]);
}

#[test]
fn a_canary_that_fails_stops_the_step_whatever_may_fail_elsewhere() {
    let mut night = fleet(4, RunOptions::default(), |f| {
        f.canary = true;
        f.allow_failed = Some(Size::Count(3));
    });
    update(&mut night, "w1", FAILED);
    let Some(HoldReason::FleetStopped { why: FleetStop::Canary, not_started: 3, done: 0, .. }) = night.held() else {
        panic!("{:?}", night.held());
    };
    night.ask(Ask::Hold { answer: HoldAnswer::Continue, note: None });
    assert_eq!(begun(&night, "update").len(), 4);
    assert!(begun(&night, "enable").is_empty(), "nothing follows on the host that failed");
}

#[test]
fn the_group_keeps_what_it_must() {
    let mut night = fleet(5, RunOptions::default(), |f| f.keep_up = Some(Size::Percent(60)));
    assert_eq!(begun(&night, "update"), ["w1", "w2"], "three of five stay");
    update(&mut night, "w2", Outcome::Succeeded);
    assert_eq!(begun(&night, "update"), ["w1", "w2", "w3"]);
}

#[test]
fn a_failed_host_stays_out_of_service_until_people_say_that_it_does_not_count() {
    let mut night = fleet(3, RunOptions::default(), |f| {
        f.keep_up = Some(Size::Count(2));
        f.allow_failed = Some(Size::Count(2));
    });
    update(&mut night, "w1", FAILED);
    let Some(HoldReason::FleetStopped { why, actions, .. }) = night.held() else { panic!("{:?}", night.held()) };
    assert_eq!(*why, FleetStop::KeepUp { group: "web".into(), up: 2, keep: 2 });
    assert_eq!(actions.len(), 1);
    assert_eq!(
        night.refused(Ask::Hold { answer: HoldAnswer::Retry, note: None }),
        "this hold takes continue, stop, rollback"
    );
    night.ask(Ask::Hold { answer: HoldAnswer::Continue, note: None });
    assert_eq!(begun(&night, "update"), ["w1", "w2"]);
}

#[test]
fn what_may_fail_drops_out_and_is_left_out_of_what_follows() {
    let mut night = fleet(4, RunOptions::default(), |f| f.allow_failed = Some(Size::Percent(25)));
    update(&mut night, "w2", FAILED);
    assert_eq!(night.held(), None);
    for host in ["w1", "w3", "w4"] {
        update(&mut night, host, Outcome::Succeeded);
        night.end(&format!("enable/{host}/do/1"), Outcome::Succeeded);
    }
    assert_eq!(night.ended(), Some(&RunEnd::Succeeded { late: false }));
    let left_out = Fact::ActionSkipped {
        action: runbook::graph::ids::ActionId::new("enable", Some("w2")),
        why: SkipReason::HostFailed { step: "update".into() },
    };
    assert!(night.facts.contains(&left_out), "{:?}", night.facts);
}

/// One of four may fail, three at a time; two fail while a third runs.
fn stopped(options: RunOptions) -> Night {
    let mut night = fleet(6, options, |f| {
        f.at_once = Some(Size::Count(3));
        f.allow_failed = Some(Size::Count(1));
    });
    update(&mut night, "w1", FAILED);
    assert_eq!(begun(&night, "update").len(), 4, "one may fail");
    update(&mut night, "w2", FAILED);
    night
}

#[test]
fn one_more_stops_new_starts_and_people_are_asked_when_what_runs_has_ended() {
    let mut night = stopped(RunOptions::default());
    assert_eq!((begun(&night, "update").len(), night.held()), (4, None), "two still run");
    update(&mut night, "w3", Outcome::Succeeded);
    update(&mut night, "w4", Outcome::Succeeded);
    assert_eq!((begun(&night, "update").len(), begun(&night, "enable").len()), (4, 0));
    let Some(HoldReason::FleetStopped { step, actions, why, done, not_started }) = night.held() else {
        panic!("{:?}", night.held());
    };
    assert_eq!((step.as_str(), actions.len(), *done, *not_started), ("update", 2, 2, 2));
    assert_eq!(*why, FleetStop::TooManyFailed { allowed: 1, of: 6 });
}

fn asked() -> Night {
    let mut night = stopped(RunOptions::default());
    update(&mut night, "w3", Outcome::Succeeded);
    update(&mut night, "w4", Outcome::Succeeded);
    night
}

#[test]
fn retry_runs_all_failed_hosts_again_and_what_was_left_out_on_them() {
    let mut night = asked();
    night.ask(Ask::Hold { answer: HoldAnswer::Retry, note: None });
    let goes_on = |night: &mut Night| {
        let open: Vec<String> = night.engine.state().open_attempts().map(ToString::to_string).collect();
        open.iter().for_each(|a| night.end(a, Outcome::Succeeded));
        !open.is_empty()
    };
    while goes_on(&mut night) {}
    assert!(night.is_launched("update/w1/do/2") && night.is_launched("update/w2/do/2"));
    assert_eq!(begun(&night, "enable").len(), 6);
    assert_eq!(night.ended(), Some(&RunEnd::Succeeded { late: false }));
}

#[test]
fn go_on_allows_as_many_more() {
    let mut night = asked();
    night.ask(Ask::Hold { answer: HoldAnswer::Continue, note: None });
    assert_eq!(begun(&night, "update").len(), 6);
    update(&mut night, "w5", FAILED);
    assert_eq!(night.held(), None, "one more may fail");
    update(&mut night, "w6", FAILED);
    let Some(HoldReason::FleetStopped { actions, .. }) = night.held() else { panic!("{:?}", night.held()) };
    assert_eq!(actions.len(), 4, "all that have failed, whenever that was");
}

#[test]
fn stop_leaves_everything_as_it_is_and_lists_what_failed() {
    let mut night = asked();
    night.ask(Ask::Hold { answer: HoldAnswer::Stop, note: None });
    assert_eq!(begun(&night, "update").len(), 4);
    let Some(RunEnd::Stuck { actions }) = night.ended() else { panic!("{:?}", night.ended()) };
    assert_eq!(actions.len(), 2);
}

#[test]
fn rollback_touches_exactly_the_hosts_that_changed() {
    let mut night = asked();
    night.ask(Ask::Hold { answer: HoldAnswer::Rollback, note: None });
    for host in ["w1", "w2", "w3", "w4"] {
        night.end(&format!("update/{host}/undo/1"), Outcome::Succeeded);
    }
    assert_eq!(night.ended(), Some(&RunEnd::RolledBack { verified: None, late: false }));
    assert!(!night.is_launched("update/w5/undo/1"));
}

#[test]
fn with_nobody_to_ask_one_too_many_rolls_back() {
    let night = stopped(RunOptions { no_input: true, ..RunOptions::default() });
    assert!(matches!(night.cause(), Some(RollbackCause::Failed { .. })), "{:?}", night.cause());
}

/// Two steps on up to 14 hosts in up to three groups, with every limit there is.
fn random_fleet(dice: &mut Dice) -> Graph {
    let hosts = names(3 + dice.roll(12) as usize);
    let mut steps = Vec::new();
    for id in ["update", "enable"] {
        let expected = minutes(1 + dice.roll(10));
        let estimate = Estimate { expected, worst: expected + minutes(dice.roll(5)) };
        let mut made =
            step(id, &[], Place::Hosts(hosts.clone()), Verb::Run("r".into()), undone_by(minutes(2)), estimate);
        made.fleet = Fleet {
            at_once: (!dice.one_in(3)).then(|| Size::Count(1 + dice.roll(5) as u32)),
            keep_up: (!dice.one_in(3)).then(|| Size::Percent([0, 25, 50][dice.roll(3) as usize])),
            allow_failed: (!dice.one_in(3)).then(|| Size::Percent(10 * dice.roll(5) as u8)),
            canary: dice.one_in(2),
            ..Fleet::default()
        };
        if id == "enable" {
            made.needs = vec![Need { step: "update".into(), same_host: dice.one_in(2) }];
        }
        steps.push(made);
    }
    let mut plan = plan(steps, Some(minutes(6_000)), &hosts);
    let mut groups: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for host in hosts {
        groups.entry(dice.roll(3)).or_default().push(host);
    }
    plan.groups = groups.into_iter().map(|(n, hosts)| (format!("g{n}"), hosts)).collect();
    Graph::build(plan.into())
}

/// The limits are never exceeded, whatever fails and whenever the controller dies; without faults every host runs
/// exactly once.
#[test]
fn no_limit_is_ever_exceeded_and_every_host_runs_once() {
    for seed in 0..1_500 {
        let graph = std::sync::Arc::new(random_fleet(&mut Dice(seed)));
        let faults = [0, 5, 12][seed as usize % 3];
        let mut world = RandomWorld { seed, faults, undo_faults: false, overruns: false };
        let options = RunOptions { no_input: true, ..RunOptions::default() };
        let first = started(&graph, window_instants(graph.plan(), opens()), options);
        let mut sim = Simulation::start(graph.clone(), first, opens(), &mut world);
        let dies_at = seed % 40;
        while sim.facts() < dies_at && sim.step() {}
        if seed % 2 == 1 && sim.facts() > 2 {
            sim.crash_and_resume(dies_at.clamp(1, sim.facts()) as usize);
        }
        let end = sim.run(20_000).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        let found = violations(&graph, &sim.journal);
        assert!(found.is_empty(), "seed {seed}: {found:?}");
        if faults == 0 {
            assert_eq!(end, RunEnd::Succeeded { late: false }, "seed {seed}");
            let armed = sim.journal.iter().filter(|r| matches!(r.fact, Fact::AttemptArmed { .. })).count();
            assert_eq!(armed, graph.actions().len(), "seed {seed}: every host exactly once");
        }
    }
}
