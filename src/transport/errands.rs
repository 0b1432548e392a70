//! Short questions to a machine itself: the survey before a run, locks, removing records. Knows nothing of attempts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use super::channel::Channel;
use super::hosts::Inner;
use super::request::{Request, remote_command};
use super::wire::{Piece, Splitter};
use super::{SiteState, Survey, SurveyRequest};
use crate::driver::clock;
use crate::graph::job::Site;

/// No machine takes longer for a short question unless it hangs.
const PATIENCE: Duration = Duration::from_secs(30);
/// What logind needs to end what an ended session left behind.
const LOGOUT: Duration = Duration::from_millis(500);

/// Asks all sites at once. The answers come in the order of the questions.
pub(super) async fn survey(inner: &Arc<Inner>, requests: Vec<SurveyRequest>) -> Vec<Survey> {
    let mut asked = JoinSet::new();
    for (at, request) in requests.into_iter().enumerate() {
        let inner = inner.clone();
        asked.spawn(async move {
            let begun = Instant::now();
            let answer = state_of(&inner, &request).await;
            (at, Survey { site: request.site, answer, took: begun.elapsed() })
        });
    }
    let mut surveys: Vec<(usize, Survey)> = asked.join_all().await;
    surveys.sort_by_key(|(at, _)| *at);
    surveys.into_iter().map(|(_, survey)| survey).collect()
}

/// Carries one errand to all sites at once. The answers come in the order of the sites.
pub(super) async fn everywhere(
    inner: &Arc<Inner>,
    sites: Vec<Site>,
    mode: &'static str,
    values: &[(&str, &str)],
) -> Vec<(Site, Result<(), String>)> {
    let done = |(site, answer): (Site, Result<Vec<String>, String>)| (site, answer.map(drop));
    replies(inner, sites, mode, values).await.into_iter().map(done).collect()
}

/// The same, with the lines of each answer.
pub(super) async fn replies(
    inner: &Arc<Inner>,
    sites: Vec<Site>,
    mode: &'static str,
    values: &[(&str, &str)],
) -> Vec<(Site, Result<Vec<String>, String>)> {
    let mut asked = JoinSet::new();
    for (at, site) in sites.into_iter().enumerate() {
        let request = Request::errand(mode, &inner.terms(&site), values);
        let inner = inner.clone();
        asked.spawn(async move {
            let answer = ask(&inner, &site, mode, &request).await;
            let answer = answer.map(|lines| lines.into_iter().map(|(line, _)| line).collect());
            (at, site, answer)
        });
    }
    let mut answers = asked.join_all().await;
    answers.sort_by_key(|(at, ..)| *at);
    answers.into_iter().map(|(_, site, answer)| (site, answer)).collect()
}

async fn state_of(inner: &Inner, request: &SurveyRequest) -> Result<SiteState, String> {
    let probe = match &request.site {
        Site::Controller => String::new(),
        // No session ends here, so nothing could be taken along.
        Site::Host(host) if inner.config.sessions.contains_key(host) => String::new(),
        Site::Host(host) => leave_behind(inner, host).await?,
    };
    let root = request.sudo.then(|| "-".to_owned());
    let users: Vec<String> = root.into_iter().chain(request.users.iter().cloned()).collect();
    let values = [("users", &*users.join(" ")), ("probe", &*probe)];
    let question = Request::errand("survey", &inner.terms(&request.site), &values);
    let channel = inner.open(&request.site, "survey").await?;
    // Not before: connecting to many hosts at once takes longer than any clock may be wrong.
    let before = clock::now();
    let lines = answered(converse(channel, &question).await?, "survey")?;
    let mut state = SiteState {
        clock_offset_ms: 0,
        free_bytes: 0,
        sudo_refused: Vec::new(),
        locked_by: None,
        detached_survives: false,
        missing_tools: Vec::new(),
    };
    for (line, at) in lines {
        let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
        match word {
            // The question was on its way for half of the time that the answer took.
            "clock" => {
                let ours = before.as_millisecond().midpoint(at.as_millisecond());
                state.clock_offset_ms = milliseconds(rest).ok_or("its clock cannot be read")? - ours;
            }
            "free" => state.free_bytes = rest.parse::<u64>().unwrap_or(0).saturating_mul(1024),
            "refused" => state.sudo_refused.push(if rest == "-" { String::new() } else { rest.to_owned() }),
            "locked" => state.locked_by = Some(rest.to_owned()),
            "missing" => state.missing_tools.push(rest.to_owned()),
            "survives" => state.detached_survives = true,
            _ => {}
        }
    }
    Ok(state)
}

/// Leaves a process behind on a connection that is closed then. Gives its pid and start.
async fn leave_behind(inner: &Inner, host: &str) -> Result<String, String> {
    let site = Site::Host(host.to_owned());
    let question = Request::errand("leave", &inner.terms(&site), &[]);
    let (channel, connection) = inner.links.open_apart(host, &remote_command("survey")).await?;
    let lines = converse(channel, &question).await?;
    connection.close().await;
    tokio::time::sleep(LOGOUT).await;
    let left = lines.iter().find_map(|(line, _)| line.strip_prefix("left "));
    left.map(str::to_owned).ok_or_else(|| "its shell did not start the runner".to_owned())
}

/// Milliseconds since the epoch from `SECONDS.NANOSECONDS`; some `date`s know only seconds.
fn milliseconds(text: &str) -> Option<i64> {
    let (seconds, rest) = text.split_once('.')?;
    let fraction = rest.get(..3).and_then(|ms| ms.parse::<i64>().ok());
    Some(seconds.parse::<i64>().ok()? * 1000 + fraction.unwrap_or(500))
}

type Heard = Vec<(String, jiff::Timestamp)>;

async fn ask(inner: &Inner, site: &Site, label: &str, question: &Request) -> Result<Heard, String> {
    let channel = inner.open(site, label).await?;
    answered(converse(channel, question).await?, label)
}

fn answered(lines: Heard, label: &str) -> Result<Heard, String> {
    match lines.iter().find_map(|(line, _)| line.strip_prefix("refused ")) {
        // In a survey the word is about sudo.
        Some(why) if label != "survey" => Err(why.to_owned()),
        _ if lines.is_empty() => Err("its shell did not start the runner".to_owned()),
        _ => Ok(lines),
    }
}

/// Sends the question; gives every control line with the time of its arrival.
async fn converse(mut channel: Channel, question: &Request) -> Result<Heard, String> {
    let lost = |e: std::io::Error| format!("the connection was lost: {e}");
    let talk = async {
        channel.stdin.write_all(&question.bytes()).await.map_err(lost)?;
        channel.stdin.flush().await.map_err(lost)?;
        let (mut splitter, mut lines, mut buffer) = (Splitter::new(question.nonce()), Vec::new(), vec![0; 8192]);
        loop {
            let n = channel.stdout.read(&mut buffer).await.map_err(lost)?;
            if n == 0 {
                return Ok(lines);
            }
            for piece in splitter.feed(&buffer[..n]) {
                if let Piece::Control(line) = piece {
                    lines.push((line, clock::now()));
                }
            }
        }
    };
    tokio::time::timeout(PATIENCE, talk).await.unwrap_or_else(|_| Err("it does not answer".to_owned()))
}
