//! Odds of small plans whose answer is known.

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::graph::sample::{december, gate, graph, plan, run};
use crate::graph::{ActionIx, Graph};
use crate::plan::model::{OnDeadline, Opening, Plan, Step, Window};
use crate::plan::units::Size;

fn at(minutes: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes)
}

fn minute(t: Timestamp) -> i64 {
    t.as_second().div_euclid(60)
}

fn evening(graph: &Graph) -> Evening {
    Evening::new(graph, None, &Past::default())
}

fn odds(graph: &Graph, closes: Option<i64>) -> Odds {
    let situation = Evening::before(graph, at(0), closes.map(at));
    evening(graph).nights(graph, &situation, 4_000, 1)
}

fn windowed(mut plan: Plan, minutes: i64, on_deadline: OnDeadline) -> Plan {
    let opening = Opening::WhenStarted { lasts: SignedDuration::from_mins(minutes) };
    plan.window = Some(Window { opening, reserve: SignedDuration::ZERO, max_extension: None, on_deadline });
    plan
}

fn close(found: f64, wanted: f64) -> bool {
    (found - wanted).abs() < 0.02
}

#[test]
fn one_step_is_in_time_as_often_as_its_estimate_says() {
    let graph = graph(windowed(plan(vec![run("a", &[], &["h"], "x").takes(20, 30)]), 30, OnDeadline::Warn));
    let late = odds(&graph, Some(30));
    assert!(close(late.done.unwrap(), 0.95) && close(odds(&graph, Some(20)).done.unwrap(), 0.5));
    assert_eq!((minute(late.middle), minute(late.early), minute(late.late)), (19, 14, 27));
    assert_eq!(late.critical, [1.0]);
    assert_eq!(odds(&graph, None).done, None);
}

/// The later of two equal chains: in time only when both are.
#[test]
fn where_chains_meet_it_is_later_than_either() {
    let two = graph(plan(vec![run("a", &[], &["h"], "x").takes(20, 30), run("b", &[], &["h"], "x").takes(20, 30)]));
    let both = odds(&two, Some(20));
    assert!(close(both.done.unwrap(), 0.25), "{both:?}");
    assert!(close(both.critical[0], 0.5) && close(both.critical[0] + both.critical[1], 1.0));
}

#[test]
fn what_shares_a_resource_goes_one_after_the_other() {
    let mut both = plan(vec![run("a", &[], &["h"], "x").takes(20, 20), run("b", &[], &["h"], "x").takes(30, 30)]);
    both.resources.insert("dba".into(), 1);
    both.steps.values_mut().for_each(|s| {
        s.uses.insert("dba".into(), 1);
    });
    let graph = graph(both);
    assert!(!evening(&graph).is_uncertain());
    let found = odds(&graph, None);
    assert_eq!((minute(found.early), minute(found.late)), (50, 50));
    assert_eq!(found.critical, [1.0, 1.0]);
}

/// As the engine takes them: one of each group at once, and the second step's first host alone.
#[test]
fn enough_hosts_stay_in_service_and_a_canary_goes_alone() {
    let hosts = ["a1", "b1", "a2", "b2", "a3", "b3"];
    let night = |change: &dyn Fn(&mut Step)| {
        let mut work = run("work", &[], &hosts, "x").takes(10, 10);
        change(&mut work);
        let mut plan = plan(vec![work]);
        for host in hosts {
            plan.groups.entry(host[..1].to_owned()).or_default().push(host.to_owned());
        }
        minute(odds(&graph(plan), None).late)
    };
    assert_eq!(night(&|_| {}), 10);
    assert_eq!(night(&|step| step.fleet.keep_up = Some(Size::Count(2))), 30);
    assert_eq!(night(&|step| step.fleet.keep_up = Some(Size::Count(1))), 20);
    assert_eq!(night(&|step| step.fleet.canary = true), 20);
    let both = |step: &mut Step| {
        step.fleet.canary = true;
        step.fleet.keep_up = Some(Size::Count(2));
    };
    assert_eq!(night(&both), 40, "the first alone, then the first of the other group with the second of its own");
}

