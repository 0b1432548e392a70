//! Which key a host offers when its key is not known, so that a person can compare it. Accepts nothing, sends no command.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

/// What `ssh` says in its verbose output when the key has come: the type and the fingerprint follow.
const OFFERED: &str = "Server host key: ";
/// What stands before the name under which `known_hosts` would have the key.
const WANTED: &str = "host key is known for ";

/// What to say of a host whose key is not known: the fingerprint that it offers, and how to add the key after comparing
/// it. `refused` is what ssh said when it refused the host; `config` is the configuration that it was asked with.
pub(super) async fn advice(config: &Path, host: &str, refused: &str) -> String {
    let asked = Command::new("ssh")
        .arg("-v")
        .arg("-F")
        .arg(config)
        .args(["-o", "ControlPath=none", "-o", "ConnectTimeout=10", "--", host, ":"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .await;
    let said = asked.map(|output| String::from_utf8_lossy(&output.stderr).into_owned()).unwrap_or_default();
    heard(refused, &said)
}

fn heard(refused: &str, said: &str) -> String {
    // A jump host says its own key first.
    let offered = said.lines().rev().find_map(|line| line.split_once(OFFERED)).map(|(_, key)| key.trim());
    words(refused.split_once(WANTED).and_then(|(_, rest)| rest.split_whitespace().next()).unwrap_or("it"), offered)
}

/// The same in words: `name` is the one under which `known_hosts` would have the key.
pub(super) fn words(name: &str, offered: Option<&str>) -> String {
    let offered = offered.map_or_else(String::new, |key| format!("; it offers {key}"));
    let scan = match name.strip_prefix('[').and_then(|rest| rest.split_once("]:")) {
        Some((address, port)) => format!("ssh-keyscan -p {port} {address}"),
        None => format!("ssh-keyscan {name}"),
    };
    format!(
        "its host key is not known{offered}. Compare that with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the \
         host itself; if it is the same, add it: {scan} >>~/.ssh/known_hosts"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_key_is_the_hosts_own() {
        let refused = "No ED25519 host key is known for [127.0.0.1]:2201 and you have requested strict checking.";
        let said =
            "debug1: Server host key: ssh-ed25519 SHA256:jump\ndebug1: Server host key: ssh-ed25519 SHA256:own\n";
        let words = heard(refused, said);
        assert!(words.starts_with("its host key is not known; it offers ssh-ed25519 SHA256:own. Compare"), "{words}");
        assert!(words.ends_with("add it: ssh-keyscan -p 2201 127.0.0.1 >>~/.ssh/known_hosts"), "{words}");
    }

    #[test]
    fn without_an_answer_it_says_how_all_the_same() {
        let words = heard("No ED25519 host key is known for web1 and you have requested strict checking.", "");
        assert!(words.starts_with("its host key is not known. Compare"), "{words}");
        assert!(words.ends_with("ssh-keyscan web1 >>~/.ssh/known_hosts"), "{words}");
    }
}
