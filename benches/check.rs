//! Reading and checking large plans, and what a run costs while it waits for people.
//!
//! `cargo bench --bench check -- [large] [small] [fleet] [idle] [live]`; all parts when none is named. Asserts nothing about time.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used, reason = "a bench talks, and may panic")]
#![allow(dead_code, unreachable_pub, missing_debug_implementations, reason = "the harness and the kit are shared")]

mod kit;
#[path = "../tests/harness/sshd.rs"]
mod sshd;

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use granit_parser::Parser;
use kit::Bed;
use runbook::plan::source::Source;
use runbook::plan::{Draft, Outside};

/// A plan as people write them: comments, needs, several keys a step.
fn plan(steps: usize) -> String {
    let mut text = String::from(
        "# A large plan\nrunbook: 1\nname: A large plan\nhosts:\n  web: [web1, web2]\nvars: {VERSION: \"5.1\"}\nsteps:\n",
    );
    for n in 0..steps {
        let needs = n.checked_sub(40).map_or(String::from("[]"), |before| format!("[step-{before}]"));
        let _ = write!(
            text,
            "  step-{n}:                    # {n} of many\n    needs: {needs}\n    hosts: web\n    \
             run: deploy --component c{n} --version \"$VERSION\"\n    estimate: 1m-2m\n    \
             rollback: {{run: deploy --component c{n} --previous, estimate: 30s-1m}}\n    tags: [component, c{n}]\n"
        );
    }
    text
}

fn events(text: &str) -> usize {
    let mut parser = Parser::new_from_str(text);
    let mut count = 0;
    while let Some(event) = parser.next_event() {
        black_box(event.unwrap());
        count += 1;
    }
    count
}

fn large() {
    let mut steps = 1_000;
    let mut text = plan(steps);
    steps = steps * (10 << 20) / text.len();
    text = plan(steps);
    let mib = text.len() as f64 / f64::from(1 << 20);
    let source = Source::new("large.yaml", text);
    let outside = Outside { stem: "large".into(), ..Outside::default() };
    let (mut bare, mut read, mut all) = (Vec::new(), Vec::new(), Vec::new());
    let load = kit::Load::now();
    for _ in 0..kit::rounds(5) {
        bare.push(kit::busy(|| black_box(events(source.text()))).1);
        read.push(kit::busy(|| black_box(Draft::read(&source)).wanted().len()).1);
        let (checked, seconds) = kit::busy(|| Draft::read(&source).check(&outside));
        let errors = checked.diagnostics.iter().filter(|d| d.is_error()).count();
        if errors > 0 {
            println!("! the plan has {errors} errors: {:?}", checked.diagnostics[0]);
        }
        all.push(seconds);
        black_box(checked);
    }
    println!("\nA plan of {mib:.1} MiB, {steps} steps  ({})", load.since());
    println!("{:<48} {:>9} {:>8} {:>6}", "", "CPU s", "MiB/s", "ratio");
    for (name, values) in
        [("granit-parser, events only", &bare), ("read into typed keys", &read), ("read and checked", &all)]
    {
        let s = kit::median(values);
        let ratios: Vec<f64> = values.iter().zip(&bare).map(|(value, bare)| value / bare).collect();
        println!("{name:<48} {s:>9.3} {:>8.1} {:>6.2}", mib / s, kit::median(&ratios));
    }
}

/// `check` through the binary; the last row is the binary doing nothing.
fn small() {
    let bed = Bed::new(Path::new("/tmp"));
    let count = kit::rounds(15);
    println!("\n`runbook check` through the binary, {count} times");
    println!("{:<48} {:>10} {:>14}", "", "median ms", "min-max");
    for steps in [30, 300, 3_000] {
        bed.write("large.yaml", &plan(steps));
        let times: Vec<f64> = (0..count)
            .map(|_| {
                let (output, seconds) = kit::timed(|| bed.command(&["check", "large.yaml"]).output().unwrap());
                kit::good(&output, 0);
                seconds * 1e3
            })
            .collect();
        row(&format!("check, {steps} steps"), &times);
    }
    let version = |_| kit::timed(|| bed.command(&["--version"]).output().unwrap()).1 * 1e3;
    row("--version", &(0..count).map(version).collect::<Vec<f64>>());
}

