//! Talking to the engine of a run through its control socket. Knows nothing of what is said.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::context::Context;
use super::error::CommandError;
use super::store;
use crate::driver::clock;
use crate::driver::control::{Hello, Request, Response};
use crate::engine::fact::{Actor, Channel};
use crate::engine::input::{Ask, Operator, Reply};
use crate::journal::RunRow;
use crate::plan::units::Short;

/// How long an engine may take to answer. It answers after its facts are on the disk.
const PATIENCE: Duration = Duration::from_secs(15);

/// Sends one request to the engine of an open run and hands its answer back.
///
/// # Errors
/// When the run is over, or has no engine that answers; the next command is named.
pub fn ask(run: &RunRow, operator: Operator) -> Result<Reply, CommandError> {
    if let (Some(end), Some(at)) = (&run.end, run.closed) {
        let (what, at) = (store::ending(end), store::minute(at));
        return Err(CommandError::refused(format!("run {} is over: {what}, {at}", run.id))
            .hint(format!("look at it:   runbook status {}", run.id)));
    }
    let socket = run.lease.as_ref().and_then(|lease| lease.socket.as_deref());
    let answer = socket.map(|socket| exchange(Path::new(socket), &Request::Ask(operator)));
    match answer {
        Some(Ok(Response::Reply(reply))) => Ok(reply),
        Some(Ok(Response::Failed { why })) => Err(CommandError::unexpected(format!("the engine says: {why}"))),
        Some(Ok(Response::Hello(_))) => Err(CommandError::unexpected("the engine did not understand the request")),
        Some(Err(e)) => Err(no_engine(run, &e.to_string())),
        None => Err(no_engine(run, "it was never started")),
    }
}

/// Asks who answers at `socket`.
///
/// # Errors
/// When nobody does.
pub fn hello(socket: &Path) -> io::Result<Hello> {
    match exchange(socket, &Request::Hello)? {
        Response::Hello(hello) => Ok(hello),
        Response::Reply(_) | Response::Failed { .. } => Err(io::Error::other("no greeting came back")),
    }
}

/// What is said when a run has no engine.
#[must_use]
pub fn no_engine(run: &RunRow, why: &str) -> CommandError {
    let heard = run.lease.as_ref().map_or_else(String::new, |lease| {
        let ago = clock::now().duration_since(lease.renewed);
        let ago = jiff::SignedDuration::from_secs(ago.as_secs());
        format!(", last heartbeat {} ago from {} on {}", Short(ago), lease.owner, lease.host)
    });
    CommandError::refused(format!("run {} has NO ENGINE{heard} ({why})", run.id))
        .hint("steps that were running go on by themselves on their hosts")
        .hint(format!("take it over:    runbook resume {}", run.id))
        .hint(format!("what is known:   runbook status {}", run.id))
}

/// The person at this terminal, or the one they speak for.
#[must_use]
pub fn operator(cx: &Context, by: Option<&str>, ask: Ask) -> Operator {
    let name = by.unwrap_or(&cx.user).to_owned();
    Operator { by: Actor { name, channel: Channel::Cli }, ask }
}

fn exchange(socket: &Path, request: &Request) -> io::Result<Response> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut text = serde_json::to_string(request)?;
    text.push('\n');
    stream.write_all(text.as_bytes())?;
    let mut line = String::new();
    if BufReader::new(stream).read_line(&mut line)? == 0 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the connection"));
    }
    Ok(serde_json::from_str(&line)?)
}
