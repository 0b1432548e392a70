//! What is kept of one stream of output: its beginning, and a ring of segments of its end. Reads on whatever the disk
//! does. The same files as the runner's pump writes.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const LONGEST_SEGMENT: u64 = 1 << 20;

#[derive(Debug)]
pub(super) struct Store {
    /// `DIR/out`; segments are `DIR/out.1` and so on.
    path: PathBuf,
    first: File,
    segment: Option<File>,
    head_cap: u64,
    tail_cap: u64,
    pub total: u64,
    pub head: u64,
    /// Size and lines of each segment that is kept; the last one is being written.
    ring: VecDeque<(u64, u64)>,
    kept: u64,
    segments: u64,
    dropped: u64,
    dropped_lines: u64,
    /// Nothing is kept any more.
    failed: bool,
}

impl Store {
    pub(super) fn create(dir: &Path, name: &str, head_cap: u64, tail_cap: u64) -> io::Result<Self> {
        let path = dir.join(name);
        Ok(Self {
            first: create(&path)?,
            path,
            segment: None,
            head_cap,
            tail_cap,
            total: 0,
            head: 0,
            ring: VecDeque::new(),
            kept: 0,
            segments: 0,
            dropped: 0,
            dropped_lines: 0,
            failed: false,
        })
    }

    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        if !self.failed && self.keep(bytes).is_err() {
            self.failed = true;
        }
    }

    fn keep(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let room = usize::try_from(self.head_cap - self.head).unwrap_or(usize::MAX).min(bytes.len());
        if room > 0 {
            self.first.write_all(&bytes[..room])?;
            self.head += room as u64;
            bytes = &bytes[room..];
        }
        while !bytes.is_empty() {
            let longest = LONGEST_SEGMENT.min(self.tail_cap.max(1));
            let size = match self.ring.back() {
                Some((size, _)) if *size < longest && self.segment.is_some() => *size,
                _ => {
                    self.next_segment()?;
                    0
                }
            };
            let room = usize::try_from(longest - size).unwrap_or(usize::MAX).min(bytes.len());
            let (now, rest) = bytes.split_at(room);
            let segment = self.segment.as_mut().ok_or(io::ErrorKind::NotFound)?;
            segment.write_all(now)?;
            self.kept += room as u64;
            if let Some((size, lines)) = self.ring.back_mut() {
                *size += room as u64;
                *lines += now.iter().filter(|b| **b == b'\n').count() as u64;
            }
            bytes = rest;
        }
        Ok(())
    }

    /// Begins a segment; drops the oldest ones as long as the others are enough.
    fn next_segment(&mut self) -> io::Result<()> {
        while self.ring.len() > 1 && self.ring.front().is_some_and(|(size, _)| self.kept - size >= self.tail_cap) {
            let Some((size, lines)) = self.ring.pop_front() else { break };
            std::fs::remove_file(self.segment_path(self.low() - 1))?;
            self.kept -= size;
            self.dropped += size;
            self.dropped_lines += lines;
        }
        self.segments += 1;
        self.ring.push_back((0, 0));
        self.segment = Some(create(&self.segment_path(self.segments))?);
        Ok(())
    }

    /// Number of the oldest segment that is kept.
    fn low(&self) -> u64 {
        self.segments + 1 - self.ring.len() as u64
    }

    fn segment_path(&self, number: u64) -> PathBuf {
        self.path.with_extension(number.to_string())
    }

    /// Bytes of the beginning, from `at` on; fewer than asked for only at its end.
    pub(super) fn beginning(&self, at: u64, longest: usize) -> Vec<u8> {
        let length = usize::try_from(self.head.saturating_sub(at)).unwrap_or(usize::MAX).min(longest);
        let mut bytes = vec![0; length];
        match self.first.read_exact_at(&mut bytes, at) {
            Ok(()) => bytes,
            Err(_) => Vec::new(),
        }
    }

    /// Records and gives the sizes, as the runner words them.
    pub(super) fn finish(&mut self) -> String {
        let (low, segments) = if self.segments == 0 { (1, 0) } else { (self.low(), self.segments) };
        let gone = if self.failed { "-1".to_owned() } else { self.dropped.to_string() };
        let sizes = format!("{} {} {low} {segments} {gone} {}", self.total, self.head, self.dropped_lines);
        // What cannot be recorded is told as unknown by whoever asks later.
        let _ =
            create(&self.path.with_extension("end")).and_then(|mut f| f.write_all(format!("{sizes} end\n").as_bytes()));
        sizes
    }
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_and_the_end_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::create(dir.path(), "out", 10, 20).unwrap();
        let text: String = (100..200).map(|n| format!("{n}\n")).collect();
        for piece in text.as_bytes().chunks(7) {
            store.take(piece);
        }
        let sizes: Vec<u64> = store.finish().split(' ').map(|n| n.parse().unwrap()).collect();
        let [total, head, low, segments, dropped, lines] = sizes[..] else { panic!("{sizes:?}") };
        let mut kept = std::fs::read(dir.path().join("out")).unwrap();
        assert_eq!((total, head, kept.len()), (400, 10, 10));
        for n in low..=segments {
            kept.extend(std::fs::read(dir.path().join(format!("out.{n}"))).unwrap());
        }
        assert!(!dir.path().join(format!("out.{}", low - 1)).exists());
        let (head, tail) = kept.split_at(10);
        assert!(text.as_bytes().starts_with(head) && text.as_bytes().ends_with(tail) && tail.len() >= 20);
        assert_eq!(dropped, 400 - kept.len() as u64);
        let left_out = &text.as_bytes()[10..400 - tail.len()];
        assert_eq!(lines, left_out.iter().filter(|b| **b == b'\n').count() as u64);
    }

    #[test]
    fn a_short_output_is_the_beginning() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::create(dir.path(), "err", 1000, 1000).unwrap();
        assert_eq!(store.finish(), "0 0 1 0 0 0");
        assert_eq!(std::fs::read_to_string(dir.path().join("err.end")).unwrap(), "0 0 1 0 0 0 end\n");
    }
}
