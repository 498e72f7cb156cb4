//! `health` of an upstream: its servers are asked now and then how they are.

use std::time::Duration;

use super::super::value::{TableReader, ValueProblem};

/// `health`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthConfig {
    /// `path`: asked for by GET; well is who answers 2xx or 3xx. Of an upstream with `http2`,
    /// `/grpc.health.v1.Health/Check` is asked as gRPC asks, and well is who says that it serves.
    pub path: String,
    /// `interval` between two checks of one server: 5 s.
    pub interval: Duration,
    /// `timeout` of one check, connecting included: 2 s.
    pub timeout: Duration,
    /// `rise`: so many good ones in a row, and a server is used again: 2.
    pub rise: u32,
    /// `fall`: so many bad ones in a row, and it is not: 3.
    pub fall: u32,
}

impl HealthConfig {
    /// Reads it, if it is there.
    pub(super) fn read(upstream: &TableReader<'_>) -> Option<Self> {
        let reader = upstream.section("health");
        let path = reader.required("path", "a path such as \"/healthz\"", path);
        let health = Self {
            path: path.unwrap_or_default(),
            interval: reader.duration("interval", Duration::from_secs(5)),
            timeout: reader.duration("timeout", Duration::from_secs(2)),
            rise: reader.number("rise", 1..=100, 2) as u32,
            fall: reader.number("fall", 1..=100, 3) as u32,
        };
        reader.finish();
        reader.place.as_ref().map(|_| health)
    }
}

/// As it stands in a request (RFC 9112 section 3.2.1).
fn path(text: &str) -> Result<String, ValueProblem> {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"#\"<>\\^`{|}".contains(&byte);
    if !text.starts_with('/') {
        return Err(ValueProblem::why("a path begins with /"));
    }
    if !text.bytes().all(plain) {
        return Err(ValueProblem::why("a path as in a URL: ASCII, without spaces and without #"));
    }
    Ok(text.to_owned())
}
