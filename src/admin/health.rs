//! Whether requests can be served: the store takes changes, and each upstream has a server that is up.

use super::AdminSources;
use crate::{clock::Timestamp, store::RecordStore};

/// What is amiss; nothing if it is empty.
pub(super) struct HealthReport(Vec<String>);

impl HealthReport {
    /// As things stand.
    pub(super) fn of(sources: &AdminSources, now: Timestamp) -> Self {
        let mut amiss = Vec::new();
        // A full disk is not named: whoever is there is served, and it recovers by itself.
        if let Some(store) = sources.lasting.store()
            && let RecordStore::Disk(disk) = &**store
            && !disk.health().takes_changes
        {
            amiss.push("the session store takes no changes: a sync failed; the log says why".to_owned());
        }
        for (upstream, _) in &sources.plan.load().upstreams {
            if !upstream.all.iter().any(|server| server.is_up(now)) {
                amiss.push(format!("no server of upstream {} is up", upstream.rules.name));
            }
        }
        Self(amiss)
    }

    pub(super) fn is_ready(&self) -> bool {
        self.0.is_empty()
    }

    /// What is amiss.
    pub(super) fn into_reasons(self) -> Vec<String> {
        self.0
    }

    /// A line each.
    pub(super) fn text(&self) -> String {
        if self.is_ready() { "ready\n".to_owned() } else { self.0.join("\n") + "\n" }
    }
}
