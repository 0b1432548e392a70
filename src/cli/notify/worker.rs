//! The patience of one channel: tries, waits, tries again, gives up, and says once that it fails. Knows not what it sends by.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};

use super::log;
use crate::driver::Asked;
use crate::engine::fact::Actor;
use crate::engine::input::{Ask, Operator};
use crate::report::notice::Notice;

/// How long one try may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The pauses between the tries for one message; after the last try it is given up.
const BACK_OFF: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_secs(30),
];
/// When so many tries for one message have failed, the timeline says so.
const TELLING: usize = 3;

/// Something that messages are sent by.
pub trait Way: Send + Sync + 'static {
    /// How people call it; the same in every engine of a run.
    fn name(&self) -> &str;

    /// Tries once.
    fn send(&self, notice: Arc<Notice>) -> impl Future<Output = Result<(), String>> + Send;
}

/// Delivers by one way what comes into its inbox, one after the other.
#[derive(Debug)]
pub struct Worker<W> {
    way: W,
    /// Bounded; a worker that is too slow misses the oldest.
    inbox: broadcast::Receiver<Arc<Notice>>,
    /// True when the engine is done: what is left is in a hurry.
    closing: watch::Receiver<bool>,
    ask: mpsc::Sender<Asked>,
    /// The timeline says already that this way fails.
    told: bool,
}

impl<W: Way> Worker<W> {
    /// `notes` are those of the run so far: an engine before this one may have told.
    pub fn new(
        way: W,
        notes: &[(Timestamp, Actor, String)],
        inbox: broadcast::Receiver<Arc<Notice>>,
        closing: watch::Receiver<bool>,
        ask: mpsc::Sender<Asked>,
    ) -> Self {
        let complaint = complaint(&way);
        let told = notes.iter().any(|(_, by, text)| *by == Actor::engine() && text.starts_with(&complaint));
        Self { way, inbox, closing, ask, told }
    }

