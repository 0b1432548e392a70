//! Many steps on many hosts, and what a connection costs that waits for its next step.

use super::{Farm, kit};
use runbook::journal::Store;

/// Nobody has anything to do on the hosts while this machine waits.
const IDLE: &str = "runbook: 1
name: Connections that wait
window: {lasts: 2h}
hosts: {web: [HOSTS]}
steps:
  wait_here:
    hosts: local
    run: touch DIR/waiting; while [ ! -e DIR/go ]; do sleep 0.1; done
    estimate: 1s
    read_only: true
  there:
    needs: [wait_here]
    hosts: web
    run: \"true\"
    rollback: \"true\"
    estimate: 1s
";

pub fn many(hosts: u8, steps: usize) {
    let farm = Farm::start(hosts, false);
    let load = kit::Load::now();
    let mut rows = Vec::new();
    for means in ["native", "openssh"] {
        let (mut seconds, mut engine, mut peaks) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..kit::rounds(3) {
            let (took, peak) = with_peak(|| farm.exec(means, steps, &mut engine));
            seconds.extend(took);
            peaks.push(peak);
        }
        rows.push((means, kit::median(&seconds), kit::median(&engine), kit::range(&peaks).1));
    }
    println!("\n{hosts} hosts x {steps} steps, a barrier after each, curve25519  ({})", load.since());
    println!("{:<12} {:>9} {:>22} {:>14}", "", "median s", "first fact to last s", "engine MiB");
    for (means, seconds, engine, peak) in rows {
        println!("{means:<12} {seconds:>9.2} {engine:>22.2} {peak:>14.1}");
    }
    let idle =
        |means: &str| (waiting(&farm, means, usize::from(hosts)) - waiting(&farm, means, 2)) / f64::from(hosts - 2);
    println!(
        "a connection that waits, in the engine's own memory: native {:.3} MiB, openssh {:.3} MiB",
        idle("native"),
        idle("openssh")
    );
}

/// The most memory that the engine had during some work, looked at all the time.
fn with_peak<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut peak = 0.0_f64;
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                peak = peak.max(kit::peak_mib("scout\0--plan\0many"));
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            peak
        });
        let done = work();
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        (done, watch.join().unwrap_or(f64::NAN))
    })
}

/// MiB that an engine holds which is connected to so many hosts and does nothing there.
fn waiting(farm: &Farm, means: &str, hosts: usize) -> f64 {
    let bed = farm.bed();
    let plan = IDLE.replace("HOSTS", &farm.hosts[..hosts].join(", "));
    bed.write("idle.yaml", &plan.replace("DIR", &bed.dir.path().display().to_string()));
    let args = ["exec", "idle.yaml", "--no-input", "--confirm", "idle", "--detach", "--transport", means];
    let output = bed.command(&args).output().expect("the binary starts");
    if !kit::good(&output, 30) {
        return f64::NAN;
    }
    kit::until("it waits", std::time::Duration::from_secs(60), || bed.path("waiting").exists());
    let run = Store::open(&bed.path("store")).unwrap().run("idle-a").unwrap();
    let held = kit::resident_mib(run.lease.expect("an engine").pid);
    bed.write("go", "");
    kit::until("it ends", std::time::Duration::from_secs(120), || {
        Store::open(&bed.path("store")).unwrap().run("idle-a").unwrap().end.is_some()
    });
    held
}
