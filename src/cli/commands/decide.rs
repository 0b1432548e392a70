//! The verbs by which a person decides: each sends one request to the engine of a run and prints what was recorded.

use std::io::Write as _;

use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::holder::Holder;
use crate::cli::setup::Night;
use crate::cli::show::Show;
use crate::cli::watch::{self, Watch};
use crate::cli::{confirm, control, launch, look, narrow, store};
use crate::driver::clock;
use crate::engine::fact::{Fact, GateAnswer, HoldAnswer, HoldReason, Mark, RunEnd};
use crate::engine::input::{Ask, Reply};
use crate::journal::{RunRow, Store};
use crate::lab::Lab;
use crate::report;

/// Which run, and who speaks.
#[derive(Debug, clap::Args)]
pub struct Which {
    /// The run: its name, the beginning of it, or `latest` [default: the only open one]
    #[arg(long, value_name = "RUN")]
    pub(super) run: Option<String>,
    /// Who decides, when that is not you
    #[arg(long, value_name = "NAME")]
    pub(super) by: Option<String>,
}

#[derive(Debug, clap::Args)]
pub struct Approve {
    /// The gate's step [default: the only open one]
    gate: Option<String>,
    /// A known defect with which it is accepted; may be repeated
    #[arg(long = "defect", value_name = "TEXT")]
    defects: Vec<String>,
    /// A remark for the timeline
    #[arg(short, long = "message", value_name = "TEXT")]
    message: Option<String>,
    #[command(flatten)]
    which: Which,
}

pub fn approve(args: Approve, cx: &Context) -> Result<Exit, CommandError> {
    let Approve { gate, defects, message: note, which } = args;
    send(cx, &which, Ask::Approve { gate, defects, note })
}

#[derive(Debug, clap::Args)]
pub struct Reject {
    /// The gate's step [default: the only open one]
    gate: Option<String>,
    /// Why
    #[arg(short, long = "message", value_name = "TEXT")]
    message: Option<String>,
    #[command(flatten)]
    which: Which,
}

pub fn reject(args: Reject, cx: &Context) -> Result<Exit, CommandError> {
    let Reject { gate, message: note, which } = args;
    send(cx, &which, Ask::Reject { gate, note })
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A rollback can be paused, not ended: what is being undone ends, nothing more is undone, and the clock goes on.
That is asked for by the plan's name. Go on with it:   runbook continue"
)]
pub struct Pause {
    /// The plan's name, instead of typing it; only for pausing a rollback
    #[arg(long, value_name = "NAME")]
    confirm: Option<String>,
    #[command(flatten)]
    which: Which,
}

pub fn pause(args: &Pause, cx: &Context) -> Result<Exit, CommandError> {
    let store = store::existing(cx)?;
    let run = store::find(&store, args.which.run.as_deref())?;
    if run.end.is_none() && look::view(&store, &run)?.rollback().is_some() {
        let question = format!(
            "Run {} is being rolled back: paused, it is neither old nor new.\nType the plan's name to pause it all the \
             same, anything else leaves: ",
            run.id
        );
        confirm::name(cx, &run.plan, args.confirm.as_deref(), &question)?;
    }
    send_to(cx, &run, &args.which, Ask::Pause)
}

#[derive(Debug, clap::Args)]
pub struct Continue {
    #[command(flatten)]
    which: Which,
}

