//! Header lines ready for the wire. What we add to every request is written once, as it will stand there, and not
//! inserted into a map that is then written.

use http::{HeaderName, HeaderValue};

/// `name: value CR LF`, any number of times. Made of names and values that were checked, so it holds nothing else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderLines(Vec<u8>);

impl HeaderLines {
    /// Room for so many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// Adds a line.
    pub fn push(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.begin(name);
        self.0.extend_from_slice(value.as_bytes());
        self.0.extend_from_slice(b"\r\n");
    }

    /// Adds a line that stands in the source as it goes out, with its CR LF.
    pub fn push_fixed(&mut self, line: &'static str) {
        self.0.extend_from_slice(line.as_bytes());
    }

    /// Adds a line whose value is text of our own making.
    pub fn push_text(&mut self, name: &HeaderName, value: &str) {
        self.push_with(name, |out| out.extend_from_slice(value.as_bytes()));
    }

    /// Adds a line whose value is written by `write`. Were it ever to hold what no value may (RFC 9110 section 5.5), the
    /// line is left out.
    pub fn push_with(&mut self, name: &HeaderName, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.0.len();
        self.begin(name);
        let start = self.0.len();
        write(&mut self.0);
        // No early end: so it is done for many bytes at a time.
        let odd = |all: bool, byte: &u8| all | !matches!(byte, b' '..=b'~');
        if self.0.get(start..).unwrap_or_default().iter().fold(false, odd) {
            self.0.truncate(before);
        } else {
            self.0.extend_from_slice(b"\r\n");
        }
    }

    /// Adds lines.
    pub fn append(&mut self, lines: &Self) {
        self.0.extend_from_slice(&lines.0);
    }

    /// Name and value of each.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let lines = memchr::memmem::find_iter(&self.0, b"\r\n");
        let mut start = 0;
        lines.filter_map(move |end| {
            let line = self.0.get(start..end)?;
            start = end + 2;
            let colon = memchr::memchr(b':', line)?;
            Some((line.get(..colon)?, line.get(colon + 2..)?))
        })
    }

    /// As they go out.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn begin(&mut self, name: &HeaderName) {
        self.0.extend_from_slice(name.as_str().as_bytes());
        self.0.extend_from_slice(b": ");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines() {
        let mut lines = HeaderLines::default();
        lines.push(&HeaderName::from_static("x-a"), &HeaderValue::from_bytes(b"\xe9 1").unwrap());
        lines.push_text(&HeaderName::from_static("x-b"), "2\r\nx-c: 3");
        lines.push_text(&HeaderName::from_static("x-d"), "");
        let mut all = HeaderLines::with_capacity(1);
        all.append(&lines);
        assert_eq!(all.as_bytes(), b"x-a: \xe9 1\r\nx-d: \r\n");
        all.push_text(&HeaderName::from_static("x-e"), "f: g");
        let told: Vec<_> = all.iter().collect();
        assert_eq!(told, [(&b"x-a"[..], &b"\xe9 1"[..]), (b"x-d", b""), (b"x-e", b"f: g")]);
    }
}
