//! `runbook logs`: what steps printed. Raw bytes for a file or a pipe; escaped for a terminal.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::{look, narrow, store};
use crate::journal::Store;
use crate::report::{Tone, escape_bytes};
use crate::view::{ActionState, RunView};

/// How often a followed log is looked at.
const POLL: Duration = Duration::from_millis(200);
/// Bytes read at once.
const CHUNK: usize = 64 * 1024;
/// What makes a word a pattern of hosts.
const PATTERN: [char; 6] = ['*', '?', '[', ',', '!', '&'];

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  runbook logs db-scripts\n  runbook logs sanity-backend be2\n  runbook logs update 'web*,!web3'\n  runbook logs -f\n  \
                        runbook logs --failed --run 2007-12-02-a"
)]
pub struct Args {
    /// A step; or hosts, for everything that ran there
    step: Option<String>,
    /// Only these hosts of the step: a host, a group, `web*`, `web[01:20]`, `!without`, `&also-in`
    host: Option<String>,
    /// The run: its name, the beginning of it, or `latest` [default: the open one, or else the newest]
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    /// Go on as more is printed, until the run ends
    #[arg(short, long)]
    follow: bool,
    /// Only what failed
    #[arg(long)]
    failed: bool,
}

/// One log file, and how far it was printed.
struct Log {
    step: String,
    host: String,
    path: PathBuf,
    printed: u64,
    /// The beginning of a line whose end has not come yet.
    partial: Vec<u8>,
}

pub fn run(mut args: Args, cx: &Context) -> Result<Exit, CommandError> {
    let named = args.run.take();
    let store = store::existing(cx)?;
    let run = store::find_to_look(&store, named.as_deref())?;
    let view = look::view(&store, &run)?;
    let mut logs = wanted(&args, &view, &store.run_dir(&run.id).join("logs"))?;
    let mut printer =
        Printer { json: cx.global.json, safe: io::stdout().is_terminal(), many: logs.len() > 1, last: None };
    let there = logs.iter().filter(|l| l.path.exists()).count();
    if there == 0 && !args.follow {
        return Err(CommandError::refused(nothing(&args, &view)).hint(format!("what ran:   runbook status {}", run.id)));
    }
    let printed =
        if args.follow { follow(&store, &run.id, &mut logs, &mut printer) } else { all(&mut logs, &mut printer) };
    match printed {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Done),
        Err(e) => Err(e.into()),
        Ok(()) => Ok(Exit::Done),
    }
}

fn nothing(args: &Args, view: &RunView) -> String {
    match (&args.step, args.failed) {
        (_, true) => format!("nothing failed in run {}", view.run()),
        (Some(step), false) => format!("{} has printed nothing in run {}", step.escape_debug(), view.run()),
        (None, false) => format!("nothing was printed in run {} yet", view.run()),
    }
}

/// The logs that are meant, in the plan's order.
fn wanted(args: &Args, view: &RunView, dir: &std::path::Path) -> Result<Vec<Log>, CommandError> {
    let (step, hosts) = meant(args, view)?;
    let failed = |state| matches!(state, ActionState::Failed | ActionState::Parked | ActionState::BackingOff);
    let of_host = |host: &str| hosts.as_ref().is_none_or(|hosts| hosts.contains(host));
    let logs: Vec<Log> = view
        .actions()
        .iter()
        .chain(view.proof())
        .filter(|a| a.id.host().is_some())
        .filter(|a| step.is_none_or(|s| s == a.id.step()) && of_host(a.host()))
        .filter(|a| !args.failed || failed(a.state) || a.outcome.as_ref().is_some_and(|o| !o.is_success()))
        .map(|a| Log {
            step: a.id.step().to_owned(),
            host: a.host().to_owned(),
            path: dir.join(a.id.step()).join(format!("{}.log", a.host())),
            printed: 0,
            partial: Vec::new(),
        })
        .collect();
    if let (Some(step), Some(pattern), true) = (step, &args.host, logs.is_empty() && !args.failed) {
        return Err(CommandError::usage(format!("`{step}` does not run there: {}", pattern.escape_debug())));
    }
    Ok(logs)
}

