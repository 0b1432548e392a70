//! Random plans and random worlds from a seed. The same seed always gives the same.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use jiff::{SignedDuration, Timestamp};
use runbook::engine::input::{Ask, Operator};
use runbook::graph::Graph;
use runbook::graph::ids::{ActionId, AttemptId, Direction};
use runbook::graph::outcome::Outcome;
use runbook::plan::model::*;
use runbook::plan::units::{Estimate, Size};
use runbook::sim::world::{Fate, Leaves, Script, person};

/// SplitMix64 (Steele, Lea, Flood 2014): enough for tests, and the same everywhere.
#[derive(Debug, Clone)]
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.roll(n) == 0
    }
}

pub fn opens() -> Timestamp {
    "2007-12-02T06:30:00Z".parse().unwrap()
}

pub fn minutes(n: u64) -> SignedDuration {
    SignedDuration::from_mins(n as i64)
}

pub fn step(id: &str, needs: &[&str], place: Place, verb: Verb, undo: Undo, estimate: Estimate) -> Step {
    let gate = match verb {
        Verb::Gate => Some(Gate {
            question: "ok?".into(),
            who: vec!["release".into()],
            checklist: vec![],
            call_ahead: None,
            answer_by: None,
            not_author: false,
            quorum: 1,
            ask_below: None,
        }),
        _ => None,
    };
    let judges = matches!(verb, Verb::Test(_) | Verb::Http(_) | Verb::Gate);
    Step {
        id: id.into(),
        line: 1,
        needs: needs.iter().map(|n| Need { step: (*n).into(), same_host: false }).collect(),
        place,
        when: None,
        verb,
        gate,
        undo,
        estimate: Some(estimate),
        timeout: Some(estimate.worst * 2).filter(|t| t.is_positive()),
        expect: None,
        retry: Retry::default(),
        idempotent: false,
        atomic: false,
        verify: None,
        outputs: vec![],
        on_failure: if judges { OnFailure::Rollback } else { OnFailure::Ask },
        on_stop: if judges { OnStop::Kill } else { OnStop::Finish },
        uses: IndexMap::new(),
        hold: None,
        shell: Shell::default(),
        fleet: Fleet::default(),
        say: None,
        warn: None,
        downtime: None,
        baseline: false,
        inconclusive: Vec::new(),
        opens: None,
        tags: vec![],
    }
}

pub fn undone_by(worst: SignedDuration) -> Undo {
    Undo::Command(Rollback {
        work: RollbackWork::Run("undo".into()),
        place: None,
        estimate: Estimate::exactly(worst),
        timeout: Some(worst * 2),
        reboot: None,
        until: None,
        verify: None,
        retry: Retry { times: 2, wait: SignedDuration::from_secs(5), backoff: Backoff::Fixed },
    })
}

pub fn plan(steps: Vec<Step>, window: Option<SignedDuration>, hosts: &[String]) -> Plan {
    Plan {
        stem: "random".into(),
        name: "Random".into(),
        timezone: None,
        window: window.map(|lasts| Window {
            opening: Opening::WhenStarted { lasts },
            reserve: SignedDuration::ZERO,
            max_extension: None,
            on_deadline: OnDeadline::Rollback,
        }),
        hosts: hosts.iter().map(|h| (h.clone(), Host::default())).collect(),
        groups: IndexMap::new(),
        inventory: None,
        vars: IndexMap::new(),
        people: IndexMap::new(),
        resources: IndexMap::from([("dba".to_string(), 1)]),
        notify: vec![],
        after_rollback: None,
        waves: vec![],
        after: Vec::new(),
        covers_all: false,
        at_once: None,
        ask_below: None,
        steps: steps.into_iter().map(|s| (s.id.clone(), s)).collect(),
        files: BTreeMap::new(),
    }
}

