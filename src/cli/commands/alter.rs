//! The verbs that change what a run goes by: its window, what is true of a step, and whether it goes on at all.

use std::io::{IsTerminal as _, Write as _};

use jiff::{SignedDuration, Timestamp, Zoned};

use super::decide::{self, Which};
use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::{confirm, control, look, store};
use crate::driver::clock;
use crate::engine::fact::{HoldAnswer, Mark as Marked, RunEnd};
use crate::engine::input::{Ask, Reply};
use crate::plan::units::{Short, parse_duration};
use crate::report::{Clock, coarse, escape_for_terminal};
use crate::view::RunView;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runbook extend 1h --granted-by \"Ms. Hu, call centre\" -m \"connectivity between App 1 and App 2\"
  runbook extend --to 08:00
  runbook extend -30m                              gives back what is not needed")]
pub struct Extend {
    /// How much later the window closes, such as 1h or 45m; earlier with a minus
    #[arg(value_name = "DURATION", allow_hyphen_values = true, required_unless_present = "to")]
    by_how_much: Option<String>,
    /// When it closes, in the plan's zone: 08:00, or 2007-12-02 08:00
    #[arg(long, value_name = "TIME", conflicts_with = "by_how_much")]
    to: Option<String>,
    /// Who agreed to it
    #[arg(long, value_name = "NAME")]
    granted_by: Option<String>,
    /// Why; it goes into the report
    #[arg(short, long = "message", value_name = "TEXT")]
    message: Option<String>,
    /// The plan's name, instead of typing `yes`
    #[arg(long, value_name = "NAME")]
    confirm: Option<String>,
    #[command(flatten)]
    which: Which,
}

pub fn extend(args: Extend, cx: &Context) -> Result<Exit, CommandError> {
    let store = store::existing(cx)?;
    let run = store::find(&store, args.which.run.as_deref())?;
    let view = look::view(&store, &run)?;
    let clock = Clock::new(view.header().and_then(|h| h.timezone.as_deref()));
    let now = view.on_its_clock(clock::now());
    let before = view.closes().ok_or_else(|| CommandError::refused("the plan has no window"))?;
    let closes = match (&args.by_how_much, &args.to) {
        (Some(text), _) => before.checked_add(how_much(text)?).map_err(|_| too_far(text))?,
        (None, to) => at(to.as_deref().unwrap_or_default(), &clock, before)?,
    };
    if run.end.is_none() {
        allowed(&view, &clock, closes, now)?;
        for line in table(&view, &clock, closes, now) {
            writeln!(anstream::stderr(), "{line}")?;
        }
        let question = "Record it? Type yes: ";
        confirm::typed(cx, "yes", &run.plan, args.confirm.as_deref(), question)?;
    }
    let granted = args.granted_by.as_ref().map_or_else(String::new, |by| format!(", granted by {by}"));
    let ask = Ask::Extend { closes, granted_by: args.granted_by, reason: args.message };
    let said = format!("window extended to {}{granted}", clock.hm_near(closes, now));
    match control::ask(&run, control::operator(cx, args.which.by.as_deref(), ask))? {
        Reply::Refused { why } => Err(CommandError::refused(why)),
        Reply::Accepted { facts } => {
            decide::print_as(cx, &run, &facts, &[escape_for_terminal(&said)])?;
            Ok(Exit::Done)
        }
    }
}

