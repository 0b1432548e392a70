//! What the native way understands of the user's ssh configuration, against a real sshd: jump hosts, agents,
//! certificates, known hosts, limits; and what it refuses.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use runbook::graph::job::Site;
use runbook::graph::outcome::Outcome;
use runbook::transport::{Logout, Means, Reached, SurveyRequest, Transport};

use super::bed::{Bed, shell};
use crate::harness::sshd::{Options, Sshd};

fn configured(lines: &str) -> Options {
    Options { ssh: lines.into(), ..Options::default() }
}

/// The configuration, edited.
fn edit(sshd: &Sshd, file: &str, change: impl FnOnce(String) -> String) {
    let path = sshd.dir().join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, change(text)).unwrap();
}

/// Runs one command on `h1`; gives the outcome.
async fn outcome(sshd: &Sshd, means: Means) -> Outcome {
    let mut bed = Bed::with(Some(sshd), |c| c.means = means);
    let (outcome, _) = bed.run(shell("s", &Site::Host("h1".into()), "echo \"$SSH_CONNECTION\"")).await;
    bed.hosts.close().await.unwrap();
    outcome
}

async fn refusal(sshd: &Sshd) -> String {
    match outcome(sshd, Means::Native).await {
        Outcome::NeverStarted { why } => why,
        other => panic!("{other:?}"),
    }
}

fn keygen(arguments: &[&str], dir: &Path) {
    let done = Command::new("ssh-keygen").arg("-q").args(arguments).current_dir(dir).stdout(Stdio::null()).status();
    assert!(done.unwrap().success(), "ssh-keygen {arguments:?}");
}

#[tokio::test]
async fn what_is_not_supported_is_named_and_auto_takes_ssh_for_it() {
    let sshd = Sshd::start(&configured("Host h1\n  ProxyCommand nc %h %p\n  IPQoS throughput\n"));
    let why = refusal(&sshd).await;
    let config = sshd.ssh_config();
    assert_eq!(
        why,
        format!(
            "the native transport cannot reach it: ProxyCommand nc %h %p at {0}:2 is not supported; IPQoS throughput at {0}:3 \
             is not supported; `--transport auto` would take ssh for it",
            config.display()
        )
    );

    let sshd = Sshd::start(&configured("Host h1\n  IPQoS throughput\n"));
    let bed = Bed::with(Some(&sshd), |c| c.means = Means::Auto);
    let reached = bed.hosts.reached("h1").await.unwrap();
    assert_eq!((reached.means, reached.not_native.unwrap().contains("IPQoS throughput at")), (Means::Openssh, true));
    assert_eq!(outcome(&sshd, Means::Auto).await, Outcome::Succeeded);

    let plain = Sshd::start(&Options::default());
    let bed = Bed::with(Some(&plain), |c| c.means = Means::Auto);
    assert_eq!(bed.hosts.reached("h1").await, Ok(Reached { means: Means::Native, not_native: None }));
}

#[tokio::test]
async fn a_host_that_has_no_algorithm_in_common_with_us_is_left_to_ssh() {
    let post_quantum = "KexAlgorithms sntrup761x25519-sha512@openssh.com";
    let sshd = Sshd::start(&Options {
        sshd: format!("{post_quantum}\n"),
        ssh: format!("{post_quantum},curve25519-sha256\n"),
        ..Options::default()
    });
    let why = "no Kex algorithm in common; it offers sntrup761x25519-sha512@openssh.com";
    assert_eq!(
        refusal(&sshd).await,
        format!("the native transport cannot reach it: {why}; `--transport auto` would take ssh for it")
    );
    let bed = Bed::with(Some(&sshd), |c| c.means = Means::Native);
    let ask = SurveyRequest { site: Site::Host("h1".into()), sudo: false, users: vec![], logout: Logout::Spared };
    let unanswered = bed.hosts.survey(vec![ask]).await.unwrap().remove(0);
    assert_eq!((unanswered.answer.is_err(), unanswered.reached), (true, None));

    let mut bed = Bed::with(Some(&sshd), |c| c.means = Means::Auto);
    let native = Reached { means: Means::Native, not_native: None };
    assert_eq!(bed.hosts.reached("h1").await, Ok(native), "nothing is known before it is tried");
    let (outcome, _) = bed.run(shell("s", &Site::Host("h1".into()), "true")).await;
    assert_eq!(outcome, Outcome::Succeeded);
    let reached = bed.hosts.reached("h1").await.unwrap();
    assert_eq!((reached.means, reached.not_native.unwrap() == why), (Means::Openssh, true));
}

