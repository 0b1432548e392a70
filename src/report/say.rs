//! A run in a few spoken sentences, for somebody in a car: where it stands, since when, whose turn it is, what is next, and the
//! last moment to turn back. Knows no clock and no screen.

use jiff::{SignedDuration, Timestamp};

use super::clock::Clock;
use super::status::Engine;
use super::words;
use crate::engine::fact::RunEnd;
use crate::view::{ActionState, Phase, RunView, StepRow};

/// The sentences, as one line.
#[must_use]
pub fn say(view: &RunView, engine: Option<&Engine>, now: Timestamp) -> String {
    let clock = words::clock_of(view);
    let speaker = Speaker { view, clock: &clock, now, driven: engine.is_some_and(|e| e.live) };
    let mut said = vec![format!("It is {}.", speaker.hm(now))];
    match view.end() {
        Some((at, end)) => said.push(speaker.ended(*at, end)),
        None => {
            said.extend(speaker.undriven(engine));
            said.extend(speaker.open());
        }
    }
    said.join(" ")
}

struct Speaker<'a> {
    view: &'a RunView,
    clock: &'a Clock,
    now: Timestamp,
    /// A live engine stands behind it: without one nobody knows what runs, nor when it ends.
    driven: bool,
}

impl Speaker<'_> {
    /// `2:07`, as one says it; with the weekday on another day.
    fn hm(&self, t: Timestamp) -> String {
        let (there, here) = (self.clock.zoned(t), self.clock.zoned(self.now));
        let day = if there.date() == here.date() { "" } else { "%A " };
        there.strftime(&format!("{day}%-H:%M")).to_string()
    }

    /// An open run without a live engine waits for a person, whatever else is true of it.
    fn undriven(&self, engine: Option<&Engine>) -> Option<String> {
        match engine {
            Some(e) if e.live => None,
            Some(e) => Some(format!(
                "Nobody drives the run: its engine was last heard of at {}, so somebody must resume it.",
                self.hm(e.heartbeat)
            )),
            None => Some("Nobody drives the run, so somebody must resume it.".to_owned()),
        }
    }

    fn open(&self) -> Vec<String> {
        match self.view.phase() {
            Phase::Waiting => self.waiting(),
            Phase::RollingBack => self.rolling_back(),
            Phase::Running | Phase::Holding | Phase::Ended => self.forward(),
        }
    }

    fn waiting(&self) -> Vec<String> {
        let opens = self.view.opens().map_or(String::new(), |t| format!(", which opens at {}", self.hm(t)));
        let mut said = vec![format!("The run waits for its window{opens}.")];
        said.extend(self.driven.then(|| self.finish()));
        said
    }

    fn forward(&self) -> Vec<String> {
        let mut said: Vec<String> = self.held().or_else(|| self.going_on()).into_iter().collect();
        said.extend(self.asked());
        said.extend(self.driven.then(|| self.finish()));
        said.extend(self.next());
        said.extend(self.turning_back());
        said
    }

    /// What runs, and since when the longest of it does. Nothing is to be said of it where only a person is asked.
    fn going_on(&self) -> Option<String> {
        let active = self.view.active();
        let runs: Vec<&StepRow<'_>> = active.iter().filter(|row| row.state != ActionState::Asking).collect();
        let names: Vec<&str> = runs.iter().map(|row| row.step.id.as_str()).collect();
        let since = runs.iter().filter_map(|row| row.started).min();
        match since {
            Some(since) if self.driven => Some(format!("Running since {}: {}.", self.hm(since), several(&names))),
            Some(since) => {
                let since = self.hm(since);
                Some(format!("What was running when contact was lost: {}, since {since}.", several(&names)))
            }
            None => active.is_empty().then(|| "Nothing runs at the moment.".to_owned()),
        }
    }

    fn held(&self) -> Option<String> {
        let hold = self.view.hold()?;
        let answers: Vec<&str> = self.view.hold_answers(self.now).iter().map(|a| a.word).collect();
        let else_ = hold.limit.map_or(String::new(), |limit| {
            format!("; without an answer by {}: {}", self.hm(limit), hold.default.word())
        });
        let (since, why) = (self.hm(hold.since), words::held(self.view, &hold.reason));
        Some(format!("The run is held since {since}: {why}. It is a person's turn: {}{else_}.", either(&answers)))
    }

    fn asked(&self) -> Option<String> {
        let gate = self.view.gates().first()?;
        let row = self.view.row_by_name(gate.action.step())?;
        let by = gate.answer_by.map_or(String::new(), |t| format!(", answer by {}", self.hm(t)));
        let (who, since) = (self.who(&row), self.hm(gate.since));
        Some(format!("It is the turn of {who}: {} is asked since {since}{by}.", row.step.id))
    }

    fn who(&self, row: &StepRow<'_>) -> String {
        match words::people(self.view, row.step, false) {
            nobody if nobody.is_empty() => "a person".to_owned(),
            names => several(&names.split(", ").collect::<Vec<_>>()),
        }
    }

    fn finish(&self) -> String {
        let forecast = self.view.forecast(self.now);
        let ahead = match forecast.ahead.as_mins() {
            0 => "on plan".to_owned(),
            m if m > 0 => format!("{} ahead of plan", spoken(forecast.ahead)),
            _ => format!("{} behind plan", spoken(-forecast.ahead)),
        };
        let (done, of) = (self.view.steps_done(), self.view.steps_total());
        format!("We are {ahead}, with {done} of {of} steps done; finish expected at {}.", self.hm(forecast.finish))
    }

    /// The next question to people that is not asked yet.
    fn next(&self) -> Option<String> {
        let waits = |r: &StepRow<'_>| self.driven && r.state == ActionState::Waiting && r.step.gate.is_some();
        let row = self.view.rows().find(waits)?;
        let start = self.view.forecast(self.now).steps[row.ix.index()].start;
        Some(format!("Next for people is {} at about {}: {}.", row.step.id, self.hm(start), self.who(&row)))
    }

    fn turning_back(&self) -> Option<String> {
        if let Some(step) = self.view.horizons_ahead().first() {
            let horizon = words::horizon(self.view.graph(), *step);
            return Some([self.way_back(), format!("Later, {horizon}.")].join(" "));
        }
        if !self.view.reversible() {
            return Some("There is no way back any more, only forward.".to_owned());
        }
        Some(self.way_back())
    }

    fn way_back(&self) -> String {
        let by =
            self.view.roll_back_by().map_or(String::new(), |t| format!("Roll back by {} at the latest. ", self.hm(t)));
        format!("{by}If we rolled back now, we would be up at {}.", self.hm(self.view.up_again(self.now)))
    }

    fn rolling_back(&self) -> Vec<String> {
        let mut said = Vec::new();
        if let (Some((began, cause)), Some(p)) = (self.view.rollback(), self.view.rollback_progress()) {
            let (since, why) = (self.hm(*began), words::cause(cause));
            said.push(format!(
                "We have been rolling back since {since}: {why}. {} of {} steps are undone.",
                p.undone, p.to_undo
            ));
        }
        said.extend(self.held());
        let up = self.view.up_again(self.now);
        let closes = self.view.closes().map_or(String::new(), |closes| match up > closes {
            true => format!(", after the window closes at {}", self.hm(closes)),
            false => format!(", before the window closes at {}", self.hm(closes)),
        });
        said.push(match self.view.rollback_is_paused() {
            true => format!("Continued now, the old version would be back at {}{closes}.", self.hm(up)),
            false => format!("The old version is expected back at {}{closes}.", self.hm(up)),
        });
        said
    }

    fn ended(&self, at: Timestamp, end: &RunEnd) -> String {
        let at = self.hm(at);
        match end {
            RunEnd::Succeeded { late } => {
                format!("The release is done since {at}{}{}.", self.defects(), too_late(*late))
            }
            RunEnd::RolledBack { verified, late } => {
                let proven = match verified {
                    Some(true) => "the old version is back and tested",
                    Some(false) => "the test of the old version failed",
                    None => "the old version is back, untested",
                };
                format!("The release was rolled back at {at}: {proven}{}.", too_late(*late))
            }
            RunEnd::Stuck { actions } => {
                let names: Vec<String> = actions.keys().map(words::action).collect();
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                format!("The run stopped half-way at {at}. A person is needed now: {}.", several(&names))
            }
            RunEnd::Rejected => "Nothing was started, and nothing will be.".to_owned(),
        }
    }

    fn defects(&self) -> String {
        match self.view.defects().len() {
            0 => String::new(),
            1 => ", with 1 known defect".to_owned(),
            n => format!(", with {n} known defects"),
        }
    }
}

const fn too_late(late: bool) -> &'static str {
    if late { ", after the window closed" } else { "" }
}

/// `a`, `a and b`, `a, b and 3 more`.
fn several(names: &[&str]) -> String {
    match names {
        [] => "nothing".to_owned(),
        [one] => (*one).to_owned(),
        [a, b] => format!("{a} and {b}"),
        [a, b, rest @ ..] => format!("{a}, {b} and {} more", rest.len()),
    }
}

/// `retry, skip or rollback`.
fn either(words: &[&str]) -> String {
    match words {
        [] => "an answer".to_owned(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// `2 hours 5 minutes`; seconds are not spoken.
fn spoken(d: SignedDuration) -> String {
    let (hours, minutes) = (d.as_mins() / 60, d.as_mins() % 60);
    let one = |n: i64, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    match (hours, minutes) {
        (0, m) => one(m, "minute"),
        (1, 0) => "an hour".to_owned(),
        (h, 0) => one(h, "hour"),
        (h, m) => format!("{} {}", one(h, "hour"), one(m, "minute")),
    }
}
