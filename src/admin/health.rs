//! Whether requests can be served: by cloakroom itself, and, for who asks for that, by the apps as well.

use super::AdminSources;
use crate::{clock::Timestamp, store::RecordStore};

/// What is amiss.
pub(super) struct HealthReport {
    /// With cloakroom itself.
    own: Vec<String>,
    /// With the apps behind it.
    upstreams: Vec<String>,
}

impl HealthReport {
    /// As things stand.
    pub(super) fn of(sources: &AdminSources, now: Timestamp) -> Self {
        let mut own = Vec::new();
        // A full disk is not named: whoever is there is served, and it recovers by itself.
        if let Some(store) = sources.lasting.store()
            && let RecordStore::Disk(disk) = &**store
            && !disk.health().takes_changes
        {
            own.push("the session store takes no changes: a sync failed; the log says why".to_owned());
        }
        let plan = sources.plan.load();
        let down = plan
            .upstreams
            .iter()
            .filter(|(upstream, _)| !upstream.all.iter().any(|server| server.is_up(now)));
        let upstreams = down
            .map(|(upstream, _)| format!("no server of upstream {} is up", upstream.rules.name))
            .collect();
        Self { own, upstreams }
    }

    /// Whether this cloakroom can do its part. An app that is down is down behind every other cloakroom as well: to take
    /// this one out of a balancer for it would take the other apps away.
    pub(super) fn is_ready(&self) -> bool {
        self.own.is_empty()
    }

    /// Whether each app has a server that is up besides.
    pub(super) fn are_all_ready(&self) -> bool {
        self.own.is_empty() && self.upstreams.is_empty()
    }

    /// All that is amiss.
    pub(super) fn into_reasons(self) -> Vec<String> {
        [self.own, self.upstreams].concat()
    }

    /// A line for each thing that is amiss; `upstreams`: with the apps as well.
    pub(super) fn text(&self, upstreams: bool) -> String {
        let upstreams = if upstreams { &self.upstreams[..] } else { &[] };
        let amiss: Vec<_> = self.own.iter().chain(upstreams).map(String::as_str).collect();
        if amiss.is_empty() { "ready\n".to_owned() } else { amiss.join("\n") + "\n" }
    }
}
