//! Writes what the runner is asked: an attempt as shell assignments on stdin. Knows nothing of connections.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::OnceLock;

use secrecy::{ExposeSecret, SecretSlice, SecretString};

use super::keeper::call::{self, Call};
use super::quote::{is_variable_name, quote};
use super::work::Text;
use crate::graph::ids::AttemptId;
use crate::graph::job::Job;

/// The runner, the same for every attempt.
const RUNNER: &str = include_str!("../../templates/remote/runner.sh");
/// Evaluates its first argument, which stays readable as `$R`.
const BOOT: &str = "R=$1; shift; eval \"$R\"";

/// What is asked of the runner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Launch,
    /// By the resolution procedure; what does not exist is made impossible.
    Ask,
    End,
    /// The rest of the output.
    Fetch,
}

/// What is the same for all requests of a run.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    pub run: String,
    pub epoch: u64,
    /// Directory of the records there; the runner's default where there is none.
    pub home: Option<String>,
    /// Whole seconds between TERM and KILL.
    pub grace: u64,
    pub head_cap: u64,
    pub tail_cap: u64,
}

/// The runner as it is sent: without comments and indentation, which the host would read each time.
fn runner() -> &'static str {
    static SENT: OnceLock<String> = OnceLock::new();
    SENT.get_or_init(|| {
        let lines = RUNNER.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.fold(String::with_capacity(RUNNER.len()), |text, line| text + line + "\n")
    })
}

/// The shell command that reads requests: `exec sh -c ...` for a login shell.
pub(super) fn remote_command(label: &str) -> String {
    format!("exec sh -c {} {} {}", quote(BOOT), quote(label), quote(runner()))
}

/// The same as arguments of `sh`.
pub(super) fn local_arguments(label: &str) -> [&str; 4] {
    ["-c", BOOT, label, runner()]
}

/// A request's text. It may hold secrets, so it is not printable.
pub(super) struct Request {
    nonce: String,
    bytes: SecretSlice<u8>,
}

impl Request {
    /// Asks about an attempt, or for more of its output from the given bytes of stdout and stderr on.
    pub(super) fn about(mode: Mode, terms: &Terms, attempt: &AttemptId, from: (u64, u64)) -> Self {
        let mut text = common(mode, terms, attempt);
        let _ = writeln!(text, "from_out={} from_err={}", from.0, from.1);
        Self::sealed(text)
    }

    /// Asks to start the job with these environment variables and this shell text, executed by `command`.
    pub(super) fn launch(terms: &Terms, job: &Job, start: &Start) -> Self {
        let mut text = common(Mode::Launch, terms, &job.attempt);
        let timeout = job.timeout.map(seconds).unwrap_or_default();
        let _ = writeln!(text, "timeout={timeout} payload={}", start.payload);
        let _ = writeln!(text, "as={}", quote(&start.sudo));
        let _ = writeln!(text, "dir={}", quote(&start.dir));
        let _ = writeln!(text, "script={}", quote(&start.script));
        let _ = writeln!(text, "command={}", quote(&start.command));
        let _ = writeln!(text, "payload_sha256={}", quote(&start.payload_sha256));
        let _ = writeln!(text, "environment={}", quote(start.environment.expose_secret()));
        Self::sealed(text)
    }

    /// Asks the keeper to start this shell text; `None` where its place cannot be named.
    pub(super) fn for_keeper(
        terms: &Terms,
        job: &Job,
        text: &Text<'_>,
        environment: &[(String, SecretString)],
    ) -> Option<Self> {
        let nonce = new_nonce();
        let attempt = format!("{}.{}", job.attempt.direction.as_str(), job.attempt.number);
        let call = Call {
            nonce: nonce.clone(),
            run: terms.run.clone(),
            action: job.attempt.action.as_str().to_owned(),
            home: home_here(terms.home.as_deref())?,
            epoch: terms.epoch,
            grace: terms.grace,
            head_cap: terms.head_cap,
            tail_cap: terms.tail_cap,
            cookie: cookie(&terms.run, job.attempt.action.as_str(), &attempt),
            attempt,
            timeout: job.timeout.and_then(|limit| u64::try_from(limit.as_millis()).ok()),
            dir: job.dir.clone()?,
            shell: text.shell.iter().map(|word| (*word).to_owned()).collect(),
            script: text.script.to_owned(),
            environment: environment.iter().map(|(n, v)| (n.clone(), v.expose_secret().to_owned())).collect(),
        };
        Some(Self { nonce, bytes: SecretSlice::from(call::write(&call)) })
    }

