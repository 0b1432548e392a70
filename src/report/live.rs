//! The live view of a terminal: history scrolls above, what is true now stays at the bottom. Only draws; reads no keys.
//!
//! It never takes the whole screen: the terminal itself is the log.

use std::io::{IsTerminal as _, Write};
use std::path::Path;

use jiff::{SignedDuration, Timestamp};

use super::Reporter;
use super::area::Area;
use super::bell::{Bell, Popup, osc};
use super::clock::coarse;
use super::escape::escape_for_terminal as esc;
use super::frame::{Scene, frame};
use super::story::{Columns, Story};
use super::style::Look;
use super::summary;
use super::tail::Tails;
use super::text::fold;
use crate::engine::fact::FactRecord;
use crate::view::{FEW, Outlook, Phase, RunView};

/// At most 20 redraws a second.
const PAUSE: SignedDuration = SignedDuration::from_millis(50);
/// Logs that are read for the last words of running steps.
const HEARD_STEPS: usize = 8;
const HEARD_HOSTS: usize = 20;

#[expect(missing_debug_implementations, reason = "holds a writer")]
pub struct Live {
    out: Box<dyn Write + Send>,
    area: Area,
    story: Story,
    tails: Option<Tails>,
    ascii: bool,
    colour: bool,
    keys: String,
    prompt: Option<String>,
    title: String,
    bell: Bell,
    drawn: Option<Timestamp>,
    outlook: Outlook,
}

impl Live {
    /// For a terminal on stderr. `run_dir` is the folder with the run's logs, where it is on this machine.
    #[must_use]
    pub fn stderr(ascii: bool, run_dir: Option<&Path>) -> Self {
        let colour = anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never;
        Self::on(Box::new(std::io::stderr()), ascii, colour, run_dir)
    }

    /// For another terminal.
    #[must_use]
    pub fn on(out: Box<dyn Write + Send>, ascii: bool, colour: bool, run_dir: Option<&Path>) -> Self {
        Self {
            out,
            area: Area::default(),
            story: Story::new(Columns::Terminal),
            tails: run_dir.map(Tails::new),
            ascii,
            colour,
            keys: String::new(),
            prompt: None,
            title: String::new(),
            bell: Bell::new(Popup::of(|name| std::env::var(name).ok())),
            drawn: None,
            outlook: Outlook::default(),
        }
    }

    /// The keys that work here, shown in the last line.
    pub fn set_keys(&mut self, keys: &str) {
        keys.clone_into(&mut self.keys);
    }

    /// Drops the colours where they are unwanted.
    fn tint(&self, lines: Vec<String>) -> Vec<String> {
        if self.colour {
            return lines;
        }
        lines.iter().map(|l| anstream::adapter::strip_str(l).to_string()).collect()
    }

    /// Prints `above` as history and draws what is true now under it.
    fn draw(&mut self, view: &RunView, above: Vec<String>, now: Timestamp) {
        self.listen(view);
        let (width, height) = size();
        let tails = self.tails.as_ref();
        let heard = |step: &str, host: &str| tails.and_then(|t| t.said(step, host));
        let look = Look { width, ascii: self.ascii };
        let odds = self.outlook.look(view, now);
        let mut lines = frame(&Scene { view, look, now, odds, heard: &heard, keys: &self.keys });
        if let Some(prompt) = &self.prompt {
            lines.push(format!(" {}", esc(prompt)));
        }
        // What does not fit is cut at the top of the moving part; questions and keys stay visible.
        let most = height.saturating_sub(1).max(4);
        if lines.len() > most {
            let drop = lines.len() - most;
            lines.drain(3..3 + drop.min(lines.len() - 4));
        }
        self.put(above, lines, width);
        self.drawn = Some(now);
        self.set_title(view, now);
    }

    fn put(&mut self, above: Vec<String>, lines: Vec<String>, width: usize) {
        let (above, lines) = (self.tint(above), self.tint(lines));
        let above: Vec<String> = above.iter().flat_map(|line| fold(line, width)).collect();
        let text = self.area.redraw(&above, &lines, width);
        // A terminal that is gone is not ours to handle: the run goes on without an onlooker.
        let _ = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
    }

    fn listen(&mut self, view: &RunView) {
        let Some(tails) = &mut self.tails else { return };
        // Of many hosts only numbers are shown.
        for row in view.active().iter().filter(|row| row.total <= FEW).take(HEARD_STEPS) {
            for action in view.actions_of(row.ix).filter(|a| a.state.is_active()).take(HEARD_HOSTS) {
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
            self.control(&osc("2", &title));
            self.title = title;
        }
    }

    /// Sequences without width, to a real terminal only.
    fn control(&mut self, sequence: &str) {
        if std::io::stderr().is_terminal() {
            let _ = self.out.write_all(sequence.as_bytes()).and_then(|()| self.out.flush());
        }
    }
}

impl Reporter for Live {
    fn facts(&mut self, view: &RunView, _new: &[FactRecord], now: Timestamp) {
        let above = self.story.lines(view);
        if let Some(call) = self.bell.call(view, now) {
            self.control(&call);
        }
        let soon = self.drawn.is_some_and(|at| now.duration_since(at).abs() < PAUSE);
        if !above.is_empty() || !soon {
            self.draw(view, above, now);
        }
    }

    fn tick(&mut self, view: &RunView, now: Timestamp) {
        if view.phase() != Phase::Ended {
            self.draw(view, Vec::new(), now);
        }
    }

    fn finish(&mut self, view: &RunView, now: Timestamp) {
        let mut above = self.story.lines(view);
        above.extend(summary::block(view, now));
        self.put(above, Vec::new(), size().0);
        self.control(&osc("2", ""));
    }

    fn prompt(&mut self, text: Option<&str>) {
        self.prompt = text.map(str::to_owned);
    }

    fn say(&mut self, lines: &[String]) {
        self.put(lines.to_vec(), Vec::new(), size().0);
        self.drawn = None;
    }
}

/// Columns and rows of the terminal, asked each time: it may have been resized.
fn size() -> (usize, usize) {
    let found = rustix::termios::tcgetwinsize(std::io::stderr()).ok().filter(|w| w.ws_col > 0);
    found.map_or((80, 24), |w| (usize::from(w.ws_col), usize::from(w.ws_row)))
}
