//! The verbs by which a person decides: each sends one request to the engine of a run and prints what was recorded.

use std::io::Write as _;

use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::{confirm, control, store};
use crate::engine::fact::{Fact, GateAnswer, HoldAnswer};
use crate::engine::input::{Ask, Reply};
use crate::journal::RunRow;

/// Which run, and who speaks.
#[derive(Debug, clap::Args)]
pub struct Which {
    /// The run: its name, the beginning of it, or `latest` [default: the only open one]
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    /// Who decides, when that is not you
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
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
pub struct Pause {
    #[command(flatten)]
    which: Which,
}

pub fn pause(args: Pause, cx: &Context) -> Result<Exit, CommandError> {
    send(cx, &args.which, Ask::Pause)
}

#[derive(Debug, clap::Args)]
pub struct Continue {
    #[command(flatten)]
    which: Which,
}

pub fn go_on(args: Continue, cx: &Context) -> Result<Exit, CommandError> {
    send(cx, &args.which, Ask::Continue)
}

#[derive(Debug, clap::Args)]
pub struct Retry {
    /// The step that failed
    step: String,
    /// Only on these hosts
    #[arg(long, value_name = "HOST", value_delimiter = ',')]
    hosts: Vec<String>,
    #[command(flatten)]
    which: Which,
}

pub fn retry(args: Retry, cx: &Context) -> Result<Exit, CommandError> {
    let Retry { step, hosts, which } = args;
    send(cx, &which, Ask::Retry { step, hosts })
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
    #[command(flatten)]
    which: Which,
}

pub fn rollback(args: Rollback, cx: &Context) -> Result<Exit, CommandError> {
    let run = store::find(&store::existing(cx)?, args.which.run.as_deref())?;
    let question = format!(
        "Everything that run {} has done is undone.\nType the plan's name to roll back, anything else leaves: ",
        run.id
    );
    confirm::name(cx, &run.plan, args.confirm.as_deref(), &question)?;
    send_to(cx, &run, &args.which, Ask::Rollback { reason: args.message })
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

fn send_to(cx: &Context, run: &RunRow, which: &Which, ask: Ask) -> Result<Exit, CommandError> {
    match control::ask(run, control::operator(cx, which.by.as_deref(), ask))? {
        Reply::Refused { why } => Err(CommandError::refused(why)),
        Reply::Accepted { facts } => {
            print(cx, run, &facts)?;
            Ok(Exit::Done)
        }
    }
}

fn print(cx: &Context, run: &RunRow, facts: &[Fact]) -> std::io::Result<()> {
    let mut out = anstream::stdout();
    if cx.global.json {
        return writeln!(out, "{}", serde_json::json!({ "run": run.id, "recorded": facts }));
    }
    let said: Vec<String> = facts.iter().filter_map(sentence).collect();
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
        Fact::HoldOpened { .. } => "paused: nothing new starts, running steps finish, the clock goes on".to_owned(),
        Fact::HoldAnswered { answer, by, .. } => format!("{} by {}", deed(*answer), by.name),
        Fact::RollbackDecided { .. } => "rolling back".to_owned(),
        Fact::ActionSkipped { action, .. } => format!("{action} counts as done"),
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
        HoldAnswer::Stay => "staying held, decided",
    }
}
