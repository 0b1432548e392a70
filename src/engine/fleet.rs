//! What many hosts add to the rules: the canary, `keep_up`, `allow_failed`, and hosts that drop out. Knows no clock.
//!
//! - `canary: first`: nothing else of the step starts before one of its hosts is done. A canary is never tolerated.
//! - `keep_up`: a host is out of service while a step with `keep_up`, `drain` or `reboot` works on it, and from the
//!   moment it has failed there. Each host counts in its first group; hosts in no group count together. A rollback is
//!   limited by `at_once` only: being back in time comes first.
//! - `allow_failed`: at most so many hosts of the step may fail, unreachable ones included. They drop out: what depends
//!   on the step is left out there. One more stops the step: nothing new starts, what runs ends, then people are asked.

use std::collections::BTreeMap;

use super::decide::Decision;
use super::fact::{Fact, FleetStop, HoldAnswer, HoldReason, RollbackCause, RunEnd, SkipReason};
use super::state::{Doing, State};
use crate::graph::ids::ActionId;
use crate::graph::{ActionIx, Graph, Groups, Reach, Spot, StepIx};
use crate::plan::model::OnFailure;
use crate::plan::units::Size;

/// Which hosts are out of service because of this run, and which have dropped out of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Service {
    /// Empty where the plan limits no fleet.
    places: Groups,
    groups: Vec<Group>,
    /// By host: how many of its actions keep it out of service.
    out: Vec<u32>,
    /// By host: the steps that go on without it.
    dropped: BTreeMap<u32, Vec<StepIx>>,
    reach: Option<Reach>,
}

/// What an action means for its host and its step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// Counted among the failed hosts of its step.
    failed: bool,
    /// Counted among what keeps its host out of service.
    out: bool,
    /// Its host has failed, and a person said that `keep_up` does not count it any more.
    disregarded: bool,
    /// Skipped because its host had dropped out.
    pub left_out: bool,
}

#[derive(Debug, Clone)]
struct Group {
    name: String,
    hosts: usize,
    out: usize,
}

impl Group {
    /// How many of its hosts must stay in service.
    fn keeps(&self, keep_up: Size) -> usize {
        keep_up.of(self.hosts)
    }
}

impl Service {
    pub fn new(graph: &Graph) -> Self {
        if !graph
            .plan()
            .steps
            .values()
            .any(|s| s.fleet.takes_hosts_out() || s.fleet.allow_failed.is_some() || s.fleet.canary)
        {
            return Self::default();
        }
        let places = Groups::of(graph);
        let counted = places.names().iter().zip(places.sizes());
        let groups = counted.map(|(name, hosts)| Group { name: name.clone(), hosts: *hosts, out: 0 }).collect();
        let out = vec![0; graph.plan().hosts.len()];
        Self { places, groups, out, dropped: BTreeMap::new(), reach: Some(Reach::new(graph)) }
    }

    fn spot(&self, ix: ActionIx) -> Option<Spot> {
        self.places.spot(ix)
    }

    fn count(&mut self, ix: ActionIx, out: bool) {
        let Some(Spot { host, group }) = self.spot(ix) else { return };
        let (host, group) = (&mut self.out[host as usize], &mut self.groups[group as usize]);
        let before = *host > 0;
        *host = if out { *host + 1 } else { host.saturating_sub(1) };
        match (before, *host > 0) {
            (false, true) => group.out += 1,
            (true, false) => group.out = group.out.saturating_sub(1),
            _ => {}
        }
    }

    /// Whether this host may be taken out of service while so many of its group must stay.
    fn has_room(&self, ix: ActionIx, keep_up: Size) -> bool {
        let Some(Spot { host, group }) = self.spot(ix) else { return true };
        let group = &self.groups[group as usize];
        self.out[host as usize] > 0 || group.out + 1 + group.keeps(keep_up) <= group.hosts
    }
}

