//! The files that a plan names: which they are, and what is wrong with those that were looked at. Opens none of them.

use std::collections::BTreeMap;

use super::Checker;
use crate::plan::codes;
use crate::plan::diagnostic::{Diagnostic, Quoted};
use crate::plan::draft::{FileProblem, Wanted};
use crate::plan::model::{FileFacts, FileKind};
use crate::plan::raw::{RawPlan, RawStep};
use crate::plan::span::Span;

/// Every file that the plan names, in the order of the file, perhaps more than once.
pub fn wanted_files(raw: &RawPlan) -> Vec<Wanted<'_>> {
    all(raw).map(|(wanted, _)| wanted).collect()
}

fn all(raw: &RawPlan) -> impl Iterator<Item = (Wanted<'_>, Span)> {
    let inventory = raw.inventory.iter().flat_map(|i| &i.value.0.file).map(|f| (Wanted::Inventory(&f.value), f.span));
    let steps = raw.steps.iter().flat_map(|s| &s.value.rows).map(|(_, step)| &*step.value);
    let after = raw.after_rollback.iter().map(|s| &*s.value);
    let notices = raw.notify.iter().flat_map(|n| &n.value).filter_map(|channel| channel.value.template.as_ref());
    let notices = notices.map(|t| (Wanted::Template(&t.value), t.span));
    inventory.chain(notices).chain(steps.chain(after).flat_map(of_step))
}

fn of_step(raw: &RawStep) -> impl Iterator<Item = (Wanted<'_>, Span)> {
    let script = raw.script.iter().chain(raw.rollback.iter().flat_map(|r| &r.value.0.script));
    let copy = raw.copy.iter().flat_map(|c| &c.value.src);
    let template = raw.template.iter().flat_map(|t| &t.value.src);
    script
        .map(|s| (Wanted::Script(&s.value), s.span))
        .chain(copy.map(|s| (Wanted::Copy(&s.value), s.span)))
        .chain(template.map(|s| (Wanted::Template(&s.value), s.span)))
}

impl Checker<'_> {
    /// The facts of all files, and a finding for each that cannot be used.
    pub fn files(&mut self) -> BTreeMap<String, FileFacts> {
        let mut facts = BTreeMap::new();
        let outside = self.outside;
        let mut first: BTreeMap<&str, bool> = BTreeMap::new();
        for (wanted, span) in all(self.raw) {
            let path = wanted.path();
            let template = matches!(wanted, Wanted::Template(_));
            if first.insert(path, template).is_some_and(|t| t != template) {
                let message = format!("{} is named as a template and as a plain file", Quoted(path));
                self.error(codes::FILE, message, span, "two different files; rename one");
            }
            match outside.files.get(path) {
                Some(Ok(seen)) => {
                    self.kind_fits(wanted, &seen.facts, span);
                    // Of an inventory the hosts and their variables are part of the plan, not the file.
                    if !matches!(wanted, Wanted::Inventory(_)) {
                        facts.insert(path.to_string(), seen.facts.clone());
                    }
                }
                Some(Err(problem)) => self.unusable(wanted, problem, span),
                None => self.unusable(wanted, &FileProblem::Missing(vec![path.to_string()]), span),
            }
        }
        facts
    }

    fn kind_fits(&mut self, wanted: Wanted<'_>, facts: &FileFacts, span: Span) {
        let path = Quoted(wanted.path());
        if facts.kind == FileKind::Directory && !matches!(wanted, Wanted::Copy(_) | Wanted::Inventory(_)) {
            self.error(codes::NOT_REGULAR, format!("{path} is a directory"), span, "must be a file");
        } else if facts.size == 0 && matches!(wanted, Wanted::Script(_)) {
            self.error(codes::FILE, format!("{path} is empty"), span, "nothing to execute");
        }
    }

    fn unusable(&mut self, wanted: Wanted<'_>, problem: &FileProblem, span: Span) {
        let path = Quoted(wanted.path());
        self.found.push(match problem {
            FileProblem::Missing(looked) => {
                let d = Diagnostic::error(codes::FILE, format!("file {path} not found")).at(span, "no such file");
                let places: Vec<_> = looked.iter().map(|l| Quoted(l).to_string()).collect();
                d.help(format!("looked for {}", places.join(" and ")))
            }
            FileProblem::NotRegular(what) => {
                Diagnostic::error(codes::NOT_REGULAR, format!("{path} is {what}, not a regular file"))
                    .at(span, "must be a file")
            }
            FileProblem::TooLarge(limit) => {
                Diagnostic::error(codes::FILE, format!("{path} is larger than {} MB", limit >> 20))
                    .at(span, "too large to be read as text")
            }
            FileProblem::NotText => {
                Diagnostic::error(codes::FILE, format!("{path} is not UTF-8 text")).at(span, "cannot be read as text")
            }
            FileProblem::Unreadable(why) => {
                Diagnostic::error(codes::FILE, format!("cannot read {path}: {why}")).at(span, "this file")
            }
        });
    }
}
