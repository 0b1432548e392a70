//! Whole nights over real ssh: the repository's plans executed in the lab by the program itself, and what really happened.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What a night left behind: how it ended, what was said, and what was really done.
struct Night {
    exit: Option<i32>,
    said: String,
    effects: Vec<String>,
    lab: PathBuf,
    /// Removed with the value.
    _folder: tempfile::TempDir,
}

/// Executes a plan of the repository in the lab, with nobody to ask, and keeps the lab's files.
fn night(plan: &str, flags: &[&str]) -> Night {
    let folder = tempfile::Builder::new().prefix("rbn").tempdir_in("/tmp").unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_runbook"));
    command
        .arg("--store")
        .arg(folder.path().join("store"))
        .args(["--no-input", "exec", plan, "--lab", "--keep"])
        .args(flags);
    command.current_dir(root).env("TMPDIR", folder.path()).env_remove("XDG_RUNTIME_DIR");
    let out = command.stdin(Stdio::null()).output().unwrap();
    let said = [out.stdout, out.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    let entries = fs::read_dir(folder.path()).unwrap().flatten().map(|e| e.path());
    let lab = entries.into_iter().find(|p| p.file_name().unwrap().to_string_lossy().starts_with("runbook-lab-"));
    let lab = lab.unwrap_or_else(|| panic!("no lab was kept:\n{said}"));
    let log = fs::read_to_string(lab.join("effects.log")).unwrap();
    Night { exit: out.status.code(), said, effects: log.lines().map(str::to_owned).collect(), lab, _folder: folder }
}

impl Night {
    /// Where an effect stands in the log.
    fn at(&self, effect: &str) -> usize {
        let found: Vec<usize> = (0..self.effects.len()).filter(|i| self.effects[*i].trim_end() == effect).collect();
        assert_eq!(found.len(), 1, "`{effect}` once in:\n{}\n\n{}", self.effects.join("\n"), self.said);
        found[0]
    }

    /// Every effect of `earlier` happened before every effect of `later`.
    fn in_order(&self, earlier: &[&str], later: &[&str]) {
        for (a, b) in earlier.iter().flat_map(|a| later.iter().map(move |b| (a, b))) {
            assert!(self.at(a) < self.at(b), "`{a}` before `{b}` in:\n{}", self.effects.join("\n"));
        }
    }

    fn ended(&self, exit: i32) {
        assert_eq!(self.exit, Some(exit), "{}", self.said);
    }

    /// What a host's file says, without its last line end.
    fn file(&self, path: &str) -> String {
        let text = fs::read_to_string(self.lab.join("h").join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
        text.trim_end().to_owned()
    }

    fn undone(&self) -> Vec<&str> {
        self.effects.iter().filter(|e| e.split(' ').nth(2) == Some("undo")).map(String::as_str).collect()
    }

    /// The engine stops the lab after it has said how the night ended, so this waits a little.
    fn nothing_runs_any_more(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while let Some(left) = self.still_running() {
            assert!(Instant::now() < deadline, "{left}");
            std::thread::yield_now();
        }
    }

    fn still_running(&self) -> Option<String> {
        let needle = self.lab.as_os_str().as_encoded_bytes();
        let files =
            fs::read_dir("/proc").unwrap().flatten().flat_map(|e| ["environ", "cmdline"].map(|f| e.path().join(f)));
        let texts = files.map(|path| (fs::read(&path).unwrap_or_default(), path));
        let mut ours = texts.filter(|(text, _)| text.windows(needle.len()).any(|w| w == needle));
        ours.next().map(|(text, path)| format!("{}: {}", path.display(), String::from_utf8_lossy(&text)))
    }
}

#[test]
fn the_night_of_2_december_goes_right() {
    let night = night("plans/2007-12-02.yaml", &[]);
    night.ended(0);
    let stopped = [
        "fe1 stop-frontend do stop callcentre-fe",
        "fe2 stop-frontend do stop callcentre-fe",
        "be1 stop-backend do stop callcentre-be",
        "be2 stop-backend do stop callcentre-be",
    ];
    let backends = ["be1 deploy-backend do start callcentre-be", "be2 deploy-backend do start callcentre-be"];
    let frontends = ["fe1 deploy-frontend do start callcentre-fe", "fe2 deploy-frontend do start callcentre-fe"];
    night.in_order(&stopped, &["db1 backup-db do backup 2.3.7.dump"]);
    night.in_order(&["db1 backup-db do backup 2.3.7.dump"], &["db1 db-scripts do database: 10 statements"]);
    night.in_order(&["db1 db-scripts do database: 10 statements", backends[0], backends[1]], &frontends);
    night.in_order(&frontends, &["local announce do mail: Version 2.4.0 is up"]);
    assert_eq!(night.undone(), Vec::<&str>::new());
    assert_eq!(night.file("fe2/srv/callcentre-fe/current/VERSION"), "2.4.0");
    assert!(night.file("db1/database/callcentre.db").contains("schema\t2.4.0"));
    night.nothing_runs_any_more();
}

#[test]
fn a_failing_sanity_test_brings_the_old_version_back_in_reverse_order() {
    let night = night("plans/2007-12-02.yaml", &["--fail", "sanity-backend", "--speed", "60"]);
    night.ended(10);
    let installed =
        ["be1 deploy-backend undo install callcentre-be 2.3.7", "be2 deploy-backend undo install callcentre-be 2.3.7"];
    let started = ["be1 stop-backend undo start callcentre-be", "be2 stop-backend undo start callcentre-be"];
    night.in_order(&installed, &started);
    night.in_order(&["db1 db-scripts undo restore 2.3.7.dump"], &started);
    night.in_order(&["db1 db-scripts do database: 10 statements"], &["db1 db-scripts undo restore 2.3.7.dump"]);
    for host in ["fe1", "fe2"] {
        night.at(&format!("{host} stop-frontend undo start callcentre-fe"));
    }
    for (host, service) in [("be1", "callcentre-be"), ("be2", "callcentre-be"), ("fe1", "callcentre-fe")] {
        assert_eq!(night.file(&format!("{host}/srv/{service}/current/VERSION")), "2.3.7");
    }
    assert!(!night.file("db1/database/callcentre.db").contains("invoices"));
    assert!(
        !night.effects.iter().any(|e| e.contains("deploy-frontend") || e.contains("announce")),
        "{:?}",
        night.effects
    );
    night.nothing_runs_any_more();
}

#[test]
fn a_script_that_fails_its_proof_on_one_host_is_undone_on_all() {
    let night = night("plans/2007-12-02.yaml", &["--fail", "deploy-frontend@fe2", "--speed", "60"]);
    night.ended(10);
    let undone = [
        "fe1 deploy-frontend undo install callcentre-fe 2.3.7",
        "fe2 deploy-frontend undo install callcentre-fe 2.3.7",
    ];
    night.in_order(&undone, &["be1 deploy-backend undo install callcentre-be 2.3.7"]);
    night.in_order(&undone, &["db1 db-scripts undo restore 2.3.7.dump"]);
    assert!(night.said.contains("deploy-frontend on fe2 failed: injected failure"), "{}", night.said);
    assert!(night.said.contains("command  curl -fsS localhost:8080/health"), "the plan's own:\n{}", night.said);
    assert!(night.said.contains("injected by --fail"), "{}", night.said);
    assert!(night.said.contains("runbook exec plans/2007-12-02.yaml --lab     tries again"), "{}", night.said);
}

#[test]
fn without_sshd_the_same_night_runs_over_the_local_transport() {
    let night = night("plans/2007-12-02.yaml", &["--without-ssh", "--fail", "deploy-frontend@fe2", "--speed", "60"]);
    night.ended(10);
    assert!(night.said.contains("using the local transport"), "{}", night.said);
    for (host, service) in [("be1", "callcentre-be"), ("fe1", "callcentre-fe"), ("fe2", "callcentre-fe")] {
        assert_eq!(night.file(&format!("{host}/srv/{service}/current/VERSION")), "2.3.7");
    }
    let undone = ["fe1 deploy-frontend undo install callcentre-fe 2.3.7", "be1 stop-backend undo start callcentre-be"];
    night.in_order(&undone[..1], &undone[1..]);
    night.nothing_runs_any_more();
}

/// A window of 25 seconds, 2 of them kept free; the rollback takes up to 6, so it must begin at second 17.
const SHORT: &str = r#"runbook: 1
name: A short window
window: {lasts: 25s, reserve: 2s}
hosts: {app: [app1]}
after_rollback: {hosts: app, test: grep -qx old version, estimate: 1s}

steps:
  deploy:
    hosts: app
    run: echo new > version
    estimate: 1s
    rollback: {run: echo old > version, estimate: 1s-3s}
  hangs:
    hosts: app
    run: |
      setsid sleep 1000 & echo $! > child
      echo $$ > parent
      sleep 1000
    estimate: 1s-2s
    timeout: 24s
    rollback:
      run: |
        for name in child parent; do
            case $(ps -o stat= -p "$(cat $name)" || :) in
                '' | Z*) echo "$name dead" ;;
                *) echo "$name alive" ;;
            esac
        done > found
      estimate: 1s-2s
