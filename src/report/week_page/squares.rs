//! Every host of a week as a small square, by wave. Knows no colours; the kinds of squares are classes of the style.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::plan::model::Plan;
use crate::report::escape::escape_for_terminal as esc;
use crate::report::week::{Verdict, Week};

const WIDTH: usize = 720;
const LABELS: usize = 150;
/// From one square to the next.
const STEP: usize = 12;
/// Squares of one line.
const LINE: usize = (WIDTH - LABELS) / STEP;
/// Characters of a label that fit before the squares.
const LABEL: usize = 22;
/// More squares than this nobody can tell apart; then one stands for several hosts.
const SQUARES: usize = 2000;

/// What a square says of its host, the worst last.
const KINDS: [(&str, &str); 5] = [
    ("work", "host"),
    ("tests", "at a time that its owner accepts"),
    ("worst", "perhaps at another time"),
    ("undo", "at a time that its owner does not accept"),
    ("waiting", "in no wave"),
];

#[derive(Debug, Serialize)]
pub(super) struct Squares {
    width: usize,
    height: usize,
    labels: Vec<Label>,
    squares: Vec<Square>,
    /// What the kinds mean; only those that there are.
    pub key: Vec<(&'static str, &'static str)>,
    /// Hosts of each square, where that is more than one.
    pub each: Option<usize>,
}

#[derive(Debug, Serialize)]
struct Label {
    y: usize,
    text: String,
}

#[derive(Debug, Serialize)]
struct Square {
    x: usize,
    y: usize,
    kind: &'static str,
    title: String,
}

impl Squares {
    pub fn new(plan: &Plan, week: &Week) -> Self {
        let each = plan.hosts.len().div_ceil(SQUARES).max(1);
        let mut all =
            Self { width: WIDTH, height: 0, labels: Vec::new(), squares: Vec::new(), key: Vec::new(), each: None };
        all.each = (each > 1).then_some(each);
        for (ix, wave) in week.waves.iter().enumerate() {
            let verdicts = verdicts(week, ix);
            let kind = |host: &str| verdicts.get(host).map_or(0, |v| 1 + *v as usize);
            let hosts: Vec<(&str, usize)> = wave.hosts.iter().map(|h| (h.as_str(), kind(h))).collect();
            all.block(&wave.name, &hosts, each);
        }
        let taken: BTreeSet<&String> = week.waves.iter().flat_map(|w| &w.hosts).collect();
        let left = plan.hosts.keys().filter(|h| !taken.contains(h)).map(|h| (h.as_str(), KINDS.len() - 1));
        let left: Vec<(&str, usize)> = left.collect();
        if !left.is_empty() {
            all.block("in no wave", &left, each);
        }
        all.key = KINDS.into_iter().filter(|(kind, _)| all.squares.iter().any(|s| s.kind == *kind)).collect();
        all
    }

    /// The hosts of one wave, each with the place of its kind.
    fn block(&mut self, name: &str, hosts: &[(&str, usize)], each: usize) {
        let name: String = esc(name).chars().take(LABEL).collect();
        let top = self.height;
        self.labels.push(Label { y: top + 9, text: format!("{name} {}", hosts.len()) });
        for (i, hosts) in hosts.chunks(each).enumerate() {
            let worst = hosts.iter().map(|(_, kind)| *kind).max().unwrap_or(0);
            let names: Vec<String> = hosts.iter().map(|(host, _)| esc(host)).collect();
            let (x, y) = (LABELS + i % LINE * STEP, top + i / LINE * STEP);
            self.squares.push(Square { x, y, kind: KINDS[worst].0, title: names.join(" ") });
        }
        self.height += hosts.len().div_ceil(each).div_ceil(LINE).max(1) * STEP + STEP / 2;
    }
}

/// How each host of a wave that has times of its own is worked on.
fn verdicts(week: &Week, wave: usize) -> BTreeMap<&str, Verdict> {
    let meetings = week.meetings.iter().filter(|m| m.wave == wave);
    meetings.flat_map(|m| m.hosts.iter().map(|h| (h.as_str(), m.verdict))).collect()
}
