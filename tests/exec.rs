//! Whole runs through the binary: exec, attach, watching, deciding from elsewhere, leaving, killing. Steps run on this machine only.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use runbook::engine::fact::{Fact, RunEnd, Stage};
use runbook::journal::{RunRow, Store};
use rustix::process::{Pid, Signal, kill_process};

/// A folder with a plan, a store, and what the steps leave behind.
pub struct Bed {
    pub dir: tempfile::TempDir,
}

/// Three steps; `GATED` waits until the file `go` exists.
pub const NIGHT: &str = "runbook: 1
name: A small night
steps:
  one:
    hosts: local
    run: echo one >> DIR/effects
    estimate: 1s
    rollback: echo undo-one >> DIR/effects
  two:
    hosts: local
    run: |
      n=0; while [ -e DIR/held ] && [ $n -lt 1000 ]; do sleep 0.02; n=$((n+1)); done
      echo two >> DIR/effects
    estimate: 30s
    rollback: echo undo-two >> DIR/effects
  check:
    hosts: local
    test: test ! -e DIR/bad
    estimate: 1s
";

pub const GATED: &str = "runbook: 1
name: A gated night
steps:
  one:
    hosts: local
    run: echo one >> DIR/effects
    estimate: 1s
    rollback: echo undo-one >> DIR/effects
  ask:
    gate: Is all well?
    estimate: 1m
  two:
    hosts: local
    run: echo two >> DIR/effects
    estimate: 1s
    read_only: true
";

impl Bed {
    pub fn new(plan: &str) -> Self {
        let bed = Self { dir: tempfile::tempdir().unwrap() };
        bed.plan("night", plan);
        bed
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn plan(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(&format!("{name}.yaml"));
        fs::write(&path, text.replace("DIR", self.dir.path().to_str().unwrap())).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        path
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runbook"));
        command.arg("--store").arg(self.path("store")).args(args);
        command.env("RUNBOOK_USER", "Sarah").env("HOME", self.dir.path()).env_remove("XDG_RUNTIME_DIR");
        command.current_dir(self.dir.path()).stdin(Stdio::null());
        command
    }

    pub fn run(&self, args: &[&str]) -> Said {
        Said::of(self.command(args).output().unwrap())
    }

    /// `exec` as a script does it.
    pub fn exec(&self, more: &[&str]) -> Said {
        self.run(&[&["exec", "night.yaml", "--confirm", "night"], more].concat())
    }

    /// A run that waits in its step `two`, and nobody attached.
    pub fn held(&self) -> RunRow {
        fs::write(self.path("held"), "").unwrap();
        let said = self.exec(&["--detach"]);
        assert_eq!((said.code, said.stdout.as_str()), (30, "night-a\n"), "{said:?}");
        let running = |f: &Fact| matches!(f, Fact::AttemptLaunched { attempt } if attempt.action.step() == "two");
        eventually("step two runs", || self.facts("night-a").iter().any(running));
        self.store().run("night-a").unwrap()
    }

    pub fn let_go(&self) {
        fs::remove_file(self.path("held")).unwrap();
    }

    pub fn spawn(&self, args: &[&str]) -> Child {
        self.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    pub fn store(&self) -> Store {
        Store::open(&self.path("store")).unwrap()
    }

    pub fn facts(&self, run: &str) -> Vec<Fact> {
        self.store().facts(run, 0).unwrap().into_iter().map(|record| record.fact).collect()
    }

    pub fn effects(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("effects")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    pub fn runs(&self) -> usize {
        Store::open_existing(&self.path("store")).unwrap().map_or(0, |store| store.runs().unwrap().len())
    }

    pub fn ended(&self, run: &str) -> RunEnd {
        let end = || self.store().run(run).unwrap().end;
        eventually("the run ends", || end().is_some());
        end().unwrap()
    }
}

impl Drop for Bed {
    /// No engine outlives its test.
    fn drop(&mut self) {
        let _ = fs::remove_file(self.path("held"));
        let Ok(Some(store)) = Store::open_existing(&self.path("store")) else { return };
        for run in store.open_runs().unwrap_or_default() {
            if let Some(lease) = run.lease.filter(|lease| is_engine(lease.pid)) {
                signal(lease.pid, Signal::TERM);
            }
        }
    }
}

/// What a command left behind.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    pub fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let said =
            Self { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) };
        assert!(!said.stderr.contains("panicked"), "{}", said.stderr);
        said
    }

