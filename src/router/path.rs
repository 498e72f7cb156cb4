//! A path as apps may read it (RFC 3986 section 5.2.4, and what servers do beyond it).

/// Whether a path is plain, so that every app reads it alike; none if it holds what no path may (RFC 3986 section 3.3).
/// What browsers send raw all the same passes: `[`, `]`, `|` and `^` (URL Standard, path percent-encode set), and in
/// queries, which choose no route, whatever the parser lets through.
pub(super) fn scan(raw: &[u8]) -> Option<bool> {
    let mut plain = raw.first() == Some(&b'/');
    let mut before = 0;
    for byte in raw {
        match byte {
            0..=b' ' | 0x7f.. | b'?' | b'#' | b'"' | b'<' | b'>' | b'`' | b'{' | b'}' => return None,
            b'%' | b'\\' | b';' => plain = false,
            b'/' | b'.' if before == b'/' => plain = false,
            _ => {}
        }
        before = *byte;
    }
    Some(plain)
}

/// Decodes %XX into `out`. What parts a path or begins another part of the URI stays, in capitals, unless `all`:
/// then %2F and %5C are decoded too and %00 ends the path. Bad escapes are literal.
pub(super) fn decode(raw: &[u8], all: bool, out: &mut Vec<u8>) {
    out.clear();
    let mut rest = raw;
    while let [first, tail @ ..] = rest {
        rest = tail;
        let escape = match (first, tail) {
            (b'%', [high, low, after @ ..]) => {
                hex(*high).zip(hex(*low)).map(|(h, l)| (h << 4 | l, *high, *low, after))
            }
            _ => None,
        };
        let Some((byte, high, low, after)) = escape else {
            out.push(*first);
            continue;
        };
        rest = after;
        match byte {
            0 if all => return,
            b'/' | b'\\' if all => out.push(byte),
            0 | b'/' | b'\\' | b'%' | b';' | b'?' | b'#' => {
                out.extend_from_slice(&[b'%', high.to_ascii_uppercase(), low.to_ascii_uppercase()]);
            }
            _ => out.push(byte),
        }
    }
}

/// The value of a hexadecimal digit.
fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// What an app may do to a path before it looks at it.
#[derive(Clone, Copy, Default)]
struct Ways {
    backslash: bool,
    parameters: bool,
    dots: bool,
    empties: bool,
}

/// What became of %XX in a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Escapes {
    /// They stand as they came.
    Stand,
    /// They were decoded, but for those of what parts a path.
    Decoded,
    /// Those too: %2F, %5C and %00.
    AllDecoded,
}

/// Goes through the readings of one path.
pub(super) struct Reader<'a> {
    raw: &'a [u8],
    decoded: Vec<u8>,
    out: Vec<u8>,
    /// The ways that matter for this path.
    matter: Ways,
    escapes: u8,
    next: u8,
}

impl<'a> Reader<'a> {
    pub(super) fn new(raw: &'a [u8]) -> Self {
        let mut decoded = Vec::with_capacity(raw.len());
        let escapes = u8::from(raw.contains(&b'%')) * 2;
        // Without the end that %00 makes: what comes after it matters in other readings.
        decode(raw, false, &mut decoded);
        let hides = |text: &[u8]| raw.windows(3).any(|at| at.eq_ignore_ascii_case(text));
        let hidden = hides(b"%2f") || hides(b"%5c") || hides(b"%00");
        let slash = |byte: &u8| matches!(byte, b'/' | b'\\');
        let mut segments =
            decoded.split(slash).map(|part| part.split(|byte| *byte == b';').next().unwrap_or_default());
        let matter = Ways {
            backslash: decoded.contains(&b'\\') || hides(b"%5c"),
            parameters: decoded.contains(&b';'),
            dots: hidden || segments.any(|part| matches!(part, b"." | b"..")),
            empties: true,
        };
        let escapes = if hidden { escapes } else { escapes / 2 };
        Self { raw, decoded, out: Vec::with_capacity(raw.len() + 1), matter, escapes, next: 0 }
    }