/// `1h`, `+1h`, `-30m`.
fn how_much(text: &str) -> Result<SignedDuration, CommandError> {
    let (back, digits) = match text.strip_prefix(['-', '\u{2212}']) {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let length = parse_duration(digits).map_err(|_| {
        CommandError::usage(format!("`{}` is not a duration", text.escape_debug())).hint("such as 45m, 1h, 1h30m, -30m")
    })?;
    Ok(if back { -length } else { length })
}

fn too_far(text: &str) -> CommandError {
    CommandError::usage(format!("`{}` is further than any calendar goes", text.escape_debug()))
}

/// A time of day is the one nearest to the agreed end.
fn at(text: &str, clock: &Clock, near: Timestamp) -> Result<Timestamp, CommandError> {
    let wrong = || {
        CommandError::usage(format!("`{}` is not a time", text.escape_debug()))
            .hint("such as 08:00, or \"2007-12-02 08:00\"")
    };
    if let Ok(exact) = text.parse::<Timestamp>() {
        return Ok(exact);
    }
    let near: Zoned = clock.zoned(near);
    if let Ok(day) = text.parse::<jiff::civil::DateTime>().or_else(|_| format!("{text}:00").parse())
        && text.contains('-')
    {
        return Ok(day.to_zoned(near.time_zone().clone()).map_err(|_| wrong())?.timestamp());
    }
    let time: jiff::civil::Time = text.parse().map_err(|_| wrong())?;
    let days = (-1..=1).filter_map(|n| near.date().checked_add(jiff::Span::new().days(n)).ok());
    let times = days.filter_map(|day| day.to_datetime(time).to_zoned(near.time_zone().clone()).ok());
    let distance = |at: &Zoned| at.timestamp().duration_since(near.timestamp()).abs();
    times.min_by_key(distance).map(|at| at.timestamp()).ok_or_else(wrong)
}

/// What the engine would refuse, said in the plan's own zone.
fn allowed(view: &RunView, clock: &Clock, closes: Timestamp, now: Timestamp) -> Result<(), CommandError> {
    let refuse = |why: String| Err(CommandError::refused(why));
    if closes <= now {
        return refuse(format!("the window would end in the past, at {}", clock.hm_near(closes, now)));
    }
    let Some(agreed) = view.header().and_then(|h| h.window) else { return Ok(()) };
    let max = agreed.max_extension.unwrap_or_default();
    let latest = agreed.closes.checked_add(max).unwrap_or(agreed.closes);
    if closes <= latest {
        return Ok(());
    }
    let at = clock.hm_near(closes, now);
    match max.is_zero() {
        true => {
            refuse(format!("it would close at {at}; the plan's window has no max_extension, so it cannot be extended"))
        }
        false => {
            let latest = clock.hm_near(latest, now);
            refuse(format!(
                "it would close at {at}; the plan's max_extension of {} allows {latest} at the latest",
                Short(max)
            ))
        }
    }
}

fn table(view: &RunView, clock: &Clock, closes: Timestamp, now: Timestamp) -> Vec<String> {
    let before = view.closes().unwrap_or(closes);
    let moved = closes.duration_since(before);
    let hm = |at: Timestamp| clock.hm_near(at, now);
    let room = |by: Timestamp| match by.duration_since(now) {
        left if left.is_negative() => format!("-{}", coarse(-left)),
        left => coarse(left),
    };
    let row = |name: &str, before: &str, after: &str| format!("  {name:<16}  {before:<7}  {after}");
    let mut lines = vec![row("", "before", "after"), row("window closes", &hm(before), &hm(closes))];
    if let Some(by) = view.roll_back_by() {
        let after = by.checked_add(moved).unwrap_or(by);
        lines.push(row("roll back by", &hm(by), &hm(after)));
        lines.push(format!("{}     (now {})", row("room", &room(by), &room(after)), clock.hm(now)));
    }
    lines
}

/// What `mark` may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Word {
    /// It counts as done; its dependants may start
    Done,
    /// It counts as failed
    Failed,
    /// Nothing of it is left
    Undone,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runbook mark db-scripts undone -m \"restored the dump by hand\"
  runbook mark deploy@fe2 done")]
pub struct Mark {
    /// The step, on all its hosts or on one
    #[arg(value_name = "STEP[@HOST]")]
    step: String,
    #[arg(value_name = "WORD")]
    word: Word,
    /// What you did; it goes into the report
    #[arg(short, long = "message", value_name = "TEXT")]
    message: Option<String>,
    /// The plan's name, where the rest of a rollback goes on with it, instead of typing it
    #[arg(long, value_name = "NAME")]
    confirm: Option<String>,
    #[command(flatten)]
    which: Which,
}

pub fn mark(args: Mark, cx: &Context) -> Result<Exit, CommandError> {
    let store = store::existing(cx)?;
    let run = decide::find_stuck(&store, args.which.run.as_deref())?;
    let (step, host) = args.step.split_once('@').map_or((args.step.as_str(), None), |(s, h)| (s, Some(h.to_owned())));
    let mark = match args.word {
        Word::Done => Marked::Done,
        Word::Failed => Marked::Failed,
        Word::Undone => Marked::Undone,
    };
    let ask = Ask::Mark { step: step.to_owned(), host, mark, reason: args.message };
    if !matches!(run.end, Some(RunEnd::Stuck { .. })) {
        return decide::send_to(cx, &run, &args.which, ask);
    }
    if mark != Marked::Undone {
        return Err(CommandError::refused(format!(
            "run {} got stuck in its rollback: mark what you did as undone",
            run.id
        )));
    }
    let question = format!(
        "With that the rollback of run {} goes on.\nType the plan's name to record it, anything else leaves: ",
        run.id
    );
    confirm::name(cx, &run.plan, args.confirm.as_deref(), &question)?;
    decide::reopen(cx, &args.which, store, run, ask)
}

/// What comes after the pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Then {
    /// Undo everything done so far
    Rollback,
    /// Leave it paused; somebody decides later
    Leave,
    /// Go on
    Continue,
    /// End it and leave everything as it is, when a step has stopped because too many hosts failed
    Stop,
}

