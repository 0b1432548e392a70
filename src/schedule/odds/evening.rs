//! A plan made ready for playing it many times: who waits for whom, what is short, how long each part may take. Knows
//! nothing of what has run.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::past::Past;
use super::play::Play;
use super::spread::Spread;
use super::{Odds, Situation, Standing};
use crate::graph::render::never_wanted;
use crate::graph::{ActionIx, Graph, Groups, StepIx};
use crate::plan::model::{OnDeadline, OnStop, Verb, Wait};
use crate::schedule::critical_path::{Network, Pace, Times};
use crate::schedule::fit::{forward_only, undoable};
use crate::schedule::{Order, RollbackCost, longest_remaining};

/// Parts that are drawn in all: about a tenth of a second.
const EFFORT: usize = 400_000;
/// The same for everybody, so that the same situation has the same odds.
const SEED: u64 = 1;

/// One plan. Compiled once; all numbers are seconds.
#[derive(Debug, Clone)]
pub struct Evening {
    /// In the order of the actions; a gate is one part, however many hosts its test has.
    pub(super) parts: Vec<Part>,
    pub(super) steps: Vec<Node>,
    /// What parts may take, each said once; `None`: no time.
    spreads: Vec<Option<Spread>>,
    /// Parts that wait for another one on their host, by the one they wait for; and where those of each part begin.
    followers: Vec<u32>,
    followers_from: Vec<u32>,
    /// What of each step is limited together, in the order of the parts.
    pub(super) lanes: Vec<Lane>,
    /// By group of hosts: the lanes of steps that take its hosts out of service.
    pub(super) lanes_of_group: Vec<Vec<u32>>,
    pub(super) capacity: Vec<u32>,
    pub(super) places: u32,
    /// By action: its part.
    part_of: Vec<u32>,
    expected: Vec<Times>,
    /// By step: how long it takes at worst to the end of what waits for it.
    remaining: Vec<SignedDuration>,
    reserve: SignedDuration,
    on_deadline: OnDeadline,
}

/// Small, for a night touches all of them in no order that a memory likes.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub step: u32,
    spread: u32,
    /// Parts on other hosts do not hold it up: it waits for so many others.
    pub same_host_needs: u32,
}

/// Parts of one step, one after the other: those on hosts of one group, where hosts are taken out of service; else all.
#[derive(Debug, Clone)]
pub(super) struct Lane {
    pub first: u32,
    /// The group whose hosts are out of service while they are worked on.
    pub group: Option<u32>,
    /// How many of the group may be out of service at once.
    pub room: u32,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Node {
    pub first: u32,
    pub count: u32,
    pub first_lane: u32,
    pub lanes: u32,
    /// Nothing else of it begins before one of its parts is over.
    pub canary: bool,
    /// What is added to whatever is drawn of a part: a wait.
    pub always: f64,
    /// Its parts end no earlier than this.
    pub until: Option<Timestamp>,
    pub rank: u32,
    pub at_once: u32,
    pub room: Room,
    pub uses: Vec<(u32, u32)>,
    /// Steps that must have ended before: needs, and who gives what it takes over.
    pub barriers: u32,
    pub dependants: Vec<u32>,
    /// Parts without a part of this step on their host, which wait for the whole of it.
    pub whole_step_followers: Vec<u32>,
    /// It judges, asks, or changes something that can be undone: before it is over, the run can still be rolled back.
    pub guards: bool,
    pub gate: bool,
    pub irreversible: bool,
    /// Its worst estimate, as admission counts it.
    pub worst: SignedDuration,
}

/// What a step needs of the places among those that run, and of the resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Room {
    #[default]
    Unneeded,
    /// Its test needs some, and takes none of the time: people do.
    ForAMoment,
    Taken,
}

/// By when things must be, in seconds after the situation.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    pub closes: Option<f64>,
    /// The last decision.
    pub decided: Option<f64>,
    /// By step: its last admissible start.
    pub starts: Vec<f64>,
    pub stops: bool,
}

