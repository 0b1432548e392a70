//! What went wrong, for people: kind, sentence, hints. The only place that turns errors into exit codes.

use super::exit::Exit;
use crate::journal::JournalError;

/// An error that ends a command. Printed by `cli::main` as `error: ...` with one `help:` line per hint.
#[derive(Debug)]
pub struct CommandError {
    pub kind: Kind,
    pub message: String,
    pub hints: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Wrong usage, or a plan with errors.
    Usage,
    /// Nothing was changed, on purpose.
    Refused,
    /// The world or this program misbehaved.
    Unexpected,
}

impl CommandError {
    pub fn usage(message: impl Into<String>) -> Self {
        Self { kind: Kind::Usage, message: message.into(), hints: Vec::new() }
    }

    pub fn refused(message: impl Into<String>) -> Self {
        Self { kind: Kind::Refused, message: message.into(), hints: Vec::new() }
    }

    pub fn unexpected(message: impl Into<String>) -> Self {
        Self { kind: Kind::Unexpected, message: message.into(), hints: Vec::new() }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    #[must_use]
    pub const fn exit(&self) -> Exit {
        match self.kind {
            Kind::Usage => Exit::Usage,
            Kind::Refused => Exit::Refused,
            Kind::Unexpected => Exit::Error,
        }
    }
}

impl From<std::io::Error> for CommandError {
    fn from(e: std::io::Error) -> Self {
        Self::unexpected(e.to_string())
    }
}

impl From<JournalError> for CommandError {
    fn from(e: JournalError) -> Self {
        let message = e.to_string();
        match e {
            JournalError::Folder { help, .. } => {
                let hint = help.unwrap_or_else(|| "choose another one:   --store DIR".to_owned());
                Self::refused(message).hint(hint)
            }
            JournalError::Newer { .. }
            | JournalError::Held(_)
            | JournalError::Unfinished(_)
            | JournalError::Taken(_) => Self::refused(message),
            JournalError::Full { .. } => {
                Self::refused(message).hint("make space there, or choose another place: --store DIR")
            }
            JournalError::NoSuchRun(_) | JournalError::Ambiguous { .. } => Self::usage(message),
            JournalError::Damaged { ref path, .. } | JournalError::Corrupt { ref path, .. } => {
                let dir = std::path::Path::new(path).parent().unwrap_or_else(|| std::path::Path::new(".")).display();
                Self::unexpected(message)
                    .hint("the file is left as it is; every attempt of the run is also recorded on its host, in ~/.runbook")
                    .hint(format!("put it aside for a closer look, and begin anew:   mv {dir} {dir}.damaged"))
            }
            JournalError::Busy { ref path } => {
                Self::refused(format!("{message}; nothing was changed")).hint(format!("which one:   fuser {path}"))
            }
            JournalError::Fenced { .. } | JournalError::Sequence { .. } | JournalError::Io { .. } => {
                Self::unexpected(message)
            }
        }
    }
}
