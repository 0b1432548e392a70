//! Ansible's connection variables: which ones say how to reach a host here, and which would be broken promises. Opens nothing.

use crate::plan::model::{Host, Value};

/// What becomes of a variable that speaks of the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is a variable like others, or has no meaning for a tool that needs nothing on the host.
    Fine,
    /// The host was told how to be reached.
    Taken,
    /// The machine that executes the plan, which has a word of its own.
    ThisMachine,
    /// Leaving it out would reach another machine, or none: what to write instead.
    Refused(&'static str),
    /// It means nothing here: what to write instead.
    Ignored(&'static str),
    /// The value is none that it could have.
    Wrong(&'static str),
}

/// Reads one variable into `host`, where it has to do with the connection.
pub fn read(name: &str, value: &Value, host: &mut Host) -> Verdict {
    let Some(rest) = name.strip_prefix("ansible_") else { return Verdict::Fine };
    let text = value.to_text().unwrap_or_default();
    match rest {
        "host" | "ssh_host" => set(&mut host.address, text),
        "user" | "ssh_user" => set(&mut host.user, text),
        "port" | "ssh_port" => match text.parse() {
            Ok(port) if port > 0 => {
                host.port = Some(port);
                Verdict::Taken
            }
            _ => Verdict::Wrong("a port is a number from 1 to 65535"),
        },
        "connection" => connection(&text),
        "ssh_common_args" | "ssh_extra_args" | "ssh_args" => match jump_host(&text) {
            Some(_) if text.trim().is_empty() => Verdict::Fine,
            Some(jump) => set(&mut host.via, jump),
            None => Verdict::Refused("write these options for the host into ~/.ssh/config"),
        },
        "password" | "ssh_pass" | "ssh_password" => Verdict::Refused(
            "hosts are reached with keys (ssh agent, IdentityFile in ~/.ssh/config); remove the password",
        ),
        "become_pass" | "become_password" | "sudo_pass" | "su_pass" => {
            Verdict::Refused("`sudo` must need no password on the hosts; remove it from the inventory")
        }
        "ssh_private_key_file" | "private_key_file" | "ssh_private_key" => {
            Verdict::Refused("write `IdentityFile` for the host into ~/.ssh/config, or add the key to the ssh agent")
        }
        "ssh_executable" | "remote_addr" | "paramiko_proxy_command" | "ssh_proxy_command" => {
            Verdict::Refused("write how to reach the host into ~/.ssh/config")
        }
        "host_key_checking" | "ssh_host_key_checking" => Verdict::Ignored("host keys are always checked"),
        "become" | "become_user" | "become_method" | "become_exe" | "become_flags" | "sudo" | "sudo_user" => {
            Verdict::Ignored("a step says it: `sudo: true`, or `user: NAME`")
        }
        "shell_executable" | "shell_type" => Verdict::Ignored("a step says it: `shell: bash -eu`"),
        _ => Verdict::Fine,
    }
}

fn set(field: &mut Option<String>, text: String) -> Verdict {
    if text.is_empty() {
        return Verdict::Wrong("nothing is written here");
    }
    *field = Some(text);
    Verdict::Taken
}

fn connection(kind: &str) -> Verdict {
    match kind.trim_start_matches("ansible.builtin.").trim_start_matches("ansible.legacy.") {
        "ssh" | "smart" | "paramiko" | "paramiko_ssh" | "ansible.netcommon.libssh" => Verdict::Fine,
        "local" => Verdict::ThisMachine,
        _ => Verdict::Refused("hosts are reached by ssh only"),
    }
}

/// The jump host, where the options are nothing but that; empty where there are none.
fn jump_host(options: &str) -> Option<String> {
    let words: Vec<&str> = options.split_whitespace().map(|w| w.trim_matches(['"', '\''])).collect();
    let value = |option: &str| option.strip_prefix("ProxyJump=").map(str::to_owned);
    match words[..] {
        [] => Some(String::new()),
        ["-J", jump] => Some(jump.to_owned()),
        ["-o", option] => value(option),
        [one] => one.strip_prefix("-J").map(str::to_owned).or_else(|| value(one.strip_prefix("-o")?)),
        _ => None,
    }
    .filter(|jump| words.is_empty() || !jump.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_one(name: &str, value: &str) -> (Verdict, Host) {
        let mut host = Host::default();
        let verdict = read(name, &Value::Text(value.into()), &mut host);
        (verdict, host)
    }

    #[test]
    fn a_jump_host_is_taken_and_other_options_are_refused() {
        for args in
            ["-J bastion", "-Jbastion", "-o ProxyJump=bastion", "-oProxyJump=bastion", "-o \"ProxyJump=bastion\""]
        {
            assert_eq!(read_one("ansible_ssh_common_args", args).1.via.as_deref(), Some("bastion"), "{args}");
        }
        for args in ["-o StrictHostKeyChecking=no", "-J a -v", "-o ProxyCommand=nc", "-J"] {
            assert!(matches!(read_one("ansible_ssh_common_args", args).0, Verdict::Refused(_)), "{args}");
        }
    }

    #[test]
    fn what_changes_the_connection_is_never_ignored() {
        for name in ["ansible_password", "ansible_ssh_private_key_file", "ansible_become_pass"] {
            assert!(matches!(read_one(name, "x").0, Verdict::Refused(_)), "{name}");
        }
        assert!(matches!(read_one("ansible_connection", "winrm").0, Verdict::Refused(_)));
        assert_eq!(read_one("ansible_connection", "local").0, Verdict::ThisMachine);
        assert!(matches!(read_one("ansible_port", "70000").0, Verdict::Wrong(_)));
        assert_eq!(read_one("ansible_python_interpreter", "/usr/bin/python3").0, Verdict::Fine);
    }
}