"#;

#[test]
fn a_step_that_hangs_until_roll_back_by_is_killed_and_the_old_version_is_back_before_the_close() {
    let plans = tempfile::tempdir().unwrap();
    let plan = plans.path().join("short.yaml");
    fs::write(&plan, SHORT).unwrap();
    let began = Instant::now();
    let night = night(plan.to_str().unwrap(), &[]);
    night.ended(10);
    assert!(began.elapsed() >= Duration::from_secs(15), "it was given its time:\n{}", night.said);
    assert!(night.said.contains("the last moment to roll back has come"), "{}", night.said);
    assert!(night.said.contains("KILL   hangs"), "{}", night.said);
    assert_eq!(night.file("app1/found"), "child dead\nparent dead", "dead before the undo began");
    assert_eq!(night.file("app1/version"), "old");
    night.nothing_runs_any_more();
}

#[test]
fn the_september_night_is_rolled_back_when_the_web_does_not_work() {
    let night = night("plans/2007-09-16.yaml", &["--fail", "sanity-web", "--speed", "60"]);
    night.ended(10);
    let web = ["web1 deploy-web undo release web 4.9.2", "web2 deploy-web undo release web 4.9.2"];
    let backend = ["app1 deploy-backend undo release backend 4.9.2", "app2 deploy-backend undo release backend 4.9.2"];
    night.in_order(&web, &backend);
    night.in_order(&backend, &["db1 split-db undo db-split --join db2"]);
    night.in_order(&["db1 split-db undo db-split --join db2"], &["web1 stop-web undo systemctl start web"]);
    assert!(
        !night.lab.join("h/web1/root/etc/web/web.conf").exists(),
        "the configuration that was not there is gone again"
    );
}
