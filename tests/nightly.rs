//! What needs root, time or tools that are not everywhere: power cuts, a disk that is really full, clocks that jump. Part of
//! `tests/run --nightly`; each test says aloud when it is skipped, and why.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::exec::{Bed, NIGHT, Said, eventually};
use super::journal::{acknowledged, assert_nothing_lost, make_run, start_writer};
use super::sweep::{nightly, rolls, seed};
use runbook::engine::fact::{Fact, RunEnd};
use runbook::engine::invariants::violations;

/// Says why a test is skipped, when it must be.
fn skipped(what: &str, tools: &[&str]) -> bool {
    let missing = tools.iter().find(|tool| !runs(Command::new("sh").args(["-c", &format!("command -v {tool}")])));
    let why = if !nightly() {
        "not asked for: tests/run --nightly".to_owned()
    } else if !rustix::process::geteuid().is_root() {
        "not root".to_owned()
    } else if let Some(tool) = missing {
        format!("there is no {tool} here")
    } else {
        return false;
    };
    eprintln!("SKIPPED: {what}: {why}");
    true
}

fn runs(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn must(program: &str, args: &[&str]) {
    let out = Command::new(program).args(args).output().unwrap();
    assert!(out.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&out.stderr));
}

/// A file system that goes with the value.
struct Mounted(PathBuf);

impl Mounted {
    fn new(at: &Path, args: &[&str]) -> Self {
        fs::create_dir_all(at).unwrap();
        must("mount", &[args, &[at.to_str().unwrap()]].concat());
        Self(at.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Who still looks into it, such as an engine that is about to end, keeps it until then.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// `EXT4_IOC_SHUTDOWN`, without flushing the log: what is not on the disk yet is lost.
const POWER_CUT: &str = r#"open(F, "<", $ARGV[0]) or die; ioctl(F, 0x8004587d, my $how = pack("I", 2)) or die $!"#;

#[test]
fn forty_power_cuts_lose_nothing_that_was_acknowledged() {
    if skipped("power cuts", &["mkfs.ext4", "mount", "perl"]) {
        return;
    }
    let mut facts = 0;
    for after in rolls(seed()).take(40).map(|roll| 1 + roll % 60) {
        let tmp = tempfile::tempdir().unwrap();
        let (image, dir) = (tmp.path().join("disk"), tmp.path().join("m"));
        fs::File::create(&image).unwrap().set_len(32 << 20).unwrap();
        must("mkfs.ext4", &["-q", "-F", image.to_str().unwrap()]);
        let mount = || Mounted::new(&dir, &["-o", "loop", image.to_str().unwrap()]);
        let disk = mount();
        let store = dir.join("store");
        make_run(&store);
        let mut writer = start_writer(&store, 1_000_000, None);
        let kept = acknowledged(&mut writer, Some(after));
        writer.wait().unwrap();
        must("perl", &["-e", POWER_CUT, dir.to_str().unwrap()]);
        must("umount", &[dir.to_str().unwrap()]);
        std::mem::forget(disk);
        let _disk = mount();
        assert_nothing_lost(&store, kept);
        facts += kept;
    }
    println!("40 power cuts, {facts} acknowledged facts, none lost");
}

#[test]
fn a_disk_that_is_really_full_holds_the_run_until_there_is_space() {
    if skipped("a full disk", &["mount"]) {
        return;
    }
    for back in [true, false] {
        let bed = Bed::new(NIGHT);
        let _disk = Mounted::new(&bed.path("store"), &["-t", "tmpfs", "-o", "size=80m,mode=0700", "tmpfs"]);
        bed.held();
        let filler = bed.path("store/filler");
        let copied =
            Command::new("dd").args(["if=/dev/zero", "bs=4k"]).arg(format!("of={}", filler.display())).output();
        assert!(String::from_utf8_lossy(&copied.unwrap().stderr).contains("No space left"));
        bed.let_go();
        eventually("it holds", || bed.facts("night-a").iter().any(|f| matches!(f, Fact::HoldOpened { .. })));
        bed.run(&["continue"]).refused(3, &["no space left for the journal"]);
        if back {
            let said = bed.run(&["rollback", "--confirm", "night"]);
            assert!(said.code == 0 || said.code == 10, "{said:?}");
            assert!(matches!(bed.ended("night-a"), RunEnd::RolledBack { .. }));
            assert_eq!(bed.effects(), ["one", "two", "undo-two", "undo-one"]);
        } else {
            fs::remove_file(&filler).unwrap();
            eventually("it may go on", || bed.run(&["continue"]).code == 0);
            assert_eq!(bed.ended("night-a"), RunEnd::Succeeded { late: false });
            assert_eq!(bed.effects(), ["one", "two"]);
        }
    }
}

const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

const NIGHT_OF_TWELVE_HOURS: &str = "runbook: 1
name: A long night
window: {lasts: 12h, reserve: 5m}
steps:
  two:
    hosts: local
    run: while [ -e DIR/held ]; do sleep 0.05; done; echo two >> DIR/effects
    estimate: 4h
    timeout: 8h
    rollback: {run: echo undo-two >> DIR/effects, estimate: 1s}
";

/// The wall clock is set forward and back under a running engine. The time since boot, which it holds against it, is real.
#[test]
fn a_clock_that_is_set_is_noticed_and_gives_no_time() {
    if skipped("clocks that are set", &["sh"]) {
        return;
    }
    if !Path::new(FAKETIME).exists() {
        eprintln!("SKIPPED: clocks that are set: there is no {FAKETIME} (package libfaketime)");
        return;
    }
    // A window of twelve hours would be over thirteen hours later; but no host says that it is later, and so it is not.
    for jumps in [&[3600][..], &[-7200], &[90, -90], &[13 * 3600]] {
        let bed = Bed::new(NIGHT_OF_TWELVE_HOURS);
        let offset = bed.path("offset");
        fs::write(&offset, "+0").unwrap();
        fs::write(bed.path("held"), "").unwrap();
        let mut command = bed.command(&["exec", "night.yaml", "--confirm", "night", "--detach"]);
        command.env("LD_PRELOAD", FAKETIME).env("FAKETIME_TIMESTAMP_FILE", &offset);
        command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        let said = Said::of(command.output().unwrap());
        assert_eq!(said.code, 30, "{said:?}");
        let seen = || {
            let jump = |f: &Fact| match f {
                Fact::ClockJumped { by } => Some(by.as_secs()),
                _ => None,
            };
            bed.facts("night-a").iter().filter_map(jump).collect::<Vec<i64>>()
        };
        let mut at = 0;
        for (n, by) in jumps.iter().enumerate() {
            at += by;
            fs::write(&offset, format!("{at:+}")).unwrap();
            eventually(&format!("{jumps:?}: jump {n} is noticed"), || seen().len() > n);
            assert!((seen()[n] - by).abs() <= 2, "{:?} instead of {jumps:?}", seen());
        }
        bed.let_go();
        let end = bed.ended("night-a");
        assert!(matches!(end, RunEnd::Succeeded { .. }), "{jumps:?}: {end:?}");
        let facts = bed.store().facts("night-a", 0).unwrap();
        let frozen = bed.store().frozen("night-a").unwrap().plan;
        let graph = runbook::graph::Graph::build(std::sync::Arc::new(serde_json::from_str(&frozen).unwrap()));
        assert_eq!(violations(&graph, &facts), [""; 0], "{jumps:?}");
    }
}
