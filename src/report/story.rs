//! Events -> lines of history, one function per kind of event. Knows not where they are printed.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::clock::{Clock, coarse, span};
use super::escape::escape_for_terminal as esc;
use super::style::Tone;
use super::words;
use crate::engine::fact::{FleetStop, GateAnswer, HoldAnswer, HoldReason, KillReason, Mark as PersonsMark, RunEnd};
use crate::graph::ids::{AttemptId, Direction};
use crate::graph::outcome::{Evidence, Outcome};
use crate::plan::inventory::count;
use crate::plan::model::OnFailure;
use crate::view::{Event, Mark, RunView, What};

/// How wide the columns before the text are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Columns {
    /// `01:37:02 DONE   stop-frontend  2m11s`: for log files.
    Log,
    /// `01:37:02  DONE   stop-frontend     2m11s  fe1 fe2`: above the live view.
    Terminal,
}

/// How many failing hosts of one step get their whole block; the others get a line.
const BLOCKS_PER_STEP: u32 = 3;

/// Tells each event once.
#[derive(Debug)]
pub struct Story {
    told: usize,
    columns: Columns,
    blocks: BTreeMap<String, u32>,
}

impl Story {
    #[must_use]
    pub const fn new(columns: Columns) -> Self {
        Self { told: 0, columns, blocks: BTreeMap::new() }
    }

    /// Everything so far counts as told.
    pub fn skip_to_now(&mut self, view: &RunView) {
        self.told = view.events().len();
    }

    /// The lines of all events that were not told yet.
    pub fn lines(&mut self, view: &RunView) -> Vec<String> {
        let clock = words::clock_of(view);
        let new = &view.events()[self.told.min(view.events().len())..];
        self.told = view.events().len();
        let mut out = Vec::new();
        for event in new {
            self.tell(&mut Page { out: &mut out, clock: &clock, columns: self.columns, at: event.at }, view, event);
        }
        out
    }

    fn tell(&mut self, page: &mut Page<'_>, view: &RunView, event: &Event) {
        match &event.what {
            What::RunStarted => run_started(page, view),
            What::WindowOpened => window_opened(page, view),
            What::StepStarted { step, hosts } => step_started(page, view, step, hosts),
            What::StepDone { .. } => step_done(page, view, &event.what),
            What::StepSkipped { step, why, .. } => page.line("SKIP", step, &esc(why)),
            What::StepLate { step, host } => step_late(page, view, step, host),
            What::TryFailed { .. } => self.try_failed(page, view, &event.what),
            What::LinkLost { action, why } => {
                let host = action.host().unwrap_or("");
                page.line("LOST", action.step(), &format!("{host}: {}; it goes on by itself", esc(why)));
            }
            What::LinkRestored { action } => {
                page.line("NOTE", action.step(), &format!("{} answers again", action.host().unwrap_or("it")));
            }
            What::Killing { attempt, why } => killing(page, attempt, *why),
            What::WaitStarted { step, until } => {
                let until = page.clock.hm_near(*until, page.at);
                page.line("WAIT", step, &format!("until {until}"));
            }
            What::GateOpened { step, answer_by } => gate_opened(page, view, step, *answer_by),
            What::GateAnswered { .. } => gate_answered(page, &event.what),
            What::AdmissionRefused { action, numbers } => {
                let ends = page.clock.hm_near(numbers.ends, page.at);
                let by = page.clock.hm_near(numbers.roll_back_by, page.at);
                let text = format!("not started: it would end {ends} at worst, roll back by {by}");
                page.line("FULL", &words::action(action), &text);
            }
            What::HoldOpened { reason, limit, default } => hold_opened(page, view, reason, *limit, *default),
            What::HoldAnswered { answer, by, note } => {
                let note = note.as_ref().map_or(String::new(), |n| format!(": {}", esc(n)));
                page.line("NOTE", "", &format!("{} says {}{note}", words::actor(by), answer.word()));
            }
            What::CallDue { step, expected, planned, said } => {
                page.line("NOTE", "", &call_due(page, view, step, *expected, *planned, *said));
            }
            What::RoomWarning { room } => room_warning(page, view, *room),
            What::ReversibleEnded { why } => page.line("NOTE", "", &format!("no way back from here: {}", esc(why))),
            What::HorizonCrossed { step, opens, expired } => {
                let expired: Vec<&str> = expired.iter().map(String::as_str).collect();
                let undos = words::undos_of(&expired, "has expired", "have expired");
                page.line("NOTE", step, &format!("opens {opens}: {undos}; {}", words::FORWARD_ONLY));
            }
            What::HorizonKept { opens } => {
                page.line("NOTE", "", &format!("{opens} did not open after all: everything can be rolled back again"));
            }
            What::RollbackDecided { cause } => page.line("ROLLBACK", "", &format!("begins: {}", words::cause(cause))),
            What::UndoStarted { step, hosts } => page.line("UNDO", step, &words::hosts(hosts)),
            What::StepUndone { step, hosts, took } => {
                page.line("UNDONE", step, &page.with_hosts(span(*took), hosts));
            }
            What::UndoParked { action, why } => undo_parked(page, view, action, why),
            What::Marked { action, mark, by, reason } => {
                let reason = reason.as_ref().map_or(String::new(), |r| format!(": {}", esc(r)));
                let text = format!("{} marked it {}{reason}", words::actor(by), mark_word(*mark));
                page.line("NOTE", &words::action(action), &text);
            }
            What::WindowExtended { closes, by, granted_by, reason } => {
                let closes = page.clock.hm_near(*closes, page.at);
                let granted = granted_by.as_ref().map_or(String::new(), |g| format!(", granted by {}", esc(g)));
                let reason = reason.as_ref().map_or(String::new(), |r| format!(": {}", esc(r)));
                page.line("NOTE", "", &format!("window extended to {closes} by {}{granted}{reason}", words::actor(by)));
            }
            What::PlanAmended { by, changes, reason } => {
                let reason = reason.as_ref().map_or(String::new(), |r| format!(": {}", esc(r)));
                page.line("NOTE", "", &format!("plan amended by {}{reason}", words::actor(by)));
                changes.iter().for_each(|change| page.line("", "", &esc(change)));
            }
            What::Noted { text, by } => page.line("NOTE", "", &format!("{}: {}", words::actor(by), esc(text))),
            What::Resumed { by } => page.line("NOTE", "", &format!("{} took over", words::actor(by))),
            What::ClockJumped { by } => {
                page.line("CLOCK", "", &format!("the clock jumped {}: asleep?", span(*by)));
            }
            What::ClockJudged { off, agreed } => page.line("CLOCK", "", &judged(*off, *agreed)),
            What::RunEnded { end } => run_ended(page, view, end),
        }
    }

