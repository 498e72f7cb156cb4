//! `[limits]`: what a visitor may ask for.

use std::time::Duration;

/// `[limits]`; `None` is `"off"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// `request_head_timeout`: 10 s; then the connection is closed.
    pub request_head_timeout: Option<Duration>,
    /// `idle_timeout_http1`: 75 s between requests.
    pub idle_timeout_http1: Option<Duration>,
    /// `head_bytes`: 32 KiB; 431. At least 8 KiB.
    pub head_bytes: Option<usize>,
    /// `field_bytes`: 16 KiB, name and value; 431.
    pub field_bytes: Option<usize>,
    /// `fields`: 100 (at most 100: the parser's own limit, so `"off"` is 100); 431.
    pub fields: Option<usize>,
    /// `target_bytes`: 8 KiB; 414.
    pub target_bytes: Option<usize>,
    /// `body_idle_timeout`: 30 s without a byte of the request's body; 408.
    pub body_idle_timeout: Option<Duration>,
    /// `body_bytes`: off; 413.
    pub body_bytes: Option<u64>,
    /// `write_stall_timeout`: 60 s in which the client reads nothing; then the connection is closed.
    pub write_stall_timeout: Option<Duration>,
    /// `requests_per_connection_http1`: 1,000; then the connection is closed.
    pub requests_per_connection_http1: Option<u64>,
    /// `cookies`: 180; 431.
    pub cookies: Option<usize>,
    /// `cookie_bytes`: 16 KiB; 431.
    pub cookie_bytes: Option<usize>,
    /// `finish_after_abort`: 10 s; how long the answer's head is awaited when the visitor has gone.
    pub finish_after_abort: Option<Duration>,
    /// `connections`: 10,000; past it, no more are accepted.
    pub connections: Option<usize>,
    /// `connections_per_address` (a /64 in IPv6; loopback and trusted proxies excepted): 1,024; past it, closed.
    pub connections_per_address: Option<usize>,
}
