//! One text in several cookies: a browser keeps no more than 4096 bytes in one (RFC 6265bis section 5.6, name and value
//! together).
//!
//! The first holds how many there are (a digit) and the beginning; each other one holds a mark and what follows. The
//! mark is the beginning of the text, which is as good as random: parts of another text, that stayed behind or that
//! somebody planted, are told from ours before anything is opened. That they are all there, once and in their order is
//! not checked here: the text is sealed together with their number.

use std::borrow::Cow;

/// Bytes of a cookie's name and value at most.
const MOST_BYTES: usize = 4096;
/// Letters of the mark.
const MARK: usize = 8;

/// Letters that so many cookies of this name hold.
pub(super) fn capacity_of(name: &str, parts: u8) -> usize {
    (0..parts).map(|part| capacity(name, part)).sum()
}

/// After its name, and ".1" and such, and what stands before the text.
fn capacity(name: &str, part: u8) -> usize {
    let beside = if part == 0 { 1 } else { 2 + MARK };
    MOST_BYTES.saturating_sub(name.len() + beside)
}

/// How many cookies of this name a text takes.
pub(super) fn count(name: &str, letters: usize) -> u8 {
    let enough = |parts: &u8| capacity_of(name, *parts) >= letters;
    (1..=9).find(enough).unwrap_or(u8::MAX)
}

/// The values of the cookies.
pub(super) fn split(name: &str, text: &str) -> Vec<String> {
    let parts = count(name, text.len());
    let mark = text.get(..MARK).unwrap_or_default();
    let mut rest = text;
    (0..parts)
        .map(|part| {
            let (here, after) = rest.split_at_checked(capacity(name, part)).unwrap_or((rest, ""));
            rest = after;
            if part == 0 { format!("{parts}{here}") } else { format!("{mark}{here}") }
        })
        .collect()
}

/// The text, and in how many cookies it came. `first`: the value of the first one; `others`: number and value of what
/// else was shown. `None`: not all are there, or it is none of ours.
pub(super) fn join<'a>(first: &'a [u8], others: &[(u8, &'a [u8])]) -> Option<(u8, Cow<'a, [u8]>)> {
    let (digit, begin) = first.split_first()?;
    let parts = digit.checked_sub(b'0').filter(|parts| (1..=9).contains(parts))?;
    // The usual case borrows the cookie's bytes and copies nothing.
    if parts == 1 {
        return Some((1, Cow::Borrowed(begin)));
    }
    let mark = begin.get(..MARK)?;
    let mut text = begin.to_vec();
    for part in 1..parts {
        let found = others
            .iter()
            // The first part with the right mark counts; one with a foreign mark is skipped, since
            // anybody on a sibling host can plant it.
            .find_map(|(number, value)| (*number == part).then(|| value.strip_prefix(mark)).flatten())?;
        text.extend_from_slice(found);
    }
    Some((parts, Cow::Owned(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_split_is_joined_and_each_part_fits_into_a_cookie() {
        let name = "__Host-session";
        for letters in [8, 100, 4080, 4081, 4082, 8000, 12_000, 16_000] {
            let text: String = (0..letters).map(|i| char::from(b'a' + (i % 23) as u8)).collect();
            let values = split(name, &text);
            assert_eq!(values.len(), usize::from(count(name, letters)));
            for (part, value) in values.iter().enumerate() {
                let name = if part == 0 { name.to_owned() } else { format!("{name}.{part}") };
                assert!(name.len() + value.len() <= MOST_BYTES, "{letters} letters, part {part}");
            }
            let mut others: Vec<(u8, &[u8])> =
                (1..).zip(values.iter().skip(1).map(String::as_bytes)).collect();
            others.reverse();
            let stale = format!("{:<8}stale", "zzzzzzzz");
            others.insert(0, (1, stale.as_bytes()));
            let (parts, joined) = join(values[0].as_bytes(), &others).unwrap();
            assert_eq!((usize::from(parts), &*joined), (values.len(), text.as_bytes()));
        }
    }

    #[test]
    fn parts_that_are_missing_or_of_another_text_make_none() {
        let text = "x".repeat(9000);
        let values = split("session", &text);
        let all = [(1, values[1].as_bytes()), (2, values[2].as_bytes())];
        assert!(join(values[0].as_bytes(), &all).is_some());
        assert_eq!(join(values[0].as_bytes(), &all[..1]), None);
        assert_eq!(join(values[0].as_bytes(), &[(1, b"yyyyyyyyy"), all[1]]), None);
        for none in [&b""[..], b"0abc", b":abc", b"2", b"2short"] {
            assert_eq!(join(none, &all), None);
        }
    }
}
