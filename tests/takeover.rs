//! One owner at a time: an engine that is frozen at any moment, replaced, and continued too late does nothing any more.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;

use super::exec::{Bed, Said, eventually, is_engine, signal};
use super::sweep::night::judge;
use super::sweep::{nightly, rolls, seed, side_by_side};
use runbook::engine::fact::{Fact, RunEnd};
use runbook::journal::Store;

const STEPS: usize = 10;

/// Quick steps in a row: something is armed, started or ended at every moment.
fn plan() -> String {
    let step = |n: usize| {
        let effect = |word: &str| format!("echo \"$RUNBOOK_STEP {word} $RUNBOOK_ATTEMPT\" >> DIR/effects");
        format!("  s{n}: {{run: '{}; sleep 0.01', rollback: '{}'}}\n", effect("do"), effect("undo"))
    };
    let steps: String = (1..=STEPS).map(step).collect();
    format!("runbook: 1\nname: Quick\ndefaults: {{hosts: local, estimate: 30s}}\nsteps:\n{steps}")
}

/// A process that is not left behind, whatever happens.
struct Frozen(u32);

impl Drop for Frozen {
    fn drop(&mut self) {
        if is_engine(self.0) {
            signal(self.0, Signal::KILL);
        }
    }
}

/// Freezes the engine at some moment, takes the run over, and lets the frozen one go on: at once, or when all is over.
fn take_over(roll: u64) -> Result<(), String> {
    let bed = Bed::new(&plan());
    assert_eq!(bed.exec(&["--detach"]).code, 30);
    let run = bed.store().run("night-a").unwrap();
    let old = run.lease.unwrap().pid;
    let (facts, spin, early) = (3 + roll % 24, roll >> 8 & 0xfff, roll >> 20 & 1 == 0);
    eventually("it is that far", || bed.facts("night-a").len() as u64 >= facts || !is_engine(old));
    std::thread::sleep(Duration::from_micros(spin));
    let _frozen = Frozen(old);
    signal(old, Signal::STOP);
    let steal = bed.spawn(&["resume", "--steal", "-m", "it hangs", "--confirm", "night", "--detach"]);
    // An engine that was frozen while it closes its journal keeps it locked for everybody.
    let look = || Store::open_existing(&bed.path("store")).ok().flatten()?.run("night-a").ok();
    let taken = || look().is_some_and(|run| run.lease.is_some_and(|lease| lease.epoch == 2));
    let over = || look().is_some_and(|run| run.end.is_some());
    let mut steal = steal;
    eventually("it was taken over or refused", || steal.try_wait().unwrap().is_some() || taken() || over());
    if !early && taken() {
        eventually("it is over", over);
    }
    signal(old, Signal::CONT);
    let said = Said::of(steal.wait_with_output().unwrap());
    let ended = said.stderr.contains("frozen in the middle of a write");
    let end = bed.ended("night-a");
    eventually("the old engine is gone", || !is_engine(old));
    if end != (RunEnd::Succeeded { late: false }) {
        return Err(format!("{roll}: {end:?}: {}", said.stderr));
    }
    let outcomes = judge(&bed, &bed.store().run("night-a").unwrap()).map_err(|why| format!("{roll}: {why}"))?;
    if outcomes.effects.values().sum::<usize>() != STEPS {
        return Err(format!("{roll}: {:?}", outcomes.effects));
    }
    let resumed = bed.facts("night-a").iter().filter(|f| matches!(f, Fact::Resumed { .. })).count();
    let log = fs::read_to_string(bed.path("store/runs/night-a/engine.log")).unwrap_or_default();
    match (resumed, log.contains("somebody else has taken the run over") || ended) {
        (1, true) | (0, _) => Ok(()),
        _ => Err(format!("{roll}: resumed {resumed} times, {said:?}, and the old engine says: {log}")),
    }
}

#[test]
fn an_engine_that_was_frozen_and_replaced_touches_nothing_any_more() {
    let nights: Vec<u64> = rolls(seed()).take(if nightly() { 200 } else { 10 }).collect();
    side_by_side(&nights, |roll| take_over(*roll));
}
