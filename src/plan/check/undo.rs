//! How a step is undone: exactly one way, said where it must be said. Knows nothing of the order of undoing.

use jiff::SignedDuration;

use super::Checker;
use crate::plan::codes;
use crate::plan::diagnostic::{Diagnostic, Quoted};
use crate::plan::model::{Retry, Rollback, RollbackWork, Undo};
use crate::plan::raw::{RawRollback, RawStep};
use crate::plan::span::{Span, Spanned};
use crate::plan::units::Estimate;

const WAYS: [&str; 4] = ["rollback", "read_only", "irreversible", "manual_rollback"];

/// Further tries of an undo where the plan says nothing: it must cope with being repeated anyway.
const UNDO_RETRIES: u32 = 2;

/// What the help suggests as the estimate of an undo that is missing.
const SUGGESTED: SignedDuration = SignedDuration::from_mins(10);

/// Whether a step says itself how it is undone.
pub fn says_how(raw: &RawStep) -> bool {
    ways(raw).next().is_some()
}

/// The ways that a step names. `read_only: false` names none.
fn ways(raw: &RawStep) -> impl Iterator<Item = &'static str> {
    let no = raw.read_only.as_ref().is_some_and(|r| !r.value);
    WAYS.into_iter().filter(move |way| raw.has(way) && !(no && *way == "read_only"))
}

