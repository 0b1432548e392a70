//! A TCP proxy on loopback that breaks its first connection after a number of bytes, and passes on all later ones.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Both sides get a reset.
    Reset,
    /// Nothing passes any more, and nobody is told.
    BlackHole,
}

#[derive(Debug)]
pub struct Proxy {
    pub port: u16,
    pub broken: Arc<AtomicBool>,
    listener: JoinHandle<()>,
}

impl Proxy {
    /// Passes connections on to `to`. The first one breaks when `after` bytes have passed, both ways together.
    pub async fn start(to: SocketAddr, after: i64, fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let broken = Arc::new(AtomicBool::new(false));
        let told = broken.clone();
        let listener = tokio::spawn(async move {
            let mut left = Some(after);
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(to).await else { continue };
                tokio::spawn(pass(client, server, left.take().unwrap_or(i64::MAX), fault, told.clone()));
            }
        });
        Self { port, broken, listener }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

async fn pass(client: TcpStream, server: TcpStream, left: i64, fault: Fault, broken: Arc<AtomicBool>) {
    let left = Arc::new(AtomicI64::new(left));
    let (stop, stopped) = watch::channel(false);
    let stop = Arc::new(stop);
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let up = copy(&mut from_client, &mut to_server, left.clone(), stop.clone(), stopped.clone());
    let down = copy(&mut from_server, &mut to_client, left.clone(), stop.clone(), stopped.clone());
    tokio::join!(up, down);
    if left.load(Ordering::SeqCst) > 0 {
        return;
    }
    broken.store(true, Ordering::SeqCst);
    match fault {
        Fault::BlackHole => {
            // Held open until the peers give up; a test that ends drops the task with its runtime.
            let mut rest = [0; 4096];
            while from_client.read(&mut rest).await.is_ok_and(|n| n > 0) {}
            std::future::pending::<()>().await;
        }
        Fault::Reset => {
            for half in [from_client.reunite(to_client), from_server.reunite(to_server)] {
                let _ = half.map(|stream| stream.set_zero_linger());
            }
        }
    }
}

async fn copy(
    from: &mut tokio::net::tcp::OwnedReadHalf,
    to: &mut tokio::net::tcp::OwnedWriteHalf,
    left: Arc<AtomicI64>,
    stop: Arc<watch::Sender<bool>>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut buffer = [0; 16 * 1024];
    loop {
        let n = tokio::select! {
            n = from.read(&mut buffer) => n.unwrap_or(0),
            _ = stopped.wait_for(|s| *s) => return,
        };
        if n == 0 {
            let _ = to.shutdown().await;
            return;
        }
        let length = i64::try_from(n).unwrap();
        let before = left.fetch_sub(length, Ordering::SeqCst);
        let passes = usize::try_from(before.clamp(0, length)).unwrap();
        if to.write_all(&buffer[..passes]).await.is_err() || before <= length {
            stop.send_replace(true);
            return;
        }
    }
}
