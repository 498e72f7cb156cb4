//! One `Set-Cookie` line, read as browsers do and edited in place (RFC 6265 section 5.2).

use std::{borrow::Cow, ops::Range};

use super::cookie::{pair, trim};

/// Room for the attributes that a usual edit appends.
const ROOM: usize = 128;

/// The cookie's name; empty where there is no `=` (RFC 6265bis section 5.6).
pub fn name(line: &[u8]) -> &[u8] {
    name_value(line).0
}

/// The cookie's name and value.
pub fn name_value(line: &[u8]) -> (&[u8], &[u8]) {
    pair(line.split(|byte| *byte == b';').next().unwrap_or_default())
}

/// The attributes of a line: where each stands with its `;`, its name, and its value (none without `=`).
fn attributes(line: &[u8]) -> impl Iterator<Item = (Range<usize>, &[u8], Option<&[u8]>)> {
    let mut end = 0;
    line.split(|byte| *byte == b';').enumerate().filter_map(move |(index, piece)| {
        let start = end;
        end += piece.len() + usize::from(index > 0);
        if index == 0 {
            return None;
        }
        // By hand: the pieces are shorter than what a vector search needs to pay.
        let (name, value) = match piece.iter().position(|byte| *byte == b'=') {
            Some(at) => (
                trim(piece.get(..at).unwrap_or_default()),
                Some(trim(piece.get(at + 1..).unwrap_or_default())),
            ),
            None => (trim(piece), None),
        };
        Some((start..end, name, value))
    })
}

fn bit(name: &[u8]) -> u32 {
    1 << name.len().min(31)
}

/// Edits a line; what is not named stays byte for byte, and nothing is copied before the first change.
#[derive(Debug)]
pub struct Editor<'a> {
    line: Cow<'a, [u8]>,
    /// A bit for each length that an attribute's name has: most questions are answered by it alone.
    lengths: u32,
}

impl<'a> Editor<'a> {
    /// An editor of this line.
    pub fn new(line: &'a [u8]) -> Self {
        let mut lengths = 0;
        for (_, name, _) in attributes(line) {
            lengths |= bit(name);
        }
        Self { line: Cow::Borrowed(line), lengths }
    }

    /// The line as it now is.
    pub fn line(&self) -> &[u8] {
        &self.line
    }

    /// The changed line; none if nothing changed.
    pub fn into_changed(self) -> Option<Vec<u8>> {
        match self.line {
            Cow::Borrowed(_) => None,
            Cow::Owned(line) => Some(line),
        }
    }

    /// The value of an attribute, empty without `=`; of several the last counts (RFC 6265 section 5.3).
    pub fn get(&self, attribute: &str) -> Option<&[u8]> {
        if !self.may_have(attribute) {
            return None;
        }
        let named =
            attributes(&self.line).filter(|(_, name, _)| name.eq_ignore_ascii_case(attribute.as_bytes()));
        named.last().map(|(_, _, value)| value.unwrap_or_default())
    }

    /// Whether the attribute stands there, whatever its value.
    pub fn has(&self, attribute: &str) -> bool {
        self.get(attribute).is_some()
    }

    /// Sets an attribute: replaces the value wherever it stands, else appends it. `same` tells whether a value that
    /// is there already says it.
    pub fn set(&mut self, attribute: &str, value: &[u8], same: impl Fn(&[u8]) -> bool) {
        let mut from = 0;
        let mut found = false;
        while self.may_have(attribute) {
            let next = attributes(&self.line)
                .find(|(at, name, _)| at.start >= from && name.eq_ignore_ascii_case(attribute.as_bytes()))
                .map(|(at, name, old)| (at, name.len(), old.is_some_and(&same)));
            let Some((at, name_len, is_same)) = next else { break };
            found = true;
            from = at.end;
            if is_same {
                continue;
            }
            // From after the name, keeping its spelling and the blanks before it.
            let piece = self.line.get(at.clone()).unwrap_or_default();
            let blanks = piece.iter().skip(1).take_while(|byte| matches!(byte, b' ' | b'\t')).count();
            let cut = (at.start + 1 + blanks + name_len)..at.end;
            let line = self.owned();
            let added = value.len() + 1;
            let end = cut.start + added;
            line.splice(cut, std::iter::once(b'=').chain(value.iter().copied()));
            from = end;
        }
        if !found {
            self.lengths |= bit(attribute.as_bytes());
            let line = self.owned();
            line.extend_from_slice(b"; ");
            line.extend_from_slice(attribute.as_bytes());
            line.push(b'=');
            line.extend_from_slice(value);
        }
    }

