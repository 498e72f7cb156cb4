//! What the stages of one request share, from the moment that its route is known.

use std::sync::Arc;

use super::admit::AdmittedRequest;
use crate::{
    clock::Timestamp,
    headers::ClientInfo,
    plan::{Plan, RoutePlan},
    record::Realm,
    upstream::Endpoint,
};

/// A request whose route is known: what every stage from there on may ask about it, and none may change.
#[derive(Debug)]
pub struct Call<'p> {
    /// The plan that it began with. What a reload publishes meanwhile is for later ones.
    pub plan: &'p Arc<Plan>,
    /// The route that it takes.
    pub route: &'p RoutePlan,
    /// What it asks for.
    pub admitted: AdmittedRequest,
    /// Who asks.
    pub client: ClientInfo,
    /// When it began.
    pub now: Timestamp,
    /// Nobody came: an operator wants to know what would become of it, and nothing is changed.
    pub is_rehearsal: bool,
}

impl Call<'_> {
    /// The servers of the upstream, and which of them are not used just now.
    pub fn upstream_servers(&self) -> String {
        let all = self.route.upstream.all.iter();
        let one = |server: &Endpoint| {
            if server.is_up(self.now) {
                server.name.clone()
            } else {
                format!("{} (not used: it fails)", server.name)
            }
        };
        all.map(one).collect::<Vec<_>>().join(", ")
    }

    /// The name of the upstream that the route leads to.
    pub fn upstream(&self) -> &str {
        &self.route.upstream.rules.name
    }

    /// What its session belongs to: the route's realm, else the cookie's domain, else the host.
    pub fn realm(&self) -> Realm<'_> {
        self.route.realm_of(&self.admitted.authority.host)
    }
}
