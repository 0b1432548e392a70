//! A second way to hosts: ssh spoken by this process itself, for fleets. No `ssh` is started, so a connection costs a
//! fraction of the time and memory. It reads the user's ssh configuration and does what it says, or refuses the host
//! and names the option; see `options.rs` for what is understood. Knows nothing of attempts.

mod config;
mod connect;
mod keys;
mod known;
mod options;
mod pipe;
mod route;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use tokio::sync::Mutex;

pub(super) use connect::Connection;
pub(super) use route::Route;

use super::failed::Failed;
use crate::plan::model::{Host, HostName};
use route::Atlas;

/// Connections that others lead through, by the hosts on the way. One is enough for many: what it carries are no sessions,
/// which a host would count.
type Jumps = Mutex<BTreeMap<String, Arc<Mutex<Option<Arc<Connection>>>>>>;

/// Everything that is the same for all hosts of a run.
#[derive(Debug)]
pub(super) struct Native {
    atlas: Atlas,
    keepalive: (Duration, u32),
    jumps: Jumps,
}

impl Native {
    /// Reads the configuration files, the one that counts most first. Connects to nothing.
    pub(super) fn new(hosts: &IndexMap<HostName, Host>, config: &[PathBuf], keepalive: (Duration, u32)) -> Self {
        Self { atlas: Atlas::new(hosts, config), keepalive, jumps: Jumps::default() }
    }

    /// How the host would be reached.
    ///
    /// # Errors
    /// Everything that it would take and this transport does not do, by the option's name and place.
    pub(super) async fn route(&self, host: &str) -> Result<Route, Vec<String>> {
        self.atlas.route(host).await
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// In plain words.
    pub(super) async fn connect(&self, route: &Route) -> Result<Connection, Failed> {
        let through = self.through(&route.jumps).await?;
        Connection::open(route, through, self.keepalive).await
    }

    /// A connection to the last of these hosts, through those before it.
    async fn through(&self, jumps: &[Arc<Route>]) -> Result<Option<Arc<Connection>>, Failed> {
        let Some((last, before)) = jumps.split_last() else { return Ok(None) };
        let names: Vec<String> = jumps.iter().map(|r| format!("{}@{}:{}", r.user, r.name, r.port)).collect();
        let place = self.jumps.lock().await.entry(names.join(" ")).or_default().clone();
        let mut open = place.lock().await;
        if let Some(connection) = open.as_ref().filter(|connection| !connection.is_closed()) {
            return Ok(Some(connection.clone()));
        }
        let before = Box::pin(self.through(before)).await?;
        let on_the_way = |f: Failed| Failed { why: format!("{} (on the way): {}", last.name, f.why), ..f };
        let connection = Arc::new(Connection::open(last, before, self.keepalive).await.map_err(on_the_way)?);
        *open = Some(connection.clone());
        Ok(Some(connection))
    }

    /// Ends the connections that others led through.
    pub(super) async fn close(&self) {
        for place in std::mem::take(&mut *self.jumps.lock().await).into_values() {
            if let Some(connection) = place.lock().await.take() {
                connection.close().await;
            }
        }
    }
}
