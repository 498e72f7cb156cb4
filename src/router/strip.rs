//! What is left of a path below a route's prefix (`strip_prefix`).

use super::path::{self, EscapeHandling, PathReader};

/// The rest of a raw path behind `prefix`, as it came: empty, or beginning with one `/`. `prefix` is written decoded and
/// without a trailing `/`.
///
/// SECURITY: a rest that climbs out of the prefix in any reading would be another path to the app than the one that the
/// route was chosen by (`/shop/../shop/x` without `/shop` is `/shop/x`, and not `/x`). For such there is none.
pub fn below<'p>(raw_path: &'p str, prefix: &str, ignore_case: bool) -> Option<&'p str> {
    let prefix = prefix.as_bytes();
    let end = end(raw_path.as_bytes(), prefix, ignore_case)?;
    let (head, rest) = raw_path.split_at_checked(end)?;
    if path::scan(raw_path.as_bytes()) != Some(true) {
        let mut decoded = Vec::with_capacity(head.len());
        path::decode_ordinary(head.as_bytes(), &mut decoded);
        let mut whole = PathReader::new(raw_path.as_bytes());
        let mut part = whole.of_part(rest.as_bytes());
        while let (Some((whole, escapes)), Some((part, _))) = (whole.next_reading(), part.next_reading()) {
            let before = if escapes == EscapeHandling::Stand { head.as_bytes() } else { &decoded };
            // The same reading of both, step by step: the rest alone must be what the whole is
            // without its prefix.
            if whole.strip_prefix(before) != Some(part) {
                return None;
            }
        }
    }
    // SECURITY: to some apps a path that begins with two of these names a host, and what follows it is the path. Of two
    // `/` one is enough; no other spelling is worth one.
    if begins_network_path(rest.as_bytes()) {
        return None;
    }
    let doubled = rest.bytes().take_while(|byte| *byte == b'/').count().saturating_sub(1);
    rest.get(doubled..)
}

/// Whether what follows the leading `/` is another, in a spelling that cannot be left out.
fn begins_network_path(rest: &[u8]) -> bool {
    let after = rest.get(rest.iter().take_while(|byte| **byte == b'/').count()..).unwrap_or_default();
    match after {
        [b'\\', ..] => true,
        [b'%', escape @ ..] => escape
            .get(..2)
            .is_some_and(|escape| escape.eq_ignore_ascii_case(b"2f") || escape.eq_ignore_ascii_case(b"5c")),
        _ => false,
    }
}

/// Where the raw segments end that spell the prefix.
fn end(raw: &[u8], prefix: &[u8], ignore_case: bool) -> Option<usize> {
    let mut at = 0;
    let mut decoded = Vec::new();
    for wanted in prefix.split(|byte| *byte == b'/').skip(1) {
        let rest = raw.get(at..)?.strip_prefix(b"/")?;
        let length = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
        path::decode_ordinary(rest.get(..length)?, &mut decoded);
        if decoded != wanted && !(ignore_case && decoded.eq_ignore_ascii_case(wanted)) {
            return None;
        }
        at += 1 + length;
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_below() {
        for (path, prefix, wanted) in [
            ("/shop", "/shop", Some("")),
            ("/shop/", "/shop", Some("/")),
            ("/shop/a/b", "/shop", Some("/a/b")),
            ("/shop/a%2Fb%20c;v=1", "/shop", Some("/a%2Fb%20c;v=1")),
            ("/%73hop/a", "/shop", Some("/a")),
            ("/caf%c3%A9/x", "/café", Some("/x")),
            ("/shop/a/../b", "/shop", Some("/a/../b")),
            ("/shop//a//b", "/shop", Some("/a//b")),
            ("/shop///evil.test/", "/shop", Some("/evil.test/")),
            ("/a/b/c", "/a/b", Some("/c")),
            ("/x", "", Some("/x")),
            ("/shopping", "/shop", None),
            ("/SHOP/a", "/shop", None),
            ("/a", "/a/b", None),
            ("//shop/a", "/shop", None),
            ("/./shop/a", "/shop", None),
            ("/shop/..", "/shop", None),
            ("/shop/../admin", "/shop", None),
            ("/shop/../shop/admin", "/shop", None),
            ("/shop/a/../../shop/admin", "/shop", None),
            ("/shop/%2e%2e/shop/admin", "/shop", None),
            ("/shop/..;/shop/admin", "/shop", None),
            ("/shop/..%2fshop/admin", "/shop", None),
            ("/shop/..\\shop/admin", "/shop", None),
            ("/shop/..%5cshop/admin", "/shop", None),
            ("/shop/a%2f..%2f../shop", "/shop", None),
            ("/shop/\\x/admin", "/shop", None),
            ("/shop/%5cx/admin", "/shop", None),
            ("/shop//%2Fx/admin", "/shop", None),
            ("/shop/%2", "/shop", Some("/%2")),
        ] {
            assert_eq!(below(path, prefix, false), wanted, "{path}");
        }
        assert_eq!(below("/SHOP/A", "/shop", true), Some("/A"));
    }

    proptest::proptest! {
        #[test]
        fn what_is_left_reads_as_what_is_below(rest in "(/|\\\\|%2[eEfF]|%5c|%00|\\.|;|[a-c])*") {
            let raw = format!("/shop/{rest}");
            if let Some(left) = below(&raw, "/shop", false) {
                let mut whole = PathReader::new(raw.as_bytes());
                let mut part = PathReader::new(left.as_bytes());
                assert_eq!(whole.main().strip_prefix(b"/shop"), Some(part.main()));
                assert!(!left.starts_with("//"));
            }
        }
    }
}
