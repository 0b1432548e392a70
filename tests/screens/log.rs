//! Plain lines and last blocks.

use std::io::Write;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use runbook::report::{Lines, Reporter};

use super::night::{Night, at};

#[derive(Clone, Default)]
pub struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    /// What was written.
    pub fn raw(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// The same without colours.
    pub fn text(&self) -> String {
        anstream::adapter::strip_str(&self.raw()).to_string()
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What a log file holds in the end: facts turn by turn as they come, a tick every second in between.
fn told(night: &Night, until: Timestamp) -> String {
    let buffer = Buffer::default();
    let mut lines = Lines::new(Box::new(buffer.clone()), false);
    let mut view = runbook::view::RunView::new(super::night::graph());
    let mut now = night.facts[0].at;
    for turn in night.facts.chunk_by(|a, b| a.at == b.at) {
        while now < turn[0].at {
            lines.tick(&view, now);
            now += jiff::SignedDuration::from_secs(1);
        }
        turn.iter().for_each(|f| view.apply(f));
        lines.facts(&view, turn, now);
    }
    lines.finish(&view, until);
    buffer.text()
}

#[test]
fn the_good_night() {
    let log = told(&Night::whole(), at("05:01:02"));
    let busy: String = log.lines().filter(|l| !l.contains(" .... ")).map(|l| format!("{l}\n")).collect();
    insta::assert_snapshot!("m14-good-night", busy);
    let beat = log.lines().find(|l| l.contains("backup-db 1m")).unwrap();
    assert_eq!(
        beat,
        "01:40:40 ....   3/11 done  2 running (backup-db 1m, deploy-backend 1m)  room 4h34m  finish 05:31  in time about 77%"
    );
}

#[test]
fn the_failure_and_the_rollback() {
    let log = told(&Night::rolled_back(), at("02:33:05"));
    let from = log.find("01:50:31 RUN").unwrap();
    insta::assert_snapshot!("m10-rolled-back", &log[from..]);
}

#[test]
fn the_rollback_that_gets_stuck() {
    let log = told(&Night::stuck(), at("02:29:00"));
    let from = log.find("02:28:40 FAIL").unwrap();
    insta::assert_snapshot!("m10-stuck", &log[from..]);
}

#[test]
fn a_heartbeat_comes_only_after_a_minute_of_silence() {
    let log = told(&Night::whole(), at("05:01:02"));
    let beats = |from: &str, to: &str| log.lines().filter(|l| l.contains(" .... ") && *l > from && *l < to).count();
    assert_eq!(beats("01:39:40", "01:44:38"), 4, "machines run: every minute");
    assert_eq!(beats("02:20:11", "05:00:20"), 32, "only a person is asked: every five minutes");
    assert_eq!(beats("01:44:38", "01:49:40"), 5, "counted from the last line");
}
