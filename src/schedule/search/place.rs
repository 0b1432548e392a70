//! Places activities one after the other, each as early as possible. Knows nothing of where the list comes from.
//!
//! What is free at a unit of time is one row of words, several resources in each. Above every number stands a guard bit
//! that is set; subtracting what an activity uses clears the guard of each resource of which there is too little, so that
//! one subtraction answers for all of them.

use super::project::Project;

/// A project and the room for one schedule after the other.
#[derive(Debug)]
pub(super) struct Placer<'a> {
    project: &'a Project,
    /// Words in a row.
    stride: usize,
    guards: u64,
    /// What is free when nothing runs: one row.
    empty: Vec<u64>,
    /// What each activity uses: one row each. Nothing where all numbers are 0.
    used: Vec<u64>,
    idle: Vec<bool>,
    /// What is free: one row per unit of time, as far as something was placed.
    free: Vec<u64>,
}

impl<'a> Placer<'a> {
    pub(super) fn new(project: &'a Project) -> Self {
        let largest = project.capacity.iter().max().copied().unwrap_or(0);
        let bits = if largest < 1 << 15 { 16 } else { 32 };
        let lanes = 64 / bits;
        let stride = project.capacity.len().div_ceil(lanes).max(1);
        // Guards leave one bit less: what is unlimited stays so.
        let number = |units: u32| u64::from(units.min(i32::MAX as u32));
        let row = |numbers: &mut dyn Iterator<Item = (usize, u32)>| {
            let mut row = vec![0; stride];
            numbers.for_each(|(i, units)| row[i / lanes] |= number(units) << (i % lanes * bits));
            row
        };
        let guards = (0..lanes).fold(0, |guards, lane| guards | 1 << (lane * bits + bits - 1));
        let mut empty = row(&mut project.capacity.iter().copied().enumerate());
        empty.iter_mut().for_each(|word| *word |= guards);
        let uses = |uses: &Vec<(u32, u32)>| row(&mut uses.iter().map(|(resource, units)| (*resource as usize, *units)));
        let idle = project.uses.iter().zip(&project.durations).map(|(uses, d)| uses.is_empty() || *d == 0).collect();
        Self {
            project,
            stride,
            guards,
            empty,
            used: project.uses.iter().flat_map(uses).collect(),
            idle,
            free: Vec::new(),
        }
    }

    /// The start of each activity, placed in the order of `list`, in which everything comes after what it needs.
    pub(super) fn place(&mut self, list: &[u32], starts: &mut [u32]) -> u32 {
        self.free.clear();
        let mut makespan = 0;
        for &activity in list {
            let a = activity as usize;
            let ends = self.project.needs[a].iter().map(|n| starts[*n as usize] + self.project.durations[*n as usize]);
            let earliest = ends.max().unwrap_or(0);
            let start = if self.idle[a] { earliest } else { self.fit(a, earliest) };
            starts[a] = start;
            makespan = makespan.max(start + self.project.durations[a]);
        }
        makespan
    }

    /// Takes the earliest place from `from` on.
    fn fit(&mut self, activity: usize, from: u32) -> u32 {
        let (duration, stride, guards) = (self.project.durations[activity] as usize, self.stride, self.guards);
        let used = &self.used[activity * stride..(activity + 1) * stride];
        let (mut start, mut at) = (from as usize, from as usize);
        // Beyond the rows in use everything is free.
        while at < start + duration && (at + 1) * stride <= self.free.len() {
            let row = &self.free[at * stride..(at + 1) * stride];
            if row.iter().zip(used).any(|(free, used)| (free - used) & guards != guards) {
                start = at + 1;
            }
            at += 1;
        }
        while self.free.len() < (start + duration) * stride {
            self.free.extend_from_slice(&self.empty);
        }
        for row in self.free[start * stride..(start + duration) * stride].chunks_exact_mut(stride) {
            row.iter_mut().zip(used).for_each(|(free, used)| *free -= used);
        }
        start as u32
    }
}
