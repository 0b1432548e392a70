//! Which wave of a plan is next, and what the run of it is to know. Knows no journal and no time of day.

use super::waves::{WaveSoFar, WeekSoFar};
use crate::plan::model::{HostName, Plan, Wave};
use crate::plan::waves::{NextWave, OpenWave, Taken, WaveOver};

/// A plan in waves, and what the runs of its week have done.
#[derive(Debug)]
pub struct Week<'p> {
    plan: &'p Plan,
    so_far: WeekSoFar,
    taken: Vec<Taken>,
}

/// Why a wave cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotNow<'a> {
    /// By this run, or by several of which each did a part.
    Done { by: Option<&'a str> },
    /// Waves are executed in the order of the plan.
    After { earlier: &'a str },
}

impl<'p> Week<'p> {
    #[must_use]
    pub fn new(plan: &'p Plan, so_far: WeekSoFar) -> Self {
        let taken = plan.partition(&so_far.kept());
        Self { plan, so_far, taken }
    }

    #[must_use]
    pub const fn plan(&self) -> &'p Plan {
        self.plan
    }

    /// The first wave in the order of the plan that is not done; `None` when all are.
    #[must_use]
    pub fn next(&self) -> Option<usize> {
        (0..self.plan.waves.len()).find(|at| !self.is_done(*at))
    }

    /// Whether the wave is next.
    ///
    /// # Errors
    /// When it is done, or when an earlier one is not.
    ///
    /// # Panics
    /// When the plan has no wave number `at`.
    pub fn may_open(&self, at: usize) -> Result<(), NotNow<'_>> {
        if self.is_done(at) {
            return Err(NotNow::Done { by: self.wave(at).1.and_then(|wave| wave.over.as_deref()) });
        }
        let earlier = self.next().filter(|next| *next < at);
        earlier.map_or(Ok(()), |earlier| Err(NotNow::After { earlier: &self.plan.waves[earlier].name }))
    }

    /// The wave as its run is told of it.
    ///
    /// # Panics
    /// When the plan has no wave number `at`.
    #[must_use]
    pub fn open(&self, at: usize) -> OpenWave {
        let (wave, _) = self.wave(at);
        let left = self.left(at);
        let next = (at + 1..self.plan.waves.len()).find(|i| !self.is_done(*i)).map(|i| &self.plan.waves[i]);
        OpenWave {
            name: wave.name.clone(),
            number: at as u32 + 1,
            of: self.plan.waves.len() as u32,
            opens: wave.opens,
            week: self.so_far.begun_by().map(str::to_owned),
            hosts: self.taken[at].hosts.clone(),
            done_before: self.taken[at].hosts.iter().filter(|host| !left.contains(host)).cloned().collect(),
            concluded: Vec::new(),
            week_done: self.so_far.hosts_done() as u32,
            week_hosts: self.hosts() as u32,
            next: next.map(|wave| NextWave { name: wave.name.clone(), opens: wave.opens }),
        }
    }

    /// The waves before this one of which it is not known that they are done: a run of it began when they were.
    #[must_use]
    pub fn unknown_before(&self, at: usize) -> Vec<WaveOver> {
        let unknown = (0..at).filter(|i| !self.is_done(*i));
        let over = |i: usize| WaveOver { name: self.plan.waves[i].name.clone(), hosts: self.taken[i].hosts.clone() };
        unknown.map(over).collect()
    }

    /// Hosts of all waves together.
    #[must_use]
    pub fn hosts(&self) -> usize {
        self.taken.iter().map(|taken| taken.hosts.len()).sum()
    }

    /// Hosts that are done, in all waves.
    #[must_use]
    pub fn hosts_done(&self) -> usize {
        self.so_far.hosts_done()
    }

    fn wave(&self, at: usize) -> (&'p Wave, Option<&WaveSoFar>) {
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
}
