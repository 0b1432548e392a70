//! A started process with its three streams, here or on a host. Knows nothing of what it does.

use std::io;
use std::path::Path;
use std::sync::Arc;

use openssh::{Child, Session};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::process::Command;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// Dropping a channel ends no process: what runs on the other side is detached from it.
pub(super) struct Channel {
    pub stdin: Box<dyn AsyncWrite + Send + Unpin>,
    pub stdout: Box<dyn AsyncRead + Send + Unpin>,
    pub stderr: Box<dyn AsyncRead + Send + Unpin>,
    pub end: End,
}

pub(super) enum End {
    Remote(Child<Arc<Session>>, OwnedSemaphorePermit),
    /// Told when the session is over: whether its command ended by itself.
    Native(oneshot::Receiver<bool>),
    Local(tokio::process::Child),
    Keeper,
}

impl Channel {
    pub(super) fn remote(mut child: Child<Arc<Session>>, slot: OwnedSemaphorePermit) -> Self {
        Self {
            stdin: child.stdin().take().map_or_else(|| Box::new(tokio::io::sink()) as _, |s| Box::new(s) as _),
            stdout: child.stdout().take().map_or_else(|| Box::new(tokio::io::empty()) as _, |s| Box::new(s) as _),
            stderr: child.stderr().take().map_or_else(|| Box::new(tokio::io::empty()) as _, |s| Box::new(s) as _),
            end: End::Remote(child, slot),
        }
    }

    /// Starts a shell on this machine, in a process group of its own, so that signals meant for us do not reach it.
    ///
    /// # Errors
    /// The process could not be started.
    pub(super) fn local(arguments: &[&str]) -> io::Result<Self> {
        let mut command = Command::new("sh");
        command.args(arguments);
        Self::start(command)
    }

    /// Starts a program that executes `command` as the login shell of another host would; nothing of our environment
    /// reaches it.
    ///
    /// # Errors
    /// The process could not be started.
    pub(super) fn session(program: &Path, command: &str) -> io::Result<Self> {
        let mut session = Command::new(program);
        session.env_clear().env("SSH_ORIGINAL_COMMAND", command).current_dir("/");
        Self::start(session)
    }

    fn start(mut command: Command) -> io::Result<Self> {
        let mut child = command
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .process_group(0)
            .spawn()?;
        let missing = || io::Error::other("a pipe is missing");
        Ok(Self {
            stdin: Box::new(child.stdin.take().ok_or_else(missing)?),
            stdout: Box::new(child.stdout.take().ok_or_else(missing)?),
            stderr: Box::new(child.stderr.take().ok_or_else(missing)?),
            end: End::Local(child),
        })
    }
}

impl Channel {
    /// A connection to the keeper, which says everything on one stream.
    pub(super) fn keeper(connection: tokio::net::UnixStream) -> Self {
        let (stdout, stdin) = connection.into_split();
        Self {
            stdin: Box::new(stdin),
            stdout: Box::new(stdout),
            stderr: Box::new(tokio::io::empty()),
            end: End::Keeper,
        }
    }
}

impl End {
    /// Whether the process ended by itself, as opposed to a connection that was lost. Not about success.
    pub(super) async fn ended_by_itself(self) -> bool {
        match self {
            Self::Remote(child, _slot) => child.wait().await.is_ok(),
            Self::Native(ended) => ended.await.unwrap_or(false),
            Self::Local(mut child) => child.wait().await.is_ok(),
            Self::Keeper => false,
        }
    }
}
