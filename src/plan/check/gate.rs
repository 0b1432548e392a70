//! Questions to people: who may answer, until when. Knows no machine.

use jiff::SignedDuration;

use super::Checker;
use super::step::{clock_base, texts};
use crate::plan::codes;
use crate::plan::diagnostic::{Diagnostic, Quoted};
use crate::plan::model::{Gate, Opening, Plan};
use crate::plan::raw::{Field, Many, RawStep};
use crate::plan::span::Spanned;
use crate::plan::units::Size;

/// A gate's people, of a step or a wave.
#[derive(Debug)]
pub struct Asked<'r> {
    pub who: &'r Field<Many<String>>,
    pub checklist: &'r Field<Many<String>>,
    pub call_ahead: Option<SignedDuration>,
    pub not_author: bool,
    pub quorum: Option<Spanned<u32>>,
}

impl Checker<'_> {
    pub fn gate(&mut self, question: &Spanned<String>, raw: &RawStep, plan: &Plan) -> Option<Gate> {
        let asked = Asked {
            who: &raw.who,
            checklist: &raw.checklist,
            call_ahead: raw.call_ahead.as_ref().map(|c| c.value.0),
            not_author: raw.not_author.as_ref().is_some_and(|b| b.value),
            quorum: raw.quorum.as_ref().map(|q| Spanned::new(q.value.0, q.span)),
        };
        let ask_below = self.ask_below(&raw.ask_below);
        let mut gate = Gate { ask_below, ..self.question(question, &asked, plan)? };
        if let Some(by) = &raw.answer_by {
            gate.answer_by = self.instant(by, clock_base(plan), None);
            if let (Some(at), Some(Opening::At { opens, closes })) =
                (gate.answer_by, plan.window.as_ref().map(|w| &w.opening))
                && !(*opens..*closes).contains(&at)
            {
                self.error(
                    codes::RANGE,
                    "`answer_by` lies outside the window",
                    by.span,
                    "before it opens, or after it closes",
                );
            }
        }
        Some(gate)
    }

    /// A question with who may answer it, of a step or a wave.
    pub fn question(&mut self, question: &Spanned<String>, asked: &Asked<'_>, plan: &Plan) -> Option<Gate> {
        if question.value.trim().is_empty() {
            self.error(codes::EMPTY, "the gate asks nothing", question.span, "write the question");
        }
        if let Some(who) = asked.who {
            if who.value.is_empty() {
                let d = Diagnostic::error(codes::WHO, "nobody could answer this gate").at(who.span, "names nobody");
                self.found.push(d.help("name people of the plan: `who: [release]`; without `who`, anybody may answer"));
            }
            for person in &who.value {
                self.person(person, plan);
            }
        }
        let who = texts(asked.who);
        if let Some(quorum) = asked.quorum.as_ref().filter(|q| !who.is_empty() && q.value as usize > who.len()) {
            let message = format!("{} people must approve, but only {} may", quorum.value, who.len());
            self.error(codes::WHO, message, quorum.span, "more than `who` names");
        }
        Some(Gate {
            question: question.value.clone(),
            who,
            checklist: texts(asked.checklist),
            call_ahead: asked.call_ahead,
            answer_by: None,
            not_author: asked.not_author,
            quorum: asked.quorum.as_ref().map_or(1, |q| q.value),
            ask_below: None,
        })
    }

    /// How likely a run must be to end in time for nobody to be asked. Without a window there is no such time.
    pub fn ask_below(&mut self, raw: &Field<Size>) -> Option<u8> {
        let raw = raw.as_ref()?;
        let help = "write for instance `ask_below: 80%`";
        let percent = match raw.value {
            Size::Percent(percent @ 1..=99) => percent,
            Size::Percent(_) | Size::Count(_) => {
                let d = Diagnostic::error(codes::RANGE, "`ask_below` must be a percentage from 1% to 99%");
                self.found.push(d.at(raw.span, "nothing is more certain, or less").help(help));
                return None;
            }
        };
        if !self.raw.has("window") {
            let d =
                Diagnostic::error(codes::RANGE, "`ask_below` needs a window: without one nothing ends in time or late");
            self.found.push(d.at(raw.span, "in time for what?").help("write `window: {opens: ..., closes: ...}`"));
        }
        Some(percent)
    }

    fn person(&mut self, person: &Spanned<String>, plan: &Plan) {
        let broken = self.raw.people.as_ref().is_some_and(|p| p.value.broken.contains(&person.value));
        if plan.people.contains_key(&person.value) || broken || (self.raw.has("people") && self.raw.people.is_none()) {
            return;
        }
        let d = Diagnostic::error(codes::PERSON, format!("unknown person {}", Quoted(&person.value)));
        let known = plan.people.keys().map(String::as_str);
        self.found.push(match crate::plan::words::nearest(&person.value, known) {
            Some(near) => d.at(person.span, format!("did you mean `{near}`?")).fix(person.span, near),
            None => d.at(person.span, "not in `people`").help(format!(
                "write `people: {{{}: {{name: ..., phone: ...}}}}` at the top of the plan",
                person.value
            )),
        });
    }
}
