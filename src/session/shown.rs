//! What a request shows of the session's cookie.

use super::CookieForm;
use crate::message::cookie;

/// At most so many cookies of our name are tried.
pub(super) const MOST_CANDIDATES: usize = 4;

/// The cookies of our name, in order.
#[derive(Debug)]
pub struct Shown<'a> {
    /// In an array: there is seldom more than one, and more than four are not tried.
    candidates: [&'a [u8]; MOST_CANDIDATES],
    count: usize,
    /// There were more, and the one that counts may be among them.
    pub(super) more: bool,
}

impl<'a> Shown<'a> {
    /// Reads the lines of `Cookie`; `https`: the visitor came by it.
    pub fn read(form: &CookieForm, https: bool, lines: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let ours = form.name(https).as_bytes();
        let mut shown = Self { candidates: [b""; MOST_CANDIDATES], count: 0, more: false };
        for (_, value) in lines.into_iter().flat_map(cookie::pairs).filter(|(name, _)| *name == ours) {
            shown.add(value);
        }
        shown
    }

    fn add(&mut self, value: &'a [u8]) {
        match self.candidates.get_mut(self.count) {
            Some(place) => {
                *place = value;
                self.count += 1;
            }
            None => self.more = true,
        }
    }

    /// The values that are tried.
    pub(super) fn candidates(&self) -> &[&'a [u8]] {
        self.candidates.get(..self.count).unwrap_or_default()
    }
}