impl State {
    /// Keeps the counts true after an action has changed what it does.
    pub(super) fn count_host(&mut self, ix: ActionIx) {
        let step = self.graph.action(ix).step;
        let takes_out = self.graph.step(step).fleet.takes_hosts_out();
        let a = &mut self.actions[ix.index()];
        let failed = matches!(a.doing, Doing::Failed) || (a.doing == Doing::Done && a.tolerated);
        let again = a.doing == Doing::Waiting && a.started.is_some();
        let broken = failed || again || matches!(a.doing, Doing::Parked { .. });
        let out = takes_out && (a.doing.takes_a_place() || (broken && !a.standing.disregarded));
        let (was_failed, was_out) =
            (std::mem::replace(&mut a.standing.failed, failed), std::mem::replace(&mut a.standing.out, out));
        let tally = &mut self.steps[step.index()];
        match (was_failed, failed) {
            (false, true) => tally.failed += 1,
            (true, false) => tally.failed -= 1,
            _ => {}
        }
        if was_out != out {
            self.service.count(ix, out);
        }
    }

    /// Another plan of the same shape: what depends on what may be different.
    pub(super) fn count_hosts_anew(&mut self) {
        let dropped = std::mem::take(&mut self.service.dropped);
        let graph = self.graph.clone();
        self.service = Service { dropped, ..Service::new(&graph) };
        for ix in graph.action_ixs() {
            self.actions[ix.index()].standing.out = false;
            self.count_host(ix);
        }
    }

    /// What depends on this action's step is left out on its host from here on.
    pub(super) fn drop_host(&mut self, ix: ActionIx) {
        if let Some(spot) = self.service.spot(ix) {
            self.service.dropped.entry(spot.host).or_default().push(self.graph.action(ix).step);
        }
    }

    /// What is skipped because of its host: before it began, or because it failed and cannot be tried again.
    pub(super) fn leave_out(&mut self, ix: ActionIx, why: &SkipReason) {
        let failed = self.actions[ix.index()].doing == Doing::Failed;
        match why {
            SkipReason::HostFailed { .. } if failed => self.drop_host(ix),
            SkipReason::HostFailed { .. } => self.actions[ix.index()].standing.left_out = true,
            _ => {}
        }
    }

    /// The step without which the run goes on with this action's host, where that concerns this action.
    pub(super) fn dropped_by(&self, ix: ActionIx) -> Option<StepIx> {
        let (spot, reach) = (self.service.spot(ix)?, self.service.reach.as_ref()?);
        let step = self.graph.action(ix).step;
        self.service.dropped.get(&spot.host)?.iter().copied().find(|failed| reach.before(*failed, step))
    }

    /// A host that had dropped out is tried again: it, and what was left out on it because of that.
    fn again_dropped(&mut self, ix: ActionIx) {
        let graph = self.graph.clone();
        let failed = graph.action(ix).step;
        if self.is_step_satisfied(failed) {
            // Nothing that has begun after the step may lose what it rests on.
            return;
        }
        if let Some(spot) = self.service.spot(ix)
            && let Some(steps) = self.service.dropped.get_mut(&spot.host)
        {
            steps.retain(|s| *s != failed);
        }
        let after = |s: &StepIx| self.service.reach.as_ref().is_some_and(|r| r.before(failed, *s));
        let left_out = |a: &ActionIx| self.actions[a.index()].standing.left_out && self.dropped_by(*a).is_none();
        let open = graph.step_ixs().filter(after).filter(|s| !self.is_step_satisfied(*s));
        let again: Vec<ActionIx> = open.filter_map(|s| graph.on_same_host(s, ix)).filter(left_out).collect();
        again.into_iter().for_each(|a| self.unsatisfy(a));
        self.unsatisfy(ix);
        self.again(ix);
    }

    fn unsatisfy(&mut self, ix: ActionIx) {
        let a = &mut self.actions[ix.index()];
        (a.tolerated, a.standing.left_out) = (false, false);
        a.ended = None;
        self.satisfied -= 1;
        self.steps[self.graph.action(ix).step.index()].satisfied -= 1;
        self.set_doing(ix, Doing::Waiting);
    }

