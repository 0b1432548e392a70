//! What every command needs to know of its surroundings: folders, terminal, who is asking.

use std::path::PathBuf;

use super::args::{Color, Global};
use super::error::CommandError;

#[derive(Debug)]
pub struct Context {
    pub global: Global,
    /// Journal and logs.
    pub store: PathBuf,
    /// Control sockets; private, short.
    pub runtime: PathBuf,
    /// The name shown in the timeline.
    pub user: String,
}

impl Context {
    /// # Errors
    /// When `-C` names no folder, or neither `--store` nor `HOME` says where runs live.
    pub fn new(global: Global) -> Result<Self, CommandError> {
        if let Some(dir) = &global.chdir {
            std::env::set_current_dir(dir)
                .map_err(|e| CommandError::usage(format!("cannot work in {}: {e}", dir.display())))?;
        }
        match global.color {
            Color::Always => anstream::ColorChoice::Always.write_global(),
            Color::Never => anstream::ColorChoice::Never.write_global(),
            Color::Auto => {}
        }
        let store = match &global.store {
            Some(dir) => std::path::absolute(dir)?,
            None => folder("XDG_STATE_HOME", ".local/state").ok_or_else(|| {
                CommandError::usage("HOME is not set, so there is no place for runs")
                    .hint("set HOME, or pass --store DIR")
            })?,
        };
        let runtime = match std::env::var_os("XDG_RUNTIME_DIR") {
            Some(dir) if global.store.is_none() => PathBuf::from(dir).join("runbook"),
            _ => store.join("run"),
        };
        let user = ["RUNBOOK_USER", "USER", "LOGNAME"]
            .iter()
            .find_map(|v| std::env::var(v).ok().filter(|s| !s.is_empty()))
            .or_else(login_name)
            .unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()));
        Ok(Self { global, store, runtime, user })
    }
}

fn folder(variable: &str, below_home: &str) -> Option<PathBuf> {
    let set = |v: &str| std::env::var_os(v).filter(|s| !s.is_empty()).map(PathBuf::from);
    set(variable).or_else(|| set("HOME").map(|h| h.join(below_home))).map(|d| d.join("runbook"))
}

/// The name of our user in `/etc/passwd`; a directory service is asked by nobody here.
fn login_name() -> Option<String> {
    let uid = rustix::process::getuid().as_raw().to_string();
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    passwd
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|f| f.get(2) == Some(&uid.as_str()))
        .map(|f| f[0].into())
}