impl Evening {
    /// In the order that the run keeps; `None`: the longest remaining path first.
    #[must_use]
    pub fn new(graph: &Graph, order: Option<&Order>, past: &Past) -> Self {
        let plan = graph.plan();
        // One that is of another plan says nothing about this one.
        let order = order.filter(|order| order.fits(graph.step_count()));
        let names: Vec<&String> = plan.resources.keys().collect();
        let by_name = plan.groups_by_host();
        let keeps_up = plan.steps.values().any(|s| s.fleet.keep_up.is_some());
        let groups = keeps_up.then(|| Groups::of(graph));
        let ranks = order.map_or_else(|| by_remaining(graph), |order| order.rank.clone());
        let mut evening = Self {
            parts: Vec::new(),
            steps: Vec::new(),
            spreads: Vec::new(),
            followers: Vec::new(),
            followers_from: Vec::new(),
            lanes: Vec::new(),
            lanes_of_group: groups.as_ref().map_or_else(Vec::new, |g| vec![Vec::new(); g.sizes().len()]),
            capacity: plan.resources.values().copied().collect(),
            places: plan.at_once.map_or(u32::MAX, |n| n.at_least_one_of(graph.actions().len()) as u32),
            part_of: vec![0; graph.actions().len()],
            expected: Network::new(graph, Pace::Expected).earliest(),
            remaining: Network::new(graph, Pace::Worst).keeping(order).remaining(),
            reserve: plan.window.as_ref().map_or(SignedDuration::ZERO, |w| w.reserve),
            on_deadline: plan.window.as_ref().map_or(OnDeadline::Warn, |w| w.on_deadline),
        };
        for ix in graph.step_ixs() {
            let step = graph.step(ix);
            let first = evening.parts.len() as u32;
            let never = never_wanted(graph, ix);
            let (always, until) = match step.verb {
                Verb::Wait(Wait::For(time)) if !never => (time, None),
                Verb::Wait(Wait::At(at)) if !never => (SignedDuration::ZERO, Some(at)),
                _ => (SignedDuration::ZERO, None),
            };
            let first_lane = evening.lanes.len() as u32;
            evening.add_parts(graph, ix, never, past, (&by_name, groups.as_ref()));
            let hosts = graph.actions_of(ix).len();
            let uses = step.uses.iter().filter(|(_, units)| **units > 0);
            let index = |name: &String| names.iter().position(|n| *n == name).map(|r| r as u32);
            let after = order.map_or(0, |order| order.after[ix.index()].len());
            evening.steps.push(Node {
                first,
                count: evening.parts.len() as u32 - first,
                first_lane,
                lanes: evening.lanes.len() as u32 - first_lane,
                canary: step.fleet.canary,
                always: always.as_secs_f64(),
                until,
                rank: ranks.get(ix.index()).copied().unwrap_or(0),
                at_once: step.fleet.at_once.map_or(u32::MAX, |n| n.at_least_one_of(hosts) as u32),
                room: match &step.gate {
                    _ if step.needs_no_place() || never => Room::Unneeded,
                    Some(_) => Room::ForAMoment,
                    None => Room::Taken,
                },
                uses: uses.filter_map(|(name, units)| Some((index(name)?, *units))).collect(),
                barriers: (graph.needs(ix).len() + after) as u32,
                dependants: graph.dependants(ix).iter().map(|s| s.0).collect(),
                whole_step_followers: Vec::new(),
                guards: step.keeps_the_way_back(),
                gate: step.gate.is_some(),
                irreversible: graph.ends_the_way_back(ix),
                worst: match step.on_stop {
                    OnStop::Protect => step.timeout.unwrap_or(step.estimate_or_zero().worst),
                    OnStop::Finish | OnStop::Kill => step.estimate_or_zero().worst,
                },
            });
        }
        evening.let_go(order);
        let mut follow: Vec<(u32, u32)> = graph.step_ixs().flat_map(|ix| evening.same_host(graph, ix)).collect();
        // Stable: whoever was named first goes on first.
        follow.sort_by_key(|(before, _)| *before);
        let parts = 0..=evening.parts.len() as u32;
        evening.followers_from =
            parts.map(|part| follow.partition_point(|(before, _)| *before < part) as u32).collect();
        evening.followers = follow.into_iter().map(|(_, part)| part).collect();
        evening
    }

    fn add_parts(
        &mut self,
        graph: &Graph,
        ix: StepIx,
        never: bool,
        past: &Past,
        (by_name, groups): (&BTreeMap<&str, &str>, Option<&Groups>),
    ) {
        let step = graph.step(ix);
        let mut known: BTreeMap<&str, u32> = BTreeMap::new();
        let timed = !never && !matches!(step.verb, Verb::Wait(Wait::For(_) | Wait::At(_)));
        let groups = groups.filter(|_| step.fleet.takes_hosts_out());
        let group_of = |action: ActionIx| groups.and_then(|g| g.spot(action)).map(|spot| spot.group);
        let mut actions: Vec<ActionIx> = graph.actions_of(ix).collect();
        // Stable: within a group as in the plan.
        actions.sort_by_key(|action| group_of(*action));
        let mut lane = None;
        for (place, action) in actions.into_iter().enumerate() {
            if step.gate.is_none() || place == 0 {
                let group = group_of(action);
                if lane != Some(group) {
                    lane = Some(group);
                    self.begin_lane(graph, ix, groups.zip(group));
                }
                let host = graph.action(action).id.host().unwrap_or("");
                let alike = by_name.get(host).copied().unwrap_or(host);
                let spread = *known.entry(alike).or_insert_with(|| {
                    self.spreads.push(timed.then(|| Spread::of(step.estimate, past.of(&step.id, alike))).flatten());
                    self.spreads.len() as u32 - 1
                });
                self.parts.push(Part { step: ix.0, spread, same_host_needs: 0 });
            }
            self.part_of[action.index()] = self.parts.len() as u32 - 1;
        }
    }

