//! Cookies that some apps read as another one: a name that is taken from the browser must not come in by a side door.
//!
//! SECURITY: PHP makes `_` of `.`, space and `[` in names, an array of `sid[x]`, and an empty `sid` of a piece without
//! `=`; PHP before 8 and older Racks decode %XX in names; `ASP.NET` and others look names up without case; Django and
//! Express trim what their languages take for a blank, old Java servers any separator; Python's `http.cookies` lets a
//! blank end a value or a word without one, and old Java servers a comma, so that `a=1 sid=2` and `secure sid=2` hold
//! a cookie more. Whoever can plant any cookie could plant those.

use std::borrow::Cow;

use crate::message::{cookie::Pair, glob};

/// The name as some app would read it: without `=` that is all there is.
pub(super) fn name(pair: Pair<'_>) -> &[u8] {
    if pair.text().contains(&b'=') { pair.name() } else { pair.text() }
}

/// Whether some app would read the name as one that the pattern of a rule fits. Asks for memory only where a `%` is.
pub(super) fn passes_for(name: &[u8], pattern: &[u8]) -> bool {
    let plain = decode(pattern);
    let fits = |name: &[u8]| {
        glob::fits_folded(pattern, name, fold)
            || (*plain != *pattern && glob::fits_folded(&plain, name, fold))
    };
    if fits(name) {
        return true;
    }
    let usual = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if name.iter().all(usual) {
        return false;
    }
    [name, &decode(name)].into_iter().any(|name| {
        let bare = strip(name);
        let cut = bare.split(|byte| *byte == b'[').next().unwrap_or_default();
        fits(name) || fits(bare) || fits(cut)
    })
}

fn fold(byte: u8) -> u8 {
    match byte {
        b'.' | b' ' | b'[' | b'+' => b'_',
        byte => byte.to_ascii_lowercase(),
    }
}

fn decode(name: &[u8]) -> Cow<'_, [u8]> {
    percent_encoding::percent_decode(name).into()
}

/// Without what some language takes for a blank, read as UTF-8 or as Latin-1, or some server for a separator.
fn strip(name: &[u8]) -> &[u8] {
    let name = std::str::from_utf8(name).map_or(name, |text| text.trim().as_bytes());
    let stays =
        |byte: &u8| !matches!(byte, 0..=b' ' | 0x7f | 0x85 | 0xa0) && !b"\"(),/:;<=>?@\\]{}".contains(byte);
    let start = name.iter().position(stays).unwrap_or(name.len());
    let end = name.iter().rposition(stays).map_or(start, |at| at + 1);
    name.get(start..end).unwrap_or_default()
}

/// Names that stand within a pair, after a blank or a comma, and before a `=`.
pub(super) fn within(pair: Pair<'_>) -> impl Iterator<Item = &[u8]> {
    let text = pair.text();
    let ends = memchr::memchr_iter(b'=', text);
    ends.filter_map(|end| {
        let before = text.get(..end)?.trim_ascii_end();
        let start = before.iter().rposition(|byte| matches!(byte, b' ' | b'\t' | b','))?;
        before.get(start + 1..)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn side_doors() {
        for (pair, wanted) in [
            ("my.sid=1", true),
            ("my sid=1", true),
            ("my[sid=1", true),
            ("my_sid[x]=1", true),
            ("my%5Fsid=1", true),
            ("my%2esid=1", true),
            ("My_SID=1", true),
            ("my_sid", true),
            (" My%2ESid ", true),
            ("\u{a0}my_sid=1", true),
            ("\u{2003}my_sid\u{2003}=1", true),
            ("{my_sid=1", true),
            ("mysid=1", false),
            ("my-sid=1", false),
            ("a=1 my_sid=2", true),
            ("a=1,my_sid = 2", true),
            ("a=1 MY.sid=2", true),
            ("a=\"1, my_sid=2\"", true),
            ("secure my_sid=2", true),
            ("a my_sid=2", true),
            ("a=my_sid=2", false),
            ("a=1 my_sid", false),
            ("a=my_sid", false),
            ("a=b=c==", false),
        ] {
            for guarded in ["my_sid", "my.sid", "MY_SID", "my%2Esid", "my.si*d"] {
                let pair = Pair::new(pair.as_bytes());
                let passes = |name: &[u8]| passes_for(name, guarded.as_bytes());
                let found = passes(name(pair)) || within(pair).any(passes);
                assert_eq!(found, wanted, "{guarded}: {}", pair.text().escape_ascii());
            }
        }
        assert!(passes_for(b"\xa0sid", b"sid") && passes_for(b"\x85sid", b"s*"));
    }
}
