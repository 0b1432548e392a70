//! Which wave of a plan is next, by what its earlier runs have done. Starts nothing.

use super::error::CommandError;
use super::{look, review, window};
use crate::engine::fact::{Fact, RunStarted};
use crate::journal::{RunRow, Store};
use crate::plan::model::{HostName, Plan, Wave};
use crate::plan::nearest;
use crate::plan::waves::{NextWave, OpenWave, Taken};
use crate::view::{WaveSoFar, WeekSoFar};

/// What is asked of the store.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// `--wave NAME`.
    pub wave: Option<&'a str>,
    /// Runs of the lab count among themselves, of exactly this plan.
    pub lab: Option<&'a str>,
}

/// The wave to execute; `None` for a plan without waves.
///
/// # Errors
/// When the wave that is asked for is done, or comes after one that is not; when nothing is left to do.
pub fn choose(store: &Store, plan: &Plan, wish: Wish<'_>) -> Result<Option<OpenWave>, CommandError> {
    if plan.waves.is_empty() {
        let asked = wish.wave.map(|name| {
            CommandError::usage(format!("the plan has no waves, so there is none called `{}`", name.escape_debug()))
        });
        return asked.map_or(Ok(None), Err);
    }
    let week = Week::new(plan, so_far(store, plan, wish.lab)?);
    let fresh = || Week::new(plan, WeekSoFar::default());
    match (wish.wave.map(|name| position(plan, name)).transpose()?, wish.lab) {
        // Nothing is at stake: any wave at any time, and over again from the first when all are done.
        (Some(at), Some(_)) => Ok(Some(fresh().open(at))),
        (None, Some(_)) => Ok(Some(week.next().map_or_else(|| fresh().open(0), |at| week.open(at)))),
        (Some(at), None) => week.may_open(at).map(|()| Some(week.open(at))),
        (None, None) => week.next().map(|at| Some(week.open(at))).ok_or_else(|| week.nothing_left()),
    }
}

fn position(plan: &Plan, name: &str) -> Result<usize, CommandError> {
    plan.waves.iter().position(|wave| wave.name == name).ok_or_else(|| {
        let error = CommandError::usage(format!("the plan has no wave `{}`", name.escape_debug()));
        let names: Vec<&str> = plan.waves.iter().map(|wave| wave.name.as_str()).collect();
        match nearest(name, names.iter().copied()) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error.hint(format!("its waves: {}", names.join(", "))),
        }
    })
}

/// What the runs of this plan's waves have done, whatever its text was then: a problem found on Monday may be mended
/// before Tuesday. Runs of waves that opened before the first wave of the plan are of another week.
///
/// # Errors
/// When the journal cannot be read.
pub fn so_far(store: &Store, plan: &Plan, lab: Option<&str>) -> Result<WeekSoFar, CommandError> {
    let begins = plan.waves.iter().map(|wave| wave.opens).min();
    let mut week = WeekSoFar::default();
    let counts =
        |run: &&RunRow| run.plan == plan.stem && run.lab == lab.is_some() && lab.is_none_or(|d| run.digest == d);
    for run in store.runs()?.iter().rev().filter(counts) {
        let of_this_week = |wave: &OpenWave| begins.is_some_and(|first| wave.opens >= first);
        if started(store, run)?.and_then(|s| s.options.wave).is_some_and(|wave| of_this_week(&wave)) {
            week.add(&look::view(store, run)?);
        }
    }
    Ok(week)
}

fn started(store: &Store, run: &RunRow) -> Result<Option<RunStarted>, CommandError> {
    let first = store.facts(&run.id, 0)?.into_iter().next();
    Ok(first.and_then(|record| match record.fact {
        Fact::RunStarted(started) => Some(*started),
        _ => None,
    }))
}

/// A plan in waves, and what its runs have done.
struct Week<'a> {
    plan: &'a Plan,
    so_far: WeekSoFar,
    taken: Vec<Taken>,
}

impl<'a> Week<'a> {
    fn new(plan: &'a Plan, so_far: WeekSoFar) -> Self {
        let taken = plan.partition(&so_far.kept());
        Self { plan, so_far, taken }
    }

    fn wave(&self, at: usize) -> (&'a Wave, Option<&WaveSoFar>) {
        let wave = &self.plan.waves[at];
        (wave, self.so_far.wave(&wave.name))
    }

    /// The wave's hosts that are still hosts of the plan and not done.
    fn left(&self, at: usize) -> Vec<&HostName> {
        let done = |host: &HostName| self.wave(at).1.is_some_and(|wave| wave.done.contains(host));
        self.taken[at].hosts.iter().filter(|host| self.plan.hosts.contains_key(*host) && !done(host)).collect()
    }

    fn is_done(&self, at: usize) -> bool {
        self.wave(at).1.is_some_and(|wave| wave.over.is_some()) || self.left(at).is_empty()
    }

    fn next(&self) -> Option<usize> {
        (0..self.plan.waves.len()).find(|at| !self.is_done(*at))
    }

    fn may_open(&self, at: usize) -> Result<(), CommandError> {
        let (wave, so_far) = self.wave(at);
        if self.is_done(at) {
            let by = so_far.and_then(|w| w.over.as_deref()).map_or_else(String::new, |run| format!(" by run {run}"));
            return Err(CommandError::refused(format!("wave `{}` is done{by}", wave.name.escape_debug())));
        }
        match self.next().filter(|next| *next < at) {
            None => Ok(()),
            Some(earlier) => {
                let name = &self.plan.waves[earlier].name;
                Err(CommandError::refused(format!("wave `{}` comes after `{name}`, which is not done", wave.name))
                    .hint(format!("take `{name}` first:   --wave {name}")))
            }
        }
    }

    fn open(&self, at: usize) -> OpenWave {
        let (wave, _) = self.wave(at);
        let left = self.left(at);
        let next = (at + 1..self.plan.waves.len()).find(|i| !self.is_done(*i)).map(|i| &self.plan.waves[i]);
        OpenWave {
            name: wave.name.clone(),
            number: at as u32 + 1,
            of: self.plan.waves.len() as u32,
            opens: wave.opens,
            hosts: self.taken[at].hosts.clone(),
            done_before: self.taken[at].hosts.iter().filter(|host| !left.contains(host)).cloned().collect(),
            week_done: self.so_far.hosts_done() as u32,
            week_hosts: self.taken.iter().map(|t| t.hosts.len()).sum::<usize>() as u32,
            next: next.map(|wave| NextWave { name: wave.name.clone(), opens: wave.opens }),
        }
    }

    fn nothing_left(&self) -> CommandError {
        let all: usize = self.taken.iter().map(|t| t.hosts.len()).sum();
        let done = self.so_far.hosts_done();
        CommandError::refused(format!(
            "all {} waves of the plan are over: {done} of {all} hosts done",
            self.taken.len()
        ))
        .hint("what each of them did:   runbook runs")
    }
}

/// `wave tue-tests, 4 of 8: 35 hosts, Tue 5 Mar 2013, 17:00; 22 of 236 hosts done so far`
#[must_use]
pub fn in_words(plan: &Plan, wave: &OpenWave) -> String {
    let (n, at) = (wave.to_do().len(), window::clock_time(plan, wave.opens));
    let hosts = review::count(n, "host");
    let (number, of, done, all) = (wave.number, wave.of, wave.week_done, wave.week_hosts);
    format!("wave  {}, {number} of {of}: {hosts}, {at}; {done} of {all} hosts done so far", wave.name)
}
