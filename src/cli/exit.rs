//! The exit codes, stable for ever. The README and the man page print this table; a test keeps them equal.

use crate::engine::fact::RunEnd;

/// How a command ended, as a caller's script sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Done,
    Error,
    Usage,
    Refused,
    DoneLate,
    RolledBack,
    RolledBackLate,
    HumanNeeded,
    NotFinished,
    Interrupted,
}

impl From<&RunEnd> for Exit {
    fn from(end: &RunEnd) -> Self {
        match end {
            RunEnd::Succeeded { late: false } => Self::Done,
            RunEnd::Succeeded { late: true } => Self::DoneLate,
            // The old version was brought back, but it does not prove itself: somebody must look.
            RunEnd::RolledBack { verified: Some(false), .. } | RunEnd::Stuck { .. } => Self::HumanNeeded,
            RunEnd::RolledBack { late: false, .. } => Self::RolledBack,
            RunEnd::RolledBack { late: true, .. } => Self::RolledBackLate,
            RunEnd::Rejected => Self::Refused,
        }
    }
}

impl Exit {
    /// In the order of the table.
    pub const ALL: [Self; 10] = [
        Self::Done,
        Self::Error,
        Self::Usage,
        Self::Refused,
        Self::DoneLate,
        Self::RolledBack,
        Self::RolledBackLate,
        Self::HumanNeeded,
        Self::NotFinished,
        Self::Interrupted,
    ];

    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Error => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::DoneLate => 4,
            Self::RolledBack => 10,
            Self::RolledBackLate => 11,
            Self::HumanNeeded => 20,
            Self::NotFinished => 30,
            Self::Interrupted => 130,
        }
    }

    /// One sentence, as the README and the man page print it.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done, in the window",
            Self::Error => "unexpected error",
            Self::Usage => "usage or plan error",
            Self::Refused => "refused, nothing was changed",
            Self::DoneLate => "done, but after the window closed",
            Self::RolledBack => "rolled back, old version verified, in time",
            Self::RolledBackLate => "rolled back, but up again after the window closed",
            Self::HumanNeeded => "half-way: a human is needed now",
            Self::NotFinished => "not finished: running, detached or waiting for a person",
            Self::Interrupted => "interrupted before anything was changed",
        }
    }
}
