//! The controller's side: starts its keeper when it is first needed, and again when it died; connects to it.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

use super::READY;

/// A keeper that is not there by then is done without.
const PATIENCE: Duration = Duration::from_secs(5);
/// Keepers that may die before we do without.
const MOST_STARTS: usize = 4;
/// Starts the keeper deaf to what a terminal or a careless `kill` sends.
const START: &str = "trap '' HUP INT QUIT TERM; exec \"$0\" keeper";

/// The keeper of this controller.
#[derive(Debug)]
pub(in crate::transport) struct Keeper {
    /// The program that has the command `keeper`; without one there is no keeper.
    program: Option<PathBuf>,
    /// Private and short.
    directory: PathBuf,
    now: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    starts: usize,
    serving: Option<Serving>,
}

#[derive(Debug)]
struct Serving {
    socket: PathBuf,
    _process: Child,
    /// Keeps it alive; it ends some time after us.
    _stay: UnixStream,
}

impl Keeper {
    pub(in crate::transport) fn new(program: Option<PathBuf>, directory: &Path) -> Self {
        Self { program, directory: directory.to_owned(), now: Mutex::default() }
    }

    /// A connection to the keeper, for one attempt; `None` where the caller must do without.
    pub(in crate::transport) async fn connect(&self) -> Option<UnixStream> {
        let program = self.program.as_ref()?;
        let mut now = self.now.lock().await;
        loop {
            if let Some(serving) = &now.serving {
                match UnixStream::connect(&serving.socket).await {
                    Ok(connection) => return Some(connection),
                    Err(_) => now.serving = None,
                }
            }
            if now.starts >= MOST_STARTS {
                return None;
            }
            now.starts += 1;
            let socket = self.directory.join(format!("keeper.{}", now.starts));
            match tokio::time::timeout(PATIENCE, start(program, &socket)).await {
                Ok(Ok(serving)) => now.serving = Some(serving),
                _ => now.starts = MOST_STARTS,
            }
        }
    }

    /// Lets the keeper go. What it watches over goes on.
    pub(in crate::transport) async fn close(&self) {
        let mut now = self.now.lock().await;
        now.serving = None;
        now.starts = MOST_STARTS;
    }
}

async fn start(program: &Path, socket: &Path) -> io::Result<Serving> {
    let listener = UnixListener::bind(socket)?;
    let process = Command::new("sh")
        .args(["-c", START])
        .arg(program)
        .stdin(Stdio::from(OwnedFd::from(listener)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let mut stay = UnixStream::connect(socket).await?;
    stay.write_all(&[0; 4]).await?;
    let mut said = [0; READY.len()];
    stay.read_exact(&mut said).await?;
    if said != READY {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(Serving { socket: socket.to_owned(), _process: process, _stay: stay })
}
