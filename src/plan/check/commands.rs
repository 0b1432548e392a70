//! Names used in commands: every `{{ name }}` must be defined where it is used. Executes nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::Checker;
use super::texts::is_template;
use crate::plan::codes;
use crate::plan::diagnostic::{Diagnostic, Quoted, is_hidden};
use crate::plan::model::{Place, Plan, StepId, Verb};
use crate::plan::raw::{RawRollback, RawStep};
use crate::plan::span::{Span, Spanned};
use crate::plan::words;
use crate::template::{self, TemplateError};

/// What the engine tells every text.
const GIVEN: [&str; 5] = ["HOST", "RUNBOOK_RUN", "RUNBOOK_STEP", "RUNBOOK_HOST", "RUNBOOK_ATTEMPT"];

/// How a text is read: commands have no template comments (`${#name}` belongs to the shell).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    Command,
    Plain,
}

impl Reading {
    fn names(self, text: &str) -> Result<Vec<String>, TemplateError> {
        match self {
            Self::Command => template::command_syntax(text).map(|()| template::undeclared_in_command(text)),
            Self::Plain => template::syntax(text).map(|()| template::undeclared(text)),
        }
    }
}

/// Known at a place: the plan's variables, what the engine gives, and the outputs that exist by then.
struct Scope<'p> {
    base: &'p BTreeSet<String>,
    /// Output name -> the step that writes it.
    outputs: &'p BTreeMap<&'p str, &'p StepId>,
    step: &'p str,
    undoing: bool,
}

