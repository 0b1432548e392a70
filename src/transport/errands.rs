//! Short questions to a machine itself: the survey before a run, locks, removing records. Knows nothing of attempts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::channel::Channel;
use super::host_lock::Taking;
use super::hosts::Inner;
use super::request::{Request, remote_command};
use super::wire::{Next, Piece, Splitter};
use super::{Logout, NoAnswer, SiteState, Survey, SurveyRequest};
use crate::driver::clock;
use crate::graph::job::Site;

/// No machine takes longer for a short question unless it hangs.
const PATIENCE: Duration = Duration::from_secs(30);
/// A process that is left behind ends by itself after 20 s. When it is looked for later than this, nothing follows.
const LEFT: Duration = Duration::from_secs(15);
/// How often a site is asked that answers nothing at all.
const ASKED: u32 = 3;
/// Looks at a machine that is so busy that nothing follows from the first ones.
const LOOKS: u32 = 3;
/// What logind needs to end what an ended session left behind.
const LOGOUT: Duration = Duration::from_millis(500);
/// While one host is asked, so many wait for their logout.
const WAITING: usize = 4;

/// Asks as many sites at once as may be connected to, so that each answers soon enough to say something of its clock and
/// its processes. The answers come in the order of the questions.
pub(super) async fn survey(inner: &Arc<Inner>, requests: Vec<SurveyRequest>) -> Vec<Survey> {
    let mut asked = JoinSet::new();
    let at_once = inner.config.connect_at_once.max(1);
    let turns = Arc::new(Semaphore::new(at_once * WAITING));
    let places = Arc::new(Semaphore::new(at_once));
    for (at, request) in requests.into_iter().enumerate() {
        let (inner, turns, places) = (inner.clone(), turns.clone(), places.clone());
        asked.spawn(async move {
            let _turn = turns.acquire().await;
            let begun = Instant::now();
            let answer = state_of(&inner, &places, &request).await;
            let took = begun.elapsed();
            let reached = match &request.site {
                Site::Host(host) if answer.is_ok() => inner.links.reached(host).await.ok(),
                Site::Host(_) | Site::Controller => None,
            };
            (at, Survey { site: request.site, reached, answer, took })
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
            let answer = ask(&inner, &site, mode, &request).await.map_err(Trouble::into_words);
            let answer = answer.map(|heard| heard.lines.into_iter().map(|(line, _)| line).collect());
            (at, site, answer)
        });
    }
    let mut answers = asked.join_all().await;
    answers.sort_by_key(|(at, ..)| *at);
    answers.into_iter().map(|(_, site, answer)| (site, answer)).collect()
}

/// Takes a lock on all sites at once. The answers come in the order of the sites.
pub(super) async fn lock(inner: &Arc<Inner>, sites: Vec<Site>, stem: &str, holder: &str) -> Vec<(Site, Taking)> {
    let mut asked = JoinSet::new();
    for (at, site) in sites.into_iter().enumerate() {
        let (inner, stem, holder) = (inner.clone(), stem.to_owned(), holder.to_owned());
        asked.spawn(async move { (at, lock_one(&inner, &site, &stem, &holder).await, site) });
    }
    let mut answers = asked.join_all().await;
    answers.sort_by_key(|(at, ..)| *at);
    answers.into_iter().map(|(_, taking, site)| (site, taking)).collect()
}

/// The same on one site. What the run has already is taken again.
pub(super) async fn lock_one(inner: &Inner, site: &Site, stem: &str, holder: &str) -> Taking {
    let request = Request::errand("lock", &inner.terms(site), &[("plan", stem), ("holder", holder)]);
    match ask(inner, site, "lock", &request).await {
        Ok(_) => Taking::Taken,
        Err(Trouble::Refused(why)) => Taking::Refused(why),
        Err(Trouble::NotAsked(why)) => Taking::NotAsked(why),
    }
}

