//! The page of a plan as one JSON document: the same numbers, in full. Times are RFC 3339 with the plan's offset, durations
//! numbers of seconds in keys that end in `_s`.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value as Json, json};

use super::clock::Clock;
use super::plan_page::PlanPage;
use super::{odds, words};
use crate::graph::job::Site;
use crate::graph::preview::{Preview, previews};
use crate::graph::{Graph, StepIx};
use crate::plan::model::Undo;

/// Everything that the page says.
#[must_use]
pub fn plan_document(page: &PlanPage<'_>) -> Json {
    let plan = page.graph.plan();
    let clock = Clock::new(plan.timezone.as_deref());
    let time = |t: Timestamp| json!(clock.rfc3339(t));
    let (finish, worst) = page.finish();
    let window = page.fit.window.as_ref();
    let seconds = |d: SignedDuration| d.as_secs();
    let findings = |errors: bool| -> Vec<Json> {
        let wanted = page.findings.iter().filter(|(code, _)| code.starts_with('E') == errors);
        wanted.map(|(code, text)| json!({ "code": code, "message": text })).collect()
    };
    json!({
        "v": 1,
        "plan": page.file,
        "name": plan.name,
        "digest": page.digest,
        "timezone": plan.timezone,
        "opens": time(page.opens),
        "closes": page.closes().map(time),
        "finish": time(finish),
        "makespan_s": seconds(finish.duration_since(page.opens)),
        "worst_finish": time(worst),
        "roll_back_by": page.roll_back_by().map(time),
        "rollback_s": window.map(|w| seconds(w.rollback)),
        "reserve_s": plan.window.as_ref().map(|w| seconds(w.reserve)),
        "slack_s": window.map(|w| seconds(w.least_slack)),
        "fits": window.map(|w| json!({ "expected": w.fits_expected, "worst": w.fits_worst })),
        "odds": page.odds.map(|o| odds::document(o, &clock)),
        "hosts": plan.hosts.keys().collect::<Vec<_>>(),
        "decisions": plan.steps.values().filter(|s| s.gate.is_some()).count(),
        "critical_path": names(page.graph, &page.fit.longest_path),
        "steps": steps(page, &clock),
        "rollback": rollback(page, &clock),
        "after_rollback": plan.after_rollback.as_ref().map(|_| commands(previews(page.graph).last().map_or(&[], Vec::as_slice))),
        "no_way_back": names(page.graph, &page.rollback.no_way_back),
        "horizons": horizons(page.graph, &page.graph.horizons()),
        "left_out": page.left_out,
        "probe": page.probe.map(|p| json!({
            "at": time(p.at),
            "ok": !p.failed,
            "findings": p.lines.iter().map(|(verdict, text)| json!({ "verdict": verdict, "text": text })).collect::<Vec<_>>(),
        })),
        "drill": page.drill_page().map(|drill| drill.document()),
        "errors": findings(true),
        "warnings": findings(false),
        "exec": page.exec,
    })
}

/// The steps with which undos expire, and whose.
pub(super) fn horizons(graph: &Graph, steps: &[StepIx]) -> Json {
    let one = |step: &StepIx| {
        json!({
            "step": graph.step(*step).id,
            "opens": graph.step(*step).opens,
            "expires": names(graph, &graph.expires_with(*step)),
        })
    };
    steps.iter().map(one).collect()
}

fn steps(page: &PlanPage<'_>, clock: &Clock) -> Vec<Json> {
    let graph = page.graph;
    let all = graph.step_ixs().zip(previews(graph)).map(|(ix, texts)| {
        let step = graph.step(ix);
        let (expected, worst) = (page.expected[ix.index()], page.worst[ix.index()]);
        json!({
            "step": step.id,
            "skipped": expected.is_none(),
            "start": expected.map(|t| clock.rfc3339(t.start)),
            "end": expected.map(|t| clock.rfc3339(t.end)),
            "worst_end": worst.map(|t| clock.rfc3339(t.end)),
            "estimate_s": step.estimate.map(|e| [e.expected.as_secs(), e.worst.as_secs()]),
            "slack_s": page.fit.window.as_ref().map(|w| w.slack[ix.index()].as_secs()),
            "decides_the_end": page.odds.map(|o| odds::thousandths(o.critical[ix.index()])),
            "critical": page.fit.longest_path.contains(&ix),
            "hosts": graph.actions_of(ix).filter_map(|a| graph.action(a).id.host()).collect::<Vec<_>>(),
            "what": words::what(step),
            "gate": step.gate.as_ref().map(|g| json!({
                "question": g.question,
                "who": g.who,
                "call_ahead_s": g.call_ahead.map(|d| d.as_secs()),
            })),
            "irreversible": match &step.undo { Undo::Irreversible(why) => Some(why), _ => None },
            "needs": graph.all_needs(ix).map(|n| graph.step(n).id.as_str()).collect::<Vec<_>>(),
            "commands": commands(&texts),
        })
    });
    all.collect()
}

fn commands(texts: &[Preview]) -> Vec<Json> {
    let site = |site: &Site| match site {
        Site::Controller => "local".to_owned(),
        Site::Host(name) => name.clone(),
    };
    let one = |p: &Preview| {
        json!({
            "for": p.what,
            "hosts": p.sites.iter().map(site).collect::<Vec<_>>(),
            "text": p.text,
            "unquoted": p.unquoted,
            "unknown": p.unknown,
        })
    };
    texts.iter().map(one).collect()
}

fn rollback(page: &PlanPage<'_>, clock: &Clock) -> Vec<Json> {
    let after = |d: SignedDuration| page.opens.checked_add(d).ok().map(|t| clock.rfc3339(t));
    let rows = page.rollback.rows.iter().map(|row| {
        json!({
            "fails_in": names(page.graph, &row.fails_in),
            "up_again_after_s": row.up_again_after.as_secs(),
            "latest_start": row.latest_start.and_then(after),
            "undoes": row.undoes.iter().map(|stage| names(page.graph, stage)).collect::<Vec<_>>(),
        })
    });
    rows.collect()
}

fn names(graph: &Graph, steps: &[StepIx]) -> Vec<String> {
    steps.iter().map(|s| graph.step(*s).id.clone()).collect()
}
