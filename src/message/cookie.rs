//! The `Cookie` field as apps and browsers read it (RFC 6265 section 5.4): quotes, `$Version` and backslashes are
//! plain characters.

/// Without the spaces and tabs around it.
pub(super) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Name and value of one pair; without `=` the text is the value of an empty name.
pub(super) fn pair(piece: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'=', piece).and_then(|at| piece.split_at_checked(at)) {
        Some((name, value)) => (trim(name), trim(value.get(1..).unwrap_or_default())),
        None => (b"", trim(piece)),
    }
}

/// The pairs of one line, in order; pieces that are blank are left out (RFC 6265 section 5.4).
pub fn pairs(line: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    line.split(|byte| *byte == b';').filter(|piece| !trim(piece).is_empty()).map(pair)
}

/// What [`retain`] left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retained {
    /// Every byte.
    Unchanged,
    /// No pair.
    Empty,
    /// This.
    Changed(Vec<u8>),
}

/// The name alone; by hand, since a name is shorter than what a vector search needs to pay.
fn name(piece: &[u8]) -> &[u8] {
    let end = piece.iter().position(|byte| *byte == b'=').unwrap_or(0);
    trim(piece.get(..end).unwrap_or_default())
}

/// Takes out the pairs whose name is not to be kept, each with its separator; every other byte stays as it was.
pub fn retain(line: &[u8], mut keep: impl FnMut(&[u8]) -> bool) -> Retained {
    let mut out: Option<Vec<u8>> = None;
    let mut kept = false; // a piece stands before this one
    let mut pairs = false; // that is no blank
    let mut start = 0;
    for piece in line.split(|byte| *byte == b';') {
        let blank = trim(piece).is_empty();
        if blank || keep(name(piece)) {
            if let Some(out) = &mut out {
                if kept {
                    out.push(b';');
                    out.extend_from_slice(piece);
                } else {
                    out.extend_from_slice(piece.trim_ascii_start());
                }
            }
            kept = true;
            pairs |= !blank;
        } else if out.is_none() {
            let mut copy = Vec::with_capacity(line.len());
            copy.extend_from_slice(line.get(..start.max(1) - 1).unwrap_or_default());
            out = Some(copy);
        }
        start += piece.len() + 1;
    }
    match out {
        None => Retained::Unchanged,
        Some(_) if !pairs => Retained::Empty,
        Some(out) => Retained::Changed(out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_of_odd_lines() {
        type Pair = (&'static [u8], &'static [u8]);
        let rows: [(&[u8], &[Pair]); 8] = [
            (b"a=1; b=2", &[(b"a", b"1"), (b"b", b"2")]),
            (b"$Version=1;a=\"x\\\"y\"", &[(b"$Version", b"1"), (b"a", b"\"x\\\"y\"")]),
            (b"a", &[(b"", b"a")]),
            (b"=a", &[(b"", b"a")]),
            (b" a = b=c \t;;", &[(b"a", b"b=c")]),
            (b"\xe9=\xff, x", &[(b"\xe9", b"\xff, x")]),
            (b"", &[]),
            (b"a=\"x;y\"", &[(b"a", b"\"x"), (b"", b"y\"")]),
        ];
        for (line, wanted) in rows {
            assert_eq!(pairs(line).collect::<Vec<_>>(), wanted, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn retains_every_other_byte() {
        let changed = |text: &str| Retained::Changed(text.as_bytes().to_vec());
        for (line, wanted) in [
            ("a=1; b=2", Retained::Unchanged),
            ("t=1", Retained::Empty),
            ("t=1; t=2;", Retained::Empty),
            ("t=1; a=1", changed("a=1")),
            ("a=1; t=1", changed("a=1")),
            ("a=1;t=1; b=\"q,\\\"", changed("a=1; b=\"q,\\\"")),
            ("a=1 ;  t = 1 ;b;; c", changed("a=1 ;b;; c")),
            ("t=1; a=1; t=2;b", changed("a=1;b")),
            ("", Retained::Unchanged),
            ("; t=1; a", changed("; a")),
        ] {
            assert_eq!(retain(line.as_bytes(), |name| name != b"t"), wanted, "{line}");
        }
    }
}
