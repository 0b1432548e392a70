//! Every commit of the journal as the last thing that an engine did: eight plans, killed before, in and after each, then
//! taken over to the end. Nothing is done twice, nothing is lost, and the night ends as it does without a crash.
//!
//! The sample runs with all other tests; all points, and two crashes in one night, with `NIGHTLY` set.

pub mod night;
pub mod plans;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use night::{Finished, Moment, Outcomes, Point, play};
use plans::{CASES, Case};

/// Nights at the same time: they wait most of the time, for the disk and for each other.
const AT_ONCE: usize = 24;

pub fn nightly() -> bool {
    std::env::var_os("NIGHTLY").is_some()
}

/// How a plan goes without a crash.
fn undisturbed(case: &Case) -> Outcomes {
    let Finished { outcomes, engines, .. } = play(case, &[]).unwrap_or_else(|why| panic!("{}: {why}", case.name));
    assert_eq!(engines, 1);
    outcomes
}

/// Plays all of these nights, a few at a time, and collects what went wrong. Returns how many crashes there were.
fn play_all(nights: &[(&Case, Vec<Point>)], expected: &[Outcomes]) -> usize {
    let crashes = AtomicUsize::new(0);
    side_by_side(nights, |(case, points)| {
        let expected = &expected[CASES.iter().position(|c| c.name == case.name).unwrap()];
        let night = play(case, points).map_err(|why| format!("{} {points:?}: {why}", case.name))?;
        crashes.fetch_add(night.crashes, Ordering::Relaxed);
        if night.outcomes == *expected {
            return Ok(());
        }
        Err(format!("{} {points:?}: {:#?}\ninstead of {expected:#?}", case.name, night.outcomes))
    });
    crashes.into_inner()
}

/// Does the same with all of these, a few at a time; fails with all that went wrong.
pub fn side_by_side<T: Sync>(all: &[T], each: impl Fn(&T) -> Result<(), String> + Sync) {
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(one) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(why) = each(one) {
                        eprintln!("{why}");
                        wrong.lock().unwrap().push(why);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), all.len(), wrong.join("\n"));
}

/// Asks the same of every plan, of all at once.
fn each_case<T: Send>(ask: fn(&Case) -> T) -> Vec<T> {
    std::thread::scope(|scope| {
        let asked: Vec<_> = CASES.iter().map(|case| scope.spawn(move || ask(case))).collect();
        asked.into_iter().map(|answer| answer.join().expect("it says above what is wrong")).collect()
    })
}

/// The commits of an engine that is not killed; the first one is its lease.
fn commits(case: &Case) -> usize {
    let reached = |commit: usize| {
        let point = Point { commit, moment: Moment::Done };
        play(case, &[point]).unwrap_or_else(|why| panic!("{} {point:?}: {why}", case.name)).crashes == 1
    };
    let mut most = 8;
    while reached(most) {
        most += 8;
    }
    most
}

#[test]
fn a_killed_engine_is_followed_by_one_that_brings_the_same_night_to_the_same_end() {
    let expected = each_case(undisturbed);
    let most = if nightly() { each_case(commits) } else { vec![24; CASES.len()] };
    let mut nights = Vec::new();
    for (n, case) in CASES.iter().enumerate() {
        let all = (1..=most[n]).flat_map(|commit| Moment::ENDS.map(|moment| Point { commit, moment }));
        let sample = |index: &usize| nightly() || (index + n).is_multiple_of(13);
        nights.extend(all.enumerate().filter(|(index, _)| sample(index)).map(|(_, point)| (case, vec![point])));
    }
    let tried = nights.len();
    let crashes = play_all(&nights, &expected);
    println!("{crashes} crashes in {tried} nights");
    assert!(crashes > if nightly() { 600 } else { 40 }, "only {crashes}");
}

/// The second engine is killed too, mostly while it still finds out what became of what the first one left.
#[test]
fn two_crashes_are_no_worse_than_one() {
    if !nightly() {
        println!("skipped: 500 nights; with NIGHTLY=1, or tests/run --nightly");
        return;
    }
    let expected = each_case(undisturbed);
    let seed = seed();
    let nights = rolls(seed).zip(0..500).map(|(roll, n)| {
        let point = |roll: u64, most: u64| Point {
            commit: 2 + (roll % most) as usize,
            moment: Moment::ENDS[(roll / most % 4) as usize],
        };
        (&CASES[n % CASES.len()], vec![point(roll & 0xffff, 14), point(roll >> 16, 5)])
    });
    let nights: Vec<_> = nights.collect();
    let crashes = play_all(&nights, &expected);
    println!("{crashes} crashes in 500 nights");
    assert!(crashes > 700, "only {crashes}");
}

/// Another one each time; `SEED` repeats one that failed.
pub fn seed() -> u64 {
    let given = std::env::var("SEED").ok().and_then(|s| s.parse().ok());
    let seed = given.unwrap_or_else(|| u64::from(std::process::id()));
    println!("SEED={seed}");
    seed
}

/// Numbers below 2^32 that a seed repeats.
pub fn rolls(seed: u64) -> impl Iterator<Item = u64> {
    let next = |x: u64| x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    std::iter::successors(Some(next(seed)), move |x| Some(next(*x))).map(|x| x >> 32)
}
