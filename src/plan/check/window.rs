//! The agreed time: from opens to closes with a reserve. Knows no step.

use jiff::SignedDuration;

use super::Checker;
use super::clock::Base;
use crate::plan::codes;
use crate::plan::diagnostic::Diagnostic;
use crate::plan::model::{OnDeadline, Opening, Window};
use crate::plan::raw::RawWindow;
use crate::plan::span::Span;
use crate::plan::units::Short;

/// Kept free after a rollback where the plan says nothing.
const DEFAULT_RESERVE: SignedDuration = SignedDuration::from_mins(15);
const LONGEST_EXTENSION: SignedDuration = SignedDuration::from_hours(24);

impl Checker<'_> {
    pub fn window(&mut self) -> Option<Window> {
        let raw = self.raw.window.as_ref()?;
        let (span, raw) = (raw.span, &raw.value);
        let opening = self.opening(raw, span)?;
        let length = match opening {
            Opening::At { opens, closes } => closes.duration_since(opens),
            Opening::WhenStarted { lasts } => lasts,
        };
        let reserve = raw.reserve.as_ref().map_or(DEFAULT_RESERVE, |r| r.value.0);
        if reserve >= length {
            let at = raw.reserve.as_ref().map_or(span, |r| r.span);
            let message = format!("the reserve of {} leaves no time in a window of {}", Short(reserve), Short(length));
            self.error(codes::RESERVE, message, at, "kept free after a rollback");
        }
        let max_extension = raw.max_extension.as_ref().map(|m| m.value.0);
        if let Some(m) = raw.max_extension.as_ref().filter(|m| m.value.0 > LONGEST_EXTENSION) {
            let message = format!("a window cannot be extended by {}", Short(m.value.0));
            self.error(codes::RANGE, message, m.span, format!("the limit is {}", Short(LONGEST_EXTENSION)));
        }
        let on_deadline = raw.on_deadline.as_ref().map_or(OnDeadline::default(), |d| d.value.0);
        Some(Window { opening, reserve, max_extension, on_deadline })
    }

    fn opening(&mut self, raw: &RawWindow, span: Span) -> Option<Opening> {
        match (&raw.opens, &raw.closes, &raw.lasts) {
            (None, None, Some(lasts)) => {
                if lasts.value.0.is_zero() {
                    self.error(codes::WINDOW_ORDER, "the window has no length", lasts.span, "longer than 0");
                    return None;
                }
                Some(Opening::WhenStarted { lasts: lasts.value.0 })
            }
            (Some(opens), Some(closes), None) => {
                let fold = raw.fold.as_ref().map(|f| f.value.0);
                let from = self.instant(opens, Base::DateRequired, fold);
                let Some(from) = from else {
                    // The other end is looked at as well, so that both mistakes are found in one go.
                    if closes.value.trim().contains([' ', 'T']) {
                        self.instant(closes, Base::DateRequired, fold);
                    }
                    return None;
                };
                let to = self.instant(closes, Base::NextAfter(from), fold)?;
                if from < to {
                    return Some(Opening::At { opens: from, closes: to });
                }
                let d = if from == to {
                    Diagnostic::error(
                        codes::WINDOW_ORDER,
                        "the window has no length: it opens and closes at the same time",
                    )
                } else {
                    Diagnostic::error(codes::WINDOW_ORDER, "the window closes before it opens")
                };
                self.found.push(d.at(closes.span, "closes").label(opens.span, "opens"));
                None
            }
            _ => {
                if !raw.broken.is_empty() {
                    return None;
                }
                let message = match (&raw.lasts, raw.opens.is_some(), raw.closes.is_some()) {
                    (Some(_), ..) => "the window has both `lasts` and clock times",
                    (None, true, false) => "the window does not say when it closes",
                    (None, false, true) => "the window does not say when it opens",
                    _ => "the window says neither when it opens nor how long it lasts",
                };
                let d = Diagnostic::error(codes::WINDOW, message).at(span, "");
                self.found.push(d.help("write `window: {opens: \"2026-11-28 01:30\", closes: \"2026-11-28 07:00\"}`, or `window: {lasts: 8h}`"));
                None
            }
        }
    }
}
