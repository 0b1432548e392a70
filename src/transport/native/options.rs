//! What the options of an ssh configuration mean to a connection of our own: taken, without effect, or refused by name.
//! Knows nothing of keys and connections.

use std::collections::BTreeMap;

use super::config::{Files, Holds, Line};
use crate::plan::model::Host;

/// What is done with an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// The first value counts.
    Taken,
    /// Every value counts.
    Gathered,
    /// A run decides it itself, or it changes nothing about a connection that carries commands.
    Idle,
    /// Without effect with one of these values, and not supported with any other.
    Only(&'static [&'static str]),
}

/// The option's rule; `None` for one that would change the connection in a way that is not supported here.
fn rule(option: &str) -> Option<Rule> {
    Some(match option {
        "hostname"
        | "port"
        | "user"
        | "proxyjump"
        | "identitiesonly"
        | "identityagent"
        | "hostkeyalias"
        | "userknownhostsfile"
        | "globalknownhostsfile"
        | "kexalgorithms"
        | "ciphers"
        | "macs"
        | "hostkeyalgorithms"
        | "setenv" => Rule::Taken,
        "identityfile" | "certificatefile" => Rule::Gathered,
        // What a run sets for every connection, whatever files say.
        "forwardagent"
        | "forwardx11"
        | "forwardx11trusted"
        | "forwardx11timeout"
        | "xauthlocation"
        | "tunnel"
        | "tunneldevice"
        | "clearallforwardings"
        | "localforward"
        | "remoteforward"
        | "dynamicforward"
        | "gatewayports"
        | "exitonforwardfailure"
        | "permitremoteopen"
        | "streamlocalbindmask"
        | "streamlocalbindunlink"
        | "permitlocalcommand"
        | "localcommand"
        | "requesttty"
        | "remotecommand"
        | "compression"
        | "batchmode"
        | "stricthostkeychecking"
        | "updatehostkeys"
        | "tcpkeepalive"
        | "serveraliveinterval"
        | "serveralivecountmax"
        | "connecttimeout"
        | "connectionattempts"
        | "controlmaster"
        | "controlpath"
        | "controlpersist" => Rule::Idle,
        // Talk, terminals, and files that nobody writes here. An environment is never passed on by itself.
        "addkeystoagent"
        | "hashknownhosts"
        | "loglevel"
        | "logverbose"
        | "syslogfacility"
        | "visualhostkey"
        | "fingerprinthash"
        | "escapechar"
        | "enableescapecommandline"
        | "obscurekeystroketiming"
        | "checkhostip"
        | "sendenv"
        | "ignoreunknown"
        | "usekeychain"
        | "forkafterauthentication"
        | "stdinnull"
        | "enablesshkeysign" => Rule::Idle,
        // Ways to log in without a key, which nobody is there to answer.
        "passwordauthentication"
        | "kbdinteractiveauthentication"
        | "challengeresponseauthentication"
        | "kbdinteractivedevices"
        | "numberofpasswordprompts"
        | "gssapiauthentication"
        | "gssapidelegatecredentials"
        | "gssapikeyexchange"
        | "gssapitrustdns"
        | "gssapirenewalforcesrekey" => Rule::Idle,
        "pubkeyauthentication" => Rule::Only(&["yes", "true"]),
        "hostbasedauthentication" | "verifyhostkeydns" | "nohostauthenticationforlocalhost" | "proxyusefdpass" => {
            Rule::Only(&["no", "false"])
        }
        "canonicalizehostname" => Rule::Only(&["no", "none", "false"]),
        "canonicaldomains" | "canonicalizefallbacklocal" | "canonicalizemaxdots" | "canonicalizepermittedcnames" => {
            Rule::Idle
        }
        "proxycommand" | "knownhostscommand" | "revokedhostkeys" => Rule::Only(&["none"]),
        "addressfamily" => Rule::Only(&["any"]),
        "sessiontype" => Rule::Only(&["default"]),
        "preferredauthentications" => Rule::Only(&["publickey"]),
        _ => return None,
    })
}

/// The options that hold for a host.
#[derive(Debug, Default)]
pub(super) struct Options<'a> {
    taken: BTreeMap<String, Given<'a>>,
    /// Why the host cannot be reached like this; one sentence for each option.
    pub refused: Vec<String>,
}

#[derive(Debug, Default)]
struct Given<'a> {
    values: Vec<String>,
    /// None where the plan says it.
    lines: Vec<&'a Line>,
}

impl<'a> Options<'a> {
    /// What holds for `host`: first what the plan says of it, then the files.
    pub(super) fn of(host: &str, planned: Option<&Host>, files: &'a Files) -> Self {
        let mut options = Self::default();
        if let Some(host) = planned {
            options.plan("hostname", host.address.clone());
            options.plan("port", host.port.map(|port| port.to_string()));
            options.plan("user", host.user.clone());
            options.plan("proxyjump", host.via.clone());
        }
        files.visit(host, &mut |line, holds| options.line(line, holds));
        options
    }

