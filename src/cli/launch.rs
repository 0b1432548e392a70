//! Starting the engine of a run as a process of its own, and knowing that it lives. Knows nothing of what it does.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::context::Context;
use super::control;
use super::error::CommandError;
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
fn socket(cx: &Context, run: &str) -> Result<PathBuf, CommandError> {
    let path = cx.runtime.join(format!("{run}.sock"));
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
}

/// Starts the engine of `run` in a session of its own, away from this terminal, and waits until it answers.
///
/// # Errors
/// Says what its log says when it died or stayed silent.
pub fn start(cx: &Context, run: &str, run_dir: &Path, start: &Start<'_>) -> Result<Child, CommandError> {
    let socket = socket(cx, run)?;
    DirBuilder::new().recursive(true).mode(0o700).create(run_dir)?;
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open(log_file(run_dir))?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--store").arg(&cx.store).args(["engine", "--run", run, "--socket"]).arg(&socket);
    if let Some(operator) = start.ask {
        command.arg("--ask").arg(serde_json::to_string(operator).map_err(std::io::Error::other)?);
    }
    let mut child = command
        .envs(&start.environment)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    let began = Instant::now();
    loop {
        if control::hello(&socket).is_ok_and(|hello| hello.run == run) {
            return Ok(child);
        }
        if let Some(status) = child.try_wait()? {
            // A run of a few milliseconds may be over before it was greeted.
            if status.success() {
                return Ok(child);
            }
            return Err(failed(&format!("the engine did not start ({status})"), run_dir));
        }
        if began.elapsed() > PATIENCE {
            // Ours, just started, and useless.
            let _ = child.kill();
            let _ = child.wait();
            return Err(failed("the engine does not answer at its socket", run_dir));
        }
        std::thread::sleep(POLL);
    }
}

fn failed(why: &str, run_dir: &Path) -> CommandError {
    log_tail(run_dir).iter().fold(CommandError::unexpected(why), |error, line| error.hint(line.clone()))
}

/// The last lines that an engine wrote about itself.
#[must_use]
pub fn log_tail(run_dir: &Path) -> Vec<String> {
    let read = || -> std::io::Result<String> {
        let mut file = std::fs::File::open(log_file(run_dir))?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
        let mut bytes = Vec::new();
        file.take(TAIL).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let lines: Vec<String> = text.lines().map(crate::report::escape_for_terminal).collect();
    lines[lines.len().saturating_sub(12)..].to_vec()
}
