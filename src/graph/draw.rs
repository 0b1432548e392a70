//! The steps and their needs as text, dot or mermaid. Knows nothing of terminals; what is critical and how long a step
//! takes is told by the caller.
//!
//! Needs that others imply are left out. Names of steps and hosts are harmless by construction; whoever prints the title
//! of a plan on a terminal escapes it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::action::StepIx;
use super::build::Graph;
use super::reach::Reach;
use crate::plan::model::{Place, Verb};
use crate::plan::units::Short;

/// What the caller knows of the steps.
#[derive(Debug, Clone, Default)]
pub struct Marks {
    /// The steps that decide the end.
    pub critical: BTreeSet<StepIx>,
    /// Steps that this plan's variables skip.
    pub skipped: BTreeSet<StepIx>,
    /// What stands on the right of the title.
    pub summary: String,
}

/// A list in stages: no step needs another one of its stage. `width` is that of the terminal, 60 at least.
#[must_use]
pub fn text(graph: &Graph, marks: &Marks, width: usize) -> String {
    let reach = Reach::new(graph);
    let names = graph.step_ixs().map(|s| graph.step(s).id.len()).max().unwrap_or(0).clamp(4, 24);
    let estimates = graph.step_ixs().map(|s| estimate(graph, s).len()).max().unwrap_or(0);
    let columns = Columns { names, estimates, width };
    let mut out = title_line(&graph.plan().name, &marks.summary, width);
    for stage in stages(graph) {
        out.push('\n');
        for step in stage {
            let needs = reach.reduced_needs(graph, step);
            write_row(&mut out, graph, marks, step, &needs, columns);
        }
    }
    let legend = [
        (marks.critical.is_empty(), "* critical path"),
        (marks.skipped.is_empty(), "- skipped: its `when` is false"),
        (!graph.step_ixs().any(|s| no_way_back(graph, s)), "! no way back"),
    ];
    let shown: Vec<&str> = legend.iter().filter(|(absent, _)| !absent).map(|(_, text)| *text).collect();
    if !shown.is_empty() {
        let _ = write!(out, "\n{}\n", shown.join("   "));
    }
    out
}

fn title_line(title: &str, summary: &str, width: usize) -> String {
    let used = title.chars().count() + summary.chars().count();
    match width.checked_sub(used) {
        Some(gap) if gap >= 2 => format!("{title}{}{summary}\n", " ".repeat(gap)),
        _ => format!("{title}\n{summary}\n"),
    }
}

#[derive(Debug, Clone, Copy)]
struct Columns {
    names: usize,
    estimates: usize,
    /// Of the whole line.
    width: usize,
}

fn estimate(graph: &Graph, step: StepIx) -> String {
    graph.step(step).estimate.map(|e| e.to_string()).unwrap_or_default()
}

fn write_row(out: &mut String, graph: &Graph, marks: &Marks, step: StepIx, needs: &[(StepIx, bool)], columns: Columns) {
    let author = graph.step(step);
    let mark = if marks.skipped.contains(&step) {
        '-'
    } else if no_way_back(graph, step) {
        '!'
    } else if marks.critical.contains(&step) {
        '*'
    } else {
        ' '
    };
    let Columns { names, estimates, width } = columns;
    let estimate = estimate(graph, step);
    let head =
        format!("{:>3} {mark} {:<names$}  {estimate:<estimates$}  {:<14}", step.0 + 1, author.id, places(graph, step));
    let indent = head.chars().count() + 1;
    let mut line = head;
    for (i, (need, same_host)) in needs.iter().enumerate() {
        let (first, last) = (i == 0, i + 1 == needs.len());
        let lead = if first { "after " } else { "" };
        let host = if *same_host { " (same host)" } else { "" };
        let word = format!("{lead}{}{host}", graph.step(*need).id);
        let comma = if first { "" } else { "," };
        if !first && line.chars().count() + comma.len() + 1 + word.chars().count() + usize::from(!last) > width {
            let _ = writeln!(out, "{line},");
            line = format!("{}{word}", " ".repeat(indent + 6));
        } else {
            let _ = write!(line, "{comma} {word}");
        }
    }
    let _ = writeln!(out, "{}", line.trim_end());
}

/// Steps by the longest chain of needs before them.
fn stages(graph: &Graph) -> Vec<Vec<StepIx>> {
    let mut depth = vec![0usize; graph.step_count()];
    for step in graph.topological() {
        depth[step.index()] = graph.all_needs(step).map(|n| depth[n.index()] + 1).max().unwrap_or(0);
    }
    let deepest = depth.iter().max().map_or(0, |d| d + 1);
    (0..deepest).map(|level| graph.step_ixs().filter(|s| depth[s.index()] == level).collect()).collect()
}

