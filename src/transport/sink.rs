//! Where an attempt's output goes on this machine: the log of its step and host, and the last lines for the evidence.
//! Masked, line by line. Best effort: a log that cannot be written stops no run.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::mask::{Masked, Masks};
use super::wire::Stream as Counted;
use crate::graph::ids::AttemptId;

/// Lines kept for the evidence.
const TAIL: usize = 20;
/// Longer lines are cut for the evidence, and written to the log in pieces.
const LONGEST_LINE: usize = 8 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    Out,
    Err,
}

#[derive(Debug)]
pub(super) struct Sink {
    log: Log,
    header: String,
    out: Stream,
    err: Stream,
}

/// The log is touched only when there is something to write: most quick steps say nothing.
#[derive(Debug)]
enum Log {
    Closed(PathBuf),
    Open(File),
    /// It cannot be written.
    Broken,
}

#[derive(Debug)]
struct Stream {
    /// Raw bytes taken so far: the offset to go on from.
    received: u64,
    lines: u64,
    masked: Masked,
    partial: Vec<u8>,
    tail: VecDeque<String>,
    /// What the host counted, once it is known.
    expected: Option<Counted>,
    gap_told: bool,
}

/// `logs/STEP/HOST.log` of an attempt.
pub(super) fn log_path(logs: &Path, attempt: &AttemptId) -> PathBuf {
    logs.join(attempt.action.step()).join(format!("{}.log", attempt.action.host().unwrap_or("-")))
}

impl Sink {
    /// Prepares; the first output opens the log and writes the attempt's header line. What an earlier controller logged
    /// of this very attempt is dropped then: its output comes again from the first byte.
    pub(super) fn new(logs: &Path, attempt: &AttemptId, masks: &Masks) -> Self {
        let stream = || Stream {
            received: 0,
            lines: 0,
            masked: Masked::new(masks.clone()),
            partial: Vec::new(),
            tail: VecDeque::new(),
            expected: None,
            gap_told: false,
        };
        let log = Log::Closed(log_path(logs, attempt));
        Self { log, header: format!("--- {attempt}\n"), out: stream(), err: stream() }
    }

    /// Takes the next bytes of a stream, from offset [`Sink::received`] of what the host kept of it.
    pub(super) fn take(&mut self, lane: Lane, bytes: &[u8]) {
        let head = match self.stream(lane).gap() {
            Some(head) => usize::try_from(head).unwrap_or(usize::MAX).min(bytes.len()),
            None => bytes.len(),
        };
        let (before, after) = bytes.split_at(head);
        self.accept(lane, before);
        if !after.is_empty() {
            self.tell_gap(lane);
            self.accept(lane, after);
        }
    }

    fn accept(&mut self, lane: Lane, bytes: &[u8]) {
        let stream = self.stream(lane);
        stream.received += bytes.len() as u64;
        let clean = stream.masked.feed(bytes);
        self.write_lines(lane, &clean);
    }

    /// Says what the host counted: from here on it is known where it left out a part.
    pub(super) fn expect(&mut self, lane: Lane, counted: Counted) {
        self.stream(lane).expected = Some(counted);
    }

    /// Whether everything that the host kept has come.
    pub(super) fn is_complete(&self) -> bool {
        [&self.out, &self.err].iter().all(|s| s.expected.is_none_or(|c| s.received == c.total - c.dropped))
    }

    pub(super) fn received(&self, lane: Lane) -> u64 {
        match lane {
            Lane::Out => self.out.received,
            Lane::Err => self.err.received,
        }
    }

    /// Notes in the log and in the count that the host kept no more of a part.
    fn tell_gap(&mut self, lane: Lane) {
        let Some(Counted { dropped, dropped_lines, .. }) = self.stream(lane).expected else { return };
        // The line that the gap cuts ends in the gap or after it, and is counted there.
        let lines = self.stream(lane).lines + dropped_lines;
        self.flush(lane);
        let stream = self.stream(lane);
        stream.lines = lines;
        stream.gap_told = true;
        self.write(format!("--- {dropped} bytes in {dropped_lines} lines are left out here\n").as_bytes());
    }

