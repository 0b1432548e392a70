//! One night that is crashed: the real program, journal, keeper and steps in a folder of their own, an engine that is
//! killed at chosen commits, and people who take over until the run is over.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use runbook::engine::fact::{Fact, FactRecord, RunEnd};
use runbook::engine::invariants::violations;
use runbook::graph::Graph;
use runbook::graph::ids::Direction;
use runbook::graph::outcome::Outcome;
use runbook::journal::{RunRow, Store};

use super::plans::{Case, Person, text};
use crate::exec::{Bed, Said, is_engine};

/// A night that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(90);
/// More engines than that are not needed for any of the plans.
const ENGINES: usize = 12;

/// The library that kills an engine, built once.
static CRASH: LazyLock<PathBuf> = LazyLock::new(|| {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let (library, mine) = (dir.join("crash.so"), dir.join(format!("crash.{}.so", std::process::id())));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sweep/crash.c");
    let built =
        Command::new("cc").args(["-O1", "-shared", "-fPIC", "-o"]).arg(&mine).arg(source).arg("-ldl").status().unwrap();
    assert!(built.success(), "the embedded SQLite needs a C compiler, and so does this");
    fs::rename(&mine, &library).unwrap();
    library
});

/// Where an engine is killed: at which commit of its own, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    pub commit: usize,
    pub moment: Moment,
}

impl Point {
    /// The engine that this command starts fails there, and leaves a file behind.
    pub fn plant(&self, command: &mut Command, mark: &Path) {
        command.env("LD_PRELOAD", &*CRASH).env("CRASH_FILE", mark);
        command.env("CRASH_AT", format!("{}.{}", self.commit, self.moment.word()));
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Before a byte of it is written.
    Write,
    /// Written, not synced.
    Sync,
    /// Synced; nothing that follows from it was done.
    Done,
    /// The disk says that the sync failed.
    Eio,
    /// The disk never answers.
    Hang,
    /// From here on there is no space, until what was set aside is given up.
    Full,
}

impl Moment {
    /// Those after which nothing but another engine goes on.
    pub const ENDS: [Self; 4] = [Self::Write, Self::Sync, Self::Done, Self::Eio];

    const fn word(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Sync => "sync",
            Self::Done => "done",
            Self::Eio => "eio",
            Self::Hang => "hang",
            Self::Full => "full",
        }
    }
}

/// What a night came to, as far as a crash must not change it.
#[derive(Debug, PartialEq)]
pub struct Outcomes {
    /// Whether it was in time depends on the machine.
    pub end: RunEnd,
    /// How often each step did and undid its work.
    pub effects: BTreeMap<String, usize>,
    /// How each action and each undo ended at last.
    pub last: BTreeMap<String, String>,
}

pub struct Finished {
    pub outcomes: Outcomes,
    /// How many of the points were reached.
    pub crashes: usize,
    pub engines: usize,
}

/// Plays `case`; the engine that is started as number `n` is killed at `points[n]`. Says what is wrong, if anything is.
pub fn play(case: &Case, points: &[Point]) -> Result<Finished, String> {
    let bed = Bed::new("");
    bed.plan("night", &text(case, bed.dir.path().to_str().unwrap()));
    let mut night = Night { bed: &bed, case, points, engines: 0, deadline: Instant::now() + PATIENCE };
    let run = night.play_on()?;
    let crashes = (0..points.len()).filter(|n| bed.path(&format!("crash-{n}")).exists()).count();
    Ok(Finished { outcomes: judge(&bed, &run)?, crashes, engines: night.engines })
}

/// Holds the journal of a run that is over against the rules, and against what was really done.
pub fn judge(bed: &Bed, run: &RunRow) -> Result<Outcomes, String> {
    let facts = bed.store().facts(&run.id, 0).map_err(|e| format!("the journal cannot be read: {e}"))?;
    let plan = bed.store().frozen(&run.id).unwrap().plan;
    let graph = Graph::build(Arc::new(serde_json::from_str(&plan).unwrap()));
    let wrong = violations(&graph, &facts);
    if !wrong.is_empty() {
        return Err(wrong.join("; "));
    }
    let effects = effects(&bed.effects(), &facts)?;
    let end = match run.end.clone().unwrap() {
        RunEnd::Succeeded { .. } => RunEnd::Succeeded { late: false },
        RunEnd::RolledBack { verified, .. } => RunEnd::RolledBack { verified, late: false },
        other => other,
    };
    Ok(Outcomes { end, effects, last: last(&facts) })
}

struct Night<'a> {
    bed: &'a Bed,
    case: &'a Case,
    points: &'a [Point],
    engines: usize,
    deadline: Instant,
}

