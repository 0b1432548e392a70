//! Connections to hosts: one or a few per host, eight sessions on each, connects bounded. Chooses between the two ways to
//! make them; knows nothing of attempts.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use openssh::Session;
use tokio::sync::{Mutex, OnceCell, OwnedSemaphorePermit, Semaphore};

use super::channel::Channel;
use super::failed::{Failed, Kind};
use super::hosts::Config;
use super::masters::{self, Masters};
use super::native::{self, Native};
use super::spare::{Spares, let_go};
use super::{Means, Reached, jitter};
use crate::plan::model::HostName;

/// Below sshd's default `MaxSessions 10`, because a slot is freed a little after its session's end.
const SESSIONS_PER_CONNECTION: usize = 8;
const CONNECTIONS_PER_HOST: usize = 4;
/// Connects that a busy sshd (MaxStartups) drops before authentication are tried again this often.
const CONNECT_TRIES: u32 = 6;

/// Files that a connection with a few sessions holds open in this process, at most of the time.
const FILES_PER_CONNECTION: u64 = 8;
/// Files for everything else: journal, logs, terminals that watch.
const OTHER_FILES: u64 = 256;
const MOST_CONNECTIONS: usize = 100_000;

/// All connections of one run.
#[derive(Debug)]
pub(super) struct Links {
    means: Means,
    masters: Masters,
    native: Native,
    hosts: BTreeMap<HostName, HostLinks>,
    connects: Arc<Semaphore>,
    /// Connections that may be open: see [`room`].
    room: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct HostLinks {
    way: OnceCell<Way>,
    /// Why the native way was left for ssh, once it was tried.
    left_native: OnceLock<String>,
    open: Mutex<Vec<Arc<Link>>>,
    spares: Spares,
}

/// How a host is reached.
#[derive(Debug)]
enum Way {
    Openssh,
    Native(Box<native::Route>),
    /// It was to be the native way, and cannot be.
    None(String),
}

#[derive(Debug)]
struct Link {
    connection: Connection,
    slots: Arc<Semaphore>,
    dead: AtomicBool,
    _place: OwnedSemaphorePermit,
}

/// An open connection of either kind.
#[derive(Debug)]
pub(super) enum Connection {
    Openssh(Arc<Session>),
    Native(Box<native::Connection>),
}

impl Links {
    /// Prepares connections; opens none.
    ///
    /// # Errors
    /// A host whose address cannot be an ssh option, or no short private directory for the control sockets.
    pub(super) fn new(settings: &Config) -> io::Result<Self> {
        let hosts = settings.hosts.keys().map(|name| (name.clone(), HostLinks::default())).collect();
        let files = masters::included(settings.ssh_config.as_deref());
        Ok(Self {
            means: settings.means,
            masters: Masters::new(settings)?,
            native: Native::new(&settings.hosts, &files, settings.keepalive),
            hosts,
            connects: Arc::new(Semaphore::new(settings.connect_at_once.max(1))),
            room: Arc::new(Semaphore::new(settings.open_at_most.unwrap_or_else(|| room(settings)))),
        })
    }

    /// A private directory whose path is short enough for sockets.
    pub(super) fn directory(&self) -> &Path {
        self.masters.directory()
    }

    /// What reaches the host, as far as is known: a connect may show that it must be `ssh`.
    ///
    /// # Errors
    /// Why it cannot be reached by the means that was asked for.
    pub(super) async fn reached(&self, host: &str) -> Result<Reached, String> {
        let links = self.of(host).map_err(|failed| failed.why)?;
        let (means, not_native) = match (self.way(host, links).await, links.left_native.get()) {
            (Way::Native(_), _) => (Means::Native, None),
            (Way::Openssh, Some(why)) => (Means::Openssh, Some(why.clone())),
            (Way::Openssh, None) if self.means == Means::Auto => {
                (Means::Openssh, self.native.route(host).await.err().map(|why| why.join("; ")))
            }
            (Way::Openssh, None) => (Means::Openssh, None),
            (Way::None(why), _) => return Err(why.clone()),
        };
        Ok(Reached { means, not_native })
    }

    fn of(&self, host: &str) -> Result<&HostLinks, Failed> {
        self.hosts.get(host).ok_or_else(|| Failed::lost(format!("the plan has no host {host}")))
    }

