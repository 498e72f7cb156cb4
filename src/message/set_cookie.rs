//! One `Set-Cookie` line, read as browsers do and edited in place (RFC 6265 section 5.2).

use std::borrow::Cow;

use smallvec::SmallVec;

use super::{
    cookie::{pair, rewrite_pair, trim},
    steps::step,
};

/// A line whose pair was found, once for all who ask.
#[derive(Debug, Clone, Copy)]
pub struct SetCookieLine<'a> {
    bytes: &'a [u8],
    end: usize,
    name: &'a [u8],
    value: &'a [u8],
}

impl<'a> SetCookieLine<'a> {
    /// Finds the pair.
    pub fn read(bytes: &'a [u8]) -> Self {
        let end = memchr::memchr(b';', bytes).unwrap_or(bytes.len());
        let (name, value) = pair(bytes.get(..end).unwrap_or_default());
        Self { bytes, end, name, value }
    }

    /// All of it.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Name, `=` and value, with the blanks around them.
    pub fn pair(&self) -> &'a [u8] {
        self.bytes.get(..self.end).unwrap_or_default()
    }

    /// What follows the pair, from the first `;` on.
    pub fn attributes(&self) -> &'a [u8] {
        self.bytes.get(self.end..).unwrap_or_default()
    }

    /// The cookie's name; empty where there is no `=` (RFC 6265bis section 5.6).
    pub fn name(&self) -> &'a [u8] {
        self.name
    }

    /// The cookie's value.
    pub fn value(&self) -> &'a [u8] {
        self.value
    }

    /// The name under which browsers send it. A nameless cookie is sent as its value alone, and so may pass for
    /// another's (RFC 6265bis section 5.8.3, step 4).
    pub fn sent_name(&self) -> &'a [u8] {
        if self.name.is_empty() { pair(self.value).0 } else { self.name }
    }
}

impl<'a> From<&'a [u8]> for SetCookieLine<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::read(bytes)
    }
}

/// The cookie's name; empty where there is no `=` (RFC 6265bis section 5.6).
pub fn name(line: &[u8]) -> &[u8] {
    name_value(line).0
}

/// The cookie's name and value.
pub fn name_value(line: &[u8]) -> (&[u8], &[u8]) {
    let line = SetCookieLine::read(line);
    (line.name, line.value)
}

/// One attribute with the `;` before it.
#[derive(Debug)]
struct CookieAttribute<'a> {
    /// As it came: the `;`, blanks, and the name as it is spelt. Empty: ours, to be written in full.
    start: &'a [u8],
    name: &'a [u8],
    /// None without `=`.
    value: Option<Cow<'a, [u8]>>,
    /// As it came, as long as it was not touched.
    raw: Option<&'a [u8]>,
}

impl<'a> CookieAttribute<'a> {
    /// From a piece between two `;`; `whole` is that piece with the `;` before it.
    fn read(whole: &'a [u8]) -> Self {
        let piece = whole.get(1..).unwrap_or_default();
        // By hand: the pieces are shorter than what a vector search needs to pay.
        let (name, value) = match piece.iter().position(|byte| *byte == b'=') {
            Some(at) => {
                (piece.get(..at).unwrap_or_default(), Some(trim(piece.get(at + 1..).unwrap_or_default())))
            }
            None => (piece, None),
        };
        let name = trim(name);
        let blanks = piece.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let start = whole.get(..1 + blanks + name.len()).unwrap_or(whole);
        Self { start, name, value: value.map(Cow::Borrowed), raw: Some(whole) }
    }

