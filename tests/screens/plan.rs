//! The page for the go/no-go call.

use std::sync::Arc;

use jiff::Timestamp;
use runbook::graph::Graph;
use runbook::plan::model::Plan;
use runbook::report::week::Week;
use runbook::report::{PlanPage, WeekPage};
use runbook::schedule::{Evening, Past};
use runbook::view::StepTimes;

use super::night::{at, plan};

fn page(plan: Plan, opens: Timestamp, width: usize, change: impl Fn(&mut PlanPage<'_>)) -> String {
    let graph = Graph::build(Arc::new(plan));
    let dry = runbook::sim::dry_run(&graph, opens, None);
    let times = |of: &[runbook::sim::StepTimes]| -> Vec<Option<StepTimes>> {
        of.iter().map(|t| Some(StepTimes { start: t.start?, end: t.end? })).collect()
    };
    let (expected, worst) = (times(&dry.steps), times(&dry.worst));
    let fit = runbook::schedule::fit(&graph);
    let rollback = runbook::schedule::rollback_plan(&graph);
    let closes = fit.window.as_ref().and_then(|w| opens.checked_add(w.closes).ok());
    let situation = Evening::before(&graph, opens, closes);
    let odds = Evening::new(&graph, None, &Past::default()).odds(&graph, &situation);
    let warnings = [(
        "W104".to_owned(),
        "in the worst case landing-test ends 06:40, after \"roll back by\"; agree on an answer by 05:50".to_owned(),
    )];
    let mut page = PlanPage {
        graph: &graph,
        file: "plans/2007-12-02.yaml",
        digest: "7c1f9a3e55aa0011",
        opens,
        expected: &expected,
        worst: &worst,
        fit: &fit,
        rollback: &rollback,
        odds: odds.as_ref(),
        findings: &warnings,
        exec: "runbook exec plans/2007-12-02.yaml",
        left_out: &[],
        probe: None,
        drill: None,
        width,
        commands: false,
        by_host: false,
    };
    change(&mut page);
    let lines = page.lines();
    for line in &lines {
        assert!(unicode_width::UnicodeWidthStr::width(line.as_str()) <= width, "{line}");
    }
    lines.join("\n") + "\n"
}

#[test]
fn the_page_of_2_december() {
    insta::assert_snapshot!("m2-100", page(plan(), at("01:30"), 100, |_| {}));
    insta::assert_snapshot!("m2-80", page(plan(), at("01:30"), 80, |_| {}));
}

#[test]
fn its_numbers_are_those_of_the_call() {
    let text = page(plan(), at("01:30"), 100, |_| {});
    for line in [
        "  Window         01:30 - 07:00   5h30m",
        "  Finish         05:32 expected  1h28m before the window closes       worst case 06:42",
        "  Roll back by   05:50           a full rollback takes 55m, reserve 15m",
        "  Slack          20m             landing-test is expected to end at 05:30",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
fn every_command_and_every_host_on_request() {
    insta::assert_snapshot!(
        "m2-commands",
        page(plan(), at("01:30"), 100, |p| {
            p.commands = true;
            p.by_host = true;
        })
    );
}

#[test]
fn hidden_characters_are_visible() {
    let mut plan = plan();
    plan.name = "Release \u{202e}4.2".into();
    plan.steps[1].verb = runbook::plan::model::Verb::Run("echo \u{200b}\u{1b}]0;x\u{7}".into());
    let text = page(plan, at("01:30"), 100, |p| p.commands = true);
    assert!(text.contains("Release \\u{202e}4.2") && text.contains("echo \\u{200b}\\e]0;x\\x07"), "{text}");
}

#[test]
fn narrow_terminals_lose_columns_not_truth() {
    for width in [50, 60, 70, 79, 120] {
        let text = page(plan(), at("01:30"), width, |_| {});
        assert!(text.contains("Roll back by   05:50"), "{text}");
    }
}

fn week() -> Plan {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("plans/2013-03-os-update.yaml");
    runbook::cli::load::load(&path, &[]).unwrap().plan
}

#[test]
fn a_week_of_waves_is_one_line_per_wave() {
    for (name, width) in [("m2-waves-100", 100), ("m2-waves-80", 80)] {
        let plan = week();
        let page = WeekPage { plan: &plan, week: &Week::of(&plan), odds: &[], file: "", digest: "", findings: &[] };
        let lines = runbook::report::wave_lines(&page, width);
        assert!(lines.iter().all(|l| l.len() <= width));
        insta::assert_snapshot!(name, lines.join("\n") + "\n");
    }
}

#[test]
fn the_waves_take_every_host_once() {
    let waves = runbook::report::resolve_waves(&week());
    let counts: Vec<usize> = waves.iter().map(|w| w.hosts.len()).collect();
    assert_eq!(counts, [6, 2, 14, 35, 46, 103, 29, 1]);
    let all: std::collections::BTreeSet<&String> = waves.iter().flat_map(|w| &w.hosts).collect();
    assert_eq!(all.len(), 236);
}
