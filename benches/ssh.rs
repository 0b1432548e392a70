//! Many hosts over ssh, against the tools that people would take instead. The hosts are one private sshd on loopback.
//!
//! `cargo bench --bench ssh -- [w2] [w1] [w1x200] [w1c25519] [f200x20] [w4] [cpu] [undo]`; all parts when none is named. `BENCH_ROUNDS` says how often.
//! `BENCH_VENV` names a Python environment with pyinfra, fabric and ansible-core; those rows are left out without it.
//! Asserts nothing about time.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used, reason = "a bench talks, and may panic")]
#![allow(dead_code, unreachable_pub, missing_debug_implementations, reason = "the harness and the kit are shared")]

mod kit;
#[path = "../tests/harness/sshd.rs"]
mod sshd;

#[path = "ssh/bare.rs"]
mod bare;
#[path = "ssh/fleet.rs"]
mod fleet;
#[path = "ssh/output.rs"]
mod output;
#[path = "ssh/peers.rs"]
mod peers;
#[path = "ssh/remote.rs"]
mod remote;
#[path = "ssh/undo.rs"]
mod undo;

use std::fmt::Write as _;
use std::path::Path;

use kit::{Bed, Candidate};
use sshd::{Options, Sshd};

/// What OpenSSH 9.2 takes where nobody says anything; the harness asks for curve25519 otherwise.
/// The native transport has only the second of these, and takes it; ssh takes the first.
const DEFAULT_KEX: &str = "KexAlgorithms sntrup761x25519-sha512@openssh.com,curve25519-sha256\n";

/// The farm: hosts behind one sshd, whose attempt records lie in its own folder.
pub struct Farm {
    pub sshd: Sshd,
    pub hosts: Vec<String>,
    records: tempfile::TempDir,
    forgotten: std::cell::Cell<u32>,
}

impl Farm {
    pub fn start(hosts: u8, default_kex: bool) -> Self {
        let records = tempfile::Builder::new().prefix("bench-records-").tempdir_in("/tmp").unwrap();
        // An sshd listens on 16 addresses at most, so all names are one address; to the clients they are different hosts.
        let names = "Host h*\n  HostName 127.0.0.1\n  HostKeyAlias h1\n";
        let sshd = Sshd::start(&Options {
            // A home of their own: what an account's shell reads at every start is none of our business.
            sshd: format!("SetEnv RUNBOOK_HOME={0}/r HOME={0}\n", records.path().display()),
            ssh: format!("{}{names}", if default_kex { DEFAULT_KEX } else { "" }),
            ..Options::default()
        });
        Self { sshd, hosts: (1..=hosts).map(|n| format!("h{n}")).collect(), records, forgotten: 0.into() }
    }

    /// Every run begins without records of earlier ones. They are put aside, for an ext4 that has just removed thousands of
    /// files looks each of them up for seconds whenever it makes a new one.
    pub fn forget(&self) {
        let n = self.forgotten.get() + 1;
        self.forgotten.set(n);
        let _ = std::fs::rename(self.records.path().join("r"), self.records.path().join(n.to_string()));
    }

    pub fn bed(&self) -> Bed {
        self.forget();
        let bed = Bed::new(Path::new("/tmp"));
        bed.ssh_config(&self.sshd.ssh_config());
        bed
    }

    /// `steps` steps that do nothing on all hosts, each after the one before, inside a window that is open.
    pub fn plan(&self, steps: usize) -> String {
        let mut text = format!(
            "runbook: 1\nname: Nothing on many hosts\nwindow: {{lasts: 2h}}\nhosts:\n  all_of_them: [{}]\nsteps:\n",
            self.hosts.join(", ")
        );
        for n in 1..=steps {
            let _ = writeln!(
                text,
                "  step{n}:\n    hosts: all_of_them\n    run: \"true\"\n    rollback: \"true\"\n    estimate: 5s"
            );
        }
        text
    }

    /// One whole `runbook exec`, journal on disk; and how long the engine took from its first fact to its last.
    pub fn exec(&self, means: &str, steps: usize, engine: &mut Vec<f64>) -> Option<f64> {
        let bed = self.bed();
        bed.write("many.yaml", &self.plan(steps));
        let seconds = bed.exec_by(means, "many.yaml", 0)?;
        let store = runbook::journal::Store::open(&bed.path("store")).unwrap();
        let facts = store.facts("many-a", 0).unwrap();
        let (first, last) = (facts.first().unwrap().at, facts.last().unwrap().at);
        engine.push(last.duration_since(first).as_secs_f64());
        Some(seconds)
    }

