//! How far a plan in waves has come: folds the runs of its waves. Knows nothing of where runs are stored.
//!
//! A host is done when everything that was to be done there is, and was not undone. A wave is over when a run of all of it
//! has ended well; hosts that failed within what `allow_failed` tolerates stay undone and do not open it again. A wave that
//! was rolled back has done nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::{ActionState, ActionView, RunView};
use crate::engine::fact::{RunEnd, RunStarted};
use crate::plan::model::HostName;
use crate::plan::waves::{OpenWave, WaveOver};

/// What the runs of one wave have achieved so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WaveSoFar {
    /// The hosts that belong to it since it began.
    pub hosts: Vec<HostName>,
    pub done: BTreeSet<HostName>,
    /// The run with which it ended well.
    pub over: Option<String>,
}

impl WaveSoFar {
    fn is_known_done(&self) -> bool {
        self.over.is_some() || !self.hosts.is_empty() && self.is_done()
    }

    /// Whether nothing is left to do in it, as its own runs saw it.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.over.is_some() || self.hosts.iter().all(|host| self.done.contains(host))
    }
}

/// All waves that have begun, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WeekSoFar {
    waves: BTreeMap<String, WaveSoFar>,
    begun_by: Option<String>,
}

impl WeekSoFar {
    /// Takes in one more run. Runs of the same wave replace each other in the order in which they began.
    pub fn add(&mut self, view: &RunView) {
        let Some((header, wave)) = view.header().and_then(|h| Some((h, h.options.wave.as_ref()?))) else { return };
        self.begun_by.get_or_insert_with(|| wave.week.clone().unwrap_or_else(|| header.run.clone()));
        self.conclude(&wave.concluded);
        let so_far = self.waves.entry(wave.name.clone()).or_default();
        so_far.hosts.clone_from(&wave.hosts);
        so_far.done = wave.done_before.iter().cloned().chain(hosts_done(view, header, wave)).collect();
        so_far.over = ended_well(view, header).then(|| header.run.clone());
    }

    /// Waves that must be over, although no run of them is known that did it.
    pub fn conclude(&mut self, over: &[WaveOver]) {
        for WaveOver { name, hosts } in over {
            let so_far = self.waves.entry(name.clone()).or_default();
            if !so_far.is_known_done() {
                (so_far.hosts, so_far.done) = (hosts.clone(), hosts.iter().cloned().collect());
            }
        }
    }

    /// The run that began the week; `None` as long as there is none.
    #[must_use]
    pub fn begun_by(&self) -> Option<&str> {
        self.begun_by.as_deref()
    }

    #[must_use]
    pub fn wave(&self, name: &str) -> Option<&WaveSoFar> {
        self.waves.get(name)
    }

    /// Which hosts belong to which wave, for waves that have done something.
    #[must_use]
    pub fn kept(&self) -> BTreeMap<&str, &[HostName]> {
        let begun = self.waves.iter().filter(|(_, wave)| wave.over.is_some() || !wave.done.is_empty());
        begun.map(|(name, wave)| (name.as_str(), wave.hosts.as_slice())).collect()
    }

    /// Hosts that are done, in all waves.
    #[must_use]
    pub fn hosts_done(&self) -> usize {
        self.waves.values().map(|wave| wave.done.len()).sum()
    }
}

impl RunView {
    /// How many hosts of a plan in waves are done, by this run and those before it; 0 for any other plan.
    #[must_use]
    pub fn week_done(&self) -> usize {
        let wave = self.header().and_then(|h| Some((h, h.options.wave.as_ref()?)));
        wave.map_or(0, |(header, wave)| wave.week_done as usize + hosts_done(self, header, wave).len())
    }
}

fn ended_well(view: &RunView, header: &RunStarted) -> bool {
    let whole = header.options.narrowed.is_empty() && header.options.hosts_left_out.is_empty();
    whole && matches!(view.end(), Some((_, RunEnd::Succeeded { .. })))
}

/// The wave's hosts that this run has done, as far as it has come.
fn hosts_done(view: &RunView, header: &RunStarted, wave: &OpenWave) -> Vec<HostName> {
    let undone = matches!(view.end(), Some((_, RunEnd::RolledBack { .. } | RunEnd::Rejected)));
    if undone || !header.options.narrowed.is_empty() {
        return Vec::new();
    }
    let mut whole: BTreeMap<&str, bool> = BTreeMap::new();
    for action in view.actions() {
        *whole.entry(action.host()).or_insert(true) &= is_done(action);
    }
    let left_out = &header.options.hosts_left_out;
    let done = |host: &HostName| whole.get(host.as_str()) == Some(&true) && !left_out.contains(host);
    wave.to_do().into_iter().filter(done).collect()
}

fn is_done(action: &ActionView) -> bool {
    matches!(action.state, ActionState::Done | ActionState::Skipped) && !action.tolerated
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(hosts: &[&str]) -> WaveOver {
        WaveOver { name: "few".into(), hosts: hosts.iter().map(|h| (*h).to_owned()).collect() }
    }

    #[test]
    fn what_is_concluded_never_replaces_what_is_known() {
        let mut week = WeekSoFar::default();
        let known =
            WaveSoFar { hosts: over(&["h1", "h2"]).hosts, over: Some("night-a".into()), ..WaveSoFar::default() };
        week.waves.insert("few".into(), known.clone());
        week.conclude(&[over(&["h1", "h2", "h3"])]);
        assert_eq!(week.wave("few"), Some(&known), "h1 failed within what is allowed, and stays so");
        let mut week = WeekSoFar::default();
        week.waves.insert("few".into(), WaveSoFar { hosts: over(&["h1", "h2"]).hosts, ..WaveSoFar::default() });
        week.conclude(&[over(&["h1", "h2"])]);
        assert_eq!(week.hosts_done(), 2, "a wave that was begun must have been finished since");
    }
}