    fn try_failed(&mut self, page: &mut Page<'_>, view: &RunView, what: &What) {
        let What::TryFailed { attempt, outcome, took, tries, again, .. } = what else { return };
        let host = attempt.action.host().map_or(String::new(), |h| format!("{h}, "));
        let try_of = if *tries > 1 { format!("try {} of {tries}, ", attempt.number) } else { String::new() };
        let part = words::part_prefix(attempt.direction);
        let next = again.map_or(String::new(), |at| format!("; again at {}", page.clock.hms(at)));
        let word = if *outcome == Outcome::Cancelled { "KILL" } else { "FAIL" };
        let how = esc(&outcome.to_string());
        let text = format!("{host}{try_of}{part}{how} after {}{next}", span(*took));
        page.line(word, words::step_name(attempt.action.step()), &text);
        let shown = self.blocks.entry(attempt.action.step().to_owned()).or_default();
        if again.is_none() && word == "FAIL" && *shown < BLOCKS_PER_STEP {
            *shown += 1;
            failure_block(page, view, what);
        }
    }
}

/// Where lines go, and what they need to be written.
struct Page<'a> {
    out: &'a mut Vec<String>,
    clock: &'a Clock,
    columns: Columns,
    at: Timestamp,
}

impl Page<'_> {
    fn line(&mut self, word: &str, name: &str, text: &str) {
        let tone = Tone::of_word(word);
        let time = self.clock.hms(self.at);
        let line = match self.columns {
            Columns::Log => {
                let name = if name.is_empty() { String::new() } else { format!("{name}  ") };
                format!("{time} {} {name}{text}", tone.paint(&format!("{word:<6}")))
            }
            Columns::Terminal => {
                let name = if name.is_empty() { String::new() } else { format!("{name:<16}  ") };
                format!("{time}  {} {name}{text}", tone.paint(&format!("{word:<6}")))
            }
        };
        self.out.push(line.trim_end().to_owned());
    }

    /// A line without a time: it belongs to the one before.
    fn more(&mut self, text: &str) {
        self.out.push(text.trim_end().to_owned());
    }

    fn with_hosts(&self, first: String, hosts: &[String]) -> String {
        let hosts = words::hosts(hosts);
        match self.columns {
            _ if hosts.is_empty() => first,
            Columns::Log => format!("{first}  {hosts}"),
            Columns::Terminal => format!("{first:<6}  {hosts}"),
        }
    }
}

