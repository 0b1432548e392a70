//! Floods of output, and records, timers and commands that are taken away: bounded memory, disk and CPU time.

use std::path::Path;
use std::time::{Duration, Instant};

use runbook::graph::job::Site;
use runbook::graph::outcome::Outcome;
use runbook::transport::Transport;

use super::bed::{Bed, PATIENCE, appears, attempt, h1, shell};
use crate::harness::sshd::{Options, Sshd, kill};

/// Megabytes on each stream; with `NIGHTLY` set, as many as a run must stand.
fn flood() -> u64 {
    if std::env::var_os("NIGHTLY").is_some() { 2048 } else { 256 }
}

/// The most memory that a process ever had, in MB.
fn peak(pid: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

#[tokio::test]
async fn a_flood_is_bounded_on_both_sides() {
    let sshd = Sshd::start(&Options::default());
    for site in [Site::Controller, h1()] {
        let mut bed = Bed::new(Some(&sshd));
        let bytes = flood() << 20;
        let text = format!(
            "yes out | head -c {bytes} & yes error | head -c {bytes} >&2 & wait; echo last; echo last >&2; exit 3"
        );
        let mut job = shell("flood", &site, &text);
        job.timeout = Some(jiff::SignedDuration::from_mins(10));
        bed.launch(job);
        let ended = tokio::time::timeout(Duration::from_secs(600), async {
            loop {
                if let runbook::transport::Event::Ended { outcome, evidence } = bed.reports.recv().await.unwrap().what {
                    return (outcome, evidence);
                }
            }
        });
        let (outcome, evidence) = ended.await.unwrap();
        assert_eq!(outcome, Outcome::Failed { exit: 3 }, "{site:?}");
        // `yes` was cut inside a line on stderr, where `last` follows.
        assert_eq!(evidence.lines, bytes / 4 + bytes / 6 + 2, "{site:?}");
        let id = attempt("flood", &site, 1);
        let size = |path: &Path| std::fs::metadata(path).unwrap().len();
        let kept: u64 = std::fs::read_dir(bed.record(&site, &id)).unwrap().map(|e| size(&e.unwrap().path())).sum();
        assert!(kept < (2 * 12) << 20, "{kept} bytes in the record at {site:?}");
        assert!(size(&bed.log_path(&id)) < (2 * 12) << 20);
        assert!(peak("self") <= 150, "{} MB here", peak("self"));
        if site == Site::Controller {
            let sup = std::fs::read_to_string(bed.record(&site, &id).join("sup")).unwrap();
            let keeper = sup.split(' ').next().unwrap();
            assert!(peak(keeper) <= 50, "{} MB in the keeper", peak(keeper));
        }
        bed.hosts.close().await.unwrap();
    }
}

/// Waits for the end of a process; gives the CPU time it used, of itself and of what it waited for.
async fn ended(pid: u32) -> Duration {
    let (begun, mut ticks) = (Instant::now(), 0);
    while let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        if fields[0] == "Z" {
            break;
        }
        ticks = fields[11..15].iter().map(|f| f.parse::<u64>().unwrap()).sum::<u64>();
        assert!(begun.elapsed() < PATIENCE, "{pid} never ends");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Duration::from_millis(ticks * 10)
}

/// Children of a process with this name.
fn children(of: u32, name: &str) -> Vec<u32> {
    let pids = std::fs::read_dir("/proc").unwrap().filter_map(|e| e.ok()?.file_name().into_string().ok()?.parse().ok());
    pids.filter(|pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let Some((before, after)) = stat.rsplit_once(") ") else { return false };
        before.ends_with(&format!("({name}")) && after.split(' ').nth(1) == Some(&of.to_string())
    })
    .collect()
}

#[tokio::test]
async fn a_watcher_whose_things_are_taken_away_ends_without_spinning() {
    let sshd = Sshd::start(&Options::default());
    for (kind, site) in [("keeper", Site::Controller), ("runner", Site::Controller), ("ssh", h1())] {
        for taken in ["record", "timer", "command"] {
            let mut bed = Bed::with(Some(&sshd), |c| {
                if kind == "runner" {
                    c.keeper = None;
                }
            });
            let (ready, go) = (bed.dir.path().join("ready"), bed.dir.path().join("go"));
            let text = format!(": > {}; while [ ! -e {} ]; do sleep 0.05; done; exit 4", ready.display(), go.display());
            bed.launch(shell("s", &site, &text));
            appears(&ready).await;
            let record = bed.record(&site, &attempt("s", &site, 1));
            let pid = |file: &str| -> u32 {
                std::fs::read_to_string(record.join(file)).unwrap().split(' ').next().unwrap().parse().unwrap()
            };
            let (watcher, command) = (pid("sup"), pid("pid"));
            match taken {
                "record" => std::fs::remove_dir_all(&record).unwrap(),
                "timer" => children(watcher, "sleep").into_iter().for_each(kill),
                _ => kill(command),
            }
            std::fs::write(&go, "").unwrap();
            let (outcome, _) = bed.end().await;
            let what = format!("{taken} of the {kind}: {outcome:?}");
            match taken {
                // Where the record is gone, nobody can say more.
                "record" => assert!(
                    matches!(outcome, Outcome::InDoubt { .. } | Outcome::NeverStarted { .. } | Outcome::Interrupted),
                    "{what}"
                ),
                "timer" => assert_eq!(outcome, Outcome::Failed { exit: 4 }, "{what}"),
                _ => assert_eq!(outcome, Outcome::Killed { signal: 9 }, "{what}"),
            }
            bed.hosts.close().await.unwrap();
            let used = ended(watcher).await;
            assert!(used < Duration::from_secs(1), "{what} used {used:?}");
        }
    }
}
