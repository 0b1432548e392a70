//! What must be true before a run is armed: hosts answer, sudo works, clocks agree, there is room. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::absent;
use super::error::CommandError;
use super::power::Battery;
use crate::graph::ids::AttemptId;
use crate::graph::job::Site;
use crate::graph::{Graph, parts};
use crate::plan::model::{Plan, Step};
use crate::plan::not_executable_yet;
use crate::plan::units::Short;
use crate::schedule::fit;
use crate::transport::{Logout, NoAnswer, SiteState, Survey, SurveyRequest};

/// The journal needs this much free space at the start.
const FREE: u64 = 64 << 20;
/// A host should have this much for its attempt records.
const HOST_FREE: u64 = 32 << 20;
/// A clock that is further off makes the times of a run hard to compare.
const CLOCK_WARN_MS: u64 = 2_000;

/// One line of the preflight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub verdict: Verdict,
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Ok,
    Warn,
    /// The run is refused.
    Fail,
}

impl Verdict {
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }
}

/// Keys of the plan language that this version reads and checks but does not execute.
///
/// # Errors
/// Names each of them.
pub fn executable(plan: &Plan) -> Result<(), CommandError> {
    let missing = not_executable_yet(plan);
    if missing.is_empty() {
        return Ok(());
    }
    let error = CommandError::refused("this version checks and plans what follows, but cannot execute it yet");
    Err(missing.into_iter().take(20).fold(error, |error, what| error.hint(what)))
}

/// What to ask of each site that the plan may touch, forward or back, without those that this run leaves out.
#[must_use]
pub fn requests(graph: &Graph, without_hosts: &[String]) -> Vec<SurveyRequest> {
    let mut sites: BTreeMap<Site, (bool, BTreeSet<String>)> = BTreeMap::new();
    let forward = graph.action_ixs().map(|ix| (&graph.action(ix).id, graph.step_of(ix)));
    let proof = graph.plan().after_rollback.iter();
    let proof = proof.flat_map(|step| graph.after_rollback().iter().map(move |a| (&a.id, step)));
    for (action, step) in forward.chain(proof) {
        for direction in parts::forward(step).chain(parts::back(step)) {
            let attempt = AttemptId { action: action.clone(), direction, number: 1 };
            if let Some(site) = graph.site_of(&attempt) {
                note(sites.entry(site).or_default(), step);
            }
        }
    }
    let left_out = |site: &Site| matches!(site, Site::Host(name) if without_hosts.contains(name));
    let request = |(site, (sudo, users)): (Site, (bool, BTreeSet<String>))| SurveyRequest {
        site,
        sudo,
        users: users.into_iter().collect(),
        logout: Logout::Tried { seen_in: None },
    };
    sites.into_iter().filter(|(site, _)| !left_out(site)).map(request).collect()
}

/// The hosts that the plan may touch, forward or back, without those that this run leaves out.
#[must_use]
pub fn hosts(graph: &Graph, without_hosts: &[String]) -> Vec<Site> {
    let sites = requests(graph, without_hosts).into_iter().map(|request| request.site);
    sites.filter(|site| matches!(site, Site::Host(_))).collect()
}

fn note((sudo, users): &mut (bool, BTreeSet<String>), step: &Step) {
    *sudo |= step.shell.sudo;
    users.extend(step.shell.user.clone());
}

/// What the sites answered, in a few lines: good news together, everything else by name.
#[must_use]
pub fn judge(graph: &Graph, surveys: &[Survey]) -> Vec<Finding> {
    let spared = spared(graph, surveys);
    let mut out = Vec::new();
    let hosts: Vec<&Survey> = surveys.iter().filter(|s| matches!(s.site, Site::Host(_))).collect();
    let answered = hosts.iter().filter(|s| s.answer.is_ok()).count();
    let troubles: Vec<Finding> = surveys.iter().flat_map(|survey| trouble(survey, &spared)).collect();
    if !hosts.is_empty() {
        let verdict = match hosts.len() - answered {
            0 => Verdict::Ok,
            away if away == spared.len() => Verdict::Warn,
            _ => Verdict::Fail,
        };
        let mut text = format!("{answered} of {} host{} answer", hosts.len(), if hosts.len() == 1 { "" } else { "s" });
        if answered > 0 && troubles.is_empty() {
            text += &format!(
                ", sudo works where it is needed, clocks within {}s",
                worst_clock(&hosts).div_ceil(1000).max(1)
            );
        }
        out.push(Finding { verdict, text });
    }
    out.extend(troubles);
    out
}

