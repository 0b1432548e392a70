//! `runbook graph`: the dependencies of a plan as text, a picture, a page, dot or mermaid. Needs no network and changes nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::load::load_or_report;
use crate::cli::output;
use crate::cli::variables::VarArgs;
use crate::cli::waves::OneWave;
use crate::graph::draw::{self, Marks};
use crate::graph::render::never_wanted;
use crate::graph::{Graph, Reach};
use crate::plan::model::Plan;
use crate::plan::units::Short;
use crate::report::{GraphChart, escape_text};
use crate::schedule::{Fit, fit};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  runbook graph plans/2007-12-02.yaml\n  \
                        runbook graph plans/2007-12-02.yaml --format svg > order.svg")]
pub struct Args {
    /// The plan to draw
    #[arg(value_name = "PLAN")]
    plan: PathBuf,
    /// How to draw it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    vars: VarArgs,
    #[command(flatten)]
    one: OneWave,
}

impl Args {
    pub(in crate::cli) fn plan(&self) -> &Path {
        &self.plan
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Stages for a terminal
    Text,
    /// A picture, laid out in layers
    Svg,
    /// One self-contained page: the picture and the steps as a list
    Html,
    /// For Graphviz
    Dot,
    /// For pages that draw Mermaid
    Mermaid,
}

pub fn run(args: Args, cx: &Context) -> Result<Exit, CommandError> {
    let Args { plan, format, vars, one } = args;
    let mut loaded = load_or_report(&plan, &vars.values()?, cx)?;
    one.pick(&mut loaded)?;
    let graph = Graph::build(Arc::new(loaded.plan));
    let fit = fit(&graph);
    if cx.global.json {
        return output::json(&document(&graph, &fit));
    }
    let drawn = drawing(&graph, &fit, format, width()).map_err(|e| CommandError::unexpected(e.to_string()))?;
    output::text(&escape_text(&drawn))
}

fn drawing(graph: &Graph, fit: &Fit, format: Format, width: usize) -> Result<String, minijinja::Error> {
    let marks = Marks {
        critical: fit.longest_path.iter().copied().collect(),
        skipped: graph.step_ixs().filter(|s| never_wanted(graph, *s)).collect(),
        summary: summary(graph.plan(), fit),
    };
    match format {
        Format::Text => Ok(draw::text(graph, &marks, width)),
        Format::Svg => GraphChart::new(graph, &marks, false).picture(&graph.plan().name).map(a_file),
        Format::Html => GraphChart::new(graph, &marks, true).page(graph, &marks).map(a_file),
        Format::Dot => Ok(draw::dot(graph, &marks)),
        Format::Mermaid => Ok(draw::mermaid(graph, &marks)),
    }
}

/// Templates end without a line feed.
fn a_file(text: String) -> String {
    text + "\n"
}

fn summary(plan: &Plan, fit: &Fit) -> String {
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let steps = count(plan.steps.len(), "step");
    let hosts = if plan.hosts.is_empty() { String::new() } else { format!(" on {}", count(plan.hosts.len(), "host")) };
    let takes = if fit.finish_expected.is_zero() {
        String::new()
    } else {
        format!(", {} expected", Short(fit.finish_expected))
    };
    format!("{steps}{hosts}{takes}")
}

/// Times are seconds from the opening of the window.
fn document(graph: &Graph, fit: &Fit) -> serde_json::Value {
    let reach = Reach::new(graph);
    let steps: Vec<_> = graph
        .step_ixs()
        .map(|s| {
            let needs: Vec<_> = reach
                .reduced_needs(graph, s)
                .into_iter()
                .map(|(need, same_host)| json!({ "step": graph.step(need).id, "same_host": same_host }))
                .collect();
            json!({
                "step": graph.step(s).id,
                "hosts": graph.actions_of(s).filter_map(|a| graph.action(a).id.host().map(str::to_owned)).collect::<Vec<_>>(),
                "needs": needs,
                "start": fit.expected[s.index()].start.as_secs(),
                "end": fit.expected[s.index()].end.as_secs(),
                "worst_end": fit.worst[s.index()].end.as_secs(),
                "slack": fit.window.as_ref().map(|w| w.slack[s.index()].as_secs()),
                "critical": fit.longest_path.contains(&s),
                "skipped": never_wanted(graph, s),
            })
        })
        .collect();
    json!({ "plan": graph.plan().stem, "title": graph.plan().name, "steps": steps })
}

/// The terminal's, else what every terminal has.
fn width() -> usize {
    output::columns(std::io::stdout()).filter(|columns| *columns >= 60).unwrap_or(80)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::sample;

    #[test]
    fn a_drawing_says_what_decides_the_end_and_what_is_skipped() {
        let mut plan = sample::december();
        plan.vars.insert("DB_CHANGES".into(), crate::plan::model::Value::Bool(false));
        let graph = sample::graph(plan);
        let drawn = drawing(&graph, &fit(&graph), Format::Text, 80).unwrap();
        assert!(drawn.starts_with("Call-centre release 2.4"), "{drawn}");
        assert!(drawn.lines().next().unwrap().ends_with("11 steps on 5 hosts, 3h37m expected"), "{drawn}");
        assert!(drawn.contains("  6 - db-scripts"), "{drawn}");
        assert!(drawn.contains("  5 * deploy-backend"), "{drawn}");
    }

    #[test]
    fn the_document_has_the_numbers_of_the_page() {
        let graph = sample::graph(sample::december());
        let document = document(&graph, &fit(&graph));
        let deploy = &document["steps"][4];
        assert_eq!((&deploy["start"], &deploy["end"], &deploy["slack"]), (&json!(600), &json!(1800), &json!(2700)));
        assert_eq!(deploy["needs"], json!([{ "step": "stop-backend", "same_host": false }]));
    }
}
