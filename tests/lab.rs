//! The lab: its hosts answer over real ssh, its small call-centre works, and nothing of it is left afterwards.

use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use runbook::lab::{self, Lab, LabOptions};
use runbook::plan::model::{Host, Plan};

/// The plan of 2 December 2007 as far as the lab looks at it: its name, its hosts and their groups.
fn call_centre() -> Plan {
    plan("2007-12-02", &[("frontend", &["fe1", "fe2"]), ("backend", &["be1", "be2"]), ("db", &["db1"])])
}

fn plan(stem: &str, groups: &[(&str, &[&str])]) -> Plan {
    let groups: IndexMap<String, Vec<String>> = groups
        .iter()
        .map(|(name, hosts)| ((*name).to_owned(), hosts.iter().map(|h| (*h).to_owned()).collect()))
        .collect();
    Plan {
        stem: stem.to_owned(),
        name: stem.to_owned(),
        timezone: None,
        window: None,
        hosts: groups.values().flatten().map(|h| (h.clone(), Host::default())).collect(),
        groups,
        inventory: None,
        vars: IndexMap::new(),
        people: IndexMap::new(),
        resources: IndexMap::new(),
        notify: Vec::new(),
        after_rollback: None,
        waves: Vec::new(),
        after: Vec::new(),
        covers_all: false,
        at_once: None,
        ask_below: None,
        steps: IndexMap::new(),
        files: std::collections::BTreeMap::new(),
    }
}

fn plans() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("plans")
}

/// A parent of its own for every test, so that no test cleans up after another.
fn parent() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("rb").tempdir_in("/tmp").unwrap()
}

fn start(plan: &Plan, parent: &Path) -> Lab {
    let options = LabOptions { parent: Some(parent.to_owned()), ..LabOptions::default() };
    lab::start(plan, &plans(), &options).unwrap()
}

/// `None`, said aloud, where this machine has no sshd. An sshd that is there must work.
fn ssh_config(lab: &Lab) -> Option<PathBuf> {
    if lab.ssh_config.is_none() {
        let why = lab.note.as_deref().unwrap_or("no reason given");
        assert!(why.contains("is not installed"), "{why}");
        eprintln!("SKIPPED: {why}");
    }
    lab.ssh_config.clone()
}

fn ssh(config: &Path, host: &str, command: &str) -> Output {
    let mut ssh = Command::new("ssh");
    ssh.arg("-F").arg(config).args([host, command]).stdin(Stdio::null());
    ssh.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end().to_owned()
}

/// Everything alive that has to do with the folder: by environment, command line or working directory.
fn processes_of(dir: &Path) -> Vec<String> {
    let needle = dir.as_os_str().as_encoded_bytes();
    let holds = |bytes: &[u8]| bytes.windows(needle.len()).any(|w| w == needle);
    let me = std::process::id().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let pid = entry.file_name().into_string().unwrap();
        if pid == me || !pid.bytes().all(|b| b.is_ascii_digit()) {
            continue;
        }
        let read = |name: &str| fs::read(entry.path().join(name)).unwrap_or_default();
        let cwd = fs::read_link(entry.path().join("cwd")).unwrap_or_default();
        if holds(&read("environ")) || holds(&read("cmdline")) || cwd.starts_with(dir) {
            found.push(format!("{pid}: {}", text(&read("cmdline")).replace('\0', " ")));
        }
    }
    found
}

/// Waits for something to become true, not longer than half a minute.
fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_true() {
        assert!(Instant::now() < deadline, "still waiting: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn every_host_has_its_own_login_home_and_address() {
    let parent = parent();
    let lab = start(&call_centre(), parent.path());
    assert_eq!(fs::metadata(&lab.dir).unwrap().mode() & 0o777, 0o700);
    let Some(config) = ssh_config(&lab) else { return };
    let mut seen = std::collections::BTreeSet::new();
    for (name, host) in &lab.hosts {
        let out = ssh(&config, name, "printf '%s %s %s %s' \"$HOST\" \"$HOME\" \"$PWD\" \"${SSH_CONNECTION#* * }\"");
        let said = text(&out.stdout);
        let dir = host.dir.display();
        assert!(said.starts_with(&format!("{name} {dir} {dir} {} ", host.address)), "{said} {}", text(&out.stderr));
        assert!(seen.insert(host.address.clone()), "two hosts share {}", host.address);
    }
    assert_eq!(ssh(&config, "be1", "exit 42").status.code(), Some(42));
    lab.stop().unwrap();
}

#[test]
fn ssh_to_any_other_host_is_refused_before_a_connection() {
    let parent = parent();
    let lab = start(&plan("one", &[("all", &["a"])]), parent.path());
    let Some(config) = ssh_config(&lab) else { return };
    // The address is the lab's own sshd, which would answer and whose key would be taken.
    let mut ssh = Command::new("ssh");
    ssh.arg("-F").arg(&config).args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]);
    let out = ssh.args([&lab.hosts["a"].address, "echo reached"]).stdin(Stdio::null()).output().unwrap();
    assert_eq!((out.status.code(), text(&out.stdout)), (Some(255), String::new()));
}

