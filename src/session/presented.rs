//! What a request shows of the session's cookie.

use super::CookieForm;
use crate::message::cookie;

/// At most so many cookies of our name are tried.
pub(super) const MOST_CANDIDATES: usize = 4;
/// At most so many further parts are looked at.
const MOST_OTHERS: usize = 32;

/// The cookies of our name, in order.
#[derive(Debug)]
pub struct PresentedCookies<'a> {
    /// In an array: there is seldom more than one, and more than four are not tried.
    candidates: [&'a [u8]; MOST_CANDIDATES],
    count: usize,
    /// There were more, and the one that counts may be among them.
    pub(super) more: bool,
    /// Number and value of the further parts of a session that is larger than a cookie.
    others: Vec<(u8, &'a [u8])>,
}

impl<'a> PresentedCookies<'a> {
    /// Reads the lines of `Cookie`; `https`: the visitor came by it.
    pub fn read(form: &CookieForm, https: bool, lines: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut shown =
            Self { candidates: [b""; MOST_CANDIDATES], count: 0, more: false, others: Vec::new() };
        for (name, value) in lines.into_iter().flat_map(cookie::pairs) {
            match form.part(name, https) {
                Some(0) => shown.add(value),
                // More than one session has parts, since planted ones count here as well.
                Some(part) if shown.others.len() < MOST_OTHERS => shown.others.push((part, value)),
                _ => {}
            }
        }
        shown
    }

    fn add(&mut self, value: &'a [u8]) {
        match self.candidates.get_mut(self.count) {
            Some(place) => {
                *place = value;
                self.count += 1;
            }
            // The bound keeps planted cookies from costing a MAC each; that there were more is
            // remembered, and then no new ticket is given.
            None => self.more = true,
        }
    }

    /// The values that are tried.
    pub(super) fn candidates(&self) -> &[&'a [u8]] {
        self.candidates.get(..self.count).unwrap_or_default()
    }

    /// The further parts, with their numbers.
    pub(super) fn others(&self) -> &[(u8, &'a [u8])] {
        &self.others
    }

    /// Which of the further parts the browser holds, a bit each.
    pub(super) fn parts(&self) -> u16 {
        self.others.iter().fold(0, |parts, (part, _)| parts | 1 << part)
    }
}
