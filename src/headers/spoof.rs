//! Names that only we may write (RFC 3875 section 4.1.18 is how spellings become one variable).

use crate::message::{
    Fields,
    name::{folded_eq, folded_starts_with},
};

/// Takes out fields that a client or an app may not write.
#[derive(Debug, Clone)]
pub struct HeaderGuard {
    session_prefix: Box<[u8]>,
    also: Box<[Box<[u8]>]>,
}

impl HeaderGuard {
    /// A guard of everything under `session_prefix`, of the forwarding families, and of the names in `header_aliases`.
    pub fn new(session_prefix: &str, also: &[String]) -> Self {
        Self {
            session_prefix: session_prefix.as_bytes().into(),
            also: also.iter().map(|name| name.as_bytes().into()).collect(),
        }
    }

    /// Takes out of a request what a client may not say; returns how many names went.
    pub fn strip_request(&self, headers: &mut Fields) -> usize {
        strip(headers, |name| self.is_request(name))
    }

    /// Takes out of a response everything under the session prefix; returns how many names went.
    pub fn strip_response(&self, headers: &mut Fields) -> usize {
        strip(headers, |name| self.is_session(name))
    }

    /// Takes out of trailers, of either direction, what neither side may say; returns how many names went.
    pub fn strip_trailers(&self, headers: &mut Fields) -> usize {
        self.strip_request(headers)
    }

    fn is_session(&self, name: &[u8]) -> bool {
        folded_starts_with(name, &self.session_prefix)
    }

    fn is_request(&self, name: &[u8]) -> bool {
        // By fixed letters first: each field of each request is asked, and nearly all fall out
        // here.
        let family = match name {
            [b'x', _, b'f', ..] => folded_starts_with(name, b"x-forwarded-"),
            [b'x', _, b'r', ..] => {
                folded_eq(name, b"x-real-ip")
                    || folded_eq(name, b"x-rewrite-url")
                    || folded_eq(name, b"x-request-id")
            }
            [b'x', _, b'c', ..] => folded_starts_with(name, b"x-client-cert-"),
            [b'x', _, b'o', ..] => folded_eq(name, b"x-original-url"),
            b"forwarded" | b"proxy" => true,
            // SECURITY: to an app that folds names these say where the request ends, and we have not read them.
            [b'c', _, _, _, _, _, _, _, b'l', ..] => is_alias(name, b"content-length"),
            [b't', _, _, _, _, _, _, _, _, b'e', ..] => is_alias(name, b"transfer-encoding"),
            _ => false,
        };
        family || self.is_session(name) || self.also.iter().any(|other| folded_eq(name, other))
    }
}

/// Whether it is another spelling of this name.
fn is_alias(name: &[u8], of: &[u8]) -> bool {
    name != of && folded_eq(name, of)
}

fn strip(headers: &mut Fields, hit: impl Fn(&[u8]) -> bool) -> usize {
    headers.retain(|name| !hit(name.as_str().as_bytes()))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(name: &str) -> Fields {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        Fields::from_iter([(name, HeaderValue::from_static("1"))])
    }

    #[test]
    fn no_spelling_of_a_session_field_slips_by() {
        let guard = HeaderGuard::new("x-session-", &[]);
        let mut count = 0;
        for first in ["-", "_", ".", "!", "~", "+", "*"] {
            for second in ["-", "_", ".", "^", "|", "'"] {
                for shape in ["X{}Session{}User", "x{}SESSION{}user"] {
                    let name = shape.replacen("{}", first, 1).replacen("{}", second, 1);
                    assert_eq!(guard.strip_request(&mut headers(&name)), 1, "{name}");
                    assert_eq!(guard.strip_response(&mut headers(&name)), 1, "{name}");
                    assert_eq!(guard.strip_trailers(&mut headers(&name)), 1, "{name}");
                    count += 1;
                }
            }
        }
        assert!(count >= 40);
    }

    #[test]
    fn names() {
        let guard = HeaderGuard::new("x-session-", &["session".into(), "Remote-User".into()]);
        for (name, request, response) in [
            ("x-forwarded-for", 1, 0),
            ("X_Forwarded_Proto", 1, 0),
            ("x.forwarded.x", 1, 0),
            ("forwarded", 1, 0),
            ("x_real-ip", 1, 0),
            ("x-client_cert-subject", 1, 0),
            ("x-original.url", 1, 0),
            ("X-Rewrite_URL", 1, 0),
            ("Proxy", 1, 0),
            ("Session", 1, 0),
            ("remote_user", 1, 0),
            ("x-session-", 1, 1),
            ("x-session", 0, 0),
            ("x-sessions-a", 0, 0),
            ("x-forwarded", 0, 0),
            ("x-real-ips", 0, 0),
            ("proxy-authorization", 0, 0),
            ("cookie", 0, 0),
            ("x-client-cert", 0, 0),
            ("content-length", 0, 0),
            ("Content_Length", 1, 0),
            ("content.length", 1, 0),
            ("content-lengths", 0, 0),
            ("content-language", 0, 0),
            ("transfer-encoding", 0, 0),
            ("Transfer_Encoding", 1, 0),
            ("transfer-encodings", 0, 0),
        ] {
            assert_eq!(guard.strip_request(&mut headers(name)), request, "{name}");
            assert_eq!(guard.strip_response(&mut headers(name)), response, "{name}");
        }
    }
}
