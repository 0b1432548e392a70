//! One, few, many: which hosts each wave takes, and the plan of one wave. Knows nothing of runs and of the time of day.
//!
//! A run executes one wave. Its plan is derived from the whole one: `hosts: wave` means the hosts of the wave, the window
//! is the wave's, and everything waits for the wave's gate. Groups stay whole, because `keep_up` counts them.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::{IndexMap, IndexSet};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::model::{
    Fleet, HostName, Need, OnDeadline, OnFailure, OnStop, Opening, Place, Plan, Retry, Shell, Step, Undo, Verb, Wave,
    Window,
};
use super::model::{Gate, Share};
use super::units::Size;

/// What commands read to know the open wave.
const VARIABLE: &str = "RUNBOOK_WAVE";

/// The hosts of one wave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Group by group, in the order of the wave's shares; within a group in the plan's order.
    pub hosts: Vec<HostName>,
    /// How many hosts come from each group.
    pub of_which: Vec<(String, usize)>,
}

/// The wave that a run executes, and what the week looked like when the run began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenWave {
    pub name: String,
    /// From 1, in the order of the plan.
    pub number: u32,
    pub of: u32,
    /// As the plan says; a lab opens it whenever it is started.
    pub opens: Timestamp,
    /// The run that began the week; `None` when this one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub week: Option<String>,
    /// Every host of the wave.
    pub hosts: Vec<HostName>,
    /// Those that an earlier run of this wave has done: this run leaves them alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub done_before: Vec<HostName>,
    /// Earlier waves of which no journal tells: they were over, since none is executed before those before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub concluded: Vec<WaveOver>,
    /// Hosts of the whole plan that earlier runs have done, those of this wave included.
    pub week_done: u32,
    /// Hosts of all waves together.
    pub week_hosts: u32,
    /// The wave that comes when this one has ended well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<NextWave>,
}

/// A wave that is over, and its hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaveOver {
    pub name: String,
    pub hosts: Vec<HostName>,
}

/// What follows a wave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextWave {
    pub name: String,
    pub opens: Timestamp,
}

impl OpenWave {
    /// The hosts on which its run works.
    #[must_use]
    pub fn to_do(&self) -> Vec<HostName> {
        let done: BTreeSet<&HostName> = self.done_before.iter().collect();
        self.hosts.iter().filter(|host| !done.contains(host)).cloned().collect()
    }

    /// The whole plan as the run of this wave executes it; `None` where the plan has no such wave (any more).
    #[must_use]
    pub fn of_plan(&self, whole: &Plan) -> Option<Plan> {
        let wave = whole.waves.iter().find(|wave| wave.name == self.name)?;
        Some(whole.for_wave(wave, &self.to_do()))
    }
}

impl Plan {
    /// Which hosts each wave takes: shares are of the whole group, rounded down, at least one; who was taken by an earlier
    /// wave is left out; `rest` is everything not taken. Waves in `kept` have begun: they keep the hosts that they took,
    /// whatever the plan has become since, and nobody else gets these.
    #[must_use]
    pub fn partition(&self, kept: &BTreeMap<&str, &[HostName]>) -> Vec<Taken> {
        let mut taken: BTreeSet<&str> = kept.values().flat_map(|hosts| hosts.iter().map(String::as_str)).collect();
        let groups = self.groups_by_host();
        let mut out = Vec::with_capacity(self.waves.len());
        for wave in &self.waves {
            out.push(match kept.get(wave.name.as_str()) {
                Some(hosts) => counted(hosts, &groups),
                None => self.take(wave, &mut taken),
            });
        }
        out
    }

