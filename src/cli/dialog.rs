//! What a person types while a run is shown: words become requests. Knows nothing of terminals and sockets.

use crate::engine::fact::HoldAnswer;
use crate::engine::input::Ask;
use crate::report;
use crate::view::RunView;

/// What a typed line leads to.
#[derive(Debug, Clone, PartialEq)]
pub enum Typed {
    Nothing,
    /// Lines to print.
    Say(Vec<String>),
    /// Ask this; the next line answers it.
    Prompt(String),
    /// Send this; in the name of this person, where one was named.
    Ask {
        ask: Ask,
        by: Option<String>,
    },
    Detach,
}

/// A conversation of several lines, when there is one.
#[derive(Debug, Default)]
pub struct Dialog {
    open: Option<Open>,
}

#[derive(Debug)]
enum Open {
    /// Approving with defects: first who decides, then the list.
    Defects { gate: String, by: Option<String>, named: bool, defects: Vec<String> },
    /// A rollback that nobody asked about needs the plan's name.
    Rollback,
    /// So does the pause of a rollback.
    Pause,
    /// A Ctrl-C asks what next; every other word works as well.
    Interrupted,
}

/// The question after a Ctrl-C.
const WHAT_NEXT: &str = "[c]ontinue [r]oll back [d]etach";

/// Asked while the defects are listed.
const NEXT_DEFECT: &str = "defect (empty line ends)";

impl Dialog {
    /// Takes one line. Enter alone never answers anything.
    pub fn typed(&mut self, line: &str, view: &RunView) -> Typed {
        let line = line.trim();
        match self.open.take() {
            Some(Open::Defects { gate, by, named: false, .. }) => self.named(gate, by, line),
            Some(Open::Defects { gate, by, defects, .. }) => self.defect(gate, by, defects, line),
            Some(Open::Rollback) => by_name(line, view, Ask::Rollback { reason: None }, "nothing was rolled back"),
            Some(Open::Pause) => by_name(line, view, Ask::Pause, "the rollback goes on"),
            Some(Open::Interrupted) => self.what_next(line, view),
            None => self.word(line, view),
        }
    }

    /// Whether the next line begins something new.
    #[must_use]
    pub const fn idle(&self) -> bool {
        self.open.is_none()
    }

    /// Forgets a conversation in the middle.
    pub fn interrupt(&mut self) {
        self.open = None;
    }

    /// Asks what a Ctrl-C was meant for, instead of whatever was talked about. Gives the question.
    pub fn ask_what_next(&mut self) -> String {
        self.open = Some(Open::Interrupted);
        WHAT_NEXT.to_owned()
    }

    /// Whether that question stands.
    #[must_use]
    pub const fn asks_what_next(&self) -> bool {
        matches!(self.open, Some(Open::Interrupted))
    }

    fn what_next(&mut self, line: &str, view: &RunView) -> Typed {
        match line {
            "" => Typed::Prompt(self.ask_what_next()),
            "c" if view.hold().is_none() => Typed::Say(vec!["nothing is held: the run goes on".to_owned()]),
            "c" => self.word("continue", view),
            "r" => self.ask_rollback(view),
            "d" => Typed::Detach,
            other => self.word(other, view),
        }
    }

    fn word(&mut self, line: &str, view: &RunView) -> Typed {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let (rest, plain) = (rest.trim(), |ask| Typed::Ask { ask, by: None });
        let gate = || gate_named(rest, view);
        match word {
            "" => Typed::Nothing,
            "q" | "quit" | "detach" => Typed::Detach,
            "?" | "help" => Typed::Say(help(view)),
            "approve" => gate().map_or_else(|| no_gate(view), |g| plain(approve(g, Vec::new()))),
            "defects" => gate().map_or_else(|| no_gate(view), |g| self.ask_who(g, view)),
            "reject" => gate().map_or_else(|| no_gate(view), |g| plain(Ask::Reject { gate: Some(g), note: None })),
            "note" if rest.is_empty() => Typed::Say(vec!["note what?   note TEXT".to_owned()]),
            "note" => plain(Ask::Note { text: rest.to_owned() }),
            "pause" if view.rollback().is_some() && view.hold().is_none() => self.ask_pause(view),
            "pause" => plain(Ask::Pause),
            "rollback" if view.hold().is_none() => self.ask_rollback(view),
            _ => hold_word(word, view)
                .map_or_else(|| unknown(word, view), |answer| plain(Ask::Hold { answer, note: None })),
        }
    }

