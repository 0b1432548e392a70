//! `runbook resume`: takes over a run whose engine is gone. First what the hosts say, then the question, then the engine.

mod next_wave;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;

use clap::{Args as _, FromArgMatches as _};
use jiff::Timestamp;

use self::next_wave::{NextWave, Wanted};
use super::exec;
use crate::cli::changed::{self, File};
use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::found::{self, Found};
use crate::cli::holder::{Holder, end_if_frozen, this_machine};
use crate::cli::launch::{Resume, Start};
use crate::cli::setup::Night;
use crate::cli::show::Show;
use crate::cli::watch::{self, Watch};
use crate::cli::{confirm, launch, store};
use crate::driver::clock;
use crate::engine::fact::FactRecord;
use crate::graph::Graph;
use crate::graph::job::Site;
use crate::journal::store::LEASE_TTL;
use crate::journal::{Lease, RunRow, Store};
use crate::lab::Lab;
use crate::report::{Clock, coarse, escape_for_terminal};
use crate::view::{Phase, RunView};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runbook resume                                  the only open run
  runbook resume 2007-12-02-a --confirm 2007-12-02     from a script
  runbook resume plans/2013-03-os-update.yaml     the wave that is open, or the next one
  runbook resume --steal -m \"its machine hangs\"        although its engine may live")]
pub struct Args {
    /// The run: its name, the beginning of it, or `latest`; or a plan, also between two of its waves [default: the only open run]
    #[arg(value_name = "RUN|PLAN")]
    run: Option<String>,
    /// The plan's name, instead of typing `take over`
    #[arg(long, value_name = "NAME")]
    confirm: Option<String>,
    /// Between two waves: wait for the next one to open, however long it takes
    #[arg(long)]
    wait: bool,
    /// Replace an engine that may still live; needs a reason
    #[arg(long, requires = "message")]
    steal: bool,
    /// The reason for `--steal`; it goes into the report
    #[arg(short, long = "message", value_name = "REASON", requires = "steal")]
    message: Option<String>,
    /// Go on with the plan as it was started, although its file has changed since
    #[arg(long)]
    as_started: bool,
    #[command(flatten)]
    show: Show,
    /// Take the run over and leave it; watch it with `runbook attach`
    #[arg(long)]
    detach: bool,
}

pub fn run(args: &Args, cx: &Context) -> Result<Exit, CommandError> {
    let store = store::existing(cx)?;
    let run = match next_wave::wanted(&store, args.run.as_deref())? {
        Wanted::Run(run) => *run,
        Wanted::NextWave(next) => return go_on(args, next, cx),
    };
    open(&run)?;
    let holder = Holder::of(&run, clock::now());
    if let (Holder::Live(lease), false) = (&holder, args.steal) {
        return Err(held(&run, lease));
    }
    let night = Night::thaw(&store, &run.id)?;
    let talk = Talk { cx, clock: Clock::new(night.started.timezone.as_deref()) };
    let lab = lab(&run, &night)?;
    unchanged(&talk, args, &night.clone().amended(&store.facts(&run.id, 0)?))?;
    let heir = Heir { talk: &talk, store: &store, run: &run, night: &night, lab: lab.as_ref() };
    talk.holder(&holder);
    if holder.is_live() {
        // Before anything is asked of a host: while its engine lives, even a question may change something.
        heir.confirm(args)?;
    }
    let starts = heir.look()?;
    if starts && !holder.is_live() {
        heir.confirm(args)?;
    }
    heir.unlock()?;
    take_over(args, cx, store, &run, &holder, lab.as_ref())
}

/// Between two waves there is no run: the next one is begun as `exec` begins it.
fn go_on(args: &Args, next: NextWave, cx: &Context) -> Result<Exit, CommandError> {
    if !cx.global.quiet {
        writeln!(anstream::stderr(), "{}", next.said)?;
    }
    let mut words = next.command;
    words.extend(args.show.words());
    words.extend(args.confirm.iter().flat_map(|name| ["--confirm".to_owned(), name.clone()]));
    words.extend(args.wait.then(|| "--wait".to_owned()));
    words.extend(args.detach.then(|| "--detach".to_owned()));
    let parsed = exec::Args::augment_args(clap::Command::new("runbook")).try_get_matches_from(words);
    let parsed = parsed.and_then(|matches| exec::Args::from_arg_matches(&matches));
    exec::run(parsed.map_err(|e| CommandError::unexpected(e.to_string()))?, cx)
}

/// Only a run that is not over can go on.
fn open(run: &RunRow) -> Result<(), CommandError> {
    let (Some(end), Some(at)) = (&run.end, run.closed) else { return Ok(()) };
    let error = CommandError::refused(format!("run {} is over: {}, {}", run.id, store::ending(end), store::minute(at)));
    Err(match end {
        crate::engine::fact::RunEnd::Stuck { .. } => {
            error.hint(format!("try its rollback again:   runbook rollback --continue --run {}", run.id))
        }
        _ => error.hint(format!("look at it:   runbook status {}", run.id)),
    })
}