#[derive(Debug, clap::Args)]
pub struct Abort {
    /// What comes next, instead of being asked
    #[arg(long, value_enum, value_name = "WORD")]
    then: Option<Then>,
    /// Why; it goes into the report
    #[arg(short, long = "message", value_name = "TEXT")]
    message: Option<String>,
    #[command(flatten)]
    which: Which,
}

pub fn abort(args: Abort, cx: &Context) -> Result<Exit, CommandError> {
    let store = store::existing(cx)?;
    let run = store::find(&store, args.which.run.as_deref())?;
    let held = look::view(&store, &run)?.hold().is_some();
    if !held {
        // At once, before anybody thinks about what comes next.
        decide::send_to(cx, &run, &args.which, Ask::Pause)?;
    }
    let view = look::view(&store, &run)?;
    let then = match args.then {
        Some(then) => then,
        None if cx.global.no_input || !std::io::stdin().is_terminal() => Then::Leave,
        None => ask_what_next(&view)?,
    };
    let answer = match then {
        Then::Rollback => HoldAnswer::Rollback,
        Then::Continue => HoldAnswer::Continue,
        Then::Stop => HoldAnswer::Stop,
        Then::Leave => {
            left(&view)?;
            return Ok(Exit::NotFinished);
        }
    };
    decide::send_to(cx, &run, &args.which, Ask::Hold { answer, note: args.message })
}

/// Enter alone leaves it as it is.
fn ask_what_next(view: &RunView) -> Result<Then, CommandError> {
    let undone = coarse(view.rollback_now());
    let mut err = anstream::stderr();
    writeln!(err, "  rollback   undo everything done so far, about {undone}")?;
    writeln!(err, "  leave      leave it as it is, paused (the clock goes on)")?;
    writeln!(err, "  continue   go on as if nothing had been")?;
    loop {
        match confirm::ask("abort> ")?.trim() {
            "rollback" => return Ok(Then::Rollback),
            "continue" => return Ok(Then::Continue),
            "leave" | "" => return Ok(Then::Leave),
            other => writeln!(err, "`{}` is no answer here: rollback, leave, continue", escape_for_terminal(other))?,
        }
    }
}

fn left(view: &RunView) -> std::io::Result<()> {
    let mut err = anstream::stderr();
    let clock = Clock::new(view.header().and_then(|h| h.timezone.as_deref()));
    let limit = view.hold().and_then(|hold| hold.limit);
    let until = limit
        .map_or_else(String::new, |at| format!(" Without an answer it rolls back by itself at {}.", clock.hms(at)));
    writeln!(err, "left as it is.{until} Decide later:   runbook rollback | runbook continue")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_are_read_with_and_without_a_sign() {
        let minutes = |text: &str| how_much(text).map(|d| d.as_mins()).map_err(|e| e.exit().code());
        assert_eq!((minutes("1h"), minutes("+45m"), minutes("-10h")), (Ok(60), Ok(45), Ok(-600)));
        for wrong in ["banana", "", "10", "--1h", "1h later"] {
            assert_eq!(minutes(wrong), Err(2), "{wrong:?}");
        }
    }

    #[test]
    fn a_time_of_day_is_the_one_nearest_to_the_agreed_end() {
        let clock = Clock::new(Some("America/Toronto"));
        let end: Timestamp = "2007-12-02T07:00:00-05:00".parse().unwrap();
        let read = |text: &str| at(text, &clock, end).map(|at| clock.rfc3339(at)).map_err(|e| e.exit().code());
        assert_eq!(read("08:00").unwrap(), "2007-12-02T08:00:00.000-05:00");
        assert_eq!(read("23:30").unwrap(), "2007-12-01T23:30:00.000-05:00");
        assert_eq!(read("2007-12-02 09:15").unwrap(), "2007-12-02T09:15:00.000-05:00");
        assert_eq!(read("2007-12-02T13:00:00Z").unwrap(), "2007-12-02T08:00:00.000-05:00");
        assert_eq!(read("noon"), Err(2));
        assert_eq!(read("25:00"), Err(2));
    }
}