/// The step and the hosts that are named; `None` for all of them. One word alone may be either.
fn meant<'a>(args: &'a Args, view: &'a RunView) -> Result<(Option<&'a str>, Option<BTreeSet<&'a str>>), CommandError> {
    let plan = view.graph().plan();
    let steps: Vec<&str> = plan.steps.keys().map(String::as_str).chain(["after_rollback"]).collect();
    let on = |pattern: &str| narrow::of_run(view, pattern).map(BTreeSet::from_iter);
    match (args.step.as_deref(), args.host.as_deref()) {
        (None, _) => Ok((None, None)),
        (Some(step), host) if steps.contains(&step) => Ok((Some(step), host.map(on).transpose()?)),
        (Some(pattern), None) if pattern.contains(PATTERN) => Ok((None, Some(on(pattern)?))),
        (Some(name), None) => match on(name) {
            Ok(hosts) => Ok((None, Some(hosts))),
            Err(_) => {
                Err(neither(name, steps.into_iter().chain(plan.hosts.keys().map(String::as_str)), "step or host"))
            }
        },
        (Some(step), Some(_)) => Err(neither(step, steps.into_iter(), "step")),
    }
}

fn neither<'a>(name: &str, known: impl Iterator<Item = &'a str>, what: &str) -> CommandError {
    let error = CommandError::usage(format!("there is no {what} `{}`", name.escape_debug()));
    match crate::plan::nearest(name, known) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint("hosts may be groups and patterns, too:   runbook logs STEP 'web*'"),
    }
}

fn all(logs: &mut [Log], printer: &mut Printer) -> io::Result<()> {
    for log in logs {
        while log.print_new(printer)? {}
        log.print_rest(printer)?;
    }
    Ok(())
}

/// Until the run ends; then once more, for what was printed last.
fn follow(store: &Store, run: &str, logs: &mut [Log], printer: &mut Printer) -> io::Result<()> {
    loop {
        let over = store.run(run).map_err(io::Error::other)?.closed.is_some();
        let mut more = false;
        for log in logs.iter_mut() {
            more |= log.print_new(printer)?;
        }
        if over && !more {
            return logs.iter_mut().try_for_each(|log| log.print_rest(printer));
        }
        if !more {
            std::thread::sleep(POLL);
        }
    }
}

impl Log {
    /// Prints the whole lines of the next chunk. Says whether there was one.
    fn print_new(&mut self, printer: &mut Printer) -> io::Result<bool> {
        let Ok(mut file) = File::open(&self.path) else { return Ok(false) };
        if file.metadata()?.len() < self.printed {
            // The output of an attempt comes again from its first byte: another controller follows it now.
            self.printed = 0;
        }
        file.seek(SeekFrom::Start(self.printed))?;
        let mut chunk = Vec::new();
        file.take(CHUNK as u64).read_to_end(&mut chunk)?;
        if chunk.is_empty() {
            return Ok(false);
        }
        self.printed += chunk.len() as u64;
        self.partial.extend_from_slice(&chunk);
        if let Some(end) = self.partial.iter().rposition(|b| *b == b'\n') {
            let whole: Vec<u8> = self.partial.drain(..=end).collect();
            printer.print(&self.step, &self.host, &whole)?;
        }
        Ok(true)
    }

    fn print_rest(&mut self, printer: &mut Printer) -> io::Result<()> {
        if self.partial.is_empty() {
            return Ok(());
        }
        let mut rest = std::mem::take(&mut self.partial);
        rest.push(b'\n');
        printer.print(&self.step, &self.host, &rest)
    }
}

/// How lines are shown.
struct Printer {
    json: bool,
    /// Nothing in them may have power.
    safe: bool,
    /// Say which log they are from.
    many: bool,
    last: Option<(String, String)>,
}

impl Printer {
    fn print(&mut self, step: &str, host: &str, lines: &[u8]) -> io::Result<()> {
        if self.json {
            return lines.split(|b| *b == b'\n').filter(|l| !l.is_empty()).try_for_each(|line| {
                let text = String::from_utf8_lossy(line);
                writeln!(io::stdout(), "{}", json!({ "step": step, "host": host, "line": text }))
            });
        }
        let mut out = anstream::AutoStream::auto(io::stdout());
        let from = (step.to_owned(), host.to_owned());
        if self.many && self.last.as_ref() != Some(&from) {
            let title = Tone::Waiting.paint(&format!("==> {step} on {host} <=="));
            writeln!(out, "{title}")?;
            self.last = Some(from);
        }
        if self.safe {
            write!(out, "{}", escape_bytes(lines))?;
            return out.flush();
        }
        let mut raw = io::stdout().lock();
        raw.write_all(lines)?;
        raw.flush()
    }
}
