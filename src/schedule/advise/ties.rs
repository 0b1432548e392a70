//! Why one step may have to wait for another: what the two have in common. Reads the plan alone; whether it is reason
//! enough is for its author to say.

use std::collections::BTreeSet;
use std::fmt;

use crate::plan::model::{Downtime, Place, Plan, RollbackWork, Step, Undo, Verb, Wait};

/// One thing that two steps have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tie {
    Host(String),
    Resource(String),
    Output(String),
    File(String),
    /// The first one judges, or a person answers: the second waits for a yes.
    Judgement,
    /// The second one judges what was done before it.
    Judged,
    /// The first takes the service away, or the second gives it back.
    Downtime,
    /// The second cannot be undone, so it waits until everything else is sure.
    NoWayBack,
}

impl fmt::Display for Tie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(name) | Self::File(name) => f.write_str(name),
            Self::Resource(name) => write!(f, "the resource {name}"),
            Self::Output(name) => write!(f, "the output {name}"),
            Self::Judgement => f.write_str("a yes that is waited for"),
            Self::Judged => f.write_str("a judgement of it"),
            Self::Downtime => f.write_str("the downtime"),
            Self::NoWayBack => f.write_str("no way back after it"),
        }
    }
}

/// What `then` shares with `first`; empty where nothing in the plan says why it waits.
#[must_use]
pub fn ties(plan: &Plan, first: &Step, then: &Step) -> Vec<Tie> {
    let mut found: Vec<Tie> = Vec::new();
    let (one, other) = (hosts(plan, first), hosts(plan, then));
    found.extend(one.intersection(&other).map(|h| Tie::Host((*h).to_owned())));
    found.extend(first.uses.keys().filter(|r| then.uses.contains_key(*r)).map(|r| Tie::Resource(r.clone())));
    let (before, after) = (texts(first), texts(then));
    let reads = |name: &&String| after.iter().any(|text| words(text).any(|word| word == name.as_str()));
    found.extend(first.outputs.iter().filter(reads).map(|name| Tie::Output(name.clone())));
    let (one, other) = (files(&before), files(&after));
    found.extend(one.intersection(&other).map(|f| Tie::File((*f).to_owned())));
    if judges(first) || matches!(first.verb, Verb::Wait(_)) {
        found.push(Tie::Judgement);
    } else if judges(then) {
        found.push(Tie::Judged);
    }
    if first.downtime == Some(Downtime::Begin) || then.downtime == Some(Downtime::End) {
        found.push(Tie::Downtime);
    }
    if matches!(then.undo, Undo::Irreversible(_)) {
        found.push(Tie::NoWayBack);
    }
    found
}

fn judges(step: &Step) -> bool {
    step.gate.is_some() || step.judges()
}

fn hosts<'a>(plan: &'a Plan, step: &'a Step) -> BTreeSet<&'a str> {
    match &step.place {
        Place::Hosts(hosts) => hosts.iter().map(String::as_str).collect(),
        Place::Wave => plan.hosts.keys().map(String::as_str).collect(),
        // This machine is where everything is started from: to run here is nothing in common.
        Place::Controller | Place::Nowhere => BTreeSet::new(),
    }
}

/// Everything that a step executes, writes or asks for.
fn texts(step: &Step) -> Vec<&str> {
    let mut texts: Vec<&str> = step.when.iter().chain(&step.verify).map(String::as_str).collect();
    match &step.verb {
        Verb::Run(text) | Verb::Script(text) | Verb::Test(text) => texts.push(text),
        Verb::Copy(file) | Verb::Template { file, .. } => texts.extend([file.src.as_str(), file.dest.as_str()]),
        Verb::Http(http) => texts.extend([http.url.as_str()].into_iter().chain(http.body.as_deref())),
        Verb::Wait(Wait::Until { command, .. }) => texts.push(command),
        Verb::Wait(Wait::For(_) | Wait::At(_)) | Verb::Gate => {}
    }
    if let Some(undo) = step.rollback() {
        match &undo.work {
            RollbackWork::Run(text) | RollbackWork::Script(text) => texts.push(text),
            RollbackWork::Restore => {}
        }
    }
    texts.extend(step.shell.env.values().map(String::as_str));
    texts
}

/// The names in a command.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-')).filter(|w| !w.is_empty())
}

/// The words of commands that look like files: with a `/` in them or an ending. Addresses and options are none.
fn files<'a>(texts: &[&'a str]) -> BTreeSet<&'a str> {
    let apart = |c: char| c.is_whitespace() || "\"'`;|&<>()=,".contains(c);
    let words = texts.iter().flat_map(|text| text.split(apart));
    words.filter(|word| is_file(word)).collect()
}

fn is_file(word: &str) -> bool {
    let ending = word.rsplit_once('.').map(|(_, end)| end);
    let has_ending =
        ending.is_some_and(|e| (1..=6).contains(&e.len()) && e.starts_with(|c: char| c.is_ascii_alphabetic()));
    let plain = !word.starts_with('-') && !word.contains("://") && !word.starts_with("/dev/") && !word.contains(':');
    plain && word.len() > 2 && (word.contains('/') || has_ending)
}
