//! Commands that deserve a second look before the night. Knows nothing of plans; sees words, not what they do.

/// What is dangerous about a shell text, in a few words; `None` where nothing is seen, which proves nothing.
#[must_use]
pub fn danger(text: &str) -> Option<&'static str> {
    let lower = text.to_ascii_lowercase();
    commands(text).find_map(|words| of_command(&words)).or_else(|| in_text(&lower))
}

/// The simple commands of a shell text as words without quotes: good enough to recognize, not to execute.
fn commands(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.split([';', '|', '&', '\n', '(', ')', '`']).map(|command| {
        let words = command.split_whitespace().map(|w| w.trim_matches(|c| c == '"' || c == '\''));
        let wrapper = |w: &&str| {
            w.contains('=') && !w.starts_with('-')
                || matches!(
                    *w,
                    "sudo" | "env" | "nohup" | "exec" | "command" | "time" | "if" | "then" | "do" | "else" | "!" | "{"
                )
                || matches!(*w, "-n" | "-E")
        };
        words.skip_while(wrapper).collect()
    })
}

fn of_command(words: &[&str]) -> Option<&'static str> {
    let (program, rest) = words.split_first()?;
    let name = program.rsplit('/').next().unwrap_or(program);
    let has = |what: &str| rest.contains(&what);
    let flag = |c: char| rest.iter().any(|w| w.starts_with('-') && !w.starts_with("--") && w.contains(c));
    match name {
        "rm" if (flag('r') || flag('R') || has("--recursive")) && rest.iter().any(|w| is_wide(w)) => {
            Some("removes a whole tree near the root, or one that depends on a variable being set")
        }
        "chmod" | "chown" | "chgrp" if flag('R') && rest.iter().any(|w| is_wide(w)) => {
            Some("changes a whole tree near the root")
        }
        "wipefs" | "fdisk" | "sfdisk" | "parted" | "sgdisk" | "blkdiscard" | "lvremove" | "vgremove" | "pvremove" => {
            Some("changes disks or partitions")
        }
        name if name.starts_with("mkfs") => Some("makes an empty file system"),
        "dd" if rest.iter().any(|w| w.starts_with("of=/dev/") && *w != "of=/dev/null") => Some("writes to a device"),
        "zfs" | "zpool" if has("destroy") => Some("destroys file systems"),
        "iptables" | "ip6tables" | "nft" | "ufw" | "firewall-cmd" if !has("-L") && !has("list") && !has("status") => {
            Some("changes the firewall, and may lock everybody out")
        }
        "ip" if has("down") || has("flush") => Some("takes a network interface away"),
        "ifdown" => Some("takes a network interface away"),
        "systemctl" | "service" if has_sshd(rest) && !has("status") && !has("is-active") => {
            Some("touches the ssh server, over which this plan is executed")
        }
        "shutdown" | "reboot" | "halt" | "poweroff" => Some("ends or restarts the machine: `reboot:` waits for it"),
        "init" | "telinit" if has("0") || has("6") => Some("ends or restarts the machine: `reboot:` waits for it"),
        "systemctl" if has("reboot") || has("poweroff") || has("halt") => {
            Some("ends or restarts the machine: `reboot:` waits for it")
        }
        "kill" | "pkill" | "killall" if has("-1") || has("-u") => Some("ends processes of others"),
        "killall5" => Some("ends processes of others"),
        "crontab" if has("-r") => Some("removes all cron entries"),
        "userdel" | "deluser" | "groupdel" => Some("removes users"),
        "kubectl" | "terraform" | "tofu" if has("delete") || has("destroy") => Some("destroys what others may use"),
        "sed" | "tee" | "cp" | "mv" | "vi" | "ed" if rest.iter().any(|w| w.contains("/etc/ssh/")) => {
            Some("edits the ssh server's configuration, over which this plan is executed")
        }
        _ => None,
    }
}