impl Checker<'_> {
    pub fn commands(&mut self, plan: &Plan) {
        self.outputs(plan);
        let outputs: BTreeMap<&str, &StepId> =
            plan.steps.values().flat_map(|s| s.outputs.iter().map(|o| (o.as_str(), &s.id))).collect();
        let mut base: BTreeSet<String> = plan.vars.keys().cloned().collect();
        let of_hosts: BTreeSet<&str> = plan.hosts.values().flat_map(|h| h.vars.keys().map(String::as_str)).collect();
        base.extend(of_hosts.into_iter().map(str::to_owned));
        base.extend(GIVEN.map(String::from));
        if plan.window.is_some() {
            base.insert("RUNBOOK_ROLL_BACK_BY".into());
        }
        let raw = self.raw;
        let rows = raw.steps.iter().flat_map(|s| &s.value.rows).map(|(name, raw)| (name.value.as_str(), &*raw.value));
        let after = raw.after_rollback.iter().map(|raw| ("after_rollback", &*raw.value));
        for (step, row) in rows.chain(after) {
            self.step_texts(plan, step, row, &base, &outputs);
        }
        self.templates(plan, &base, &outputs);
        self.hidden_characters();
    }

    /// Outputs are variables for later steps.
    fn outputs(&mut self, plan: &Plan) {
        let mut writers: BTreeMap<&str, Span> = BTreeMap::new();
        let raw = self.raw;
        for (name, row) in raw.steps.iter().flat_map(|s| &s.value.rows) {
            for output in row.value.outputs.iter().flat_map(|o| &o.value) {
                self.check_variable_name(output);
                if let Some(first) = writers.insert(&output.value, output.span) {
                    let d = Diagnostic::error(
                        codes::OUTPUT,
                        format!("two steps write the output {}", Quoted(&output.value)),
                    );
                    self.found.push(
                        d.at(output.span, format!("also an output of `{}`", name.value)).label(first, "first here"),
                    );
                } else if plan.vars.contains_key(&output.value) {
                    let message = format!(
                        "{} is a variable of the plan and an output of `{}`",
                        Quoted(&output.value),
                        name.value
                    );
                    self.error(codes::OUTPUT, message, output.span, "rename it");
                }
            }
        }
    }

    fn step_texts(
        &mut self,
        plan: &Plan,
        step: &str,
        raw: &RawStep,
        base: &BTreeSet<String>,
        outputs: &BTreeMap<&str, &StepId>,
    ) {
        let scope = Scope { base, outputs, step, undoing: false };
        if let Some(when) = &raw.when {
            self.expression(plan, when, &scope);
        }
        let drains = raw.drain.iter().chain(&raw.undrain).map(|d| &d.value.0);
        let drains = drains.flat_map(|d| d.run.iter().chain(&d.until));
        let wait = raw.wait.iter().flat_map(|w| &w.value.until);
        let http = raw.http.iter().flat_map(|h| h.value.0.url.iter().chain(&h.value.0.body));
        let commands = raw.run.iter().chain(&raw.test).chain(&raw.verify).chain(drains).chain(wait);
        for text in commands {
            self.template(plan, text, Reading::Command, &scope);
        }
        let env = raw.env.iter().flat_map(|e| &e.value.rows).map(|(_, value)| value);
        let plain = raw.say.iter().chain(&raw.gate).chain(&raw.dir).chain(http).map(|text| &**text);
        for text in plain.chain(env) {
            self.template(plan, text, Reading::Plain, &scope);
        }
        for command in raw.run.iter().chain(&raw.test).chain(&raw.verify) {
            self.dollar_names(command, raw, &scope);
        }
        if let Some(undo) = &raw.rollback {
            let RawRollback { run, verify, .. } = &undo.value.0;
            for text in run.iter().chain(verify) {
                self.template(plan, text, Reading::Command, &Scope { undoing: true, ..scope });
                self.dollar_names(text, raw, &Scope { undoing: true, ..scope });
            }
        }
    }

    fn template(&mut self, plan: &Plan, text: &Spanned<String>, reading: Reading, scope: &Scope<'_>) {
        if !is_template(&text.value) {
            return;
        }
        match reading.names(&text.value) {
            Ok(names) => self.names_exist(plan, &names, text.span, scope),
            Err(e) => self.broken_template(text, &e),
        }
    }

    fn expression(&mut self, plan: &Plan, when: &Spanned<String>, scope: &Scope<'_>) {
        if is_template(&when.value) || when.value.contains("${{") {
            let inner =
                when.value.trim().trim_start_matches('$').trim_start_matches("{{").trim_end_matches("}}").trim();
            let d = Diagnostic::error(codes::TEMPLATE, "`when` takes an expression without braces")
                .at(when.span, "no braces here");
            self.found.push(d.help(format!("write `when: {inner}`")).fix(when.span, inner));
            return;
        }
        match template::expression_syntax(&when.value) {
            Ok(()) => self.names_exist(plan, &template::undeclared_in_expression(&when.value), when.span, scope),
            Err(e) => {
                let d = Diagnostic::error(codes::TEMPLATE, format!("`when` cannot be read: {e}"));
                self.found.push(
                    d.at(when.span, "not an expression")
                        .help("write one such as `DB_CHANGES`, `not DB_CHANGES` or `VERSION == \"2.4\"`"),
                );
            }
        }
    }

    fn names_exist(&mut self, plan: &Plan, names: &[String], span: Span, scope: &Scope<'_>) {
        for name in names {
            if scope.base.contains(name) || (scope.undoing && name == "RUNBOOK_OUTCOME") {
                self.every_host_has(plan, name, span, scope.step);
                continue;
            }
            match scope.outputs.get(name.as_str()) {
                Some(writer) => self.output_exists(plan, name, writer, span, scope),
                None => {
                    let mut known = scope.base.clone();
                    known.extend(scope.outputs.keys().map(ToString::to_string));
                    self.undefined(name, span, &known);
                }
            }
        }
    }

    /// A name that only hosts define must be defined by all of the step's.
    fn every_host_has(&mut self, plan: &Plan, name: &str, span: Span, step: &str) {
        let step = plan.steps.get(step).or(plan.after_rollback.as_ref()).filter(|s| s.id == step);
        let given = GIVEN.contains(&name) || name == "RUNBOOK_ROLL_BACK_BY" || plan.vars.contains_key(name);
        let Some(step) = step.filter(|_| !given) else { return };
        if let Verb::Template { vars, .. } = &step.verb
            && vars.contains_key(name)
        {
            return;
        }
        let hosts: Vec<&String> = match &step.place {
            Place::Hosts(hosts) => hosts.iter().collect(),
            Place::Wave => plan.hosts.keys().collect(),
            Place::Controller | Place::Nowhere => {
                let at = self.within(span, name);
                let d = Diagnostic::error(codes::UNDEFINED, format!("{} is a variable of hosts only", Quoted(name)));
                self.found.push(d.at(at, "this step runs on none of them").help("define it in the plan's `vars`"));
                return;
            }
        };
        let missing: Vec<&str> = hosts
            .iter()
            .filter(|h| plan.hosts.get(**h).is_some_and(|host| !host.vars.contains_key(name)))
            .map(|h| h.as_str())
            .collect();
        if let Some(first) = missing.first().filter(|_| !self.machines.open) {
            let at = self.within(span, name);
            let more = missing.len() - 1;
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let message = format!("{} is not defined for {first}{more}", Quoted(name));
            let label = format!("{} of this step's {} hosts define it", hosts.len() - missing.len(), hosts.len());
            let d = Diagnostic::error(codes::UNDEFINED, message).at(at, label);
            self.found.push(d.help(format!(
                "give it to all of them, or a value for the others in the plan: `vars: {{{name}: ...}}`"
            )));
        }
    }

    /// An output exists after its step, and for that step's own rollback.
    fn output_exists(&mut self, plan: &Plan, name: &str, writer: &str, span: Span, scope: &Scope<'_>) {
        let own_rollback = scope.undoing && writer == scope.step;
        if own_rollback || scope.step == "after_rollback" || Self::is_upstream(plan, scope.step, writer) {
            return;
        }
        let at = self.within(span, name);
        let message = if writer == scope.step {
            format!("{} is an output of this step, so it does not exist before it has run", Quoted(name))
        } else if Self::is_upstream(plan, writer, scope.step) {
            format!("{} comes from `{writer}`, which runs after `{}`, so it cannot exist yet", Quoted(name), scope.step)
        } else {
            format!("{} comes from `{writer}`, but `{}` does not wait for that step", Quoted(name), scope.step)
        };
        let d = Diagnostic::error(codes::OUTPUT, message).at(at, "used here");
        let d = match self.name_of(writer) {
            Some(written) => d.label(written, "written by this step"),
            None => d,
        };
        self.found.push(if writer == scope.step {
            d
        } else {
            d.help(format!("let `{}` need `{writer}`, or do not use this output here", scope.step))
        });
    }

    /// `$VERSOIN` cannot be known to be wrong, but a variable with nearly that name makes it suspicious.
    fn dollar_names(&mut self, command: &Spanned<String>, raw: &RawStep, scope: &Scope<'_>) {
        for name in dollar_names(&command.value) {
            let env = || raw.env.iter().flat_map(|e| &e.value.rows).any(|(k, _)| k.value == name);
            let assigned =
                || command.value.contains(&format!("{name}=")) || command.value.contains(&format!("read {name}"));
            if scope.base.contains(name)
                || scope.outputs.contains_key(name)
                || name.starts_with("RUNBOOK_")
                || env()
                || assigned()
            {
                continue;
            }
            let known = scope.base.iter().map(String::as_str).filter(|k| k.len() > 3 && !k.starts_with("RUNBOOK_"));
            if let Some(near) = words::nearest(name, known).filter(|_| name.len() > 3) {
                let at = self.within(command.span, name);
                let d = Diagnostic::warning(codes::NEAR_VARIABLE, format!("`${name}` is no variable of this plan"));
                self.found.push(
                    d.at(at, format!("did you mean `${near}`?"))
                        .why("an unknown variable ends a command at once, because the shell runs with -u"),
                );
            }
        }
    }

    /// The texts of template files, with the variables of their step.
    fn templates(&mut self, plan: &Plan, base: &BTreeSet<String>, outputs: &BTreeMap<&str, &StepId>) {
        let outside = self.outside;
        for step in plan.steps.values() {
            let Verb::Template { file, vars } = &step.verb else { continue };
            let Some(Ok(seen)) = outside.files.get(&file.src) else { continue };
            let Some(text) = &seen.text else { continue };
            let src = self
                .raw_step(&step.id)
                .and_then(|r| r.template.as_ref())
                .and_then(|t| t.value.src.as_ref())
                .map(|s| s.span);
            let src = src.unwrap_or_default();
            let mut base = base.clone();
            base.extend(vars.keys().cloned());
            match Reading::Plain.names(text) {
                Ok(names) => {
                    let before = self.found.len();
                    self.names_exist(
                        plan,
                        &names,
                        src,
                        &Scope { base: &base, outputs, step: &step.id, undoing: false },
                    );
                    for d in &mut self.found[before..] {
                        d.message = format!("in {}: {}", file.src, d.message);
                        d.fix = None;
                        if let Some(primary) = &mut d.primary {
                            primary.span = src;
                        }
                    }
                }
                Err(e) => {
                    let line = e.line.map_or_else(String::new, |l| format!(" line {l}"));
                    let message = format!("{}{line} cannot be rendered: {}", file.src, e);
                    self.error(codes::TEMPLATE, message, src, "this file");
                }
            }
        }
    }

    /// Characters that make a reviewer see something else than what runs.
    fn hidden_characters(&mut self) {
        let text = self.source.text();
        if all_plain(text) {
            return;
        }
        let hidden = text.char_indices().filter(|(_, c)| is_hidden(*c) && !matches!(c, '\n' | '\r' | '\t'));
        let hidden: Vec<_> = hidden.take(20).collect();
        for (at, c) in hidden {
            let message = format!("hidden character U+{:04X}", u32::from(c));
            self.found.push(
                Diagnostic::warning(codes::HIDDEN, message)
                    .at(Span::new(at, at + c.len_utf8()), "cannot be seen, or changes what is seen")
                    .why("what is reviewed must be what runs")
                    .help("remove it, or write it as an escape in double quotes"),
            );
        }
    }
}

/// Whether a text holds nothing but visible ASCII, blanks and line ends. Looks at many bytes at once, with no way out among them.
fn all_plain(text: &str) -> bool {
    let plain = |b: u8| (b' '..0x7f).contains(&b) | (b == b'\n') | (b == b'\r') | (b == b'\t');
    text.as_bytes().chunks(256).all(|bytes| bytes.iter().fold(true, |all, b| all & plain(*b)))
}

/// The names of `$NAME` and `${NAME...}` in a shell text; a rough reading is enough for a warning.
pub fn dollar_names(command: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for (i, _) in command.match_indices('$') {
        let rest = &command[i + 1..];
        let rest = rest.strip_prefix('{').unwrap_or(rest);
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let optional =
            rest[end..].starts_with(":-") || rest[end..].starts_with('-') && command[i + 1..].starts_with('{');
        if end > 0 && !rest.starts_with(|c: char| c.is_ascii_digit()) && !optional {
            names.push(&rest[..end]);
        }
    }
    names
}
