//! Where a visitor comes from, as far as a ticket depends on it: one that was replaced when kept cookies changed goes on only
//! for the network that its successor was given to.

use std::net::IpAddr;

use uuid::Uuid;

use super::{ResolvedSession, SessionChanges, SessionManager};
use crate::{net::network_of, record::NetworkTag};

impl SessionManager {
    /// Tells the network that a visitor comes from; of no address, as behind a unix socket, none is known.
    pub(super) fn network_tag(&self, session: Uuid, client: Option<IpAddr>) -> NetworkTag {
        let Some(address) = client else { return NetworkTag::UNKNOWN };
        let octets = match network_of(address) {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
            IpAddr::V6(v6) => v6.octets(),
        };
        // Keyed, and of this session alone: what is kept of an address tells nobody which it is.
        let [tag @ .., _, _, _, _, _, _, _, _] = self.keys.sign(&[b"network", session.as_bytes(), &octets]);
        NetworkTag(u64::from_be_bytes(tag))
    }

    /// The same of a request, where what its answer brings depends on it.
    pub(super) fn network_of_answer(
        &self,
        resolved: &ResolvedSession,
        changes: &SessionChanges,
    ) -> NetworkTag {
        let matters =
            !changes.is_empty() || resolved.record().is_some_and(|record| record.asks_for_network());
        match resolved.known_id().filter(|_| matters) {
            Some(id) => self.network_tag(id, resolved.client),
            None => NetworkTag::UNKNOWN,
        }
    }
}
