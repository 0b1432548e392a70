//! P23: a run whose journal is gone is rebuilt from what its hosts remember. At any fact of any run, whatever was started
//! is known again as it was. A failure prints its seed; `SEED=n` runs that one alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use runbook::engine::Engine;
use runbook::engine::fact::{Actor, Channel, Fact, FactRecord, RunOptions, RunStarted};
use runbook::engine::state::{ActionState, Doing};
use runbook::graph::Graph;
use runbook::graph::ids::{ActionId, AttemptId, Direction};
use runbook::graph::outcome::{Evidence, Outcome};
use runbook::plan::source::Source;
use runbook::plan::{Draft, Outside};
use runbook::sim::{Ledger, Rebuilt, Remembered, Simulation, rebuild, started, window_instants};

use super::plans::{Dice, RandomWorld, minutes, opens, random_plan, work_alone};

/// Points of each run at which its journal is lost.
const POINTS: usize = 20;

/// What hosts remember when the journal ends here. What is in doubt has no end that a host would tell.
fn ledger(facts: &[FactRecord]) -> Ledger {
    let (mut ledger, mut armed) = (Ledger::new(), BTreeMap::new());
    for FactRecord { at, fact, .. } in facts {
        match fact {
            Fact::AttemptArmed { attempt } => drop(armed.insert(attempt.clone(), *at)),
            Fact::AttemptLaunched { attempt } => {
                let launched = Remembered { started: Some(*at), end: None };
                ledger.insert(attempt.clone(), launched);
            }
            Fact::AttemptEnded { attempt, outcome, evidence } if !matches!(outcome, Outcome::InDoubt { .. }) => {
                let ended = Some((Some(*at), outcome.clone(), evidence.clone()));
                let record = ledger.entry(attempt.clone()).or_default();
                record.started = record.started.or_else(|| armed.get(attempt).copied());
                record.end = ended;
            }
            _ => {}
        }
    }
    ledger
}

fn again(graph: &Arc<Graph>, first: &RunStarted, facts: &[FactRecord]) -> Rebuilt {
    let mut first = first.clone();
    first.options.no_input = false;
    let by = Actor { name: "Marie".into(), channel: Channel::Cli };
    let now = facts.last().map_or(opens(), |record| record.at);
    rebuild(graph, first, ledger(facts), &by, false, now)
}

/// What a host can know of an action, and a rebuilt run must know again.
fn known(a: &ActionState) -> (Option<Outcome>, bool, bool) {
    // Nor does a host know of an attempt that never reached it.
    let told = |o: &Outcome| o.may_have_run() && !matches!(o, Outcome::InDoubt { .. });
    (a.forward.clone().filter(told), a.touched, a.doing == Doing::Undone)
}

/// The actions of which anything was started, the proof of a rollback aside.
fn begun(graph: &Graph, facts: &[FactRecord]) -> Vec<ActionId> {
    let attempts = facts.iter().filter_map(|record| match &record.fact {
        Fact::AttemptLaunched { attempt } => Some(&attempt.action),
        _ => None,
    });
    let mut actions: Vec<ActionId> = attempts.filter(|id| graph.find(id).is_some()).cloned().collect();
    actions.sort();
    actions.dedup();
    actions
}

fn wrong(graph: &Arc<Graph>, first: &RunStarted, facts: &[FactRecord]) -> Vec<String> {
    let lost = Engine::replay(graph.clone(), facts).unwrap();
    let rebuilt = again(graph, first, facts);
    let mut wrong: Vec<String> = rebuilt.unexplained.iter().map(|a| format!("{a} fits nowhere")).collect();
    for id in begun(graph, facts) {
        let lost = lost.state().find(&id).unwrap();
        let found = rebuilt.engine.state().find(&id).unwrap();
        let unheard = |a: &ActionState| a.open_attempt().is_some() && !a.launched;
        if unheard(lost) || unheard(found) {
            // No host has heard of its next attempt.
            continue;
        }
        let (was, is) = (known(lost), known(found));
        if was != is {
            wrong.push(format!("{id} was {was:?}, is {is:?}"));
        }
    }
    if Engine::replay(graph.clone(), &rebuilt.facts).is_err() {
        wrong.push("its facts are no journal".to_owned());
    }
    wrong
}

fn text(facts: &[FactRecord]) -> String {
    facts.iter().map(|r| format!("{} {} {:?}\n", r.seq, r.at, r.fact)).collect()
}

