//! Results on stdout. A reader that went away (`| head`) is no error; a disk that is full is one.

use std::io::{ErrorKind, Write as _};

use serde_json::Value as Json;

use super::error::CommandError;
use super::exit::Exit;

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
