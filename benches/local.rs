//! 5,000 local steps that do nothing, eight at once: what an action costs where there is no network. Store, home and
//! attempt records are on tmpfs, so that no disk is in the figures.
//!
//! `cargo bench --bench local`; `BENCH_STEPS`, `BENCH_ROUNDS` make it shorter. Asserts nothing about time.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used, reason = "a bench talks, and may panic")]
#![allow(dead_code, missing_debug_implementations, reason = "the kit is shared")]

mod kit;

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use kit::{Bed, Candidate};

const AT_ONCE: usize = 8;

/// A plan without hosts or window. Steps are independent, or stand in layers of which each needs one of the last.
fn plan(steps: usize, layered: bool) -> String {
    let mut text = format!("runbook: 1\nname: Nothing, {steps} times\nat_once: {AT_ONCE}\nsteps:\n");
    for n in 0..steps {
        let needs = match (layered, n.checked_sub(100)) {
            (true, Some(before)) => format!("[s{before}]"),
            _ => "[]".into(),
        };
        let _ = writeln!(
            text,
            "  s{n}:\n    needs: {needs}\n    hosts: local\n    run: \"true\"\n    read_only: true\n    estimate: 1s"
        );
    }
    text
}

/// `sh -c true` from eight threads: std uses posix_spawn here.
fn spawned(steps: usize) -> f64 {
    let next = AtomicUsize::new(0);
    let work = || {
        while next.fetch_add(1, Ordering::Relaxed) < steps {
            let status = Command::new("sh").args(["-c", "true"]).stdin(Stdio::null()).status().unwrap();
            assert!(status.success());
        }
    };
    kit::timed(|| {
        std::thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(work);
            }
        });
    })
    .1
}

fn main() {
    let steps: usize = std::env::var("BENCH_STEPS").ok().and_then(|n| n.parse().ok()).unwrap_or(5_000);
    let shm = Path::new("/dev/shm");
    let parent = if shm.is_dir() { shm } else { Path::new("/tmp") };
    let run = |layered: bool| {
        move || {
            let bed = Bed::new(parent);
            bed.write("nothing.yaml", &plan(steps, layered));
            bed.exec("nothing.yaml", 0)
        }
    };
    let candidates = vec![
        Candidate::new("sh -c true, std::process, 8 threads", move || Some(spawned(steps))),
        Candidate::new("runbook exec, independent steps, 8 at once", run(false)),
        Candidate::new("runbook exec, 100 chains of steps, 8 at once", run(true)),
    ];
    kit::side_by_side(&format!("W3: {steps} local steps"), kit::rounds(3), candidates);
}