    /// Appends an attribute without a value unless it is there.
    pub fn set_flag(&mut self, attribute: &str) {
        if !self.has(attribute) {
            self.lengths |= bit(attribute.as_bytes());
            let line = self.owned();
            line.extend_from_slice(b"; ");
            line.extend_from_slice(attribute.as_bytes());
        }
    }

    /// Removes an attribute wherever it stands, each time with its `;`.
    pub fn remove(&mut self, attribute: &str) {
        while self.may_have(attribute) {
            let mut all = attributes(&self.line);
            let Some((at, ..)) = all.find(|(_, name, _)| name.eq_ignore_ascii_case(attribute.as_bytes()))
            else {
                return;
            };
            drop(all);
            self.owned().drain(at);
        }
    }

    fn may_have(&self, attribute: &str) -> bool {
        self.lengths & bit(attribute.as_bytes()) != 0
    }

    /// The line as one's own, with room to append.
    fn owned(&mut self) -> &mut Vec<u8> {
        if let Cow::Borrowed(line) = self.line {
            let mut copy = Vec::with_capacity(line.len() + ROOM);
            copy.extend_from_slice(line);
            self.line = Cow::Owned(copy);
        }
        self.line.to_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (line, wanted) in [
            ("a=b; Path=/", "a"),
            (" a = b", "a"),
            ("a", ""),
            ("=a", ""),
            ("; a=b", ""),
            ("", ""),
            ("ü=1", "ü"),
            ("a b,c=\"x\"", "a b,c"),
        ] {
            assert_eq!(name(line.as_bytes()), wanted.as_bytes(), "{line}");
        }
    }

    #[test]
    fn edits_in_place() {
        for (line, set, removed) in [
            ("a=b", "a=b; Path=/x", "a=b"),
            ("a=b; path=/x", "a=b; path=/x", "a=b"),
            ("a=b;  PATH = /y ; Foo", "a=b;  PATH=/x; Foo", "a=b; Foo"),
            ("a=b; Path; Bar=1", "a=b; Path=/x; Bar=1", "a=b; Bar=1"),
            ("a=b;Path=/1;Secure;path=/2", "a=b;Path=/x;Secure;path=/x", "a=b;Secure"),
            ("a=path=/; Pathx=1;", "a=path=/; Pathx=1;; Path=/x", "a=path=/; Pathx=1;"),
            ("", "; Path=/x", ""),
            (
                "path=/q; Expires=Wed, 01 Jan",
                "path=/q; Expires=Wed, 01 Jan; Path=/x",
                "path=/q; Expires=Wed, 01 Jan",
            ),
        ] {
            let mut editor = Editor::new(line.as_bytes());
            editor.set("Path", b"/x", |old| old == b"/x");
            assert_eq!(editor.line().escape_ascii().to_string(), set, "{line}");
            assert_eq!(editor.get("PATH"), Some(b"/x".as_slice()));
            assert_eq!(editor.into_changed().is_none(), set == line);
            let mut editor = Editor::new(line.as_bytes());
            editor.remove("Path");
            assert_eq!(editor.line().escape_ascii().to_string(), removed, "{line}");
        }
    }

    #[test]
    fn flags() {
        for (line, wanted) in
            [("a=b", "a=b; Secure"), ("a=b;secure", "a=b;secure"), ("a=b; SECURE=no", "a=b; SECURE=no")]
        {
            let mut editor = Editor::new(line.as_bytes());
            editor.set_flag("Secure");
            assert_eq!(editor.line(), wanted.as_bytes());
        }
    }
}
