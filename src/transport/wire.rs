//! What the runner prints: control lines marked by a nonce among raw output, and the record at the end. Knows nothing of
//! connections. Nothing here trusts the host: what is out of range is an error.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use crate::graph::outcome::Outcome;

/// A piece of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// A control line, without its mark.
    Control(String),
    Raw(Vec<u8>),
}

/// Tells control lines from raw bytes, across chunk borders.
#[derive(Debug)]
pub struct Splitter {
    mark: Vec<u8>,
    held: Vec<u8>,
}

/// Longer control lines are refused: they would be a host's attempt to fill our memory.
const LONGEST_LINE: usize = 64 * 1024;

impl Splitter {
    #[must_use]
    pub fn new(nonce: &str) -> Self {
        Self { mark: format!("@{nonce} ").into_bytes(), held: Vec::new() }
    }

    /// Takes the next bytes; gives what is certain by now.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Piece> {
        self.held.extend_from_slice(bytes);
        let mut pieces = Vec::new();
        loop {
            let Some(at) = find(&self.held, &self.mark) else {
                let keep = longest_overlap(&self.held, &self.mark);
                let raw = self.held.drain(..self.held.len() - keep).collect();
                push_raw(&mut pieces, raw);
                return pieces;
            };
            let line_start = at + self.mark.len();
            let Some(length) = self.held[line_start..].iter().position(|b| *b == b'\n') else {
                push_raw(&mut pieces, self.held.drain(..at).collect());
                if self.held.len() > LONGEST_LINE {
                    self.held.clear();
                }
                return pieces;
            };
            push_raw(&mut pieces, self.held[..at].to_vec());
            let line = String::from_utf8_lossy(&self.held[line_start..line_start + length]).into_owned();
            pieces.push(Piece::Control(line));
            self.held.drain(..=line_start + length);
        }
    }

    /// What was held back because it could have become a control line.
    pub fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }
}

fn push_raw(pieces: &mut Vec<Piece>, raw: Vec<u8>) {
    if !raw.is_empty() {
        pieces.push(Piece::Raw(raw));
    }
}

fn find(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|b| *b == mark[0]) {
        if bytes[from + at..].starts_with(mark) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

/// How many bytes at the end could be the beginning of the mark.
fn longest_overlap(bytes: &[u8], mark: &[u8]) -> usize {
    (1..mark.len().min(bytes.len() + 1)).rev().find(|n| bytes.ends_with(&mark[..*n])).unwrap_or(0)
}

/// Sizes of one stream as the host counted them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stream {
    pub total: u64,
    /// Kept from the beginning.
    pub head: u64,
    pub dropped: u64,
    pub dropped_lines: u64,
}

/// The end of an attempt as its record tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    pub outcome: Outcome,
    pub took: Option<SignedDuration>,
    /// `None` while something still writes to the stream.
    pub out: Option<Stream>,
    pub err: Option<Stream>,
    pub note: Option<String>,
    pub next: Next,
    /// The machine has been restarted since the attempt was.
    pub restarted: bool,
}

/// Whether the runner takes another request after an attempt's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Next {
    #[default]
    No,
    /// Now: it has said nothing on stderr.
    Now,
    /// As soon as stderr has ended with the word `next`.
    Marked,
}

/// Reads `rc=...;pid=...;out=...;err=...;`, and what else a runner may add.
///
/// # Errors
/// A text that no runner writes: the caller must count the attempt as in doubt.
pub fn read_done(line: &str) -> Result<Done, String> {
    let field = |name: &str| {
        line.split(';').find_map(|part| part.strip_prefix(name)).ok_or_else(|| format!("the record has no {name}"))
    };
    let (rc, pid) = (field("rc=")?, field("pid=")?);
    let (outcome, ended, note) = read_outcome(rc)?;
    let started = pid.split(' ').nth(3).map(|text| hundredths(text).ok_or_else(|| impossible(text))).transpose()?;
    let took = match (started, ended) {
        (Some(from), Some(to)) if to >= from => Some(SignedDuration::from_millis((to - from) * 10)),
        (Some(_), Some(_)) => return Err("the record ends before it begins".into()),
        _ => None,
    };
    let next = match field("next=") {
        Ok("now") => Next::Now,
        Ok("marked") => Next::Marked,
        _ => Next::No,
    };
    let restarted = match (pid.split(' ').nth(2), field("boot=")) {
        (Some(then), Ok(now)) => !now.is_empty() && then != now,
        _ => false,
    };
    let (out, err) = (read_stream(field("out=")?)?, read_stream(field("err=")?)?);
    Ok(Done { outcome, took, out, err, note, next, restarted })
}