#[tokio::test]
async fn hashed_names_and_aliases_are_known_and_revoked_keys_are_not() {
    let sshd = Sshd::start(&Options::default());
    keygen(&["-H", "-f", "known_hosts"], sshd.dir());
    let text = std::fs::read_to_string(sshd.dir().join("known_hosts")).unwrap();
    assert!(text.starts_with("|1|"), "{text}");
    assert_eq!(outcome(&sshd, Means::Native).await, Outcome::Succeeded);
    edit(&sshd, "ssh_config", |text| text.replace("HostKeyAlias h1", "HostKeyAlias other"));
    assert!(refusal(&sshd).await.contains("its host key is not known; it offers ssh-ed25519 SHA256:"));
    edit(&sshd, "ssh_config", |text| text.replace("HostKeyAlias other", "HostKeyAlias h1"));
    let key = std::fs::read_to_string(sshd.dir().join("host.pub")).unwrap();
    edit(&sshd, "known_hosts", |text| format!("{text}@revoked * {key}"));
    assert!(refusal(&sshd).await.starts_with("its host key is revoked"));
}

#[tokio::test]
async fn a_host_may_prove_itself_by_a_certificate() {
    let sshd = Sshd::start(&Options { sshd: "HostCertificate host-cert.pub\n".into(), ..Options::default() });
    let dir = sshd.dir().to_owned();
    keygen(&["-t", "ed25519", "-N", "", "-f", "ca"], &dir);
    keygen(&["-s", "ca", "-I", "host", "-h", "-n", "h1", "-V", "+1h", "host.pub"], &dir);
    edit(&sshd, "sshd_config", |text| text.replace("HostCertificate ", &format!("HostCertificate {}/", dir.display())));
    let sshd = sshd.again();
    let authority = std::fs::read_to_string(dir.join("ca.pub")).unwrap();
    edit(&sshd, "known_hosts", |_| format!("@cert-authority h* {authority}"));
    assert_eq!(outcome(&sshd, Means::Native).await, Outcome::Succeeded);
    edit(&sshd, "known_hosts", |_| format!("@cert-authority x* {authority}"));
    assert!(refusal(&sshd).await.contains("its host key is not known"));
    edit(&sshd, "known_hosts", |_| format!("@cert-authority * {authority}"));
    edit(&sshd, "ssh_config", |text| text.replace("HostKeyAlias h1", "HostKeyAlias h2"));
    assert!(refusal(&sshd).await.contains("it is not for this host"));
}

#[tokio::test]
async fn users_log_in_by_certificate() {
    let sshd = Sshd::start(&Options::default());
    let dir = sshd.dir().to_owned();
    let user = std::env::var("USER").unwrap_or_else(|_| "root".into());
    keygen(&["-t", "ed25519", "-N", "", "-f", "ca"], &dir);
    keygen(&["-s", "ca", "-I", "me", "-n", &user, "-V", "+1h", "id.pub"], &dir);
    let authority = std::fs::read_to_string(dir.join("ca.pub")).unwrap();
    edit(&sshd, "authorized", |_| format!("cert-authority {authority}"));
    assert_eq!(outcome(&sshd, Means::Native).await, Outcome::Succeeded);
    std::fs::rename(dir.join("id-cert.pub"), dir.join("elsewhere.pub")).unwrap();
    assert!(refusal(&sshd).await.starts_with("it refuses our keys"));
    edit(&sshd, "ssh_config", |text| format!("CertificateFile {}/elsewhere.pub\n{text}", dir.display()));
    assert_eq!(outcome(&sshd, Means::Native).await, Outcome::Succeeded);
}

/// An agent of our own, ended when dropped.
struct Agent(Child);

