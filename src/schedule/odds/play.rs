//! Plays one night after the other by the rules of the engine: each part as early as its needs and what is free allow,
//! whoever ranks first goes first. Knows nothing of what the parts do.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use jiff::Timestamp;

use super::bits::Bits;
use super::evening::{Evening, Limits, Part, Room};
use super::{Situation, Standing};
use crate::schedule::dice::Dice;

/// The share of their luck that the parts of one step have in common.
const SHARED: f64 = 0.5;

/// What one night came to, in seconds after the situation.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Night {
    /// The end of everything.
    pub end: f64,
    /// The end of the part that can be rolled back: the last gate, where nothing else is left that judges or can be undone;
    /// or the start of what cannot be undone; or the end.
    pub decided: Option<f64>,
    /// Something would have started too late for a rollback after it.
    pub refused: bool,
}

/// The room for nights.
#[derive(Debug)]
pub(super) struct Play<'a> {
    evening: &'a Evening,
    dice: Dice,
    /// A second number that came with the last one.
    spare: Option<f64>,
    began: Vec<Began>,
    /// By step: its parts end no earlier than this.
    until: Vec<f64>,
    /// By step: what those that are done say of the luck of the others; and the luck of this night.
    luck: Vec<Luck>,
    tonight: Vec<f64>,
    /// How things stand before anything is drawn.
    first: State,
    state: State,
    /// By part: the part whose end let it begin.
    cause: Vec<u32>,
    last: u32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Began {
    Not,
    SecondsAgo(f64),
    Over,
}

/// In standard deviations: the mean and deviation of the luck that a step's parts share, and what each has to itself.
#[derive(Debug, Clone, Copy)]
struct Luck {
    mean: f64,
    deviation: f64,
    own: f64,
}

/// What changes during a night. Flat, so that it is cheap to begin again.
#[derive(Debug, Default)]
struct State {
    /// Parts that run, by their end.
    running: BinaryHeap<Reverse<(Moment, u32)>>,
    /// By step: what it still waits for, its parts that are not over, those that run.
    barriers: Vec<u32>,
    left: Vec<u32>,
    taken: Vec<u32>,
    /// By lane: its parts that could start; no part before this one could.
    offered: Vec<u32>,
    next: Vec<u32>,
    /// By group: its hosts that are out of service.
    out: Vec<u32>,
    /// Parts that could start; lanes with some of which one may be taken.
    could: Bits,
    open_lanes: Bits,
    /// By part: parts of other steps on its host that it still waits for. One that has begun waits for what never comes.
    same_host: Vec<u32>,
    /// Steps with open lanes, by rank.
    ready: Vec<(u32, u32)>,
    used: Vec<u32>,
    places: u32,
    /// Steps that have just ended.
    closing: Vec<u32>,
    /// Steps that judge or can be undone, and are not over.
    guards: u32,
}

impl State {
    fn begin_as(&mut self, first: &Self) {
        self.running.clear();
        self.barriers.clone_from(&first.barriers);
        self.left.clone_from(&first.left);
        self.taken.clone_from(&first.taken);
        self.offered.clone_from(&first.offered);
        self.next.clone_from(&first.next);
        self.out.clone_from(&first.out);
        self.could.become_as(&first.could);
        self.open_lanes.become_as(&first.open_lanes);
        self.same_host.clone_from(&first.same_host);
        self.ready.clone_from(&first.ready);
        self.used.clone_from(&first.used);
        self.places = first.places;
        self.guards = first.guards;
    }
}

/// Seconds that can be sorted, not negative: the bits of such a number are in the order of the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Moment(u64);

impl Moment {
    fn of(seconds: f64) -> Self {
        // 0 may have a sign.
        Self((seconds + 0.0).to_bits())
    }

    fn seconds(self) -> f64 {
        f64::from_bits(self.0)
    }
}

/// No part.
const NONE: u32 = u32::MAX;

