//! `--only`, `--from` and `--hosts`: which steps and hosts a run leaves out, and whether that breaks a need.

use std::collections::BTreeSet;

use super::error::CommandError;
use crate::graph::{Graph, StepIx};

/// How a run is narrowed.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Narrow {
    /// Only this step; may be repeated
    #[arg(long, value_name = "STEP", value_delimiter = ',')]
    pub only: Vec<String>,
    /// This step and everything that waits for it
    #[arg(long, value_name = "STEP", conflicts_with = "only")]
    pub from: Option<String>,
    /// Only these hosts; `*` stands for anything
    #[arg(long, value_name = "PATTERN", value_delimiter = ',')]
    pub hosts: Vec<String>,
    /// A step that is left out and may be taken as done; may be repeated
    #[arg(long, value_name = "STEP", value_delimiter = ',')]
    pub assume_done: Vec<String>,
}

/// What is left out, in the plan's order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeftOut {
    pub steps: Vec<String>,
    pub hosts: Vec<String>,
}

impl Narrow {
    /// # Errors
    /// When a name is not in the plan, or a step that stays needs one that is left out.
    pub fn resolve(&self, graph: &Graph) -> Result<LeftOut, CommandError> {
        let kept = self.kept(graph)?;
        let assumed: BTreeSet<StepIx> = self.assume_done.iter().map(|s| find(graph, s)).collect::<Result<_, _>>()?;
        for step in graph.step_ixs().filter(|s| kept.contains(s)) {
            if let Some(missing) = graph.all_needs(step).find(|n| !kept.contains(n) && !assumed.contains(n)) {
                let (step, missing) = (&graph.step(step).id, &graph.step(missing).id);
                return Err(CommandError::refused(format!("`{step}` needs `{missing}`, which is left out"))
                    .hint(format!("if it was done before:   --assume-done {missing}")));
            }
        }
        let steps = graph.step_ixs().filter(|s| !kept.contains(s)).map(|s| graph.step(s).id.clone()).collect();
        Ok(LeftOut { steps, hosts: self.hosts_left_out(graph)? })
    }

    fn kept(&self, graph: &Graph) -> Result<BTreeSet<StepIx>, CommandError> {
        if !self.only.is_empty() {
            return self.only.iter().map(|s| find(graph, s)).collect();
        }
        let Some(from) = &self.from else { return Ok(graph.step_ixs().collect()) };
        let mut kept = BTreeSet::new();
        let mut next = vec![find(graph, from)?];
        while let Some(step) = next.pop() {
            if kept.insert(step) {
                next.extend(graph.all_dependants(step));
            }
        }
        Ok(kept)
    }

    fn hosts_left_out(&self, graph: &Graph) -> Result<Vec<String>, CommandError> {
        let all: Vec<&String> = graph.plan().hosts.keys().collect();
        for pattern in &self.hosts {
            if !all.iter().any(|host| matches(pattern, host)) {
                let known = all.iter().take(8).map(|h| h.as_str()).collect::<Vec<_>>().join(", ");
                return Err(CommandError::usage(format!("no host of the plan matches `{pattern}`"))
                    .hint(format!("its hosts: {known}")));
            }
        }
        let kept = |host: &str| self.hosts.is_empty() || self.hosts.iter().any(|p| matches(p, host));
        Ok(all.into_iter().filter(|h| !kept(h)).cloned().collect())
    }
}

fn find(graph: &Graph, name: &str) -> Result<StepIx, CommandError> {
    graph.find_step(name).ok_or_else(|| {
        let error = CommandError::usage(format!("the plan has no step `{}`", name.escape_debug()));
        let near = graph.plan().steps.keys().min_by_key(|id| strsim::damerau_levenshtein(name, id));
        match near.filter(|id| strsim::damerau_levenshtein(name, id) <= (name.len() / 3).max(1)) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error,
        }
    })
}

/// `*` matches any text, everything else itself.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| {
            rest.char_indices().map(|(i, _)| i).chain([rest.len()]).any(|i| matches(after, &rest[i..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        assert!(matches("be1", "be1"));
        assert!(!matches("be", "be1"));
        assert!(matches("be*", "be1"));
        assert!(matches("*1", "be1"));
        assert!(matches("b*-*1", "be-x-11"));
        assert!(!matches("b*2", "be1"));
        assert!(matches("*", ""));
    }
}
