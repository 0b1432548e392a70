//! Every text that a step executes, as it will run: with the values of the plan in it, quoted. For the page of the dry
//! run; what is only known during the night stands there as `<name of step>`.

use std::collections::BTreeMap;

use super::action::ActionIx;
use super::build::Graph;
use super::ids::{ActionId, AttemptId, Direction};
use super::job::{Content, Job, Site, Work};
use super::outcome::Outcome;
use super::parts;
use super::render::{Known, Outputs, RenderError, job, scope_of};
use crate::plan::model::{RollbackWork, Step, Undo, Verb, Wait};
use crate::template;

/// One text, and where it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// What it is for, in a word: `run`, `verify`, `rollback`, ...
    pub what: &'static str,
    pub sites: Vec<Site>,
    pub text: String,
    /// The expressions of the plan that were spliced into it without quotes.
    pub unquoted: Vec<String>,
    /// Why it cannot be told before the night.
    pub unknown: Option<String>,
}

/// The texts of all steps, by step, and those of `after_rollback` behind them.
#[must_use]
pub fn previews(graph: &Graph) -> Vec<Vec<Preview>> {
    let outputs = sample_outputs(graph);
    let sampler = Sampler { graph, outputs: &outputs };
    let steps = graph.step_ixs().map(|ix| {
        let ids: Vec<&ActionId> = graph.actions_of(ix).map(|a: ActionIx| &graph.action(a).id).collect();
        sampler.step(graph.step(ix), &ids)
    });
    let proof = graph.plan().after_rollback.iter();
    let proof = proof.map(|step| sampler.step(step, &graph.after_rollback().iter().map(|a| &a.id).collect::<Vec<_>>()));
    steps.chain(proof).collect()
}

/// `<dump of backup-db>` for every output of every action.
fn sample_outputs(graph: &Graph) -> Outputs {
    let with_outputs = graph.action_ixs().filter(|ix| !graph.step_of(*ix).outputs.is_empty());
    let values = |step: &Step| -> BTreeMap<String, String> {
        step.outputs.iter().map(|name| (name.clone(), format!("<{name} of {}>", step.id))).collect()
    };
    with_outputs.map(|ix| (graph.action(ix).id.clone(), values(graph.step_of(ix)))).collect()
}

struct Sampler<'a> {
    graph: &'a Graph,
    outputs: &'a Outputs,
}

impl Sampler<'_> {
    fn step(&self, step: &Step, actions: &[&ActionId]) -> Vec<Preview> {
        let mut found: Vec<Preview> = Vec::new();
        let mut add = |new: Preview| {
            let same = found.iter_mut().find(|p| (p.what, &p.text, &p.unknown) == (new.what, &new.text, &new.unknown));
            match same {
                Some(old) => new.sites.into_iter().for_each(|site| {
                    if !old.sites.contains(&site) {
                        old.sites.push(site);
                    }
                }),
                None => found.push(new),
            }
        };
        // The way back ends as the way forward does: what brings a host back into service is shown once.
        let shown_once = |part: &Direction| !matches!(part, Direction::UndoUndrain | Direction::UndoUndrained);
        for part in parts::forward(step).chain(parts::back(step).filter(shown_once)) {
            actions.iter().filter_map(|action| self.attempt(step, action, part)).for_each(&mut add);
        }
        if let Undo::Manual(text) = &step.undo {
            let (what, text) = ("by hand", text.clone());
            add(Preview { what, sites: Vec::new(), text, unquoted: Vec::new(), unknown: None });
        }
        found
    }

    /// `None` where there is nothing to execute.
    fn attempt(&self, step: &Step, action: &ActionId, direction: Direction) -> Option<Preview> {
        let (what, written) = written(step, direction)?;
        let attempt = AttemptId { action: action.clone(), direction, number: 1 };
        let known = self.known();
        match job(self.graph, &attempt, &known) {
            Ok(job) => {
                let looped = match direction {
                    Direction::Do => step.hold.is_some() || matches!(step.verb, Verb::Wait(Wait::Until { .. })),
                    Direction::Drained | Direction::Undrained => true,
                    _ => false,
                };
                // The loop around a repeated command is ours, and is not shown.
                let text = if looped { self.text(step, &attempt, written?).ok()? } else { self.of(&job) };
                let unquoted = written.map(unquoted).unwrap_or_default();
                Some(Preview { what, sites: vec![job.site], text, unquoted, unknown: None })
            }
            Err(RenderError::NoWork { .. }) => None,
            Err(e) => Some(Preview {
                what,
                sites: self.graph.site_of(&attempt).into_iter().collect(),
                text: written.unwrap_or_default().to_owned(),
                unquoted: written.map(unquoted).unwrap_or_default(),
                unknown: Some(e.to_string()),
            }),
        }
    }

    fn text(&self, step: &Step, attempt: &AttemptId, written: &str) -> Result<String, String> {
        let scope = scope_of(self.graph, attempt, &self.known());
        template::command(written, &scope, step.shell.program.as_deref()).map_err(|e| e.to_string())
    }

    fn known(&self) -> Known<'_> {
        Known {
            run: "RUN",
            outputs: self.outputs,
            roll_back_by: None,
            forward_outcome: Some(&Outcome::Succeeded),
            replaced_by: Vec::new(),
        }
    }

    fn of(&self, job: &Job) -> String {
        let mode = |mode: Option<u32>| mode.map_or(String::new(), |m| format!(", mode {m:04o}"));
        let owner = |owner: &Option<String>| owner.as_ref().map_or(String::new(), |o| format!(", owner {o}"));
        match &job.work {
            Work::Shell(text) => text.clone(),
            Work::Script { src, sha256 } => {
                let lines = self.graph.plan().files.get(src).map_or(0, |f| f.lines);
                format!("{src}, {lines} lines, sha256 {}", first(sha256))
            }
            Work::Put { content: Content::FromDisk { src, sha256, directory }, dest, mode: m, owner: o } => {
                let what = if *directory { "directory" } else { "file" };
                format!("{what} {src} (sha256 {}) to {dest}{}{}", first(sha256), mode(*m), owner(o))
            }
            Work::Put { content: Content::Text(text), dest, mode: m, owner: o } => {
                format!("{dest}{}{}, with this content:\n{text}", mode(*m), owner(o))
            }
            Work::Restore { dest, .. } => format!("put the previous {dest} back"),
            Work::Http(check) => format!("{} {}", check.method, check.url),
            Work::Reboot => "restart the machine, and wait until it answers after another boot".into(),
        }
    }
}

