//! P15, tier B: a connection that goes dead after each of its first packets, in each direction, and comes to life again.
//! In network namespaces, so only as root, and only with `tests/run --nightly`.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use runbook::transport::Transport as _;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::bed::Bed;
use super::faults::carried_through;
use crate::harness::sshd::{Options, Sshd};

/// Namespaces at the same time.
const AT_ONCE: usize = 8;
/// Packets of each connection after which it is cut.
const PACKETS: u32 = 60;
/// How long it stays dead: longer than two unanswered keepalives.
const DEAD: Duration = Duration::from_secs(3);

/// A namespace with an sshd in it, which goes with the value.
struct Island {
    name: String,
    sshd: Option<Sshd>,
}

impl Island {
    fn new(n: usize) -> Result<Self, String> {
        let name = format!("rb{}n{n}", std::process::id());
        let (us, them) = (format!("10.213.{n}.1"), format!("10.213.{n}.2"));
        let script = format!(
            "ip netns add {name} && ip link add v{n}{name} type veth peer name h{n} netns {name} &&
             ip addr add {us}/30 dev v{n}{name} && ip link set v{n}{name} up &&
             ip netns exec {name} sh -c 'ip link set lo up && ip addr add {them}/30 dev h{n} && ip link set h{n} up'"
        );
        let mut island = Self { name: name.clone(), sshd: None };
        let made = Command::new("sh").args(["-c", &script]).output().map_err(|e| e.to_string())?;
        if !made.status.success() {
            return Err(String::from_utf8_lossy(&made.stderr).into_owned());
        }
        island.sshd = Some(Sshd::start(&Options { namespace: Some((name, them)), ..Options::default() }));
        Ok(island)
    }

    /// Packets of a connection to or from its sshd are dropped after this many.
    fn cut(&self, towards: bool, after: u32) {
        let port = self.sshd.as_ref().unwrap().port;
        let (hook, rule) = match towards {
            true => ("input", format!("tcp dport {port} ct original packets > {after} drop")),
            false => ("output", format!("tcp sport {port} ct reply packets > {after} drop")),
        };
        let table = format!("table inet cut {{\n chain c {{\n type filter hook {hook} priority 0;\n {rule}\n }}\n}}\n");
        self.nft(&["-f", "-"], &table);
    }

    fn heal(&self) {
        self.nft(&["delete", "table", "inet", "cut"], "");
    }

    fn nft(&self, args: &[&str], text: &str) {
        use std::io::Write as _;
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, "nft"]).args(args).stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let out = child.wait_with_output().unwrap();
        assert!(out.status.success(), "nft {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    }
}

impl Drop for Island {
    fn drop(&mut self) {
        self.sshd = None;
        let _ = Command::new("ip").args(["netns", "del", &self.name]).stderr(Stdio::null()).status();
    }
}

async fn case(island: &Island, kind: &str, towards: bool, after: u32) -> (String, bool) {
    island.cut(towards, after);
    let mut bed = Bed::with(island.sshd.as_ref(), |c| c.keepalive = (Duration::from_secs(1), 2));
    let healing = async {
        tokio::time::sleep(DEAD).await;
        island.heal();
    };
    let (result, ()) = tokio::join!(carried_through(&mut bed, kind), healing);
    bed.hosts.close().await.unwrap();
    result
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_may_go_dead_after_any_packet() {
    if std::env::var_os("NIGHTLY").is_none() {
        println!("SKIPPED: 360 cut connections: with NIGHTLY=1, or tests/run --nightly");
        return;
    }
    let mut islands = Vec::new();
    for n in 0..AT_ONCE {
        match Island::new(n) {
            Ok(island) => islands.push(island),
            Err(why) => {
                eprintln!("SKIPPED: 360 cut connections: no network namespace can be made here: {why}");
                return;
            }
        }
    }
    let kinds = ["quick", "printing", "silent"];
    let all = kinds.into_iter().flat_map(|kind| [true, false].map(|towards| (kind, towards)));
    let all = all.flat_map(|(kind, towards)| (1..=PACKETS).map(move |after| (kind, towards, after)));
    let todo = Arc::new(Mutex::new(all.collect::<Vec<_>>()));
    let mut workers = JoinSet::new();
    for island in islands {
        let todo = todo.clone();
        workers.spawn(async move {
            let (mut wrong, mut back) = (Vec::new(), 0);
            while let Some((kind, towards, after)) = { todo.lock().await.pop() } {
                let (what, came_back) = case(&island, kind, towards, after).await;
                back += usize::from(came_back);
                if !what.is_empty() {
                    wrong.push(format!(
                        "{kind}, {} the host after packet {after}: {what}",
                        if towards { "to" } else { "from" }
                    ));
                }
            }
            (wrong, back)
        });
    }
    let (wrong, back): (Vec<Vec<String>>, Vec<usize>) = workers.join_all().await.into_iter().unzip();
    let (wrong, back) = (wrong.concat(), back.iter().sum::<usize>());
    assert!(wrong.is_empty(), "{} of 360:\n{}", wrong.len(), wrong.join("\n"));
    println!("360 cut connections, {back} lost and found again");
    assert!(back > 20, "the cuts must hit what they are meant to hit: {back}");
}
