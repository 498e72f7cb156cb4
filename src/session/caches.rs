//! Caches between us and the visitor: what an answer says to them, and how it is kept out of those that serve many. Pure.

use crate::message::Fields;
use http::{HeaderName, HeaderValue, header};

/// Fields for some caches alone, which beat `Cache-Control` there, beside all that end in `-cache-control` (RFC 9213;
/// Edge Architecture; nginx; Akamai).
const TARGETED: [&str; 3] = ["surrogate-control", "x-accel-expires", "edge-control"];

fn is_targeted(name: &HeaderName) -> bool {
    let name = name.as_str();
    TARGETED.contains(&name) || name.ends_with("-cache-control")
}

/// The directives of a `Cache-Control` line; a comma in quotes parts nothing (RFC 9110 section 5.6.4).
fn directives(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    line.split(move |b| {
        match b {
            // The letter after a backslash is never a quote or a comma of the grammar.
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            _ => {}
        }
        *b == b',' && !quoted
    })
    .map(<[u8]>::trim_ascii)
    .filter(|directive| !directive.is_empty())
}

fn name(directive: &[u8]) -> &[u8] {
    directive.split(|b| *b == b'=').next().unwrap_or_default().trim_ascii()
}

fn invites(directive: &[u8]) -> bool {
    [&b"public"[..], b"s-maxage"].iter().any(|word| name(directive).eq_ignore_ascii_case(word))
}

/// Forbids it as a whole: `private="Set-Cookie"` keeps only that field to oneself (RFC 9111 section 5.2.2.7).
fn forbids(directive: &[u8]) -> bool {
    [&b"private"[..], b"no-store"].iter().any(|word| directive.eq_ignore_ascii_case(word))
}

/// A targeted field invites the caches that it is for, unless it forbids them.
fn invites_its_caches(name: &HeaderName, value: &HeaderValue) -> bool {
    is_targeted(name) && value != "0" && !directives(value.as_bytes()).any(forbids)
}

/// True if an answer may be kept by caches that serve many: no new ticket belongs into it.
pub fn is_for_shared_caches(headers: &Fields) -> bool {
    headers.iter().any(|(name, value)| {
        (*name == header::CACHE_CONTROL && directives(value.as_bytes()).any(invites))
            || invites_its_caches(name, value)
    })
}

/// Takes the markings for shared caches out, and says `private` (product rule: a Set-Cookie of ours never lands in a
/// cache that serves many).
pub fn make_private(headers: &mut Fields) {
    if is_for_shared_caches(headers) {
        let inviting: Vec<HeaderName> = headers
            .iter()
            .filter(|(name, value)| invites_its_caches(name, value))
            .map(|(name, _)| name.clone())
            .collect();
        // A targeted field goes as a whole: what is left of it would still beat the `private` below
        // at its cache.
        for name in inviting {
            headers.remove(name);
        }
        let kept: Vec<Vec<u8>> = headers
            .get_all(header::CACHE_CONTROL)
            .flat_map(|value| directives(value.as_bytes()))
            .filter(|directive| !invites(directive))
            .map(<[u8]>::to_vec)
            .collect();
        headers.remove(header::CACHE_CONTROL);
        // `max-age` and all that concerns the browser's own cache stays as the app said it.
        if let Ok(value) = HeaderValue::from_bytes(&kept.join(&b", "[..]))
            && !kept.is_empty()
        {
            headers.insert(header::CACHE_CONTROL, value);
        }
    }
    let private = |value: &HeaderValue| directives(value.as_bytes()).any(forbids);
    if !headers.get_all(header::CACHE_CONTROL).any(private) {
        headers.append(header::CACHE_CONTROL, HeaderValue::from_static("private"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_keep_an_answer() {
        for (name, value, shared) in [
            ("cache-control", "public, max-age=60", true),
            ("cache-control", "max-age=60, S-MaxAge=60", true),
            ("cache-control", "no-cache=\"x, public\"", false),
            ("cache-control", "no-cache=\"x\\\", public\", y", false),
            ("cache-control", "no-cache=\"x\", public", true),
            ("cache-control", "private", false),
            ("cache-control", "max-age=60", false),
            ("cdn-cache-control", "max-age=60", true),
            ("cdn-cache-control", "no-store", false),
            ("cloudflare-cdn-cache-control", "max-age=60", true),
            ("surrogate-control", "max-age=60", true),
            ("surrogate-control", "no-store", false),
            ("x-accel-expires", "60", true),
            ("x-accel-expires", "0", false),
        ] {
            let mut headers = Fields::new();
            headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
            assert_eq!(is_for_shared_caches(&headers), shared, "{name}: {value}");
            make_private(&mut headers);
            assert!(!is_for_shared_caches(&headers), "{name}: {value}");
            let said: Vec<_> = headers.get_all(header::CACHE_CONTROL).collect();
            assert!(said.iter().any(|v| directives(v.as_bytes()).any(forbids)), "{name}: {value}: {said:?}");
        }
    }

    #[test]
    fn what_is_no_invitation_stays() {
        let mut headers = Fields::new();
        let line = "no-cache=\"set-cookie, x-y\", public, max-age=5";
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(line));
        headers.insert(HeaderName::from_static("cdn-cache-control"), HeaderValue::from_static("no-store"));
        make_private(&mut headers);
        let said: Vec<_> = headers.get_all(header::CACHE_CONTROL).collect();
        assert_eq!(said, ["no-cache=\"set-cookie, x-y\", max-age=5", "private"]);
        assert_eq!(headers.get("cdn-cache-control").unwrap(), "no-store");
    }
}