#[test]
fn a_host_key_that_changed_is_refused() {
    let parent = parent();
    let lab = start(&plan("one", &[("all", &["a"])]), parent.path());
    let Some(config) = ssh_config(&lab) else { return };
    let known = lab.dir.join("keys/known_hosts");
    let user_key = fs::read_to_string(lab.dir.join("keys/user.pub")).unwrap();
    fs::write(&known, format!("a {user_key}")).unwrap();
    let out = ssh(&config, "a", "echo reached");
    assert_eq!((out.status.code(), text(&out.stdout)), (Some(255), String::new()));
}

#[test]
fn sessions_share_one_connection_and_hosts_are_reached_through_their_jump_host() {
    let parent = parent();
    let mut plan = plan("jump", &[("inner", &["app"])]);
    plan.hosts["app"].via = Some("me@bastion:22".to_owned());
    let lab = start(&plan, parent.path());
    let Some(config) = ssh_config(&lab) else { return };
    let socket = lab.dir.join("mux");
    let master = Command::new("ssh")
        .arg("-F")
        .arg(&config)
        .args(["-M", "-N", "-f", "-S"])
        .arg(&socket)
        .arg("app")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(master.success());
    let over = |command: &str| {
        let mut ssh = Command::new("ssh");
        ssh.arg("-F").arg(&config).arg("-S").arg(&socket).args(["app", command]).stdin(Stdio::piped());
        ssh.stdout(Stdio::piped()).spawn().unwrap()
    };
    // More at once than OpenSSH's own ten.
    let mut open: Vec<_> = (0..20).map(|_| over("read word; echo \"$HOST $word\"")).collect();
    for session in &mut open {
        session.stdin.take().unwrap().write_all(b"here\n").unwrap();
    }
    for session in open {
        assert_eq!(text(&session.wait_with_output().unwrap().stdout), "app here");
    }
    // The connection's other end is the jump host's sshd, not this test.
    let from = text(&over("echo \"${SSH_CONNECTION%% *}\"").wait_with_output().unwrap().stdout);
    assert!(from.starts_with("127."), "{from}");
    assert!(lab.hosts.contains_key("bastion"));
    let dir = lab.dir.clone();
    lab.stop().unwrap();
    assert!(!dir.exists());
}