    /// Until nothing can come any more.
    pub async fn work(mut self) {
        loop {
            match self.inbox.recv().await {
                Ok(notice) => self.deliver(&notice).await,
                Err(RecvError::Lagged(missed)) => {
                    log(&format!("{}: {missed} older messages were given up for newer ones", self.way.name()));
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    async fn deliver(&mut self, notice: &Arc<Notice>) {
        for tried in 1.. {
            let Err(why) = self.attempt(notice).await else { return };
            if tried == TELLING {
                self.complain(&why).await;
            }
            let pause = BACK_OFF.get(tried - 1).filter(|_| !self.hurries_on());
            let Some(pause) = pause else {
                log(&format!("{}: {} was not delivered: {why}", self.way.name(), notice.id));
                return;
            };
            self.pause(*pause).await;
        }
    }

    async fn attempt(&self, notice: &Arc<Notice>) -> Result<(), String> {
        let sent = timeout(PATIENCE, self.way.send(notice.clone())).await;
        sent.unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs())))
    }

    /// At the end, what is newer goes before what has failed.
    fn hurries_on(&self) -> bool {
        *self.closing.borrow() && !self.inbox.is_empty()
    }

    /// The end of the engine ends a pause that began before it.
    async fn pause(&mut self, pause: Duration) {
        if *self.closing.borrow() {
            return sleep(pause).await;
        }
        let closing = self.closing.wait_for(|closing| *closing);
        // Whether time is over or the engine, or nobody is left to say so: it is time for the next try.
        let _ = timeout(pause, closing).await;
    }

    /// Says in the timeline that this way fails; once.
    async fn complain(&mut self, why: &str) {
        if std::mem::replace(&mut self.told, true) {
            return;
        }
        let text = format!("{}: {why}; it is tried on, and not said again", complaint(&self.way));
        let operator = Operator { by: Actor::engine(), ask: Ask::Note { text } };
        // An engine that is done hears nobody any more.
        let _ = self.ask.send(Asked { operator, reply: oneshot::channel().0 }).await;
    }
}

/// How a complaint about a way begins.
fn complaint(way: &impl Way) -> String {
    format!("messages do not arrive by {}", way.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use tokio::time::Instant;

    use crate::report::notice::Kind;

    /// When each message was tried.
    type Tries = Arc<Mutex<Vec<(u64, String)>>>;

    #[derive(Clone, Copy)]
    enum Answer {
        Taken,
        Refused,
        Hangs,
    }

    struct Scripted {
        began: Instant,
        tries: Tries,
        answer: fn(&Notice) -> Answer,
    }

    impl Way for Scripted {
        fn name(&self) -> &str {
            "webhook 1 (chat)"
        }

        async fn send(&self, notice: Arc<Notice>) -> Result<(), String> {
            self.tries.lock().unwrap().push((self.began.elapsed().as_secs(), notice.id.clone()));
            match (self.answer)(&notice) {
                Answer::Taken => Ok(()),
                Answer::Refused => Err("no".into()),
                Answer::Hangs => std::future::pending().await,
            }
        }
    }

    fn notice(n: usize) -> Arc<Notice> {
        Arc::new(Notice {
            id: n.to_string(),
            kind: Kind::RunStarted,
            at: String::new(),
            run: String::new(),
            plan: String::new(),
            title: String::new(),
            step: None,
            headline: String::new(),
            standing: String::new(),
        })
    }

    /// A worker, and everything around it.
    struct Bench {
        worker: Worker<Scripted>,
        tries: Tries,
        tell: broadcast::Sender<Arc<Notice>>,
        closing: watch::Sender<bool>,
        asked: mpsc::Receiver<Asked>,
    }

    fn bench(notes: &[(Timestamp, Actor, String)], answer: fn(&Notice) -> Answer) -> Bench {
        let (tell, inbox) = broadcast::channel(32);
        let (closing, closes) = watch::channel(false);
        let (ask, asked) = mpsc::channel(16);
        let tries = Tries::default();
        let way = Scripted { began: Instant::now(), tries: tries.clone(), answer };
        Bench { worker: Worker::new(way, notes, inbox, closes, ask), tries, tell, closing, asked }
    }

    fn notes_of(mut asked: mpsc::Receiver<Asked>) -> Vec<String> {
        let mut notes = Vec::new();
        while let Ok(Asked { operator: Operator { ask: Ask::Note { text }, .. }, .. }) = asked.try_recv() {
            notes.push(text);
        }
        notes
    }

    fn ids(tries: &Tries) -> Vec<String> {
        tries.lock().unwrap().iter().map(|(_, id)| id.clone()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_way_that_hangs_is_tried_with_growing_pauses_and_said_once() {
        let Bench { worker, tries, tell, closing: _closing, asked } = bench(&[], |_| Answer::Hangs);
        tell.send(notice(1)).unwrap();
        tell.send(notice(2)).unwrap();
        drop(tell);
        let began = Instant::now();
        worker.work().await;
        let at: Vec<u64> = tries.lock().unwrap().iter().filter(|(_, id)| id == "1").map(|(at, _)| *at).collect();
        assert_eq!(at, [0, 11, 23, 38, 63, 103], "ten seconds each, and the pauses");
        assert_eq!((ids(&tries).len(), began.elapsed().as_secs()), (12, 226));
        let notes = notes_of(asked);
        let said =
            "messages do not arrive by webhook 1 (chat): no answer within 10 s; it is tried on, and not said again";
        assert_eq!(notes, [said]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_before_this_one_has_complained_already() {
        let text = "messages do not arrive by webhook 1 (chat): no".to_owned();
        let notes = [(Timestamp::UNIX_EPOCH, Actor::engine(), text)];
        let Bench { worker, tries, tell, closing: _closing, asked } = bench(&notes, |_| Answer::Refused);
        tell.send(notice(1)).unwrap();
        drop(tell);
        worker.work().await;
        assert_eq!((ids(&tries).len(), notes_of(asked)), (6, Vec::new()));
    }

    #[tokio::test(start_paused = true)]
    async fn the_newest_messages_stay_where_too_many_wait() {
        let slow = |notice: &Notice| if notice.id == "0" { Answer::Hangs } else { Answer::Taken };
        let Bench { worker, tries, tell, closing: _closing, .. } = bench(&[], slow);
        tell.send(notice(0)).unwrap();
        let working = tokio::spawn(worker.work());
        while tries.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        (1..=40).for_each(|n| assert!(tell.send(notice(n)).is_ok(), "nobody is made to wait"));
        drop(tell);
        working.await.unwrap();
        let delivered: Vec<String> = ids(&tries).into_iter().filter(|id| id != "0").collect();
        let newest: Vec<String> = (9..=40).map(|n| n.to_string()).collect();
        assert_eq!(delivered, newest);
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_end_no_old_pause_is_waited_for_and_the_newest_message_is_tried_most() {
        let Bench { worker, tries, tell, closing, .. } = bench(&[], |_| Answer::Refused);
        tell.send(notice(1)).unwrap();
        let working = tokio::spawn(worker.work());
        // In the pause of 15 seconds that begins after 8.
        tokio::time::sleep(Duration::from_secs(9)).await;
        tell.send(notice(2)).unwrap();
        drop(tell);
        closing.send_replace(true);
        working.await.unwrap();
        let tries = tries.lock().unwrap();
        let of = |id: &str| tries.iter().filter(|(_, i)| i == id).map(|(at, _)| *at).collect::<Vec<_>>();
        assert_eq!((of("1"), of("2")), (vec![0, 1, 3, 8, 9], vec![9, 10, 12, 17, 32, 62]));
    }
}
