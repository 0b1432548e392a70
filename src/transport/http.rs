//! Requests from this machine: those of `http:` steps, judged by status and body, and messages that are posted. No redirects, a
//! bounded body.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Method, Url};

use super::mask::Masks;
use super::masters::chain;
use crate::graph::job::Job;
use crate::graph::outcome::{Evidence, Outcome};
use crate::plan::model::HttpCheck;

/// More of a body is not read.
const LONGEST_BODY: usize = 1 << 20;
/// Of a request whose step has no limit.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// Makes the request. Only an answer judges: one that is wrong has failed, and without one nothing is known.
pub(super) async fn check(job: &Job, check: &HttpCheck, masks: &Masks) -> (Outcome, Evidence) {
    let begun = Instant::now();
    let limit = job.timeout.and_then(|t| Duration::try_from(t).ok()).unwrap_or(DEFAULT_TIMEOUT);
    let verdict = tokio::time::timeout(limit, ask(check)).await;
    let (outcome, line) = match verdict {
        Ok(Ok(line)) => (Outcome::Succeeded, line),
        Ok(Err(Miss::Wrong(line))) => (Outcome::Failed { exit: 1 }, line),
        Ok(Err(Miss::NoAnswer(outcome, line))) => (outcome, line),
        Err(_) => (Outcome::TimedOut, format!("no complete answer from {} in {limit:?}", check.url)),
    };
    let took = SignedDuration::try_from(begun.elapsed()).ok();
    let tail: Vec<String> = masks.text(&line).lines().map(str::to_owned).collect();
    let lines = tail.len() as u64;
    (outcome, Evidence { took, tail, lines, ..Evidence::default() })
}

/// Why a request is not what the plan expects.
enum Miss {
    Wrong(String),
    /// There was none, or it broke off.
    NoAnswer(Outcome, String),
}

/// What was seen: `Ok` when it is what the plan expects.
async fn ask(check: &HttpCheck) -> Result<String, Miss> {
    let failed = |e: reqwest::Error| {
        let unasked = || Outcome::NeverStarted { why: "no connection".to_owned() };
        let outcome = if e.is_connect() { unasked() } else { Outcome::Interrupted };
        Miss::NoAnswer(outcome, format!("{} {}: {}", check.method, check.url, chain(&e)))
    };
    let no_method = |_| Miss::Wrong(format!("{:?} is no method", check.method));
    let method = Method::from_bytes(check.method.as_bytes()).map_err(no_method)?;
    let mut request = client().map_err(Miss::Wrong)?.request(method, &check.url);
    for (name, value) in &check.headers {
        request = request.header(name, value);
    }
    if let Some(body) = &check.body {
        request = request.body(body.clone());
    }
    let mut response = request.send().await.map_err(failed)?;
    let status = response.status().as_u16();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        body.extend_from_slice(&chunk[..chunk.len().min(LONGEST_BODY - body.len())]);
        if body.len() == LONGEST_BODY {
            break;
        }
    }
    judge(check, status, &String::from_utf8_lossy(&body)).map_err(Miss::Wrong)
}

fn judge(check: &HttpCheck, status: u16, body: &str) -> Result<String, String> {
    let seen = format!("{} {}: status {status}", check.method, check.url);
    let wanted = if check.expect.is_empty() { (200..300).contains(&status) } else { check.expect.contains(&status) };
    if !wanted {
        return Err(format!("{seen}\n{}", beginning(body)));
    }
    if let Some(text) = &check.body_contains
        && !body.contains(text.as_str())
    {
        return Err(format!("{seen}, but the body does not contain {text:?}\n{}", beginning(body)));
    }
    if let Some(pattern) = &check.body_matches {
        let regex = regex_lite::Regex::new(pattern).map_err(|e| format!("body_matches {pattern:?}: {e}"))?;
        if !regex.is_match(body) {
            return Err(format!("{seen}, but the body does not match {pattern:?}\n{}", beginning(body)));
        }
    }
    Ok(seen)
}

fn beginning(body: &str) -> String {
    body.lines().take(5).map(|line| line.chars().take(200).collect::<String>()).collect::<Vec<_>>().join("\n")
}

/// Posts a JSON document. How long it may take is the caller's to say.
///
/// # Errors
/// Why it did not arrive, without the address: whoever knows it may post.
pub async fn post(url: &str, body: String) -> Result<(), String> {
    let failed = |e: reqwest::Error| chain(&e.without_url());
    let request = client()?.post(url).header(CONTENT_TYPE, "application/json").body(body);
    let status = request.send().await.map_err(failed)?.status();
    if status.is_success() { Ok(()) } else { Err(format!("the answer was status {}", status.as_u16())) }
}

/// The host of an address, which may be said where its path may not.
#[must_use]
pub fn host_of(url: &str) -> Option<String> {
    Url::parse(url).ok()?.host_str().map(str::to_owned)
}

/// One client for all requests of the process.
fn client() -> Result<Client, String> {
    static CLIENT: OnceLock<Result<Client, String>> = OnceLock::new();
    CLIENT
        .get_or_init(|| {
            // Somebody else may have installed a provider already, which is as good.
            let _ = rustls::crypto::ring::default_provider().install_default();
            Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(Duration::from_secs(10))
                .user_agent(concat!("runbook/", env!("CARGO_PKG_VERSION")))
                .build()
                .map_err(|e| chain(&e))
        })
        .clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expecting(change: impl FnOnce(&mut HttpCheck)) -> HttpCheck {
        let mut check = HttpCheck {
            url: "http://x/".into(),
            method: "GET".into(),
            expect: Vec::new(),
            body_contains: None,
            body_matches: None,
            headers: indexmap::IndexMap::new(),
            body: None,
        };
        change(&mut check);
        check
    }

    #[tokio::test]
    async fn what_went_wrong_is_said_without_the_address() {
        // Nobody listens at the port of a listener that is gone.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let why = post(&format!("http://sarah:token1@127.0.0.1:{port}/hooks/token2"), "{}".into()).await.unwrap_err();
        assert!(why.contains("refused") && !why.contains("token"), "{why}");
        let why = post("https://[token/hooks", "{}".into()).await.unwrap_err();
        assert!(!why.contains("token"), "{why}");
    }

    #[test]
    fn status_and_body_judge() {
        assert!(judge(&expecting(|_| {}), 204, "").is_ok());
        assert!(judge(&expecting(|_| {}), 302, "").is_err());
        assert!(judge(&expecting(|c| c.expect = vec![302]), 302, "").is_ok());
        assert!(judge(&expecting(|c| c.expect = vec![302]), 200, "").is_err());
        assert!(judge(&expecting(|c| c.body_contains = Some("up".into())), 200, "is up").is_ok());
        assert!(judge(&expecting(|c| c.body_contains = Some("up".into())), 200, "down").is_err());
        assert!(judge(&expecting(|c| c.body_matches = Some("v[0-9]+".into())), 200, "v12").is_ok());
        assert!(
            judge(&expecting(|c| c.body_matches = Some("v[0-9]+".into())), 200, "v").unwrap_err().contains("match")
        );
    }
}
