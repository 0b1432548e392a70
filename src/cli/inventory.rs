//! Fetches an inventory: a file, or what a command prints, and the `group_vars/` and `host_vars/` beside it. Knows nothing of
//! what is in them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use jiff::SignedDuration;

use crate::plan::inventory::{VarsFile, VarsOf};
use crate::plan::source::Source;
use crate::plan::{CommandProblem, FileProblem, InventoryTexts, InventoryWish, Seen};

/// A command that prints more than this prints something else than an inventory.
const OUTPUT_LIMIT: u64 = 64 << 20;
/// What is shown of the end of a failed command's stderr.
const SAID_LINES: usize = 10;
const SAID_BYTES: usize = 64 << 10;
/// How often an ended command is looked for once it has closed its output.
const POLL: Duration = Duration::from_millis(5);
/// What Ansible looks for, in this order: the first that exists counts.
const EXTENSIONS: [&str; 4] = ["", "yml", "yaml", "json"];

/// What Ansible passes over in a folder of inventories: by name, and by the end of the name.
const NOT_THERE: [&str; 3] = ["group_vars", "host_vars", "vars_plugins"];
const COPIES: [&str; 12] =
    [".pyc", ".pyo", ".swp", ".bak", "~", ".rpm", ".md", ".txt", ".rst", ".orig", ".cfg", ".retry"];

/// Everything that the inventory of the plan at `plan` consists of. `seen` is what was seen of the plan's files.
pub fn fetch(
    plan: &Path,
    wish: InventoryWish<'_>,
    seen: &BTreeMap<String, Result<Seen, FileProblem>>,
) -> InventoryTexts {
    let beside = plan.parent().unwrap_or(Path::new(""));
    let mut texts = InventoryTexts::default();
    let folder = match wish {
        InventoryWish::File(file) => {
            let path = beside.join(file);
            if path.is_dir() {
                texts.problem = in_folder(&path, &mut texts.texts).err();
                path
            } else {
                let text = seen.get(file).and_then(|seen| seen.as_ref().ok()?.text.as_deref());
                texts.texts.extend(text.map(|text| Arc::new(source(&path, text))));
                path.parent().unwrap_or(Path::new("")).to_owned()
            }
        }
        InventoryWish::Command { run, timeout } => {
            match output_of(run, beside, timeout) {
                Ok(text) => texts.texts.push(Arc::new(Source::new(format!("output of `{run}`"), text))),
                Err(problem) => texts.problem = Some(problem),
            }
            beside.to_owned()
        }
    };
    for (name, of) in [("group_vars", VarsOf::Group), ("host_vars", VarsOf::Host)] {
        if let Err(problem) = vars(&folder.join(name), of, &mut texts.vars) {
            texts.problem.get_or_insert(problem);
        }
    }
    texts
}

fn source(path: &Path, text: &str) -> Source {
    Source::new(path.display().to_string(), text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// The inventories of a folder, and of the folders in it, in the order of their names: as Ansible reads them.
fn in_folder(folder: &Path, texts: &mut Vec<Arc<Source>>) -> Result<(), CommandProblem> {
    read_folder(folder, texts)?;
    if texts.is_empty() { Err(CommandProblem::EmptyFolder) } else { Ok(()) }
}

fn read_folder(folder: &Path, texts: &mut Vec<Arc<Source>>) -> Result<(), CommandProblem> {
    let unreadable = |path: &Path, e: io::Error| CommandProblem::InFolder(format!("{}: {e}", path.display()));
    let read =
        fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(|e| unreadable(folder, e))?;
    let mut paths: Vec<PathBuf> =
        read.into_iter().map(|entry| entry.path()).filter(|path| !is_passed_over(path)).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            read_folder(&path, texts)?;
        } else {
            let text = fs::read_to_string(&path).map_err(|e| unreadable(&path, e))?;
            texts.push(Arc::new(source(&path, &text)));
        }
    }
    Ok(())
}

/// What is no inventory in a folder of inventories.
fn is_passed_over(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with('.') || NOT_THERE.contains(&&*name) || COPIES.iter().any(|end| name.ends_with(end))
}

