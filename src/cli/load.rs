//! Reads a plan and the files it names from disk. Knows nothing of what a plan means.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::context::Context;
use super::diagnostics;
use super::error::CommandError;
use super::history;
use super::inventory;
use super::review;
use crate::plan::diagnostic::{Diagnostic, sort};
use crate::plan::inventory::count;
use crate::plan::model::{FileFacts, FileKind, Plan, Value};
use crate::plan::source::{SIZE_LIMIT, Source};
use crate::plan::{Draft, FileProblem, Learnt, Outside, Places, Seen, Wanted, digest};

/// Templates and inventories are read as text; more is a mistake.
const TEXT_LIMIT: u64 = 16 << 20;
/// Files in one copied directory.
const ENTRY_LIMIT: usize = 100_000;

/// A plan without errors, and everything that was read with it.
#[derive(Debug)]
pub struct Loaded {
    pub plan: Plan,
    pub source: Source,
    pub places: Places,
    /// Warnings only, sorted by place.
    pub diagnostics: Vec<Diagnostic>,
    /// Lower-case hex SHA-256 of the resolved plan.
    pub digest: String,
    /// Where each file that the plan names was found, by the path as the plan writes it.
    pub paths: BTreeMap<String, PathBuf>,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("plan {0} not found")]
    NotFound(PathBuf),
    #[error("{path} is {what}, not a plan")]
    NotAFile { path: PathBuf, what: &'static str },
    #[error("plan {path} is {size} bytes, larger than the limit of {limit} MB", limit = .limit >> 20)]
    TooLarge { path: PathBuf, size: u64, limit: u64 },
    #[error("plan {path} can be changed by others (mode {mode:04o})")]
    OpenToOthers { path: PathBuf, mode: u32 },
    #[error("cannot read plan {path}")]
    Unreadable { path: PathBuf, source: io::Error },
    /// At least one error among them.
    #[error("the plan has errors")]
    Invalid { text: Source, diagnostics: Vec<Diagnostic> },
}

/// Reads the plan at `path` and the files it names. `vars` go before the plan's own.
///
/// # Errors
/// When the file cannot be read, or the plan has errors.
pub fn load(path: &Path, vars: &[(String, Value)]) -> Result<Loaded, LoadError> {
    load_knowing(path, vars, |_, _| BTreeMap::new())
}

/// The same; `known` says what earlier runs of the plan, by its stem and name, know of steps without an estimate.
///
/// # Errors
/// Those of [`load`].
pub fn load_knowing(
    path: &Path,
    vars: &[(String, Value)],
    known: impl FnOnce(&str, &str) -> BTreeMap<String, Learnt>,
) -> Result<Loaded, LoadError> {
    let bytes = read_plan(path)?;
    let name = path.display().to_string();
    let source = Source::from_bytes(name, &bytes).map_err(|wrong| {
        let (text, found) = *wrong;
        LoadError::Invalid { text, diagnostics: vec![found] }
    })?;
    drop(bytes);
    let draft = Draft::read(&source);
    let mut paths = BTreeMap::new();
    let files = look(path, &draft.wanted(), &mut paths);
    let inventory = draft.inventory().map(|wish| inventory::fetch(path, wish, &files)).unwrap_or_default();
    let learnt = match draft.might_learn() {
        (_, steps) if steps.is_empty() => BTreeMap::new(),
        (name, steps) => {
            let mut learnt = known(&stem(path), name);
            learnt.retain(|step, _| steps.contains(step.as_str()));
            learnt
        }
    };
    let outside = Outside { stem: stem(path), vars: vars.to_vec(), files, inventory, learnt };
    let checked = draft.check(&outside);
    match checked.plan {
        Some(plan) => {
            let digest = digest(&as_written(&plan, &outside));
            Ok(Loaded { plan, places: checked.places, diagnostics: checked.diagnostics, digest, paths, source })
        }
        None => {
            let mut diagnostics = checked.diagnostics;
            diagnostics.extend(checked.sketch.iter().flat_map(|plan| review::times(plan, &checked.places, &source)));
            sort(&mut diagnostics);
            Err(LoadError::Invalid { diagnostics, text: source })
        }
    }
}

/// The plan without what earlier runs know: the digest is of what people wrote.
fn as_written<'a>(plan: &'a Plan, outside: &Outside) -> Cow<'a, Plan> {
    if outside.learnt.is_empty() {
        return Cow::Borrowed(plan);
    }
    let mut plan = plan.clone();
    for step in plan.steps.values_mut().filter(|step| outside.learnt.contains_key(&step.id)) {
        step.estimate = None;
    }
    Cow::Owned(plan)
}

