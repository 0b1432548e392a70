//! What a finished plan looks like as a whole: does it fit its window, is it over, what is probably not meant. Turns what
//! graph and schedule say into findings with places. Reads no clock and no files.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::diagnostics;
use super::error::CommandError;
use super::load::Loaded;
use super::window::{clock_time, rough};
use crate::graph::Graph;
use crate::graph::lint::{Note, lint};
use crate::plan::diagnostic::{Diagnostic, Severity, sort};
use crate::plan::inventory::count;
use crate::plan::maintenance::VARIABLE;
use crate::plan::model::{Opening, Plan};
use crate::plan::source::Source;
use crate::plan::span::Span;
use crate::plan::units::Short;
use crate::plan::{Places, codes};
use crate::report::week::{Meeting, Verdict, Week, in_time};
use crate::report::{Clock, WaveHosts, resolve_waves};
use crate::schedule::{Fit, fit, fits_text, window_notes};

/// A plan, compiled and held against its window.
#[derive(Debug)]
pub struct Review {
    pub graph: Arc<Graph>,
    pub fit: Fit,
    /// Sorted by place.
    pub found: Vec<Diagnostic>,
}

/// Everything that is to be said about a plan without errors. `now` is only compared with its windows.
#[must_use]
pub fn review(plan: &Plan, places: &Places, source: &Source, now: Timestamp) -> Review {
    let graph = Arc::new(Graph::build(Arc::new(plan.clone())));
    let fit = fit(&graph);
    let at = Finder { graph: &graph, places, source };
    let mut found: Vec<Diagnostic> = lint(&graph).iter().map(|note| at.diagnostic(note)).collect();
    found.extend(if plan.waves.is_empty() { at.window(&fit) } else { at.waves(plan) });
    found.extend(at.owners(plan, now));
    found.extend(at.past(plan, now));
    sort(&mut found);
    Review { graph, fit, found }
}

/// What is to be said about the times of a plan that has other errors.
#[must_use]
pub fn times(plan: &Plan, places: &Places, source: &Source) -> Vec<Diagnostic> {
    if !plan.waves.is_empty() {
        return Vec::new();
    }
    let graph = Graph::build(Arc::new(plan.clone()));
    Finder { graph: &graph, places, source }.window(&fit(&graph))
}

/// Refuses what cannot fit its window even by the expected estimates.
///
/// # Errors
/// With the finding, and where it stands.
pub fn must_fit(loaded: &Loaded, graph: &Graph) -> Result<(), CommandError> {
    let at = Finder { graph, places: &loaded.places, source: &loaded.source };
    let found = at.window(&fit(graph));
    let Some(error) = found.iter().find(|d| d.is_error()) else { return Ok(()) };
    let refused = CommandError::usage(diagnostics::printable(&error.message));
    Err(error
        .help
        .iter()
        .fold(refused, |e, help| e.hint(help.clone()))
        .hint(format!("see where:   runbook check {}", loaded.source.name)))
}

/// `11 steps, 5 hosts, fits 01:30-07:00 with 20m slack`.
#[must_use]
pub fn summary(review: &Review) -> String {
    let plan = review.graph.plan();
    let mut parts = vec![count(plan.steps.len(), "step"), count(plan.hosts.len(), "host")];
    if plan.waves.is_empty() {
        parts.extend(fits_text(&review.graph, &review.fit));
    } else {
        parts.push(format!("{}, each fits its window", count(plan.waves.len(), "wave")));
    }
    parts.join(", ")
}

/// `web1`, `web1 and web2`, `web1, web2, web3 and 4 more hosts`.
fn some_of(hosts: &[String]) -> String {
    match hosts {
        [one] => one.clone(),
        [one, two] => format!("{one} and {two}"),
        [one, two, three, rest @ ..] if !rest.is_empty() => {
            format!("{one}, {two}, {three} and {} more", rest.len())
        }
        _ => hosts.join(", "),
    }
}