    /// Exits with `code` and says each of `words` on stderr.
    #[track_caller]
    pub fn refused(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is missing in:\n{}", self.stderr);
        }
    }
}

#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(30), "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    let _ = kill_process(pid, signal);
}

/// Whether the process is one of ours and lives; a zombie has no command line.
pub fn is_engine(pid: u32) -> bool {
    let line = fs::read(Path::new("/proc").join(pid.to_string()).join("cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&line);
    line.contains("engine\0--run") || line.contains("scout\0--plan")
}

#[test]
fn a_night_without_trouble() {
    let bed = Bed::new(NIGHT);
    let said = bed.exec(&[]);
    assert_eq!((said.code, said.stdout.as_str()), (0, ""), "{said:?}");
    assert_eq!(bed.effects(), ["one", "two"]);
    let run = bed.store().run("latest").unwrap();
    assert_eq!((run.id.as_str(), run.end), ("night-a", Some(RunEnd::Succeeded { late: false })));
    assert!(matches!(&bed.facts("night-a")[0], Fact::RunStarted(s) if s.by.name == "Sarah" && s.run == "night-a"));
    assert!(said.stderr.contains("SUCCESS"), "{}", said.stderr);
    let lease = run.lease.unwrap();
    eventually("the engine is gone", || !is_engine(lease.pid));
    assert!(!Path::new(&lease.socket.unwrap()).exists(), "no socket is left behind");
    assert_eq!(bed.exec(&[]).code, 0);
    assert_eq!(bed.store().run("latest").unwrap().id, "night-b");
}

/// Two controllers, or one whose store is gone, call their runs the same; what the other one did is not done.
#[test]
fn a_run_of_another_store_with_the_same_name_is_another_run() {
    let bed = Bed::new(NIGHT);
    assert_eq!(bed.exec(&[]).code, 0);
    fs::rename(bed.path("store"), bed.path("lost")).unwrap();
    let said = bed.exec(&[]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(bed.store().runs().unwrap()[0].id, "night-a");
    assert_eq!(bed.effects(), ["one", "two", "one", "two"]);
}

#[test]
fn a_failing_test_rolls_back() {
    let bed = Bed::new(NIGHT);
    fs::write(bed.path("bad"), "").unwrap();
    let said = bed.exec(&[]);
    assert_eq!(said.code, 10, "{said:?}");
    assert_eq!(bed.effects(), ["one", "two", "undo-two", "undo-one"]);
    assert!(said.stderr.contains("ROLLED BACK"), "{}", said.stderr);
}

#[test]
fn json_is_the_only_thing_on_stdout_and_begins_with_hello() {
    let bed = Bed::new(NIGHT);
    let said = bed.exec(&["--json"]);
    assert_eq!(said.code, 0, "{said:?}");
    let lines: Vec<serde_json::Value> = said.stdout.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!((&lines[0]["type"], &lines[0]["run"]), (&"hello".into(), &"night-a".into()));
    assert!(lines.len() > 5);
}

#[test]
fn a_detached_run_is_watched_to_its_end() {
    let bed = Bed::new(NIGHT);
    bed.held();
    let attach = bed.spawn(&["attach"]);
    bed.let_go();
    let said = Said::of(attach.wait_with_output().unwrap());
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.stderr.contains("DONE   two") || said.stderr.contains("two"), "{}", said.stderr);
    assert_eq!(bed.run(&["attach"]).code, 0, "a finished run can be looked at again");
}

#[test]
fn a_killed_terminal_stops_nothing() {
    let bed = Bed::new(NIGHT);
    bed.held();
    let mut attach = bed.spawn(&["attach"]);
    eventually("it reads the run", || attached(attach.id(), &bed));
    attach.kill().unwrap();
    attach.wait().unwrap();
    bed.let_go();
    assert_eq!(bed.ended("night-a"), RunEnd::Succeeded { late: false });
}

/// Whether a process holds the journal open.
fn attached(pid: u32, bed: &Bed) -> bool {
    let journal = bed.path("store/journal.db");
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    fds.filter_map(|fd| fs::read_link(fd.path()).ok()).any(|path| path == journal)
}

#[test]
fn signals_to_a_terminal_leave_the_run_alone() {
    let bed = Bed::new(NIGHT);
    bed.held();
    for last in [Signal::INT, Signal::HUP, Signal::TERM] {
        let mut attach = bed.spawn(&["attach"]);
        let mut said = BufReader::new(attach.stderr.take().unwrap()).lines().map_while(Result::ok);
        eventually("it listens to signals", || catches(attach.id(), Signal::TSTP));
        signal(attach.id(), Signal::TSTP);
        assert!(said.any(|line| line.contains("Ctrl-Z is refused")));
        if last == Signal::INT {
            signal(attach.id(), Signal::INT);
            assert!(said.any(|line| line.contains("Ctrl-C stops nothing")));
        }
        signal(attach.id(), last);
        assert_eq!(said.filter(|line| line.contains("panicked")).count(), 0);
        assert_eq!(attach.wait().unwrap().code(), Some(30), "{last:?}");
    }
    assert!(is_engine(bed.store().run("night-a").unwrap().lease.unwrap().pid));
    bed.let_go();
    assert_eq!(bed.ended("night-a"), RunEnd::Succeeded { late: false });
}

fn mask(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix(name)).unwrap_or("0");
    u64::from_str_radix(line.trim(), 16).unwrap_or(0)
}

fn catches(pid: u32, signal: Signal) -> bool {
    mask(pid, "SigCgt:") & (1 << (signal.as_raw() - 1)) != 0
}

#[test]
fn an_engine_ignores_a_lost_terminal_and_detaches_when_asked_to_end() {
    let bed = Bed::new(NIGHT);
    let pid = bed.held().lease.unwrap().pid;
    signal(pid, Signal::HUP);
    assert_eq!(bed.run(&["note", "still there"]).code, 0, "HUP is ignored");
    signal(pid, Signal::TERM);
    eventually("it detaches", || !is_engine(pid));
    let lease = bed.store().run("night-a").unwrap().lease.unwrap();
    assert!(lease.expires <= runbook::driver::clock::now(), "the lease is given back");
    bed.run(&["attach"]).refused(30, &["NO ENGINE", "it has left the run", "runbook status night-a"]);
    bed.run(&["note", "x"]).refused(3, &["NO ENGINE"]);
    bed.let_go();
    eventually("the step went on by itself", || bed.effects() == ["one", "two"]);
}

#[test]
fn a_killed_engine_is_said_and_never_waited_for() {
    let bed = Bed::new(NIGHT);
    let lease = bed.held().lease.unwrap();
    let attach = bed.spawn(&["attach"]);
    eventually("it listens to signals", || catches(attach.id(), Signal::TERM));
    signal(lease.pid, Signal::KILL);
    let said = Said::of(attach.wait_with_output().unwrap());
    said.refused(20, &["NO ENGINE", "last heartbeat", "from Sarah on", "go on by themselves"]);
    bed.run(&["pause"]).refused(3, &["NO ENGINE"]);
    bed.exec(&[]).refused(3, &["run night-a of this plan", "by Sarah on", "NO ENGINE", "runbook resume night-a"]);
}

#[test]
fn a_second_run_of_the_same_plan_is_refused() {
    let bed = Bed::new(NIGHT);
    let pid = bed.held().lease.unwrap().pid.to_string();
    bed.exec(&[]).refused(3, &["refused", "night-a since", "by Sarah on", &pid, "runbook attach night-a"]);
    assert_eq!((bed.runs(), bed.effects()), (1, vec!["one".to_owned()]));
}

#[test]
fn nothing_starts_without_the_plans_name() {
    let bed = Bed::new(NIGHT);
    bed.run(&["exec", "night.yaml"]).refused(3, &["typed confirmation", "stdin is not a terminal", "--confirm night"]);
    bed.run(&["exec", "night.yaml", "--no-input"]).refused(3, &["--no-input", "--confirm night"]);
    bed.run(&["exec", "night.yaml", "--confirm", "day"]).refused(3, &["--confirm says `day`", "`night`"]);
    assert_eq!((bed.runs(), bed.effects().len()), (0, 0));
}

#[test]
fn outside_the_window_it_needs_a_reason() {
    let windows = |opens: &str, closes: &str| {
        let window = format!("timezone: UTC\nwindow: {{opens: \"{opens}\", closes: \"{closes}\"}}\nsteps:");
        NIGHT.replace("steps:", &window)
    };
    let past = Bed::new(&windows("2007-12-02 01:30", "2007-12-02 07:00"));
    past.exec(&[]).refused(3, &["the window ended", "days ago (Sun 2 Dec 2007, 07:00)", "--outside-window -m REASON"]);
    let early = Bed::new(&windows("2107-12-02 01:30", "2107-12-02 07:00"));
    early.exec(&[]).refused(3, &["the window opens in", "days (Fri 2 Dec 2107, 01:30)", "--wait"]);
    assert_eq!((past.runs(), early.runs()), (0, 0));
    past.exec(&["--outside-window"]).refused(2, &["--message"]);
    for bed in [past, early] {
        let said = bed.exec(&["--outside-window", "-m", "the client asked"]);
        assert_eq!(said.code, 0, "{said:?}");
        let Fact::RunStarted(started) = &bed.facts("night-a")[0] else { panic!("no start") };
        assert_eq!(started.options.outside_window.as_deref(), Some("the client asked"));
        assert!(started.window.unwrap().closes > runbook::driver::clock::now());
    }
}

#[test]
fn people_decide_from_another_terminal() {
    let bed = Bed::new(GATED);
    let exec = bed.spawn(&["exec", "night.yaml", "--confirm", "night"]);
    let asked = || bed.runs() == 1 && bed.facts("night-a").iter().any(|f| matches!(f, Fact::GateOpened { .. }));
    eventually("the gate opens", asked);
    bed.run(&["approve", "nosuch"]).refused(3, &["nosuch", "ask"]);
    bed.run(&["retry", "two"]).refused(3, &[]);
    assert_eq!(bed.run(&["note", "called Ms. Hu"]).stdout, "noted for Sarah: called Ms. Hu\n");
    let said = bed.run(&["approve", "ask", "--by", "Ms. Hu", "--defect", "wrong label"]);
    assert_eq!((said.code, said.stdout.as_str()), (0, "ask approved with 1 defect by Ms. Hu\n"), "{said:?}");
    let said = Said::of(exec.wait_with_output().unwrap());
    assert_eq!(said.code, 0, "{said:?}");
    bed.run(&["approve", "ask"]).refused(3, &["no run is open", "night-a"]);
    bed.run(&["approve", "ask", "--run", "night-a"])
        .refused(3, &["run night-a is over: done", "runbook status night-a"]);
    bed.run(&["note", "x", "--run", "nosuch"]).refused(2, &["there is no run `nosuch`", "night-a"]);
}

#[test]
fn a_rejected_gate_rolls_back() {
    let bed = Bed::new(GATED);
    let exec = bed.spawn(&["exec", "night.yaml", "--confirm", "night"]);
    let asked = || bed.runs() == 1 && bed.facts("night-a").iter().any(|f| matches!(f, Fact::GateOpened { .. }));
    eventually("the gate opens", asked);
    let said = bed.run(&["reject", "--json", "-m", "too slow"]);
    assert_eq!(said.code, 0, "{said:?}");
    let recorded: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(recorded["run"], "night-a");
    assert_eq!(Said::of(exec.wait_with_output().unwrap()).code, 10);
    assert_eq!(bed.effects(), ["one", "undo-one"]);
}

#[test]
fn a_rollback_by_hand_needs_the_plans_name() {
    let bed = Bed::new(GATED);
    let exec = bed.spawn(&["exec", "night.yaml", "--confirm", "night"]);
    let asked = || bed.runs() == 1 && bed.facts("night-a").iter().any(|f| matches!(f, Fact::GateOpened { .. }));
    eventually("the gate opens", asked);
    bed.run(&["rollback"]).refused(3, &["--confirm night"]);
    let said = bed.run(&["rollback", "--confirm", "night", "-m", "storm"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(Said::of(exec.wait_with_output().unwrap()).code, 10);
}

#[test]
fn a_finished_run_can_be_rolled_back_once() {
    let bed = Bed::new(NIGHT);
    assert_eq!(bed.exec(&[]).code, 0);
    bed.run(&["rollback"]).refused(3, &["no run is open", "night-a"]);
    bed.run(&["rollback", "--run", "latest"]).refused(3, &["--confirm night"]);
    let said = bed.run(&["rollback", "--run", "night-a", "--confirm", "night"]);
    assert_eq!(said.code, 10, "{said:?}");
    assert_eq!(bed.effects(), ["one", "two", "undo-two", "undo-one"]);
    let again = bed.run(&["rollback", "--run", "night-a", "--confirm", "night"]);
    again.refused(3, &["nothing to roll back: run night-a was rolled back"]);
}

#[test]
fn a_narrowed_run_leaves_steps_out_and_breaks_no_need() {
    let bed = Bed::new(NIGHT);
    bed.exec(&["--only", "two"]).refused(3, &["`two` needs `one`", "--assume-done one"]);
    bed.exec(&["--only", "tow"]).refused(2, &["no step `tow`", "did you mean `two`?"]);
    assert_eq!(bed.exec(&["--only", "two", "--assume-done", "one"]).code, 0);
    assert_eq!(bed.effects(), ["two"]);
    assert_eq!(bed.exec(&["--from", "two", "--assume-done", "one"]).code, 0);
    assert_eq!(bed.effects(), ["two", "two"]);
}

#[test]
fn a_full_or_missing_output_stops_no_run() {
    let bed = Bed::new(NIGHT);
    let full = || Stdio::from(fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    let exec = ["exec", "night.yaml", "--confirm", "night"];
    let json = bed.command(&[&exec[..], &["--json"]].concat()).stdout(full()).stderr(full()).output().unwrap();
    assert!(matches!(json.status.code(), Some(0 | 1)), "{json:?}");
    assert_eq!(bed.ended("night-a"), RunEnd::Succeeded { late: false });
    let detach = bed.command(&[&exec[..], &["--detach"]].concat()).stdout(full()).output().unwrap();
    Said::of(detach).refused(1, &["No space left on device"]);
    assert_eq!(bed.ended("night-b"), RunEnd::Succeeded { late: false });
}

#[test]
fn without_a_place_for_runs_it_says_what_is_missing() {
    let bed = Bed::new(NIGHT);
    let mut command = Command::new(env!("CARGO_BIN_EXE_runbook"));
    command.args(["exec", "night.yaml", "--confirm", "night"]).current_dir(bed.dir.path());
    command.env_remove("HOME").env_remove("XDG_STATE_HOME").stdin(Stdio::null());
    Said::of(command.output().unwrap()).refused(2, &["HOME is not set", "--store"]);
}

#[test]
fn a_store_that_cannot_be_used_is_named_and_nothing_starts() {
    let bed = Bed::new(NIGHT);
    let with = |store: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runbook"));
        command.args(["--store", store, "exec", "night.yaml", "--confirm", "night"]).current_dir(bed.dir.path());
        Said::of(command.stdin(Stdio::null()).output().unwrap())
    };
    with("/proc/nosuch/store").refused(3, &["/proc/nosuch/store", "cannot be used", "--store DIR"]);
    with("/dev/null").refused(3, &["/dev/null"]);
    fs::create_dir(bed.path("open")).unwrap();
    fs::set_permissions(bed.path("open"), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    with(bed.path("open").to_str().unwrap()).refused(3, &["others can write into it", "chmod 700"]);
    assert!(bed.effects().is_empty());
}

#[test]
fn a_store_of_a_newer_version_is_left_alone() {
    let bed = Bed::new(NIGHT);
    drop(bed.store());
    let db = rusqlite::Connection::open(bed.path("store/journal.db")).unwrap();
    db.execute("UPDATE meta SET value = '9.1.0' WHERE key = 'written_by'", []).unwrap();
    db.pragma_update(None, "user_version", 77).unwrap();
    drop(db);
    bed.exec(&[]).refused(3, &["needs runbook 9.1.0 or newer"]);
    assert!(bed.effects().is_empty());
}

#[test]
fn a_socket_path_that_is_too_long_is_refused_with_a_way_out() {
    let bed = Bed::new(NIGHT);
    let deep = bed.path(&"d".repeat(90));
    let mut command = Command::new(env!("CARGO_BIN_EXE_runbook"));
    command.arg("--store").arg(&deep).args(["exec", "night.yaml", "--confirm", "night"]);
    command.current_dir(bed.dir.path()).stdin(Stdio::null());
    Said::of(command.output().unwrap()).refused(3, &["control socket", "the system allows 107"]);
    let runs = Store::open(&deep).unwrap().runs().unwrap();
    assert!(runs.is_empty(), "it stands in nobody's way: {runs:?}");
}

#[test]
fn output_is_shown_as_asked() {
    let plan = "runbook: 1
name: Talk
steps:
  talk:
    hosts: local
    run: echo hello from the step
    estimate: 1s
    read_only: true
  judge:
    hosts: local
    test: echo this is why >&2; exit 3
    estimate: 1s
";
    let bed = Bed::new(plan);
    for (asked, talks, why) in [("failed", false, true), ("always", true, true), ("never", false, false)] {
        let said = bed.exec(&["--show-output", asked]);
        assert_eq!(said.code, 10, "{said:?}");
        assert_eq!(said.stderr.contains("talk@local | hello from the step"), talks, "{asked}: {}", said.stderr);
        assert_eq!(said.stderr.contains("        this is why"), why, "{asked}: {}", said.stderr);
    }
}

#[test]
fn a_dry_run_is_the_plan_and_leaves_nothing() {
    let bed = Bed::new(NIGHT);
    let said = bed.run(&["exec", "night.yaml", "-n"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(said.stdout, bed.run(&["plan", "night.yaml"]).stdout);
    assert!(said.stdout.contains("A small night"));
    assert!(!bed.path("store").exists());
}

/// A small file system for the store; gone with its test.
struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    /// `None` where this user may not mount.
    fn mount(bed: &Bed) -> Option<Self> {
        let at = bed.path("store");
        fs::create_dir(&at).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=80m,mode=700", "tmpfs"]).arg(&at).status();
        mounted.is_ok_and(|status| status.success()).then_some(Self { at })
    }

    fn fill(&self) {
        let mut file = fs::File::create(self.at.join("filler")).unwrap();
        let block = vec![7; 1 << 16];
        while file.write_all(&block).is_ok() {}
        while file.write_all(&[7]).is_ok() {}
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}

#[test]
fn a_full_disk_starts_nothing_more_and_still_records_the_rollback() {
    let bed = Bed::new(NIGHT);
    let Some(disk) = SmallDisk::mount(&bed) else {
        eprintln!("SKIPPED: this user may not mount, so no disk was filled");
        return;
    };
    bed.held();
    disk.fill();
    bed.let_go();
    let holds = |f: &Fact| matches!(f, Fact::HoldOpened { .. });
    eventually("it holds", || bed.facts("night-a").iter().any(holds));
    let armed = |f: &Fact| matches!(f, Fact::AttemptArmed { attempt } if attempt.action.step() == "check");
    let ended = |f: &Fact| {
        matches!(f, Fact::AttemptEnded { attempt, outcome, .. }
        if attempt.action.step() == "check" && !outcome.may_have_run())
    };
    let facts = bed.facts("night-a");
    assert!(!facts.iter().any(armed) || facts.iter().any(ended), "nothing was started: {facts:?}");
    let said = bed.run(&["rollback", "--confirm", "night", "-m", "no space"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(bed.ended("night-a"), RunEnd::RolledBack { verified: None, late: false });
    assert_eq!(bed.effects(), ["one", "two", "undo-two", "undo-one"]);
    bed.exec(&[]).refused(3, &["MB free for the journal", "it needs 64"]);
}

#[test]
fn a_disk_that_fails_stops_the_engine_and_names_what_may_be_half_done() {
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        eprintln!("SKIPPED: strace is not installed, so no disk failed");
        return;
    }
    let bed = Bed::new(NIGHT);
    let pid = bed.held().lease.unwrap().pid;
    let inject =
        ["-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO"];
    let mut strace = Command::new("strace").args(inject).args(["-p", &pid.to_string()]).spawn().unwrap();
    let traced = || {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.lines().any(|l| l.starts_with("TracerPid:") && !l.ends_with("\t0"))
    };
    eventually("its disk fails", traced);
    let effects_before = bed.effects();
    let note = bed.run(&["note", "x"]);
    assert_ne!(note.code, 0, "nothing is acknowledged: {note:?}");
    eventually("the engine ends", || !is_engine(pid));
    let _ = strace.kill();
    let _ = strace.wait();
    bed.run(&["attach"]).refused(20, &["nothing can be recorded any more", "two/local/do/1", "NO ENGINE"]);
    assert_eq!(bed.effects(), effects_before, "nothing was started or undone");
    bed.let_go();
    eventually("the step goes on by itself", || bed.effects() == ["one", "two"]);
}

/// The night of 2 December 2007 on private hosts: real ssh, real files. Hands back what was said.
fn lab(bed: &Bed, more: &[&str]) -> Option<Said> {
    if !["/usr/sbin/sshd", "/usr/bin/sshd"].iter().any(|sshd| Path::new(sshd).exists()) {
        eprintln!("SKIPPED: sshd is not installed, so no night was spent in the lab");
        return None;
    }
    let plan = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans/2007-12-02.yaml");
    Some(bed.run(&[&["exec", plan.to_str().unwrap(), "--lab", "--speed", "100"], more].concat()))
}

/// The folder that the lab had.
fn lab_dir(said: &Said) -> PathBuf {
    let line = said.stderr.lines().find(|line| line.contains("hosts of this machine in")).unwrap();
    line.rsplit(' ').next().unwrap().into()
}

#[test]
fn the_night_of_2_december_ends_well_in_the_lab() {
    let bed = Bed::new(NIGHT);
    let Some(said) = lab(&bed, &[]) else { return };
    assert_eq!(said.code, 0, "{said:?}");
    for word in ["5 of 5 hosts answer", "gates approve themselves", "SUCCESS"] {
        assert!(said.stderr.contains(word), "{word}: {}", said.stderr);
    }
    assert!(!lab_dir(&said).exists(), "the lab is gone");
    assert_eq!(bed.store().run("latest").unwrap().stage, Stage::Lab);
    bed.run(&["rollback", "--run", "latest", "--confirm", "2007-12-02"]).refused(3, &["ran in a lab, which is gone"]);
}

#[test]
fn a_failing_sanity_test_brings_the_old_version_back_in_the_lab() {
    let bed = Bed::new(NIGHT);
    let Some(said) = lab(&bed, &["--fail", "sanity-backend@be2", "--keep"]) else { return };
    assert_eq!(said.code, 10, "{said:?}");
    assert!(said.stderr.contains("The old version answers, its test passed"), "{}", said.stderr);
    let dir = lab_dir(&said);
    let effects = fs::read_to_string(dir.join("effects.log")).unwrap();
    let undone: Vec<&str> = effects.lines().filter(|line| line.contains(" undo ")).collect();
    let place = |step: &str| undone.iter().position(|line| line.contains(step)).unwrap_or_else(|| panic!("{effects}"));
    assert!(place("db-scripts") < place("stop-frontend"), "{effects}");
    assert!(place("deploy-backend") < place("stop-backend"), "{effects}");
    assert!(!effects.contains("deploy-frontend"), "{effects}");
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_mistake_in_fail_is_said_before_anything_starts() {
    let bed = Bed::new(NIGHT);
    bed.run(&["exec", "night.yaml", "--lab", "--fail", "tow"])
        .refused(2, &["no step is called `tow`; did you mean `two`?"]);
    bed.run(&["exec", "night.yaml", "--fail", "two"]).refused(2, &["--lab"]);
    assert_eq!(bed.runs(), 0);
}

/// The gate is expected in ten minutes, and its people want half an hour: they are called once, at once.
#[test]
fn people_are_called_ahead_exactly_once() {
    let people = "people: {client: {name: Ms. Hu, phone: +1 555 0103}}\n";
    let plan = NIGHT.replace("steps:", &format!("{people}steps:")).replace("estimate: 30s", "estimate: 10m");
    let gate = "  landing: {gate: Well?, who: [client], call_ahead: 30m, estimate: 1h}\n";
    let bed = Bed::new(&(plan + gate));
    bed.held();
    let called = || bed.facts("night-a").iter().filter(|f| matches!(f, Fact::CallDue { .. })).count();
    eventually("they are called", || called() == 1);
    // Whoever takes the run over knows that they were.
    let pid = bed.store().run("night-a").unwrap().lease.unwrap().pid;
    signal(pid, Signal::TERM);
    eventually("it detaches", || !is_engine(pid));
    assert_eq!(bed.run(&["resume", "--confirm", "night", "--detach"]).code, 30);
    bed.let_go();
    eventually("the gate is open", || bed.run(&["approve", "landing"]).code == 0);
    bed.ended("night-a");
    assert_eq!(called(), 1);
    let told = bed.run(&["attach", "night-a"]).stderr;
    assert!(told.contains("landing expected ") && told.contains("Call Ms. Hu +1 555 0103"), "{told}");
}

/// What is watched, from its first line on.
fn watching(bed: &Bed, more: &[&str]) -> (Child, BufReader<ChildStdout>, String) {
    let mut child = bed.spawn(&[&["status", "--watch"], more].concat());
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    lines.read_line(&mut first).unwrap();
    (child, lines, first)
}

fn all(lines: BufReader<ChildStdout>) -> Vec<String> {
    lines.lines().map(Result::unwrap).collect()
}

#[test]
fn a_log_has_a_line_for_each_change_and_the_last_says_how_it_ended() {
    let bed = Bed::new(NIGHT);
    bed.held();
    let (mut child, lines, first) = watching(&bed, &[]);
    assert!(first.contains(" RUNNING       1 of 3 done  1 running (two)  finish "), "{first}");
    fs::write(bed.path("bad"), "").unwrap();
    bed.let_go();
    let rest = all(lines);
    assert_eq!(child.wait().unwrap().code(), Some(10), "rolled back, like the run: {rest:?}");
    assert!(rest.last().unwrap().contains(" ROLLED BACK "), "{rest:?}");
    assert!(!rest.iter().any(|line| line.contains('\u{1b}')), "{rest:?}");
}

#[test]
fn programs_get_a_document_for_each_change() {
    let bed = Bed::new(NIGHT);
    bed.held();
    let (mut child, lines, first) = watching(&bed, &["--json"]);
    bed.let_go();
    let rest = all(lines);
    let state = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["state"].clone();
    assert_eq!((state(&first), state(rest.last().unwrap())), ("running".into(), "done".into()));
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn whoever_leaves_leaves_the_run_alone() {
    let bed = Bed::new(NIGHT);
    bed.held();
    for leave in [Signal::INT, Signal::TERM, Signal::HUP] {
        let (mut child, _lines, first) = watching(&bed, &[]);
        assert!(first.contains("RUNNING"), "{first}");
        signal(child.id(), leave);
        eventually("it ends", || matches!(child.try_wait(), Ok(Some(_))));
        assert_eq!(child.wait().unwrap().code(), Some(30), "{leave:?}");
    }
    bed.let_go();
    assert!(matches!(bed.ended("night-a"), RunEnd::Succeeded { .. }));
    let by_people = |fact: &Fact| matches!(fact, Fact::HoldOpened { .. } | Fact::Noted { .. });
    assert!(!bed.facts("night-a").iter().any(by_people));
    assert_eq!(bed.run(&["status", "--watch"]).code, 0, "a run that is over is shown once");
}
