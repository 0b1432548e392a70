//! Breeds lists of activities whose schedules end early. Knows nothing of what the activities are.

use std::cmp::Reverse;

use super::place::Placer;
use super::project::Project;
use crate::schedule::dice::Dice;

/// How many lists are kept: more where there is the effort to breed them for some generations.
const POPULATION: std::ops::RangeInclusive<u64> = 50..=200;
const GENERATIONS: u64 = 120;
/// After so many children in vain the population is replaced, but for its best.
const PATIENCE: u32 = 3_000;
/// Of how many stretches of a father the densest is taken.
const STRETCHES: usize = 3;
/// How many activities of a list near the best one are drawn anew, on average.
const DRAWN_ANEW: usize = 20;
/// How often two neighbours of a child's list are swapped, of 256.
const MUTATION: u64 = 13;

/// A list, in which everything comes after what it needs, and its schedule.
#[derive(Debug, Clone)]
struct Individual {
    list: Vec<u32>,
    starts: Vec<u32>,
    makespan: u32,
}

#[derive(Debug)]
pub(super) struct Breeder<'a> {
    project: &'a Project,
    dependants: Vec<Vec<u32>>,
    /// The latest end that lets a chain end with the longest: the sooner, the more urgent.
    latest_end: Vec<u32>,
    /// Place in an order in which everything comes after what it needs: decides between activities that take no time.
    position: Vec<u32>,
    /// How much of what there is each activity takes, times how long.
    work: Vec<u64>,
    dice: Dice,
}

/// The room for schedules: the project, and the same seen from its end.
struct Bench<'a> {
    forward: Placer<'a>,
    backward: Placer<'a>,
    starts: Vec<u32>,
    mirrored: Vec<u32>,
    placed: u64,
}

impl<'a> Breeder<'a> {
    pub(super) fn new(project: &'a Project, seed: u64) -> Self {
        let reversed = project.reversed();
        let tails = reversed.earliest();
        let longest = project.makespan(&project.earliest());
        let latest_end = tails.iter().map(|tail| longest - tail).collect();
        let mut position = vec![0; project.len()];
        for (place, activity) in project.topological().into_iter().enumerate() {
            position[activity] = place as u32;
        }
        let work = (0..project.len()).map(|a| work(project, a)).collect();
        Self { project, dependants: project.dependants(), latest_end, position, work, dice: Dice::new(seed) }
    }

    /// The starts of the best schedule that was found.
    pub(super) fn best(mut self, effort: u64) -> Vec<u32> {
        let reversed = self.project.reversed();
        let n = self.project.len();
        let mut bench = Bench {
            forward: Placer::new(self.project),
            backward: Placer::new(&reversed),
            starts: vec![0; n],
            mirrored: vec![0; n],
            placed: 0,
        };
        let bound = self.project.lower_bound();
        let first = self.by_priority();
        let mut best = self.grown(first, &mut bench);
        let mut population = Vec::new();
        let room = population_for(effort, n);
        let (mut in_vain, mut near_the_best) = (0, false);
        while best.makespan > bound && bench.placed < effort {
            let second_half = bench.placed > effort / 2;
            if in_vain > PATIENCE || second_half && !near_the_best {
                near_the_best = second_half;
                population = vec![best.clone()];
                in_vain = 0;
            }
            let list = match (population.len() < room, near_the_best) {
                (true, false) => self.sampled(),
                (true, true) => self.near(&best),
                (false, _) => self.child(&population),
            };
            let child = self.grown(list, &mut bench);
            in_vain += 1;
            if child.makespan < best.makespan {
                best = child.clone();
                in_vain = 0;
            }
            keep(&mut population, child, room);
        }
        bench.forward.place(&best.list, &mut bench.starts);
        bench.starts
    }

