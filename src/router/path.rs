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

/// Decodes %XX into `out`, but for those of what parts a path or begins another part of the URI; these stay, in capitals.
/// Bad escapes are literal.
pub(super) fn decode_ordinary(raw: &[u8], out: &mut Vec<u8>) {
    decode(raw, EscapeHandling::Decoded, out);
}

/// Decodes %XX into `out`. What parts a path or begins another part of the URI stays, in capitals, where it is not to be
/// decoded. Bad escapes are literal.
fn decode(raw: &[u8], handling: EscapeHandling, out: &mut Vec<u8>) {
    out.clear();
    if handling == EscapeHandling::Stand {
        out.extend_from_slice(raw);
        return;
    }
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
            0 | b'?' | b'#' if handling >= EscapeHandling::AllDecoded => return,
            b'/' | b'\\' | b';' if handling >= EscapeHandling::SeparatorsDecoded => out.push(byte),
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

/// What of a raw path stands for what parts one or ends it, and how long its spelling is; `None`: an ordinary byte.
fn parting(raw: &[u8]) -> Option<(u8, usize)> {
    match raw {
        [byte @ (b'/' | b'\\' | b';'), ..] => Some((*byte, 1)),
        [b'%', high, low, ..] => {
            let byte = hex(*high)? << 4 | hex(*low)?;
            matches!(byte, 0 | b'/' | b'\\' | b';' | b'?' | b'#').then_some((byte, 3))
        }
        _ => None,
    }
}

/// What an app may do to a path before it looks at it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct PathTransforms {
    /// `\` parts segments as `/` does.
    backslash: bool,
    /// What follows a `;` is no part of its segment.
    parameters: bool,
    /// `.` and `..` are resolved.
    dots: bool,
    /// Empty segments are left out.
    empties: bool,
    /// Two of `/` and `\` at the beginning are followed by a host (RFC 3986 section 4.2, URL Standard).
    network: bool,
}

impl PathTransforms {
    /// Those that change anything about this path, however its escapes are read.
    fn of(raw: &[u8]) -> Self {
        let mut ways = Self::default();
        let (mut adjacent, mut leads, mut at) = (false, false, 0);
        // The segment so far: how long it is, whether only dots, and whether a parameter has begun.
        let (mut length, mut dots, mut parameter) = (0_usize, true, false);
        let mut decoded = Vec::new();
        while let Some(rest) = raw.get(at..).filter(|rest| !rest.is_empty()) {
            let Some((byte, spelt)) = parting(rest) else {
                let (byte, spelt) = match rest {
                    [b'%', high, low, ..] if hex(*high).is_some() && hex(*low).is_some() => {
                        decode(rest.get(..3).unwrap_or_default(), EscapeHandling::AllDecoded, &mut decoded);
                        (decoded.first().copied().unwrap_or_default(), 3)
                    }
                    [byte, ..] => (*byte, 1),
                    [] => break,
                };
                if !parameter {
                    length += 1;
                    dots &= byte == b'.';
                }
                at += spelt;
                continue;
            };
            if byte == b';' {
                (ways.parameters, parameter) = (true, true);
            } else {
                ways.backslash |= byte == b'\\';
                ways.dots |= dots && (1..=2).contains(&length);
                if at > 0 && length == 0 {
                    adjacent = true;
                    leads |=
                        raw.get(..at).is_some_and(|before| parting(before).is_some_and(|(_, n)| n == at));
                }
                (length, dots, parameter) = (0, true, false);
            }
            at += spelt;
        }
        ways.dots |= dots && (1..=2).contains(&length);
        ways.empties = adjacent || ways.parameters;
        ways.network = leads || (adjacent && ways.dots);
        ways
    }

    fn count(self) -> usize {
        let Self { backslash, parameters, dots, empties, network } = self;
        1 << [backslash, parameters, dots, empties, network].into_iter().filter(|matters| *matters).count()
    }
}

/// What became of %XX in a reading; each with what the one before it decodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum EscapeHandling {
    /// They stand as they came.
    Stand,
    /// They were decoded, but for those of what parts a path or ends it.
    Decoded,
    /// Those of what parts it too: %2F, %5C and %3B.
    SeparatorsDecoded,
    /// And what ends it does so: %3F, %23 and %00.
    AllDecoded,
}

impl EscapeHandling {
    const ALL: [Self; 4] = [Self::Stand, Self::Decoded, Self::SeparatorsDecoded, Self::AllDecoded];

    /// By their order, which make a difference for this path.
    fn that_matter(raw: &[u8]) -> [bool; 4] {
        let [mut escaped, mut separators, mut ends] = [false; 3];
        for at in memchr::memchr_iter(b'%', raw) {
            escaped = true;
            match raw.get(at..).and_then(parting) {
                Some((b'/' | b'\\' | b';', _)) => separators = true,
                Some(_) => ends = true,
                None => {}
            }
        }
        [true, escaped, separators, ends]
    }
}

/// Goes through the readings of one path.
pub(super) struct PathReader<'a> {
    raw: &'a [u8],
    decoded: Vec<u8>,
    /// How `decoded` was decoded.
    decoded_as: Option<EscapeHandling>,
    out: Vec<u8>,
    /// The ways that matter for this path.
    matter: PathTransforms,
    /// By [`EscapeHandling`].
    escapes: [bool; 4],
    next: u8,
}

