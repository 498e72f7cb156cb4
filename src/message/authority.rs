//! The authority of a request: `Host` or the target's own (RFC 3986 section 3.2, RFC 9110 section 7.2).

use std::net::Ipv6Addr;

/// Host and port, read strictly.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Authority {
    /// Lower case, without port or trailing dot; IPv6 in brackets.
    pub host: String,
    /// The port, if one was given.
    pub port: Option<u16>,
}

impl Authority {
    /// Reads `host[:port]`; no user information, no empty host (RFC 3986 section 3.2).
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        if let Some(rest) = text.strip_prefix('[') {
            let (inner, after) = rest.split_once(']')?;
            let address: Ipv6Addr = inner.parse().ok()?;
            let port = match after.strip_prefix(':') {
                Some(digits) => port(digits).ok()?,
                None if after.is_empty() => None,
                None => return None,
            };
            return Some(Self { host: format!("[{address}]"), port });
        }
        let (host, port) = match text.split_once(':') {
            Some((host, digits)) => (host, port(digits).ok()?),
            None => (text, None),
        };
        let host = host.strip_suffix('.').unwrap_or(host);
        if host.is_empty()
            || host.len() > 255
            || host.starts_with('.')
            || host.ends_with('.')
            || !is_reg_name(host.as_bytes())
        {
            return None;
        }
        Some(Self { host: host.to_ascii_lowercase(), port })
    }
}

/// The digits after the colon; none at all is allowed (RFC 3986 section 3.2.3).
fn port(digits: &str) -> Result<Option<u16>, ()> {
    if digits.is_empty() {
        return Ok(None);
    }
    if digits.len() > 5 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(());
    }
    digits.parse().map(Some).map_err(drop)
}

/// What stands for itself in a `reg-name` (RFC 3986 section 3.2.2): unreserved and sub-delims.
const REG_NAME: [bool; 256] = {
    let mut table = [false; 256];
    let plain = b"-._~!$&'()*+,;=0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut rest: &[u8] = plain;
    while let [byte, tail @ ..] = rest {
        #[expect(clippy::indexing_slicing, reason = "a byte is within 256, and the compiler runs this")]
        {
            table[*byte as usize] = true;
        }
        rest = tail;
    }
    table
};

/// `reg-name` of RFC 3986 section 3.2.2.
fn is_reg_name(host: &[u8]) -> bool {
    let mut bytes = host.iter();
    while let Some(byte) = bytes.next() {
        let mut hex = || bytes.next().is_some_and(u8::is_ascii_hexdigit);
        let good = REG_NAME.get(usize::from(*byte)) == Some(&true) || (*byte == b'%' && hex() && hex());
        if !good {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities() {
        for (text, wanted) in [
            ("example.com", Some(("example.com", None))),
            ("EXAMPLE.com.:80", Some(("example.com", Some(80)))),
            ("example.com:", Some(("example.com", None))),
            ("127.0.0.1:65535", Some(("127.0.0.1", Some(65535)))),
            ("[::1]", Some(("[::1]", None))),
            ("[2001:DB8::1]:443", Some(("[2001:db8::1]", Some(443)))),
            ("a_b%2e", Some(("a_b%2e", None))),
            ("", None),
            (".", None),
            (":80", None),
            ("a..", None),
            ("a b", None),
            ("a/b", None),
            ("u@a", None),
            ("a:65536", None),
            ("a:+1", None),
            ("a:1:2", None),
            ("::1", None),
            ("[::1", None),
            ("[::1]x", None),
            ("[x]", None),
            ("a%2", None),
            ("é.com", None),
            ("a\\b", None),
        ] {
            let found = Authority::parse(text.as_bytes());
            assert_eq!(found.as_ref().map(|a| (a.host.as_str(), a.port)), wanted, "{text}");
        }
        assert!(Authority::parse(b"\xe9.com").is_none());
    }
}
