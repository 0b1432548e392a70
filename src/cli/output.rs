//! Results on stdout, and what is said beside them on stderr. A reader that went away (`| head`) is no error; a disk that
//! is full is one.

use std::io::{self, ErrorKind, Write as _};
use std::os::fd::AsFd;

use serde_json::Value as Json;

use super::error::CommandError;
use super::exit::Exit;
use crate::report::{escape_for_terminal, fold};

/// Writes text as it is; colours are stripped where they do not belong.
///
/// # Errors
/// When stdout cannot be written, other than by a reader that went away.
pub fn text(text: &str) -> Result<Exit, CommandError> {
    let mut out = anstream::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => {
            Err(CommandError::unexpected(format!("cannot write output: {e}")))
        }
        _ => Ok(Exit::Done),
    }
}

/// Writes one JSON document.
///
/// # Errors
/// As [`text`].
pub fn json(json: &Json) -> Result<Exit, CommandError> {
    text(&format!("{json:#}\n"))
}

/// How wide the terminal is to which a stream leads, where it leads to one.
pub fn columns(stream: impl AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(stream).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// One line on stderr, on as many rows as its terminal needs, words whole.
pub fn say(line: &str) {
    for row in fold(&escape_for_terminal(line), columns(io::stderr()).unwrap_or(usize::MAX)) {
        // A lost terminal keeps nothing from going on.
        let _ = writeln!(anstream::stderr(), "{row}");
    }
}
