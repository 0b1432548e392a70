//! Places activities one after the other, each as early as possible. Knows nothing of where the list comes from.

use super::project::Project;

/// A project and the room for one schedule after the other.
#[derive(Debug)]
pub(super) struct Placer<'a> {
    project: &'a Project,
    /// What is free: resources side by side, one row per unit of time.
    free: Vec<u32>,
    /// Rows that are in use.
    rows: usize,
}

impl<'a> Placer<'a> {
    pub(super) fn new(project: &'a Project) -> Self {
        Self { project, free: Vec::new(), rows: 0 }
    }

    /// The start of each activity, placed in the order of `list`, in which everything comes after what it needs.
    pub(super) fn place(&mut self, list: &[u32], starts: &mut [u32]) -> u32 {
        self.clear();
        let mut makespan = 0;
        for &activity in list {
            let a = activity as usize;
            let ends = self.project.needs[a].iter().map(|n| starts[*n as usize] + self.project.durations[*n as usize]);
            let start = self.fit(a, ends.max().unwrap_or(0));
            starts[a] = start;
            makespan = makespan.max(start + self.project.durations[a]);
        }
        makespan
    }

    fn clear(&mut self) {
        self.free.clear();
        self.rows = 0;
    }

    /// Takes the earliest place from `from` on.
    fn fit(&mut self, activity: usize, from: u32) -> u32 {
        let (duration, uses) = (self.project.durations[activity] as usize, &self.project.uses[activity]);
        if duration == 0 || uses.is_empty() {
            return from;
        }
        let stride = self.project.capacity.len();
        let mut start = from as usize;
        let mut at = start;
        // Beyond the rows in use everything is free.
        while at < start + duration && at < self.rows {
            let row = &self.free[at * stride..(at + 1) * stride];
            if uses.iter().any(|(resource, units)| row[*resource as usize] < *units) {
                start = at + 1;
            }
            at += 1;
        }
        self.grow(start + duration);
        for at in start..start + duration {
            for (resource, units) in uses {
                self.free[at * stride + *resource as usize] -= units;
            }
        }
        start as u32
    }

    fn grow(&mut self, rows: usize) {
        for _ in self.rows..rows {
            self.free.extend_from_slice(&self.project.capacity);
        }
        self.rows = self.rows.max(rows);
    }
}