impl Agent {
    fn start(socket: &Path) -> Self {
        let agent = Command::new("ssh-agent").arg("-D").arg("-a").arg(socket).stdout(Stdio::null()).spawn().unwrap();
        while !socket.exists() {
            std::thread::yield_now();
        }
        Self(agent)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn an_agent_signs_also_for_keys_that_we_cannot_use() {
    let sshd = Sshd::start(&Options::default());
    let dir = sshd.dir().to_owned();
    keygen(&["-t", "rsa", "-b", "2048", "-N", "", "-f", "rsa"], &dir);
    std::fs::copy(dir.join("rsa.pub"), dir.join("authorized")).unwrap();
    let id = format!("IdentityFile {}/id", dir.display());
    edit(&sshd, "ssh_config", |text| text.replace(&id, &format!("IdentityFile {}/rsa", dir.display())));
    let why = refusal(&sshd).await;
    assert!(why.contains("rsa is ssh-rsa, which only an agent can use here: ssh-add"), "{why}");
    let agent = Agent::start(&dir.join("agent"));
    let add = Command::new("ssh-add").arg("-q").arg(dir.join("rsa")).env("SSH_AUTH_SOCK", dir.join("agent")).status();
    assert!(add.unwrap().success());
    let socket = format!("IdentityAgent {}/agent", dir.display());
    edit(&sshd, "ssh_config", |text| text.replace("IdentityAgent none", &socket));
    assert_eq!(outcome(&sshd, Means::Native).await, Outcome::Succeeded);
    drop(agent);
}

#[tokio::test]
async fn hosts_behind_others_share_the_way() {
    let sshd = Sshd::start(&Options { hosts: 4, ..Options::default() });
    edit(&sshd, "ssh_config", |text| format!("Host h3 h4\n  ProxyJump h1,h2\n{text}"));
    let mut bed = Bed::new(Some(&sshd));
    for host in ["h3", "h4"] {
        let (outcome, evidence) =
            bed.run(shell("s", &Site::Host(host.into()), "echo $SSH_CONNECTION >&2; exit 3")).await;
        assert_eq!(outcome, Outcome::Failed { exit: 3 }, "{evidence:?}");
        // It is reached from the last of the hosts in between, not from here.
        assert!(evidence.tail[0].contains(&format!(" 127.0.0.{} ", &host[1..])), "{evidence:?}");
    }
    let log = std::fs::read_to_string(sshd.dir().join("sshd.log")).unwrap();
    assert_eq!(log.matches("Accepted publickey").count(), 4, "h1 and h2 once each, h3, h4: {log}");
    bed.hosts.close().await.unwrap();
    edit(&sshd, "ssh_config", |text| format!("Host h2\n  ProxyCommand x\n{text}"));
    let mut bed = Bed::new(Some(&sshd));
    let (outcome, _) = bed.run(shell("t", &Site::Host("h3".into()), ":")).await;
    let wanted = "h2 (on the way): ProxyCommand x at";
    assert!(matches!(&outcome, Outcome::NeverStarted { why } if why.contains(wanted)), "{outcome:?}");
    bed.hosts.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limits_of_an_sshd_are_respected() {
    let limits = "MaxSessions 3\nMaxStartups 3:100:3\n";
    let sshd = Sshd::start(&Options { hosts: 12, sshd: limits.into(), ..Options::default() });
    // Of two values the first counts.
    edit(&sshd, "sshd_config", |text| text.replace("MaxStartups 200\n", ""));
    let sshd = sshd.again();
    for means in [Means::Native, Means::Openssh] {
        let mut bed = Bed::with(Some(&sshd), |c| c.means = means);
        let mut left = 0;
        for host in 1..=12 {
            bed.launch(shell("connects", &Site::Host(format!("h{host}")), "sleep 0.1"));
            left += 1;
        }
        for n in 0..24 {
            bed.launch(shell(&format!("sessions{n}"), &Site::Host("h1".into()), "sleep 0.1"));
            left += 1;
        }
        while left > 0 {
            assert_eq!(bed.end().await.0, Outcome::Succeeded, "{means:?}");
            left -= 1;
        }
        bed.hosts.close().await.unwrap();
    }
    let log = std::fs::read_to_string(sshd.dir().join("sshd.log")).unwrap();
    assert!(log.contains("MaxStartups"), "connects were turned away: {log}");
}

#[tokio::test]
async fn connections_that_nobody_uses_make_room_for_others() {
    let sshd = Sshd::start(&Options { hosts: 4, ..Options::default() });
    let connects = || {
        let log = std::fs::read_to_string(sshd.dir().join("sshd.log")).unwrap_or_default();
        log.matches("Accepted publickey").count()
    };
    for (means, most) in [(Means::Native, 1), (Means::Native, 4), (Means::Openssh, 1)] {
        let before = connects();
        let mut bed = Bed::with(Some(&sshd), |c| {
            c.means = means;
            c.open_at_most = Some(most);
        });
        for round in 0..2 {
            (1..=4).for_each(|n| bed.launch(shell(&format!("s{round}"), &Site::Host(format!("h{n}")), ":")));
            for _ in 1..=4 {
                assert_eq!(bed.end().await.0, Outcome::Succeeded, "{means:?}");
            }
        }
        bed.hosts.close().await.unwrap();
        let made = connects() - before;
        // Where there are few places, connections of the first round are gone when the second comes.
        assert_eq!(made > 4, most < 4, "{made} connects, {most} places, {means:?}");
    }
}