fn night(seed: u64, faults: u64) -> (Arc<Graph>, RunStarted, Vec<FactRecord>) {
    let plan = random_plan(&mut Dice(seed));
    // What was refused late leaves no record: of a longer way it cannot be told where it stood.
    let plan = if faults > 0 { work_alone(plan) } else { plan };
    let graph = Arc::new(Graph::build(Arc::new(plan)));
    let mut world = RandomWorld { seed, faults, undo_faults: seed.is_multiple_of(2), overruns: false };
    let options = RunOptions { no_input: true, ..RunOptions::default() };
    let first = started(&graph, window_instants(graph.plan(), opens()), options);
    let mut sim = Simulation::start(graph.clone(), first.clone(), opens(), &mut world);
    sim.run(20_000).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    let journal = std::mem::take(&mut sim.journal);
    drop(sim);
    (graph, first, journal)
}

#[test]
fn whatever_was_started_is_known_again() {
    let one = std::env::var("SEED").ok().and_then(|s| s.parse::<u64>().ok());
    let (mut tried, mut failed) = (0, Vec::new());
    for seed in one.map_or(0..400, |seed| seed..seed + 1) {
        let (graph, first, journal) = night(seed, [0, 4, 7][(seed % 3) as usize]);
        let step = journal.len().div_ceil(POINTS).max(1);
        for cut in (1..=journal.len()).step_by(step) {
            tried += 1;
            let found = wrong(&graph, &first, &journal[..cut]);
            if !found.is_empty() {
                let rebuilt = again(&graph, &first, &journal[..cut]);
                failed.push(format!(
                    "seed {seed}, cut {cut}: {found:?}\nlost:\n{}\nrebuilt:\n{}{:?}",
                    text(&journal[..cut]),
                    text(&rebuilt.facts),
                    rebuilt.concluded
                ));
                break;
            }
        }
    }
    assert!(failed.is_empty(), "{} of {tried}: {}", failed.len(), failed[0]);
    assert!(tried > 4_000 || one.is_some(), "{tried}");
}

/// One step on a host, one on the controller, one on the host again.
const THROUGH_THE_CONTROLLER: &str = "runbook: 1
name: N
hosts: {web: [h1]}
steps:
  a: {hosts: web, run: a, read_only: true, estimate: 1m}
  b: {hosts: local, run: b, rollback: b, estimate: 1m}
  c: {hosts: web, run: c, read_only: true, estimate: 1m}
";

fn without_the_controller(done: &[&str]) -> Rebuilt {
    let source = Source::from_bytes("n.yaml", THROUGH_THE_CONTROLLER.as_bytes()).ok().unwrap();
    let plan = Draft::read(&source).check(&Outside { stem: "n".into(), ..Outside::default() }).plan.unwrap();
    let graph = Arc::new(Graph::build(Arc::new(plan)));
    let minute = |n: usize| opens() + minutes(n as u64);
    let record = |(n, step): (usize, &&str)| {
        let attempt = AttemptId { action: ActionId::new(step, Some("h1")), direction: Direction::Do, number: 1 };
        let end = Some((Some(minute(2 * n + 1)), Outcome::Succeeded, Evidence::default()));
        (attempt, Remembered { started: Some(minute(2 * n)), end })
    };
    let ledger = done.iter().enumerate().map(record).collect();
    let by = Actor { name: "Marie".into(), channel: Channel::Cli };
    rebuild(&graph, started(&graph, None, RunOptions::default()), ledger, &by, true, minute(60))
}

#[test]
fn what_the_lost_controller_executed_is_done_or_in_doubt() {
    let through = without_the_controller(&["a", "c"]);
    assert_eq!((through.unexplained.len(), through.concluded.len()), (0, 1), "{:?}", through.concluded);
    assert_eq!(through.concluded[0], "b@local was done: what waits for it was started");
    assert!(through.engine.state().end().is_some());

    let doubtful = without_the_controller(&["a"]);
    assert_eq!(doubtful.concluded, ["b@local may have run on the lost controller"]);
    let b = doubtful.engine.state().find(&ActionId::new("b", Some("local"))).unwrap();
    assert!(matches!(b.forward, Some(Outcome::InDoubt { .. })) && b.touched, "{b:?}");
    assert!(doubtful.engine.state().hold().is_some(), "a person is asked");
}
