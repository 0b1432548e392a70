//! The last words of running steps, read from their log files. Knows nothing of what they mean for the run.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

/// Bytes read at most per file and look; of a flood, only the end matters here.
const CHUNK: u64 = 64 * 1024;
/// What a script prints to say how far it is: `runbook:progress 16/212 alter table orders`.
const MARK: &str = "runbook:progress ";

/// What one host said last. Raw: escape before showing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Said {
    pub host: String,
    /// The last line that is no progress report; of a line that overwrites itself with `\r`, its last state.
    pub line: String,
    pub progress: Option<Progress>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// 0 to 1.
    pub share: f64,
    /// As the script wrote it: `16/212 alter table orders`.
    pub text: String,
}

#[derive(Debug, Default)]
struct Tail {
    offset: u64,
    partial: Vec<u8>,
    said: Said,
}

/// Follows the files `DIR/logs/STEP/HOST.log`. Files that do not exist yet say nothing.
#[derive(Debug)]
pub struct Tails {
    dir: PathBuf,
    tails: BTreeMap<(String, String), Tail>,
}

impl Tails {
    /// `run_dir` is the folder of one run.
    #[must_use]
    pub fn new(run_dir: &Path) -> Self {
        Self { dir: run_dir.join("logs"), tails: BTreeMap::new() }
    }

    /// Reads what is new.
    pub fn poll(&mut self, step: &str, host: &str) {
        let path = self.dir.join(step).join(format!("{host}.log"));
        let tail = self.tails.entry((step.to_owned(), host.to_owned())).or_default();
        tail.said.host = host.to_owned();
        if let Ok(file) = File::open(path) {
            tail.read(file);
        }
    }

    /// What was read last.
    #[must_use]
    pub fn said(&self, step: &str, host: &str) -> Option<Said> {
        let tail = self.tails.get(&(step.to_owned(), host.to_owned()))?;
        (!tail.said.line.is_empty() || tail.said.progress.is_some()).then(|| tail.said.clone())
    }
}

impl Tail {
    fn read(&mut self, mut file: File) {
        let Ok(len) = file.metadata().map(|m| m.len()) else { return };
        if len < self.offset {
            *self =
                Self { said: Said { host: std::mem::take(&mut self.said.host), ..Said::default() }, ..Self::default() };
        }
        if len == self.offset {
            return;
        }
        let from = self.offset.max(len.saturating_sub(CHUNK));
        if from > self.offset {
            self.partial.clear();
        }
        let mut new = Vec::new();
        if file.seek(SeekFrom::Start(from)).is_ok() && file.take(CHUNK).read_to_end(&mut new).is_ok() {
            self.offset = from + new.len() as u64;
            self.partial.extend_from_slice(&new);
            self.lines();
        }
    }

    fn lines(&mut self) {
        while let Some(end) = self.partial.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            self.hear(&line);
        }
        // A prompt or a bar without an end of line is worth seeing too.
        let open = self.partial.clone();
        if open.contains(&b'\r') {
            self.hear(&open);
        }
        let too_much = self.partial.len().saturating_sub(CHUNK as usize);
        self.partial.drain(..too_much);
    }

    fn hear(&mut self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end_matches(['\n', '\r']);
        let text = text.rsplit('\r').find(|t| !t.trim().is_empty()).unwrap_or("").trim_end();
        if text.trim().is_empty() {
            return;
        }
        if begins_attempt(text) {
            let host = std::mem::take(&mut self.said.host);
            self.said = Said { host, ..Said::default() };
            return;
        }
        match text.trim_start().strip_prefix(MARK) {
            Some(rest) => self.said.progress = progress(rest).or(self.said.progress.take()),
            None => self.said.line = text.to_owned(),
        }
    }
}

/// `--- db-scripts/db1/undo/1`: what follows belongs to another attempt.
fn begins_attempt(text: &str) -> bool {
    let rest = text.strip_prefix("--- ");
    rest.is_some_and(|id| !id.contains(' ') && id.split('/').count() == 4)
}

fn progress(text: &str) -> Option<Progress> {
    let (done, rest) = text.split_once('/')?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (done, of): (f64, f64) = (done.trim().parse().ok()?, rest[..digits].parse().ok()?);
    (of > 0.0 && done.is_finite())
        .then(|| Progress { share: (done / of).clamp(0.0, 1.0), text: text.trim().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn log(dir: &Path) -> File {
        std::fs::create_dir_all(dir.join("logs/db")).unwrap();
        File::create(dir.join("logs/db/db1.log")).unwrap()
    }

    #[test]
    fn the_last_line_and_the_last_progress_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = log(dir.path());
        let mut tails = Tails::new(dir.path());
        tails.poll("db", "db1");
        assert_eq!(tails.said("db", "db1"), None);
        file.write_all(b"start\nrunbook:progress 16/212 alter table orders\nworking\nhal").unwrap();
        tails.poll("db", "db1");
        let said = tails.said("db", "db1").unwrap();
        assert_eq!(said.line, "working", "an unfinished line is not shown");
        let progress = said.progress.unwrap();
        assert_eq!(progress.text, "16/212 alter table orders");
        assert!((progress.share - 16.0 / 212.0).abs() < 1e-9);
        file.write_all(b"f a line\n10%\r20%\r30%\r").unwrap();
        tails.poll("db", "db1");
        assert_eq!(tails.said("db", "db1").unwrap().line, "30%");
    }

    #[test]
    fn of_a_flood_only_the_end_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = log(dir.path());
        let line = [b'x'; 99];
        for _ in 0..5000 {
            file.write_all(&line).unwrap();
            file.write_all(b"\n").unwrap();
        }
        file.write_all(b"the end\n").unwrap();
        let mut tails = Tails::new(dir.path());
        tails.poll("db", "db1");
        assert_eq!(tails.said("db", "db1").unwrap().line, "the end");
        assert!(tails.tails[&("db".into(), "db1".into())].partial.is_empty());
    }

    #[test]
    fn a_file_that_was_cut_is_read_from_its_start() {
        let dir = tempfile::tempdir().unwrap();
        log(dir.path()).write_all(b"a long first line\n").unwrap();
        let mut tails = Tails::new(dir.path());
        tails.poll("db", "db1");
        log(dir.path()).write_all(b"new\n").unwrap();
        tails.poll("db", "db1");
        assert_eq!(tails.said("db", "db1").unwrap().line, "new");
    }

    #[test]
    fn a_new_attempt_forgets_what_the_last_one_said() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = log(dir.path());
        file.write_all(b"--- db/db1/do/1\nrunbook:progress 9/10 x\nlast words\n--- db/db1/undo/1\n").unwrap();
        let mut tails = Tails::new(dir.path());
        tails.poll("db", "db1");
        assert_eq!(tails.said("db", "db1"), None);
    }

    #[test]
    fn nonsense_is_no_progress() {
        assert_eq!(progress("16 of 212"), None);
        assert_eq!(progress("1/0"), None);
        assert_eq!(progress("5/3 over").unwrap().share, 1.0);
    }
}
