//! The tickets that may follow the one of a session: drawn or derived when a decision first asks for one, which few do.

use std::{fmt, sync::OnceLock};

use super::network::VisitorNetwork;
use crate::{
    clock::Timestamp,
    crypto::{self, Keyring},
    record::{SecretHash, Ticket},
};

/// A ticket, and what a record keeps of it.
type HashedTicket = (Ticket, SecretHash);

/// `NextTickets` are the tickets that may follow the one of a session. Each is the same however often it is asked for, so
/// that a decision which is taken again comes to the same.
pub struct NextTickets<'a> {
    ticket: Ticket,
    /// What another is made with; `None`: it is this one, whatever the reason.
    made_with: Option<(&'a Keyring, VisitorNetwork<'a>, Timestamp)>,
    renewed: OnceLock<HashedTicket>,
    handed_over: OnceLock<HashedTicket>,
}

impl fmt::Debug for NextTickets<'_> {
    /// Without a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NextTickets")
    }
}

impl<'a> NextTickets<'a> {
    /// After this one.
    pub(super) fn after(
        ticket: &Ticket,
        keys: &'a Keyring,
        network: VisitorNetwork<'a>,
        now: Timestamp,
    ) -> Self {
        Self { made_with: Some((keys, network, now)), ..Self::from(ticket) }
    }

    /// Whatever these are the hashes of.
    #[cfg(test)]
    pub(crate) fn hashed(renewed: SecretHash, handed_over: SecretHash) -> Self {
        let ticket = Ticket::mint(Timestamp(0));
        let [renewed, handed_over] = [renewed, handed_over].map(|hash| OnceLock::from((ticket, hash)));
        Self { ticket, made_with: None, renewed, handed_over }
    }

    /// The hash of the one after a renewal or a rotation.
    pub(super) fn renewed(&self) -> SecretHash {
        self.renewed_ticket().1
    }

    /// The hash of the one after a change that leaves the old one good.
    pub(super) fn handed_over(&self) -> SecretHash {
        let (_, hash) = self.handed_over.get_or_init(|| {
            hashed(match self.made_with {
                None => self.ticket,
                // Derived, so that each answer under the old ticket can bring the same one.
                Some((keys, network, now)) => self.ticket.handed_over(keys, network.tag(), now),
            })
        });
        *hash
    }

    /// The one that was taken: that of this hash.
    pub(super) fn taken(&self, secret: &SecretHash) -> Ticket {
        match self.handed_over.get() {
            Some((ticket, hash)) if crypto::same(hash, secret) => *ticket,
            _ => self.renewed_ticket().0,
        }
    }

    fn renewed_ticket(&self) -> &HashedTicket {
        self.renewed.get_or_init(|| {
            hashed(match self.made_with {
                None => self.ticket,
                // The id stays: it is the app's handle on the session (X-Session-Id), and a renewal must
                // not change it.
                Some((.., now)) => Ticket { secret: crypto::random(), ..self.ticket.anew(now) },
            })
        })
    }
}

impl From<&Ticket> for NextTickets<'_> {
    /// This one, whatever the reason.
    fn from(ticket: &Ticket) -> Self {
        let (renewed, handed_over) = (OnceLock::new(), OnceLock::new());
        Self { ticket: *ticket, made_with: None, renewed, handed_over }
    }
}

fn hashed(ticket: Ticket) -> HashedTicket {
    (ticket, ticket.hash())
}
