//! The six colours and their meanings. Every coloured thing also has a word; streams drop the colours where needed.

use anstyle::{AnsiColor, Effects, Style};

/// What a colour says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Done,
    Failed,
    /// Late, suspicious, a warning.
    Late,
    Running,
    /// A person is needed.
    Person,
    Waiting,
    Plain,
}

impl Tone {
    #[must_use]
    pub fn style(self) -> Style {
        let colour = |c: AnsiColor| c.on_default();
        match self {
            Self::Done => colour(AnsiColor::Green),
            Self::Failed => colour(AnsiColor::Red).effects(Effects::BOLD),
            Self::Late => colour(AnsiColor::Yellow),
            Self::Running => colour(AnsiColor::Blue),
            Self::Person => colour(AnsiColor::Magenta),
            Self::Waiting => Style::new().effects(Effects::DIMMED),
            Self::Plain => Style::new(),
        }
    }

    /// `text` in this tone, with escape sequences; the writing stream strips them where colour is unwanted.
    #[must_use]
    pub fn paint(self, text: &str) -> String {
        let style = self.style();
        format!("{style}{text}{style:#}")
    }

    /// Of the word at the start of a line.
    #[must_use]
    pub fn of_word(word: &str) -> Self {
        match word {
            "DONE" | "UNDONE" | "open" => Self::Done,
            "FAIL" | "KILL" | "STUCK" | "ROLLBACK" => Self::Failed,
            "FAST" | "LATE" | "LOST" | "ROOM" | "FULL" | "CLOCK" => Self::Late,
            "RUN" | "UNDO" | "WAIT" => Self::Running,
            "GATE" | "HOLD" => Self::Person,
            "SKIP" | "...." => Self::Waiting,
            _ => Self::Plain,
        }
    }
}

/// How a terminal wants things drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Columns.
    pub width: usize,
    /// Only ASCII: no block glyphs in bars.
    pub ascii: bool,
}

impl Look {
    /// 100 columns of ASCII: what a log file gets.
    #[must_use]
    pub const fn plain() -> Self {
        Self { width: 100, ascii: true }
    }
}
