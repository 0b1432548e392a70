//! The steps and their needs as a drawing in layers, for pages and pictures. Knows no colours; the places come from a
//! layout of layers with few crossings.

use std::collections::BTreeSet;

use graphlay::{
    Direction, Edge, GraphBuilder, Layout, LayoutOptions, MergeEdges, Node, NodeId, Point, PortSides, Size, layout,
};
use minijinja::context;
use minijinja::value::Serde;
use serde::Serialize;

use super::escape::escape_for_terminal as esc;
use super::pages;
use crate::graph::draw::{Marks, places};
use crate::graph::fold::{Folded, Link, folded};
use crate::graph::{Graph, StepIx};
use crate::plan::model::Undo;

/// More boxes than this are no picture; steps in the same place are then folded into one.
const BOXES: usize = 48;
/// Characters of a line that fit into the widest box.
const LABEL: usize = 26;
/// Of a character of a step's name, which is bold, and around the lines.
const CHARACTER: f64 = 7.2;
const PADDING: f64 = 28.0;
const HEIGHT: f64 = 42.0;
/// Around the whole.
const MARGIN: f64 = 8.0;

/// One drawing, in its own units.
#[derive(Debug, Serialize)]
pub struct GraphChart {
    /// What it shows, for who cannot see it.
    what: String,
    width: f64,
    height: f64,
    boxes: Vec<Tile>,
    lines: Vec<Line>,
    /// What its marks mean; only those that it has.
    key: Vec<(&'static str, &'static str)>,
    /// Whether boxes lead to the steps of the page.
    linked: bool,
}

/// A step, or several.
#[derive(Debug, Serialize)]
struct Tile {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    /// Its class in the style.
    kind: &'static str,
    critical: bool,
    skipped: bool,
    /// The number of its (first) step.
    number: u32,
    name: String,
    about: String,
    title: String,
}

/// A need.
#[derive(Debug, Serialize)]
struct Line {
    points: String,
    /// The tip, as a path.
    tip: String,
    critical: bool,
    same_host: bool,
}

impl GraphChart {
    /// `linked`: boxes lead to the elements `step-1`, `step-2` ... of the same page.
    pub fn new(graph: &Graph, marks: &Marks, linked: bool) -> Self {
        let net = folded(graph, &marks.critical, BOXES);
        let mut boxes: Vec<Tile> = net.nodes.iter().map(|steps| a_box(graph, marks, steps)).collect();
        let longest = boxes.iter().flat_map(|b| [b.name.chars().count(), b.about.chars().count()]).max().unwrap_or(0);
        let width = longest as f64 * CHARACTER + PADDING;
        let laid = lay_out(&net, Size::new(width, HEIGHT));
        for (b, placed) in boxes.iter_mut().zip(&laid.nodes) {
            let left = placed.center.x - width / 2.0 - laid.bounds.min.x + MARGIN;
            let top = placed.center.y - HEIGHT / 2.0 - laid.bounds.min.y + MARGIN;
            (b.x, b.y, b.width, b.height) = (tenth(left), tenth(top), tenth(width), HEIGHT);
        }
        let mut lines: Vec<Line> = net
            .links
            .iter()
            .zip(&laid.edges)
            .map(|(l, route)| Line {
                critical: boxes[l.from].critical && boxes[l.to].critical,
                same_host: l.same_host,
                ..a_line(&route.points, laid.bounds.min)
            })
            .collect();
        // Lines share a part of their way: the critical path is drawn over the others.
        lines.sort_by_key(|l| l.critical);
        let size = |from: f64, to: f64| tenth(to - from + 2.0 * MARGIN);
        Self {
            what: format!("{} steps and what each of them needs", graph.step_count()),
            width: size(laid.bounds.min.x, laid.bounds.max.x),
            height: size(laid.bounds.min.y, laid.bounds.max.y),
            key: key(&boxes, &lines),
            boxes,
            lines,
            linked,
        }
    }

    /// The drawing alone, as a file that any program shows.
    ///
    /// # Errors
    /// When the template does not render, which only a defect of this program could cause.
    pub fn picture(&self, title: &str) -> Result<String, minijinja::Error> {
        pages::page("graph-picture.xml", &context! { title, graph => Serde(self) })
    }

