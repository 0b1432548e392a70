//! What all pages and pictures have in common: one head and style, one way to draw a chart, no script. Knows no content.

use minijinja::value::Serde;
use minijinja::{Environment, Error, context};

use super::chart::Chart;
use crate::graph::{Graph, StepIx};

/// Every template; those whose name ends in `.html` or `.xml` escape what they are given.
const TEMPLATES: [(&str, &str); 17] = [
    ("base.html", include_str!("../../templates/report/base.html")),
    ("graph.html", include_str!("../../templates/report/graph.html")),
    ("graph-key.html", include_str!("../../templates/report/graph-key.html")),
    ("graph.xml", include_str!("../../templates/report/graph.xml")),
    ("graph-picture.xml", include_str!("../../templates/report/graph-picture.xml")),
    ("compare.html", include_str!("../../templates/report/compare.html")),
    ("run.html", include_str!("../../templates/report/run.html")),
    ("trend.html", include_str!("../../templates/report/trend.html")),
    ("plan.html", include_str!("../../templates/report/plan.html")),
    ("week.html", include_str!("../../templates/report/week.html")),
    ("squares.xml", include_str!("../../templates/report/squares.xml")),
    ("plan.css", include_str!("../../templates/report/plan.css")),
    ("style.css", include_str!("../../templates/report/style.css")),
    ("picture.css", include_str!("../../templates/report/picture.css")),
    ("charts.html", include_str!("../../templates/report/charts.html")),
    ("chart.xml", include_str!("../../templates/report/chart.xml")),
    ("picture.xml", include_str!("../../templates/report/picture.xml")),
];

/// The page of that name.
///
/// # Errors
/// When the template does not render, which only a defect of this program could cause.
pub fn page(name: &str, content: &minijinja::Value) -> Result<String, Error> {
    let mut environment = Environment::new();
    for (name, text) in TEMPLATES {
        environment.add_template(name, text)?;
    }
    environment.get_template(name)?.render(content)
}

/// The chart alone, as a file that any program shows.
///
/// # Errors
/// As [`page`].
pub fn picture(title: &str, chart: &Chart<'_>) -> Result<String, Error> {
    page("picture.xml", &context! { title, chart => Serde(chart) })
}

/// The class of a step in the style: its colour.
pub fn kind(graph: &Graph, step: StepIx) -> &'static str {
    match graph.step(step) {
        _ if graph.ends_the_way_back(step) => "final",
        asks if asks.gate.is_some() => "people",
        judges if judges.judges() => "tests",
        _ => "work",
    }
}