/// The files of `group_vars/` or `host_vars/`, as Ansible finds them: `NAME`, `NAME.yml`, `NAME.yaml`, `NAME.json`, or a
/// folder `NAME` with files in it.
fn vars(folder: &Path, of: VarsOf, into: &mut Vec<VarsFile>) -> Result<(), CommandProblem> {
    let mut found: BTreeMap<String, (usize, PathBuf)> = BTreeMap::new();
    for path in entries(folder)? {
        let file_name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (name, rank) = match file_name.rsplit_once('.') {
            Some((name, extension)) if !path.is_dir() && EXTENSIONS[1..].contains(&extension) => {
                (name.to_owned(), EXTENSIONS.iter().position(|e| *e == extension).unwrap_or(0))
            }
            _ => (file_name, 0),
        };
        if found.get(&name).is_none_or(|(before, _)| rank < *before) {
            found.insert(name, (rank, path));
        }
    }
    for (name, (_, path)) in found {
        let mut files = Vec::new();
        collect(&path, &mut files)?;
        for path in files {
            let text = fs::read_to_string(&path).map_err(|e| unreadable(&path, &e))?;
            into.push(VarsFile { of, name: name.clone(), text: Arc::new(source(&path, &text)) });
        }
    }
    Ok(())
}

/// A file, or the files of a folder and of those below it.
fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), CommandProblem> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in entries(path)? {
        let extension = entry.extension().map(|e| e.to_string_lossy().into_owned()).unwrap_or_default();
        if entry.is_dir() && extension.is_empty() || entry.is_file() && EXTENSIONS.contains(&extension.as_str()) {
            collect(&entry, files)?;
        }
    }
    Ok(())
}

/// What is in a folder, sorted; hidden files and editors' copies left out. Nothing where there is no such folder.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, CommandProblem> {
    let read = match fs::read_dir(folder) {
        Ok(read) => read,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(Vec::new()),
        Err(e) => return Err(unreadable(folder, &e)),
    };
    let mut paths = Vec::new();
    for entry in read {
        let entry = entry.map_err(|e| unreadable(folder, &e))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && !name.ends_with('~') {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

fn unreadable(path: &Path, e: &io::Error) -> CommandProblem {
    CommandProblem::Vars(format!("{}: {e}", path.display()))
}

/// What `sh -c COMMAND` prints in `folder`. The command and all that it started are killed when it takes too long.
fn output_of(command: &str, folder: &Path, limit: SignedDuration) -> Result<String, CommandProblem> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let deadline = Instant::now() + Duration::try_from(limit).unwrap_or_default();
    let mut child = Command::new("sh")
        .args(["-c", command])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|e| CommandProblem::CannotStart(e.to_string()))?;
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(CommandProblem::CannotStart("no pipe".into()));
    };
    // Each sends once, so neither can be held up by a channel that nobody reads.
    let (out, printed) = mpsc::channel();
    let (err, said) = mpsc::channel();
    thread::spawn(move || out.send(all(stdout)));
    thread::spawn(move || err.send(tail(stderr)));
    let left = || deadline.saturating_duration_since(Instant::now());
    let printed = printed.recv_timeout(left());
    let status = if printed.is_ok() { ended(&mut child, deadline) } else { None };
    if status.is_none() {
        if let Some(group) = rustix::process::Pid::from_raw(child.id().cast_signed()) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = child.wait();
    }
    let said = said.recv_timeout(Duration::from_secs(1)).unwrap_or_default();
    match (status, printed) {
        (None, _) | (_, Err(_)) => Err(CommandProblem::TimedOut { limit, said }),
        (Some(status), Ok(_)) if !status.success() => Err(CommandProblem::Failed { end: how(status), said }),
        (_, Ok(None)) => Err(CommandProblem::TooMuch(OUTPUT_LIMIT)),
        (_, Ok(Some(bytes))) => String::from_utf8(bytes).map_err(|_| CommandProblem::NotText),
    }
}

fn ended(child: &mut Child, deadline: Instant) -> Option<ExitStatus> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < deadline => thread::sleep(POLL),
            _ => return None,
        }
    }
}

/// Everything, or `None` when it is more than the limit; the rest is read and dropped, so that the command can end.
fn all(mut from: impl Read) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let _ = from.by_ref().take(OUTPUT_LIMIT + 1).read_to_end(&mut bytes);
    let fits = bytes.len() as u64 <= OUTPUT_LIMIT;
    let _ = io::copy(&mut from, &mut io::sink());
    fits.then_some(bytes)
}

/// The last lines, as text.
fn tail(mut from: impl Read) -> String {
    let (mut kept, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        kept.extend_from_slice(&buffer[..n]);
        let excess = kept.len().saturating_sub(SAID_BYTES);
        kept.drain(..excess);
    }
    let text = String::from_utf8_lossy(&kept);
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(SAID_LINES)..].join("\n")
}

fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "ended".into(),
    }
}
