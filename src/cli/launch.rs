//! Starting the engine of a run as a process of its own, and knowing that it lives. Knows nothing of what it does.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::context::Context;
use super::control;
use super::error::CommandError;
use super::exit::Exit;
use super::scout::{Engage, Scout};
use crate::driver::control::check_path;
use crate::engine::input::Operator;

/// How long an engine may take until it answers at its socket.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(10);
/// Bytes of the log that are shown when an engine is gone.
const TAIL: u64 = 4096;

/// Where the engine of a run writes what is wrong with itself.
#[must_use]
pub fn log_file(run_dir: &Path) -> PathBuf {
    run_dir.join("engine.log")
}

/// The control socket of a run, in a folder that is ours alone.
///
/// # Errors
/// When the path is too long for a socket, or the folder cannot be made.
fn socket(cx: &Context, run: &str, start: &Start<'_>) -> Result<PathBuf, CommandError> {
    // An engine that is replaced may still sit at its own.
    let name = start.resume.map_or_else(|| format!("{run}.sock"), |r| format!("{run}.{}.sock", r.epoch));
    let path = cx.runtime.join(name);
    check_path(&path).map_err(|why| {
        CommandError::refused(why).hint("use a shorter one:   XDG_RUNTIME_DIR=/run/user/$(id -u), or --store DIR")
    })?;
    crate::journal::private_folder(&cx.runtime)?;
    Ok(path)
}

/// How an engine is started.
#[derive(Debug, Default)]
pub struct Start<'a> {
    /// Added to its environment.
    pub environment: BTreeMap<String, String>,
    /// Asked of a finished run, instead of starting or resuming it.
    pub ask: Option<&'a Operator>,
    /// Becomes the engine, instead of a new process.
    pub scout: Option<Scout>,
    /// Takes the run over.
    pub resume: Option<&'a Resume>,
    /// Replaces the engine of this epoch although its lease lives.
    pub over: Option<u64>,
}

/// How a run is taken over.
#[derive(Debug, Clone)]
pub struct Resume {
    pub by: String,
    /// The epoch that the new engine will have.
    pub epoch: u64,
    /// Why an engine is replaced that may live.
    pub reason: Option<String>,
}

/// Starts the engine of `run` in a session of its own, away from this terminal, and waits until it answers.
///
/// # Errors
/// Says what its log says when it died or stayed silent.
pub fn start(cx: &Context, run: &str, run_dir: &Path, mut start: Start<'_>) -> Result<Child, CommandError> {
    let socket = socket(cx, run, &start)?;
    DirBuilder::new().recursive(true).mode(0o700).create(run_dir)?;
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open(log_file(run_dir))?;
    let before = log.metadata()?.len();
    let child = match start.scout.take() {
        Some(scout) => scout.engage(&Engage { run: run.to_owned(), socket: socket.clone(), log: log_file(run_dir) })?,
        None => spawn(cx, run, &socket, log, &start)?,
    };
    greet(child, run, &socket, || log_since(run_dir, before))
}

fn spawn(cx: &Context, run: &str, socket: &Path, log: File, start: &Start<'_>) -> Result<Child, CommandError> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--store").arg(&cx.store).args(["engine", "--run", run, "--socket"]).arg(socket);
    if let Some(operator) = start.ask {
        command.arg("--ask").arg(serde_json::to_string(operator).map_err(std::io::Error::other)?);
    }
    if let Some(resume) = start.resume {
        command.arg("--resume").arg("--by").arg(&resume.by);
        command.args(resume.reason.iter().flat_map(|why| ["--reason", why]));
    }
    command.args(start.over.iter().flat_map(|epoch| ["--over".to_owned(), epoch.to_string()]));
    let child = command
        .envs(&start.environment)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    Ok(child)
}

/// Waits until the new engine answers; `log` has what it wrote about itself.
fn greet(mut child: Child, run: &str, socket: &Path, log: impl Fn() -> Vec<String>) -> Result<Child, CommandError> {
    let began = Instant::now();
    loop {
        if control::hello(socket).is_ok_and(|hello| hello.run == run && hello.pid == child.id()) {
            return Ok(child);
        }
        if let Some(status) = child.try_wait()? {
            // A run of a few milliseconds may be over before it was greeted.
            if status.success() {
                return Ok(child);
            }
            let error = match status.code() {
                Some(code) if code == i32::from(Exit::Refused.code()) => {
                    CommandError::refused("the engine did not start")
                }
                _ => CommandError::unexpected(format!("the engine did not start ({status})")),
            };
            return Err(log().into_iter().fold(error, CommandError::hint));
        }
        if began.elapsed() > PATIENCE {
            // Ours, just started, and useless.
            let _ = child.kill();
            let _ = child.wait();
            let error = CommandError::unexpected("the engine does not answer at its socket");
            return Err(log().into_iter().fold(error, CommandError::hint));
        }
        std::thread::sleep(POLL);
    }
}

/// The last lines that an engine wrote about itself.
#[must_use]
pub fn log_tail(run_dir: &Path) -> Vec<String> {
    log_since(run_dir, 0)
}

/// The same, of what was written after the first `from` bytes.
fn log_since(run_dir: &Path, from: u64) -> Vec<String> {
    let read = || -> std::io::Result<String> {
        let mut file = std::fs::File::open(log_file(run_dir))?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL).max(from)))?;
        let mut bytes = Vec::new();
        file.take(TAIL).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let lines: Vec<String> = text.lines().map(crate::report::escape_for_terminal).collect();
    lines[lines.len().saturating_sub(12)..].to_vec()
}
