//! Attempt -> job: the texts of the plan with the values of this run in them. Knows nothing of when or why it runs.
//!
//! Pure: the same graph, attempt and [`Known`] always give the same job, so a resumed run renders what it rendered before.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::action::StepIx;
use super::build::Graph;
use super::ids::{ActionId, AttemptId, Direction};
use super::job::{Content, Job, Work};
use super::outcome::Outcome;
use super::{parts, soak};
use crate::plan::model::{CopyFile, FileKind, HttpCheck, Rollback, RollbackWork, SecretRef, Step, Value, Verb, Wait};
use crate::template::{self, Scope, TemplateError};

/// What the actions of this run have written to `$RUNBOOK_OUTPUT` so far.
pub type Outputs = BTreeMap<ActionId, BTreeMap<String, String>>;

/// What a run knows beyond its plan when an attempt is rendered.
#[derive(Debug, Clone)]
pub struct Known<'a> {
    pub run: &'a str,
    pub outputs: &'a Outputs,
    pub roll_back_by: Option<Timestamp>,
    /// How the work that is being undone ended.
    pub forward_outcome: Option<&'a Outcome>,
    /// The attempts whose files a built-in rollback brings back, newest first.
    pub replaced_by: Vec<AttemptId>,
}

/// How often it is looked whether a host is drained, or back in service.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(2);

type Variables = BTreeMap<String, String>;
type Secrets = BTreeMap<String, SecretRef>;

/// Why an attempt has no work that could be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    #[error("{what} of `{step}`: {source}")]
    Template { step: String, what: &'static str, source: Box<TemplateError> },
    #[error("`{attempt}` has nothing to execute")]
    NoWork { attempt: String },
    #[error("the plan has no action `{0}`")]
    UnknownAction(ActionId),
    #[error("the file {0} was not frozen with the plan")]
    MissingFile(String),
    #[error("{what} of `{step}` became {value:?}, which {why}")]
    Unusable { step: String, what: &'static str, value: String, why: &'static str },
}

/// Renders one attempt, of a step or of `after_rollback`.
///
/// # Errors
/// When a text names something undefined, or the attempt has no work (a gate, a wait for a time, no `verify`).
pub fn job(graph: &Graph, attempt: &AttemptId, known: &Known<'_>) -> Result<Job, RenderError> {
    let subject = Subject::find(graph, attempt)?;
    let scope = scope(graph, &subject, attempt, known);
    Rendering { graph, subject: &subject, attempt, known, scope: &scope }.job()
}

/// The names that the texts of an action may use before anything has run: variables, host variables and the run's own
/// names. Outputs of earlier steps are added by the caller where it knows them.
#[must_use]
pub fn scope_of(graph: &Graph, attempt: &AttemptId, known: &Known<'_>) -> Scope {
    Subject::find(graph, attempt).map(|s| scope(graph, &s, attempt, known)).unwrap_or_default()
}

/// Decides the `when` of an action; an action without one is wanted.
///
/// # Errors
/// When the expression cannot be decided.
pub fn wanted(graph: &Graph, action: &ActionId, known: &Known<'_>) -> Result<bool, RenderError> {
    let attempt = AttemptId { action: action.clone(), direction: Direction::Do, number: 1 };
    let subject = Subject::find(graph, &attempt)?;
    let Some(when) = &subject.step.when else { return Ok(true) };
    template::truth(when, &scope(graph, &subject, &attempt, known)).map_err(|source| RenderError::Template {
        step: subject.step.id.clone(),
        what: "when",
        source: Box::new(source),
    })
}

/// Whether it is certain before anything has run that a step is skipped on all its hosts: from variables, not from
/// outputs.
#[must_use]
pub fn never_wanted(graph: &Graph, step: StepIx) -> bool {
    let Some(when) = &graph.step(step).when else { return false };
    let outputs = Outputs::new();
    let known =
        Known { run: "", outputs: &outputs, roll_back_by: None, forward_outcome: None, replaced_by: Vec::new() };
    let own = |name: &String| name == "HOST" || name.starts_with("RUNBOOK_");
    let same_everywhere = graph.plan().hosts.values().all(|h| h.vars.is_empty())
        && !template::undeclared_in_expression(when).iter().any(own);
    let asked = if same_everywhere { 1 } else { usize::MAX };
    graph.actions_of(step).take(asked).all(|ix| wanted(graph, &graph.action(ix).id, &known) == Ok(false))
}

