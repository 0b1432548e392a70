//! What the shell must do once the facts that explain it are durable. Knows nothing of how it is done.

use jiff::Timestamp;

use crate::graph::ids::AttemptId;

#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Start this attempt (`Engine::job` renders it), follow it, report its outcome once. At most one start per
    /// attempt, whoever asks. What cannot be rendered is reported as never started.
    Launch(AttemptId),
    /// Ask the host what became of the attempt and follow it to its end (the resolution procedure).
    Probe(AttemptId),
    /// End the attempt's process tree, verify that it is empty, report the outcome.
    Kill(AttemptId),
    /// Send [`super::input::Input::Tick`] at this instant; replaces the previous request.
    WakeAt(Timestamp),
    /// The run is over: close the journal and exit.
    Finish,
}

/// What one input led to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Turn {
    /// To be made durable before any of the effects is performed, in one transaction.
    pub facts: Vec<super::fact::Fact>,
    pub effects: Vec<Effect>,
    /// The answer to an [`super::input::Input::Operator`].
    pub reply: Option<super::input::Reply>,
}