/// Asks one site. The connection that answers is kept, so that whoever comes next needs no other.
async fn state_of(inner: &Inner, places: &Semaphore, request: &SurveyRequest) -> Result<SiteState, NoAnswer> {
    let mut state = {
        let _place = places.acquire().await;
        look(inner, request).await?
    };
    if let (Site::Host(host), Logout::Tried { seen_in }) = (&request.site, &request.logout)
        // No session ends there, so nothing could be taken along.
        && !inner.config.sessions.contains_key(host)
        && (state.boot.is_empty() || seen_in.as_ref() != Some(&state.boot))
    {
        state.detached_survives = survives_logout(inner, places, host).await?;
    }
    Ok(state)
}

async fn look(inner: &Inner, request: &SurveyRequest) -> Result<SiteState, NoAnswer> {
    let root = request.sudo.then(|| "-".to_owned());
    let users: Vec<String> = root.into_iter().chain(request.users.iter().cloned()).collect();
    let question = Request::errand("survey", &inner.terms(&request.site), &[("users", &*users.join(" "))]);
    let Heard { asked, lines } = ask(inner, &request.site, "survey", &question).await?;
    let mut state = SiteState {
        clock_offset_ms: 0,
        free_bytes: 0,
        sudo_refused: Vec::new(),
        locked_by: None,
        detached_survives: true,
        boot: String::new(),
        missing_tools: Vec::new(),
    };
    for (line, at) in lines {
        let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
        match word {
            "boot" => rest.clone_into(&mut state.boot),
            "clock" => {
                let theirs = milliseconds(rest).ok_or_else(|| NoAnswer::Away("its clock cannot be read".into()))?;
                state.clock_offset_ms = least_offset(theirs, asked.as_millisecond(), at.as_millisecond());
            }
            "free" => state.free_bytes = rest.parse::<u64>().unwrap_or(0).saturating_mul(1024),
            "refused" => state.sudo_refused.push(if rest == "-" { String::new() } else { rest.to_owned() }),
            "locked" => state.locked_by = Some(rest.to_owned()),
            "missing" => state.missing_tools.push(rest.to_owned()),
            _ => {}
        }
    }
    Ok(state)
}

/// Whether a process lives on when the session ends in which it was started. Seen, not concluded from any configuration.
async fn survives_logout(inner: &Inner, places: &Semaphore, host: &str) -> Result<bool, NoAnswer> {
    let site = Site::Host(host.to_owned());
    let mut looks = 0;
    loop {
        looks += 1;
        let begun = Instant::now();
        let left = {
            let _place = places.acquire().await;
            leave_behind(inner, &site, host).await?
        };
        tokio::time::sleep(LOGOUT).await;
        let question = Request::errand("outlived", &inner.terms(&site), &[("left_behind", &*left)]);
        let survives = {
            let _place = places.acquire().await;
            ask(inner, &site, "survey", &question).await?.lines.iter().any(|(line, _)| line == "outlived")
        };
        if survives || begun.elapsed() < LEFT || looks == LOOKS {
            return Ok(survives);
        }
    }
}

/// How far a clock is off at least, when it was read somewhere between two instants of ours.
fn least_offset(theirs: i64, asked: i64, answered: i64) -> i64 {
    match theirs {
        t if t < asked => t - asked,
        t if t > answered => t - answered,
        _ => 0,
    }
}

/// Leaves a process behind on a connection that is closed then. Gives its pid and start.
async fn leave_behind(inner: &Inner, site: &Site, host: &str) -> Result<String, NoAnswer> {
    let question = Request::errand("leave", &inner.terms(site), &[]);
    let (channel, connection) = inner.links.open_apart(host, &remote_command("survey")).await?;
    let (lines, _) = converse(inner, site, channel, &question).await?;
    connection.close().await;
    let left = lines.iter().find_map(|(line, _)| line.strip_prefix("left "));
    left.map(str::to_owned).ok_or_else(|| NoAnswer::Away("its shell did not start the runner".into()))
}

