//! Every text that a plan executes, in full, for the page of a dry run. Knows what is to be shown, not how it is executed.

use super::PlanPage;
use crate::graph::job::Site;
use crate::graph::preview::{Preview, previews};
use crate::plan::model::{Step, Value};
use crate::report::escape::escape_for_terminal as esc;
use crate::report::words;

impl PlanPage<'_> {
    /// Every text that will be executed, in full, as it will run; never cut.
    pub(super) fn all_commands(&self) -> Vec<String> {
        let plan = self.graph.plan();
        let steps = self.graph.step_ixs().zip(plan.steps.values());
        let steps = steps.map(|(ix, step)| (format!("{:>2} {}", ix.0 + 1, step.id), step));
        let proof = plan.after_rollback.iter().map(|step| ("   after_rollback".to_owned(), step));
        let mut out = vec!["COMMANDS".to_owned()];
        if !plan.vars.is_empty() {
            out.push("   each of them sees".to_owned());
            out.extend(plan.vars.iter().map(|(name, value)| format!("      {}={}", esc(name), shown(value))));
        }
        for ((title, step), texts) in steps.chain(proof).zip(previews(self.graph)) {
            let Some(first) = texts.first() else { continue };
            let home = sites(&first.sites);
            let on = if home.is_empty() { String::new() } else { format!("on {home}") };
            let about = [on, as_whom(step)].into_iter().filter(|text| !text.is_empty());
            out.push(std::iter::once(title).chain(about).collect::<Vec<_>>().join("   "));
            texts.iter().for_each(|text| out.extend(command_lines(text, &home)));
        }
        out
    }
}

/// The value of a variable as the environment has it.
pub(super) fn shown(value: &Value) -> String {
    match value.to_text() {
        Some(text) => esc(&text),
        None if matches!(value, Value::Secret(_)) => "(a secret, resolved at launch)".into(),
        None => "(only in templates)".into(),
    }
}

/// `as app, in /srv, by bash -eu`; nothing where nothing is unusual.
pub(super) fn as_whom(step: &Step) -> String {
    let shell = &step.shell;
    let mut words: Vec<String> = Vec::new();
    words.extend(shell.user.as_ref().map(|user| format!("as {user}")));
    words.extend((shell.sudo && shell.user.is_none()).then(|| "as root (sudo)".to_owned()));
    words.extend(shell.dir.as_ref().map(|dir| format!("in {dir}")));
    words.extend(shell.program.as_ref().map(|program| format!("by {program}")));
    esc(&words.join(", "))
}

pub(super) fn sites(sites: &[Site]) -> String {
    let name = |site: &Site| match site {
        Site::Controller => "this machine".to_owned(),
        Site::Host(name) => name.clone(),
    };
    words::hosts(&sites.iter().map(name).collect::<Vec<_>>())
}

/// One text with its label, where it runs unless that is `home`, and what is unusual about it.
fn command_lines(preview: &Preview, home: &str) -> Vec<String> {
    let on = sites(&preview.sites);
    let on = if on == home || on.is_empty() { String::new() } else { format!("on {on}:") };
    let label = format!("      {:<9} ", preview.what);
    let mut lines = preview.text.lines();
    let mut out = match (preview.text.lines().count(), on.is_empty()) {
        (0 | 1, true) => vec![format!("{label}{}", esc(lines.next().unwrap_or_default()))],
        (0 | 1, false) => vec![format!("{label}{on} {}", esc(lines.next().unwrap_or_default()))],
        _ => vec![format!("{label}{on}")],
    };
    out.extend(lines.map(|line| format!("         | {}", esc(line))));
    out.extend(preview.unquoted.iter().map(|what| format!("         ! not quoted: {{{{ {} }}}}", esc(what))));
    out.extend(preview.unknown.iter().map(|why| format!("         ! as the plan writes it: {}", esc(why))));
    out
}