/// Finds the places of what graph and schedule speak of.
struct Finder<'a> {
    graph: &'a Graph,
    places: &'a Places,
    source: &'a Source,
}

impl Finder<'_> {
    fn diagnostic(&self, note: &Note) -> Diagnostic {
        let severity = if note.code.starts_with('E') { Severity::Error } else { Severity::Warning };
        let mut d = match severity {
            Severity::Error => Diagnostic::error(note.code, note.message.clone()),
            Severity::Warning => Diagnostic::warning(note.code, note.message.clone()),
        };
        if let Some(span) = self.place(note) {
            d = d.at(span, note.label.clone().unwrap_or_default());
        }
        if note.help.is_empty() { d } else { d.help(note.help.clone()) }
    }

    fn place(&self, note: &Note) -> Option<Span> {
        let id = &self.graph.step(note.step?).id;
        let key = note.key.and_then(|key| self.places.step_key(id, key));
        key.map(|span| self.narrowed(span, note.part.as_deref())).or_else(|| self.places.step(id))
    }

    /// Of a long value the part that is meant, else its first line.
    fn narrowed(&self, span: Span, part: Option<&str>) -> Span {
        let span = self.source.clamp(span);
        let text = &self.source.text()[span.start..span.end];
        if let Some((start, part)) = part.and_then(|part| Some((text.find(part)?, part))) {
            return Span::new(span.start + start, span.start + start + part.len());
        }
        let first = text.find('\n').unwrap_or(text.len());
        Span::new(span.start, span.start + text[..first].trim_end().len())
    }

    fn window(&self, fit: &Fit) -> Vec<Diagnostic> {
        let notes = window_notes(self.graph, fit);
        notes.iter().map(|note| self.with_window(note, fit)).collect()
    }

    /// An error about the window also shows the window, and what takes longest on the way to it.
    fn with_window(&self, note: &Note, fit: &Fit) -> Diagnostic {
        let d = self.diagnostic(note);
        let Some(window) = fit.window.as_ref().filter(|_| d.is_error()) else { return d };
        let length = |s: &crate::graph::StepIx| fit.expected[s.index()].end - fit.expected[s.index()].start;
        let longest = fit.longest_path.iter().copied().max_by_key(length).filter(|s| Some(*s) != note.step);
        let longest = longest.and_then(|s| {
            let span = self.places.step_key(&self.graph.step(s).id, "estimate")?;
            Some((span, format!("takes {} of it", Short(length(&s)))))
        });
        let closes = self.places.window_key("closes").or_else(|| self.places.window_key("lasts"));
        let closes = closes.map(|span| (span, format!("the window has {}", Short(window.closes))));
        closes.into_iter().chain(longest).fold(d, |d, (span, text)| d.label(span, text))
    }

    fn waves(&self, plan: &Plan) -> Vec<Diagnostic> {
        let reserve = plan.window.as_ref().map_or(SignedDuration::ZERO, |w| w.reserve);
        let long = |wave: &crate::report::WaveHosts| {
            let room = wave.closes.duration_since(wave.opens) - reserve;
            let message = |how, takes| {
                format!("wave `{}` takes {} {how}, its window has {}", wave.name, Short(takes), Short(room))
            };
            let d = match () {
                () if wave.expected > room => {
                    Diagnostic::error(codes::DOES_NOT_FIT, message("as expected", wave.expected))
                }
                () if wave.worst > room => Diagnostic::warning(codes::LATE_ANSWER, message("at worst", wave.worst)),
                () => return None,
            };
            let d = d.help("give it fewer hosts or a longer window, or raise `at_once`");
            Some(match self.places.plan_key("waves") {
                Some(span) => d.at(self.narrowed(span, Some(&wave.name)), "too much for its window"),
                None => d,
            })
        };
        resolve_waves(plan).iter().filter_map(long).collect()
    }

    /// Hosts that would be worked on when their owners do not accept it, or without the notice that they asked for.
    fn owners(&self, plan: &Plan, now: Timestamp) -> Vec<Diagnostic> {
        if !plan.hosts.values().any(|h| h.vars.contains_key(VARIABLE)) {
            return Vec::new();
        }
        let week = Week::of(plan);
        week.meetings
            .iter()
            .flat_map(|m| [self.not_accepted(plan, &week, m), self.late(&week, m, now)])
            .flatten()
            .collect()
    }

    fn not_accepted(&self, plan: &Plan, week: &Week, meeting: &Meeting) -> Option<Diagnostic> {
        let wave = &week.waves[meeting.wave];
        let hosts = some_of(&meeting.hosts);
        let (code, message) = match meeting.verdict {
            Verdict::Kept => return None,
            Verdict::Perhaps => (
                codes::PERHAPS_NOT_ACCEPTED,
                format!("wave `{}` may reach {hosts} outside of the accepted times", wave.name),
            ),
            Verdict::Broken => {
                (codes::NOT_ACCEPTED, format!("wave `{}` is at no accepted time for {hosts}", wave.name))
            }
        };
        let clock = Clock::new(plan.timezone.as_deref());
        let until = |from, to| format!("{}-{}", clock.full(from), clock.hm_near(to, from));
        let d = self.about_wave(Diagnostic::warning(code, message), wave, until(wave.opens, wave.closes), meeting);
        let next = meeting.next.map(|(from, to)| format!("next accepted: {}", until(from, to)));
        let waves: Vec<&str> = meeting.elsewhere.iter().take(4).map(|w| week.waves[*w].name.as_str()).collect();
        let move_to = (!waves.is_empty()).then(|| format!("wave {} would suit", waves.join(", ")));
        let help: Vec<String> = next.into_iter().chain(move_to).collect();
        Some(if help.is_empty() {
            d.help("no accepted time in the next three weeks is long enough")
        } else {
            d.help(help.join("; "))
        })
    }

    fn late(&self, week: &Week, meeting: &Meeting, now: Timestamp) -> Option<Diagnostic> {
        let (wave, notice) = (&week.waves[meeting.wave], meeting.accepted.notice?);
        if wave.opens <= now || in_time(notice, wave.opens, now) {
            return None;
        }
        let left = Short(SignedDuration::from_mins(wave.opens.duration_since(now).as_mins()));
        let hosts = some_of(&meeting.hosts);
        let message =
            format!("wave `{}` opens in {left}, but {} of notice are agreed for {hosts}", wave.name, Short(notice));
        let d = self.about_wave(Diagnostic::warning(codes::SHORT_NOTICE, message), wave, "too soon".into(), meeting);
        Some(d.help("move the wave, or agree with the owner"))
    }

    fn about_wave(&self, d: Diagnostic, wave: &WaveHosts, label: String, meeting: &Meeting) -> Diagnostic {
        let mut d = match self.places.wave(&wave.name) {
            Some(span) => d.at(span, label),
            None => d,
        };
        d.labels.extend(meeting.hosts.first().and_then(|h| self.places.accepted(h)).cloned());
        d
    }

    /// A window that is over: right for an example and for looking back, wrong for tonight.
    fn past(&self, plan: &Plan, now: Timestamp) -> Option<Diagnostic> {
        let (closes, place) = match plan.waves.iter().map(|w| w.closes).max() {
            Some(last) => (last, self.places.plan_key("waves")),
            None => match plan.window.as_ref()?.opening {
                Opening::At { closes, .. } => (closes, self.places.window_key("closes")),
                Opening::WhenStarted { .. } => return None,
            },
        };
        if now < closes {
            return None;
        }
        let what = if plan.waves.is_empty() { "the window" } else { "the last window" };
        let message = format!("{what} ended {} ago ({})", rough(now.duration_since(closes)), clock_time(plan, closes));
        let d = Diagnostic::warning(codes::PAST, message)
            .help("change its times for another night; `exec` refuses this one");
        Some(match place {
            Some(span) => d.at(self.narrowed(span, None), ""),
            None => d,
        })
    }
}
