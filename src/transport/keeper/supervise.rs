//! One attempt from its claim to its end: starts it, drains it, enforces its limit, records how it ended.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, WaitOptions, WaitStatus, pidfd_open, waitpid};

use super::call::Call;
use super::gate::{self, Waiting};
use super::record::{Here, Record, born, is_alive, uptime};
use super::store::Store;
use super::voice::Voice;
use crate::transport::quote::quote;
use crate::transport::request::local_arguments;

/// How often to look for what no descriptor tells.
const TICK: Duration = Duration::from_millis(20);
/// Outputs beyond this are not read.
const LONGEST_OUTPUTS: u64 = 64 * 1024;

/// Starts the attempt unless somebody has, and watches over it until nothing of it writes any more.
pub(super) fn attempt(call: Call, connection: UnixStream, here: &Here) {
    let mut voice = Voice::new(connection, &call.nonce);
    let record = match Record::open(&call) {
        Ok(record) => record,
        Err(why) => return voice.end(&format!("refused {why}")),
    };
    if !record.fence() {
        return voice.end("refused the run has a later owner");
    }
    match record.claim() {
        Ok(true) => {}
        // Another one has started it or made it impossible: the record tells.
        Ok(false) => return voice.end("known"),
        Err(e) => return voice.end(&format!("refused cannot create {}: {e}", record.dir.display())),
    }
    match start(&call, &record, here) {
        Ok(Some(started)) => {
            voice.say("launched");
            Attempt::new(call, record, voice, started).follow();
        }
        Ok(None) => voice.end("known"),
        Err(why) => {
            // Nothing was let through the gate. Where even this cannot be written, an asker finds no living keeper.
            let never = record.first("pid", "void").is_ok() && record.first("rc", "never").is_ok();
            if !never {
                record.abandon();
            }
            voice.end(&format!("refused {why}"));
        }
    }
}

struct Started {
    pid: Pid,
    /// The line of the file `pid`.
    line: String,
    streams: [Option<File>; 2],
    stores: [Store; 2],
}

/// Executes the command when its start is on disk. `None` when somebody has made the start impossible meanwhile.
fn start(call: &Call, record: &Record, here: &Here) -> Result<Option<Started>, String> {
    let cannot = |e: io::Error| format!("cannot write to {}: {e}", record.dir.display());
    record.put("sup", format!("{} end\n", here.keeper).as_bytes()).map_err(cannot)?;
    let store = |name| Store::create(&record.dir, name, call.head_cap, call.tail_cap).map_err(cannot);
    let stores = [store("out")?, store("err")?];
    if !record.fence() {
        return Err("the run has a later owner".into());
    }
    record.put("cmd", call.script.as_bytes()).map_err(cannot)?;
    let waiting = gate::spawn(call, &record.dir).map_err(|e| format!("cannot start {}: {e}", call.shell.join(" ")))?;
    let pid = waiting.pid;
    match let_through(waiting, record, here) {
        Ok(Some((line, out, err))) => Ok(Some(Started { pid, line, streams: [Some(out), Some(err)], stores })),
        refused => {
            // Its gate is closed by now, and it ends without having read anything.
            let _ = waitpid(Some(pid), WaitOptions::empty());
            refused.map(|_| None).map_err(cannot)
        }
    }
}

fn let_through(waiting: Waiting, record: &Record, here: &Here) -> io::Result<Option<(String, File, File)>> {
    let pid = waiting.pid.as_raw_nonzero().get();
    let (start, _) = born(pid.unsigned_abs()).ok_or_else(|| io::Error::other("/proc does not name it"))?;
    let line = format!("{pid} {start} {} {}", here.boot, uptime());
    let Some(file) = record.first("pid", &line)? else { return Ok(None) };
    // Synced before the command executes: that makes a non-start provable.
    if let Err(e) = file.sync_all() {
        drop(waiting);
        let _ = std::fs::remove_file(record.dir.join("pid"));
        return Err(e);
    }
    let (out, err) = waiting.open()?;
    Ok(Some((line, out, err)))
}

