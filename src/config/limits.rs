//! `[limits]`: what a visitor may ask for.

use std::time::Duration;

use super::value::TableReader;

/// `[limits]`; `None` is `"off"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestLimits {
    /// `tls_handshake_timeout`: 10 s; then the connection is closed.
    pub tls_handshake_timeout: Option<Duration>,
    /// `request_head_timeout`: 10 s; then the connection is closed.
    pub request_head_timeout: Option<Duration>,
    /// `idle_timeout_http1`: 75 s between requests.
    pub idle_timeout_http1: Option<Duration>,
    /// `idle_timeout_http2`: 300 s with no request under way.
    pub idle_timeout_http2: Option<Duration>,
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
    /// `body_bytes_per_second`: 1,000, of a body that is longer than `request_buffer`, averaged over ten seconds in which
    /// the visitor is waited for; 408.
    pub body_bytes_per_second: Option<u64>,
    /// `body_bytes`: off; 413.
    pub body_bytes: Option<u64>,
    /// `write_stall_timeout`: 60 s in which the client reads nothing; then the connection is closed.
    pub write_stall_timeout: Option<Duration>,
    /// `requests_per_connection_http1`: 1,000; then the connection is closed.
    pub requests_per_connection_http1: Option<u64>,
    /// `requests_per_connection_http2`: 10,000; then the visitor is told to open another.
    pub requests_per_connection_http2: Option<u64>,
    /// `http2_streams`: 100 at a time on one connection.
    pub http2_streams: Option<u32>,
    /// `http2_stream_window`: 64 KiB, from 64 KiB to 2 GiB.
    pub http2_stream_window: Option<usize>,
    /// `http2_connection_window`: 1 MiB, from 64 KiB to 2 GiB.
    pub http2_connection_window: Option<usize>,
    /// `http2_send_buffer`: 64 KiB for each answer.
    pub http2_send_buffer: Option<usize>,
    /// `http2_pending_resets`: 20 requests taken back before they were looked at; then the connection is closed.
    pub http2_pending_resets: Option<usize>,
    /// `http2_local_resets`: 256 faults of a visitor's streams; then the connection is closed.
    pub http2_local_resets: Option<usize>,
    /// `http2_resets_per_10s`: 200 requests taken back before their answer; then the connection is closed.
    pub http2_resets_per_10s: Option<u64>,
    /// `tunnel_idle_timeout`: 1 h in which nothing goes through a tunnel, such as a websocket; then it is closed.
    pub tunnel_idle_timeout: Option<Duration>,
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
    /// `new_sessions_per_second`: 2,000, in all; of sessions with data. Answers that set a principal are not counted.
    pub new_sessions_per_second: Option<u32>,
    /// `new_sessions_per_address`: a quarter of that; of one address (a /64 in IPv6). The same are not counted.
    pub new_sessions_per_address: Option<u32>,
}

const KIB: u64 = 1024;

impl RequestLimits {
    pub(super) fn read(reader: &TableReader<'_>) -> Self {
        let seconds = |key, seconds| reader.limit_duration(key, Some(Duration::from_secs(seconds)));
        let bytes = |key, least, default| {
            reader
                .optional_limit_size(key, &(least..=1 << 30))
                .unwrap_or(Some(default))
                .map(|size| size as usize)
        };
        let number =
            |key, most, default| reader.limit_number(key, &(1..=most), Some(default)).map(|n| n as usize);
        let many = |key, default| reader.limit_number(key, &(1..=u64::MAX), Some(default));
        let rate = |key, default| reader.limit_number(key, &(1..=1 << 30), default).map(|n| n as u32);
        let window = |key, default| {
            // Less than 64 KiB less one is not to be had: it is what every connection begins with.
            reader
                .optional_limit_size(key, &(64 * KIB..=(1 << 31) - 1))
                .unwrap_or(Some(default))
                .map(|size| size as usize)
        };
        let per_second = reader.limit_number("new_sessions_per_second", &(1..=1 << 30), Some(2000));
        let limits = Self {
            tls_handshake_timeout: seconds("tls_handshake_timeout", 10),
            request_head_timeout: seconds("request_head_timeout", 10),
            idle_timeout_http1: seconds("idle_timeout_http1", 75),
            idle_timeout_http2: seconds("idle_timeout_http2", 300),
            head_bytes: bytes("head_bytes", 8 * KIB, 32 * KIB),
            field_bytes: bytes("field_bytes", 1, 16 * KIB),
            fields: number("fields", 100, 100),
            target_bytes: bytes("target_bytes", 1, 8 * KIB),
            body_idle_timeout: seconds("body_idle_timeout", 30),
            body_bytes_per_second: reader
                .optional_limit_size("body_bytes_per_second", &(1..=1 << 30))
                .unwrap_or(Some(1000)),
            body_bytes: reader.optional_limit_size("body_bytes", &(0..=u64::MAX)).flatten(),
            write_stall_timeout: seconds("write_stall_timeout", 60),
            requests_per_connection_http1: many("requests_per_connection_http1", 1000),
            requests_per_connection_http2: many("requests_per_connection_http2", 10_000),
            http2_streams: number("http2_streams", 1 << 20, 100).map(|n| n as u32),
            http2_stream_window: window("http2_stream_window", 64 * KIB),
            http2_connection_window: window("http2_connection_window", 1024 * KIB),
            http2_send_buffer: bytes("http2_send_buffer", KIB, 64 * KIB),
            http2_pending_resets: number("http2_pending_resets", 1 << 20, 20),
            http2_local_resets: number("http2_local_resets", 1 << 20, 256),
            http2_resets_per_10s: number("http2_resets_per_10s", 1 << 20, 200).map(|n| n as u64),
            tunnel_idle_timeout: seconds("tunnel_idle_timeout", 3600),
            cookies: number("cookies", 1 << 20, 180),
            cookie_bytes: bytes("cookie_bytes", 1, 16 * KIB),
            finish_after_abort: seconds("finish_after_abort", 10),
            connections: number("connections", 1 << 30, 10_000),
            connections_per_address: number("connections_per_address", 1 << 30, 1024),
            new_sessions_per_second: per_second.map(|n| n as u32),
            new_sessions_per_address: rate(
                "new_sessions_per_address",
                // A quarter, unless it is said: one address alone must not use up what all share.
                per_second.map(|all| (all / 4).max(1)),
            ),
        };
        reader.finish();
        limits
    }
}
