//! What a host remembers of a run, read from the lines of the runner. Knows nothing of what became of the attempts that
//! have no end; that is asked attempt by attempt.

use jiff::{SignedDuration, Timestamp};

use super::wire::hundredths;
use crate::graph::ids::{ActionId, AttemptId, Direction};

/// What one host remembers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Memory {
    /// Names of runs, where no run was named.
    pub runs: Vec<String>,
    /// The highest epoch that it has seen.
    pub epoch: u64,
    pub attempts: Vec<Attempted>,
}

/// One attempt there, by the controller's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempted {
    pub attempt: AttemptId,
    pub started: Option<Timestamp>,
    pub ended: Option<Timestamp>,
}

impl Memory {
    /// `at`: when the answer came. A line that no runner writes is left out.
    pub(super) fn read(lines: &[String], at: Timestamp) -> Self {
        let mut memory = Self::default();
        let mut now = None;
        for line in lines {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            // Since boot there, as an instant here.
            let instant = |up: Option<&str>| {
                let ago = now.zip(up.and_then(hundredths)).map(|(now, then): (i64, i64)| now - then)?;
                at.checked_sub(SignedDuration::from_millis(ago.max(0) * 10)).ok()
            };
            match word {
                "now" => now = hundredths(rest),
                "run" => memory.runs.push(rest.to_owned()),
                "epoch" => memory.epoch = memory.epoch.max(rest.parse().unwrap_or(0)),
                "attempt" => memory.attempts.extend(attempt(rest)),
                "pid" => {
                    let started = instant(rest.split(' ').nth(3));
                    if let Some(last) = memory.attempts.last_mut() {
                        last.started = started;
                    }
                }
                "rc" => {
                    let field = if rest.starts_with("survivors") { 1 } else { 2 };
                    let ended = instant(rest.split(' ').nth(field));
                    if let Some(last) = memory.attempts.last_mut() {
                        last.ended = ended;
                    }
                }
                _ => {}
            }
        }
        memory
    }
}

/// `deploy@be1.do.1`, the name of a record.
fn attempt(name: &str) -> Option<Attempted> {
    let (rest, number) = name.rsplit_once('.')?;
    let (action, direction) = rest.rsplit_once('.')?;
    let direction = Direction::ALL.into_iter().find(|d| d.as_str() == direction)?;
    let (step, host) = action.split_once('@').map_or((action, None), |(step, host)| (step, Some(host)));
    let attempt = AttemptId { action: ActionId::new(step, host), direction, number: number.parse().ok()? };
    Some(Attempted { attempt, started: None, ended: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_since_boot_become_times_here() {
        let at: Timestamp = "2007-12-02T01:40:00Z".parse().unwrap();
        let lines = ["now 500.00", "epoch 2", "epoch 1", "attempt a.b@h1.undo-check.12", "pid 7 100 boot 440.00"];
        let lines: Vec<String> = lines.iter().chain(&["rc exit 0 470.50"]).map(|l| (*l).to_owned()).collect();
        let memory = Memory::read(&lines, at);
        assert_eq!((memory.epoch, memory.attempts.len()), (2, 1));
        let one = &memory.attempts[0];
        assert_eq!(one.attempt.to_string(), "a.b/h1/undo-check/12");
        assert_eq!(one.started.unwrap().to_string(), "2007-12-02T01:39:00Z");
        assert_eq!(one.ended.unwrap().to_string(), "2007-12-02T01:39:30.5Z");
    }

    #[test]
    fn lies_are_left_out() {
        let lines = ["attempt ../x", "attempt a.do.x", "pid", "rc", "now never", "epoch -1", ""].map(str::to_owned);
        assert_eq!(Memory::read(&lines, Timestamp::UNIX_EPOCH), Memory::default());
    }
}