    fn begin_lane(&mut self, graph: &Graph, ix: StepIx, group: Option<(&Groups, u32)>) {
        let room = group.and_then(|(groups, group)| groups.room(graph, ix, group));
        if let Some((_, group)) = group {
            self.lanes_of_group[group as usize].push(self.lanes.len() as u32);
        }
        self.lanes.push(Lane {
            first: self.parts.len() as u32,
            group: group.map(|(_, group)| group),
            room: room.map_or(u32::MAX, |room| room.max(1) as u32),
        });
    }

    /// Whoever gives what another takes over.
    fn let_go(&mut self, order: Option<&Order>) {
        for (step, after) in order.iter().flat_map(|order| order.after.iter().enumerate()) {
            after.iter().for_each(|before| self.steps[*before as usize].dependants.push(step as u32));
        }
    }

    /// Which of its parts go on when which other part is over.
    fn same_host(&mut self, graph: &Graph, ix: StepIx) -> Vec<(u32, u32)> {
        let mut follow = Vec::new();
        for (need, action) in graph.same_host_needs(ix).iter().flat_map(|n| graph.actions_of(ix).map(move |a| (*n, a)))
        {
            let part = self.part(action);
            self.parts[part as usize].same_host_needs += 1;
            match graph.on_same_host(need, action) {
                Some(other) => follow.push((self.part(other), part)),
                None => self.steps[need.index()].whole_step_followers.push(part),
            }
        }
        follow
    }

    /// How long a part may take.
    pub(super) fn spread(&self, part: u32) -> Option<Spread> {
        self.spreads[self.parts[part as usize].spread as usize]
    }

    /// Parts on the same host that wait for this one.
    pub(super) fn followers(&self, part: u32) -> &[u32] {
        let [from, to] = [part, part + 1].map(|p| self.followers_from[p as usize] as usize);
        &self.followers[from..to]
    }

    /// What is limited together with this part.
    pub(super) fn lane(&self, part: u32) -> u32 {
        let step = &self.steps[self.parts[part as usize].step as usize];
        let lanes = &self.lanes[step.first_lane as usize..(step.first_lane + step.lanes) as usize];
        step.first_lane + lanes.partition_point(|lane| lane.first <= part) as u32 - 1
    }

    fn part(&self, action: ActionIx) -> u32 {
        self.part_of[action.index()]
    }