    /// Most urgent first, as far as the needs allow.
    fn by_priority(&self) -> Vec<u32> {
        self.listed(|breeder, ready| {
            let urgent = ready.iter().enumerate().min_by_key(|(_, a)| (breeder.latest_end[**a as usize], **a));
            urgent.map_or(0, |(place, _)| place)
        })
    }

    /// A random list that prefers what is urgent.
    fn sampled(&mut self) -> Vec<u32> {
        let mut dice = self.dice.clone();
        let list = self.listed(|breeder, ready| breeder.by_regret(ready, &mut dice));
        self.dice = dice;
        list
    }

    /// The list of the best schedule with some activities drawn anew: the second phase of V. Valls, F. Ballestín, S.
    /// Quintanilla, "A hybrid genetic algorithm for the resource-constrained project scheduling problem", 2008.
    fn near(&mut self, best: &Individual) -> Vec<u32> {
        let mut dice = self.dice.clone();
        let n = best.list.len();
        let mut place = vec![0; n];
        best.list.iter().enumerate().for_each(|(i, a)| place[*a as usize] = i);
        let list = self.listed(|breeder, ready| {
            if dice.below(n) < DRAWN_ANEW {
                return breeder.by_regret(ready, &mut dice);
            }
            let first = ready.iter().enumerate().min_by_key(|(_, a)| place[**a as usize]);
            first.map_or(0, |(i, _)| i)
        });
        self.dice = dice;
        list
    }

    /// The place of one of them, drawn by how much one would regret to leave it (A. Drexl, "Scheduling of project networks
    /// by job assignment", 1991).
    fn by_regret(&self, ready: &[u32], dice: &mut Dice) -> usize {
        let latest = ready.iter().map(|a| self.latest_end[*a as usize]).max().unwrap_or(0);
        let regret = |a: &u32| u64::from(latest - self.latest_end[*a as usize] + 1);
        let all: u64 = ready.iter().map(regret).sum();
        let mut left = dice.next() % all.max(1);
        let drawn = ready.iter().position(|a| match left.checked_sub(regret(a)) {
            Some(rest) => {
                left = rest;
                false
            }
            None => true,
        });
        drawn.unwrap_or(0)
    }

    /// A list of all activities; `choose` picks the place of the next one among those whose needs are listed.
    fn listed(&self, mut choose: impl FnMut(&Self, &[u32]) -> usize) -> Vec<u32> {
        let mut open: Vec<usize> = self.project.needs.iter().map(Vec::len).collect();
        let mut ready: Vec<u32> = (0..self.project.len() as u32).filter(|a| open[*a as usize] == 0).collect();
        let mut list = Vec::with_capacity(self.project.len());
        while !ready.is_empty() {
            let chosen = ready.swap_remove(choose(self, &ready));
            list.push(chosen);
            for next in &self.dependants[chosen as usize] {
                open[*next as usize] -= 1;
                if open[*next as usize] == 0 {
                    ready.push(*next);
                }
            }
        }
        list
    }

    /// A child of two good lists: a stretch of the one in the order of the other, and a few swaps.
    fn child(&mut self, population: &[Individual]) -> Vec<u32> {
        let (mother, father) = (self.parent(population), self.parent(population));
        let n = self.project.len();
        let (from, to) = self.dense_stretch(&population[father]);
        let mut taken = vec![false; n];
        let mut list = Vec::with_capacity(n);
        let take = |source: &[u32], upto: usize, list: &mut Vec<u32>, taken: &mut [bool]| {
            for activity in source {
                if list.len() == upto {
                    break;
                }
                if !std::mem::replace(&mut taken[*activity as usize], true) {
                    list.push(*activity);
                }
            }
        };
        take(&population[mother].list, from, &mut list, &mut taken);
        take(&population[father].list, to, &mut list, &mut taken);
        take(&population[mother].list, n, &mut list, &mut taken);
        for place in 1..n {
            let (before, after) = (list[place - 1], list[place]);
            let swap = self.dice.next() % 256 < MUTATION;
            if swap && !self.project.needs[after as usize].contains(&before) {
                list.swap(place - 1, place);
            }
        }
        list
    }