impl<'a> Play<'a> {
    pub(super) fn new(evening: &'a Evening, situation: &Situation, seed: u64) -> Self {
        let standing = evening.standing(situation);
        let seconds = |at: Timestamp| at.duration_since(situation.at).as_secs_f64();
        let began = standing.iter().map(|s| match s {
            Standing::Waiting => Began::Not,
            Standing::Running { since } => Began::SecondsAgo(-seconds(*since).min(0.0)),
            Standing::Done { .. } | Standing::Skipped => Began::Over,
        });
        let mut play = Self {
            evening,
            dice: Dice::new(seed),
            spare: None,
            began: began.collect(),
            until: evening.steps.iter().map(|step| step.until.map_or(0.0, seconds)).collect(),
            luck: (0..evening.steps.len()).map(|step| luck(evening, step, &standing)).collect(),
            tonight: vec![0.0; evening.steps.len()],
            first: State::default(),
            state: State::default(),
            cause: vec![NONE; evening.parts.len()],
            last: NONE,
        };
        play.prepare();
        play
    }

    /// What is over, and what runs, is taken into account once for all nights.
    fn prepare(&mut self) {
        let (steps, parts) = (&self.evening.steps, &self.evening.parts);
        self.state = State {
            barriers: steps.iter().map(|s| s.barriers).collect(),
            left: steps.iter().map(|s| s.count).collect(),
            taken: vec![0; steps.len()],
            offered: vec![0; self.evening.lanes.len()],
            next: self.evening.lanes.iter().map(|lane| lane.first).collect(),
            out: vec![0; self.evening.lanes_of_group.len()],
            could: Bits::below(parts.len()),
            open_lanes: Bits::below(self.evening.lanes.len()),
            same_host: parts.iter().zip(&self.began).map(still_needs).collect(),
            used: vec![0; self.evening.capacity.len()],
            guards: steps.iter().filter(|s| s.guards && s.count > 0).count() as u32,
            ..State::default()
        };
        for step in (0..steps.len() as u32).filter(|s| steps[*s as usize].barriers == 0) {
            self.open(step);
        }
        for part in 0..parts.len() as u32 {
            match self.began[part as usize] {
                Began::Over => self.satisfy(part),
                Began::SecondsAgo(_) => self.take(part),
                Began::Not => {}
            }
        }
        self.close_steps();
        self.first = std::mem::take(&mut self.state);
    }

    /// Draws a night and plays it.
    pub(super) fn night(&mut self, limits: &Limits) -> Night {
        self.state.begin_as(&self.first);
        self.last = NONE;
        let mut night = Night::default();
        self.draw_what_runs();
        self.start_ready(0.0, NONE, limits, &mut night);
        while let Some(Reverse((moment, part))) = self.state.running.pop() {
            let at = moment.seconds();
            night.end = at;
            self.last = part;
            self.give_back(part);
            self.satisfy(part);
            let step = &self.evening.steps[self.evening.parts[part as usize].step as usize];
            if self.state.guards == 0 && step.gate && night.decided.is_none() {
                night.decided = Some(at);
            }
            self.close_steps();
            self.start_ready(at, part, limits, &mut night);
        }
        night
    }

    /// Counts the steps on the chain that decided the end of the last night.
    pub(super) fn chain(&self, counts: &mut [u32]) {
        let mut part = self.last;
        let mut before = NONE;
        while part != NONE {
            let step = self.evening.parts[part as usize].step;
            if step != before {
                counts[step as usize] += 1;
            }
            (before, part) = (step, self.cause[part as usize]);
        }
    }

    fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let (one, other) = self.dice.normals();
        self.spare = Some(other);
        one
    }

    /// The luck of the steps tonight, and the rest of what runs already.
    fn draw_what_runs(&mut self) {
        for step in 0..self.luck.len() {
            let luck = self.luck[step];
            self.tonight[step] =
                if luck.deviation > 0.0 { luck.mean + luck.deviation * self.normal() } else { luck.mean };
        }
        for part in 0..self.began.len() {
            let Began::SecondsAgo(elapsed) = self.began[part] else { continue };
            let step = self.evening.parts[part].step as usize;
            let (luck, own, always) = (self.tonight[step], self.luck[step].own, self.evening.steps[step].always);
            let spread = self.evening.spread(part as u32);
            let whole = spread.map_or(0.0, |s| s.draw_above(&mut self.dice, (elapsed - always).max(0.0), luck, own));
            let rest = (whole + always - elapsed).max(self.until[step]).max(0.0);
            self.cause[part] = NONE;
            self.state.running.push(Reverse((Moment::of(rest), part as u32)));
        }
    }

    /// How long a part takes that begins now.
    fn draw(&mut self, step: u32, part: u32) -> f64 {
        let always = self.evening.steps[step as usize].always;
        let Some(spread) = self.evening.spread(part) else { return always };
        if spread.deviation == 0.0 {
            return spread.at(0.0) + always;
        }
        let own = self.luck[step as usize].own;
        let deviations = self.tonight[step as usize] + own * self.normal();
        spread.at(deviations) + always
    }

    fn start_ready(&mut self, at: f64, cause: u32, limits: &Limits, night: &mut Night) {
        let mut i = 0;
        while let Some((_, step)) = self.state.ready.get(i).copied() {
            while self.has_room(step)
                && let Some(lane) = self.open_lane(step)
            {
                if !self.lane_has_room(lane) {
                    self.state.open_lanes.remove(lane);
                    continue;
                }
                if night.decided.is_none() {
                    night.refused |= at > limits.starts[step as usize];
                    night.decided = self.evening.steps[step as usize].irreversible.then_some(at);
                }
                let part = self.first_that_could(lane);
                self.take(part);
                self.cause[part as usize] = cause;
                let end = (at + self.draw(step, part)).max(self.until[step as usize]);
                self.state.running.push(Reverse((Moment::of(end), part)));
            }
            if self.open_lane(step).is_none() {
                self.state.ready.remove(i);
            } else {
                i += 1;
            }
        }
    }

    fn has_room(&self, step: u32) -> bool {
        let node = &self.evening.steps[step as usize];
        let free = |(resource, units): &(u32, u32)| {
            self.state.used[*resource as usize] + units <= self.evening.capacity[*resource as usize]
        };
        node.room == Room::Unneeded
            || self.state.places < self.evening.places
                && self.state.taken[step as usize] < node.at_once
                && self.canary_is_over(step)
                && node.uses.iter().all(free)
    }

    /// Or none has begun, so that one may.
    fn canary_is_over(&self, step: u32) -> bool {
        let node = &self.evening.steps[step as usize];
        !node.canary || self.state.left[step as usize] < node.count || self.state.taken[step as usize] == 0
    }

    fn open_lane(&self, step: u32) -> Option<u32> {
        let node = &self.evening.steps[step as usize];
        let lane = self.state.open_lanes.first_from(node.first_lane)?;
        (lane < node.first_lane + node.lanes).then_some(lane)
    }

    /// Whether its group can spare one more host.
    fn lane_has_room(&self, lane: u32) -> bool {
        let lane = &self.evening.lanes[lane as usize];
        lane.group.is_none_or(|group| self.state.out[group as usize] < lane.room)
    }

    fn first_that_could(&mut self, lane: u32) -> u32 {
        let next = &mut self.state.next[lane as usize];
        // There is one, for one was offered.
        *next = self.state.could.first_from(*next).unwrap_or(*next);
        self.state.could.remove(*next);
        self.state.offered[lane as usize] -= 1;
        if self.state.offered[lane as usize] == 0 {
            self.state.open_lanes.remove(lane);
        }
        *next
    }

    fn take(&mut self, part: u32) {
        let step = self.evening.parts[part as usize].step as usize;
        let node = &self.evening.steps[step];
        if node.room == Room::Taken {
            self.state.places += 1;
            self.state.taken[step] += 1;
            node.uses.iter().for_each(|(r, units)| self.state.used[*r as usize] += units);
        }
        if let Some(group) = self.group(part) {
            self.state.out[group as usize] += 1;
        }
    }

    /// The group of which it takes a host out of service.
    fn group(&self, part: u32) -> Option<u32> {
        if self.evening.lanes_of_group.is_empty() {
            return None;
        }
        self.evening.lanes[self.evening.lane(part) as usize].group
    }

    fn give_back(&mut self, part: u32) {
        let step = self.evening.parts[part as usize].step as usize;
        let node = &self.evening.steps[step];
        if node.room == Room::Taken {
            self.state.places -= 1;
            self.state.taken[step] -= 1;
            node.uses.iter().for_each(|(r, units)| self.state.used[*r as usize] -= units);
        }
        if let Some(group) = self.group(part) {
            self.state.out[group as usize] -= 1;
            let evening = self.evening;
            evening.lanes_of_group[group as usize].iter().for_each(|lane| self.open_again(*lane));
        }
    }

    /// One host more of its group is in service.
    fn open_again(&mut self, lane: u32) {
        if self.state.offered[lane as usize] > 0 {
            self.state.open_lanes.insert(lane);
            let part = self.evening.lanes[lane as usize].first;
            self.make_ready(self.evening.parts[part as usize].step);
        }
    }

    fn make_ready(&mut self, step: u32) {
        let key = (self.evening.steps[step as usize].rank, step);
        if let Err(place) = self.state.ready.binary_search(&key) {
            self.state.ready.insert(place, key);
        }
    }

    /// A part is over: whoever waits for it on its host may go on.
    fn satisfy(&mut self, part: u32) {
        let evening = self.evening;
        let step = evening.parts[part as usize].step;
        evening.followers(part).iter().for_each(|next| self.let_go(*next));
        self.state.left[step as usize] -= 1;
        if self.state.left[step as usize] == 0 {
            self.state.guards -= u32::from(evening.steps[step as usize].guards);
            self.state.closing.push(step);
        }
    }

    fn close_steps(&mut self) {
        let evening = self.evening;
        while let Some(step) = self.state.closing.pop() {
            let node = &evening.steps[step as usize];
            node.whole_step_followers.iter().for_each(|part| self.let_go(*part));
            for next in &node.dependants {
                self.state.barriers[*next as usize] -= 1;
                if self.state.barriers[*next as usize] == 0 {
                    self.open(*next);
                }
            }
        }
    }

    /// All that a step needs is over.
    fn open(&mut self, step: u32) {
        let node = &self.evening.steps[step as usize];
        if node.count == 0 {
            self.state.closing.push(step);
        }
        (node.first..node.first + node.count).for_each(|part| self.offer(part));
    }

    /// One less to wait for on the same host.
    fn let_go(&mut self, part: u32) {
        self.state.same_host[part as usize] -= 1;
        if self.state.barriers[self.evening.parts[part as usize].step as usize] == 0 {
            self.offer(part);
        }
    }

    fn offer(&mut self, part: u32) {
        if self.state.same_host[part as usize] > 0 {
            return;
        }
        let lane = self.evening.lane(part);
        self.state.could.insert(part);
        self.state.offered[lane as usize] += 1;
        self.state.next[lane as usize] = self.state.next[lane as usize].min(part);
        self.state.open_lanes.insert(lane);
        self.make_ready(self.evening.parts[part as usize].step);
    }
}

fn still_needs((part, began): (&Part, &Began)) -> u32 {
    part.same_host_needs + u32::from(*began != Began::Not)
}

/// The luck of a step's parts, given those that are done. A part alone shares it with nobody.
fn luck(evening: &Evening, step: usize, standing: &[Standing]) -> Luck {
    let node = &evening.steps[step];
    if node.count < 2 {
        return Luck { mean: 0.0, deviation: 0.0, own: 1.0 };
    }
    let done = (node.first..node.first + node.count).filter_map(|part| {
        let (Standing::Done { took }, spread) = (standing[part as usize], evening.spread(part)?) else {
            return None;
        };
        (spread.deviation > 0.0).then_some(spread.place_of(took?.as_secs_f64()))
    });
    let (count, sum) = done.fold((0.0, 0.0), |(count, sum), place| (count + 1.0, sum + place));
    // The normal posterior of what is shared, of which each part shows its share and its own.
    let (shared, own) = (SHARED.sqrt(), (1.0 - SHARED).sqrt());
    let known = 1.0 - SHARED + SHARED * count;
    let mean = shared * sum / known;
    Luck { mean: shared * mean, deviation: shared * ((1.0 - SHARED) / known).sqrt(), own }
}