    fn take<'p>(&'p self, wave: &Wave, taken: &mut BTreeSet<&'p str>) -> Taken {
        let (mut hosts, mut of_which) = (Vec::new(), Vec::new());
        for (group, share) in &wave.shares {
            let members = self.groups.get(group).map_or(&[][..], Vec::as_slice);
            let free: Vec<&HostName> = members.iter().filter(|h| !taken.contains(h.as_str())).collect();
            let count = size_of(*share, members.len()).unwrap_or(free.len()).min(free.len());
            taken.extend(free[..count].iter().map(|h| h.as_str()));
            hosts.extend(free[..count].iter().map(|h| (*h).clone()));
            of_which.push((group.clone(), count));
        }
        Taken { hosts, of_which }
    }

    /// The plan as the run of one wave executes it, on these of the wave's hosts.
    #[must_use]
    pub fn for_wave(&self, wave: &Wave, hosts: &[HostName]) -> Self {
        let mut plan = Self { waves: Vec::new(), covers_all: false, window: Some(window(wave)), ..self.clone() };
        for step in plan.steps.values_mut().chain(plan.after_rollback.as_mut()) {
            settle(step, hosts);
            step.shell.env.insert(VARIABLE.to_owned(), wave.name.clone());
        }
        plan.keep_hosts_of_steps();
        if let Some(gate) = &wave.gate {
            plan.ask_first(&wave.name, gate);
        }
        plan
    }

    /// Only what a step touches, or what leads to it; groups keep their names.
    fn keep_hosts_of_steps(&mut self) {
        let mut touched: BTreeSet<HostName> = BTreeSet::new();
        for step in self.steps.values().chain(self.after_rollback.as_ref()) {
            touched.extend(places(step).flat_map(named).cloned());
        }
        self.hosts.retain(|name, _| touched.contains(name));
    }

    /// Puts the question before everything else.
    fn ask_first(&mut self, wave: &str, gate: &Gate) {
        let names: IndexSet<&str> = self.steps.keys().map(String::as_str).collect();
        let id = gate_id(wave, &names);
        for step in self.steps.values_mut().filter(|step| step.needs.is_empty()) {
            step.needs.push(Need { step: id.clone(), same_host: false });
        }
        let asking = asking(&id, gate);
        let rest = std::mem::take(&mut self.steps);
        self.steps = std::iter::once((id, asking)).chain(rest).collect();
    }
}

/// The name of the wave, as far as it can be the name of a step, and is not one already.
fn gate_id(wave: &str, taken: &IndexSet<&str>) -> String {
    let fit = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' };
    let mut id: String = wave.chars().take(50).map(fit).collect();
    while taken.contains(id.as_str()) {
        id.push_str("-gate");
    }
    id
}

/// How many of a group; `None` for all that are left.
fn size_of(share: Share, whole: usize) -> Option<usize> {
    match share {
        Share::Size(size @ Size::Percent(_)) => Some(size.at_least_one_of(whole)),
        Share::Size(size) => Some(size.of(whole)),
        Share::Rest | Share::All => None,
    }
}

fn counted(hosts: &[HostName], groups: &BTreeMap<&str, &str>) -> Taken {
    let mut of_which: IndexMap<&str, usize> = IndexMap::new();
    for host in hosts {
        *of_which.entry(groups.get(host.as_str()).copied().unwrap_or("no group")).or_default() += 1;
    }
    let of_which = of_which.into_iter().map(|(group, n)| (group.to_owned(), n)).collect();
    Taken { hosts: hosts.to_vec(), of_which }
}

fn window(wave: &Wave) -> Window {
    Window {
        opening: Opening::At { opens: wave.opens, closes: wave.closes },
        reserve: SignedDuration::ZERO,
        max_extension: None,
        on_deadline: OnDeadline::default(),
    }
}

/// `hosts: wave` becomes the hosts of the wave, wherever a step says it.
fn settle(step: &mut Step, hosts: &[HostName]) {
    for place in every_place(step) {
        if *place == Place::Wave {
            *place = Place::Hosts(hosts.to_vec());
        }
    }
}

fn every_place(step: &mut Step) -> impl Iterator<Item = &mut Place> {
    let undo = match &mut step.undo {
        Undo::Command(back) | Undo::BuiltIn(back) => back.place.as_mut(),
        Undo::Nothing | Undo::ReadOnly | Undo::Manual(_) | Undo::Irreversible(_) => None,
    };
    let drains = [&mut step.fleet.drain, &mut step.fleet.undrain].into_iter().flatten();
    std::iter::once(&mut step.place).chain(undo).chain(drains.filter_map(|d| d.hosts.as_mut()))
}

fn places(step: &Step) -> impl Iterator<Item = &Place> {
    let undo = step.rollback().and_then(|back| back.place.as_ref());
    let drains = [&step.fleet.drain, &step.fleet.undrain].into_iter().flatten();
    std::iter::once(&step.place).chain(undo).chain(drains.filter_map(|d| d.hosts.as_ref()))
}

fn named(place: &Place) -> &[HostName] {
    match place {
        Place::Hosts(hosts) => hosts,
        Place::Nowhere | Place::Controller | Place::Wave => &[],
    }
}