    fn is(&self, name: &str) -> bool {
        step(1);
        self.name.len() == name.len() && self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    fn length(&self) -> usize {
        match self.raw {
            Some(raw) => raw.len(),
            None => {
                self.value.as_ref().map_or(0, |v| v.len() + 1)
                    + if self.start.is_empty() { self.name.len() + 2 } else { self.start.len() }
            }
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        if let Some(raw) = self.raw {
            return out.extend_from_slice(raw);
        }
        if self.start.is_empty() {
            out.extend_from_slice(b"; ");
            out.extend_from_slice(self.name);
        } else {
            out.extend_from_slice(self.start);
        }
        if let Some(value) = &self.value {
            out.push(b'=');
            out.extend_from_slice(value);
        }
    }
}

/// Edits a line; what is not named stays byte for byte. The line is taken apart once and put together once, and only
/// if something changed.
#[derive(Debug)]
pub struct SetCookieEditor<'a> {
    pair: Cow<'a, [u8]>,
    attributes: SmallVec<[CookieAttribute<'a>; 8]>,
    changed: bool,
}

impl<'a> SetCookieEditor<'a> {
    /// An editor of this line.
    pub fn new(line: &'a [u8]) -> Self {
        step(line.len());
        let mut ends = line.iter().enumerate().filter(|(_, byte)| **byte == b';').map(|(at, _)| at);
        let Some(mut start) = ends.next() else {
            return Self { pair: line.into(), attributes: SmallVec::new(), changed: false };
        };
        let pair = line.get(..start).unwrap_or_default().into();
        let mut attributes = SmallVec::new();
        for end in ends.chain(std::iter::once(line.len())) {
            attributes.push(CookieAttribute::read(line.get(start..end).unwrap_or_default()));
            start = end;
        }
        Self { pair, attributes, changed: false }
    }

    /// The cookie's name and value.
    pub fn name_value(&self) -> (&[u8], &[u8]) {
        pair(&self.pair)
    }

    /// Sets the cookie's name, its value, or both; the blanks around them stay.
    pub fn set_pair(&mut self, name: Option<&[u8]>, value: Option<&[u8]>) {
        let mut out =
            Vec::with_capacity(self.pair.len() + name.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len));
        rewrite_pair(&self.pair, name, value, &mut out);
        self.changed |= out != *self.pair;
        self.pair = out.into();
    }

    /// Whether anything is other than it came.
    pub fn is_changed(&self) -> bool {
        self.changed
    }

    /// The line as it now is.
    pub fn line(&self) -> Vec<u8> {
        let length = self.pair.len() + self.attributes.iter().map(CookieAttribute::length).sum::<usize>();
        let mut out = Vec::with_capacity(length);
        out.extend_from_slice(&self.pair);
        for attribute in &self.attributes {
            attribute.write(&mut out);
        }
        out
    }

    /// The changed line; none if nothing changed.
    pub fn into_changed(self) -> Option<Vec<u8>> {
        self.changed.then(|| self.line())
    }

    /// The value of an attribute, empty without `=`; of several the last counts (RFC 6265 section 5.3).
    pub fn get(&self, attribute: &str) -> Option<&[u8]> {
        let found = self.attributes.iter().rev().find(|a| a.is(attribute))?;
        Some(found.value.as_deref().unwrap_or_default())
    }

    /// Whether the attribute stands there, whatever its value.
    pub fn has(&self, attribute: &str) -> bool {
        self.attributes.iter().any(|a| a.is(attribute))
    }

    /// Sets an attribute: replaces the value wherever it stands, keeping how the name is spelt, else appends it.
    /// `same` tells whether a value that is there already says it.
    pub fn set(
        &mut self,
        attribute: &'static str,
        value: impl Into<Cow<'a, [u8]>>,
        same: impl Fn(&[u8]) -> bool,
    ) {
        let mut value = Some(value.into());
        let mut found = false;
        let mut all = self.attributes.iter_mut().filter(|a| a.is(attribute)).peekable();
        while let Some(old) = all.next() {
            found = true;
            // An attribute that already says it stays byte for byte, in the app's own spelling.
            if !old.value.as_deref().is_some_and(&same) {
                // There is seldom more than one: it need not be copied for that.
                old.value = if all.peek().is_some() { value.clone() } else { value.take() };
                old.raw = None;
                self.changed = true;
            }
        }
        if !found {
            self.append(attribute, value);
        }
    }

    /// Appends an attribute without a value unless it is there.
    pub fn set_flag(&mut self, attribute: &'static str) {
        if !self.has(attribute) {
            self.append(attribute, None);
        }
    }

    /// Removes an attribute wherever it stands, each time with its `;`.
    pub fn remove(&mut self, attribute: &str) {
        let before = self.attributes.len();
        self.attributes.retain(|a| !a.is(attribute));
        self.changed |= self.attributes.len() != before;
    }

    fn append(&mut self, attribute: &'static str, value: Option<Cow<'a, [u8]>>) {
        self.attributes.push(CookieAttribute { start: b"", name: attribute.as_bytes(), value, raw: None });
        self.changed = true;
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
            let mut editor = SetCookieEditor::new(line.as_bytes());
            editor.set("Path", b"/x".as_slice(), |old| old == b"/x");
            assert_eq!(editor.line().escape_ascii().to_string(), set, "{line}");
            assert_eq!(editor.get("PATH"), Some(b"/x".as_slice()));
            assert_eq!(editor.into_changed().is_none(), set == line);
            let mut editor = SetCookieEditor::new(line.as_bytes());
            editor.remove("Path");
            assert_eq!(editor.line().escape_ascii().to_string(), removed, "{line}");
        }
    }

    #[test]
    fn flags() {
        for (line, wanted) in
            [("a=b", "a=b; Secure"), ("a=b;secure", "a=b;secure"), ("a=b; SECURE=no", "a=b; SECURE=no")]
        {
            let mut editor = SetCookieEditor::new(line.as_bytes());
            editor.set_flag("Secure");
            assert_eq!(editor.line(), wanted.as_bytes());
        }
    }
}
