//! Tests that are asked before the night, too (`baseline`): they cannot use what only the night brings. Executes nothing.

use std::collections::BTreeMap;

use super::Checker;
use super::commands::dollar_names;
use crate::plan::codes;
use crate::plan::diagnostic::{Diagnostic, Quoted};
use crate::plan::model::{Plan, StepId};
use crate::plan::raw::RawStep;
use crate::plan::span::Spanned;
use crate::template;

impl Checker<'_> {
    pub fn baselines(&mut self, plan: &Plan) {
        let outputs: BTreeMap<&str, &StepId> =
            plan.steps.values().flat_map(|s| s.outputs.iter().map(|o| (o.as_str(), &s.id))).collect();
        let raw = self.raw;
        for (name, row) in raw.steps.iter().flat_map(|s| &s.value.rows) {
            if plan.steps.get(&name.value).is_some_and(|step| step.baseline) {
                self.asked_too_early(&name.value, &row.value, &outputs);
            }
        }
        for key in ["baseline", "inconclusive"] {
            if let Some(span) = raw.after_rollback.as_ref().and_then(|after| after.value.place_of(key)) {
                let message = format!("`after_rollback` cannot have `{key}`");
                self.error(codes::MISPLACED, message, span, "it belongs to the tests among the steps");
            }
        }
    }

    /// An output exists only once its step has run: before the night, what uses it could only be red.
    fn asked_too_early(&mut self, step: &str, raw: &RawStep, outputs: &BTreeMap<&str, &StepId>) {
        for (text, names) in texts(raw) {
            let Some((name, writer)) = names.iter().find_map(|n| Some((n, outputs.get(n.as_str())?))) else { continue };
            let message = format!("{} does not exist yet when `{step}` is asked before the night", Quoted(name));
            let at = self.within(text.span, name);
            let d = Diagnostic::error(codes::OUTPUT, message).at(at, format!("an output of `{writer}`"));
            let d = match raw.place_of("baseline") {
                Some(span) => d.label(span, "asked before the night"),
                None => d,
            };
            self.found.push(d.help("leave `baseline` out here, or write `baseline: false` where `defaults` say it"));
        }
    }
}

/// The texts that such a test is made of, with the names they use. What is no legal template is reported elsewhere.
fn texts(raw: &RawStep) -> Vec<(&Spanned<String>, Vec<String>)> {
    let command = |text: &str| {
        let mut names = template::undeclared_in_command(text);
        names.extend(dollar_names(text).into_iter().map(str::to_owned));
        names
    };
    let http = raw.http.iter().flat_map(|h| h.value.0.url.iter().chain(&h.value.0.body));
    let env = raw.env.iter().flat_map(|e| &e.value.rows).map(|(_, value)| value);
    let tests = raw.test.iter().map(|t| (&**t, command(&t.value)));
    let boxed = http.chain(&raw.dir).map(|text| &**text);
    let plain = boxed.chain(env).map(|t| (t, template::undeclared(&t.value)));
    let when = raw.when.iter().map(|t| (&**t, template::undeclared_in_expression(&t.value)));
    tests.chain(plain).chain(when).collect()
}