fn no_way_back(graph: &Graph, step: StepIx) -> bool {
    graph.ends_the_way_back(step)
}

/// `be1 be2`, `103 hosts`, `here`, `people`.
#[must_use]
pub fn places(graph: &Graph, step: StepIx) -> String {
    let author = graph.step(step);
    let hosts = match &author.place {
        Place::Nowhere if author.gate.is_some() => "people".into(),
        Place::Nowhere => "-".into(),
        Place::Controller => "here".into(),
        Place::Wave => "wave".into(),
        Place::Hosts(hosts) => folded(hosts),
    };
    if author.gate.is_some() && !matches!(author.place, Place::Nowhere) { format!("{hosts} +") } else { hosts }
}

/// Names as long as they are few and short.
fn folded(hosts: &[String]) -> String {
    let all = hosts.join(" ");
    let short = hosts.len() == 1 || (hosts.len() <= 4 && all.len() <= 14);
    if short { all } else { format!("{} hosts", hosts.len()) }
}

/// For Graphviz: `runbook graph PLAN --format dot | dot -Tsvg`.
#[must_use]
pub fn dot(graph: &Graph, marks: &Marks) -> String {
    let reach = Reach::new(graph);
    let mut out = format!(
        "digraph {} {{\n  rankdir=LR;\n  node [fontname=\"Helvetica\", shape=box, style=rounded];\n",
        in_quotes(&graph.plan().name)
    );
    for step in graph.step_ixs() {
        let shape = match graph.step(step) {
            s if s.gate.is_some() => ", shape=diamond, style=solid",
            s if matches!(s.verb, Verb::Test(_) | Verb::Http(_)) => ", shape=ellipse, style=solid",
            _ => "",
        };
        let bold = if marks.critical.contains(&step) { ", penwidth=2.5" } else { "" };
        let skipped = if marks.skipped.contains(&step) { ", color=gray, fontcolor=gray" } else { "" };
        let end = if no_way_back(graph, step) { ", peripheries=2" } else { "" };
        let label = label(graph, step).iter().map(|l| inside_quotes(l)).collect::<Vec<_>>().join("\\n");
        let _ = writeln!(out, "  s{} [label=\"{label}\"{shape}{bold}{skipped}{end}];", step.0 + 1);
    }
    for step in graph.step_ixs() {
        for (need, same_host) in reach.reduced_needs(graph, step) {
            let on_path = marks.critical.contains(&need) && marks.critical.contains(&step);
            let mut style = Vec::new();
            style.extend(same_host.then_some("style=dashed, label=\"same host\""));
            style.extend(on_path.then_some("penwidth=2.5"));
            let style = if style.is_empty() { String::new() } else { format!(" [{}]", style.join(", ")) };
            let _ = writeln!(out, "  s{} -> s{}{style};", need.0 + 1, step.0 + 1);
        }
    }
    out.push_str("}\n");
    out
}

/// For pages that draw Mermaid themselves.
#[must_use]
pub fn mermaid(graph: &Graph, marks: &Marks) -> String {
    let reach = Reach::new(graph);
    let mut out = String::from("flowchart LR\n");
    for step in graph.step_ixs() {
        let label = label(graph, step).iter().map(|l| for_mermaid(l)).collect::<Vec<_>>().join("<br/>");
        let (open, close) = match graph.step(step) {
            s if s.gate.is_some() => ("{\"", "\"}"),
            s if matches!(s.verb, Verb::Test(_) | Verb::Http(_)) => ("([\"", "\"])"),
            _ => ("[\"", "\"]"),
        };
        let _ = writeln!(out, "  s{}{open}{label}{close}", step.0 + 1);
    }
    for step in graph.step_ixs() {
        for (need, same_host) in reach.reduced_needs(graph, step) {
            let arrow = if same_host { "-. same host .->" } else { "-->" };
            let _ = writeln!(out, "  s{} {arrow} s{}", need.0 + 1, step.0 + 1);
        }
    }
    let class = |name: &str, style: &str, steps: &BTreeSet<StepIx>| {
        let names: Vec<String> = steps.iter().map(|s| format!("s{}", s.0 + 1)).collect();
        if names.is_empty() {
            String::new()
        } else {
            format!("  classDef {name} {style}\n  class {} {name}\n", names.join(","))
        }
    };
    let end: BTreeSet<StepIx> = graph.step_ixs().filter(|s| no_way_back(graph, *s)).collect();
    out.push_str(&class("critical", "stroke-width:3px", &marks.critical));
    out.push_str(&class("skipped", "opacity:0.5", &marks.skipped));
    out.push_str(&class("final", "stroke-dasharray:6 3", &end));
    out
}

