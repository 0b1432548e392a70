//! The read model: what people and programs ask of a run, folded from its facts. Knows no clock; `now` is a parameter.
//!
//! [`RunView`] is the only reader of facts that screens use: `exec`, `attach`, `status` and the reports all fold the
//! same journal, so they cannot disagree. While it folds it also tells the run as [`Event`]s, one per line that a
//! person would want to read: many hosts that start together are one event.

mod action_view;
mod answers;
mod attempts;
mod by_hand;
mod calls;
mod event;
mod fleet;
mod fold;
mod forecast;
mod history;
mod outlook;
mod own_clock;
mod rows;
mod run_view;
mod stuck;
mod waves;
mod week;

pub use action_view::{ActionState, ActionView};
pub use answers::Answer;
pub use calls::Call;
pub use event::{Event, Mark, What};
pub use fleet::{FEW, Fleet, InService};
pub use forecast::{Forecast, StepTimes};
pub use history::{Took, durations};
pub use outlook::Outlook;
pub use rows::{RollbackProgress, StepRow};
pub use run_view::{OpenGate, OpenHold, Phase, RunView};
pub use stuck::{StuckRow, undo_text};
pub use waves::{WaveSoFar, WeekSoFar};
pub use week::{NotNow, Week};
