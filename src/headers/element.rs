//! The pieces of forwarding fields (RFC 7239 section 4).

use std::{
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
};

use crate::message::steps::step;

/// `for=` of one hop (RFC 7239 section 6).
pub(super) fn put(buffer: &mut String, hop: Option<&IpAddr>) {
    let _ = match hop {
        Some(IpAddr::V4(address)) => write!(buffer, "for={address}"),
        Some(IpAddr::V6(address)) => write!(buffer, "for=\"[{address}]\""),
        None => write!(buffer, "for=unknown"),
    };
}

/// An address, perhaps with brackets and a port.
pub(super) fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    // An IPv6 address in brackets has a port or not; both are met (RFC 7239 section 6).
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = inner.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|at| at.ip()))?;
    Some(IpAddr::to_canonical(&address))
}

/// Splits outside of quotes; none if a quote is left open.
pub(super) fn split(line: &[u8], separator: u8) -> Option<Vec<&[u8]>> {
    let (mut quoted, mut escaped) = (false, false);
    step(line.len());
    let parts = line.split(|byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => {}
        }
        !quoted && *byte == separator
    });
    let parts = parts.collect();
    if quoted { None } else { Some(parts) }
}

/// Without the quotes around it.
pub(super) fn unquote(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value)
}
