//! Results on stdout: through a pager when they are long and a person reads them, plainly otherwise.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::{Command, Stdio};

use super::output;

/// Writes bytes to stdout. A reader that went away early (`| head`) is no error.
///
/// # Errors
/// Whatever else stdout says.
pub fn put(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    quiet(out.write_all(bytes).and_then(|()| out.flush()))
}

/// Writes coloured lines to stdout; the colours go where they are wanted.
///
/// # Errors
/// Those of [`put`].
pub fn put_lines(lines: &[String]) -> io::Result<()> {
    let mut out = anstream::AutoStream::auto(io::stdout());
    quiet(lines.iter().try_for_each(|line| writeln!(out, "{line}")).and_then(|()| out.flush()))
}

/// The same, through `$PAGER` (or `less`) when stdout is a terminal with fewer rows than there are lines.
///
/// # Errors
/// Those of [`put`]. A pager that cannot be started is done without.
pub fn page_lines(lines: &[String], paged: bool) -> io::Result<()> {
    let rows = rustix::termios::tcgetwinsize(io::stdout()).map_or(24, |w| usize::from(w.ws_row));
    if !paged || !io::stdout().is_terminal() || lines.len() < rows {
        return put_lines(lines);
    }
    through_pager(lines).or_else(|_| put_lines(lines))
}

fn through_pager(lines: &[String]) -> io::Result<()> {
    let program = std::env::var("PAGER").ok().filter(|p| !p.trim().is_empty()).unwrap_or_else(|| "less".into());
    if program == "cat" {
        return put_lines(lines);
    }
    let mut words = program.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or("less"));
    command.args(words).stdin(Stdio::piped());
    if std::env::var_os("LESS").is_none() {
        command.env("LESS", "FIRX");
    }
    let mut child = command.spawn()?;
    let colour = anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never;
    let text = lines.join("\n") + "\n";
    let text = if colour { text } else { anstream::adapter::strip_str(&text).to_string() };
    if let Some(mut pipe) = child.stdin.take() {
        // The person may leave before the end.
        let _ = pipe.write_all(text.as_bytes());
    }
    child.wait().map(|_| ())
}

fn quiet(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Columns of the terminal on stdout; `$COLUMNS`, then 100, where there is none.
#[must_use]
pub fn width() -> usize {
    let asked = || std::env::var("COLUMNS").ok()?.parse().ok();
    output::columns(io::stdout()).or_else(asked).unwrap_or(100).max(20)
}
