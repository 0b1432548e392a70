//! The record of one attempt on disk, as the runner keeps it: files that can be created only once decide. Knows nothing
//! of processes but their names in `/proc`.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::time::{ClockId, clock_gettime};

use super::call::Call;

/// What names a process of this machine beyond doubt.
#[derive(Debug)]
pub(super) struct Here {
    pub boot: String,
    /// This process: pid and start.
    pub keeper: String,
}

impl Here {
    pub(super) fn now() -> io::Result<Self> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned();
        let pid = std::process::id();
        let (start, _) = born(pid).ok_or_else(|| io::Error::other("/proc does not name this process"))?;
        Ok(Self { boot, keeper: format!("{pid} {start}") })
    }
}

/// Start (ticks since boot) and state of a process.
pub(super) fn born(pid: u32) -> Option<(u64, char)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?.chars().next()?;
    Some((fields.nth(18)?.parse().ok()?, state))
}

/// Whether `PID START` names a process that lives.
pub(super) fn is_alive(words: &str) -> bool {
    let mut words = words.split(' ');
    let (Some(pid), Some(start)) = (words.next().and_then(|w| w.parse().ok()), words.next()) else { return false };
    born(pid).is_some_and(|(born, state)| born.to_string() == start && !matches!(state, 'Z' | 'X'))
}

/// Seconds since boot, to hundredths, as `/proc/uptime` has them.
pub(super) fn uptime() -> String {
    let now = clock_gettime(ClockId::Boottime);
    format!("{}.{:02}", now.tv_sec, now.tv_nsec / 10_000_000)
}

#[derive(Debug)]
pub(super) struct Record {
    pub dir: PathBuf,
    run_dir: PathBuf,
    epoch: u64,
}

impl Record {
    /// Finds the place of the record and makes the directories above it.
    ///
    /// # Errors
    /// Why there can be no record, in the runner's words.
    pub(super) fn open(call: &Call) -> Result<Self, String> {
        let name = |text: &str| {
            let plain = !text.is_empty() && !text.starts_with('.') && !text.contains(['/', '\0']);
            plain.then_some(()).ok_or_else(|| format!("{text:?} cannot be the name of a record"))
        };
        name(&call.run)?;
        name(&call.record())?;
        let home = Path::new(&call.home);
        let runs = home.join("runs");
        let run_dir = runs.join(&call.run);
        let record = Self { dir: run_dir.join(call.record()), run_dir, epoch: call.epoch };
        if !record.epochs().is_dir() {
            make(home, true).map_err(|e| format!("cannot create {}: {e}", home.display()))?;
            make(&runs, false).map_err(|e| format!("cannot create {}: {e}", runs.display()))?;
            let epochs = record.epochs();
            make(&epochs, true).map_err(|e| format!("cannot create {}: {e}", epochs.display()))?;
        }
        for dir in [home, &runs] {
            ours(dir).map_err(|()| format!("{} belongs to somebody else", dir.display()))?;
        }
        Ok(record)
    }

    fn epochs(&self) -> PathBuf {
        self.run_dir.join(".epochs")
    }

    /// False when a later owner of the run has been here.
    pub(super) fn fence(&self) -> bool {
        let epochs = self.epochs();
        let mine = epochs.join(self.epoch.to_string());
        if !mine.exists() && File::create(&mine).is_err() {
            return false;
        }
        let Ok(entries) = fs::read_dir(&epochs) else { return false };
        entries.flatten().all(|entry| {
            entry.file_name().to_str().and_then(|name| name.parse::<u64>().ok()).is_none_or(|epoch| epoch <= self.epoch)
        })
    }

    /// Claims the attempt: true for exactly one caller, ever.
    pub(super) fn claim(&self) -> io::Result<bool> {
        match DirBuilder::new().mode(0o700).create(&self.dir) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && self.dir.is_dir() => Ok(false),
            made => made.map(|()| true),
        }
    }

    /// Creates a file with one line, or gives `None` when it exists: whoever creates it has decided.
    pub(super) fn first(&self, name: &str, line: &str) -> io::Result<Option<File>> {
        let path = self.dir.join(name);
        let mut file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
            file => file?,
        };
        match file.write_all(format!("{line} end\n").as_bytes()) {
            Ok(()) => Ok(Some(file)),
            Err(e) => {
                // Half a line would decide nothing and forbid everything.
                let _ = fs::remove_file(&path);
                Err(e)
            }
        }
    }

    /// Writes a file of the record anew.
    pub(super) fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.dir.join(name))?;
        file.write_all(bytes)
    }

    /// The line of a file without its end mark; `None` when it is absent or torn.
    pub(super) fn whole(&self, name: &str) -> Option<String> {
        let text = fs::read_to_string(self.dir.join(name)).ok()?;
        text.lines().next()?.strip_suffix(" end").map(str::to_owned)
    }

    /// Takes back that this keeper watches: what cannot be recorded must not look as if it still ran.
    pub(super) fn abandon(&self) {
        let _ = fs::remove_file(self.dir.join("sup"));
    }
}

/// Creates a private directory unless it is there.
fn make(dir: &Path, parents: bool) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).recursive(parents).create(dir) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// A directory of ours, and no symbolic link to one of somebody else.
fn ours(dir: &Path) -> Result<(), ()> {
    let meta = fs::metadata(dir).map_err(|_| ())?;
    if meta.is_dir() && meta.uid() == rustix::process::geteuid().as_raw() { Ok(()) } else { Err(()) }
}
