//! What the keeper says on one connection: words and output, as the runner says them, without ever waiting for the other
//! side. A side that is gone is spoken to no more.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

use super::store::Store;

/// At most this much is read ahead of what the other side takes.
const CHUNK: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Voice {
    connection: Option<UnixStream>,
    nonce: String,
    pending: Vec<u8>,
    /// The stream whose bytes the other side expects now.
    section: Option<usize>,
    /// The other side wants the output as it comes.
    pub showing: bool,
    /// The other side says nothing more and wants only the end.
    pub detached: bool,
    /// Nothing more will be said.
    closing: bool,
    /// Bytes sent of stdout and stderr.
    sent: [u64; 2],
}

impl Voice {
    pub(super) fn new(connection: UnixStream, nonce: &str) -> Self {
        let ready = connection.set_nonblocking(true).is_ok();
        Self {
            connection: ready.then_some(connection),
            nonce: nonce.to_owned(),
            pending: Vec::new(),
            section: None,
            showing: false,
            detached: false,
            closing: false,
            sent: [0; 2],
        }
    }

    pub(super) fn connection(&self) -> Option<&UnixStream> {
        self.connection.as_ref()
    }

    pub(super) fn say(&mut self, word: &str) {
        let _ = writeln!(self.pending, "@{} {word}", self.nonce);
    }

    pub(super) fn wants_to_write(&self, stores: &[Store; 2]) -> bool {
        !self.pending.is_empty() || self.closing || self.unsent(stores)
    }

    /// The other side is gone for good.
    pub(super) fn hang_up(&mut self) {
        self.connection = None;
        self.detached = true;
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing || self.connection.is_none()
    }

    fn unsent(&self, stores: &[Store; 2]) -> bool {
        self.showing && !self.closing && (0..2).any(|lane| self.sent[lane] < stores[lane].head)
    }

    /// Takes what the other side says: `show` is all it can.
    pub(super) fn listen(&mut self) {
        let Some(connection) = &mut self.connection else { return };
        let mut words = [0; 64];
        match connection.read(&mut words) {
            Ok(0) => self.detached = true,
            Ok(_) => self.showing = true,
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(_) => self.hang_up(),
        }
    }

    /// Sends as much as the other side takes now.
    pub(super) fn speak(&mut self, stores: &[Store; 2]) {
        while let Some(connection) = &mut self.connection {
            if self.pending.is_empty() {
                if !self.unsent(stores) {
                    if self.closing {
                        self.connection = None;
                    }
                    return;
                }
                self.show(stores);
                continue;
            }
            match connection.write(&self.pending) {
                Ok(n) => drop(self.pending.drain(..n)),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.hang_up(),
            }
        }
    }

    fn show(&mut self, stores: &[Store; 2]) {
        for (lane, store) in stores.iter().enumerate() {
            let bytes = store.beginning(self.sent[lane], CHUNK);
            if bytes.is_empty() {
                // Nothing more can be read of it.
                self.sent[lane] = store.head;
                continue;
            }
            self.send(lane, &bytes);
        }
    }

    fn send(&mut self, lane: usize, bytes: &[u8]) {
        if self.section != Some(lane) {
            self.section = Some(lane);
            self.say(["stdout", "stderr"][lane]);
        }
        self.pending.extend_from_slice(bytes);
        self.sent[lane] += bytes.len() as u64;
    }

    /// The last words: output that the other side has not seen, as far as it is short or was being shown; the rest is
    /// fetched. Then the outputs and the record.
    pub(super) fn close(&mut self, stores: &[Store; 2], outputs: &[u8], done: &str) {
        for (lane, store) in stores.iter().enumerate() {
            if self.showing || store.total <= CHUNK as u64 {
                let rest = store.beginning(self.sent[lane], usize::MAX);
                if !rest.is_empty() {
                    self.send(lane, &rest);
                }
            }
        }
        if !outputs.is_empty() {
            self.say("outputs");
            self.pending.extend_from_slice(outputs);
        }
        self.say(done);
        self.closing = true;
    }

    /// Says the last word and waits until it is taken or the other side is gone.
    pub(super) fn end(mut self, word: &str) {
        self.say(word);
        if let Some(mut connection) = self.connection.take() {
            // The other side is gone or takes it.
            let _ = connection.set_nonblocking(false).and_then(|()| connection.write_all(&self.pending));
        }
    }
}