impl Night<'_> {
    fn play_on(&mut self) -> Result<RunRow, String> {
        loop {
            if Instant::now() > self.deadline {
                return Err(format!("it does not end; effects: {:?}, status:\n{}", self.bed.effects(), self.status()));
            }
            match self.newest() {
                Some(run) if run.end.is_some() => return Ok(run),
                Some(run) if run.lease.as_ref().is_some_and(|lease| is_engine(lease.pid)) => self.person(&run.id),
                // Its last facts may have come after we looked.
                Some(run) if self.bed.store().run(&run.id).is_ok_and(|run| run.end.is_none()) => {
                    self.start(&["resume", "--confirm", "night", "--detach"])?;
                }
                Some(_) => {}
                None => self.start(&["exec", "night.yaml", "--confirm", "night", "--detach"])?,
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn newest(&self) -> Option<RunRow> {
        Store::open_existing(&self.bed.path("store")).unwrap()?.runs().unwrap().into_iter().next()
    }

    fn status(&self) -> String {
        self.bed.run(&["status", "latest"]).stdout
    }

    /// Starts the next engine.
    fn start(&mut self, args: &[&str]) -> Result<(), String> {
        let mut command = self.bed.command(args);
        if let Some(point) = self.points.get(self.engines) {
            point.plant(&mut command, &self.bed.path(&format!("crash-{}", self.engines)));
        }
        self.engines += 1;
        let said = Said::of(command.output().unwrap());
        let crashed = self.bed.path(&format!("crash-{}", self.engines - 1)).exists();
        match said.code {
            30 => Ok(()),
            _ if crashed => Ok(()),
            // Over while we looked, or its engine still dies.
            3 if ["is over", "no run is open", "is held by"].iter().any(|words| said.stderr.contains(words)) => Ok(()),
            _ if self.engines > ENGINES => Err(format!("{ENGINES} engines were not enough: {said:?}")),
            _ => Err(format!("{args:?}: {said:?}")),
        }
    }

    fn waiting(&self) -> usize {
        fs::read_to_string(self.bed.path("waiting")).unwrap_or_default().lines().count()
    }

    /// What the person of this plan does now; an engine that is just gone does not hear it, so it is said again later.
    fn person(&self, run: &str) {
        let Some(person) = self.case.person else { return };
        let facts = self.bed.facts(run);
        let has = |what: fn(&Fact) -> bool| facts.iter().any(what);
        let gate = has(|f| matches!(f, Fact::GateOpened { .. })) && !has(|f| matches!(f, Fact::GateAnswered { .. }));
        match person {
            Person::Approves | Person::Skips if gate => drop(self.bed.run(&["approve", "--run", run])),
            Person::Skips if has(|f| matches!(f, Fact::HoldOpened { .. })) => {
                self.bed.run(&["skip", "fails", "-m", "not needed", "--run", run]);
            }
            Person::Aborts if has(|f| matches!(f, Fact::RollbackDecided { .. })) => {
                fs::write(self.bed.path("decided"), "").unwrap();
            }
            Person::Aborts if self.waiting() == 3 => {
                self.bed.run(&["rollback", "--confirm", "night", "-m", "enough", "--run", run]);
            }
            _ => {}
        }
    }
}

/// Counts what was really done, and holds it against the journal: nothing twice, nothing that the journal does not know,
/// nothing lost.
fn effects(lines: &[String], facts: &[FactRecord]) -> Result<BTreeMap<String, usize>, String> {
    let mut really: Vec<&str> = lines.iter().map(String::as_str).collect();
    really.sort_unstable();
    if let Some(twice) = really.windows(2).find(|w| w[0] == w[1]) {
        return Err(format!("done twice: {}", twice[0]));
    }
    let mut told: Vec<String> = facts.iter().filter_map(|r| ran(&r.fact)).collect();
    told.sort_unstable();
    if told != really {
        return Err(format!("the journal says {told:?}, done was {really:?}"));
    }
    let mut counts = BTreeMap::new();
    for line in lines {
        *counts.entry(line.rsplit_once(' ').map_or(line.as_str(), |(what, _)| what).to_owned()).or_default() += 1;
    }
    Ok(counts)
}

/// The effect of an attempt that ran, by the journal.
fn ran(fact: &Fact) -> Option<String> {
    let Fact::AttemptEnded { attempt, outcome, .. } = fact else { return None };
    let word = match attempt.direction {
        Direction::Do => "do",
        Direction::Undo => "undo",
        _ => return None,
    };
    let ran = !matches!(outcome, Outcome::NeverStarted { .. });
    ran.then(|| format!("{} {word} {}", attempt.action.step(), attempt.number))
}

fn last(facts: &[FactRecord]) -> BTreeMap<String, String> {
    let ended = facts.iter().filter_map(|record| match &record.fact {
        Fact::AttemptEnded { attempt, outcome, .. } => {
            Some((format!("{} {:?}", attempt.action, attempt.direction), outcome.to_string()))
        }
        _ => None,
    });
    ended.collect()
}
