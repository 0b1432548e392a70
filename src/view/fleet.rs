//! A step on many hosts in numbers: how far it is, how fast, in which part of the work its hosts are, and which of them differ
//! from the others. Knows no clock and no words.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::action_view::{ActionState, ActionView};
use super::rows::StepRow;
use super::run_view::RunView;
use crate::graph::StepIx;
use crate::graph::ids::Direction;
use crate::graph::parts;

/// A step on more hosts than these is told in numbers.
pub const FEW: u32 = 4;

/// One step on many hosts.
#[derive(Debug, Clone)]
pub struct Fleet<'a> {
    pub row: StepRow<'a>,
    /// How many hosts are in each part of the work, or of its undo; empty where there is one part only.
    pub parts: Vec<(Direction, u32)>,
    /// Hosts with which the step is over, per minute since it began; `None` before the first one.
    pub per_minute: Option<f64>,
    /// How many may fail, where the plan tolerates some.
    pub allowed: Option<u32>,
    /// Per group, in the plan's order; empty where the step takes no host out of service.
    pub in_service: Vec<InService<'a>>,
    /// Hosts that are late, lost or tried again, the longest-running first.
    pub differing: Vec<&'a ActionView>,
    /// The next step that has to stay true for a while.
    pub soak: Option<StepIx>,
}

/// How many hosts of a group this run leaves in service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InService<'a> {
    pub group: &'a str,
    pub up: usize,
    pub of: usize,
}

impl InService<'_> {
    /// Rounded down: nothing is in service as a whole while one host is not.
    #[must_use]
    pub fn percent(&self) -> usize {
        (self.up * 100).checked_div(self.of).unwrap_or(100)
    }
}

impl Fleet<'_> {
    /// Hosts with which the step is over, for good or ill.
    #[must_use]
    pub const fn over(&self) -> u32 {
        self.row.done() + self.row.count(ActionState::Failed)
    }

    /// Whether one more failed host stops it.
    #[must_use]
    pub fn next_one_stops_it(&self) -> bool {
        self.allowed.is_some_and(|allowed| self.row.count(ActionState::Failed) >= allowed)
    }
}

impl RunView {
    /// The step in numbers; `None` where it runs on few hosts.
    #[must_use]
    pub fn fleet(&self, ix: StepIx, now: Timestamp) -> Option<Fleet<'_>> {
        let row = self.row(ix);
        if row.total <= FEW || row.step.gate.is_some() {
            return None;
        }
        let mut fleet = Fleet {
            parts: self.in_parts(&row),
            per_minute: None,
            allowed: row.step.fleet.allow_failed.map(|n| n.of(row.total as usize) as u32),
            in_service: self.in_service(ix),
            differing: self.differing(ix),
            soak: self.graph.all_dependants(ix).find(|s| self.graph.step(*s).hold.is_some()),
            row,
        };
        let minutes = fleet.row.elapsed(now).as_secs_f64() / 60.0;
        fleet.per_minute = (fleet.over() > 0 && minutes > 0.0).then(|| f64::from(fleet.over()) / minutes);
        Some(fleet)
    }

    fn in_parts(&self, row: &StepRow<'_>) -> Vec<(Direction, u32)> {
        let mut counts: Vec<(Direction, u32)> = match self.rollback {
            Some(_) => parts::back(row.step).filter(|part| whole(*part) == *part).map(|part| (part, 0)).collect(),
            None => parts::forward(row.step).filter(|part| whole(*part) == *part).map(|part| (part, 0)).collect(),
        };
        for part in self.actions_of(row.ix).filter_map(ActionView::part).map(whole) {
            match counts.iter_mut().find(|(known, _)| *known == part) {
                Some((_, count)) => *count += 1,
                None => counts.push((part, 1)),
            }
        }
        if counts.len() < 2 { Vec::new() } else { counts }
    }

    fn in_service(&self, ix: StepIx) -> Vec<InService<'_>> {
        if !self.graph.step(ix).fleet.takes_hosts_out() {
            return Vec::new();
        }
        let group_of = self.graph.plan().groups_by_host();
        let mut sizes: BTreeMap<&str, usize> = BTreeMap::new();
        group_of.values().for_each(|group| *sizes.entry(group).or_default() += 1);
        let mut out: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let takers = self.graph.step_ixs().filter(|s| self.graph.step(*s).fleet.takes_hosts_out());
        for host in takers.flat_map(|s| self.actions_of(s)).filter(|a| is_out(a)).map(ActionView::host) {
            if let Some(group) = group_of.get(host) {
                out.entry(group).or_default().insert(host);
            }
        }
        let touched: BTreeSet<&str> = self.actions_of(ix).filter_map(|a| group_of.get(a.host()).copied()).collect();
        let groups = self.graph.plan().groups.keys().map(String::as_str).filter(|group| touched.contains(group));
        let one = |group| {
            let of = sizes[group];
            InService { group, up: of - out.get(group).map_or(0, BTreeSet::len), of }
        };
        groups.map(one).collect()
    }

    fn differing(&self, ix: StepIx) -> Vec<&ActionView> {
        let differs = |a: &&ActionView| {
            a.is_lost() || (a.late && a.state == ActionState::Running) || a.state == ActionState::BackingOff
        };
        let mut all: Vec<&ActionView> = self.actions_of(ix).filter(differs).collect();
        all.sort_by_key(|a| a.started);
        all
    }
}

/// Draining is over when what it waits for is true: one part for people.
const fn whole(part: Direction) -> Direction {
    match part {
        Direction::Drained => Direction::Drain,
        Direction::Undrained => Direction::Undrain,
        Direction::UndoUndrained => Direction::UndoUndrain,
        other => other,
    }
}

const fn is_out(action: &ActionView) -> bool {
    use ActionState::{BackingOff, Failed, Parked, Running, Soaking, Undoing};
    matches!(action.state, Running | Soaking | BackingOff | Failed | Undoing | Parked)
}
