//! Runners of one host that have followed an attempt to a clean end and wait for another request: to start one anew costs
//! the host a session, two shells and the reading of the runner, which is more than most attempts cost. Knows nothing of
//! what is asked of them.

use std::fmt;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead as _, AsyncReadExt as _, ReadBuf};
use tokio::task::JoinSet;

use super::channel::Channel;

/// Longer than this nobody relies on a connection that says nothing: what is written into a dead one cannot be told from
/// what has arrived, whereas a new session answers before anything is asked of it.
const FRESH: Duration = Duration::from_secs(5);
/// More would hold sessions and processes of the host that steps seldom need again at the same time.
const MOST: usize = 2;
/// A runner that is let go ends at once, unless its host is gone.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Default)]
pub(super) struct Spares(Mutex<Vec<(Channel, Instant)>>);

impl Spares {
    pub(super) fn keep(&self, channel: Channel) {
        let mut spares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spares.len() < MOST {
            spares.push((channel, Instant::now()));
        } else {
            tokio::spawn(let_go(vec![channel]));
        }
    }

    /// One that is fresh and has said nothing since, neither that it ended.
    pub(super) fn take(&self) -> Option<Channel> {
        let mut spares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stale = |(channel, since): &mut (Channel, Instant)| since.elapsed() >= FRESH || !is_quiet(channel);
        let stale: Vec<Channel> = spares.extract_if(.., stale).map(|(channel, _)| channel).collect();
        if !stale.is_empty() {
            tokio::spawn(let_go(stale));
        }
        spares.pop().map(|(channel, _)| channel)
    }

    /// All of them, to be let go.
    pub(super) fn take_all(&self) -> Vec<Channel> {
        let mut spares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spares.drain(..).map(|(channel, _)| channel).collect()
    }
}

impl fmt::Debug for Spares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spares").finish_non_exhaustive()
    }
}

/// Says nothing more to these runners and waits for their end, so that their sessions are over for the host too.
pub(super) async fn let_go(runners: Vec<Channel>) {
    let mut ending = JoinSet::new();
    for Channel { stdin, mut stdout, stderr, end } in runners {
        drop(stdin);
        ending.spawn(tokio::time::timeout(PATIENCE, async move {
            let mut rest = [0; 64];
            while matches!(stdout.read(&mut rest).await, Ok(n) if n > 0) {}
            drop((stdout, stderr));
            end.ended_by_itself().await
        }));
    }
    while ending.join_next().await.is_some() {}
}

fn is_quiet(channel: &mut Channel) -> bool {
    let mut byte = [0; 1];
    let mut read = ReadBuf::new(&mut byte);
    Pin::new(&mut channel.stdout).poll_read(&mut Context::from_waker(Waker::noop()), &mut read).is_pending()
}

#[cfg(test)]
mod tests {
    use super::super::channel::End;
    use super::*;

    fn channel(stdout: tokio::io::DuplexStream) -> Channel {
        Channel {
            stdin: Box::new(tokio::io::sink()),
            stdout: Box::new(stdout),
            stderr: Box::new(tokio::io::empty()),
            end: End::Keeper,
        }
    }

    #[tokio::test]
    async fn one_that_ended_is_not_taken_again() {
        let spares = Spares::default();
        let (living, _other) = tokio::io::duplex(8);
        let (ended, other) = tokio::io::duplex(8);
        spares.keep(channel(living));
        spares.keep(channel(ended));
        drop(other);
        assert!(spares.take().is_some());
        assert!(spares.take().is_none());
    }

    #[tokio::test]
    async fn few_are_kept() {
        let spares = Spares::default();
        let others: Vec<_> = (0..MOST + 1)
            .map(|_| {
                let (stdout, other) = tokio::io::duplex(8);
                spares.keep(channel(stdout));
                other
            })
            .collect();
        assert_eq!(std::iter::from_fn(|| spares.take()).count(), MOST);
        drop(others);
    }
}
