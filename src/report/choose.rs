//! Which reporter suits this terminal and these flags. Asks the environment; tells nothing.

use std::io::IsTerminal as _;
use std::path::Path;

use super::{JsonStream, Lines, Live, Reporter, Silent};

/// `--progress`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Progress {
    /// Live on a terminal, plain otherwise
    #[default]
    Auto,
    Live,
    Plain,
    None,
}

/// What people asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wishes<'a> {
    pub progress: Progress,
    /// One JSON object per fact on stdout instead.
    pub json: bool,
    /// No heartbeat.
    pub quiet: bool,
    pub ascii: bool,
    /// Folder of the run's logs, for the last words of running steps.
    pub run_dir: Option<&'a Path>,
}

/// The reporter for this process. A live view needs a terminal on stderr: without one its lines would be lost.
#[must_use]
pub fn choose(wishes: &Wishes<'_>) -> Box<dyn Reporter> {
    match wishes.progress {
        _ if wishes.json => Box::new(JsonStream::stdout()),
        Progress::None => Box::new(Silent),
        Progress::Auto | Progress::Live if can_be_live() => {
            Box::new(Live::stderr(wishes.ascii || !utf8_locale(), wishes.run_dir))
        }
        Progress::Auto | Progress::Live | Progress::Plain => Box::new(Lines::stderr(wishes.quiet)),
    }
}

/// Whether stderr is a terminal that can move its cursor.
#[must_use]
pub fn can_be_live() -> bool {
    let dumb = std::env::var_os("TERM").is_none_or(|t| t == "dumb" || t.is_empty());
    std::io::stderr().is_terminal() && !dumb
}

/// Whether the locale's characters are UTF-8, so that block glyphs can be drawn.
#[must_use]
pub fn utf8_locale() -> bool {
    let set = |v: &str| std::env::var(v).ok().filter(|s| !s.is_empty());
    let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG")).unwrap_or_default();
    let locale = locale.to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}
