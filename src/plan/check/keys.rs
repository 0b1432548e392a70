//! Which keys fit which verb, and what `defaults` adds to a step. Knows no values.

use std::borrow::Cow;

use super::Checker;
use crate::plan::codes;
use crate::plan::diagnostic::{Diagnostic, Quoted};
use crate::plan::raw::RawStep;
use crate::plan::span::Spanned;

/// Keys that only mean something for work that changes a host.
const WORK_KEYS: [&str; 4] = ["verify", "outputs", "idempotent", "atomic"];
const FLEET_KEYS: [&str; 7] = ["keep_up", "allow_failed", "order", "canary", "drain", "reboot", "undrain"];
const SHELL_KEYS: [&str; 5] = ["env", "user", "sudo", "shell", "dir"];
const GATE_KEYS: [&str; 7] = ["who", "checklist", "call_ahead", "answer_by", "not_author", "quorum", "ask_below"];

/// Whether a `wait` executes a command until it succeeds.
pub fn repeats(raw: &RawStep) -> bool {
    raw.wait.as_ref().is_some_and(|w| w.value.until.is_some())
}

impl Checker<'_> {
    /// Keys that do not fit the verb. Only what the step itself says; defaults that do not fit are left out silently.
    pub fn misplaced(&mut self, name: &Spanned<String>, raw: &RawStep, verb: &str) {
        let mut report = |keys: &[&str], why: &str| {
            for key in keys {
                if let Some(span) = raw.place_of(key) {
                    let message = format!("`{key}` does not fit step {}", Quoted(&name.value));
                    self.found.push(
                        Diagnostic::error(codes::MISPLACED, message)
                            .at(span, why)
                            .help("remove it, or write a step of its own"),
                    );
                }
            }
        };
        if !raw.has("gate") {
            report(&GATE_KEYS, "only a gate has it");
        }
        if !matches!(verb, "run" | "script" | "copy" | "template") {
            report(&["opens"], "it changes nothing, so it opens nothing");
        }
        match verb {
            "gate" => {
                let why = "a gate runs no command";
                report(&WORK_KEYS, why);
                report(&FLEET_KEYS, why);
                report(&SHELL_KEYS, why);
                report(&["hosts", "retry", "at_once", "hold", "expect"], why);
            }
            "wait" if !repeats(raw) => {
                report(&WORK_KEYS, "waiting runs no command");
                report(&FLEET_KEYS, "waiting runs no command");
                report(&SHELL_KEYS, "waiting runs no command");
            }
            "test" | "wait" => report(&["drain", "reboot", "undrain", "atomic"], "it changes nothing"),
            "http" => {
                report(&WORK_KEYS, "it changes nothing");
                report(&FLEET_KEYS, "a request runs here, on no host");
                report(&SHELL_KEYS, "a request runs no command");
            }
            _ => {}
        }
        if !matches!(verb, "test" | "http") {
            report(&["hold"], "only a `test` or `http` can stay true for a time");
            report(&["baseline"], "only a `test` or `http` can be asked before the night");
        }
        if verb != "test" {
            report(&["inconclusive"], "only a `test` judges by its exit code");
        }
    }

    /// The step with what `defaults` adds to it, where that fits.
    pub fn with_defaults<'r>(&self, written: &'r RawStep, verb: &str) -> Cow<'r, RawStep> {
        let Some(defaults) = self.raw.defaults.as_ref().map(|d| &*d.value) else { return Cow::Borrowed(written) };
        let mut raw = written.clone();
        let runs = match verb {
            "gate" | "http" => false,
            "wait" => repeats(written),
            _ => true,
        };
        let changes = matches!(verb, "run" | "script" | "copy" | "template");
        macro_rules! adopt {
            ($($field:ident),+ where $fits:expr) => {
                if $fits {
                    $(if !written.has(stringify!($field)) { raw.$field.clone_from(&defaults.$field); })+
                }
            };
        }
        adopt!(when, uses, estimate, timeout, expect, on_failure, on_stop, say, warn, tags where true);
        adopt!(hosts, at_once, env, user, sudo, shell, dir where runs);
        adopt!(keep_up, allow_failed, order, canary, drain, reboot, undrain, verify, outputs, idempotent, atomic where changes);
        let harmless = !changes
            || raw.idempotent.as_ref().is_some_and(|b| b.value)
            || raw.read_only.as_ref().is_some_and(|b| b.value);
        adopt!(retry where runs && harmless || verb == "http");
        adopt!(hold, baseline where matches!(verb, "test" | "http"));
        adopt!(inconclusive where verb == "test");
        adopt!(read_only where matches!(verb, "run" | "script") && !super::undo::says_how(written));
        adopt!(who, checklist, call_ahead, answer_by, not_author, quorum, ask_below where written.has("gate"));
        Cow::Owned(raw)
    }
}
