//! Moves the dates of a plan's text, and nothing else of it. Knows nothing of zones: a date is what is written.

use jiff::Span as Days;
use jiff::civil::Date;

use super::source::Source;
use super::tree::{self, Kind, Node};

/// Keys whose values are points in time.
const POINTS: [&str; 4] = ["opens", "closes", "at", "answer_by"];

/// A text with its dates moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    pub text: String,
    /// How many dates.
    pub dates: usize,
}

/// Shifts every date of a window, a wave or a wait. Comments, layout and everything else stay byte for byte.
#[must_use]
pub fn moved(source: &Source, by: Days) -> Moved {
    let arena = tree::Arena::new();
    let root = tree::parse(source.text(), &arena, &mut Vec::new()).ok().flatten();
    let mut places = Vec::new();
    root.iter().for_each(|node| points(node, &mut places));
    places.sort_unstable();
    places.dedup();
    let mut text = source.text().to_owned();
    let mut dates = 0;
    for (start, end) in places.into_iter().rev() {
        let Some((at, date)) = date_in(&text[start..end]) else { continue };
        let Ok(new) = date.checked_add(by) else { continue };
        text.replace_range(start + at..start + at + LENGTH, &new.to_string());
        dates += 1;
    }
    Moved { text, dates }
}

/// Of `2007-12-02`.
const LENGTH: usize = 10;

/// The places of all scalars under keys that are points in time.
fn points(node: &Node<'_>, places: &mut Vec<(usize, usize)>) {
    match &node.kind {
        Kind::Scalar { .. } => {}
        Kind::Seq(nodes) => nodes.iter().for_each(|node| points(node, places)),
        Kind::Map(entries) => {
            for entry in *entries {
                if POINTS.contains(&entry.key.value) && matches!(entry.value.kind, Kind::Scalar { .. }) {
                    places.push((entry.value.span.start, entry.value.span.end));
                }
                points(&entry.value, places);
            }
        }
    }
}

fn date_in(text: &str) -> Option<(usize, Date)> {
    let starts = text.char_indices().map(|(at, _)| at);
    starts.filter_map(|at| Some((at, text.get(at..at + LENGTH)?.parse().ok()?))).next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::ToSpan as _;

    #[test]
    fn dates_move_and_nothing_else() {
        let text = "# the night of 2007-11-29\nname: 2007-11-29\nwindow:\n  opens:  \"2007-11-29 22:00\"   # late\n  \
                    closes: 2007-11-30 04:00\nsteps:\n  one: {wait: {at: \"2007-11-30 01:00\"}}\n  two: {run: echo at 2007-11-29}\n";
        let Moved { text: new, dates } = moved(&Source::new("p.yaml", text), 3.days());
        assert_eq!(dates, 3);
        let expected = text.replace("\"2007-11-29 22:00\"", "\"2007-12-02 22:00\"").replace("2007-11-30", "2007-12-03");
        assert_eq!(new, expected);
    }
}
