//! What the hosts of a recovered wave remember of other runs of it: on which of them it may be done already. Cannot tell
//! whether it is.

use std::collections::BTreeSet;

use super::{Hosts, Name};
use crate::cli::error::CommandError;
use crate::graph::job::Site;
use crate::plan::waves::OpenWave;
use crate::report::escape_for_terminal as esc;
use crate::sim::Ledger;

/// Older runs are not asked about: the newest that could matter are.
const RUNS: usize = 5;

/// Says on which hosts this run has started nothing while another one has, since the wave opened.
pub(super) fn perhaps_done(
    hosts: &Hosts<'_>,
    name: &Name,
    wave: &OpenWave,
    ledger: &Ledger,
) -> Result<Option<String>, CommandError> {
    let begun: BTreeSet<&str> = ledger.keys().filter_map(|attempt| attempt.action.host()).collect();
    let silent: BTreeSet<String> = wave.to_do().into_iter().filter(|host| !begun.contains(host.as_str())).collect();
    if silent.is_empty() {
        return Ok(None);
    }
    let mut elsewhere = BTreeSet::new();
    for run in hosts.runs()?.iter().filter(|run| **run != name.on_hosts).take(RUNS) {
        for (site, memory) in hosts.remember(Some(run))? {
            let since = memory.attempts.iter().any(|one| one.started.is_some_and(|at| at >= wave.opens));
            if let (true, Site::Host(host)) = (since, site) {
                elsewhere.insert(host);
            }
        }
    }
    let perhaps: Vec<&String> = silent.intersection(&elsewhere).collect();
    let list = |hosts: &mut dyn Iterator<Item = &String>| hosts.map(|h| esc(h)).collect::<Vec<_>>().join(",");
    let others = list(&mut wave.hosts.iter().filter(|host| !perhaps.contains(host)));
    let said = || {
        let those = list(&mut perhaps.iter().copied());
        format!(
            "another run of this wave has worked on {those}: whether they are done is not known. Leave them out if they are:   --hosts {others}"
        )
    };
    Ok((!perhaps.is_empty()).then(said))
}