fn held(run: &RunRow, lease: &Lease) -> CommandError {
    let (owner, host, pid) = (&lease.owner, &lease.host, lease.pid);
    let ago = found::ago(clock::now(), lease.renewed);
    CommandError::refused(format!("run {} is held by {owner} on {host} (pid {pid}), heartbeat {ago} ago", run.id))
        .hint(format!("watch it:   runbook attach {}", run.id))
        .hint(format!("replace it all the same:   runbook resume {} --steal -m REASON", run.id))
}

/// The lab of a run that was played in one.
fn lab(run: &RunRow, night: &Night) -> Result<Option<Lab>, CommandError> {
    let Some(dir) = &night.setup.lab else { return Ok(None) };
    Lab::open(dir).map(Some).map_err(|e| {
        CommandError::refused(format!("run {} was played in a lab, and the lab is gone: {e}", run.id))
            .hint(format!("look at it:   runbook status {}", run.id))
    })
}

/// The frozen plan goes on. A file that says something else now is refused, so that nobody believes it counts.
fn unchanged(talk: &Talk<'_>, args: &Args, night: &Night) -> Result<(), CommandError> {
    let file = night.setup.plan_file.display();
    match changed::since(night) {
        File::Same => {}
        File::Missing(why) => talk.line(&format!("  note  {why}; the run goes on with the plan it was started with")),
        File::Changed(lines) if args.as_started => {
            let lines = lines.join("; ");
            talk.line(&format!(
                "  note  {file} has changed ({lines}); the run goes on with the plan it was started with"
            ));
        }
        File::Changed(lines) => {
            let why = format!("{file} is not what this run was started with");
            let error =
                lines.into_iter().fold(CommandError::refused(why), |e, line| e.hint(escape_for_terminal(&line)));
            return Err(error
                .hint("a run goes on with the plan it was started with; put the file back, or say that you know:")
                .hint("   --as-started")
                .hint("what is not done yet may change when the run is taken over:   runbook amend -m REASON"));
        }
    }
    Ok(())
}

/// A run that is about to be taken over.
struct Heir<'a> {
    talk: &'a Talk<'a>,
    store: &'a Store,
    run: &'a RunRow,
    night: &'a Night,
    lab: Option<&'a Lab>,
}

impl Heir<'_> {
    /// Asks the hosts, says what they said and what comes next. Returns whether anything will be started.
    fn look(&self) -> Result<bool, CommandError> {
        let facts = self.store.facts(&self.run.id, 0)?;
        if facts.is_empty() {
            self.talk.line("it had not begun.");
            return Ok(true);
        }
        let replayed = |e| CommandError::unexpected(format!("the journal cannot be replayed: {e}"));
        let graph = Arc::new(Graph::build(Arc::new(self.night.plan.clone())));
        let mut found = found::open(&graph, &facts).map_err(replayed)?;
        self.records_are_here(&found)?;
        let epoch = self.run.lease.as_ref().map_or(0, |lease| lease.epoch);
        if !found.is_empty() {
            self.ask(epoch, &mut found)?;
            found::ways_out(&found, &graph).iter().for_each(|line| self.talk.line(line));
        }
        let now = self.night.started.options.clock(clock::now());
        if self.night.started.options.rehearsal.is_some() {
            self.talk.line(&format!("  note  the evening went on meanwhile: it is {} there", self.talk.clock.hm(now)));
        }
        let next = found::next(&graph, &facts, &found, epoch + 1, now).map_err(replayed)?;
        self.say_next(graph, &facts, &found, &next, now);
        Ok(next.starts)
    }

    fn ask(&self, epoch: u64, found: &mut [Found]) -> Result<(), CommandError> {
        let mut steps: Vec<&str> = found.iter().map(|one| one.attempt.action.step()).collect();
        steps.dedup();
        self.talk.line(&format!("asking the hosts what happened to {} ...", steps.join(", ")));
        let scratch = self.store.run_dir(&self.run.id).join("found");
        found::ask(self.night, epoch, &scratch, self.lab, found)?;
        let its_clock = |at| self.night.started.options.clock(at);
        let silent_since = self.run.lease.as_ref().map(|lease| its_clock(lease.renewed));
        found::table(found, silent_since, &self.talk.clock, its_clock(clock::now()))
            .iter()
            .for_each(|line| self.talk.line(line));
        Ok(())
    }

    /// What this machine executed itself can only be asked here, where the records are.
    fn records_are_here(&self, found: &[Found]) -> Result<(), CommandError> {
        let local = found.iter().any(|one| one.site == Some(Site::Controller));
        let elsewhere = self.run.lease.as_ref().filter(|lease| lease.host != this_machine());
        let records =
            self.night.setup.records.as_ref().map(|dir| dir.join("runs").join(self.night.started.name_on_hosts()));
        match (elsewhere, records) {
            _ if self.night.started.options.rehearsal.is_some() => Ok(()),
            (Some(lease), Some(dir)) if local && !dir.exists() => Err(CommandError::refused(format!(
                "steps were running on {} itself, and only that machine knows what became of them",
                lease.host
            ))
            .hint(format!("resume the run there:   runbook resume {}", self.run.id))
            .hint(format!("their records are looked for in {}", dir.display()))),
            _ => Ok(()),
        }
    }

    /// `nothing is half done. Next: sanity-frontend. 33m ahead of plan.`
    fn say_next(&self, graph: Arc<Graph>, facts: &[FactRecord], found: &[Found], next: &found::Next, now: Timestamp) {
        let mut view = RunView::new(graph);
        facts.iter().chain(&next.facts).for_each(|fact| view.apply(fact));
        let half = match found::half_done(found) {
            0 if found.is_empty() => "nothing was running.".to_owned(),
            0 => "nothing is half done.".to_owned(),
            1 => "1 may be half done.".to_owned(),
            n => format!("{n} may be half done."),
        };
        let undo = if view.phase() == Phase::RollingBack { "the rollback of " } else { "" };
        let then = match next.steps.as_slice() {
            [] => String::new(),
            steps => format!(" Next: {undo}{}.", steps.join(", ")),
        };
        let ahead = view.forecast(now).ahead;
        let plan = match ahead.as_mins() {
            _ if view.phase() == Phase::RollingBack || view.end().is_some() => String::new(),
            0 => String::new(),
            m if m > 0 => format!(" {} ahead of plan.", coarse(ahead)),
            _ => format!(" {} behind plan.", coarse(-ahead)),
        };
        self.talk.line(&format!("{half}{then}{plan}"));
    }

    /// A frozen engine may keep the journal locked; it is about to lose the run anyway.
    fn unlock(&self) -> Result<(), CommandError> {
        let Some(lease) = &self.run.lease else { return Ok(()) };
        if self.store.is_locked()? && end_if_frozen(lease) {
            let pid = lease.pid;
            self.talk.line(&format!("the old engine (pid {pid}) was frozen in the middle of a write: it was ended"));
        }
        Ok(())
    }

    fn confirm(&self, args: &Args) -> Result<(), CommandError> {
        let me = &self.talk.cx.user;
        let other = self.run.lease.as_ref().map(|lease| &lease.owner).filter(|owner| *owner != me);
        let theirs = other
            .map_or_else(String::new, |other| format!(" {other}'s terminal, if it comes back, becomes read-only."));
        let question = escape_for_terminal(&format!("Take over as {me}?{theirs} Type take over: "));
        confirm::typed(self.talk.cx, "take over", &self.run.plan, args.confirm.as_deref(), &question)
    }
}

