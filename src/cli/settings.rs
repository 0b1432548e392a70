//! Settings from files: `runbook.toml` beside or above the plan, then the user's, then the system's. Knows nothing of
//! flags and environment variables, which go before all of them.

use std::fs;
use std::io;
use std::num::NonZeroU16;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::args::Color;
use super::error::CommandError;
use crate::plan::source::Source;
use crate::transport::Means;

/// What a file may say. Every key is optional.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where runs live; a relative path counts from the file's folder.
    pub store: Option<PathBuf>,
    /// Who one is in the timeline. Of no use in a file that a team shares.
    pub name: Option<String>,
    pub color: Option<Color>,
    pub ascii: Option<bool>,
    /// Connections that may be opened at the same time.
    pub connections: Option<NonZeroU16>,
    /// By what hosts are reached.
    pub transport: Option<Means>,
    /// The program that takes mails, called as `sendmail` is; a relative path counts from the file's folder.
    pub sendmail: Option<PathBuf>,
}

/// One file that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Layer {
    file: PathBuf,
    settings: Settings,
}

/// All files that were found, the one that counts most first.
#[derive(Debug, Clone, Default)]
pub struct Layers(Vec<Layer>);

impl Layers {
    /// Reads the settings that hold for a plan, or for work in this folder where there is none.
    ///
    /// # Errors
    /// A file that cannot be read, that others may write, or that says what it cannot mean, with its line and column.
    pub fn read(plan: Option<&Path>) -> Result<Self, CommandError> {
        let here = std::env::current_dir()?;
        let start = plan.and_then(|file| here.join(file).parent().map(Path::to_owned)).unwrap_or(here);
        let project = start.ancestors().map(|dir| dir.join("runbook.toml")).find(|file| file.exists());
        let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let user = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")));
        let user = user.map(|dir| dir.join("runbook/config.toml"));
        let files = [project, user, Some(PathBuf::from("/etc/runbook/config.toml"))];
        files.into_iter().flatten().filter_map(|file| layer(file).transpose()).collect::<Result<_, _>>().map(Self)
    }

    /// The first value that a file gives, and that file.
    pub fn get<T>(&self, value: impl Fn(&Settings) -> Option<T>) -> Option<(T, &Path)> {
        self.0.iter().find_map(|layer| Some((value(&layer.settings)?, layer.file.as_path())))
    }

    /// The store's folder, and the file that names it.
    pub fn store(&self) -> Option<(PathBuf, &Path)> {
        self.path(|s| s.store.clone())
    }

    /// The program that takes mails, and the file that names it.
    pub fn sendmail(&self) -> Option<(PathBuf, &Path)> {
        self.path(|s| s.sendmail.clone())
    }

    fn path(&self, value: impl Fn(&Settings) -> Option<PathBuf>) -> Option<(PathBuf, &Path)> {
        let (path, file) = self.get(value)?;
        Some((file.parent().unwrap_or(Path::new("/")).join(path), file))
    }

    /// The files that were read.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(|layer| layer.file.as_path())
    }
}

fn layer(file: PathBuf) -> Result<Option<Layer>, CommandError> {
    let cannot = |e: &io::Error| CommandError::usage(format!("cannot read the settings {}: {e}", file.display()));
    let meta = match fs::metadata(&file) {
        Ok(meta) => meta,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(cannot(&e)),
    };
    if meta.mode() & 0o022 != 0 {
        let error = CommandError::refused(format!("others may change the settings {}", file.display()));
        return Err(error.hint(format!("chmod go-w {}", file.display())));
    }
    // A folder above may be anybody's, /tmp for one: whoever puts a file there must not choose where our runs live.
    if meta.uid() != 0 && meta.uid() != rustix::process::getuid().as_raw() {
        let error = CommandError::refused(format!("the settings {} belong to somebody else", file.display()));
        return Err(error.hint("copy what you want of them into a file of your own, nearer to the plan"));
    }
    let text = fs::read_to_string(&file).map_err(|e| cannot(&e))?;
    let settings = parse(&text, &file)?;
    Ok(Some(Layer { file, settings }))
}

fn parse(text: &str, file: &Path) -> Result<Settings, CommandError> {
    toml::from_str(text).map_err(|e: toml::de::Error| {
        let source = Source::new(file.display().to_string(), text);
        let (line, column) = source.line_column(e.span().map_or(0, |span| span.start));
        let why = e.message().lines().collect::<Vec<_>>().join("; ");
        CommandError::usage(format!("{}:{line}:{column}: {why}", file.display()))
            .hint("settings: store, name, color, ascii, connections, transport, sendmail")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn said(text: &str) -> String {
        let e = parse(text, Path::new("runbook.toml")).unwrap_err();
        assert_eq!(e.exit().code(), 2);
        e.message
    }

    #[test]
    fn mistakes_have_their_place() {
        assert!(said("ascii = true\nstor = \"x\"\n").starts_with("runbook.toml:2:1: unknown field `stor`"));
        assert!(said("connections = 0\n").starts_with("runbook.toml:1:15: "));
        assert!(said("color = \"red\"\n").starts_with("runbook.toml:1:9: unknown variant `red`"));
        assert!(said("name = \n").starts_with("runbook.toml:1:8: "));
    }

    #[test]
    fn the_file_nearest_to_the_plan_counts_and_paths_are_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let plans = dir.path().join("plans");
        fs::create_dir(&plans).unwrap();
        fs::write(dir.path().join("runbook.toml"), "store = \"runs\"\nconnections = 8\n").unwrap();
        let layers = Layers::read(Some(&plans.join("night.yaml"))).unwrap();
        let file = dir.path().join("runbook.toml");
        assert_eq!(layers.store(), Some((dir.path().join("runs"), file.as_path())));
        fs::write(plans.join("runbook.toml"), "connections = 4\n").unwrap();
        let layers = Layers::read(Some(&plans.join("night.yaml"))).unwrap();
        assert_eq!(layers.get(|s| s.connections).unwrap().0.get(), 4);
        assert_eq!(layers.store(), None, "one project file counts, not two");
    }

    #[test]
    fn settings_that_others_may_change_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("runbook.toml");
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(layer(file).unwrap_err().exit().code(), 3);
    }

    #[test]
    fn settings_of_somebody_else_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("runbook.toml");
        fs::write(&file, "").unwrap();
        if std::os::unix::fs::chown(&file, Some(65_534), None).is_err() {
            eprintln!("skipped: only root can give a file away");
            return;
        }
        assert!(layer(file).unwrap_err().message.contains("belong to somebody else"));
    }
}
