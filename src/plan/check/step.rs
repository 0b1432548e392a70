//! One step: its verb, place, times, and the keys that fit them. Knows nothing of the order of steps.

use indexmap::IndexMap;
use jiff::SignedDuration;

use super::clock::Base;
use super::{Checker, Row};
use crate::plan::codes;
use crate::plan::diagnostic::{Diagnostic, Quoted};
use crate::plan::model::{
    CopyFile, Drain, Expect, Fleet, Gate, HttpCheck, Need, OnFailure, Opening, Place, Plan, Retry, Shell, Step, Undo,
    Value, Verb, Wait,
};
use crate::plan::raw::{Many, RawRetry, RawStep, RawWait};
use crate::plan::shapes::Drainage;
use crate::plan::span::{Span, Spanned};
use crate::plan::units::{Estimate, Short};

pub const VERBS: [&str; 8] = ["run", "script", "copy", "template", "test", "http", "gate", "wait"];

/// Time between two tries where the plan says nothing.
const RETRY_WAIT: SignedDuration = SignedDuration::from_secs(10);
const UNTIL_EVERY: SignedDuration = SignedDuration::from_secs(10);

/// Keys that only mean something for work that changes a host.
const WORK_KEYS: [&str; 4] = ["verify", "outputs", "idempotent", "atomic"];
const FLEET_KEYS: [&str; 7] = ["keep_up", "allow_failed", "order", "canary", "drain", "reboot", "undrain"];
const SHELL_KEYS: [&str; 5] = ["env", "user", "sudo", "shell", "dir"];
const GATE_KEYS: [&str; 6] = ["who", "checklist", "call_ahead", "answer_by", "not_author", "quorum"];

fn text(field: &Option<Spanned<String>>) -> Option<String> {
    field.as_ref().map(|f| f.value.clone())
}

pub fn texts(field: &Option<Spanned<Many<String>>>) -> Vec<String> {
    field.iter().flat_map(|f| &f.value).map(|v| v.value.clone()).collect()
}

