//! Cookies that some apps read as another one: a name that is taken from the browser must not come in by a side door.
//!
//! SECURITY: PHP makes `_` of `.`, space and `[` in names, and an array of `sid[x]`; PHP before 8 and older Racks decode
//! %XX in names; Python's `http.cookies` lets a blank end a value, and old Java servers a comma, so that
//! `a=1 sid=2` is two cookies there. Whoever can plant any cookie could plant those.

use std::borrow::Cow;

use crate::message::cookie::Pair;

/// Whether some app would take this pair for a cookie of a guarded name.
pub(super) fn passes_for(pair: Pair<'_>, guarded: impl Fn(&[u8]) -> bool) -> bool {
    let name = pair.name();
    aliases(name).any(|alias| *alias != *name && guarded(&alias)) || within(pair.value()).any(guarded)
}

/// What a name may be read as.
fn aliases(name: &[u8]) -> impl Iterator<Item = Cow<'_, [u8]>> {
    let odd = name.iter().any(|byte| matches!(byte, b'.' | b' ' | b'[' | b'%' | b'+'));
    let decoded = odd.then(|| decode(name));
    let both = decoded.into_iter().flat_map(move |decoded| [Cow::Borrowed(name), Cow::Owned(decoded)]);
    both.flat_map(|name| {
        let folded = name.iter().map(|byte| if b". [+".contains(byte) { b'_' } else { *byte }).collect();
        let cut = name.split(|byte| *byte == b'[').next().unwrap_or_default().to_vec();
        [name, Cow::Owned(folded), Cow::Owned(cut)]
    })
}

fn decode(name: &[u8]) -> Vec<u8> {
    percent_encoding::percent_decode(name).collect()
}

/// Names that stand within a value, after a blank or a comma, and before a `=`.
fn within(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends = memchr::memchr_iter(b'=', value);
    ends.filter_map(|end| {
        let before = value.get(..end)?.trim_ascii_end();
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
            ("mysid=1", false),
            ("my-sid=1", false),
            ("a=1 my_sid=2", true),
            ("a=1,my_sid = 2", true),
            ("a=\"1, my_sid=2\"", true),
            ("a=my_sid=2", false),
            ("a=1 my_sid", false),
            ("a=my_sid", false),
            ("a=b=c==", false),
        ] {
            assert_eq!(passes_for(Pair::new(pair.as_bytes()), |name| name == b"my_sid"), wanted, "{pair}");
        }
    }
}
