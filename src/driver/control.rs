//! The control socket of an engine: people's requests in, the engine's answers out, one JSON text a line. Knows nothing of
//! what the requests mean.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

use super::run_loop::Asked;
use crate::engine::input::{Operator, Reply};

/// The longest request, in bytes: an amended plan, which is as long as a plan may be.
const LONGEST: u64 = 64 << 20;
/// Paths of sockets are limited by the system; 108 bytes with the final zero on Linux.
const LONGEST_PATH: usize = 107;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Is anybody there, and who?
    Hello,
    Ask(Operator),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    Hello(Hello),
    Reply(Reply),
    /// The request could not be read, or the engine is about to end.
    Failed {
        why: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    pub run: String,
    pub pid: u32,
    pub epoch: u64,
}

/// Whether the system can have a socket of this path.
///
/// # Errors
/// Says how long it is and how long it may be.
pub fn check_path(path: &Path) -> Result<(), String> {
    let length = path.as_os_str().len();
    if length <= LONGEST_PATH {
        return Ok(());
    }
    Err(format!("the control socket {} has a path of {length} bytes, the system allows {LONGEST_PATH}", path.display()))
}

/// Makes the socket, reachable by this user alone. Its folder must be private already. A socket that nobody answers is
/// replaced.
///
/// # Errors
/// `AddrInUse` when somebody answers at `path`.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    if path.symlink_metadata().is_ok() {
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another engine answers at this socket"));
        }
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers everybody who connects, until the run loop is gone.
pub async fn serve(listener: UnixListener, hello: Hello, ask: mpsc::Sender<Asked>) {
    let us = rustix::process::geteuid().as_raw();
    while let Ok((stream, _)) = listener.accept().await {
        if stream.peer_cred().is_ok_and(|peer| peer.uid() == us || peer.uid() == 0) {
            tokio::spawn(converse(stream, hello.clone(), ask.clone()));
        }
    }
}

async fn converse(mut stream: UnixStream, hello: Hello, ask: mpsc::Sender<Asked>) {
    let (read, mut write) = stream.split();
    let mut read = BufReader::new(read);
    loop {
        let mut line = String::new();
        match (&mut read).take(LONGEST).read_line(&mut line).await {
            Ok(n) if n > 0 => {}
            _ => return,
        }
        let response = answer(&line, &hello, &ask).await;
        let Ok(mut text) = serde_json::to_string(&response) else { return };
        text.push('\n');
        if write.write_all(text.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn answer(line: &str, hello: &Hello, ask: &mpsc::Sender<Asked>) -> Response {
    let failed = |why: &str| Response::Failed { why: why.to_owned() };
    match serde_json::from_str(line) {
        Ok(Request::Hello) => Response::Hello(hello.clone()),
        Ok(Request::Ask(operator)) => {
            let (reply, answered) = oneshot::channel();
            if ask.send(Asked { operator, reply }).await.is_err() {
                return failed("the engine is about to end");
            }
            answered.await.map_or_else(|_| failed("the engine ended before it answered"), Response::Reply)
        }
        Err(e) => failed(&format!("this request cannot be read: {e}")),
    }
}
