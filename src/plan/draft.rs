//! A plan that has been read but not yet checked: which files it wants, and what becomes of it once they are known.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};

use jiff::SignedDuration;

use super::check;
use super::codes;
use super::decode::{At, Decode as _};
use super::diagnostic::{Diagnostic, Label, sort};
use super::inventory::VarsFile;
use super::model::{FileFacts, Plan, Value};
use super::raw::{RawPlan, RawStep};
use super::source::Source;
use super::span::{Span, Spanned};
use super::tree::{self, Kind, Node};
use super::units::Estimate;

/// The most that an inventory's command may take, where the plan does not say it.
const INVENTORY_TIMEOUT: SignedDuration = SignedDuration::from_secs(30);

/// A plan's text, read key by key.
#[derive(Debug)]
pub struct Draft<'s> {
    source: &'s Source,
    raw: Option<RawPlan>,
    found: Vec<Diagnostic>,
}

/// A file that the plan names, to be looked at before [`Draft::check`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted<'p> {
    /// `script:` or a rollback's script, beside the plan.
    Script(&'p str),
    /// `copy.src`, beside the plan; directories are allowed.
    Copy(&'p str),
    /// `template.src`, in `templates/`; its text is wanted too.
    Template(&'p str),
    /// The inventory, beside the plan; its text is wanted too.
    Inventory(&'p str),
}

impl<'p> Wanted<'p> {
    #[must_use]
    pub const fn path(self) -> &'p str {
        match self {
            Self::Script(p) | Self::Copy(p) | Self::Template(p) | Self::Inventory(p) => p,
        }
    }
}

/// What was seen of a wanted file.
#[derive(Debug, Clone)]
pub struct Seen {
    pub facts: FileFacts,
    /// Of templates and inventories.
    pub text: Option<String>,
}

/// Why a wanted file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileProblem {
    /// The places that were looked at.
    Missing(Vec<String>),
    /// Neither a file nor (where that is allowed) a directory: what it is instead.
    NotRegular(&'static str),
    /// Bytes of the limit.
    TooLarge(u64),
    NotText,
    Unreadable(String),
}

/// Where a plan's inventory is to be taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InventoryWish<'p> {
    /// A file or a folder, beside the plan; also one of [`Draft::wanted`].
    File(&'p str),
    /// A shell command, executed in the plan's folder, and the most that it may take.
    Command { run: &'p str, timeout: SignedDuration },
}

/// What the inventory's file or command gave.
#[derive(Debug, Clone, Default)]
pub struct InventoryTexts {
    /// Several where the inventory is a folder. None when the file cannot be read; why stands with the other files.
    pub texts: Vec<Arc<Source>>,
    /// Why the command gave none.
    pub problem: Option<CommandProblem>,
    /// `group_vars/` and `host_vars/` beside it.
    pub vars: Vec<VarsFile>,
}

/// Why a command gave no inventory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandProblem {
    CannotStart(String),
    /// How it ended (`exit 3`), and the end of what it said.
    Failed {
        end: String,
        said: String,
    },
    TimedOut {
        limit: SignedDuration,
        said: String,
    },
    /// Bytes of the limit.
    TooMuch(u64),
    NotText,
    /// A file of variables beside it cannot be read.
    Vars(String),
    /// A file in the inventory's folder cannot be read.
    InFolder(String),
    /// There is no file in it.
    EmptyFolder,
}

/// What the plan's text alone does not say.
#[derive(Debug, Clone, Default)]
pub struct Outside {
    /// The file's name without its extension.
    pub stem: String,
    /// Values from the command line, which go before those of the plan. They are never rendered.
    pub vars: Vec<(String, Value)>,
    /// By the path as the plan writes it.
    pub files: BTreeMap<String, Result<Seen, FileProblem>>,
    pub inventory: InventoryTexts,
    /// What earlier runs know of steps that have no estimate, by step.
    pub learnt: BTreeMap<String, Learnt>,
}

/// An estimate that nobody wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Learnt {
    pub estimate: Estimate,
    /// What it is made from: `the last 3 runs took 24m, 31m, 36m`.
    pub from: String,
}

/// What came out.
#[derive(Debug)]
pub struct Checked {
    /// `None` when there is any error.
    pub plan: Option<Plan>,
    /// The plan as it would be with its errors corrected as their help says, where they leave no doubt about its order and
    /// times: so that a window which is too short is found in the same go. `None` when there is a plan.
    pub sketch: Option<Plan>,
    /// Sorted by place.
    pub diagnostics: Vec<Diagnostic>,
    pub places: Places,
}

/// Where things stand in the text, for findings made later (by the graph or the schedule).
#[derive(Debug, Clone, Default)]
pub struct Places {
    raw: RawPlan,
    /// The rows of the steps by name, made when the first of them is asked for.
    rows: OnceLock<HashMap<String, usize>>,
    accepted: HashMap<String, Label>,
}

impl<'s> Draft<'s> {
    /// Reads a plan as far as it can be read.
    #[must_use]
    pub fn read(source: &'s Source) -> Self {
        let mut found = Vec::new();
        let raw = match tree::parse(source.text(), &tree::Arena::new(), &mut found) {
            Ok(Some(root)) if is_something_else(&root) => {
                found.push(not_a_plan());
                None
            }
            Ok(Some(root)) => RawPlan::decode(&root, &At::PLAN, &mut found),
            Ok(None) => {
                found.push(empty_plan());
                None
            }
            Err(stopped) => {
                found.push(*stopped);
                None
            }
        };
        Self { source, raw, found }
    }

    /// Every file that the plan names, once.
    #[must_use]
    pub fn wanted(&self) -> Vec<Wanted<'_>> {
        let mut wanted = self.raw.as_ref().map(check::wanted_files).unwrap_or_default();
        wanted.sort_unstable();
        wanted.dedup();
        wanted
    }

    /// The plan's name, and its steps without an estimate, which earlier runs might know; none where a default or the step
    /// itself says how long it takes.
    #[must_use]
    pub fn might_learn(&self) -> (&str, BTreeSet<&str>) {
        let Some(raw) = &self.raw else { return ("", BTreeSet::new()) };
        let name = raw.name.as_ref().map_or("", |name| name.value.as_str());
        let said = |step: &RawStep| step.estimate.is_some() || step.hold.is_some() || step.wait.is_some();
        let rows = raw.steps.iter().flat_map(|steps| &steps.value.rows);
        let unsaid = rows.filter(|(_, step)| !said(&step.value)).map(|(name, _)| name.value.as_str());
        let by_default = raw.defaults.as_ref().is_some_and(|d| d.value.estimate.is_some());
        (name, if by_default { BTreeSet::new() } else { unsaid.collect() })
    }

    /// Where the inventory is to be taken from, if the plan has one.
    #[must_use]
    pub fn inventory(&self) -> Option<InventoryWish<'_>> {
        let raw = &self.raw.as_ref()?.inventory.as_ref()?.value.0;
        match (&raw.file, &raw.run) {
            (Some(file), None) => Some(InventoryWish::File(&file.value)),
            (None, Some(run)) => {
                let timeout = raw.timeout.as_ref().map_or(INVENTORY_TIMEOUT, |t| t.value.0);
                Some(InventoryWish::Command { run: &run.value, timeout })
            }
            _ => None,
        }
    }

    /// Resolves names and proves the rules between keys.
    #[must_use]
    pub fn check(self, outside: &Outside) -> Checked {
        let mut found = self.found;
        let (plan, places) = match self.raw {
            Some(raw) => {
                let (plan, accepted) = check::check(&raw, self.source, outside, &mut found);
                (plan, Places { raw, rows: OnceLock::new(), accepted })
            }
            None => (None, Places::default()),
        };
        sort(&mut found);
        let (mut errors, mut certain) = (false, true);
        for d in found.iter().filter(|d| d.is_error()) {
            errors = true;
            certain &= leaves_times(d);
        }
        let (plan, sketch) = if errors { (None, plan.filter(|_| certain)) } else { (plan, None) };
        Checked { plan, sketch, diagnostics: found, places }
    }
}

