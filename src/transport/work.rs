//! Turns a job's work into what the runner executes: a script, the command that executes it, a payload. Knows nothing of
//! connections.

use std::path::Path;

use secrecy::{ExposeSecret, SecretString};

use super::files::Payload;
use super::quote::quote;
use super::request::Start;
use crate::graph::ids::AttemptId;
use crate::graph::job::{Content, Job, Site, Work};

const PUT: &str = include_str!("../../templates/remote/put.sh");
const RESTORE: &str = include_str!("../../templates/remote/restore.sh");
const REBOOT: &str = include_str!("../../templates/remote/reboot.sh");
/// Reads a text from stdin and evaluates it, in the shell of another user, whose command then reads nothing.
const AS_OTHER: &str = "P=$(cat); exec </dev/null; eval \"$P\"";

/// A text and the POSIX shell that reads it.
#[derive(Debug)]
pub(super) struct Text<'a> {
    pub shell: Vec<&'a str>,
    pub script: &'a str,
}

/// The job, where it is one that the keeper can start: a text for a POSIX shell, on this machine, as ourselves.
pub(super) fn for_keeper(job: &Job) -> Option<Text<'_>> {
    let Work::Shell(script) = &job.work else { return None };
    let shell: Vec<&str> = shell_of(job);
    let posix = ["sh", "dash", "bash", "/bin/sh", "/bin/dash", "/bin/bash"].contains(shell.first()?);
    // Options that name no file and read no input: anything else is the runner's.
    let plain = shell
        .iter()
        .skip(1)
        .all(|word| word.starts_with('-') && !word.contains(['c', 's', 'i']) || *word == "pipefail");
    (job.site == Site::Controller && !as_other(job) && posix && plain).then_some(Text { shell, script })
}

fn shell_of(job: &Job) -> Vec<&str> {
    job.shell.as_deref().unwrap_or("sh -eu").split_whitespace().collect()
}

/// How to start the job, and what follows the request.
///
/// # Errors
/// Why the job cannot be started: a file that is gone or has changed since it was approved, or work that makes no sense.
pub(super) async fn start(
    job: &Job,
    environment: SecretString,
    plan_dir: &Path,
) -> Result<(Start, Option<Payload>), String> {
    let shell = shell_of(job);
    match &job.work {
        Work::Shell(text) => Ok((from_text(job, environment, &shell, text)?, None)),
        Work::Script { src, sha256 } => script(job, environment, &shell, &plan_dir.join(src), src, sha256).await,
        Work::Put { content, dest, mode, owner } => {
            let payload = load(content, plan_dir).await?;
            let directory = matches!(content, Content::FromDisk { directory: true, .. });
            let settings = [
                ("RB_DEST", confined(dest)?.to_owned()),
                ("RB_KIND", if directory { "directory" } else { "file" }.to_owned()),
                ("RB_SHA256", payload.sha256.clone()),
                ("RB_MODE", mode.map(|m| format!("{m:o}")).unwrap_or_default()),
                ("RB_OWNER", owner.clone().unwrap_or_default()),
            ];
            let start = built_in(job, PUT, &settings, "\"$d\"", Some(&payload))?;
            Ok((start, Some(payload)))
        }
        Work::Restore { dest, replaced_by } => {
            let settings = [("RB_DEST", confined(dest)?.to_owned())];
            let names: Vec<String> = replaced_by.iter().map(|a| quote(&record_of(a))).collect();
            Ok((built_in(job, RESTORE, &settings, &format!("\"$r\" {}", names.join(" ")), None)?, None))
        }
        Work::Reboot => Ok((from_text(job, environment, &["sh", "-eu"], REBOOT)?, None)),
        Work::Http(_) => Err("a request is not made by a shell".into()),
    }
}

/// A shell text of the plan, executed by `shell` as the job's user.
fn from_text(job: &Job, environment: SecretString, shell: &[&str], text: &str) -> Result<Start, String> {
    let words: Vec<String> = shell.iter().map(|w| quote(w)).collect();
    let words = words.join(" ");
    if !as_other(job) {
        let command = format!("exec setsid {words} \"$d/cmd\"");
        return Ok(Start { dir: job.dir.clone().unwrap_or_default(), ..plain(text.to_owned(), command, environment) });
    }
    // The other user cannot look into the record, and sudo drops the environment: both travel through a pipe.
    let dir = job.dir.as_ref().map(|dir| format!("cd -- {} || exit 126\n", quote(dir))).unwrap_or_default();
    let inner = format!(
        "{}export RUNBOOK_OUTPUT RUNBOOK_COOKIE\n{dir}S={}\nexec {words} /dev/fd/3 3<<RUNBOOK_END\n$S\nRUNBOOK_END\n",
        environment.expose_secret(),
        quote(text),
    );
    // `inner` is evaluated by the other user's shell; here it is only a value.
    let environment = SecretString::from(format!(
        "P=\"RUNBOOK_OUTPUT='$RUNBOOK_OUTPUT' RUNBOOK_COOKIE='$RUNBOOK_COOKIE'\n\"{}\n",
        quote(&inner)
    ));
    let sudo = sudo_options(job)?;
    let command = format!("exec setsid sudo {sudo} sh -c {} <<RUNBOOK_END\n$P\nRUNBOOK_END\n", quote(AS_OTHER));
    Ok(Start { sudo, ..plain(String::new(), command, environment) })
}

