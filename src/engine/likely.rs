//! `ask_below`: whether the run is likely enough to end in time for going on without a question. Knows no clock.
//!
//! It is asked when a step has ended, before anything that waits for it starts. What was found is part of the fact, so
//! that a replay asks nothing again.

use std::sync::Arc;

use super::decide::Decision;
use super::fact::{Fact, HoldAnswer, HoldReason};
use super::state::{ActionState, Doing, State};
use crate::graph::ids::Direction;
use crate::graph::{Graph, StepIx};
use crate::schedule::{Evening, Situation, Standing};

/// Whoever went on all the same is asked again when it has become so much less likely, in percent.
const FURTHER: u8 = 10;

/// The plan made ready for drawing nights, made when it is needed first, and again for an amended plan.
pub type Likely = Option<(Arc<Graph>, Evening)>;

impl Decision<'_> {
    pub fn ask_if_unlikely(&mut self) {
        let state = &*self.state;
        let asks = state.is_forward() && state.reversible() && state.hold().is_none() && !state.no_input();
        if !asks || state.window().is_none() || state.all_satisfied() {
            return;
        }
        let Some((below, (done, rollback_fits))) = self.threshold().and_then(|below| Some((below, self.chances()?)))
        else {
            return;
        };
        let chance = done.min(rollback_fits);
        let further = self.state.unlikely_asked.is_none_or(|asked| chance.saturating_add(FURTHER) <= asked);
        if chance < below && further {
            self.hold(HoldReason::Unlikely { done, rollback_fits, below }, HoldAnswer::Rollback);
        }
    }

    /// The highest that applies to what has ended in this turn; a gate's own goes before the plan's.
    fn threshold(&self) -> Option<u8> {
        let graph = self.state.graph();
        let ended = self.turn.facts.iter().filter_map(|fact| match fact {
            Fact::AttemptEnded { attempt, outcome, .. } if outcome.is_success() => Some(&attempt.action),
            Fact::GateAnswered { action, .. } | Fact::WaitEnded { action } => Some(action),
            _ => None,
        });
        let steps = ended.filter_map(|action| graph.find(action)).map(|ix| graph.action(ix).step);
        let over = steps.filter(|step| self.state.is_step_satisfied(*step));
        let of = |step: StepIx| graph.step(step).gate.as_ref().and_then(|gate| gate.ask_below);
        over.filter_map(|step| of(step).or(graph.plan().ask_below)).max()
    }

    /// In percent: everything is done by the close, a rollback fits until the last decision. `None`: nothing is uncertain.
    fn chances(&mut self) -> Option<(u8, u8)> {
        let graph = self.state.graph().clone();
        if !self.likely.as_ref().is_some_and(|(of, _)| Arc::ptr_eq(of, &graph)) {
            let run = self.state.run()?;
            *self.likely = Some((graph.clone(), Evening::new(&graph, run.order.as_ref(), &run.past)));
        }
        let (_, evening) = self.likely.as_ref()?;
        let situation = Situation {
            at: self.now,
            actions: graph.action_ixs().map(|ix| standing(self.state.action(ix))).collect(),
            closes: self.state.window().map(|w| w.closes),
            reversible: State::reversible(self.state),
        };
        let odds = evening.odds(&graph, &situation)?;
        let percent = |p: Option<f64>| (p.unwrap_or(1.0) * 100.0).round() as u8;
        Some((percent(odds.done), percent(odds.rollback_fits)))
    }
}

fn standing(action: &ActionState) -> Standing {
    let once = action.tries[Direction::Do as usize] < 2;
    match &action.doing {
        Doing::Skipped => Standing::Skipped,
        Doing::Done => {
            let took = action.ended.zip(action.started).map(|(end, start)| end.duration_since(start));
            Standing::Done { took: took.filter(|_| once && !action.tolerated) }
        }
        Doing::Running { since, .. } | Doing::Asking { since, .. } => {
            Standing::Running { since: action.started.filter(|_| once).unwrap_or(*since) }
        }
        Doing::Pausing { .. } | Doing::Next(_) | Doing::Ask => {
            action.started.map_or(Standing::Waiting, |since| Standing::Running { since })
        }
        Doing::Waiting | Doing::Judge { .. } | Doing::Retrying { .. } | Doing::Failed => Standing::Waiting,
        Doing::Undoing { .. }
        | Doing::UndoNext(_)
        | Doing::UndoJudge { .. }
        | Doing::UndoRetrying { .. }
        | Doing::Undone
        | Doing::Parked { .. } => Standing::Skipped,
    }
}
