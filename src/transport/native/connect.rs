//! Opens a connection: TCP or through other hosts, the host's key checked, logged in. Starts commands on it.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use russh::client::{self, ChannelOpenHandle, Handle, Msg, Session};
use russh::keys::PublicKeyOrCertificate;
use russh::keys::ssh_key::HashAlg;
use russh::{Disconnect, SshId};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

use super::keys::LogIn;
use super::known::Distrust;
use super::pipe;
use super::route::Route;
use crate::driver::clock;
use crate::transport::channel::Channel;
use crate::transport::failed::{Failed, Kind};
use crate::transport::offered;

/// For TCP, for the exchange of keys, and for logging in, each.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of output that a host may send before we take any: memory per command, and speed over long ways.
const WINDOW: u32 = 1 << 20;
/// Pieces of output, of 32 KiB at most, that wait for us.
const WAITING: usize = 16;

/// An open connection. Dropping it ends it.
pub(in crate::transport) struct Connection {
    handle: Handle<Judge>,
    env: Vec<(String, String)>,
    /// What it leads through.
    _through: Option<Arc<Connection>>,
}

impl Connection {
    /// # Errors
    /// In plain words.
    pub(in crate::transport) async fn open(
        route: &Route,
        through: Option<Arc<Self>>,
        keepalive: (Duration, u32),
    ) -> Result<Self, Failed> {
        let config = Arc::new(client::Config {
            client_id: SshId::Standard(concat!("SSH-2.0-runbook_", env!("CARGO_PKG_VERSION")).into()),
            preferred: route.preferred.clone(),
            keepalive_interval: Some(keepalive.0),
            keepalive_max: usize::try_from(keepalive.1).unwrap_or(usize::MAX),
            window_size: WINDOW,
            channel_buffer_size: WAITING,
            nodelay: true,
            ..client::Config::default()
        });
        let verdict = Arc::default();
        let judge = Judge { route: route.trusted.clone(), verdict: Arc::clone(&verdict) };
        let mut handle = match &through {
            None => {
                let stream = in_time(TcpStream::connect((route.address.as_str(), route.port))).await?;
                let stream = stream.map_err(|e| Failed::lost(tcp_words(&e)))?;
                let _ = stream.set_nodelay(true);
                in_time(client::connect_stream(config, stream, judge)).await?
            }
            Some(through) => {
                let port = u32::from(route.port);
                let channel = in_time(through.handle.channel_open_direct_tcpip(&route.address, port, "127.0.0.1", 0));
                let channel = channel.await?.map_err(|e| failed(&e))?;
                in_time(client::connect_stream(config, channel.into_stream(), judge)).await?
            }
        }
        .map_err(|e| match taken(&verdict) {
            Some((distrust, offered)) => {
                Failed { why: distrust_words(route, &distrust, &offered), kind: Kind::Distrusted }
            }
            None => failed(&e),
        })?;
        match in_time(route.keys.log_in(&mut handle, &route.user)).await? {
            Ok(()) => Ok(Self { handle, env: route.env.clone(), _through: through }),
            Err(LogIn::Refused(why)) => Err(Failed::lost(format!("it refuses our keys ({why})"))),
            Err(LogIn::Lost(e)) => Err(failed(&e)),
        }
    }

    /// Starts a command, which holds `slot` until its session is over.
    ///
    /// # Errors
    /// When the host opens no session. The command may have been started where the connection was lost.
    pub(in crate::transport) async fn start(
        &self,
        command: &str,
        slot: OwnedSemaphorePermit,
    ) -> Result<Channel, Failed> {
        let lost = |e: russh::Error| Failed::lost(words(&e));
        let channel = self.handle.channel_open_session().await.map_err(|e| match e {
            russh::Error::ChannelOpenFailure(_) => Failed { why: words(&e), kind: Kind::Full },
            e => lost(e),
        })?;
        for (name, value) in &self.env {
            channel.set_env(false, name.as_str(), value.as_str()).await.map_err(lost)?;
        }
        channel.exec(true, command).await.map_err(lost)?;
        Ok(pipe::channel(channel, slot))
    }

    pub(in crate::transport) fn is_closed(&self) -> bool {
        self.handle.is_closed()
    }

