//! Cookies that some apps read as another one: a name that is taken from the browser must not come in by a side door.
//!
//! SECURITY: PHP makes `_` of `.`, space and `[` in names, an array of `sid[x]`, and an empty `sid` of a piece without
//! `=`; PHP before 8 and older Racks decode %XX in names; `ASP.NET` and others look names up without case; Django and
//! Express trim what their languages take for a blank, old Java servers any separator; Python's `http.cookies` lets a
//! blank end a value or a word without one, and old Java servers a comma, so that `a=1 sid=2` and `secure sid=2` hold
//! a cookie more. `ASP.NET` and Undertow begin anew after a closing quote and at whatever no name may hold, and some
//! pass over a `=` with nothing before it. Whoever can plant any cookie could plant those.

use std::borrow::Cow;

use crate::message::{cookie::CookiePair, glob};

/// The name as some app would read it: without `=` that is all there is.
pub(super) fn name(pair: CookiePair<'_>) -> &[u8] {
    if pair.text().contains(&b'=') { pair.name() } else { pair.text() }
}

/// Whether some app would read the name as one that the pattern of a rule fits. Asks for memory only where a `%` is.
pub(super) fn passes_for(name: &[u8], pattern: &[u8]) -> bool {
    let plain = decode(pattern);
    let fits = |name: &[u8]| {
        glob::fits_folded(pattern, name, fold)
            || (*plain != *pattern && glob::fits_folded(&plain, name, fold))
    };
    let mut found = false;
    readings(name, |name| found = found || fits(name));
    found
}

/// All that some app may read a name as, each once.
pub(super) fn readings(name: &[u8], mut tell: impl FnMut(&[u8])) {
    tell(name);
    let usual = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    // Most names have nothing to be read in two ways, and cost one pass.
    if name.iter().all(usual) {
        return;
    }
    let mut shorter = |name: &[u8]| {
        let bare = strip(name);
        let cut = bare.split(|byte| matches!(byte, b'[' | 0)).next().unwrap_or_default();
        if bare.len() < name.len() {
            tell(bare);
        }
        if cut.len() < bare.len() {
            tell(cut);
        }
    };
    shorter(name);
    let decoded = decode(name);
    if *decoded != *name {
        shorter(&decoded);
        tell(&decoded);
    }
}

pub(super) fn fold(byte: u8) -> u8 {
    match byte {
        b'.' | b' ' | b'[' | b'+' => b'_',
        byte => byte.to_ascii_lowercase(),
    }
}

pub(super) fn decode(name: &[u8]) -> Cow<'_, [u8]> {
    percent_encoding::percent_decode(name).into()
}

/// Without what some language takes for a blank, read as UTF-8 or as Latin-1, or some server for a separator.
fn strip(name: &[u8]) -> &[u8] {
    let name = std::str::from_utf8(name).map_or(name, |text| text.trim().as_bytes());
    // PHP before 7.2.34 decodes names as it does forms: `+` is a blank, and those at the beginning are left out.
    let start = name.iter().position(|byte| stays(*byte) && *byte != b'+').unwrap_or(name.len());
    let end = name.iter().rposition(|byte| stays(*byte)).map_or(start, |at| at + 1);
    name.get(start..end).unwrap_or_default()
}

fn stays(byte: u8) -> bool {
    !matches!(byte, 0..=b' ' | 0x7f | 0x85 | 0xa0) && !b"\"(),/:;<=>?@\\]{}".contains(&byte)
}

/// Names that stand within a pair, before a `=` and after what parts names.
///
/// SECURITY: what a client sends decides how much work this is. No name reaches back over the `=` before its own, so
/// that all names together are at most three times as long as the pair, however often they are looked at.
pub(super) fn within(pair: CookiePair<'_>) -> impl Iterator<Item = &[u8]> {
    let text = pair.text();
    let mut start = 0;
    // Nothing came yet but `=`.
    let mut leads = true;
    // Without any `=` each word is a name with an empty value to some (aiohttp).
    let words = if text.contains(&b'=') { &b""[..] } else { text };
    let words = words.split(|byte| matches!(byte, b' ' | b'\t' | b',')).filter(|word| !word.is_empty());
    let named = memchr::memchr_iter(b'=', text).flat_map(move |end| {
        let piece = text.get(start..end).unwrap_or_default();
        // Each rule of some server is a different cut of the same piece; a name that is not guarded
        // costs nothing further.
        let all = if piece.iter().any(|byte| parts(*byte)) { after_parts(piece) } else { [None; 3] };
        let bare = Some(piece.trim_ascii()).filter(|_| leads && start > 0);
        leads &= piece.trim_ascii().is_empty();
        start = end + 1;
        all.into_iter().chain([bare]).flatten().filter(|name| !name.is_empty())
    });
    named.chain(words)
}

