//! Much output: one host with 100 MB, twenty with 5 MB each; against plain ssh, and what the engine's memory grows to.

use std::process::Stdio;
use std::time::Duration;

use runbook::journal::Store;

use super::kit;
use super::{Farm, peers};

/// One run: the most memory that its engine had in MiB, and the seconds from its first fact to its last.
struct Seen {
    means: &'static str,
    peak: f64,
    step: f64,
}

/// A command that prints so many megabytes of lines.
fn flood(megabytes: usize) -> String {
    format!("yes 'one line of output, much like the sixty-three others around it..' | head -c {megabytes}000000")
}

pub fn much() {
    for (hosts, megabytes) in [(1, 100), (20, 5)] {
        let farm = Farm::start(hosts, false);
        let mut seen: Vec<Seen> = Vec::new();
        let plan = plan(&farm, megabytes);
        let mut exec = |means: &'static str| {
            let bed = farm.bed();
            bed.write("much.yaml", &plan);
            let mut most = 0.0_f64;
            let (good, seconds) = kit::timed(|| {
                let args = [
                    "exec",
                    "much.yaml",
                    "--no-input",
                    "--confirm",
                    "much",
                    "--progress",
                    "plain",
                    "--transport",
                    means,
                ];
                let mut child = bed.command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
                let store = bed.path("store").display().to_string();
                loop {
                    if let Some(status) = child.try_wait().ok()? {
                        return status.success().then_some(());
                    }
                    most = most.max(kit::peak_mib(&store));
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
            good?;
            let facts = Store::open(&bed.path("store")).ok()?.facts("much-a", 0).ok()?;
            let step = facts.last()?.at.duration_since(facts.first()?.at).as_secs_f64();
            seen.push(Seen { means, peak: most, step });
            Some(seconds)
        };
        let (mut plain, mut native, mut openssh) = (Vec::new(), Vec::new(), Vec::new());
        let load = kit::Load::now();
        for _ in 0..kit::rounds(5) {
            plain.extend(peers::flood(&farm, &flood(megabytes)));
            native.extend(exec("native"));
            openssh.extend(exec("openssh"));
        }
        println!("\nW4: {hosts} hosts x {megabytes} MB of text  ({})", load.since());
        println!(
            "{:<30} {:>9} {:>8} {:>14} {:>8} {:>12}",
            "", "median s", "ratio", "the step s", "ratio", "engine MiB"
        );
        let base = kit::median(&plain);
        println!("{:<30} {base:>9.3} {:>8.2}", "plain ssh, all at once", 1.0);
        for (means, times) in [("native", &native), ("openssh", &openssh)] {
            let (whole, of) = (kit::median(times), seen.iter().filter(|s| s.means == means));
            let (steps, peaks): (Vec<f64>, Vec<f64>) = of.map(|s| (s.step, s.peak)).unzip();
            let step = kit::median(&steps);
            println!(
                "{:<30} {whole:>9.3} {:>8.2} {step:>14.3} {:>8.2} {:>12.0}",
                format!("runbook exec, {means}"),
                whole / base,
                step / base,
                kit::range(&peaks).1
            );
        }
    }
}

fn plan(farm: &Farm, megabytes: usize) -> String {
    format!(
        "runbook: 1\nname: Much output\nwindow: {{lasts: 2h}}\nhosts:\n  all_of_them: [{}]\nsteps:\n  much:\n    hosts: all_of_them\n    \
         run: {}\n    read_only: true\n    estimate: 1m\n",
        farm.hosts.join(", "),
        flood(megabytes)
    )
}
