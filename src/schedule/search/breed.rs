//! Breeds lists of activities whose schedules end early. Knows nothing of what the activities are.

use std::cmp::Reverse;

use super::place::Placer;
use super::project::Project;
use crate::schedule::dice::Dice;

/// Lists that are kept.
const POPULATION: usize = 50;
/// After so many children in vain the population is replaced, but for its best.
const PATIENCE: u32 = 1_500;
/// How often two neighbours of a child's list are swapped, of 256.
const MUTATION: u64 = 13;

/// A list, in which everything comes after what it needs, and the end of its schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Individual {
    list: Vec<u32>,
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
        Self { project, dependants: project.dependants(), latest_end, position, dice: Dice::new(seed) }
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
        let mut in_vain = 0;
        while best.makespan > bound && bench.placed < effort {
            let child = if population.len() < POPULATION {
                let list = self.sampled();
                self.grown(list, &mut bench)
            } else {
                let list = self.child(&population);
                self.grown(list, &mut bench)
            };
            in_vain += 1;
            if child.makespan < best.makespan {
                best = child.clone();
                in_vain = 0;
            }
            keep(&mut population, child);
            if in_vain > PATIENCE {
                population = vec![best.clone()];
                in_vain = 0;
            }
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

    /// A random list that prefers what is urgent, by how much one would regret to leave it (A. Drexl, "Scheduling of
    /// project networks by job assignment", 1991).
    fn sampled(&mut self) -> Vec<u32> {
        let mut dice = self.dice.clone();
        let list = self.listed(|breeder, ready| {
            let latest = ready.iter().map(|a| breeder.latest_end[*a as usize]).max().unwrap_or(0);
            let regret = |a: &u32| latest - breeder.latest_end[*a as usize] + 1;
            let all: u64 = ready.iter().map(|a| u64::from(regret(a))).sum();
            let mut left = dice.next() % all.max(1);
            ready
                .iter()
                .position(|a| match left.checked_sub(u64::from(regret(a))) {
                    Some(rest) => {
                        left = rest;
                        false
                    }
                    None => true,
                })
                .unwrap_or(0)
        });
        self.dice = dice;
        list
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
        let (mut from, mut to) = (self.dice.below(n + 1), self.dice.below(n + 1));
        if from > to {
            std::mem::swap(&mut from, &mut to);
        }
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
        Individual { list, makespan }
    }
}

/// Adds a child; the worst of a full population goes. A schedule that is there already is no gain.
fn keep(population: &mut Vec<Individual>, child: Individual) {
    if population.contains(&child) {
        return;
    }
    if population.len() < POPULATION {
        population.push(child);
        return;
    }
    let worst = (0..population.len()).max_by_key(|i| population[*i].makespan);
    if let Some(worst) = worst.filter(|worst| population[*worst].makespan >= child.makespan) {
        population[worst] = child;
    }
}