/// Whether it is certain in spite of this error what waits for what, and how long everything takes.
fn leaves_times(error: &Diagnostic) -> bool {
    match error.code {
        codes::UNKNOWN_KEY | codes::NO_UNDO => true,
        codes::UNKNOWN_STEP => error.fix.is_some(),
        _ => false,
    }
}

/// Whether it is a mapping without a single key of a plan: an inventory, or another tool's file.
fn is_something_else(root: &Node<'_>) -> bool {
    let Kind::Map(entries) = &root.kind else { return false };
    entries.len() > 1 && !entries.iter().any(|e| RawPlan::KEYS.contains(&e.key.value))
}

fn not_a_plan() -> Diagnostic {
    Diagnostic::error(codes::EMPTY_PLAN, "this file is no plan: it has neither `runbook: 1` nor `steps`")
        .at(Span::START, "something else")
        .help("a plan begins with `runbook: 1`; `runbook new NAME.yaml` writes an example")
}

fn empty_plan() -> Diagnostic {
    Diagnostic::error(codes::EMPTY_PLAN, "the plan is empty").at(Span::START, "nothing but comments").help(
        "the smallest plan: `runbook: 1` and `steps: {hello: {hosts: local, run: echo hello, read_only: true}}`; \
         `runbook new NAME.yaml` writes an example",
    )
}