/// Like [`load`], with what earlier runs know, for commands other than `check`: findings are printed to stderr.
///
/// # Errors
/// What [`load`] says, as an error of the command.
pub fn load_or_report(path: &Path, vars: &[(String, Value)], cx: &Context) -> Result<Loaded, CommandError> {
    load_knowing(path, vars, |stem, name| history::learnt(cx, stem, name)).map_err(|e| {
        if let LoadError::Invalid { text: source, diagnostics } = &e {
            diagnostics::print_to_stderr(source, diagnostics, cx);
            let errors = diagnostics.iter().filter(|d| d.is_error()).count();
            return CommandError::usage(format!("{} in {}", count(errors, "error"), source.name));
        }
        e.into()
    })
}

impl From<LoadError> for CommandError {
    fn from(e: LoadError) -> Self {
        let message = e.to_string();
        match e {
            LoadError::NotFound(path) => Self::usage(message).hint(similar(&path)),
            LoadError::OpenToOthers { path, .. } => Self::refused(message)
                .hint("what was reviewed must be what runs")
                .hint(format!("chmod go-w {}", path.display())),
            LoadError::Unreadable { source, .. } => Self::usage(format!("{message}: {source}")),
            LoadError::TooLarge { .. } => {
                Self::usage(message).hint("set RUNBOOK_PLAN_LIMIT to more bytes if that is meant")
            }
            LoadError::NotAFile { .. } | LoadError::Invalid { .. } => Self::usage(message),
        }
    }
}

/// What else could have been meant by a path that does not exist.
fn similar(path: &Path) -> String {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let names =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.file_name().to_string_lossy().into_owned());
    let mut plans: Vec<String> = names.filter(|n| n.ends_with(".yaml") || n.ends_with(".yml")).collect();
    plans.sort();
    let wanted = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    match crate::plan::nearest(&wanted, plans.iter().map(String::as_str)) {
        Some(near) => format!("did you mean {}?", folder.join(near).display()),
        None if plans.is_empty() => "write one with `runbook new NAME.yaml`".into(),
        None => format!("plans there: {}", plans.iter().take(8).cloned().collect::<Vec<_>>().join(", ")),
    }
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// The plan's bytes; looked at before it is opened, so that nothing hangs and nothing huge is read.
fn read_plan(path: &Path) -> Result<Vec<u8>, LoadError> {
    let unreadable = |source: io::Error| LoadError::Unreadable { path: path.into(), source };
    let meta = fs::metadata(path).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => LoadError::NotFound(path.into()),
        _ => unreadable(e),
    })?;
    if !meta.is_file() {
        return Err(LoadError::NotAFile { path: path.into(), what: kind_name(&meta) });
    }
    let limit = std::env::var("RUNBOOK_PLAN_LIMIT").ok().and_then(|v| v.parse().ok()).unwrap_or(SIZE_LIMIT);
    if meta.len() > limit {
        return Err(LoadError::TooLarge { path: path.into(), size: meta.len(), limit });
    }
    if meta.mode() & 0o022 != 0 {
        return Err(LoadError::OpenToOthers { path: path.into(), mode: meta.mode() & 0o7777 });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or(0));
    File::open(path).and_then(|f| f.take(limit + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    Ok(bytes)
}

fn kind_name(meta: &fs::Metadata) -> &'static str {
    let kind = meta.file_type();
    match () {
        () if kind.is_dir() => "a directory",
        () if kind.is_fifo() => "a pipe",
        () if kind.is_socket() => "a socket",
        () if kind.is_char_device() || kind.is_block_device() => "a device",
        () => "something else",
    }
}