#[test]
fn the_rollback_fits_as_often_as_the_last_decision_is_early_enough() {
    let steps = || vec![run("a", &[], &["h"], "x").takes(20, 30).undone_by("y", 10), gate("g", &["a"], "ok?", &[])];
    let graph = |policy| graph(windowed(plan(steps()), 40, policy));
    let found = odds(&graph(OnDeadline::Warn), Some(40));
    assert!(close(found.rollback_fits.unwrap(), 0.95) && close(found.done.unwrap(), 0.997), "{found:?}");
    let stopped = odds(&graph(OnDeadline::Rollback), Some(40));
    assert_eq!(stopped.done, stopped.rollback_fits, "past roll back by, the deadline stops it");
    assert_eq!(
        odds(&graph(OnDeadline::Rollback), Some(39)).done,
        Some(0.0),
        "refused: its worst case and the rollback do not fit"
    );
}

#[test]
fn once_there_is_no_way_back_only_the_close_counts() {
    let graph = graph(windowed(december(), 330, OnDeadline::Rollback));
    let mut situation = Evening::before(&graph, at(0), Some(at(330)));
    let before = evening(&graph).nights(&graph, &situation, 2_000, 1);
    assert!(before.done < Some(0.999) && before.rollback_fits.is_some());
    situation.reversible = false;
    let after = evening(&graph).nights(&graph, &situation, 2_000, 1);
    assert!(after.rollback_fits.is_none() && after.done > before.done);
}

fn five(step: Step) -> Step {
    Step { place: crate::plan::model::Place::Hosts(["a", "b", "c", "d", "e"].map(str::to_owned).to_vec()), ..step }
}

#[test]
fn hosts_that_are_done_tell_what_the_others_will_take() {
    let graph = graph(plan(vec![five(run("s", &[], &["a", "b", "c", "d", "e"], "x").takes(20, 30))]));
    let evening = evening(&graph);
    let mut situation = Evening::before(&graph, at(0), None);
    let mut after = |took: i64| {
        for ix in 0..4 {
            situation.actions[ix] = Standing::Done { took: Some(SignedDuration::from_mins(took)) };
        }
        minute(evening.nights(&graph, &situation, 2_000, 1).middle)
    };
    let (quick, slow) = (after(12), after(35));
    assert!(quick <= 16 && slow >= 24, "{quick} {slow}");
    assert_eq!(graph.action(ActionIx(4)).id.host(), Some("e"));
}

#[test]
fn what_has_run_for_long_ends_later_and_what_is_done_costs_nothing() {
    let chain = plan(vec![run("a", &[], &["h"], "x").takes(20, 30), run("b", &["a"], &["h"], "x").takes(10, 10)]);
    let graph = graph(chain);
    let evening = evening(&graph);
    let mut situation = Evening::before(&graph, at(25), None);
    situation.actions[0] = Standing::Running { since: at(0) };
    let overdue = evening.nights(&graph, &situation, 2_000, 1);
    assert!((36..42).contains(&minute(overdue.middle)), "{overdue:?}");
    situation.actions[0] = Standing::Done { took: None };
    assert_eq!(minute(evening.nights(&graph, &situation, 10, 1).middle), 35);
    situation.actions[1] = Standing::Running { since: at(5) };
    assert_eq!(minute(evening.nights(&graph, &situation, 10, 1).middle), 27, "another tenth of what it has taken");
}

#[test]
fn the_same_seed_gives_the_same_odds() {
    let graph = graph(windowed(december(), 330, OnDeadline::Rollback));
    let situation = Evening::before(&graph, at(0), Some(at(330)));
    let draw = |seed| evening(&graph).nights(&graph, &situation, 500, seed);
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}

#[test]
fn a_probability_is_said_no_more_precisely_than_it_is_known() {
    let said: Vec<String> = [0.0, 0.004, 0.5, 0.934, 0.996, 1.0].map(probably).to_vec();
    assert_eq!(said, ["less than 1%", "less than 1%", "about 50%", "about 93%", "more than 99%", "more than 99%"]);
}

/// A damaged or foreign journal must not end the program that looks at it.
#[test]
fn an_order_of_another_plan_is_left_alone() {
    let graph =
        graph(plan(vec![run("a", &[], &["h"], "x").takes(20, 30), run("b", &["a"], &["h"], "x").takes(20, 30)]));
    let situation = Evening::before(&graph, at(0), None);
    for order in [(vec![], vec![]), (vec![0, 1], vec![vec![], vec![7]]), (vec![0], vec![vec![]])] {
        let order = crate::schedule::Order { rank: order.0, after: order.1 };
        let found = Evening::new(&graph, Some(&order), &Past::default()).nights(&graph, &situation, 100, 1);
        assert_eq!(found, evening(&graph).nights(&graph, &situation, 100, 1));
    }
}