    /// Asks the machine itself: `mode` of the runner with these values.
    pub(super) fn errand(mode: &str, terms: &Terms, values: &[(&str, &str)]) -> Self {
        let mut text = format!("mode={mode} run={} action=. try=.\n", quote(&terms.run));
        let _ = writeln!(text, "home={} epoch={}", quote(terms.home.as_deref().unwrap_or("")), terms.epoch);
        for (name, value) in values {
            let _ = writeln!(text, "{name}={}", quote(value));
        }
        Self::sealed(text)
    }

    fn sealed(mut text: String) -> Self {
        let nonce = new_nonce();
        text.insert_str(0, &format!("{nonce}\n"));
        let _ = writeln!(text, "end {nonce}");
        Self { nonce, bytes: SecretSlice::from(text.into_bytes()) }
    }

    pub(super) fn nonce(&self) -> &str {
        &self.nonce
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.bytes.expose_secret().to_vec()
    }
}

/// How a job's command is started.
#[derive(Debug)]
pub(super) struct Start {
    /// Becomes the file `cmd` of the record.
    pub script: String,
    /// Shell text whose last word is an `exec`.
    pub command: String,
    /// `export` lines.
    pub environment: SecretString,
    /// Options of `sudo` for a command that is another user's.
    pub sudo: String,
    /// Entered before `command`.
    pub dir: String,
    /// Bytes that follow the request, and their checksum.
    pub payload: u64,
    pub payload_sha256: String,
}

fn common(mode: Mode, terms: &Terms, attempt: &AttemptId) -> String {
    let mode = match mode {
        Mode::Launch => "launch",
        Mode::Ask => "ask",
        Mode::End => "end_it",
        Mode::Fetch => "fetch",
    };
    let (run, action) = (&terms.run, attempt.action.as_str());
    let try_ = format!("{}.{}", attempt.direction.as_str(), attempt.number);
    let mut text = String::new();
    let _ = writeln!(text, "mode={mode} run={} action={} try={try_}", quote(run), quote(action));
    let _ = writeln!(
        text,
        "home={} epoch={} grace={}",
        quote(terms.home.as_deref().unwrap_or("")),
        terms.epoch,
        terms.grace
    );
    let _ = writeln!(text, "head_cap={} tail_cap={}", terms.head_cap, terms.tail_cap);
    let _ = writeln!(text, "cookie={}", quote(&cookie(run, action, &try_)));
    text
}

/// Marks every process of an attempt, in its environment.
fn cookie(run: &str, action: &str, attempt: &str) -> String {
    format!("{run}/{action}/{attempt}/")
}

fn new_nonce() -> String {
    format!("{:016x}{:016x}", super::random(), super::random())
}

/// Where records are on this machine, by the runner's rules.
fn home_here(given: Option<&str>) -> Option<String> {
    let chosen = given.map(PathBuf::from).or_else(|| {
        let named = std::env::var_os("RUNBOOK_HOME").filter(|home| !home.is_empty());
        named.map(PathBuf::from).or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".runbook")))
    })?;
    std::path::absolute(chosen).ok()?.to_str().map(str::to_owned)
}

/// `export` lines for the variables.
///
/// # Errors
/// A name or value that no process can be given.
pub(super) fn exports<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<SecretString, String> {
    let mut text = String::new();
    for (name, value) in variables {
        check_variable(name, value)?;
        let _ = writeln!(text, "export {name}={}", quote(value));
    }
    Ok(SecretString::from(text))
}

/// # Errors
/// A name or value that no process can be given.
pub(super) fn check_variable(name: &str, value: &str) -> Result<(), String> {
    if !is_variable_name(name) {
        return Err(format!("{name:?} cannot be the name of an environment variable"));
    }
    if value.contains('\0') {
        return Err(format!("the value of {name} holds a NUL byte"));
    }
    Ok(())
}

/// Seconds for `sleep`, with a fraction only where there is one.
fn seconds(limit: jiff::SignedDuration) -> String {
    match limit.subsec_millis() {
        0 => limit.as_secs().to_string(),
        millis => format!("{}.{millis:03}", limit.as_secs()),
    }
}
