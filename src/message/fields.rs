//! The field lines of a message (RFC 9110 section 5): names, values, and their order.
//!
//! [`Fields`] is the only thing in the house that knows how they are held. They keep the order in which they came or were
//! added, and a name is found whatever its case. A head has few lines: going through them costs less than a table of
//! hashes, which has to be filled first. So who looks up as many names as a visitor chooses goes through the lines
//! ([`Fields::retain`]), and does not look each of them up. What is over HTTP/2, or in a body's trailers, is an
//! [`http::HeaderMap`], and is converted at that edge.

use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::Frame;

/// The field lines of one message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(Vec<(HeaderName, HeaderValue)>);

/// What lines may be found by.
pub trait LineName {
    /// Whether a line has this name.
    fn is(&self, name: &HeaderName) -> bool;
}

impl LineName for HeaderName {
    fn is(&self, name: &HeaderName) -> bool {
        self == name
    }
}

impl LineName for str {
    fn is(&self, name: &HeaderName) -> bool {
        name.as_str().eq_ignore_ascii_case(self)
    }
}

impl<N: LineName + ?Sized> LineName for &N {
    fn is(&self, name: &HeaderName) -> bool {
        (**self).is(name)
    }
}

/// What becomes of one line ([`Fields::edit`]).
#[derive(Debug, PartialEq, Eq)]
pub enum LineEdit {
    /// It stays as it came.
    Keep,
    /// It has another value.
    Replace(HeaderValue),
    /// It goes.
    Remove,
}

impl Fields {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// None, with room for so many.
    pub fn with_capacity(lines: usize) -> Self {
        Self(Vec::with_capacity(lines))
    }

