//! The authority of a request: `Host` or the target's own (RFC 3986 section 3.2, RFC 9110 section 7.2).

use std::net::Ipv6Addr;

/// Host and port, read strictly.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// Lower case, without port or trailing dot; IPv6 in brackets.
    pub host: String,
    /// The port, if one was given.
    pub port: Option<u16>,
}

impl HostPort {
    /// Reads `host[:port]`; no user information, no empty host (RFC 3986 section 3.2).
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        if let [b'[', rest @ ..] = bytes {
            let end = rest.iter().position(|byte| *byte == b']')?;
            let inner = std::str::from_utf8(rest.get(..end)?).ok()?;
            let address: Ipv6Addr = inner.parse().ok()?;
            return Some(Self { host: format!("[{address}]"), port: port(rest.get(end + 1..)?).ok()? });
        }
        // By hand: a host is shorter than what a search by vectors, or by characters, needs to pay.
        let end = bytes.iter().position(|byte| *byte == b':').unwrap_or(bytes.len());
        let (host, after) = bytes.split_at_checked(end)?;
        let port = port(after).ok()?;
        let host = host.strip_suffix(b".").unwrap_or(host);
        if host.is_empty()
            // The longest name that DNS has; a longer one is nobody's.
            || host.len() > 255
            || host.starts_with(b".")
            || host.ends_with(b".")
            || !is_reg_name(host)
        {
            return None;
        }
        Some(Self { host: String::from_utf8(host.to_ascii_lowercase()).ok()?, port })
    }
}

/// What follows the host: nothing, or a colon and digits, of which there may be none (RFC 3986 section 3.2.3).
fn port(after: &[u8]) -> Result<Option<u16>, ()> {
    match after {
        [] | [b':'] => Ok(None),
        [b':', digits @ ..] if digits.len() <= 5 => {
            let digit =
                |number: u32, byte: &u8| byte.is_ascii_digit().then(|| number * 10 + u32::from(byte - b'0'));
            u16::try_from(digits.iter().try_fold(0, digit).ok_or(())?).map(Some).map_err(drop)
        }
        _ => Err(()),
    }
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
            let found = HostPort::parse(text.as_bytes());
            assert_eq!(found.as_ref().map(|a| (a.host.as_str(), a.port)), wanted, "{text}");
        }
        assert!(HostPort::parse(b"\xe9.com").is_none());
    }
}