struct Attempt {
    call: Call,
    record: Record,
    voice: Voice,
    pid: Pid,
    pid_line: String,
    /// Absent on kernels before 5.3: then we look again and again.
    pidfd: Option<OwnedFd>,
    streams: [Option<File>; 2],
    stores: [Store; 2],
    /// Sizes of the streams that have ended.
    sizes: [String; 2],
    deadline: Option<Instant>,
    /// The runner that ends it at its limit.
    ender: Option<Child>,
    status: Option<WaitStatus>,
    /// The line of the file `rc`.
    rc: Option<String>,
    buffer: Vec<u8>,
}

/// What a turn of waiting brought.
#[derive(Default)]
struct Ready {
    streams: [bool; 2],
    exited: bool,
    heard: bool,
    hung_up: bool,
}

impl Attempt {
    fn new(call: Call, record: Record, voice: Voice, started: Started) -> Self {
        let Started { pid, line, streams, stores } = started;
        Self {
            deadline: call.timeout.map(|limit| Instant::now() + Duration::from_millis(limit)),
            call,
            record,
            voice,
            pid,
            pid_line: line,
            pidfd: pidfd_open(pid, PidfdFlags::empty()).ok(),
            streams,
            stores,
            sizes: Default::default(),
            ender: None,
            status: None,
            rc: None,
            buffer: Vec::new(),
        }
    }

    fn follow(mut self) {
        loop {
            self.voice.speak(&self.stores);
            let drained = self.streams.iter().all(Option::is_none);
            if drained && self.rc.is_some() && self.voice.connection().is_none() && self.ender.is_none() {
                return;
            }
            let ready = self.wait();
            for lane in 0..2 {
                if ready.streams[lane] {
                    self.drain(lane);
                }
            }
            if ready.hung_up {
                self.voice.hang_up();
            } else if ready.heard {
                self.voice.listen();
            }
            if ready.exited && self.status.is_none() {
                self.reap();
            }
            self.enforce();
            self.record_end();
            let drained = self.streams.iter().all(Option::is_none);
            if self.rc.is_some() && (drained || self.voice.detached) {
                self.say_end();
            }
        }
    }