#[test]
fn more_hosts_than_one_sshd_can_listen_for_are_served() {
    let parent = parent();
    let names: Vec<String> = (0..40).map(|n| format!("vm{n:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let lab = start(&plan("many", &[("vm", &names)]), parent.path());
    let Some(config) = ssh_config(&lab) else { return };
    for name in ["vm00", "vm15", "vm16", "vm39"] {
        assert_eq!(text(&ssh(&config, name, "echo $LAB_HOST").stdout), name);
    }
}

#[test]
fn commands_that_would_touch_this_machine_are_only_written_down() {
    let parent = parent();
    let lab = start(&plan("shims", &[("all", &["a"])]), parent.path());
    let run = |command: &str| {
        let mut sh = Command::new("sh");
        let host = &lab.hosts["a"];
        sh.args(["-c", command]).env_clear().envs(&host.env).current_dir(&host.dir);
        sh.env("RUNBOOK_STEP", "s").env("RUNBOOK_OUTCOME", "failed").output().unwrap()
    };
    for command in ["systemctl stop everything", "halt", "shutdown -h now"] {
        assert!(run(command).status.success());
    }
    assert_eq!(text(&run("sudo -n -u nobody -- printenv HOST").stdout), "a");
    assert_eq!(run("sudo -n sh -c 'exit 3'").status.code(), Some(3));
    assert_eq!(
        fs::read_to_string(lab.effects_log()).unwrap(),
        "a s undo systemctl stop everything\na s undo halt \na s undo shutdown -h now\n"
    );
}

#[test]
fn stopping_leaves_no_process_and_no_folder_even_from_another_value() {
    let parent = parent();
    let lab = start(&call_centre(), parent.path());
    let dir = lab.dir.clone();
    if let Some(config) = ssh_config(&lab) {
        let out = ssh(&config, "be1", "trap '' TERM; setsid sh -c 'trap \"\" TERM; exec sleep 600' >/dev/null 2>&1 &");
        assert!(out.status.success());
    }
    assert!(processes_of(&dir).len() >= 5, "the five services run: {:?}", processes_of(&dir));
    let dir = lab.hand_over(std::process::id()).unwrap();
    assert!(dir.exists(), "handing over stopped the lab");
    drop(Lab::open(&dir).unwrap());
    assert!(dir.exists(), "looking at the lab stopped it");
    Lab::open(&dir).unwrap().stop().unwrap();
    assert!(!dir.exists());
    until("every process is gone", || processes_of(&dir).is_empty());
}

#[test]
fn dropping_an_owner_stops_the_lab_and_keeping_leaves_only_the_folder() {
    let parent = parent();
    let options = LabOptions { parent: Some(parent.path().to_owned()), keep: true, ..LabOptions::default() };
    let lab = lab::start(&call_centre(), &plans(), &options).unwrap();
    let dir = lab.dir.clone();
    drop(lab);
    until("every process is gone", || processes_of(&dir).is_empty());
    assert!(dir.join("effects.log").is_file());
}

/// Not a test of its own: the process that the next test kills. Prints the lab's folder and waits.
#[test]
#[ignore = "started by a_lab_whose_owner_was_killed_is_removed_when_nobody_comes_back_to_it"]
fn owner_that_will_be_killed() {
    let parent = std::env::var_os("LAB_TEST_PARENT").expect("started by another test");
    let lab = start(&call_centre(), Path::new(&parent));
    println!("\nlab {}", lab.dir.display());
    let _ = std::io::stdin().read_line(&mut String::new());
}

#[test]
fn a_lab_whose_owner_was_killed_is_removed_when_nobody_comes_back_to_it() {
    let parent = parent();
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "lab::owner_that_will_be_killed"])
        .env("LAB_TEST_PARENT", parent.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(owner.stdout.take().unwrap()).lines().map_while(Result::ok);
    let dir = lines.find_map(|l| l.strip_prefix("lab ").map(PathBuf::from)).expect("the owner starts a lab");
    let living = start(&plan("other", &[]), parent.path());
    assert!(dir.exists(), "a lab with a living owner was removed");
    owner.kill().unwrap();
    owner.wait().unwrap();
    assert!(!processes_of(&dir).is_empty(), "kill -9 ends only the owner");
    let next = start(&plan("next", &[]), parent.path());
    assert!(dir.exists(), "a run in it could not be taken over");
    let long_ago = std::time::SystemTime::from(runbook::driver::clock::now()) - Duration::from_secs(16 * 60);
    fs::File::options().write(true).open(dir.join("abandoned")).unwrap().set_modified(long_ago).unwrap();
    let later = start(&plan("later", &[]), parent.path());
    assert!(!dir.exists() && later.dir.exists());
    until("every process is gone", || processes_of(&dir).is_empty());
    assert!(living.dir.exists() && next.dir.exists());
}

#[test]
fn without_ssh_the_lab_says_so_and_hosts_still_have_their_environment() {
    let parent = parent();
    let options = LabOptions { parent: Some(parent.path().to_owned()), without_ssh: true, ..LabOptions::default() };
    let lab = lab::start(&call_centre(), &plans(), &options).unwrap();
    assert_eq!(lab.ssh_config, None);
    assert_eq!(lab.note.as_deref(), Some("without ssh, as asked: using the local transport"));
    let host = &lab.hosts["fe1"];
    let mut sanity = Command::new("sh");
    sanity.args(["-c", "sanity --frontend --expect 2.3.7"]).env_clear().envs(&host.env).current_dir(&host.dir);
    let out = sanity.output().unwrap();
    assert_eq!(text(&out.stdout), "fe1: frontend 2.3.7 -> backend 2.3.7 -> database 2.3.7", "{}", text(&out.stderr));
}

/// The night by hand, over plain ssh: what the steps of plans/2007-12-02.yaml execute.
struct Night<'a> {
    config: &'a Path,
}