    /// The second run of a plan, which knows of every host what a logout does there.
    pub fn exec_again(&self, means: &str, steps: usize) -> Option<f64> {
        let bed = self.bed();
        bed.write("many.yaml", &self.plan(steps));
        bed.exec_by(means, "many.yaml", 0)?;
        self.forget();
        bed.exec_by(means, "many.yaml", 0)
    }
}

fn many_steps() {
    let (steps, farm) = (20, Farm::start(20, true));
    let (mut engine, mut engine_native) = (Vec::new(), Vec::new());
    let (mut warm, mut warm_runner) = (Vec::new(), Vec::new());
    let mut candidates = vec![
        Candidate::new("openssh crate, native-mux, bare", || bare::steps(&farm, steps, false, &mut warm)),
        Candidate::new("openssh crate, native-mux, through the runner", || {
            bare::steps(&farm, steps, true, &mut warm_runner)
        }),
        Candidate::new("runbook exec", || farm.exec("openssh", steps, &mut engine)),
        Candidate::new("runbook exec, native transport", || farm.exec("native", steps, &mut engine_native)),
        Candidate::new("xargs -P20 ssh, one mux master a host", || peers::xargs(&farm, steps, 20, true)),
    ];
    candidates.extend(peers::python(&farm, steps));
    kit::side_by_side(
        "W2: 20 steps x 20 hosts, a barrier after each, default key exchange",
        kit::rounds(5),
        candidates,
    );
    println!(
        "  runbook exec, first fact to last: {:.3} s, native {:.3} s; the steps alone, connected: bare {:.3} s, bare through the runner {:.3} s",
        kit::median(&engine),
        kit::median(&engine_native),
        kit::median(&warm),
        kit::median(&warm_runner)
    );
}

fn many_hosts(hosts: u8, default_kex: bool) {
    let farm = Farm::start(hosts, default_kex);
    let (mut engine, mut engine_native) = (Vec::new(), Vec::new());
    let mut candidates: Vec<Candidate<'_>> = [8, 32]
        .into_iter()
        .map(|n| {
            Candidate::new(format!("openssh crate, native-mux, {n} connects at once"), {
                let farm = &farm;
                move || bare::fan_out(farm, n)
            })
        })
        .collect();
    candidates.push(Candidate::new("runbook exec", || farm.exec("openssh", 1, &mut engine)));
    candidates.push(Candidate::new("runbook exec, native transport", || farm.exec("native", 1, &mut engine_native)));
    candidates.push(Candidate::new("runbook exec, its second run", || farm.exec_again("openssh", 1)));
    candidates.push(Candidate::new("runbook exec, native, its second run", || farm.exec_again("native", 1)));
    candidates.push(Candidate::new("xargs -P8 ssh", || peers::xargs(&farm, 1, 8, false)));
    candidates.push(Candidate::new("xargs -P16 ssh", || peers::xargs(&farm, 1, 16, false)));
    candidates.extend(peers::python(&farm, 1));
    let kex = if default_kex { "default key exchange" } else { "curve25519-sha256" };
    kit::side_by_side(&format!("W1: one command on {hosts} cold hosts, {kex}"), kit::rounds(5), candidates);
    let (engine, native) = (kit::median(&engine), kit::median(&engine_native));
    println!("  runbook exec, first fact to last: {engine:.3} s, native {native:.3} s");
}

fn main() {
    if kit::wanted("w2") {
        many_steps();
    }
    if kit::wanted("w1") {
        many_hosts(100, true);
    }
    if kit::wanted("w1x200") {
        many_hosts(200, true);
    }
    if kit::wanted("w1c25519") {
        many_hosts(100, false);
    }
    if kit::wanted("f200x20") {
        fleet::many(200, 20);
    }
    if kit::wanted("w4") {
        output::much();
    }
    if kit::wanted("cpu") {
        remote::cost();
    }
    if kit::wanted("undo") {
        undo::delay();
    }
}