fn read_outcome(rc: &str) -> Result<(Outcome, Option<i64>, Option<String>), String> {
    let words: Vec<&str> = rc.split(' ').collect();
    let number = |at: usize| words.get(at).and_then(|w| w.parse::<u8>().ok()).ok_or_else(|| impossible(rc));
    let time = |at: usize| words.get(at).and_then(|w| hundredths(w)).ok_or_else(|| impossible(rc)).map(Some);
    Ok(match words[0] {
        "exit" => match number(1)? {
            0 => (Outcome::Succeeded, time(2)?, None),
            exit => (Outcome::Failed { exit }, time(2)?, None),
        },
        "signal" => match number(1)? {
            signal @ 1..=64 => (Outcome::Killed { signal }, time(2)?, None),
            _ => return Err(impossible(rc)),
        },
        "timeout" => (Outcome::TimedOut, time(2)?, None),
        "cancel" => (Outcome::Cancelled, time(2)?, None),
        "interrupted" => (Outcome::Interrupted, None, None),
        "never" => {
            (Outcome::NeverStarted { why: "the host had not started it, and now never will".into() }, None, None)
        }
        "survivors" => {
            let names = words.get(2..).unwrap_or_default().join(" ");
            let why = format!("processes survived being killed: {names}");
            (Outcome::InDoubt { why }, time(1)?, Some(format!("still running: {names}")))
        }
        _ => return Err(impossible(rc)),
    })
}

fn impossible(rc: &str) -> String {
    let shown: String = rc.chars().take(60).collect();
    format!("the host sent an impossible record: {shown:?}")
}

/// `12.34` seconds as hundredths.
pub(super) fn hundredths(text: &str) -> Option<i64> {
    let (seconds, rest) = text.split_once('.')?;
    let (seconds, rest) = (seconds.parse::<u32>().ok()?, rest.parse::<u32>().ok()?);
    (rest < 100).then_some(i64::from(seconds) * 100 + i64::from(rest))
}

fn read_stream(text: &str) -> Result<Option<Stream>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let numbers: Option<Vec<i64>> = text.split(' ').map(|w| w.parse().ok()).collect();
    match numbers.as_deref() {
        // The host's disk failed: what is kept is less than what was written.
        Some([_, head, _, _, -1, _]) if *head >= 0 => Ok(None),
        Some(&[total, head, low, seg, dropped, lines])
            if [total, head, low, seg, dropped, lines].iter().all(|n| *n >= 0)
                && total >= head
                && total - head >= dropped =>
        {
            Ok(Some(Stream {
                total: total.unsigned_abs(),
                head: head.unsigned_abs(),
                dropped: dropped.unsigned_abs(),
                dropped_lines: lines.unsigned_abs(),
            }))
        }
        _ => Err(impossible(text)),
    }
}

