//! `[process]`: the process as a whole.

use std::{num::NonZeroUsize, time::Duration};

use ipnet::IpNet;

/// `[process]`
#[derive(Debug, Clone, PartialEq)]
pub struct Process {
    /// `workers`: threads, each with an event loop of its own; `"auto"` is one per core.
    pub workers: NonZeroUsize,
    /// `shutdown_timeout`: how long requests under way may take after SIGTERM.
    pub shutdown_timeout: Duration,
    /// `trusted_proxies`: whose forwarding headers are believed.
    pub trusted_proxies: TrustedProxies,
    /// `forwarded`: the family of forwarding headers that trusted proxies write.
    pub forwarded: ForwardedFamily,
}

/// The peers whose forwarding headers are believed; by default nobody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    /// Addresses and networks.
    pub networks: Vec<IpNet>,
    /// `"unix"`: every peer on a unix socket.
    pub unix: bool,
}

/// `forwarded`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ForwardedFamily {
    /// `"x-forwarded"`: X-Forwarded-For, -Proto, -Host.
    #[default]
    XForwarded,
    /// `"forwarded"`: Forwarded (RFC 7239).
    Forwarded,
}
