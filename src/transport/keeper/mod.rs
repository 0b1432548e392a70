//! The keeper: one process per controller that starts shell texts on this machine without a shell per attempt to watch
//! over each. It keeps the same records as the runner (`templates/remote/runner.sh`), which alone resolves, kills and
//! fetches: what a keeper started, any runner can follow. Knows nothing of plans or of other machines.
//!
//! - The controller binds a socket in a private directory and hands it over as stdin, so there is no name to guess, no
//!   stale socket to meet, and no moment at which the keeper is not ready.
//! - One connection is one attempt: a `Call`, then words from both sides as with the runner. A connection that
//!   says nothing (an empty call) only keeps the keeper alive: the controller holds one.
//! - A command is a session leader of its own, started by `posix_spawn`, and waits at a gate (its stdin) until its pid is
//!   on disk. A keeper that dies before closes the gate, and the command's text is not read.
//! - When its controller is gone the keeper goes on to drain, to enforce limits and to record, and ends when nothing is
//!   left to do. When the keeper itself is killed, commands live on without their output and limits; their records say
//!   which process they are, so that they can be waited for and killed; what then ends has been `interrupted`.

pub(super) mod call;
pub(super) mod client;
mod gate;
mod record;
mod store;
mod supervise;
mod voice;

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Without any connection or attempt for this long there is nobody to serve.
const IDLE: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };
/// What a keeper says to the connection that keeps it alive.
const READY: &[u8] = b"ready\n";

/// Serves the socket on stdin until nobody is there and nothing runs.
///
/// # Errors
/// Stdin is no listening socket, or this machine tells nothing of processes.
pub fn serve() -> io::Result<()> {
    // Away from the terminal, its job control and its hang-up. Fails only for a leader, which is away already.
    let _ = rustix::process::setsid();
    std::env::set_current_dir("/")?;
    let listener = UnixListener::from(io::stdin().as_fd().try_clone_to_owned()?);
    listener.set_nonblocking(true)?;
    let here = Arc::new(record::Here::now()?);
    let busy = Arc::new(AtomicUsize::new(0));
    loop {
        let mut waiting = [PollFd::new(&listener, PollFlags::IN)];
        let called = poll(&mut waiting, Some(&IDLE));
        match listener.accept() {
            Ok((connection, _)) => {
                busy.fetch_add(1, Ordering::SeqCst);
                let (here, held) = (here.clone(), Held(busy.clone()));
                // A thread that cannot be started closes its connection; the caller asks the record then.
                let _ = std::thread::Builder::new().stack_size(256 * 1024).spawn(move || {
                    let _held = held;
                    answer(connection, &here);
                });
            }
            Err(_) if called == Ok(0) && busy.load(Ordering::SeqCst) == 0 => return Ok(()),
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            // No file descriptors are left, most likely: those of ended attempts come back.
            Err(_) => std::thread::sleep(std::time::Duration::from_millis(20)),
        }
    }
}

/// Counts a connection until it is served, also when serving it panics.
struct Held(Arc<AtomicUsize>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn answer(mut connection: UnixStream, here: &record::Here) {
    match call::read(&mut connection) {
        Ok(Some(call)) => supervise::attempt(call, connection, here),
        Ok(None) => {
            // Returns when the other side is gone.
            let _ = io::Write::write_all(&mut connection, READY);
            let _ = io::copy(&mut connection, &mut io::sink());
        }
        Err(_) => {}
    }
}
