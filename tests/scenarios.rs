//! Nights told in a few lines of YAML, played by the real engine in the virtual world, and printed as people see them.
//!
//! `tests/scenarios/NAME.yaml` is the story, `NAME.out` what must be printed. `UPDATE=1` writes the outputs anew: read
//! the difference like code.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use runbook::cli::load::load;
use runbook::engine::fact::{Actor, Channel, FactRecord, HoldAnswer, RunOptions};
use runbook::engine::input::{Ask, Input, Operator};
use runbook::engine::invariants::violations;
use runbook::graph::Graph;
use runbook::graph::ids::{ActionId, AttemptId, Direction};
use runbook::graph::outcome::Verdict;
use runbook::plan::model::{Plan, Value};
use runbook::plan::waves::OpenWave;
use runbook::report::Lines;
use runbook::report::{Reporter, WriteUp};
use runbook::sim::world::{Fate, Leaves, Script};
use runbook::sim::{Simulation, started, window_instants};
use runbook::view::{RunView, Week, WeekSoFar};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    /// Below the repository's root.
    plan: PathBuf,
    #[serde(default)]
    vars: BTreeMap<String, String>,
    /// Of a plan in waves: the one that is played, the earlier ones being done.
    #[serde(default)]
    wave: Option<String>,
    /// How long steps take; `undo STEP` for their rollbacks. Others take as long as expected.
    #[serde(default)]
    takes: BTreeMap<String, String>,
    /// What people say at gates.
    #[serde(default)]
    answers: BTreeMap<String, Answer>,
    /// What goes wrong, by attempt: `STEP@HOST/do/1`, or `STEP/undo/2` for all its hosts.
    #[serde(default)]
    faults: BTreeMap<String, Fault>,
    /// What people do by themselves, by clock time in the plan's zone.
    #[serde(default)]
    people: Vec<Deed>,
    /// Nobody can be asked.
    #[serde(default)]
    no_input: bool,
    /// What tests said before the night, by `STEP@HOST`.
    #[serde(default)]
    before: BTreeMap<ActionId, Verdict>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    after: String,
    by: String,
    #[serde(default)]
    reject: bool,
    #[serde(default)]
    defects: Vec<String>,
    #[serde(default)]
    nobody: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fault {
    #[serde(default)]
    exit: Option<u8>,
    #[serde(default)]
    hangs: bool,
    #[serde(default)]
    host_away_for: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Deed {
    at: String,
    by: String,
    #[serde(default)]
    extend_to: Option<String>,
    #[serde(default)]
    rollback: Option<String>,
    #[serde(default)]
    hold: Option<String>,
    #[serde(default)]
    note: Option<String>,
}

impl Scenario {
    fn takes(&self, attempt: &AttemptId, estimate: SignedDuration) -> SignedDuration {
        let step = attempt.action.step();
        let told = match attempt.direction {
            Direction::Do => self.takes.get(attempt.action.as_str()).or_else(|| self.takes.get(step)),
            Direction::Undo => self.takes.get(&format!("undo {step}")),
            part => {
                let told = self.takes.get(&format!("{} {step}", part.as_str()));
                return told.map_or(SignedDuration::ZERO, |t| t.parse().expect("a duration"));
            }
        };
        told.map_or(estimate, |t| t.parse().expect("a duration"))
    }

    fn fault(&self, attempt: &AttemptId) -> Option<&Fault> {
        let end = format!("/{}/{}", attempt.direction.as_str(), attempt.number);
        let on_host = format!("{}{end}", attempt.action);
        self.faults.get(&on_host).or_else(|| self.faults.get(&format!("{}{end}", attempt.action.step())))
    }
}

impl Script for Scenario {
    fn attempt(&mut self, graph: &Graph, attempt: &AttemptId) -> Fate {
        let plan = graph.plan();
        let step = plan.steps.get(attempt.action.step()).or(plan.after_rollback.as_ref()).expect("a step");
        let estimate = match attempt.direction {
            Direction::Undo => step.rollback().map_or(SignedDuration::ZERO, |r| r.estimate.expected),
            _ if step.gate.is_some() => SignedDuration::ZERO,
            _ => step.estimate_or_zero().expected,
        };
        let fine = Fate::succeeds_after(self.takes(attempt, estimate));
        match self.fault(attempt) {
            None => fine,
            Some(Fault { hangs: true, .. }) => Fate { hangs: true, ..fine },
            Some(Fault { host_away_for: Some(d), .. }) => {
                Fate { unreachable_for: Some(d.parse().expect("a duration")), ..fine }
            }
            Some(fault) => Fate {
                outcome: runbook::graph::outcome::Outcome::Failed { exit: fault.exit.unwrap_or(1) },
                ..Fate::fails_after(fine.takes, Leaves::Half)
            },
        }
    }

    fn gate(&mut self, graph: &Graph, gate: &ActionId) -> Option<(SignedDuration, Operator)> {
        let name = gate.step().to_string();
        let Some(answer) = self.answers.get(&name) else {
            let after = graph.plan().steps[&name].estimate_or_zero().expected;
            let ask = Ask::Approve { gate: Some(name), defects: vec![], note: None };
            return Some((after, operator("Sarah", ask)));
        };
        let gate = Some(name);
        let ask = match answer.reject {
            true => Ask::Reject { gate, note: None },
            false => Ask::Approve { gate, defects: answer.defects.clone(), note: None },
        };
        let after = answer.after.parse().expect("a duration");
        (!answer.nobody).then(|| (after, operator(&answer.by, ask)))
    }
}

fn operator(name: &str, ask: Ask) -> Operator {
    Operator { by: Actor { name: name.into(), channel: Channel::Cli }, ask }
}

impl Deed {
    fn ask(&self, clock: impl Fn(&str) -> Timestamp) -> Ask {
        if let Some(to) = &self.extend_to {
            return Ask::Extend { closes: clock(to), granted_by: Some(self.by.clone()), reason: None };
        }
        if let Some(reason) = &self.rollback {
            return Ask::Rollback { reason: Some(reason.clone()) };
        }
        if let Some(text) = &self.note {
            return Ask::Note { text: text.clone() };
        }
        let answer = match self.hold.as_deref() {
            Some("retry") => HoldAnswer::Retry,
            Some("skip") => HoldAnswer::Skip,
            Some("continue") => HoldAnswer::Continue,
            Some("hold") => HoldAnswer::Stay,
            Some("stop") => HoldAnswer::Stop,
            other => panic!("no such deed: {other:?}"),
        };
        Ask::Hold { answer, note: None }
    }
}

/// A writer that several owners share.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The wave, as it is when the earlier ones are done.
fn open_wave(plan: &Plan, name: &str) -> OpenWave {
    let at = plan.waves.iter().position(|wave| wave.name == name).expect("a wave of the plan");
    let wave = Week::new(plan, WeekSoFar::default()).open(at);
    let earlier = plan.partition(&BTreeMap::new()).iter().take(at).map(|taken| taken.hosts.len()).sum::<usize>();
    OpenWave { week_done: earlier as u32, ..wave }
}

/// What a night left.
struct Played {
    graph: Arc<Graph>,
    journal: Vec<FactRecord>,
    /// What a terminal without life would have shown.
    printed: String,
    /// The write-up of the next morning.
    report: String,
}

/// The facts of a scenario that is told in place.
pub fn journal_of(story: &str) -> (Arc<Graph>, Vec<FactRecord>) {
    let played = play(serde_yaml::from_str(story).expect("a scenario"));
    (played.graph, played.journal)
}

fn play(mut scenario: Scenario) -> Played {
    let vars: Vec<(String, Value)> =
        scenario.vars.iter().map(|(k, v)| (k.clone(), v.parse().map_or(Value::Text(v.clone()), Value::Bool))).collect();
    let loaded = load(&root().join(&scenario.plan), &vars).expect("a plan without errors");
    let wave = scenario.wave.as_ref().map(|name| open_wave(&loaded.plan, name));
    let plan = wave.as_ref().map_or_else(|| loaded.plan.clone(), |wave| wave.of_plan(&loaded.plan).expect("its wave"));
    let graph = Arc::new(Graph::build(Arc::new(plan)));
    let window = window_instants(graph.plan(), Timestamp::UNIX_EPOCH);
    let opens = window.expect("a window").opens;
    let zone = graph.plan().timezone.clone().map_or(TimeZone::UTC, |z| TimeZone::get(&z).expect("a zone"));
    let clock = |text: &str| {
        let time: Time = text.parse().expect("a clock time");
        let at = zone.to_datetime(opens).date().to_datetime(time);
        zone.to_timestamp(at).expect("a time of that night")
    };
    let deeds: Vec<_> = scenario.people.iter().map(|d| (clock(&d.at), operator(&d.by, d.ask(clock)))).collect();
    let options = RunOptions { no_input: scenario.no_input, wave, ..RunOptions::default() };
    let mut first = started(&graph, window, options);
    first.run = format!("{}-a", graph.plan().stem);
    first.digest = "7c1f9a3e".into();
    first.baseline = std::mem::take(&mut scenario.before);
    first.file = scenario.plan.display().to_string();

    let paper = Paper::default();
    let mut lines = Lines::new(Box::new(paper.clone()), false);
    let mut view = RunView::new(graph.clone());
    let mut sim = Simulation::start(graph.clone(), first, opens, &mut scenario);
    for (at, deed) in deeds {
        sim.world.at(at, Input::Operator(deed));
    }
    let (mut shown, mut called) = (0, BTreeSet::new());
    loop {
        let new = sim.journal[shown..].to_vec();
        shown = sim.journal.len();
        new.iter().for_each(|record| view.apply(record));
        lines.facts(&view, &new, sim.now);
        call_ahead(&view, &mut called, &mut sim);
        if sim.engine.state().end().is_some() {
            break;
        }
        assert!(sim.step(), "nothing is left that could happen, and the run has not ended");
    }
    lines.finish(&view, sim.now);
    let found = violations(&graph, &sim.journal);
    assert!(found.is_empty(), "{found:?}");
    drop(lines);
    let journal = sim.journal.clone();
    let coloured = String::from_utf8(paper.0.lock().unwrap().clone()).expect("text");
    let report = WriteUp::of(&view, sim.now).expect("a run that has begun").text(100).join("\n") + "\n";
    Played { graph, journal, printed: anstream::adapter::strip_str(&coloured).to_string(), report }
}

/// What looks beside a real engine: who must be called soon, each of them once.
fn call_ahead(view: &RunView, called: &mut BTreeSet<ActionId>, sim: &mut Simulation<'_>) {
    for call in view.calls_due(sim.now) {
        if called.insert(call.gate.clone()) {
            let gate = call.gate.step().to_owned();
            let ask = Ask::CallAhead { gate, expected: call.expected, planned: call.planned };
            sim.world.at(sim.now, Input::Operator(Operator { by: Actor::engine(), ask }));
        }
    }
}

/// The nine rows of the story, by the clock, each as far as a program can know it.
#[test]
fn the_report_of_2_december_has_the_times_and_the_sentences_of_its_story() {
    let scenario =
        std::fs::read_to_string(root().join("tests/scenarios/2007-12-02-as-it-was.yaml")).expect("a scenario");
    let Played { report, .. } = play(serde_yaml::from_str(&scenario).expect("a scenario"));
    let timeline = report.split("\n\n").nth(1).expect("a timeline");
    let unfolded = timeline.replace("\n       ", " ");
    let at = |clock: &str| {
        unfolded.lines().find(|line| line.starts_with(clock)).unwrap_or_else(|| panic!("{clock}: {report}"))
    };
    let story: [(&str, &[&str]); 9] = [
        ("01:30", &["Everybody is on the conference bridge."]),
        ("01:35", &["Everybody is ready.", "Started stop-frontend. Started stop-backend."]),
        (
            "01:40",
            &["The front-end is shut down. The back-end is shut down.", "Started backup-db. Started deploy-backend."],
        ),
        (
            "01:45",
            &[
                "Backed up the database (5m, expected 15m-20m; verified).",
                "Started db-scripts.",
                "The back-end takes longer",
            ],
        ),
        ("01:50", &["The database scripts are done", "The back-end is up.", "Sanity-backend begins."]),
        ("02:00", &["The sanity test of the back-end passed.", "Started deploy-frontend."]),
        (
            "02:05",
            &[
                "The front-end is deployed",
                "Sanity-frontend begins.",
                "An hour ahead of schedule.",
                "Time to call Ms. Hu",
            ],
        ),
        ("02:20", &["The sanity test of the front-end passed.", "Asked: Does the client accept the release?"]),
        ("05:00", &["The client accepts the release with 2 defects: BUG-311"]),
    ];
    for (clock, sentences) in story {
        sentences.iter().for_each(|said| assert!(at(clock).contains(said), "{clock} does not say {said:?}:\n{report}"));
    }
}

#[test]
fn every_scenario_prints_what_its_story_says() {
    let folder = root().join("tests/scenarios");
    let mut names: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("the scenarios")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .collect();
    names.sort();
    assert!(names.len() >= 5, "only {} scenarios were found", names.len());
    let mut wrong = Vec::new();
    for path in names {
        let text = std::fs::read_to_string(&path).expect("a scenario");
        let scenario: Scenario = serde_yaml::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let Played { printed, report, .. } = play(scenario);
        for (kind, text) in [("out", printed), ("report", report)] {
            let golden = path.with_extension(kind);
            if std::env::var_os("UPDATE").is_some() {
                std::fs::write(&golden, &text).expect("written");
            } else if std::fs::read_to_string(&golden).unwrap_or_default() != text {
                wrong.push(format!("{} printed:\n{text}", golden.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
