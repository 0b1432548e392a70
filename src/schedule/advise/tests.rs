//! Advice: what each change buys is what scheduling the changed plan again gives.

use jiff::SignedDuration;
use proptest::prelude::*;

use super::*;
use crate::graph::sample::{december, gate, graph, plan, run, test};
use crate::plan::model::{Downtime, Opening, Place, Plan, Window};
use crate::schedule::fit;

fn mins(d: SignedDuration) -> i64 {
    d.as_mins()
}

/// What each saving is, and what it saves: of the end, of the downtime, of *roll back by*.
fn told(advice: &Advice) -> Vec<(String, i64, i64, i64)> {
    let row = |s: &Saving| {
        let what = match &s.change {
            Change::Faster { step, best_seen, .. } => format!("{step}{}", if *best_seen { " as seen" } else { "" }),
            Change::Beside { step, need } => format!("{step} beside {need}"),
            Change::BeforeDowntime { step } => format!("{step} before"),
            Change::AfterDowntime { step } => format!("{step} after"),
            Change::FasterUndo { step, .. } => format!("undo {step}"),
        };
        (what, mins(s.finish), mins(s.downtime), mins(s.roll_back_by))
    };
    advice.savings.iter().map(row).collect()
}

/// A service that is down from `stop` to `start`.
fn night() -> Plan {
    let mut plan = plan(vec![
        gate("ready", &[], "Ready?", &[]).takes(10, 10),
        run("stop", &["ready"], &["fe"], "stop").takes(5, 5).undone_by("start", 5),
        run("backup", &["stop"], &["db"], "backup a.dump").takes(40, 40),
        run("migrate", &["backup"], &["db"], "migrate").takes(20, 20).undone_by("restore a.dump", 40),
        run("index", &["migrate"], &["ix"], "index").takes(30, 30),
        test("sane", &["index"], &["db"], "sane").takes(16, 16),
        run("start", &["sane"], &["fe"], "start").takes(5, 5),
        gate("accept", &["start"], "Accepted?", &[]).takes(60, 60),
    ]);
    plan.steps["stop"].downtime = Some(Downtime::Begin);
    plan.steps["start"].downtime = Some(Downtime::End);
    plan.window = december().window;
    plan
}

#[test]
fn a_service_is_down_for_less_when_work_is_done_before_it_and_judged_after() {
    let advice = advise(&graph(night()), None, &[]);
    assert_eq!((mins(advice.length.finish), advice.length.downtime.map(mins)), (186, Some(116)));
    let found = told(&advice);
    let row = |what: &str| found.iter().find(|r| r.0 == what).map(|r| (r.1, r.2, r.3));
    assert_eq!(row("backup before"), Some((0, 40, 0)));
    assert_eq!(row("index before"), Some((0, 30, 0)), "the service goes down later, and is up again as before");
    assert_eq!(row("sane after"), Some((16, 16, 0)), "beside the gate, which takes longer");
    assert_eq!(row("index beside migrate"), Some((20, 20, 0)));
    assert_eq!(row("undo migrate"), Some((0, 0, 10)));
    assert_eq!(row("accept"), Some((15, 0, 0)));
    assert!(found.windows(2).all(|w| w[0].1.max(w[0].2).max(w[0].3) >= w[1].1.max(w[1].2).max(w[1].3)), "{found:?}");
}