/// The host with the least free space where attempt records are kept, and how much that is.
#[must_use]
pub fn least_space(surveys: &[Survey]) -> Option<(&str, u64)> {
    let named = surveys.iter().filter_map(|s| match (&s.site, &s.answer) {
        (Site::Host(name), Ok(state)) => Some((name.as_str(), state.free_bytes)),
        _ => None,
    });
    named.min_by_key(|(name, free)| (*free, *name))
}

fn worst_clock(hosts: &[&Survey]) -> u64 {
    let offsets = hosts.iter().filter_map(|s| s.answer.as_ref().ok()).map(|state| state.clock_offset_ms.unsigned_abs());
    offsets.max().unwrap_or(0)
}

/// Hosts that are away, and without which the run can begin; each with why.
fn spared<'s>(graph: &Graph, surveys: &'s [Survey]) -> BTreeMap<&'s str, String> {
    let away = |survey: &'s Survey| match (&survey.site, &survey.answer) {
        (Site::Host(name), Err(NoAnswer::Away(_))) => Some(name.as_str()),
        _ => None,
    };
    absent::tolerated(graph, &surveys.iter().filter_map(away).collect())
}

fn trouble(survey: &Survey, spared: &BTreeMap<&str, String>) -> Vec<Finding> {
    let name = match &survey.site {
        Site::Controller => "this machine",
        Site::Host(name) => name,
    };
    let finding = |verdict, text: String| Finding { verdict, text: format!("{name}: {text}") };
    match &survey.answer {
        Err(why) => vec![match spared.get(name) {
            Some(allowed) => finding(Verdict::Warn, format!("{why}; counts as failed: {allowed}")),
            None => finding(Verdict::Fail, why.to_string()),
        }],
        Ok(state) => troubles_of(state).into_iter().map(|(verdict, text)| finding(verdict, text)).collect(),
    }
}

fn troubles_of(state: &SiteState) -> Vec<(Verdict, String)> {
    let mut out = Vec::new();
    if !state.missing_tools.is_empty() {
        out.push((Verdict::Fail, format!("lacks {}", state.missing_tools.join(", "))));
    }
    for user in &state.sudo_refused {
        let to = if user.is_empty() { "root" } else { user };
        out.push((Verdict::Fail, format!("`sudo -n` to {to} is refused; steps cannot type a password")));
    }
    if let Some(owner) = &state.locked_by {
        out.push((Verdict::Fail, format!("is held by another run: {owner}")));
    }
    if !state.detached_survives {
        let why = "ends detached processes when their session ends (KillUserProcesses, or no lingering)";
        out.push((Verdict::Fail, why.to_owned()));
    }
    if state.clock_offset_ms.unsigned_abs() > CLOCK_WARN_MS {
        let way = if state.clock_offset_ms > 0 { "ahead" } else { "behind" };
        out.push((Verdict::Warn, format!("its clock is {}s {way}", state.clock_offset_ms.unsigned_abs() / 1000)));
    }
    if state.free_bytes < HOST_FREE {
        let text = format!("only {} MB free where attempt records are kept", state.free_bytes >> 20);
        out.push((Verdict::Warn, text));
    }
    out
}

/// What is to be said of the power of this machine, which drives the run to its end.
#[must_use]
pub fn power(graph: &Graph, battery: Option<Battery>) -> Option<Finding> {
    let battery = battery?;
    let needed = fit(graph).finish_worst;
    let text = format!("this machine runs on its battery ({})", battery.in_words());
    Some(match battery.ends_before(needed) {
        true => Finding {
            verdict: Verdict::Warn,
            text: format!(
                "{text}; the plan needs up to {}: plug it in, or start from a machine that stays up",
                Short(needed)
            ),
        },
        false => Finding { verdict: Verdict::Ok, text },
    })
}