    fn ask_who(&mut self, gate: String, view: &RunView) -> Typed {
        let by = who(&gate, view);
        let shown = by.clone().unwrap_or_else(|| "you".to_owned());
        self.open = Some(Open::Defects { gate, by, named: false, defects: Vec::new() });
        Typed::Prompt(format!("who decides? [{shown}]"))
    }

    fn named(&mut self, gate: String, default: Option<String>, line: &str) -> Typed {
        let by = if line.is_empty() { default } else { Some(line.to_owned()) };
        self.open = Some(Open::Defects { gate, by, named: true, defects: Vec::new() });
        Typed::Prompt(NEXT_DEFECT.to_owned())
    }

    fn defect(&mut self, gate: String, by: Option<String>, mut defects: Vec<String>, line: &str) -> Typed {
        if line.is_empty() {
            if defects.is_empty() {
                return Typed::Say(vec!["no defects were listed, so nothing was answered".to_owned()]);
            }
            return Typed::Ask { ask: approve(gate, defects), by };
        }
        defects.push(line.to_owned());
        self.open = Some(Open::Defects { gate, by, named: true, defects });
        Typed::Prompt(NEXT_DEFECT.to_owned())
    }

    fn ask_rollback(&mut self, view: &RunView) -> Typed {
        self.open = Some(Open::Rollback);
        let plan = view.header().map_or("", |h| &h.plan);
        let all = match view.left_to_people() {
            expired if expired.is_empty() => "everything done so far is undone".to_owned(),
            expired => format!("{}; all else that was done is undone", report::left_to_people(&expired)),
        };
        Typed::Prompt(format!("{all}; the plan's name ({plan}) rolls back"))
    }

    fn ask_pause(&mut self, view: &RunView) -> Typed {
        self.open = Some(Open::Pause);
        let plan = view.header().map_or("", |h| &h.plan);
        Typed::Prompt(format!("paused it is neither old nor new; the plan's name ({plan}) pauses it"))
    }
}

/// Asks this where the line is the plan's name.
fn by_name(line: &str, view: &RunView, ask: Ask, otherwise: &str) -> Typed {
    if view.header().is_some_and(|h| h.plan == line) {
        return Typed::Ask { ask, by: None };
    }
    Typed::Say(vec![format!("that is not the plan's name; {otherwise}")])
}

fn approve(gate: String, defects: Vec<String>) -> Ask {
    Ask::Approve { gate: Some(gate), defects, note: None }
}

/// The open gate that is meant: the named one, or the only one.
fn gate_named(name: &str, view: &RunView) -> Option<String> {
    let gates = view.gates();
    let found = match gates {
        [one] if name.is_empty() => Some(one),
        _ => gates.iter().find(|g| g.action.step() == name),
    };
    found.map(|g| g.action.step().to_owned())
}

fn no_gate(view: &RunView) -> Typed {
    let open: Vec<&str> = view.gates().iter().map(|g| g.action.step()).collect();
    Typed::Say(vec![match open.as_slice() {
        [] => "no gate is open; nothing was answered".to_owned(),
        gates => format!("say which gate: {}", gates.join(", ")),
    }])
}

/// The people of a gate, as one text.
fn who(gate: &str, view: &RunView) -> Option<String> {
    let graph = view.graph();
    let gate = graph.step(graph.find_step(gate)?).gate.as_ref()?;
    let people = &graph.plan().people;
    let names: Vec<&str> =
        gate.who.iter().map(|key| people.get(key).map_or(key.as_str(), |p| p.name.as_str())).collect();
    if names.is_empty() { None } else { Some(names.join(", ")) }
}

