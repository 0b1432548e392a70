//! Plain lines for log files, CI and cron: one per event, no carriage returns, no bars; a heartbeat when all is quiet.

use std::io::Write;

use jiff::{SignedDuration, Timestamp};

use super::Reporter;
use super::clock::{coarse, span};
use super::story::{Columns, Story};
use super::style::Tone;
use super::summary;
use super::words;
use crate::engine::fact::FactRecord;
use crate::schedule::probably;
use crate::view::{ActionState, Outlook, Phase, RunView, StepRow};

/// Silence longer than this looks hung; while only people are waited for, it is what they do.
const HEARTBEAT: SignedDuration = SignedDuration::from_secs(60);
const PEOPLE: SignedDuration = SignedDuration::from_mins(5);

/// Writes to a log. Errors in writing are not ours to handle: the run goes on without an onlooker.
#[expect(missing_debug_implementations, reason = "holds a writer")]
pub struct Lines {
    out: Box<dyn Write + Send>,
    story: Story,
    quiet: bool,
    last: Option<Timestamp>,
    outlook: Outlook,
}

impl Lines {
    /// `quiet` leaves out the heartbeat.
    #[must_use]
    pub fn new(out: Box<dyn Write + Send>, quiet: bool) -> Self {
        Self { out, story: Story::new(Columns::Log), quiet, last: None, outlook: Outlook::default() }
    }

    /// To stderr, coloured as the terminal and the environment want it.
    #[must_use]
    pub fn stderr(quiet: bool) -> Self {
        Self::new(Box::new(anstream::AutoStream::auto(std::io::stderr())), quiet)
    }

    fn put(&mut self, lines: &[String]) {
        for line in lines {
            let _ = writeln!(self.out, "{line}");
        }
        let _ = self.out.flush();
    }
}

impl Reporter for Lines {
    fn facts(&mut self, view: &RunView, _new: &[FactRecord], now: Timestamp) {
        let lines = self.story.lines(view);
        if !lines.is_empty() {
            self.last = Some(now);
            self.put(&lines);
        }
    }

    fn tick(&mut self, view: &RunView, now: Timestamp) {
        let last = *self.last.get_or_insert(now);
        let machines = view.proving() || view.active().iter().any(|r| r.state != ActionState::Asking);
        if self.quiet || now.duration_since(last) < if machines { HEARTBEAT } else { PEOPLE } {
            return;
        }
        let in_time = self.outlook.look(view, now).and_then(|odds| odds.done);
        if let Some(line) = heartbeat(view, in_time, now) {
            self.last = Some(now);
            self.put(&[line]);
        }
    }

    fn finish(&mut self, view: &RunView, now: Timestamp) {
        let mut lines = self.story.lines(view);
        lines.extend(summary::block(view, now));
        self.put(&lines);
    }

    fn say(&mut self, lines: &[String]) {
        self.put(lines);
    }
}

/// `01:40:40 ....   3/11 done  2 running (backup-db 1m, deploy-backend 1m)  room 4h34m  finish 05:31  in time about
/// 93%`.
fn heartbeat(view: &RunView, in_time: Option<f64>, now: Timestamp) -> Option<String> {
    let clock = words::clock_of(view);
    let text = match view.phase() {
        Phase::Ended => return None,
        Phase::Waiting => format!("the window opens at {}", clock.hm_near(view.opens()?, now)),
        Phase::RollingBack => rolling_back(view, now),
        Phase::Holding => format!("{}  waiting for an answer{}", done(view), room(view, now)),
        Phase::Running => {
            let finish = clock.hm_near(view.forecast(now).finish, now);
            let in_time = in_time.map_or(String::new(), |p| format!("  in time {}", probably(p)));
            format!("{}  {}{}  finish {finish}{in_time}", done(view), running(view, now), room(view, now))
        }
    };
    Some(format!("{} {} {text}", clock.hms(now), Tone::Waiting.paint("....  ")))
}

fn done(view: &RunView) -> String {
    format!("{}/{} done", view.steps_done(), view.steps_total())
}

fn room(view: &RunView, now: Timestamp) -> String {
    view.room(now).map_or(String::new(), |room| format!("  room {}", coarse(room)))
}

fn running(view: &RunView, now: Timestamp) -> String {
    let rows = view.active();
    let asked = rows.iter().filter(|r| r.state == ActionState::Asking).count();
    let word = match (rows.len(), asked) {
        (0, _) if view.proving() => return "testing the old version".into(),
        (0, _) => return "nothing running".into(),
        (n, a) if n == a => "asked",
        _ => "running",
    };
    let one = |r: &StepRow<'_>| match r.total {
        0..=4 => format!("{} {}", words::step_name(&r.step.id), coarse(r.elapsed(now))),
        total => {
            let failed = r.count(ActionState::Failed);
            let failed = if failed > 0 { format!(", {failed} failed") } else { String::new() };
            format!("{} {} of {total}{failed}", r.step.id, r.done())
        }
    };
    let names: Vec<String> = rows.iter().take(4).map(one).collect();
    let more = if rows.len() > 4 { format!(" + {} more", rows.len() - 4) } else { String::new() };
    format!("{} {word} ({}{more})", rows.len(), names.join(", "))
}

fn rolling_back(view: &RunView, now: Timestamp) -> String {
    let clock = words::clock_of(view);
    let progress = view.rollback_progress().map_or(String::new(), |p| format!("{}/{} undone", p.undone, p.to_undo));
    let began = view.rollback().map_or(now, |(at, _)| *at);
    let up = clock.hm_near(view.up_again(now), now);
    let (running, since) = (running(view, now), span(now.duration_since(began)));
    match view.rollback_is_paused() {
        true => format!("{progress}  {running}  paused, waiting for an answer  if continued now: up at {up}"),
        false => format!("{progress}  {running}  rolling back for {since}  up again {up}"),
    }
}
