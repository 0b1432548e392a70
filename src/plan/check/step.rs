//! One step: its verb, place, times, and the keys that fit them. Knows nothing of the order of steps.

use indexmap::IndexMap;
use jiff::SignedDuration;

use super::clock::Base;
use super::keys::repeats;
use super::{Checker, Row};
use crate::plan::codes;
use crate::plan::diagnostic::{Diagnostic, Quoted};
use crate::plan::draft::Learnt;
use crate::plan::model::{Expect, Need, OnFailure, Opening, Place, Plan, Retry, Shell, Step, Undo, Value, Verb};
use crate::plan::raw::{Field, Many, RawRetry, RawStep};
use crate::plan::span::{Span, Spanned};
use crate::plan::units::{Estimate, Short};

pub const VERBS: [&str; 8] = ["run", "script", "copy", "template", "test", "http", "gate", "wait"];

/// Time between two tries where the plan says nothing.
const RETRY_WAIT: SignedDuration = SignedDuration::from_secs(10);

pub fn text(field: &Field<String>) -> Option<String> {
    field.as_ref().map(|f| f.value.clone())
}

pub fn texts(field: &Field<Many<String>>) -> Vec<String> {
    field.iter().flat_map(|f| &f.value).map(|v| v.value.clone()).collect()
}

