//! `--show-output always`: the output of attempts as they end, from their log files. Knows nothing of outcomes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use crate::graph::ids::ActionId;
use crate::report::escape_bytes;

/// Bytes shown per attempt at most; the file has all of them.
const MOST: u64 = 64 * 1024;

/// How far each log file was shown.
#[derive(Debug)]
pub struct Echo {
    logs: PathBuf,
    shown: BTreeMap<PathBuf, u64>,
}

impl Echo {
    #[must_use]
    pub fn new(run_dir: &Path) -> Self {
        Self { logs: run_dir.join("logs"), shown: BTreeMap::new() }
    }

    /// What the action has printed since this was last asked, a line each. Nothing on another machine's run.
    pub fn since(&mut self, action: &ActionId) -> Vec<String> {
        let Some(host) = action.host() else { return Vec::new() };
        let path = self.logs.join(action.step()).join(format!("{host}.log"));
        let shown = self.shown.entry(path.clone()).or_default();
        let Ok((bytes, skipped)) = read(&path, *shown) else { return Vec::new() };
        *shown += bytes.len() as u64 + skipped;
        let more = (skipped > 0).then(|| format!("{action} | ... {skipped} bytes are only in {}", path.display()));
        let lines = bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty());
        more.into_iter().chain(lines.map(|line| format!("{action} | {}", escape_bytes(line)))).collect()
    }
}

/// The end of the file from `offset` on, and how many bytes before it were left out.
fn read(path: &Path, offset: u64) -> std::io::Result<(Vec<u8>, u64)> {
    let mut file = File::open(path)?;
    let new = file.metadata()?.len().saturating_sub(offset);
    let skipped = new.saturating_sub(MOST);
    file.seek(SeekFrom::Start(offset + skipped))?;
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes)?;
    Ok((bytes, skipped))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn output_is_shown_once_and_harmless() {
        let tmp = tempfile::tempdir().unwrap();
        fs::create_dir_all(tmp.path().join("logs/deploy")).unwrap();
        let log = tmp.path().join("logs/deploy/be1.log");
        let action = ActionId::new("deploy", Some("be1"));
        let mut echo = Echo::new(tmp.path());
        assert!(echo.since(&action).is_empty());
        fs::write(&log, b"one\n\x1b]0;title\x07two\n").unwrap();
        let first = echo.since(&action);
        assert_eq!(first[0], "deploy@be1 | one");
        assert!(!first[1].contains('\x1b'), "{first:?}");
        assert!(echo.since(&action).is_empty());
        fs::write(&log, [b"one\n\x1b]0;title\x07two\n".as_slice(), &vec![b'x'; 70_000]].concat()).unwrap();
        let flood = echo.since(&action);
        assert!(flood[0].contains("bytes are only in"), "{}", flood[0]);
        assert_eq!(flood[1].len(), "deploy@be1 | ".len() + MOST as usize);
    }
}
