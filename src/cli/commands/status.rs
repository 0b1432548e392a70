//! `runbook status`: one screen, now.

mod monitor;

use serde_json::json;

use self::monitor::Monitor;
use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::{look, narrow, pager, store};
use crate::driver::clock;
use crate::report::status::{status, status_json, status_of_hosts};
use crate::report::{Look, fold, host_documents, say};
use crate::view::Outlook;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  runbook status\n  runbook status --say\n  runbook status --watch\n  runbook status --hosts 'web*'\n  runbook status 2007-12-02-a --json\n  runbook status --exit-code"
)]
pub struct Args {
    /// The run: its name, the beginning of it, or `latest` [default: the open one, or else the newest]
    run: Option<String>,
    /// A few sentences instead of the screen, to be read out on the bridge
    #[arg(long)]
    say: bool,
    /// Only these hosts, each with its steps: groups, hosts, `web*`, `web[01:20]`, `!without`, `&also-in`
    #[arg(long, value_name = "PATTERN", conflicts_with_all = ["say", "watch"])]
    hosts: Option<String>,
    /// Stay, and follow the run until it is over; exits as it did. Ctrl-C leaves the run alone
    #[arg(long, conflicts_with = "say")]
    watch: bool,
    /// Exit as the run did: 0 done, 10 rolled back, 20 a human is needed, 30 not finished, ...
    #[arg(long)]
    exit_code: bool,
}

pub fn run(args: Args, cx: &Context) -> Result<Exit, CommandError> {
    let Args { run: named, say: spoken, hosts, watch, exit_code } = args;
    let store = store::existing(cx)?;
    let run = store::find_to_look(&store, named.as_deref())?;
    if watch {
        return Monitor::new(cx, store, run)?.watch();
    }
    let view = look::view(&store, &run)?;
    let (now, engine) = look::now(&run, &view, clock::now());
    let hosts = hosts.as_deref().map(|pattern| narrow::of_run(&view, pattern)).transpose()?;
    let look = Look { width: pager::width(), ascii: true };
    let mut outlook = Outlook::default();
    let odds = outlook.look(&view, now);
    if cx.global.json {
        let mut document = status_json(&view, engine.as_ref(), odds, now);
        if let Some(hosts) = &hosts {
            document["hosts"] = host_documents(&view, hosts, now);
        }
        pager::put(format!("{document}\n").as_bytes())?;
    } else if view.header().is_none() {
        pager::put_lines(&[format!("{}  {}   not started", run.id, json!(run.title))])?;
    } else if spoken {
        pager::put_lines(&fold(&say(&view, engine.as_ref(), now), pager::width()))?;
    } else if let Some(hosts) = &hosts {
        pager::put_lines(&status_of_hosts(&view, engine.as_ref(), hosts, now, look))?;
    } else {
        pager::put_lines(&status(&view, engine.as_ref(), odds, now, look))?;
    }
    let over = view.end().map_or(Exit::NotFinished, |(_, end)| Exit::from(end));
    Ok(if exit_code { over } else { Exit::Done })
}
