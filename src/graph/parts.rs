//! The parts of one action on one host, in their order: drain, work, reboot, proof, undrain; and the way back. Knows
//! nothing of attempts, time or places.

use jiff::SignedDuration;

use super::ids::Direction;
use crate::plan::model::{Drain, Step};

/// All parts of the way forward that the step has, in their order.
pub fn forward(step: &Step) -> impl Iterator<Item = Direction> + '_ {
    Direction::ALL.into_iter().filter(|part| !part.is_back() && exists(step, *part))
}

/// All parts of the way back that the step has, in their order.
pub fn back(step: &Step) -> impl Iterator<Item = Direction> + '_ {
    Direction::ALL.into_iter().filter(|part| part.is_back() && exists(step, *part))
}

/// The part with which the step begins on each host.
#[must_use]
pub fn first(step: &Step) -> Direction {
    forward(step).next().unwrap_or(Direction::Do)
}

/// What follows a part that has succeeded, on the same way. `None` after the last one.
#[must_use]
pub fn after(step: &Step, part: Direction) -> Option<Direction> {
    let behind = Direction::ALL.into_iter().skip_while(|p| *p != part).skip(1);
    behind.filter(|p| p.is_back() == part.is_back()).find(|p| exists(step, *p))
}

/// Where a host goes back to service without an undo: it was drained, and nothing was done to it.
#[must_use]
pub fn back_to_service(step: &Step) -> Option<Direction> {
    exists(step, Direction::UndoUndrain).then_some(Direction::UndoUndrain)
}

/// The command around the work that a part executes, or whose end it waits for.
#[must_use]
pub fn drain_of(step: &Step, part: Direction) -> Option<&Drain> {
    match part {
        Direction::Drain | Direction::Drained => step.fleet.drain.as_ref(),
        Direction::Undrain | Direction::Undrained | Direction::UndoUndrain | Direction::UndoUndrained => {
            step.fleet.undrain.as_ref()
        }
        Direction::Do
        | Direction::Reboot
        | Direction::Check
        | Direction::Undo
        | Direction::UndoReboot
        | Direction::UndoCheck => None,
    }
}

/// How long an attempt may take, where the plan limits it; the host enforces it.
#[must_use]
pub fn limit(step: &Step, part: Direction) -> Option<SignedDuration> {
    match part {
        Direction::Do | Direction::Check => step.timeout,
        Direction::Reboot => step.fleet.reboot,
        Direction::UndoReboot => step.rollback().and_then(|r| r.reboot),
        Direction::Undo | Direction::UndoCheck => step.rollback().and_then(|r| r.timeout),
        Direction::Drain
        | Direction::Drained
        | Direction::Undrain
        | Direction::Undrained
        | Direction::UndoUndrain
        | Direction::UndoUndrained => drain_of(step, part).and_then(|d| d.timeout).or(step.timeout),
    }
}

fn exists(step: &Step, part: Direction) -> bool {
    let waits = || drain_of(step, part).is_some_and(|d| d.until.is_some());
    match part {
        Direction::Do => true,
        Direction::Drain | Direction::Undrain | Direction::UndoUndrain => drain_of(step, part).is_some(),
        Direction::Drained | Direction::Undrained | Direction::UndoUndrained => waits(),
        Direction::Reboot => step.fleet.reboot.is_some(),
        Direction::Check => step.verify.is_some(),
        Direction::Undo => step.rollback().is_some(),
        Direction::UndoReboot => step.rollback().is_some_and(|r| r.reboot.is_some()),
        Direction::UndoCheck => step.rollback().is_some_and(|r| r.verify.is_some()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::sample::run;

    fn drain(until: Option<&str>) -> Option<Drain> {
        Some(Drain { run: "lb".into(), hosts: None, until: until.map(Into::into), timeout: None })
    }

    #[test]
    fn a_plain_step_is_its_work_alone() {
        let step = run("a", &[], &["h"], "x");
        assert_eq!(forward(&step).collect::<Vec<_>>(), [Direction::Do]);
        assert_eq!(back(&step).count(), 0);
        assert_eq!(after(&step, Direction::Do), None);
        assert_eq!(first(&step), Direction::Do);
    }

    #[test]
    fn all_parts_come_in_the_order_of_the_contract() {
        let mut step = run("a", &[], &["h"], "x").undone_by("y", 1);
        step.verify = Some("v".into());
        step.fleet.drain = drain(Some("idle"));
        step.fleet.undrain = drain(Some("busy"));
        step.fleet.reboot = Some(SignedDuration::from_mins(10));
        assert_eq!(forward(&step).collect::<Vec<_>>(), Direction::ALL[..7]);
        let way = std::iter::successors(Some(first(&step)), |part| after(&step, *part));
        assert_eq!(way.collect::<Vec<_>>(), Direction::ALL[..7]);
        let back: Vec<_> = back(&step).collect();
        assert_eq!(back, [Direction::Undo, Direction::UndoUndrain, Direction::UndoUndrained]);
        assert_eq!(after(&step, Direction::UndoUndrained), None);
        assert_eq!(limit(&step, Direction::Reboot), Some(SignedDuration::from_mins(10)));
    }
}
