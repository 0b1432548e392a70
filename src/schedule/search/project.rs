//! Activities, what they wait for and what they occupy: a plan as arithmetic. Knows nothing of hosts and steps.

/// A project of activities that are not interrupted. Time is in whole units from 0 on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Project {
    pub durations: Vec<u32>,
    /// By activity: which activities must have ended before.
    pub needs: Vec<Vec<u32>>,
    /// By activity: how much of which resource it occupies. Never more than there is.
    pub uses: Vec<Vec<(u32, u32)>>,
    /// By resource: how much there is.
    pub capacity: Vec<u32>,
}

impl Project {
    #[must_use]
    pub const fn len(&self) -> usize {
        self.durations.len()
    }

    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.durations.is_empty()
    }

    /// The end of a schedule with these starts.
    #[must_use]
    pub fn makespan(&self, starts: &[u32]) -> u32 {
        starts.iter().zip(&self.durations).map(|(start, duration)| start + duration).max().unwrap_or(0)
    }

    /// No schedule ends earlier: the longest chain of needs, or the busiest resource.
    #[must_use]
    pub fn lower_bound(&self) -> u32 {
        let busiest = (0..self.capacity.len()).map(|r| self.work(r).div_ceil(u64::from(self.capacity[r].max(1))));
        let busiest = u32::try_from(busiest.max().unwrap_or(0)).unwrap_or(u32::MAX);
        self.makespan(&self.earliest()).max(busiest)
    }

    /// How much of a resource is needed, times how long.
    fn work(&self, resource: usize) -> u64 {
        let used = self.uses.iter().zip(&self.durations).flat_map(|(uses, d)| uses.iter().map(move |u| (u, *d)));
        used.filter(|((r, _), _)| *r as usize == resource).map(|((_, units), d)| u64::from(*units) * u64::from(d)).sum()
    }

    /// The earliest starts if there were enough of everything.
    #[must_use]
    pub fn earliest(&self) -> Vec<u32> {
        let mut starts = vec![0; self.len()];
        for activity in self.topological() {
            let ends = self.needs[activity].iter().map(|n| starts[*n as usize] + self.durations[*n as usize]);
            starts[activity] = ends.max().unwrap_or(0);
        }
        starts
    }

    /// Everything after what it needs; ties by number.
    #[must_use]
    pub fn topological(&self) -> Vec<usize> {
        let dependants = self.dependants();
        let mut open: Vec<usize> = self.needs.iter().map(Vec::len).collect();
        let mut ready: std::collections::BTreeSet<usize> = (0..self.len()).filter(|a| open[*a] == 0).collect();
        let mut order = Vec::with_capacity(self.len());
        while let Some(activity) = ready.pop_first() {
            order.push(activity);
            for next in &dependants[activity] {
                open[*next as usize] -= 1;
                if open[*next as usize] == 0 {
                    ready.insert(*next as usize);
                }
            }
        }
        order
    }

    /// By activity: which activities wait for it.
    #[must_use]
    pub fn dependants(&self) -> Vec<Vec<u32>> {
        let mut dependants = vec![Vec::new(); self.len()];
        for (activity, needs) in self.needs.iter().enumerate() {
            for need in needs {
                dependants[*need as usize].push(activity as u32);
            }
        }
        dependants
    }

    /// The same project seen from its end.
    #[must_use]
    pub fn reversed(&self) -> Self {
        Self { needs: self.dependants(), ..self.clone() }
    }

    /// Whether these starts respect all needs and capacities.
    #[must_use]
    pub fn is_feasible(&self, starts: &[u32]) -> bool {
        let end = |a: usize| starts[a] + self.durations[a];
        let needs_met = (0..self.len()).all(|a| self.needs[a].iter().all(|n| end(*n as usize) <= starts[a]));
        needs_met && starts.iter().all(|at| self.fits_at(starts, *at))
    }

    /// Whether what runs at this instant fits. It is enough to look where something starts.
    fn fits_at(&self, starts: &[u32], at: u32) -> bool {
        let running = (0..self.len()).filter(|a| starts[*a] <= at && at < starts[*a] + self.durations[*a]);
        let mut used = vec![0u64; self.capacity.len()];
        for (resource, units) in running.flat_map(|a| &self.uses[a]) {
            used[*resource as usize] += u64::from(*units);
        }
        used.iter().zip(&self.capacity).all(|(used, capacity)| *used <= u64::from(*capacity))
    }
}
