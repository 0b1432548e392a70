//! The JSON stream.

use runbook::report::{JsonStream, Reporter};
use serde_json::Value;

use super::log::Buffer;
use super::night::{Night, graph};

fn streamed(night: &Night) -> String {
    let buffer = Buffer::default();
    let mut stream = JsonStream::new(Box::new(buffer.clone()));
    let mut view = runbook::view::RunView::new(graph());
    for turn in night.facts.chunk_by(|a, b| a.at == b.at) {
        turn.iter().for_each(|f| view.apply(f));
        stream.facts(&view, turn, turn[0].at);
    }
    buffer.text()
}

#[test]
fn the_first_hour() {
    let text = streamed(&Night::until_0147());
    insta::assert_snapshot!("m15", text);
}

#[test]
fn every_fact_has_its_line_and_hello_is_first() {
    for night in [Night::whole(), Night::rolled_back(), Night::stuck()] {
        let lines: Vec<Value> = streamed(&night).lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(lines[0]["type"], "hello");
        let mut seqs: Vec<u64> = lines.iter().map(|l| l["seq"].as_u64().unwrap()).collect();
        assert!(seqs.is_sorted());
        seqs.dedup();
        assert_eq!(seqs, (1..=night.facts.len() as u64).collect::<Vec<_>>());
        for line in &lines {
            assert!(line["t"].as_str().unwrap().ends_with("-05:00") && line["msg"].is_string(), "{line}");
        }
    }
}

#[test]
fn output_of_hosts_is_not_in_the_stream() {
    assert!(!streamed(&Night::rolled_back()).contains("connection refused"));
}