impl Places {
    fn row(&self, step: &str) -> Option<&(Spanned<String>, Spanned<Box<super::raw::RawStep>>)> {
        let rows = &self.raw.steps.as_ref()?.value.rows;
        let numbered = || rows.iter().enumerate().map(|(i, (name, _))| (name.value.clone(), i)).collect();
        rows.get(*self.rows.get_or_init(numbered).get(step)?)
    }

    /// The name of a step; `after_rollback` stands for that key.
    #[must_use]
    pub fn step(&self, step: &str) -> Option<Span> {
        self.row(step).map(|(name, _)| name.span).or_else(|| self.raw.place_of(step))
    }

    /// The value of a step's key, or of the same key in `defaults`.
    #[must_use]
    pub fn step_key(&self, step: &str, key: &str) -> Option<Span> {
        let own = self.row(step).and_then(|(_, raw)| raw.value.place_of(key));
        own.or_else(|| self.raw.defaults.as_ref()?.value.place_of(key))
    }

    /// The value of a key at the top of the plan.
    #[must_use]
    pub fn plan_key(&self, key: &str) -> Option<Span> {
        self.raw.place_of(key)
    }

    /// The name of a wave.
    #[must_use]
    pub fn wave(&self, name: &str) -> Option<Span> {
        let names = self.raw.waves.iter().flat_map(|w| &w.value).filter_map(|w| w.value.name.as_ref());
        names.into_iter().find(|n| n.value == name).map(|n| n.span)
    }

    /// Where it is said when a host may be worked on, and what.
    #[must_use]
    pub fn accepted(&self, host: &str) -> Option<&Label> {
        self.accepted.get(host)
    }

    /// The value of a key of `window`.
    #[must_use]
    pub fn window_key(&self, key: &str) -> Option<Span> {
        self.raw.window.as_ref()?.value.place_of(key)
    }
}

/// Reads variables from a YAML mapping of names to values, with the rules of a plan's `vars`.
///
/// # Errors
/// The first mistake, with its line.
pub fn read_vars(bytes: &[u8]) -> Result<Vec<(String, Value)>, String> {
    let source = Source::from_bytes("", bytes).map_err(|wrong| wrong.1.message)?;
    let mut found = Vec::new();
    let say = |d: &Diagnostic| {
        let line = d.primary.as_ref().map_or(1, |p| source.line(p.span));
        format!("line {line}: {}", d.message)
    };
    let arena = tree::Arena::new();
    let root = tree::parse(source.text(), &arena, &mut found).map_err(|d| say(&d))?;
    let at = At { name: "", what: "the file", parent: None };
    let table = root.and_then(|root| super::raw::Table::<super::shapes::Setting>::decode(&root, &at, &mut found));
    if let Some(d) = found.iter().find(|d| d.is_error()) {
        return Err(say(d));
    }
    let rows = table.map(|t| t.rows).unwrap_or_default();
    Ok(rows.into_iter().map(|(name, value)| (name.value, value.value.0)).collect())
}