/// Starts the new engine and attaches this terminal to it.
fn take_over(
    args: &Args,
    cx: &Context,
    store: Store,
    run: &RunRow,
    holder: &Holder,
    lab: Option<&Lab>,
) -> Result<Exit, CommandError> {
    let environment: BTreeMap<String, String> = lab.map(|lab| lab.local.env.clone()).unwrap_or_default();
    let epoch = run.lease.as_ref().map(|lease| lease.epoch);
    let reason = args.message.clone().filter(|_| holder.is_live());
    let resume = Resume { by: cx.user.clone(), epoch: epoch.unwrap_or(0) + 1, reason };
    let run_dir = store.run_dir(&run.id);
    let start = Start { environment, resume: Some(&resume), over: epoch, ..Start::default() };
    let engine = launch::start(cx, &run.id, &run_dir, start)?;
    if args.detach {
        if !cx.global.quiet {
            writeln!(anstream::stderr(), "taken over, running by itself; watch it:   runbook attach {}", run.id)?;
        }
        return Ok(Exit::NotFinished);
    }
    let run = store.run(&run.id)?;
    Watch::new(cx, store, run, &args.show, Some(engine))?.follow(watch::answers(cx, &args.show))
}

/// What is said before the run goes on, on stderr.
struct Talk<'a> {
    cx: &'a Context,
    clock: Clock,
}

impl Talk<'_> {
    fn line(&self, text: &str) {
        if !self.cx.global.quiet {
            // A lost terminal does not keep a run from going on.
            let _ = writeln!(anstream::stderr(), "{}", escape_for_terminal(text));
        }
    }

    fn holder(&self, holder: &Holder) {
        let now = clock::now();
        match holder {
            Holder::Nobody => self.line("held by   nobody: its engine was never started"),
            Holder::Live(lease) | Holder::Gone(lease) => {
                let (owner, host, since) = (&lease.owner, &lease.host, self.clock.hm_near(lease.since, now));
                let silent = found::ago(now, lease.renewed);
                let limit = match holder {
                    Holder::Gone(lease) if lease.live(now) => "its process is gone".to_owned(),
                    _ => format!("limit {}s", LEASE_TTL.as_secs()),
                };
                self.line(&format!("held by   {owner} on {host} since {since}, silent for {silent} ({limit})"));
            }
        }
    }
}
