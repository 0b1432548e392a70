//! What became of the attempts that a lost engine left open: asked of their hosts before anybody takes the run over, and
//! what would follow from it. Changes nothing but this: what a host does not know can never start any more.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;

use super::error::CommandError;
use super::setup::Night;
use super::{reach, scene};
use crate::engine::effect::Effect;
use crate::engine::fact::{Actor, Fact, FactRecord};
use crate::engine::input::Input;
use crate::engine::{Engine, IllegalFact};
use crate::graph::Graph;
use crate::graph::ids::{AttemptId, Direction};
use crate::graph::job::Site;
use crate::graph::outcome::{Evidence, Outcome};
use crate::lab::Lab;
use crate::rehearsal::FastClock;
use crate::report::{Clock, coarse, escape_for_terminal};
use crate::transport::{Event, Report, Transport};

/// How long all hosts together may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// One open attempt, and what its host says of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    pub attempt: AttemptId,
    pub site: Option<Site>,
    /// When it was started, by the journal.
    pub since: Timestamp,
    pub state: State,
}

#[derive(Debug, Clone, PartialEq)]
pub enum State {
    Ended(Outcome, Box<Evidence>),
    Running,
    /// Its host cannot be asked, or has not answered.
    Unknown(String),
}

/// The attempts that the journal leaves open, not asked yet.
///
/// # Errors
/// When the facts cannot be replayed.
pub fn open(graph: &Arc<Graph>, facts: &[FactRecord]) -> Result<Vec<Found>, IllegalFact> {
    let engine = Engine::replay(graph.clone(), facts)?;
    let armed: BTreeMap<&AttemptId, Timestamp> = facts
        .iter()
        .filter_map(|record| match &record.fact {
            Fact::AttemptArmed { attempt } => Some((attempt, record.at)),
            _ => None,
        })
        .collect();
    let found = |attempt: &AttemptId| Found {
        attempt: attempt.clone(),
        site: engine.site(attempt),
        since: armed.get(attempt).copied().unwrap_or_default(),
        state: State::Unknown("it has not answered".to_owned()),
    };
    Ok(engine.state().open_attempts().map(found).collect())
}

