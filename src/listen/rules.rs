//! How connections are treated, by whichever protocol.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::PeerName;
use crate::{clock, config::RequestLimits};

/// How connections are treated.
#[derive(Debug, Clone)]
pub struct ConnectionRules {
    /// `[limits]`
    pub limits: RequestLimits,
    /// `trusted_proxies`: whose connections are not counted by address, and who may say whose they are.
    pub exempt: Vec<ipnet::IpNet>,
}

impl ConnectionRules {
    /// Whether this peer is one of ours, or listed as such.
    pub(super) fn believes(&self, peer: PeerName) -> bool {
        match peer {
            PeerName::Ip(ip) => ip.is_loopback() || self.exempt.iter().any(|network| network.contains(&ip)),
            PeerName::Unix => true,
        }
    }
}

/// How long a connection may take for its first request once the process is to end. It was accepted, so nobody else will
/// serve it: cut at once, a visitor who has just come would see an error where a restart is to cost nobody anything.
pub(super) const FIRST_REQUEST_GRACE: Duration = Duration::from_secs(1);

/// Until a connection that has brought nothing yet is to be left.
pub(super) async fn first_request_overdue(stop: &CancellationToken) {
    stop.cancelled().await;
    clock::pause(FIRST_REQUEST_GRACE).await;
}