    /// A reader of a part of the path, which goes through the same readings, step by step.
    pub(super) fn of_part<'b>(&self, part: &'b [u8]) -> Reader<'b> {
        Reader { matter: self.matter, escapes: self.escapes, ..Reader::new(part) }
    }

    /// The reading that counts: everything resolved, %2F and %5C as they are.
    pub(super) fn main(&mut self) -> &[u8] {
        self.read(
            u8::from(self.escapes > 0),
            Ways { backslash: true, parameters: true, dots: true, empties: true },
        )
    }

    /// The next of all readings, and what became of its escapes.
    pub(super) fn next_reading(&mut self) -> Option<(&[u8], Escapes)> {
        loop {
            let (bits, escapes) = (self.next & 15, self.next >> 4);
            if escapes > self.escapes {
                return None;
            }
            self.next += 1;
            let on = |bit: u8| bits & bit != 0;
            let ways = Ways { empties: on(1), dots: on(2), parameters: on(4), backslash: on(8) };
            let matters = self.matter;
            if (ways.dots && !matters.dots)
                || (ways.parameters && !matters.parameters)
                || (ways.backslash && !matters.backslash)
            {
                continue;
            }
            let became = match escapes {
                0 => Escapes::Stand,
                1 => Escapes::Decoded,
                _ => Escapes::AllDecoded,
            };
            return Some((self.read(escapes, ways), became));
        }
    }

    /// One reading; `escapes`: 0 as they are, 1 decoded, 2 with %2F, %5C and %00.
    fn read(&mut self, escapes: u8, ways: Ways) -> &[u8] {
        let Self { raw, decoded, out, .. } = self;
        if escapes == 0 {
            decoded.clear();
            decoded.extend_from_slice(raw);
        } else {
            decode(raw, escapes == 2, decoded);
        }
        out.clear();
        let parts = decoded.split(|byte| *byte == b'/' || (ways.backslash && *byte == b'\\'));
        for (index, part) in parts.enumerate() {
            let part = match part.iter().position(|byte| *byte == b';') {
                Some(at) if ways.parameters => part.get(..at).unwrap_or_default(),
                _ => part,
            };
            match part {
                b"" if ways.empties || index == 0 => {}
                b"." if ways.dots => {}
                b".." if ways.dots => out.truncate(out.iter().rposition(|byte| *byte == b'/').unwrap_or(0)),
                _ => {
                    out.push(b'/');
                    out.extend_from_slice(part);
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn main_readings() {
        for (raw, wanted) in [
            ("/", ""),
            ("/a/b", "/a/b"),
            ("//a//", "/a"),
            ("/%61", "/a"),
            ("/a/../b;x/c", "/b/c"),
            ("\\a\\.\\b", "/a/b"),
            ("/%2f%5c%00%3b", "/%2F%5C%00%3B"),
            ("/%zz%4", "/%zz%4"),
            ("/a%20b", "/a b"),
            ("/..;/..", ""),
            ("x", "/x"),
        ] {
            let mut reader = Reader::new(raw.as_bytes());
            assert_eq!(
                reader.main().escape_ascii().to_string(),
                wanted.as_bytes().escape_ascii().to_string(),
                "{raw}"
            );
        }
    }

    #[test]
    fn scans() {
        for (raw, wanted) in [
            ("/a.b/c", Some(true)),
            ("/a[1]|b^c", Some(true)),
            ("/a\"b", None),
            ("/a<b", None),
            ("/a>b", None),
            ("/a`b", None),
            ("/a{b", None),
            ("/a}b", None),
            ("/", Some(true)),
            ("", Some(false)),
            ("*", Some(false)),
            ("/.a", Some(false)),
            ("//", Some(false)),
            ("/a%20", Some(false)),
            ("/a b", None),
            ("/\u{7f}", None),
            ("/é", None),
            ("/a?", None),
        ] {
            assert_eq!(scan(raw.as_bytes()), wanted, "{raw}");
        }
    }
}
