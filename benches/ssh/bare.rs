//! The `openssh` crate alone: what is left when journal, engine and everything else are taken away.

use std::sync::Arc;

use openssh::{KnownHosts, Session, SessionBuilder, Stdio};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Semaphore;

use super::{Farm, kit};

const RUNNER: &str = include_str!("../../templates/remote/runner.sh");

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(work)
}

async fn connect(farm: &Farm, host: &str) -> Result<Session, openssh::Error> {
    let mut builder = SessionBuilder::default();
    builder.known_hosts_check(KnownHosts::Strict).config_file(farm.sshd.ssh_config()).control_directory("/tmp");
    builder.connect_mux(host).await
}

async fn plain(session: &Session) -> bool {
    let mut command = session.raw_command("true");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().await.is_ok_and(|status| status.success())
}

/// What the program itself sends for the command `true`.
pub fn runner_command() -> String {
    let lines = RUNNER.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let text = lines.fold(String::new(), |text, line| text + line + "\n");
    format!("exec sh -c 'R=$1; shift; eval \"$R\"' bench {}", quote(&text))
}

pub fn request(action: &str) -> String {
    let nonce = "0123456789abcdef0123456789abcdef";
    format!(
        "{nonce}\nmode=launch run=bench action={action} try=do.1\nhome='' epoch=1 grace=10\nhead_cap=1048576 tail_cap=9437184\n\
         cookie='bench/{action}/do.1/'\ntimeout= payload=0\nas=''\ndir=''\nscript=true\n\
         command='exec setsid sh -eu \"$d/cmd\"'\npayload_sha256=''\nenvironment=''\nend {nonce}\n"
    )
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// A runner on a host that takes one request after another.
struct Runner {
    child: openssh::Child<Arc<Session>>,
    stdin: openssh::ChildStdin,
    stdout: openssh::ChildStdout,
}

impl Runner {
    async fn start(session: Arc<Session>, command: &str) -> Option<Self> {
        let mut remote = session.arc_raw_command(command);
        remote.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = remote.spawn().await.ok()?;
        let (stdin, stdout) = (child.stdin().take()?, child.stdout().take()?);
        Some(Self { child, stdin, stdout })
    }

    async fn carry_out(&mut self, action: &str) -> bool {
        if self.stdin.write_all(request(action).as_bytes()).await.is_err() {
            return false;
        }
        let (mut said, mut buffer) = (Vec::new(), vec![0; 4096]);
        loop {
            match self.stdout.read(&mut buffer).await {
                Ok(n) if n > 0 => said.extend_from_slice(&buffer[..n]),
                _ => return false,
            }
            let text = String::from_utf8_lossy(&said);
            if let Some((_, end)) = text.split_once("done rc=")
                && end.ends_with('\n')
            {
                return end.starts_with("exit 0") && end.contains(";next=now;");
            }
        }
    }

    async fn end(self) {
        drop((self.stdin, self.stdout));
        let _ = self.child.wait().await;
    }
}

async fn connect_all(farm: &Farm, at_once: usize) -> Option<Vec<Arc<Session>>> {
    let room = &Semaphore::new(at_once);
    let each = farm.hosts.iter().map(|host| async move {
        let _permit = room.acquire().await.ok()?;
        connect(farm, host).await.map(Arc::new).map_err(|e| eprintln!("! {host}: {e:?}")).ok()
    });
    join(each).await.into_iter().collect()
}

/// Polls all at once, on this task.
async fn join<T>(futures: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut waiting: Vec<_> = futures.into_iter().map(|f| (Box::pin(f), None)).collect();
    std::future::poll_fn(move |cx| {
        for (future, done) in &mut waiting {
            if done.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(cx)
            {
                *done = Some(value);
            }
        }
        if waiting.iter().all(|(_, done)| done.is_some()) {
            std::task::Poll::Ready(waiting.iter_mut().filter_map(|(_, done)| done.take()).collect())
        } else {
            std::task::Poll::Pending
        }
    })
    .await
}

async fn close_all(sessions: Vec<Arc<Session>>) {
    let each = sessions.into_iter().filter_map(Arc::into_inner).map(Session::close);
    join(each).await;
}

async fn all_steps(sessions: &[Arc<Session>], steps: usize, runner: bool) -> bool {
    if runner {
        return all_steps_by_runners(sessions, steps).await;
    }
    for _ in 1..=steps {
        if join(sessions.iter().map(|session| plain(session))).await.contains(&false) {
            return false;
        }
    }
    true
}

async fn all_steps_by_runners(sessions: &[Arc<Session>], steps: usize) -> bool {
    let command = runner_command();
    let started = join(sessions.iter().map(|session| Runner::start(session.clone(), &command))).await;
    let Some(mut runners) = started.into_iter().collect::<Option<Vec<_>>>() else { return false };
    let mut good = true;
    for step in 1..=steps {
        let each = runners.iter_mut().enumerate();
        let each = each.map(async |(host, runner)| runner.carry_out(&format!("s{step}@h{host}")).await);
        good &= !join(each).await.contains(&false);
    }
    join(runners.into_iter().map(Runner::end)).await;
    good
}

/// Connects, then `steps` commands on each host with a barrier after each. `warm` gets the time without connecting.
pub fn steps(farm: &Farm, steps: usize, runner: bool, warm: &mut Vec<f64>) -> Option<f64> {
    farm.forget();
    let (done, seconds) = kit::timed(|| {
        block_on(async {
            let sessions = connect_all(farm, 32).await?;
            let began = std::time::Instant::now();
            let good = all_steps(&sessions, steps, runner).await;
            warm.push(began.elapsed().as_secs_f64());
            close_all(sessions).await;
            good.then_some(())
        })
    });
    done.map(|()| seconds)
}

/// Connect, one command, close, per host.
pub fn fan_out(farm: &Farm, at_once: usize) -> Option<f64> {
    let (done, seconds) = kit::timed(|| {
        block_on(async {
            let room = &Semaphore::new(at_once);
            let each = farm.hosts.iter().map(|host| async move {
                let _permit = room.acquire().await.ok()?;
                let session = connect(farm, host).await.map_err(|e| eprintln!("! {host}: {e:?}")).ok()?;
                let good = plain(&session).await;
                session.close().await.ok()?;
                good.then_some(())
            });
            join(each).await.into_iter().collect::<Option<Vec<()>>>()
        })
    });
    done.map(|_| seconds)
}

/// On one warm connection, `count` commands one after another; seconds for all.
pub fn warm(farm: &Farm, count: usize, runner: bool) -> Option<f64> {
    farm.forget();
    block_on(async {
        let session = Arc::new(connect(farm, &farm.hosts[0]).await.ok()?);
        let began = std::time::Instant::now();
        let good = all_steps(std::slice::from_ref(&session), count, runner).await;
        let seconds = began.elapsed().as_secs_f64();
        close_all(vec![session]).await;
        good.then_some(seconds)
    })
}