#[test]
fn steps_that_share_nothing_are_told_from_those_that_do() {
    let advice = advise(&graph(night()), None, &[]);
    let ties = |then: &str| {
        let is = |s: &&Saving| matches!(&s.change, Change::Beside { step, .. } if step == then);
        advice.savings.iter().find(is).map(|s| s.ties.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    assert_eq!(ties("index"), Some(vec![]), "another host, no file: habit?");
    assert_eq!(ties("migrate"), Some(vec!["db".to_owned(), "a.dump".to_owned()]));
    assert_eq!(ties("accept"), Some(vec!["a judgement of it".to_owned()]));
    assert_eq!(ties("start"), Some(vec!["a yes that is waited for".to_owned(), "the downtime".to_owned()]));
}

#[test]
fn what_was_seen_takes_the_place_of_what_was_expected() {
    let mut known = vec![Known::default(); 8];
    known[3] = Known { took: Some(SignedDuration::from_mins(50)), best: Some(SignedDuration::from_mins(18)) };
    let advice = advise(&graph(night()), None, &known);
    assert_eq!((mins(advice.length.finish), advice.planned.iter().map(|t| mins(t.end)).max()), (216, Some(186)));
    assert!(told(&advice).contains(&("migrate as seen".to_owned(), 32, 32, 0)), "{:?}", told(&advice));
}

#[test]
fn a_turn_on_what_is_short_is_kept() {
    let mut steps = vec![run("a", &[], &["h"], "x").takes(10, 10), run("b", &[], &["i"], "x").takes(10, 10)];
    steps.iter_mut().for_each(|s| {
        s.uses.insert("dba".into(), 1);
    });
    let mut plan = plan(steps);
    plan.resources.insert("dba".into(), 1);
    let graph = graph(plan);
    let order = crate::schedule::best_order(&graph, 1_000, 1);
    let advice = advise(&graph, order.as_ref(), &[]);
    assert_eq!((mins(advice.length.finish), advice.path.len()), (20, 2));
    assert!(advice.savings.iter().all(|s| !matches!(s.change, Change::Beside { .. })), "nobody needs anybody");
}

/// A plan of some layers, some of it undone, some of it in the downtime.
fn plans() -> impl Strategy<Value = Plan> {
    let step =
        (1..60i64, prop::collection::vec(any::<prop::sample::Index>(), 0..3), 0..4u8, prop::option::of(1..30i64));
    prop::collection::vec(step, 2..12).prop_map(|steps| {
        let count = steps.len();
        let made = steps.into_iter().enumerate().map(|(i, (takes, needs, host, undo))| {
            let mut names: Vec<String> = needs.iter().filter(|_| i > 0).map(|n| format!("s{}", n.index(i))).collect();
            names.sort();
            names.dedup();
            let needs: Vec<&str> = names.iter().map(String::as_str).collect();
            let mut step =
                run(&format!("s{i}"), &needs, &[["a", "b", "c", "d"][usize::from(host)]], "x").takes(takes, takes);
            if let Some(undo) = undo {
                step = step.undone_by("y", undo);
            }
            step.downtime = match i {
                0 => Some(Downtime::Begin),
                _ if i + 1 == count => Some(Downtime::End),
                _ => None,
            };
            step
        });
        let mut plan = plan(made.collect());
        let opening = Opening::WhenStarted { lasts: SignedDuration::from_hours(24) };
        plan.window = Some(Window { opening, ..december().window.expect("it has one") });
        plan
    })
}

/// Which step waits for which, over any number of steps.
fn waits(plan: &Plan) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for step in plan.steps.values() {
        let mut before: Vec<String> = step.needs.iter().map(|n| n.step.clone()).collect();
        let more: Vec<String> = all
            .iter()
            .filter(|(then, _)| before.contains(then))
            .map(|(_, first): &(String, String)| first.clone())
            .collect();
        before.extend(more);
        before.sort();
        before.dedup();
        all.extend(before.into_iter().map(|first| (step.id.clone(), first)));
    }
    all
}

proptest! {
    /// Every number is the difference of two schedules, made here by the other way through the scheduler.
    #[test]
    fn invariant_what_is_claimed_is_what_scheduling_again_gives(plan in plans()) {
        let before = fit(&graph(plan.clone()));
        let advice = advise(&graph(plan.clone()), None, &[]);
        prop_assert_eq!(advice.length.finish, before.finish_expected);
        for saving in &advice.savings {
            let after = fit(&graph(saving.change.applied(&plan)));
            // One by one there, all at once here.
            prop_assert_eq!(saving.finish, before.finish_expected - after.finish_expected);
            let limits = (before.window.as_ref().unwrap().roll_back_by, after.window.as_ref().unwrap().roll_back_by);
            prop_assert_eq!(saving.roll_back_by, limits.1 - limits.0);
        }
    }

    /// Two steps side by side: of all waits, only the one between them is gone.
    #[test]
    fn invariant_a_wait_less_never_costs_time_and_takes_no_other_away(plan in plans()) {
        let before = fit(&graph(plan.clone())).finish_expected;
        for step in plan.steps.values() {
            for need in &step.needs {
                let change = Change::Beside { step: step.id.clone(), need: need.step.clone() };
                let changed = change.applied(&plan);
                let indirectly = step.needs.iter().any(|n| n.step != need.step && waits(&plan).contains(&(n.step.clone(), need.step.clone())));
                prop_assert!(fit(&graph(changed.clone())).finish_expected <= before);
                let mut expected = waits(&plan);
                expected.retain(|(then, first)| indirectly || !(*then == step.id && *first == need.step));
                prop_assert_eq!(waits(&changed), expected);
            }
        }
    }

    /// What is moved out of the downtime still waits for something, and nothing waits for itself.
    #[test]
    fn invariant_a_step_that_is_moved_leaves_a_plan_that_ends(plan in plans()) {
        for step in down(&plan) {
            for change in [Change::BeforeDowntime { step: step.clone() }, Change::AfterDowntime { step: step.clone() }] {
                let changed = graph(change.applied(&plan));
                prop_assert_eq!(changed.topological().len(), plan.steps.len());
                prop_assert!(!down(changed.plan()).contains(&step));
            }
        }
    }
}

/// 300 steps in a row, on ten hosts each: what a person waits for.
#[test]
fn a_long_plan_is_advised_with_one_try_for_each_change() {
    let hosts = ["h0", "h1", "h2", "h3", "h4", "h5", "h6", "h7", "h8", "h9"];
    let names: Vec<String> = (0..300).map(|i| format!("s{i}")).collect();
    let steps = (0..300).map(|i| {
        let needs: Vec<&str> = names[..i].last().map(String::as_str).into_iter().collect();
        run(&names[i], &needs, &hosts, "x").takes(2, 3).undone_by("y", 1)
    });
    let mut long = plan(steps.collect());
    long.window = december().window;
    assert!(matches!(long.steps["s1"].place, Place::Hosts(_)));
    let advice = advise(&graph(long), None, &[]);
    assert_eq!((advice.tried, advice.path.len()), (300 + 299 + 300, 300));
}