/// Whether the journal has room to begin with.
#[must_use]
pub fn journal(store: &Path) -> Finding {
    let free = rustix::fs::statvfs(store).map(|fs| fs.f_bavail.saturating_mul(fs.f_frsize));
    match free {
        Ok(free) if free < FREE => Finding {
            verdict: Verdict::Fail,
            text: format!(
                "only {} MB free for the journal in {}; it needs {}",
                free >> 20,
                store.display(),
                FREE >> 20
            ),
        },
        Ok(_) | Err(_) => Finding { verdict: Verdict::Ok, text: format!("journal in {}", store.display()) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::sample;
    use crate::plan::units::Size;
    use std::time::Duration;

    fn state() -> SiteState {
        SiteState {
            clock_offset_ms: 300,
            free_bytes: 1 << 40,
            sudo_refused: Vec::new(),
            locked_by: None,
            detached_survives: true,
            boot: "b00t".into(),
            missing_tools: Vec::new(),
        }
    }

    fn survey(name: &str, answer: Result<SiteState, NoAnswer>) -> Survey {
        Survey { site: Site::Host(name.to_owned()), reached: None, answer, took: Duration::ZERO }
    }

    fn lines(surveys: &[Survey]) -> Vec<String> {
        judge(&fleet(), surveys).iter().map(|f| format!("{} {}", f.verdict.word(), f.text)).collect()
    }

    /// Three hosts, of which one may fail, and `be1`, which may not.
    fn fleet() -> Graph {
        let mut update = sample::run("update", &[], &["w1", "w2", "w3"], "u");
        update.fleet.allow_failed = Some(Size::Count(1));
        sample::graph(sample::plan(vec![update, sample::run("other", &[], &["be1", "be2"], "o")]))
    }

    #[test]
    fn a_host_that_may_fail_may_be_away_but_not_be_another_one() {
        let away = |name: &str, why: &str| survey(name, Err(NoAnswer::Away(why.into())));
        let ok = |name: &str| survey(name, Ok(state()));
        assert_eq!(
            lines(&[ok("w1"), away("w2", "the connection is refused"), ok("w3")]),
            [
                "warn 2 of 3 hosts answer",
                "warn w2: the connection is refused; counts as failed: update may lose 1 of 3 hosts"
            ]
        );
        assert_eq!(lines(&[away("w1", "gone"), away("w2", "gone"), ok("w3")])[0], "FAIL 1 of 3 hosts answer");
        let changed = "its host key has changed";
        let stranger = survey("w2", Err(NoAnswer::Distrusted(changed.into())));
        assert_eq!(lines(&[ok("w1"), stranger])[1], format!("FAIL w2: {changed}"));
    }

    #[test]
    fn a_battery_that_may_not_last_is_warned_of() {
        let mut update = sample::run("update", &[], &["w1"], "u");
        update.estimate = Some(sample::minutes(200, 242));
        let graph = sample::graph(sample::plan(vec![update]));
        let said = |left: Option<i64>| {
            let battery = Battery { percent: 61, left: left.map(jiff::SignedDuration::from_mins) };
            power(&graph, Some(battery)).map(|f| format!("{} {}", f.verdict.word(), f.text)).unwrap()
        };
        let way = "the plan needs up to 4h02m: plug it in, or start from a machine that stays up";
        assert_eq!(said(Some(130)), format!("warn this machine runs on its battery (61%, about 2h10m); {way}"));
        assert_eq!(said(None), format!("warn this machine runs on its battery (61%); {way}"));
        assert_eq!(said(Some(6000)), "ok this machine runs on its battery (61%, about 100h)");
        assert_eq!(power(&graph, None), None);
    }

    #[test]
    fn good_news_is_one_line() {
        let surveys = [survey("be1", Ok(state())), survey("be2", Ok(state()))];
        assert_eq!(lines(&surveys), ["ok 2 of 2 hosts answer, sudo works where it is needed, clocks within 1s"]);
    }

    #[test]
    fn every_trouble_is_named_with_its_host() {
        let bad = SiteState {
            clock_offset_ms: -75_000,
            free_bytes: 3 << 20,
            sudo_refused: vec![String::new(), "app".into()],
            locked_by: Some("2007-12-02-a of sarah".into()),
            detached_survives: false,
            boot: "b00t".into(),
            missing_tools: vec!["mkdir".into()],
        };
        let surveys = [survey("be1", Err(NoAnswer::Distrusted("host key unknown".into()))), survey("be2", Ok(bad))];
        assert_eq!(
            lines(&surveys),
            [
                "FAIL 1 of 2 hosts answer",
                "FAIL be1: host key unknown",
                "FAIL be2: lacks mkdir",
                "FAIL be2: `sudo -n` to root is refused; steps cannot type a password",
                "FAIL be2: `sudo -n` to app is refused; steps cannot type a password",
                "FAIL be2: is held by another run: 2007-12-02-a of sarah",
                "FAIL be2: ends detached processes when their session ends (KillUserProcesses, or no lingering)",
                "warn be2: its clock is 75s behind",
                "warn be2: only 3 MB free where attempt records are kept",
            ]
        );
    }
}
