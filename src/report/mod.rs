//! Telling people and programs what happens. Everything comes from a [`RunView`]; a reporter decides nothing.
//!
//! Facts become lines of history that stay; `tick` redraws what is true now. stdout belongs to results (`--json`),
//! stderr to talk. Nothing that came from a host or a plan reaches a terminal but through [`escape_for_terminal`].

mod advise_page;
mod area;
mod ask;
mod bell;
mod board;
pub mod calendar;
mod chart;
mod choose;
mod clock;
mod compare;
mod drill_page;
mod escape;
mod fleet;
mod frame;
mod graph_chart;
mod host_table;
mod json;
mod lines;
mod live;
mod mail;
mod moving;
pub mod notice;
mod odds;
pub mod owners;
mod pages;
mod plan_json;
mod plan_page;
mod say;
pub mod status;
mod story;
mod style;
pub mod summary;
mod tail;
mod text;
mod timeline;
mod trend;
mod wave_page;
pub mod week;
mod week_page;
mod words;
mod write_up;

use jiff::Timestamp;

use crate::engine::fact::FactRecord;
use crate::view::RunView;

pub use advise_page::{AdvicePage, Ran};
pub use bell::{Bell, Popup};
pub use board::Board;
pub use choose::{Progress, Wishes, can_be_live, choose, utf8_locale};
pub use clock::{Clock, coarse, span};
pub use compare::{Comparison, Kinship};
pub use drill_page::DrillPage;
pub use escape::{escape_bytes, escape_for_terminal, escape_text};
pub use frame::{Scene, frame};
pub use graph_chart::GraphChart;
pub use host_table::{host_documents, host_table};
pub use json::JsonStream;
pub use lines::Lines;
pub use live::Live;
pub use mail::{letter, mail};
pub use plan_json::plan_document;
pub use plan_page::{PlanPage, Probe};
pub use say::say;
pub use story::{Columns, Story};
pub use style::{Look, Tone};
pub use tail::{Progress as Reported, Said, Tails};
pub use text::fold;
pub use trend::{Ink, Night, Trend};
pub use wave_page::{WaveHosts, resolve_waves, wave_lines};
pub use week_page::WeekPage;
pub use words::{clock_of, horizon, left_to_people, short_digest, state_word};
pub use write_up::WriteUp;

/// Somebody who is told. `view` has already folded `new`.
pub trait Reporter: Send {
    /// Facts that became durable, oldest first.
    fn facts(&mut self, view: &RunView, new: &[FactRecord], now: Timestamp);

    /// Time has passed. Called at least every 500 ms while something is shown.
    fn tick(&mut self, view: &RunView, now: Timestamp);

    /// The last call: the run is over, or this terminal leaves it.
    fn finish(&mut self, view: &RunView, now: Timestamp);

    /// What the person at this terminal is typing, shown under everything else; `None` when nothing is asked for.
    fn prompt(&mut self, _text: Option<&str>) {}

    /// Lines for the person at this terminal only, such as an answer to what was typed.
    fn say(&mut self, _lines: &[String]) {}
}

/// Says nothing (`--progress none`).
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Reporter for Silent {
    fn facts(&mut self, _view: &RunView, _new: &[FactRecord], _now: Timestamp) {}
    fn tick(&mut self, _view: &RunView, _now: Timestamp) {}
    fn finish(&mut self, _view: &RunView, _now: Timestamp) {}
}
