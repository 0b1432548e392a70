//! What a plan means to the owners of its hosts: calendar entries and notices, from the plan alone. Knows no disk.

use indexmap::IndexMap;
use jiff::{SignedDuration, Timestamp};
use minijinja::{Environment, UndefinedBehavior, context};

use super::calendar::Event;
use super::clock::Clock;
use super::week::{Verdict, Week, alone};
use crate::graph::Graph;
use crate::plan::inventory::count;
use crate::plan::model::{Opening, Person, Place, Plan};
use crate::plan::units::Short;
use crate::schedule::fit;

/// One owner with what happens to the hosts.
#[derive(Debug, Clone, PartialEq)]
pub struct Owner {
    /// As the hosts say it; `None` for hosts that have no owner.
    pub key: Option<String>,
    pub name: String,
    pub mail: Option<String>,
    pub slots: Vec<Slot>,
}

/// The hosts of one owner in one window.
#[derive(Debug, Clone, PartialEq)]
pub struct Slot {
    /// The wave's name; empty for the window of a plan without waves.
    pub wave: String,
    pub opens: Timestamp,
    pub closes: Timestamp,
    pub hosts: Vec<String>,
    /// Whether the agreed times are certainly kept.
    pub kept: bool,
}

/// A window of the plan with its hosts.
struct Window {
    wave: String,
    opens: Timestamp,
    closes: Timestamp,
    hosts: Vec<String>,
    broken: Vec<String>,
    expected: SignedDuration,
}

/// The windows of a plan; none where its window opens whenever it is started.
fn windows(plan: &Plan, week: &Week) -> Vec<Window> {
    if plan.waves.is_empty() {
        let Some(Opening::At { opens, closes }) = plan.window.as_ref().map(|w| w.opening.clone()) else {
            return Vec::new();
        };
        let expected = fit(&Graph::build(std::sync::Arc::new(plan.clone()))).finish_expected;
        let touched =
            |host: &&String| plan.steps.values().any(|s| matches!(&s.place, Place::Hosts(h) if h.contains(host)));
        let hosts = plan.hosts.keys().filter(touched).cloned().collect();
        return vec![Window { wave: String::new(), opens, closes, hosts, broken: Vec::new(), expected }];
    }
    let broken = |ix: usize| {
        let meetings = week.meetings.iter().filter(move |m| m.wave == ix && m.verdict != Verdict::Kept);
        meetings.flat_map(|m| m.hosts.clone()).collect()
    };
    let window = |(ix, w): (usize, &super::WaveHosts)| Window {
        wave: w.name.clone(),
        opens: w.opens,
        closes: w.closes,
        hosts: w.hosts.clone(),
        broken: broken(ix),
        expected: w.expected,
    };
    week.waves.iter().enumerate().map(window).collect()
}

/// Every owner, in the order in which the plan reaches them; hosts without one last.
#[must_use]
pub fn owners(plan: &Plan, week: &Week) -> Vec<Owner> {
    let mut all: IndexMap<Option<String>, Vec<Slot>> = IndexMap::new();
    for window in windows(plan, week) {
        let mut hosts: IndexMap<Option<String>, Vec<String>> = IndexMap::new();
        for host in &window.hosts {
            hosts.entry(plan.hosts.get(host).and_then(|h| h.owner())).or_default().push(host.clone());
        }
        for (owner, hosts) in hosts {
            let kept = !hosts.iter().any(|h| window.broken.contains(h));
            let Window { wave, opens, closes, .. } = &window;
            let slot = Slot { wave: wave.clone(), opens: *opens, closes: *closes, hosts, kept };
            all.entry(owner).or_default().push(slot);
        }
    }
    let mut owners: Vec<Owner> = all.into_iter().map(|(key, slots)| owner(plan, key, slots)).collect();
    owners.sort_by_key(|o| o.key.is_none());
    owners
}

/// An owner who is a key of `people` has a name and perhaps a mail address there.
fn owner(plan: &Plan, key: Option<String>, slots: Vec<Slot>) -> Owner {
    let person: Option<&Person> = key.as_ref().and_then(|k| plan.people.get(k));
    let name = person.map(|p| p.name.clone()).or_else(|| key.clone()).unwrap_or_else(|| "nobody".into());
    let written = key.clone().filter(|k| k.contains('@'));
    let mail = person.and_then(|p| p.mail.clone()).or(written);
    Owner { mail: mail.map(|m| one_line(&m)), name: one_line(&name), key, slots }
}

/// A name in the head of a mail must not begin another line there.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// One entry per window.
#[must_use]
pub fn events(plan: &Plan, week: &Week) -> Vec<Event> {
    let one = |w: Window| {
        let hosts = count(w.hosts.len(), "host");
        let what = if w.wave.is_empty() { String::new() } else { format!(" {}", w.wave) };
        Event {
            id: format!("{}/{}", plan.stem, w.wave),
            opens: w.opens,
            closes: w.closes,
            summary: format!("{}:{what} ({hosts})", plan.name),
            description: format!("{hosts}, expected to take {}:\n{}", Short(w.expected), w.hosts.join(", ")),
            attendee: None,
        }
    };
    windows(plan, week).into_iter().map(one).collect()
}

/// One entry per owner and window.
#[must_use]
pub fn events_by_owner(plan: &Plan, week: &Week) -> Vec<Event> {
    let owners = owners(plan, week);
    let of = |owner: &Owner| {
        let one = |slot: &Slot| Event {
            id: format!("{}/{}/{}", plan.stem, slot.wave, owner.key.as_deref().unwrap_or("nobody")),
            opens: slot.opens,
            closes: slot.closes,
            summary: match owner.key {
                Some(_) => format!("{}: {} of {}", plan.name, count(slot.hosts.len(), "host"), owner.name),
                None => format!("{}: {} without an owner", plan.name, count(slot.hosts.len(), "host")),
            },
            description: slot.hosts.join(", "),
            attendee: owner.mail.as_ref().map(|mail| (owner.name.clone(), mail.clone())),
        };
        owner.slots.iter().map(one).collect::<Vec<_>>()
    };
    owners.iter().flat_map(of).collect()
}

/// The notice to one owner, rendered from `template`.
///
/// # Errors
/// When the template is none, or uses a name that a notice does not have.
pub fn notice(plan: &Plan, owner: &Owner, template: &str) -> Result<String, minijinja::Error> {
    let clock = Clock::new(plan.timezone.as_deref());
    let slot = |slot: &Slot| {
        context! {
            name => &slot.wave,
            opens => format!("{} {}", clock.day(slot.opens), clock.hm(slot.opens)),
            closes => clock.hm_near(slot.closes, slot.opens),
            opens_utc => slot.opens.to_string(),
            closes_utc => slot.closes.to_string(),
            hosts => &slot.hosts,
            times_kept => slot.kept,
        }
    };
    let (expected, worst) = alone(plan);
    let minutes = |d: SignedDuration| (d.as_secs() + 59) / 60;
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    let context = context! {
        plan => one_line(&plan.name),
        timezone => clock.zone_name(),
        owner => &owner.key,
        owner_name => &owner.name,
        owner_mail => owner.mail.as_deref().unwrap_or_default(),
        host_count => owner.slots.iter().map(|s| s.hosts.len()).sum::<usize>(),
        waves => owner.slots.iter().map(slot).collect::<Vec<_>>(),
        minutes_expected => minutes(expected),
        minutes_worst => minutes(worst),
    };
    Ok(format!("{}\n", env.render_str(template, context)?.trim_end_matches('\n')))
}
