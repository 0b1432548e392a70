//! How early projects end that share resources: the makespan that the search finds against the lower bound, by effort.
//!
//! `cargo bench --bench schedule`. Projects are generated like the usual test sets (R. Kolisch, A. Sprecher, A. Drexl,
//! "Characterization and generation of a general class of resource-constrained project scheduling problems", 1995), with
//! a seed each. Asserts nothing.
//!
//! `cargo bench --bench schedule -- FOLDER` plans every project file of a folder through the program instead, as `runbook new
//! --from FILE.sm` and `runbook plan` do, and holds it against the best makespan known, which it reads from the lists in the
//! folder that are called like `j30opt.sm` and `j120hrs.sm`.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a bench prints its table, and may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use runbook::schedule::{Project, search};

const EFFORTS: [u64; 4] = [100_000, 1_000_000, 12_000_000, 50_000_000];
const PROJECTS: u64 = 12;

struct Dice(u64);

impl Dice {
    fn roll(&mut self, from: u32, to: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        from + ((self.0 >> 33) % u64::from(to - from + 1)) as u32
    }
}

/// `n` activities of 1 to 10 units, about `complexity`/10 needs each, four resources of which each needs `factor` of 4 on
/// average, and of which there is `strength` percent between what one activity and what the earliest schedule needs.
fn project(seed: u64, n: usize, complexity: u32, factor: u32, strength: u32) -> Project {
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut project = Project { capacity: vec![u32::MAX; 4], ..Project::default() };
    for i in 0..n {
        let wanted = if i < 3 { 0 } else { (complexity + dice.roll(0, 9)) / 10 };
        let near = i.saturating_sub(25) as u32;
        let mut needs: Vec<u32> = (0..wanted).map(|_| dice.roll(near, i as u32 - 1)).collect();
        needs.sort_unstable();
        needs.dedup();
        project.durations.push(dice.roll(1, 10));
        project.needs.push(needs);
        let wanted: Vec<u32> = (0..4).filter(|_| dice.roll(1, 4) <= factor).collect();
        let uses = wanted.into_iter().map(|r| (r, dice.roll(1, 10)));
        project.uses.push(uses.collect());
    }
    let starts = project.earliest();
    for r in 0..4u32 {
        let units = |a: usize| project.uses[a].iter().filter(|u| u.0 == r).map(|u| u.1).sum::<u32>();
        let least = (0..n).map(units).max().unwrap_or(0);
        let runs = |a: usize, at: u32| starts[a] <= at && at < starts[a] + project.durations[a];
        let most = starts.iter().map(|at| (0..n).filter(|a| runs(*a, *at)).map(units).sum::<u32>()).max().unwrap_or(0);
        project.capacity[r as usize] = least + (most.saturating_sub(least)) * strength / 100;
    }
    project
}

fn main() {
    match std::env::args().skip(1).find(|arg| !arg.starts_with('-')) {
        Some(folder) => published(Path::new(&folder)),
        None => generated(),
    }
}

/// The best makespans known, by set (`j30`), parameter and instance.
type Best = BTreeMap<(String, u32, u32), f64>;

fn published(folder: &Path) {
    let files = || fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &PathBuf| path.file_stem().unwrap().to_string_lossy().into_owned();
    let mut best = Best::new();
    for path in files() {
        if let Some(set) = name(&path).strip_suffix("opt").or(name(&path).strip_suffix("hrs")) {
            best.extend(listed(set, &fs::read_to_string(&path).unwrap()));
        }
    }
    let bed = tempfile::tempdir().unwrap();
    let mut gaps: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for path in files().filter(|path| path.extension().is_some_and(|e| e == "sm")) {
        let known = best.iter().find(|((set, par, inst), _)| format!("{set}{par}_{inst}") == name(&path));
        let Some(((set, ..), known)) = known else { continue };
        let began = Instant::now();
        let found = planned(&path, &bed.path().join(name(&path)));
        let gap = (found / known - 1.0) * 100.0;
        println!(
            "{:<12} best {known:>4} found {found:>4} {gap:>6.2}% {:>6.2} s",
            name(&path),
            began.elapsed().as_secs_f64()
        );
        gaps.entry(set.clone()).or_default().push(gap);
    }
    for (set, gaps) in gaps {
        println!(
            "{set}: {} projects, {:.2}% above the best known",
            gaps.len(),
            gaps.iter().sum::<f64>() / gaps.len() as f64
        );
    }
}

fn listed(set: &str, text: &str) -> Best {
    let row = |line: &str| {
        let mut numbers = line.split_whitespace().map_while(|word| word.parse::<u32>().ok());
        Some(((set.to_owned(), numbers.next()?, numbers.next()?), f64::from(numbers.next()?)))
    };
    text.lines().filter_map(row).collect()
}

/// The makespan that `plan` shows, in units of the file.
fn planned(project: &Path, plan: &Path) -> f64 {
    let runbook = |args: &[&str]| {
        let out = Command::new(env!("CARGO_BIN_EXE_runbook")).args(args).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        out.stdout
    };
    let plan = plan.with_extension("yaml").display().to_string();
    runbook(&["new", &plan, "--from", &project.display().to_string()]);
    let page: serde_json::Value = serde_json::from_slice(&runbook(&["--json", "plan", &plan])).unwrap();
    page["makespan_s"].as_f64().unwrap() / 60.0
}

fn generated() {
    println!("{:>4} {:>10} {:>12} {:>9}", "n", "effort", "over bound", "seconds");
    for n in [30, 60, 120] {
        let projects: Vec<Project> = (0..PROJECTS)
            .map(|seed| {
                project(seed, n, 15 + (seed % 3) as u32 * 3, 2 + (seed % 3) as u32, 10 + (seed % 4) as u32 * 13)
            })
            .collect();
        for effort in EFFORTS {
            let began = Instant::now();
            let over: f64 = projects.iter().map(|p| over_bound(p, effort)).sum();
            println!(
                "{n:>4} {effort:>10} {:>11.2}% {:>9.3}",
                over / PROJECTS as f64 * 100.0,
                began.elapsed().as_secs_f64() / PROJECTS as f64
            );
        }
    }
}

/// How much longer than the longest chain of needs, as the literature reports it.
fn over_bound(project: &Project, effort: u64) -> f64 {
    let starts = search(project, effort, 1);
    assert!(project.is_feasible(&starts));
    f64::from(project.makespan(&starts)) / f64::from(project.makespan(&project.earliest())) - 1.0
}
