//! Rollback horizons: what a step `opens`, and rollbacks that expire with it (`until`). Knows no time.

use super::Checker;
use crate::plan::codes;
use crate::plan::diagnostic::{Diagnostic, Quoted};
use crate::plan::model::{Plan, Step};
use crate::plan::raw::RawStep;
use crate::plan::span::Span;
use crate::plan::words;

impl Checker<'_> {
    pub fn horizons(&mut self, plan: &Plan) {
        for step in plan.steps.values() {
            if let Some(name) = &step.opens {
                self.opened(plan, step, name);
            }
            if let Some(name) = step.rollback().and_then(|undo| undo.until.as_ref()) {
                self.expires(plan, step, name);
            }
        }
    }

    fn opened(&mut self, plan: &Plan, step: &Step, name: &str) {
        let at = self.place_in(step, |raw| raw.opens.as_ref().map(|o| o.span));
        let id = Quoted(&step.id);
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if !(1..=64).contains(&name.len()) || !name.chars().all(allowed) {
            let message = format!("{} is not a name for what {id} opens", Quoted(name));
            self.error(codes::HORIZON, message, at, "a word of letters, digits, `.`, `_` and `-`, such as `writes`");
        } else if !step.changes_something() {
            self.error(codes::HORIZON, format!("{id} changes nothing, so it opens nothing"), at, "opens what?");
        } else if !plan.steps.values().any(|s| until(s) == Some(name)) {
            let message = format!("{id} opens {}, and no rollback minds", Quoted(name));
            let d = Diagnostic::warning(codes::OPENS_NOTHING, message).at(at, "nothing expires with it");
            self.found.push(d.help(format!("write `until: {name}` in each rollback that would lose something then")));
        }
    }

    fn expires(&mut self, plan: &Plan, step: &Step, name: &str) {
        let at = self.place_in(step, |raw| raw.rollback.as_ref()?.value.0.until.as_ref().map(|u| u.span));
        let id = Quoted(&step.id);
        let openers: Vec<&Step> = plan.steps.values().filter(|s| s.opens.as_deref() == Some(name)).collect();
        if openers.is_empty() {
            let message = format!("the rollback of {id} expires with {}, and no step opens that", Quoted(name));
            let d = Diagnostic::error(codes::HORIZON, message);
            let known: Vec<&str> = plan.steps.values().filter_map(|s| s.opens.as_deref()).collect();
            self.found.push(match words::nearest(name, known) {
                Some(near) => d.at(at, format!("did you mean `{near}`?")).fix(at, near),
                None => d.at(at, "nobody opens it").help(format!("write `opens: {name}` on the step that does")),
            });
        }
        for opener in openers {
            let (message, label) = if opener.id == step.id {
                (format!("the rollback of {id} expires as soon as the step itself begins"), "opened by this very step")
            } else if !Self::is_upstream(plan, &opener.id, &step.id) {
                let first = Quoted(&opener.id);
                (
                    format!("{first} opens {} and does not wait for {id}, whose rollback expires then", Quoted(name)),
                    "may have expired before there is anything to undo",
                )
            } else {
                continue;
            };
            let opens = self.place_in(opener, |raw| raw.opens.as_ref().map(|o| o.span));
            let d = Diagnostic::error(codes::HORIZON, message).at(at, label).label(opens, "opened here");
            self.found.push(match opener.id == step.id {
                true => d.help("what cannot be undone once it has run is `irreversible: REASON`"),
                false => d.help(format!("let `{}` need `{}`", opener.id, step.id)),
            });
        }
    }

    /// The value of a key, or the name of the step where it cannot be found.
    fn place_in(&self, step: &Step, key: impl Fn(&RawStep) -> Option<Span>) -> Span {
        let at = self.raw_step(&step.id).and_then(key);
        at.or_else(|| self.name_of(&step.id)).unwrap_or_default()
    }
}

fn until(step: &Step) -> Option<&str> {
    step.rollback()?.until.as_deref()
}