fn run_started(page: &mut Page<'_>, view: &RunView) {
    let Some(header) = view.header() else { return };
    let digest = words::short_digest(&header.digest);
    let window = header.window.map_or("no window".to_owned(), |w| {
        let (opens, closes) = (page.clock.hm(w.opens), page.clock.hm_near(w.closes, w.opens));
        format!("window {opens}-{closes} {}", page.clock.zone_name())
    });
    let version = env!("CARGO_PKG_VERSION");
    page.more(&format!("runbook {version}  run {}  plan digest {digest}  {window}", esc(&header.run)));
    if let Some(why) = &header.options.outside_window {
        page.line("NOTE", "", &format!("outside the window: {}", esc(why)));
    }
}

fn window_opened(page: &mut Page<'_>, view: &RunView) {
    let by = view.header().and_then(|h| h.window).map(|w| w.closes.saturating_sub(w.reserve).unwrap_or(w.closes));
    let text = by.map_or(String::new(), |by| {
        format!("room {}  roll back by {}", coarse(by.duration_since(page.at)), page.clock.hm_near(by, page.at))
    });
    page.line("open", "", &text);
}

fn step_started(page: &mut Page<'_>, view: &RunView, step: &str, hosts: &[String]) {
    let total = view.row_by_name(step).map_or(hosts.len(), |r| r.total as usize);
    let names = words::hosts(hosts);
    let text = if hosts.len() < total { format!("{names} of {total}") } else { names };
    let word = if step == "after_rollback" { "TEST" } else { "RUN" };
    page.line(word, words::step_name(step), &text);
}

fn step_done(page: &mut Page<'_>, view: &RunView, what: &What) {
    let What::StepDone { step, hosts, failed, took, mark, verified } = what else { return };
    let estimate = view.row_by_name(step).and_then(|r| r.step.estimate);
    let expected = estimate.map_or(String::new(), |e| format!(" (expected {e})"));
    let verify = if *verified { "  verify ok" } else { "" };
    let (word, text) = match mark {
        Some(Mark::Fast) => ("FAST", format!("{}{expected}", span(*took))),
        Some(Mark::Late) => ("DONE", format!("{}{expected}", span(*took))),
        None => ("DONE", span(*took)),
    };
    let failed = match failed.len() {
        0 => String::new(),
        n => format!("  {n} failed: {}", words::hosts(failed)),
    };
    page.line(word, words::step_name(step), &format!("{}{verify}{failed}", page.with_hosts(text, hosts)));
}

fn step_late(page: &mut Page<'_>, view: &RunView, step: &str, host: &str) {
    let estimate = view.row_by_name(step).and_then(|r| r.step.estimate);
    let expected = estimate.map_or(String::new(), |e| format!("over {e}, "));
    let slack = view.forecast(page.at).slack.map_or(String::new(), |s| {
        if s.is_negative() { "no slack left".into() } else { format!("slack {} left", coarse(s)) }
    });
    page.line("LATE", step, format!("{host} {expected}{slack}").trim_start());
}

fn failure_block(page: &mut Page<'_>, view: &RunView, what: &What) {
    let What::TryFailed { attempt, outcome, evidence, took, then, .. } = what else { return };
    let id = &attempt.action;
    let title = format!("{}{}", words::action(id), hosts_around(view, attempt));
    page.more(&format!("  {}  {title}", Tone::Failed.paint("FAILED")));
    let leads_to = leads_to(view, attempt, *then);
    if let Some(command) = words::command(view, id, attempt.direction) {
        page.more(&format!("    command  {command}{leads_to}"));
    }
    let exit = match outcome {
        Outcome::Failed { exit } => format!("exit     {exit} after {}", span(*took)),
        other => format!("ended    {} after {}", esc(&other.to_string()), span(*took)),
    };
    let host = id.host().map_or(String::new(), |h| format!(" {h}"));
    let lines =
        if evidence.lines > 0 { format!("   ({})", count(evidence.lines as usize, "line")) } else { String::new() };
    page.more(&format!("    {exit:<24} log  runbook logs {}{host}{lines}", id.step()));
    if words::asked_to_fail(view, id, attempt.direction) {
        page.more("    note     injected by --fail: this command was not executed");
    }
    output_tail(page, evidence);
}

