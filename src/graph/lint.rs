//! Notes on a finished graph: what is legal and probably not meant. Knows nothing of windows, files or the night itself.

use std::collections::{BTreeMap, BTreeSet};

use super::action::StepIx;
use super::build::Graph;
use super::danger::danger;
use super::reach::Reach;
use crate::plan::codes;
use crate::plan::model::{Place, RollbackWork, Step, Undo, Verb, Wait};
use crate::template;

/// Something to think about before the night. Sentences are lower-case fragments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    pub code: &'static str,
    /// The step it is about; `None` for the plan as a whole.
    pub step: Option<StepIx>,
    /// The step's key whose value is meant; `None` for the step as a whole.
    pub key: Option<&'static str>,
    /// The part of that value that is meant, where it is only a part.
    pub part: Option<String>,
    pub message: String,
    /// What stands under the marked place, where more can be said.
    pub label: Option<String>,
    pub help: String,
}

impl Note {
    fn new(code: &'static str, step: StepIx, message: String, help: impl Into<String>) -> Self {
        Self { code, step: Some(step), key: None, part: None, message, label: None, help: help.into() }
    }

    /// About the value of this key, with a few words for the mark.
    fn at(self, key: &'static str, label: impl Into<String>) -> Self {
        Self { key: Some(key), label: Some(label.into()), ..self }
    }
}

/// More hosts than this at once are worth a second look on a step that changes something.
const MANY_HOSTS: usize = 20;

/// What comes before what is looked at in plans of up to this many steps: it takes time and memory by their square, and
/// nobody reads such notes on a plan that a program wrote.
const MANY_STEPS: usize = 3_000;

/// All notes, in the plan's order, those on the plan as a whole first.
#[must_use]
pub fn lint(graph: &Graph) -> Vec<Note> {
    let mut notes = Vec::new();
    for step in graph.step_ixs() {
        notes.extend(rollback_takes_no_time(graph, step));
        notes.extend(commands_to_look_at(graph, step));
        notes.extend(many_hosts_at_once(graph, step));
        notes.extend(nobody_is_asked(graph, step));
    }
    if graph.step_count() <= MANY_STEPS {
        let reach = Reach::new(graph);
        for step in graph.step_ixs() {
            notes.extend(irreversible_too_early(graph, &reach, step));
            notes.extend(nothing_judges_after(graph, &reach, step));
        }
        notes.extend(same_host_at_the_same_time(graph, &reach));
    }
    notes.extend(nothing_judges_at_all(graph));
    notes.sort_by_key(|n| (n.step, n.code));
    notes
}

fn judges(step: &Step) -> bool {
    step.gate.is_some() || step.judges()
}

/// Whether a rollback has work to do here.
fn is_undone(step: &Step) -> bool {
    matches!(step.undo, Undo::Command(_) | Undo::BuiltIn(_) | Undo::Manual(_))
}

fn irreversible_too_early(graph: &Graph, reach: &Reach, step: StepIx) -> Vec<Note> {
    if !matches!(graph.step(step).undo, Undo::Irreversible(_)) {
        return Vec::new();
    }
    let id = &graph.step(step).id;
    let not_before = |wanted: fn(&Step) -> bool| -> Vec<&str> {
        let later = graph.step_ixs().filter(|s| *s != step && wanted(graph.step(*s)) && !reach.before(*s, step));
        later.map(|s| graph.step(s).id.as_str()).collect()
    };
    let (judging, undone) = (not_before(judges), not_before(is_undone));
    let mut notes = Vec::new();
    if !judging.is_empty() {
        let message = format!("`{id}` cannot be undone, and {} may still fail after it", listed(&judging));
        let help = "let it need everything that judges, or let people decide to go on forward only";
        notes.push(Note::new(codes::TOO_EARLY, step, message, help).at("irreversible", "no way back from here"));
    }
    if !undone.is_empty() {
        let message = format!("once `{id}` has started, {} will never be rolled back", listed(&undone));
        let note = Note::new(codes::NOT_LAST, step, message, "do what cannot be undone last");
        notes.push(note.at("irreversible", "no way back from here"));
    }
    notes
}

/// Undos that expire are a decision for people.
fn nobody_is_asked(graph: &Graph, step: StepIx) -> Option<Note> {
    let asked = || graph.is_asked_before(step) || graph.plan().waves.iter().any(|w| w.gate.is_some());
    if graph.expires_with(step).is_empty() || asked() {
        return None;
    }
    let id = &graph.step(step).id;
    let message = format!("rollbacks expire with `{id}`, and nobody is asked before it");
    let help = format!("add a step with `gate: QUESTION`, and let `{id}` need it");
    Some(Note::new(codes::UNASKED, step, message, help).at("opens", "no automatic way back from here"))
}

fn nothing_judges_at_all(graph: &Graph) -> Option<Note> {
    let changes = graph.step_ixs().any(|s| graph.step(s).changes_something());
    let judged = graph.step_ixs().any(|s| judges(graph.step(s)) || graph.step(s).verify.is_some());
    let last = graph.topological().into_iter().rfind(|s| graph.step(*s).changes_something());
    last.filter(|_| changes && !judged).map(|last| {
        let message = "no step tests or asks whether the work succeeded".into();
        let help = "add a step with `test`, `http` or `gate` at the end: it is what a rollback is decided by";
        Note { label: Some("nothing judges after this one".into()), ..Note::new(codes::NO_JUDGE, last, message, help) }
    })
}