    fn plan(&mut self, option: &str, value: Option<String>) {
        if let Some(value) = value {
            self.taken.insert(option.to_owned(), Given { values: vec![value], lines: Vec::new() });
        }
    }

    fn line(&mut self, line: &'a Line, holds: Holds<'a>) {
        let option = line.option.to_ascii_lowercase();
        let rule = rule(&option);
        let settled = rule != Some(Rule::Gathered) && self.taken.contains_key(&option);
        if settled || rule == Some(Rule::Idle) {
            return;
        }
        let idle = |value: &String, fine: &[&str]| fine.contains(&value.to_ascii_lowercase().as_str());
        let without_effect = matches!(rule, Some(Rule::Only(fine)) if line.values.iter().all(|v| idle(v, fine)));
        match (rule, holds) {
            (_, Holds::Perhaps(_)) if without_effect => {}
            (_, Holds::Perhaps(by)) => self.refused.push(format!(
                "{} at {} depends on `{} {}` at {}, which is not evaluated",
                line.option,
                line.place,
                by.option,
                by.values.join(" "),
                by.place
            )),
            (Some(Rule::Only(_)), _) if without_effect => {
                self.taken.insert(option, Given::default());
            }
            (Some(Rule::Taken | Rule::Gathered), _) => {
                let given = self.taken.entry(option).or_default();
                given.values.extend(line.values.iter().cloned());
                given.lines.push(line);
            }
            (Some(Rule::Only(_) | Rule::Idle) | None, _) => {
                let values = line.values.join(" ");
                self.refused.push(format!("{} {values} at {} is not supported", line.option, line.place));
            }
        }
    }

    /// The only value of an option.
    pub(super) fn one(&self, option: &str) -> Option<&str> {
        self.taken.get(option)?.values.first().map(String::as_str)
    }

    /// All values of an option; `None` where nothing says anything.
    pub(super) fn all(&self, option: &str) -> Option<&[String]> {
        self.taken.get(option).map(|given| given.values.as_slice())
    }

    /// The option as it was written and where, for a sentence about it.
    pub(super) fn named(&self, option: &str) -> String {
        match self.taken.get(option).and_then(|given| given.lines.first()) {
            Some(line) => format!("{} {} at {}", line.option, line.values.join(" "), line.place),
            None => format!("the plan's {option}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(text: &str) -> (tempfile::TempDir, Files) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("config"), text).unwrap();
        let files = Files::read(&[dir.path().join("config")], dir.path()).unwrap();
        (dir, files)
    }

    fn refused(text: &str) -> Vec<String> {
        let (dir, files) = files(text);
        let prefix = format!("{}/", dir.path().display());
        Options::of("web1", None, &files).refused.iter().map(|r| r.replace(&prefix, "")).collect()
    }

    #[test]
    fn the_plan_goes_before_the_files_and_the_first_value_counts() {
        let (_dir, files) = files("User a\nUser b\nPort 2\nIdentityFile x\nIdentityFile y\n");
        let host = Host { port: Some(22), ..Host::default() };
        let options = Options::of("web1", Some(&host), &files);
        assert_eq!((options.one("user"), options.one("port")), (Some("a"), Some("22")));
        assert_eq!(options.all("identityfile").unwrap(), ["x", "y"]);
        assert_eq!(options.refused, [""; 0]);
    }

    #[test]
    fn what_would_change_the_connection_is_refused_by_name_and_place() {
        let text = "ForwardAgent yes\nProxyCommand nc %h %p\nHost web*\n  BindAddress 10.0.0.1\n  User a\n";
        let said =
            ["ProxyCommand nc %h %p at config:2 is not supported", "BindAddress 10.0.0.1 at config:4 is not supported"];
        assert_eq!(refused(text), said);
        assert_eq!(refused("Host db\nProxyCommand x\nHost *\nProxyCommand none\nGSSAPIAuthentication yes\n"), [""; 0]);
    }

    #[test]
    fn a_first_value_without_effect_hides_a_later_one() {
        assert_eq!(refused("ProxyCommand none\nProxyCommand x\n"), [""; 0]);
        assert_eq!(refused("Match exec true\nProxyCommand none\nMatch all\nProxyCommand x\n").len(), 1);
    }

    #[test]
    fn a_condition_matters_only_where_it_decides_something() {
        let text = "Match exec \"test -e /x\"\n  LogLevel QUIET\n  User a\nMatch all\n  User b\n";
        assert_eq!(
            refused(text),
            ["User at config:3 depends on `Match exec test -e /x` at config:1, which is not evaluated"]
        );
        assert_eq!(refused("User b\nMatch user root\nUser a\n"), [""; 0]);
    }

    #[test]
    fn what_is_not_known_here_is_not_supported() {
        for option in ["bindinterface", "ipqos", "pkcs11provider", "rekeylimit", "securitykeyprovider", "nosuchoption"]
        {
            assert_eq!(refused(&format!("{option} x\n")), [format!("{option} x at config:1 is not supported")]);
        }
    }
}