impl Checker<'_> {
    pub fn undo(
        &mut self,
        name: &Spanned<String>,
        raw: &RawStep,
        verb: &str,
        estimate: Option<Estimate>,
    ) -> Option<Undo> {
        let given: Vec<&str> = ways(raw).collect();
        if let [first, second, ..] = given[..] {
            let message = format!("{} has both `{first}` and `{second}`", Quoted(&name.value));
            let d = Diagnostic::error(codes::UNDO_TWICE, message)
                .at(raw.place_of(second).unwrap_or(name.span), "keep one of them");
            self.found.push(match raw.place_of(first) {
                Some(span) => d.label(span, "the first"),
                None => d,
            });
            return None;
        }
        match verb {
            "run" | "script" => self.declared_undo(name, raw, verb, &given, estimate),
            "copy" | "template" => self.built_in_undo(raw, estimate),
            _ => {
                for way in given.iter().filter(|w| **w != "read_only") {
                    let message = format!("`{way}` does not fit step {}", Quoted(&name.value));
                    let at = raw.place_of(way).unwrap_or(name.span);
                    let d = Diagnostic::error(codes::MISPLACED, message)
                        .at(at, format!("`{verb}` changes nothing, so there is nothing to undo"));
                    self.found.push(d.help("remove it; a command that changes something is a `run`"));
                }
                Some(Undo::Nothing)
            }
        }
    }

    fn declared_undo(
        &mut self,
        name: &Spanned<String>,
        raw: &RawStep,
        verb: &str,
        given: &[&str],
        estimate: Option<Estimate>,
    ) -> Option<Undo> {
        match given.first() {
            Some(&"rollback") => {
                let undo = raw.rollback.as_ref()?;
                let work = self.rollback_work(&undo.value.0, undo.span)?;
                Some(Undo::Command(self.rollback(&undo.value.0, undo.span, work, estimate)))
            }
            Some(&"read_only") => raw.read_only.as_ref().map(|_| Undo::ReadOnly),
            Some(&"irreversible") => {
                self.reason(raw.irreversible.as_ref()?, "why it cannot be undone").map(Undo::Irreversible)
            }
            Some(_) => self.reason(raw.manual_rollback.as_ref()?, "what a person must do").map(Undo::Manual),
            None => {
                self.no_undo(name, raw, verb);
                // As if it had been corrected the way the help shows, so that the rest of the plan can be looked at.
                Some(Undo::Command(Rollback {
                    work: RollbackWork::Run(String::new()),
                    place: None,
                    estimate: Estimate { expected: SUGGESTED, worst: SUGGESTED },
                    timeout: None,
                    reboot: None,
                    until: None,
                    verify: None,
                    retry: Retry::default(),
                }))
            }
        }
    }

    fn no_undo(&mut self, name: &Spanned<String>, raw: &RawStep, verb: &str) {
        let hosts = raw.hosts.as_ref().and_then(|h| {
            let before = self.found.len();
            let place = self.place(&h.value);
            self.found.truncate(before);
            place
        });
        let on = match hosts {
            Some(crate::plan::model::Place::Hosts(hosts)) if hosts.len() <= 4 => hosts.join(", "),
            Some(crate::plan::model::Place::Hosts(hosts)) => format!("{} hosts", hosts.len()),
            _ => "something".into(),
        };
        self.found.push(
            Diagnostic::error(
                codes::NO_UNDO,
                format!("{} changes {on} but does not say how to undo it", Quoted(&name.value)),
            )
            .at(
                name.span,
                format!("has `{verb}`, but none of `rollback`, `read_only`, `irreversible`, `manual_rollback`"),
            )
            .why("a failed test rolls back by itself; it can only undo what the plan describes")
            .help("rollback: {run: COMMAND, estimate: 10m}; or `read_only: true` if it changes nothing"),
        );
    }

    fn reason(&mut self, text: &Spanned<String>, what: &str) -> Option<String> {
        let flag = matches!(text.value.as_str(), "true" | "false" | "yes" | "no");
        if flag || text.value.trim().is_empty() {
            let d = Diagnostic::error(codes::EMPTY, format!("write {what}"))
                .at(text.span, "takes a sentence for the people on the bridge");
            self.found.push(d.help("irreversible: \"a mail cannot be unsent\""));
            return None;
        }
        Some(text.value.clone())
    }

    fn built_in_undo(&mut self, raw: &RawStep, estimate: Option<Estimate>) -> Option<Undo> {
        for way in ways(raw).filter(|w| *w != "rollback") {
            let at = raw.place_of(way).unwrap_or_default();
            let message = format!("`{way}` does not fit a step that copies a file");
            let d = Diagnostic::error(codes::MISPLACED, message).at(at, "the previous content comes back by itself");
            self.found.push(d.help("remove it"));
        }
        let Some(undo) = &raw.rollback else {
            if raw.has("rollback") {
                return None;
            }
            let own = RawRollback::default();
            return Some(Undo::BuiltIn(self.rollback(
                &own,
                Span::START,
                RollbackWork::Restore,
                estimate.or(Some(Estimate::ZERO)),
            )));
        };
        let raw = &undo.value.0;
        if raw.has("run") || raw.has("script") {
            let at = raw.place_of("run").or_else(|| raw.place_of("script")).unwrap_or(undo.span);
            let d = Diagnostic::error(codes::MISPLACED, "a step that copies a file undoes itself")
                .at(at, "the previous content comes back by itself");
            self.found.push(d.help("write a `run` step with this rollback, and let it need this one"));
            return None;
        }
        Some(Undo::BuiltIn(self.rollback(raw, undo.span, RollbackWork::Restore, estimate.or(Some(Estimate::ZERO)))))
    }

    fn rollback_work(&mut self, raw: &RawRollback, span: Span) -> Option<RollbackWork> {
        match (&raw.run, &raw.script) {
            (Some(_), None) => self.command(&raw.run).map(RollbackWork::Run),
            (None, Some(script)) => Some(RollbackWork::Script(script.value.clone())),
            (Some(_), Some(script)) => {
                self.error(codes::VERB, "`rollback` has both `run` and `script`", script.span, "keep one of them");
                None
            }
            (None, None) => {
                if raw.broken.is_empty() {
                    let d = Diagnostic::error(codes::VERB, "`rollback` does nothing")
                        .at(span, "has neither `run` nor `script`");
                    self.found.push(d.help("write `rollback: {run: COMMAND, estimate: 10m}`"));
                }
                None
            }
        }
    }

    fn rollback(&mut self, raw: &RawRollback, span: Span, work: RollbackWork, forward: Option<Estimate>) -> Rollback {
        let written = raw.estimate.as_ref().map(|e| e.value.0);
        if written.is_none() && !raw.has("estimate") && self.timed && work != RollbackWork::Restore {
            let message = "the rollback has no estimate of its own; the step's is taken";
            let d = Diagnostic::warning(codes::ROLLBACK_ESTIMATE, message).at(span, "how long does it take?");
            self.found.push(
                d.why("the last moment to roll back depends on it")
                    .help("write `rollback: {run: COMMAND, estimate: 10m}`"),
            );
        }
        let estimate = written.or(forward).unwrap_or(Estimate::ZERO);
        let timeout = raw
            .timeout
            .as_ref()
            .map(|t| t.value.0)
            .or_else(|| (!estimate.worst.is_zero()).then(|| estimate.worst + estimate.worst));
        if let Some(t) = raw.timeout.as_ref().filter(|t| t.value.0.is_zero()) {
            self.error(codes::RANGE, "`timeout` must be longer than 0", t.span, "no time at all");
        }
        Rollback {
            work,
            place: raw.hosts.as_ref().and_then(|h| self.place(&h.value)),
            estimate,
            timeout,
            reboot: raw.reboot.as_ref().map(|r| r.value.0),
            until: raw.until.as_ref().map(|u| u.value.clone()),
            verify: self.command(&raw.verify),
            retry: self.retry(raw.retry.as_ref().map(|r| &r.value.0), UNDO_RETRIES),
        }
    }
}