/// What an attempt is for, and the text that the plan has for it, where it has one.
fn written(step: &Step, direction: Direction) -> Option<(&'static str, Option<&str>)> {
    match direction {
        Direction::Do => Some(match &step.verb {
            Verb::Run(text) => ("run", Some(text.as_str())),
            Verb::Test(text) => ("test", Some(text.as_str())),
            Verb::Wait(Wait::Until { command, .. }) => ("until", Some(command.as_str())),
            Verb::Script(_) => ("script", None),
            Verb::Copy(_) => ("copy", None),
            Verb::Template { .. } => ("template", None),
            Verb::Http(_) => ("http", None),
            Verb::Gate | Verb::Wait(Wait::For(_) | Wait::At(_)) => return None,
        }),
        Direction::Check => step.verify.as_deref().map(|text| ("verify", Some(text))),
        Direction::Undo => step.rollback().map(|rollback| match &rollback.work {
            RollbackWork::Run(text) => ("rollback", Some(text.as_str())),
            RollbackWork::Script(_) | RollbackWork::Restore => ("rollback", None),
        }),
        Direction::UndoCheck => step.rollback()?.verify.as_deref().map(|text| ("proof", Some(text))),
        Direction::Reboot => step.fleet.reboot.map(|_| ("reboot", None)),
        Direction::UndoReboot => step.rollback()?.reboot.map(|_| ("reboot after the rollback", None)),
        Direction::Drain => parts::drain_of(step, direction).map(|d| ("drain", Some(d.run.as_str()))),
        Direction::Drained => {
            parts::drain_of(step, direction)?.until.as_deref().map(|text| ("drained when", Some(text)))
        }
        Direction::Undrain | Direction::UndoUndrain => {
            parts::drain_of(step, direction).map(|d| ("undrain", Some(d.run.as_str())))
        }
        Direction::Undrained | Direction::UndoUndrained => {
            parts::drain_of(step, direction)?.until.as_deref().map(|text| ("undrained when", Some(text)))
        }
    }
}

fn unquoted(text: &str) -> Vec<String> {
    template::splices(text).into_iter().map(str::to_owned).collect()
}

fn first(hex: &str) -> &str {
    hex.get(..12).unwrap_or(hex)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::sample::{graph, plan, run};
    use crate::plan::model::Value;

    fn texts(previews: &[Preview]) -> Vec<(&'static str, &str, usize)> {
        previews.iter().map(|p| (p.what, p.text.as_str(), p.sites.len())).collect()
    }

    #[test]
    fn values_are_in_it_and_quoted() {
        let mut deploy =
            run("deploy", &["backup"], &["a", "b"], "install {{ VERSION }} {{ OPTIONS | unquoted }} {{ dump }}")
                .undone_by("uninstall {{ HOST }}", 1);
        deploy.verify = Some("answers".into());
        let mut backup = run("backup", &[], &["a"], "x");
        backup.outputs = vec!["dump".into()];
        let mut plan = plan(vec![backup, deploy]);
        plan.vars.insert("VERSION".into(), Value::Text("2; rm -rf /".into()));
        plan.vars.insert("OPTIONS".into(), Value::Text("-a -b".into()));
        let found = &previews(&graph(plan))[1];
        assert_eq!(
            texts(found),
            [
                ("run", "install '2; rm -rf /' -a -b '<dump of backup>'", 2),
                ("verify", "answers", 2),
                ("rollback", "uninstall a", 1),
                ("rollback", "uninstall b", 1),
            ]
        );
        assert_eq!(found[0].unquoted, ["OPTIONS | unquoted"]);
    }

    #[test]
    fn what_cannot_be_told_is_shown_as_written_with_its_reason() {
        let found = previews(&graph(plan(vec![run("a", &[], &["h"], "x {{ nosuch }}")])));
        assert_eq!(texts(&found[0]), [("run", "x {{ nosuch }}", 1)]);
        assert!(found[0][0].unknown.as_deref().is_some_and(|why| why.contains("nosuch")));
    }
}
