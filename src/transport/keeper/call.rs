//! What a controller asks of its keeper: one attempt, as JSON behind its length. It may hold secrets and goes over a
//! private socket only.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use secrecy::zeroize::Zeroize;
use serde::{Deserialize, Serialize};

/// Nobody sends a longer one: plans end at 16 MB.
const LONGEST: u32 = 64 << 20;
const PATIENCE: Duration = Duration::from_secs(30);

/// One attempt to start. No `Debug`: values of the environment may be secret.
#[derive(Serialize, Deserialize)]
pub(in crate::transport) struct Call {
    /// Marks what the keeper says.
    pub nonce: String,
    pub run: String,
    pub action: String,
    /// `DIRECTION.NUMBER`.
    pub attempt: String,
    /// Absolute directory of all records.
    pub home: String,
    pub epoch: u64,
    /// Whole seconds between TERM and KILL.
    pub grace: u64,
    pub head_cap: u64,
    pub tail_cap: u64,
    pub cookie: String,
    /// Milliseconds.
    pub timeout: Option<u64>,
    /// Entered before the text is read.
    pub dir: String,
    /// A POSIX shell and its options.
    pub shell: Vec<String>,
    pub script: String,
    pub environment: Vec<(String, String)>,
}

impl Call {
    /// Name of the record below its run.
    pub(super) fn record(&self) -> String {
        format!("{}.{}", self.action, self.attempt)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.environment.iter_mut().for_each(|(_, value)| value.zeroize());
    }
}

/// The call as it is sent.
pub(in crate::transport) fn write(call: &Call) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    // Strings and numbers always have a JSON form.
    let _ = serde_json::to_writer(&mut bytes, call);
    let length = u32::try_from(bytes.len() - 4).unwrap_or(u32::MAX);
    bytes[..4].copy_from_slice(&length.to_be_bytes());
    bytes
}

/// The call, or `None` where the caller only wants the keeper to stay.
///
/// # Errors
/// The connection was cut inside the call (which starts nothing), or it is none.
pub(super) fn read(connection: &mut UnixStream) -> io::Result<Option<Call>> {
    connection.set_read_timeout(Some(PATIENCE))?;
    let mut length = [0; 4];
    connection.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > LONGEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    if length == 0 {
        connection.set_read_timeout(None)?;
        return Ok(None);
    }
    let mut text = vec![0; usize::try_from(length).map_err(|_| io::ErrorKind::InvalidData)?];
    connection.read_exact(&mut text)?;
    let call = serde_json::from_slice(&text).map_err(io::Error::from);
    text.zeroize();
    call.map(Some)
}
