//! From keys to a plan: names resolved, rules between keys proven, defaults filled in. Collects every mistake.
//!
//! The order matters only where one part needs another: hosts, people and resources before steps; steps before their
//! order; the order before gates, outputs and variables.

mod baseline;
mod clock;
mod commands;
mod files;
mod fleet;
mod gate;
mod horizon;
mod hosts;
mod keys;
mod notify;
mod order;
mod step;
mod tables;
mod texts;
mod undo;
mod waves;
mod window;
mod work;

use std::collections::HashMap;

use indexmap::IndexMap;

use super::codes;
use super::diagnostic::{Diagnostic, Label};
use super::draft::Outside;
use super::model::{HostName, Plan, StepId};
use super::raw::{RawPlan, RawStep};
use super::source::Source;
use super::span::{Span, Spanned};
use crate::template::Scope;

pub use files::wanted_files;
pub use tables::bad_variable_name;

use clock::Clock;
use hosts::Machines;

/// What every check may look at, and where it puts what it finds.
struct Checker<'p> {
    raw: &'p RawPlan,
    source: &'p Source,
    outside: &'p Outside,
    found: &'p mut Vec<Diagnostic>,
    /// The names of all steps and their rows, also of those that could not be read.
    names: IndexMap<&'p str, usize>,
    machines: Machines,
    clock: Clock,
    /// The plan's variables, for texts that are rendered before the night.
    scope: Scope,
    /// Whether there is a time by which work must be done: then estimates are required.
    timed: bool,
}

/// A step as it is written, together with its name.
type Row<'p> = (&'p Spanned<String>, &'p RawStep);

/// The plan, as far as it can be made, and where it is said when each host may be worked on. The plan is only valid if
/// `found` holds no error afterwards.
pub fn check(
    raw: &RawPlan,
    source: &Source,
    outside: &Outside,
    found: &mut Vec<Diagnostic>,
) -> (Option<Plan>, HashMap<HostName, Label>) {
    let clock = Clock::new(raw, found);
    let rows = raw.steps.iter().flat_map(|s| &s.value.rows);
    let names = rows.enumerate().map(|(i, (name, _))| (name.value.as_str(), i)).collect();
    let timed = raw.has("window") || raw.has("waves");
    let mut checker = Checker {
        raw,
        source,
        outside,
        found,
        names,
        machines: Machines::default(),
        clock,
        scope: Scope::new(),
        timed,
    };
    (checker.plan(), checker.machines.accepted)
}

impl Checker<'_> {
    fn plan(&mut self) -> Option<Plan> {
        self.format();
        let vars = self.vars();
        self.machines = self.read_machines();
        let window = self.window();
        let people = self.people();
        let resources = self.resources();
        let mut plan = Plan {
            stem: self.outside.stem.clone(),
            name: self.plan_name(),
            timezone: self.raw.timezone.as_ref().map(|z| z.value.clone()),
            window,
            hosts: self.machines.hosts.clone(),
            groups: self.machines.groups.clone(),
            inventory: self.machines.inventory.clone(),
            vars,
            people,
            resources,
            notify: self.notify(),
            after: self.after(),
            after_rollback: None,
            waves: Vec::new(),
            covers_all: self.raw.covers.is_some(),
            at_once: self.raw.at_once.as_ref().map(|s| s.value),
            ask_below: self.ask_below(&self.raw.ask_below),
            steps: IndexMap::new(),
            files: self.files(),
        };
        plan.waves = self.waves(&plan);
        self.steps(&mut plan);
        self.keep_up(&plan);
        plan.after_rollback = self.after_rollback(&plan);
        self.order(&mut plan);
        self.commands(&plan);
        self.baselines(&plan);
        self.horizons(&plan);
        Some(plan)
    }

    fn format(&mut self) {
        if !self.raw.has("runbook") {
            self.found.push(
                Diagnostic::error(codes::FORMAT, "the plan does not say its format version")
                    .at(Span::START, "`runbook: 1` is missing")
                    .help("write `runbook: 1` as the first line"),
            );
        }
    }

    fn plan_name(&mut self) -> String {
        match &self.raw.name {
            Some(name) => self.expand(name).unwrap_or_default(),
            None => self.outside.stem.clone(),
        }
    }

    fn steps(&mut self, plan: &mut Plan) {
        let empty = self.raw.steps.as_ref().is_some_and(|s| s.value.rows.is_empty() && s.value.broken.is_empty());
        if empty || !self.raw.has("steps") {
            let at = self.raw.steps.as_ref().map_or(Span::START, |s| s.span);
            self.found.push(
                Diagnostic::error(codes::EMPTY_PLAN, "the plan has no steps")
                    .at(at, "nothing to do")
                    .help("write `steps: {hello: {hosts: local, run: echo hello, read_only: true}}`"),
            );
            return;
        }
        let raw = self.raw;
        self.defaults();
        plan.steps.reserve(self.names.len());
        for (name, row) in raw.steps.iter().flat_map(|s| &s.value.rows) {
            self.step_name(name);
            if let Some(step) = self.step((name, &row.value), plan) {
                plan.steps.insert(name.value.clone(), step);
            }
        }
    }

    /// `defaults` takes any step key except verbs and `needs`.
    fn defaults(&mut self) {
        let Some(defaults) = &self.raw.defaults else { return };
        for key in step::VERBS.iter().chain(&["needs", "rollback", "irreversible", "manual_rollback", "opens"]) {
            if let Some(span) = defaults.value.place_of(key) {
                let message = format!("`defaults` cannot hold `{key}`");
                let d = Diagnostic::error(codes::MISPLACED, message).at(span, "belongs to each step");
                self.found.push(d.why("what a step does, waits for and undoes must be readable beside its name"));
            }
        }
    }

    fn line(&self, span: Span) -> u32 {
        self.source.line(span)
    }

    fn error(&mut self, code: &'static str, message: impl Into<String>, span: Span, label: impl Into<String>) {
        self.found.push(Diagnostic::error(code, message).at(span, label));
    }

    /// Whether `step` is in the file, readable or not.
    fn is_step(&self, step: &str) -> bool {
        self.names.contains_key(step)
            || self.raw.steps.as_ref().is_some_and(|s| s.value.broken.iter().any(|b| b == step))
    }

    fn name_of(&self, step: &str) -> Option<Span> {
        let row = *self.names.get(step)?;
        self.raw.steps.as_ref()?.value.rows.get(row).map(|(name, _)| name.span)
    }

    fn raw_step(&self, step: &StepId) -> Option<&RawStep> {
        let row = *self.names.get(step.as_str())?;
        self.raw.steps.as_ref()?.value.rows.get(row).map(|(_, raw)| &*raw.value)
    }
}
