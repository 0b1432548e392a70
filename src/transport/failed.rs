//! Why a host could not be reached, or would not take a session. Knows nothing of who wanted it.

use serde::{Deserialize, Serialize};

/// Why a site did not answer a question, in plain words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum NoAnswer {
    /// It cannot be reached, or does not let us in, or does not talk to us.
    #[error("{0}")]
    Away(String),
    /// It can be reached, and is not who it should be: its host key is not the one that is known.
    #[error("{0}")]
    Distrusted(String),
}

/// Why there is no connection, or no session on it.
#[derive(Debug)]
pub(super) struct Failed {
    /// In plain words.
    pub why: String,
    pub kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The host ended the connection before we could log in: it may only have been busy.
    Early,
    /// The host opens no more sessions on this connection now.
    Full,
    /// The host is not who it should be.
    Distrusted,
    /// The host has no algorithm that the native transport has. `ssh` may have one.
    Foreign,
    Lost,
}

impl Failed {
    pub(super) fn lost(why: impl Into<String>) -> Self {
        Self { why: why.into(), kind: Kind::Lost }
    }
}

impl From<Failed> for NoAnswer {
    fn from(failed: Failed) -> Self {
        match failed.kind {
            Kind::Distrusted => Self::Distrusted(failed.why),
            Kind::Early | Kind::Full | Kind::Foreign | Kind::Lost => Self::Away(failed.why),
        }
    }
}