    /// Makes room for so many more.
    pub fn reserve(&mut self, lines: usize) {
        self.0.reserve(lines);
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes them all out; the room stays.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The value of the first line of this name.
    pub fn get(&self, name: impl LineName) -> Option<&HeaderValue> {
        self.0.iter().find(|(other, _)| name.is(other)).map(|(_, value)| value)
    }

    /// The values of all lines of this name, in their order.
    pub fn get_all(&self, name: impl LineName) -> impl DoubleEndedIterator<Item = &HeaderValue> {
        self.0.iter().filter(move |(other, _)| name.is(other)).map(|(_, value)| value)
    }

    /// Whether there is a line of this name.
    pub fn contains(&self, name: impl LineName) -> bool {
        self.0.iter().any(|(other, _)| name.is(other))
    }

    /// Puts one line in the place of all of this name.
    pub fn insert(&mut self, name: HeaderName, value: HeaderValue) {
        // In the place of the first, so that the order of the other lines stays.
        let Some(first) = self.0.iter().position(|(other, _)| *other == name) else {
            return self.append(name, value);
        };
        let mut at = 0;
        self.0.retain(|(other, _)| {
            at += 1;
            at <= first + 1 || *other != name
        });
        if let Some((_, there)) = self.0.get_mut(first) {
            *there = value;
        }
    }

    /// Adds a line at the end.
    pub fn append(&mut self, name: HeaderName, value: HeaderValue) {
        self.0.push((name, value));
    }

    /// Adds a line where there is none of this name.
    pub fn insert_if_absent(&mut self, name: HeaderName, value: HeaderValue) {
        if !self.contains(&name) {
            self.append(name, value);
        }
    }

    /// Takes out all lines of this name; returns the value of the first.
    pub fn remove(&mut self, name: impl LineName) -> Option<HeaderValue> {
        let first = self.0.iter().position(|(other, _)| name.is(other))?;
        let (_, value) = self.0.remove(first);
        self.0.retain(|(other, _)| !name.is(other));
        Some(value)
    }

    /// Takes out the lines of those names that it does not hold of; returns how many went.
    pub fn retain(&mut self, mut holds: impl FnMut(&HeaderName) -> bool) -> usize {
        let before = self.0.len();
        self.0.retain(|(name, _)| holds(name));
        before - self.0.len()
    }

    /// Edits the lines of one name, in their order; returns how many went.
    pub fn edit(&mut self, name: impl LineName, mut edit: impl FnMut(&HeaderValue) -> LineEdit) -> usize {
        let before = self.0.len();
        self.0.retain_mut(|(other, value)| {
            if !name.is(other) {
                return true;
            }
            match edit(value) {
                LineEdit::Keep => true,
                LineEdit::Replace(new) => {
                    *value = new;
                    true
                }
                LineEdit::Remove => false,
            }
        });
        before - self.0.len()
    }

    /// The name of each line.
    pub fn names(&self) -> impl Iterator<Item = &HeaderName> {
        self.0.iter().map(|(name, _)| name)
    }

    /// The value of each line.
    pub fn values(&self) -> impl Iterator<Item = &HeaderValue> {
        self.0.iter().map(|(_, value)| value)
    }

    /// All lines.
    pub fn iter(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.into_iter()
    }
}

impl<'a> IntoIterator for &'a Fields {
    type Item = (&'a HeaderName, &'a HeaderValue);
    type IntoIter = std::iter::Map<
        std::slice::Iter<'a, (HeaderName, HeaderValue)>,
        fn(&'a (HeaderName, HeaderValue)) -> Self::Item,
    >;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter().map(|(name, value)| (name, value))
    }
}

/// Edits the trailers that a frame of a body may be.
pub fn edit_trailers<D>(frame: &mut Frame<D>, edit: impl FnOnce(&mut Fields)) {
    if let Some(trailers) = frame.trailers_mut() {
        let mut fields = Fields::from(std::mem::take(trailers));
        edit(&mut fields);
        *trailers = fields.into();
    }
}

impl From<HeaderMap> for Fields {
    fn from(map: HeaderMap) -> Self {
        let mut fields = Self::with_capacity(map.len());
        for (name, value) in map {
            // Of the lines of one name, which stand together, the first has it.
            if let Some(name) = name.or_else(|| fields.0.last().map(|(name, _)| name.clone())) {
                fields.append(name, value);
            }
        }
        fields
    }
}

impl From<Fields> for HeaderMap {
    fn from(fields: Fields) -> Self {
        let mut map = Self::with_capacity(fields.len());
        for (name, value) in fields.0 {
            map.append(name, value);
        }
        map
    }
}

impl FromIterator<(HeaderName, HeaderValue)> for Fields {
    fn from_iter<I: IntoIterator<Item = (HeaderName, HeaderValue)>>(lines: I) -> Self {
        Self(lines.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[(&'static str, &'static str)]) -> Fields {
        let lines = lines.iter();
        lines.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn lines_of_one_name_are_edited_in_place_and_in_their_order() {
        let mut lines = fields(&[("x-a", "1"), ("x-a", "2"), ("x-b", "b"), ("x-a", "3"), ("x-a", "4")]);
        let gone = lines.edit("X-A", |value| match value.as_bytes() {
            b"1" => LineEdit::Remove,
            b"3" => LineEdit::Replace(HeaderValue::from_static("three")),
            _ => LineEdit::Keep,
        });
        assert_eq!(gone, 1);
        assert_eq!(lines, fields(&[("x-a", "2"), ("x-b", "b"), ("x-a", "three"), ("x-a", "4")]));
        assert_eq!(lines.get_all("X-A").rev().collect::<Vec<_>>(), ["4", "three", "2"]);
        assert_eq!(lines.edit("x-c", |_| LineEdit::Remove), 0);
        assert_eq!(lines.edit("x-a", |_| LineEdit::Remove), 3);
        assert_eq!(lines, fields(&[("x-b", "b")]));
    }

    #[test]
    fn one_line_takes_the_place_of_all_of_its_name() {
        let mut lines = fields(&[("x-b", "0"), ("x-a", "1"), ("x-c", "2"), ("x-a", "3")]);
        lines.insert(HeaderName::from_static("x-a"), HeaderValue::from_static("4"));
        assert_eq!(lines, fields(&[("x-b", "0"), ("x-a", "4"), ("x-c", "2")]));
        lines.insert(HeaderName::from_static("x-d"), HeaderValue::from_static("5"));
        lines.insert_if_absent(HeaderName::from_static("x-d"), HeaderValue::from_static("6"));
        assert_eq!(lines.get("x-d").map(HeaderValue::as_bytes), Some(&b"5"[..]));
        assert_eq!(lines.remove("X-B").as_ref().map(HeaderValue::as_bytes), Some(&b"0"[..]));
        assert_eq!(lines.retain(|name| name != "x-c"), 1);
        assert_eq!(lines, fields(&[("x-a", "4"), ("x-d", "5")]));
    }

    #[test]
    fn nothing_is_lost_at_the_edge_of_http2() {
        let lines = fields(&[("x-a", "1"), ("x-a", "2"), ("x-b", "3")]);
        assert_eq!(Fields::from(HeaderMap::from(lines.clone())), lines);
    }
}