    /// The drawing with its steps as a list, as one self-contained page.
    ///
    /// # Errors
    /// As [`GraphChart::picture`].
    pub fn page(&self, graph: &Graph, marks: &Marks) -> Result<String, minijinja::Error> {
        let reach = crate::graph::Reach::new(graph);
        let steps = graph.step_ixs().map(|s| {
            let needs = reach.reduced_needs(graph, s).into_iter();
            let needs: Vec<String> = needs.map(|(need, same_host)| need_text(graph, need, same_host)).collect();
            context! {
                number => s.0 + 1,
                id => esc(&graph.step(s).id),
                place => places(graph, s),
                estimate => graph.step(s).estimate.map(|e| e.to_string()),
                needs => needs.join(", "),
                critical => marks.critical.contains(&s),
                skipped => marks.skipped.contains(&s),
            }
        });
        let content = context! {
            title => esc(&graph.plan().name),
            summary => esc(&marks.summary),
            graph => Serde(self),
            steps => steps.collect::<Vec<_>>(),
        };
        pages::page("graph.html", &content)
    }
}

fn need_text(graph: &Graph, need: StepIx, same_host: bool) -> String {
    format!("{}{}", esc(&graph.step(need).id), if same_host { " (same host)" } else { "" })
}

fn lay_out(net: &Folded, size: Size) -> Layout {
    let mut builder = GraphBuilder::new();
    let nodes: Vec<NodeId> = net.nodes.iter().map(|_| builder.add_node(Node { size, ..Node::default() })).collect();
    for Link { from, to, .. } in &net.links {
        builder.add_edge(Edge::new(nodes[*from], nodes[*to]));
    }
    let mut options = LayoutOptions::layered_default();
    options.direction = Direction::TopBottom;
    options.routing.port_sides = PortSides::FacingOnly;
    options.routing.merge_edges = MergeEdges::Both;
    options.spacing.layer_gap = 30.0;
    options.spacing.node_gap = 18.0;
    options.spacing.dummy_gap = 14.0;
    // It refuses only sizes that are no numbers and links to nowhere.
    layout(&builder.build(), &options).unwrap_or_default()
}

fn a_line(points: &[Point], corner: Point) -> Line {
    let at = |p: &Point| (tenth(p.x - corner.x + MARGIN), tenth(p.y - corner.y + MARGIN));
    let text: Vec<String> = points.iter().map(at).map(|(x, y)| format!("{x},{y}")).collect();
    // Every line comes from above.
    let tip = points.last().map(at).map(|(x, y)| format!("M{x} {y}l-4 -7h8z")).unwrap_or_default();
    Line { points: text.join(" "), tip, critical: false, same_host: false }
}

fn a_box(graph: &Graph, marks: &Marks, steps: &[StepIx]) -> Tile {
    let (name, about) = match steps {
        [step] => one_step(graph, marks, *step),
        steps => many_steps(graph, steps),
    };
    let first = steps.first().copied().unwrap_or(StepIx(0));
    let kinds: BTreeSet<&str> = steps.iter().map(|s| pages::kind(graph, *s)).collect();
    Tile {
        x: 0.0,
        y: 0.0,
        width: 0.0,
        height: 0.0,
        kind: if kinds.len() == 1 { pages::kind(graph, first) } else { "work" },
        critical: steps.iter().any(|s| marks.critical.contains(s)),
        skipped: steps.iter().all(|s| marks.skipped.contains(s)),
        number: first.0 + 1,
        name: shortened(&name),
        about: shortened(&about),
        title: title(graph, steps),
    }
}

fn one_step(graph: &Graph, marks: &Marks, step: StepIx) -> (String, String) {
    let author = graph.step(step);
    let mut about = vec![places(graph, step)];
    about.extend(author.estimate.map(|e| e.to_string()));
    about.extend(marks.skipped.contains(&step).then(|| "skipped".to_owned()));
    about.extend(matches!(author.undo, Undo::Irreversible(_)).then(|| "no way back".to_owned()));
    about.retain(|part| part != "-");
    (format!("{} {}", step.0 + 1, author.id), about.join(", "))
}

fn many_steps(graph: &Graph, steps: &[StepIx]) -> (String, String) {
    let (first, last) = (steps.first().copied().unwrap_or(StepIx(0)), steps.last().copied().unwrap_or(StepIx(0)));
    let in_a_row = (last.0 - first.0) as usize + 1 == steps.len();
    let numbers =
        if in_a_row { format!("{} to {}", first.0 + 1, last.0 + 1) } else { format!("from {} on", first.0 + 1) };
    (format!("{} steps", steps.len()), format!("{numbers}: {} ...", graph.step(first).id))
}