/// Asks the hosts, all at once, as the owner of `epoch`.
///
/// # Errors
/// When nothing can be asked at all; what single hosts say is in the answer.
pub fn ask(
    night: &Night,
    epoch: u64,
    scratch: &std::path::Path,
    lab: Option<&Lab>,
    found: &mut [Found],
) -> Result<(), CommandError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let asked = runtime.block_on(async {
        let transport = transport(night, epoch, scratch, lab, found)?;
        let (reports, mut answers) = mpsc::unbounded_channel();
        for one in found.iter() {
            if let Some(site) = one.site.clone() {
                transport.probe(site, one.attempt.clone(), reports.clone());
            }
        }
        drop(reports);
        let _ = tokio::time::timeout(PATIENCE, listen(&mut answers, found)).await;
        let _ = transport.close().await;
        Ok(())
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    // What they said on the way is followed again by the engine.
    let _ = std::fs::remove_dir_all(scratch);
    asked
}

/// The hosts, or the model of a rehearsal.
fn transport(
    night: &Night,
    epoch: u64,
    scratch: &std::path::Path,
    lab: Option<&Lab>,
    found: &[Found],
) -> Result<Arc<dyn Transport>, CommandError> {
    if let Some(pace) = night.started.options.rehearsal {
        let graph = Arc::new(Graph::build(Arc::new(night.plan.clone())));
        let started = found.iter().map(|one| (one.attempt.clone(), one.since));
        return Ok(Arc::new(scene::model(night, &graph, FastClock::go_on(pace), started)));
    }
    let name = night.started.name_on_hosts();
    Ok(reach::transport(&night.plan, &night.setup, &name, epoch, scratch, lab, None)?)
}

async fn listen(answers: &mut mpsc::UnboundedReceiver<Report>, found: &mut [Found]) {
    let mut silent = found.iter().filter(|one| one.site.is_some()).count();
    while silent > 0 {
        let Some(report) = answers.recv().await else { return };
        let state = match report.what {
            Event::Ended { outcome, evidence } => State::Ended(outcome, Box::new(evidence)),
            Event::Running => State::Running,
            Event::Unreachable { why } => State::Unknown(why),
            Event::Launched | Event::LinkLost { .. } | Event::LinkRestored => continue,
        };
        if let Some(one) = found.iter_mut().find(|one| one.attempt == report.attempt) {
            one.state = state;
            silent -= 1;
        }
    }
}

/// What would follow if the run went on now.
#[derive(Debug, Default)]
pub struct Next {
    /// Whether anything would be started sooner or later, beyond what runs already.
    pub starts: bool,
    /// The steps that begin at once, in the plan's order; their undos in a rollback.
    pub steps: Vec<String>,
    /// The facts that would be recorded first.
    pub facts: Vec<FactRecord>,
}

/// Lets an engine that nobody hears say what it would do.
///
/// # Errors
/// When the facts cannot be replayed.
pub fn next(
    graph: &Arc<Graph>,
    facts: &[FactRecord],
    found: &[Found],
    epoch: u64,
    now: Timestamp,
) -> Result<Next, IllegalFact> {
    let mut engine = Engine::replay(graph.clone(), facts)?;
    let mut next = Next::default();
    let mut inputs = vec![Input::Resumed { by: Actor::engine(), epoch }];
    inputs.extend(found.iter().filter_map(|one| match &one.state {
        State::Ended(outcome, evidence) => Some(ended(&one.attempt, outcome.clone(), (**evidence).clone())),
        State::Running | State::Unknown(_) => None,
    }));
    inputs.push(Input::Tick);
    let mut seq = facts.last().map_or(0, |record| record.seq);
    for input in inputs {
        let turn = engine.handle(now, input);
        next.heed(&turn.facts, &turn.effects);
        next.facts.extend((seq + 1..).zip(turn.facts).map(|(seq, fact)| FactRecord { seq, at: now, fact }));
        seq = next.facts.last().map_or(seq, |record| record.seq);
    }
    let steps = next.steps.clone();
    // What still runs is taken to succeed: is that the end?
    for one in found.iter().filter(|one| !matches!(one.state, State::Ended(..))) {
        let turn = engine.handle(now, ended(&one.attempt, Outcome::Succeeded, Evidence::default()));
        next.heed(&turn.facts, &turn.effects);
    }
    next.steps = steps;
    Ok(next)
}

fn ended(attempt: &AttemptId, outcome: Outcome, evidence: Evidence) -> Input {
    Input::AttemptEnded { attempt: attempt.clone(), outcome, evidence }
}

impl Next {
    fn heed(&mut self, facts: &[Fact], effects: &[Effect]) {
        self.starts |= effects.iter().any(|effect| matches!(effect, Effect::Launch(_) | Effect::Kill(_)));
        for fact in facts {
            let action = match fact {
                Fact::AttemptArmed { attempt } | Fact::RetryScheduled { attempt, .. } => &attempt.action,
                Fact::GateOpened { action, .. } | Fact::WaitStarted { action, .. } => action,
                _ => continue,
            };
            self.starts = true;
            if !self.steps.iter().any(|step| step == action.step()) {
                self.steps.push(action.step().to_owned());
            }
        }
    }
}

/// The table for people: one line per attempt.
#[must_use]
pub fn table(found: &[Found], silent_since: Option<Timestamp>, clock: &Clock, now: Timestamp) -> Vec<String> {
    let steps: std::collections::BTreeSet<&str> = found.iter().map(|one| one.attempt.action.step()).collect();
    let name = |one: &Found| {
        let host = one.attempt.action.host().unwrap_or("here");
        if steps.len() == 1 { host.to_owned() } else { format!("{}  {host}", one.attempt.action.step()) }
    };
    let rows: Vec<(String, String, &str)> =
        found.iter().map(|one| (name(one), what(one, silent_since, clock, now), becomes(one))).collect();
    let names = rows.iter().map(|r| r.0.chars().count()).max().unwrap_or(0);
    let whats = rows.iter().map(|r| r.1.chars().count()).max().unwrap_or(0).min(60);
    rows.iter().map(|(name, what, then)| format!("  {name:<names$}  {what:<whats$}  -> {then}")).collect()
}

fn what(one: &Found, silent_since: Option<Timestamp>, clock: &Clock, now: Timestamp) -> String {
    let undo = part(one.attempt.direction);
    let text = match &one.state {
        State::Running => format!("{undo}still running, for {}", coarse(now.duration_since(one.since))),
        State::Unknown(why) => format!("cannot be asked: {why}"),
        State::Ended(Outcome::InDoubt { why }, _) => format!("{undo}may have run: {why}"),
        State::Ended(Outcome::NeverStarted { .. }, _) => format!("{undo}never started, and cannot any more"),
        State::Ended(Outcome::Interrupted, _) => format!("{undo}was started, is dead, left no exit code"),
        State::Ended(outcome, evidence) => {
            let at = evidence.took.and_then(|took| one.since.checked_add(took).ok());
            let alone = at.zip(silent_since).is_some_and(|(at, since)| at > since);
            let at = at.map_or_else(String::new, |at| format!(" {}", clock.hms(at)));
            let how = if outcome.is_success() { "exit 0".to_owned() } else { outcome.to_string() };
            format!("{undo}finished{at}, {how}{}", if alone { " (ran on by itself)" } else { "" })
        }
    };
    escape_for_terminal(&text)
}

/// Which part of its action was found, where it is not the work itself.
const fn part(direction: Direction) -> &'static str {
    match direction {
        Direction::Do | Direction::Check | Direction::UndoCheck => "",
        Direction::Drain | Direction::Drained => "its drain ",
        Direction::Reboot | Direction::UndoReboot => "its restart ",
        Direction::Undrain | Direction::Undrained | Direction::UndoUndrain | Direction::UndoUndrained => "its undrain ",
        Direction::Undo => "its rollback ",
    }
}