/// Looks at every wanted file once.
fn look(
    plan: &Path,
    wanted: &[Wanted<'_>],
    paths: &mut BTreeMap<String, PathBuf>,
) -> BTreeMap<String, Result<Seen, FileProblem>> {
    let mut seen = BTreeMap::new();
    for one in wanted {
        let found = candidates(plan, *one).into_iter().find(|p| fs::symlink_metadata(p).is_ok());
        let facts = match found {
            Some(path) => {
                let facts = look_at(&path, *one);
                paths.insert(one.path().to_string(), path);
                facts
            }
            None => Err(FileProblem::Missing(candidates(plan, *one).iter().map(|p| p.display().to_string()).collect())),
        };
        seen.insert(one.path().to_string(), facts);
    }
    seen
}

fn candidates(plan: &Path, wanted: Wanted<'_>) -> Vec<PathBuf> {
    let beside = plan.parent().unwrap_or(Path::new(""));
    match wanted {
        Wanted::Template(path) => {
            let above = beside.parent().map_or_else(|| beside.join(".."), Path::to_path_buf);
            vec![beside.join("templates").join(path), above.join("templates").join(path)]
        }
        Wanted::Script(path) | Wanted::Copy(path) | Wanted::Inventory(path) => vec![beside.join(path)],
    }
}

fn look_at(path: &Path, wanted: Wanted<'_>) -> Result<Seen, FileProblem> {
    let unreadable = |e: io::Error| FileProblem::Unreadable(e.to_string());
    let meta = fs::metadata(path).map_err(unreadable)?;
    if meta.is_dir() && matches!(wanted, Wanted::Copy(_)) {
        return Ok(Seen { facts: directory_facts(path).map_err(unreadable)?, text: None });
    }
    if meta.is_dir() && matches!(wanted, Wanted::Inventory(_)) {
        // What is in it is read as an inventory; nothing else is to be known of it.
        return Ok(Seen { facts: Content::default().facts(FileKind::Directory, &meta), text: None });
    }
    if !meta.is_file() {
        return Err(FileProblem::NotRegular(kind_name(&meta)));
    }
    if !matches!(wanted, Wanted::Template(_) | Wanted::Inventory(_)) {
        return Ok(Seen { facts: file_facts(path, &meta).map_err(unreadable)?, text: None });
    }
    if meta.len() > TEXT_LIMIT {
        return Err(FileProblem::TooLarge(TEXT_LIMIT));
    }
    let bytes = fs::read(path).map_err(unreadable)?;
    let mut content = Content::default();
    content.add(&bytes);
    let text = String::from_utf8(bytes).map_err(|_| FileProblem::NotText)?;
    let mut facts = content.facts(FileKind::File, &meta);
    // A template is frozen with the plan, so that rendering needs no disk.
    facts.text = matches!(wanted, Wanted::Template(_)).then(|| text.clone());
    Ok(Seen { facts, text: Some(text) })
}

/// What is counted while content passes by.
#[derive(Default)]
struct Content {
    hasher: Sha256,
    size: u64,
    line_ends: u64,
    last: Option<u8>,
}

impl Content {
    fn add(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        self.line_ends += bytes.iter().filter(|b| **b == b'\n').count() as u64;
        self.last = bytes.last().copied().or(self.last);
    }

    fn facts(self, kind: FileKind, meta: &fs::Metadata) -> FileFacts {
        let unfinished = u64::from(self.last.is_some_and(|b| b != b'\n'));
        FileFacts {
            kind,
            size: self.size,
            sha256: hex(&self.hasher.finalize()),
            lines: self.line_ends + unfinished,
            executable: meta.mode() & 0o111 != 0,
            text: None,
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn file_facts(path: &Path, meta: &fs::Metadata) -> io::Result<FileFacts> {
    let mut file = File::open(path)?;
    let mut content = Content::default();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(content.facts(FileKind::File, meta)),
            n => content.add(&buffer[..n]),
        }
    }
}

/// The checksum of a directory is that of its listing: mode, checksum and path of every entry, sorted by path.
fn directory_facts(root: &Path) -> io::Result<FileFacts> {
    let mut open = vec![root.to_path_buf()];
    let mut listing = Vec::new();
    let (mut size, mut lines) = (0, 0);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let meta = fs::symlink_metadata(&path)?;
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            let mode = meta.mode() & 0o7777;
            if meta.is_dir() {
                listing.push(format!("{name}\0{mode:04o} directory"));
                open.push(path);
            } else if meta.is_file() {
                let facts = file_facts(&path, &meta)?;
                size += facts.size;
                lines += facts.lines;
                listing.push(format!("{name}\0{mode:04o} {}", facts.sha256));
            } else {
                let message = format!(
                    "{} is {}, which cannot be copied",
                    path.display(),
                    if meta.is_symlink() { "a link" } else { kind_name(&meta) }
                );
                return Err(io::Error::other(message));
            }
            if listing.len() > ENTRY_LIMIT {
                return Err(io::Error::other(format!("more than {ENTRY_LIMIT} files in it")));
            }
        }
    }
    listing.sort_unstable();
    let sha256 = hex(&Sha256::digest(listing.join("\n")));
    Ok(FileFacts { kind: FileKind::Directory, size, sha256, lines, executable: false, text: None })
}
