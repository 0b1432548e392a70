//! What every command needs to know of its surroundings: folders, terminal, who is asking.

use std::path::{Path, PathBuf};

use super::args::{Color, Global};
use super::error::CommandError;
use super::settings::Layers;

#[derive(Debug)]
pub struct Context {
    /// Flags and their environment variables, completed from the files of settings.
    pub global: Global,
    pub settings: Layers,
    /// Journal and logs.
    pub store: PathBuf,
    /// Control sockets; private, short.
    pub runtime: PathBuf,
    /// The name shown in the timeline.
    pub user: String,
}

impl Context {
    /// `plan` is the file that the command is about.
    ///
    /// # Errors
    /// When `-C` names no folder, a file of settings is wrong, or nothing says where runs live.
    pub fn new(mut global: Global, plan: Option<&Path>) -> Result<Self, CommandError> {
        if let Some(dir) = &global.chdir {
            std::env::set_current_dir(dir)
                .map_err(|e| CommandError::usage(format!("cannot work in {}: {e}", dir.display())))?;
        }
        let settings = Layers::read(plan)?;
        global.ascii |= settings.get(|s| s.ascii).is_some_and(|(ascii, _)| ascii);
        global.color = global.color.or(settings.get(|s| s.color).map(|(color, _)| color));
        match global.color {
            Some(Color::Always) => anstream::ColorChoice::Always.write_global(),
            Some(Color::Never) => anstream::ColorChoice::Never.write_global(),
            Some(Color::Auto) | None => {}
        }
        let given = global.store.clone().or_else(|| settings.store().map(|(dir, _)| dir));
        let store = match &given {
            Some(dir) => std::path::absolute(dir)?,
            None => folder("XDG_STATE_HOME", ".local/state").ok_or_else(|| {
                CommandError::usage("HOME is not set, so there is no place for runs")
                    .hint("set HOME, or pass --store DIR")
            })?,
        };
        let runtime = match std::env::var_os("XDG_RUNTIME_DIR") {
            Some(dir) if given.is_none() => PathBuf::from(dir).join("runbook"),
            _ => store.join("run"),
        };
        let set = |name: &str| std::env::var(name).ok().filter(|s| !s.is_empty());
        let user = set("RUNBOOK_USER")
            .or_else(|| settings.get(|s| s.name.clone()).map(|(name, _)| name))
            .or_else(|| set("USER"))
            .or_else(|| set("LOGNAME"))
            .or_else(login_name)
            .unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()));
        Ok(Self { global, settings, store, runtime, user })
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