    /// Says good-bye. What runs on the host is not touched.
    pub(in crate::transport) async fn close(&self) {
        let _ = self.handle.disconnect(Disconnect::ByApplication, "", "en").await;
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}

async fn in_time<T>(work: impl Future<Output = T>) -> Result<T, Failed> {
    let late = |_| Failed::lost("it does not answer");
    tokio::time::timeout(PATIENCE, work).await.map_err(late)
}

/// Checks a host's key, and refuses everything that a host might want of us.
struct Judge {
    route: Arc<super::known::Trusted>,
    verdict: Arc<Mutex<Option<(Distrust, String)>>>,
}

fn taken(verdict: &Mutex<Option<(Distrust, String)>>) -> Option<(Distrust, String)> {
    verdict.lock().ok()?.take()
}

impl client::Handler for Judge {
    type Error = russh::Error;

    async fn check_server_key(&mut self, offered: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        let now = u64::try_from(clock::now().as_second()).unwrap_or(0);
        let Err(distrust) = self.route.judge(offered, now) else { return Ok(true) };
        let key = offered.public_key();
        if let Ok(mut verdict) = self.verdict.lock() {
            *verdict = Some((distrust, format!("{} {}", key.algorithm(), key.fingerprint(HashAlg::Sha256))));
        }
        Ok(false)
    }

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        _: russh::Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        refused: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        drop(refused);
        Ok(())
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        _: russh::Channel<Msg>,
        _: &str,
        refused: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        drop(refused);
        Ok(())
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        _: russh::Channel<Msg>,
        refused: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        drop(refused);
        Ok(())
    }

    async fn server_channel_open_session(
        &mut self,
        _: russh::Channel<Msg>,
        refused: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        drop(refused);
        Ok(())
    }

    async fn server_channel_open_direct_tcpip(
        &mut self,
        _: russh::Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        refused: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        drop(refused);
        Ok(())
    }

    async fn server_channel_open_direct_streamlocal(
        &mut self,
        _: russh::Channel<Msg>,
        _: &str,
        refused: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        drop(refused);
        Ok(())
    }

    async fn server_channel_open_x11(
        &mut self,
        _: russh::Channel<Msg>,
        _: &str,
        _: u32,
        refused: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        drop(refused);
        Ok(())
    }
}

fn distrust_words(route: &Route, distrust: &Distrust, offered: &str) -> String {
    match distrust {
        Distrust::Unknown => offered::words(&route.known_as, Some(offered)),
        Distrust::Changed(place) => {
            format!("its host key has changed: it offers {offered}, and another one is known at {place}")
        }
        Distrust::Revoked => format!("its host key is revoked ({offered})"),
        Distrust::Certificate(why) => format!("its host certificate is not good: {why} ({offered})"),
    }
}

fn failed(error: &russh::Error) -> Failed {
    use std::io::ErrorKind as K;
    let kind = match error {
        russh::Error::HUP | russh::Error::Disconnect => Kind::Early,
        russh::Error::IO(e) if matches!(e.kind(), K::UnexpectedEof | K::ConnectionReset | K::BrokenPipe) => Kind::Early,
        russh::Error::NoCommonAlgo { .. } => Kind::Foreign,
        _ => Kind::Lost,
    };
    Failed { why: words(error), kind }
}

fn tcp_words(error: &std::io::Error) -> String {
    use std::io::ErrorKind as K;
    let meaning = match error.kind() {
        K::ConnectionRefused => "it refuses connections",
        K::TimedOut => "it does not answer",
        K::HostUnreachable | K::NetworkUnreachable => "there is no route to it",
        // The resolver's errors have no kind of their own.
        _ if error.raw_os_error().is_none() => "its name cannot be resolved",
        _ => "it cannot be reached",
    };
    format!("{meaning} ({error})")
}

fn words(error: &russh::Error) -> String {
    match error {
        russh::Error::HUP | russh::Error::Disconnect => "it ended the connection".into(),
        russh::Error::ChannelOpenFailure(why) => format!("it opens no more sessions ({why:?})"),
        russh::Error::KeepaliveTimeout => "it does not answer any more".into(),
        russh::Error::NoCommonAlgo { kind, theirs, .. } => {
            // Some of what is listed are no algorithms.
            let real = |name: &&String| !name.starts_with("kex-strict-") && !name.starts_with("ext-info-");
            let theirs: Vec<&str> = theirs.iter().filter(real).map(String::as_str).collect();
            format!("no {kind:?} algorithm in common; it offers {}", theirs.join(", "))
        }
        error => {
            let mut text = error.to_string();
            if let Some(cause) = std::error::Error::source(error) {
                let _ = write!(text, ": {cause}");
            }
            text
        }
    }
}