impl Checker<'_> {
    /// The step, or `None` when its verb or place cannot be told. Needs are filled in by `order`.
    pub fn step(&mut self, (name, written): Row<'_>, plan: &Plan) -> Option<Step> {
        let verb = self.verb_key(name, written)?;
        self.misplaced(name, written, verb);
        let raw = &self.with_defaults(written, verb);
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
            tags: texts(&raw.tags),
        };
        self.retry_is_harmless(name, raw, &step);
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
                self.found.push(d.help(format!("write one of {}", VERBS.join(", "))));
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

    /// Keys that do not fit the verb. Only what the step itself says; defaults that do not fit are left out silently.
    fn misplaced(&mut self, name: &Spanned<String>, raw: &RawStep, verb: &str) {
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
        match verb {
            "gate" => {
                let why = "a gate runs no command";
                report(&WORK_KEYS, why);
                report(&FLEET_KEYS, why);
                report(&SHELL_KEYS, why);
                report(&["hosts", "retry", "at_once", "hold", "expect"], why);
            }
            "wait" if !raw.wait.as_ref().is_some_and(|w| w.value.until.is_some()) => {
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
        }
    }

    /// The step with what `defaults` adds to it, where that fits.
    fn with_defaults(&self, written: &RawStep, verb: &str) -> RawStep {
        let mut raw = written.clone();
        let Some(defaults) = self.raw.defaults.as_ref().map(|d| &*d.value) else { return raw };
        let runs = !matches!(verb, "gate" | "http")
            && !(verb == "wait" && !written.wait.as_ref().is_some_and(|w| w.value.until.is_some()));
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
        adopt!(hold where matches!(verb, "test" | "http"));
        adopt!(read_only where matches!(verb, "run" | "script") && !super::undo::says_how(written));
        adopt!(who, checklist, call_ahead, answer_by, not_author, quorum where written.has("gate"));
        raw
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
    pub fn command(&mut self, field: &Option<Spanned<String>>) -> Option<String> {
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

    fn copy_file(
        &mut self,
        span: Span,
        src: &Option<Spanned<String>>,
        dest: &Option<Spanned<String>>,
        mode: Option<u32>,
        owner: &Option<Spanned<String>>,
    ) -> Option<CopyFile> {
        for (key, field) in [("src", src), ("dest", dest)] {
            if field.is_none() {
                let d = Diagnostic::error(codes::MISSING, format!("`{key}` is missing"))
                    .at(span, "says what, but not from where to where");
                self.found.push(d.help("write `copy: {src: FILE, dest: /path/on/the/host}`"));
                return None;
            }
        }
        let (src, dest) = (src.as_ref()?, dest.as_ref()?);
        self.destination(dest);
        if let Some(owner) = owner {
            for part in owner.value.splitn(2, ':') {
                self.check_user(&Spanned::new(part.to_string(), owner.span));
            }
        }
        Some(CopyFile { src: src.value.clone(), dest: dest.value.clone(), mode, owner: text(owner) })
    }

    fn destination(&mut self, dest: &Spanned<String>) {
        let path = dest.value.as_str();
        if !path.starts_with('/') || path.split('/').any(|part| part == "..") || path.contains('\0') || path == "/" {
            let message = format!("{} is not a path on the host", Quoted(path));
            let d = Diagnostic::error(codes::DESTINATION, message).at(dest.span, "must be absolute, without `..`");
            self.found.push(d.help("write the whole path, such as /etc/app/app.conf"));
        }
    }

    fn http(&mut self, raw: &RawStep) -> Option<HttpCheck> {
        let http = raw.http.as_ref()?;
        let (span, raw) = (http.span, &http.value.0);
        let Some(url) = &raw.url else {
            self.error(codes::MISSING, "`url` is missing", span, "which address?");
            return None;
        };
        if !url.value.starts_with("http://")
            && !url.value.starts_with("https://")
            && !super::texts::is_template(&url.value)
        {
            let message = format!("{} is not a web address", Quoted(&url.value));
            self.error(codes::URL, message, url.span, "write http://... or https://...");
        }
        let method = raw.method.as_ref().map_or_else(|| "GET".to_string(), |m| m.value.to_ascii_uppercase());
        if let Some(m) =
            raw.method.as_ref().filter(|_| !matches!(&*method, "GET" | "HEAD" | "POST" | "PUT" | "OPTIONS"))
        {
            let message = format!("{} is not a method for a test", Quoted(&m.value));
            self.error(codes::URL, message, m.span, "GET, HEAD, POST, PUT or OPTIONS");
        }
        let expect = raw.expect.iter().flat_map(|e| &e.value).filter_map(|c| u16::try_from(c.value.0).ok()).collect();
        let headers =
            raw.headers.iter().flat_map(|h| &h.value.rows).map(|(k, v)| (k.value.clone(), v.value.clone())).collect();
        Some(HttpCheck {
            url: url.value.clone(),
            method,
            expect,
            body_contains: text(&raw.body_contains),
            body_matches: text(&raw.body_matches),
            headers,
            body: text(&raw.body),
        })
    }

    fn wait(&mut self, name: &Spanned<String>, raw: &RawWait, span: Span, plan: &Plan) -> Option<Wait> {
        if let (Some(every), None) = (&raw.every, &raw.until) {
            self.error(codes::MISPLACED, "`every` belongs to `until`", every.span, "there is nothing to repeat");
        }
        match (&raw.r#for, &raw.at, &raw.until) {
            (Some(d), None, None) => Some(Wait::For(d.value.0)),
            (None, Some(at), None) => Some(Wait::At(self.instant(at, clock_base(plan), None)?)),
            (None, None, Some(_)) => {
                let every = raw.every.as_ref().map_or(UNTIL_EVERY, |e| e.value.0);
                if let Some(e) = raw.every.as_ref().filter(|e| e.value.0.is_zero()) {
                    self.error(codes::RANGE, "`every` must be longer than 0", e.span, "without a pause");
                }
                Some(Wait::Until { command: self.command(&raw.until)?, every })
            }
            _ => {
                if raw.broken.is_empty() {
                    let message = format!("step {} does not say what to wait for", Quoted(&name.value));
                    let d = Diagnostic::error(codes::VERB, message).at(span, "exactly one of `for`, `at` and `until`");
                    self.found.push(d.help("write {for: 10m}, {at: \"02:00\"} or {until: COMMAND, every: 10s}"));
                }
                None
            }
        }
    }

    fn gate(&mut self, question: &Spanned<String>, raw: &RawStep, plan: &Plan) -> Option<Gate> {
        let asked = Asked {
            who: &raw.who,
            checklist: &raw.checklist,
            call_ahead: raw.call_ahead.as_ref().map(|c| c.value.0),
            not_author: raw.not_author.as_ref().is_some_and(|b| b.value),
            quorum: raw.quorum.as_ref().map(|q| Spanned::new(q.value.0, q.span)),
        };
        let mut gate = self.question(question, &asked, plan)?;
        if let Some(by) = &raw.answer_by {
            gate.answer_by = self.instant(by, clock_base(plan), None);
            if let (Some(at), Some(Opening::At { opens, closes })) =
                (gate.answer_by, plan.window.as_ref().map(|w| &w.opening))
                && !(*opens..*closes).contains(&at)
            {
                self.error(
                    codes::RANGE,
                    "`answer_by` lies outside the window",
                    by.span,
                    "before it opens, or after it closes",
                );
            }
        }
        Some(gate)
    }

    /// A question with who may answer it, of a step or a wave.
    pub fn question(&mut self, question: &Spanned<String>, asked: &Asked<'_>, plan: &Plan) -> Option<Gate> {
        if question.value.trim().is_empty() {
            self.error(codes::EMPTY, "the gate asks nothing", question.span, "write the question");
        }
        if let Some(who) = asked.who {
            if who.value.is_empty() {
                let d = Diagnostic::error(codes::WHO, "nobody could answer this gate").at(who.span, "names nobody");
                self.found.push(d.help("name people of the plan: `who: [release]`; without `who`, anybody may answer"));
            }
            for person in &who.value {
                self.person(person, plan);
            }
        }
        let who = texts(asked.who);
        if let Some(quorum) = asked.quorum.as_ref().filter(|q| !who.is_empty() && q.value as usize > who.len()) {
            let message = format!("{} people must approve, but only {} may", quorum.value, who.len());
            self.error(codes::WHO, message, quorum.span, "more than `who` names");
        }
        Some(Gate {
            question: question.value.clone(),
            who,
            checklist: texts(asked.checklist),
            call_ahead: asked.call_ahead,
            answer_by: None,
            not_author: asked.not_author,
            quorum: asked.quorum.as_ref().map_or(1, |q| q.value),
        })
    }

    fn person(&mut self, person: &Spanned<String>, plan: &Plan) {
        let broken = self.raw.people.as_ref().is_some_and(|p| p.value.broken.contains(&person.value));
        if plan.people.contains_key(&person.value) || broken || (self.raw.has("people") && self.raw.people.is_none()) {
            return;
        }
        let d = Diagnostic::error(codes::PERSON, format!("unknown person {}", Quoted(&person.value)));
        let known = plan.people.keys().map(String::as_str);
        self.found.push(match crate::plan::words::nearest(&person.value, known) {
            Some(near) => d.at(person.span, format!("did you mean `{near}`?")).fix(person.span, near),
            None => d.at(person.span, "not in `people`").help(format!(
                "write `people: {{{}: {{name: ..., phone: ...}}}}` at the top of the plan",
                person.value
            )),
        });
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
            let message = format!("step {} has no estimate", Quoted(&name.value));
            let d = Diagnostic::error(codes::ESTIMATE, message).at(name.span, "how long does it take?");
            self.found.push(
                d.why("without it nobody can tell when the last moment to roll back is")
                    .help("write `estimate: 20m`, or `estimate: 20m-30m` (expected - worst)"),
            );
        }
        None
    }

    fn timeout(
        &mut self,
        raw: &RawStep,
        verb: &str,
        estimate: Option<Estimate>,
        plan: &Plan,
    ) -> Option<SignedDuration> {
        if let Some(timeout) = &raw.timeout {
            self.limit(timeout.value.0, "timeout", timeout.span, plan);
            if let Some(e) = estimate.filter(|e| timeout.value.0 < e.worst) {
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
        let waits = verb == "wait" && !raw.wait.as_ref().is_some_and(|w| w.value.until.is_some());
        let worst = estimate.map(|e| e.worst).filter(|w| !w.is_zero())?;
        (verb != "gate" && !waits)
            .then(|| worst + worst + raw.hold.as_ref().map_or(SignedDuration::ZERO, |h| h.value.0))
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

    fn fleet(&mut self, raw: &RawStep) -> Fleet {
        if let (Some(drain), false) = (&raw.drain, raw.has("undrain")) {
            let d = Diagnostic::warning(
                codes::DRAIN,
                "`drain` takes hosts out of service, but no `undrain` brings them back",
            );
            self.found.push(d.at(drain.span, "and then?").help("write `undrain: COMMAND`"));
        }
        Fleet {
            at_once: raw.at_once.as_ref().map(|s| s.value),
            keep_up: raw.keep_up.as_ref().map(|s| s.value),
            allow_failed: raw.allow_failed.as_ref().map(|s| s.value),
            order: raw.order.as_ref().map(|o| o.value.0).unwrap_or_default(),
            canary: raw.canary.as_ref().is_some_and(|b| b.value),
            drain: raw.drain.as_ref().and_then(|d| self.drain(&d.value, d.span)),
            reboot: raw.reboot.as_ref().map(|r| r.value.0),
            undrain: raw.undrain.as_ref().and_then(|d| self.drain(&d.value, d.span)),
        }
    }

    fn drain(&mut self, drain: &Drainage, span: Span) -> Option<Drain> {
        let raw = &drain.0;
        if raw.run.is_none() && !raw.has("run") {
            self.error(codes::MISSING, "`run` is missing", span, "which command?");
        }
        Some(Drain {
            run: self.command(&raw.run)?,
            hosts: raw.hosts.as_ref().and_then(|h| self.place(&h.value)),
            until: self.command(&raw.until),
            timeout: raw.timeout.as_ref().map(|t| t.value.0),
        })
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

/// A gate's people, of a step or a wave.
#[derive(Debug)]
pub struct Asked<'r> {
    pub who: &'r Option<Spanned<Many<String>>>,
    pub checklist: &'r Option<Spanned<Many<String>>>,
    pub call_ahead: Option<SignedDuration>,
    pub not_author: bool,
    pub quorum: Option<Spanned<u32>>,
}

fn clock_base(plan: &Plan) -> Base {
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
