//! The status screen that stays: redrawn in place on a terminal, elsewhere a line for each change. Makes texts; writes nothing.

use jiff::{SignedDuration, Timestamp};

use super::area::Area;
use super::clock::coarse;
use super::status::{Engine, state};
use super::words;
use crate::view::{ActionState, Phase, RunView};

/// Steps that a line names.
const NAMED: usize = 4;

/// Where it hangs, and what it said last.
#[derive(Debug, Default)]
pub struct Board {
    area: Area,
    said: String,
}

impl Board {
    /// The sequences that put these lines where the last ones stood, on a terminal of so many columns and rows. What does not
    /// fit is counted.
    pub fn screen(&mut self, mut lines: Vec<String>, columns: usize, rows: usize) -> String {
        let most = rows.saturating_sub(1).max(2);
        if lines.len() > most {
            let hidden = lines.len() - (most - 1);
            lines.truncate(most - 1);
            lines.push(format!("  + {hidden} lines more"));
        }
        self.area.redraw(&[], &lines, columns)
    }

    /// One line, when anything has changed but the time.
    pub fn change(&mut self, view: &RunView, engine: Option<&Engine>, now: Timestamp) -> Option<String> {
        let standing = standing(view, engine);
        if standing == self.said {
            return None;
        }
        let clock = words::clock_of(view);
        let line = format!("{} {standing}{}", clock.hms(now), outlook(view, now));
        self.said = standing;
        Some(line)
    }
}

/// `RUNNING   4 of 11 done  2 running (backup-db, deploy-backend)`.
fn standing(view: &RunView, engine: Option<&Engine>) -> String {
    let mut parts =
        vec![format!("{:<12}", state(view, engine)), format!("{} of {} done", view.steps_done(), view.steps_total())];
    if let (Phase::RollingBack, Some(p)) = (view.phase(), view.rollback_progress()) {
        parts.push(format!("{} of {} undone", p.undone, p.to_undo));
    }
    let named = |state: fn(ActionState) -> bool, word: &str| {
        let names: Vec<&str> =
            view.rows().filter(|row| state(row.state)).map(|row| words::step_name(&row.step.id)).collect();
        let more = if names.len() > NAMED { ", ..." } else { "" };
        let shown = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
        (!names.is_empty()).then(|| format!("{} {word} ({shown}{more})", names.len()))
    };
    parts.extend(named(|state| state.is_active() && state != ActionState::Asking, "running"));
    parts.extend(named(|state| state == ActionState::Asking, "asked"));
    parts.extend(named(|state| state == ActionState::Failed, "failed"));
    parts.extend(view.hold().map(|hold| format!("held: {}", words::held(view, &hold.reason))));
    parts.join("  ")
}

/// `  room 3h12m  finish 04:55`: changes all the time, so it is no reason for a line.
fn outlook(view: &RunView, now: Timestamp) -> String {
    let clock = words::clock_of(view);
    match view.phase() {
        Phase::Ended => String::new(),
        Phase::RollingBack => format!("  up again {}", clock.hm_near(view.up_again(now), now)),
        Phase::Waiting | Phase::Running | Phase::Holding => {
            let room = view.room(now).map(|room| room.max(SignedDuration::ZERO));
            let room = room.map_or(String::new(), |room| format!("  room {}", coarse(room)));
            format!("{room}  finish {}", clock.hm_near(view.forecast(now).finish, now))
        }
    }
}
