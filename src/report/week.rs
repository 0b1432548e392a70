//! A plan in waves held against the times that the owners of its hosts accept. Knows no current time.

use indexmap::IndexMap;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::wave_page::{WaveHosts, resolve_waves};
use crate::plan::maintenance::{Interval, Maintenance};
use crate::plan::model::{Place, Plan};

/// The plan's waves and what they mean to the owners.
#[derive(Debug, Clone, PartialEq)]
pub struct Week {
    pub waves: Vec<WaveHosts>,
    /// Hosts in waves that say when they may be worked on.
    pub bound: usize,
    /// In the order of the waves.
    pub meetings: Vec<Meeting>,
}

/// Hosts of one wave with the same acceptable times.
#[derive(Debug, Clone, PartialEq)]
pub struct Meeting {
    /// Its place in [`Week::waves`].
    pub wave: usize,
    /// Never empty.
    pub hosts: Vec<String>,
    pub accepted: Maintenance,
    pub verdict: Verdict,
    /// The next hours, from the wave's opening on, that are long enough for one host.
    pub next: Option<Interval>,
    /// Other waves, by place, in which these hosts would be worked on at accepted times only.
    pub elsewhere: Vec<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Whenever the wave reaches them, it is accepted.
    Kept,
    /// Only if it reaches them at the right moment.
    Perhaps,
    /// At no moment of the wave.
    Broken,
}

impl Week {
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        let waves = resolve_waves(plan);
        let zone = plan.timezone.as_deref().and_then(|name| TimeZone::get(name).ok()).unwrap_or(TimeZone::UTC);
        let (_, alone) = alone(plan);
        let (mut bound, mut meetings) = (0, Vec::new());
        for (ix, wave) in waves.iter().enumerate() {
            let mut alike: IndexMap<String, (Maintenance, Vec<String>)> = IndexMap::new();
            for (host, times) in wave.hosts.iter().filter_map(|h| Some((h, plan.hosts.get(h)?.maintenance()?))) {
                bound += 1;
                alike.entry(times.describe()).or_insert_with(|| (times, Vec::new())).1.push(host.clone());
            }
            for (accepted, hosts) in alike.into_values() {
                let intervals = accepted.intervals(wave.opens, &zone);
                let verdict = verdict(wave, &intervals, alone);
                let next =
                    intervals.iter().find(|i| i.1.duration_since(i.0.max(wave.opens)) >= alone && i.1 > wave.opens);
                let next = next.map(|i| (i.0.max(wave.opens), i.1));
                let fits = |w: &WaveHosts| verdict_of(w, &accepted, &zone, alone) == Verdict::Kept;
                let others = waves.iter().enumerate().filter(|(other, w)| *other != ix && fits(w));
                let elsewhere =
                    if verdict == Verdict::Kept { Vec::new() } else { others.map(|(other, _)| other).collect() };
                meetings.push(Meeting { wave: ix, hosts, accepted, verdict, next, elsewhere });
            }
        }
        Self { waves, bound, meetings }
    }

    /// How many hosts are worked on at accepted times only.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.count(Verdict::Kept)
    }

    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        self.meetings.iter().filter(|m| m.verdict == verdict).map(|m| m.hosts.len()).sum()
    }
}

fn verdict_of(wave: &WaveHosts, accepted: &Maintenance, zone: &TimeZone, alone: SignedDuration) -> Verdict {
    verdict(wave, &accepted.intervals(wave.opens, zone), alone)
}

/// `alone` is how long one host takes at worst.
fn verdict(wave: &WaveHosts, intervals: &[Interval], alone: SignedDuration) -> Verdict {
    let busy_until = wave.opens.checked_add(wave.worst).unwrap_or(wave.closes).min(wave.closes);
    if intervals.iter().any(|(from, to)| *from <= wave.opens && busy_until <= *to) {
        return Verdict::Kept;
    }
    let inside = |(from, to): &Interval| (*to).min(wave.closes).duration_since((*from).max(wave.opens));
    match intervals.iter().map(inside).max() {
        Some(longest) if longest >= alone && longest > SignedDuration::ZERO => Verdict::Perhaps,
        _ => Verdict::Broken,
    }
}

/// How long the work on one host takes, as expected and at worst, one step after the other.
#[must_use]
pub fn alone(plan: &Plan) -> (SignedDuration, SignedDuration) {
    let waves = !plan.waves.is_empty();
    let on_hosts = |place: &Place| if waves { *place == Place::Wave } else { matches!(place, Place::Hosts(_)) };
    let steps = plan.steps.values().filter(|s| on_hosts(&s.place)).map(crate::plan::model::Step::estimate_or_zero);
    steps.fold((SignedDuration::ZERO, SignedDuration::ZERO), |(expected, worst), e| {
        (expected.saturating_add(e.expected), worst.saturating_add(e.worst))
    })
}

/// Whether an owner who wants `notice` can still be told before `opens`.
#[must_use]
pub fn in_time(notice: SignedDuration, opens: Timestamp, now: Timestamp) -> bool {
    opens.duration_since(now) >= notice
}
