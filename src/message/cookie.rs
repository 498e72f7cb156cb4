//! The `Cookie` field as apps and browsers read it (RFC 6265 section 5.4): quotes, `$Version` and backslashes are
//! plain characters.

use std::borrow::Cow;

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

/// Nothing but spaces and tabs.
fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, b' ' | b'\t'))
}

/// Name and value of one pair; without `=` the text is the value of an empty name.
pub(super) fn pair(piece: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'=', piece).and_then(|at| piece.split_at_checked(at)) {
        Some((name, value)) => (trim(name), trim(value.get(1..).unwrap_or_default())),
        None => (b"", trim(piece)),
    }
}

/// What stands between the `;` of a line.
fn pieces(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        let end = memchr::memchr(b';', line);
        rest = end.and_then(|at| line.get(at + 1..));
        line.get(..end.unwrap_or(line.len()))
    })
}

/// The pairs of one line, in order; pieces that are blank are left out (RFC 6265 section 5.4).
pub fn pairs(line: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    pieces(line).filter(|piece| !is_blank(piece)).map(pair)
}

/// What [`edit`] left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RetainedLine {
    /// Every byte.
    Unchanged,
    /// No pair.
    Empty,
    /// This.
    Changed(Vec<u8>),
}

/// One pair as it stands in the line.
#[derive(Debug, Clone, Copy)]
pub struct CookiePair<'a>(&'a [u8]);

impl<'a> CookiePair<'a> {
    /// The pair of a piece between two `;`.
    pub fn new(piece: &'a [u8]) -> Self {
        Self(piece)
    }

    /// The name; empty where there is no `=`. By hand, since a name is shorter than what a vector search needs to pay.
    pub fn name(self) -> &'a [u8] {
        let end = self.0.iter().position(|byte| *byte == b'=').unwrap_or(0);
        trim(self.0.get(..end).unwrap_or_default())
    }

    /// All of it, without the blanks around it.
    pub fn text(self) -> &'a [u8] {
        trim(self.0)
    }

    /// The value; all of it where there is no `=`.
    pub fn value(self) -> &'a [u8] {
        pair(self.0).1
    }
}

/// A pair with another name or another value, and every other byte as it was.
pub(super) fn rewrite_pair(piece: &[u8], name: Option<&[u8]>, value: Option<&[u8]>, out: &mut Vec<u8>) {
    let (before, after) = match piece.iter().position(|byte| *byte == b'=') {
        Some(at) => (piece.get(..at).unwrap_or_default(), piece.get(at + 1..).unwrap_or_default()),
        None => (&b""[..], piece),
    };
    let put = |old: &[u8], new: Option<&[u8]>, out: &mut Vec<u8>| {
        let Some(new) = new else { return out.extend_from_slice(old) };
        let front = old.len() - old.trim_ascii_start().len();
        let back = old.trim_ascii().len() + front;
        out.extend_from_slice(old.get(..front).unwrap_or_default());
        out.extend_from_slice(new);
        out.extend_from_slice(old.get(back..).unwrap_or_default());
    };
    put(before, name, out);
    if name.is_some_and(|name| !name.is_empty()) || before.len() + after.len() < piece.len() {
        out.push(b'=');
    }
    put(after, value, out);
}

