//! The live view of a terminal: history scrolls above, what is true now stays at the bottom. Only draws; reads no keys.
//!
//! It never takes the whole screen: the terminal itself is the log. `indicatif` keeps the bottom lines in place; each
//! redraw hands it the finished text.

use std::io::Write as _;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::{SignedDuration, Timestamp};

use super::Reporter;
use super::clock::coarse;
use super::escape::escape_for_terminal as esc;
use super::frame::{Scene, frame};
use super::story::{Columns, Story};
use super::style::Look;
use super::summary;
use super::tail::Tails;
use crate::engine::fact::FactRecord;
use crate::view::{Phase, RunView, What};

/// Redraws per second at most.
const RATE: u8 = 20;

#[derive(Debug)]
pub struct Live {
    area: MultiProgress,
    bottom: ProgressBar,
    story: Story,
    tails: Option<Tails>,
    ascii: bool,
    keys: String,
    prompt: Option<String>,
    title: String,
    heard: usize,
    colour: bool,
}

impl Live {
    /// For a terminal on stderr. `run_dir` is the folder with the run's logs, where it is on this machine.
    #[must_use]
    pub fn stderr(ascii: bool, run_dir: Option<&std::path::Path>) -> Self {
        Self::on(ProgressDrawTarget::stderr_with_hz(RATE), ascii, run_dir)
    }

    /// For another target, such as one in memory.
    #[must_use]
    pub fn on(target: ProgressDrawTarget, ascii: bool, run_dir: Option<&std::path::Path>) -> Self {
        let area = MultiProgress::with_draw_target(target);
        let style = ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
        let bottom = area.add(ProgressBar::new(1).with_style(style));
        Self {
            area,
            bottom,
            story: Story::new(Columns::Terminal),
            tails: run_dir.map(Tails::new),
            ascii,
            keys: String::new(),
            prompt: None,
            title: String::new(),
            heard: 0,
            colour: anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never,
        }
    }

    /// The keys that work here, shown in the last line.
    pub fn set_keys(&mut self, keys: &str) {
        keys.clone_into(&mut self.keys);
    }

    /// Prints a text above the live area, where it stays.
    pub fn print(&self, text: &str) {
        let _ = self.area.println(self.tint(text));
    }

    /// Drops the colours where they are unwanted; `indicatif` would not.
    fn tint(&self, text: &str) -> String {
        if self.colour { text.to_owned() } else { anstream::adapter::strip_str(text).to_string() }
    }

    fn history(&mut self, view: &RunView) {
        for line in self.story.lines(view) {
            self.print(&line);
        }
    }

    fn draw(&mut self, view: &RunView, now: Timestamp) {
        self.listen(view);
        let (width, height) = size();
        let tails = self.tails.as_ref();
        let heard = |step: &str, host: &str| tails.and_then(|t| t.said(step, host));
        let look = Look { width, ascii: self.ascii };
        let mut lines = frame(&Scene { view, look, now, heard: &heard, keys: &self.keys });
        if let Some(prompt) = &self.prompt {
            lines.push(format!(" {}", esc(prompt)));
        }
        // What does not fit is cut at the top of the moving part; questions and keys stay visible.
        let most = height.saturating_sub(2).max(4);
        if lines.len() > most {
            let drop = lines.len() - most;
            lines.drain(3..3 + drop.min(lines.len() - 4));
        }
        self.bottom.set_message(self.tint(&lines.join("\n")));
        self.bottom.tick();
        self.set_title(view, now);
    }

    fn listen(&mut self, view: &RunView) {
        let Some(tails) = &mut self.tails else { return };
        for row in view.active().iter().take(8) {
            for action in view.actions_of(row.ix).filter(|a| a.state.is_active()).take(20) {
                if let Some(host) = action.id.host() {
                    tails.poll(&row.step.id, host);
                }
            }
        }
    }

    fn set_title(&mut self, view: &RunView, now: Timestamp) {
        let left = view.closes().map_or(String::new(), |c| format!("{} ", coarse(c.duration_since(now))));
        let doing = view.active().first().map_or(String::new(), |r| r.step.id.clone());
        let title = format!("{left}{}/{} {doing}", view.steps_done(), view.steps_total());
        if title != self.title {
            self.control(&format!("\u{1b}]2;{title}\u{7}"));
            self.title = title;
        }
    }

    /// Rings for gates, holds, final failures and little room.
    fn ring(&mut self, view: &RunView) {
        let new = &view.events()[self.heard.min(view.events().len())..];
        let loud = new.iter().any(|e| match &e.what {
            What::GateOpened { .. } | What::HoldOpened { .. } | What::UndoParked { .. } => true,
            What::TryFailed { again, .. } => again.is_none(),
            What::RoomWarning { room } => *room <= SignedDuration::from_mins(30),
            _ => false,
        });
        self.heard = view.events().len();
        if loud {
            self.control("\u{7}");
        }
    }

    /// Sequences without width, to a real terminal only.
    fn control(&self, sequence: &str) {
        if !self.area.is_hidden() && is_terminal() {
            let _ = std::io::stderr().write_all(sequence.as_bytes());
        }
    }
}

impl Reporter for Live {
    fn facts(&mut self, view: &RunView, _new: &[FactRecord], now: Timestamp) {
        self.history(view);
        self.ring(view);
        if view.phase() != Phase::Ended {
            self.draw(view, now);
        }
    }

    fn tick(&mut self, view: &RunView, now: Timestamp) {
        if view.phase() != Phase::Ended {
            self.draw(view, now);
        }
    }

    fn finish(&mut self, view: &RunView, now: Timestamp) {
        self.history(view);
        self.bottom.finish_and_clear();
        for line in summary::block(view, now) {
            self.print(&line);
        }
        self.control("\u{1b}]2;\u{7}");
    }

    fn prompt(&mut self, text: Option<&str>) {
        self.prompt = text.map(str::to_owned);
    }

    fn say(&mut self, lines: &[String]) {
        lines.iter().for_each(|line| self.print(line));
    }
}

fn is_terminal() -> bool {
    use std::io::IsTerminal as _;
    std::io::stderr().is_terminal()
}

/// Columns and rows of the terminal, asked each time: it may have been resized.
fn size() -> (usize, usize) {
    let found = rustix::termios::tcgetwinsize(std::io::stderr()).ok().filter(|w| w.ws_col > 0);
    found.map_or((80, 24), |w| (usize::from(w.ws_col), usize::from(w.ws_row)))
}