fn label(graph: &Graph, step: StepIx) -> Vec<String> {
    let author = graph.step(step);
    let takes = author.estimate.map(|e| format!(", {e}")).unwrap_or_default();
    let held = author.hold.map(|h| format!(", stays true for {}", Short(h))).unwrap_or_default();
    vec![author.id.clone(), format!("{}{takes}{held}", places(graph, step))]
}

fn in_quotes(text: &str) -> String {
    format!("\"{}\"", inside_quotes(text))
}

fn inside_quotes(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', " ")
}

/// Mermaid has no escapes, but takes entities; a `#` or `<` would begin something.
fn for_mermaid(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '"' | '#' | '<' | '>' | '&' | ';' | '`' | '\\' => format!("#{};", c as u32),
            c => c.to_string(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::sample::{december, graph, plan, run};
    use crate::plan::model::Need;

    fn marks() -> Marks {
        let critical = [1, 2, 4, 6, 7, 8, 9, 10].map(|n| StepIx(n - 1));
        let summary = "11 steps on 5 hosts, 4h02m".into();
        Marks { critical: critical.into(), skipped: BTreeSet::new(), summary }
    }

    #[test]
    fn the_night_fits_a_terminal() {
        let drawn = text(&graph(december()), &marks(), 80);
        let expected = "\
Call-centre release 2.4                               11 steps on 5 hosts, 4h02m

  1 * bridge           5m        people

  2 * stop-frontend    5m        fe1 fe2        after bridge
  3   stop-backend     5m        be1 be2        after bridge

  4 * backup-db        15m-20m   db1            after stop-frontend,
                                                      stop-backend
  5   deploy-backend   20m-30m   be1 be2        after stop-backend

  6 * db-scripts       30m-40m   db1            after backup-db

  7 * sanity-backend   20m-25m   be1 be2        after deploy-backend, db-scripts

  8 * deploy-frontend  20m-25m   fe1 fe2        after sanity-backend

  9 * sanity-frontend  25m-30m   fe1 fe2 +      after deploy-frontend

 10 * landing-test     2h-2h40m  people         after sanity-frontend

 11 ! announce         2m        here           after landing-test

* critical path   ! no way back
";
        assert_eq!(drawn, expected);
        assert!(drawn.lines().all(|l| l.chars().count() <= 80));
    }

    #[test]
    fn many_hosts_are_a_number_and_hostile_titles_stay_in_their_quotes() {
        let names: Vec<String> = (0..103).map(|i| format!("vm{i}")).collect();
        let hosts: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut second = run("second", &[], &hosts, "x").takes(1, 1);
        second.needs = vec![Need { step: "first".into(), same_host: true }];
        let mut plan = plan(vec![run("first", &[], &hosts, "x"), second]);
        plan.name = "a\"] -> evil; \\".into();
        let graph = graph(plan);
        let marks = Marks { skipped: BTreeSet::from([StepIx(1)]), ..Marks::default() };
        assert!(text(&graph, &marks, 80).contains("  2 - second  1m  103 hosts      after first (same host)\n"));
        assert_eq!(
            dot(&graph, &marks),
            "digraph \"a\\\"] -> evil; \\\\\" {\n  rankdir=LR;\n  node [fontname=\"Helvetica\", shape=box, style=rounded];\n  \
             s1 [label=\"first\\n103 hosts\"];\n  s2 [label=\"second\\n103 hosts, 1m\", color=gray, fontcolor=gray];\n  \
             s1 -> s2 [style=dashed, label=\"same host\"];\n}\n"
        );
        assert!(mermaid(&graph, &marks).contains("  s1 -. same host .-> s2\n"));
        assert_eq!(for_mermaid("a\"#b"), "a#34;#35;b");
    }

    #[test]
    fn implied_needs_are_not_drawn() {
        let graph = graph(december());
        let drawn = mermaid(&graph, &marks());
        assert!(drawn.contains("s7 --> s8") && !drawn.contains("s2 --> s8"), "{drawn}");
        assert!(drawn.contains("s10{\"landing-test<br/>people, 2h-2h40m\"}"), "{drawn}");
        assert!(dot(&graph, &marks()).contains("s1 -> s2 [penwidth=2.5];"));
    }
}