/// 2 to 10 steps on 1 to 3 hosts each, random needs, limits and undos, in a window that is sometimes too short.
pub fn random_plan(dice: &mut Dice) -> Plan {
    let hosts: Vec<String> = (1..=3).map(|i| format!("h{i}")).collect();
    let n = 2 + dice.roll(9) as usize;
    let mut steps: Vec<Step> = Vec::new();
    for i in 0..n {
        let earlier: Vec<String> = steps.iter().filter(|_| dice.one_in(3)).map(|s| s.id.clone()).collect();
        let needs: Vec<&str> = earlier.iter().map(String::as_str).collect();
        let on = hosts[..1 + dice.roll(3) as usize].to_vec();
        let expected = minutes(1 + dice.roll(20));
        let estimate = Estimate { expected, worst: expected + minutes(dice.roll(15)) };
        let id = format!("s{i}");
        let mut made = match dice.roll(10) {
            0 => step(&id, &needs, Place::Nowhere, Verb::Gate, Undo::Nothing, estimate),
            1 | 2 => step(&id, &needs, Place::Hosts(on), Verb::Test("t".into()), Undo::Nothing, estimate),
            3 => step(&id, &needs, Place::Hosts(on), Verb::Run("r".into()), Undo::ReadOnly, estimate),
            _ => step(
                &id,
                &needs,
                Place::Hosts(on),
                Verb::Run("r".into()),
                undone_by(minutes(1 + dice.roll(20))),
                estimate,
            ),
        };
        vary(&mut made, dice);
        steps.push(made);
    }
    open_something(&mut steps, &mut Dice(dice.0 ^ 0x0be5));
    let window = minutes(60 + dice.roll(400));
    let mut plan = plan(steps, Some(window), &hosts);
    if dice.one_in(6) {
        plan.at_once = Some(Size::Count(1 + dice.roll(3) as u32));
    }
    if dice.one_in(2) {
        let test = step(
            "after_rollback",
            &[],
            Place::Hosts(vec!["h1".into()]),
            Verb::Test("t".into()),
            Undo::Nothing,
            Estimate::exactly(minutes(dice.roll(10))),
        );
        plan.after_rollback = Some(test);
    }
    plan
}

/// In every third plan one of the later steps opens something, and some of the rollbacks before it expire then.
fn open_something(steps: &mut [Step], dice: &mut Dice) {
    let Some(opener) = (1..steps.len()).rev().find(|i| steps[*i].changes_something() && !dice.one_in(3)) else {
        return;
    };
    if !dice.one_in(3) {
        return;
    }
    let mut before = vec![opener];
    while let Some(step) = before.pop() {
        for need in steps[step].needs.clone() {
            let at = steps.iter().position(|s| s.id == need.step).expect("needs name steps");
            if let (Undo::Command(rollback), false) = (&mut steps[at].undo, dice.one_in(3)) {
                rollback.until = Some("writes".into());
            }
            before.push(at);
        }
    }
    steps[opener].opens = Some("writes".into());
    // Past the horizon no deadline ends a question that nobody answers.
    let limit = Some(opens() + minutes(2_000));
    steps.iter_mut().filter_map(|s| s.gate.as_mut()).for_each(|gate| gate.answer_by = limit);
}

fn vary(step: &mut Step, dice: &mut Dice) {
    if matches!(step.verb, Verb::Gate) {
        return;
    }
    if matches!(step.verb, Verb::Test(_)) && dice.one_in(4) {
        step.gate = super::plans::step("gate", &[], Place::Nowhere, Verb::Gate, Undo::Nothing, Estimate::ZERO).gate;
    }
    if dice.one_in(4) {
        step.fleet.at_once = Some(Size::Count(1 + dice.roll(2) as u32));
    }
    if dice.one_in(5) {
        step.uses.insert("dba".into(), 1);
    }
    if dice.one_in(5) {
        step.on_stop = [OnStop::Finish, OnStop::Kill, OnStop::Protect][dice.roll(3) as usize];
    }
    if dice.one_in(6) {
        step.verify = Some("v".into());
    }
    if dice.one_in(8) {
        step.atomic = true;
    }
    if dice.one_in(4) {
        step.on_failure = [OnFailure::Rollback, OnFailure::Ask, OnFailure::Continue][dice.roll(3) as usize];
    }
    if dice.one_in(6) && !step.changes_something() {
        step.retry = Retry { times: 1, wait: SignedDuration::from_secs(30), backoff: Backoff::Fixed };
    }
    // Dice of their own, so that what else is drawn from a seed stays the same.
    let mut others = Dice(dice.0 ^ 0x5ca1_ab1e);
    if matches!(step.verb, Verb::Run(_)) && others.one_in(4) {
        take_out_of_service(step, &mut others);
    }
}