fn output_tail(page: &mut Page<'_>, evidence: &Evidence) {
    if let Some(note) = &evidence.note {
        page.more(&format!("    note     {}", esc(note)));
    }
    if evidence.tail.is_empty() {
        return;
    }
    let last = if evidence.tail.len() == 1 { "line".into() } else { format!("{} lines", evidence.tail.len()) };
    page.more(&format!("    output (last {last})"));
    for line in &evidence.tail {
        page.more(&format!("        {}", esc(line)));
    }
}

/// ` (1 of 2 hosts; be1 passed)`.
fn hosts_around(view: &RunView, attempt: &AttemptId) -> String {
    use crate::view::ActionState::{Done, Failed};
    let Some(row) = view.row_by_name(attempt.action.step()).filter(|r| r.total > 1) else { return String::new() };
    let passed: Vec<String> =
        view.actions_of(row.ix).filter(|a| a.state == Done).map(|a| a.host().to_owned()).collect();
    let failed = row.count(Failed).max(1);
    match passed.len() {
        0 => format!(" ({failed} of {} hosts)", row.total),
        _ => format!(" ({failed} of {} hosts; {} passed)", row.total, words::hosts(&passed)),
    }
}

fn leads_to(view: &RunView, attempt: &AttemptId, then: Option<OnFailure>) -> &'static str {
    let test = view.row_by_name(attempt.action.step()).is_some_and(|r| r.step.judges());
    match (then, test) {
        (Some(OnFailure::Rollback), true) => "        test, so a failure rolls back",
        (Some(OnFailure::Rollback), false) => "        its failure rolls back",
        (Some(OnFailure::Ask), true) if view.red_before(&attempt.action) => {
            "        red before the night, so a person is asked"
        }
        (Some(OnFailure::Ask), true) if view.says_nothing(&attempt.action) => {
            "        could not judge, so a person is asked"
        }
        (Some(OnFailure::Ask), _) => "        a person is asked",
        (Some(OnFailure::Continue), _) => "        the run goes on without it",
        (None, _) => "",
    }
}

fn killing(page: &mut Page<'_>, attempt: &AttemptId, why: KillReason) {
    let why = match why {
        KillReason::Stop => "the rollback needs it ended",
        KillReason::Timeout => "over its time limit",
        KillReason::BeforeUndo => "it must be dead before its undo",
    };
    let host = attempt.action.host().unwrap_or("");
    page.line("KILL", attempt.action.step(), &format!("{host}: {why}"));
}

fn gate_opened(page: &mut Page<'_>, view: &RunView, step: &str, answer_by: Option<Timestamp>) {
    let row = view.row_by_name(step);
    let gate = row.as_ref().and_then(|r| r.step.gate.as_ref());
    let question = gate.map_or(String::new(), |g| esc(&g.question));
    let by = answer_by.map_or(String::new(), |t| format!("  answer by {}", page.clock.hm_near(t, page.at)));
    let who = row.as_ref().map_or(String::new(), |r| words::people(view, r.step, false));
    let who = if who.is_empty() { String::new() } else { format!("  for {who}") };
    match page.columns {
        Columns::Log => page.line("GATE", step, &format!("question: {question}{who}{by}")),
        Columns::Terminal => page.line("GATE", step, &format!("asked: {question}")),
    }
    for horizon in row.iter().flat_map(|r| view.graph().horizons_after(r.ix)) {
        page.line("", "", &format!("after it, {}", words::horizon(view.graph(), horizon)));
    }
}

fn gate_answered(page: &mut Page<'_>, what: &What) {
    let What::GateAnswered { step, answer, by, defects, note, took } = what else { return };
    let by = words::actor(by);
    let note = note.as_ref().map_or(String::new(), |n| format!(": {}", esc(n)));
    let (word, text) = match answer {
        GateAnswer::Approved => ("DONE", format!("by {by}{note}")),
        GateAnswer::ApprovedWithDefects => ("DONE", format!("approved with {} by {by}{note}", defects_of(defects))),
        GateAnswer::Rejected => ("FAIL", format!("rejected by {by}{note}")),
        GateAnswer::TimedOut => ("FAIL", "nobody answered in time".to_owned()),
    };
    page.line(word, step, &format!("{}  {text}", span(*took)));
    for defect in defects {
        page.more(&format!("           - {}", esc(defect)));
    }
}

fn defects_of(defects: &[String]) -> String {
    if defects.len() == 1 { "1 defect".into() } else { format!("{} defects", defects.len()) }
}