/// A file of the plan, executed by the interpreter it names in its first line, or by the job's shell.
async fn script(
    job: &Job,
    environment: SecretString,
    shell: &[&str],
    path: &Path,
    src: &str,
    sha256: &str,
) -> Result<(Start, Option<Payload>), String> {
    let mut payload = checked(Payload::file(path).await.map_err(|e| unreadable(src, &e))?, src, sha256)?;
    let first = payload.first_line().await.map_err(|e| unreadable(src, &e))?;
    let interpreter: Vec<&str> = match first.strip_prefix("#!") {
        // The rest of a first line is one argument, as the kernel has it.
        Some(line) => line.trim().splitn(2, char::is_whitespace).map(str::trim).filter(|w| !w.is_empty()).collect(),
        None => shell.to_vec(),
    };
    if interpreter.is_empty() {
        return Err(format!("{src} names no interpreter in its first line"));
    }
    if as_other(job) {
        let text = payload.into_text().await.map_err(|e| unreadable(src, &e))?;
        let text = text.ok_or_else(|| format!("{src} is not a text, so it cannot be handed to another user"))?;
        return Ok((from_text(job, environment, &interpreter, &text)?, None));
    }
    let words: Vec<String> = interpreter.iter().map(|w| quote(w)).collect();
    let command = format!("exec setsid {} \"$d/payload\"", words.join(" "));
    let dir = job.dir.clone().unwrap_or_default();
    let start = Start {
        dir,
        payload: payload.length,
        payload_sha256: payload.sha256.clone(),
        ..plain(String::new(), command, environment)
    };
    Ok((start, Some(payload)))
}

/// A text of ours, executed as the login user or as root.
fn built_in(
    job: &Job,
    text: &str,
    settings: &[(&str, String)],
    arguments: &str,
    payload: Option<&Payload>,
) -> Result<Start, String> {
    if job.user.as_deref().is_some_and(|user| user != "root") {
        return Err("files are put in place by the login user or by root (sudo); `owner` says whose they are".into());
    }
    if settings.iter().any(|(_, value)| value.contains('\0')) {
        return Err("a path holds a NUL byte".into());
    }
    let id = record_of(&job.attempt);
    let assignments: Vec<String> = settings
        .iter()
        .map(|(name, value)| format!("{name}={}", quote(value)))
        .chain([format!("RB_ID={}", quote(&id))])
        .collect();
    let script = format!("{}\n{text}", assignments.join("\n"));
    let sudo = if as_other(job) { sudo_options(job)? } else { String::new() };
    let program = if sudo.is_empty() { "sh -eu".to_owned() } else { format!("sudo {sudo} sh -eu") };
    let command = format!("exec </dev/null setsid {program} \"$d/cmd\" {arguments}");
    Ok(Start {
        sudo,
        payload: payload.map_or(0, |p| p.length),
        payload_sha256: payload.map(|p| p.sha256.clone()).unwrap_or_default(),
        ..plain(script, command, SecretString::from(String::new()))
    })
}

fn plain(script: String, command: String, environment: SecretString) -> Start {
    Start {
        script,
        command,
        environment,
        sudo: String::new(),
        dir: String::new(),
        payload: 0,
        payload_sha256: String::new(),
    }
}

fn as_other(job: &Job) -> bool {
    job.sudo || job.user.is_some()
}

/// Words after `sudo`, none of which needs quoting.
fn sudo_options(job: &Job) -> Result<String, String> {
    let Some(user) = &job.user else { return Ok("-n".to_owned()) };
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if user.is_empty() || user.starts_with('-') || !user.chars().all(plain) {
        return Err(format!("{user:?} is not the name of a user"));
    }
    Ok(format!("-n -u {user}"))
}

/// Name of an attempt's record below its run.
fn record_of(attempt: &AttemptId) -> String {
    format!("{}.{}.{}", attempt.action.as_str(), attempt.direction.as_str(), attempt.number)
}

async fn load(content: &Content, plan_dir: &Path) -> Result<Payload, String> {
    match content {
        Content::Text(text) => Ok(Payload::text(text.clone())),
        // What a directory's checksum covers is the plan's business; its archive is checked on arrival.
        Content::FromDisk { src, directory: true, .. } => {
            Payload::directory(&plan_dir.join(src)).await.map_err(|e| unreadable(src, &e))
        }
        Content::FromDisk { src, sha256, .. } => {
            checked(Payload::file(&plan_dir.join(src)).await.map_err(|e| unreadable(src, &e))?, src, sha256)
        }
    }
}

fn checked(payload: Payload, src: &str, sha256: &str) -> Result<Payload, String> {
    if payload.sha256 == sha256 {
        return Ok(payload);
    }
    Err(format!("{src} has changed since the plan was approved"))
}

fn unreadable(src: &str, error: &std::io::Error) -> String {
    format!("{src} cannot be read: {error}")
}

/// Destinations are absolute and stay where they say.
fn confined(dest: &str) -> Result<&str, String> {
    let steps = dest.split('/').any(|part| part == "..");
    if dest.starts_with('/') && !steps && !dest.ends_with('/') && !dest.contains('\0') {
        return Ok(dest);
    }
    Err(format!("{dest:?} is not an absolute path of a file"))
}