/// What becomes of one pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PairEdit<'a> {
    /// It stays, byte for byte.
    Keep,
    /// It goes, with its separator.
    Remove,
    /// It is sent under another name.
    Rename(Cow<'a, [u8]>),
    /// It is sent with another value; under another name too, if one is given.
    Replace(Option<Cow<'a, [u8]>>, Vec<u8>),
}

/// Takes out the pairs whose name is not to be kept, each with its separator; every other byte stays as it was.
pub fn retain(line: &[u8], mut keep: impl FnMut(&[u8]) -> bool) -> RetainedLine {
    edit(line, |pair| if keep(pair.name()) { PairEdit::Keep } else { PairEdit::Remove })
}

/// Edits the pairs of a line; every byte of the others stays as it was.
pub fn edit<'a>(line: &'a [u8], mut decide: impl FnMut(CookiePair<'a>) -> PairEdit<'a>) -> RetainedLine {
    let mut out: Option<Vec<u8>> = None;
    let mut kept = false; // a piece stands before this one
    let mut pairs = false; // that is no blank
    let mut start: usize = 0;
    for piece in pieces(line) {
        let blank = is_blank(piece);
        let wanted = if blank { PairEdit::Keep } else { decide(CookiePair(piece)) };
        // Copied only at the first change: most lines pass as they came.
        if wanted != PairEdit::Keep && out.is_none() {
            let mut copy = Vec::with_capacity(line.len());
            copy.extend_from_slice(line.get(..start.max(1) - 1).unwrap_or_default());
            out = Some(copy);
        }
        start += piece.len() + 1;
        if wanted == PairEdit::Remove {
            continue;
        }
        if let Some(out) = &mut out {
            let piece = if kept { piece } else { piece.trim_ascii_start() };
            if kept {
                out.push(b';');
            }
            match &wanted {
                PairEdit::Rename(name) => rewrite_pair(piece, Some(name), None, out),
                PairEdit::Replace(name, value) => rewrite_pair(piece, name.as_deref(), Some(value), out),
                PairEdit::Keep | PairEdit::Remove => out.extend_from_slice(piece),
            }
        }
        kept = true;
        pairs |= !blank;
    }
    match out {
        None => RetainedLine::Unchanged,
        Some(_) if !pairs => RetainedLine::Empty,
        Some(out) => RetainedLine::Changed(out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_of_odd_lines() {
        type CookiePair = (&'static [u8], &'static [u8]);
        let rows: [(&[u8], &[CookiePair]); 8] = [
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
        let changed = |text: &str| RetainedLine::Changed(text.as_bytes().to_vec());
        for (line, wanted) in [
            ("a=1; b=2", RetainedLine::Unchanged),
            ("t=1", RetainedLine::Empty),
            ("t=1; t=2;", RetainedLine::Empty),
            ("t=1; a=1", changed("a=1")),
            ("a=1; t=1", changed("a=1")),
            ("a=1;t=1; b=\"q,\\\"", changed("a=1; b=\"q,\\\"")),
            ("a=1 ;  t = 1 ;b;; c", changed("a=1 ;b;; c")),
            ("t=1; a=1; t=2;b", changed("a=1;b")),
            ("", RetainedLine::Unchanged),
            ("; t=1; a", changed("; a")),
        ] {
            assert_eq!(retain(line.as_bytes(), |name| name != b"t"), wanted, "{line}");
        }
    }

    #[test]
    fn edits_names_and_values_alone() {
        let rename = || PairEdit::Rename(Cow::Borrowed(b"new"));
        let replace = |name: Option<&'static [u8]>| PairEdit::Replace(name.map(Cow::Borrowed), b"v".to_vec());
        for (line, edit_of_t, wanted) in [
            ("t=1; a=1", rename(), "new=1; a=1"),
            ("a=1;  t = 1 ;b", rename(), "a=1;  new = 1 ;b"),
            ("  t=; a", rename(), "new=; a"),
            ("a;t = 1 ; b", replace(None), "a;t = v ; b"),
            ("a;t= ; b", replace(None), "a;t= v; b"),
            ("t=\"x=y\"", replace(Some(b"new")), "new=v"),
            ("x; t=1;t=2", replace(Some(b"new")), "x; new=v;new=v"),
        ] {
            let of =
                |pair: CookiePair<'_>| if pair.name() == b"t" { edit_of_t.clone() } else { PairEdit::Keep };
            let RetainedLine::Changed(bytes) = edit(line.as_bytes(), of) else { panic!("{line}") };
            assert_eq!(
                bytes.escape_ascii().to_string(),
                wanted.as_bytes().escape_ascii().to_string(),
                "{line}"
            );
        }
    }
}
