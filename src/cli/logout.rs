//! What is remembered of hosts on which processes outlive their session, so that not every preflight has to log out of each
//! of them to see it. Asks no host.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::driver::clock;
use crate::graph::job::Site;
use crate::journal::Store;
use crate::plan::model::{Host, Plan};
use crate::transport::{Logout, Survey, SurveyRequest};

/// Within one boot of a host only somebody who changes its configuration can make it untrue.
const BELIEVED: Duration = Duration::from_hours(24);

/// Tells each request in which boot of its host it was seen before.
pub fn recall(store: &Store, plan: &Plan, requests: &mut [SurveyRequest]) {
    // What cannot be read is found out again.
    let known = store.outlived(clock::now() - BELIEVED).unwrap_or_default();
    for SurveyRequest { site, logout, .. } in requests {
        if let Some(boot) = target(plan, site).and_then(|target| known.get(&target)) {
            *logout = Logout::Tried { seen_in: Some(boot.clone()) };
        }
    }
}

/// Remembers what was seen just now. What was only believed grows no younger by that.
pub fn remember(store: &mut Store, plan: &Plan, requests: &[SurveyRequest], surveys: &[Survey]) {
    let seen = requests.iter().zip(surveys).filter_map(|(request, survey)| {
        let state = survey.answer.as_ref().ok()?;
        let believed = request.logout == Logout::Tried { seen_in: Some(state.boot.clone()) };
        let tried = state.detached_survives && !state.boot.is_empty() && !believed;
        tried.then_some((target(plan, &survey.site)?, state.boot.clone()))
    });
    let seen: BTreeMap<String, String> = seen.collect();
    if !seen.is_empty() {
        // A disk that takes nothing is met by the run, which can say so.
        let _ = store.saw_outlive(&seen, clock::now());
    }
}

/// A host as the plan says how to reach it.
fn target(plan: &Plan, site: &Site) -> Option<String> {
    let Site::Host(name) = site else { return None };
    let Host { address, port, via, .. } = plan.hosts.get(name)?;
    let port = port.map(|port| port.to_string());
    let parts = [Some(name.as_str()), address.as_deref(), port.as_deref(), via.as_deref()];
    Some(parts.map(Option::unwrap_or_default).join(" "))
}