/// The sentence for the timeline, where the step has one.
///
/// # Errors
/// When it names something undefined.
pub fn say(graph: &Graph, action: &ActionId, known: &Known<'_>) -> Result<Option<String>, RenderError> {
    let attempt = AttemptId { action: action.clone(), direction: Direction::Do, number: 1 };
    let subject = Subject::find(graph, &attempt)?;
    let Some(say) = &subject.step.say else { return Ok(None) };
    let rendered = template::plain(say, &scope(graph, &subject, &attempt, known));
    rendered.map(Some).map_err(|source| RenderError::Template {
        step: subject.step.id.clone(),
        what: "say",
        source: Box::new(source),
    })
}

/// The action an attempt belongs to. `ix` is `None` for `after_rollback`, which is outside of the forward graph.
struct Subject<'a> {
    step: &'a Step,
    ix: Option<StepIx>,
}

impl<'a> Subject<'a> {
    fn find(graph: &'a Graph, attempt: &AttemptId) -> Result<Self, RenderError> {
        if let Some(ix) = graph.find(&attempt.action) {
            let step = graph.action(ix).step;
            return Ok(Self { step: graph.step(step), ix: Some(step) });
        }
        let after = graph.after_rollback().iter().any(|a| a.id == attempt.action);
        match (after, &graph.plan().after_rollback) {
            (true, Some(step)) => Ok(Self { step, ix: None }),
            _ => Err(RenderError::UnknownAction(attempt.action.clone())),
        }
    }
}

struct Rendering<'a> {
    graph: &'a Graph,
    subject: &'a Subject<'a>,
    attempt: &'a AttemptId,
    known: &'a Known<'a>,
    scope: &'a Scope,
}

