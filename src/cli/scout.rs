//! The process that becomes the engine of a run, before there is a run: it asks the hosts whether the night can begin, and
//! keeps its connections for it. Judges nothing.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, BufRead as _, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

use super::context::Context;
use super::error::CommandError;
use super::reach;
use super::setup::Setup;
use crate::plan::model::Plan;
use crate::transport::{Hosts, Survey, SurveyRequest, Transport as _};

/// How long a scout that is not needed any more may take to close its connections.
const LEAVING: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(10);

/// What a scout is told, one line of JSON each. At the end of its orders it goes away, and nothing was begun.
#[derive(Debug, Serialize, Deserialize)]
enum Order {
    Survey { plan: Box<Plan>, setup: Box<Setup>, requests: Vec<SurveyRequest> },
    Engage(Engage),
}

/// Which run to drive from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Engage {
    pub run: String,
    /// The path of its control socket.
    pub socket: PathBuf,
    /// Where to write what is wrong with itself.
    pub log: PathBuf,
}

type Answer = Result<Vec<Survey>, String>;

/// A scout, as its `exec` has it. Dropped, it is sent home.
#[derive(Debug)]
pub struct Scout(Option<Line>);

#[derive(Debug)]
struct Line {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Scout {
    /// Starts one for the plan `stem`, with what an engine's environment will have to have.
    ///
    /// # Errors
    /// When no process can be started.
    pub fn send_out(cx: &Context, stem: &str, environment: &BTreeMap<String, String>) -> Result<Self, CommandError> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg("--store")
            .arg(&cx.store)
            .args(["scout", "--plan", stem])
            .envs(environment)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(orders), Some(answers)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(CommandError::unexpected("the scout has no pipes"));
        };
        Ok(Self(Some(Line { process, orders, answers: BufReader::new(answers) })))
    }

    /// Asks the sites for their state.
    ///
    /// # Errors
    /// When nothing can be asked at all; what single hosts say is in the answer.
    pub fn survey(
        &mut self,
        plan: &Plan,
        setup: &Setup,
        requests: &[SurveyRequest],
    ) -> Result<Vec<Survey>, CommandError> {
        let line = self.0.as_mut().ok_or_else(gone)?;
        line.order(&Order::Survey {
            plan: Box::new(plan.clone()),
            setup: Box::new(setup.clone()),
            requests: requests.to_vec(),
        })?;
        let mut answer = String::new();
        if line.answers.read_line(&mut answer)? == 0 {
            return Err(CommandError::unexpected("the process that asks the hosts ended before it had asked them"));
        }
        let answer: Answer = serde_json::from_str(&answer).map_err(io::Error::other)?;
        answer.map_err(CommandError::unexpected)
    }

    /// Makes it the engine of a run. It answers at its socket soon.
    ///
    /// # Errors
    /// When it is gone.
    pub fn engage(mut self, run: &Engage) -> Result<Child, CommandError> {
        let mut line = self.0.take().ok_or_else(gone)?;
        line.order(&Order::Engage(run.clone()))?;
        Ok(line.process)
    }
}

fn gone() -> CommandError {
    CommandError::unexpected("the process that asks the hosts is gone")
}

impl Line {
    fn order(&mut self, order: &Order) -> io::Result<()> {
        let mut text = serde_json::to_vec(order)?;
        text.push(b'\n');
        self.orders.write_all(&text)
    }
}

impl Drop for Scout {
    fn drop(&mut self) {
        let Some(Line { mut process, orders, .. }) = self.0.take() else { return };
        drop(orders);
        let began = Instant::now();
        while matches!(process.try_wait(), Ok(None)) {
            if began.elapsed() > LEAVING {
                let _ = process.kill();
            }
            std::thread::sleep(POLL);
        }
    }
}

/// A scout's life: obeys until it is told which run to drive. `None` when it is not needed; its connections are closed then.
///
/// # Errors
/// Orders that cannot be read, or a log that cannot be written.
pub fn obey(runtime: &Runtime) -> Result<Option<(Engage, Option<Hosts>)>, CommandError> {
    let mut asked: Option<Hosts> = None;
    for line in io::stdin().lines() {
        match serde_json::from_str(&line?).map_err(io::Error::other)? {
            Order::Survey { plan, setup, requests } => {
                let answer = runtime.block_on(look(&plan, &setup, requests, &mut asked));
                let mut text = serde_json::to_vec(&answer.map_err(|e| e.message)).map_err(io::Error::other)?;
                text.push(b'\n');
                io::stdout().write_all(&text)?;
                io::stdout().flush()?;
            }
            Order::Engage(run) => {
                leave_terminal(&run.log)?;
                return Ok(Some((run, asked)));
            }
        }
    }
    if let Some(hosts) = asked {
        let _ = runtime.block_on(async { hosts.close().await });
    }
    Ok(None)
}

async fn look(
    plan: &Plan,
    setup: &Setup,
    requests: Vec<SurveyRequest>,
    asked: &mut Option<Hosts>,
) -> Result<Vec<Survey>, CommandError> {
    let hosts = asked.insert(reach::before(plan, setup)?);
    Ok(hosts.survey(requests).await.map_err(io::Error::other)?)
}

/// From now on this process speaks to its log alone.
fn leave_terminal(log: &Path) -> io::Result<()> {
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open(log)?;
    rustix::stdio::dup2_stdout(&log)?;
    rustix::stdio::dup2_stderr(&log)?;
    rustix::stdio::dup2_stdin(OpenOptions::new().read(true).open("/dev/null")?)?;
    Ok(())
}