/// So many bytes of readings are gone through for one path: twelve of the longest that `target_bytes` allows.
const MOST_READ: usize = 96 * 1024;

impl<'a> PathReader<'a> {
    pub(super) fn new(raw: &'a [u8]) -> Self {
        let (decoded, out) = (Vec::with_capacity(raw.len()), Vec::with_capacity(raw.len() + 1));
        let (matter, escapes) = (PathTransforms::of(raw), EscapeHandling::that_matter(raw));
        Self { raw, decoded, decoded_as: None, out, matter, escapes, next: 0 }
    }

    /// Whether all readings together are few enough to go through.
    ///
    /// SECURITY: a few bytes on the wire (or one, sent by index over HTTP/2) must not buy a millisecond of this.
    pub(super) fn is_within_budget(&self) -> bool {
        let escapes = self.escapes.into_iter().filter(|matters| *matters).count();
        self.raw.len() * escapes * self.matter.count() <= MOST_READ
    }

    /// Whether apps may read the path in ways that none of these readings is: what parts a path is decoded only after dot
    /// segments were resolved (`/./admin%2f..`), parameters are left out before a host is looked for (`//;/h/admin`), or what
    /// URL parsers pass over is decoded before they see it (`/%09/h/admin`; URL Standard, "basic URL parser", step 3).
    pub(super) fn has_readings_beyond_these(&self) -> bool {
        let passed_over = |at: usize| {
            matches!(self.raw.get(at + 1..at + 3), Some([b'0', b'9' | b'a' | b'A' | b'd' | b'D']))
        };
        let [.., separators, ends] = self.escapes;
        ((separators || ends) && self.matter.dots)
            || (self.matter.parameters && leads_to_host(self.raw))
            || memchr::memchr_iter(b'%', self.raw).any(passed_over)
    }

    /// A reader of a part of the path, which goes through the same readings, step by step.
    pub(super) fn of_part<'b>(&self, part: &'b [u8]) -> PathReader<'b> {
        PathReader { matter: self.matter, escapes: self.escapes, ..PathReader::new(part) }
    }

    /// The reading that counts: everything resolved, %2F and %5C as they are.
    pub(super) fn main(&mut self) -> &[u8] {
        let all =
            PathTransforms { backslash: true, parameters: true, dots: true, empties: true, network: false };
        self.read(EscapeHandling::Decoded, all)
    }

    /// The next of all readings, and what became of its escapes.
    pub(super) fn next_reading(&mut self) -> Option<(&[u8], EscapeHandling)> {
        loop {
            let (bits, at) = (self.next & 31, usize::from(self.next >> 5));
            let (handling, handling_matters) = (*EscapeHandling::ALL.get(at)?, *self.escapes.get(at)?);
            self.next += 1;
            let on = |bit: u8| bits & bit != 0;
            let ways = PathTransforms {
                empties: on(1),
                dots: on(2),
                parameters: on(4),
                backslash: on(8),
                network: on(16),
            };
            let matters = self.matter;
            if !handling_matters
                || (ways.dots && !matters.dots)
                || (ways.parameters && !matters.parameters)
                || (ways.backslash && !matters.backslash)
                || (ways.empties && !matters.empties)
                || (ways.network && !matters.network)
            {
                continue;
            }
            return Some((self.read(handling, ways), handling));
        }
    }

    /// One reading.
    fn read(&mut self, handling: EscapeHandling, ways: PathTransforms) -> &[u8] {
        let Self { raw, decoded, out, .. } = self;
        // The readings are gone through in this order, so that each decoding is made once.
        if self.decoded_as != Some(handling) {
            self.decoded_as = Some(handling);
            decode(raw, handling, decoded);
        }
        out.clear();
        let text = if ways.network { behind_host(decoded) } else { decoded };
        let parts = text.split(|byte| *byte == b'/' || (ways.backslash && *byte == b'\\'));
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
        // It may begin with two only once dots are resolved.
        if ways.network { behind_host(out) } else { out }
    }
}

/// Whether two of what parts a path stand at its beginning, in any spelling.
fn leads_to_host(raw: &[u8]) -> bool {
    parting(raw).is_some_and(|(_, spelt)| raw.get(spelt..).and_then(parting).is_some())
}

/// What is left of a path if it begins with two of `/` and `\`, and what follows them is a host: from the next of these
/// on. Browsers and Node pass over more than two (URL Standard, "special authority ignore slashes state").
fn behind_host(path: &[u8]) -> &[u8] {
    let parts = |byte: &u8| matches!(byte, b'/' | b'\\');
    let lead = path.iter().take_while(|byte| parts(byte)).count();
    if lead < 2 {
        return path;
    }
    let rest = path.get(lead..).unwrap_or_default();
    rest.iter().position(parts).and_then(|at| rest.get(at..)).unwrap_or_default()
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
            ("//x/a", "/x/a"),
            ("/%zz%4", "/%zz%4"),
            ("/a%20b", "/a b"),
            ("/..;/..", ""),
            ("x", "/x"),
        ] {
            let mut reader = PathReader::new(raw.as_bytes());
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
