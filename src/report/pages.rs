//! What all pages and pictures have in common: one style, one way to draw a chart, no script. Knows no content.

use minijinja::value::Serde;
use minijinja::{Environment, Error, context};

use super::chart::Chart;

/// Every template; those whose name ends in `.html` or `.xml` escape what they are given.
const TEMPLATES: [(&str, &str); 6] = [
    ("run.html", include_str!("../../templates/report/run.html")),
    ("plan.html", include_str!("../../templates/report/plan.html")),
    ("style.css", include_str!("../../templates/report/style.css")),
    ("picture.css", include_str!("../../templates/report/picture.css")),
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