fn has_sshd(words: &[&str]) -> bool {
    words.iter().any(|w| matches!(*w, "ssh" | "sshd" | "ssh.service" | "sshd.service" | "ssh.socket"))
}

/// A path at or directly below the root, everything here, or one that is a root when a variable is empty.
fn is_wide(path: &str) -> bool {
    let path = path.trim_end_matches('*').trim_matches('"');
    let below_variable = path.starts_with('$') && path.ends_with('/');
    let first_level = path
        .strip_prefix('/')
        .is_some_and(|p| !p.trim_end_matches('/').contains('/') && !p.trim_end_matches('/').starts_with("tmp"));
    below_variable || first_level || matches!(path, "~" | "~/" | "." | "./" | ".." | "../")
}

fn in_text(lower: &str) -> Option<&'static str> {
    let squeezed: String = lower.split_whitespace().collect::<Vec<_>>().join(" ");
    let any = |needles: &[&str]| needles.iter().any(|n| squeezed.contains(n));
    if any(&["drop database", "drop table", "drop schema", "truncate table"]) {
        return Some("removes data from a database");
    }
    if any(&["> /dev/sd", ">/dev/sd", "> /dev/nvme", ">/dev/nvme", "> /dev/vd", ">/dev/vd"]) {
        return Some("writes to a device");
    }
    if any(&["/etc/ssh/sshd_config", "authorized_keys"]) && any(&["> /", ">/", ">> ", ">>~", "> ~"]) {
        return Some("edits the ssh server's configuration, over which this plan is executed");
    }
    let fetched = any(&["curl ", "wget "]);
    if fetched && any(&["| sh", "|sh", "| bash", "|bash", "| sudo sh", "| sudo bash"]) {
        return Some("executes what the network answers");
    }
    any(&[":(){", ": () {"]).then_some("multiplies without end")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_a_second_look_is_seen() {
        for text in [
            "rm -rf /",
            "rm -rf /*",
            "sudo rm -fr /opt",
            "rm -r \"$DIR/\"",
            "rm -rf $DIR/*",
            "rm --recursive ~",
            "cd /x && rm -Rf .",
            "chmod -R 777 /",
            "chown -R app /usr",
            "mkfs.ext4 /dev/sdb1",
            "dd if=x of=/dev/sda",
            "echo x > /dev/sda",
            "wipefs -a /dev/sdb",
            "lvremove -f vg/db",
            "zfs destroy tank/db",
            "iptables -F",
            "sudo -n iptables -P INPUT DROP",
            "nft flush ruleset",
            "ufw enable",
            "ip link set eth0 down",
            "ifdown eth0",
            "systemctl restart sshd",
            "service ssh stop",
            "sed -i s/a/b/ /etc/ssh/sshd_config",
            "echo k >> ~/.ssh/authorized_keys",
            "shutdown -r now",
            "systemctl reboot",
            "kill -9 -1",
            "crontab -r",
            "userdel app",
            "psql -c 'DROP  TABLE users'",
            "mysql -e \"drop database x\"",
            "curl -s http://x | sudo bash",
            ":(){ :|:& };:",
            "terraform destroy",
            "if true; then reboot; fi",
        ] {
            assert!(danger(text).is_some(), "{text}");
        }
    }

    #[test]
    fn ordinary_commands_are_left_alone() {
        for text in [
            "rm -rf /opt/app/releases/2.3.6",
            "rm -f /tmp",
            "rm -r build",
            "rm -rf /tmp/x",
            "systemctl stop callcentre-fe",
            "systemctl status sshd",
            "iptables -L",
            "dd if=/dev/zero of=/dev/null",
            "chmod -R g+w /srv/app/data",
            "echo rm",
            "callcentre-restore \"$PREVIOUS.dump\"",
            "kill 17",
            "curl -fsS localhost/health",
            "psql -f 2.4.0.sql",
            "test -e /etc/ssh/sshd_config",
            "mail -s reboot ops",
        ] {
            assert_eq!(danger(text), None, "{text}");
        }
    }
}