/// What the run makes of it.
const fn becomes(one: &Found) -> &'static str {
    let undo = one.attempt.direction.is_back();
    match &one.state {
        State::Running => "FOLLOWED",
        State::Ended(Outcome::Succeeded, _) if undo => "UNDONE",
        State::Ended(Outcome::Succeeded, _) => "DONE",
        State::Ended(Outcome::NeverStarted { .. }, _) => "NOT STARTED",
        State::Ended(Outcome::InDoubt { .. } | Outcome::Interrupted, _) | State::Unknown(_) => "IN DOUBT",
        State::Ended(..) => "FAILED",
    }
}

/// What a person can do about an attempt of which its host cannot tell how it ended: the ways to look, and to say it.
#[must_use]
pub fn ways_out(found: &[Found], graph: &Graph) -> Vec<String> {
    let doubtful = found.iter().filter(|one| becomes(one) == "IN DOUBT" && one.attempt.direction == Direction::Do);
    let of = |one: &Found| {
        let ix = graph.find(&one.attempt.action)?;
        let step = graph.step_of(ix);
        // The plan itself says how to find out, or that a second time does no harm.
        if step.verify.is_some() || step.idempotent {
            return None;
        }
        let name = step.id.as_str();
        let (place, look, at, hosts) = match one.attempt.action.host()? {
            "local" => ("here".to_owned(), String::new(), name.to_owned(), String::new()),
            host => (
                format!("on {host}"),
                format!(" {host}   and ssh {host}"),
                format!("{name}@{host}"),
                format!(" --hosts {host}"),
            ),
        };
        Some([
            format!("  {name} may be half done {place}; look there, then say what is true:"),
            format!("    look     runbook logs {name}{look}"),
            format!("    done     runbook mark {at} done"),
            format!("    failed   runbook mark {at} failed"),
            format!(
                "    rerun    runbook retry {name}{hosts}   (the plan does not say that a second time is harmless)"
            ),
        ])
    };
    doubtful.filter_map(of).flatten().collect()
}

/// How many of them are neither done nor certainly without effect, apart from what is still followed.
#[must_use]
pub fn half_done(found: &[Found]) -> usize {
    found.iter().filter(|one| matches!(becomes(one), "IN DOUBT" | "FAILED")).count()
}

/// How long ago, rounded for people.
#[must_use]
pub fn ago(now: Timestamp, since: Timestamp) -> String {
    coarse(now.duration_since(since).max(SignedDuration::ZERO))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::args::Cli;
    use crate::graph::ids::ActionId;
    use crate::graph::sample;

    /// Every way out that is offered is one.
    #[test]
    fn what_a_person_is_told_to_type_can_be_typed() {
        for (host, marked) in [("h1", "mark deploy@h1 done"), ("local", "mark deploy done")] {
            let graph = sample::graph(sample::plan(vec![sample::run("deploy", &[], &[host], "d")]));
            let attempt =
                AttemptId { action: ActionId::new("deploy", Some(host)), direction: Direction::Do, number: 1 };
            let state = State::Ended(Outcome::Interrupted, Box::default());
            let lines = ways_out(&[Found { attempt, site: None, since: Timestamp::UNIX_EPOCH, state }], &graph);
            let commands: Vec<&str> =
                lines.iter().filter_map(|line| line.split_once("runbook ")).map(|(_, c)| c).collect();
            assert!(commands.len() == 4 && commands.contains(&marked), "{lines:?}");
            for command in commands {
                let typed = command.split("   ").next().unwrap_or_default();
                let parsed = Cli::try_parse_from(std::iter::once("runbook").chain(typed.split(' ')));
                assert!(parsed.is_ok(), "{typed}: {}", parsed.err().map_or_else(String::new, |e| e.to_string()));
            }
        }
    }
}
