//! `runbook report PLAN --trend`: the runs of one plan, one after the other, in every form.

use std::fs;

use jiff::{SignedDuration, Timestamp};
use runbook::engine::fact::Stage;
use runbook::journal::store::Frozen;
use runbook::journal::{NewRun, Store};
use runbook::report::{Ink, Night as Column, Trend, WriteUp};
use serde_json::Value;

use crate::exec::{Bed, NIGHT};
use crate::screens::night::{Night, at};

/// Four nights a week apart, each an eighth of an hour longer; one was rolled back, and the last is not over.
pub fn four_nights() -> Trend {
    let nights = [Night::whole(), Night::whole(), Night::rolled_back(), Night::until_0147()];
    let columns = nights.iter().zip(0..).map(|(night, week)| {
        let mut run = WriteUp::of(&night.view(), at("01:48")).expect("a run that has begun");
        let (later, longer) = (SignedDuration::from_hours(24 * 7 * week), SignedDuration::from_secs(450 * week));
        run.run = format!("2007-12-02-{}", ["a", "b", "c", "d"][week as usize]);
        run.began += later;
        run.ended = run.ended.map(|t| t + later + longer);
        run.window = run.window.map(|(opens, closes)| (opens + later, closes + later));
        run.planned_end = run.planned_end.map(|t| t + later);
        if let Some(step) = run.steps.iter_mut().find(|s| s.step == "landing-test") {
            step.ended = step.ended.map(|t| t + longer);
        }
        Column::of(run, at("01:48") + later)
    });
    let left_out = vec!["left out: 1 run, in the lab".to_owned()];
    Trend { title: "Call-centre release 2.4".into(), plan: "2007-12-02".into(), nights: columns.collect(), left_out }
}

#[test]
fn four_nights_are_a_table_and_lines_of_small_bars() {
    let trend = four_nights();
    let texts = [(80, Ink::Blocks), (100, Ink::Ascii)].map(|(width, ink)| {
        let lines = trend.text(width, ink);
        let wide = lines.iter().map(|l| l.chars().count()).max().unwrap_or(0);
        assert!(wide <= width, "{wide} columns:\n{}", lines.join("\n"));
        format!("{width} columns\n{}\n", lines.join("\n"))
    });
    insta::assert_snapshot!(texts.join("\n"));
}

#[test]
fn the_runs_of_a_plan_are_told_in_every_form() {
    let bed = Bed::new(NIGHT);
    for _ in 0..2 {
        assert_eq!(bed.exec(&[]).code, 0);
    }
    fs::write(bed.path("bad"), "").unwrap();
    assert_eq!(bed.exec(&["--no-input"]).code, 10);
    played(&bed, Stage::Lab);
    played(&bed, Stage::Rehearsal);
    let text = bed.run(&["report", "night.yaml", "--trend"]).stdout;
    assert!(text.starts_with("A small night (night): 3 runs, oldest first\n"), "{text}");
    let order = ["night-a", "night-b", "night-c"].map(|run| text.find(run).unwrap_or_else(|| panic!("{run}: {text}")));
    assert!(order.is_sorted() && text.contains("rolled back"), "{text}");
    assert!(text.contains("left out: 1 run, in the lab, whose"), "{text}");
    assert!(text.contains("left out: 1 run, rehearsed, which takes as long as"), "{text}");
    let night = bed.run(&["report", "night-a", "--format", "html"]).stdout;
    assert!(night.contains("class=\"time\"") && !night.to_lowercase().contains(">none<"), "{night}");
    assert_eq!(bed.run(&["report", "night", "--trend"]).stdout, text, "by the file's name");
    assert_eq!(bed.run(&["report", "--trend"]).stdout, text, "of the newest run");

    let json: Value = serde_json::from_str(&bed.run(&["report", "--trend", "--json"]).stdout).expect("JSON");
    let outcomes: Vec<&str> = json["runs"].as_array().unwrap().iter().filter_map(|r| r["outcome"].as_str()).collect();
    assert_eq!(outcomes, ["done", "done", "rolled back"]);
    assert!(json["runs"][0]["steps_s"]["two"].is_f64() && json["runs"][2]["steps_s"]["check"].is_null(), "{json}");
    let csv = bed.run(&["report", "--trend", "--format", "csv"]).stdout;
    assert_eq!(csv.lines().count(), 4, "{csv}");
    let md = bed.run(&["report", "--trend", "--format", "md"]).stdout;
    assert!(md.contains("| night-c | ") && md.contains("\n## Steps\n"), "{md}");
    let svg = bed.run(&["report", "--trend", "--format", "svg"]).stdout;
    assert!(svg.contains("<title>night-c, rolled back 00:00-00:00"), "{svg}");
    let page = bed.run(&["report", "--trend", "--format", "html"]).stdout;
    assert!(page.contains("<h2>How long they took</h2>") && !page.contains("<script"), "{page}");

    bed.run(&["report", "other", "--trend"]).refused(3, &["no run of other can be shown", "runbook runs"]);
    bed.run(&["report", "other.yaml", "--trend"]).refused(2, &["there is no file `other.yaml`"]);
    bed.run(&["report", "night-a", "night-b", "--trend"]).refused(2, &["`--trend` is of one plan"]);
}

fn played(bed: &Bed, stage: Stage) {
    let new = NewRun {
        plan: "night".into(),
        title: "A small night".into(),
        digest: "7c1f".into(),
        stage,
        created: Timestamp::UNIX_EPOCH,
    };
    let frozen = |_: &str| Frozen { plan: "{}".into(), started: "{}".into(), setup: "{}".into() };
    Store::open(&bed.path("store")).unwrap().create(&new, |_| false, frozen).unwrap();
}
