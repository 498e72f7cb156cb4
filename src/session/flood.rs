//! How many visitors may begin sessions with data: in all, and by address. Logins are never counted.

use std::{net::IpAddr, sync::Arc, time::Duration};

use moka::sync::Cache;

use super::per_second::PerSecond;
use crate::{clock::Timestamp, net::network_of};

/// Addresses that are remembered at once; past it the least active are forgotten, and begin anew.
const MOST_ADDRESSES: u64 = 100_000;
const MINUTE: Duration = Duration::from_mins(1);

/// The limits, and what was counted against them.
#[derive(Debug)]
pub struct FloodLimits {
    per_second: Option<u64>,
    per_address: Option<u64>,
    all: PerSecond,
    addresses: Cache<IpAddr, Arc<PerSecond>>,
}

impl FloodLimits {
    /// `new_sessions_per_second`, and `new_sessions_per_address`.
    pub fn new(per_second: Option<u64>, per_address: Option<u64>) -> Self {
        let addresses = Cache::builder().max_capacity(MOST_ADDRESSES).time_to_live(MINUTE).build();
        Self { per_second, per_address, all: PerSecond::default(), addresses }
    }

    /// Whether what was counted against those limits counts against these.
    pub fn has_the_limits_of(&self, other: &Self) -> bool {
        (self.per_second, self.per_address) == (other.per_second, other.per_address)
    }

    /// One more; false if that is too many. Of those that one address has too many nothing counts against the others.
    pub fn admits(&self, address: Option<IpAddr>, now: Timestamp) -> bool {
        // The address first, so that one flooding address does not use up what all share.
        if let (Some(most), Some(address)) = (self.per_address, address)
            && self.addresses.get_with(network_of(address), Arc::default).count(now) > most
        {
            return false;
        }
        self.per_second.is_none_or(|most| self.all.count(now) <= most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_all() {
        let flood = FloodLimits::new(Some(2), None);
        let at = Timestamp::from_seconds;
        let admitted: Vec<_> = [5, 5, 5, 6, 6, 6].map(|s| flood.admits(None, at(s))).into();
        assert_eq!(admitted, [true, true, false, true, true, false]);
    }

    #[test]
    fn by_address() {
        let flood = FloodLimits::new(None, Some(1));
        let now = Timestamp::from_seconds(1);
        for (address, wanted) in [
            ("192.0.2.1", true),
            ("192.0.2.1", false),
            ("192.0.2.2", true),
            ("2001:db8::1", true),
            ("2001:db8::2", false),
            ("2001:db8:0:1::1", true),
        ] {
            assert_eq!(flood.admits(Some(address.parse().unwrap()), now), wanted, "{address}");
        }
        assert!(flood.admits(None, now) && flood.admits(None, now), "unix sockets have no address");
        let next = Timestamp::from_seconds(2);
        assert!(flood.admits(Some("192.0.2.1".parse().unwrap()), next), "in the next second");
    }

    #[test]
    fn one_address_does_not_use_up_what_all_have() {
        let flood = FloodLimits::new(Some(4), Some(1));
        let now = Timestamp::from_seconds(1);
        let greedy = || flood.admits(Some("192.0.2.1".parse().unwrap()), now);
        assert_eq!((0..100).filter(|_| greedy()).count(), 1);
        let others =
            (2..9).filter(|last| flood.admits(Some(format!("192.0.2.{last}").parse().unwrap()), now));
        assert_eq!(others.count(), 3);
    }
}
