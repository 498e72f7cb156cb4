//! Where a visitor comes from, as far as a ticket depends on it: one that was replaced when kept cookies changed goes on only
//! for the network that its successor was given to.

use std::net::IpAddr;

use uuid::Uuid;

use super::SessionManager;
use crate::{crypto::Keyring, net::network_of, record::NetworkTag};

/// The network that a visitor of a session comes from: worked out where a decision depends on it, which few do.
#[derive(Debug, Clone, Copy)]
pub enum VisitorNetwork<'a> {
    /// That of an address.
    Of(&'a Keyring, Uuid, IpAddr),
    /// This one.
    Known(NetworkTag),
}

impl VisitorNetwork<'_> {
    /// Tells it.
    pub(crate) fn tag(self) -> NetworkTag {
        let (keys, session, address) = match self {
            Self::Of(keys, session, address) => (keys, session, network_of(address)),
            Self::Known(tag) => return tag,
        };
        let octets = match address {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
            IpAddr::V6(v6) => v6.octets(),
        };
        // Keyed, and of this session alone: what is kept of an address tells nobody which it is.
        let [tag @ .., _, _, _, _, _, _, _, _] = keys.sign(&[b"network", session.as_bytes(), &octets]);
        NetworkTag(u64::from_be_bytes(tag))
    }
}

impl SessionManager {
    /// The network of a visitor; of no address, as behind a unix socket, none is known.
    pub(super) fn network(&self, session: Uuid, client: Option<IpAddr>) -> VisitorNetwork<'_> {
        self.network_of_answer(Some(session), client)
    }

    /// The same of a visitor who may have no session.
    pub(super) fn network_of_answer(
        &self,
        session: Option<Uuid>,
        client: Option<IpAddr>,
    ) -> VisitorNetwork<'_> {
        match session.zip(client) {
            Some((session, address)) => VisitorNetwork::Of(&self.keys, session, address),
            None => VisitorNetwork::Known(NetworkTag::UNKNOWN),
        }
    }
}