impl Night<'_> {
    fn on(&self, host: &str, direction: &str, command: &str) -> Output {
        let env = format!(
            "export VERSION=2.4.0 PREVIOUS=2.3.7 DB_CHANGES=true RUNBOOK_STEP=night RUNBOOK_DIRECTION={direction};"
        );
        ssh(self.config, host, &format!("{env} {command}"))
    }

    fn works(&self, host: &str, direction: &str, command: &str) -> String {
        let out = self.on(host, direction, command);
        assert!(out.status.success(), "{host}: {command}: {}", text(&out.stderr));
        text(&out.stdout)
    }

    fn fails(&self, host: &str, command: &str) -> String {
        let out = self.on(host, "do", command);
        assert!(!out.status.success(), "{host}: {command} should have failed");
        text(&out.stderr)
    }

    fn script(&self, hosts: &[&str], file: &str) {
        self.all(hosts, "do", &format!("sh -eu {}", plans().join(file).display()));
    }

    /// The same on several hosts at once.
    fn all(&self, hosts: &[&str], direction: &str, command: &str) {
        std::thread::scope(|scope| {
            for host in hosts {
                scope.spawn(|| self.works(host, direction, command));
            }
        });
    }
}

#[test]
fn the_call_centre_stops_migrates_deploys_passes_and_comes_back() {
    let parent = parent();
    let lab = start(&call_centre(), parent.path());
    let Some(config) = ssh_config(&lab) else { return };
    let night = Night { config: &config };

    let (frontend, backend) = (["fe1", "fe2"], ["be1", "be2"]);
    assert!(night.fails("be1", "sanity --backend").contains("expected backend 2.4.0, got: backend 2.3.7"));
    night.all(&frontend, "do", "systemctl stop callcentre-fe");
    night.all(&backend, "do", "systemctl stop callcentre-be");
    assert!(night.fails("be1", "curl -fsS localhost:8081/health").contains("curl: (7)"));

    night.works("db1", "do", "callcentre-backup \"$PREVIOUS.dump\"");
    assert!(night.works("db1", "do", "callcentre-backup --test \"$PREVIOUS.dump\"").contains("3 tables"));
    night.script(&backend, "install-backend.sh");
    assert_eq!(night.works("be1", "do", "curl -fsS localhost:8081/health"), "ok backend 2.4.0");
    assert!(night.fails("be1", "sanity --backend").contains("needs database 2.4.0, found 2.3.7"));
    night.script(&["db1"], "db/2.4.0.sql");
    assert_eq!(night.works("be2", "do", "sanity --backend"), "be2: backend 2.4.0 -> database 2.4.0");
    night.script(&frontend, "install-frontend.sh");
    let whole = "frontend 2.4.0 -> backend 2.4.0 -> database 2.4.0";
    assert_eq!(night.works("fe1", "do", "sanity --frontend"), format!("fe1: {whole}"));

    night.all(&frontend, "undo", "install-frontend \"$PREVIOUS\"");
    night.works("db1", "undo", "callcentre-restore \"$PREVIOUS.dump\"");
    night.all(&backend, "undo", "install-backend \"$PREVIOUS\" && systemctl start callcentre-be");
    night.all(&frontend, "undo", "systemctl start callcentre-fe");
    let whole = "frontend 2.3.7 -> backend 2.3.7 -> database 2.3.7";
    assert_eq!(night.works("fe2", "do", "sanity --frontend --expect \"$PREVIOUS\""), format!("fe2: {whole}"));

    let log = fs::read_to_string(lab.effects_log()).unwrap();
    let undone: Vec<&str> = log.lines().filter_map(|l| l.strip_prefix("db1 night undo ")).collect();
    assert_eq!(undone, ["restore 2.3.7.dump"]);
    let stopped: Vec<&str> =
        log.lines().take(2).filter_map(|l| l.strip_suffix(" night do stop callcentre-fe")).collect();
    assert_eq!(stopped.len(), 2, "{log}");
}