    /// What an answer to a stopped step does to one of the hosts that it is about.
    pub(super) fn answer_for_host(
        &mut self,
        ix: ActionIx,
        answer: HoldAnswer,
        why: &FleetStop,
        at: jiff::Timestamp,
    ) -> Result<(), String> {
        let a = &self.actions[ix.index()];
        let (failed, tolerated, alive) = (a.doing == Doing::Failed, a.tolerated, a.may_be_alive());
        match answer {
            HoldAnswer::Retry if failed => self.again(ix),
            HoldAnswer::Retry if tolerated && !alive => self.again_dropped(ix),
            HoldAnswer::Continue => {
                if matches!(why, FleetStop::KeepUp { .. }) {
                    self.actions[ix.index()].standing.disregarded = true;
                    self.count_host(ix);
                }
                if failed {
                    self.drop_host(ix);
                    self.skip(ix, at)?;
                }
                let tally = &mut self.steps[self.graph.action(ix).step.index()];
                tally.forgiven = tally.failed;
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether one host of the step is done, so that the others may follow; or none has begun, so that one may.
    fn canary_lets_start(&self, step: StepIx) -> bool {
        let doing = || self.graph.actions_of(step).map(|a| &self.actions[a.index()].doing);
        !self.graph.step(step).fleet.canary
            || doing().any(|d| *d == Doing::Done)
            || doing().all(|d| matches!(d, Doing::Waiting | Doing::Skipped))
    }

    fn is_canary(&self, ix: ActionIx) -> bool {
        let step = self.graph.action(ix).step;
        let mut doing = self.graph.actions_of(step).map(|a| &self.actions[a.index()].doing);
        self.graph.step(step).fleet.canary && !doing.any(|d| *d == Doing::Done)
    }

    /// Whether this action may start as far as its fleet is concerned: the canary first, and enough stay in service.
    pub(super) fn fleet_has_room(&self, ix: ActionIx) -> bool {
        let step = self.graph.action(ix).step;
        let keep_up = self.graph.step(step).fleet.keep_up;
        self.canary_lets_start(step) && keep_up.is_none_or(|keep| self.service.has_room(ix, keep))
    }

    /// Whether the step may go on without this action, which has not succeeded.
    pub(super) fn may_fail(&self, ix: ActionIx) -> bool {
        let step = self.graph.action(ix).step;
        let Some(allowed) = self.graph.step(step).fleet.allow_failed else { return false };
        let tally = &self.steps[step.index()];
        let more = (tally.failed - tally.forgiven.min(tally.failed)) as usize + 1;
        !self.is_canary(ix) && more <= allowed.of(self.graph.actions_of(step).len())
    }

    /// What the plan says of a failure that is not tolerated: a step that limits its failures never goes on with more.
    pub(super) fn stated_policy(&self, ix: ActionIx) -> OnFailure {
        let step = self.graph.step_of(ix);
        match step.on_failure {
            OnFailure::Continue if step.fleet.allow_failed.is_some() || self.is_canary(ix) => OnFailure::Ask,
            other => other,
        }
    }

    /// Whether this failure stops its step as a whole, instead of being asked about by itself.
    fn stops_its_fleet(&self, ix: ActionIx) -> bool {
        self.graph.step_of(ix).fleet.allow_failed.is_some() || self.is_canary(ix)
    }
}

impl Decision<'_> {
    /// A host that dropped out is left out of what depends on the step in which it failed.
    pub(super) fn dropped_out(&self, ix: ActionIx) -> Option<SkipReason> {
        let step = self.state.dropped_by(ix)?;
        Some(SkipReason::HostFailed { step: self.state.graph().step(step).id.clone() })
    }

    /// Whoever may still be running cannot be run again: the step is tried again without them.
    pub(super) fn leave_doubtful_hosts(&mut self, stopped: &[ActionId]) {
        let doubtful =
            |id: &&ActionId| self.state.find(id).is_some_and(|a| a.doing == Doing::Failed && a.may_be_alive());
        for action in stopped.iter().filter(doubtful).cloned().collect::<Vec<_>>() {
            let why = SkipReason::HostFailed { step: action.step().to_owned() };
            self.record(Fact::ActionSkipped { action, why });
        }
    }

    /// Asks about a step that has stopped, once everything of it that ran has ended. True where it takes care of it.
    pub(super) fn ask_about_fleets(&mut self) -> bool {
        let mut failed = self.state.asking.keys().copied();
        let Some(stopped) = failed.find(|ix| self.state.stops_its_fleet(*ix)) else { return false };
        let step = self.state.graph().action(stopped).step;
        if self.state.places_in(step) > 0 || self.state.hold().is_some() {
            return true;
        }
        let graph = self.state.graph().clone();
        let actions: Vec<ActionIx> =
            graph.actions_of(step).filter(|ix| self.state.action(*ix).standing.failed).collect();
        let hosts = graph.actions_of(step).len();
        let canary = actions.first().is_some_and(|ix| self.state.is_canary(*ix));
        let allowed = graph.step(step).fleet.allow_failed.map_or(0, |n| n.of(hosts));
        let why = match canary {
            true => FleetStop::Canary,
            false => FleetStop::TooManyFailed { allowed: allowed as u32, of: hosts as u32 },
        };
        self.hold_fleet(step, &actions, why);
        true
    }

    fn hold_fleet(&mut self, step: StepIx, failed: &[ActionIx], why: FleetStop) {
        let graph = self.state.graph().clone();
        let count = |of: &dyn Fn(ActionIx) -> bool| graph.actions_of(step).filter(|ix| of(*ix)).count() as u32;
        let done = count(&|ix| self.state.action(ix).doing == Doing::Done && !self.state.action(ix).tolerated);
        let not_started = count(&|ix| self.state.action(ix).doing == Doing::Waiting);
        let actions = failed.iter().map(|ix| self.id(*ix)).collect();
        let step = graph.step(step).id.clone();
        self.hold(HoldReason::FleetStopped { step, actions, why, done, not_started }, HoldAnswer::Rollback);
    }

    /// Nothing runs, and what is ready may not start because too few of its group would stay in service: failed hosts
    /// take the room, or the plan leaves none.
    pub(super) fn ask_about_service(&mut self) {
        let idle = self.state.is_forward() && self.state.open.is_empty() && self.state.asking.is_empty();
        if !idle || self.state.hold().is_some() || self.state.stopping {
            return;
        }
        let graph = self.state.graph().clone();
        let blocked = self.state.ready.values().flatten().copied().find_map(|ix| {
            let keep = graph.step_of(ix).fleet.keep_up.filter(|keep| !self.state.service.has_room(ix, *keep))?;
            Some((ix, keep))
        });
        let Some((ix, keep)) = blocked else { return };
        let Some(spot) = self.state.service.spot(ix) else { return };
        let in_group = |a: &ActionIx| self.state.service.spot(*a).is_some_and(|s| s.group == spot.group);
        let failed: Vec<ActionIx> =
            graph.action_ixs().filter(|a| self.state.action(*a).standing.out).filter(in_group).collect();
        if self.state.no_input() {
            return self.stop(RollbackCause::Failed { action: self.id(*failed.first().unwrap_or(&ix)) });
        }
        let group = &self.state.service.groups[spot.group as usize];
        let up = (group.hosts - group.out.min(group.hosts)) as u32;
        let why = FleetStop::KeepUp { group: group.name.clone(), up, keep: group.keeps(keep) as u32 };
        self.hold_fleet(graph.action(ix).step, &failed, why);
    }

    /// A person said stop: when everything that ran has ended, the run ends and leaves everything as it is.
    pub(super) fn end_stopped(&mut self) {
        if !self.state.stopping || !self.state.is_forward() || self.state.places > 0 {
            return;
        }
        let graph = self.state.graph().clone();
        let failed = graph.action_ixs().filter(|ix| self.state.action(*ix).standing.failed);
        let actions: BTreeMap<ActionId, String> =
            failed.map(|ix| (self.id(ix), "failed, and left as it is".to_owned())).collect();
        self.end(RunEnd::Stuck { actions });
    }
}
