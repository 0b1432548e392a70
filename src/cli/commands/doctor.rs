//! `runbook doctor`: what this program sees of the machine, and where each setting comes from. Changes nothing.

use std::env;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::cli::args::{By, Color};
use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::load::load_or_report;
use crate::cli::setup::Setup;
use crate::cli::{output, programs, reach};
use crate::report::escape_for_terminal;
use crate::transport::{CONNECT_AT_ONCE, Means, Reached};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runbook doctor --json | jq '.settings[] | select(.trouble)'
  runbook doctor plans/night.yaml --transport auto      by what each of its hosts would be reached")]
pub struct Args {
    /// A plan: also say by what each of its hosts is reached
    plan: Option<PathBuf>,
    #[command(flatten)]
    by: By,
}

impl Args {
    pub(in crate::cli) fn plan(&self) -> Option<&Path> {
        self.plan.as_deref()
    }
}

/// One line of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Setting {
    name: String,
    value: String,
    /// Such as `--store`, `RUNBOOK_USER` or `default`.
    from: String,
    /// What will not work like this.
    trouble: Option<String>,
}

impl Setting {
    fn new(name: impl Into<String>, value: impl Into<String>, from: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into(), from: from.into(), trouble: None }
    }

    fn but(mut self, trouble: Option<String>) -> Self {
        self.trouble = trouble;
        self
    }
}

pub fn run(args: &Args, cx: &Context) -> Result<Exit, CommandError> {
    let mut settings = look(cx, args.by);
    if let Some(plan) = &args.plan {
        settings.extend(hosts(plan, args.by, cx)?);
    }
    if cx.global.json {
        let rows: Vec<_> = settings
            .iter()
            .map(|s| json!({ "name": s.name, "value": s.value, "from": s.from, "trouble": s.trouble }))
            .collect();
        return output::json(&json!({ "settings": rows }));
    }
    output::text(&table(&settings))
}

fn look(cx: &Context, by: By) -> Vec<Setting> {
    let set = |name: &str| env::var_os(name).filter(|v| !v.is_empty()).map(|v| v.to_string_lossy().into_owned());
    vec![
        Setting::new("version", env!("CARGO_PKG_VERSION"), program()),
        store(cx),
        runtime(cx),
        user(cx, &set),
        tool("ssh", &["-V"], "needed for every host but `local`, unless the transport is native"),
        tool("sshd", &[], "needed for `exec --lab` only"),
        tool("sudo", &["-n", "-V"], "needed for local steps with `sudo` or `user` only"),
        tool("sh", &[], "executes local steps"),
        sendmail(cx),
        locale(&set),
        files(cx),
        connections(cx),
        transport(cx, by),
        Setting::new("bars", if ascii(cx, &set) { "ASCII" } else { "UTF-8" }, bars_from(cx)),
        colour(cx, &set),
        terminal(&set),
        Setting::new(
            "questions",
            if cx.global.no_input { "never asked here" } else { "asked at the terminal" },
            flag_or(cx.global.no_input, "--no-input", "RUNBOOK_NO_INPUT"),
        ),
    ]
}

fn program() -> String {
    env::current_exe().map_or_else(|_| "this program".into(), |p| p.display().to_string())
}

/// Whether a flag of the command line or its variable is the source.
fn flag_or(used: bool, flag: &str, variable: &str) -> String {
    let given = env::args_os().any(|a| a.to_string_lossy().split('=').next() == Some(flag));
    match (used, given) {
        (false, _) => "default".into(),
        (true, true) => flag.into(),
        (true, false) => variable.into(),
    }
}

fn store(cx: &Context) -> Setting {
    let from = match (&cx.global.store, cx.settings.store(), env::var_os("XDG_STATE_HOME")) {
        (Some(_), ..) => flag_or(true, "--store", "RUNBOOK_STORE"),
        (None, Some((_, file)), _) => file.display().to_string(),
        (None, None, Some(dir)) if !dir.is_empty() => "XDG_STATE_HOME".into(),
        (None, None, _) => "default, below HOME".into(),
    };
    Setting::new("store", cx.store.display().to_string(), from).but(folder_trouble(&cx.store))
}

fn runtime(cx: &Context) -> Setting {
    let placed = cx.global.store.is_some() || cx.settings.store().is_some();
    let from = match env::var_os("XDG_RUNTIME_DIR") {
        Some(_) if !placed => "XDG_RUNTIME_DIR",
        _ => "the store",
    };
    Setting::new("sockets", cx.runtime.display().to_string(), from).but(folder_trouble(&cx.runtime))
}

