//! How likely it is, by what has happened so far, that a run ends in time. Drawn again when something has happened, or
//! after a while; not for every redraw.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::action_view::{ActionState, ActionView};
use super::run_view::{Phase, RunView};
use crate::engine::fact::RunOptions;
use crate::graph::Graph;
use crate::graph::ids::Direction;
use crate::schedule::{Evening, Odds, Situation, Standing};

/// What happens in quick succession is looked at together.
const PAUSE: SignedDuration = SignedDuration::from_secs(5);
/// Time passes even when nothing happens.
const WHILE: SignedDuration = SignedDuration::from_mins(1);
/// Parts that are drawn within this share of that time.
const PARTS: usize = 10_000;

/// The odds of one run, as last drawn.
#[derive(Debug, Clone, Default)]
pub struct Outlook {
    /// Of the plan as it was when this was made: a plan may be amended.
    evening: Option<(Arc<Graph>, Evening)>,
    /// The fact and the time that they were drawn for.
    seen: Option<(u64, Timestamp)>,
    odds: Option<Odds>,
}

impl Outlook {
    /// The odds as of `now` or shortly before. `None` while a rollback runs, after the end, and where nothing is uncertain.
    pub fn look(&mut self, view: &RunView, now: Timestamp) -> Option<&Odds> {
        let Some(situation) = view.situation(now) else {
            (self.seen, self.odds) = (None, None);
            return None;
        };
        if !self.evening.as_ref().is_some_and(|(graph, _)| Arc::ptr_eq(graph, &view.graph)) {
            let header = view.header.as_ref()?;
            let evening = Evening::new(&view.graph, header.order.as_ref(), &header.past);
            (self.evening, self.seen) = (Some((view.graph.clone(), evening)), None);
        }
        let (_, evening) = self.evening.as_ref()?;
        let slowly = 1 + evening.len() / PARTS;
        let due = self.seen.is_none_or(|(seq, at)| {
            let gone = now.duration_since(at);
            gone >= WHILE * slowly as i32 || seq != view.seq && gone >= PAUSE
        });
        if due {
            self.odds = evening.odds(&view.graph, &situation);
            self.seen = Some((view.seq, now));
        }
        self.odds.as_ref()
    }
}

impl RunView {
    /// Where the night stands; `None` while a rollback runs and after the end.
    #[must_use]
    pub fn situation(&self, now: Timestamp) -> Option<Situation> {
        let options = &self.header.as_ref()?.options;
        if matches!(self.phase(), Phase::RollingBack | Phase::Ended) {
            return None;
        }
        Some(Situation {
            at: self.opens().map_or(now, |opens| opens.max(now)),
            actions: self
                .actions()
                .iter()
                .map(|action| left_out(action, options).unwrap_or_else(|| standing(action)))
                .collect(),
            closes: self.closes,
            reversible: self.reversible(),
        })
    }
}

/// Before the window opens, nothing of a narrowed run is skipped yet.
fn left_out(action: &ActionView, options: &RunOptions) -> Option<Standing> {
    let waits = action.state == ActionState::Waiting;
    let host_out = action.id.host().is_some_and(|host| options.hosts_left_out.iter().any(|h| h == host));
    let out = host_out || options.narrowed.iter().any(|step| step == action.id.step());
    (waits && out).then_some(Standing::Skipped)
}

fn standing(action: &ActionView) -> Standing {
    match action.state {
        ActionState::Skipped => Standing::Skipped,
        ActionState::Done => {
            let took = action.ended.zip(action.started).map(|(end, start)| end.duration_since(start));
            Standing::Done { took: took.filter(|_| tries(action) == 1) }
        }
        ActionState::Failed if action.tolerated => Standing::Done { took: None },
        ActionState::Running | ActionState::Soaking | ActionState::Asking => {
            let since = if tries(action) > 1 { action.attempt_started } else { action.started };
            since.map_or(Standing::Waiting, |since| Standing::Running { since })
        }
        // It would be tried again now.
        ActionState::Waiting | ActionState::BackingOff | ActionState::Failed => Standing::Waiting,
        ActionState::Undoing | ActionState::Undone | ActionState::Parked => Standing::Skipped,
    }
}

/// How often the work itself was tried.
fn tries(action: &ActionView) -> u32 {
    let of_work = action.attempt.as_ref().filter(|a| a.direction == Direction::Do);
    of_work.map_or(1, |a| a.number)
}
