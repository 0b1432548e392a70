//! What is wrong between a plan and its window, in words. Knows nothing of how it is shown.

use jiff::SignedDuration;
use jiff::tz::TimeZone;

use super::fit::{Fit, Late, WindowFit};
use crate::graph::lint::Note;
use crate::graph::{Graph, StepIx};
use crate::plan::codes;
use crate::plan::units::Short;

/// An error when the plan cannot fit even by the expected estimates, else a warning (`W104`) when it cannot by
/// the worst ones.
#[must_use]
pub fn window_notes(graph: &Graph, fit: &Fit) -> Vec<Note> {
    let Some(window) = &fit.window else { return Vec::new() };
    match (window.late_expected, window.late_worst) {
        (Some(late), _) => vec![does_not_fit(graph, fit, window, late)],
        (None, Some(late)) => vec![worst_case(graph, window, late)],
        (None, None) => Vec::new(),
    }
}

fn does_not_fit(graph: &Graph, fit: &Fit, window: &WindowFit, late: Late) -> Note {
    let path: Vec<&str> = fit.longest_path.iter().map(|s| graph.step(*s).id.as_str()).collect();
    let takes = fit.longest_path.last().map_or(fit.finish_expected, |s| fit.expected[s.index()].end);
    let message = format!(
        "the longest path takes {} and does not fit the window of {}: {}",
        Short(takes),
        Short(window.closes),
        shortened(&path)
    );
    let limit = if is_decision_late(window, late) { "a rollback must start by" } else { "the window closes at" };
    let label =
        format!("expected to end {}; {limit} {}", clock(graph, window, late.ends), clock(graph, window, late.limit));
    let missing = SignedDuration::ZERO - window.least_slack;
    let help = format!("make it {} shorter, do more in parallel, or ask for a longer window", Short(missing));
    note(codes::DOES_NOT_FIT, late, message, label, help)
}

fn worst_case(graph: &Graph, window: &WindowFit, late: Late) -> Note {
    let id = &graph.step(late.step).id;
    let at = |offset| clock(graph, window, offset);
    let hour = SignedDuration::from_hours(1);
    if !is_decision_late(window, late) {
        let message = format!("in the worst case `{id}` ends after the window has closed");
        let label = format!("worst case {}; the window closes at {}", at(late.ends), at(late.limit));
        let help = "ask for a longer window now".into();
        return note(codes::LATE_ANSWER, late, message, label, help);
    }
    let message = format!("in the worst case `{id}` ends after the last moment to roll back");
    let label = format!(
        "worst case {}; a rollback must start by {} to be back at {}",
        at(late.ends),
        at(late.limit),
        at(window.closes)
    );
    let longer = format!("ask for a longer window now (1h: roll back by {})", at(late.limit + hour));
    let help = match graph.step(late.step).gate {
        Some(_) => format!("agree on an answer by {}, or {longer}", at(late.limit)),
        None => longer,
    };
    note(codes::LATE_ANSWER, late, message, label, help)
}

/// What is too late is a matter of the estimate.
fn note(code: &'static str, late: Late, message: String, label: String, help: String) -> Note {
    Note { code, step: Some(late.step), key: Some("estimate"), part: None, message, label: Some(label), help }
}

fn is_decision_late(window: &WindowFit, late: Late) -> bool {
    late.limit != window.closes
}

/// `05:50` in the plan's zone; `4h20m after the start` where the window opens whenever the run starts.
fn clock(graph: &Graph, window: &WindowFit, offset: SignedDuration) -> String {
    let zone = graph.plan().timezone.as_deref().and_then(|name| TimeZone::get(name).ok()).unwrap_or(TimeZone::UTC);
    match window.at(offset) {
        Some(at) => at.to_zoned(zone).strftime("%H:%M").to_string(),
        None => format!("{} after the start", Short(offset)),
    }
}

/// A path of at most eight names.
fn shortened(path: &[&str]) -> String {
    match path {
        [first, .., last] if path.len() > 8 => {
            format!(
                "{first} -> {} -> ... -> {} -> {last}",
                path[1..4].join(" -> "),
                path[path.len() - 3..path.len() - 1].join(" -> ")
            )
        }
        _ => path.join(" -> "),
    }
}

/// `fits 01:30-07:00 with 20m slack`, for the line that says that all is well; nothing without a window.
#[must_use]
pub fn fits_text(graph: &Graph, fit: &Fit) -> Option<String> {
    let window = fit.window.as_ref()?;
    let slack = Short(window.least_slack);
    Some(match window.opens {
        Some(_) => {
            let (opens, closes) = (clock(graph, window, SignedDuration::ZERO), clock(graph, window, window.closes));
            format!("fits {opens}-{closes} with {slack} slack")
        }
        None => format!("fits {} with {slack} slack", Short(window.closes)),
    })
}

/// `bridge -> stop-frontend`, the steps without any slack to spare.
#[must_use]
pub fn path_text(graph: &Graph, path: &[StepIx]) -> String {
    shortened(&path.iter().map(|s| graph.step(*s).id.as_str()).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::sample::{december, graph};
    use crate::schedule::fit;

    #[test]
    fn the_worst_case_of_the_night_is_a_warning_with_clock_times() {
        let graph = graph(december());
        let fit = fit(&graph);
        assert_eq!(fits_text(&graph, &fit).unwrap(), "fits 01:30-07:00 with 20m slack");
        let [note] = &window_notes(&graph, &fit)[..] else { panic!("one note") };
        assert_eq!((note.code, note.step), ("W104", Some(StepIx(9))));
        assert_eq!(note.message, "in the worst case `landing-test` ends after the last moment to roll back");
        let label = "worst case 06:40; a rollback must start by 05:50 to be back at 07:00";
        assert_eq!(note.label.as_deref(), Some(label));
        assert_eq!(note.help, "agree on an answer by 05:50, or ask for a longer window now (1h: roll back by 06:50)");
    }

    #[test]
    fn a_step_of_eight_hours_does_not_fit_and_the_path_is_named() {
        let mut plan = december();
        plan.steps["deploy-backend"] = plan.steps["deploy-backend"].clone().takes(480, 480);
        let graph = graph(plan);
        let [note] = &window_notes(&graph, &fit(&graph))[..] else { panic!("one note") };
        assert_eq!(note.code, codes::DOES_NOT_FIT);
        assert!(note.message.starts_with("the longest path takes 11h15m and does not fit the window of 5h30m: bridge -> stop-backend -> deploy-backend -> "), "{}", note.message);
        assert_eq!(note.help, "make it 6h55m shorter, do more in parallel, or ask for a longer window");
    }
}