/// The `name=value` lines of `$RUNBOOK_OUTPUT`, restricted to the names that were declared.
#[must_use]
pub fn read_outputs(bytes: &[u8], declared: &[String]) -> BTreeMap<String, String> {
    String::from_utf8_lossy(bytes)
        .lines()
        .filter_map(|line| line.split_once('='))
        .filter(|(name, _)| declared.is_empty() || declared.iter().any(|d| d == name))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces_of(chunks: &[&[u8]]) -> (Vec<u8>, Vec<String>) {
        let mut splitter = Splitter::new("n1");
        let (mut raw, mut control) = (Vec::new(), Vec::new());
        for chunk in chunks {
            for piece in splitter.feed(chunk) {
                match piece {
                    Piece::Raw(bytes) => raw.extend(bytes),
                    Piece::Control(line) => control.push(line),
                }
            }
        }
        raw.extend(splitter.finish());
        (raw, control)
    }

    #[test]
    fn control_lines_are_found_at_every_split() {
        let text = b"noise\n@n1 stdout\na\n\n@n2 no\n\n@n1 over\n@n1\n@n1 done x\nrest\n@n";
        for at in 0..text.len() {
            let (raw, control) = pieces_of(&[&text[..at], &text[at..]]);
            assert_eq!(control, ["stdout", "over", "done x"], "split at {at}");
            assert_eq!(raw, b"noise\na\n\n@n2 no\n\n@n1\nrest\n@n", "split at {at}");
        }
    }

    fn done(rc: &str) -> Result<Done, String> {
        read_done(&format!("rc={rc};pid=7 100 boot 10.50;out=3 3 1 0 0 0;err=;"))
    }

    #[test]
    fn a_restart_is_another_boot_than_that_of_the_start() {
        let boot = |now: &str| read_done(&format!("rc=interrupted;pid=7 100 one 10.50;out=;err=;{now}")).unwrap();
        assert!(boot("boot=two;").restarted);
        assert!(!boot("boot=one;").restarted);
        assert!(!boot("").restarted, "who says nothing of it was not restarted");
    }

    #[test]
    fn every_outcome_is_read() {
        assert_eq!(done("exit 0 12.75").unwrap().outcome, Outcome::Succeeded);
        assert_eq!(done("exit 0 12.75").unwrap().took, Some(SignedDuration::from_millis(2250)));
        assert_eq!(done("exit 137 12.75").unwrap().outcome, Outcome::Failed { exit: 137 });
        assert_eq!(done("signal 9 12.75").unwrap().outcome, Outcome::Killed { signal: 9 });
        assert_eq!(done("timeout 0 12.75").unwrap().outcome, Outcome::TimedOut);
        assert_eq!(done("cancel 0 12.75").unwrap().outcome, Outcome::Cancelled);
        assert_eq!(done("interrupted").unwrap().outcome, Outcome::Interrupted);
        assert!(matches!(done("never").unwrap().outcome, Outcome::NeverStarted { .. }));
        assert!(done("survivors 12.75 12(sleep)").unwrap().note.unwrap().contains("12(sleep)"));
    }

    #[test]
    fn lies_are_errors() {
        let lies = [
            "",
            "exit",
            "exit -1 12.75",
            "exit 256 12.75",
            "exit 0",
            "exit 0 x",
            "exit 0 9.00",
            "exit 0 -3.00",
            "signal 0 12.75",
            "signal 200 12.75",
            "ok",
            "exit 0x0 12.75",
            "exit 0 12.750",
            "exit 99999999999999999999 1.00",
            "\u{1b}[2J",
        ];
        for lie in lies {
            assert!(done(lie).is_err(), "{lie:?}");
        }
        for lie in ["-1 0 1 0 0 0", "1 2 1 0 0 0", "x", "1 1 1 0", "5 1 1 0 9 0"] {
            assert!(read_done(&format!("rc=exit 0 12.75;pid=7 1 b 10.50;out={lie};err=;")).is_err(), "{lie}");
        }
        assert!(read_done("rc=exit 0 12.75").is_err());
    }

    #[test]
    fn only_declared_outputs_count() {
        let outputs = read_outputs(b"a=1\nb=x=y\njunk\nc=\xff", &["a".into(), "b".into()]);
        assert_eq!(outputs.into_iter().collect::<Vec<_>>(), [("a".into(), "1".into()), ("b".into(), "x=y".into())]);
    }
}