/// The steps in full, each with what it comes after.
fn title(graph: &Graph, steps: &[StepIx]) -> String {
    let names: Vec<String> = steps.iter().map(|s| format!("{} {}", s.0 + 1, esc(&graph.step(*s).id))).collect();
    names.join(", ")
}

fn shortened(text: &str) -> String {
    let text = esc(text);
    if text.chars().count() <= LABEL { text } else { text.chars().take(LABEL - 3).collect::<String>() + "..." }
}

fn key(boxes: &[Tile], lines: &[Line]) -> Vec<(&'static str, &'static str)> {
    let all = [("work", "work"), ("tests", "test"), ("people", "person"), ("final", "no way back")];
    let mut key: Vec<_> = all.into_iter().filter(|(kind, _)| boxes.iter().any(|b| b.kind == *kind)).collect();
    key.extend(boxes.iter().any(|b| b.critical).then_some(("critical", "critical path")));
    key.extend(lines.iter().any(|l| l.same_host).then_some(("same-host", "each host for itself")));
    key
}

fn tenth(x: f64) -> f64 {
    (x * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::sample::{december, graph, plan, run};
    use crate::plan::model::Need;

    fn marks(graph: &Graph) -> Marks {
        let fit = crate::schedule::fit(graph);
        Marks { critical: fit.longest_path.iter().copied().collect(), ..Marks::default() }
    }

    #[test]
    fn the_night_as_a_picture() {
        let graph = graph(december());
        let chart = GraphChart::new(&graph, &marks(&graph), false);
        insta::assert_snapshot!(chart.picture("Call-centre release 2.4").unwrap());
    }

    #[test]
    fn every_step_stands_below_what_it_needs_and_no_two_share_a_place() {
        let graph = graph(december());
        let chart = GraphChart::new(&graph, &marks(&graph), false);
        for step in graph.step_ixs() {
            for need in graph.all_needs(step) {
                let (above, below) = (&chart.boxes[need.index()], &chart.boxes[step.index()]);
                assert!(above.y + above.height < below.y, "{} above {}", above.name, below.name);
            }
        }
        for (i, a) in chart.boxes.iter().enumerate() {
            assert!(a.x >= 0.0 && a.x + a.width <= chart.width && a.y + a.height <= chart.height, "{a:?}");
            let apart =
                |b: &Tile| a.x + a.width < b.x || b.x + b.width < a.x || a.y + a.height < b.y || b.y + b.height < a.y;
            assert!(chart.boxes[..i].iter().all(apart), "{a:?}");
        }
        let path: Vec<u32> = chart.boxes.iter().filter(|b| b.critical).map(|b| b.number).collect();
        assert_eq!(path, [1, 2, 4, 6, 7, 8, 9, 10]);
    }

    #[test]
    fn many_hosts_and_many_steps_are_numbers_and_hostile_names_stay_text() {
        let hosts: Vec<String> = (0..103).map(|i| format!("vm{i}")).collect();
        let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
        let names: Vec<String> = (0..60).map(|i| format!("web-{i}")).collect();
        let mut all = vec![run("first", &[], &hosts, "x")];
        all.extend(names.iter().map(|name| run(name, &["first"], &["a"], "x")));
        let mut second = run("second", &[], &hosts, "x");
        second.needs = vec![Need { step: "first".into(), same_host: true }];
        all.push(second);
        let mut plan = plan(all);
        plan.name = "<script>alert(1)</script>".into();
        let graph = graph(plan);
        let chart = GraphChart::new(&graph, &Marks::default(), true);
        let drawn: Vec<(&str, &str)> = chart.boxes.iter().map(|b| (b.name.as_str(), b.about.as_str())).collect();
        assert_eq!(drawn, [("1 first", "103 hosts"), ("60 steps", "2 to 61: web-0 ..."), ("62 second", "103 hosts")]);
        assert!(chart.boxes[1].title.ends_with("60 web-58, 61 web-59"), "{}", chart.boxes[1].title);
        assert_eq!(chart.lines.iter().filter(|l| l.same_host).count(), 1);
        let page = chart.page(&graph, &Marks::default()).unwrap();
        assert!(page.contains("&lt;script&gt;") && !page.contains("<script"), "{page}");
        assert!(page.contains("href=\"#step-2\"") && page.contains("id=\"step-61\""), "{page}");
    }
}