/// The same plan without anything around its work.
pub fn work_alone(mut plan: Plan) -> Plan {
    for step in plan.steps.values_mut() {
        (step.fleet.drain, step.fleet.reboot, step.fleet.undrain) = (None, None, None);
        if let Undo::Command(rollback) = &mut step.undo {
            rollback.reboot = None;
        }
    }
    plan
}

/// Some of: drained before, restarted after, and brought back.
fn take_out_of_service(step: &mut Step, dice: &mut Dice) {
    let command = |dice: &mut Dice| Drain {
        run: "lb".into(),
        hosts: None,
        until: dice.one_in(2).then(|| "idle".into()),
        timeout: Some(minutes(5)),
    };
    if !dice.one_in(4) {
        step.fleet.drain = Some(command(dice));
        step.fleet.undrain = Some(command(dice));
    }
    if dice.one_in(2) {
        step.fleet.reboot = Some(minutes(10));
        if let Undo::Command(rollback) = &mut step.undo {
            rollback.reboot = Some(minutes(10));
        }
    }
}

/// A world drawn from a seed. Fates are fixed by attempt, so a resumed run meets the same world.
#[derive(Debug, Clone)]
pub struct RandomWorld {
    pub seed: u64,
    /// One attempt in this many fails somehow; 0 for none.
    pub faults: u64,
    /// Whether undos may fail too.
    pub undo_faults: bool,
    /// Whether durations may exceed the worst estimate.
    pub overruns: bool,
}

impl RandomWorld {
    fn dice(&self, what: &str) -> Dice {
        let mixed = what.bytes().fold(self.seed, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        Dice(mixed)
    }

    fn duration(&self, dice: &mut Dice, estimate: Estimate) -> SignedDuration {
        let worst = estimate.worst.as_secs().max(1) as u64;
        let most = if self.overruns { worst * 3 } else { worst };
        SignedDuration::from_secs(dice.roll(most + 1) as i64)
    }
}

impl Script for RandomWorld {
    fn attempt(&mut self, graph: &Graph, attempt: &AttemptId) -> Fate {
        let mut dice = self.dice(&attempt.to_string());
        let plan = graph.plan();
        let step = plan.steps.get(attempt.action.step()).or(plan.after_rollback.as_ref()).expect("a step");
        let undoing = attempt.direction.is_back();
        let estimate = match attempt.direction {
            Direction::Do if step.gate.is_some() => Estimate::ZERO,
            Direction::Do => step.estimate_or_zero(),
            Direction::Undo => step.rollback().map_or(Estimate::ZERO, |r| r.estimate),
            _ => Estimate::ZERO,
        };
        let takes = self.duration(&mut dice, estimate);
        let may_fail = self.faults > 0 && (!undoing || self.undo_faults);
        if !may_fail || !dice.one_in(self.faults) {
            return Fate::succeeds_after(takes);
        }
        match dice.roll(7) {
            0 => Fate::fails_after(takes, Leaves::Nothing),
            1 => Fate::fails_after(takes, Leaves::All),
            2 => Fate::fails_after(takes, Leaves::Half),
            3 => Fate { hangs: true, ..Fate::succeeds_after(takes) },
            4 => Fate { unreachable_for: Some(minutes(1 + dice.roll(30))), ..Fate::succeeds_after(takes) },
            5 => Fate { outcome: Outcome::Interrupted, leaves: Leaves::Half, ..Fate::succeeds_after(takes) },
            _ => Fate { outcome: Outcome::NeverStarted { why: "refused".into() }, ..Fate::succeeds_after(takes) },
        }
    }

    fn gate(&mut self, graph: &Graph, gate: &ActionId) -> Option<(SignedDuration, Operator)> {
        let mut dice = self.dice(&format!("gate {gate}"));
        let estimate = graph.plan().steps[gate.step()].estimate_or_zero();
        let takes = self.duration(&mut dice, estimate);
        let name = Some(gate.step().to_string());
        let ask = match dice.roll(if self.faults > 0 { 6 } else { 1_000_000 }) {
            0 => Ask::Reject { gate: name, note: None },
            1 => return None,
            _ => Ask::Approve { gate: name, defects: vec![], note: None },
        };
        Some((takes, person("Sarah", ask)))
    }
}