/// Why a private folder could not be used; one that does not exist yet is judged by the nearest that does.
fn folder_trouble(dir: &Path) -> Option<String> {
    let existing: PathBuf = dir.ancestors().find(|d| d.exists())?.to_path_buf();
    let meta = std::fs::metadata(&existing).ok()?;
    if !meta.is_dir() {
        return Some(format!("{} is not a folder", existing.display()));
    }
    if existing == dir && meta.uid() != rustix::process::getuid().as_raw() {
        return Some(format!("belongs to uid {}", meta.uid()));
    }
    if existing == dir && meta.permissions().mode() & 0o077 != 0 {
        return Some(format!("others can enter it: chmod 700 {}", existing.display()));
    }
    let writable = rustix::fs::access(&existing, rustix::fs::Access::WRITE_OK).is_ok();
    (!writable).then(|| format!("{} cannot be written", existing.display()))
}

fn user(cx: &Context, set: &dyn Fn(&str) -> Option<String>) -> Setting {
    let variable = |v: &str| set(v).map(|_| v.to_owned());
    let file = || cx.settings.get(|s| s.name.clone()).map(|(_, file)| file.display().to_string());
    let from = variable("RUNBOOK_USER").or_else(file).or_else(|| variable("USER")).or_else(|| variable("LOGNAME"));
    Setting::new("name in the timeline", cx.user.clone(), from.unwrap_or_else(|| "the user id".into()))
}

/// A program that we start: where it is, and what it says of its version.
fn tool(name: &'static str, version: &[&str], purpose: &str) -> Setting {
    let Some(path) = programs::find(name) else {
        return Setting::new(name, "not found", "PATH").but(Some(purpose.to_owned()));
    };
    let shown = path.display().to_string();
    if version.is_empty() {
        return Setting::new(name, shown, "PATH");
    }
    let answer = Command::new(&path).args(version).stdin(Stdio::null()).output();
    let said = answer.ok().and_then(|out| {
        let text = if out.stdout.is_empty() { out.stderr } else { out.stdout };
        String::from_utf8_lossy(&text).lines().next().map(str::to_owned)
    });
    match said {
        Some(said) => Setting::new(name, said, shown),
        None => Setting::new(name, shown, "PATH").but(Some("does not answer".into())),
    }
}

const LOCALE: [&str; 3] = ["LC_ALL", "LC_CTYPE", "LANG"];

fn locale(set: &dyn Fn(&str) -> Option<String>) -> Setting {
    match LOCALE.into_iter().find_map(|v| set(v).map(|value| (v, value))) {
        Some((variable, value)) => Setting::new("locale", value, variable),
        None => Setting::new("locale", "C", "default"),
    }
}

fn ascii(cx: &Context, set: &dyn Fn(&str) -> Option<String>) -> bool {
    let locale = LOCALE.into_iter().find_map(set).unwrap_or_default().to_ascii_lowercase();
    cx.global.ascii || !(locale.contains("utf-8") || locale.contains("utf8"))
}

fn bars_from(cx: &Context) -> String {
    match cx.settings.get(|s| s.ascii.filter(|ascii| *ascii)) {
        Some((_, file)) => file.display().to_string(),
        None if cx.global.ascii => flag_or(true, "--ascii", "RUNBOOK_ASCII"),
        None => "the locale".into(),
    }
}

fn files(cx: &Context) -> Setting {
    let names: Vec<String> = cx.settings.files().map(|file| file.display().to_string()).collect();
    let value = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    Setting::new("files of settings", value, "runbook.toml above this folder, the user's, the system's")
}

fn connections(cx: &Context) -> Setting {
    match cx.settings.get(|s| s.connections) {
        Some((n, file)) => Setting::new("connects at once", n.to_string(), file.display().to_string()),
        None => Setting::new("connects at once", CONNECT_AT_ONCE.to_string(), "default"),
    }
}

fn sendmail(cx: &Context) -> Setting {
    match cx.settings.sendmail() {
        Some((program, file)) => Setting::new("sendmail", program.display().to_string(), file.display().to_string()),
        None => tool("sendmail", &[], "needed for `notify: [{mail: ...}]` only"),
    }
}

