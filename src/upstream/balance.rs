//! Which server is next: by turns, by who has least to do, or by session. Pure but for counters.

use std::sync::atomic::Ordering;

use super::endpoint::{Endpoint, Endpoints};
use crate::{clock::Timestamp, config::BalanceRule};

/// The servers that one request has tried.
#[derive(Debug, Default)]
pub(super) struct TriedServers(Vec<usize>);

impl TriedServers {
    pub(super) fn add(&mut self, index: usize) {
        if !self.contains(index) {
            self.0.push(index);
        }
    }

    pub(super) fn contains(&self, index: usize) -> bool {
        self.0.contains(&index)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Endpoints {
    /// The index of the next server that is up and was not tried; if there is none, of one that was not tried; if
    /// there is none, of the next one all the same. `session` is what one session's requests have in common.
    pub(super) fn next(&self, now: Timestamp, tried: &TriedServers, session: Option<u64>) -> usize {
        // Most upstreams have one server: no counter that all workers share is touched.
        if self.all.len() < 2 {
            return 0;
        }
        match (self.rules.balance, session) {
            (BalanceRule::LeastRequests, _) => self.idlest(now, tried),
            (BalanceRule::Session, Some(session)) => self.of_session(now, tried, session),
            (BalanceRule::Session, None) | (BalanceRule::RoundRobin, _) => self.by_turns(now, tried),
        }
    }

    /// Where a session's requests go, if that depends on it; `session`: what they have in common.
    pub fn home_of(&self, session: u64, now: Timestamp) -> Option<usize> {
        let matters = self.rules.balance == BalanceRule::Session && self.all.len() > 1;
        matters.then(|| self.of_session(now, &TriedServers::default(), session))
    }

    fn by_turns(&self, now: Timestamp, tried: &TriedServers) -> usize {
        let mut fallback = None;
        let mut last = 0;
        for _ in 0..self.weights.max(1) {
            // One counter for all workers, or each of them would send its first requests to the
            // same server.
            last = self.at(self.turn.fetch_add(1, Ordering::Relaxed));
            if tried.contains(last) {
                continue;
            }
            if self.all.get(last).is_some_and(|e| e.is_up(now)) {
                return last;
            }
            fallback.get_or_insert(last);
        }
        // A whole round was gone through: without one step more the next request would begin where this one did.
        self.turn.fetch_add(1, Ordering::Relaxed);
        fallback.unwrap_or(last)
    }

    fn at(&self, turn: u64) -> usize {
        let mut place = turn % self.weights.max(1);
        for (index, endpoint) in self.all.iter().enumerate() {
            let weight = u64::from(endpoint.weight);
            if place < weight {
                return index;
            }
            place -= weight;
        }
        0
    }

    /// Those that were not tried and are up, before the others; of them the one of the highest rank.
    fn best<R: PartialOrd>(
        &self,
        now: Timestamp,
        tried: &TriedServers,
        rank: impl Fn(usize, &Endpoint) -> R,
    ) -> usize {
        let mut best = None;
        for (index, endpoint) in self.all.iter().enumerate() {
            let rank = (!tried.contains(index), endpoint.is_up(now), rank(index, endpoint));
            if best.as_ref().is_none_or(|(_, other)| rank > *other) {
                best = Some((index, rank));
            }
        }
        best.map_or(0, |(index, _)| index)
    }

    /// The one with the fewest requests for its weight; whose turn it is, if there are several.
    fn idlest(&self, now: Timestamp, tried: &TriedServers) -> usize {
        let first = self.turn.fetch_add(1, Ordering::Relaxed) as usize % self.all.len();
        self.best(now, tried, |index, endpoint| {
            let load = f64::from(endpoint.busy()) / f64::from(endpoint.weight);
            (-load, std::cmp::Reverse((index + self.all.len() - first) % self.all.len()))
        })
    }

    /// Rendezvous hashing: each server draws a lot for the session, and the highest wins. When a server goes, its
    /// sessions spread over the others, and nobody else's move.
    fn of_session(&self, now: Timestamp, tried: &TriedServers, session: u64) -> usize {
        self.best(now, tried, |_, endpoint| {
            // Of a number that is evenly spread between 0 and 1, weighted so that the chances are as the weights.
            let lot = f64::from((lot(&endpoint.name, session) >> 32) as u32) + 0.5;
            f64::from(endpoint.weight) / -(lot / 2_f64.powi(32)).ln()
        })
    }
}

/// The same on every node and after every restart: FNV-1a over the name, then the finish of splitmix64.
fn lot(name: &str, session: u64) -> u64 {
    let named = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = named ^ session.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::{super::endpoint::EndpointFailure, *};
    use crate::config::Config;

    fn endpoints(balance: &str, servers: &str) -> Endpoints {
        let text = format!(
            "listen = [{{ address = \"[::]:0\" }}]\nroutes = [{{ upstream = \"a\" }}]\n\
             [upstreams.a]\nbalance = \"{balance}\"\nservers = [{servers}]\n"
        );
        Endpoints::new(&Config::parse("x", &text).unwrap().0.upstreams[0]).unwrap()
    }

    const THREE: &str = "\"http://a\", \"http://b\", { address = \"http://c\", weight = 2 }";
    const NOW: Timestamp = Timestamp(1_000_000);

    #[test]
    fn a_session_stays_where_it_is_and_shares_are_as_the_weights() {
        let all = endpoints("session", THREE);
        let of = |session| all.next(NOW, &TriedServers::default(), Some(session));
        let mut shares = [0; 3];
        for session in 0..40_000 {
            let index = of(session);
            assert_eq!(index, of(session));
            shares[index] += 1;
        }
        for (share, wanted) in shares.into_iter().zip([10_000_i32, 10_000, 20_000]) {
            assert!((share - wanted).abs() < 500, "{shares:?}");
        }
        let before: Vec<_> = (0..1000).map(of).collect();
        for _ in 0..3 {
            all.all[1].failed(EndpointFailure::Connection, NOW);
        }
        for (session, before) in before.into_iter().enumerate() {
            let after = of(session as u64);
            assert!(after == before || before == 1, "only those of the server that went move");
            assert_ne!(after, 1);
        }
        let mut tried = TriedServers::default();
        tried.add(of(7));
        assert_ne!(all.next(NOW, &tried, Some(7)), of(7));
    }

    #[test]
    fn without_a_session_they_take_turns() {
        let all = endpoints("session", THREE);
        let mut shares = [0; 3];
        (0..400).for_each(|_| shares[all.next(NOW, &TriedServers::default(), None)] += 1);
        assert_eq!(shares, [100, 100, 200]);
    }

    #[test]
    fn where_none_is_up_they_take_turns_all_the_same() {
        let all = endpoints("round_robin", THREE);
        all.all
            .iter()
            .for_each(|endpoint| (0..3).for_each(|_| endpoint.failed(EndpointFailure::Connection, NOW)));
        let mut shares = [0; 3];
        (0..400).for_each(|_| shares[all.next(NOW, &TriedServers::default(), None)] += 1);
        assert!(shares.iter().all(|share| *share >= 100), "{shares:?}");
    }

    #[test]
    fn who_has_least_to_do_for_its_weight_is_next() {
        let all = endpoints("least_requests", THREE);
        let next = || all.next(NOW, &TriedServers::default(), None);
        let mut held = Vec::new();
        let mut shares = [0; 3];
        for _ in 0..400 {
            let index = next();
            shares[index] += 1;
            held.push((index, all.all[index].begin_under(BalanceRule::LeastRequests)));
        }
        assert_eq!(shares, [100, 100, 200]);
        held.retain(|(index, _)| *index != 1);
        assert_eq!((0..50).map(|_| next()).collect::<Vec<_>>(), [1; 50]);
        // With nothing to do nobody is first for ever.
        held.clear();
        assert!((0..4).map(|_| next()).any(|index| index != next()));
    }
}