/// A word that answers the open hold.
fn hold_word(word: &str, view: &RunView) -> Option<HoldAnswer> {
    view.hold()?;
    Some(match word {
        "retry" => HoldAnswer::Retry,
        "skip" => HoldAnswer::Skip,
        "rollback" => HoldAnswer::Rollback,
        "continue" | "go on" => HoldAnswer::Continue,
        "stop" => HoldAnswer::Stop,
        "hold" | "stay" => HoldAnswer::Stay,
        _ => return None,
    })
}

fn unknown(word: &str, view: &RunView) -> Typed {
    let mut lines = vec![format!("`{}` is no answer here", crate::report::escape_for_terminal(word))];
    lines.extend(help(view));
    Typed::Say(lines)
}

/// What can be typed now.
fn help(view: &RunView) -> Vec<String> {
    let mut words: Vec<&str> = Vec::new();
    if !view.gates().is_empty() {
        words.extend(["approve", "defects", "reject"]);
    }
    match (view.hold(), view.last_at()) {
        (Some(_), Some(now)) => words.extend(view.hold_answers(now).iter().map(|answer| answer.word)),
        _ => words.push("pause"),
    }
    if view.rollback().is_none() && !words.contains(&"rollback") {
        words.push("rollback");
    }
    words.extend(["note TEXT", "q (leave; the run goes on)"]);
    vec![format!("words: {}", words.join(", "))]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;

    use super::*;
    use crate::engine::fact::{Actor, Fact, FactRecord, HoldReason, RollbackCause};
    use crate::graph::Graph;
    use crate::graph::ids::ActionId;
    use crate::plan::source::Source;
    use crate::plan::{Draft, Outside};

    const PLAN: &str = "runbook: 1\nname: N\npeople:\n  client: {name: Ms. Hu}\nsteps:\n  landing:\n    gate: Well?\n    \
                        who: [client]\n    estimate: 1m\n";

    /// A run of the plan above in which these facts are true.
    fn view(facts: Vec<Fact>) -> RunView {
        let source = Source::from_bytes("n.yaml", PLAN.as_bytes()).ok().unwrap();
        let outside = Outside { stem: "n".into(), ..Outside::default() };
        let plan = Draft::read(&source).check(&outside).plan.unwrap();
        let mut view = RunView::new(Arc::new(Graph::build(Arc::new(plan))));
        for (seq, fact) in (1..).zip(facts) {
            view.apply(&FactRecord { seq, at: Timestamp::UNIX_EPOCH, fact });
        }
        view
    }

    fn gate() -> RunView {
        view(vec![Fact::GateOpened { action: ActionId::new("landing", None), answer_by: None }])
    }

    fn hold() -> RunView {
        let reason = HoldReason::Paused { by: Actor::engine() };
        view(vec![Fact::HoldOpened { reason, limit: None, default: HoldAnswer::Rollback }])
    }

    fn last(view: &RunView, lines: &[&str]) -> Typed {
        let mut dialog = Dialog::default();
        lines.iter().map(|line| dialog.typed(line, view)).last().unwrap()
    }

    #[test]
    fn enter_alone_and_unknown_words_answer_nothing() {
        assert_eq!(last(&gate(), &[""]), Typed::Nothing);
        for word in ["a", "yes", "y", "Approve", "approve other", "reject other", "retry", "skip"] {
            assert!(matches!(last(&gate(), &[word]), Typed::Say(_)), "{word}");
        }
        assert!(matches!(last(&view(vec![]), &["approve"]), Typed::Say(lines) if lines[0].contains("no gate is open")));
    }

    #[test]
    fn words_answer_the_open_gate() {
        let approved = Ask::Approve { gate: Some("landing".into()), defects: vec![], note: None };
        assert_eq!(last(&gate(), &["approve"]), Typed::Ask { ask: approved.clone(), by: None });
        assert_eq!(last(&gate(), &[" approve  landing "]), Typed::Ask { ask: approved, by: None });
        let rejected = Ask::Reject { gate: Some("landing".into()), note: None };
        assert_eq!(last(&gate(), &["reject"]), Typed::Ask { ask: rejected, by: None });
    }

    #[test]
    fn defects_are_listed_and_somebody_answers_for_them() {
        let with = |defects: &[&str]| Ask::Approve {
            gate: Some("landing".into()),
            defects: defects.iter().map(|d| (*d).to_owned()).collect(),
            note: None,
        };
        let listed = last(&gate(), &["defects", "", "wrong label", "q", ""]);
        assert_eq!(listed, Typed::Ask { ask: with(&["wrong label", "q"]), by: Some("Ms. Hu".into()) });
        let named = last(&gate(), &["defects", "Dev", "slow", ""]);
        assert_eq!(named, Typed::Ask { ask: with(&["slow"]), by: Some("Dev".into()) });
        assert!(matches!(last(&gate(), &["defects", "", ""]), Typed::Say(_)), "none listed, nothing answered");
    }

    #[test]
    fn words_answer_the_open_hold() {
        let answer = |answer| Typed::Ask { ask: Ask::Hold { answer, note: None }, by: None };
        assert_eq!(last(&hold(), &["continue"]), answer(HoldAnswer::Continue));
        assert_eq!(last(&hold(), &["rollback"]), answer(HoldAnswer::Rollback));
        assert!(matches!(last(&hold(), &["approve"]), Typed::Say(_)));
    }

    #[test]
    fn letters_answer_only_what_a_ctrl_c_asks() {
        let after = |line: &str, view: &RunView| {
            let mut dialog = Dialog::default();
            dialog.ask_what_next();
            dialog.typed(line, view)
        };
        let go_on = Ask::Hold { answer: HoldAnswer::Continue, note: None };
        assert_eq!(after("c", &hold()), Typed::Ask { ask: go_on, by: None });
        assert_eq!(after("d", &hold()), Typed::Detach);
        assert_eq!(after("", &hold()), Typed::Prompt(WHAT_NEXT.to_owned()), "Enter alone answers nothing");
        assert!(matches!(after("r", &hold()), Typed::Prompt(_)), "a rollback needs more than a letter");
        assert!(matches!(after("note all well", &hold()), Typed::Ask { ask: Ask::Note { .. }, .. }));
        for letter in ["c", "r", "d"] {
            assert!(matches!(last(&hold(), &[letter]), Typed::Say(_)), "{letter} without the question");
        }
    }

    #[test]
    fn a_rollback_that_nobody_asked_about_needs_the_plans_name() {
        assert!(matches!(last(&gate(), &["rollback"]), Typed::Prompt(_)));
        assert!(matches!(last(&gate(), &["rollback", "yes"]), Typed::Say(_)));
        assert!(matches!(last(&gate(), &["rollback", ""]), Typed::Say(_)));
    }

    fn going_back(hold: bool) -> RunView {
        let cause = RollbackCause::Person { by: Actor::engine(), reason: None };
        let reason = HoldReason::RollbackPaused { by: Actor::engine() };
        let paused = Fact::HoldOpened { reason, limit: None, default: HoldAnswer::Stay };
        view([Fact::RollbackDecided { cause }].into_iter().chain(hold.then_some(paused)).collect())
    }

    #[test]
    fn a_rollback_is_paused_by_the_plans_name() {
        assert_eq!(last(&hold(), &["pause"]), Typed::Ask { ask: Ask::Pause, by: None });
        assert!(matches!(last(&going_back(false), &["pause"]), Typed::Prompt(_)));
        assert!(matches!(last(&going_back(false), &["pause", "yes"]), Typed::Say(_)));
        assert!(matches!(last(&going_back(false), &["pause", ""]), Typed::Say(_)));
    }

    #[test]
    fn only_words_that_answer_are_listed() {
        let listed = |view: &RunView| match last(view, &["?"]) {
            Typed::Say(lines) => lines.concat().replace(", note TEXT, q (leave; the run goes on)", ""),
            other => panic!("{other:?}"),
        };
        assert_eq!(listed(&gate()), "words: approve, defects, reject, pause, rollback");
        assert_eq!(listed(&hold()), "words: continue, rollback");
        assert_eq!(listed(&going_back(false)), "words: pause");
        assert_eq!(listed(&going_back(true)), "words: continue");
    }
}
