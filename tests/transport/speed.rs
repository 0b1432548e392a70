//! What an attempt costs beside a plain command. Not run by default: `cargo test --release -- --ignored speed --nocapture`.

use std::time::{Duration, Instant};

use runbook::graph::job::Site;
use runbook::graph::outcome::Outcome;
use runbook::transport::{Event, Transport};

use super::bed::{Bed, h1, shell};
use crate::harness::sshd::{Options, Sshd};

/// CPU time of this process, of its living children, and of all that these have waited for.
fn cpu() -> Duration {
    let me = std::process::id().to_string();
    let mut ticks = 0;
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{name}/stat")) else { continue };
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        if name == me || fields[1] == me {
            ticks += fields[11..15].iter().map(|f| f.parse::<u64>().unwrap()).sum::<u64>();
        }
    }
    Duration::from_millis(ticks * 10)
}

/// The lowest cost of `count` shells on this machine, from as many threads.
fn floor(count: u32, threads: u32) -> (Duration, Duration) {
    let (begun, used) = (Instant::now(), cpu());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for _ in 0..count / threads {
                    assert!(std::process::Command::new("sh").args(["-c", "true"]).status().unwrap().success());
                }
            });
        }
    });
    (begun.elapsed() / count, (cpu() - used) / count)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn speed_of_no_ops() {
    let sshd = Sshd::start(&Options::default());
    println!("sh -c true by 8 threads: {:?}", floor(2000, 8));
    for (what, site, count) in
        [("keeper", Site::Controller, 5000), ("runner", Site::Controller, 500), ("ssh", h1(), 400)]
    {
        let mut bed = Bed::with(Some(&sshd), |c| {
            if what == "runner" {
                c.keeper = None;
            }
            // Records and logs in memory: the disk is not what is measured.
            let place = std::path::Path::new("/dev/shm").join(format!("speed.{}", std::process::id()));
            c.local_dir = Some(place.join(what));
            c.remote_dir = Some(place.join("ssh").display().to_string());
            c.logs = place.join("logs");
        });
        assert_eq!(bed.run(shell("warm", &site, ":")).await.0, Outcome::Succeeded);
        let (begun, used) = (Instant::now(), cpu());
        let (mut started, mut ended) = (0, 0);
        while ended < count {
            while started < count && started < ended + 8 {
                bed.launch(shell(&format!("s{started}"), &site, ":"));
                started += 1;
            }
            let ended_now = bed.until(|e| matches!(e, Event::Ended { .. })).await;
            assert!(matches!(ended_now, Event::Ended { outcome: Outcome::Succeeded, .. }), "{ended_now:?}");
            ended += 1;
        }
        let each = begun.elapsed() / count;
        println!("{what}: {each:?} each, 8 at once; CPU {:?} each, both sides", (cpu() - used) / count);
        bed.hosts.close().await.unwrap();
        let _ = std::fs::remove_dir_all(bed.config.local_dir.as_ref().unwrap().parent().unwrap());
    }
    println!("sh -c true by 8 threads: {:?}", floor(2000, 8));
}
