//! A session of a connection as three streams. Dropping all of them ends the session, as closing them would for ssh.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use russh::client::Msg;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio::io::{AsyncRead, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use crate::transport::channel::{Channel, End};

/// Pieces of a stream that wait for its reader, beside those that wait in the connection. Bounded, so that a slow reader
/// slows the host down.
const WAITING: usize = 8;
/// Bytes of input on their way.
const INPUT: usize = 64 * 1024;
/// What ssh calls stderr.
const STDERR: u32 = 1;

/// `slot` is held until the host has closed the session, because until then it counts there.
pub(super) fn channel(channel: russh::Channel<Msg>, slot: OwnedSemaphorePermit) -> Channel {
    let (read, write) = channel.split();
    let (stdin, input) = tokio::io::duplex(INPUT);
    let (stdout, out) = mpsc::channel(WAITING);
    let (stderr, err) = mpsc::channel(WAITING);
    let (over, ended) = oneshot::channel();
    tokio::spawn(feed(input, write.make_writer()));
    tokio::spawn(async move {
        let by_itself = pump(read, &write, stdout, stderr).await;
        let _ = over.send(by_itself);
        drop(slot);
    });
    Channel {
        stdin: Box::new(stdin),
        stdout: Box::new(Stream { pieces: out, rest: Bytes::new() }),
        stderr: Box::new(Stream { pieces: err, rest: Bytes::new() }),
        end: End::Native(ended),
    }
}

async fn feed(mut input: DuplexStream, mut writer: impl tokio::io::AsyncWrite + Unpin) {
    if tokio::io::copy(&mut input, &mut writer).await.is_ok() {
        // The end of the input is news to the command, not to us.
        let _ = writer.shutdown().await;
    }
}

/// Gives each stream what belongs to it until the host closes the session; says whether the command ended by itself.
async fn pump(
    mut read: ChannelReadHalf,
    write: &ChannelWriteHalf<Msg>,
    stdout: mpsc::Sender<Bytes>,
    stderr: mpsc::Sender<Bytes>,
) -> bool {
    let (mut streams, mut by_itself, mut closing) = (Some((stdout, stderr)), false, false);
    loop {
        let nobody_reads = async {
            match &streams {
                Some((stdout, stderr)) => tokio::join!(stdout.closed(), stderr.closed()),
                None => std::future::pending().await,
            }
        };
        let message = tokio::select! {
            message = read.wait() => message,
            _ = nobody_reads, if !closing => {
                closing = true;
                if write.close().await.is_err() {
                    return by_itself;
                }
                continue;
            }
        };
        match (message, &streams) {
            (None, _) => return by_itself,
            // A reader that is gone misses nothing.
            (Some(ChannelMsg::Data { data }), Some((stdout, _))) => drop(stdout.send(data).await),
            (Some(ChannelMsg::ExtendedData { data, ext: STDERR }), Some((_, stderr))) => drop(stderr.send(data).await),
            (Some(ChannelMsg::ExitStatus { .. } | ChannelMsg::ExitSignal { .. }), _) => by_itself = true,
            (Some(ChannelMsg::Eof), _) => streams = None,
            // The host starts no command at all.
            (Some(ChannelMsg::Failure), _) => {
                let _ = write.close().await;
            }
            _ => {}
        }
    }
}

/// One stream of a session.
struct Stream {
    pieces: mpsc::Receiver<Bytes>,
    rest: Bytes,
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match ready!(self.pieces.poll_recv(cx)) {
                Some(piece) => self.rest = piece,
                None => return Poll::Ready(Ok(())),
            }
        }
        let n = self.rest.len().min(buffer.remaining());
        buffer.put_slice(&self.rest[..n]);
        self.rest.advance(n);
        Poll::Ready(Ok(()))
    }
}