pub fn go_on(args: &Continue, cx: &Context) -> Result<Exit, CommandError> {
    send(cx, &args.which, Ask::Continue)
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  runbook retry update\n  runbook retry update --hosts 'web*,!web3'")]
pub struct Retry {
    /// The step that failed
    step: String,
    /// Only on these of the hosts that failed: groups, hosts, `web*`, `web[01:20]`, `!without`, `&also-in`
    #[arg(long, value_name = "PATTERN", value_delimiter = ',')]
    hosts: Vec<String>,
    #[command(flatten)]
    which: Which,
}

pub fn retry(args: Retry, cx: &Context) -> Result<Exit, CommandError> {
    let Retry { step, hosts: patterns, which } = args;
    let store = store::existing(cx)?;
    let run = store::find(&store, which.run.as_deref())?;
    let hosts = match &patterns[..] {
        [] => Vec::new(),
        patterns => {
            let view = look::view(&store, &run)?;
            narrow::of_run(&view, &patterns.join(","))?.into_iter().map(str::to_owned).collect()
        }
    };
    send_to(cx, &run, &which, Ask::Retry { step, hosts })
}

#[derive(Debug, clap::Args)]
pub struct Skip {
    /// The step that counts as done
    step: String,
    /// Why; it goes into the report
    #[arg(short, long = "message", value_name = "TEXT", required = true)]
    message: Option<String>,
    #[command(flatten)]
    which: Which,
}

pub fn skip(args: Skip, cx: &Context) -> Result<Exit, CommandError> {
    let Skip { step, message: reason, which } = args;
    send(cx, &which, Ask::Skip { step, reason })
}

#[derive(Debug, clap::Args)]
pub struct Rollback {
    /// Why; it goes into the report
    #[arg(short, long = "message", value_name = "TEXT")]
    message: Option<String>,
    /// The plan's name, instead of typing it
    #[arg(long, value_name = "NAME")]
    confirm: Option<String>,
    /// Try again what got stuck in a rollback
    #[arg(long = "continue")]
    go_on: bool,
    #[command(flatten)]
    which: Which,
}

pub fn rollback(args: Rollback, cx: &Context) -> Result<Exit, CommandError> {
    let store = store::existing(cx)?;
    let run = match args.go_on {
        true => find_stuck(&store, args.which.run.as_deref())?,
        false => store::find(&store, args.which.run.as_deref())?,
    };
    if args.go_on && run.end.is_none() && is_paused(&store, &run)? {
        return send_to(cx, &run, &args.which, Ask::Continue);
    }
    if args.go_on && !matches!(run.end, Some(RunEnd::Stuck { .. })) {
        return Err(not_stuck(&run));
    }
    let finished = finished(&store, &run)?;
    let what = if args.go_on { "What got stuck is tried again in" } else { "Everything is undone that was done by" };
    let expired = match look::view(&store, &run)?.left_to_people() {
        expired if expired.is_empty() => String::new(),
        expired => {
            format!("But {}: to undo that would lose what has come in since.\n", report::left_to_people(&expired))
        }
    };
    let question =
        format!("{what} run {}.\n{expired}Type the plan's name to roll back, anything else leaves: ", run.id);
    confirm::name(cx, &run.plan, args.confirm.as_deref(), &question)?;
    let ask = Ask::Rollback { reason: args.message };
    if finished { reopen(cx, &args.which, store, run, ask) } else { send_to(cx, &run, &args.which, ask) }
}

/// Whether a person has paused its rollback.
fn is_paused(store: &Store, run: &RunRow) -> Result<bool, CommandError> {
    let view = look::view(store, run)?;
    Ok(matches!(view.hold().map(|hold| &hold.reason), Some(HoldReason::RollbackPaused { .. })))
}

fn not_stuck(run: &RunRow) -> CommandError {
    let Some(end) = &run.end else {
        let error = CommandError::refused(format!("run {} is not stuck: it has not ended", run.id));
        return match Holder::of(run, clock::now()).is_live() {
            true => error.hint(format!("watch it:   runbook attach {}", run.id)),
            false => error.hint(format!("it has NO ENGINE; take it over:   runbook resume {}", run.id)),
        };
    };
    CommandError::refused(format!("run {} is not stuck: {}", run.id, store::ending(end)))
}

/// The run that was named, or the only open one, or else the newest if that is stuck.
pub(super) fn find_stuck(store: &Store, named: Option<&str>) -> Result<RunRow, CommandError> {
    if named.is_none()
        && store.open_runs()?.is_empty()
        && let Some(newest) = store.runs()?.into_iter().next()
        && matches!(newest.end, Some(RunEnd::Stuck { .. }))
    {
        return Ok(newest);
    }
    store::find(store, named)
}

/// Whether the run is over and can still be rolled back.
fn finished(store: &Store, run: &RunRow) -> Result<bool, CommandError> {
    let nothing = |why: &str| CommandError::refused(format!("there is nothing to roll back: run {} {why}", run.id));
    match &run.end {
        None => Ok(false),
        Some(RunEnd::RolledBack { .. }) => Err(nothing("was rolled back")),
        Some(RunEnd::Rejected) => Err(nothing("started nothing")),
        Some(_) if store.is_pruned(&run.id)? => Err(nothing("was pruned: its hosts do not know any more what it did")),
        Some(_) if lab_is_gone(store, run)? => Err(nothing("ran in a lab, which is gone")),
        Some(RunEnd::Succeeded { .. } | RunEnd::Stuck { .. }) => Ok(true),
    }
}

fn lab_is_gone(store: &Store, run: &RunRow) -> Result<bool, CommandError> {
    Ok(Night::thaw(store, &run.id)?.setup.lab.is_some_and(|dir| Lab::open(&dir).is_err()))
}

/// Opens a finished run again, with an engine of its own, and watches it.
pub(super) fn reopen(cx: &Context, which: &Which, store: Store, run: RunRow, ask: Ask) -> Result<Exit, CommandError> {
    let run_dir = store.run_dir(&run.id);
    let operator = control::operator(cx, which.by.as_deref(), ask);
    let lab = Night::thaw(&store, &run.id)?.setup.lab.as_deref().map(Lab::open).transpose()?;
    let environment = lab.map(|lab| lab.local.env.clone()).unwrap_or_default();
    // An engine that was killed right after the end has left its lease behind.
    let over = match Holder::of(&run, clock::now()) {
        Holder::Gone(lease) => Some(lease.epoch),
        Holder::Live(_) | Holder::Nobody => None,
    };
    let start = launch::Start { environment, ask: Some(&operator), over, ..launch::Start::default() };
    let before = store.facts(&run.id, 0)?.len() as u64;
    let mut engine = launch::start(cx, &run.id, &run_dir, start)?;
    // The old end is not the one to wait for.
    while store.facts(&run.id, before)?.is_empty() {
        if engine.try_wait()?.is_some_and(|status| !status.success()) {
            let error = CommandError::unexpected("the engine could not roll back");
            return Err(launch::log_tail(&run_dir).into_iter().fold(error, CommandError::hint));
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let show = Show::default();
    Watch::new(cx, store, run, &show, Some(engine))?.follow(watch::answers(cx, &show))
}

#[derive(Debug, clap::Args)]
pub struct Note {
    /// The line, as it will stand in the timeline
    text: String,
    #[command(flatten)]
    which: Which,
}

pub fn note(args: Note, cx: &Context) -> Result<Exit, CommandError> {
    if args.text.trim().is_empty() {
        return Err(CommandError::usage("the note is empty"));
    }
    send(cx, &args.which, Ask::Note { text: args.text })
}

fn send(cx: &Context, which: &Which, ask: Ask) -> Result<Exit, CommandError> {
    let run = store::find(&store::existing(cx)?, which.run.as_deref())?;
    send_to(cx, &run, which, ask)
}

pub(super) fn send_to(cx: &Context, run: &RunRow, which: &Which, ask: Ask) -> Result<Exit, CommandError> {
    match control::ask(run, control::operator(cx, which.by.as_deref(), ask))? {
        Reply::Refused { why } => Err(CommandError::refused(why)),
        Reply::Accepted { facts } => {
            print(cx, run, &facts)?;
            Ok(Exit::Done)
        }
    }
}

fn print(cx: &Context, run: &RunRow, facts: &[Fact]) -> std::io::Result<()> {
    let said: Vec<String> = facts.iter().filter_map(sentence).collect();
    print_as(cx, run, facts, &said)
}

/// Prints what was recorded: as JSON, or in these words.
pub(super) fn print_as(cx: &Context, run: &RunRow, facts: &[Fact], said: &[String]) -> std::io::Result<()> {
    let mut out = anstream::stdout();
    if cx.global.json {
        return writeln!(out, "{}", serde_json::json!({ "run": run.id, "recorded": facts }));
    }
    if said.is_empty() && !cx.global.quiet {
        return writeln!(out, "recorded in {}", run.id);
    }
    said.iter().try_for_each(|line| writeln!(out, "{line}"))
}

/// What a person caused, in words; nothing for facts that only follow from it.
pub(super) fn sentence(fact: &Fact) -> Option<String> {
    Some(match fact {
        Fact::GateAnswered { action, answer, by, defects, .. } => match answer {
            GateAnswer::Approved => format!("{} approved by {}", action.step(), by.name),
            GateAnswer::ApprovedWithDefects => {
                let s = if defects.len() == 1 { "" } else { "s" };
                format!("{} approved with {} defect{s} by {}", action.step(), defects.len(), by.name)
            }
            GateAnswer::Rejected => format!("{} rejected by {}", action.step(), by.name),
            GateAnswer::TimedOut => format!("{} had no answer in time", action.step()),
        },
        Fact::HoldOpened { reason: HoldReason::Failed { .. }, .. } => return None,
        Fact::HoldOpened { reason: HoldReason::RollbackPaused { .. }, .. } => {
            "paused: nothing more is undone, what is being undone ends, the clock goes on".to_owned()
        }
        Fact::HoldOpened { .. } => "paused: nothing new starts, running steps finish, the clock goes on".to_owned(),
        Fact::HoldAnswered { answer, by, .. } => format!("{} by {}", deed(*answer), by.name),
        Fact::RollbackDecided { .. } => "rolling back".to_owned(),
        Fact::ActionSkipped { action, .. } => format!("{action} counts as done"),
        Fact::ActionMarked { action, mark, by, .. } => {
            let word = match mark {
                Mark::Done => "done",
                Mark::Failed => "failed",
                Mark::Undone => "undone",
            };
            format!("{action} marked {word} by {}", by.name)
        }
        Fact::Noted { by, text } => format!("noted for {}: {text}", by.name),
        _ => return None,
    })
}

const fn deed(answer: HoldAnswer) -> &'static str {
    match answer {
        HoldAnswer::Retry => "what failed is run again, decided",
        HoldAnswer::Skip => "what failed counts as done, decided",
        HoldAnswer::Rollback => "rollback decided",
        HoldAnswer::Continue => "going on, decided",
        HoldAnswer::Stop => "stopping, everything is left as it is, decided",
        HoldAnswer::Stay => "staying held, decided",
    }
}
