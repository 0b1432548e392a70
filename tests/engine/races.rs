//! P9: two things happen to an open gate at the same instant. The first one that is heard decides, exactly once, and
//! whoever comes second is told so.

use jiff::SignedDuration;
use runbook::engine::fact::{Fact, GateAnswer, RollbackCause, RunOptions};
use runbook::engine::input::{Ask, Input, Reply};
use runbook::plan::model::*;
use runbook::plan::units::Estimate;

use super::decisions::Night;
use super::plans::{minutes, step, undone_by};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Happens {
    Approve,
    Reject,
    /// Nobody has answered by now.
    Timeout,
    Rollback,
    Extend,
}

use Happens::{Approve, Extend, Reject, Rollback, Timeout};

/// What becomes of the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    Answered(GateAnswer),
    /// The run goes back, and the gate is not asked any more.
    GoneBack,
}

const APPROVED: Ends = Ends::Answered(GateAnswer::Approved);
const REJECTED: Ends = Ends::Answered(GateAnswer::Rejected);
const TIMED_OUT: Ends = Ends::Answered(GateAnswer::TimedOut);

/// At the last instant for an answer, half an hour before the window closes: the undo takes thirty minutes.
fn at_the_limit() -> Night {
    let place = Place::Hosts(vec!["h1".into()]);
    let one = |id: &str, needs: &[&str]| {
        let run = Verb::Run(id.into());
        step(id, needs, place.clone(), run, undone_by(minutes(30)), Estimate::exactly(minutes(1)))
    };
    let gate = step("ask", &["one"], Place::Nowhere, Verb::Gate, Undo::Nothing, Estimate::exactly(minutes(5)));
    let extendable =
        |plan: &mut Plan| plan.window.as_mut().unwrap().max_extension = Some(SignedDuration::from_hours(1));
    // What comes after the gate undoes itself in no time, so that an approval at the last instant can be admitted.
    let mut after = one("two", &["ask"]);
    after.undo = Undo::ReadOnly;
    after.estimate = Some(Estimate::ZERO);
    let mut night = Night::of(vec![one("one", &[]), gate, after], 120, extendable, RunOptions::default());
    night.end("one/h1/do/1", runbook::graph::outcome::Outcome::Succeeded);
    night.now = night.engine.state().roll_back_by().expect("there is a window");
    night
}

/// Whether it was accepted; the clock is never refused.
fn happen(night: &mut Night, what: Happens) -> bool {
    let gate = Some("ask".to_owned());
    let ask = match what {
        Approve => Ask::Approve { gate, defects: vec![], note: None },
        Reject => Ask::Reject { gate, note: None },
        Rollback => Ask::Rollback { reason: None },
        Extend => {
            let closes = night.engine.state().window().unwrap().closes + minutes(60);
            Ask::Extend { closes, granted_by: None, reason: None }
        }
        Timeout => {
            night.tell(Input::Tick);
            return true;
        }
    };
    matches!(night.ask(ask), Reply::Accepted { .. })
}

fn ends(night: &Night) -> Vec<Ends> {
    let outcomes = night.facts.iter().filter_map(|fact| match fact {
        Fact::GateAnswered { answer, .. } => Some(Ends::Answered(*answer)),
        Fact::RollbackDecided { cause: RollbackCause::Person { .. } } => Some(Ends::GoneBack),
        _ => None,
    });
    outcomes.collect()
}

#[test]
fn the_first_of_two_decides() {
    // First, second, what becomes of the gate, whether the second is accepted.
    let table = [
        (Approve, Reject, APPROVED, false),
        (Approve, Timeout, APPROVED, true),
        (Approve, Extend, APPROVED, true),
        (Reject, Approve, REJECTED, false),
        (Reject, Timeout, REJECTED, true),
        (Reject, Rollback, REJECTED, false),
        (Reject, Extend, REJECTED, false),
        (Timeout, Approve, TIMED_OUT, false),
        (Timeout, Reject, TIMED_OUT, false),
        (Timeout, Rollback, TIMED_OUT, false),
        (Timeout, Extend, TIMED_OUT, false),
        (Rollback, Approve, Ends::GoneBack, false),
        (Rollback, Reject, Ends::GoneBack, false),
        (Rollback, Timeout, Ends::GoneBack, true),
        (Rollback, Extend, Ends::GoneBack, false),
        (Extend, Approve, APPROVED, true),
        (Extend, Reject, REJECTED, true),
        (Extend, Rollback, Ends::GoneBack, true),
    ];
    for (first, second, expected, accepted) in table {
        let mut night = at_the_limit();
        assert!(happen(&mut night, first), "{first:?} alone");
        assert_eq!(happen(&mut night, second), accepted, "{second:?} after {first:?}: {:?}", ends(&night));
        assert_eq!(ends(&night), [expected], "{first:?}, then {second:?}");
        let rolls_back = night.cause().is_some();
        assert_eq!(rolls_back, expected != APPROVED, "{first:?}, then {second:?}: {:?}", night.cause());
    }
}

/// More time for the window is more time for the gate, at once.
#[test]
fn an_extension_at_the_last_instant_keeps_the_gate_open() {
    let mut night = at_the_limit();
    assert!(happen(&mut night, Extend));
    assert!(happen(&mut night, Timeout));
    assert_eq!(ends(&night), []);
    night.wait(59);
    assert_eq!(ends(&night), []);
    night.wait(1);
    assert_eq!(ends(&night), [TIMED_OUT]);
}