impl Checker<'_> {
    /// The step, or `None` when its verb or place cannot be told. Needs are filled in by `order`.
    pub fn step(&mut self, (name, written): Row<'_>, plan: &Plan) -> Option<Step> {
        let verb = self.verb_key(name, written)?;
        self.misplaced(name, written, verb);
        let raw = &*self.with_defaults(written, verb);
        let action = self.verb(name, raw, verb, plan);
        let gate = raw.gate.as_ref().and_then(|question| self.gate(question, raw, plan));
        let place = self.step_place(name, raw, verb);
        let estimate = self.estimate(name, raw, verb);
        let undo = self.undo(name, raw, verb, estimate);
        let timeout = self.timeout(raw, verb, estimate, plan);
        let retry = self.retry(raw.retry.as_ref().map(|r| &r.value.0), 0);
        let step = Step {
            id: name.value.clone(),
            line: self.line(name.span),
            needs: self.needs(raw),
            place: place?,
            when: text(&raw.when),
            verb: action?,
            gate,
            undo: undo?,
            estimate,
            timeout,
            expect: raw.expect.as_ref().map(|e| Expect {
                min: e.value.min.as_ref().map(|m| m.value.0),
                max: e.value.max.as_ref().map(|m| m.value.0),
                hold_when_quick: e.value.on_quick.is_some(),
            }),
            retry,
            idempotent: raw.idempotent.as_ref().is_some_and(|b| b.value),
            atomic: raw.atomic.as_ref().is_some_and(|b| b.value),
            verify: self.command(&raw.verify),
            outputs: texts(&raw.outputs),
            on_failure: raw.on_failure.as_ref().map_or_else(|| default_on_failure(verb), |f| f.value.0),
            on_stop: raw.on_stop.as_ref().map(|s| s.value.0).unwrap_or_default(),
            uses: self.uses(raw, plan),
            hold: raw.hold.as_ref().map(|h| h.value.0),
            shell: self.shell(raw),
            fleet: self.fleet(raw),
            say: text(&raw.say),
            warn: text(&raw.warn),
            downtime: raw.downtime.as_ref().map(|d| d.value.0),
            opens: text(&raw.opens),
            baseline: raw.baseline.as_ref().is_some_and(|b| b.value),
            inconclusive: raw.inconclusive.iter().flat_map(|c| &c.value).map(|c| c.value.0 as u8).collect(),
            tags: texts(&raw.tags),
        };
        self.retry_is_harmless(name, raw, &step);
        self.restarts_hosts_only(raw, &step.place);
        self.expectation(raw);
        Some(step)
    }

    pub fn step_name(&mut self, name: &Spanned<String>) {
        let id = name.value.as_str();
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let fits = (1..=64).contains(&id.len()) && id.chars().all(allowed) && !id.starts_with(['.', '-']);
        if !fits {
            let shown = if id.is_empty() { "the empty text".to_string() } else { Quoted(id).to_string() };
            let d = Diagnostic::error(codes::STEP_NAME, format!("{shown} is not a name for a step"))
                .at(name.span, "not allowed");
            self.found.push(d.help(
                "allowed: letters, digits, `.`, `_` and `-`; a letter, a digit or `_` first; 1 to 64 characters",
            ));
        } else if matches!(id, "after_rollback" | "local") {
            self.error(codes::STEP_NAME, format!("a step cannot be called `{id}`"), name.span, "has a meaning already");
        }
    }

    /// The one verb of a step; `test` and `http` may stand together with `gate`.
    fn verb_key(&mut self, name: &Spanned<String>, raw: &RawStep) -> Option<&'static str> {
        let given: Vec<&'static str> = VERBS.into_iter().filter(|v| raw.has(v)).collect();
        match given[..] {
            [one] => Some(one),
            [judge @ ("test" | "http"), "gate"] => Some(judge),
            [] => {
                let d = Diagnostic::error(codes::VERB, format!("step {} does nothing", Quoted(&name.value)))
                    .at(name.span, "has no verb");
                let command = raw.shell.as_ref().filter(|s| s.value.contains(' '));
                self.found.push(match command {
                    Some(shell) => d
                        .label(shell.span, "names the program that reads the commands")
                        .help("write the command with `run`"),
                    None => d.help(format!("write one of {}", VERBS.join(", "))),
                });
                None
            }
            [first, second, ..] => {
                let message = format!("step {} has both `{first}` and `{second}`", Quoted(&name.value));
                let at = raw.place_of(second).unwrap_or(name.span);
                let d = Diagnostic::error(codes::VERB, message).at(at, "a second verb");
                let d = match raw.place_of(first) {
                    Some(span) => d.label(span, "the first"),
                    None => d,
                };
                self.found.push(
                    d.why("a step does one thing; only `test` or `http` may stand together with `gate`")
                        .help("write two steps"),
                );
                None
            }
        }
    }

    fn verb(&mut self, name: &Spanned<String>, raw: &RawStep, verb: &str, plan: &Plan) -> Option<Verb> {
        Some(match verb {
            "run" => Verb::Run(self.command(&raw.run)?),
            "script" => Verb::Script(text(&raw.script)?),
            "test" => Verb::Test(self.command(&raw.test)?),
            "copy" => {
                let copy = &raw.copy.as_ref()?.value;
                Verb::Copy(self.copy_file(
                    raw.copy.as_ref()?.span,
                    &copy.src,
                    &copy.dest,
                    copy.mode.as_ref().map(|m| m.value.0),
                    &copy.owner,
                )?)
            }
            "template" => {
                let t = &raw.template.as_ref()?.value;
                let file = self.copy_file(
                    raw.template.as_ref()?.span,
                    &t.src,
                    &t.dest,
                    t.mode.as_ref().map(|m| m.value.0),
                    &t.owner,
                )?;
                let rows = t.vars.iter().flat_map(|v| &v.value.rows);
                let vars: IndexMap<String, Value> = rows.map(|(k, v)| (k.value.clone(), v.value.0.clone())).collect();
                Verb::Template { file, vars }
            }
            "http" => Verb::Http(self.http(raw)?),
            "gate" => Verb::Gate,
            _ => Verb::Wait(self.wait(name, &raw.wait.as_ref()?.value, raw.wait.as_ref()?.span, plan)?),
        })
    }

    /// A command that is not empty.
    pub fn command(&mut self, field: &Field<String>) -> Option<String> {
        let field = field.as_ref()?;
        if field.value.trim().is_empty() {
            self.error(codes::EMPTY, "the command is empty", field.span, "nothing to execute");
            return None;
        }
        if field.value.contains('\0') {
            self.error(codes::EMPTY, "a command cannot hold a NUL character", field.span, "");
            return None;
        }
        Some(field.value.clone())
    }

    fn step_place(&mut self, name: &Spanned<String>, raw: &RawStep, verb: &str) -> Option<Place> {
        let place = raw.hosts.as_ref().map(|names| (self.place(&names.value), names.span));
        if raw.has("hosts") && place.is_none() {
            return None;
        }
        let until = raw.wait.as_ref().is_some_and(|w| w.value.until.is_some());
        match (verb, place) {
            ("gate", _) => Some(Place::Nowhere),
            ("wait", _) if !until => Some(Place::Nowhere),
            ("wait", None) => Some(Place::Controller),
            ("http", None | Some((Some(Place::Controller), _))) => Some(Place::Controller),
            ("http", Some((_, span))) => {
                let d =
                    Diagnostic::error(codes::MISPLACED, format!("`hosts` does not fit step {}", Quoted(&name.value)));
                self.found.push(
                    d.at(span, "an http request is made from here")
                        .help("remove it, or write `test: curl ...` to ask from a host"),
                );
                None
            }
            (_, Some((place, _))) => place,
            (_, None) => {
                let message = format!("step {} does not say where it runs", Quoted(&name.value));
                let d =
                    Diagnostic::error(codes::NO_HOSTS, message).at(name.span, format!("has `{verb}`, but no `hosts`"));
                self.found
                    .push(d.help("write `hosts:` with a group, a host, a list, `all`, or `local` for this machine"));
                None
            }
        }
    }

    fn estimate(&mut self, name: &Spanned<String>, raw: &RawStep, verb: &str) -> Option<Estimate> {
        if let Some(e) = &raw.estimate {
            self.lasts_its_hold(raw, e.value.0, e.span);
            return Some(e.value.0);
        }
        let waits = raw.wait.as_ref().and_then(|w| w.value.r#for.as_ref()).map(|d| Estimate::exactly(d.value.0));
        if waits.is_some() || (verb == "wait" && raw.wait.as_ref().is_some_and(|w| w.value.at.is_some())) {
            return waits;
        }
        if let Some(hold) = &raw.hold {
            return Some(Estimate::exactly(hold.value.0));
        }
        if self.timed && !raw.has("estimate") {
            if let Some(learnt) = self.outside.learnt.get(&name.value) {
                return Some(self.learnt(name, learnt));
            }
            let message = format!("step {} has no estimate", Quoted(&name.value));
            let d = Diagnostic::error(codes::ESTIMATE, message).at(name.span, "how long does it take?");
            self.found.push(
                d.why("without it nobody can tell when the last moment to roll back is")
                    .help("write `estimate: 20m`, or `estimate: 20m-30m` (expected - worst)"),
            );
        }
        None
    }

    /// An estimate is of the whole step, the time for which a test must stay true included.
    fn lasts_its_hold(&mut self, raw: &RawStep, estimate: Estimate, span: Span) {
        let Some(hold) = raw.hold.as_ref().map(|h| h.value.0).filter(|hold| estimate.expected < *hold) else { return };
        let message =
            format!("`estimate` of {} is shorter than the `hold` of {}", Short(estimate.expected), Short(hold));
        let d = Diagnostic::error(codes::RANGE, message).at(span, "of the whole step, its `hold` included");
        self.found.push(d.help("leave `estimate` out: the step is then expected to take as long as its `hold`"));
    }

    fn learnt(&mut self, name: &Spanned<String>, learnt: &Learnt) -> Estimate {
        let Learnt { estimate, from } = learnt;
        let message = format!("step {} has no estimate; {from}, so {estimate} is taken", Quoted(&name.value));
        let d = Diagnostic::warning(codes::LEARNT, message).at(name.span, "how long does it take?");
        self.found.push(d.help(format!("write `estimate: {}` when it is to stay so", learnt.estimate)));
        learnt.estimate
    }

    /// Twice the worst estimate where nothing else is said. What earlier runs took ends nothing: nobody wrote it.
    fn timeout(
        &mut self,
        raw: &RawStep,
        verb: &str,
        estimate: Option<Estimate>,
        plan: &Plan,
    ) -> Option<SignedDuration> {
        if let Some(timeout) = &raw.timeout {
            self.limit(timeout.value.0, "timeout", timeout.span, plan);
            if let Some(e) = estimate.filter(|e| timeout.value.0 < e.worst && !timeout.value.0.is_zero()) {
                let message = format!(
                    "the timeout of {} is shorter than the worst estimate of {}",
                    Short(timeout.value.0),
                    Short(e.worst)
                );
                self.found.push(
                    Diagnostic::warning(codes::SHORT_TIMEOUT, message).at(timeout.span, "would end it too early"),
                );
            }
            return Some(timeout.value.0);
        }
        let waits = verb == "wait" && !repeats(raw);
        let estimate = estimate.filter(|_| raw.estimate.is_some() || raw.hold.is_some());
        let worst = estimate.map(|e| e.worst).filter(|w| !w.is_zero())?;
        (verb != "gate" && !waits).then(|| worst + worst)
    }

    /// A time limit must be longer than nothing and shorter than the window.
    pub fn limit(&mut self, d: SignedDuration, key: &str, span: Span, plan: &Plan) {
        if d.is_zero() {
            self.error(codes::RANGE, format!("`{key}` must be longer than 0"), span, "no time at all");
        }
        let window = plan.window.as_ref().map(|w| match w.opening {
            Opening::At { opens, closes } => closes.duration_since(opens),
            Opening::WhenStarted { lasts } => lasts,
        });
        if let Some(window) = window.filter(|w| d > *w) {
            let message = format!("`{key}` of {} is longer than the window of {}", Short(d), Short(window));
            self.error(codes::RANGE, message, span, "longer than the window");
        }
    }

    pub fn retry(&mut self, raw: Option<&RawRetry>, otherwise: u32) -> Retry {
        match raw {
            None => Retry { times: otherwise, wait: RETRY_WAIT, ..Retry::default() },
            Some(raw) => Retry {
                times: raw.times.as_ref().map_or(otherwise.max(1), |t| t.value.0),
                wait: raw.wait.as_ref().map_or(RETRY_WAIT, |w| w.value.0),
                backoff: raw.backoff.as_ref().map(|b| b.value.0).unwrap_or_default(),
            },
        }
    }

    /// A second try of something that half happened can do it twice.
    fn retry_is_harmless(&mut self, name: &Spanned<String>, raw: &RawStep, step: &Step) {
        let built_in = matches!(step.undo, Undo::BuiltIn(_));
        let Some(retry) = raw.retry.as_ref().filter(|_| step.retry.times > 0) else { return };
        if !step.changes_something() || step.idempotent || built_in {
            return;
        }
        let message = format!("{} is retried, but a second run could repeat its effect", Quoted(&name.value));
        self.found.push(
            Diagnostic::error(codes::RETRY, message)
                .at(retry.span, "tries again after a failure")
                .why("a failed command may have done half or all of its work")
                .help("write `idempotent: true` beside it if running it twice does no harm, or remove `retry`"),
        );
    }

    fn expectation(&mut self, raw: &RawStep) {
        let Some(e) = &raw.expect else { return };
        if let (Some(min), Some(max)) = (&e.value.min, &e.value.max)
            && min.value.0 > max.value.0
        {
            let message = format!("`min` of {} is longer than `max` of {}", Short(min.value.0), Short(max.value.0));
            self.error(codes::RANGE, message, min.span, "nothing could be both");
        }
    }

    fn needs(&mut self, raw: &RawStep) -> Vec<Need> {
        let needs = raw.needs.iter().flat_map(|n| &n.value);
        needs.map(|n| Need { step: n.value.step.value.clone(), same_host: n.value.same_host }).collect()
    }

    fn uses(&mut self, raw: &RawStep, plan: &Plan) -> IndexMap<String, u32> {
        let mut uses = IndexMap::new();
        for (name, units) in raw.uses.iter().flat_map(|u| &u.value.rows) {
            match plan.resources.get(&name.value) {
                Some(capacity) if units.value.0 > *capacity => {
                    let message =
                        format!("{} units of `{}` are needed, but there are {capacity}", units.value.0, name.value);
                    self.error(codes::RESOURCE, message, units.span, "could never start");
                }
                Some(_) => {}
                None if self.raw.resources.as_ref().is_some_and(|r| r.value.broken.contains(&name.value)) => {}
                None => {
                    let known = plan.resources.keys().map(String::as_str);
                    let d = Diagnostic::error(codes::RESOURCE, format!("unknown resource {}", Quoted(&name.value)));
                    self.found.push(match crate::plan::words::nearest(&name.value, known) {
                        Some(near) => d.at(name.span, format!("did you mean `{near}`?")).fix(name.span, near),
                        None => d
                            .at(name.span, "not in `resources`")
                            .help(format!("write `resources: {{{}: 1}}` at the top of the plan", name.value)),
                    });
                }
            }
            uses.insert(name.value.clone(), units.value.0);
        }
        uses
    }

    fn shell(&mut self, raw: &RawStep) -> Shell {
        if let Some(user) = &raw.user {
            self.check_user(user);
        }
        for (name, _) in raw.env.iter().flat_map(|e| &e.value.rows) {
            let first = name.value.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
            if !first || !name.value.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                self.error(
                    codes::VARIABLE,
                    format!("{} is not a name for a variable", Quoted(&name.value)),
                    name.span,
                    "letters, digits and `_`",
                );
            }
        }
        let env = raw.env.iter().flat_map(|e| &e.value.rows).map(|(k, v)| (k.value.clone(), v.value.clone())).collect();
        Shell {
            program: text(&raw.shell),
            env,
            user: text(&raw.user),
            sudo: raw.sudo.as_ref().is_some_and(|b| b.value),
            dir: text(&raw.dir),
        }
    }

    /// The test that proves that the old version is back.
    pub fn after_rollback(&mut self, plan: &Plan) -> Option<Step> {
        let raw = self.raw.after_rollback.as_ref()?;
        if !raw.value.has("test") && !raw.value.has("http") || raw.value.has("gate") {
            let d = Diagnostic::error(codes::VERB, "`after_rollback` must be a test")
                .at(raw.span, "needs `test` or `http`");
            self.found.push(d.help("write `after_rollback: {hosts: GROUP, test: COMMAND, estimate: 5m}`"));
            return None;
        }
        if let Some(span) = raw.value.place_of("needs") {
            self.error(codes::MISPLACED, "`after_rollback` cannot have `needs`", span, "it runs after every undo");
        }
        let name = Spanned::new("after_rollback".to_string(), raw.span);
        self.step((&name, &raw.value), plan)
    }
}

pub fn clock_base(plan: &Plan) -> Base {
    match plan.window.as_ref().map(|w| &w.opening) {
        Some(Opening::At { opens, .. }) => Base::NextAfter(*opens),
        _ => Base::DateRequired,
    }
}

fn default_on_failure(verb: &str) -> OnFailure {
    match verb {
        "test" | "http" | "gate" => OnFailure::Rollback,
        _ => OnFailure::Ask,
    }
}