fn nothing_judges_after(graph: &Graph, reach: &Reach, step: StepIx) -> Option<Note> {
    let author = graph.step(step);
    let judged = |s: StepIx| judges(graph.step(s)) && (s == step || reach.before(step, s));
    let nobody_judges_anything = !graph.step_ixs().any(|s| judges(graph.step(s)));
    if !is_undone(author) || author.verify.is_some() || nobody_judges_anything || graph.step_ixs().any(judged) {
        return None;
    }
    let message = format!("no test or gate comes after `{}`, so nothing notices when it went wrong", author.id);
    Some(Note::new(codes::UNJUDGED, step, message, "add `verify`, or let a test need it"))
}

fn rollback_takes_no_time(graph: &Graph, step: StepIx) -> Option<Note> {
    let author = graph.step(step);
    let Undo::Command(rollback) = &author.undo else { return None };
    if graph.plan().window.is_none() || !rollback.estimate.worst.is_zero() {
        return None;
    }
    let message = format!("the rollback of `{}` is estimated to take no time", author.id);
    let help = "write `rollback: {run: ..., estimate: 5m}`: *roll back by* is computed from it";
    Some(Note::new(codes::INSTANT_UNDO, step, message, help).at("rollback", "takes no time?"))
}

/// One note for each step that meets another one on a host without either waiting for the other.
fn same_host_at_the_same_time(graph: &Graph, reach: &Reach) -> Vec<Note> {
    let changing: Vec<StepIx> = graph.step_ixs().filter(|s| graph.step(*s).changes_something()).collect();
    let hosts: BTreeMap<StepIx, BTreeSet<&str>> = changing.iter().map(|s| (*s, hosts_of(graph, *s))).collect();
    let exclusive = |a: StepIx, b: StepIx| {
        let uses = |s: StepIx| &graph.step(s).uses;
        uses(a).iter().any(|(name, units)| {
            let capacity = graph.plan().resources.get(name).copied().unwrap_or(u32::MAX);
            uses(b).get(name).is_some_and(|other| units + other > capacity)
        })
    };
    let mut notes = Vec::new();
    for (i, &step) in changing.iter().enumerate() {
        let free = |other: StepIx| !reach.ordered(step, other) && !exclusive(step, other);
        let meets = changing[..i]
            .iter()
            .filter(|o| free(**o))
            .find_map(|other| hosts[&step].intersection(&hosts[other]).next().map(|host| (*other, *host)));
        if let Some((other, host)) = meets {
            let (a, b) = (&graph.step(other).id, &graph.step(step).id);
            let message = format!("`{a}` and `{b}` may change {host} at the same time");
            let help = format!("when they must not meet: `needs: [{a}]`, or a resource that both use");
            notes.push(Note::new(codes::SAME_TIME, step, message, help));
        }
    }
    notes
}

fn hosts_of(graph: &Graph, step: StepIx) -> BTreeSet<&str> {
    match &graph.step(step).place {
        Place::Hosts(hosts) => hosts.iter().map(String::as_str).collect(),
        Place::Wave => graph.plan().hosts.keys().map(String::as_str).collect(),
        Place::Nowhere | Place::Controller => BTreeSet::new(),
    }
}

/// Every shell text of a step, with the key it stands under.
fn shell_texts(step: &Step) -> Vec<(&'static str, &str)> {
    let mut texts = match &step.verb {
        Verb::Run(t) => vec![("run", t.as_str())],
        Verb::Test(t) => vec![("test", t.as_str())],
        Verb::Wait(Wait::Until { command, .. }) => vec![("wait", command.as_str())],
        Verb::Script(_) | Verb::Copy(_) | Verb::Template { .. } | Verb::Http(_) | Verb::Gate | Verb::Wait(_) => vec![],
    };
    texts.extend(step.verify.as_deref().map(|t| ("verify", t)));
    if let Some(rollback) = step.rollback() {
        if let RollbackWork::Run(t) = &rollback.work {
            texts.push(("rollback", t));
        }
        texts.extend(rollback.verify.as_deref().map(|t| ("rollback verify", t)));
    }
    for (key, drain) in [("drain", &step.fleet.drain), ("undrain", &step.fleet.undrain)] {
        texts.extend(drain.as_ref().map(|d| (key, d.run.as_str())));
    }
    texts
}

fn commands_to_look_at(graph: &Graph, step: StepIx) -> Vec<Note> {
    let author = graph.step(step);
    let mut notes = Vec::new();
    for (key, text) in shell_texts(author) {
        let id = &author.id;
        if let Some(why) = danger(text) {
            let message = format!("`{key}` of `{id}` {why}");
            let help = "look twice; the page of `runbook plan` lists it for the go/no-go call";
            notes.push(Note::new(codes::DANGER, step, message, help).at(top_key(key), ""));
        }
        for splice in template::splices(text) {
            let message = format!("`{key}` of `{id}` splices `{splice}` into the command without quoting");
            let help = "whoever sets that value writes shell code: leave `unquoted` out, or be sure";
            let note = Note::new(codes::SPLICE, step, message, help).at(top_key(key), "not quoted");
            notes.push(Note { part: Some(splice.to_owned()), ..note });
        }
    }
    notes
}

