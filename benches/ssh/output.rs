//! Much output: one host with 100 MB, twenty with 5 MB each; against plain ssh, and what the engine's memory grows to.

use std::process::Stdio;
use std::time::Duration;

use super::kit;
use super::{Farm, peers};

/// A command that prints so many megabytes of lines.
fn flood(megabytes: usize) -> String {
    format!("yes 'one line of output, much like the sixty-three others around it..' | head -c {megabytes}000000")
}

pub fn much() {
    for (hosts, megabytes) in [(1, 100), (20, 5)] {
        let farm = Farm::start(hosts, false);
        let mut memory: Vec<(&str, f64)> = Vec::new();
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
            memory.push((means, most));
            good.map(|()| seconds)
        };
        let (mut plain, mut native, mut openssh) = (Vec::new(), Vec::new(), Vec::new());
        let load = kit::Load::now();
        for _ in 0..kit::rounds(5) {
            plain.extend(peers::flood(&farm, &flood(megabytes)));
            native.extend(exec("native"));
            openssh.extend(exec("openssh"));
        }
        println!("\nW4: {hosts} hosts x {megabytes} MB of text  ({})", load.since());
        println!("{:<44} {:>9} {:>8} {:>20}", "", "median s", "ratio", "engine's memory MiB");
        let base = kit::median(&plain);
        let most = |means: &str| memory.iter().filter(|(m, _)| *m == means).map(|(_, mib)| *mib).fold(0.0, f64::max);
        println!("{:<44} {base:>9.3} {:>8.2}", "plain ssh, all at once", 1.0);
        for (means, times) in [("native", &native), ("openssh", &openssh)] {
            let s = kit::median(times);
            println!("{:<44} {s:>9.3} {:>8.2} {:>20.0}", format!("runbook exec, {means}"), s / base, most(means));
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
