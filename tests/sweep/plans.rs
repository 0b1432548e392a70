//! The plans that are crashed, and what people do while they run. `DIR` is the folder of one night. `EFFECT` is what a
//! step does, a line `STEP do ATTEMPT` in `DIR/effects`, and `UNDO` is a line `STEP undo ATTEMPT` there.
//! `WAIT` says in `DIR/waiting` that the step is there, and goes on when somebody has decided.

/// One plan and how its night goes.
pub struct Case {
    pub name: &'static str,
    pub text: &'static str,
    /// What a person does as soon as this is the case, once.
    pub person: Option<Person>,
}

/// What a person does during the night.
#[derive(Clone, Copy)]
pub enum Person {
    /// Approves the gate that is open.
    Approves,
    /// Decides to roll back while three steps run that end only then.
    Aborts,
    /// Skips the step that failed after the point of no return.
    Skips,
}

pub const CASES: [Case; 8] = [
    Case { name: "linear", text: LINEAR, person: None },
    Case { name: "diamond", text: DIAMOND, person: None },
    Case { name: "abort", text: ABORT, person: Some(Person::Aborts) },
    Case { name: "retry", text: RETRY, person: None },
    Case { name: "approved", text: APPROVED, person: Some(Person::Approves) },
    Case { name: "unanswered", text: UNANSWERED, person: None },
    Case { name: "stuck", text: STUCK, person: None },
    Case { name: "irreversible", text: IRREVERSIBLE, person: Some(Person::Skips) },
];

const LINEAR: &str = r#"runbook: 1
name: Six steps in a row
defaults: {hosts: local, estimate: 30s}
steps:
  one: {run: EFFECT, rollback: UNDO}
  two: {run: EFFECT, rollback: UNDO, verify: grep -q two DIR/effects}
  three: {run: EFFECT, rollback: UNDO, verify: grep -q three DIR/effects}
  four: {run: EFFECT, rollback: UNDO, verify: grep -q four DIR/effects}
  five: {run: 'EFFECT; echo a=b >> "$RUNBOOK_OUTPUT"', outputs: [a], rollback: UNDO, verify: grep -q five DIR/effects}
  six: {run: 'EFFECT; test {{ a }} = b', rollback: UNDO, verify: grep -q six DIR/effects}
"#;

const DIAMOND: &str = r#"runbook: 1
name: A diamond whose last step fails
defaults: {hosts: local, estimate: 30s, on_failure: rollback}
after_rollback: {hosts: local, test: EFFECT; grep -q 'top undo' DIR/effects, estimate: 1s}
steps:
  top: {needs: [], run: EFFECT, rollback: {run: UNDO, estimate: 1s, verify: grep -q 'top undo' DIR/effects}}
  left: {needs: [top], run: EFFECT, rollback: UNDO, verify: grep -q left DIR/effects}
  right: {needs: [top], run: EFFECT, rollback: UNDO, verify: grep -q right DIR/effects}
  leaf: {needs: [left, right], run: EFFECT; exit 7, rollback: UNDO}
"#;

const ABORT: &str = r#"runbook: 1
name: Three at once, then a person has enough
defaults: {hosts: local, estimate: 30s}
steps:
  first: {needs: [], run: EFFECT, rollback: UNDO}
  second: {needs: [first], run: EFFECT, rollback: UNDO}
  a: {needs: [second], run: 'WAIT; EFFECT', rollback: UNDO}
  b: {needs: [second], run: 'WAIT; EFFECT', rollback: UNDO}
  c: {needs: [second], run: 'WAIT; EFFECT', rollback: UNDO}
  never: {needs: [a, b, c], run: EFFECT, rollback: UNDO}
"#;

const RETRY: &str = r#"runbook: 1
name: The third try works
defaults: {hosts: local, estimate: 30s}
steps:
  before: {run: EFFECT, rollback: UNDO, verify: grep -q before DIR/effects}
  flaky:
    idempotent: true
    retry: {times: 2, wait: 1s}
    run: EFFECT; test "$(grep -c '^flaky do' DIR/effects)" -ge 3
    rollback: UNDO
  after: {run: EFFECT, rollback: UNDO, verify: grep -q after DIR/effects}
  last: {run: EFFECT, rollback: UNDO}
"#;

const APPROVED: &str = r#"runbook: 1
name: A person says yes
defaults: {hosts: local, estimate: 30s}
steps:
  one: {run: EFFECT, rollback: UNDO}
  two: {run: EFFECT, rollback: UNDO, verify: grep -q two DIR/effects}
  ask: {gate: Is all well?, estimate: 1m}
  three: {run: EFFECT, rollback: UNDO}
  four: {run: EFFECT, rollback: UNDO, verify: grep -q four DIR/effects}
  five: {run: EFFECT, rollback: UNDO}
"#;

/// A step that a crash kept from starting is tried again after 5 s, and must still be admitted on a busy machine: the last
/// moment comes at 21 s.
const UNANSWERED: &str = r#"runbook: 1
name: Nobody answers until the last moment
window: {lasts: 27s, reserve: 0s}
defaults: {hosts: local, estimate: 1s}
steps:
  one: {run: EFFECT, rollback: {run: UNDO, estimate: 2s}}
  two: {run: EFFECT, rollback: {run: UNDO, estimate: 2s}}
  three: {run: EFFECT, rollback: {run: UNDO, estimate: 2s}}
  ask: {gate: Is all well?, estimate: 1s}
  four: {run: EFFECT, read_only: true}
"#;

const STUCK: &str = r#"runbook: 1
name: An undo that fails
defaults: {hosts: local, estimate: 30s, on_failure: rollback}
steps:
  base: {needs: [], run: EFFECT, rollback: UNDO}
  bad: {needs: [base], run: EFFECT, rollback: {run: UNDO; exit 3, estimate: 1s, retry: {times: 1, wait: 1s}}}
  good: {needs: [base], run: EFFECT, rollback: UNDO}
  other: {needs: [], run: EFFECT, rollback: UNDO}
  fails: {needs: [bad, good, other], run: EFFECT; exit 1, rollback: UNDO}
"#;

const IRREVERSIBLE: &str = r#"runbook: 1
name: A failure after the point of no return
defaults: {hosts: local, estimate: 30s}
steps:
  before: {run: EFFECT, rollback: UNDO, verify: grep -q before DIR/effects}
  ask: {gate: May the old data go?, estimate: 1m}
  gone: {run: EFFECT, irreversible: the old data is deleted}
  fails: {run: EFFECT; exit 1, read_only: true}
  last: {run: EFFECT, read_only: true, verify: grep -q last DIR/effects}
"#;

/// The text of the plan for a night in this folder.
pub fn text(case: &Case, dir: &str) -> String {
    let line = |direction: &str| format!("echo \"$RUNBOOK_STEP {direction} $RUNBOOK_ATTEMPT\" >> DIR/effects");
    let wait = "echo $RUNBOOK_STEP >> DIR/waiting; while [ ! -e DIR/decided ]; do sleep 0.02; done";
    case.text.replace("WAIT", wait).replace("EFFECT", &line("do")).replace("UNDO", &line("undo")).replace("DIR", dir)
}
