//! How many connections there are, in all and by address.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;

use super::{ConnectionRules, PeerName};
use crate::{clock::Timestamp, net::network_of};

/// The connections of the whole process.
#[derive(Debug, Default)]
pub struct ConnectionLimits {
    all: AtomicUsize,
    by_address: Mutex<HashMap<IpAddr, usize>>,
    refused: AtomicUsize,
    /// The coarse minute of the last line about it.
    warned_minute: AtomicUsize,
}

/// Holds a connection's place in the counts.
pub(super) struct ConnectionPermit {
    counts: Arc<ConnectionLimits>,
    address: Option<IpAddr>,
}

impl ConnectionLimits {
    /// How many connections there are.
    pub fn open(&self) -> usize {
        self.all.load(Ordering::Relaxed)
    }

    /// How many were closed at once because of `connections_per_address`.
    pub fn refused_so_far(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }

    pub(super) fn enter(
        self: &Arc<Self>,
        peer: PeerName,
        rules: &ConnectionRules,
    ) -> Option<ConnectionPermit> {
        let address = match (peer, rules.limits.connections_per_address) {
            // A load balancer has all its visitors' connections at one address: it is not counted.
            (PeerName::Ip(ip), Some(most)) if !rules.believes(peer) => {
                let key = network_of(ip);
                let mut all = self.by_address.lock();
                let count = all.entry(key).or_default();
                if *count >= most {
                    return None;
                }
                *count += 1;
                Some(key)
            }
            _ => None,
        };
        self.all.fetch_add(1, Ordering::Relaxed);
        Some(ConnectionPermit { counts: Arc::clone(self), address })
    }

    /// A connection was refused: one line a minute, with how many it speaks for.
    pub(super) fn refused(&self, peer: PeerName) {
        let all = self.refused.fetch_add(1, Ordering::Relaxed) + 1;
        let minute = (Timestamp::now().seconds() / 60) as usize;
        if self.warned_minute.swap(minute, Ordering::Relaxed) != minute {
            tracing::warn!(
                ?peer,
                refused = all,
                "connections are closed: more than connections_per_address (a load balancer belongs in trusted_proxies)"
            );
        }
    }

    pub(super) fn is_full(&self, rules: &ConnectionRules) -> bool {
        rules.limits.connections.is_some_and(|most| self.all.load(Ordering::Relaxed) >= most)
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.counts.all.fetch_sub(1, Ordering::Relaxed);
        if let Some(address) = self.address {
            let mut all = self.counts.by_address.lock();
            if let Some(count) = all.get_mut(&address) {
                *count -= 1;
                // Removed, or the map would grow with each address that ever came.
                if *count == 0 {
                    all.remove(&address);
                }
            }
        }
    }
}