fn asking(id: &str, gate: &Gate) -> Step {
    Step {
        id: id.to_owned(),
        line: 0,
        needs: Vec::new(),
        place: Place::Nowhere,
        when: None,
        verb: Verb::Gate,
        gate: Some(gate.clone()),
        undo: Undo::Nothing,
        estimate: None,
        timeout: None,
        expect: None,
        retry: Retry::default(),
        idempotent: false,
        atomic: false,
        verify: None,
        outputs: Vec::new(),
        on_failure: OnFailure::Rollback,
        on_stop: OnStop::Finish,
        uses: IndexMap::new(),
        hold: None,
        shell: Shell::default(),
        fleet: Fleet::default(),
        say: None,
        warn: None,
        downtime: None,
        baseline: false,
        inconclusive: Vec::new(),
        opens: None,
        tags: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::sample;
    use jiff::Timestamp;

    fn wave(name: &str, shares: &[(&str, Share)]) -> Wave {
        let shares = shares.iter().map(|(group, share)| ((*group).to_owned(), *share)).collect();
        let at = |hour: i64| Timestamp::from_second(1_362_384_000 + hour * 3600).unwrap();
        Wave { name: name.into(), opens: at(17), closes: at(21), gate: None, shares }
    }

    fn names(prefix: &str, n: usize) -> Vec<HostName> {
        (1..=n).map(|i| format!("{prefix}{i}")).collect()
    }

    /// Ten web servers and one that every wave asks, in two waves.
    fn week() -> Plan {
        let mut update = sample::run("update", &[], &[], "update").undone_by("back", 5);
        update.place = Place::Wave;
        let quiet = sample::test("quiet", &["update"], &["mon"], "quiet");
        let mut plan = sample::plan(vec![update, quiet]);
        plan.groups.insert("web".into(), names("web", 10));
        plan.hosts.extend(names("web", 10).into_iter().map(|h| (h, Default::default())));
        plan.waves =
            vec![wave("few", &[("web", Share::Size(Size::Percent(25)))]), wave("many", &[("web", Share::Rest)])];
        plan
    }

    #[test]
    fn shares_are_of_the_whole_group_and_nobody_is_taken_twice() {
        let waves = week().partition(&BTreeMap::new());
        assert_eq!(waves[0].hosts, names("web", 10)[..2]);
        assert_eq!(waves[1].hosts, names("web", 10)[2..]);
        assert_eq!(waves[1].of_which, [("web".to_owned(), 8)]);
    }

    #[test]
    fn a_wave_that_has_begun_keeps_its_hosts_when_the_inventory_changes() {
        let mut plan = week();
        plan.groups["web"] = ["web0".to_owned()].into_iter().chain(names("web", 10)).collect();
        plan.hosts.insert("web0".into(), Default::default());
        let took = names("web", 10)[..2].to_vec();
        let waves = plan.partition(&BTreeMap::from([("few", took.as_slice())]));
        assert_eq!(waves[0].hosts, took);
        assert_eq!(waves[1].hosts.len(), 9, "the new host goes with the rest");
        assert!(waves[1].hosts.iter().all(|h| !took.contains(h)));
    }

    #[test]
    fn the_plan_of_a_wave_touches_its_hosts_only_and_keeps_the_groups_whole() {
        let week = week();
        let took = names("web", 2);
        let plan = week.for_wave(&week.waves[0], &took);
        assert_eq!(plan.steps["update"].place, Place::Hosts(took));
        assert_eq!(plan.steps["update"].shell.env["RUNBOOK_WAVE"], "few");
        assert_eq!(plan.hosts.keys().collect::<Vec<_>>(), ["mon", "web1", "web2"]);
        assert_eq!(plan.groups, week.groups);
        let at = Opening::At { opens: week.waves[0].opens, closes: week.waves[0].closes };
        assert_eq!(plan.window.as_ref().map(|w| &w.opening), Some(&at));
        assert!(plan.waves.is_empty(), "a plan of one wave is a plan with a window");
    }

    #[test]
    fn everything_waits_for_the_gate_of_the_wave_whatever_steps_are_called() {
        let mut week = week();
        week.waves[1].name = "update".into();
        week.waves[1].gate = sample::gate("any", &[], "Is Monday understood?", &[]).gate;
        let plan = week.for_wave(&week.waves[1], &names("web", 2));
        assert_eq!(plan.steps.keys().collect::<Vec<_>>(), ["update-gate", "update", "quiet"]);
        assert_eq!(plan.steps["update"].needs, [Need { step: "update-gate".into(), same_host: false }]);
        assert_eq!(plan.steps["quiet"].needs.len(), 1, "it waits through `update`");
        let graph = sample::graph(plan);
        assert_eq!(graph.topological().len(), 3);
    }
}
