//! Field names as CGI, WSGI and PHP confuse them: `X_Session_User` and `X-Session-User` become one variable
//! (RFC 3875 section 4.1.18).

/// Lower case, and whatever is neither letter nor digit counts as `-`.
#[inline]
const fn fold(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' | b'0'..=b'9' => byte,
        b'A'..=b'Z' => byte | 0x20,
        _ => b'-',
    }
}

/// Whether both names are one to an app that folds them (RFC 3875 section 4.1.18).
#[inline]
pub fn folded_eq(name: &[u8], other: &[u8]) -> bool {
    name.len() == other.len() && folded_starts_with(name, other)
}

/// Whether the name begins with the prefix for an app that folds both (RFC 3875 section 4.1.18).
#[inline]
pub fn folded_starts_with(name: &[u8], prefix: &[u8]) -> bool {
    name.len() >= prefix.len() && name.iter().zip(prefix).all(|(a, b)| fold(*a) == fold(*b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fold() {
        for (a, b, equal, starts) in [
            ("x-session-user", "X_Session.User", true, true),
            ("X~SESSION!USER", "x-session-user", true, true),
            ("x-session-user", "x_session_", false, true),
            ("x-session", "x-session-", false, false),
            ("xsession-", "x-session", false, false),
            ("", "", true, true),
            ("a1", "a2", false, false),
            ("a", "", false, true),
        ] {
            assert_eq!(folded_eq(a.as_bytes(), b.as_bytes()), equal, "{a} {b}");
            assert_eq!(folded_starts_with(a.as_bytes(), b.as_bytes()), starts, "{a} {b}");
        }
    }
}