fn transport(cx: &Context, by: By) -> Setting {
    match (by.transport, cx.settings.get(|s| s.transport)) {
        (Some(means), _) => {
            Setting::new("transport", means.as_str(), flag_or(true, "--transport", "RUNBOOK_TRANSPORT"))
        }
        (None, Some((means, file))) => Setting::new("transport", means.as_str(), file.display().to_string()),
        (None, None) => Setting::new("transport", Means::default().as_str(), "default"),
    }
}

/// By what each host of the plan is reached. Asks none of them.
fn hosts(file: &Path, by: By, cx: &Context) -> Result<Vec<Setting>, CommandError> {
    let plan = load_or_report(file, &[], cx)?.plan;
    let setup = Setup::new(file, Vec::new(), by, &cx.settings)?;
    let ways = reach::ways(&plan, &setup)?;
    let row = |(host, way): reach::Way| match way {
        Ok(Reached { means, not_native: None }) => Setting::new(host, means.as_str(), "the transport above"),
        Ok(Reached { means, not_native: Some(why) }) => {
            Setting::new(host, means.as_str(), format!("its options: {why}"))
        }
        Err(why) => Setting::new(host, "not reachable", "the transport above").but(Some(why)),
    };
    Ok(ways.into_iter().map(row).collect())
}

fn colour(cx: &Context, set: &dyn Fn(&str) -> Option<String>) -> Setting {
    let given = || match cx.settings.get(|s| s.color) {
        Some((color, file)) if Some(color) == cx.global.color => file.display().to_string(),
        _ => flag_or(true, "--color", "RUNBOOK_COLOR"),
    };
    let (value, from) = match cx.global.color {
        Some(Color::Always) => ("always", given()),
        Some(Color::Never) => ("never", given()),
        Some(Color::Auto) | None => {
            let forced = ["CLICOLOR_FORCE", "FORCE_COLOR"].into_iter().find(|v| set(v).is_some_and(|x| x != "0"));
            let dumb = env::var_os("TERM").as_deref() == Some(OsStr::new("dumb"));
            match forced {
                _ if set("NO_COLOR").is_some() => ("never", "NO_COLOR".into()),
                Some(variable) => ("always", variable.to_owned()),
                None if dumb => ("never", "TERM".into()),
                None => ("on terminals", "default".into()),
            }
        }
    };
    Setting::new("colour", value, from)
}

fn terminal(set: &dyn Fn(&str) -> Option<String>) -> Setting {
    let sizes = [rustix::termios::tcgetwinsize(std::io::stderr()), rustix::termios::tcgetwinsize(std::io::stdout())];
    let size = sizes.into_iter().flatten().find(|s| s.ws_col > 0);
    let term = set("TERM").unwrap_or_else(|| "no TERM".into());
    match size {
        Some(size) => {
            Setting::new("terminal", format!("{} columns, {} lines, {term}", size.ws_col, size.ws_row), "the terminal")
        }
        None => Setting::new("terminal", "none: plain lines", "stdout and stderr"),
    }
}

fn table(settings: &[Setting]) -> String {
    let names = settings.iter().map(|s| s.name.len()).max().unwrap_or(0);
    let values = settings.iter().map(|s| escape_for_terminal(&s.value).chars().count()).max().unwrap_or(0).min(60);
    let mut out = String::new();
    for s in settings {
        let (value, from) = (escape_for_terminal(&s.value), escape_for_terminal(&s.from));
        let _ = writeln!(out, "{:<names$}  {value:<values$}  from {from}", s.name);
        if let Some(trouble) = &s.trouble {
            let _ = writeln!(out, "{:names$}  ! {}", "", escape_for_terminal(trouble));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_cannot_be_used_say_why() {
        let dir = tempfile::tempdir().unwrap();
        let private = dir.path().join("private");
        assert_eq!(folder_trouble(&private), None);
        std::fs::create_dir(&private).unwrap();
        std::fs::set_permissions(&private, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(folder_trouble(&private).unwrap().contains("chmod 700"));
        std::fs::write(dir.path().join("file"), "").unwrap();
        assert!(folder_trouble(&dir.path().join("file/below")).unwrap().contains("is not a folder"));
    }

    #[test]
    fn each_line_names_its_source_and_troubles_stand_below() {
        let rows = [
            Setting::new("store", "/x", "--store"),
            Setting::new("ssh", "not\u{1b}[2J found", "PATH").but(Some("needed".into())),
        ];
        let expected = "store  /x              from --store\nssh    not\\e[2J found  from PATH\n       ! needed\n";
        assert_eq!(table(&rows), expected);
    }
}