    /// How many parts a night has.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.parts.len()
    }

    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Whether anything is uncertain: without that, there are no odds to speak of.
    #[must_use]
    pub fn is_uncertain(&self) -> bool {
        self.spreads.iter().flatten().any(|s| s.deviation > 0.0)
    }

    /// The situation before anything has begun.
    #[must_use]
    pub fn before(graph: &Graph, opens: Timestamp, closes: Option<Timestamp>) -> Situation {
        Situation { at: opens, actions: vec![Standing::Waiting; graph.actions().len()], closes, reversible: true }
    }

    /// The odds, the same for everybody who asks: by 4,000 nights, by fewer of a large plan. `None` where nothing is
    /// uncertain: there is nothing to draw.
    #[must_use]
    pub fn odds(&self, graph: &Graph, situation: &Situation) -> Option<Odds> {
        let nights = (EFFORT / self.parts.len().max(1)).clamp(100, 4_000) as u32;
        self.is_uncertain().then(|| self.nights(graph, situation, nights, SEED))
    }

    /// Draws exactly so many nights.
    #[must_use]
    pub fn nights(&self, graph: &Graph, situation: &Situation, nights: u32, seed: u64) -> Odds {
        let limits = self.limits(graph, situation);
        let mut play = Play::new(self, situation, seed);
        let nights = nights.max(1);
        let mut ends = Vec::with_capacity(nights as usize);
        let (mut done, mut fits) = (0u32, 0u32);
        let mut critical = vec![0u32; self.steps.len()];
        for _ in 0..nights {
            let night = play.night(&limits);
            let decided = night.decided.unwrap_or(night.end);
            let in_time = limits.decided.is_none_or(|by| decided <= by);
            let stopped = limits.stops && (night.refused || !in_time);
            fits += u32::from(in_time);
            done += u32::from(!stopped && limits.closes.is_none_or(|closes| night.end <= closes));
            ends.push(night.end);
            play.chain(&mut critical);
        }
        ends.sort_unstable_by(f64::total_cmp);
        let share = |n: u32| f64::from(n) / f64::from(nights);
        let quantile = |q: f64| later(situation.at, ends[((ends.len() - 1) as f64 * q).round() as usize]);
        Odds {
            nights,
            early: quantile(0.1),
            middle: quantile(0.5),
            late: quantile(0.9),
            done: limits.closes.map(|_| share(done)),
            rollback_fits: limits.decided.map(|_| share(fits)),
            critical: critical.into_iter().map(share).collect(),
        }
    }

    fn limits(&self, graph: &Graph, situation: &Situation) -> Limits {
        let seconds = |at: Timestamp| at.duration_since(situation.at).as_secs_f64();
        let mut limits = Limits {
            closes: situation.closes.map(seconds),
            decided: None,
            starts: vec![f64::INFINITY; self.steps.len()],
            stops: self.on_deadline != OnDeadline::Warn,
        };
        let Some(closes) = situation.closes.filter(|_| situation.reversible) else { return limits };
        let by = seconds(closes) - self.reserve.as_secs_f64();
        for step in graph.step_ixs().filter(|s| self.steps[s.index()].irreversible) {
            // From there it is only forward: all that follows must fit, too.
            limits.starts[step.index()] = seconds(closes) - self.remaining[step.index()].as_secs_f64();
        }
        let mut cost = RollbackCost::new(graph);
        for step in self.in_expected_order(graph, situation) {
            for action in graph.actions_of(step) {
                if situation.actions[action.index()] != Standing::Skipped {
                    cost.touch(graph, step);
                }
            }
            let node = &self.steps[step.index()];
            limits.starts[step.index()] = by - cost.now().as_secs_f64() - node.worst.as_secs_f64();
        }
        limits.decided = Some(by - cost.now().as_secs_f64());
        limits
    }

    /// What a rollback would undo: begun or not, in the order in which it is expected to begin.
    fn in_expected_order(&self, graph: &Graph, situation: &Situation) -> Vec<StepIx> {
        let mut steps = undoable(graph, &forward_only(graph), &self.expected);
        let begun = |s: &StepIx| {
            let waits = |a: ActionIx| situation.actions[a.index()] == Standing::Waiting;
            !graph.actions_of(*s).any(waits)
        };
        steps.sort_by_key(|s| !begun(s));
        steps
    }

    /// Where each part stands.
    pub(super) fn standing(&self, situation: &Situation) -> Vec<Standing> {
        let mut parts = vec![None; self.parts.len()];
        for (action, part) in self.part_of.iter().enumerate() {
            let (next, slot) = (situation.actions[action], &mut parts[*part as usize]);
            *slot = Some(match (*slot, next) {
                (None, next) => next,
                (Some(Standing::Running { since: a }), Standing::Running { since: b }) => {
                    Standing::Running { since: a.min(b) }
                }
                (Some(Standing::Running { since }), _) | (_, Standing::Running { since }) => {
                    Standing::Running { since }
                }
                (Some(Standing::Waiting), _) | (_, Standing::Waiting) => Standing::Waiting,
                (Some(first), _) => first,
            });
        }
        parts.into_iter().map(|p| p.unwrap_or(Standing::Skipped)).collect()
    }
}

/// `t` and so many seconds.
fn later(t: Timestamp, seconds: f64) -> Timestamp {
    let after = SignedDuration::try_from_secs_f64(seconds).unwrap_or(SignedDuration::MAX);
    t.checked_add(after).unwrap_or(Timestamp::MAX)
}

/// As the engine ranks them where no order was searched.
fn by_remaining(graph: &Graph) -> Vec<u32> {
    let remaining = longest_remaining(graph);
    let mut order: Vec<StepIx> = graph.step_ixs().collect();
    order.sort_by_key(|s| (std::cmp::Reverse(remaining[s.index()]), *s));
    let mut rank = vec![0; order.len()];
    for (place, step) in order.into_iter().enumerate() {
        rank[step.index()] = place as u32;
    }
    rank
}