impl Rendering<'_> {
    fn job(&self) -> Result<Job, RenderError> {
        let step = self.subject.step;
        let part = self.attempt.direction;
        let worst =
            if part.is_back() { step.rollback().map(|r| r.estimate.worst) } else { step.estimate.map(|e| e.worst) };
        let limit = parts::limit(step, part).or_else(|| twice(worst));
        let timeout = if part == Direction::Do { limit.map(|t| soak::limit(step, t)) } else { limit };
        let work = self.work()?;
        let (env, secrets) = self.environment()?;
        let repeats = matches!(step.verb, Verb::Wait(Wait::Until { .. })) || step.hold.is_some();
        let own_loop = match part {
            Direction::Do => repeats,
            Direction::Drained | Direction::Undrained | Direction::UndoUndrained => true,
            _ => false,
        };
        Ok(Job {
            attempt: self.attempt.clone(),
            site: self.graph.site_of(self.attempt).ok_or_else(|| self.no_work())?,
            work,
            env,
            secrets,
            // The loop around a repeated command is ours; it starts the step's own shell.
            shell: if own_loop { None } else { step.shell.program.clone() },
            user: step.shell.user.clone(),
            sudo: step.shell.sudo,
            dir: step.shell.dir.as_deref().map(|d| self.plain(d, "dir")).transpose()?,
            timeout,
            outputs: if part == Direction::Do { step.outputs.clone() } else { Vec::new() },
        })
    }

    fn work(&self) -> Result<Work, RenderError> {
        let (step, part) = (self.subject.step, self.attempt.direction);
        let undo = || step.rollback().ok_or_else(|| self.no_work());
        let drain = || parts::drain_of(step, part).ok_or_else(|| self.no_work());
        match part {
            Direction::Do => self.forward(),
            Direction::Check => self.check(step.verify.as_deref(), "verify"),
            Direction::Undo => self.undo(undo()?),
            Direction::UndoCheck => self.check(undo()?.verify.as_deref(), "rollback verify"),
            Direction::Drain => self.shell(&drain()?.run, "drain"),
            Direction::Undrain | Direction::UndoUndrain => self.shell(&drain()?.run, "undrain"),
            Direction::Drained => self.waiting(drain()?.until.as_deref(), "drain until"),
            Direction::Undrained | Direction::UndoUndrained => self.waiting(drain()?.until.as_deref(), "undrain until"),
            Direction::Reboot | Direction::UndoReboot => Ok(Work::Reboot),
        }
    }

    /// What is repeated until it is true.
    fn waiting(&self, until: Option<&str>, what: &'static str) -> Result<Work, RenderError> {
        let text = self.text(until.ok_or_else(|| self.no_work())?, what)?;
        Ok(Work::Shell(soak::until_true(&text, &self.subject.step.shell, LOOK_AGAIN)))
    }

    fn forward(&self) -> Result<Work, RenderError> {
        let step = self.subject.step;
        match &step.verb {
            Verb::Run(text) => self.shell(text, "run"),
            Verb::Test(text) => match step.hold {
                Some(hold) => Ok(Work::Shell(soak::stays_true(&self.text(text, "test")?, &step.shell, hold))),
                None => self.shell(text, "test"),
            },
            Verb::Script(src) => self.script(src),
            Verb::Copy(file) => {
                let facts = self.facts(&file.src)?;
                let directory = facts.kind == FileKind::Directory;
                let content = Content::FromDisk { src: file.src.clone(), sha256: facts.sha256.clone(), directory };
                self.put(file, content)
            }
            Verb::Template { file, vars } => {
                let mut scope = self.scope.clone();
                for (name, value) in vars {
                    scope.set(name, value.clone());
                }
                let source = self.facts(&file.src)?.text.as_deref();
                let source = source.ok_or_else(|| RenderError::MissingFile(file.src.clone()))?;
                let text = template::file(source, &scope).map_err(|e| self.wrong("template", e))?;
                self.put(file, Content::Text(text))
            }
            Verb::Http(check) => Ok(Work::Http(self.http(check)?)),
            Verb::Wait(Wait::Until { command, every }) => {
                Ok(Work::Shell(soak::until_true(&self.text(command, "wait")?, &step.shell, *every)))
            }
            Verb::Gate | Verb::Wait(Wait::For(_) | Wait::At(_)) => Err(self.no_work()),
        }
    }

    fn undo(&self, rollback: &Rollback) -> Result<Work, RenderError> {
        match &rollback.work {
            RollbackWork::Run(text) => self.shell(text, "rollback"),
            RollbackWork::Script(src) => self.script(src),
            RollbackWork::Restore => match &self.subject.step.verb {
                Verb::Copy(file) | Verb::Template { file, .. } => {
                    Ok(Work::Restore { dest: self.dest(file)?, replaced_by: self.known.replaced_by.clone() })
                }
                _ => Err(self.no_work()),
            },
        }
    }

    fn check(&self, verify: Option<&str>, what: &'static str) -> Result<Work, RenderError> {
        self.shell(verify.ok_or_else(|| self.no_work())?, what)
    }

    fn shell(&self, text: &str, what: &'static str) -> Result<Work, RenderError> {
        self.text(text, what).map(Work::Shell)
    }

    fn script(&self, src: &str) -> Result<Work, RenderError> {
        Ok(Work::Script { src: src.to_owned(), sha256: self.facts(src)?.sha256.clone() })
    }

    fn put(&self, file: &CopyFile, content: Content) -> Result<Work, RenderError> {
        Ok(Work::Put { content, dest: self.dest(file)?, mode: file.mode, owner: file.owner.clone() })
    }

    /// A rendered path must be as harmless as a written one.
    fn dest(&self, file: &CopyFile) -> Result<String, RenderError> {
        let dest = self.plain(&file.dest, "dest")?;
        let unusable = |why| {
            Err(RenderError::Unusable { step: self.subject.step.id.clone(), what: "dest", value: dest.clone(), why })
        };
        if !dest.starts_with('/') {
            return unusable("is not absolute");
        }
        if dest.split('/').any(|part| part == "..") || dest.contains('\0') {
            return unusable("leads elsewhere");
        }
        Ok(dest)
    }

    fn http(&self, check: &HttpCheck) -> Result<HttpCheck, RenderError> {
        let maybe = |text: &Option<String>| text.as_deref().map(|t| self.plain(t, "http")).transpose();
        let headers = check.headers.iter().map(|(name, value)| Ok((name.clone(), self.plain(value, "http")?)));
        Ok(HttpCheck {
            url: self.plain(&check.url, "http")?,
            method: check.method.clone(),
            expect: check.expect.clone(),
            body_contains: maybe(&check.body_contains)?,
            body_matches: check.body_matches.clone(),
            headers: headers.collect::<Result<_, RenderError>>()?,
            body: maybe(&check.body)?,
        })
    }

    fn environment(&self) -> Result<(Variables, Secrets), RenderError> {
        let mut env: BTreeMap<String, String> = self
            .scope
            .names()
            .filter(|name| is_variable_name(name))
            .filter_map(|name| Some((name.to_owned(), self.scope.get(name)?.to_text()?)))
            .collect();
        let mut secrets = BTreeMap::new();
        let host = self.attempt.action.host().and_then(|h| self.graph.plan().hosts.get(h));
        let values = self.graph.plan().vars.iter().chain(host.iter().flat_map(|h| &h.vars));
        for (name, value) in values {
            match value {
                Value::Secret(source) if !env.contains_key(name) => secrets.insert(name.clone(), source.clone()),
                _ => None,
            };
        }
        for (name, text) in &self.subject.step.shell.env {
            secrets.remove(name);
            env.insert(name.clone(), self.plain(text, "env")?);
        }
        if let Some((name, value)) = env.iter().find(|(_, v)| v.contains('\0')) {
            let value = format!("{name}={value}");
            let why = "has a NUL character";
            return Err(RenderError::Unusable { step: self.subject.step.id.clone(), what: "env", value, why });
        }
        Ok((env, secrets))
    }

    fn text(&self, text: &str, what: &'static str) -> Result<String, RenderError> {
        let program = self.subject.step.shell.program.as_deref();
        template::command(text, self.scope, program).map_err(|e| self.wrong(what, e))
    }

    fn plain(&self, text: &str, what: &'static str) -> Result<String, RenderError> {
        template::plain(text, self.scope).map_err(|e| self.wrong(what, e))
    }

    fn facts(&self, src: &str) -> Result<&crate::plan::model::FileFacts, RenderError> {
        self.graph.plan().files.get(src).ok_or_else(|| RenderError::MissingFile(src.to_owned()))
    }

    fn wrong(&self, what: &'static str, source: TemplateError) -> RenderError {
        RenderError::Template { step: self.subject.step.id.clone(), what, source: Box::new(source) }
    }

    fn no_work(&self) -> RenderError {
        RenderError::NoWork { attempt: self.attempt.to_string() }
    }
}

