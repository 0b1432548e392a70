//! SCREENS M6: a step on many hosts. One bar, numbers, and the hosts that differ: in the live view, `status` and JSON.

use std::sync::Arc;

use jiff::Timestamp;
use runbook::engine::fact::FactRecord;
use runbook::graph::Graph;
use runbook::report::status::{Engine, status, status_json};
use runbook::report::{Look, Scene, frame};
use runbook::view::{Outlook, RunView};

use crate::scenarios::journal_of;

/// Thursday of the maintenance week: 103 hosts, 2 of them may fail, a third one does; one host takes long.
const THURSDAY: &str = "
plan: plans/2013-03-os-update.yaml
wave: thu-many
takes:
  drain update: 1m
  reboot update: 3m
  update@prod050: 2m
  update@prod046: 28m
  check update: 30s
faults:
  update@prod055/check/1: {exit: 1}
  update@prod050/check/1: {exit: 1}
  update@prod091/check/1: {exit: 1}
people:
  - {at: '17:50', by: Christian, rollback: the new kernel does not start}
";

struct Evening {
    graph: Arc<Graph>,
    journal: Vec<FactRecord>,
}

impl Evening {
    fn plays() -> Self {
        let (graph, journal) = journal_of(THURSDAY);
        Self { graph, journal }
    }

    fn view_at(&self, clock: &str) -> (RunView, Timestamp) {
        let at: Timestamp = format!("2013-03-07T{clock}Z").parse().unwrap();
        let mut view = RunView::new(self.graph.clone());
        self.journal.iter().filter(|fact| fact.at <= at).for_each(|fact| view.apply(fact));
        (view, at)
    }

    fn live(&self, clock: &str, width: usize) -> String {
        let (view, now) = self.view_at(clock);
        let look = Look { width, ascii: true };
        let heard = |_: &str, _: &str| None;
        let mut outlook = Outlook::default();
        let odds = outlook.look(&view, now);
        let lines = frame(&Scene { view: &view, look, now, odds, heard: &heard, keys: "" });
        let plain = anstream::adapter::strip_str(&lines.join("\n")).to_string();
        assert!(plain.lines().all(|line| line.len() < width), "{plain}");
        plain
    }

    fn status(&self, clock: &str, width: usize) -> String {
        let (view, now) = self.view_at(clock);
        let lines = status(&view, Some(&engine(now)), None, now, Look { width, ascii: true });
        anstream::adapter::strip_str(&lines.join("\n")).to_string()
    }
}

fn engine(now: Timestamp) -> Engine {
    Engine { controller: "bastion".into(), owner: "Christian".into(), heartbeat: now, live: true }
}

#[test]
fn many_hosts_are_one_bar_numbers_and_those_that_differ() {
    let evening = Evening::plays();
    insta::assert_snapshot!("m6-100", evening.live("17:26:10", 100));
    insta::assert_snapshot!("m6-80", evening.live("17:26:10", 80));
    insta::assert_snapshot!("m6-status-80", evening.status("17:26:10", 80));
}

#[test]
fn nothing_is_said_of_a_host_while_all_is_well() {
    let evening = Evening::plays();
    let early = evening.live("17:04:00", 100);
    assert!(!early.contains("prod0"), "{early}");
    let of_all = |clock| {
        let drawn = evening.live(clock, 100);
        drawn.lines().filter(|line| !line.starts_with(" FAIL") && !line.starts_with(" LATE")).count()
    };
    assert_eq!(of_all("17:04:00"), of_all("17:12:00"), "the area keeps its height");
}

#[test]
fn a_wave_that_is_rolled_back_counts_what_is_undone() {
    let evening = Evening::plays();
    insta::assert_snapshot!("m6-rolling-back", evening.live("18:06:00", 100));
}

#[test]
fn the_document_has_the_same_numbers() {
    let (view, now) = Evening::plays().view_at("17:26:10");
    let json = status_json(&view, Some(&engine(now)), None, now);
    let step = &json["steps"][1];
    assert_eq!(step["step"], "update");
    let count = |name: &str| step[name].as_u64().unwrap();
    assert_eq!(count("done") + count("failed") + count("running") + count("waiting"), 103);
    let fleet = &step["fleet"];
    let in_parts: u64 = fleet["parts"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
    assert_eq!(in_parts, count("running"));
    assert_eq!((fleet["failures_allowed"].as_u64(), fleet["late"][0].as_str()), (Some(2), Some("prod046")));
    assert_eq!(fleet["failures"][0]["hosts"].as_array().unwrap().len() as u64, count("failed"));
    assert_eq!(json["steps"][2]["fleet"], serde_json::Value::Null, "one host has no numbers");
}