    /// Waits until something happens, at most to the limit or to the next look.
    fn wait(&self) -> Ready {
        let mut kinds = Vec::with_capacity(4);
        let mut fds = Vec::with_capacity(4);
        for (lane, stream) in self.streams.iter().enumerate() {
            if let Some(stream) = stream {
                kinds.push(lane);
                fds.push(PollFd::new(stream, PollFlags::IN));
            }
        }
        if let (Some(pidfd), None) = (&self.pidfd, self.status) {
            kinds.push(2);
            fds.push(PollFd::new(pidfd, PollFlags::IN));
        }
        if let Some(connection) = self.voice.connection() {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, !self.voice.detached);
            flags.set(PollFlags::OUT, self.voice.wants_to_write(&self.stores));
            kinds.push(3);
            fds.push(PollFd::new(connection, flags));
        }
        let limit = self.patience().map(|limit| Timespec {
            tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: limit.subsec_nanos().into(),
        });
        let mut ready = Ready { exited: self.pidfd.is_none(), ..Ready::default() };
        if poll(&mut fds, limit.as_ref()).is_err() {
            return ready;
        }
        for (kind, fd) in kinds.into_iter().zip(&fds) {
            let told = fd.revents();
            match kind {
                2 => ready.exited = !told.is_empty(),
                3 => {
                    ready.heard = told.contains(PollFlags::IN);
                    ready.hung_up = told.intersects(PollFlags::HUP | PollFlags::ERR);
                }
                lane => ready.streams[lane] = !told.is_empty(),
            }
        }
        ready
    }

    /// How long to wait at most.
    fn patience(&self) -> Option<Duration> {
        let looks = self.ender.is_some()
            || (self.status.is_some() && self.rc.is_none())
            || (self.status.is_none() && self.pidfd.is_none());
        let limit = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if looks { Some(limit.map_or(TICK, |limit| limit.min(TICK))) } else { limit }
    }

    fn drain(&mut self, lane: usize) {
        let Some(stream) = &mut self.streams[lane] else { return };
        self.buffer.resize(64 * 1024, 0);
        match stream.read(&mut self.buffer) {
            Ok(n) if n > 0 => self.stores[lane].take(&self.buffer[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            _ => {
                self.streams[lane] = None;
                self.sizes[lane] = self.stores[lane].finish();
            }
        }
    }

    fn reap(&mut self) {
        match waitpid(Some(self.pid), WaitOptions::NOHANG) {
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Ok(Some((_, status))) => {
                self.status = Some(status);
                self.deadline = None;
            }
            // Nobody else waits for our children; still, an end without a status must not wait for ever.
            Err(_) => {
                self.deadline = None;
                self.decide("interrupted");
            }
        }
    }

    /// At the limit, has the runner end it: that one knows how to find a whole tree, and records what came of it.
    fn enforce(&mut self) {
        if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            self.deadline = None;
            self.ender = end_by_runner(&self.call).ok();
            if self.ender.is_none() {
                // Tried again: a limit that is not enforced is no limit.
                self.deadline = Some(Instant::now() + Duration::from_secs(1));
            }
        }
        if let Some(ender) = &mut self.ender
            && !matches!(ender.try_wait(), Ok(None))
        {
            self.ender = None;
            // What survived it is recorded though the command has not ended.
            self.rc = self.rc.take().or_else(|| self.record.whole("rc"));
        }
    }

    /// Records how the command ended, unless somebody is ending it: then that one records it.
    fn record_end(&mut self) {
        let Some(status) = self.status.filter(|_| self.rc.is_none()) else { return };
        if !self.record.dir.join("ending").exists() {
            let how = match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => format!("exit {code} {}", uptime()),
                (None, Some(signal)) => format!("signal {signal} {}", uptime()),
                (None, None) => "interrupted".to_owned(),
            };
            self.decide(&how);
        } else if let Some(rc) = self.record.whole("rc") {
            self.rc = Some(rc);
        } else if self.ender.is_none() && !self.record.whole("ending").is_some_and(|line| ender_lives(&line)) {
            self.decide("interrupted");
        }
        if self.rc.is_some() && self.streams.iter().any(Option::is_some) {
            self.voice.say("over");
        }
    }

    fn decide(&mut self, how: &str) {
        match self.record.first("rc", how) {
            Ok(Some(_)) => self.rc = Some(how.to_owned()),
            Ok(None) => self.rc = Some(self.record.whole("rc").unwrap_or_default()),
            Err(_) => {
                self.record.abandon();
                self.rc = Some(String::new());
            }
        }
    }

    fn say_end(&mut self) {
        if self.voice.is_closing() {
            return;
        }
        let mut outputs = Vec::new();
        if let Ok(file) = File::open(self.record.dir.join("output")) {
            // Outputs that cannot be read are missing outputs.
            let _ = file.take(LONGEST_OUTPUTS).read_to_end(&mut outputs);
        }
        let [out, err] = &self.sizes;
        let rc = self.rc.as_deref().unwrap_or_default();
        let done = format!("done rc={rc};pid={};out={out};err={err};", self.pid_line);
        self.voice.close(&self.stores, &outputs, &done);
    }
}

/// Whether `WORD PID START` names a living process.
fn ender_lives(line: &str) -> bool {
    line.split_once(' ').is_some_and(|(_, process)| is_alive(process))
}

fn end_by_runner(call: &Call) -> io::Result<Child> {
    let nonce = &call.nonce;
    let request = format!(
        "{nonce}\nmode=time_out run={} action={} try={} home={} epoch={} grace={} cookie={}\nend {nonce}\n",
        quote(&call.run),
        quote(&call.action),
        quote(&call.attempt),
        quote(&call.home),
        call.epoch,
        call.grace,
        quote(&call.cookie),
    );
    let mut runner = Command::new("sh")
        .args(local_arguments("runbook-limit"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    if let Some(mut stdin) = runner.stdin.take() {
        stdin.write_all(request.as_bytes())?;
    }
    Ok(runner)
}