/// The last name of a piece: to those who part names at blanks and commas; at all that no name may hold, but for the
/// brackets of an array; at these too.
fn after_parts(piece: &[u8]) -> [Option<&[u8]>; 3] {
    fn last(piece: &[u8], parts: impl Fn(u8) -> bool) -> Option<&[u8]> {
        piece.get(piece.iter().rposition(|byte| parts(*byte))? + 1..)
    }
    let end = piece.iter().rposition(|byte| stays(*byte)).map_or(0, |at| at + 1);
    let bare = piece.get(..end).unwrap_or_default();
    [
        last(piece.trim_ascii_end(), |byte| matches!(byte, b' ' | b'\t' | b',')),
        last(bare, |byte| parts(byte) && !matches!(byte, b'[' | b']')),
        last(bare, parts),
    ]
}

/// No name may hold it (RFC 9110 section 5.6.2), or it ends what some read as quoted.
fn parts(byte: u8) -> bool {
    !(byte.is_ascii_alphanumeric() || b"!#$%&*+-.^_`|~".contains(&byte))
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
            ("a my_sid", true),
            ("my_sid a", true),
            ("a,MY.sid b", true),
            ("a mysid", false),
            ("a=my_sid=2", false),
            ("a=1 my_sid", false),
            ("a=my_sid", false),
            ("a=b=c==", false),
            ("a=b=my_sid=2", false),
            ("a==my_sid=2", false),
            ("=my_sid=2", true),
            (" = = my_sid = 2", true),
            ("=a=my_sid=2", false),
            ("a=\"x\"my_sid=2", true),
            ("a='x'my_sid=2", true),
            ("a(my_sid=2", true),
            ("a)my_sid=2", true),
            ("a<my_sid=2", true),
            ("a>my_sid=2", true),
            ("a@my_sid=2", true),
            ("a:my_sid=2", true),
            ("a\\my_sid=2", true),
            ("a\"my_sid=2", true),
            ("a/my_sid=2", true),
            ("a[my_sid=2", true),
            ("a]my_sid=2", true),
            ("a?my_sid=2", true),
            ("a{my_sid=2", true),
            ("a}my_sid=2", true),
            ("a\u{1}my_sid=2", true),
            ("a\u{7f}my_sid=2", true),
            ("a\u{a0}my_sid=2", true),
            ("a{my_sid[x]=2", true),
            ("a{\"my_sid\" =2", true),
            ("a|my_sid=2", false),
            ("a&my_sid=2", false),
            ("my_sid%00x=2", true),
        ] {
            for guarded in ["my_sid", "my.sid", "MY_SID", "my%2Esid", "my.si*d"] {
                let pair = CookiePair::new(pair.as_bytes());
                let passes = |name: &[u8]| passes_for(name, guarded.as_bytes());
                let found = passes(name(pair)) || within(pair).any(passes);
                assert_eq!(found, wanted, "{guarded}: {}", pair.text().escape_ascii());
            }
        }
        assert!(passes_for(b"\xa0sid", b"sid") && passes_for(b"\x85sid", b"s*"));
        let all: Vec<_> = within(CookiePair::new(b"a\xa0sid=1")).collect();
        assert!(all.iter().all(|name| *name == b"sid") && !all.is_empty());
    }

    /// What is looked at, in bytes.
    fn looked_at(text: &[u8]) -> usize {
        within(CookiePair::new(text)).map(<[u8]>::len).sum()
    }

    #[test]
    fn the_work_grows_with_the_length_and_no_faster() {
        for unit in ["\u{a0}=", "a=", "{a=", "%=", ".=", " a =", "a, ", "sid sid=", "=", "\"="] {
            let text = ["x ", &unit.repeat(8000)].concat();
            let looked_at = looked_at(text.as_bytes());
            assert!(looked_at <= 3 * text.len(), "{unit}: {looked_at} bytes of {}", text.len());
        }
    }

    proptest::proptest! {
        #[test]
        fn no_pair_is_looked_at_more_than_three_times(
            text in proptest::collection::vec(proptest::sample::select(b"a= ,{[\"\xa0".to_vec()), 0..200)
        ) {
            proptest::prop_assert!(looked_at(&text) <= 3 * text.len());
        }
    }
}