#[test]
fn a_half_done_migration_is_restored_and_a_broken_dump_is_refused() {
    let parent = parent();
    let lab = start(&plan("2007-12-02", &[("db", &["db1"])]), parent.path());
    let Some(config) = ssh_config(&lab) else { return };
    let night = Night { config: &config };
    night.works("db1", "do", "callcentre-backup \"$PREVIOUS.dump\"");
    let statements = "echo \"CREATE TABLE invoices (number);\nNONSENSE;\n\" | callcentre-sql";
    assert!(night.fails("db1", statements).contains("cannot read: NONSENSE"));
    assert!(night.works("db1", "do", "cut -f1 database/callcentre.db | sort -u").contains("invoices"));
    night.works("db1", "undo", "callcentre-restore \"$PREVIOUS.dump\"");
    assert!(!night.works("db1", "do", "cut -f1 database/callcentre.db | sort -u").contains("invoices"));
    assert!(night.works("db1", "undo", "callcentre-restore \"$PREVIOUS.dump\"").contains("already"));
    night.works("db1", "do", "echo x >>\"$PREVIOUS.dump\"");
    assert!(night.fails("db1", "callcentre-restore \"$PREVIOUS.dump\"").contains("does not have its checksum"));
}

#[tokio::test]
async fn the_openssh_crate_multiplexes_sessions_over_the_lab() {
    let parent = parent();
    let lab = start(&plan("mux", &[("all", &["a", "b"])]), parent.path());
    let Some(config) = ssh_config(&lab) else { return };
    let sockets = tempfile::Builder::new().prefix("rbc").tempdir_in("/tmp").unwrap();
    for host in ["a", "b"] {
        let mut builder = openssh::SessionBuilder::default();
        builder.config_file(&config).known_hosts_check(openssh::KnownHosts::Strict).control_directory(sockets.path());
        let session = builder.connect_mux(host).await.unwrap();
        for exit in [0, 3] {
            let out = session.raw_command(format!("echo $LAB_HOST; exit {exit}")).output().await.unwrap();
            assert_eq!((text(&out.stdout), out.status.code()), (host.to_owned(), Some(exit)));
        }
        session.close().await.unwrap();
    }
}

#[test]
fn a_plan_that_brings_no_commands_gets_stand_ins_for_those_that_this_machine_lacks() {
    let parent = parent();
    let mut plan = plan("no-folder", &[("all", &["a"])]);
    plan.after_rollback = Some(runbook::plan::model::Step {
        verb: runbook::plan::model::Verb::Test("db-split-lab-test --check && ls".to_owned()),
        ..step("after_rollback")
    });
    let lab = start(&plan, parent.path());
    assert_eq!(lab.stand_ins, ["db-split-lab-test"]);
    assert_eq!(Lab::open(&lab.dir).unwrap().stand_ins, lab.stand_ins);
    let host = &lab.hosts["a"];
    let mut sh = Command::new("sh");
    sh.args(["-c", "db-split-lab-test --check"]).env_clear().envs(&host.env).env("RUNBOOK_DIRECTION", "do");
    assert!(sh.status().unwrap().success());
    assert_eq!(fs::read_to_string(lab.effects_log()).unwrap(), "a - do db-split-lab-test --check\n");
}

fn step(id: &str) -> runbook::plan::model::Step {
    use runbook::plan::model::{Fleet, OnFailure, OnStop, Place, Retry, Shell, Step, Undo, Verb};
    Step {
        id: id.to_owned(),
        line: 1,
        needs: Vec::new(),
        place: Place::Hosts(vec!["a".to_owned()]),
        when: None,
        verb: Verb::Gate,
        gate: None,
        undo: Undo::Nothing,
        estimate: None,
        timeout: None,
        expect: None,
        retry: Retry::default(),
        idempotent: false,
        atomic: false,
        verify: None,
        outputs: Vec::new(),
        on_failure: OnFailure::Rollback,
        on_stop: OnStop::default(),
        uses: IndexMap::new(),
        hold: None,
        shell: Shell::default(),
        fleet: Fleet::default(),
        say: None,
        warn: None,
        downtime: None,
        baseline: false,
        inconclusive: Vec::new(),
        opens: None,
        tags: Vec::new(),
    }
}
