//! What an attempt costs beside a plain command. Not run by default: `cargo test --release -- --ignored speed --nocapture`.

use std::time::{Duration, Instant};

use runbook::graph::job::Site;
use runbook::graph::outcome::Outcome;
use runbook::transport::{Event, Transport};

use super::bed::{Bed, h1, shell};
use crate::harness::sshd::{Options, Sshd};

/// CPU time of our ended children and of everything they waited for.
fn cpu_of_children() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<u64> = stat.rsplit_once(") ").unwrap().1.split(' ').map(|f| f.parse().unwrap_or(0)).collect();
    Duration::from_millis((fields[13] + fields[14]) * 10)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn speed_of_no_ops() {
    let sshd = Sshd::start(&Options::default());
    for (site, count) in [(Site::Controller, 1000), (h1(), 400)] {
        let mut bed = Bed::new(Some(&sshd));
        assert_eq!(bed.run(shell("warm", &site, ":")).await.0, Outcome::Succeeded);
        let (begun, cpu) = (Instant::now(), cpu_of_children());
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
        println!("{site:?}: {each:?} each, 8 at once; CPU of children {:?} each", (cpu_of_children() - cpu) / count);
        bed.hosts.close().await.unwrap();
    }
}
