//! Whether the channels of a plan can work, as far as that can be seen before the night without telling anybody anything. Sends
//! nothing, and waits for no network longer than people would.

use std::net::ToSocketAddrs as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::channel::{mailer, name};
use crate::cli::preflight::{Finding, Verdict};
use crate::cli::programs::is_executable;
use crate::cli::setup::Setup;
use crate::plan::model::{Notify, Plan};
use crate::transport::host_of;

/// So long a name server may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// A line for each channel by which nobody would hear anything. The run does not depend on it.
#[must_use]
pub fn findings(plan: &Plan, setup: &Setup) -> Vec<Finding> {
    let told = plan.notify.iter().enumerate();
    let silent = told.filter_map(|(at, channel)| {
        let why = silent(&channel.by, setup)?;
        let text = format!("nobody will be told by {}: {why}", name(at + 1, &channel.by));
        Some(Finding { verdict: Verdict::Warn, text })
    });
    silent.collect()
}

fn silent(by: &Notify, setup: &Setup) -> Option<String> {
    match by {
        Notify::Webhook { url } => match host_of(url) {
            None => Some("its address cannot be read".to_owned()),
            Some(host) if !resolves(&host) => Some("the name of its host is not known here".to_owned()),
            Some(_) => None,
        },
        Notify::Command(text) => missing_program(text, setup.plan_dir()),
        Notify::Mail { .. } => match mailer(setup) {
            None => Some("there is no `sendmail` here; the setting `sendmail` names another program".to_owned()),
            Some(program) if !program.exists() => Some(format!("{} does not exist", program.display())),
            Some(_) => None,
        },
    }
}

/// Whether the name leads to an address. One that nobody answers for in time leads nowhere tonight either.
fn resolves(host: &str) -> bool {
    let (told, hears) = mpsc::channel();
    let host = host.trim_matches(['[', ']']).to_owned();
    // A name server that is silent for long keeps this thread, and nobody else.
    std::thread::spawn(move || {
        let found = (host.as_str(), 0).to_socket_addrs().is_ok_and(|mut all| all.next().is_some());
        let _ = told.send(found);
    });
    hears.recv_timeout(PATIENCE).unwrap_or(false)
}

/// The first word of the command, where it is a plain one that the shell does not find.
fn missing_program(text: &str, folder: &Path) -> Option<String> {
    let word = text.split_whitespace().next()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | '-' | '+');
    if !word.chars().all(plain) || word.starts_with('-') {
        return None;
    }
    let found = if word.contains('/') { is_executable(&folder.join(word)) } else { is_known_to_the_shell(word) };
    (!found).then(|| format!("there is no program `{word}`"))
}

/// A program in `PATH`, or something of the shell's own.
fn is_known_to_the_shell(word: &str) -> bool {
    let mut shell = Command::new("sh");
    shell.args(["-c", "command -v \"$0\"", word]);
    let found = shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    found.is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_of_a_command_must_be_there() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("page.sh"), "#!/bin/sh\n").unwrap();
        let missing = |text: &str| missing_program(text, dir.path());
        assert_eq!(missing("no-such-pager --now"), Some("there is no program `no-such-pager`".into()));
        assert_eq!(missing("./page.sh"), Some("there is no program `./page.sh`".into()), "nobody may execute it");
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(dir.path().join("page.sh"), executable).unwrap();
        for text in ["./page.sh --now", "cat > told", "if true; then cat; fi", "\"$PAGER\" x", "TO=me page", ""] {
            assert_eq!(missing(text), None, "{text}");
        }
    }

    #[test]
    fn names_that_lead_nowhere_are_seen() {
        assert!(resolves("127.0.0.1") && resolves("[::1]") && resolves("localhost"));
        assert!(!resolves("no-such-host.invalid"));
    }
}