/// 100, 1,000 and 10,000 hosts by ten steps, through the binary: CPU time, that of one action, and the most memory.
fn fleet() {
    println!("\n`check` and `plan` of ten steps on many hosts, through the binary");
    println!("{:<24} {:<8} {:>8} {:>14} {:>8} {:>16}", "", "", "CPU s", "us an action", "MiB", "KiB an action");
    for hosts in [100, 1_000, 10_000] {
        let bed = Bed::new(Path::new("/tmp"));
        bed.write("fleet.yaml", &fleet_plan(hosts));
        for command in ["check", "plan"] {
            let rounds = kit::rounds(3);
            let (mut most, before) = (0.0_f64, kit::cpu_seconds(std::process::id()).1);
            for _ in 0..rounds {
                most = most.max(peak_of(&bed, &[command, "fleet.yaml"]));
            }
            let seconds = (kit::cpu_seconds(std::process::id()).1 - before) / rounds as f64;
            let actions = f64::from(hosts) * 10.0;
            println!(
                "{:<24} {command:<8} {seconds:>8.3} {:>14.1} {most:>8.0} {:>16.1}",
                format!("{hosts} hosts x 10"),
                seconds * 1e6 / actions,
                most * 1024.0 / actions
            );
        }
    }
}

/// Ten steps on so many hosts, each after the one before.
fn fleet_plan(hosts: u32) -> String {
    let names: Vec<String> = (1..=hosts).map(|n| format!("h{n:05}")).collect();
    let mut text = format!("runbook: 1\nname: A fleet\nhosts:\n  web: [{}]\nsteps:\n", names.join(", "));
    for n in 0..10 {
        let needs = if n == 0 { String::from("[]") } else { format!("[step{}]", n - 1) };
        let _ = write!(
            text,
            "  step{n}:\n    needs: {needs}\n    hosts: web\n    run: deploy {n}\n    estimate: 1m-2m\n    rollback: {{run: back {n}, estimate: 1m}}\n"
        );
    }
    text
}

/// Runs a command to its end, and says how many MiB it had at most. Looks every few milliseconds.
fn peak_of(bed: &Bed, args: &[&str]) -> f64 {
    let mut child = bed.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut most = 0.0_f64;
    while child.try_wait().unwrap().is_none() {
        most = most.max(kit::peak_mib(&bed.path("store").display().to_string()));
        std::thread::sleep(Duration::from_millis(5));
    }
    most
}

fn row(name: &str, values: &[f64]) {
    let (low, high) = kit::range(values);
    println!("{name:<48} {:>10.1} {:>14}", kit::median(values), format!("{low:.1}-{high:.1}"));
}