/// The key of the step under which a text stands.
fn top_key(key: &'static str) -> &'static str {
    key.split(' ').next().unwrap_or(key)
}

fn many_hosts_at_once(graph: &Graph, step: StepIx) -> Option<Note> {
    let author = graph.step(step);
    let hosts = graph.actions_of(step).len();
    let at_once = author.fleet.at_once.or(graph.plan().at_once).map_or(hosts, |s| s.at_least_one_of(hosts));
    let first = author.fleet.canary;
    if !author.changes_something() || at_once <= MANY_HOSTS || first || author.place == Place::Wave {
        return None;
    }
    let message = format!("`{}` changes {at_once} hosts at once", author.id);
    let help = "`at_once: 10%` takes them in portions, so that a mistake meets a few hosts first";
    Some(Note::new(codes::ALL_AT_ONCE, step, message, help).at("hosts", format!("{hosts} hosts")))
}

fn listed(names: &[&str]) -> String {
    match names {
        [only] => format!("`{only}`"),
        [first, second] => format!("`{first}` and `{second}`"),
        [first, rest @ ..] => format!("`{first}` and {} others", rest.len()),
        [] => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::sample::{december, graph, plan, run, test};
    use crate::plan::model::Plan;
    use crate::plan::units::Size;

    fn codes(plan: Plan) -> Vec<(&'static str, String)> {
        lint(&graph(plan)).into_iter().map(|n| (n.code, n.message)).collect()
    }

    fn irreversible(step: Step) -> Step {
        Step { undo: Undo::Irreversible("mail".into()), ..step }
    }

    #[test]
    fn the_night_gives_no_cause_for_notes() {
        assert_eq!(codes(december()), []);
    }

    #[test]
    fn what_cannot_be_undone_belongs_at_the_end() {
        let notes = codes(plan(vec![
            irreversible(run("mail", &[], &["local"], "x")),
            run("deploy", &["mail"], &["a"], "x").undone_by("y", 1),
            test("sanity", &["deploy"], &["a"], "z"),
        ]));
        assert_eq!(notes[0], ("W150", "`mail` cannot be undone, and `sanity` may still fail after it".into()));
        assert_eq!(notes[1], ("W151", "once `mail` has started, `deploy` will never be rolled back".into()));
        assert_eq!(notes.len(), 2);
    }

    #[test]
    fn work_that_nothing_judges_is_named() {
        let alone = codes(plan(vec![run("deploy", &[], &["a"], "x").undone_by("y", 1)]));
        assert_eq!(alone, [("W152", "no step tests or asks whether the work succeeded".into())]);
        let beside = plan(vec![
            run("deploy", &[], &["a"], "x").undone_by("y", 1),
            run("late", &["sanity"], &["a"], "x").undone_by("y", 1),
            test("sanity", &["deploy"], &["a"], "z"),
        ]);
        assert_eq!(codes(beside.clone()).len(), 1);
        assert!(codes(beside)[0].1.contains("`late`"));
    }

    #[test]
    fn two_changes_may_meet_on_a_host() {
        let deploy = |id: &str| run(id, &[], &["a", "b"], "x").undone_by("y", 1);
        let mut plan = plan(vec![deploy("one"), deploy("two"), test("sanity", &["one", "two"], &["a"], "z")]);
        assert_eq!(codes(plan.clone()), [("W154", "`one` and `two` may change a at the same time".into())]);
        plan.resources.insert("disk".into(), 1);
        for step in ["one", "two"] {
            plan.steps[step].uses.insert("disk".into(), 1);
        }
        assert_eq!(codes(plan), []);
    }

    #[test]
    fn commands_for_a_second_look_are_listed() {
        let names: Vec<String> = (0..30).map(|i| format!("h{i}")).collect();
        let hosts: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut many = run("wipe", &[], &hosts, "rm -rf /srv; echo {{ OPTIONS | unquoted }}").undone_by("y", 1);
        let codes_of = |s: &Step| -> Vec<&str> {
            lint(&graph(plan(vec![s.clone(), test("t", &["wipe"], &["h0"], "z")]))).iter().map(|n| n.code).collect()
        };
        assert_eq!(codes_of(&many), ["W156", "W157", "W158"]);
        many.fleet.at_once = Some(Size::Count(5));
        many.verb = Verb::Run("true".into());
        assert_eq!(codes_of(&many), Vec::<&str>::new());
    }

    #[test]
    fn a_rollback_without_time_makes_the_deadline_a_lie() {
        let mut plan = december();
        plan.steps["stop-backend"] = plan.steps["stop-backend"].clone().undone_by("x", 0);
        assert_eq!(codes(plan)[0].0, "W155");
    }
}