/// Milliseconds since the epoch from `SECONDS.NANOSECONDS`; some `date`s know only seconds.
fn milliseconds(text: &str) -> Option<i64> {
    let (seconds, rest) = text.split_once('.')?;
    let fraction = rest.get(..3).and_then(|ms| ms.parse::<i64>().ok());
    Some(seconds.parse::<i64>().ok()? * 1000 + fraction.unwrap_or(500))
}

/// Control lines with the time of their arrival.
type Lines = Vec<(String, Timestamp)>;

struct Heard {
    /// When the question was sent: after connecting, which takes longer to many hosts at once than any clock may be wrong.
    asked: Timestamp,
    lines: Lines,
}

/// Why an errand brought nothing home.
enum Trouble {
    /// The runner said no, or there is none.
    Refused(String),
    /// Nobody knows what became of it.
    NotAsked(NoAnswer),
}

impl From<NoAnswer> for Trouble {
    fn from(why: NoAnswer) -> Self {
        Self::NotAsked(why)
    }
}

impl From<Trouble> for NoAnswer {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Refused(why) => Self::Away(why),
            Trouble::NotAsked(why) => why,
        }
    }
}

impl Trouble {
    fn into_words(self) -> String {
        match self {
            Self::Refused(why) => why,
            Self::NotAsked(why) => why.to_string(),
        }
    }
}

/// A whole answer. Whoever waited for a request may have been about to leave, and a connection may be lost, so one that
/// answers nothing or not all is asked again: every errand may be carried twice.
async fn ask(inner: &Inner, site: &Site, label: &str, question: &Request) -> Result<Heard, Trouble> {
    let mut trouble = Trouble::Refused("its shell did not start the runner".to_owned());
    for _ in 0..ASKED {
        let channel = inner.open(site, label).await?;
        let asked = clock::now();
        let (lines, next) = converse(inner, site, channel, question).await?;
        // In a survey the word is about sudo.
        let refused = lines.iter().find_map(|(line, _)| line.strip_prefix("refused ")).filter(|_| label != "survey");
        match refused {
            Some(why) => return Err(Trouble::Refused(why.to_owned())),
            None if next == Next::Now => return Ok(Heard { asked, lines }),
            None if lines.is_empty() => {}
            None => trouble = Trouble::NotAsked(NoAnswer::Away("the connection was lost".into())),
        }
    }
    Err(trouble)
}

/// Sends the question; gives every control line of the answer, and whether the runner takes another request, as it says
/// at the end of a whole answer. It is kept then.
async fn converse(inner: &Inner, site: &Site, channel: Channel, question: &Request) -> Result<(Lines, Next), NoAnswer> {
    let lost = |e: std::io::Error| NoAnswer::Away(format!("the connection was lost: {e}"));
    let Channel { mut stdin, mut stdout, stderr, end } = channel;
    let talk = async {
        stdin.write_all(&question.bytes()).await.map_err(lost)?;
        stdin.flush().await.map_err(lost)?;
        let (mut splitter, mut lines, mut buffer) = (Splitter::new(question.nonce()), Vec::new(), vec![0; 8192]);
        loop {
            let n = stdout.read(&mut buffer).await.map_err(lost)?;
            if n == 0 {
                return Ok((lines, Next::No));
            }
            for piece in splitter.feed(&buffer[..n]) {
                match piece {
                    Piece::Control(line) if line == "next" => return Ok((lines, Next::Now)),
                    Piece::Control(line) => lines.push((line, clock::now())),
                    Piece::Raw(_) => {}
                }
            }
        }
    };
    let told = tokio::time::timeout(PATIENCE, talk).await;
    let (lines, next) = told.unwrap_or_else(|_| Err(NoAnswer::Away("it does not answer".into())))?;
    if next == Next::Now {
        inner.keep(site, Channel { stdin, stdout, stderr, end });
    }
    Ok((lines, next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_answer_says_less_of_a_clock_but_nothing_wrong() {
        assert_eq!(least_offset(5_000, 4_000, 30_000), 0);
        assert_eq!(least_offset(3_000, 4_000, 30_000), -1_000);
        assert_eq!(least_offset(33_000, 4_000, 30_000), 3_000);
    }
}
