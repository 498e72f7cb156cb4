//! The field lines of a message (RFC 9110 section 5): names, values, and their order.
//!
//! [`Fields`] is the only thing in the house that knows how they are held. Lines of one name keep their order (RFC 9110
//! section 5.3), and a name is found whatever its case. What is over HTTP/2, or in a body's trailers, is an
//! [`http::HeaderMap`], and is converted at that edge.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{AsHeaderName, IntoHeaderName},
};
use http_body::Frame;

/// The field lines of one message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(HeaderMap);

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
        Self(HeaderMap::with_capacity(lines))
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
    pub fn get(&self, name: impl AsHeaderName) -> Option<&HeaderValue> {
        self.0.get(name)
    }

    /// The values of all lines of this name, in their order.
    pub fn get_all(&self, name: impl AsHeaderName) -> impl DoubleEndedIterator<Item = &HeaderValue> {
        self.0.get_all(name).into_iter()
    }

    /// Whether there is a line of this name.
    pub fn contains(&self, name: impl AsHeaderName) -> bool {
        self.0.contains_key(name)
    }

    /// Puts one line in the place of all of this name.
    pub fn insert(&mut self, name: impl IntoHeaderName, value: HeaderValue) {
        self.0.insert(name, value);
    }

    /// Adds a line behind those of this name.
    pub fn append(&mut self, name: impl IntoHeaderName, value: HeaderValue) {
        self.0.append(name, value);
    }

    /// Adds a line where there is none of this name.
    pub fn insert_if_absent(&mut self, name: HeaderName, value: HeaderValue) {
        self.0.entry(name).or_insert(value);
    }

    /// Takes out all lines of this name; returns the value of the first.
    pub fn remove(&mut self, name: impl AsHeaderName) -> Option<HeaderValue> {
        self.0.remove(name)
    }

    /// Takes out the lines of those names that it does not hold of.
    pub fn retain(&mut self, mut holds: impl FnMut(&HeaderName) -> bool) {
        let gone: Vec<HeaderName> = self.0.keys().filter(|name| !holds(name)).cloned().collect();
        for name in gone {
            self.0.remove(name);
        }
    }

    /// Edits the lines of one name, in their order; returns how many went. Without any this costs one look-up.
    pub fn edit(&mut self, name: HeaderName, mut edit: impl FnMut(&HeaderValue) -> LineEdit) -> usize {
        let http::header::Entry::Occupied(mut lines) = self.0.entry(name) else { return 0 };
        let mut gone: Vec<usize> = Vec::new();
        for (at, line) in lines.iter_mut().enumerate() {
            match edit(line) {
                LineEdit::Keep => {}
                LineEdit::Replace(value) => *line = value,
                LineEdit::Remove => gone.push(at),
            }
        }
        if !gone.is_empty() {
            let stays = lines.iter().enumerate().filter(|(at, _)| gone.binary_search(at).is_err());
            let left: Vec<HeaderValue> = stays.map(|(_, line)| line.clone()).collect();
            let (name, _) = lines.remove_entry_mult();
            for line in left {
                self.0.append(name.clone(), line);
            }
        }
        gone.len()
    }

    /// Each name once.
    pub fn names(&self) -> impl Iterator<Item = &HeaderName> {
        self.0.keys()
    }

    /// All values.
    pub fn values(&self) -> impl Iterator<Item = &HeaderValue> {
        self.0.values()
    }

    /// All lines; those of one name together, and in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Fields {
    type Item = (&'a HeaderName, &'a HeaderValue);
    type IntoIter = http::header::Iter<'a, HeaderValue>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// Edits the trailers that a frame of a body may be.
pub fn edit_trailers<D>(frame: &mut Frame<D>, edit: impl FnOnce(&mut Fields)) {
    if let Some(trailers) = frame.trailers_mut() {
        let mut fields = Fields(std::mem::take(trailers));
        edit(&mut fields);
        *trailers = fields.0;
    }
}

impl From<HeaderMap> for Fields {
    fn from(map: HeaderMap) -> Self {
        Self(map)
    }
}

impl From<Fields> for HeaderMap {
    fn from(fields: Fields) -> Self {
        fields.0
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

    #[test]
    fn lines_of_one_name_are_edited_in_place_and_in_their_order() {
        let line = |text: &'static str| HeaderValue::from_static(text);
        let name = HeaderName::from_static("x-a");
        let mut fields: Fields =
            ["1", "2", "3", "4"].map(|text| (name.clone(), line(text))).into_iter().collect();
        let gone = fields.edit(name.clone(), |value| match value.as_bytes() {
            b"1" => LineEdit::Remove,
            b"3" => LineEdit::Replace(line("three")),
            _ => LineEdit::Keep,
        });
        assert_eq!(gone, 1);
        assert_eq!(fields.get_all("X-A").collect::<Vec<_>>(), ["2", "three", "4"]);
        assert_eq!(fields.edit(HeaderName::from_static("x-b"), |_| LineEdit::Remove), 0);
        assert_eq!(fields.edit(name, |_| LineEdit::Remove), 3);
        assert!(fields.is_empty());
    }
}