/// Whether a shell can have a variable of this name; others are for templates only.
fn is_variable_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn twice(worst: Option<SignedDuration>) -> Option<SignedDuration> {
    worst.filter(|w| !w.is_zero()).map(|w| w.saturating_mul(2))
}

/// Everything visible to one attempt, weakest first: the run's names, variables, host variables, outputs. The run's
/// names come last again, so that nothing can pretend to be them.
fn scope(graph: &Graph, subject: &Subject<'_>, attempt: &AttemptId, known: &Known<'_>) -> Scope {
    let mut scope = Scope::new();
    let host = attempt.action.host();
    scope.set_text("HOST", host.unwrap_or_default());
    let host_vars = host.and_then(|h| graph.plan().hosts.get(h)).into_iter().flat_map(|h| &h.vars);
    for (name, value) in graph.plan().vars.iter().chain(host_vars) {
        scope.set(name, value.clone());
    }
    for (name, value) in visible_outputs(graph, subject.ix, host, known.outputs) {
        scope.set_text(name, value);
    }
    for (name, value) in own_names(subject, attempt, known) {
        scope.set_text(name, value);
    }
    scope
}

fn own_names(subject: &Subject<'_>, attempt: &AttemptId, known: &Known<'_>) -> Vec<(&'static str, String)> {
    let mut names = vec![
        ("RUNBOOK_RUN", known.run.to_owned()),
        ("RUNBOOK_STEP", subject.step.id.clone()),
        ("RUNBOOK_HOST", attempt.action.host().unwrap_or_default().to_owned()),
        ("RUNBOOK_ATTEMPT", attempt.number.to_string()),
    ];
    names.extend(known.roll_back_by.map(|at| ("RUNBOOK_ROLL_BACK_BY", at.to_string())));
    if attempt.direction.is_back() {
        names.extend(known.forward_outcome.map(|o| ("RUNBOOK_OUTCOME", o.word().to_owned())));
    }
    names
}

/// Outputs of the steps that certainly ended before this one (all that it needs, directly or not), and its own: what
/// ran beside it by chance must not change what it does. Of two steps with the same output the later one counts.
fn visible_outputs(
    graph: &Graph,
    step: Option<StepIx>,
    host: Option<&str>,
    outputs: &Outputs,
) -> BTreeMap<String, String> {
    let mut visible = BTreeMap::new();
    if outputs.is_empty() {
        return visible;
    }
    let before = step.map(|s| with_all_needs(graph, s));
    for ix in graph.topological() {
        if before.as_ref().is_some_and(|b| !b.contains(&ix)) {
            continue;
        }
        for name in &graph.step(ix).outputs {
            match output_of(graph, ix, name, host, outputs) {
                Some(value) => visible.insert(name.clone(), value.to_owned()),
                None => visible.remove(name),
            };
        }
    }
    visible
}

/// The value of one output for `host`: its own, else what all hosts agree on.
fn output_of<'a>(graph: &Graph, step: StepIx, name: &str, host: Option<&str>, outputs: &'a Outputs) -> Option<&'a str> {
    let value_of = |id: &ActionId| outputs.get(id).and_then(|o| o.get(name)).map(String::as_str);
    let mut all = Vec::new();
    for ix in graph.actions_of(step) {
        let id = &graph.action(ix).id;
        match value_of(id) {
            Some(own) if host.is_some() && id.host() == host => return Some(own),
            other => all.extend(other),
        }
    }
    all.first().copied().filter(|first| all.iter().all(|v| v == first))
}

fn with_all_needs(graph: &Graph, step: StepIx) -> BTreeSet<StepIx> {
    let mut found = BTreeSet::from([step]);
    let mut open = vec![step];
    while let Some(ix) = open.pop() {
        for need in graph.all_needs(ix) {
            if found.insert(need) {
                open.push(need);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests;
