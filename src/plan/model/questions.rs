//! What can be asked of a plan, a host, a step or a value: answers that follow from the plan alone. Knows nothing of YAML,
//! time of day or hosts' state.

use std::collections::BTreeMap;

use super::{Fleet, Host, Plan, Rollback, Step, Undo, Value, Verb, Wait};
use crate::plan::maintenance::{self, Maintenance};
use crate::plan::units::Estimate;

impl Plan {
    /// The first group, in the plan's order, of each host that is in one.
    #[must_use]
    pub fn groups_by_host(&self) -> BTreeMap<&str, &str> {
        let all = self.groups.iter().rev().flat_map(|(group, hosts)| hosts.iter().map(move |h| (h, group)));
        all.map(|(host, group)| (host.as_str(), group.as_str())).collect()
    }
}

impl Fleet {
    /// Whether a host is out of service while a step with these works on it.
    #[must_use]
    pub const fn takes_hosts_out(&self) -> bool {
        self.keep_up.is_some() || self.drain.is_some() || self.reboot.is_some()
    }
}

impl Host {
    /// Who is responsible for it: the variable `owner`, a key of `people` or a name.
    #[must_use]
    pub fn owner(&self) -> Option<String> {
        self.vars.get("owner").and_then(Value::to_text).filter(|owner| !owner.is_empty())
    }

    /// When it may be worked on, where that is agreed: the variable `maintenance`.
    #[must_use]
    pub fn maintenance(&self) -> Option<Maintenance> {
        let value = self.vars.get(maintenance::VARIABLE).filter(|v| Maintenance::is_meant(v))?;
        Maintenance::read(value).ok()
    }
}

impl Step {
    /// Whether an attempt of this step can leave something behind on its host.
    #[must_use]
    pub fn changes_something(&self) -> bool {
        !matches!(self.undo, Undo::Nothing | Undo::ReadOnly)
    }

    /// Whether it says by its end how things are: a test or a request.
    #[must_use]
    pub const fn judges(&self) -> bool {
        matches!(self.verb, Verb::Test(_) | Verb::Http(_))
    }

    /// Whether a test that ends with this exit code has judged nothing: its plan says so, its command is not there or
    /// could not be executed (126, 127), or what it called was killed (128 and the signal's number).
    #[must_use]
    pub fn leaves_open(&self, exit: u8) -> bool {
        let as_shells_say = matches!(exit, 126 | 127 | 129..=192);
        matches!(self.verb, Verb::Test(_)) && (as_shells_say || self.inconclusive.contains(&exit))
    }

    /// Whether it can be undone, or call for a rollback by a test, a request or a person. Until it is over, the run can
    /// still be rolled back.
    #[must_use]
    pub fn keeps_the_way_back(&self) -> bool {
        self.gate.is_some() || self.judges() || self.can_be_undone()
    }

    /// Whether a rollback has something to undo, by a command or by a person.
    #[must_use]
    pub fn can_be_undone(&self) -> bool {
        self.changes_something() && !matches!(self.undo, Undo::Irreversible(_))
    }

    /// Whether it only waits or asks: limits such as `at_once` do not concern it.
    #[must_use]
    pub fn needs_no_place(&self) -> bool {
        matches!(self.verb, Verb::Gate | Verb::Wait(Wait::For(_) | Wait::At(_)))
    }

    /// The rollback commands, where undoing is a command.
    #[must_use]
    pub fn rollback(&self) -> Option<&Rollback> {
        match &self.undo {
            Undo::Command(r) | Undo::BuiltIn(r) => Some(r),
            Undo::Nothing | Undo::ReadOnly | Undo::Manual(_) | Undo::Irreversible(_) => None,
        }
    }

    /// The estimate, or no time at all where the plan gives none.
    #[must_use]
    pub fn estimate_or_zero(&self) -> Estimate {
        self.estimate.unwrap_or(Estimate::ZERO)
    }
}

impl Value {
    /// The text that a command's environment gets: of a list its entries with blanks between them, of a mapping (and of
    /// a list with mappings in it) JSON. `None` for a secret, which never becomes text here.
    #[must_use]
    pub fn to_text(&self) -> Option<String> {
        match self {
            Self::Text(t) => Some(t.clone()),
            Self::Bool(b) => Some(b.to_string()),
            Self::Int(n) => Some(n.to_string()),
            Self::List(items) if items.iter().any(|i| matches!(i, Self::Map(_) | Self::List(_))) => {
                self.to_json().map(|json| json.to_string())
            }
            Self::List(items) => items.iter().map(Self::to_text).collect::<Option<Vec<_>>>().map(|v| v.join(" ")),
            Self::Map(_) => self.to_json().map(|json| json.to_string()),
            Self::Secret(_) => None,
        }
    }

    /// The same value in JSON; `None` where a secret is in it.
    #[must_use]
    pub fn to_json(&self) -> Option<serde_json::Value> {
        Some(match self {
            Self::Text(t) => t.as_str().into(),
            Self::Bool(b) => (*b).into(),
            Self::Int(n) => (*n).into(),
            Self::List(items) => items.iter().map(Self::to_json).collect::<Option<Vec<_>>>()?.into(),
            Self::Map(entries) => {
                let entries = entries.iter().map(|(k, v)| Some((k.clone(), v.to_json()?)));
                serde_json::Value::Object(entries.collect::<Option<_>>()?)
            }
            Self::Secret(_) => return None,
        })
    }
}
