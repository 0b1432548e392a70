//! The command line: dispatch, and the only place that prints errors. Nothing imports it.

pub mod absent;
pub mod after;
pub mod approval;
pub mod args;
pub mod baseline;
pub mod calls;
pub mod changed;
pub mod commands;
pub mod confirm;
pub mod context;
pub mod control;
pub mod diagnostics;
pub mod dialog;
pub mod durations;
pub mod echo;
pub mod error;
pub mod exit;
pub mod found;
pub mod help;
pub mod history;
pub mod holder;
pub mod housekeeping;
mod interrupt;
pub mod inventory;
pub mod keys;
pub mod laboratory;
pub mod launch;
pub mod letters;
pub mod load;
pub mod lock_words;
pub mod logout;
pub mod look;
pub mod narrow;
mod notify;
pub mod order;
pub mod output;
pub mod pager;
mod power;
pub mod preflight;
pub mod programs;
pub mod reach;
pub mod review;
pub mod save;
mod scene;
mod scout;
pub mod settings;
pub mod setup;
pub mod show;
pub mod store;
pub mod variables;
pub mod watch;
pub mod waves;
pub mod window;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _};

use args::{Cli, Command};
use context::Context;
use error::CommandError;
use exit::Exit;

/// Parses the command line, executes, prints what went wrong, and says how it ended.
#[must_use]
pub fn main() -> ExitCode {
    let matches = help::grouped(Cli::command()).try_get_matches();
    let cli = match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(e) => {
            let exit = if e.use_stderr() { Exit::Usage } else { Exit::Done };
            let _ = e.print();
            return ExitCode::from(exit.code());
        }
    };
    let cx = match Context::new(cli.global, cli.command.plan()) {
        Ok(cx) => cx,
        Err(e) => return report(&e),
    };
    match dispatch(cli.command, &cx) {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(e) => report(&e),
    }
}

fn dispatch(command: Command, cx: &Context) -> Result<Exit, CommandError> {
    use commands as c;
    match command {
        Command::New(a) => c::new::run(a, cx),
        Command::Check(a) => c::check::run(a, cx),
        Command::Plan(a) => c::plan::run(&a, cx),
        Command::Graph(a) => c::graph::run(a, cx),
        Command::Notify(a) => c::notify::run(&a, cx),
        Command::Go(a) => c::go::go(&a, cx),
        Command::NoGo(a) => c::go::no_go(&a, cx),
        Command::Move(a) => c::go::move_to(&a, cx),
        Command::Drill(a) => c::drill::run(&a, cx),
        Command::Advise(a) => c::advise::run(&a, cx),
        Command::Exec(a) => c::exec::run(a, cx),
        Command::Attach(a) => c::attach::run(&a, cx),
        Command::Status(a) => c::status::run(a, cx),
        Command::Logs(a) => c::logs::run(a, cx),
        Command::Approve(a) => c::decide::approve(a, cx),
        Command::Reject(a) => c::decide::reject(a, cx),
        Command::Pause(a) => c::decide::pause(&a, cx),
        Command::Continue(a) => c::decide::go_on(&a, cx),
        Command::Retry(a) => c::decide::retry(a, cx),
        Command::Skip(a) => c::decide::skip(a, cx),
        Command::Rollback(a) => c::decide::rollback(a, cx),
        Command::Extend(a) => c::alter::extend(a, cx),
        Command::Mark(a) => c::alter::mark(a, cx),
        Command::Amend(a) => c::amend::run(a, cx),
        Command::Abort(a) => c::alter::abort(a, cx),
        Command::Resume(a) => c::resume::run(&a, cx),
        Command::Recover(a) => c::recover::run(&a, cx),
        Command::Unlock(a) => c::unlock::run(&a, cx),
        Command::Note(a) => c::decide::note(a, cx),
        Command::Report(a) => c::report::run(&a, cx),
        Command::Runs(a) => c::runs::run(&a, cx),
        Command::History(a) => c::history::run(&a, cx),
        Command::Explain(a) => c::explain::run(a, cx),
        Command::Schema(a) => c::schema::run(a, cx),
        Command::Completions(a) => c::completions::run(a, cx),
        Command::Man(a) => c::man::run(a, cx),
        Command::Doctor(a) => c::doctor::run(&a, cx),
        Command::Engine(a) => c::engine::run(&a, cx),
        Command::Scout(a) => c::scout::run(&a, cx),
        Command::Keeper => c::keeper::run(),
    }
}

fn report(e: &CommandError) -> ExitCode {
    print_error(e);
    ExitCode::from(e.exit().code())
}

fn print_error(e: &CommandError) {
    use std::io::Write as _;
    let mut err = anstream::stderr();
    let word = if e.kind == error::Kind::Refused { "refused" } else { "error" };
    let red = anstyle::AnsiColor::Red.on_default().bold();
    let _ = writeln!(err, "{red}{word}{red:#}: {}", e.message);
    for hint in &e.hints {
        let _ = writeln!(err, "  {hint}");
    }
}