const GATED: &str = "runbook: 1
name: A night that waits
window: {lasts: 2h}
steps:
  one: {hosts: local, run: \"true\", rollback: \"true\", estimate: 1s}
  ask: {gate: Is all well?, estimate: 10m}
  two: {hosts: local, run: \"true\", rollback: \"true\", estimate: 1s}
";

/// The engine of the only run in the store.
fn engine_of(bed: &Bed, run: &str) -> u32 {
    let store = runbook::journal::Store::open(&bed.path("store")).unwrap();
    store.run(run).unwrap().lease.expect("an engine has the run").pid
}

fn share(pid: u32, wall: Duration) -> f64 {
    let (began, before) = (Instant::now(), kit::cpu_seconds(pid).0);
    std::thread::sleep(wall);
    (kit::cpu_seconds(pid).0 - before) / began.elapsed().as_secs_f64() * 100.0
}

/// A terminal for one command, by util-linux's `script`; 100 columns and 40 lines.
fn in_a_terminal(bed: &Bed, words: &str) -> Child {
    let line = format!(
        "stty cols 100 rows 40; exec {} --store {} {words}",
        env!("CARGO_BIN_EXE_runbook"),
        bed.path("store").display()
    );
    let mut command = std::process::Command::new("script");
    command.args(["-qfc", &line, "/dev/null"]).env("HOME", bed.path("home")).env("TERM", "xterm-256color");
    command.env_remove("XDG_RUNTIME_DIR").env("SHELL", "/bin/sh");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap()
}

/// The process below `script`.
fn inner(terminal: &Child) -> u32 {
    let is = |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|c| c.trim() == "runbook");
    let mut found = None;
    kit::until("the terminal starts", Duration::from_secs(10), || {
        found = sshd::children_of(terminal.id()).into_iter().find(is);
        found.is_some()
    });
    found.unwrap()
}

fn idle() {
    let bed = Bed::new(Path::new("/tmp"));
    bed.write("gated.yaml", GATED);
    let output = bed.command(&["exec", "gated.yaml", "--no-input", "--confirm", "gated", "--detach"]).output().unwrap();
    kit::good(&output, 30);
    let store = runbook::journal::Store::open(&bed.path("store")).unwrap();
    let asks = || {
        let facts = store.facts("gated-a", 0).unwrap();
        facts.iter().any(|r| matches!(r.fact, runbook::engine::fact::Fact::GateOpened { .. }))
    };
    kit::until("the gate opens", Duration::from_secs(30), asks);
    let engine = engine_of(&bed, "gated-a");
    let load = kit::Load::now();
    let alone = share(engine, Duration::from_secs(10));
    let mut terminal = in_a_terminal(&bed, "attach gated-a --read-only");
    let view = inner(&terminal);
    std::thread::sleep(Duration::from_millis(500));
    let watched = share(view, Duration::from_secs(10));
    println!("\nA run that waits at a gate, over 10 s  ({})", load.since());
    println!("{:<48} {:>8.2} % of a core", "engine", alone);
    println!("{:<48} {:>8.2} % of a core", "live view in a terminal", watched);
    end(&mut terminal);
    bed.command(&["reject", "ask"]).output().unwrap();
    kit::until("the engine ends", Duration::from_secs(30), || !Path::new(&format!("/proc/{engine}")).exists());
}

fn end(terminal: &mut Child) {
    let _ = terminal.kill();
    let _ = terminal.wait();
}

/// 195 hosts, eight at once, each step a second: the live view has something to draw all the time.
fn live() {
    let records = tempfile::tempdir_in("/tmp").unwrap();
    let farm = sshd::Sshd::start(&sshd::Options {
        // An sshd listens on 16 addresses at most, so all names are one address.
        ssh: "Host h*\n  HostName 127.0.0.1\n  HostKeyAlias h1\n".into(),
        sshd: format!("SetEnv RUNBOOK_HOME={0}/r HOME={0}\n", records.path().display()),
        ..sshd::Options::default()
    });
    let bed = Bed::new(Path::new("/tmp"));
    bed.ssh_config(&farm.ssh_config());
    let hosts: Vec<String> = (1..=195).map(|n| format!("h{n}")).collect();
    let text = format!(
        "runbook: 1\nname: Many hosts\nwindow: {{lasts: 2h}}\nhosts:\n  web: [{}]\nsteps:\n  walk:\n    hosts: web\n    at_once: 8\n    \
         run: sleep 1\n    rollback: \"true\"\n    estimate: 2s\n",
        hosts.join(", ")
    );
    bed.write("live.yaml", &text);
    let output = bed.command(&["exec", "live.yaml", "--no-input", "--confirm", "live", "--detach"]).output().unwrap();
    kit::good(&output, 30);
    let engine = engine_of(&bed, "live-a");
    let mut terminal = in_a_terminal(&bed, "attach live-a --read-only");
    let view = inner(&terminal);
    std::thread::sleep(Duration::from_secs(1));
    let load = kit::Load::now();
    let (began, before) = (Instant::now(), (kit::cpu_seconds(view).0, kit::cpu_seconds(engine).0));
    std::thread::sleep(Duration::from_secs(10));
    let seconds = began.elapsed().as_secs_f64();
    let percent = |now: f64, before: f64| (now - before) / seconds * 100.0;
    println!("\n195 hosts, 8 steps of one second at once, over 10 s  ({})", load.since());
    println!("{:<48} {:>8.2} % of a core", "live view", percent(kit::cpu_seconds(view).0, before.0));
    println!("{:<48} {:>8.2} % of a core", "engine", percent(kit::cpu_seconds(engine).0, before.1));
    let over = || !Path::new(&format!("/proc/{engine}")).exists();
    kit::until("the run ends", Duration::from_secs(180), over);
    end(&mut terminal);
}

fn main() {
    let parts: [(&str, fn()); 5] =
        [("large", large), ("small", small), ("fleet", fleet), ("idle", idle), ("live", live)];
    for (name, part) in parts {
        if kit::wanted(name) {
            part();
        }
    }
}