fn hold_opened(
    page: &mut Page<'_>,
    view: &RunView,
    reason: &HoldReason,
    limit: Option<Timestamp>,
    default: HoldAnswer,
) {
    let limit = limit
        .map_or(String::new(), |t| format!("  answer by {}, else: {}", page.clock.limit(t, page.at), default.word()));
    let answers = match reason {
        HoldReason::Failed { .. } => "retry | skip | rollback",
        HoldReason::ForwardOnly { .. } => "retry | skip",
        HoldReason::FleetStopped { why: FleetStop::KeepUp { .. }, .. } => "continue | stop | rollback",
        HoldReason::FleetStopped { .. } => "retry | continue | stop | rollback",
        HoldReason::RollbackGrace { .. } => "hold | rollback",
        HoldReason::Quick { .. }
        | HoldReason::Deadline
        | HoldReason::Unlikely { .. }
        | HoldReason::Paused { .. }
        | HoldReason::Clock => "continue | rollback",
        HoldReason::ManualUndo { .. } | HoldReason::RollbackPaused { .. } => "continue",
    };
    page.line("HOLD", "", &format!("{}: {answers}{limit}", words::held(view, reason)));
}

fn judged(off: Option<SignedDuration>, agreed: bool) -> String {
    let by_boot = "the run goes by the time since boot; set this machine's clock";
    match off {
        _ if agreed => "its hosts say the same: it counts".to_owned(),
        Some(off) => format!("its hosts are {} away from it: {by_boot}", coarse(off.abs())),
        None => format!("no host could be asked: {by_boot}"),
    }
}

/// `landing-test expected 02:30, 1h early. Call Ms. Hu +1 555 0103`.
fn call_due(
    page: &Page<'_>,
    view: &RunView,
    step: &str,
    expected: Timestamp,
    planned: Option<Timestamp>,
    said: Option<Timestamp>,
) -> String {
    let at = page.clock.hm_near(expected, page.at);
    let people = view.graph().find_step(step).map(|ix| words::people(view, view.graph().step(ix), true));
    let people = people.filter(|names| !names.is_empty()).unwrap_or_else(|| "the people of this gate".to_owned());
    if let Some(said) = said {
        return format!("{step} is expected {at}, not {}. Tell {people}", page.clock.hm_near(said, page.at));
    }
    let moved = planned.map_or(SignedDuration::ZERO, |planned| planned.duration_since(expected));
    let how = match moved.as_mins() {
        -15..=15 => String::new(),
        16.. => format!(", {} early", coarse(moved)),
        _ => format!(", {} late", coarse(-moved)),
    };
    format!("{step} expected {at}{how}. Call {people}")
}

fn room_warning(page: &mut Page<'_>, view: &RunView, room: SignedDuration) {
    let by = view
        .roll_back_by()
        .map_or(String::new(), |by| format!(" - at {} the rollback starts by itself", page.clock.hm_near(by, page.at)));
    page.line("ROOM", "", &format!("{}{by}", coarse(room)));
}

fn undo_parked(page: &mut Page<'_>, view: &RunView, action: &crate::graph::ids::ActionId, why: &str) {
    page.line("STUCK", &words::action(action), &esc(why));
    if let Some(command) = words::command(view, action, Direction::Undo) {
        page.more(&format!("    by hand  {command}"));
    }
}

const fn mark_word(mark: PersonsMark) -> &'static str {
    match mark {
        PersonsMark::Done => "done",
        PersonsMark::Failed => "failed",
        PersonsMark::Undone => "undone",
    }
}

fn run_ended(page: &mut Page<'_>, view: &RunView, end: &RunEnd) {
    let since = |from: Option<Timestamp>| from.map_or(String::new(), |f| span(page.at.duration_since(f)));
    match end {
        RunEnd::Succeeded { late } => {
            let late = if *late { ", after the window closed" } else { "" };
            page.line("DONE", "", &format!("every step in {}{late}", since(view.opens())));
        }
        RunEnd::RolledBack { verified, late } => {
            let estimate = view.rollback_estimate().map_or(String::new(), |e| format!(" (estimate {})", coarse(e)));
            let took = since(view.rollback().map(|(at, _)| *at));
            let proof = match verified {
                Some(true) => ". The old version answers, its test passed",
                Some(false) => ". The test of the old version FAILED",
                None => "",
            };
            let late = if *late { ", after the window closed" } else { "" };
            page.line("DONE", "", &format!("rolled back in {took}{estimate}{late}{proof}"));
        }
        RunEnd::Stuck { actions } => {
            page.line(
                "STUCK",
                "",
                &format!("a person is needed now: {} actions are neither done nor undone", actions.len()),
            );
        }
        RunEnd::Rejected => page.line("DONE", "", "rejected; nothing was started"),
    }
}