    /// A stretch of a list in whose schedule little lies idle, from and to: the densest of a few. What is used well is handed
    /// on as a whole (the *peak crossover* of the same article).
    fn dense_stretch(&mut self, father: &Individual) -> (usize, usize) {
        let n = father.list.len();
        let length = n / 4 + self.dice.below(n / 2 + 1);
        let stretches = (0..STRETCHES).map(|_| {
            let from = self.dice.below(n - length + 1);
            (self.density(father, from, from + length), from)
        });
        let (_, from) = stretches.collect::<Vec<_>>().into_iter().max().unwrap_or((0, 0));
        (from, from + length)
    }

    /// How much is done in the time that a stretch takes.
    fn density(&self, of: &Individual, from: usize, to: usize) -> u64 {
        let stretch = || of.list[from..to].iter().map(|a| *a as usize);
        let begins = stretch().map(|a| of.starts[a]).min().unwrap_or(0);
        let ends = stretch().map(|a| of.starts[a] + self.project.durations[a]).max().unwrap_or(0);
        let work: u64 = stretch().map(|a| self.work[a]).sum();
        work.saturating_mul(1_000) / u64::from(ends.saturating_sub(begins).max(1))
    }

    /// The better of two at random.
    fn parent(&mut self, population: &[Individual]) -> usize {
        let (a, b) = (self.dice.below(population.len()), self.dice.below(population.len()));
        if population[a].makespan <= population[b].makespan { a } else { b }
    }

    /// Schedules a list, pushes everything to the right, then to the left again; the list becomes that of the result.
    fn grown(&self, mut list: Vec<u32>, bench: &mut Bench<'_>) -> Individual {
        let durations = &self.project.durations;
        let place = |a: u32| self.position[a as usize];
        bench.placed += 3 * list.len() as u64;
        let (starts, end) = (&mut bench.starts, |starts: &[u32], a: u32| starts[a as usize] + durations[a as usize]);
        let first = bench.forward.place(&list, starts);
        list.sort_unstable_by_key(|a| Reverse((end(starts, *a), starts[*a as usize], place(*a))));
        let mirrored = &mut bench.mirrored;
        bench.backward.place(&list, mirrored);
        list.sort_unstable_by_key(|a| (Reverse((end(mirrored, *a), mirrored[*a as usize])), place(*a)));
        let makespan = bench.forward.place(&list, starts);
        debug_assert!(makespan <= first, "justification never lengthens");
        list.sort_unstable_by_key(|a| (starts[*a as usize], end(starts, *a), place(*a)));
        Individual { list, starts: starts.clone(), makespan }
    }
}

fn population_for(effort: u64, activities: usize) -> usize {
    let children = effort / (3 * activities.max(1) as u64);
    (children / GENERATIONS).clamp(*POPULATION.start(), *POPULATION.end()) as usize
}

/// The thousandths of each resource that an activity takes, together, times how long.
fn work(project: &Project, activity: usize) -> u64 {
    let part = |(r, units): &(u32, u32)| 1_000 * u64::from(*units) / u64::from(project.capacity[*r as usize].max(1));
    project.uses[activity].iter().map(part).sum::<u64>() * u64::from(project.durations[activity])
}

/// Adds a child; the worst of a full population goes. A schedule that is there already is no gain.
fn keep(population: &mut Vec<Individual>, child: Individual, room: usize) {
    if population.iter().any(|p| p.makespan == child.makespan && p.list == child.list) {
        return;
    }
    if population.len() < room {
        population.push(child);
        return;
    }
    let worst = (0..population.len()).max_by_key(|i| population[*i].makespan);
    if let Some(worst) = worst.filter(|worst| population[*worst].makespan >= child.makespan) {
        population[worst] = child;
    }
}