    async fn way<'a>(&self, host: &str, links: &'a HostLinks) -> &'a Way {
        let choose = || async {
            match self.means {
                Means::Openssh => Way::Openssh,
                Means::Native | Means::Auto => match self.native.route(host).await {
                    Ok(route) => Way::Native(Box::new(route)),
                    Err(_) if self.means == Means::Auto => Way::Openssh,
                    Err(why) => Way::None(not_natively(&why.join("; "))),
                },
            }
        };
        match links.left_native.get() {
            Some(_) => &Way::Openssh,
            None => links.way.get_or_init(choose).await,
        }
    }

    /// A runner on the host: one that waits for another request, or `command`, connecting when needed.
    ///
    /// # Errors
    /// Why it cannot be done, in plain words. Nothing has reached the host's command then.
    pub(super) async fn open(&self, host: &str, command: &str) -> Result<Channel, Failed> {
        let links = self.of(host)?;
        let mut refused = 0;
        loop {
            // Asked again each time: a runner that became free meanwhile holds the very session that is wanted here.
            if let Some(channel) = links.spares.take() {
                return Ok(channel);
            }
            let (link, slot) = self.link(host, links).await?;
            let failed = match link.connection.start(command, slot).await {
                Ok(channel) => return Ok(channel),
                Err(failed) => failed,
            };
            refused += 1;
            if refused > 20 {
                return Err(failed);
            }
            if failed.kind == Kind::Full {
                tokio::time::sleep(jitter(Duration::from_millis(10 << refused.min(6)))).await;
            } else {
                link.dead.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Keeps a runner of the host that takes another request.
    pub(super) fn keep(&self, host: &str, channel: Channel) {
        if let Some(links) = self.hosts.get(host) {
            links.spares.keep(channel);
        }
    }

    /// Starts `command` on a connection of its own. It ends with the connection that is given back.
    ///
    /// # Errors
    /// Why it cannot be done, in plain words.
    pub(super) async fn open_apart(&self, host: &str, command: &str) -> Result<(Channel, Connection), Failed> {
        let links = self.of(host)?;
        let connection = self.connect(host, links).await?;
        let slot = Arc::new(Semaphore::new(1)).acquire_owned().await.map_err(|_| Failed::lost("closed"))?;
        let channel = connection.start(command, slot).await?;
        Ok((channel, connection))
    }

    /// A live connection with a free slot. Connects of one host wait for one another, so that a burst of actions on a
    /// host makes one connection and not one each.
    async fn link(&self, host: &str, links: &HostLinks) -> Result<(Arc<Link>, OwnedSemaphorePermit), Failed> {
        let mut open = links.open.lock().await;
        open.retain(|link| !link.is_dead());
        for link in open.iter() {
            if let Ok(slot) = link.slots.clone().try_acquire_owned() {
                return Ok((link.clone(), slot));
            }
        }
        let link = if open.len() >= CONNECTIONS_PER_HOST {
            open[jitter_index(open.len())].clone()
        } else {
            let place = self.place().await?;
            let connection = self.connect(host, links).await?;
            let slots = Arc::new(Semaphore::new(SESSIONS_PER_CONNECTION));
            let link = Arc::new(Link { connection, slots, dead: AtomicBool::new(false), _place: place });
            open.push(link.clone());
            link
        };
        drop(open);
        let slot = link.slots.clone().acquire_owned().await.map_err(|_| Failed::lost("closed"))?;
        Ok((link, slot))
    }

    /// A place for one more connection. Where there is none, connections that nobody uses make room.
    async fn place(&self) -> Result<OwnedSemaphorePermit, Failed> {
        loop {
            if let Ok(place) = self.room.clone().try_acquire_owned() {
                return Ok(place);
            }
            self.close_idle().await;
            // One that becomes idle says nothing; hence the limit.
            if let Ok(place) = tokio::time::timeout(Duration::from_millis(20), self.room.clone().acquire_owned()).await
            {
                return place.map_err(|_| Failed::lost("closed"));
            }
        }
    }

    async fn close_idle(&self) {
        for links in self.hosts.values() {
            let_go(links.spares.take_all()).await;
            let Ok(mut open) = links.open.try_lock() else { continue };
            let idle = |link: &mut Arc<Link>| {
                link.slots.available_permits() == SESSIONS_PER_CONNECTION && Arc::strong_count(link) == 1
            };
            let idle: Vec<Arc<Link>> = open.extract_if(.., idle).collect();
            drop(open);
            for link in idle.into_iter().filter_map(Arc::into_inner) {
                link.connection.close().await;
            }
        }
    }

    async fn connect(&self, host: &str, links: &HostLinks) -> Result<Connection, Failed> {
        let mut tries = 0;
        loop {
            let way = self.way(host, links).await;
            let permit = self.connects.acquire().await.map_err(|_| Failed::lost("closed"))?;
            let failed = match way {
                Way::None(why) => return Err(Failed::lost(why)),
                Way::Openssh => match self.masters.connect(host).await {
                    Ok(session) => return Ok(Connection::Openssh(Arc::new(session))),
                    Err(failed) => failed,
                },
                Way::Native(route) => match self.native.connect(route).await {
                    Ok(connection) => return Ok(Connection::Native(Box::new(connection))),
                    Err(failed) => failed,
                },
            };
            drop(permit);
            if failed.kind == Kind::Foreign {
                if self.means != Means::Auto {
                    return Err(Failed { why: not_natively(&failed.why), ..failed });
                }
                links.left_native.get_or_init(|| failed.why);
                continue;
            }
            tries += 1;
            if failed.kind != Kind::Early || tries >= CONNECT_TRIES {
                return Err(failed);
            }
            tokio::time::sleep(jitter(Duration::from_millis(200 << tries))).await;
        }
    }

    /// Ends every connection. Nothing that runs on the hosts is touched.
    pub(super) async fn close(&self) {
        let_go(self.hosts.values().flat_map(|links| links.spares.take_all()).collect()).await;
        for links in self.hosts.values() {
            let open = std::mem::take(&mut *links.open.lock().await);
            for link in open {
                link.dead.store(true, Ordering::Relaxed);
                if let Some(link) = Arc::into_inner(link) {
                    link.connection.close().await;
                }
            }
        }
        self.native.close().await;
    }
}

impl Link {
    fn is_dead(&self) -> bool {
        let closed = matches!(&self.connection, Connection::Native(connection) if connection.is_closed());
        closed || self.dead.load(Ordering::Relaxed)
    }
}

impl Connection {
    /// Starts a command, which holds `slot` until it has ended.
    async fn start(&self, command: &str, slot: OwnedSemaphorePermit) -> Result<Channel, Failed> {
        match self {
            Self::Openssh(session) => masters::start(session, command).await.map(|child| Channel::remote(child, slot)),
            Self::Native(connection) => connection.start(command, slot).await,
        }
    }

    /// Ends the connection, when nothing else uses it.
    pub(super) async fn close(self) {
        // Closing is a courtesy: what is gone already has nothing to say.
        let courtesy = async {
            match self {
                Self::Openssh(session) => {
                    if let Some(session) = Arc::into_inner(session) {
                        let _ = session.close().await;
                    }
                }
                Self::Native(connection) => connection.close().await,
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(2), courtesy).await;
    }
}

/// How many connections the limit of open files leaves room for, after it was raised as far as it may be and is needed.
fn room(settings: &Config) -> usize {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let needed =
        u64::try_from(settings.hosts.len()).unwrap_or(u64::MAX).saturating_mul(FILES_PER_CONNECTION) + OTHER_FILES;
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < needed) {
        let wanted = limit.maximum.map_or(needed, |most| most.min(needed));
        let raised = rustix::process::Rlimit { current: Some(wanted), ..limit };
        if setrlimit(Resource::Nofile, raised).is_ok() {
            limit.current = Some(wanted);
        }
    }
    let files = limit.current.unwrap_or(needed).saturating_sub(OTHER_FILES);
    usize::try_from(files / FILES_PER_CONNECTION).unwrap_or(MOST_CONNECTIONS).clamp(1, MOST_CONNECTIONS)
}

fn not_natively(why: &str) -> String {
    format!("the native transport cannot reach it: {why}; `--transport auto` would take ssh for it")
}

fn jitter_index(length: usize) -> usize {
    usize::try_from(super::random() % length.max(1) as u64).unwrap_or(0)
}