    /// Ends both streams. Gives the last lines and the number of all lines.
    pub(super) fn finish(&mut self) -> (Vec<String>, u64) {
        self.flush(Lane::Out);
        self.flush(Lane::Err);
        let tail = if self.err.tail.is_empty() { &self.out.tail } else { &self.err.tail };
        (tail.iter().cloned().collect(), self.out.lines + self.err.lines)
    }

    fn stream(&mut self, lane: Lane) -> &mut Stream {
        match lane {
            Lane::Out => &mut self.out,
            Lane::Err => &mut self.err,
        }
    }

    fn flush(&mut self, lane: Lane) {
        let rest = self.stream(lane).masked.finish();
        self.write_lines(lane, &rest);
        let stream = self.stream(lane);
        let mut partial = std::mem::take(&mut stream.partial);
        if !partial.is_empty() {
            stream.line(&partial);
            partial.push(b'\n');
            self.write(&partial);
        }
    }

    /// Writes whole lines, so that the two streams do not mix inside a line.
    fn write_lines(&mut self, lane: Lane, bytes: &[u8]) {
        let stream = self.stream(lane);
        let mut ready = Vec::with_capacity(bytes.len() + 128);
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            stream.partial.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut stream.partial);
                stream.line(&line[..line.len() - 1]);
                ready.extend_from_slice(&line);
            } else if stream.partial.len() > LONGEST_LINE {
                let keep = stream.partial.split_off(LONGEST_LINE);
                ready.append(&mut std::mem::replace(&mut stream.partial, keep));
            }
        }
        self.write(&ready);
    }

    fn write(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if let Log::Closed(path) = &self.log {
            self.log = open_log(path, &self.header).map_or(Log::Broken, Log::Open);
        }
        if let Log::Open(log) = &mut self.log
            && log.write_all(bytes).is_err()
        {
            self.log = Log::Broken;
        }
    }
}

impl Stream {
    /// How many more bytes come before the part that was left out, if there is one ahead.
    fn gap(&self) -> Option<u64> {
        self.expected.filter(|c| c.dropped > 0 && !self.gap_told).map(|c| c.head.saturating_sub(self.received))
    }

    fn line(&mut self, line: &[u8]) {
        self.lines += 1;
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(String::from_utf8_lossy(&line[..line.len().min(LONGEST_LINE)]).into_owned());
    }
}

fn open_log(path: &Path, header: &str) -> std::io::Result<File> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let mut log = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    if let Some(at) = position_of(&mut log, header.as_bytes())? {
        log.set_len(at)?;
    }
    log.seek(SeekFrom::End(0))?;
    log.write_all(header.as_bytes())?;
    Ok(log)
}

/// Where the header stands at the beginning of a line, if it does.
fn position_of(log: &mut File, header: &[u8]) -> std::io::Result<Option<u64>> {
    if log.metadata()?.len() == 0 {
        return Ok(None);
    }
    let mut text = Vec::new();
    log.read_to_end(&mut text)?;
    let mut at = 0;
    for line in text.split_inclusive(|b| *b == b'\n') {
        if line == header {
            return Ok(Some(at));
        }
        at += line.len() as u64;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::ids::{ActionId, Direction};

    fn attempt() -> AttemptId {
        AttemptId { action: ActionId::new("build", Some("web1")), direction: Direction::Do, number: 1 }
    }

    #[test]
    fn the_log_holds_whole_masked_lines_once() {
        let dir = tempfile::tempdir().unwrap();
        let masks = Masks::new(["topsecret"]);
        for _ in 0..2 {
            let mut sink = Sink::new(dir.path(), &attempt(), &masks);
            sink.take(Lane::Out, b"one topse");
            sink.take(Lane::Err, b"bad\n");
            sink.take(Lane::Out, b"cret\ntwo");
            assert_eq!(sink.received(Lane::Out), 17);
            assert_eq!(sink.finish(), (vec!["bad".into()], 3));
        }
        let text = std::fs::read_to_string(dir.path().join("build/web1.log")).unwrap();
        assert_eq!(text.lines().next(), Some("--- build/web1/do/1"));
        let mut rest: Vec<&str> = text.lines().skip(1).collect();
        rest.sort_unstable();
        assert_eq!(rest, ["bad", "one ********", "two"]);
    }
}
